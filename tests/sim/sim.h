/* SPDX-License-Identifier: MIT */
/*
 * The simulator: whole clusters of the real protocol core in one thread, over
 * a network that delays, reorders between links, cuts links and kills nodes.
 * Everything follows from one seed.
 *
 *   net.c      the event queue, links, datagrams
 *   node.c     a node: its core, its pages, what its core wants done
 *   program.c  programs on nodes: they read, write, lock, allocate, wait, die
 *   topic.c    topics of programs: they subscribe, publish, and what they must see
 *   check.c    what must be true, looked at on every change
 *   main.c     schedules, seeds, faults
 */
#ifndef DSM_TESTS_SIM_H
#define DSM_TESTS_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/core/core.h"
#include "agent/core/lock_word.h"

#define NODES	 8   /* ever started in one schedule */
#define PROGS	 3   /* programs per node */
#define PAGES	 128 /* of the default region */
#define LOCKS	 3
#define HOT	 5 /* pages that all programs fight for: the last of the region */
#define COUNTERS (PAGES - HOT - LOCKS) /* pages that locks protect stand before them */
#define TOPICS	 3
#define DEAD_MS	 200

enum prog_state {
	PROG_IDLE,
	PROG_FAULT, /* waits for a page */
	PROG_ASKED, /* waits for a reply */
	PROG_ARMED, /* OP_WAIT: armed, waits for the second reply */
	PROG_GONE,
};

enum prog_plan {
	PLAN_NONE,
	PLAN_LOCK,
	PLAN_TWO,
	PLAN_RW,
	PLAN_WAIT,
	PLAN_ALLOC,
	PLAN_FREE,
	PLAN_BARRIER
};

struct prog {
	uint8_t state, plan, step;
	bool write; /* the access, or the reader-writer lock */
	uint32_t client;
	uint64_t key, value;
	uint64_t ticket, since;
	uint32_t lock, second;			  /* PLAN_TWO: taken while it holds the first */
	uint32_t bypassed;			  /* grants to others while this one waits */
	uint64_t alloc, alloc_count, asked_count; /* alloc_count 0: none */
	uint64_t rounds;
	bool owner_dead;
};

struct sim_page {
	uint8_t prot; /* enum page_state: INVALID, SHARED, MODIFIED */
	bool stash;
	uint64_t value, stash_value;
};

/* A topic as a node has it: what shared memory would hold. */
struct sim_topic {
	uint64_t id; /* 0: nobody has it open, nor is its last value on its way */
	bool sub, pub, rung;
	uint64_t value, seen; /* the newest; the one that the core was told of */
	struct core_topic_state state;
};

struct node {
	struct core *core;
	bool up, left, joined_once;
	unsigned int lives;  /* of its agent, before this one */
	bool waits;	     /* its agent died, and the module keeps its pages for the next */
	bool outcast;	     /* the others went on without it, and it may not know yet */
	unsigned int doomed; /* its agent dies after so many actions more; 0: it does not */
	uint64_t tick_at;
	struct sim_page pages[PAGES];
	_Atomic uint32_t lock_words[LOCKS];
	uint32_t slots[LOCKS]; /* slot + 1, as programs learned it */
	struct prog progs[PROGS];
	uint32_t next_client;
	uint32_t state;	       /* enum core_state */
	uint64_t kept_cluster; /* what the module keeps for the next agent */
	uint16_t kept_nid;
	uint32_t kept_epoch;
	struct core_kept *kept; /* and what the shell does */
	size_t nkept, kept_cap;
	link_id next_accept;
	struct sim_topic topics[TOPICS];
	uint64_t last_topic;
};

/* What a schedule does, drawn from its seed. */
struct plan {
	unsigned int nodes, ops, chunks;
	unsigned int deaths, cuts, leaves, joins, prog_kills, restarts;
	unsigned int topic_acts;
	uint64_t delay_min, delay_max;
	unsigned int spike;  /* one message in so many takes long; 0: none */
	unsigned int loss;   /* datagrams, percent */
	unsigned int pinned; /* revocations that take time, percent */
	uint64_t hold_us;
	bool steady; /* membership does not change: stricter checks */
};

struct sim {
	uint64_t seed, rng, now;
	struct plan plan;
	struct node nodes[NODES];
	unsigned int started;
	unsigned int deaths;
	unsigned int restarts;
	unsigned int disturbed; /* links cut, nodes that leave, newcomers that did not get in */
	uint64_t ops_done, ops_left;
	uint64_t cluster; /* the one that all the first nodes ended in; 0: not yet */
	bool draining;	  /* no new faults; everything must come to an end */
	bool trace;
	uint64_t next_value;
	uint64_t messages;
};

extern struct sim sim;

/* main.c */
uint64_t rnd(uint64_t below);
bool chance(unsigned int percent);
void fail(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
void tracef(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* net.c */
enum sim_event {
	SIM_TICK,
	SIM_LINK_UP,
	SIM_LINK_DOWN,
	SIM_MSG,
	SIM_DATAGRAM,
	SIM_REVOKED,
	SIM_PROG,
	SIM_FAULT_PLAN,
	SIM_CALL
};
void net_reset(void);
bool net_run_one(void); /* false: nothing left */
void net_connect(unsigned int from, link_id link, const struct core_addr *to);
void net_send(unsigned int from, const struct core_action *a);
void net_datagram(unsigned int from, const struct core_action *a);
void net_close(unsigned int from, link_id link);
void net_revoked(unsigned int node, uint64_t key, uint32_t count, uint8_t how, uint64_t delay);
void net_prog(unsigned int node, unsigned int prog, uint64_t delay);
void net_call(void (*fn)(uint64_t arg), uint64_t arg, uint64_t delay);
void net_tick(unsigned int node, uint64_t at);
void net_kill(unsigned int node);
void net_cut(unsigned int a, unsigned int b, uint64_t for_us);
void net_addr(unsigned int node, struct core_addr *ret);

/* node.c */
void node_start(unsigned int i);
void node_stop(unsigned int i); /* kill -9 of the agent alone */
void node_restart(unsigned int i);
void node_step(unsigned int i, struct core_event *ev, const uint64_t *values);
void node_kill(unsigned int i);
void node_revoke_now(unsigned int i, uint64_t key, uint32_t count, uint8_t how);
void node_free(unsigned int i);

/* program.c */
void prog_start(unsigned int n, unsigned int p);
void prog_again(unsigned int n, unsigned int p); /* at the next agent */
void prog_run(unsigned int n, unsigned int p);
void prog_page(unsigned int n, uint64_t key, int err); /* woken */
void prog_reply(unsigned int n, const struct core_reply *r);
void prog_kill(unsigned int n, unsigned int p);
bool prog_waits(const struct prog *g);

/* topic.c */
void topic_reset(void);
void topic_act(uint64_t arg);	   /* a program somewhere does something */
void topic_forget(unsigned int n); /* its agent dies */
void topic_state(unsigned int n, const struct core_topic_state *state);
uint64_t topic_get(unsigned int n, uint64_t id);
void topic_put(unsigned int n, uint64_t id, uint64_t value);
void topic_done(unsigned int n, uint64_t id);
void topic_check_quiet(void);
void topic_write_last(void);
void topic_check_end(void);

/* check.c */
void check_reset(void);
void check_prot(unsigned int n, uint64_t key);
void check_read(unsigned int n, uint64_t key, uint64_t value);
void check_write(unsigned int n, uint64_t key, uint64_t value);
void check_page_error(unsigned int n, uint64_t key, int err);
void check_death(unsigned int n);
void check_stop(unsigned int n);
void check_locked(unsigned int n, unsigned int p, uint32_t lock, int err);
void check_deadlock(unsigned int n, unsigned int p, uint32_t lock);
void check_unlocked(unsigned int n, unsigned int p, uint32_t lock);
void check_rw_locked(unsigned int n, unsigned int p, uint32_t lock, bool write);
void check_rw_unlocked(unsigned int n, unsigned int p, uint32_t lock, bool write);
void check_holder_died(unsigned int n, unsigned int p);
void check_alloc(unsigned int n, uint64_t key, uint64_t count);
void check_free(uint64_t key, uint64_t count);
void check_barrier_enter(unsigned int n);
void check_barrier_release(unsigned int n);
void check_token_asked(uint64_t lock, unsigned int n); /* the master hears the request */
void check_token_moved(uint64_t lock, unsigned int n); /* the master knows the token there */
void check_sleepers(unsigned int n, uint64_t key);
void check_end(void);

#endif
