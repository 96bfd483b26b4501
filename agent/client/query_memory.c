/* SPDX-License-Identifier: MIT */
/* Documents about memory: regions and their extents. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/client/query_json.h"

static json_t *json_region(const struct rec_region *r)
{
	return json_pack("{s:i,s:o,s:I,s:o}", "region", (int)r->region, "name", query_name(r->name),
			 "size", (json_int_t)r->size, "base", query_hex(r->base));
}

static void region_add(void *ctx, const struct rec_region *r)
{
	query_append(ctx, json_region(r));
}

json_t *query_regions(const struct query_source *src)
{
	json_t *array = json_array();

	core_each_region(src->core, region_add, &array);
	return array;
}

struct region_find {
	const char *name; /* NULL: by number */
	uint16_t number;
	bool found;
	struct rec_region *region;
};

static void region_match(void *ctx, const struct rec_region *r)
{
	struct region_find *find = ctx;

	if (find->name ? strcmp(find->name, r->name) != 0 : find->number != r->region)
		return;
	find->found = true;
	*find->region = *r;
}

bool query_region_find(const struct query_source *src, const char *name, uint16_t number,
		       struct rec_region *ret)
{
	struct region_find find = { .name = name, .number = number, .region = ret };

	core_each_region(src->core, region_match, &find);
	return find.found;
}

struct region_walk {
	uint16_t region;
	json_t *extents;
	json_int_t pages;     /* allocated, as far as this node knows */
	json_int_t states[4]; /* by enum page_state */
	json_int_t homed, lost;
	uint16_t nid;
};

static void extent_add(void *ctx, const struct rec_extent *e)
{
	struct region_walk *walk = ctx;

	if (PAGE_KEY_REGION(e->key) != walk->region)
		return;
	walk->pages += e->count;
	query_append(&walk->extents,
		     json_pack("{s:o,s:I,s:i,s:b,s:b,s:b}", "address",
			       query_hex(PAGE_KEY_PAGE(e->key) * 4096), "pages",
			       (json_int_t)e->count, "home", (int)e->home, "allocated",
			       !!(e->flags & EXTENT_ALLOC), "head", !!(e->flags & EXTENT_HEAD),
			       "orphaned", !!(e->flags & EXTENT_ORPHANED)));
}

static void page_count(void *ctx, const struct core_page_info *p)
{
	struct region_walk *walk = ctx;

	if (PAGE_KEY_REGION(p->key) != walk->region)
		return;
	walk->states[p->state & 3]++;
	walk->homed += p->home == walk->nid;
	walk->lost += p->lost;
}

json_t *query_region(const struct query_source *src, const char *name, int *ret_err)
{
	struct region_walk walk = { 0 };
	struct rec_region region;
	struct core_info info;
	json_t *ret;

	if (!query_region_find(src, name, 0, &region)) {
		*ret_err = -ENOENT;
		return NULL;
	}
	core_info_get(src->core, &info);
	walk.nid = info.nid;
	walk.region = region.region;
	walk.extents = json_array();
	core_each_extent(src->core, extent_add, &walk);
	core_each_page(src->core, page_count, &walk);
	ret = json_pack("{s:i,s:o,s:I,s:o,s:I,s:{s:I,s:I,s:I,s:I,s:I},s:o}", "region",
			(int)region.region, "name", query_name(region.name), "size",
			(json_int_t)region.size, "base", query_hex(region.base), "pages_allocated",
			walk.pages, "pages_here", "shared", walk.states[PAGE_SHARED], "modified",
			walk.states[PAGE_MODIFIED], "pending", walk.states[PAGE_PENDING], "homed",
			walk.homed, "lost", walk.lost, "extents", walk.extents);
	*ret_err = ret ? 0 : -ENOMEM;
	return ret;
}
