// SPDX-License-Identifier: MIT
/*
 * Topics of this node's programs: memory that they share with the agent (topic_head.h),
 * and who of them subscribes and publishes, for the core.
 *
 * Ringing. A publisher that finds `remote` set and `rung` not sets it and says
 * CLIENT_TOPIC_CHANGED. It is cleared when the value is read, so there is about one
 * ring for each value that is sent, however many are written; while every
 * subscriber is busy with earlier values nobody rings at all.
 *
 * ORDER: the publisher writes its value, then looks at `remote` and `rung`; the agent
 * sets `remote`, or clears `rung`, and then reads the value. A barrier on each side makes
 * one of them see the other: for `rung` a fence, for `remote`, which a publisher without
 * subscribers elsewhere looks at each time, membarrier(2) here and nothing there.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/client/server_priv.h"
#include "agent/client/topic_head.h"
#include "agent/log.h"
#include "lib/channel/slots.h"

static_assert(TOPIC_SIZE_MAX == CORE_TOPIC_BYTES && TOPIC_NAME_MAX == CORE_TOPIC_NAME,
	      "topics on the wire and in memory");

#define GET_TRIES 64 /* to read a value that is written over all the time */

struct node_topic {
	struct node_topic *next;
	uint64_t id;
	uint64_t seen; /* number of the publisher's newest value that the core was told of */
	struct topic_head *head;
	struct slots slots;
	size_t bytes; /* of the memory */
	uint32_t size;
	int fd;
	unsigned int sessions, subscribers;
	struct session *publisher;
	struct core_topic_state state; /* as the core said last */
	uint32_t presence;	       /* publishers of this node that came or went */
	bool complained;
	bool restored; /* its value was kept, and nothing has come since */
	char name[TOPIC_NAME_MAX];
};

static void wake_all(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* --- memory --- */

static struct node_topic *topic_find(struct server *s, const char *name)
{
	for (struct node_topic *t = s->topics; t; t = t->next)
		if (!strcmp(t->name, name))
			return t;
	return NULL;
}

static struct node_topic *topic_by_number(struct server *s, uint64_t id)
{
	for (struct node_topic *t = s->topics; t; t = t->next)
		if (t->id == id)
			return t;
	return NULL;
}

static void topic_free(struct node_topic *t)
{
	if (t->head)
		munmap(t->head, t->bytes);
	if (t->fd >= 0)
		close(t->fd);
	free(t);
}

static int topic_memory(struct node_topic *t)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	void *at;

	t->bytes = TOPIC_HEAD_BYTES + (slots_bytes(t->size) + 4095) / 4096 * 4096;
	t->fd = memfd_create("dsm-topic", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	/* Nobody who has it may make it shorter: the agent would end by SIGBUS. */
	if (t->fd < 0 || ftruncate(t->fd, (off_t)t->bytes) || fcntl(t->fd, F_ADD_SEALS, seals))
		return errno;
	at = mmap(NULL, t->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd, 0);
	if (at == MAP_FAILED)
		return errno;
	t->head = at;
	slots_make((char *)at + TOPIC_HEAD_BYTES, t->size);
	return -slots_open((char *)at + TOPIC_HEAD_BYTES, t->bytes - TOPIC_HEAD_BYTES, &t->slots);
}

/* What was kept of it: false, nothing, or nothing that can be used. */
static bool topic_restore(struct server *s, struct node_topic *t)
{
	struct topic_memory m;

	if (!topic_kept_take(&s->kept, t->name, t->size, &m))
		return false;
	if (slots_open((char *)m.head + TOPIC_HEAD_BYTES, m.bytes - TOPIC_HEAD_BYTES, &t->slots) ||
	    t->slots.size != t->size) {
		topic_memory_free(&m);
		return false;
	}
	t->head = m.head;
	t->bytes = m.bytes;
	t->fd = m.fd;
	memset(t->head, 0, sizeof(*t->head));
	t->restored = true;
	return true;
}

/* The last value outlives who wrote and read it. */
static void topic_leave(struct server *s, struct node_topic *t)
{
	struct topic_memory m = {
		.head = t->head, .bytes = t->bytes, .size = t->size, .fd = t->fd
	};

	if (t->name[0] && slots_newest(&t->slots)) {
		strcpy(m.name, t->name);
		topic_keep(&s->kept, &m);
		t->head = NULL;
		t->fd = -1;
	}
	topic_free(t);
}

static int topic_new(struct server *s, const char *name, uint32_t size, struct node_topic **ret)
{
	struct node_topic *t;
	int err;

	if (s->ntopics >= TOPICS_MAX)
		return ENOSPC;
	t = calloc(1, sizeof(*t));
	if (!t)
		return ENOMEM;
	t->size = size ? size : TOPIC_SIZE_DEFAULT;
	strcpy(t->name, name);
	err = topic_restore(s, t) ? 0 : topic_memory(t);
	if (err) {
		topic_free(t);
		return err;
	}
	t->id = ++s->last_topic;
	t->head->magic = TOPIC_MAGIC;
	t->head->size = t->size;
	t->head->number = t->id;
	t->next = s->topics;
	s->topics = t;
	s->ntopics++;
	*ret = t;
	return 0;
}

static void topic_unlist(struct server *s, struct node_topic *t)
{
	struct node_topic **at = &s->topics;

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	s->ntopics--;
}

/* --- what the core hears --- */

static void tell_core(struct server *s, const struct node_topic *t)
{
	struct core_topic now = {
		.id = t->id,
		.subscribes = t->subscribers,
		.publishes = t->publisher,
		.pid = t->publisher ? (uint32_t)t->publisher->pid : 0,
	};
	struct core_event ev = {
		.type = EV_TOPIC,
		.topic = &now,
		.now_us = s->cfg.host->now_us(s->cfg.host->ctx),
	};

	strcpy(now.name, t->name);
	s->cfg.host->event(s->cfg.host->ctx, &ev);
}

/* Has this node's publisher written since the core was told? */
static bool topic_check(struct server *s, struct node_topic *t)
{
	struct core_event ev = { .type = EV_TOPIC_CHANGED, .key = t->id };
	uint64_t newest = slots_newest(&t->slots);

	if (!t->publisher || newest == t->seen)
		return false;
	t->seen = newest;
	ev.now_us = s->cfg.host->now_us(s->cfg.host->ctx);
	s->cfg.host->event(s->cfg.host->ctx, &ev);
	return true;
}

/* From now on the publisher rings again: what it wrote before is seen by who looks now. */
static void hear_again(struct node_topic *t)
{
#ifndef DSM_MUTANT_TOPIC_BELL_STUCK
	atomic_store(&t->head->rung, 0);
#endif
	atomic_thread_fence(memory_order_seq_cst);
}

/* --- what programs see --- */

static void show_state(struct node_topic *t)
{
	struct topic_head *h = t->head;
	bool own = t->publisher;
	uint32_t presence = t->presence + t->state.presence;
	bool changed = atomic_load(&h->presence) != presence;

	atomic_store(&h->node, t->state.nid);
	atomic_store(&h->pid, own ? (uint32_t)t->publisher->pid : t->state.pid);
	atomic_store(&h->holder, own ? t->publisher->number : 0);
	atomic_store(&h->publishers, own ? 1 : t->state.elsewhere);
	if (!changed)
		return;
	atomic_store(&h->presence, presence);
	wake_all(&h->presence);
	/* Who sleeps for a value wants to know that none will come. */
	if (atomic_exchange(&t->slots.head->waiting, 0)) {
		atomic_fetch_add(&t->slots.head->bell, 1);
		wake_all(&t->slots.head->bell);
	}
}

void server_topic_state(struct server *s, const struct core_topic_state *state)
{
	struct node_topic *t = topic_by_number(s, state->id);
	bool first;

	if (!t)
		return;
	first = !t->state.remote && state->remote;
	t->state = *state;
	atomic_store(&t->head->remote, state->remote);
	show_state(t);
	if (!first)
		return;
	if (s->membarrier)
		syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0);
	hear_again(t);
	topic_check(s, t);
}

void server_topic_put(struct server *s, uint64_t id, const void *bytes, uint32_t n, uint64_t number)
{
	struct node_topic *t = topic_by_number(s, id);
	uint64_t newest;

	if (!t || t->publisher)
		return;
	if (n > t->size) {
		atomic_fetch_add(&t->head->refused, 1);
		if (!t->complained)
			log_warn("topic %s: a value of %u bytes came, here it may have %u", t->name,
				 n, t->size);
		t->complained = true;
		return;
	}
	newest = atomic_load(&t->slots.head->newest);
	/* Numbers grow for those who read here, whoever publishes; what was kept may come again. */
	if (!(t->restored && number == newest >> 8) &&
	    (number <= newest >> 8 || number >= UINT64_MAX >> 8))
		number = (newest >> 8) + 1;
	t->restored = false;
	if (slots_put(&t->slots, bytes, n, number, newest))
		wake_all(&t->slots.head->bell);
	t->seen = number;
}

int server_topic_get(struct server *s, uint64_t id, void *room, uint64_t *ret_number)
{
	struct node_topic *t = topic_by_number(s, id);
	int n = -EINTR;

	if (!t)
		return -ENOENT;
	hear_again(t);
	/* A writer overtakes a copy when it is seven values ahead; one that always does is no writer of ours. */
	for (int i = 0; i < GET_TRIES && n == -EINTR; i++) {
		uint64_t word = atomic_load(&t->slots.head->newest);

		if (!word)
			return -ENODATA;
		*ret_number = word >> 8;
		n = slots_copy(&t->slots, (uint32_t)word, word >> 8, room, t->size);
	}
	/* Not seen yet: the others are to get it too, when the publisher rings. */
	return n < 0 ? -EBADMSG : n;
}

/* --- sessions --- */

static void membarrier_probe(struct server *s)
{
	long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);

	s->membarrier = commands > 0 && (commands & MEMBARRIER_CMD_GLOBAL_EXPEDITED);
}

static bool name_ok(const char *name)
{
	size_t n = strlen(name);

	for (const char *p = name; *p; p++)
		if ((unsigned char)*p < ' ')
			return false;
	return n && n < TOPIC_NAME_MAX;
}

/* Nobody has it open, its last value is on its way, and the next to come wants another size. */
static bool topic_is_over(const struct node_topic *t, const struct client_req *req)
{
	return !t->sessions && req->count && req->count != t->size;
}

/* 0 or a positive errno. */
static int open_check(struct session *c, const struct client_req *req, const char *name)
{
	const uint32_t roles = TOPIC_SUBSCRIBE | TOPIC_PUBLISH;
	const struct node_topic *t;

	if (!name_ok(name) || strlen(name) != req->length)
		return EINVAL;
	if ((req->arg & ~(uint32_t)TOPIC_FLAGS_ALL) || !(req->arg & roles) ||
	    ((req->arg & TOPIC_TAKE) && !(req->arg & TOPIC_PUBLISH)))
		return EINVAL;
	if (req->count > TOPIC_SIZE_MAX)
		return EMSGSIZE;
	if (c->topic && strcmp(c->topic->name, name))
		return EALREADY;
	t = topic_find(c->srv, name);
	if (!t || topic_is_over(t, req))
		return 0;
	if (req->count && req->count != t->size)
		return EMSGSIZE;
	if ((req->arg & TOPIC_PUBLISH) && t->publisher && t->publisher != c &&
	    !(req->arg & TOPIC_TAKE))
		return EBUSY;
	return 0;
}

/* What was written by the last publisher goes out before it is gone. */
static void publisher_set(struct server *s, struct node_topic *t, struct session *c)
{
	if (t->publisher == c)
		return;
	if (t->state.remote)
		topic_check(s, t);
	if (t->publisher)
		t->publisher->topic_flags &= ~(uint32_t)TOPIC_PUBLISH;
	/* One that takes another's place is another publisher; 2: whoever looks sees a difference. */
	t->presence += t->publisher && c ? 2 : 1;
	t->publisher = c;
	t->restored = false;
	t->seen = slots_newest(&t->slots);
	hear_again(t);
}

static void roles_set(struct session *c, struct node_topic *t, uint32_t flags)
{
	if (c->topic_flags & TOPIC_SUBSCRIBE)
		t->subscribers--;
	if (flags & TOPIC_SUBSCRIBE)
		t->subscribers++;
	if (flags & TOPIC_PUBLISH)
		publisher_set(c->srv, t, c);
	else if (t->publisher == c)
		publisher_set(c->srv, t, NULL);
	c->topic_flags = flags & (TOPIC_SUBSCRIBE | TOPIC_PUBLISH);
	show_state(t);
	tell_core(c->srv, t);
}

void topic_open_handle(struct session *c, const struct client_req *req, const char *name)
{
	struct client_rep rep = { .flags = CLIENT_LAST };
	struct server *s = c->srv;
	struct node_topic *t;
	int err = open_check(c, req, name);

	if (!s->last_topic)
		membarrier_probe(s);
	t = err ? NULL : topic_find(s, name);
	if (t && topic_is_over(t, req)) {
		t->name[0] = '\0'; /* the core is done with it as soon as it hears of the new one */
		t = NULL;
	}
	if (!err && !t)
		err = topic_new(s, name, (uint32_t)req->count, &t);
	if (err) {
		packet_error(c, err);
		return;
	}
	if (!c->topic)
		t->sessions++;
	c->topic = t;
	roles_set(c, t, req->arg);
	rep.val[0] = t->id;
	rep.val[1] = t->size;
	rep.val[2] = t->bytes;
	rep.val[3] = s->membarrier;
	packet_reply(c, &rep, t->fd);
}

void topic_changed_handle(struct session *c)
{
	struct node_topic *t = c->topic;

	if (!t) {
		packet_error(c, ENOENT);
		return;
	}
	if (topic_check(c->srv, t))
		return;
	/* The core knows this value, or it was rung by one who publishes no more; the next one must be rung for. */
	hear_again(t);
	topic_check(c->srv, t);
}

void topic_session_gone(struct session *c)
{
	struct node_topic *t = c->topic;

	if (!t)
		return;
	c->topic = NULL;
	t->sessions--;
	roles_set(c, t, 0); /* the last one's: the core says when the memory may go */
}

void server_topic_done(struct server *s, uint64_t id)
{
	struct node_topic *t = topic_by_number(s, id);

	if (!t || t->sessions)
		return; /* it was opened again meanwhile */
	topic_unlist(s, t);
	topic_leave(s, t);
}

void topics_free(struct server *s)
{
	while (s->topics) {
		struct node_topic *t = s->topics;

		topic_unlist(s, t);
		topic_free(t);
	}
	topic_kept_free(&s->kept);
}
