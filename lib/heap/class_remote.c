// SPDX-License-Identifier: MIT
/*
 * Frees of others' blocks. They gather in the slot of who freed them; then, under the lock of
 * the owner's inbox, they are moved there, one store for each into the inbox, one that counts
 * it, and one that clears it in the slot. Killed between, it is done once more, with the
 * lock still held: an entry that is the inbox's last already is not put there again.
 * A full inbox does not stop anybody: then they are marked in the spans.
 */
#include <errno.h>

#include "lib/heap/class_fast.h"

static uint64_t out_at(const struct class_journal *j, uint32_t i)
{
	return atomic_load_explicit(&j->out[i], memory_order_relaxed);
}

static uint32_t out_count(const struct class_journal *j)
{
	uint32_t n = atomic_load_explicit(&j->out_count, memory_order_relaxed);

	return n < CLASS_OUT ? n : CLASS_OUT;
}

static void out_clear(struct class_journal *j, uint32_t i)
{
	class_step();
	atomic_store_explicit(&j->out[i], 0, memory_order_relaxed);
	class_step();
}

void class_out(struct class_journal *j, uint64_t off)
{
	uint32_t n = out_count(j);

	atomic_store_explicit(&j->out[n], off, memory_order_relaxed);
	class_step();
	atomic_store_explicit(&j->out_count, n + 1, memory_order_relaxed);
}

int class_out_room(struct class_lane *l)
{
	uint32_t n = out_count(l->journal);

	if (likely(n < CLASS_OUT_SOON))
		return 0;
	return class_out_flush(l->heap, l->slot, l, n == CLASS_OUT);
}

static void mark_in_span(dsm_heap_t *heap, struct class_inbox *inbox, uint64_t off)
{
	struct class_heap *h = class_heap(heap);
	_Atomic uint64_t *at;
	uint64_t bit;

	if (class_span_find(h, off, class_word(h, off / SEG_GRAIN), &at, &bit))
		return;
	at = class_remote(h, off / SEG_GRAIN) + (at - class_bitmap(h, off / SEG_GRAIN));
	atomic_fetch_or_explicit(at, bit, memory_order_relaxed);
	atomic_store_explicit(&inbox->overflow, 1, memory_order_relaxed);
}

static void push(dsm_heap_t *heap, struct class_inbox *inbox, uint64_t off)
{
	uint32_t n = atomic_load_explicit(&inbox->count, memory_order_relaxed);

	if (n >= CLASS_INBOX) {
#ifndef DSM_MUTANT_HEAP_FULL_INBOX_FORGETS
		mark_in_span(heap, inbox, off);
#endif
	} else if (!n || atomic_load_explicit(&inbox->off[n - 1], memory_order_relaxed) != off) {
		atomic_store_explicit(&inbox->off[n], off, memory_order_relaxed);
		class_step();
		atomic_store_explicit(&inbox->count, n + 1, memory_order_relaxed);
	}
	seg_crash_point("heap: free is in the inbox and still in the slot");
}

void class_out_push(dsm_heap_t *heap, struct class_journal *j, uint32_t index)
{
	struct class_heap *h = class_heap(heap);
	struct class_inbox *inbox = class_inbox(h, index);
	uint32_t n = out_count(j);

	for (uint32_t i = 0; i < n; i++) {
		uint64_t off = out_at(j, i);
		uint32_t word = off ? class_word(h, off / SEG_GRAIN) : 0;

		if (class_kind(word) != CLASS_SPAN || class_slot_of(word) != index)
			continue;
		push(heap, inbox, off);
		out_clear(j, i);
	}
}

static bool is_nobodys(const struct class_heap *h, uint32_t word)
{
	const struct class_inbox *inbox;

	if (class_kind(word) != CLASS_SPAN)
		return class_kind(word) == CLASS_ORPHAN;
	inbox = class_inbox(h, class_slot_of(word));
	return inbox && !atomic_load(&inbox->open);
}

void class_out_orphans(dsm_heap_t *heap, struct class_journal *j)
{
	struct class_heap *h = class_heap(heap);
	uint32_t n = out_count(j);

	for (uint32_t i = 0; i < n; i++) {
		uint64_t off = out_at(j, i);
		uint32_t word = off ? class_word(h, off / SEG_GRAIN) : 0;

		if (!off)
			continue;
		if (is_nobodys(h, word))
			class_orphan_free(heap, j, off);
		else if (class_kind(word) == CLASS_SPAN)
			continue;
		/*
		 * Or its span has gone with its last block, that is this one, and a kill came then. Now, with
		 * the lock, it is not yet anything else.
		 */
		out_clear(j, i);
	}
}

void class_settle(dsm_heap_t *heap, uint32_t index, struct class_lane *l, uint64_t off)
{
	struct class_heap *h = class_heap(heap);
	uint64_t grain = off / SEG_GRAIN, bit;
	uint32_t word = class_word(h, grain);
	_Atomic uint64_t *at;

	if (likely(l && class_free_own(h, l, off)))
		return;
	if (class_kind(word) != CLASS_SPAN || class_slot_of(word) != index ||
	    class_span_find(h, off, word, &at, &bit)) {
		atomic_fetch_add_explicit(&h->part->strange, 1, memory_order_relaxed);
		return;
	}
	if (!l) {
		atomic_fetch_or_explicit(at, bit, memory_order_relaxed);
		return;
	}
	if (atomic_load_explicit(&h->grain[grain].tag, memory_order_relaxed) != l->tag)
		class_span_learn(l, grain, class_of_word(word));
	if (!class_free_own(h, l, off))
		atomic_fetch_add_explicit(&h->part->strange, 1, memory_order_relaxed);
}

/* Those for slot @index. -EBUSY: its lock is taken, and @wait is not set; -EAGAIN: they are nobody's. */
static int send(dsm_heap_t *heap, struct class_journal *j, uint32_t index, bool wait)
{
	struct class_inbox *inbox = class_inbox(class_heap(heap), index);
	bool open;
	int err;

	if (!inbox)
		return -EBADMSG;
	atomic_store_explicit(&j->lane, index + 1, memory_order_relaxed);
	class_step();
	err = wait ? seg_lock(heap->seg, &inbox->lock, SEG_LAYER_HEAP)
		   : seg_trylock(heap->seg, &inbox->lock, SEG_LAYER_HEAP);
	if (!err) {
		open = atomic_load(&inbox->open);
		if (open)
			class_out_push(heap, j, index);
		seg_unlock(heap->seg, &inbox->lock);
		err = open ? 0 : -EAGAIN;
	}
	class_step();
	atomic_store_explicit(&j->lane, 0, memory_order_relaxed);
	return err;
}

static int send_orphans(dsm_heap_t *heap, struct class_journal *j)
{
	struct class_heap *h = class_heap(heap);
	int err = seg_lock(h->seg, &h->part->lock, SEG_LAYER_HEAP);

	if (err)
		return err;
	class_out_orphans(heap, j);
	seg_unlock(h->seg, &h->part->lock);
	return 0;
}

/* Have entry @i, and all for the same owner, be gone. */
static int send_entry(dsm_heap_t *heap, struct seg_slot *slot, struct class_lane *l, uint32_t i,
		      bool wait)
{
	struct class_heap *h = class_heap(heap);
	struct class_journal *j = class_journal(slot);
	uint32_t index = (uint32_t)(slot - h->slots);
	uint64_t off = out_at(j, i);
	uint32_t word = class_word(h, off / SEG_GRAIN);
	int err;

	switch (class_kind(word)) {
	case CLASS_SPAN:
		if (class_slot_of(word) == index) { /* adopted since */
			class_settle(heap, index, l, off);
			out_clear(j, i);
			return 0;
		}
		err = send(heap, j, class_slot_of(word), wait);
		return err == -EAGAIN ? send_orphans(heap, j) : err;
	case CLASS_ORPHAN:
		return send_orphans(heap, j);
	default:
		return -EBADMSG;
	}
}

int class_out_flush(dsm_heap_t *heap, struct seg_slot *slot, struct class_lane *l, bool wait)
{
	struct class_journal *j = class_journal(slot);
	uint32_t n = out_count(j), kept = 0;
	int err;

	for (uint32_t i = 0; i < n; i++) {
		/* Again where the owner has changed meanwhile. */
		for (int tries = 0; out_at(j, i); tries++) {
			err = tries < 100 ? send_entry(heap, slot, l, i, wait) : -EBADMSG;
			if (err == -EBADMSG)
				out_clear(j, i); /* of no span that anybody could find */
			else if (err == -EBUSY)
				kept = i + 1;
			if (err && err != -EBADMSG && err != -EBUSY)
				return err;
			if (err)
				break;
		}
	}
	atomic_store_explicit(&j->out_count, kept, memory_order_relaxed);
	return 0;
}

/* Under the lock of the lane: what is marked in its spans. */
static void collect_marks(dsm_heap_t *heap, uint32_t index, struct class_lane *l)
{
	struct class_heap *h = class_heap(heap);

	for (uint64_t g = 0; g < h->grains; g++) {
		uint32_t word = class_word(h, g), class = class_of_word(word);
		_Atomic uint64_t *remote = class_remote(h, g);

		if (class_kind(word) != CLASS_SPAN || class_slot_of(word) != index ||
		    class >= CLASS_COUNT ||
		    !seg_checked(h->seg, g * SEG_GRAIN, SEG_GRAIN, SEG_GRAIN))
			continue;
		for (uint32_t i = 0; i < class_sizes[class].words; i++) {
			uint64_t bits = atomic_load_explicit(&remote[i], memory_order_relaxed);

			for (; bits; bits &= bits - 1)
				class_settle(heap, index, l,
					     g * SEG_GRAIN + CLASS_DATA +
						     (i * 64ull + (uint64_t)__builtin_ctzll(bits)) *
							     class_sizes[class].size);
			class_step();
			atomic_store_explicit(&remote[i], 0, memory_order_relaxed);
		}
	}
}

void class_inbox_empty(dsm_heap_t *heap, uint32_t index, struct class_lane *l)
{
	struct class_inbox *inbox = class_inbox(class_heap(heap), index);
	uint32_t n = atomic_load_explicit(&inbox->count, memory_order_relaxed);

	if (n > CLASS_INBOX)
		n = CLASS_INBOX;
	while (n--) {
		class_settle(heap, index, l,
			     atomic_load_explicit(&inbox->off[n], memory_order_relaxed));
		class_step();
		atomic_store_explicit(&inbox->count, n, memory_order_relaxed);
	}
	if (atomic_load_explicit(&inbox->overflow, memory_order_relaxed)) {
		collect_marks(heap, index, l);
		class_step();
		atomic_store_explicit(&inbox->overflow, 0, memory_order_relaxed);
	}
}

int class_drain(struct class_lane *l)
{
	struct class_journal *j = l->journal;
	dsm_segment_t *seg = l->heap->seg;
	int err;

	if (!l->inbox)
		return 0;
	atomic_store_explicit(&j->lane, l->index + 1, memory_order_relaxed);
	class_step();
	err = seg_lock(seg, &l->inbox->lock, SEG_LAYER_HEAP);
	if (!err) {
		class_inbox_empty(l->heap, l->index, l);
		seg_unlock(seg, &l->inbox->lock);
	}
	class_step();
	atomic_store_explicit(&j->lane, 0, memory_order_relaxed);
	return err;
}
