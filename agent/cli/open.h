/* SPDX-License-Identifier: MIT */
/* Segments for commands: opened by URI, with messages and exit codes for what goes wrong. */
#ifndef DSM_CLI_OPEN_H
#define DSM_CLI_OPEN_H

#include <dsm/segment.h>

#include "agent/cli/cli.h"

/* A segment that a command looks into, and the node it is reached by. */
struct opened {
	dsm_t *ctx; /* NULL: a segment of this machine */
	dsm_segment_t *segment;
};

/*
 * Joins the agent's cluster as a program; none is started. 0, or an exit code: stderr has
 * been told. CLI_NO_AGENT: none serves the port.
 */
int open_context(const struct cli *cli, dsm_t **ret);
/* The segment @uri, over the agent of @cli where it is one of the cluster. 0 or an exit code. */
int open_segment(const struct cli *cli, const char *uri, struct opened *ret);
/* The same, but it is made where there is none. @command is for the message. */
int open_or_make(const struct cli *cli, const char *command, const char *uri, struct opened *ret);
void open_close(struct opened *o);

/*
 * "SEGMENT/NAME": the segment's URI into @segment; returns the name, @fallback where there is none.
 */
const char *open_split(const char *uri, char segment[256], const char *fallback);

/*
 * Says dsm_last_error() after "COMMAND: ", and returns the exit code for @err, what a function of the
 * library gave.
 */
int open_explain(const char *command, int err);

#endif
