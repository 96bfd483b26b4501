/* SPDX-License-Identifier: MIT */
/* Extents known here: which pages exist and where they are at home. A sorted table without overlaps. */
#include <stdlib.h>
#include <string.h>

#include "agent/core/state.h"

/* The first extent that ends after key. */
static size_t extent_place(const struct core *c, page_key key)
{
	size_t lo = 0, hi = c->extents.n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (c->extents.e[mid].key + c->extents.e[mid].count <= key)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct rec_extent *extent_find(const struct core *c, page_key key)
{
	size_t i = extent_place(c, key);

	return i < c->extents.n && c->extents.e[i].key <= key ? &c->extents.e[i] : NULL;
}

uint64_t extent_gap(const struct core *c, page_key key)
{
	size_t i = extent_place(c, key);

	return i < c->extents.n ? c->extents.e[i].key : UINT64_MAX;
}

static void extent_insert(struct core *c, size_t i, const struct rec_extent *e)
{
	struct extent_table *t = &c->extents;

	if (t->n == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 64;
		t->e = core_realloc(t->e, t->cap * sizeof(*t->e));
	}
	memmove(&t->e[i + 1], &t->e[i], (t->n - i) * sizeof(*t->e));
	t->e[i] = *e;
	t->n++;
}

static bool extents_join(const struct rec_extent *a, const struct rec_extent *b)
{
	return a->key + a->count == b->key && a->home == b->home && a->flags == b->flags &&
	       !(a->flags & EXTENT_ALLOC) && (uint64_t)a->count + b->count <= UINT32_MAX;
}

/* Replaces what was known of these pages. Neighbours made by first touch join. */
void extent_put(struct core *c, const struct rec_extent *e)
{
	struct extent_table *t = &c->extents;
	size_t i;

	if (!e->count)
		return;
	extent_remove(c, e->key, e->count);
	i = extent_place(c, e->key);
	if (i && extents_join(&t->e[i - 1], e)) {
		t->e[--i].count += e->count;
	} else {
		extent_insert(c, i, e);
	}
	if (i + 1 < t->n && extents_join(&t->e[i], &t->e[i + 1])) {
		t->e[i].count += t->e[i + 1].count;
		memmove(&t->e[i + 1], &t->e[i + 2], (--t->n - i - 1) * sizeof(*t->e));
	}
}

/*
 * Takes of e what is not known yet, or only known from a node that guessed it
 * after it had lost its tables (see seek_on_table()).
 */
void extent_fill(struct core *c, const struct rec_extent *e)
{
	uint64_t end = e->key + e->count, pos = e->key, stop;

	while (pos < end) {
		const struct rec_extent *have = extent_find(c, pos);
		struct rec_extent part = *e;

		stop = have ? have->key + have->count : extent_gap(c, pos);
		if (!have || ((have->flags & EXTENT_GUESSED) && !(e->flags & EXTENT_GUESSED))) {
			part.key = pos;
			part.count = (uint32_t)((stop < end ? stop : end) - pos);
			if (pos != e->key)
				part.flags &= (uint16_t)~EXTENT_HEAD;
			extent_put(c, &part);
		}
		pos = stop;
	}
}

void extent_remove(struct core *c, page_key key, uint64_t count)
{
	struct extent_table *t = &c->extents;
	size_t i = extent_place(c, key);
	uint64_t end = key + count;

	while (i < t->n && t->e[i].key < end) {
		struct rec_extent *e = &t->e[i], rest = *e;
		uint64_t e_end = e->key + e->count;

		if (e->key < key) {
			e->count = (uint32_t)(key - e->key);
			i++;
			if (e_end <= end)
				continue;
			rest.key = end;
			rest.count = (uint32_t)(e_end - end);
			extent_insert(c, i, &rest);
			return;
		}
		if (e_end > end) {
			e->key = end;
			e->count = (uint32_t)(e_end - end);
			return;
		}
		memmove(e, e + 1, (--t->n - i) * sizeof(*e));
	}
}

void extent_clear(struct core *c)
{
#ifndef DSM_MUTANT_EXTENTS_LEAKED
	free(c->extents.e);
#endif
	memset(&c->extents, 0, sizeof(c->extents));
}
