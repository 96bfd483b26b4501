/* SPDX-License-Identifier: MIT */
/* Making, opening and removing rings; who has which end. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "ring.h"

__thread uint64_t ring_thread_number;

/* Where there is no connection, nobody is ever gone. */
static const _Atomic uint64_t nobody;

uint64_t ring_thread(void)
{
	static _Atomic uint64_t next = 1;

	if (!ring_thread_number)
		ring_thread_number = atomic_fetch_add_explicit(&next, 1, memory_order_relaxed);
	return ring_thread_number;
}

int ring_damaged(const dsm_ring_t *r, const char *what, uint64_t pos)
{
	return seg_error(-EBADMSG, "ring at offset %llu of %s: damaged %s at position %llu",
			 (unsigned long long)seg_off(r->seg, r->data), dsm_segment_uri(r->seg),
			 what, (unsigned long long)pos);
}

void ring_attach(dsm_ring_t *r, dsm_segment_t *seg, uint64_t off, uint64_t line, uint64_t capacity,
		 uint32_t kind)
{
	r->seg = seg;
	r->producer = seg_at(seg, off);
	r->consumer = seg_at(seg, off + line);
	r->sleep = seg_at(seg, off + 2 * line);
	r->data = seg_at(seg, off + RING_LINES * line);
	r->capacity = capacity;
	r->mask = capacity - 1;
	r->kind = kind;
	r->serial = atomic_load(&seg->serial);
	r->fences = !ring_has_membarrier() || seg->cluster || kind == DSM_RING_MPMC;
	ring_spin_begin(&r->send);
	ring_spin_begin(&r->recv);
	r->peer_state = &nobody;
	r->send.me = &r->send.me_alone;
	r->recv.me = &r->recv.me_alone;
}

void ring_format(dsm_segment_t *seg, uint64_t off, uint64_t line)
{
	struct ring_sleep *sleep = seg_at(seg, off + 2 * line);

	memset(seg_at(seg, off), 0, sizeof(struct ring_producer));
	memset(seg_at(seg, off + line), 0, sizeof(struct ring_consumer));
	memset(sleep, 0, sizeof(*sleep));
	sleep->producer_fences = sleep->consumer_fences = 1;
	memset(seg_at(seg, off + RING_LINES * line), 0, RING_HEADER);
}

int ring_walk(const dsm_ring_t *r, uint64_t pos, uint64_t head, uint64_t *ret)
{
	uint64_t h;

	while ((h = atomic_load_explicit(header_at(r, pos), memory_order_acquire))) {
		if (!record_fits(r, pos, h))
			return ring_damaged(r, "record", pos);
		pos += record_size(header_length(h));
		if (pos - head > r->capacity)
			return ring_damaged(r, "record", pos);
	}
	*ret = pos;
	return 0;
}

int ring_begin_send(dsm_ring_t *r)
{
	uint64_t head = atomic_load(&r->consumer->head);

	if (head & 7)
		return ring_damaged(r, "consumer's position", head);
	/* What is not released is there, whoever sent it. */
	if (ring_walk(r, head, head, &r->tail))
		return -EBADMSG;
	r->head_seen = head;
	r->fencing = 1;
	atomic_store(&r->sleep->producer_fences, 1);
	return 0;
}

int ring_begin_recv(dsm_ring_t *r)
{
	r->head = r->take = atomic_load(&r->consumer->head);
	if (r->head & 7)
		return ring_damaged(r, "consumer's position", r->head);
	atomic_store(&r->sleep->consumer_fences, r->fences);
	return 0;
}

/* ------------------------------------------------------------ ends */

static int end_claim(dsm_ring_t *r, struct ring_end *end, _Atomic uint32_t *owner, const char *name,
		     const char *what)
{
	struct seg_slot *self = seg_self(r->seg);
	uint32_t old;

	if (!self)
		return -EUSERS;
	atomic_store(end->me, seg_slot_id(self));
	do {
		old = atomic_load(owner);
		if (old && seg_alive(r->seg, old))
			return seg_error(-EBUSY, "ring %s has a %s already", name, what);
	} while (!atomic_compare_exchange_strong(owner, &old, seg_slot_id(self)));
	end->owner = owner;
	end->thread = ring_thread();
	return 0;
}

static void end_leave(struct ring_end *end)
{
	uint32_t mine = atomic_load(end->me);

	if (end->owner)
		atomic_compare_exchange_strong(end->owner, &mine, 0);
}

int ring_end_moved(dsm_ring_t *r, struct ring_end *end)
{
	/* Both ends of a connection may move at once. */
	static pthread_mutex_t moving = PTHREAD_MUTEX_INITIALIZER;
	struct seg_slot *self;
	uint32_t mine;
	bool ours;

	if (!end->owner)
		return seg_error(-EPERM, "ring: not opened for this end");
	if (r->serial != atomic_load(&r->seg->serial))
		return seg_error(-EPERM, "ring: this end is that of the process before fork()");
	self = seg_self(r->seg);
	if (!self)
		return -EUSERS;
	pthread_mutex_lock(&moving);
	mine = atomic_load(end->me);
	ours = atomic_compare_exchange_strong(end->owner, &mine, seg_slot_id(self));
	if (ours)
		atomic_store(end->me, seg_slot_id(self));
	pthread_mutex_unlock(&moving);
	if (!ours)
		return seg_error(-EPERM, "ring: this end was taken over by another process");
	end->thread = ring_thread();
	return 0;
}

/* ------------------------------------------------------------ rings by name */

static int ring_take_ends(dsm_ring_t *r, const char *name)
{
	int err = 0;

	if (r->kind == DSM_RING_MPMC) {
		r->fencing = 1;
		return seg_self(r->seg) ? 0 : -EUSERS;
	}
	if (r->flags & DSM_RING_PRODUCER) {
		err = end_claim(r, &r->send, &r->producer->owner, name, "producer");
		if (!err)
			err = ring_begin_send(r);
	}
	if (!err && r->flags & DSM_RING_CONSUMER) {
		err = end_claim(r, &r->recv, &r->consumer->owner, name, "consumer");
		if (!err)
			err = ring_begin_recv(r);
	}
	return err;
}

/* Checks what the root says, as nothing in the segment is believed. */
static int root_check(dsm_segment_t *seg, uint64_t off, const char *name, struct ring_root *ret)
{
	const struct ring_root *root = seg_checked(seg, off, sizeof(*root), SEG_PAGE);

	if (!root)
		return seg_error(-EBADMSG, "ring %s: its root lies outside", name);
	*ret = *root;
	if (ret->magic != RING_MAGIC || ret->kind > DSM_RING_MPMC || ret->line != ring_line(seg) ||
	    ret->capacity < RING_MIN || ret->capacity > RING_MAX ||
	    ret->capacity & (ret->capacity - 1) ||
	    !seg_checked(seg, off + ret->line, ring_bytes(ret->line, ret->capacity), SEG_LINE))
		return seg_error(-EBADMSG, "ring %s: its header is damaged", name);
	return 0;
}

static int ring_open_at(dsm_segment_t *seg, const char *name, uint64_t off, uint32_t flags,
			dsm_ring_t **ret)
{
	struct ring_root root = { 0 };
	dsm_ring_t *r;
	int err = root_check(seg, off, name, &root);

	if (err)
		return err;
	r = aligned_alloc(2 * SEG_LINE, (sizeof(*r) + 2 * SEG_LINE - 1) & ~(2 * SEG_LINE - 1ul));
	if (!r)
		return seg_error(-ENOMEM, "no memory");
	memset(r, 0, sizeof(*r));
	ring_attach(r, seg, off + root.line, root.line, root.capacity, root.kind);
	r->flags = flags;
	err = ring_take_ends(r, name);
	if (err) {
		dsm_ring_close(r);
		return err;
	}
	*ret = r;
	return 0;
}

int dsm_ring_open(dsm_segment_t *seg, const char *name, uint32_t flags, dsm_ring_t **ret)
{
	uint64_t off;
	int err;

	if (flags & ~RING_OPEN)
		return seg_error(-EINVAL, "ring %s: unknown flags %#x", name, flags);
	err = seg_root_find(seg, name, DSM_ROOT_RING, NULL, &off);
	return err ? err : ring_open_at(seg, name, off, flags, ret);
}

static uint64_t round_up(uint64_t capacity)
{
	uint64_t size = RING_MIN;

	while (size < capacity)
		size *= 2;
	return size;
}

static int ring_make(dsm_segment_t *seg, uint32_t index, uint64_t capacity, uint32_t kind,
		     uint64_t *ret)
{
	uint64_t line = ring_line(seg), off;
	uint64_t grains = (line + ring_bytes(line, capacity) + SEG_GRAIN - 1) / SEG_GRAIN;
	int err = seg_grains_alloc(seg, grains, &off, NULL);

	if (err)
		return err;
	seg_crash_point("ring: before its memory is the root's");
	seg_grains_adopt(seg, off, index);
	*(struct ring_root *)seg_at(seg, off) = (struct ring_root){
		.magic = RING_MAGIC, .kind = kind, .capacity = capacity, .line = line
	};
	ring_format(seg, off + line, line);
	seg_crash_point("ring: before it is published");
	seg_root_publish(seg, index, off);
	*ret = off;
	return 0;
}

int dsm_ring_create(dsm_segment_t *seg, const char *name, const struct dsm_ring_options *options,
		    dsm_ring_t **ret)
{
	static const struct dsm_ring_options defaults;
	const struct dsm_ring_options *o = options ? options : &defaults;
	uint32_t ends = o->flags & RING_OPEN, index;
	uint64_t off;
	int err;

	if (o->flags & ~(RING_OPEN | DSM_RING_EXISTING) || o->kind > DSM_RING_MPMC ||
	    o->capacity > RING_MAX)
		return seg_error(-EINVAL, "ring %s: capacity, kind or flags", name);
	err = seg_root_make(seg, name, DSM_ROOT_RING, &index);
	if (err == -EEXIST && o->flags & DSM_RING_EXISTING)
		return dsm_ring_open(seg, name, ends, ret);
	if (err)
		return err;
	err = ring_make(seg, index, round_up(o->capacity ? o->capacity : RING_DEFAULT), o->kind,
			&off);
	if (err) {
		seg_root_drop(seg, index);
		return err;
	}
	return ring_open_at(seg, name, off, ends, ret);
}

void dsm_ring_close(dsm_ring_t *r)
{
	if (!r)
		return;
	ring_fd_close(r);
	/* In a forked child the ends are the parent's. */
	if (r->serial == atomic_load(&r->seg->serial)) {
		end_leave(&r->send);
		end_leave(&r->recv);
	}
	free(r);
}

int dsm_ring_remove(dsm_segment_t *seg, const char *name)
{
	uint32_t index;
	uint64_t off;
	dsm_ring_t *r;
	int err = seg_root_find(seg, name, DSM_ROOT_RING, &index, &off);

	if (err)
		return err;
	/* With both ends ours nobody has one, or gets one any more. */
	err = ring_open_at(seg, name, off, DSM_RING_PRODUCER | DSM_RING_CONSUMER, &r);
	if (err == -EBADMSG)
		r = NULL; /* damaged: away with it */
	else if (err)
		return err;
	seg_root_drop(seg, index);
	if (r)
		r->send.owner = r->recv.owner = NULL;
	dsm_ring_close(r);
	return 0;
}
