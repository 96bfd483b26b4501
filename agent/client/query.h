/* SPDX-License-Identifier: MIT */
/*
 * What an agent tells the command line about itself: one text command in,
 * one JSON document out. Reads the core by its introspection calls only, so
 * nothing here changes anything, waits, or does I/O.
 *
 * Commands: "status", "node list", "region list", "region show NAME",
 * "page show KEY" (a page_key as number, 0x... or decimal), "page list FROM NAME"
 * (number of the first page, the region; runs of pages that this node knows, a bounded
 * number of them), "lock list", "barrier list", "topic list", "stats". "events" is not a document but a stream: see
 * query_events_poll(). The keys of every document are described in dsm(1).
 *
 * Threading: called from the agent's loop thread, like the core.
 */
#ifndef DSM_CLIENT_QUERY_H
#define DSM_CLIENT_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/core/core.h"

/*
 * Latency of the faults of this node, from the report by the pager to the
 * answer to it. In microseconds; all zero when n is 0.
 */
struct query_latency {
	uint64_t n; /* faults measured */
	double p50, p99, max;
};

/* What the core does not know about its agent. The server fills one for each call. */
struct query_source {
	const struct core *core; /* not changed */
	uint64_t now_us;	 /* monotonic, the clock of the core's events */
	uint64_t start_us;	 /* when the agent started, same clock */
	const char *version;	 /* of the agent, a literal */
	const char *cluster;	 /* the cluster's name */
	const char *pager;	 /* "kmod" or "uffd" */
	const char *rundir;	 /* directory of the agent's socket */
	int64_t pid;		 /* of the agent */
	uint16_t port;		 /* TCP, names the agent on this machine */
	uint16_t discovery_port; /* UDP, 0: no discovery */
	int log_level;		 /* 0 debug .. 3 error */
	uint32_t programs;	 /* sessions with HELLO_PROGRAM now */
	uint32_t sessions;	 /* all sessions now */
	/* Since the start, all links together. */
	uint64_t bytes_in, bytes_out;	    /* on the wire, frames' headers included */
	uint64_t messages_in, messages_out; /* frames */
	uint64_t bad_frames;		    /* links closed for a bad frame, datagrams refused */
	uint64_t stash_pages;		    /* pages kept by REVOKE_TAKE now */
	struct query_latency read, write;   /* faults answered by install or upgrade */
};

/*
 * Answers @command. 0 and *ret_json: text with a final newline, to be given
 * to free(). Else *ret_json is untouched: -EINVAL no such command or a bad
 * argument, -ENOENT no such region, or a page never heard of here, -ENOMEM.
 */
int query_run(const struct query_source *src, const char *command, char **ret_json);

/* True for the command "events", which is for query_events_poll(). */
bool query_is_events(const char *command);

/* What one listener of events has been told already. */
struct query_events;

/* NULL: no memory. One for each session that asks for events; the caller frees it. */
struct query_events *query_events_new(void);
void query_events_free(struct query_events *ev);

/*
 * What changed since the last call for @ev: whole lines, a JSON object each;
 * the first call tells the whole state. Call it when something happened,
 * at most every 100 ms. 0 and *ret_text: to be given to free(), or NULL when
 * nothing changed. -ENOMEM: *ret_text is untouched, and the changes come with
 * the next call.
 */
int query_events_poll(struct query_events *ev, const struct query_source *src, char **ret_text);

#endif
