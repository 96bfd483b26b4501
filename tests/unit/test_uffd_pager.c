// SPDX-License-Identifier: MIT
/*
 * The userfaultfd pager with real programs: this process is the agent, its
 * children map a region and touch it on command. The "remote node" is a copy
 * of the pages in this process.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail /* a pager has an operation of that name */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/pager/uffd.h"
#include "tests/unit/uffd_puppet.h"

#define REGION	    3
#define PAGES	    256
#define DEADLINE_MS 10000

struct fault {
	uint64_t page;
	bool write;
};

static struct pager *pager;
static int watched[16], nwatched;
static struct fault faults[64];
static unsigned int nfaults;
static void (*on_fault)(uint64_t page, bool write);

static void host_fault(void *ctx, uint16_t region, uint64_t page, uint32_t count, bool write,
		       bool prefetch)
{
	(void)ctx;
	assert_int_equal(region, REGION);
	assert_int_equal(count, 1);
	assert_false(prefetch);
	if (on_fault) {
		on_fault(page, write);
		return;
	}
	assert_true(nfaults < 64);
	faults[nfaults++] = (struct fault){ page, write };
}

static int host_watch(void *ctx, int fd)
{
	(void)ctx;
	watched[nwatched++] = fd;
	return 0;
}

static void host_unwatch(void *ctx, int fd)
{
	(void)ctx;
	for (int i = 0; i < nwatched; i++) {
		if (watched[i] == fd)
			watched[i] = watched[--nwatched];
	}
}

static void host_broken(void *ctx, int err)
{
	(void)ctx;
	assert_int_equal(err, 0);
}

static const struct pager_host host = {
	.fault = host_fault,
	.watch = host_watch,
	.unwatch = host_unwatch,
	.broken = host_broken,
};

static const struct pager_ops *ops = &pager_uffd;

/* Serves events until @fd (a puppet's socket, or -1) has something; false: deadline. */
static bool pump(int fd, unsigned int want_faults)
{
	struct pollfd p[17];
	int n = 0;

	while (fd >= 0 || nfaults < want_faults) {
		n = 0;
		for (int i = 0; i < nwatched; i++)
			p[n++] = (struct pollfd){ watched[i], POLLIN, 0 };
		if (fd >= 0)
			p[n++] = (struct pollfd){ fd, POLLIN, 0 };
		if (poll(p, (nfds_t)n, DEADLINE_MS) <= 0)
			return false;
		if (fd >= 0 && p[n - 1].revents)
			return true;
		for (int i = 0; i < n; i++) {
			if (p[i].revents & POLLIN)
				ops->ready(pager, p[i].fd);
		}
	}
	return true;
}

static uint64_t answer(struct puppet *p)
{
	assert_true(pump(p->sock, 0));
	return puppet_answer(p);
}

static uint64_t done(struct puppet *p, enum puppet_op op, uint64_t page, uint64_t value)
{
	puppet_tell(p, op, page, value);
	return answer(p);
}

/* The puppet's access faults to the host, once, as told. */
static void expect_fault(uint64_t page, bool write)
{
	assert_true(pump(-1, 1));
	assert_int_equal(nfaults, 1);
	assert_int_equal(faults[0].page, page);
	assert_int_equal(faults[0].write, write);
	nfaults = 0;
}

static void filled(uint8_t *buf, uint32_t pages, uint64_t value)
{
	for (uint32_t i = 0; i < pages; i++) {
		memset(buf + i * PAGER_PAGE_SIZE, 0, PAGER_PAGE_SIZE);
		memcpy(buf + i * PAGER_PAGE_SIZE, &value, sizeof(value));
		value++;
	}
}

static void put(uint64_t page, uint32_t count, uint64_t value, enum pager_prot prot)
{
	uint8_t *buf = malloc(count * PAGER_PAGE_SIZE);

	filled(buf, count, value);
	assert_int_equal(ops->install(pager, REGION, page, count, buf, prot), 0);
	free(buf);
}

static uint64_t got(uint64_t page)
{
	uint64_t value[PAGER_PAGE_SIZE / 8];

	assert_int_equal(ops->read(pager, REGION, page, 1, value), 0);
	return value[0];
}

static struct puppet start(uint64_t cookie)
{
	struct puppet p;

	assert_int_equal(puppet_start(&p, ops->region_fd(pager, REGION), PAGES), 0);
	assert_int_equal(ops->attach(pager, REGION, p.uffd, p.base, p.pid, cookie), 0);
	return p;
}

/* Kernels before 6.4 let one program map a region. */
static void need_two_programs(void)
{
	if (!pager->continue_wp)
		skip();
}

static int setup(void **state)
{
	struct pager_config cfg = { .port = 1, .host = &host };
	char why[128];

	(void)state;
	nfaults = 0;
	nwatched = 0;
	on_fault = NULL;
	if (!ops->usable(why, sizeof(why))) {
		print_message("userfaultfd is not usable here: %s\n", why);
		return -1;
	}
	assert_int_equal(ops->open(&cfg, &pager), 0);
	assert_int_equal(ops->region_add(pager, REGION, "test", PAGES * PAGER_PAGE_SIZE), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (pager)
		ops->close(pager, false);
	pager = NULL;
	return nwatched;
}

static void a_read_miss_is_reported_and_gets_the_installed_bytes(void **state)
{
	struct puppet a = start(1);

	(void)state;
	puppet_tell(&a, PUPPET_READ, 7, 0);
	expect_fault(7, false);
	put(7, 1, 700, PAGER_READ);
	assert_int_equal(answer(&a), 700);
	puppet_stop(&a);
}

static void a_store_to_a_shared_page_waits_for_the_upgrade(void **state)
{
	struct puppet a = start(1);

	(void)state;
	put(7, 1, 700, PAGER_READ);
	assert_int_equal(done(&a, PUPPET_READ, 7, 0), 700);
	puppet_tell(&a, PUPPET_WRITE, 7, 701);
	expect_fault(7, true);
	assert_int_equal(got(7), 700);
	assert_int_equal(ops->upgrade(pager, REGION, 7, 1), 0);
	assert_int_equal(answer(&a), 0);
	assert_int_equal(got(7), 701);
	puppet_stop(&a);
}

static void a_write_miss_installed_writable_needs_no_second_fault(void **state)
{
	struct puppet a = start(1);

	(void)state;
	puppet_tell(&a, PUPPET_WRITE, 9, 5);
	expect_fault(9, true);
	assert_int_equal(ops->install(pager, REGION, 9, 1, NULL, PAGER_WRITE), 0);
	assert_int_equal(answer(&a), 0);
	assert_int_equal(nfaults, 0);
	assert_int_equal(got(9), 5);
	puppet_stop(&a);
}

static void a_write_miss_answered_for_reading_asks_again(void **state)
{
	struct puppet a = start(1);

	(void)state;
	puppet_tell(&a, PUPPET_WRITE, 9, 5);
	expect_fault(9, true);
	put(9, 1, 900, PAGER_READ);
	expect_fault(9, true);
	assert_int_equal(ops->upgrade(pager, REGION, 9, 1), 0);
	assert_int_equal(answer(&a), 0);
	puppet_stop(&a);
}

static void a_second_program_is_served_without_the_host(void **state)
{
	struct puppet a, b;

	(void)state;
	need_two_programs();
	a = start(1);
	b = start(2);
	puppet_tell(&a, PUPPET_READ, 3, 0);
	expect_fault(3, false);
	put(3, 1, 300, PAGER_READ);
	assert_int_equal(answer(&a), 300);
	assert_int_equal(done(&b, PUPPET_READ, 3, 0), 300);
	assert_int_equal(nfaults, 0);

	puppet_tell(&b, PUPPET_WRITE, 3, 301);
	expect_fault(3, true);
	assert_int_equal(ops->upgrade(pager, REGION, 3, 1), 0);
	assert_int_equal(answer(&b), 0);
	assert_int_equal(done(&a, PUPPET_READ, 3, 0), 301);
	assert_int_equal(done(&a, PUPPET_WRITE, 3, 302), 0);
	assert_int_equal(done(&b, PUPPET_READ, 3, 0), 302);
	assert_int_equal(nfaults, 0);
	puppet_stop(&a);
	puppet_stop(&b);
}

static void both_programs_wait_for_one_page_and_both_wake(void **state)
{
	struct puppet a, b;

	(void)state;
	need_two_programs();
	a = start(1);
	b = start(2);
	puppet_tell(&a, PUPPET_READ, 3, 0);
	expect_fault(3, false);
	puppet_tell(&b, PUPPET_WRITE, 3, 33);
	expect_fault(3, true);
	put(3, 1, 300, PAGER_WRITE);
	assert_int_equal(answer(&b), 0);
	(void)answer(&a);
	assert_int_equal(got(3), 33);
	puppet_stop(&a);
	puppet_stop(&b);
}

static void after_a_downgrade_no_program_can_store(void **state)
{
	struct puppet a, b;

	(void)state;
	need_two_programs();
	a = start(1);
	b = start(2);
	put(3, 2, 300, PAGER_WRITE);
	assert_int_equal(done(&a, PUPPET_WRITE, 3, 1), 0);
	assert_int_equal(done(&b, PUPPET_WRITE, 3, 2), 0);
	assert_int_equal(done(&b, PUPPET_WRITE, 4, 2), 0);
	assert_int_equal(ops->downgrade(pager, REGION, 3, 2), 0);
	assert_int_equal(done(&a, PUPPET_READ, 3, 0), 2);
	puppet_tell(&a, PUPPET_WRITE, 3, 7);
	expect_fault(3, true);
	puppet_tell(&b, PUPPET_WRITE, 3, 8);
	expect_fault(3, true);
	assert_int_equal(got(3), 2);
	assert_int_equal(ops->upgrade(pager, REGION, 3, 1), 0);
	assert_int_equal(answer(&a), 0);
	assert_int_equal(answer(&b), 0);
	puppet_tell(&b, PUPPET_WRITE, 4, 8);
	expect_fault(4, true);
	assert_int_equal(ops->upgrade(pager, REGION, 4, 1), 0);
	assert_int_equal(answer(&b), 0);
	puppet_stop(&a);
	puppet_stop(&b);
}

static void take_gives_the_last_store_and_leaves_nothing(void **state)
{
	struct puppet a, b;
	uint64_t page[PAGER_PAGE_SIZE / 8];

	(void)state;
	need_two_programs();
	a = start(1);
	b = start(2);
	put(3, 1, 300, PAGER_WRITE);
	assert_int_equal(done(&a, PUPPET_WRITE, 3, 41), 0);
	assert_int_equal(done(&b, PUPPET_READ, 3, 0), 41);
	assert_int_equal(ops->take(pager, REGION, 3, page), 0);
	assert_int_equal(page[0], 41);
	assert_int_equal(ops->take(pager, REGION, 3, page), -ENOENT);
	assert_int_equal(ops->read(pager, REGION, 3, 1, page), -ENOENT);
	puppet_tell(&a, PUPPET_READ, 3, 0);
	expect_fault(3, false);
	puppet_tell(&b, PUPPET_WRITE, 3, 5);
	expect_fault(3, true);
	put(3, 1, 42, PAGER_READ);
	assert_int_equal(answer(&a), 42);
	expect_fault(3, true);
	assert_int_equal(ops->upgrade(pager, REGION, 3, 1), 0);
	assert_int_equal(answer(&b), 0);
	puppet_stop(&a);
	puppet_stop(&b);
}

static void dropped_pages_fault_again(void **state)
{
	struct puppet a = start(1);

	(void)state;
	put(10, 3, 100, PAGER_READ);
	assert_int_equal(done(&a, PUPPET_READ, 11, 0), 101);
	assert_int_equal(ops->drop(pager, REGION, 10, 3), 0);
	puppet_tell(&a, PUPPET_READ, 11, 0);
	expect_fault(11, false);
	put(11, 1, 5, PAGER_READ);
	assert_int_equal(answer(&a), 5);
	puppet_stop(&a);
}

static void prefetched_pages_cause_no_fault(void **state)
{
	struct puppet a = start(1);

	(void)state;
	put(64, 64, 1000, PAGER_READ);
	for (uint64_t i = 0; i < 64; i++)
		assert_int_equal(done(&a, PUPPET_READ, 64 + i, 0), 1000 + i);
	assert_int_equal(ops->install(pager, REGION, 130, 40, NULL, PAGER_READ), 0);
	assert_int_equal(done(&a, PUPPET_READ, 169, 0), 0);
	assert_int_equal(nfaults, 0);
	puppet_stop(&a);
}

static void pages_installed_before_any_program_came_are_there(void **state)
{
	struct puppet a;

	(void)state;
	put(20, 2, 200, PAGER_READ);
	put(22, 1, 220, PAGER_WRITE);
	a = start(1);
	assert_int_equal(done(&a, PUPPET_READ, 21, 0), 201);
	assert_int_equal(done(&a, PUPPET_WRITE, 22, 7), 0);
	assert_int_equal(nfaults, 0);
	puppet_tell(&a, PUPPET_WRITE, 20, 9);
	expect_fault(20, true);
	assert_int_equal(ops->upgrade(pager, REGION, 20, 1), 0);
	assert_int_equal(answer(&a), 0);
	assert_int_equal(got(20), 9);
	puppet_stop(&a);
}

static void a_run_with_present_pages_is_replaced_whole(void **state)
{
	struct puppet a = start(1);

	(void)state;
	put(31, 1, 1, PAGER_WRITE);
	put(33, 1, 2, PAGER_READ);
	put(30, 5, 500, PAGER_READ);
	for (uint64_t i = 0; i < 5; i++)
		assert_int_equal(done(&a, PUPPET_READ, 30 + i, 0), 500 + i);
	puppet_tell(&a, PUPPET_WRITE, 31, 1);
	expect_fault(31, true);
	assert_int_equal(ops->upgrade(pager, REGION, 31, 1), 0);
	assert_int_equal(answer(&a), 0);
	puppet_stop(&a);
}

static void a_page_the_program_discards_is_not_lost(void **state)
{
	struct puppet a = start(1);

	(void)state;
	put(3, 1, 300, PAGER_READ);
	assert_int_equal(done(&a, PUPPET_READ, 3, 0), 300);
	assert_int_equal(done(&a, PUPPET_DISCARD, 3, 0), 0);
	assert_int_equal(done(&a, PUPPET_READ, 3, 0), 300);
	assert_int_equal(nfaults, 0);
	assert_int_equal(done(&a, PUPPET_DISCARD, 3, 0), 0);
	puppet_tell(&a, PUPPET_WRITE, 3, 4);
	expect_fault(3, true);
	assert_int_equal(ops->upgrade(pager, REGION, 3, 1), 0);
	assert_int_equal(answer(&a), 0);
	assert_int_equal(got(3), 4);
	puppet_stop(&a);
}

static void old_kernels_make_a_page_anew_to_protect_it(void **state)
{
	struct puppet a = start(1);

	(void)state;
	pager->continue_wp = false;
	put(3, 1, 300, PAGER_READ);
	assert_int_equal(done(&a, PUPPET_DISCARD, 3, 0), 0);
	assert_int_equal(done(&a, PUPPET_READ, 3, 0), 300);
	puppet_tell(&a, PUPPET_WRITE, 3, 4);
	expect_fault(3, true);
	assert_int_equal(ops->upgrade(pager, REGION, 3, 1), 0);
	assert_int_equal(answer(&a), 0);
	assert_int_equal(got(3), 4);
	puppet_stop(&a);
}

static void old_kernels_refuse_a_second_program(void **state)
{
	struct puppet a = start(1), b;

	(void)state;
	pager->continue_wp = false;
	assert_int_equal(puppet_start(&b, ops->region_fd(pager, REGION), PAGES), 0);
	assert_int_equal(ops->attach(pager, REGION, b.uffd, b.base, b.pid, 2), -EOPNOTSUPP);
	close(b.uffd);
	puppet_stop(&b);
	ops->detach(pager, 1);
	puppet_stop(&a);
	a = start(3);
	puppet_stop(&a);
}

static void a_mapping_split_by_mprotect_is_still_served(void **state)
{
	struct puppet a = start(1);

	(void)state;
	assert_int_equal(done(&a, PUPPET_SPLIT, 41, 0), 0);
	puppet_tell(&a, PUPPET_READ, 41, 0);
	expect_fault(41, false);
	put(40, 4, 400, PAGER_WRITE);
	assert_int_equal(answer(&a), 401);
	assert_int_equal(done(&a, PUPPET_WRITE, 40, 1), 0);
	assert_int_equal(done(&a, PUPPET_WRITE, 43, 1), 0);
	assert_int_equal(ops->downgrade(pager, REGION, 40, 4), 0);
	puppet_tell(&a, PUPPET_WRITE, 43, 2);
	expect_fault(43, true);
	assert_int_equal(ops->upgrade(pager, REGION, 40, 4), 0);
	assert_int_equal(answer(&a), 0);
	puppet_stop(&a);
}

static void a_failed_page_is_sigbus_once(void **state)
{
	struct puppet a = start(1);

	(void)state;
	puppet_tell(&a, PUPPET_TRY_READ, 5, 0);
	expect_fault(5, false);
	assert_int_equal(ops->fail(pager, REGION, 5, 1, EIO), 0);
	/* The puppet's handler answers with the address it was told. */
	assert_int_equal(answer(&a), a.base + 5 * PAGER_PAGE_SIZE);
	puppet_tell(&a, PUPPET_TRY_READ, 5, 0);
	expect_fault(5, false);
	put(5, 1, 55, PAGER_READ);
	assert_int_equal(answer(&a), 55);
	puppet_stop(&a);
}

static void failing_without_an_error_is_another_try(void **state)
{
	struct puppet a = start(1);

	(void)state;
	puppet_tell(&a, PUPPET_READ, 5, 0);
	expect_fault(5, false);
	assert_int_equal(ops->fail(pager, REGION, 5, 1, 0), 0);
	expect_fault(5, false);
	put(5, 1, 55, PAGER_READ);
	assert_int_equal(answer(&a), 55);
	puppet_tell(&a, PUPPET_WRITE, 5, 56);
	expect_fault(5, true);
	assert_int_equal(ops->fail(pager, REGION, 5, 1, 0), 0);
	expect_fault(5, true);
	assert_int_equal(ops->upgrade(pager, REGION, 5, 1), 0);
	assert_int_equal(answer(&a), 0);
	puppet_stop(&a);
}

static void sigbus_blocked_ends_the_program(void **state)
{
	struct puppet a = start(1);
	int status;

	(void)state;
	puppet_tell(&a, PUPPET_DEAF_READ, 5, 0);
	expect_fault(5, false);
	assert_int_equal(ops->fail(pager, REGION, 5, 1, EIO), 0);
	assert_int_equal(waitpid(a.pid, &status, 0), a.pid);
	assert_true(WIFSIGNALED(status));
	close(a.sock);
}

static void a_killed_program_leaves_the_others_alone(void **state)
{
	struct puppet a, b;

	(void)state;
	need_two_programs();
	a = start(1);
	b = start(2);
	put(3, 1, 300, PAGER_WRITE);
	assert_int_equal(done(&a, PUPPET_WRITE, 3, 11), 0);
	puppet_tell(&a, PUPPET_READ, 4, 0);
	expect_fault(4, false);
	puppet_kill(&a);
	put(4, 1, 400, PAGER_READ);
	assert_int_equal(ops->downgrade(pager, REGION, 3, 1), 0);
	assert_int_equal(done(&b, PUPPET_READ, 3, 0), 11);
	assert_int_equal(done(&b, PUPPET_READ, 4, 0), 400);
	ops->detach(pager, 1);
	assert_int_equal(nwatched, 1);
	puppet_tell(&b, PUPPET_WRITE, 4, 1);
	expect_fault(4, true);
	assert_int_equal(ops->upgrade(pager, REGION, 4, 1), 0);
	assert_int_equal(answer(&b), 0);
	puppet_stop(&b);
}

static void closing_the_pager_is_sigbus_for_all(void **state)
{
	struct puppet a = start(1);

	(void)state;
	put(3, 1, 300, PAGER_WRITE);
	assert_int_equal(done(&a, PUPPET_WRITE, 3, 11), 0);
	puppet_tell(&a, PUPPET_TRY_READ, 5, 0);
	expect_fault(5, false);
	ops->close(pager, false);
	pager = NULL;
	assert_int_equal(nwatched, 0);
	assert_int_equal(answer(&a), a.base + 5 * PAGER_PAGE_SIZE);
	assert_int_equal(done(&a, PUPPET_TRY_READ, 3, 0), a.base + 3 * PAGER_PAGE_SIZE);
	puppet_stop(&a);
}

static void detach_inside_fault(uint64_t page, bool write)
{
	(void)page;
	(void)write;
	nfaults++;
	ops->detach(pager, 1);
}

static void a_program_may_go_while_its_fault_is_reported(void **state)
{
	struct puppet a = start(1);

	(void)state;
	on_fault = detach_inside_fault;
	puppet_tell(&a, PUPPET_READ, 5, 0);
	assert_true(pump(-1, 1));
	assert_int_equal(nwatched, 0);
	puppet_kill(&a);
}

static void wrong_arguments_are_refused(void **state)
{
	uint8_t buf[PAGER_PAGE_SIZE];
	int other = memfd_create("other", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(ops->region_add(pager, REGION, "again", PAGER_PAGE_SIZE), -EEXIST);
	assert_int_equal(ops->region_add(pager, 9, "odd", 5000), -EINVAL);
	assert_int_equal(ops->region_add(pager, 9, "none", 0), -EINVAL);
	assert_int_equal(ops->region_del(pager, 9), -ENOENT);
	assert_int_equal(ops->region_fd(pager, 9), -ENOENT);
	assert_int_equal(ops->install(pager, 9, 0, 1, NULL, PAGER_READ), -ENOENT);
	assert_int_equal(ops->install(pager, REGION, PAGES, 1, NULL, PAGER_READ), -EINVAL);
	assert_int_equal(ops->install(pager, REGION, PAGES - 1, 2, NULL, PAGER_READ), -EINVAL);
	assert_int_equal(ops->install(pager, REGION, UINT64_MAX, 2, NULL, PAGER_READ), -EINVAL);
	assert_int_equal(ops->install(pager, REGION, 0, 0, NULL, PAGER_READ), -EINVAL);
	assert_int_equal(ops->install(pager, REGION, 0, 1, NULL, PAGER_NONE), -EINVAL);
	assert_int_equal(ops->upgrade(pager, REGION, 0, 1), -ENOENT);
	assert_int_equal(ops->downgrade(pager, REGION, 0, 1), -ENOENT);
	assert_int_equal(ops->take(pager, REGION, PAGES, buf), -EINVAL);
	assert_int_equal(ops->attach(pager, REGION, other, 0, getpid(), 1), -EINVAL);
	assert_int_equal(ops->attach(pager, 9, other, 0, getpid(), 1), -ENOENT);
	assert_int_equal(ops->attach(pager, REGION, other, 100, getpid(), 1), -EINVAL);
	close(other);
}

static void a_region_of_a_terabyte_costs_little(void **state)
{
	(void)state;
	assert_int_equal(ops->region_add(pager, 0, "default", 1ull << 40), 0);
	assert_int_equal(ops->install(pager, 0, (1ull << 28) - 1, 1, NULL, PAGER_WRITE), 0);
	assert_int_equal(ops->drop(pager, 0, (1ull << 28) - 1, 1), 0);
	assert_int_equal(ops->region_del(pager, 0), 0);
}

/*
 * Stress. Two programs with two threads each add to counters, one per page,
 * while the "protocol" takes pages away, downgrades and gives them back. Each
 * add must be in exactly one place at the end.
 */
#define STRESS_PAGES 8
#define STRESS_ADDS  30000

static uint8_t remote[STRESS_PAGES][PAGER_PAGE_SIZE];
static uint64_t stress_seed;

static uint32_t stress_random(void)
{
	stress_seed = stress_seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(stress_seed >> 33);
}

static void stress_fault(uint64_t page, bool write)
{
	struct pager *p = pager;
	uint8_t buf[PAGER_PAGE_SIZE];

	if (ops->read(p, REGION, page, 1, buf)) {
		enum pager_prot prot = write && stress_random() % 4 ? PAGER_WRITE : PAGER_READ;

		assert_int_equal(ops->install(p, REGION, page, 1, remote[page], prot), 0);
	} else if (write) {
		assert_int_equal(ops->upgrade(p, REGION, page, 1), 0);
	}
}

static void stress_revoke(void)
{
	uint64_t page = stress_random() % STRESS_PAGES;
	int err = stress_random() % 3 ? ops->take(pager, REGION, page, remote[page])
				      : ops->downgrade(pager, REGION, page, 1);

	assert_true(!err || err == -ENOENT);
}

static void no_store_is_lost_under_revocation(void **state)
{
	struct puppet p[2];
	uint64_t sum = 0, value, revoked = 0;
	time_t started = time(NULL);
	int left = 2;

	(void)state;
	need_two_programs();
	p[0] = start(1);
	p[1] = start(2);
	stress_seed = (uint64_t)started;
	print_message("stress seed %llu\n", (unsigned long long)stress_seed);
	on_fault = stress_fault;
	memset(remote, 0, sizeof(remote));
	puppet_tell(&p[0], PUPPET_ADD, STRESS_PAGES, STRESS_ADDS);
	puppet_tell(&p[1], PUPPET_ADD, STRESS_PAGES, STRESS_ADDS);
	while (left) {
		struct pollfd f[4];

		for (int i = 0; i < 2; i++) {
			f[i] = (struct pollfd){ p[i].uffd, POLLIN, 0 };
			f[2 + i] = (struct pollfd){ p[i].sock, POLLIN, 0 };
		}
		assert_true(time(NULL) - started < DEADLINE_MS / 1000);
		if (poll(f, 4, 0) < 0)
			break;
		for (int i = 0; i < 2; i++) {
			if (f[i].revents & POLLIN)
				ops->ready(pager, f[i].fd);
			if (f[2 + i].revents && !puppet_answer(&p[i]))
				left--;
		}
		stress_revoke();
		revoked++;
	}
	assert_true(revoked > 100);
	for (uint64_t i = 0; i < STRESS_PAGES; i++) {
		int err = ops->take(pager, REGION, i, remote[i]);

		assert_true(!err || err == -ENOENT);
		memcpy(&value, remote[i], sizeof(value));
		sum += value;
	}
	assert_int_equal(sum, 2 * PUPPET_THREADS * STRESS_ADDS);
	puppet_stop(&p[0]);
	puppet_stop(&p[1]);
}

static void states_are_kept_per_page(void **state)
{
	struct uffd_state_map map;

	(void)state;
	assert_int_equal(uffd_state_init(&map, 3ull << UFFD_STATE_SHIFT), 0);
	assert_int_equal(uffd_state_set(&map, (1u << UFFD_STATE_SHIFT) - 3, 7, PAGER_READ), 0);
	assert_int_equal(uffd_state_set(&map, 1u << UFFD_STATE_SHIFT, 1, PAGER_WRITE), 0);
	assert_int_equal(uffd_state_get(&map, (1u << UFFD_STATE_SHIFT) - 4), PAGER_NONE);
	assert_int_equal(uffd_state_get(&map, (1u << UFFD_STATE_SHIFT) - 3), PAGER_READ);
	assert_int_equal(uffd_state_get(&map, 1u << UFFD_STATE_SHIFT), PAGER_WRITE);
	assert_int_equal(uffd_state_get(&map, (1u << UFFD_STATE_SHIFT) + 3), PAGER_READ);
	assert_int_equal(uffd_state_get(&map, (1u << UFFD_STATE_SHIFT) + 4), PAGER_NONE);
	assert_int_equal(uffd_state_run(&map, (1u << UFFD_STATE_SHIFT) - 3, 100), 7);
	assert_int_equal(uffd_state_run(&map, (1u << UFFD_STATE_SHIFT) + 4, 100), 100);
	uffd_state_free(&map);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(states_are_kept_per_page),
		T(a_read_miss_is_reported_and_gets_the_installed_bytes),
		T(a_store_to_a_shared_page_waits_for_the_upgrade),
		T(a_write_miss_installed_writable_needs_no_second_fault),
		T(a_write_miss_answered_for_reading_asks_again),
		T(a_second_program_is_served_without_the_host),
		T(both_programs_wait_for_one_page_and_both_wake),
		T(after_a_downgrade_no_program_can_store),
		T(take_gives_the_last_store_and_leaves_nothing),
		T(dropped_pages_fault_again),
		T(prefetched_pages_cause_no_fault),
		T(pages_installed_before_any_program_came_are_there),
		T(a_run_with_present_pages_is_replaced_whole),
		T(a_page_the_program_discards_is_not_lost),
		T(old_kernels_make_a_page_anew_to_protect_it),
		T(old_kernels_refuse_a_second_program),
		T(a_mapping_split_by_mprotect_is_still_served),
		T(a_failed_page_is_sigbus_once),
		T(failing_without_an_error_is_another_try),
		T(sigbus_blocked_ends_the_program),
		T(a_killed_program_leaves_the_others_alone),
		T(closing_the_pager_is_sigbus_for_all),
		T(a_program_may_go_while_its_fault_is_reported),
		T(wrong_arguments_are_refused),
		T(a_region_of_a_terabyte_costs_little),
		T(no_store_is_lost_under_revocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
