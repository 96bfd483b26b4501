/* SPDX-License-Identifier: MIT */
/* The network and the event queue: the only clock there is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/net/wire.h"
#include "tests/sim/sim.h"

#define AT_ONCE 50000u /* events at one moment: time does not go on any more */
#define RECENT	24u

struct wire {
	unsigned int end[2]; /* nodes */
	link_id id[2];	     /* each side's number */
	bool open[2];	     /* side has not heard of its end yet */
	bool cut;
	uint64_t last[2]; /* latest delivery towards side i: links keep order */
};

struct item {
	uint64_t at, order;
	uint8_t type; /* enum sim_event */
	uint8_t side, how;
	unsigned int node;
	unsigned int life; /* of the agent that it is for */
	uint32_t wire, prog, count;
	link_id link;
	uint64_t key;
	struct core_addr addr;
	struct core_msg *msg;
	void *recs;
	uint64_t *values;
	void (*call)(uint64_t);
};

/* What was delivered last, to be told when nothing else is. */
struct recent {
	uint64_t key;
	unsigned int node;
	uint16_t msg;
	uint8_t type;
};

static struct recent recent[RECENT];
static uint64_t at_once;
static struct item *heap;
static size_t nheap, cap;
static uint64_t order;
static struct wire *wires;
static uint32_t nwires, wires_cap;
static uint64_t blocked[NODES][NODES]; /* no dial gets through before */

static bool before(const struct item *a, const struct item *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static struct item *push(uint8_t type, unsigned int node, uint64_t at)
{
	static struct item fresh;

	memset(&fresh, 0, sizeof(fresh));
	fresh.type = type;
	fresh.node = node;
	fresh.life = sim.nodes[node].lives;
	fresh.at = at;
	fresh.order = order++;
	return &fresh;
}

static void commit(const struct item *it)
{
	size_t i;

	if (nheap == cap) {
		cap = cap ? cap * 2 : 1024;
		heap = realloc(heap, cap * sizeof(*heap));
		if (!heap)
			abort();
	}
	for (i = nheap++; i && before(it, &heap[(i - 1) / 2]); i = (i - 1) / 2)
		heap[i] = heap[(i - 1) / 2];
	heap[i] = *it;
}

static bool pop(struct item *ret)
{
	struct item last;
	size_t i = 0, k;

	if (!nheap)
		return false;
	*ret = heap[0];
	last = heap[--nheap];
	while ((k = 2 * i + 1) < nheap) {
		if (k + 1 < nheap && before(&heap[k + 1], &heap[k]))
			k++;
		if (!before(&heap[k], &last))
			break;
		heap[i] = heap[k];
		i = k;
	}
	heap[i] = last;
	return true;
}

static void item_free(struct item *it)
{
	free(it->msg);
	free(it->recs);
	free(it->values);
}

void net_reset(void)
{
	for (size_t i = 0; i < nheap; i++)
		item_free(&heap[i]);
	nheap = 0;
	order = 0;
	at_once = 0;
	nwires = 0;
	memset(blocked, 0, sizeof(blocked));
}

void net_addr(unsigned int node, struct core_addr *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->ip[10] = ret->ip[11] = 0xff;
	ret->ip[12] = 10;
	ret->ip[15] = (uint8_t)(node + 1);
	ret->port = (uint16_t)(9900 + node);
}

static uint64_t delay(void)
{
	uint64_t d = sim.plan.delay_min + rnd(sim.plan.delay_max - sim.plan.delay_min + 1);

	if (sim.plan.spike && !rnd(sim.plan.spike))
		d += rnd(DEAD_MS * 1000 / 8);
	return d;
}

/* --- links --- */

static int wire_side(unsigned int node, link_id link, uint32_t *ret)
{
	for (uint32_t w = nwires; w-- > 0;)
		for (int s = 0; s < 2; s++)
			if (wires[w].end[s] == node && wires[w].id[s] == link) {
				*ret = w;
				return s;
			}
	return -1;
}

void net_connect(unsigned int from, link_id link, const struct core_addr *to)
{
	unsigned int peer = to->ip[15] - 1u;
	struct item *it;
	struct wire *w;

	if (peer >= NODES || !sim.nodes[peer].up || blocked[from][peer] > sim.now || peer == from) {
		it = push(SIM_LINK_DOWN, from, sim.now + delay());
		it->link = link;
		it->wire = UINT32_MAX;
		commit(it);
		return;
	}
	if (nwires == wires_cap) {
		wires_cap = wires_cap ? wires_cap * 2 : 64;
		wires = realloc(wires, wires_cap * sizeof(*wires));
		if (!wires)
			abort();
	}
	w = &wires[nwires];
	memset(w, 0, sizeof(*w));
	w->end[0] = from;
	w->end[1] = peer;
	w->id[0] = link;
	w->id[1] = sim.nodes[peer].next_accept += 2;
	w->open[0] = w->open[1] = true;
	for (int s = 0; s < 2; s++) {
		w->last[s] = sim.now + delay();
		it = push(SIM_LINK_UP, w->end[s], w->last[s]);
		it->wire = nwires;
		it->side = (uint8_t)s;
		net_addr(w->end[!s], &it->addr);
		commit(it);
	}
	nwires++;
}

/* What the wire would refuse, no core may say. */
static void check_wire(unsigned int from, const struct core_action *a)
{
	struct wire_header header;
	struct wire_error error;

	wire_seal(&header, &a->msg, a->type == ACT_DATAGRAM ? 0 : 1);
	if (!wire_body_check(&header, &a->msg, a->recs, &error))
		fail("node %u says what the wire refuses: %s", from, error.text);
}

void net_send(unsigned int from, const struct core_action *a)
{
	size_t size = core_msg_rec_size(a->msg.type) * a->msg.nrecs;
	struct item *it;
	uint64_t at;
	uint32_t w;
	int side = wire_side(from, a->link, &w);

	if (side < 0 || wires[w].cut || !wires[w].open[side])
		return;
	check_wire(from, a);
	at = sim.now + delay();
	if (at <= wires[w].last[!side]) /* a link keeps order */
		at = wires[w].last[!side] + 1;
	wires[w].last[!side] = at;
	it = push(SIM_MSG, wires[w].end[!side], wires[w].last[!side]);
	it->wire = w;
	it->side = (uint8_t)!side;
	it->msg = malloc(sizeof(*it->msg));
	*it->msg = a->msg;
	if (size) {
		it->recs = malloc(size);
		memcpy(it->recs, a->recs, size);
	}
	if (a->msg.type == MSG_PAGE_DATA) {
		it->values = calloc(a->msg.count, sizeof(*it->values));
		for (uint32_t i = 0; i < a->msg.count; i++) {
			const struct sim_page *p = &sim.nodes[from].pages[a->msg.key + i];

			if (a->src == DATA_STASH ? !p->stash : p->prot == PAGE_INVALID)
				fail("node %u sends page %u without having its bytes", from,
				     (unsigned int)(a->msg.key + i));
			it->values[i] = a->src == DATA_STASH ? p->stash_value : p->value;
		}
	}
	if (a->msg.type == MSG_TOPIC_VALUE)
		it->msg->b = topic_get(from, a->key);
	if (a->msg.type == MSG_LOCK_GRANT && (a->msg.flags & F_GRANT))
		check_token_moved(a->msg.key, it->node);
	tracef("  %u -> %u type %u key %llu+%u ver %u flags %x nid %u arg %u epoch %u", from,
	       it->node, a->msg.type, (unsigned long long)a->msg.key, a->msg.count, a->msg.ver,
	       a->msg.flags, a->msg.nid, a->msg.arg, a->msg.epoch);
	commit(it);
}

void net_datagram(unsigned int from, const struct core_action *a)
{
	check_wire(from, a);
	for (unsigned int to = 0; to < NODES; to++) {
		size_t size = core_msg_rec_size(a->msg.type) * a->msg.nrecs;
		struct item *it;

		if (to == from || !sim.nodes[to].up || chance(sim.plan.loss))
			continue;
		if (a->addr.ip[15] && a->addr.ip[15] != to + 1)
			continue;
		it = push(SIM_DATAGRAM, to, sim.now + delay());
		net_addr(from, &it->addr);
		it->msg = malloc(sizeof(*it->msg));
		*it->msg = a->msg;
		if (size) {
			it->recs = malloc(size);
			memcpy(it->recs, a->recs, size);
		}
		commit(it);
	}
}

static void wire_end(uint32_t w, int side, uint64_t after)
{
	struct item *it;

	if (!wires[w].open[side])
		return;
	it = push(SIM_LINK_DOWN, wires[w].end[side], sim.now + after);
	it->wire = w;
	it->side = (uint8_t)side;
	commit(it);
}

void net_close(unsigned int from, link_id link)
{
	uint32_t w;
	int side = wire_side(from, link, &w);
	struct item *it;

	if (side < 0 || wires[w].cut)
		return;
	wires[w].open[side] = false;
	/* What was sent before the end still arrives before it. */
	if (wires[w].last[!side] < sim.now)
		wires[w].last[!side] = sim.now;
	it = push(SIM_LINK_DOWN, wires[w].end[!side], ++wires[w].last[!side]);
	it->wire = w;
	it->side = (uint8_t)!side;
	commit(it);
}

void net_cut(unsigned int a, unsigned int b, uint64_t for_us)
{
	tracef("cut %u - %u for %llu us", a, b, (unsigned long long)for_us);
	blocked[a][b] = blocked[b][a] = sim.now + for_us;
	for (uint32_t w = 0; w < nwires; w++) {
		struct wire *x = &wires[w];

		if (x->cut ||
		    !((x->end[0] == a && x->end[1] == b) || (x->end[0] == b && x->end[1] == a)))
			continue;
		x->cut = true;
		sim.disturbed++;
		wire_end(w, 0, delay());
		wire_end(w, 1, delay());
	}
}

void net_kill(unsigned int node)
{
	for (uint32_t w = 0; w < nwires; w++)
		for (int s = 0; s < 2; s++)
			if (wires[w].end[s] == node && !wires[w].cut) {
				wires[w].open[s] = false;
				wires[w].id[s] = 0; /* its next agent counts anew */
				/* Half of the time, what it sent last is lost too. */
				wires[w].cut = chance(50);
				wire_end(w, !s, wires[w].cut ? delay() : delay() * 4);
			}
}

/* --- other events --- */

void net_revoked(unsigned int node, uint64_t key, uint32_t count, uint8_t how, uint64_t after)
{
	struct item *it = push(SIM_REVOKED, node, sim.now + after);

	it->key = key;
	it->count = count;
	it->how = how;
	it->side = after != 0;
	commit(it);
}

void net_prog(unsigned int node, unsigned int prog, uint64_t after)
{
	struct item *it = push(SIM_PROG, node, sim.now + after);

	it->prog = prog;
	it->link = sim.nodes[node].progs[prog].client;
	commit(it);
}

void net_call(void (*fn)(uint64_t), uint64_t arg, uint64_t after)
{
	struct item *it = push(SIM_CALL, 0, sim.now + after);

	it->call = fn;
	it->key = arg;
	commit(it);
}

void net_tick(unsigned int node, uint64_t at)
{
	struct node *n = &sim.nodes[node];

	if (at >= n->tick_at)
		return;
	n->tick_at = at;
	commit(push(SIM_TICK, node, at > sim.now ? at : sim.now));
}

static void deliver(struct item *it)
{
	struct wire *w = it->wire == UINT32_MAX || it->type == SIM_PROG ? NULL : &wires[it->wire];
	struct core_event ev = { .link = it->link };

	if (!w && (it->type == SIM_LINK_UP || it->type == SIM_MSG))
		return;
	switch (it->type) {
	case SIM_TICK:
		sim.nodes[it->node].tick_at = UINT64_MAX;
		ev.type = EV_TICK;
		break;
	case SIM_LINK_UP:
		if (w->cut || !w->open[it->side])
			return;
		ev.type = EV_LINK_UP;
		ev.link = w->id[it->side];
		ev.addr = it->addr;
		break;
	case SIM_LINK_DOWN:
		ev.type = EV_LINK_DOWN;
		if (w) {
			if (!w->open[it->side])
				return;
			w->open[it->side] = false;
			ev.link = w->id[it->side];
		}
		break;
	case SIM_MSG:
		if (w->cut || !w->open[it->side])
			return;
		sim.messages++;
		if (it->msg->type == MSG_LOCK_REQUEST)
			check_token_asked(it->msg->key, w->end[!it->side]);
		else if (it->msg->type == MSG_LOCK_MOVED)
			check_token_moved(it->msg->key, w->end[!it->side]);
		ev.type = EV_MSG;
		ev.link = w->id[it->side];
		ev.msg = it->msg;
		ev.recs = it->recs;
		break;
	case SIM_DATAGRAM:
		ev.type = EV_DATAGRAM;
		ev.addr = it->addr;
		ev.msg = it->msg;
		ev.recs = it->recs;
		break;
	case SIM_REVOKED:
		if (it->side)
			node_revoke_now(it->node, it->key, it->count, it->how);
		ev.type = EV_REVOKED;
		ev.key = it->key;
		ev.count = it->count;
		break;
	}
	node_step(it->node, &ev, it->values);
}

static void tell_recent(void)
{
	static const char *const names[] = { "tick",	"link up",    "link down",
					     "message", "datagram",   "revoked",
					     "program", "fault plan", "call" };

	for (unsigned int i = 1; i <= RECENT; i++) {
		const struct recent *r = &recent[(at_once + i) % RECENT];

		fprintf(stderr, "node %u: %s %u key %llu\n", r->node, names[r->type], r->msg,
			(unsigned long long)r->key);
	}
}

/* Nodes that keep each other busy at one moment would do so for ever. */
static void watch_progress(const struct item *it)
{
	if (it->at > sim.now)
		at_once = 0;
	recent[++at_once % RECENT] = (struct recent){ .key = it->msg ? it->msg->key : it->key,
						      .node = it->node,
						      .msg = it->msg ? it->msg->type : 0,
						      .type = it->type };
	if (at_once < AT_ONCE)
		return;
	tell_recent();
	fail("%u events at one moment: time stands still", AT_ONCE);
}

bool net_run_one(void)
{
	struct item it;

	if (!pop(&it))
		return false;
	watch_progress(&it);
	sim.now = it.at > sim.now ? it.at : sim.now;
	if (it.type == SIM_CALL) {
		it.call(it.key);
	} else if (sim.nodes[it.node].up && it.life == sim.nodes[it.node].lives) {
		if (it.type != SIM_PROG)
			deliver(&it);
		else if (sim.nodes[it.node].progs[it.prog].client == it.link)
			prog_run(it.node, it.prog);
	}
	item_free(&it);
	return true;
}
