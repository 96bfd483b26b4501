/* SPDX-License-Identifier: MIT */
/*
 * Topics: named last values that go from the node that publishes straight to
 * those that subscribe. This file: who subscribes and who publishes.
 *
 * A node tells all others what it subscribes to, when that changes and in each new
 * view; nobody keeps a list for others, so there is no master on the way of a
 * value, and none to fail. A subscriber gives each topic a number of its own, by which
 * values for it are named. Who is told answers whether it publishes.
 *
 * Each view begins anew: what was sent in the old one may be lost.
 */
#include <stdlib.h>
#include <string.h>

#include "agent/core/state.h"

bool topic_active(const struct core *c)
{
	return (c->state == CORE_MEMBER || c->state == CORE_LEAVING) && !c->frozen && c->self;
}

/* A node that publishes a topic shows its own values: others' are of no use to it. */
bool topic_wants(const struct topic *t)
{
	return t->id && t->subscribes && !t->publishes;
}

/* --- tables --- */

/* FNV-1a. Who makes names collide makes his own topics slow. */
static uint64_t name_hash(const char *name)
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (const char *p = name; p < name + CORE_TOPIC_NAME && *p; p++)
		h = (h ^ (uint8_t)*p) * 0x100000001b3ull;
	return h;
}

static struct topic *topic_by_name(const struct core *c, const char *name)
{
	struct topic *t = map_get(&c->topics, name_hash(name));

	while (t && strncmp(t->name, name, sizeof(t->name)))
		t = t->next;
	return t;
}

static struct topic *topic_get(struct core *c, const char *name)
{
	struct topic *t = topic_by_name(c, name);
	uint64_t hash = name_hash(name);

	if (t)
		return t;
	t = core_alloc(sizeof(*t));
	memcpy(t->name, name, strnlen(name, sizeof(t->name) - 1));
	t->next = map_get(&c->topics, hash);
	map_put(&c->topics, hash, t);
	return t;
}

struct topic *topic_by_id(const struct core *c, uint64_t id)
{
	return map_get(&c->topics_by_id, id);
}

/* Forgets the topic when nobody here or elsewhere has to do with it. */
static void topic_tidy(struct core *c, struct topic *t)
{
	uint64_t hash = name_hash(t->name);
	struct topic *head = map_get(&c->topics, hash), **at = &head;

	if (t->id || t->subs)
		return;
	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	if (head)
		map_put(&c->topics, hash, head);
	else
		map_del(&c->topics, hash);
	free(t);
}

static uint64_t sub_key(uint16_t nid, uint64_t id)
{
	return (uint64_t)nid << 48 | id;
}

struct topic_sub *topic_sub_find(const struct core *c, uint16_t nid, uint64_t id)
{
	return map_get(&c->topic_subs, sub_key(nid, id));
}

/* The shell shows it to programs. */
static void topic_tell(struct core *c, struct topic *t)
{
	struct core_action *a;

	if (!t->id)
		return;
	a = act_add(c, ACT_TOPIC_STATE);
	a->topic_state = (struct core_topic_state){
		.id = t->id,
		.remote = t->remote,
		.presence = t->presence,
	};
	for (const struct topic_pub *p = t->pubs; p; p = p->next)
		a->topic_state.elsewhere++;
	if (t->pubs) {
		a->topic_state.nid = t->pubs->nid;
		a->topic_state.pid = t->pubs->pid;
	}
}

/* --- what others publish --- */

/* @pid 0: nobody any more. True: something changed. */
static bool pub_set(struct topic *t, uint16_t nid, bool publishes, uint32_t pid)
{
	struct topic_pub **at = &t->pubs, *p;

	while (*at && (*at)->nid != nid)
		at = &(*at)->next;
	p = *at;
	if (publishes ? p && p->pid == pid : !p)
		return false;
	t->presence++;
	if (t->number_nid == nid)
		t->number_nid = 0;
	if (!publishes) {
		*at = p->next;
		free(p);
		return true;
	}
	if (!p)
		p = core_alloc(sizeof(*p));
	else
		*at = p->next;
	p->nid = nid;
	p->pid = pid;
	p->next = t->pubs;
	t->pubs = p;
	return true;
}

/* All of them, or those who are no members any more. */
static bool pubs_drop(struct core *c, struct topic *t, bool all)
{
	struct topic_pub **at = &t->pubs;
	bool any = false;

	while (*at) {
		struct topic_pub *p = *at;

		if (!all && member_find(c, p->nid)) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		free(p);
		t->presence++;
		any = true;
	}
	return any;
}

static void on_publishers(struct core *c, const struct core_msg *m, const struct rec_presence *recs)
{
	for (size_t i = 0; i < m->nrecs; i++) {
		struct topic *t = topic_by_id(c, recs[i].id);

		if (!t || !topic_wants(t))
			continue; /* was closed meanwhile */
		if (recs[i].version > t->version)
			t->version = recs[i].version;
		if (pub_set(t, m->src, recs[i].flags & PRESENCE_PUBLISHES, recs[i].pid))
			topic_tell(c, t);
	}
}

/* --- what this node subscribes to --- */

static struct rec_topic topic_rec(const struct topic *t)
{
	struct rec_topic r = { .id = t->id, .version = t->shown, .nid = t->shown_nid };

	memcpy(r.name, t->name, sizeof(r.name));
	return r;
}

/* To one other member, or to all (@nid 0). */
static void say(struct core *c, uint16_t nid, struct core_msg *m, const struct rec_topic *recs,
		size_t n)
{
	for (size_t i = 0; i < c->nmembers; i++) {
		uint16_t to = c->members[i]->rec.nid;

		if (to == c->nid || (nid && nid != to))
			continue;
		if (n)
			msg_send_recs(c, to, m, recs, n);
		else
			msg_send(c, to, m, NULL);
	}
}

static void announce_one(struct core *c, const struct topic *t, uint64_t id, uint16_t flags)
{
	struct core_msg m = msg_new(c, MSG_TOPIC_SUBSCRIBE);
	struct rec_topic r = topic_rec(t);

	if (!topic_active(c))
		return; /* the next view, or becoming a member, does it */
	r.id = id;
	m.flags = flags;
	say(c, 0, &m, &r, 1);
}

static void announce_all(struct core *c, uint16_t nid, uint16_t flags)
{
	struct core_msg m = msg_new(c, MSG_TOPIC_SUBSCRIBE);
	struct rec_topic *recs;
	size_t n, found = 0;
	uint64_t *keys = map_keys(&c->topics_by_id, &n);

	recs = core_alloc((n + 1) * sizeof(*recs));
	for (size_t i = 0; i < n; i++) {
		const struct topic *t = topic_by_id(c, keys[i]);

		if (topic_wants(t))
			recs[found++] = topic_rec(t);
	}
	m.flags = flags;
	if (found || flags)
		say(c, nid, &m, recs, found);
	free(recs);
	free(keys);
}

/* --- what others subscribe to --- */

static void sub_drop(struct core *c, struct topic_sub *s)
{
	struct topic_sub **at = &s->topic->subs;
	struct member *m = member_find(c, s->nid);

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	s->topic->remote--;
	if (m)
		m->topic_subs--;
	push_forget(c, s);
	map_del(&c->topic_subs, sub_key(s->nid, s->id));
	free(s);
}

static struct topic_sub *sub_add(struct core *c, struct member *from, const struct rec_topic *r)
{
	struct topic_sub *s = topic_sub_find(c, from->rec.nid, r->id), **at;

	if (s && !strncmp(s->topic->name, r->name, sizeof(r->name)))
		return s;
	if (s) /* another name under the same number: nobody of ours does that */
		return NULL;
	if (from->topic_subs >= TOPIC_SUBS_MAX)
		return NULL;
	from->topic_subs++;
	s = core_alloc(sizeof(*s));
	s->topic = topic_get(c, r->name);
	s->id = r->id;
	s->nid = from->rec.nid;
	for (at = &s->topic->subs; *at; at = &(*at)->next)
		;
	*at = s; /* first come, first served */
	s->topic->remote++;
	map_put(&c->topic_subs, sub_key(s->nid, s->id), s);
	return s;
}

static struct rec_presence presence_rec(const struct topic *t, uint64_t id)
{
	return (struct rec_presence){
		.id = id,
		.version = t->version,
		.pid = t->publishes ? t->pid : 0,
		.flags = t->publishes ? PRESENCE_PUBLISHES : 0,
	};
}

static void on_subscribe(struct core *c, struct member *from, const struct core_msg *m,
			 const struct rec_topic *recs)
{
	struct core_msg answer = msg_new(c, MSG_TOPIC_PUBLISHERS);
	struct rec_presence found[CORE_MSG_RECS];
	size_t n = 0;

	for (size_t i = 0; i < m->nrecs; i++) {
		struct topic_sub *s = sub_add(c, from, &recs[i]);
		struct topic *t;

		if (!s) {
			c->stats.messages_bad++;
			continue;
		}
		t = s->topic;
		/* It may have that from us, and we may have forgotten it since. */
		if (recs[i].version > t->version)
			t->version = recs[i].version;
		if (t->own > recs[i].version ||
		    (t->own && t->own == recs[i].version && c->nid > recs[i].nid))
			s->dirty = true;
		found[n++] = presence_rec(t, s->id);
		topic_tell(c, t);
	}
	msg_send_recs(c, m->src, &answer, found, n);
	for (size_t i = 0; i < m->nrecs; i++) {
		struct topic_sub *s = topic_sub_find(c, m->src, recs[i].id);

		if (!s)
			continue;
		if (s->topic->own && s->topic->news && recs[i].version > s->topic->own)
			push_again(c, s->topic);
		else
			push_to(c, s);
	}
	if (m->flags & F_RESTORED)
		announce_all(c, m->src, 0);
}

static void on_unsubscribe(struct core *c, const struct core_msg *m, const struct rec_topic *recs)
{
	for (size_t i = 0; i < m->nrecs; i++) {
		struct topic_sub *s = topic_sub_find(c, m->src, recs[i].id);
		struct topic *t;

		if (!s)
			continue;
		t = s->topic;
		sub_drop(c, s);
		topic_tell(c, t);
		topic_drained(c, t);
		topic_tidy(c, t);
	}
	push_next(c, m->src);
}

void topic_on_msg(struct core *c, const struct core_msg *m, const void *recs)
{
	struct member *from = member_find(c, m->src);

	if (!from || from == c->self)
		return;
	switch (m->type) {
	case MSG_TOPIC_SUBSCRIBE:
		if (m->flags & F_DELETED)
			on_unsubscribe(c, m, recs);
		else
			on_subscribe(c, from, m, recs);
		break;
	case MSG_TOPIC_PUBLISHERS:
		on_publishers(c, m, recs);
		break;
	case MSG_TOPIC_VALUE:
		push_on_value(c, m);
		break;
	case MSG_TOPIC_ACK:
		push_on_ack(c, m);
		break;
	}
}

/* --- this node's programs --- */

static void tell_presence(struct core *c, const struct topic *t)
{
	if (!topic_active(c))
		return; /* subscribers ask again in the next view */
	for (const struct topic_sub *s = t->subs; s; s = s->next) {
		struct core_msg m = msg_new(c, MSG_TOPIC_PUBLISHERS);
		struct rec_presence r = presence_rec(t, s->id);

		m.nrecs = 1;
		msg_send(c, s->nid, &m, &r);
	}
}

/* What was offered under an older number is gone with its memory. */
static void topic_name_anew(struct core *c, struct topic *t, uint64_t id)
{
	if (t->id == id)
		return;
	if (t->id) {
		act_add(c, ACT_TOPIC_DONE)->key = t->id;
		map_del(&c->topics_by_id, t->id);
	}
	t->id = id;
	t->own = t->shown = 0;
	t->shown_nid = 0;
	t->news = false;
	t->number_nid = 0;
	t->subscribes = t->publishes = false;
	if (id)
		map_put(&c->topics_by_id, id, t);
}

/* Somebody is still to get the last value, or to say whether he takes it. */
static bool is_behind(const struct topic *t)
{
	for (const struct topic_sub *s = t->subs; s; s = s->next)
		if (t->own && (s->dirty || s->flying))
			return true;
	return false;
}

void topic_drained(struct core *c, struct topic *t)
{
	if (t->id && !t->subscribes && !t->publishes && !is_behind(t))
		topic_name_anew(c, t, 0);
}

void topic_interest(struct core *c, const struct core_topic *now)
{
	struct topic *t = topic_get(c, now->name);
	bool wanted = topic_wants(t), published = t->publishes;
	uint64_t old_id = t->id;
	uint32_t old_pid = t->pid;

	topic_name_anew(c, t, now->id);
	t->subscribes = now->subscribes;
	t->publishes = now->publishes;
	t->pid = now->publishes ? now->pid : 0;
	if (t->publishes)
		t->number_nid = 0;
	if (wanted && (!topic_wants(t) || t->id != old_id)) {
		announce_one(c, t, old_id, F_DELETED);
		pubs_drop(c, t, true);
		wanted = false;
	}
	if (!wanted && topic_wants(t))
		announce_one(c, t, t->id, 0);
	if (published != t->publishes || old_pid != t->pid)
		tell_presence(c, t);
	topic_tell(c, t);
	topic_drained(c, t);
	topic_tidy(c, t);
}

/* --- views --- */

static void subs_drop_all(struct core *c)
{
	size_t n;
	uint64_t *keys = map_keys(&c->topic_subs, &n);

	for (size_t i = 0; i < n; i++) {
		struct topic_sub *s = map_get(&c->topic_subs, keys[i]);
		struct topic *t = s->topic;

		sub_drop(c, s);
		topic_drained(c, t);
		topic_tidy(c, t);
	}
	free(keys);
	for (size_t i = 0; i < c->nmembers; i++)
		c->members[i]->topic_flying = 0;
}

/* Nobody subscribes here until he says so in this view; @alone: and nobody else publishes. */
static void begin_again(struct core *c, bool alone)
{
	size_t n;
	uint64_t *keys;

	subs_drop_all(c);
	keys = map_keys(&c->topics_by_id, &n);
	for (size_t i = 0; i < n; i++) {
		struct topic *t = topic_by_id(c, keys[i]);

		pubs_drop(c, t, alone);
		t->number_nid = 0;
		topic_tell(c, t);
	}
	free(keys);
}

void topic_new_view(struct core *c)
{
	begin_again(c, false);
	announce_all(c, 0, 0);
}

void topic_became_member(struct core *c)
{
	if (topic_active(c))
		announce_all(c, 0, F_RESTORED);
}

void topic_lose_all(struct core *c)
{
	begin_again(c, true);
}

void topic_free_all(struct core *c)
{
	size_t n;
	uint64_t *keys;

	subs_drop_all(c);
	keys = map_keys(&c->topics_by_id, &n);
	for (size_t i = 0; i < n; i++) {
		struct topic *t = topic_by_id(c, keys[i]);

		pubs_drop(c, t, true);
		topic_name_anew(c, t, 0);
		topic_tidy(c, t);
	}
	free(keys);
	map_free(&c->topics);
	map_free(&c->topics_by_id);
	map_free(&c->topic_subs);
}
