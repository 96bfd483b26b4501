/* SPDX-License-Identifier: MIT */
/*
 * What a node keeps outside of itself, for the agent that is started in its
 * place: the extents and regions that it knows, lost pages. Where others are left they know it all,
 * and better. Who comes back alone has nobody to ask: without this a master would find its
 * pages, but not the blocks they were allocated in, and give memory out that is not free; and
 * what others had taken with them would not be lost, but never touched.
 */
#include <stdlib.h>
#include <string.h>

#include "agent/core/state.h"

static void keep(struct core *c, const struct core_kept *k)
{
	struct core_action *a = act_add(c, ACT_KEEP);

#ifdef DSM_MUTANT_KEPT_NOT_SAID
	if (k->kind == KEPT_EXTENT)
		c->nactions--;
#endif
	a->recs = act_copy(c, k, sizeof(*k));
}

void kept_extent(struct core *c, const struct rec_extent *e)
{
	struct core_kept k = { .kind = KEPT_EXTENT, .extent = *e };

	keep(c, &k);
}

void kept_gone(struct core *c, page_key key, uint64_t count)
{
	struct core_kept k = { .kind = KEPT_GONE };

	for (k.extent.key = key; count; k.extent.key += k.extent.count) {
		k.extent.count = count > UINT32_MAX ? UINT32_MAX : (uint32_t)count;
		count -= k.extent.count;
		keep(c, &k);
	}
}

static struct core_kept node_record(const struct core *c, bool alone)
{
	return (struct core_kept){ .kind = KEPT_NODE,
				   .node = { .epoch = c->epoch,
					     .next_nid = c->next_nid,
					     .next_region = c->next_region,
					     .alone = alone } };
}

void kept_not_alone(struct core *c)
{
	struct core_kept k = node_record(c, false);

	keep(c, &k);
}

void kept_anew(struct core *c)
{
	act_add(c, ACT_KEEP_ALL);
}

/* --- all of it --- */

/* Every page that was ever touched is here, or known to be lost. */
static bool is_alone(const struct core *c)
{
	for (size_t i = 0; i < c->nmembers; i++)
		if (c->members[i] != c->self && c->members[i]->rec.state != MEMBER_JOINING)
			return false;
	return !c->rebuilding && !c->frozen;
}

static void each_lost(const struct core *c, void (*fn)(void *ctx, const struct core_kept *k),
		      void *ctx)
{
	struct core_kept k = { .kind = KEPT_LOST };
	size_t n;
	uint64_t *keys = map_keys(&c->leaves, &n);

	for (size_t i = 0; i < n; i++) {
		const struct leaf *l = map_get(&c->leaves, keys[i]);

		for (unsigned int p = 0; p < LEAF_PAGES; p++) {
			if (!(l->pages[p].flags & P_LOST))
				continue;
			if (k.extent.key + k.extent.count == l->first + p && k.extent.count) {
				k.extent.count++;
				continue;
			}
			if (k.extent.count)
				fn(ctx, &k);
			k.extent.key = l->first + p;
			k.extent.count = 1;
		}
	}
	if (k.extent.count)
		fn(ctx, &k);
	free(keys);
}

void core_each_kept(const struct core *c, void (*fn)(void *ctx, const struct core_kept *k),
		    void *ctx)
{
	struct core_kept k;

	if (!view_is_member(c))
		return;
	k = node_record(c, is_alone(c));
	fn(ctx, &k);
	for (size_t i = 1; i < c->nregions; i++) {
		k = (struct core_kept){ .kind = KEPT_REGION, .region = c->regions[i] };
		fn(ctx, &k);
	}
	for (size_t i = 0; i < c->extents.n; i++) {
		k = (struct core_kept){ .kind = KEPT_EXTENT, .extent = c->extents.e[i] };
		fn(ctx, &k);
	}
	each_lost(c, fn, ctx);
}

/* --- the next life --- */

void core_resume_kept(struct core *c, const struct core_kept *recs, size_t n)
{
	kept_forget(c);
	if (!n)
		return;
	c->kept = core_alloc(n * sizeof(*recs));
	memcpy(c->kept, recs, n * sizeof(*recs));
	c->nkept = n;
}

void kept_forget(struct core *c)
{
	free(c->kept);
	c->kept = NULL;
	c->nkept = 0;
}

static void not_lost(struct core *c, page_key key, struct page *p, void *ctx)
{
	(void)c;
	(void)key;
	(void)ctx;
	p->flags &= (uint8_t) ~(P_TOUCHED | P_LOST);
}

static void gone(struct core *c, struct rec_extent e, bool lost)
{
	extent_remove(c, e.key, e.count);
	if (lost)
		page_each_in(c, e.key, e.key + e.count, not_lost, NULL);
}

static void apply(struct core *c, const struct core_kept *k, bool *lost)
{
	switch (k->kind) {
	case KEPT_NODE:
		if (k->node.next_nid > c->next_nid)
			c->next_nid = k->node.next_nid;
		if (k->node.next_region > c->next_region)
			c->next_region = k->node.next_region;
		break;
	case KEPT_REGION:
		region_learn(c, &k->region);
		break;
	case KEPT_EXTENT:
		extent_put(c, &k->extent);
		break;
	case KEPT_GONE:
		gone(c, k->extent, *lost);
		break;
	case KEPT_LOST:
		*lost = true;
		for (uint32_t i = 0; i < k->extent.count; i++)
			page_get(c, k->extent.key + i)->flags |= P_TOUCHED | P_LOST;
		break;
	}
}

/* Nobody else is there: what they had went with them, and homes are here. */
static void found(struct core *c, bool alone)
{
	for (size_t i = 0; i < c->extents.n; i++) {
		struct rec_extent *e = &c->extents.e[i];

		e->home = c->nid;
		e->flags &= (uint16_t)~EXTENT_MOVING;
		if (!alone)
			e->flags |= EXTENT_ORPHANED;
	}
}

/*
 * This node is in its place again: alone, or among others that have no master, who may not
 * have heard of what it gave out last. Nobody gave out anything meanwhile.
 */
void kept_apply(struct core *c, bool founding)
{
	const struct kept_node *last = NULL;
	bool lost = false;

	for (size_t i = 0; i < c->nkept; i++)
		if (c->kept[i].kind == KEPT_NODE)
			last = &c->kept[i].node;
	/* Else the former agent was in a later view, and kept nothing of that. */
	if (last && last->epoch >= c->cfg.resume_epoch) {
		for (size_t i = 0; i < c->nkept; i++)
			apply(c, &c->kept[i], &lost);
		if (founding)
			found(c, last->alone);
		if (founding && last->epoch >= c->epoch)
			c->epoch = last->epoch + 1;
	}
}
