// SPDX-License-Identifier: MIT
/* Regions in the program's address space, through the module or under userfaultfd. */
#include <errno.h>
#include <fcntl.h>
#include <linux/dsm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/core/msg.h"
#include "lib/context.h"
#include "lib/uffd_setup.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#define DEVICE "/dev/dsm"

/* @want: NULL, wherever there is room; @fixed: MAP_FIXED and the like. */
static int map_at(struct dsm_region *r, void *want, int fixed)
{
	int flags = MAP_SHARED | MAP_NORESERVE | fixed;
	void *at = mmap(want, r->size, PROT_READ | PROT_WRITE, flags, r->fd, 0);

	if (at == MAP_FAILED)
		return errno == EEXIST ? -EADDRINUSE : -errno;
	if (!want)
		want = at;
	if (at != want) {
		munmap(at, r->size);
		return -EADDRINUSE;
	}
	r->base = at;
	return 0;
}

static int open_device(struct dsm_region *r)
{
	struct dsm_attach attach = { .port = r->ctx->port };
	int dev = open(DEVICE, O_RDWR | O_CLOEXEC);

	if (dev < 0)
		return -errno;
	strcpy(attach.name, r->name);
	r->fd = ioctl(dev, DSM_IOC_ATTACH, &attach);
	if (r->fd < 0)
		r->fd = -errno;
	close(dev);
	return r->fd < 0 ? r->fd : 0;
}

/*
 * The mapping is not inherited: in a child it would be the bare memfd, out of
 * the pager's sight. fork.c makes a new one there.
 */
static int put_under_pager(struct dsm_region *r)
{
	struct client_req req = {
		.type = CLIENT_REGION_UFFD,
		.arg = r->number,
		.a = (uintptr_t)r->base,
	};
	struct client_rep rep;
	int err;

	if (madvise(r->base, r->size, MADV_DONTFORK) || madvise(r->base, r->size, MADV_DONTDUMP))
		return -errno;
	(void)madvise(r->base, r->size, MADV_NOHUGEPAGE);
	r->uffd = dsm_uffd_open();
	if (r->uffd < 0)
		return r->uffd;
	err = dsm_uffd_register(r->uffd, r->base, r->size);
	return err ? err : session_ask_fd(&r->ctx->control, &req, r->uffd, &rep, NULL);
}

int region_number(struct dsm *ctx, const char *name, uint16_t *ret)
{
	struct client_req req = { .type = CLIENT_REGION_ATTACH, .flags = F_WRITE };
	struct client_rep rep;
	int err;

	strcpy(req.name, name);
	err = control_ask(ctx, &req, &rep);
	if (!err)
		*ret = (uint16_t)rep.val[0];
	return err;
}

static int region_connect(struct dsm_region *r)
{
	struct client_req req = { .type = CLIENT_REGION_ATTACH, .flags = F_WRITE };
	struct client_rep rep;
	int err;

	strcpy(req.name, r->name);
	err = session_ask_fd(&r->ctx->control, &req, -1, &rep, &r->fd);
	if (err)
		return err;
	r->number = (uint16_t)rep.val[0];
	r->size = rep.val[1];
	if (r->ctx->pager == CLIENT_PAGER_KMOD)
		err = open_device(r);
	else if (r->fd < 0)
		err = -EPROTO;
	if (err)
		return err;
	if (r->base)
		return map_at(r, r->base, MAP_FIXED); /* see region_reserve() */
	if (r->ctx->anywhere)
		return map_at(r, NULL, 0);
	return map_at(r, (void *)(uintptr_t)rep.val[2], MAP_FIXED_NOREPLACE);
}

/* The program's side of it only. */
static void region_release(struct dsm_region *r, bool mapped)
{
	if (mapped)
		munmap(r->base, r->size);
	if (r->uffd >= 0)
		close(r->uffd);
	if (r->fd >= 0)
		close(r->fd);
	r->uffd = -1;
	r->fd = -1;
}

static int region_bring(struct dsm_region *r)
{
	int err;

	pthread_mutex_lock(&r->ctx->control_lock);
	err = region_connect(r);
	if (err) {
		region_release(r, false);
	} else if (r->ctx->pager == CLIENT_PAGER_UFFD) {
		err = put_under_pager(r);
		if (err)
			region_release(r, true);
	}
	pthread_mutex_unlock(&r->ctx->control_lock);
	return err;
}

int region_map(struct dsm *ctx, const char *name, struct dsm_region **ret)
{
	struct dsm_region *r;
	size_t len = strlen(name);
	int err;

	if (!len || len >= CLIENT_NAME_MAX)
		return -EINVAL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->ctx = ctx;
	r->opened = 1;
	r->fd = -1;
	r->uffd = -1;
	memcpy(r->name, name, len + 1);
	err = region_bring(r);
	if (err) {
		free(r);
		return err;
	}
	r->next = ctx->regions;
	ctx->regions = r;
	*ret = r;
	return 0;
}

void region_unmap(struct dsm_region *r)
{
	struct client_req req = { .type = CLIENT_REGION_DETACH, .arg = r->number };
	struct dsm_region **at = &r->ctx->regions;

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	/* First the agent, so that it does not find the mapping gone by surprise. */
	if (r->ctx->pager == CLIENT_PAGER_UFFD && !atomic_load(&r->ctx->lost))
		(void)control_ask(r->ctx, &req, NULL);
	region_release(r, true);
	free(r);
}

void region_reserve(struct dsm_region *r)
{
	(void)mmap(r->base, r->size, PROT_NONE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
}

int region_remap(struct dsm_region *r)
{
	region_release(r, false);
	return region_bring(r);
}

/*
 * The agent is dead, and its knowledge of the pages with it. Cut to nothing,
 * the memfd has none: every access is SIGBUS, and who waits for one is woken
 * by the last copy of the userfaultfd being closed.
 */
void region_poison(struct dsm_region *r)
{
	int uffd = r->uffd;

	(void)!ftruncate(r->fd, 0);
	r->uffd = -1;
	if (uffd >= 0)
		close(uffd);
}

struct dsm_region *region_of(struct dsm *ctx, const void *addr)
{
	struct dsm_region *r;

	for (r = ctx->regions; r; r = r->next) {
		if ((uintptr_t)addr - (uintptr_t)r->base < r->size)
			break;
	}
	return r;
}

uint64_t region_key(const struct dsm_region *r, const void *addr)
{
	return PAGE_KEY(r->number, ((uintptr_t)addr - (uintptr_t)r->base) / LIB_PAGE);
}
