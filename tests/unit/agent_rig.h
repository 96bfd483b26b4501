/* SPDX-License-Identifier: MIT */
/*
 * Whole agents in one process and one loop: the shell, the core and real
 * sockets, over a pager made of plain memory. Programs are sessions on the
 * real client socket.
 */
#ifndef DSM_TESTS_AGENT_RIG_H
#define DSM_TESTS_AGENT_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/agent.h"
#include "agent/client/proto.h"

#define RIG_AGENTS	3
#define RIG_PAGES	256 /* pages of the default region that the fake pager can hold */
#define RIG_DEADLINE_MS 8000

struct rig_page {
	enum pager_prot prot;
	int failed; /* error of the last fail() */
	char bytes[PAGER_PAGE_SIZE];
};

/* What stands for a pager; the agents' ones are in the order of their start. */
struct pager {
	const struct pager_host *host;
	struct rig_page pages[RIG_PAGES];
	unsigned int busy; /* so many revoking calls find the page pinned */
	unsigned int revokes;
	size_t takes; /* bytes that a socket takes of a send(); 0: read() has to do */
	unsigned int sends;
	int attached; /* userfaultfds held */
	struct pager_identity identity;
};

struct rig {
	uv_loop_t loop;
	struct config cfg[RIG_AGENTS];
	struct agent agent[RIG_AGENTS];
	bool running[RIG_AGENTS];
	char run_dir[64];
};

extern struct rig rig;
/* The pager of agent @i. */
struct pager *rig_pager(unsigned int i);

void rig_open(void);
/* Stops what runs and removes the run directory. */
void rig_close(void);
/*
 * Starts agent @i; those after the first join it. @change may be NULL or adapt the configuration
 * before the start. Waits until it is a member. Returns agent_start()'s status.
 */
int rig_start(unsigned int i, void (*change)(struct config *cfg));
void rig_stop(unsigned int i);
/* As kill -9 of agent @i: no leave; its pager keeps pages and identity for rig_start_again(). */
void rig_kill(unsigned int i);
/* Starts agent @i on the same port, as it was configured before. */
int rig_start_again(unsigned int i);
/* Runs the loop until @done(@ctx) or the deadline; what @done says then. */
bool rig_until(bool (*done)(void *ctx), void *ctx);
/* Lets the loop do what there is to do now. */
void rig_turn(void);
/* A program of agent @i touches a page of the default region: true when it may in the end. */
bool rig_touch(unsigned int i, uint64_t page, bool write);

/* --- sessions --- */

/* Connects to agent @i's socket, no HELLO. */
int rig_connect(unsigned int i);
void rig_send(int session, const struct client_req *req, const void *payload);
/* Waits for the next packet; false: the session was closed. @ret_fd may be NULL. */
bool rig_receive(int session, struct client_rep *ret, void *payload, int *ret_fd);
/* True when a packet, or the end, is there now; the loop has turned. */
bool rig_has_reply(int session);
/* Sends and waits; returns the error of the reply. */
int rig_ask(int session, const struct client_req *req, struct client_rep *ret);
/* A session that has said HELLO; returns it, and its client number. */
int rig_session(unsigned int i, uint32_t flags, uint32_t *ret_number);

#endif
