/* SPDX-License-Identifier: MIT */
/* Looking on: what a ring holds, and whether it is whole. */
#include <errno.h>

#include "ring.h"

static uint32_t pid_of(const dsm_ring_t *r, const _Atomic uint32_t *owner)
{
	seg_id id = atomic_load(owner);

	return id && seg_alive(r->seg, id) ? r->seg->slots[SEG_ID_SLOT(id)].pid : 0;
}

int dsm_ring_stat(dsm_ring_t *r, struct dsm_ring_stat *ret)
{
	uint64_t head = atomic_load(&r->consumer->head);
	uint64_t tail = head;

	/* While it is in use, what is found at a place may be another record by now. */
	(void)ring_walk(r, head, head, &tail);
	*ret = (struct dsm_ring_stat){
		.kind = r->kind,
		.capacity = r->capacity,
		.message_max = ring_message_max(r),
		.used = tail - head,
		.head = head,
	};
	if (r->kind == DSM_RING_SPSC && !r->conn) {
		ret->producer_pid = pid_of(r, &r->producer->owner);
		ret->consumer_pid = pid_of(r, &r->consumer->owner);
	}
	return 0;
}

static bool state_known(const dsm_ring_t *r, uint64_t h)
{
	enum ring_state state = header_state(h);

	if (state == RING_READY || state == RING_PAD)
		return !header_who(h);
	if (r->kind != DSM_RING_MPMC)
		return false;
	if (state == RING_DONE)
		return !header_who(h);
	return (state == RING_RESERVED || state == RING_TAKEN) && header_who(h);
}

int dsm_ring_validate(dsm_ring_t *r)
{
	uint64_t head = atomic_load(&r->consumer->head), tail = atomic_load(&r->producer->tail);
	uint64_t take = atomic_load(&r->consumer->take), pos = head, h;
	int messages = 0;

	if (head & 7)
		return ring_damaged(r, "consumer's position", head);
	if (r->kind == DSM_RING_MPMC && (take & 7 || take - head > r->capacity))
		return ring_damaged(r, "consumers' next position", take);
	while ((h = atomic_load_explicit(header_at(r, pos), memory_order_acquire))) {
		if (!record_fits(r, pos, h) || !state_known(r, h))
			return ring_damaged(r, "record", pos);
		if (header_state(h) == RING_READY || header_state(h) == RING_TAKEN)
			messages++;
		pos += record_size(header_length(h));
		if (pos - head > r->capacity)
			return ring_damaged(r, "record", pos);
	}
	/* The positions may lag behind the records, never be ahead of them. */
	if ((int64_t)(pos - tail) < 0)
		return ring_damaged(r, "producer's position", tail);
	if (r->kind == DSM_RING_MPMC && (int64_t)(pos - take) < 0)
		return ring_damaged(r, "consumers' next position", take);
	return messages;
}
