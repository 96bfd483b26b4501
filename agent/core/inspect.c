/* SPDX-License-Identifier: MIT */
/* Looking into the core: for status, the simulator's checks and tests. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/state.h"

void core_stats_get(const struct core *c, struct core_stats *ret)
{
	*ret = c->stats;
}

void core_info_get(const struct core *c, struct core_info *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->state = c->state;
	ret->epoch = c->epoch;
	ret->cluster = c->cluster;
	ret->nid = c->nid;
	ret->master = c->master;
	ret->rebuilding = c->rebuilding || c->frozen;
	for (size_t i = 0; i < c->nmembers; i++) {
		const struct member *m = c->members[i];

		if (m->rec.state == MEMBER_JOINING)
			continue;
		ret->members++;
		ret->chunks_total += m->rec.chunks;
	}
	for (size_t i = 0; i < c->extents.n; i++)
		ret->chunks_used += c->extents.e[i].count;
}

void core_each_member(const struct core *c,
		      void (*fn)(void *ctx, const struct rec_member *m, bool link_up), void *ctx)
{
	for (size_t i = 0; i < c->nmembers; i++)
		fn(ctx, &c->members[i]->rec, c->members[i] == c->self || c->members[i]->link);
}

void core_each_region(const struct core *c, void (*fn)(void *ctx, const struct rec_region *r),
		      void *ctx)
{
	for (size_t i = 0; i < c->nregions; i++)
		fn(ctx, &c->regions[i]);
}

void core_each_extent(const struct core *c, void (*fn)(void *ctx, const struct rec_extent *e),
		      void *ctx)
{
	for (size_t i = 0; i < c->extents.n; i++)
		fn(ctx, &c->extents.e[i]);
}

static void show_lock(struct lock *l, void (*fn)(void *ctx, const struct core_lock_info *l),
		      void *ctx)
{
	uint32_t w = atomic_load(l->word);
	struct core_lock_info info = { .id = l->id,
				       .here = w != LOCK_WORD_ABSENT,
				       .token_nid = l->token_nid };

	if (w & LOCK_WORD_HELD)
		info.holder = w & LOCK_WORD_CLIENT;
	for (const struct lock_waiter *q = l->head; q; q = q->next)
		info.waiters++;
	fn(ctx, &info);
}

static void show_rwlock(struct rwlock *l, void (*fn)(void *ctx, const struct core_lock_info *l),
			void *ctx)
{
	struct core_lock_info info = { .id = l->id, .rw = true, .here = true };

	for (const struct rw_entry *e = l->head; e; e = e->next) {
		if (e->held && !info.token_nid) {
			info.token_nid = e->nid;
			info.holder = 1;
		}
		info.waiters += !e->held;
	}
	fn(ctx, &info);
}

void core_each_lock(const struct core *c, void (*fn)(void *ctx, const struct core_lock_info *l),
		    void *ctx)
{
	size_t n;
	uint64_t *keys = map_keys(&c->locks, &n);

	for (size_t i = 0; i < n; i++)
		show_lock(map_get(&c->locks, keys[i]), fn, ctx);
	free(keys);
	keys = map_keys(&c->rwlocks, &n);
	for (size_t i = 0; i < n; i++)
		show_rwlock(map_get(&c->rwlocks, keys[i]), fn, ctx);
	free(keys);
}

void core_each_barrier(const struct core *c,
		       void (*fn)(void *ctx, const struct core_barrier_info *b), void *ctx)
{
	size_t n;
	uint64_t *keys = map_keys(&c->barriers, &n);

	for (size_t i = 0; i < n; i++) {
		const struct barrier *b = map_get(&c->barriers, keys[i]);
		struct core_barrier_info info = { .id = b->id, .count = b->count };

		for (const struct arrival *a = b->head; a; a = a->next)
			info.arrived++;
		fn(ctx, &info);
	}
	free(keys);
	if (c->nid == c->master)
		return;
	keys = map_keys(&c->barrier_clients, &n);
	for (size_t i = 0; i < n; i++) {
		const struct barrier_client *b = map_get(&c->barrier_clients, keys[i]);
		struct core_barrier_info info = { .id = b->id, .count = b->count, .arrived = 1 };

		fn(ctx, &info);
	}
	free(keys);
}

static void show_page(const struct core *c, page_key key, const struct page *p,
		      struct core_page_info *ret)
{
	const struct rec_extent *e = extent_find(c, key);

	memset(ret, 0, sizeof(*ret));
	ret->key = key;
	ret->ver = p->ver;
	ret->state = map_get(&c->requests, key) ? PAGE_PENDING : p->state;
	ret->home = e ? e->home : 0;
	ret->busy = map_get(&c->txns, key) || (p->flags & P_REVOKING);
	ret->lost = p->flags & P_LOST;
	if (!e || e->home != c->nid)
		return;
	ret->owner = p->owner;
	ret->sharers = sharer_count(p);
	ret->dir_state = p->owner ? PAGE_MODIFIED : ret->sharers ? PAGE_SHARED : PAGE_INVALID;
}

void core_each_page(const struct core *c, void (*fn)(void *ctx, const struct core_page_info *p),
		    void *ctx)
{
	size_t n;
	uint64_t *keys = map_keys(&c->leaves, &n);
	struct core_page_info info;

	for (size_t i = 0; i < n; i++) {
		const struct leaf *l = map_get(&c->leaves, keys[i]);

		for (unsigned int k = 0; k < LEAF_PAGES; k++) {
			show_page(c, l->first + k, &l->pages[k], &info);
			if (info.state || info.dir_state || info.lost)
				fn(ctx, &info);
		}
	}
	free(keys);
}

int core_page_get(const struct core *c, page_key key, struct core_page_info *ret)
{
	const struct leaf *l = map_get(&c->leaves, key / LEAF_PAGES);

	if (!l)
		return -ENOENT;
	show_page(c, key, &l->pages[key % LEAF_PAGES], ret);
	return 0;
}

void core_page_memory(const struct core *c, size_t *ret_bytes, size_t *ret_pages)
{
	*ret_pages = c->nleaves * LEAF_PAGES;
	*ret_bytes = c->nleaves * sizeof(struct leaf) + c->leaves.cap * sizeof(struct map_slot);
}

void core_each_topic(const struct core *c, void (*fn)(void *ctx, const struct core_topic_info *t),
		     void *ctx)
{
	size_t n;
	uint64_t *keys = map_keys(&c->topics, &n);

	for (size_t i = 0; i < n; i++)
		for (const struct topic *t = map_get(&c->topics, keys[i]); t; t = t->next) {
			struct core_topic_info info = {
				.name = t->name,
				.id = t->id,
				.subscribes = t->subscribes,
				.publishes = t->publishes,
				.subscribers = t->remote,
				.version = t->version,
			};

			for (const struct topic_pub *p = t->pubs; p; p = p->next)
				info.publishers++;
			for (const struct topic_sub *s = t->subs; s; s = s->next)
				info.behind |= t->own && s->dirty;
			fn(ctx, &info);
		}
	free(keys);
}
