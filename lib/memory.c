// SPDX-License-Identifier: MIT
#include <dsm/dsm.h>
#include <errno.h>

#include "lib/context.h"

static int alloc(dsm_region_t *region, uint32_t op, uint64_t page, size_t size, void **ret)
{
	struct client_req req = { .arg = op, .timeout_us = CORE_NO_TIMEOUT };
	struct client_rep rep;
	int err;

	if (!size || !ret)
		return -EINVAL;
	if (size > region->size)
		return -ENOMEM;
	req.key = PAGE_KEY(region->number, page);
	req.count = (size + LIB_PAGE - 1) / LIB_PAGE;
	err = control_op(region->ctx, &req, &rep);
	if (!err)
		*ret = region->base + PAGE_KEY_PAGE(rep.val[0]) * LIB_PAGE;
	return err;
}

int dsm_alloc(dsm_region_t *region, size_t size, void **ret)
{
	return region ? alloc(region, OP_ALLOC, 0, size, ret) : -EINVAL;
}

int dsm_alloc_at(dsm_region_t *region, uint64_t offset, size_t size, void **ret)
{
	if (!region || offset % LIB_PAGE || offset >= region->size || size > region->size - offset)
		return -EINVAL;
	return alloc(region, OP_ALLOC_AT, offset / LIB_PAGE, size, ret);
}

/* The key of the page at @addr; -EINVAL: no shared memory. */
static int key_of(dsm_t *ctx, const void *addr, uint64_t *ret_key)
{
	struct dsm_region *r;

	if (!ctx)
		return -EINVAL;
	pthread_mutex_lock(&ctx->regions_lock);
	r = region_of(ctx, addr);
	if (r)
		*ret_key = region_key(r, addr);
	pthread_mutex_unlock(&ctx->regions_lock);
	return r ? 0 : -EINVAL;
}

int dsm_release(dsm_t *ctx, void *ptr)
{
	struct client_req req = { .arg = OP_FREE, .timeout_us = CORE_NO_TIMEOUT };
	int err = key_of(ctx, ptr, &req.key);

	if (err || (uintptr_t)ptr % LIB_PAGE)
		return -EINVAL;
	err = control_op(ctx, &req, NULL);
	return err == -ENOENT ? -EINVAL : err;
}

/* The keys of the first and the last page of a run. */
static int keys_of(dsm_t *ctx, const void *addr, size_t size, uint64_t *ret_key, uint64_t *ret_last)
{
	int err = size ? key_of(ctx, addr, ret_key) : -EINVAL;

	if (!err)
		err = key_of(ctx, (const char *)addr + size - 1, ret_last);
	if (!err && PAGE_KEY_REGION(*ret_last) != PAGE_KEY_REGION(*ret_key))
		err = -EINVAL;
	return err;
}

static int prefetch_now(dsm_t *ctx, uint64_t key, uint64_t count, uint32_t write)
{
	struct client_req req = {
		.type = CLIENT_OP,
		.arg = OP_PREFETCH,
		.flags = write,
		.key = key,
		.count = count,
	};
	struct session *s;
	int err = thread_session(ctx, &s);

	return err ? err : session_tell(s, &req);
}

int dsm_prefetch(dsm_t *ctx, const void *addr, size_t size, unsigned int flags)
{
	uint32_t write = flags & DSM_PREFETCH_FOR_WRITE ? F_WRITE : 0;
	uint64_t key, last;
	int err;

	if (flags & ~(DSM_PREFETCH_FOR_WRITE | DSM_PREFETCH_AFTER_BARRIER))
		return -EINVAL;
	err = keys_of(ctx, addr, size, &key, &last);
	if (err)
		return err;
	if (flags & DSM_PREFETCH_AFTER_BARRIER)
		return thread_ahead_add(ctx, key, last - key + 1, write);
	return prefetch_now(ctx, key, last - key + 1, write);
}

int dsm_page_info_get(dsm_t *ctx, const void *addr, struct dsm_page_info *ret)
{
	struct client_req req = { .arg = OP_PAGE_QUERY, .timeout_us = CORE_NO_TIMEOUT };
	struct client_rep rep;
	uintptr_t page = (uintptr_t)addr / LIB_PAGE * LIB_PAGE;
	int err = ret ? key_of(ctx, addr, &req.key) : -EINVAL;

	if (!err)
		err = control_op(ctx, &req, &rep);
	if (err)
		return err;
	*ret = (struct dsm_page_info){
		.state = (uint32_t)rep.val[0],
		.owner_id = (uint32_t)rep.val[1],
		.version = rep.val[2],
		.global_addr = PAGE_KEY_PAGE(req.key) * LIB_PAGE,
		.local_addr = (void *)page,
		.size = LIB_PAGE,
		.dirty = rep.val[0] == DSM_STATE_MODIFIED,
	};
	return 0;
}

int dsm_status_get(dsm_t *ctx, struct dsm_status *ret)
{
	struct client_req req = { .type = CLIENT_STATUS };
	struct client_rep rep;
	int err;

	if (!ctx || !ret)
		return -EINVAL;
	err = control_ask(ctx, &req, &rep);
	if (err)
		return err;
	*ret = (struct dsm_status){
		.node_id = (uint32_t)rep.val[0],
		.node_count = (uint32_t)rep.val[1],
		.master_id = (uint32_t)rep.val[2],
		.port = ctx->port,
		.kmod = ctx->pager == CLIENT_PAGER_KMOD,
		.total_bytes = rep.val[3],
		.used_bytes = rep.val[5],
	};
	return 0;
}
