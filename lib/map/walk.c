// SPDX-License-Identifier: MIT
/* Reading a group of entries, wherever growing has put them meanwhile. */
#include <stdlib.h>

#include "lib/map/rewrite.h"
#include "lib/map/section.h"
#include "lib/map/walk.h"

struct walk {
	struct dsm_map *m;
	const void *prefix;
	size_t prefix_size;
	struct walk_group *group;
};

static int room_make(struct walk_group *g, size_t bytes)
{
	size_t room = g->room ? g->room : 4096;
	uint8_t *more;

	while (room < g->used + bytes)
		room *= 2;
	if (room == g->room)
		return 0;
	more = realloc(g->bytes, room);
	if (!more)
		return seg_error(-ENOMEM, "no memory to copy %zu bytes of entries",
				 g->used + bytes);
	g->bytes = more;
	g->room = room;
	return 0;
}

struct walk_copy *walk_copy_at(struct walk_group *g, size_t at)
{
	struct walk_copy *c = (struct walk_copy *)(g->bytes + at);

	c->entry.key = (uint8_t *)(c + 1);
	c->entry.value = (uint8_t *)(c + 1) + ((c->entry.key_size + 7ull) & ~7ull);
	return c;
}

/* An entry that went and came again while its chain was read: keep what was read last. */
static void copy_forget(struct walk_group *g, size_t from, const struct map_entry *e)
{
	for (size_t at = from; at < g->used;) {
		struct walk_copy *c = walk_copy_at(g, at);
		size_t bytes = c->bytes;

		if (c->hash != e->hash || c->entry.key_size != e->key_size ||
		    !bytes_same(c->entry.key, e->key, e->key_size)) {
			at += bytes;
			continue;
		}
		memmove(g->bytes + at, g->bytes + at + bytes, g->used - at - bytes);
		g->used -= bytes;
		g->count--;
		return;
	}
}

static int copy_add(struct walk *walk, const struct map_found *f, size_t from)
{
	struct walk_group *g = walk->group;
	uint64_t value_at = (f->key_size + 7ull) & ~7ull;
	uint64_t room = (f->value_size + 7ull) & ~7ull;
	uint64_t bytes = sizeof(struct walk_copy) + value_at + room;
	struct value_seen seen;
	struct walk_copy *c;
	int err;

	if (f->key_size < walk->prefix_size ||
	    !bytes_same(f->entry->key, walk->prefix, walk->prefix_size))
		return 0;
	if (!g->expired && map_expired(f->entry->expires_ns))
		return 0;
	copy_forget(g, from, f->entry);
	err = room_make(g, bytes);
	if (err)
		return err;
	c = (struct walk_copy *)(g->bytes + g->used);
	*c = (struct walk_copy){ .hash = f->entry->hash, .bytes = bytes };
	err = value_read(walk->m, f, (uint8_t *)(c + 1) + value_at, room, &seen);
	if (err)
		return err;
	c->entry.key_size = f->key_size;
	c->entry.value_size = seen.size < room ? seen.size : (uint32_t)room;
	c->entry.version = seen.version;
	c->entry.expires_ns = f->entry->expires_ns;
	bytes_copy(c + 1, f->entry->key, f->key_size);
	g->used += bytes;
	g->count++;
	return 0;
}

static int chain_read(struct walk *walk, uint64_t table, struct map_bucket *b)
{
	uint32_t steps = table_over(table) + 1;
	size_t from = walk->group->used;
	struct map_found f;

	for (; b && steps; steps--) {
		for (uint32_t i = 0; i < MAP_SLOTS; i++) {
			uint64_t word = atomic_load_explicit(&b->slot[i], memory_order_acquire);
			int err;

			if (!word)
				continue;
			if (!entry_look(walk->m, word, &f))
				return map_damaged("a bucket");
			err = copy_add(walk, &f, from);
			if (err)
				return err;
		}
		b = chain_next(walk->m, table, atomic_load_explicit(&b->ctl, memory_order_acquire));
	}
	return b ? map_damaged("a chain without an end") : 0;
}

/* All buckets of @table in the group; those that moved in the next one. */
static int group_read(struct walk *walk, uint64_t table, uint64_t group, uint64_t groups)
{
	if (!table_good(walk->m, table) || table_buckets(table) < groups)
		return map_damaged("its table");
	for (uint64_t i = group; i < table_buckets(table); i += groups) {
		struct map_bucket *b = table_bucket(walk->m, table, i);
		struct walk_group before = *walk->group;
		bool moved = atomic_load_explicit(&b->ctl, memory_order_acquire) & BUCKET_MOVED;
		int err = moved ? 0 : chain_read(walk, table, b);

		if (!moved &&
		    !(atomic_load_explicit(&b->ctl, memory_order_acquire) & BUCKET_MOVED)) {
			if (err)
				return err;
			continue;
		}
		walk->group->used = before.used;
		walk->group->count = before.count;
		/* Ever larger, so this ends. */
		if (table_log(table_next(walk->m, table)) <= table_log(table))
			return map_damaged("its next table");
		err = group_read(walk, table_next(walk->m, table), i, table_buckets(table));
		if (err)
			return err;
	}
	return 0;
}

uint64_t walk_groups(struct dsm_map *m)
{
	uint64_t table = atomic_load(&m->header->table);

	return table_good(m, table) ? table_buckets(table) : 0;
}

int walk_group_read(struct dsm_map *m, uint64_t group, uint64_t groups, const void *prefix,
		    size_t prefix_size, struct walk_group *ret)
{
	struct walk walk = { m, prefix, prefix_size, ret };
	struct seg_slot *self = seg_self(m->seg);
	bool entered;
	int err;

	if (!self)
		return -EUSERS;
	map_fence();
	entered = section_enter(self);
	err = group_read(&walk, atomic_load(&m->header->table), group, groups);
	section_leave(self, entered);
	return err;
}
