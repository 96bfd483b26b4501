/* SPDX-License-Identifier: MIT */
/*
 * What must be true: one writer or many readers; a read returns the last
 * write; a lock has one holder and nobody waits for it for ever; memory is
 * handed out once; a barrier lets nobody through early.
 *
 * A node's death may take its last writes with it: then the page holds what it
 * held when that node got it, or it is lost. Nothing else may change.
 */
#include <errno.h>
#include <string.h>

#include "tests/sim/sim.h"

struct truth {
	uint64_t value;	   /* last write */
	uint64_t acquired; /* value when the present writer got the page */
	int writer;	   /* node that had the right to write last, -1 */
	bool uncertain;	   /* its writer died */
	bool may_be_lost;
	bool forgotten; /* no survivor knew of the page when its holder died */
	bool allocated;
	unsigned int allocated_by; /* node */
};

static struct truth truth[PAGES];

struct held {
	int node, prog;
	bool write;
};

static struct held locks[LOCKS];
static bool owner_died[LOCKS];
static int rw_readers[LOCKS], rw_writer[LOCKS];
static uint64_t entered[NODES], released[NODES];
static unsigned int asked[LOCKS][NODES * 4];
static unsigned int nasked[LOCKS];

void check_reset(void)
{
	memset(truth, 0, sizeof(truth));
	for (unsigned int i = 0; i < PAGES; i++)
		truth[i].writer = -1;
	for (int i = 0; i < LOCKS; i++) {
		locks[i] = (struct held){ .node = -1 };
		rw_writer[i] = -1;
	}
	memset(owner_died, 0, sizeof(owner_died));
	memset(rw_readers, 0, sizeof(rw_readers));
	memset(entered, 0, sizeof(entered));
	memset(released, 0, sizeof(released));
	memset(nasked, 0, sizeof(nasked));
}

/* --- pages --- */

void check_prot(unsigned int n, uint64_t key)
{
	uint8_t prot = sim.nodes[n].pages[key].prot;
	struct truth *t = &truth[key];

	if (sim.nodes[n].outcast)
		return;
	if (prot == PAGE_MODIFIED && t->writer != (int)n) {
		t->acquired = t->uncertain ? t->acquired : t->value;
		t->writer = (int)n;
	}

	for (unsigned int i = 0; i < NODES; i++) {
		uint8_t other = sim.nodes[i].pages[key].prot;

		if (i == n || !(sim.nodes[i].up || sim.nodes[i].waits) || other == PAGE_INVALID ||
		    prot == PAGE_INVALID || sim.nodes[i].outcast)
			continue;
		if (prot == PAGE_MODIFIED || other == PAGE_MODIFIED)
			fail("page %u: node %u may %s while node %u may %s", (unsigned int)key, n,
			     prot == PAGE_MODIFIED ? "write" : "read", i,
			     other == PAGE_MODIFIED ? "write" : "read");
	}
}

void check_read(unsigned int n, uint64_t key, uint64_t value)
{
	struct truth *t = &truth[key];

	if (sim.nodes[n].outcast)
		return;
	if (value == t->value) {
		t->uncertain = false;
		return;
	}
	if (t->uncertain && value == t->acquired) {
		t->value = value;
		t->uncertain = false;
		t->writer = -1;
		return;
	}
	if (t->may_be_lost && t->forgotten && !value) {
		/* Everybody who knew of the page is dead: it begins anew. */
		t->value = 0;
		t->uncertain = false;
		return;
	}
	fail("page %u: node %u reads %llu, the last write was %llu", (unsigned int)key, n,
	     (unsigned long long)value, (unsigned long long)t->value);
}

void check_write(unsigned int n, uint64_t key, uint64_t value)
{
	struct truth *t = &truth[key];

	/* What it writes over must have been the last value too. */
	check_read(n, key, sim.nodes[n].pages[key].value);
	if (sim.nodes[n].outcast)
		return;
	t->value = value;
	t->may_be_lost = t->forgotten = false;
}

void check_page_error(unsigned int n, uint64_t key, int err)
{
	if (err == ENOMEM || sim.nodes[n].left || sim.nodes[n].state == CORE_LEAVING)
		return;
	if (err != EIO)
		fail("page %u: node %u gets error %d", (unsigned int)key, n, err);
	for (unsigned int i = 0; i < NODES; i++)
		if (sim.nodes[i].up && !sim.nodes[i].lives &&
		    sim.nodes[i].pages[key].prot != PAGE_INVALID)
			fail("page %u is called lost at node %u, but node %u has it",
			     (unsigned int)key, n, i);
	/* Its home is gone, or knows nothing any more: and so nobody knows that it was never written. */
	if ((sim.deaths || sim.restarts) && !truth[key].value)
		return;
	/*
	 * Given to one that died, as did the home that knew of it, and another died, left, was cut off, or
	 * was heard of and never came: it may have been theirs alone.
	 */
	if (sim.deaths > 1 || (sim.deaths && sim.disturbed))
		return;
	if (!truth[key].may_be_lost && !truth[key].uncertain)
		fail("page %u is called lost at node %u, but no node died with it",
		     (unsigned int)key, n);
}

static void mark_known(void *ctx, const struct rec_extent *e)
{
	bool *known = ctx;

	for (uint64_t k = e->key; k < e->key + e->count && k < PAGES; k++)
		known[k] = true;
}

/* Before its links are told. */
void check_death(unsigned int n)
{
	struct node *node = &sim.nodes[n];
	struct core_info mine, info;
	bool others = false, known[PAGES] = { false };

	core_info_get(node->core, &mine);
	for (unsigned int i = 0; i < NODES; i++) {
		if (i == n || !sim.nodes[i].up)
			continue;
		core_info_get(sim.nodes[i].core, &info);
		others |= info.state == CORE_MEMBER && info.cluster == mine.cluster;
		core_each_extent(sim.nodes[i].core, mark_known, known);
	}
	for (uint64_t k = 0; k < PAGES; k++) {
		struct truth *t = &truth[k];
		bool alive = false;

		for (unsigned int i = 0; i < NODES; i++) {
			const struct sim_page *p = &sim.nodes[i].pages[k];

			alive |= i != n && !sim.nodes[i].outcast &&
				 (sim.nodes[i].up || sim.nodes[i].waits) &&
				 ((p->prot != PAGE_INVALID && p->value == t->value) ||
				  (p->stash && p->stash_value == t->value));
		}
		if (node->left) {
			if (others && !alive && !sim.deaths &&
			    node->pages[k].prot != PAGE_INVALID && t->value)
				fail("node %u left cleanly with the only copy of page %u", n,
				     (unsigned int)k);
			continue;
		}
		if (node->pages[k].prot != PAGE_INVALID || node->pages[k].stash)
			t->may_be_lost = true; /* the others may be giving way to its write */
		if (alive)
			continue;
		t->forgotten |= !known[k];
		t->may_be_lost = true; /* its home may have been there, or bytes on their way */
		if (t->writer >= 0 && (!sim.nodes[t->writer].up || sim.nodes[t->writer].outcast))
			t->uncertain = true;
	}
	for (unsigned int p = 0; p < PROGS; p++)
		check_holder_died(n, p);
	for (uint64_t k = 0; k < PAGES;
	     k++) /* an allocation that only dead nodes knew of may be forgotten */
		truth[k].allocated &= truth[k].allocated_by != n;
	if (!node->left)
		sim.deaths++;
}

/* The agent alone: its node's pages stay, but bytes that it had given away and not seen arrive go with it. */
void check_stop(unsigned int n)
{
	for (uint64_t k = 0; k < PAGES; k++) {
		if (sim.nodes[n].pages[k].stash)
			truth[k].may_be_lost = truth[k].uncertain = truth[k].forgotten = true;
		sim.nodes[n].pages[k].stash = false;
	}
	for (unsigned int p = 0; p < PROGS; p++)
		check_holder_died(n, p);
}

/* --- locks --- */

void check_locked(unsigned int n, unsigned int p, uint32_t lock, int err)
{
	if (locks[lock].node >= 0)
		fail("lock %u: node %u program %u gets it while node %d program %d holds it", lock,
		     n, p, locks[lock].node, locks[lock].prog);
	/* Where nodes died, who knew of the lock may be among them. */
	if (owner_died[lock] && err != EOWNERDEAD && !sim.deaths && !sim.plan.restarts)
		fail("lock %u: its holder died, but node %u is not told", lock, n);
	if (err == EOWNERDEAD && !owner_died[lock] && !sim.deaths && sim.plan.steady)
		fail("lock %u: node %u is told of a dead holder, but none died", lock, n);
	owner_died[lock] = false;
	locks[lock] = (struct held){ .node = (int)n, .prog = (int)p };
	for (unsigned int i = 0; i < NODES; i++)
		for (unsigned int k = 0; k < PROGS; k++) {
			struct prog *g = &sim.nodes[i].progs[k];

			if (sim.nodes[i].up && g->plan == PLAN_LOCK && g->state == PROG_ASKED &&
			    g->step == 1 && g->lock == lock && (i != n || k != p) &&
			    ++g->bypassed > 40)
				fail("lock %u: node %u program %u was passed over %u times", lock,
				     i, k, g->bypassed);
		}
}

/* Refused: each of the circle waits for a lock that the next one holds. */
void check_deadlock(unsigned int n, unsigned int p, uint32_t lock)
{
	/* Who is killed, or whose node is, breaks the circle that was there. */
	if (sim.deaths || sim.plan.prog_kills || sim.plan.restarts || sim.plan.leaves)
		return;
	for (unsigned int hops = 0; hops < NODES * PROGS; hops++) {
		const struct held *h = &locks[lock];
		const struct prog *g;

		if (h->node < 0)
			fail("lock %u: node %u program %u is refused, but lock %u is free",
			     sim.nodes[n].progs[p].second, n, p, lock);
		if (h->node == (int)n && h->prog == (int)p)
			return;
		g = &sim.nodes[h->node].progs[h->prog];
		if (g->plan != PLAN_TWO || g->step != 2 || g->state != PROG_ASKED)
			fail("lock %u: node %u program %u is refused, but node %d program %d does "
			     "not wait",
			     sim.nodes[n].progs[p].second, n, p, h->node, h->prog);
		lock = g->second;
	}
	fail("node %u program %u is refused for a circle of others", n, p);
}

void check_unlocked(unsigned int n, unsigned int p, uint32_t lock)
{
	if (locks[lock].node != (int)n || locks[lock].prog != (int)p)
		fail("lock %u: node %u program %u leaves it without holding it", lock, n, p);
	locks[lock].node = -1;
}

void check_rw_locked(unsigned int n, unsigned int p, uint32_t lock, bool write)
{
	(void)p;
	if (rw_writer[lock] >= 0 || (write && rw_readers[lock]))
		fail("reader-writer lock %u: node %u %s while %d readers and writer node %d are in",
		     lock, n, write ? "writes" : "reads", rw_readers[lock], rw_writer[lock]);
	if (write)
		rw_writer[lock] = (int)n;
	else
		rw_readers[lock]++;
}

void check_rw_unlocked(unsigned int n, unsigned int p, uint32_t lock, bool write)
{
	(void)n;
	(void)p;
	if (write)
		rw_writer[lock] = -1;
	else
		rw_readers[lock]--;
}

void check_holder_died(unsigned int n, unsigned int p)
{
	struct prog *g = &sim.nodes[n].progs[p];

	for (uint32_t l = 0; l < LOCKS; l++) {
		if (locks[l].node != (int)n || locks[l].prog != (int)p)
			continue;
		locks[l].node = -1;
		owner_died[l] = !sim.nodes[n].left;
	}
	if (g->plan == PLAN_RW && (g->step == 2 || (g->step == 1 && g->state == PROG_IDLE)))
		check_rw_unlocked(n, p, g->lock, g->write);
	/* Memory it had stays allocated; what it was about to free may be free or not. */
}

/* --- memory --- */

void check_alloc(unsigned int n, uint64_t key, uint64_t count)
{
	for (uint64_t k = key; k < key + count; k++) {
		if (k >= PAGES)
			fail("page %u is handed out, but the region ends before it",
			     (unsigned int)k);
		if (truth[k].allocated)
			fail("page %u is handed out twice", (unsigned int)k);
		memset(&truth[k], 0, sizeof(truth[k]));
		truth[k].writer = -1;
		truth[k].allocated = true;
		truth[k].allocated_by = n;
	}
}

void check_free(uint64_t key, uint64_t count)
{
	for (uint64_t k = key; k < key + count; k++)
		truth[k].allocated = false;
}

/* --- barriers --- */

void check_barrier_enter(unsigned int n)
{
	entered[n]++;
}

void check_barrier_release(unsigned int n)
{
	released[n]++;
	if (!sim.plan.steady)
		return;
	for (unsigned int i = 0; i < sim.plan.nodes; i++)
		if (entered[i] < released[n])
			fail("barrier: node %u leaves round %llu, but node %u has entered only "
			     "%llu",
			     n, (unsigned long long)released[n], i, (unsigned long long)entered[i]);
}

/* --- first come, first served: the order in which requests reach the master --- */

void check_token_asked(uint64_t lock, unsigned int n)
{
	if (!sim.plan.steady || lock >= LOCKS)
		return;
	if (nasked[lock] == NODES * 4)
		fail("lock %u: more requests under way than nodes can have", (unsigned int)lock);
	asked[lock][nasked[lock]++] = n;
}

void check_token_moved(uint64_t lock, unsigned int n)
{
	unsigned int *q = asked[lock < LOCKS ? lock : 0];

	if (!sim.plan.steady || lock >= LOCKS)
		return;
	/* The master's own requests are not seen: what is seen must keep its order. */
	if (!nasked[lock] || q[0] != n)
		fail("lock %u: node %u gets the token before node %u, which asked first",
		     (unsigned int)lock, n, nasked[lock] ? q[0] : n);
	memmove(q, q + 1, --nasked[lock] * sizeof(*q));
}

/* A page has gone from the node: whoever sleeps on it must be awake. */
void check_sleepers(unsigned int n, uint64_t key)
{
	for (unsigned int p = 0; p < PROGS; p++) {
		struct prog *g = &sim.nodes[n].progs[p];

		if (g->state == PROG_ARMED && g->key == key &&
		    sim.nodes[n].pages[key].prot == PAGE_INVALID)
			fail("node %u program %u sleeps on page %u, which was taken away", n, p,
			     (unsigned int)key);
	}
}

/* --- the end --- */

static void check_cluster(void)
{
	struct core_info first = { 0 }, info;

	for (unsigned int i = 0; i < NODES; i++) {
		if (!sim.nodes[i].up)
			continue;
		core_info_get(sim.nodes[i].core, &info);
		if (info.state != CORE_MEMBER && info.state != CORE_LEAVING)
			fail("node %u never became a member (state %u)", i, info.state);
		if (!first.nid) {
			first = info;
			continue;
		}
		if (info.cluster != first.cluster || info.master != first.master ||
		    info.members != first.members || info.epoch != first.epoch)
			fail("nodes do not agree: node %u is of cluster %llx, master %u, %u "
			     "members, epoch %u; the first %llx, %u, %u, %u",
			     i, (unsigned long long)info.cluster, info.master, info.members,
			     info.epoch, (unsigned long long)first.cluster, first.master,
			     first.members, first.epoch);
	}
}

static void check_progs(unsigned int n)
{
	for (unsigned int p = 1; p < PROGS; p++) {
		struct prog *g = &sim.nodes[n].progs[p];

		if (g->state == PROG_ARMED)
			continue; /* nobody has to write any more */
		if (prog_waits(g))
			fail("node %u program %u waits for ever: plan %u step %u page %u lock %u "
			     "since %llu",
			     n, p, g->plan, g->step, (unsigned int)g->key, g->lock,
			     (unsigned long long)g->since);
	}
}

/* Nobody plays back what was said, so no honest word may pass for that. */
static void check_replays(unsigned int i)
{
	struct core_stats stats;

	core_stats_get(sim.nodes[i].core, &stats);
	if (stats.messages_replayed)
		fail("node %u takes %llu messages for replayed ones", i,
		     (unsigned long long)stats.messages_replayed);
}

void check_end(void)
{
	check_cluster();
	for (unsigned int i = 0; i < NODES; i++) {
		if (!sim.nodes[i].up)
			continue;
		check_progs(i);
		check_replays(i);
	}
}
