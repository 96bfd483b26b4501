// SPDX-License-Identifier: MIT
/* Places in a segment, and what there is to say about it. */
#include <errno.h>

#include "lib/segment/private.h"

uint64_t seg_size(const dsm_segment_t *seg)
{
	uint64_t size = atomic_load_explicit(&seg->header->size, memory_order_acquire);

	/* Whatever the header says: no further than what is mapped. */
	return size < seg->capacity ? size : seg->capacity;
}

void *seg_checked(const dsm_segment_t *seg, uint64_t off, uint64_t size, uint64_t align)
{
	uint64_t end = seg_size(seg);

	if (off < seg->header->data_at || off >= end || size > end - off || (off & (align - 1)))
		return NULL;
	return seg->base + off;
}

void *dsm_segment_ptr(const dsm_segment_t *seg, uint64_t off)
{
	return seg ? seg_checked(seg, off, 1, 1) : NULL;
}

uint64_t dsm_segment_offset(const dsm_segment_t *seg, const void *ptr)
{
	const uint8_t *p = ptr;

	if (!seg || p < seg->base || p >= seg->base + seg->capacity)
		return 0;
	return seg_checked(seg, (uint64_t)(p - seg->base), 1, 1) ? (uint64_t)(p - seg->base) : 0;
}

const char *dsm_segment_uri(const dsm_segment_t *seg)
{
	return seg ? seg->priv->uri : "";
}

int dsm_segment_info(dsm_segment_t *seg, struct dsm_segment_info *ret)
{
	const struct seg_header *h;
	uint32_t high;

	if (!seg || !ret)
		return seg_error(-EINVAL, "no segment, or nowhere to put its description");
	h = seg->header;
	*ret = (struct dsm_segment_info){
		.id = h->id,
		.size = seg_size(seg) - h->data_at,
		.max_size = h->capacity - h->data_at,
		.created_ns = h->created_ns,
		.creator_pid = h->creator_pid,
		.creator_uid = h->creator_uid,
		.version = h->version,
		.recovered = atomic_load(&seg_common(seg)->recovered),
	};
	ret->free_bytes = ret->size - atomic_load(&seg_common(seg)->used) * SEG_GRAIN;
	high = atomic_load(&h->slots_high);
	for (uint32_t i = 0; i < high && i < SEG_MAKER_SLOT; i++)
		ret->participants += atomic_load(&seg->slots[i].state) != SLOT_FREE;
	for (uint32_t i = 0; i < SEG_ROOTS; i++)
		ret->roots += atomic_load(&seg_roots(seg)[i].state) == ROOT_READY;
	return 0;
}
