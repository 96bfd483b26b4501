/* SPDX-License-Identifier: MIT */
/*
 * The agent's side in tests of the userfaultfd pager: a host that notes the
 * faults reported to it, and puppets that touch the region on command.
 */
#ifndef DSM_TESTS_UFFD_RIG_H
#define DSM_TESTS_UFFD_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/pager/uffd.h"
#include "tests/unit/uffd_puppet.h"

#define REGION	    3
#define PAGES	    256
#define DEADLINE_MS 10000

struct fault {
	uint64_t page;
	bool write;
};

struct uffd_rig {
	struct pager *pager;
	int watched[16], nwatched;
	struct fault faults[64]; /* reported and not yet expected */
	unsigned int nfaults;
	void (*on_fault)(uint64_t page, bool write); /* instead of noting */
};

extern struct uffd_rig rig;
extern const struct pager_ops *const ops;

/* A pager with one region; for cmocka. */
int rig_setup(void **state);
int rig_teardown(void **state);
/* A program that maps the region, attached under @cookie. */
struct puppet rig_start(uint64_t cookie);
/* Serves events until @fd (or -1) has something or so many faults were noted; false: deadline. */
bool rig_pump(int fd, unsigned int want_faults);
/* What the puppet says to its last order. */
uint64_t rig_answer(struct puppet *p);
/* An order and its answer. */
uint64_t rig_do(struct puppet *p, enum puppet_op op, uint64_t page, uint64_t value);
/* Exactly this fault is reported. */
void rig_expect_fault(uint64_t page, bool write);
/* Installs pages whose first words are @value, @value + 1, ... */
void rig_put(uint64_t page, uint32_t count, uint64_t value, enum pager_prot prot);
/* A read that faults, and is answered by a page put there. */
void rig_read_put(struct puppet *p, uint64_t page, uint64_t value, enum pager_prot prot);
/* A write to a page that may be read; it faults, and goes on when the page is upgraded. */
void rig_write_upgraded(struct puppet *p, uint64_t page, uint64_t value);
/* The first word of a page that is present. */
uint64_t rig_got(uint64_t page);

#endif
