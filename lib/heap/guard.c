// SPDX-License-Identifier: MIT
/* Guards and poison: what shows that somebody wrote where he should not. */
#include <errno.h>
#include <string.h>

#include "lib/heap/heap.h"

#define GUARD_BYTE 0xfdu

/* The last word of a guarded block: its size, hidden under the place and the heap's key. */
static uint64_t seal(const dsm_heap_t *heap, const void *end)
{
	return heap->key ^ seg_off(heap->seg, end) * 0x9e3779b97f4a7c15ull;
}

void heap_guard_set(const dsm_heap_t *heap, void *p, uint64_t usable, uint64_t asked)
{
	uint8_t *bytes = p, *end = bytes + usable - 8;
	uint64_t word = asked ^ seal(heap, end);

	memset(bytes + asked, GUARD_BYTE, usable - 8 - asked);
	memcpy(end, &word, 8);
}

int heap_guard_check(const dsm_heap_t *heap, const void *p, uint64_t usable, uint64_t *ret_asked)
{
	const uint8_t *bytes = p, *end = bytes + usable - 8;
	uint64_t asked;

	memcpy(&asked, end, 8);
	asked ^= seal(heap, end);
	/* There is always a byte of the pattern. */
	if (usable < 16 || asked > usable - 9)
		return -EBADMSG;
	for (const uint8_t *b = bytes + asked; b < end; b++)
		if (*b != GUARD_BYTE)
			return -EBADMSG;
	if (ret_asked)
		*ret_asked = asked;
	return 0;
}

int heap_fill_new(const struct heap_ask *ask, void *p, uint64_t bytes)
{
	if (ask->heap->flags & DSM_HEAP_POISON)
		memset(p, HEAP_POISON_NEW, bytes);
	if (ask->heap->flags & DSM_HEAP_GUARDS)
		heap_guard_set(ask->heap, p, bytes, ask->size - HEAP_GUARD);
	return 0;
}

int heap_fill_free(const struct heap_ask *ask, void *p, uint64_t bytes)
{
	if ((ask->heap->flags & DSM_HEAP_GUARDS) && heap_guard_check(ask->heap, p, bytes, NULL))
		return seg_error(-EBADMSG, "%s: block %#llx was written beyond its end",
				 dsm_segment_uri(ask->heap->seg),
				 (unsigned long long)seg_off(ask->heap->seg, p));
	if (ask->heap->flags & DSM_HEAP_POISON)
		memset(p, HEAP_POISON_FREE, bytes);
	return 0;
}
