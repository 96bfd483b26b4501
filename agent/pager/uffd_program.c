// SPDX-License-Identifier: MIT
/*
 * One program's mapping of a region: its userfaultfd, the threads that wait,
 * and the ioctls with what their errors mean.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "agent/pager/uffd.h"

/* Pages copied from one buffer of zeroes by one ioctl. */
#define ZERO_PAGES 16

static const uint8_t zeroes[ZERO_PAGES * PAGER_PAGE_SIZE];

static int fd_table_reserve(struct pager *p, int fd)
{
	uint32_t n = p->nfds ? p->nfds : 64;
	struct uffd_program **grown;

	while (n <= (uint32_t)fd)
		n *= 2;
	if (n == p->nfds)
		return 0;
	grown = realloc(p->by_fd, n * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	memset(grown + p->nfds, 0, (n - p->nfds) * sizeof(*grown));
	p->by_fd = grown;
	p->nfds = n;
	return 0;
}

int uffd_program_add(struct pager *p, struct uffd_region *r, int fd, uint64_t base, pid_t pid,
		     uint64_t cookie)
{
	struct uffd_program *g;
	int err, flags;

	if (base % PAGER_PAGE_SIZE || !uffd_is_userfaultfd(fd))
		return -EINVAL;
	/* Without MODE_WP a second mapping could not be kept from writing. */
	if (r->programs && !p->continue_wp)
		return -EOPNOTSUPP;
	/* The program could have handed over one that blocks the agent's loop. */
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK))
		return -errno;
	err = fd_table_reserve(p, fd);
	if (err)
		return err;
	g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	g->region = r;
	g->base = base;
	g->cookie = cookie;
	g->serial = ++p->serial;
	g->fd = fd;
	g->pid = pid;
	err = p->host->watch(p->host->ctx, fd);
	if (err) {
		free(g);
		return err;
	}
	g->next = r->programs;
	r->programs = g;
	r->recent = g;
	p->by_fd[fd] = g;
	return 0;
}

void uffd_program_remove(struct uffd_program *g)
{
	struct uffd_region *r = g->region;
	struct uffd_program **at = &r->programs;

	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	if (r->recent == g)
		r->recent = r->programs;
	r->pager->by_fd[g->fd] = NULL;
	r->pager->host->unwatch(r->pager->host->ctx, g->fd);
	close(g->fd);
	free(g->waiters);
	free(g);
}

/*
 * A thread waits for one page at a time, so what was noted of it before is
 * old (a signal took it out of its wait). No memory: only fail() cannot reach
 * the thread then.
 */
void uffd_waiter_add(struct uffd_program *g, uint64_t address, pid_t tid)
{
	struct uffd_waiter *w = NULL, *grown;

	for (uint32_t i = 0; i < g->nwaiters && !w; i++) {
		if (g->waiters[i].tid == tid)
			w = &g->waiters[i];
	}
	if (!w && g->nwaiters == g->waiters_max) {
		uint32_t max = g->waiters_max ? g->waiters_max * 2 : 8;

		grown = realloc(g->waiters, max * sizeof(*grown));
		if (!grown)
			return;
		g->waiters = grown;
		g->waiters_max = max;
	}
	if (!w)
		w = &g->waiters[g->nwaiters++];
	w->page = (address - g->base) / PAGER_PAGE_SIZE;
	w->address = address;
	w->tid = tid;
}

bool uffd_waiter_any(const struct uffd_program *g, uint64_t page, uint64_t count)
{
	for (uint32_t i = 0; i < g->nwaiters; i++) {
		if (g->waiters[i].page - page < count)
			return true;
	}
	return false;
}

void uffd_waiter_forget(struct uffd_program *g, uint64_t page, uint64_t count)
{
	for (uint32_t i = 0; i < g->nwaiters;) {
		if (g->waiters[i].page - page < count)
			g->waiters[i] = g->waiters[--g->nwaiters];
		else
			i++;
	}
}

/* True: the error says that there is no mapping to serve (any longer). */
static bool program_lost(struct uffd_program *g, int err)
{
	if (err == -ESRCH)
		g->gone = true;
	return err == -ESRCH || err == -ENOENT || err == -EINVAL;
}

static int copy_once(struct uffd_program *g, uint64_t page, uint32_t count, const void *data,
		     bool protect, uint32_t *ret_done)
{
	struct uffdio_copy copy = {
		.dst = g->base + page * PAGER_PAGE_SIZE,
		.src = (uintptr_t)(data ? data : zeroes),
		.len = (uint64_t)count * PAGER_PAGE_SIZE,
		.mode = protect ? UFFDIO_COPY_MODE_WP : 0,
	};
	int err = ioctl(g->fd, UFFDIO_COPY, &copy) ? -errno : 0;

	*ret_done = copy.copy > 0 ? (uint32_t)(copy.copy / PAGER_PAGE_SIZE) : 0;
	return err;
}

int uffd_program_copy(struct uffd_program *g, uint64_t page, uint32_t count, const void *data,
		      bool protect, uint32_t *ret_done)
{
	uint32_t done = 0, n = 0;
	int err = 0;

	while (done < count) {
		uint32_t want = count - done;

		if (!data && want > ZERO_PAGES)
			want = ZERO_PAGES;
		err = copy_once(g, page + done, want,
				data ? (const uint8_t *)data + (size_t)done * PAGER_PAGE_SIZE
				     : NULL,
				protect, &n);
		done += n;
		/* EAGAIN: cut short (a signal, a mapping that changes): go on from there. */
		if (err && err != -EAGAIN)
			break;
		err = 0;
	}
	*ret_done = done;
	return err && program_lost(g, err) ? -ESRCH : err;
}

static int protect_once(struct uffd_program *g, uint64_t page, uint32_t count, bool protect)
{
	struct uffdio_writeprotect wp = {
		.range = { g->base + page * PAGER_PAGE_SIZE, (uint64_t)count * PAGER_PAGE_SIZE },
		.mode = protect ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};
	int err;

	do {
		err = ioctl(g->fd, UFFDIO_WRITEPROTECT, &wp) ? -errno : 0;
	} while (err == -EAGAIN || err == -EINTR);
	return err;
}

int uffd_program_protect(struct uffd_program *g, uint64_t page, uint32_t count, bool protect)
{
	int err = protect_once(g, page, count, protect);

	/* The program split its mapping here (mprotect, munmap): what is left of it counts. */
	for (uint32_t i = 0; count > 1 && err && err != -ENOMEM && err != -ESRCH && i < count;
	     i++) {
		int one = protect_once(g, page + i, 1, protect);

		if (one && !program_lost(g, one))
			return one;
		if (i + 1 == count)
			return 0;
	}
	return err && program_lost(g, err) ? 0 : err;
}

int uffd_program_map(struct uffd_program *g, uint64_t page, bool protect)
{
	struct uffdio_continue cont = {
		.range = { g->base + page * PAGER_PAGE_SIZE, PAGER_PAGE_SIZE },
		.mode = protect ? UFFD_CONTINUE_WP : 0,
	};
	int err;

	do {
		err = ioctl(g->fd, UFFDIO_CONTINUE, &cont) ? -errno : 0;
	} while (err == -EAGAIN);
	if (err == -EEXIST) {
		/* Mapped for another thread meanwhile; perhaps still write-protected. */
		if (!protect)
			return uffd_program_protect(g, page, 1, false);
		uffd_program_wake(g, page, 1);
		return 0;
	}
	return err && program_lost(g, err) ? 0 : err;
}

void uffd_program_wake(struct uffd_program *g, uint64_t page, uint64_t count)
{
	struct uffdio_range range = {
		g->base + page * PAGER_PAGE_SIZE,
		count * PAGER_PAGE_SIZE,
	};

	(void)ioctl(g->fd, UFFDIO_WAKE, &range);
}
