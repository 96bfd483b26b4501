/* SPDX-License-Identifier: MIT */
/*
 * Programs: each runs one small plan after the other, as a real one would
 * through the library: accesses fault, locks try the shared word first.
 */
#include <errno.h>
#include <string.h>

#include "tests/sim/sim.h"

static struct prog *prog_of(unsigned int n, unsigned int p)
{
	return &sim.nodes[n].progs[p];
}

bool prog_waits(const struct prog *g)
{
	return g->state == PROG_FAULT || g->state == PROG_ASKED || g->state == PROG_ARMED;
}

static void think(unsigned int n, unsigned int p)
{
	net_prog(n, p, chance(40) ? 0 : rnd(300));
}

static void ask(unsigned int n, unsigned int p, uint32_t op, uint64_t key, uint64_t count,
		uint32_t id, uint32_t flags, uint64_t timeout)
{
	struct prog *g = prog_of(n, p);
	struct core_creq req = { .client = g->client,
				 .op = op,
				 .ticket = ++g->ticket,
				 .key = key,
				 .count = count,
				 .timeout_us = timeout,
				 .id = id,
				 .flags = flags };
	struct core_event ev = { .type = EV_CLIENT, .req = &req };

	g->state = PROG_ASKED;
	g->since = sim.now;
	tracef("node %u prog %u asks op %u key %llu id %u", n, p, op, (unsigned long long)key, id);
	node_step(n, &ev, NULL);
}

/* One access; true when it happened now. */
static bool access_page(unsigned int n, unsigned int p, uint64_t key, bool write)
{
	struct prog *g = prog_of(n, p);
	struct sim_page *pg = &sim.nodes[n].pages[key];
	struct core_event ev = { .type = EV_FAULT, .key = key, .count = 1, .write = write };

	if (pg->prot >= (write ? PAGE_MODIFIED : PAGE_SHARED)) {
		if (write) {
			g->value = ++sim.next_value;
			check_write(n, key, g->value);
			pg->value = g->value;
		} else {
			g->value = pg->value;
			check_read(n, key, g->value);
		}
		tracef("node %u prog %u %s page %u: %llu", n, p, write ? "writes" : "reads",
		       (unsigned int)key, (unsigned long long)g->value);
		return true;
	}
	g->state = PROG_FAULT;
	g->since = sim.now;
	g->key = key;
	g->write = write;
	node_step(n, &ev, NULL);
	return false;
}

static void done(unsigned int n, unsigned int p)
{
	struct prog *g = prog_of(n, p);

	g->plan = PLAN_NONE;
	g->step = 0;
	g->state = PROG_IDLE;
	sim.ops_done++;
	think(n, p);
}

/* --- plans, step by step --- */

static void plan_access(unsigned int n, unsigned int p)
{
	struct prog *g = prog_of(n, p);

	if (g->alloc_count && chance(30)) { /* its own memory: first use must read zero */
		g->key = g->alloc + rnd(g->alloc_count);
		g->write = chance(60);
	} else {
		g->key = chance(80) ? PAGES - 1 - rnd(HOT) : PAGES / 2 + rnd(16);
		g->write = chance(45);
	}
	if (access_page(n, p, g->key, g->write))
		done(n, p);
}

/* True: without the agent. */
static bool unlock(unsigned int n, unsigned int p, uint32_t lock)
{
	struct prog *g = prog_of(n, p);
	struct node *node = &sim.nodes[n];
	uint32_t slot = node->slots[lock];

	check_unlocked(n, p, lock);
	g->step++;
	if (slot && lock_word_leave(&node->lock_words[slot - 1], g->client))
		return true;
	ask(n, p, OP_UNLOCK, 0, 0, lock, 0, CORE_NO_TIMEOUT);
	return false;
}

static void lock(unsigned int n, unsigned int p, uint32_t id, uint32_t flags, uint64_t timeout)
{
	struct prog *g = prog_of(n, p);
	struct node *node = &sim.nodes[n];
	uint32_t slot = node->slots[id];

	g->step++;
	g->bypassed = 0;
	if (slot && lock_word_try(&node->lock_words[slot - 1], g->client)) {
		check_locked(n, p, id, 0);
		think(n, p);
		return;
	}
	ask(n, p, OP_LOCK, 0, 0, id, flags, timeout);
}

/* Lock, read a counter, think, write it, unlock. */
static void plan_lock(unsigned int n, unsigned int p)
{
	struct prog *g = prog_of(n, p);
	unsigned int how = (unsigned int)rnd(10);

	switch (g->step) {
	case 0:
		lock(n, p, g->lock, how == 0 ? F_TRY : 0, how == 1 ? rnd(5000) : CORE_NO_TIMEOUT);
		return;
	case 1:
		if (!access_page(n, p, COUNTERS + g->lock, false))
			return;
		g->step = 2;
		think(n, p);
		return;
	case 2:
		if (!access_page(n, p, COUNTERS + g->lock, true))
			return;
		g->step = 3;
		think(n, p);
		return;
	case 3:
		if (unlock(n, p, g->lock))
			done(n, p);
		return;
	default:
		done(n, p);
	}
}

/* One lock, then another while it has the first, in any order: programs that do so wait in circles. */
static void plan_two(unsigned int n, unsigned int p)
{
	struct prog *g = prog_of(n, p);

	switch (g->step) {
	case 0:
		lock(n, p, g->lock, 0, CORE_NO_TIMEOUT);
		return;
	case 1:
		lock(n, p, g->second, 0, CORE_NO_TIMEOUT);
		return;
	case 2:
		if (unlock(n, p, g->second))
			think(n, p);
		return;
	case 3: /* or the second was refused */
		if (unlock(n, p, g->lock))
			done(n, p);
		return;
	default:
		done(n, p);
	}
}

static void plan_rw(unsigned int n, unsigned int p)
{
	struct prog *g = prog_of(n, p);
	unsigned int how = (unsigned int)rnd(10);

	switch (g->step) {
	case 0:
		g->step = 1;
		ask(n, p, OP_RWLOCK, 0, 0, g->lock,
		    (g->write ? F_WRITE : 0) | (how == 0 ? F_TRY : 0),
		    how == 1 ? rnd(5000) : CORE_NO_TIMEOUT);
		return;
	case 1:
		g->step = 2;
		think(n, p);
		return;
	case 2:
		g->step = 3;
		check_rw_unlocked(n, p, g->lock, g->write);
		ask(n, p, OP_RWUNLOCK, 0, 0, g->lock, g->write ? F_WRITE : 0, CORE_NO_TIMEOUT);
		return;
	default:
		done(n, p);
	}
}

/* dsm_wait: arm, read, sleep until the page is taken away. */
static void plan_wait(unsigned int n, unsigned int p)
{
	struct prog *g = prog_of(n, p);

	switch (g->step) {
	case 0:
		g->step = 1;
		g->key = PAGES - 1 - rnd(HOT);
		ask(n, p, OP_WAIT, g->key, 0, 0, 0, chance(50) ? rnd(20000) : CORE_NO_TIMEOUT);
		return;
	default:
		done(n, p);
	}
}

static void plan_alloc(unsigned int n, unsigned int p)
{
	struct prog *g = prog_of(n, p);

	if (g->step == 0) {
		g->step = 1;
		if (g->alloc_count) {
			g->plan = PLAN_FREE;
			check_free(g->alloc, g->alloc_count);
			ask(n, p, OP_FREE, g->alloc, 0, 0, 0, CORE_NO_TIMEOUT);
		} else {
			g->asked_count = 1 + rnd(3);
			ask(n, p, OP_ALLOC, 0, g->asked_count, 0, 0, CORE_NO_TIMEOUT);
		}
		return;
	}
	done(n, p);
}

static void plan_barrier(unsigned int n, unsigned int p)
{
	struct prog *g = prog_of(n, p);

	if (g->step == 0) {
		g->step = 1;
		check_barrier_enter(n);
		if (sim.plan.steady && g->rounds % 2)
			ask(n, p, OP_BARRIER, 0, sim.plan.nodes, 8, 0, CORE_NO_TIMEOUT);
		else
			ask(n, p, OP_BARRIER, 0, 0, 7, 0, CORE_NO_TIMEOUT);
		return;
	}
	g->rounds++;
	g->plan = PLAN_BARRIER;
	g->step = 0;
	g->state = PROG_IDLE;
	net_prog(n, p, rnd(4000));
}

static void choose(unsigned int n, unsigned int p)
{
	struct prog *g = prog_of(n, p);
	unsigned int r = (unsigned int)rnd(100);

	if (sim.draining || !sim.ops_left) {
		g->state = PROG_IDLE;
		return;
	}
	sim.ops_left--;
	g->lock = (uint32_t)rnd(LOCKS);
	g->write = chance(40);
	g->step = 0;
	g->second = (g->lock + 1 + (uint32_t)rnd(LOCKS - 1)) % LOCKS;
	g->plan = r < 55   ? PLAN_NONE
		  : r < 70 ? PLAN_LOCK
		  : r < 75 ? PLAN_TWO
		  : r < 85 ? PLAN_RW
		  : r < 90 ? PLAN_WAIT
			   : PLAN_ALLOC;
}

/* Programs begin when the cluster stands: two that were founded at once and have data would rightly stay apart. */
static bool may_begin(unsigned int n)
{
	struct core_info info;
	uint64_t cluster = 0;

	core_info_get(sim.nodes[n].core, &info);
	if (sim.cluster)
		return info.cluster == sim.cluster && info.state == CORE_MEMBER;
	if (sim.started < sim.plan.nodes)
		return false;
	for (unsigned int i = 0; i < NODES; i++) {
		if (!sim.nodes[i].up)
			continue;
		core_info_get(sim.nodes[i].core, &info);
		if (info.state != CORE_MEMBER || (cluster && info.cluster != cluster))
			return false;
		cluster = info.cluster;
	}
	sim.cluster = cluster;
	return true;
}

void prog_run(unsigned int n, unsigned int p)
{
	struct prog *g = prog_of(n, p);

	if (prog_waits(g) || g->state == PROG_GONE)
		return;
	if (!g->step && !may_begin(n)) {
		if (!sim.draining)
			net_prog(n, p, 500 + rnd(500));
		return;
	}
	if (g->plan == PLAN_NONE && !g->step) {
		choose(n, p);
		if (g->plan == PLAN_NONE && (sim.draining || !sim.ops_left))
			return;
	}
	switch (g->plan) {
	case PLAN_LOCK:
		plan_lock(n, p);
		break;
	case PLAN_TWO:
		plan_two(n, p);
		break;
	case PLAN_RW:
		plan_rw(n, p);
		break;
	case PLAN_WAIT:
		plan_wait(n, p);
		break;
	case PLAN_ALLOC:
	case PLAN_FREE:
		plan_alloc(n, p);
		break;
	case PLAN_BARRIER:
		plan_barrier(n, p);
		break;
	default:
		plan_access(n, p);
	}
}

/* --- answers --- */

void prog_page(unsigned int n, uint64_t key, int err)
{
	for (unsigned int p = 0; p < PROGS; p++) {
		struct prog *g = prog_of(n, p);

		if (g->state != PROG_FAULT || g->key != key)
			continue;
		g->state = PROG_IDLE;
		if (err) {
			check_page_error(n, key, err);
			if (g->plan == PLAN_NONE)
				g->step = 0;
			else if (g->plan == PLAN_LOCK)
				g->step = 3; /* a program that catches SIGBUS and leaves the lock */
			sim.ops_done++;
		}
		if (g->plan == PLAN_NONE && !err)
			g->step = 9; /* the access itself is still to be done */
		net_prog(n, p, 0);
	}
}

static void on_alloc(unsigned int n, unsigned int p, const struct core_reply *r)
{
	struct prog *g = prog_of(n, p);

	if (r->err && r->err != ENOMEM && r->err != ESHUTDOWN &&
	    !(r->err == ECONNRESET && sim.nodes[n].lives))
		fail("allocation failed with %d", r->err);
	if (r->err)
		return;
	check_alloc(n, r->val[0], g->asked_count);
	g->alloc = r->val[0];
	g->alloc_count = g->asked_count;
}

/* What was given out can be given back, whoever gave it out: only where nodes died may nobody know of it. */
static void on_free(unsigned int n, struct prog *g, const struct core_reply *r)
{
	if (r->err && r->err != ESHUTDOWN && r->err != ECONNRESET && !sim.deaths)
		fail("node %u gives %u pages at %u back, and is answered with %d", n,
		     (unsigned int)g->alloc_count, (unsigned int)g->alloc, r->err);
	g->alloc_count = 0;
}

static void on_lock(unsigned int n, unsigned int p, const struct core_reply *r)
{
	struct prog *g = prog_of(n, p);
	bool second = g->plan == PLAN_TWO && g->step == 2;
	uint32_t id = second ? g->second : g->lock;

	if (r->val[0] != UINT32_MAX)
		sim.nodes[n].slots[id] = (uint32_t)r->val[0] + 1;
	if (!r->err || r->err == EOWNERDEAD) {
		check_locked(n, p, id, r->err);
		return;
	}
	if (second) {
		g->step = 3;
		if (r->err == EDEADLK)
			check_deadlock(n, p, id);
		if (r->err == EDEADLK)
			return;
	}
	if (r->err != ETIMEDOUT && r->err != EBUSY && sim.nodes[n].state != CORE_LEAVING &&
	    !(r->err == ECONNRESET && sim.nodes[n].lives))
		fail("lock answered with %d", r->err);
	g->step = 9;
}

void prog_reply(unsigned int n, const struct core_reply *r)
{
	for (unsigned int p = 0; p < PROGS; p++) {
		struct prog *g = prog_of(n, p);

		if (g->client != r->client || !prog_waits(g) || g->ticket != r->ticket)
			continue;
		tracef("node %u prog %u: reply to op %u: err %d", n, p, r->op, r->err);
		if (r->op == OP_WAIT && !r->val[0] && !r->err) {
			g->state = PROG_ARMED;
			return;
		}
		g->state = PROG_IDLE;
		if (r->op == OP_LOCK)
			on_lock(n, p, r);
		else if (r->op == OP_RWLOCK && (!r->err || r->err == EOWNERDEAD))
			check_rw_locked(n, p, g->lock, g->write);
		else if (r->op == OP_RWLOCK)
			g->step = 9;
		else if (r->op == OP_ALLOC)
			on_alloc(n, p, r);
		else if (r->op == OP_FREE)
			on_free(n, g, r);
		else if (r->op == OP_BARRIER && !r->err)
			check_barrier_release(n);
		else if (r->op == OP_UNLOCK && r->err)
			fail("unlock of a held lock answered with %d", r->err);
		net_prog(n, p, 0);
		return;
	}
}

/* --- lives --- */

void prog_start(unsigned int n, unsigned int p)
{
	struct prog *g = prog_of(n, p);

	memset(g, 0, sizeof(*g));
	g->client = ++sim.nodes[n].next_client;
	if (p == 0)
		g->plan = PLAN_BARRIER; /* one program of each node does nothing but barriers */
	net_prog(n, p, rnd(2000));
}

/* Its locks went with its session. Its memory is still its own, but for what it was giving back. */
void prog_again(unsigned int n, unsigned int p)
{
	struct prog *g = prog_of(n, p);
	struct prog had = *g;

	prog_start(n, p);
	if (had.plan == PLAN_FREE && had.state == PROG_ASKED)
		return;
	g->alloc = had.alloc;
	g->alloc_count = had.alloc_count;
}

void prog_kill(unsigned int n, unsigned int p)
{
	struct prog *g = prog_of(n, p);
	struct core_event ev = { .type = EV_CLIENT_GONE, .client = g->client };

	if (!p)
		return;
	tracef("node %u prog %u (client %u) is killed", n, p, g->client);
	check_holder_died(n, p);
	g->state = PROG_GONE;
	g->client = 0;
	node_step(n, &ev, NULL);
	prog_start(n, p);
}
