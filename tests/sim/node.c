/* SPDX-License-Identifier: MIT */
/* A simulated node: carries out what its core wants. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

static void new_core(unsigned int i, uint64_t cluster, uint16_t nid)
{
	struct node *n = &sim.nodes[i];
	struct core_config cfg;

	memset(&cfg, 0, sizeof(cfg));
	cfg.uid = rnd(UINT64_MAX - 1) + 1;
	cfg.weight = sim.now + rnd(100);
	snprintf(cfg.cluster, sizeof(cfg.cluster), "sim");
	cfg.port = (uint16_t)(9900 + i);
	cfg.chunks = sim.plan.chunks;
	cfg.dead_ms = DEAD_MS;
	cfg.elect_ms = 60;
	cfg.hold_us = (uint32_t)sim.plan.hold_us;
	cfg.deadlock_ms = 3;
	cfg.touch_pages = 4;
	cfg.prefetch_pages = 8;
	cfg.region_base = 1ull << 40;
	cfg.region_size = PAGES * 4096ull;
	cfg.lock_words = n->lock_words;
	cfg.lock_stride = sizeof(n->lock_words[0]);
	cfg.nlock_words = LOCKS - 1; /* one lock has no word that programs share */
	cfg.resume_cluster = cluster;
	cfg.resume_nid = nid;
	cfg.resume_epoch = nid ? n->kept_epoch : 0;
	n->core = core_new(&cfg, sim.now);
	n->up = true;
	n->waits = false;
	n->tick_at = UINT64_MAX;
}

void node_start(unsigned int i)
{
	struct node *n = &sim.nodes[i];
	struct core_event ev = { .type = EV_TICK };

	free(n->kept);
	memset(n, 0, sizeof(*n));
	n->next_client = 1;
	new_core(i, 0, 0);
	tracef("node %u starts", i);
	node_step(i, &ev, NULL);
	for (unsigned int p = 0; p < PROGS; p++)
		prog_start(i, p);
}

static void restart(uint64_t i)
{
	if (sim.nodes[i].waits)
		node_restart((unsigned int)i);
}

/* The module keeps the pages, and nobody can take them; its programs die here, for their locks do. */
void node_stop(unsigned int i)
{
	struct node *n = &sim.nodes[i];

	tracef("agent of node %u dies", i);
	check_stop(i);
	sim.restarts++;
	for (unsigned int p = 0; p < PROGS; p++)
		n->progs[p].client = 0;
	topic_forget(i);
	n->up = false;
	n->waits = true;
	n->doomed = 0;
	net_kill(i);
	net_call(restart, i, rnd(DEAD_MS * 1000 / 8));
}

void node_restart(unsigned int i)
{
	struct node *n = &sim.nodes[i];
	struct core_event ev = { .type = EV_TICK };

	tracef("agent of node %u is back", i);
	core_free(n->core);
	n->lives++;
	memset(n->slots, 0, sizeof(n->slots));
	for (int l = 0; l < LOCKS; l++)
		atomic_store(&n->lock_words[l], 0);
	new_core(i, n->kept_cluster, n->kept_nid);
	for (uint64_t k = 0; k < PAGES; k++)
		if (n->pages[k].prot != PAGE_INVALID)
			core_resume_page(n->core, k, 1, n->pages[k].prot);
	core_resume_kept(n->core, n->kept, n->nkept);
	node_step(i, &ev, NULL);
	for (unsigned int p = 0; p < PROGS; p++)
		prog_again(i, p);
}

static void install(unsigned int i, const struct core_action *a, const uint64_t *values)
{
	struct node *n = &sim.nodes[i];

	for (uint32_t k = 0; k < a->count; k++) {
		struct sim_page *p = &n->pages[a->key + k];

		if (a->src == DATA_MSG) {
			if (!values)
				fail("node %u installs page %u from bytes that are not there", i,
				     (unsigned int)(a->key + k));
			p->value = values[a->first_page + k];
		} else if (a->src == DATA_STASH) {
			if (!p->stash)
				fail("node %u restores page %u without a stash", i,
				     (unsigned int)(a->key + k));
			p->value = p->stash_value;
			p->stash = false;
		} else {
			p->value = 0;
		}
		p->prot = a->write ? PAGE_MODIFIED : PAGE_SHARED;
		check_prot(i, a->key + k);
		prog_page(i, a->key + k, 0);
	}
}

static void upgrade(unsigned int i, const struct core_action *a)
{
	for (uint32_t k = 0; k < a->count; k++) {
		struct sim_page *p = &sim.nodes[i].pages[a->key + k];

		if (p->prot == PAGE_INVALID)
			fail("node %u upgrades page %u that it does not have", i,
			     (unsigned int)(a->key + k));
		p->prot = PAGE_MODIFIED;
		check_prot(i, a->key + k);
		prog_page(i, a->key + k, 0);
	}
}

void node_revoke_now(unsigned int i, uint64_t key, uint32_t count, uint8_t how)
{
	for (uint32_t k = 0; k < count; k++) {
		struct sim_page *p = &sim.nodes[i].pages[key + k];

		if (how == REVOKE_DOWNGRADE) {
			if (p->prot == PAGE_MODIFIED)
				p->prot = PAGE_SHARED;
			continue;
		}
		if (how == REVOKE_TAKE) {
			if (p->prot == PAGE_INVALID)
				fail("node %u takes page %u that it does not have", i,
				     (unsigned int)(key + k));
			p->stash = true;
			p->stash_value = p->value;
		}
		p->prot = PAGE_INVALID;
		p->value = 0xdeadull;
	}
}

static void revoke(unsigned int i, const struct core_action *a)
{
	uint64_t after = chance(sim.plan.pinned) ? 1 + rnd(3000) : 0;

	if (!after)
		node_revoke_now(i, a->key, a->count, a->how);
	net_revoked(i, a->key, a->count, a->how, after);
}

static void state(unsigned int i, uint32_t s)
{
	struct node *n = &sim.nodes[i];

	/* Others may have heard of it: to them it is one more that died. */
	if (s == CORE_SEEKING && n->state == CORE_JOINING)
		sim.disturbed++;
	n->state = s;
	tracef("node %u is in state %u", i, s);
	if (s == CORE_MEMBER)
		n->joined_once = true;
	if (s == CORE_EVICTED && n->lives) {
		if (!n->outcast)
			check_death(i); /* too late: the others went on */
		n->outcast = false;
		n->kept_cluster = 0; /* others hear later of the view that it is not in */
		return;
	}
	if (s == CORE_EVICTED)
		fail("node %u was put out of the cluster", i);
	if (s == CORE_OUT) {
		n->left = true;
		n->up = false;
		check_death(i);
		net_kill(i);
	}
}

static void keep(void *node, const struct core_kept *k)
{
	struct node *n = node;

	if (n->nkept == n->kept_cap) {
		n->kept_cap = n->kept_cap ? n->kept_cap * 2 : 64;
		n->kept = realloc(n->kept, n->kept_cap * sizeof(*k));
		if (!n->kept)
			abort();
	}
	n->kept[n->nkept++] = *k;
}

static void list_member(void *ctx, const struct rec_member *m, bool link_up)
{
	(void)link_up;
	((bool *)ctx)[m->nid % (NODES * 8)] = true;
}

/* Whose agent was not back in time for this view is as dead to it, whatever its programs still do. */
static void look_for_outcasts(const struct node *of)
{
	bool listed[NODES * 8] = { false };

	core_each_member(of->core, list_member, listed);
	for (unsigned int i = 0; i < NODES; i++) {
		struct node *n = &sim.nodes[i];

		if (n == of || n->outcast || !(n->waits || (n->up && n->lives)) ||
		    n->kept_cluster != of->kept_cluster || listed[n->kept_nid % (NODES * 8)])
			continue;
		tracef("node %u is out, by the view of node %d", i, (int)(of - sim.nodes));
		n->outcast = true;
		check_death(i);
	}
}

static void remember(struct node *n, const struct core_action *a)
{
	switch (a->type) {
	case ACT_IDENTITY:
		n->kept_cluster = a->cluster;
		n->kept_nid = a->nid;
		n->kept_epoch = a->epoch;
		look_for_outcasts(n);
		break;
	case ACT_KEEP:
		if (n->nkept) /* nothing is kept by who is no member */
			keep(n, a->recs);
		break;
	case ACT_KEEP_ALL:
		n->nkept = 0;
		core_each_kept(n->core, keep, n);
		break;
	}
}

static void carry_out(unsigned int i, const struct core_action *a, const struct core_event *ev,
		      const uint64_t *values)
{
	struct sim_page *pages = sim.nodes[i].pages;

	switch (a->type) {
	case ACT_SEND:
		net_send(i, a);
		break;
	case ACT_CONNECT:
		net_connect(i, a->link, &a->addr);
		break;
	case ACT_CLOSE:
		net_close(i, a->link);
		break;
	case ACT_DATAGRAM:
		net_datagram(i, a);
		break;
	case ACT_INSTALL:
		install(i, a, values);
		break;
	case ACT_UPGRADE:
		upgrade(i, a);
		break;
	case ACT_REVOKE:
		revoke(i, a);
		break;
	case ACT_FAIL:
		for (uint32_t k = 0; k < a->count; k++)
			prog_page(i, a->key + k, a->err);
		break;
	case ACT_STASH_DROP:
		for (uint32_t k = 0; k < a->count; k++)
			pages[a->key + k].stash = false;
		break;
	case ACT_REPLY:
		prog_reply(i, &a->reply);
		break;
	case ACT_STATE:
		state(i, a->state);
		break;
	case ACT_LOG:
		tracef("node %u: %s", i, a->text);
		break;
	case ACT_TOPIC_PUT:
		if (!ev->msg)
			fail("node %u is told to show a value that did not come", i);
		topic_put(i, a->key, ev->msg->b);
		break;
	case ACT_TOPIC_DONE:
		topic_done(i, a->key);
		break;
	case ACT_TOPIC_STATE:
		topic_state(i, &a->topic_state);
		break;
	case ACT_IDENTITY:
	case ACT_KEEP:
	case ACT_KEEP_ALL:
		remember(&sim.nodes[i], a);
		break;
	}
}

void node_step(unsigned int i, struct core_event *ev, const uint64_t *values)
{
	struct node *n = &sim.nodes[i];
	const struct core_action *a;
	bool gone
		[CORE_MSG_PAGES]; /* before the step: what it takes away comes as an event of its own */
	size_t count;

	for (uint32_t k = 0; ev->type == EV_REVOKED && k < ev->count; k++)
		gone[k] = n->pages[ev->key + k].prot == PAGE_INVALID;
	ev->now_us = sim.now;
	if (ev->type != EV_TICK)
		tracef("node %u: event %u msg %u key %llu from %u", i, ev->type,
		       ev->msg ? ev->msg->type : 0,
		       (unsigned long long)(ev->msg ? ev->msg->key : ev->key),
		       ev->msg ? ev->msg->src : 0);
	core_step(n->core, ev);
	a = core_actions(n->core, &count);
	for (size_t k = 0; k < count; k++) {
		carry_out(i, &a[k], ev, values);
		if (n->doomed && !--n->doomed && n->up) {
			node_stop(i); /* in the middle of it */
			return;
		}
	}
	for (uint32_t k = 0; ev->type == EV_REVOKED && k < ev->count; k++)
		if (gone[k])
			check_sleepers(i, ev->key + k);
	if (n->up)
		net_tick(i, core_deadline(n->core));
}

void node_kill(unsigned int i)
{
	struct node *n = &sim.nodes[i];

	tracef("node %u dies", i);
	n->up = false;
	check_death(i);
	net_kill(i);
}

void node_free(unsigned int i)
{
	core_free(sim.nodes[i].core);
	free(sim.nodes[i].kept);
	sim.nodes[i].core = NULL;
	sim.nodes[i].kept = NULL;
}
