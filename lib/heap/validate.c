// SPDX-License-Identifier: MIT
/* Is the heap whole: what its strategy finds, and the guards behind blocks. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include <dsm/heap_report.h>

#include "lib/heap/heap.h"

struct validation {
	dsm_heap_t *heap;
	dsm_heap_fault_fn fn;
	void *context;
	int faults;
	bool stopped;
};

static int tell(void *context, uint64_t off, const char *what)
{
	struct validation *v = context;

	if (v->faults < INT_MAX)
		v->faults++;
	v->stopped = v->fn && v->fn(v->context, off, what);
	return v->stopped;
}

static int guard_check(void *context, const struct heap_place *p)
{
	struct validation *v = context;
	uint64_t asked = 0;
	char text[160];

	if (p->kind != HEAP_PLACE_USED || !seg_checked(v->heap->seg, p->off, p->size, 1) ||
	    !heap_guard_check(v->heap, seg_at(v->heap->seg, p->off), p->size, &asked))
		return 0;
	(void)snprintf(text, sizeof(text),
		       "guard: the block of %lu bytes was written beyond its end",
		       (unsigned long)p->size);
	return tell(v, p->off, text);
}

int dsm_heap_validate(dsm_heap_t *heap, dsm_heap_fault_fn fn, void *context)
{
	struct validation v = { .heap = heap, .fn = fn, .context = context };
	int err;

	if (!heap)
		return seg_error(-EINVAL, "no heap");
	err = heap->ops->check(heap, tell, &v);
	if (!err && heap->flags & DSM_HEAP_GUARDS)
		err = heap->ops->walk(heap, guard_check, &v);
	if (err < 0 && !v.stopped)
		return err;
	return v.faults;
}
