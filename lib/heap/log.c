// SPDX-License-Identifier: MIT
#include "lib/heap/log.h"

#include <string.h>

int heap_log_create(dsm_segment_t *seg, uint32_t root, uint64_t *ret_off)
{
	struct heap_log *log;
	int err = seg_grains_alloc(seg, 1, ret_off, NULL);

	if (err)
		return err;
	log = seg_at(seg, *ret_off);
	memset(log, 0, sizeof(*log));
	log->magic = HEAP_LOG_MAGIC;
	seg_grains_adopt(seg, *ret_off, root);
	return 0;
}

struct heap_log *heap_log_of(const dsm_heap_t *heap)
{
	struct heap_log *log = heap->log
				       ? seg_checked(heap->seg, heap->log, sizeof(*log), SEG_GRAIN)
				       : NULL;

	return log && log->magic == HEAP_LOG_MAGIC ? log : NULL;
}

void heap_log(dsm_heap_t *heap, enum heap_event event, uint64_t off, uint64_t size, int result)
{
	struct heap_log *log = heap_log_of(heap);
	struct seg_slot *self = seg_self(heap->seg);
	struct heap_log_entry *e;
	uint64_t number;

	if (!log || !self)
		return;
	number = atomic_fetch_add(&log->count, 1) + 1;
	e = &log->entry[(number - 1) % HEAP_LOG_ENTRIES];
	/* Who reads it looks at the number before and after. */
	atomic_store(&e->number, 0);
	e->when_ns = seg_now_ns();
	e->id = seg_slot_id(self);
	e->event = (uint16_t)event;
	e->result = (int16_t)result;
	e->off = off;
	e->size = size;
	atomic_store_explicit(&e->number, number, memory_order_release);
}
