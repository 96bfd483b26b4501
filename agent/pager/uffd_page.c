// SPDX-License-Identifier: MIT
/*
 * The pages of a region: into the memfd and the programs' mappings, and out
 * again. See uffd.h for why a late event is never a danger.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "agent/pager/uffd.h"

static int punch(struct uffd_region *r, uint64_t page, uint32_t count)
{
	int err;

	do {
		err = fallocate(r->memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				(off_t)(page * PAGER_PAGE_SIZE), (off_t)count * PAGER_PAGE_SIZE)
			      ? -errno
			      : 0;
	} while (err == -EINTR);
	return err;
}

/* Into the page cache only; whoever touches it faults and is shown it. */
static int fill(struct uffd_region *r, uint64_t page, uint32_t count, const void *data)
{
	static const uint8_t zero[PAGER_PAGE_SIZE];

	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *from = data ? (const uint8_t *)data + (size_t)i * PAGER_PAGE_SIZE
					   : zero;
		ssize_t n = pwrite(r->memfd, from, PAGER_PAGE_SIZE,
				   (off_t)((page + i) * PAGER_PAGE_SIZE));

		if (n != (ssize_t)PAGER_PAGE_SIZE)
			return n < 0 ? -errno : -ENOSPC;
	}
	return 0;
}

/* Whose mapping gets the bytes: somebody who waits, else who faulted last. */
static struct uffd_program *pick_program(struct uffd_region *r, uint64_t page, uint32_t count)
{
	for (struct uffd_program *g = r->programs; g; g = g->next) {
		if (!g->gone && uffd_waiter_any(g, page, count))
			return g;
	}
	return r->recent && !r->recent->gone ? r->recent : NULL;
}

/* Pages that are in no page cache yet. @ret_served: the program that has them mapped now. */
static int publish(struct uffd_region *r, uint64_t page, uint32_t count, const uint8_t *data,
		   bool protect, const struct uffd_program **ret_served)
{
	struct uffd_program *g = pick_program(r, page, count);
	uint32_t done;
	int err;

	*ret_served = g;

	while (g && count) {
		err = uffd_program_copy(g, page, count, data, protect, &done);
		page += done;
		count -= done;
		if (data)
			data += (size_t)done * PAGER_PAGE_SIZE;
		if (err == -EEXIST)
			/* Not by us: a program wrote to the memfd. What it wrote is void. */
			err = punch(r, page, 1);
		else if (err == -ESRCH)
			break;
		if (err)
			return err;
	}
	if (!count)
		return 0;
	/* No program, or its mapping is gone or split: page by page, as they are touched. */
	*ret_served = NULL;
	return fill(r, page, count, data);
}

/* Wakes who still waits in any program for a page that is here now. */
static void show_waiting(struct uffd_region *r, uint64_t page, uint32_t count,
			 const struct uffd_program *served)
{
	for (struct uffd_program *g = r->programs; g; g = g->next) {
		for (uint32_t i = 0; g != served && i < g->nwaiters; i++) {
			if (g->waiters[i].page - page < count)
				uffd_region_show(r, g, g->waiters[i].page);
		}
		uffd_waiter_forget(g, page, count);
	}
}

int uffd_region_install(struct uffd_region *r, uint64_t page, uint32_t count, const void *data,
			enum pager_prot prot)
{
	const uint8_t *bytes = data;

	while (count) {
		uint32_t n = uffd_state_run(&r->state, page, count);
		const struct uffd_program *served;
		int err = 0;

		/* Replaced as a whole: nobody sees half of the old and half of the new. */
		if (uffd_state_get(&r->state, page) != PAGER_NONE)
			err = uffd_region_drop(r, page, n);
		if (!err)
			err = uffd_state_set(&r->state, page, n, prot);
		if (err)
			return err;
		err = publish(r, page, n, bytes, prot == PAGER_READ, &served);
		if (err) {
			(void)punch(r, page, n);
			(void)uffd_state_set(&r->state, page, n, PAGER_NONE);
			return err;
		}
		show_waiting(r, page, n, served);
		page += n;
		count -= n;
		if (bytes)
			bytes += (size_t)n * PAGER_PAGE_SIZE;
	}
	return 0;
}

/* Linux before 6.4 cannot map a page write-protected but by making it anew. */
static int remake(struct uffd_region *r, struct uffd_program *g, uint64_t page)
{
	uint8_t buf[PAGER_PAGE_SIZE];
	uint32_t done;
	int err = uffd_region_read(r, page, 1, buf);

	if (!err)
		err = punch(r, page, 1);
	if (!err)
		err = uffd_program_copy(g, page, 1, buf, true, &done);
	return err == -ESRCH ? fill(r, page, 1, buf) : err;
}

void uffd_region_show(struct uffd_region *r, struct uffd_program *g, uint64_t page)
{
#ifndef DSM_MUTANT_UFFD_SHOWN_WRITABLE
	bool protect = uffd_state_get(&r->state, page) == PAGER_READ;
#else
	bool protect = false;
#endif
	int err;

	if (protect && !r->pager->continue_wp)
		err = remake(r, g, page);
	else
		err = uffd_program_map(g, page, protect);
	if (err == -EFAULT) {
		/* Punched by a program itself: its bytes are zeroes now, as it wished. */
		(void)fill(r, page, 1, NULL);
		err = uffd_program_map(g, page, protect);
	}
	/* No memory for it now: let it fault again. */
	if (err)
		uffd_program_wake(g, page, 1);
}

int uffd_region_upgrade(struct uffd_region *r, uint64_t page, uint32_t count)
{
	int err;

	for (uint32_t i = 0; i < count; i++) {
		if (uffd_state_get(&r->state, page + i) == PAGER_NONE)
			return -ENOENT;
	}
	err = uffd_state_set(&r->state, page, count, PAGER_WRITE);
	/*
	 * Programs that neither wait nor wrote last stay write-protected: their
	 * next store is an event that is answered here. Where the page is not
	 * mapped at all, this only wakes, and the fault that follows maps it.
	 */
	for (struct uffd_program *g = r->programs; g && !err; g = g->next) {
		if (!uffd_waiter_any(g, page, count) && g != r->recent)
			continue;
		err = uffd_program_protect(g, page, count, false);
		uffd_waiter_forget(g, page, count);
	}
	return err;
}

/* Nobody can write any more. -EBUSY: no memory to say so in a page table. */
static int protect_all(struct uffd_region *r, uint64_t page, uint32_t count)
{
	for (struct uffd_program *g = r->programs; g; g = g->next) {
		int err = g->gone ? 0 : uffd_program_protect(g, page, count, true);

		if (err)
			return err == -ENOMEM ? -EBUSY : err;
#ifdef DSM_MUTANT_UFFD_ONE_PROGRAM_PROTECTED
		break;
#endif
	}
	return 0;
}

int uffd_region_downgrade(struct uffd_region *r, uint64_t page, uint32_t count)
{
	int err;

	for (; count && uffd_state_get(&r->state, page) == PAGER_NONE; page++, count--)
		;
	if (!count)
		return -ENOENT;
	err = protect_all(r, page, count);
	for (uint32_t i = 0; i < count && !err; i++) {
		if (uffd_state_get(&r->state, page + i) == PAGER_WRITE)
			err = uffd_state_set(&r->state, page + i, 1, PAGER_READ);
	}
	return err;
}

int uffd_region_drop(struct uffd_region *r, uint64_t page, uint32_t count)
{
	int err = punch(r, page, count);

	return err ? err : uffd_state_set(&r->state, page, count, PAGER_NONE);
}

int uffd_region_take(struct uffd_region *r, uint64_t page, void *buf)
{
	enum pager_prot prot = uffd_state_get(&r->state, page);
	int err;

	if (prot == PAGER_NONE)
		return -ENOENT;
#ifndef DSM_MUTANT_UFFD_TAKE_UNPROTECTED
	/* A store between the copy and the hole would be lost. */
	if (prot == PAGER_WRITE) {
		err = protect_all(r, page, 1);
		if (err)
			return err;
	}
#endif
	err = uffd_region_read(r, page, 1, buf);
	return err ? err : uffd_region_drop(r, page, 1);
}

int uffd_region_read(struct uffd_region *r, uint64_t page, uint32_t count, void *buf)
{
	size_t size = (size_t)count * PAGER_PAGE_SIZE;
	ssize_t n;

	for (uint32_t i = 0; i < count; i++) {
		if (uffd_state_get(&r->state, page + i) == PAGER_NONE)
			return -ENOENT;
	}
	n = pread(r->memfd, buf, size, (off_t)(page * PAGER_PAGE_SIZE));
	if (n == (ssize_t)size)
		return 0;
	return n < 0 ? -errno : -EIO;
}
