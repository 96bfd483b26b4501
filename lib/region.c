// SPDX-License-Identifier: MIT
#include <dsm/context.h>
#include <errno.h>
#include <string.h>

#include "lib/context.h"

dsm_region_t *dsm_region_default(dsm_t *ctx)
{
	return ctx ? ctx->home : NULL;
}

void *dsm_region_base(const dsm_region_t *region)
{
	return region ? region->base : NULL;
}

uint64_t dsm_region_size(const dsm_region_t *region)
{
	return region ? region->size : 0;
}

const char *dsm_region_name(const dsm_region_t *region)
{
	return region ? region->name : "";
}

static int name_check(const char *name)
{
	size_t len = name ? strlen(name) : 0;

	return len && len < CLIENT_NAME_MAX ? 0 : -EINVAL;
}

/*
 * The region of that name may not be the one that was opened under it: it was
 * deleted, here or elsewhere, and made again. What is left of the old one keeps its
 * addresses, and SIGBUS, until it is closed.
 */
static struct dsm_region *region_known(dsm_t *ctx, const char *name)
{
	struct dsm_region *r = ctx->regions;
	uint16_t number;

	while (r && strcmp(r->name, name))
		r = r->next;
	if (!r || (!region_number(ctx, name, &number) && number == r->number))
		return r;
	r->name[0] = '\0';
	return NULL;
}

int dsm_region_open(dsm_t *ctx, const char *name, dsm_region_t **ret)
{
	struct dsm_region *r;
	int err = 0;

	if (!ctx || !ret || name_check(name))
		return -EINVAL;
	pthread_mutex_lock(&ctx->regions_lock);
	r = region_known(ctx, name);
	if (r)
		r->opened++;
	else
		err = region_map(ctx, name, &r);
	pthread_mutex_unlock(&ctx->regions_lock);
	if (!err)
		*ret = r;
	return err;
}

int dsm_region_create(dsm_t *ctx, const char *name, uint64_t size, dsm_region_t **ret)
{
	struct client_req req = { .arg = OP_REGION_CREATE };
	int err;

	if (!ctx || !ret || name_check(name) || !size || size > INT64_MAX - LIB_PAGE)
		return -EINVAL;
	req.count = (size + LIB_PAGE - 1) / LIB_PAGE * LIB_PAGE;
	req.timeout_us = CORE_NO_TIMEOUT;
	strcpy(req.name, name);
	err = control_op(ctx, &req, NULL);
	return err ? err : dsm_region_open(ctx, name, ret);
}

void dsm_region_close(dsm_region_t *region)
{
	struct dsm *ctx;

	if (!region || region == region->ctx->home)
		return;
	ctx = region->ctx;
	pthread_mutex_lock(&ctx->regions_lock);
	if (!--region->opened)
		region_unmap(region);
	pthread_mutex_unlock(&ctx->regions_lock);
}

int dsm_region_delete(dsm_t *ctx, const char *name)
{
	struct client_req req = { .arg = OP_REGION_DELETE, .timeout_us = CORE_NO_TIMEOUT };

	if (!ctx || name_check(name))
		return -EINVAL;
	strcpy(req.name, name);
	return control_op(ctx, &req, NULL);
}
