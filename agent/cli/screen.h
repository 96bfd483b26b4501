/* SPDX-License-Identifier: MIT */
/* A whole-terminal display that leaves the terminal as it was, also when a signal ends the program. */
#ifndef DSM_CLI_SCREEN_H
#define DSM_CLI_SCREEN_H

#include <stdbool.h>

/* 0, or -1 with errno. Keys come at once and are not shown from here on. */
int screen_open(void);
void screen_close(void);

/* Between the two, what goes to stdout replaces the last picture. */
void screen_begin(void);
void screen_end(void);

/* Waits for a key; true when it was q, Ctrl-C came, or the terminal is gone. False after @ms. */
bool screen_wait(int ms);

#endif
