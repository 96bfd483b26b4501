/* SPDX-License-Identifier: MIT */
/*
 * Topics: programs subscribe, publish, ring, and go. What must be true: a node
 * shows values of a publisher in the order in which they were written, and never one
 * that it asked nobody for; when all is quiet, who publishes and who subscribes is known
 * everywhere, subscribers agree, and show what was written last.
 */
#include <stdio.h>
#include <string.h>

#include "tests/sim/sim.h"

#define VALUES 65536 /* written in one schedule */

static uint8_t writer[VALUES]; /* node + 1 */
static uint64_t nvalues;
static uint64_t last[NODES][TOPICS][NODES]; /* shown, by who wrote it */

void topic_reset(void)
{
	memset(writer, 0, sizeof(writer));
	memset(last, 0, sizeof(last));
	nvalues = 0;
}

static struct sim_topic *topic_of(unsigned int n, uint64_t id, unsigned int *ret)
{
	for (unsigned int t = 0; t < TOPICS; t++)
		if (id && sim.nodes[n].topics[t].id == id) {
			*ret = t;
			return &sim.nodes[n].topics[t];
		}
	return NULL;
}

static void changed(unsigned int n, struct sim_topic *s)
{
	struct core_event ev = { .type = EV_TOPIC_CHANGED, .key = s->id };

	s->seen = s->value;
	node_step(n, &ev, NULL);
}

/* --- the bell --- */

/* Node, topic and what is to be looked for in one number. */
static uint64_t pack(unsigned int n, unsigned int t, uint64_t id)
{
	return id << 16 | n << 8 | t;
}

static void on_ring(uint64_t arg)
{
	unsigned int n = arg >> 8 & 0xff, t = arg & 0xff;
	struct sim_topic *s = &sim.nodes[n].topics[t];

	if (!sim.nodes[n].up || s->id != arg >> 16)
		return;
	if (s->pub && s->value != s->seen)
		changed(n, s);
	else
		s->rung = false;
}

static void ring(unsigned int n, unsigned int t, uint64_t delay)
{
	net_call(on_ring, pack(n, t, sim.nodes[n].topics[t].id), delay);
}

/* --- what the core wants done --- */

void topic_state(unsigned int n, const struct core_topic_state *state)
{
	unsigned int t;
	struct sim_topic *s = topic_of(n, state->id, &t);
	bool first;

	if (!s)
		return;
	first = !s->state.remote && state->remote;
	s->state = *state;
	if (!first)
		return;
	s->rung = false;
	ring(n, t, 0);
}

uint64_t topic_get(unsigned int n, uint64_t id)
{
	unsigned int t;
	struct sim_topic *s = topic_of(n, id, &t);

	if (!s || !s->value)
		fail("node %u sends a value of a topic that has none", n);
	if (writer[s->value] != n + 1)
		fail("node %u sends value %llu, which node %u wrote", n,
		     (unsigned long long)s->value, writer[s->value] - 1);
	s->rung = false;
	return s->value;
}

void topic_put(unsigned int n, uint64_t id, uint64_t value)
{
	unsigned int t, from = writer[value % VALUES] - 1u;
	struct sim_topic *s = topic_of(n, id, &t);

	if (!s)
		return;
	if (!s->sub || s->pub)
		fail("topic %u: node %u is given a value that it does not want", t, n);
	if (value < last[n][t][from])
		fail("topic %u: node %u shows %llu of node %u after %llu", t, n,
		     (unsigned long long)value, from, (unsigned long long)last[n][t][from]);
	tracef("topic %u: node %u shows %llu of node %u", t, n, (unsigned long long)value, from);
	last[n][t][from] = value;
	s->value = s->seen = value;
}

void topic_done(unsigned int n, uint64_t id)
{
	unsigned int t;
	struct sim_topic *s = topic_of(n, id, &t);

	if (s && !s->sub && !s->pub)
		s->id = 0;
}

/* --- programs --- */

static void interest(unsigned int n, unsigned int t, bool sub, bool pub)
{
	struct sim_topic *s = &sim.nodes[n].topics[t];
	struct core_topic topic = { .subscribes = sub, .publishes = pub, .pid = pub };
	struct core_event ev = { .type = EV_TOPIC, .topic = &topic };

	if (s->pub && !pub && s->state.remote && s->value != s->seen)
		changed(n, s);
	if (!s->id) {
		memset(s, 0, sizeof(*s));
		memset(last[n][t], 0, sizeof(last[n][t]));
		s->id = ++sim.nodes[n].last_topic;
	}
	if (pub != s->pub) {
		s->seen = s->value;
		s->rung = false;
	}
	s->sub = sub;
	s->pub = pub;
	topic.id = s->id;
	snprintf(topic.name, sizeof(topic.name), "topic %u", t);
	tracef("topic %u: node %u%s%s", t, n, sub ? " subscribes" : "", pub ? " publishes" : "");
	node_step(n, &ev, NULL);
}

static void publish(unsigned int n, unsigned int t)
{
	struct sim_topic *s = &sim.nodes[n].topics[t];

	if (nvalues + 1 >= VALUES)
		return;
	s->value = ++nvalues;
	writer[s->value] = (uint8_t)(n + 1);
	tracef("topic %u: node %u writes %llu", t, n, (unsigned long long)s->value);
	if (s->state.remote && !s->rung) {
		s->rung = true;
		ring(n, t, rnd(20));
	}
}

void topic_act(uint64_t arg)
{
	unsigned int n = (unsigned int)rnd(NODES), t = (unsigned int)rnd(TOPICS);
	struct sim_topic *s = &sim.nodes[n].topics[t];

	(void)arg;
	if (sim.draining || !sim.nodes[n].up)
		return;
	if (s->pub && chance(85)) {
		publish(n, t);
		/* Some write faster than any link takes it. */
		if (chance(70))
			net_call(topic_act, 0, rnd(40));
		return;
	}
	/* In steady schedules publishers stay, so that what they wrote last is what all show. */
	if (s->id || chance(80))
		interest(n, t, chance(60), (s->pub && sim.plan.steady) || chance(35));
}

void topic_forget(unsigned int n)
{
	memset(sim.nodes[n].topics, 0, sizeof(sim.nodes[n].topics));
	sim.nodes[n].last_topic = 0;
}

/* --- the end --- */

static void check_known(unsigned int n, unsigned int t)
{
	const struct sim_topic *s = &sim.nodes[n].topics[t];
	unsigned int subs = 0, pubs = 0;

	for (unsigned int i = 0; i < NODES; i++) {
		const struct sim_topic *o = &sim.nodes[i].topics[t];

		if (i == n || !sim.nodes[i].up || !o->id)
			continue;
		subs += o->sub && !o->pub;
		pubs += o->pub;
	}
	if (!s->sub && !s->pub)
		fail("topic %u: node %u keeps it, and nobody waits for it", t, n);
	if (s->state.remote != subs)
		fail("topic %u: node %u knows of %u subscribers, there are %u", t, n,
		     s->state.remote, subs);
	if (s->sub && !s->pub && s->state.elsewhere != pubs)
		fail("topic %u: node %u knows of %u publishers, there are %u", t, n,
		     s->state.elsewhere, pubs);
}

static void check_agree(unsigned int t)
{
	const struct sim_topic *first = NULL;

	for (unsigned int i = 0; i < NODES; i++) {
		const struct sim_topic *s = &sim.nodes[i].topics[t];

		if (!sim.nodes[i].up || !s->id || !s->sub || s->pub)
			continue;
		if (first && s->value != first->value)
			fail("topic %u: node %u shows %llu, another one %llu", t, i,
			     (unsigned long long)s->value, (unsigned long long)first->value);
		first = s;
	}
}

void topic_check_quiet(void)
{
	for (unsigned int t = 0; t < TOPICS; t++) {
		for (unsigned int i = 0; i < NODES; i++)
			if (sim.nodes[i].up && sim.nodes[i].topics[t].id)
				check_known(i, t);
		if (sim.plan.steady)
			check_agree(t);
	}
}

static uint64_t final[TOPICS];

/* With everything quiet, somebody writes to each topic: the last value there will be. */
void topic_write_last(void)
{
	memset(final, 0, sizeof(final));
	for (unsigned int t = 0; t < TOPICS; t++)
		for (unsigned int i = 0, k = (unsigned int)rnd(NODES); i < NODES; i++) {
			unsigned int n = (i + k) % NODES;

			if (!sim.nodes[n].up)
				continue;
			if (!sim.nodes[n].topics[t].pub)
				interest(n, t, false, true);
			publish(n, t);
			final[t] = nvalues;
			break;
		}
}

void topic_check_end(void)
{
	for (unsigned int t = 0; t < TOPICS; t++)
		for (unsigned int i = 0; i < NODES; i++) {
			const struct sim_topic *s = &sim.nodes[i].topics[t];

			if (!sim.nodes[i].up || !s->id || !s->sub || s->pub)
				continue;
			if (s->value != final[t])
				fail("topic %u: node %u ends with %llu, the last value was %llu", t,
				     i, (unsigned long long)s->value,
				     (unsigned long long) final[t]);
		}
	topic_check_quiet();
}
