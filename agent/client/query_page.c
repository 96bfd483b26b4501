/* SPDX-License-Identifier: MIT */
/* Documents about pages: one, and runs of those that this node knows. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/client/query_json.h"

#define RUNS_MAX 1000u /* in one document; the rest is asked for from where it ends */

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
	struct core_page_info info;
	struct rec_region region;
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
	if (ret && query_region_find(src, NULL, PAGE_KEY_REGION(info.key), &region) &&
	    (json_object_set_new(ret, "region_name", query_name(region.name)) < 0 ||
	     json_object_set_new(ret, "address",
				 query_hex(region.base + PAGE_KEY_PAGE(info.key) * 4096)) < 0)) {
		json_decref(ret);
		ret = NULL;
	}
	*ret_err = ret ? 0 : -ENOMEM;
	return ret;
}

/* --- runs --- */

struct run_walk {
	uint16_t region;
	uint64_t from;		    /* first page to tell of */
	struct core_page_info head; /* of the run that grows */
	uint64_t count;		    /* its pages, 0: none yet */
	unsigned int runs;
	bool more;     /* there is a page that has no place in the document */
	uint64_t next; /* the first of those */
	json_t *pages;
};

static bool run_goes_on(const struct run_walk *w, const struct core_page_info *p)
{
	const struct core_page_info *h = &w->head;

	return w->count && p->key == h->key + w->count && p->state == h->state &&
	       p->home == h->home && p->dir_state == h->dir_state && p->owner == h->owner &&
	       p->sharers == h->sharers && p->lost == h->lost;
}

static void run_end(struct run_walk *w)
{
	const struct core_page_info *h = &w->head;

	if (!w->count)
		return;
	query_append(&w->pages, json_pack("{s:o,s:I,s:s,s:i,s:s,s:i,s:I,s:b}", "address",
					  query_hex(PAGE_KEY_PAGE(h->key) * 4096), "pages",
					  (json_int_t)w->count, "state", query_page_state(h->state),
					  "home", (int)h->home, "directory_state",
					  query_page_state(h->dir_state), "owner", (int)h->owner,
					  "sharers", (json_int_t)h->sharers, "lost", (int)h->lost));
	w->count = 0;
	w->runs++;
}

/* Pages come in the order of their addresses. */
static void run_add(void *ctx, const struct core_page_info *p)
{
	struct run_walk *w = ctx;

	if (PAGE_KEY_REGION(p->key) != w->region || PAGE_KEY_PAGE(p->key) < w->from || w->more)
		return;
	if (run_goes_on(w, p)) {
		w->count++;
		return;
	}
	run_end(w);
	if (w->runs == RUNS_MAX) {
		w->more = true;
		w->next = PAGE_KEY_PAGE(p->key);
		return;
	}
	w->head = *p;
	w->count = 1;
}

json_t *query_pages(const struct query_source *src, const char *words, int *ret_err)
{
	struct run_walk w = { .pages = json_array() };
	struct rec_region region;
	struct core_info info;
	char *name;
	json_t *ret;

	errno = 0;
	w.from = strtoull(words, &name, 0);
	if (errno || name == words || *name != ' ' || *words == '-') {
		json_decref(w.pages);
		*ret_err = -EINVAL;
		return NULL;
	}
	if (!query_region_find(src, name + 1, 0, &region)) {
		json_decref(w.pages);
		*ret_err = -ENOENT;
		return NULL;
	}
	w.region = region.region;
	core_info_get(src->core, &info);
	core_each_page(src->core, run_add, &w);
	run_end(&w);
	ret = json_pack("{s:i,s:i,s:o,s:o,s:o}", "node", (int)info.nid, "region",
			(int)region.region, "name", query_name(region.name), "pages", w.pages,
			"next", w.more ? query_hex(w.next * 4096) : json_null());
	*ret_err = ret ? 0 : -ENOMEM;
	return ret;
}
