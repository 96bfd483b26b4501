// SPDX-License-Identifier: MIT
/* The userfaultfd pager: pagers, regions and attachments come and go here. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/pager/uffd.h"

static bool usable(char *why, size_t len)
{
	bool continue_wp;

	return !uffd_probe(&continue_wp, why, len);
}

static int pager_open(const struct pager_config *cfg, struct pager **ret)
{
	struct pager *p = calloc(1, sizeof(*p));
	char why[128];
	int err;

	if (!p)
		return -ENOMEM;
	err = uffd_probe(&p->continue_wp, why, sizeof(why));
	if (err) {
		free(p);
		return err;
	}
	p->host = cfg->host;
	*ret = p;
	return 0;
}

static struct uffd_region *region_find(struct pager *p, uint16_t number)
{
	return number < p->nregions ? p->regions[number] : NULL;
}

/*
 * A program may go on mapping what was a region. Cut to nothing, the memfd has
 * no page to give: every access is SIGBUS, also of those who wait now.
 */
static void region_remove(struct uffd_region *r)
{
	(void)!ftruncate(r->memfd, 0);
	while (r->programs) {
		uffd_program_wake(r->programs, 0, r->state.pages);
		uffd_program_remove(r->programs);
	}
	r->pager->regions[r->number] = NULL;
	close(r->memfd);
	uffd_state_free(&r->state);
	free(r);
}

static void pager_close(struct pager *p, bool keep)
{
	/* There is nobody who could keep the pages: they live in this process' care. */
	(void)keep;
	for (uint32_t i = 0; i < p->nregions; i++) {
		if (p->regions[i])
			region_remove(p->regions[i]);
	}
	free(p->regions);
	free(p->by_fd);
	free(p);
}

static int region_table_reserve(struct pager *p, uint16_t number)
{
	uint32_t n = (uint32_t)number + 1;
	struct uffd_region **grown;

	if (n <= p->nregions)
		return 0;
	grown = realloc(p->regions, n * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	memset(grown + p->nregions, 0, (n - p->nregions) * sizeof(*grown));
	p->regions = grown;
	p->nregions = n;
	return 0;
}

static int region_memfd(const char *name, uint64_t size)
{
	char label[64];
	int fd, err;

	snprintf(label, sizeof(label), "dsm-%s", name);
	fd = memfd_create(label, MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static int region_add(struct pager *p, uint16_t number, const char *name, uint64_t size)
{
	struct uffd_region *r;
	int err;

	if (!size || size % PAGER_PAGE_SIZE || size > INT64_MAX)
		return -EINVAL;
	if (region_find(p, number))
		return -EEXIST;
	err = region_table_reserve(p, number);
	if (err)
		return err;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->pager = p;
	r->number = number;
	err = uffd_state_init(&r->state, size / PAGER_PAGE_SIZE);
	if (err)
		goto free_region;
	r->memfd = region_memfd(name, size);
	if (r->memfd < 0) {
		err = r->memfd;
		goto free_state;
	}
	p->regions[number] = r;
	return 0;

free_state:
	uffd_state_free(&r->state);
free_region:
	free(r);
	return err;
}

static int region_del(struct pager *p, uint16_t number)
{
	struct uffd_region *r = region_find(p, number);

	if (!r)
		return -ENOENT;
	region_remove(r);
	return 0;
}

/* The region when the run is inside it; -ENOENT, -EINVAL. */
static int run_check(struct pager *p, uint16_t number, uint64_t page, uint32_t count,
		     struct uffd_region **ret)
{
	struct uffd_region *r = region_find(p, number);

	if (!r)
		return -ENOENT;
	if (!count || page >= r->state.pages || count > r->state.pages - page)
		return -EINVAL;
	*ret = r;
	return 0;
}

static int install(struct pager *p, uint16_t region, uint64_t page, uint32_t count,
		   const void *data, enum pager_prot prot)
{
	struct uffd_region *r;
	int err = run_check(p, region, page, count, &r);

	if (!err && prot != PAGER_READ && prot != PAGER_WRITE)
		err = -EINVAL;
	return err ? err : uffd_region_install(r, page, count, data, prot);
}

/* UFFDIO_COPY from a warm buffer beats a page of the agent's own mapping: see uffd.h. */
static void *landing(struct pager *p, uint16_t region, uint64_t page, uint32_t count)
{
	(void)p;
	(void)region;
	(void)page;
	(void)count;
	return NULL;
}

static int upgrade(struct pager *p, uint16_t region, uint64_t page, uint32_t count)
{
	struct uffd_region *r;
	int err = run_check(p, region, page, count, &r);

	return err ? err : uffd_region_upgrade(r, page, count);
}

static int downgrade(struct pager *p, uint16_t region, uint64_t page, uint32_t count)
{
	struct uffd_region *r;
	int err = run_check(p, region, page, count, &r);

	return err ? err : uffd_region_downgrade(r, page, count);
}

static int drop(struct pager *p, uint16_t region, uint64_t page, uint32_t count)
{
	struct uffd_region *r;
	int err = run_check(p, region, page, count, &r);

	return err ? err : uffd_region_drop(r, page, count);
}

static int take(struct pager *p, uint16_t region, uint64_t page, void *buf)
{
	struct uffd_region *r;
	int err = run_check(p, region, page, 1, &r);

	return err ? err : uffd_region_take(r, page, buf);
}

static int read_pages(struct pager *p, uint16_t region, uint64_t page, uint32_t count, void *buf)
{
	struct uffd_region *r;
	int err = run_check(p, region, page, count, &r);

	return err ? err : uffd_region_read(r, page, count, buf);
}

static int fail(struct pager *p, uint16_t region, uint64_t page, uint32_t count, int error)
{
	struct uffd_region *r;
	int err = run_check(p, region, page, count, &r);

	for (struct uffd_program *g = err ? NULL : r->programs; g; g = g->next) {
		if (error) {
			uffd_program_fail(g, page, count);
		} else {
			uffd_program_wake(g, page, count);
			uffd_waiter_forget(g, page, count);
		}
	}
	return err;
}

static int region_fd(struct pager *p, uint16_t region)
{
	struct uffd_region *r = region_find(p, region);

	return r ? r->memfd : -ENOENT;
}

static int attach(struct pager *p, uint16_t region, int uffd, uint64_t base, pid_t pid,
		  uint64_t cookie)
{
	struct uffd_region *r = region_find(p, region);

	return r ? uffd_program_add(p, r, uffd, base, pid, cookie) : -ENOENT;
}

static void detach(struct pager *p, uint64_t cookie)
{
	for (uint32_t i = 0; i < p->nregions; i++) {
		struct uffd_program *g = p->regions[i] ? p->regions[i]->programs : NULL;

		while (g) {
			struct uffd_program *next = g->next;

			if (g->cookie == cookie)
				uffd_program_remove(g);
			g = next;
		}
	}
}

const struct pager_ops pager_uffd = {
	.name = "uffd",
	.usable = usable,
	.open = pager_open,
	.close = pager_close,
	.ready = uffd_ready,
	.region_add = region_add,
	.region_del = region_del,
	.install = install,
	.landing = landing,
	.upgrade = upgrade,
	.downgrade = downgrade,
	.drop = drop,
	.take = take,
	.read = read_pages,
	.fail = fail,
	.region_fd = region_fd,
	.attach = attach,
	.detach = detach,
};
