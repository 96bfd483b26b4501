// SPDX-License-Identifier: MIT
/* What the module keeps for the node: regions, the pages that are here, the agent's identity. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/pager/kmod.h"

#define DEFAULT_BASE 0x200000000000ull /* region 0, in every program */

_Static_assert(sizeof(struct pager_identity) <= DSM_IDENTITY_LEN, "identity fits");

/* --- regions --- */

int kmod_region_add(struct pager *p, uint16_t region, const char *name, uint64_t size)
{
	struct nl_msg *msg = kmod_ctl_new(&p->ctl, DSM_CMD_REGION_NEW, false);
	int err = 0;

	if (msg)
		err = nla_put_u16(msg, DSM_A_REGION, region) ||
		      nla_put_string(msg, DSM_A_NAME, name) || nla_put_u64(msg, DSM_A_SIZE, size) ||
		      nla_put_u64(msg, DSM_A_BASE, region ? 0 : DEFAULT_BASE);
	return kmod_ctl_ask(&p->ctl, msg, err, NULL, NULL);
}

int kmod_region_del(struct pager *p, uint16_t region)
{
	struct nl_msg *msg = kmod_ctl_new(&p->ctl, DSM_CMD_REGION_DEL, false);

	return kmod_ctl_ask(&p->ctl, msg, msg ? nla_put_u16(msg, DSM_A_REGION, region) : 0, NULL,
			    NULL);
}

struct region_walk {
	void (*fn)(void *ctx, uint16_t region, const char *name, uint64_t size);
	void *ctx;
};

static void on_region(void *ctx, struct nlattr **attrs)
{
	struct region_walk *walk = ctx;

	if (attrs[DSM_A_REGION] && attrs[DSM_A_NAME] && attrs[DSM_A_SIZE])
		walk->fn(walk->ctx, nla_get_u16(attrs[DSM_A_REGION]),
			 nla_get_string(attrs[DSM_A_NAME]), nla_get_u64(attrs[DSM_A_SIZE]));
}

int kmod_regions(struct pager *p,
		 void (*fn)(void *ctx, uint16_t region, const char *name, uint64_t size), void *ctx)
{
	struct region_walk walk = { fn, ctx };

	return kmod_ctl_ask(&p->ctl, kmod_ctl_new(&p->ctl, DSM_CMD_REGION_GET, true), 0, on_region,
			    &walk);
}

/* --- pages that are here --- */

struct region_numbers {
	uint16_t *numbers;
	size_t n;
	int err;
};

/* Numbers first: one dump must end before the next begins. */
static void on_number(void *ctx, uint16_t region, const char *name, uint64_t size)
{
	struct region_numbers *all = ctx;
	uint16_t *grown = realloc(all->numbers, (all->n + 1) * sizeof(*grown));

	(void)name;
	(void)size;
	if (!grown) {
		all->err = -ENOMEM;
		return;
	}
	all->numbers = grown;
	grown[all->n++] = region;
}

struct page_walk {
	void (*fn)(void *ctx, uint16_t region, uint64_t page, uint32_t count, enum pager_prot prot);
	void *ctx;
	uint16_t region;
};

static void on_pages(void *ctx, struct nlattr **attrs)
{
	struct page_walk *walk = ctx;
	struct dsm_page_run run;
	const char *at;
	size_t len;

	if (!attrs[DSM_A_PAGES])
		return;
	at = nla_data(attrs[DSM_A_PAGES]);
	len = (size_t)nla_len(attrs[DSM_A_PAGES]);
	for (; len >= sizeof(run); at += sizeof(run), len -= sizeof(run)) {
		memcpy(&run, at, sizeof(run));
		walk->fn(walk->ctx, walk->region, run.page, run.count, (enum pager_prot)run.state);
	}
}

int kmod_pages(struct pager *p,
	       void (*fn)(void *ctx, uint16_t region, uint64_t page, uint32_t count,
			  enum pager_prot prot),
	       void *ctx)
{
	struct region_numbers all = { 0 };
	struct page_walk walk = { fn, ctx, 0 };
	int err = kmod_regions(p, on_number, &all);

	if (!err)
		err = all.err;
	for (size_t i = 0; i < all.n && !err; i++) {
		struct nl_msg *msg = kmod_ctl_new(&p->ctl, DSM_CMD_PAGES_GET, true);

		walk.region = all.numbers[i];
		err = kmod_ctl_ask(&p->ctl, msg,
				   msg ? nla_put_u16(msg, DSM_A_REGION, walk.region) : 0, on_pages,
				   &walk);
	}
	free(all.numbers);
	return err;
}

/* --- identity --- */

struct identity_wanted {
	struct pager_identity *id;
	bool found;
};

static void on_identity(void *ctx, struct nlattr **attrs)
{
	struct identity_wanted *want = ctx;

	if (!attrs[DSM_A_IDENTITY] || nla_len(attrs[DSM_A_IDENTITY]) != (int)sizeof(*want->id))
		return;
	memcpy(want->id, nla_data(attrs[DSM_A_IDENTITY]), sizeof(*want->id));
	want->found = true;
}

int kmod_identity_get(struct pager *p, struct pager_identity *ret)
{
	struct identity_wanted want = { ret, false };
	int err = kmod_ctl_ask(&p->ctl, kmod_ctl_new(&p->ctl, DSM_CMD_IDENTITY_GET, false), 0,
			       on_identity, &want);

	return err ? err : want.found ? 0 : -ENOENT;
}

int kmod_identity_set(struct pager *p, const struct pager_identity *id)
{
	struct nl_msg *msg = kmod_ctl_new(&p->ctl, DSM_CMD_IDENTITY_SET, false);

	return kmod_ctl_ask(&p->ctl, msg, msg ? nla_put(msg, DSM_A_IDENTITY, sizeof(*id), id) : 0,
			    NULL, NULL);
}
