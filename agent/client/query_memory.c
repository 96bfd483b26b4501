/* SPDX-License-Identifier: MIT */
/* Documents about memory: regions, their extents, pages. */
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
	struct rec_region region;
};

static void region_match(void *ctx, const struct rec_region *r)
{
	struct region_find *find = ctx;

	if (find->name ? strcmp(find->name, r->name) != 0 : find->number != r->region)
		return;
	find->found = true;
	find->region = *r;
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
	struct region_find find = { .name = name };
	struct region_walk walk = { 0 };
	struct core_info info;
	json_t *ret;

	core_each_region(src->core, region_match, &find);
	if (!find.found) {
		*ret_err = -ENOENT;
		return NULL;
	}
	core_info_get(src->core, &info);
	walk.nid = info.nid;
	walk.region = find.region.region;
	walk.extents = json_array();
	core_each_extent(src->core, extent_add, &walk);
	core_each_page(src->core, page_count, &walk);
	ret = json_pack("{s:i,s:o,s:I,s:o,s:I,s:{s:I,s:I,s:I,s:I,s:I},s:o}", "region",
			(int)find.region.region, "name", query_name(find.region.name), "size",
			(json_int_t)find.region.size, "base", query_hex(find.region.base),
			"pages_allocated", walk.pages, "pages_here", "shared",
			walk.states[PAGE_SHARED], "modified", walk.states[PAGE_MODIFIED], "pending",
			walk.states[PAGE_PENDING], "homed", walk.homed, "lost", walk.lost,
			"extents", walk.extents);
	*ret_err = ret ? 0 : -ENOMEM;
	return ret;
}

static json_t *json_page(const struct core_page_info *p)
{
	return json_pack("{s:o,s:i,s:o,s:s,s:I,s:i,s:s,s:i,s:I,s:b,s:b}", "key", query_hex(p->key),
			 "region", (int)PAGE_KEY_REGION(p->key), "global_address",
			 query_hex(PAGE_KEY_PAGE(p->key) * 4096), "state",
			 query_page_state(p->state), "version", (json_int_t)p->ver, "home",
			 (int)p->home, "directory_state", query_page_state(p->dir_state), "owner",
			 (int)p->owner, "sharers", (json_int_t)p->sharers, "lost", (int)p->lost,
			 "busy", (int)p->busy);
}

json_t *query_page(const struct query_source *src, const char *key, int *ret_err)
{
	struct region_find find = { 0 };
	struct core_page_info info;
	char *end;
	json_t *ret;

	errno = 0;
	info.key = strtoull(key, &end, 0);
	if (errno || end == key || *end || *key == '-') {
		*ret_err = -EINVAL;
		return NULL;
	}
	if (core_page_get(src->core, info.key, &info) < 0) {
		*ret_err = -ENOENT;
		return NULL;
	}
	ret = json_page(&info);
	find.number = PAGE_KEY_REGION(info.key);
	core_each_region(src->core, region_match, &find);
	if (ret && find.found &&
	    (json_object_set_new(ret, "region_name", query_name(find.region.name)) < 0 ||
	     json_object_set_new(ret, "address",
				 query_hex(find.region.base + PAGE_KEY_PAGE(info.key) * 4096)) <
		     0)) {
		json_decref(ret);
		ret = NULL;
	}
	*ret_err = ret ? 0 : -ENOMEM;
	return ret;
}
