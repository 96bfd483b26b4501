/* SPDX-License-Identifier: MIT */
/*
 * Values of topics on their way.
 *
 * Versions. A value gets one more than the highest version that its node has heard of, when it
 * is first to be sent. A subscriber takes what has a higher version than what it
 * shows (of equal ones that of the higher node), so an old value never replaces a newer one, and all
 * subscribers end with the same. A publisher that has not heard of the newest version yet is
 * refused and told it. As long as its value is news, that is until every subscriber has
 * had it, the value is taken to be the later one, and goes out again with a higher version.
 *
 * Flow. At most TOPIC_WINDOW values for a subscriber are under way, and TOPIC_FLYING_MAX for a
 * node; the next is sent when one is acknowledged. The shell reads the value when it sends it,
 * so a slow link carries the newest one and skips the others.
 */
#include "agent/core/state.h"

static void wait_add(struct core *c, struct topic_sub *s)
{
	if (s->waits)
		return;
	s->waits = true;
	s->wait_next = NULL;
	*c->topic_waits_tail = s;
	c->topic_waits_tail = &s->wait_next;
}

static void wait_del(struct core *c, struct topic_sub *s)
{
	struct topic_sub **at = &c->topic_waits;

	if (!s->waits)
		return;
	s->waits = false;
	while (*at != s)
		at = &(*at)->wait_next;
	*at = s->wait_next;
	if (!*at)
		c->topic_waits_tail = at;
}

/* The subscriber goes. */
void push_forget(struct core *c, struct topic_sub *s)
{
	struct member *m = member_find(c, s->nid);

	wait_del(c, s);
	if (m)
		m->topic_flying -= s->flying < m->topic_flying ? s->flying : m->topic_flying;
}

/* Sends the newest value, if there is one that it has not got, and it is its turn. */
void push_to(struct core *c, struct topic_sub *s)
{
	struct member *m = member_find(c, s->nid);
	struct core_action *a;

	if (!s->dirty || !s->topic->own || s->flying >= TOPIC_WINDOW || !m || !m->link ||
	    !topic_active(c))
		return;
	if (m->topic_flying >= TOPIC_FLYING_MAX) {
		wait_add(c, s);
		return;
	}
	s->dirty = false;
	s->flying++;
	m->topic_flying++;
	c->stats.values_out++;
	a = act_add(c, ACT_SEND);
	a->link = m->link;
	a->src = DATA_TOPIC;
	a->key = s->topic->id;
	a->msg = msg_new(c, MSG_TOPIC_VALUE);
	a->msg.key = s->id;
	a->msg.a = s->topic->own;
}

/* The node can take one more: who has waited longest? */
void push_next(struct core *c, uint16_t nid)
{
	struct topic_sub *s = c->topic_waits;

	while (s && s->nid != nid)
		s = s->wait_next;
	if (!s)
		return;
	wait_del(c, s);
	push_to(c, s);
}

/* A version that is higher than any other, for the value that is the newest one here now. */
void push_again(struct core *c, struct topic *t)
{
	t->own = t->shown = ++t->version;
	t->shown_nid = c->nid;
	t->number_nid = 0;
	t->news = true;
	for (struct topic_sub *s = t->subs; s; s = s->next)
		s->dirty = true;
	for (struct topic_sub *s = t->subs; s; s = s->next)
		push_to(c, s);
}

void push_changed(struct core *c, uint64_t id)
{
	struct topic *t = topic_by_id(c, id);

	if (t && t->publishes)
		push_again(c, t);
}

static bool is_delivered(const struct topic *t)
{
	for (const struct topic_sub *s = t->subs; s; s = s->next)
		if (s->dirty || s->flying)
			return false;
	return true;
}

static bool is_newer(const struct topic *t, uint64_t version, uint16_t nid)
{
	return version > t->shown || (version == t->shown && nid > t->shown_nid);
}

/* The same value comes twice where it got a higher version, or another subscriber was sent it early. */
static void take(struct core *c, struct topic *t, const struct core_msg *m)
{
	if ((m->flags & F_ZERO) || (t->number_nid == m->src && t->number == m->b))
		return;
	c->stats.values_in++;
	t->number_nid = m->src;
	t->number = m->b;
	t->own = 0; /* the memory it was in has another's value now */
	act_add(c, ACT_TOPIC_PUT)->key = t->id;
}

/* A value came from the node that publishes it. */
void push_on_value(struct core *c, const struct core_msg *m)
{
	struct core_msg ack = msg_new(c, MSG_TOPIC_ACK);
	struct topic *t = topic_by_id(c, m->key);

	if (!t || !topic_wants(t))
		return; /* closed meanwhile: the publisher learns that from another message */
	if (m->a > t->version)
		t->version = m->a;
#ifdef DSM_MUTANT_TOPIC_OLDER_TAKEN
	if (true) {
#else
	if (is_newer(t, m->a, m->src)) {
#endif
		t->shown = m->a;
		t->shown_nid = m->src;
		take(c, t, m);
	} else if (m->a != t->shown || m->src != t->shown_nid) {
		c->stats.values_refused++;
		ack.flags = F_REFUSED;
	}
	ack.key = m->key;
	ack.a = m->a;
	ack.b = t->version;
	msg_send(c, m->src, &ack, NULL);
}

void push_on_ack(struct core *c, const struct core_msg *m)
{
	struct topic_sub *s = topic_sub_find(c, m->src, m->key);
	struct member *to = member_find(c, m->src);
	struct topic *t;

	if (!s)
		return;
	/* One may be for a value that was sent before it subscribed anew. */
	if (s->flying)
		s->flying--;
	if (to->topic_flying)
		to->topic_flying--;
	t = s->topic;
	if (m->b > t->version)
		t->version = m->b;
	if (t->own && m->a == t->own && (m->flags & F_REFUSED) && t->news)
		push_again(c, t);
#ifndef DSM_MUTANT_TOPIC_LAST_KEPT
	push_to(c, s);
#endif
	push_next(c, m->src);
	if (is_delivered(t))
		t->news = false;
	topic_drained(c, t);
}
