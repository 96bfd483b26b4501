/* SPDX-License-Identifier: MIT */
/*
 * A puppet is a child process that maps a region under a userfaultfd, hands it
 * to its parent, and then loads and stores as it is told.
 */
#ifndef DSM_TESTS_UFFD_PUPPET_H
#define DSM_TESTS_UFFD_PUPPET_H

#include <stdint.h>
#include <sys/types.h>

#define PUPPET_THREADS 2 /* that work in PUPPET_ADD */

enum puppet_op {
	PUPPET_READ = 1,  /* answers the page's first word */
	PUPPET_WRITE,	  /* stores the value there; answers 0 */
	PUPPET_TRY_READ,  /* as READ, or the address that SIGBUS named */
	PUPPET_DEAF_READ, /* as READ, with SIGBUS blocked */
	PUPPET_DISCARD,	  /* MADV_DONTNEED of the page; answers 0 */
	PUPPET_SPLIT,	  /* makes the page alone read-only: three mappings; answers 0 */
	PUPPET_ADD, /* each thread adds 1 to a word, value times, in turn on pages 0 .. page - 1; answers 0 */
};

struct puppet {
	pid_t pid;
	int sock;
	int uffd; /* the parent's descriptor */
	uint64_t base;
};

/* 0 or -1. */
int puppet_start(struct puppet *p, int memfd, uint64_t pages);
void puppet_tell(struct puppet *p, enum puppet_op op, uint64_t page, uint64_t value);
uint64_t puppet_answer(struct puppet *p);
/* Ends it and waits for that; stop() does so in friendship. */
void puppet_kill(struct puppet *p);
void puppet_stop(struct puppet *p);

/* In a child: sends the userfaultfd @fd, and where it has mapped the region. 0 or -1. */
int puppet_hand_over(int sock, int fd, uint64_t base);

#endif
