// SPDX-License-Identifier: MIT
/*
 * Blocks larger than a span holds: a run of grains each, that begins with a header. Under part->lock,
 * whoever allocates and frees them.
 */
#include <errno.h>

#include "lib/heap/class.h"

static uint64_t magic_of(const dsm_heap_t *heap, uint64_t run)
{
	return heap->key ^ run ^ CLASS_MAGIC;
}

static struct class_large *header_at(const dsm_heap_t *heap, uint64_t run)
{
	return seg_at(heap->seg, run);
}

int class_large_find(const dsm_heap_t *heap, uint64_t grain, uint64_t *ret_user,
		     uint64_t *ret_usable, uint64_t *ret_asked)
{
	uint64_t run = grain * SEG_GRAIN,
		 size = (uint64_t)(class_word(heap->own, grain) >> 2) * SEG_GRAIN;
	const struct class_large *l = header_at(heap, run);

	if (!size || !seg_checked(heap->seg, run, size, SEG_GRAIN))
		return -EBADMSG;
	if (l->magic != magic_of(heap, run) || l->user < run + sizeof(*l) ||
	    l->user > run + SEG_PAGE || l->user % HEAP_ALIGN)
		return -EBADMSG;
	*ret_user = l->user;
	*ret_usable = run + size - l->user;
	if (ret_asked)
		*ret_asked = l->size;
	return 0;
}

static void note(struct class_journal *j, enum class_op op, uint64_t run, uint64_t off,
		 uint64_t dest)
{
	atomic_store_explicit(&j->run, run, memory_order_relaxed);
	atomic_store_explicit(&j->off, off, memory_order_relaxed);
	atomic_store_explicit(&j->dest, dest, memory_order_relaxed);
	class_step();
	atomic_store_explicit(&j->op, op, memory_order_relaxed);
	class_step();
}

static void noted(struct class_journal *j)
{
	class_step();
	atomic_store_explicit(&j->op, CLASS_IDLE, memory_order_relaxed);
}

static _Atomic uint64_t *word_at(const dsm_heap_t *heap, uint64_t dest)
{
	return seg_at(heap->seg, dest);
}

/* The run is there: give its block out. */
static void fill_run(dsm_heap_t *heap, struct class_journal *j, struct heap_ask *ask, uint64_t run,
		     uint64_t n)
{
	struct class_large *l = header_at(heap, run);
	uint64_t user = run + (ask->align > sizeof(*l) ? ask->align : sizeof(*l));

	*l = (struct class_large){ magic_of(heap, run), ask->size, user, { 0 } };
	atomic_store_explicit(&j->off, user, memory_order_relaxed);
	class_step();
	atomic_store_explicit(&j->run, run, memory_order_relaxed);
	class_step();
	seg_grains_adopt(heap->seg, run, heap->root);
	seg_crash_point("heap: large block adopted, not in the table");
	atomic_store_explicit(&class_heap(heap)->table[run / SEG_GRAIN],
			      CLASS_LARGE | (uint32_t)n << 2, memory_order_release);
	if (ask->fill)
		(void)ask->fill(ask, seg_at(heap->seg, user), run + n * SEG_GRAIN - user);
	class_step();
	if (ask->dest)
		atomic_store_explicit(word_at(heap, ask->dest), user, memory_order_release);
	seg_crash_point("heap: large block given out");
}

int class_large_alloc(struct class_lane *l, struct heap_ask *ask, uint64_t *ret)
{
	dsm_heap_t *heap = l->heap;
	struct class_heap *h = class_heap(heap);
	uint64_t room = ask->align > sizeof(struct class_large) ? ask->align
								: sizeof(struct class_large);
	uint64_t n, run;
	int err;

	if (ask->size > h->grains * SEG_GRAIN - room)
		return seg_error(-ENOMEM, "the segment has no room for it, however it grows");
	n = (ask->size + room + SEG_GRAIN - 1) / SEG_GRAIN;
	err = seg_lock(heap->seg, &h->part->lock, SEG_LAYER_HEAP);
	if (err)
		return err;
	note(l->journal, CLASS_LARGE_ALLOC, 0, 0, ask->dest);
	err = seg_grains_alloc(heap->seg, n, &run, &ask->zeroed);
	if (!err) {
		fill_run(heap, l->journal, ask, run, n);
		*ret = atomic_load_explicit(&l->journal->off, memory_order_relaxed);
	}
	noted(l->journal);
	seg_unlock(heap->seg, &h->part->lock);
	return err == -ENOSPC ? -ENOMEM : err;
}

/* Under part->lock. Right too when done again. */
static void give_back(dsm_heap_t *heap, const struct class_journal *j)
{
	uint64_t run = atomic_load_explicit(&j->run, memory_order_relaxed);
	uint64_t dest = atomic_load_explicit(&j->dest, memory_order_relaxed);
	uint64_t off = atomic_load_explicit(&j->off, memory_order_relaxed);

	if (dest && atomic_load_explicit(word_at(heap, dest), memory_order_relaxed) == off)
		atomic_store_explicit(word_at(heap, dest), 0, memory_order_relaxed);
	class_step();
	seg_crash_point("heap: large block unnamed, not free");
	atomic_store_explicit(&class_heap(heap)->table[run / SEG_GRAIN], CLASS_NONE,
			      memory_order_relaxed);
	class_step();
	class_run_free(heap, run);
}

int class_large_free(struct class_lane *l, struct heap_ask *ask, uint64_t off)
{
	dsm_heap_t *heap = l->heap;
	struct class_heap *h = class_heap(heap);
	uint64_t user, usable, grain = off / SEG_GRAIN;
	int err = seg_lock(heap->seg, &h->part->lock, SEG_LAYER_HEAP);

	if (err)
		return err;
	err = class_kind(class_word(h, grain)) != CLASS_LARGE
		      ? -EINVAL
		      : class_large_find(heap, grain, &user, &usable, NULL);
	if (!err && user != off)
		err = -EINVAL;
	if (!err && ask->fill)
		err = ask->fill(ask, seg_at(heap->seg, off), usable);
	if (!err) {
		note(l->journal, CLASS_LARGE_FREE, grain * SEG_GRAIN, off, ask->dest);
		give_back(heap, l->journal);
		noted(l->journal);
	}
	seg_unlock(heap->seg, &h->part->lock);
	return err;
}

void class_large_recover(dsm_heap_t *heap, struct class_journal *j, enum class_op op)
{
	struct class_heap *h = class_heap(heap);
	uint64_t run = atomic_load_explicit(&j->run, memory_order_relaxed);
	uint64_t dest = atomic_load_explicit(&j->dest, memory_order_relaxed);
	uint64_t off = atomic_load_explicit(&j->off, memory_order_relaxed);

	if (!run || run % SEG_GRAIN || run / SEG_GRAIN >= h->grains ||
	    (dest && !heap_dest(heap->seg, dest)))
		return;
	if (op == CLASS_LARGE_ALLOC && dest &&
	    atomic_load_explicit(word_at(heap, dest), memory_order_relaxed) == off)
		return; /* it was given out */
	if (op == CLASS_LARGE_ALLOC)
		atomic_store_explicit(&j->dest, 0, memory_order_relaxed);
	give_back(heap, j);
}
