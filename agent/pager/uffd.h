/* SPDX-License-Identifier: MIT */
/*
 * Inside the userfaultfd pager.
 *
 * A region is a memfd. Its pages are in the memfd's page cache exactly when
 * the pager's state map says READ or WRITE. Programs map the memfd and give
 * their userfaultfd to the agent, registered for missing, minor and
 * write-protect faults: so no page table entry of theirs ever comes into
 * being, or becomes writable, but by an ioctl of this pager. That makes the
 * races simple: the loop thread alone moves pages, an event read late is
 * judged by the state as it is now, and whoever was woken for nothing faults
 * again.
 *
 * The agent maps nothing itself: pread and UFFDIO_COPY from a warm buffer are
 * cheaper than a mapping that every hole punched has to be taken out of too
 * (tests/bench/uffd_pager.c measures it).
 */
#ifndef DSM_PAGER_UFFD_H
#define DSM_PAGER_UFFD_H

#include <linux/userfaultfd.h>

#include "agent/pager/pager.h"

/* Newer than the headers of the oldest supported kernel. */
#define UFFD_CONTINUE_WP ((uint64_t)1 << 1)

#define UFFD_STATE_SHIFT 14 /* pages in one leaf of the state map */

/* A thread that waits in the kernel for a page of its program's region. */
struct uffd_waiter {
	uint64_t page;
	uint64_t address; /* what it wanted to touch, over there */
	pid_t tid;	  /* as its own process sees it */
};

/* One mapping of one region in one process. */
struct uffd_program {
	struct uffd_program *next; /* in the region's list */
	struct uffd_region *region;
	uint64_t base;	 /* address of page 0 over there */
	uint64_t cookie; /* the agent's name for the attachment */
	uint64_t serial; /* never used twice: tells a closed descriptor's successor apart */
	int fd;		 /* its userfaultfd; owned */
	pid_t pid;
	bool gone; /* its address space is no more */
	struct uffd_waiter *waiters;
	uint32_t nwaiters, waiters_max;
};

/* State of each page, two bits, in leaves made on first use. */
struct uffd_state_map {
	uint8_t **leaves;
	uint64_t pages;
};

struct uffd_region {
	struct pager *pager;
	struct uffd_program *programs;
	struct uffd_program *recent; /* faulted last: gets pages nobody waits for */
	struct uffd_state_map state;
	uint16_t number;
	int memfd;
};

struct pager {
	const struct pager_host *host;
	struct uffd_region **regions; /* by number */
	struct uffd_program **by_fd;
	uint32_t nregions, nfds;
	uint64_t serial;
	bool continue_wp; /* UFFDIO_CONTINUE can write-protect: Linux 6.4 and later */
};

/* uffd_state.c */
int uffd_state_init(struct uffd_state_map *map, uint64_t pages);
void uffd_state_free(struct uffd_state_map *map);
enum pager_prot uffd_state_get(const struct uffd_state_map *map, uint64_t page);
/* -ENOMEM: the leaf could not be made, nothing was changed. */
int uffd_state_set(struct uffd_state_map *map, uint64_t page, uint64_t count, enum pager_prot to);
/* How many pages from @page on, at most @count, are alike in being NONE or not. */
uint32_t uffd_state_run(const struct uffd_state_map *map, uint64_t page, uint32_t count);

/* uffd_probe.c: what this kernel lets us do. 0 or a negative errno with @why filled. */
int uffd_probe(bool *ret_continue_wp, char *why, size_t len);
bool uffd_is_userfaultfd(int fd);

/*
 * uffd_program.c: what one program maps. The ioctls return 0 or a negative
 * errno; a program whose mapping has gone is no error, there is nobody to
 * serve.
 */
int uffd_program_add(struct pager *p, struct uffd_region *r, int fd, uint64_t base, pid_t pid,
		     uint64_t cookie);
void uffd_program_remove(struct uffd_program *g);
void uffd_waiter_add(struct uffd_program *g, uint64_t address, pid_t tid);
bool uffd_waiter_any(const struct uffd_program *g, uint64_t page, uint64_t count);
void uffd_waiter_forget(struct uffd_program *g, uint64_t page, uint64_t count);
/* New pages from @data (NULL: zeroes) into page cache and mapping; @ret_done: how many. */
int uffd_program_copy(struct uffd_program *g, uint64_t page, uint32_t count, const void *data,
		      bool protect, uint32_t *ret_done);
/* Maps one page that is in the page cache, and wakes. */
int uffd_program_map(struct uffd_program *g, uint64_t page, bool protect);
/* Takes the right to write, or gives it (and wakes). */
int uffd_program_protect(struct uffd_program *g, uint64_t page, uint32_t count, bool protect);
void uffd_program_wake(struct uffd_program *g, uint64_t page, uint64_t count);
/* SIGBUS for who waits. */
void uffd_program_fail(struct uffd_program *g, uint64_t page, uint32_t count);

/* uffd_page.c: the pages of a region. */
int uffd_region_install(struct uffd_region *r, uint64_t page, uint32_t count, const void *data,
			enum pager_prot prot);
int uffd_region_upgrade(struct uffd_region *r, uint64_t page, uint32_t count);
int uffd_region_downgrade(struct uffd_region *r, uint64_t page, uint32_t count);
int uffd_region_drop(struct uffd_region *r, uint64_t page, uint32_t count);
int uffd_region_take(struct uffd_region *r, uint64_t page, void *buf);
int uffd_region_read(struct uffd_region *r, uint64_t page, uint32_t count, void *buf);
/* A program of the region cannot see a page that is here: show it. */
void uffd_region_show(struct uffd_region *r, struct uffd_program *g, uint64_t page);

/* uffd_fault.c */
void uffd_ready(struct pager *p, int fd);

#endif
