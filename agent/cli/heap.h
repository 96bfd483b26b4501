/* SPDX-License-Identifier: MIT */
/* What the heap commands share. */
#ifndef DSM_CLI_HEAP_H
#define DSM_CLI_HEAP_H

#include <dsm/heap.h>

#include "agent/cli/open.h"

/* The heap of the segment @uri. 0, or an exit code and stderr has been told by @command. */
int heap_open(const struct cli *cli, const char *command, const char *uri, struct opened *o,
	      dsm_heap_t **ret);
/* Closes both; the exit code for @err, what a function of the library gave. */
int heap_done(const char *command, int err, struct opened *o, dsm_heap_t *heap);

#endif
