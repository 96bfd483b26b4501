// SPDX-License-Identifier: MIT
/* Checking a map: stripe by stripe, each locked meanwhile. */
#include "lib/map/table.h"

/* What was found in a stripe. */
struct tally {
	struct map_writer *w;
	uint64_t entries, ttl, retired;
	uint64_t over; /* of the table that entries go to */
};

#define BAD(...) seg_error(-EBADMSG, __VA_ARGS__)

static int entry_check(struct tally *t, uint64_t table, uint64_t i, uint64_t word)
{
	struct dsm_map *m = t->w->m;
	uint64_t off = word & SLOT_OFF_MASK;
	struct map_found f;
	uint64_t room, version;

	if (!entry_look(m, word, &f))
		return BAD("bucket %#llx names an entry at %#llx, outside the segment",
			   (unsigned long long)i, (unsigned long long)off);
	if (f.entry->hash != map_hash(m, f.entry->key, f.key_size) ||
	    (f.entry->hash & (table_buckets(table) - 1)) != i ||
	    f.entry->hash >> SLOT_TAG_BITS != word >> SLOT_TAG_BITS)
		return BAD("the entry at %#llx is in bucket %#llx, but its key belongs elsewhere",
			   (unsigned long long)off, (unsigned long long)i);
	room = dsm_heap_usable_size(m->heap, off);
	if (room < entry_value_at(f.key_size) + f.value_size)
		return BAD("the entry at %#llx is larger than its block of %llu bytes",
			   (unsigned long long)off, (unsigned long long)room);
	version = atomic_load(&f.entry->version);
	if (!version || version > atomic_load(&t->w->stripe->version))
		return BAD("the entry at %#llx has version %llu, which its stripe never had",
			   (unsigned long long)off, (unsigned long long)version);
	t->entries++;
	t->ttl += f.entry->expires_ns != 0;
	return 0;
}

/* The first of the chain with the key of the entry at @word must be that. */
static int twice_check(struct tally *t, uint64_t table, struct map_bucket *head,
		       _Atomic uint64_t *slot)
{
	struct map_found self, first = { 0 };
	int err;

	if (!entry_look(t->w->m, atomic_load(slot), &self))
		return map_damaged("a bucket");
	err = chain_find(t->w->m, table, head, self.entry->hash, self.entry->key, self.key_size,
			 &first);
	if (err || first.slot == slot)
		return err ? map_damaged("a chain") : 0;
	return BAD("the key of the entry at %#llx is in the map twice",
		   (unsigned long long)(atomic_load(slot) & SLOT_OFF_MASK));
}

static int chain_check(struct tally *t, uint64_t table, uint64_t i)
{
	struct map_bucket *head = table_bucket(t->w->m, table, i), *b = head;
	uint32_t steps = table_over(table) + 1;
	int err = 0;

	for (; b && steps; steps--) {
		uint64_t ctl = atomic_load(&b->ctl);

		for (uint32_t k = 0; k < MAP_SLOTS && !err; k++) {
			uint64_t word = atomic_load(&b->slot[k]);

			if (!word)
				continue;
			err = entry_check(t, table, i, word);
			if (!err)
				err = twice_check(t, table, head, &b->slot[k]);
		}
		if (err)
			return err;
		b = chain_next(t->w->m, table, ctl);
		if (!b && ctl & BUCKET_NEXT)
			return BAD("bucket %#llx is followed by one that does not exist",
				   (unsigned long long)i);
		t->over += b && table == t->w->table;
	}
	return b ? BAD("the chain of bucket %#llx has no end", (unsigned long long)i) : 0;
}

static int buckets_check(struct tally *t, uint32_t index)
{
	uint64_t from = t->w->moving ? t->w->moving : t->w->table;
	int err = 0;

	for (uint64_t i = index; i < table_buckets(from) && !err; i += MAP_STRIPES) {
		uint64_t ctl = atomic_load(&table_bucket(t->w->m, from, i)->ctl);

		if (!(ctl & BUCKET_MOVED)) {
			err = chain_check(t, from, i);
			continue;
		}
		if (!t->w->moving)
			return BAD("bucket %#llx has moved, but there is no next table",
				   (unsigned long long)i);
		err = chain_check(t, t->w->table, i);
		if (!err)
			err = chain_check(t, t->w->table, i + table_buckets(from));
	}
	return err;
}

static int list_check(struct tally *t, uint64_t off, uint64_t count)
{
	uint64_t n = 0;

	for (; off; n++) {
		struct map_found f;

		if (n > count || n > seg_size(t->w->m->seg) / sizeof(struct map_entry))
			return BAD("a list of %llu retired entries has no end",
				   (unsigned long long)count);
		if (!entry_look(t->w->m, off, &f) || !dsm_heap_usable_size(t->w->m->heap, off))
			return BAD("the retired entry at %#llx is no block",
				   (unsigned long long)off);
		off = f.entry->retire_next;
	}
	t->retired += n;
	return n == count ? 0
			  : BAD("a list has %llu retired entries, not %llu", (unsigned long long)n,
				(unsigned long long)count);
}

static int numbers_check(const struct tally *t, uint32_t index)
{
	const struct map_stripe *s = t->w->stripe;
	uint64_t count = atomic_load(&s->count), ttl = atomic_load(&s->ttl);
	uint32_t over = atomic_load(&s->over[atomic_load(&s->generation) & 1]);

	if (count != t->entries)
		return BAD("stripe %u counts %llu entries, but has %llu", index,
			   (unsigned long long)count, (unsigned long long)t->entries);
	if (ttl != t->ttl)
		return BAD("stripe %u counts %llu entries with an end, but has %llu", index,
			   (unsigned long long)ttl, (unsigned long long)t->ttl);
	if (over != t->over)
		return BAD("stripe %u counts %u overflow buckets, but has %llu", index, over,
			   (unsigned long long)t->over);
	return 0;
}

static int stripe_check(struct dsm_map *m, struct seg_slot *self, uint32_t index, struct tally *ret)
{
	struct map_writer w;
	struct tally t = { .w = &w };
	int err = map_writer_begin(&w, m, self, index);

	if (err)
		return err;
	err = buckets_check(&t, index);
	if (!err)
		err = list_check(&t, atomic_load(&w.stripe->fresh_list),
				 atomic_load(&w.stripe->fresh_count));
	if (!err)
		err = list_check(&t, atomic_load(&w.stripe->wait_list),
				 atomic_load(&w.stripe->wait_count));
	if (!err)
		err = numbers_check(&t, index);
	map_writer_leave(&w);
	ret->entries += t.entries;
	ret->retired += t.retired;
	return err;
}

static int map_check(struct dsm_map *m, struct tally *ret)
{
	struct seg_slot *self = seg_self(m->seg);

	if (!self)
		return -EUSERS;
	for (uint32_t i = 0; i < MAP_STRIPES; i++) {
		int err = stripe_check(m, self, i, ret);

		if (err)
			return err;
	}
	return 0;
}

int dsm_map_validate(dsm_map_t *map)
{
	struct tally all = { 0 };

	return map_check(map, &all);
}

int64_t dsm_map_blocks(dsm_map_t *map)
{
	struct tally all = { 0 };
	int err = map_check(map, &all);

	return err ? err : (int64_t)(all.entries + all.retired);
}
