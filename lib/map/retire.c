// SPDX-License-Identifier: MIT
/*
 * What was taken out of the map stays as it is until no reader can look at it any more.
 *
 * A stripe lists what it retired lately. When that is enough it sets the list aside until the
 * next grace pass is done, and then gives it up: see spare.c. A pass lists the slots that are in
 * a section at its begin, and is done when each of them has changed.
 */
#include <poll.h>

#include "lib/map/table.h"
#include "lib/segment/layout.h"

#define LOOKS_IDLE 64u /* looks in vain before a reader is suspected to be dead */
#define FLUSH_MS   2000u
#define ROUNDS	   8u	/* until a stripe that nobody writes is empty it takes three */
#define RECLAIM_MS 200u /* that a writer waits for readers when there is no memory */

/* Set aside what is retired where it is @least or more. */
static void turn(struct map_writer *w, uint32_t least)
{
	struct map_stripe *s = w->stripe;
	struct map_journal *j = w->journal;
	uint64_t wait = atomic_load_explicit(&s->wait_list, memory_order_relaxed);

	if (wait) {
		if (!map_grace_done(w->m, atomic_load_explicit(&s->wait_tag, memory_order_relaxed)))
			goto due;
		/* In both lists for a moment: recovery takes it as the stripe's then. */
		atomic_store_explicit(&j->trash_list, wait, memory_order_relaxed);
		atomic_store_explicit(&s->wait_list, 0, memory_order_release);
		atomic_store_explicit(&s->wait_count, 0, memory_order_relaxed);
	}
	if (atomic_load_explicit(&s->fresh_count, memory_order_relaxed) < least)
		return;
	atomic_store_explicit(&s->wait_tag, map_grace_next(w->m), memory_order_relaxed);
	/* Likewise: two lists with one beginning are one list that waits. */
	atomic_store_explicit(&s->wait_list,
			      atomic_load_explicit(&s->fresh_list, memory_order_relaxed),
			      memory_order_release);
	atomic_store_explicit(&s->wait_count,
			      atomic_load_explicit(&s->fresh_count, memory_order_relaxed),
			      memory_order_relaxed);
	atomic_store_explicit(&s->fresh_list, 0, memory_order_release);
	atomic_store_explicit(&s->fresh_count, 0, memory_order_relaxed);
due:
	w->retire_due = true;
}

void map_retire_turn(struct map_writer *w)
{
	turn(w, RETIRE_BATCH +
			atomic_load_explicit(&w->m->seg->header->slots_high, memory_order_relaxed) /
				8);
}

/* ------------------------------------------------------------ grace passes */

/* List who is in a section now, for the pass that has just been started. */
static void sections_list(struct dsm_map *m, uint64_t pass)
{
	struct map_grace *g = m->grace;
	uint32_t high = atomic_load(&m->seg->header->slots_high), n = 0;

	if (high > SEG_SLOTS)
		high = SEG_SLOTS;
	for (uint32_t i = 0; i < high; i++) {
		/* ORDER: after the store to started; pairs with section_enter(). */
		uint64_t epoch = atomic_load(&m->seg->slots[i].epoch);

		if (epoch & 1)
			g->section[n++] = (struct map_section){ .slot = i, .epoch = epoch };
	}
	atomic_store_explicit(&g->nsections, n, memory_order_relaxed);
	atomic_store_explicit(&g->listed, pass, memory_order_release);
}

/* Strike out who has ended. How many are left; @ret_slot one of them. */
static uint32_t sections_look(struct dsm_map *m, uint32_t *ret_slot)
{
	struct map_grace *g = m->grace;
	uint32_t n = atomic_load_explicit(&g->nsections, memory_order_relaxed);

	if (n > SEG_SLOTS)
		n = SEG_SLOTS;
	while (n) {
		struct map_section *s = &g->section[n - 1];

		if (s->slot < SEG_SLOTS && atomic_load(&m->seg->slots[s->slot].epoch) == s->epoch) {
			*ret_slot = s->slot;
			break;
		}
		n--;
	}
	atomic_store_explicit(&g->nsections, n, memory_order_relaxed);
	return n;
}

/* With the lock. True: @ret_slot has been at it for long. */
static bool pass_step(struct dsm_map *m, uint32_t *ret_slot)
{
	struct map_grace *g = m->grace;
	uint64_t pass = atomic_load_explicit(&g->started, memory_order_relaxed);

	if (atomic_load_explicit(&g->done, memory_order_relaxed) == pass) {
		atomic_store(&g->started, ++pass);
		atomic_store_explicit(&g->looks, 0, memory_order_relaxed);
	}
	/* Not listed by who started it: it was killed. */
	if (atomic_load_explicit(&g->listed, memory_order_relaxed) != pass) {
		seg_crash_point("map: pass started, sections not listed");
		sections_list(m, pass);
	}
	if (!sections_look(m, ret_slot)) {
		atomic_store_explicit(&g->done, pass, memory_order_release);
		return false;
	}
	return atomic_fetch_add_explicit(&g->looks, 1, memory_order_relaxed) % LOOKS_IDLE ==
	       LOOKS_IDLE - 1;
}

int map_trylock(struct dsm_map *m, struct seg_lock *lock)
{
	int err = seg_trylock(m->seg, lock, SEG_LAYER_TOP);
	seg_id id;

	if (err != -EBUSY ||
	    atomic_fetch_add_explicit(&m->busy, 1, memory_order_relaxed) % LOOKS_IDLE)
		return err;
	id = atomic_load_explicit(&lock->word, memory_order_relaxed) & SEG_ID_MASK;
	if (id && !seg_alive(m->seg, id))
		(void)seg_recover(m->seg, id);
	return err;
}

void map_grace_step(struct dsm_map *m)
{
	uint32_t slot = 0;
	bool suspected;

	if (map_trylock(m, &m->grace->lock))
		return;
	suspected = pass_step(m, &slot);
	seg_unlock(m->seg, &m->grace->lock);
	if (suspected) {
		seg_id id = seg_slot_id(&m->seg->slots[slot]);

		if (!seg_alive(m->seg, id))
			(void)seg_recover(m->seg, id);
	}
}

/* ------------------------------------------------------------ flushing */

static int stripe_flush(struct dsm_map *m, struct seg_slot *self, uint32_t i, uint64_t deadline)
{
	struct map_writer w;
	uint32_t rounds = 0;

	for (;;) {
		bool empty;
		int err = map_writer_begin(&w, m, self, i);

		if (err)
			return err;
		turn(&w, 1);
		empty = !atomic_load_explicit(&w.stripe->wait_list, memory_order_relaxed) &&
			!atomic_load_explicit(&w.stripe->fresh_list, memory_order_relaxed);
		map_writer_leave(&w);
		map_trash_empty(m, w.journal, false);
		if (empty)
			return 0;
		map_grace_step(m);
		/* Time is only for readers, or for writers that retire as fast as this frees. */
		if (map_grace_done(m, atomic_load(&w.stripe->wait_tag)) && rounds++ < ROUNDS)
			continue;
		if (seg_now_ns() > deadline)
			return seg_error(-EBUSY,
					 "a reader looks at the map's entries and does not end");
		(void)poll(NULL, 0, 1);
	}
}

static int flush(struct dsm_map *m, uint64_t ms)
{
	uint64_t deadline = seg_now_ns() + ms * 1000000ull;
	struct seg_slot *self = seg_self(m->seg);

	if (!self)
		return -EUSERS;
	map_trash_empty(m, map_journal(self), false);
	for (uint32_t i = 0; i < MAP_STRIPES; i++) {
		int err = stripe_flush(m, self, i, deadline);

		if (err)
			return err;
	}
	return 0;
}

int map_retire_flush(struct dsm_map *m)
{
	return flush(m, FLUSH_MS);
}

bool map_retire_reclaim(struct dsm_map *m)
{
	const struct seg_slot *self = seg_self(m->seg);

	/* Who is in a section would wait for itself. */
	if (!self || atomic_load_explicit(&self->epoch, memory_order_relaxed) & 1)
		return false;
	(void)flush(m, RECLAIM_MS);
	return true;
}
