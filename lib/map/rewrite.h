/* SPDX-License-Identifier: MIT */
/*
 * Overwriting a value in its place: on segments of one host, where the new one takes as many
 * 8-byte words as the old one, and neither has an end. It saves a block, the list of retired
 * ones, and what readers had of the old entry in their caches.
 *
 * The writer, with the stripe's lock, has the new value in its slot's journal before it puts
 * its slot's number in the place of the entry's version. That is the change: from then on readers
 * take the value from there, until it is in the entry, and the version says so. So they never
 * wait for a writer, whether it is slow, stopped or dead. A reader believes what it has copied
 * if the version is the same before and after; as no version comes twice, none is taken for another
 * (a seqlock; on its barriers, H.-J. Boehm, "Can seqlocks get along with programming language
 * memory models?" (2012)).
 */
#ifndef DSM_LIB_MAP_REWRITE_H
#define DSM_LIB_MAP_REWRITE_H

#include "lib/map/table.h"

static inline uint64_t rewrite_mark(const dsm_segment_t *seg, const struct seg_slot *slot,
				    uint64_t version)
{
	return ENTRY_REWRITTEN | (uint64_t)(slot - seg->slots) << ENTRY_SLOT_SHIFT |
	       (version & ENTRY_VERSION_MASK);
}

/* What @c wants could be done in the place of what is there, which has to be looked at. */
static inline bool rewrite_likely(const struct dsm_map *m, const struct map_change *c)
{
	return c->want < MAP_DELETE && c->want != MAP_ADD && c->value_size <= MAP_REWRITE_MAX &&
	       !c->expires_ns && !m->cluster;
}

/* The value, for rewrite(). */
static inline void rewrite_prepare(struct map_journal *j, const struct map_change *c)
{
	/* ORDER: after the version of the entry that was rewritten last; pairs with redo_read(). */
	bytes_fence(memory_order_release);
	bytes_store(j->redo, c->value, c->value_size);
	atomic_store_explicit(&j->redo_size, (uint32_t)c->value_size, memory_order_relaxed);
}

/* Of who is not expired. A reader that was disturbed too often may ask for calm. */
static inline bool rewrite_fits(const struct map_writer *w, const struct map_change *c,
				const struct map_found *f)
{
	return likely(!atomic_load_explicit(&w->stripe->calm, memory_order_relaxed)) &&
	       (f->value_size + 7ull) / 8 == (c->value_size + 7) / 8 && !f->entry->expires_ns &&
	       seg_off(w->m->seg, f->entry) >= w->m->data_at;
}

/* From the mark on. Also done by who recovers. */
static inline void rewrite_finish(struct map_journal *j, struct map_stripe *s, struct map_entry *e,
				  void *value, uint64_t mark)
{
	uint64_t version = atomic_load_explicit(&j->redo_version, memory_order_relaxed);
	uint32_t size = atomic_load_explicit(&j->redo_size, memory_order_relaxed);

#ifndef DSM_MUTANT_MAP_REWRITE_UNMARKED
	atomic_store_explicit(&e->version, mark, memory_order_release);
#endif
	/* ORDER: before the first byte; pairs with value_read(). */
	bytes_fence(memory_order_release);
	atomic_store_explicit(&e->value_size, size, memory_order_relaxed);
	bytes_store(value, j->redo, size);
	atomic_store_explicit(&e->version, version, memory_order_release);
	atomic_store_explicit(&s->version, version, memory_order_release);
	atomic_store_explicit(&j->op, MAP_OP_NONE, memory_order_release);
}

/* Have @f, which rewrite_fits(), the value that was prepared. */
static inline uint64_t rewrite(struct map_writer *w, const struct map_found *f)
{
	struct map_journal *j = w->journal;
	uint64_t version = atomic_load_explicit(&w->stripe->version, memory_order_relaxed) + 1;

	j->word = seg_off(w->m->seg, f->entry);
	atomic_store_explicit(&j->redo_version, version, memory_order_relaxed);
	atomic_store_explicit(&j->op, MAP_OP_REWRITE, memory_order_release);
	rewrite_finish(j, w->stripe, f->entry, (uint8_t *)f->entry + entry_value_at(f->key_size),
		       rewrite_mark(w->m->seg, w->self, version));
	w->changed = true;
	return version;
}

/* What is left of a rewrite of @dead, which has the stripe's lock. */
static inline void rewrite_mend(struct dsm_map *m, struct seg_slot *dead, struct map_stripe *s)
{
	struct map_journal *j = map_journal(dead);
	struct map_entry *e = seg_checked(m->seg, j->word, sizeof(*e), 8);
	uint64_t version = atomic_load(&j->redo_version), now = e ? atomic_load(&e->version) : 0;
	uint64_t mark = rewrite_mark(m->seg, dead, version);
	uint64_t value_at = e ? entry_value_at(e->key_size) : 0;
	uint32_t size = atomic_load(&j->redo_size);

	if (e && (now == mark || now == version) && size <= MAP_REWRITE_MAX &&
	    seg_checked(m->seg, j->word, value_at + size, 8))
		rewrite_finish(j, s, e, (uint8_t *)e + value_at, mark);
}

/* ------------------------------------------------------------ reading */

/* What was copied is what the entry had when its version was @version. */
static inline bool rewrite_none_since(const struct map_entry *e, uint64_t version)
{
#ifdef DSM_MUTANT_MAP_REWRITE_BELIEVED
	return true;
#endif
	/* ORDER: after the last byte; pairs with rewrite_prepare() and rewrite_finish(). */
	bytes_fence(memory_order_acquire);
	return likely(atomic_load_explicit(&e->version, memory_order_relaxed) == version);
}

/* A value as it was at some moment: its version and size. */
struct value_seen {
	uint64_t version;
	uint32_t size;
};

/*
 * read.c: in a section, copies the value of @f to @buffer, no more than @room bytes of it. -EBADMSG:
 * there is none.
 */
int value_read(struct dsm_map *m, const struct map_found *f, void *buffer, size_t room,
	       struct value_seen *ret);

#endif
