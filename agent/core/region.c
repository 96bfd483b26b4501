/* SPDX-License-Identifier: MIT */
/* Regions: the default one, and named ones that the master keeps. */
#include <errno.h>
#include <string.h>

#include "agent/core/state.h"

#define BASE_ALIGN (1ull << 30)

const struct rec_region *region_find(const struct core *c, uint16_t region)
{
	for (size_t i = 0; i < c->nregions; i++)
		if (c->regions[i].region == region)
			return &c->regions[i];
	return NULL;
}

const struct rec_region *region_by_name(const struct core *c, const char *name)
{
	for (size_t i = 0; i < c->nregions; i++)
		if (!strncmp(c->regions[i].name, name, CORE_NAME_MAX))
			return &c->regions[i];
	return NULL;
}

void region_learn(struct core *c, const struct rec_region *r)
{
	struct core_action *a;

	if (region_find(c, r->region))
		return;
	c->regions = core_realloc(c->regions, (c->nregions + 1) * sizeof(*r));
	c->regions[c->nregions++] = *r;
	if (r->region >= c->next_region)
		c->next_region = (uint16_t)(r->region + 1);
	a = act_add(c, ACT_REGION_ADD);
	a->region = *r;
}

static void drop_page(struct core *c, page_key key, struct page *p, void *ctx)
{
	if (PAGE_KEY_REGION(key) != *(uint16_t *)ctx)
		return;
	home_forget(c, key);
	page_drop(c, key, p);
}

void region_forget(struct core *c, uint16_t region)
{
	struct core_action *a;

	for (size_t i = 0; i < c->nregions; i++) {
		if (c->regions[i].region != region || !region)
			continue;
		page_each(c, drop_page, &region);
		extent_remove(c, PAGE_KEY(region, 0), 1ull << 48);
		kept_anew(c);
		a = act_add(c, ACT_REGION_DEL);
		a->region = c->regions[i];
		memmove(&c->regions[i], &c->regions[i + 1],
			(--c->nregions - i) * sizeof(*c->regions));
		return;
	}
}

void region_send_all(struct core *c, uint16_t nid, uint16_t type)
{
	struct core_msg m = msg_new(c, type);

	msg_send_recs(c, nid, &m, c->regions, c->nregions);
}

static void reply(struct core *c, const struct core_msg *m, const struct rec_region *r, int err)
{
	struct core_msg a = msg_new(c, MSG_REGION_REPLY);

	a.a = m->a;
	a.arg = (uint32_t)err;
	a.nrecs = r ? 1 : 0;
	msg_send(c, m->src, &a, r);
}

static uint64_t free_base(const struct core *c)
{
	uint64_t base = 0;

	for (size_t i = 0; i < c->nregions; i++) {
		uint64_t end = c->regions[i].base + c->regions[i].size;

		if (end > base)
			base = end;
	}
	return (base + BASE_ALIGN - 1) & ~(BASE_ALIGN - 1);
}

static void create(struct core *c, const struct core_msg *m)
{
	struct core_msg u = msg_new(c, MSG_REGION_UPDATE);
	struct rec_region r;

	if (region_by_name(c, m->name)) {
		reply(c, m, NULL, EEXIST);
		return;
	}
	if (!m->name[0] || !m->b || m->b % 4096 || m->b > 1ull << 44 ||
	    free_base(c) + m->b > 1ull << 46) {
		reply(c, m, NULL, EINVAL);
		return;
	}
	if (c->next_region == UINT16_MAX) {
		reply(c, m, NULL, ENOSPC);
		return;
	}
	memset(&r, 0, sizeof(r));
	r.region = c->next_region;
	r.size = m->b;
	r.base = free_base(c);
	memcpy(r.name, m->name, sizeof(r.name));
	region_learn(c, &r);
	kept_anew(c);
	u.nrecs = 1;
	for (size_t i = 0; i < c->nmembers; i++)
		if (c->members[i] != c->self && c->members[i]->rec.nid != m->src)
			msg_send(c, c->members[i]->rec.nid, &u, &r);
	reply(c, m, &r, 0);
}

/* At the master. */
void region_on_request(struct core *c, const struct core_msg *m)
{
	const struct rec_region *r = region_by_name(c, m->name);

	if (m->arg == REGION_CREATE) {
		create(c, m);
	} else if (!r) {
		reply(c, m, NULL, ENOENT);
	} else if (m->arg == REGION_OPEN) {
		reply(c, m, r, 0);
	} else if (m->arg == REGION_DELETE && r->region) {
		region_deleted(c, r->region, m->a, m->src);
	} else {
		reply(c, m, NULL, m->arg == REGION_DELETE ? EBUSY : EINVAL);
	}
}

void region_on_update(struct core *c, const struct core_msg *m, const struct rec_region *recs)
{
	for (size_t i = 0; i < m->nrecs; i++) {
		if (m->flags & F_DELETED)
			region_forget(c, recs[i].region);
		else
			region_learn(c, &recs[i]);
	}
}
