// SPDX-License-Identifier: MIT
/*
 * Grains: what structures get memory in. A run begins with one store of its
 * first entry and ends with another, so a kill leaves it given or not.
 */
#include <errno.h>
#include <string.h>

#include "lib/segment/private.h"

static uint64_t word_of(uint32_t owner, uint64_t count)
{
	return (uint64_t)(uint32_t)count << 32 | owner;
}

static struct seg_grain entry(const dsm_segment_t *seg, uint64_t i)
{
	uint64_t w = atomic_load_explicit(seg_grain_word(seg, i), memory_order_acquire);

	return (struct seg_grain){ .owner = (uint32_t)w, .count = (uint32_t)(w >> 32) };
}

static bool heads_run(struct seg_grain g)
{
	return g.owner != GRAIN_FREE && g.owner != GRAIN_REST;
}

/* Grains that have memory. */
static uint64_t grains(const dsm_segment_t *seg)
{
	return (seg_size(seg) - seg->header->data_at) / SEG_GRAIN;
}

static uint64_t grain_off(const dsm_segment_t *seg, uint64_t i)
{
	return seg->header->data_at + i * SEG_GRAIN;
}

/* The index of the grain that starts at @off; UINT64_MAX: none does. */
static uint64_t grain_at(const dsm_segment_t *seg, uint64_t off)
{
	uint64_t i = (off - seg->header->data_at) / SEG_GRAIN;

	if (off < seg->header->data_at || off % SEG_GRAIN || i >= grains(seg))
		return UINT64_MAX;
	return i;
}

static struct grains_journal *journal(struct seg_slot *s)
{
	return (struct grains_journal *)s->grains_area;
}

/* Past the run at @i, or the free grain; never beyond @end, never back. */
static uint64_t after(struct seg_grain g, uint64_t i, uint64_t end)
{
	uint64_t n = heads_run(g) && g.count ? g.count : 1;

	return n < end - i ? i + n : end;
}

/* First fit. UINT64_MAX: there is none; then @ret_tail is where free grains at the end begin. */
static uint64_t find_free(const dsm_segment_t *seg, uint64_t n, uint64_t *ret_tail)
{
	struct seg_common *common = seg_common(seg);
	uint64_t end = grains(seg), i = atomic_load(&common->lowest), start;
	bool lowest = true;

	if (i > end)
		i = end;
	for (start = i; i < end;) {
		struct seg_grain g = entry(seg, i);

		i = after(g, i, end);
		if (heads_run(g)) {
			start = i;
			continue;
		}
		if (lowest) {
			atomic_store(&common->lowest, start);
			lowest = false;
		}
		if (i - start == n)
			return start;
	}
	*ret_tail = start;
	return UINT64_MAX;
}

/* The segment has @want bytes, or err. Under grains_lock. */
static int grow_to(dsm_segment_t *seg, uint64_t want)
{
	struct seg_header *h = seg->header;
	uint64_t size = seg_size(seg), n0 = grains(seg), n1;
	uint64_t table;
	int err;

	if (want <= size)
		return 0;
	if (want > h->capacity)
		return seg_error(-ENOSPC, "%s: full: it may grow to %llu bytes", seg->priv->uri,
				 (unsigned long long)(h->capacity - h->data_at));
	n1 = (want - h->data_at) / SEG_GRAIN;
	table = (SEG_GRAINS_AT + n0 * sizeof(struct seg_grain)) / SEG_PAGE * SEG_PAGE;
	err = seg->backend->commit(seg, table,
				   SEG_GRAINS_AT + n1 * sizeof(struct seg_grain) - table);
	if (!err)
		err = seg->backend->commit(seg, size, want - size);
	if (err)
		return seg_error(err, "%s: no memory for %llu bytes more: %s", seg->priv->uri,
				 (unsigned long long)(want - size), strerror(-err));
	seg_crash_point("segment: grown, not told");
	atomic_store(&h->size, want);
	return 0;
}

/* Room for @n grains after the free ones from @tail on: ahead of need where memory allows. */
static int grow_for(dsm_segment_t *seg, uint64_t n, uint64_t tail)
{
	uint64_t need = grain_off(seg, tail) + n * SEG_GRAIN, size = seg_size(seg);
	uint64_t ahead = (size - seg->header->data_at) / 4, want;

	if (ahead < seg->backend->grow_least)
		ahead = seg->backend->grow_least;
	want = (size + ahead) / SEG_GRAIN * SEG_GRAIN;
	if (n > SEG_SIZE_MAX / SEG_GRAIN)
		return seg_error(-ENOSPC, "%s: no segment has so much memory", seg->priv->uri);
	if (want > seg->header->capacity)
		want = seg->header->capacity;
	if (want > need && !grow_to(seg, want))
		return 0;
	return grow_to(seg, need);
}

static void give(dsm_segment_t *seg, struct seg_slot *self, uint64_t first, uint64_t n)
{
	atomic_fetch_add_explicit(&journal(self)->private_runs, 1, memory_order_relaxed);
	for (uint64_t i = 1; i < n; i++)
		atomic_store_explicit(seg_grain_word(seg, first + i), word_of(GRAIN_REST, i),
				      memory_order_relaxed);
	seg_crash_point("grains: rest marked");
	atomic_store_explicit(seg_grain_word(seg, first),
			      word_of(GRAIN_PRIVATE | seg_slot_id(self), n), memory_order_release);
}

static int alloc(dsm_segment_t *seg, struct seg_slot *self, uint64_t n, uint64_t *ret_off,
		 bool *ret_zeroed)
{
	struct seg_common *common = seg_common(seg);
	uint64_t first, tail = 0;
	int err;

	err = seg_lock(seg, &common->grains_lock, SEG_LAYER_GRAINS);
	if (err)
		return err;
	first = find_free(seg, n, &tail);
	if (first == UINT64_MAX) {
		err = grow_for(seg, n, tail);
		first = tail;
	}
	if (!err) {
		if (ret_zeroed)
			*ret_zeroed = first >= atomic_load(&common->touched);
		if (first + n > atomic_load(&common->touched))
			atomic_store(&common->touched, first + n);
		give(seg, self, first, n);
		atomic_fetch_add(&common->used, n);
		*ret_off = grain_off(seg, first);
	}
	seg_unlock(seg, &common->grains_lock);
	return err;
}

int seg_grains_alloc(dsm_segment_t *seg, uint64_t n, uint64_t *ret_off, bool *ret_zeroed)
{
	struct seg_slot *self = seg_self(seg);
	int err;

	if (!n || !self)
		return self ? -EINVAL : -EUSERS;
	do
		err = alloc(seg, self, n, ret_off, ret_zeroed);
	while (err == -ENOSPC && seg_reclaim(seg));
	return err;
}

void seg_grains_adopt(dsm_segment_t *seg, uint64_t off, uint32_t root)
{
	uint64_t i = grain_at(seg, off);
	struct seg_slot *self = seg_self(seg);
	struct seg_grain g;

	if (i == UINT64_MAX || !self)
		return;
	g = entry(seg, i);
	if (g.owner != (GRAIN_PRIVATE | seg_slot_id(self)))
		return;
	atomic_store(seg_grain_word(seg, i), word_of(GRAIN_ROOT(root), g.count));
	seg_crash_point("grains: adopted");
	atomic_fetch_sub(&journal(self)->private_runs, 1);
}

/* Under grains_lock. */
static void take_back(dsm_segment_t *seg, uint64_t i, struct seg_grain g)
{
	struct seg_common *common = seg_common(seg);

	if (i < atomic_load(&common->lowest))
		atomic_store(&common->lowest, i);
	seg_crash_point("grains: about to be free");
	atomic_store(seg_grain_word(seg, i), word_of(GRAIN_FREE, 0));
	atomic_fetch_sub(&common->used, g.count);
}

int seg_grains_free(dsm_segment_t *seg, uint64_t off)
{
	struct seg_common *common = seg_common(seg);
	uint64_t i = grain_at(seg, off);
	struct seg_slot *self = seg_self(seg);
	struct seg_grain g;
	int err;

	if (i == UINT64_MAX)
		return seg_error(-EINVAL, "%s: no grain starts at %#llx", seg->priv->uri,
				 (unsigned long long)off);
	err = seg_lock(seg, &common->grains_lock, SEG_LAYER_GRAINS);
	if (err)
		return err;
	g = entry(seg, i);
	if (heads_run(g)) {
		take_back(seg, i, g);
		if (g.owner == (GRAIN_PRIVATE | seg_slot_id(self)))
			atomic_fetch_sub(&journal(self)->private_runs, 1);
	} else {
		err = seg_error(-EINVAL, "%s: no run of grains starts at %#llx", seg->priv->uri,
				(unsigned long long)off);
	}
	seg_unlock(seg, &common->grains_lock);
	return err;
}

int seg_grains_find(dsm_segment_t *seg, uint64_t off, uint64_t *ret_first, uint64_t *ret_n,
		    uint32_t *ret_root)
{
	uint64_t i = grain_at(seg, off / SEG_GRAIN * SEG_GRAIN), back = 0;
	struct seg_grain g;

	if (i == UINT64_MAX)
		return -EINVAL;
	g = entry(seg, i);
	if (g.owner == GRAIN_REST) {
		back = g.count;
		if (!back || back > i)
			return -EINVAL;
		g = entry(seg, i - back);
	}
	if (!heads_run(g) || g.count <= back || g.count > grains(seg) - (i - back))
		return -EINVAL;
	*ret_first = grain_off(seg, i - back);
	*ret_n = g.count;
	*ret_root = g.owner & GRAIN_PRIVATE ? UINT32_MAX : g.owner - 1;
	return 0;
}

/* Frees all runs of @owner; under grains_lock. */
static void sweep(dsm_segment_t *seg, uint32_t owner)
{
	uint64_t end = grains(seg);

	for (uint64_t i = 0; i < end;) {
		struct seg_grain g = entry(seg, i);

		if (g.owner == owner)
			take_back(seg, i, g);
		i = after(g, i, end);
	}
}

/* Under grains_lock: how many are given out, by the table; a kill may have left the count wrong. */
static void recount(dsm_segment_t *seg)
{
	uint64_t end = grains(seg), used = 0;

	for (uint64_t i = 0; i < end;) {
		struct seg_grain g = entry(seg, i);
		uint64_t next = after(g, i, end);

		if (heads_run(g))
			used += next - i;
		i = next;
	}
	atomic_store(&seg_common(seg)->used, used);
}

void seg_grains_sweep_root(dsm_segment_t *seg, uint32_t root)
{
	struct seg_common *common = seg_common(seg);

	if (seg_lock(seg, &common->grains_lock, SEG_LAYER_GRAINS))
		return;
	sweep(seg, GRAIN_ROOT(root));
	seg_unlock(seg, &common->grains_lock);
}

/* Is @lock among what the participant holds? It is when it died with it. */
static bool holds(const dsm_segment_t *seg, const struct seg_slot *s, const struct seg_lock *lock)
{
	return (atomic_load(&lock->word) & SEG_ID_MASK) == seg_slot_id(s) && seg;
}

void grains_recover(dsm_segment_t *seg, struct seg_slot *dead)
{
	struct seg_common *common = seg_common(seg);
	bool held = holds(seg, dead, &common->grains_lock);

	if (!held && !atomic_load(&journal(dead)->private_runs) &&
	    !atomic_load(&journal(dead)->roots))
		return;
	if (!held && seg_lock(seg, &common->grains_lock, SEG_LAYER_GRAINS))
		return;
#ifndef DSM_MUTANT_SEG_GRAINS_LEAKED
	sweep(seg, GRAIN_PRIVATE | seg_slot_id(dead));
#endif
	atomic_store(&journal(dead)->private_runs, 0);
	recount(seg);
	seg_unlock(seg, &common->grains_lock);
	roots_recover(seg, dead);
}

int dsm_segment_grow(dsm_segment_t *seg, uint64_t size)
{
	struct seg_common *common;
	uint64_t want;
	int err;

	if (!seg)
		return seg_error(-EINVAL, "no segment");
	if (size > seg->header->capacity - seg->header->data_at)
		return seg_error(
			-ENOSPC, "%s: %llu bytes are more than it may grow to (%llu)",
			seg->priv->uri, (unsigned long long)size,
			(unsigned long long)(seg->header->capacity - seg->header->data_at));
	common = seg_common(seg);
	want = seg->header->data_at + (size + SEG_GRAIN - 1) / SEG_GRAIN * SEG_GRAIN;
	err = seg_lock(seg, &common->grains_lock, SEG_LAYER_GRAINS);
	if (err)
		return err;
	err = grow_to(seg, want);
	seg_unlock(seg, &common->grains_lock);
	return err;
}
