/* SPDX-License-Identifier: MIT */
/*
 * A listener's server: which of its connections there is something to do for.
 *
 * When it has received all that a client sent, it asks for the doorbell: the client's next
 * message sets the connection's bit in the segment and wakes the server if it sleeps. A
 * client that the server is busy with sets nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "place.h"

#define LOOK_NS	    (RING_LOOK_US * 1000ull) /* how often it looks whether its clients live */
#define LOOK_ALL_NS (40 * LOOK_NS)	     /* though no process is known to have gone */
#define SUSPECT	    2u /* looks at all after a departure, which may come too early */

struct dsm_listener {
	struct place_map map;
	seg_id me;
	uint64_t serial;	 /* the segment's: tells a forked child */
	struct dsm_conn **conns; /* by place */
	uint64_t *todo;		 /* bits of places to look at */
	uint32_t words;		 /* of todo */
	uint32_t next;		 /* place to go on at, for fairness */
	struct dsm_conn *last;	 /* told readable; may have more */
	struct seg_spin spin;
	uint64_t looked_ns, looked_all_ns;
	int departures;	  /* tells of processes that go; -1: nothing does */
	uint32_t suspect; /* so many looks are to be at all clients */
};

static void todo_set(struct dsm_listener *l, uint32_t index)
{
	l->todo[index / 64] |= 1ull << index % 64;
}

static void todo_clear(struct dsm_listener *l, uint32_t index)
{
	l->todo[index / 64] &= ~(1ull << index % 64);
}

void listener_forget(struct dsm_listener *l, uint32_t index)
{
	if (l->last == l->conns[index])
		l->last = NULL;
	l->conns[index] = NULL;
	todo_clear(l, index);
}

/* ------------------------------------------------------------ serving */

static int listener_make(dsm_segment_t *seg, const char *name, const struct dsm_listener_options *o,
			 struct place_map *m)
{
	uint32_t ring_size = RING_MIN, index;
	uint64_t off;
	int err;

	if (o->ring_size > LISTENER_RING_MAX || o->max_conns > LISTENER_CONNS_MAX)
		return seg_error(-EINVAL, "listener %s: ring_size or max_conns", name);
	while (ring_size < (o->ring_size ? o->ring_size : LISTENER_RING))
		ring_size *= 2;
	place_layout(m, seg, ring_size, o->max_conns ? o->max_conns : LISTENER_CONNS);
	err = seg_root_make(seg, name, DSM_ROOT_LISTENER, &index);
	if (err)
		return err;
	err = seg_grains_alloc(seg, (place_root_bytes(m) + SEG_GRAIN - 1) / SEG_GRAIN, &off, NULL);
	if (err) {
		seg_root_drop(seg, index);
		return err;
	}
	seg_grains_adopt(seg, off, index);
	memset(seg_at(seg, off), 0, place_root_bytes(m));
	*(struct listener_root *)seg_at(seg, off) = (struct listener_root){
		.magic = LISTENER_MAGIC,
		.ring_size = m->ring_size,
		.max_conns = m->max_conns,
		.per_chunk = m->per_chunk,
		.line = m->line,
	};
	seg_crash_point("listener: not published");
	seg_root_publish(seg, index, off);
	return 0;
}

/* Become the server. -EBUSY. */
static int serve(struct dsm_listener *l, const char *name)
{
	struct seg_slot *self = seg_self(l->map.seg);
	uint32_t old;

	if (!self)
		return -EUSERS;
	l->me = seg_slot_id(self);
	do {
		old = atomic_load(&l->map.server->server);
		if (old && seg_alive(l->map.seg, old))
			return seg_error(-EBUSY, "listener %s is served already", name);
	} while (!atomic_compare_exchange_strong(&l->map.server->server, &old, l->me));
	return 0;
}

/* End what another server left, and find who waits to be accepted. */
static void inherit(struct dsm_listener *l)
{
	uint32_t count = place_count(&l->map);

	for (uint32_t i = 0; i < count; i++) {
		struct conn_place *p = place_at(&l->map, i);
		uint64_t state = p ? atomic_load(&p->state) : 0;

		if ((state & PLACE_PHASE) == PLACE_PENDING)
			todo_set(l, i);
		else if ((state & PLACE_PHASE) == PLACE_OPEN && !(state & PLACE_SERVER_GONE) &&
			 !place_leave(p, PLACE_SERVER_DEAD))
			place_wake(&l->map, p);
		if (p)
			(void)place_reclaim(&l->map, p);
	}
}

static void listener_free(struct dsm_listener *l)
{
	if (l->departures >= 0)
		close(l->departures);
	free(l->conns);
	free(l->todo);
	free(l);
}

static struct dsm_listener *listener_new(const struct place_map *m)
{
	struct dsm_listener *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->map = *m;
	l->serial = atomic_load(&m->seg->serial);
	l->words = (m->max_conns + 63) / 64;
	seg_spin_begin(&l->spin);
	l->departures = seg_departures_open(m->seg);
	l->suspect = SUSPECT;
	l->conns = calloc(m->max_conns, sizeof(struct dsm_conn *));
	l->todo = calloc(l->words, sizeof(*l->todo));
	if (l->conns && l->todo)
		return l;
	listener_free(l);
	return NULL;
}

int dsm_listener_create(dsm_segment_t *seg, const char *name,
			const struct dsm_listener_options *options, dsm_listener_t **ret)
{
	static const struct dsm_listener_options defaults;
	struct dsm_listener *l;
	struct place_map m;
	int err = listener_make(seg, name, options ? options : &defaults, &m);

	if (err && err != -EEXIST)
		return err;
	err = place_map(seg, name, &m);
	if (err)
		return err;
	l = listener_new(&m);
	if (!l)
		return seg_error(-ENOMEM, "no memory");
	err = serve(l, name);
	if (err) {
		listener_free(l);
		return err;
	}
	inherit(l);
	*ret = l;
	return 0;
}

void dsm_listener_close(dsm_listener_t *l)
{
	struct conn_place *p;
	uint32_t mine;

	if (!l)
		return;
	mine = l->me;
	for (uint32_t i = 0; i < l->map.max_conns; i++)
		dsm_conn_close(l->conns[i]);
	/* ORDER: a client offers its place first, then looks whether there is a server. */
	if (l->serial == atomic_load(&l->map.seg->serial) &&
	    atomic_compare_exchange_strong(&l->map.server->server, &mine, 0)) {
		for (uint32_t i = 0; i < place_count(&l->map); i++) {
			p = place_at(&l->map, i);
			if (p && (atomic_load(&p->state) & PLACE_PHASE) == PLACE_PENDING &&
			    !place_leave(p, PLACE_SERVER_CLOSED))
				place_wake(&l->map, p);
		}
	}
	listener_free(l);
}

/* ------------------------------------------------------------ waiting */

/* Bits that clients have set. */
static bool todo_fetch(struct dsm_listener *l)
{
	uint64_t any = 0;

	for (uint32_t i = 0; i < l->words; i++) {
		if (atomic_load(&l->map.ready[i]))
			l->todo[i] |= atomic_exchange(&l->map.ready[i], 0);
		any |= l->todo[i];
	}
	return any;
}

/* The next place to look at from l->next on; UINT32_MAX: none. */
static uint32_t todo_next(const struct dsm_listener *l)
{
	uint32_t word = l->next / 64;
	uint64_t bits = l->todo[word] & ~0ull << l->next % 64;

	for (uint32_t i = 0; i <= l->words; i++) {
		if (bits)
			return word * 64 + (uint32_t)__builtin_ctzll(bits);
		word = (word + 1) % l->words;
		bits = l->todo[word];
	}
	return UINT32_MAX;
}

/* Place @index is offered: accept it. */
static struct dsm_conn *take_in(struct dsm_listener *l, uint32_t index, struct conn_place *p)
{
	uint64_t state = atomic_load(&p->state);
	struct dsm_conn *c;

	if ((state & PLACE_PHASE) != PLACE_PENDING || state & PLACE_SERVER_GONE)
		return NULL;
	c = conn_new(&l->map, index, p, l, l->me);
	if (!c)
		return NULL;
	atomic_store(&p->server, l->me);
	while (!atomic_compare_exchange_strong(&p->state, &state,
					       (state & ~PLACE_PHASE) | PLACE_OPEN)) {
		if ((state & PLACE_PHASE) != PLACE_PENDING || state & PLACE_SERVER_GONE) {
			conn_free(c);
			return NULL;
		}
	}
	l->conns[index] = c;
	return c;
}

/* What there is to be told of place @index: 0 nothing, and no need to look again. */
static int look_at(struct dsm_listener *l, uint32_t index, dsm_conn_t **ret)
{
	struct dsm_conn *c = l->conns[index];
	struct conn_place *p;

	if (!c) {
		/* Bits may be left over, or false: beyond what is there. */
		p = index < place_count(&l->map) ? place_at(&l->map, index) : NULL;
		*ret = p ? take_in(l, index, p) : NULL;
		return *ret ? DSM_CONN_NEW : 0;
	}
	*ret = c;
	if (ring_has_message(&c->in) || ring_ask(&c->in, RING_DOORBELL))
		return DSM_CONN_READABLE;
	if (!conn_gone(c) || c->gone_told)
		return 0;
	/* ORDER: what was sent before the end is there when the end is seen. */
	if (ring_has_message(&c->in))
		return DSM_CONN_READABLE;
	c->gone_told = true;
	return DSM_CONN_GONE;
}

static int look_round(struct dsm_listener *l, bool only_new, dsm_conn_t **ret)
{
	uint32_t index, looked = 0;
	int event;

	if (l->last) {
		todo_set(l, l->last->index);
		l->last = NULL;
	}
	if (!todo_fetch(l))
		return 0;
	while ((index = todo_next(l)) != UINT32_MAX && looked++ < l->words * 64) {
		l->next = (index + 1) % (l->words * 64);
		if (index >= l->map.max_conns || (only_new && l->conns[index])) {
			if (index >= l->map.max_conns)
				todo_clear(l, index);
			continue;
		}
		event = look_at(l, index, ret);
		if (event != DSM_CONN_NEW)
			todo_clear(l, index);
		if (event == DSM_CONN_READABLE)
			l->last = *ret;
		if (event)
			return event;
	}
	return 0;
}

/*
 * Looks whether the clients live; those that do not are to be told of. As long as no process lets
 * go of the segment none has died, so clients that do nothing cost nothing.
 */
static void look_for_deaths(struct dsm_listener *l)
{
	uint64_t now = seg_now_ns();

	if (now - l->looked_ns < LOOK_NS)
		return;
	l->looked_ns = now;
	if (l->departures < 0 || seg_departures_seen(l->departures))
		l->suspect = SUSPECT;
	if (!l->suspect && now - l->looked_all_ns < LOOK_ALL_NS)
		return;
	l->suspect -= l->suspect > 0;
	l->looked_all_ns = now;
	for (uint32_t i = 0; i < place_count(&l->map); i++) {
		struct conn_place *p = place_at(&l->map, i);

		if (l->conns[i] && conn_look(l->conns[i]))
			todo_set(l, i);
		else if (!l->conns[i] && p && atomic_load(&p->state))
			/* Closed here, and its client died without closing. */
			(void)place_reclaim(&l->map, p);
	}
}

static bool bits_ready(const void *arg)
{
	const struct dsm_listener *l = arg;

	for (uint32_t i = 0; i < l->words; i++)
		if (atomic_load(&l->map.ready[i]))
			return true;
	return false;
}

/* 0: look again; -ETIMEDOUT. */
static int sleep_on_bell(struct dsm_listener *l, uint64_t deadline)
{
	uint64_t now = seg_now_ns(), look = l->looked_ns + LOOK_NS;
	uint64_t us = look > now ? (look - now) / 1000 + 1 : 1;
	int err = 0;

	if (now >= deadline)
		return -ETIMEDOUT;
	if (deadline != UINT64_MAX && (deadline - now + 999) / 1000 < us)
		us = (deadline - now + 999) / 1000;
	/* ORDER: pairs with place_ring(). */
	atomic_store(&l->map.bell->sleeping, 1);
	if (!bits_ready(l))
		err = seg_wait(l->map.seg, &l->map.bell->sleeping, 1, us);
	atomic_store(&l->map.bell->sleeping, 0);
	return err && err != -ETIMEDOUT && err != -EINTR ? err : 0;
}

static int wait_for(struct dsm_listener *l, bool only_new, int64_t timeout_us, dsm_conn_t **ret)
{
	uint64_t deadline = timeout_us ? ring_deadline(timeout_us) : 0;
	bool spun = false;
	int event, err = 0;

	if (l->serial != atomic_load(&l->map.seg->serial))
		return seg_error(-EPERM, "listener: it is that of the process before fork()");
	while (!err) {
		look_for_deaths(l);
		event = look_round(l, only_new, ret);
		if (event)
			return event;
		if (!timeout_us)
			return seg_error(-EAGAIN, "listener: nothing to do");
		if (spun || !seg_spin(&l->spin, bits_ready, l))
			err = sleep_on_bell(l, deadline);
		spun = true;
	}
	return err == -ETIMEDOUT ? seg_error(err, "listener: nothing until the time was over")
				 : err;
}

int dsm_listener_wait(dsm_listener_t *l, int64_t timeout_us, dsm_conn_t **ret)
{
	return wait_for(l, false, timeout_us, ret);
}

int dsm_listener_accept(dsm_listener_t *l, int64_t timeout_us, dsm_conn_t **ret)
{
	int event = wait_for(l, true, timeout_us, ret);

	return event < 0 ? event : 0;
}
