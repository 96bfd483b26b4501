/* SPDX-License-Identifier: MIT */
/*
 * An agent for tests: binds a node and does to its pages what a test says.
 * Also the programs' side that most tests share.
 */
#ifndef DSM_SELFTESTS_FAKE_AGENT_H
#define DSM_SELFTESTS_FAKE_AGENT_H

#include <linux/dsm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/pager/kmod.h"

#define PAGE	     4096ul
#define REGION_PAGES 4096ul
#define REGION_SIZE  (REGION_PAGES * PAGE)
#define DEADLINE_MS  10000

struct agent {
	int fd;		     /* bound, not blocking */
	struct kmod_ctl ctl; /* the socket that bound */
	uint16_t port;
	bool adopted;
	pthread_t server; /* agent_serve() */
	atomic_bool serving;
};

/* A port that no other test of this run uses. */
uint16_t agent_port(void);

/* 0 or a negative errno; the node is @port's, without regions. */
int agent_bind(struct agent *a, uint16_t port, uint32_t recovery_ms, enum dsm_upcall upcall);
/* agent_bind() and a default region. */
int agent_start(struct agent *a, uint16_t port);
int agent_region(struct agent *a, uint16_t number, const char *name, uint64_t size);
int agent_region_del(struct agent *a, uint16_t number);
int agent_unbind(struct agent *a);
/* Closes descriptor and socket, as a death does. */
void agent_die(struct agent *a);
/* Unbinds and closes. */
void agent_stop(struct agent *a);

/* One run of one call: its result. */
int agent_run(struct agent *a, unsigned long cmd, uint16_t region, uint64_t page, uint32_t count,
	      const void *data, uint16_t mode);
/* Region 0, one page, every byte @fill. */
int agent_install(struct agent *a, uint64_t page, int fill, enum dsm_page_state state);
int agent_upgrade(struct agent *a, uint64_t page);
int agent_revoke(struct agent *a, uint64_t page, uint16_t mode, void *data);
/* DSM_IOC_SEND of region 0: bytes sent, or a negative errno. */
ssize_t agent_send(struct agent *a, uint64_t page, uint32_t count, int sock, const void *head,
		   uint32_t len);
int agent_answer(struct agent *a, uint64_t page, uint32_t count, int error);

/* The next request within @ms: 1 with *req, or 0. */
int agent_next(struct agent *a, struct dsm_req *req, int ms);
/* Answers what comes with zeroed pages as asked for, in a thread, until stopped. */
void agent_serve(struct agent *a);
void agent_serve_stop(struct agent *a);

int agent_stats(struct agent *a, struct dsm_stats *ret);

/* A program's descriptor of the node's region by ATTACH; or a negative errno. */
int program_open(uint16_t port, const char *name);
/* All of a region of REGION_SIZE mapped, or NULL. */
char *program_map(int fd);
enum dsm_page_state program_state(int fd, uint64_t page, uint32_t *flags);

/* A thread that touches one page. */
struct toucher {
	pthread_t thread;
	volatile char *at;
	bool write;
	char value; /* stored, or loaded */
	atomic_bool done;
};

void touch_start(struct toucher *t, volatile char *at, bool write, char value);
/* True when it was done within @ms; then it is joined. */
bool touch_done(struct toucher *t, int ms);

/* Polls @cond with a deadline; once it was true it is not looked at again. */
#define eventually(cond)                                                                           \
	({                                                                                         \
		long eventually_end = now_ms() + DEADLINE_MS;                                      \
		bool eventually_met;                                                               \
		while (!(eventually_met = (cond)) && now_ms() < eventually_end)                    \
			nap_us(200);                                                               \
		eventually_met;                                                                    \
	})

long now_ms(void);
void nap_us(long us);

/* Runs @fn in a child: its exit status, or 1000 + the signal that ended it. */
int in_child(void (*fn)(void *), void *arg);
/* In a child: the access must end in SIGBUS. True if it did. */
bool access_is_sigbus(volatile char *at, bool write);

#endif
