// SPDX-License-Identifier: MIT
/* Lists of pages and allocations, and the dump of it all. */
#include <dsm/dsm.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/context.h"
#include "lib/records.h"

static int local_pages(struct dsm *ctx, dsm_local_page_t **ret, uint32_t *ret_n)
{
	struct records r = { 0 };
	int err = records_get(ctx, LIST_LOCAL_PAGES, &r);
	const struct client_page *from = (const struct client_page *)(const void *)r.bytes;
	size_t n = r.len / sizeof(*from), kept = 0;
	dsm_local_page_t *pages;

	if (err)
		return err;
	pages = calloc(n + 1, sizeof(*pages));
	for (size_t i = 0; pages && i < n; i++) {
		uint64_t addr = PAGE_KEY_PAGE(from[i].key) * LIB_PAGE;

		if (PAGE_KEY_REGION(from[i].key) != ctx->home->number)
			continue;
		pages[kept++] = (dsm_local_page_t){
			.global_addr = addr,
			.local_addr = ctx->home->base + addr,
			.size = LIB_PAGE,
			.owner_id = from[i].owner,
			.state = from[i].state,
			.in_use = from[i].state == DSM_STATE_SHARED ||
				  from[i].state == DSM_STATE_MODIFIED,
		};
	}
	free(r.bytes);
	if (!pages)
		return -ENOMEM;
	*ret = pages;
	*ret_n = (uint32_t)kept;
	return 0;
}

/* The node knows what it has needed so far; have it learn the rest. */
static int extents_learn(struct dsm *ctx)
{
	uint64_t key = PAGE_KEY(ctx->home->number, 0);
	struct client_rep rep;
	int err = 0;

	while (!err && PAGE_KEY_REGION(key) == ctx->home->number) {
		struct client_req req = { .arg = OP_EXTENTS,
					  .key = key,
					  .timeout_us = CORE_NO_TIMEOUT };

		err = control_op(ctx, &req, &rep);
		if (!err)
			key = rep.val[0];
	}
	return err == -ENOENT ? 0 : err;
}

static int global_pages(struct dsm *ctx, dsm_global_page_t **ret, uint32_t *ret_n)
{
	struct records r = { 0 };
	int err = extents_learn(ctx);
	const struct client_extent *from;
	size_t n, kept = 0;
	dsm_global_page_t *pages;

	if (!err)
		err = records_get(ctx, LIST_GLOBAL_PAGES, &r);
	if (err)
		return err;
	from = (const struct client_extent *)(const void *)r.bytes;
	n = r.len / sizeof(*from);
	pages = calloc(n + 1, sizeof(*pages));
	for (size_t i = 0; pages && i < n; i++) {
		if (PAGE_KEY_REGION(from[i].key) != ctx->home->number)
			continue;
		pages[kept++] = (dsm_global_page_t){
			.global_addr = PAGE_KEY_PAGE(from[i].key) * LIB_PAGE,
			.size = from[i].count * LIB_PAGE,
			.owner_id = from[i].home,
		};
	}
	free(r.bytes);
	if (!pages)
		return -ENOMEM;
	*ret = pages;
	*ret_n = (uint32_t)kept;
	return 0;
}

static int checked(bool given, int err)
{
	if (!given)
		err = -EINVAL;
	if (!err)
		return 0;
	errno = -err;
	return -1;
}

int dsm_get_local_pages(dsm_local_page_t **pages, uint32_t *count)
{
	dsm_t *ctx = dsm_default_context();
	bool given = pages && count;

	return checked(given, !ctx ? -ENOTCONN : given ? local_pages(ctx, pages, count) : 0);
}

int dsm_get_global_pages(dsm_global_page_t **pages, uint32_t *count)
{
	dsm_t *ctx = dsm_default_context();
	bool given = pages && count;

	return checked(given, !ctx ? -ENOTCONN : given ? global_pages(ctx, pages, count) : 0);
}

int dsm_discover_pages(dsm_global_page_t **pages, uint32_t *count)
{
	return dsm_get_global_pages(pages, count);
}

static void dump_pages(dsm_t *ctx)
{
	dsm_global_page_t *global;
	dsm_local_page_t *local;
	uint32_t n;

	if (!global_pages(ctx, &global, &n)) {
		printf("allocated: %u\n", n);
		for (uint32_t i = 0; i < n; i++)
			printf("  0x%012" PRIx64 " %10zu bytes, home node %u\n",
			       global[i].global_addr, global[i].size, global[i].owner_id);
		free(global);
	}
	if (!local_pages(ctx, &local, &n)) {
		printf("pages known here: %u\n", n);
		for (uint32_t i = 0; i < n; i++)
			printf("  0x%012" PRIx64 " %-8s owner %u\n", local[i].global_addr,
			       dsm_page_state_to_string((int)local[i].state), local[i].owner_id);
		free(local);
	}
}

void dsm_debug_dump_state(void)
{
	dsm_t *ctx = dsm_default_context();
	struct dsm_status s;

	if (!ctx || dsm_status_get(ctx, &s)) {
		printf("dsm: no node\n");
		return;
	}
	printf("node %u%s of %u, port %u, %s pager\n", s.node_id,
	       s.node_id == s.master_id ? " (master)" : "", s.node_count, s.port,
	       s.kmod ? "kmod" : "uffd");
	printf("memory: %" PRIu64 " of %" PRIu64 " bytes in use, mapped at %p\n", s.used_bytes,
	       s.total_bytes, dsm_region_base(ctx->home));
	dump_pages(ctx);
	fflush(stdout);
}
