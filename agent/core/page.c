/* SPDX-License-Identifier: MIT */
/* The table of pages: leaves of LEAF_PAGES neighbours. */
#include <stdlib.h>
#include <string.h>

#include "agent/core/state.h"

static struct leaf *leaf_find(struct core *c, page_key key)
{
	uint64_t first = key & ~(uint64_t)(LEAF_PAGES - 1);

	if (c->last_leaf && c->last_leaf->first == first)
		return c->last_leaf;
	/* Key 0 is a page like any other, so the map's keys are fine as they are. */
	return c->last_leaf = map_get(&c->leaves, first / LEAF_PAGES);
}

struct page *page_find(struct core *c, page_key key)
{
	struct leaf *l = leaf_find(c, key);

	return l ? &l->pages[key % LEAF_PAGES] : NULL;
}

struct page *page_get(struct core *c, page_key key)
{
	struct page *p = page_find(c, key);
	struct leaf *l;

	if (p)
		return p;
	l = core_alloc(sizeof(*l));
	l->first = key & ~(uint64_t)(LEAF_PAGES - 1);
	map_put(&c->leaves, l->first / LEAF_PAGES, l);
	c->nleaves++;
	c->last_leaf = l;
	return &l->pages[key % LEAF_PAGES];
}

void page_each_in(struct core *c, page_key first, page_key end, page_fn fn, void *ctx)
{
	uint64_t leaf = first / LEAF_PAGES, *keys = NULL;
	size_t n;

	if (first >= end)
		return;
	/* By the range where that is less than what this node knows. */
	n = (end - 1) / LEAF_PAGES - leaf + 1;
	if (n > c->nleaves)
		keys = map_keys(&c->leaves, &n);
	for (size_t i = 0; i < n; i++) {
		struct leaf *l = map_get(&c->leaves, keys ? keys[i] : leaf + i);

		for (unsigned int k = 0; l && k < LEAF_PAGES; k++)
			if (l->first + k >= first && l->first + k < end)
				fn(c, l->first + k, &l->pages[k], ctx);
	}
	free(keys);
}

void page_each(struct core *c, page_fn fn, void *ctx)
{
	page_each_in(c, 0, UINT64_MAX, fn, ctx);
}

static void page_reset(struct core *c, page_key key, struct page *p, void *ctx)
{
	uint8_t keep = p->flags & P_REVOKING; /* the shell is still at it */

	(void)c;
	(void)key;
	(void)ctx;
	memset(p, 0, sizeof(*p));
	p->flags = keep;
}

void page_forget_all(struct core *c)
{
	page_each(c, page_reset, NULL);
}

/* The bytes that were given away are not wanted any more. */
void page_stash_drop(struct core *c, page_key key, struct page *p)
{
	if (!(p->flags & P_STASH))
		return;
	act_page(c, ACT_STASH_DROP, key, false, 0, 0, 0, 0);
	p->flags &= (uint8_t)~P_STASH;
	(void)map_del(&c->given, key);
}

/* Takes this node's copy away; nobody waits for that. */
void page_drop(struct core *c, page_key key, struct page *p)
{
	page_stash_drop(c, key, p);
	if (p->state == PAGE_INVALID || (p->flags & P_REVOKING))
		return;
	act_page(c, ACT_REVOKE, key, false, 0, 0, REVOKE_DROP, 0);
	p->state = PAGE_INVALID;
	p->flags |= P_REVOKING;
	c->nrevoking++;
	wait_wake_page(c, key);
}
