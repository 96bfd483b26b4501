/* SPDX-License-Identifier: MIT */
/* A whole-terminal display that leaves the terminal as it was, also when a signal ends the program. */
#ifndef DSM_CLI_SCREEN_H
#define DSM_CLI_SCREEN_H

#include <stdbool.h>

/* 0, or -1 with errno. Keys come at once and are not shown from here on. */
int screen_open(void);
void screen_close(void);

/* @text replaces the last picture, as much of it as the terminal has room for. */
void screen_show(const char *text);

/* Waits for a key; true when it was q, Ctrl-C came, or the terminal is gone. False after @ms. */
bool screen_wait(int ms);

#endif
