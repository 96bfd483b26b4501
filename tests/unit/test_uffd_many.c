// SPDX-License-Identifier: MIT
/* The userfaultfd pager with several programs on one region. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail /* a pager has an operation of that name */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/uffd_rig.h"

/* Kernels before 6.4 let one program map a region. */
static void need_two_programs(void)
{
	if (!rig.pager->continue_wp)
		skip();
}

static void a_second_program_is_served_without_the_host(void **state)
{
	struct puppet a, b;

	(void)state;
	need_two_programs();
	a = rig_start(1);
	b = rig_start(2);
	rig_read_put(&a, 3, 300, PAGER_READ);
	assert_int_equal(rig_do(&b, PUPPET_READ, 3, 0), 300);
	assert_int_equal(rig.nfaults, 0);

	rig_write_upgraded(&b, 3, 301);
	assert_int_equal(rig_do(&a, PUPPET_READ, 3, 0), 301);
	assert_int_equal(rig_do(&a, PUPPET_WRITE, 3, 302), 0);
	assert_int_equal(rig_do(&b, PUPPET_READ, 3, 0), 302);
	assert_int_equal(rig.nfaults, 0);
	puppet_stop(&a);
	puppet_stop(&b);
}

static void both_programs_wait_for_one_page_and_both_wake(void **state)
{
	struct puppet a, b;

	(void)state;
	need_two_programs();
	a = rig_start(1);
	b = rig_start(2);
	puppet_tell(&a, PUPPET_READ, 3, 0);
	rig_expect_fault(3, false);
	puppet_tell(&b, PUPPET_WRITE, 3, 33);
	rig_expect_fault(3, true);
	rig_put(3, 1, 300, PAGER_WRITE);
	assert_int_equal(rig_answer(&b), 0);
	(void)rig_answer(&a);
	assert_int_equal(rig_got(3), 33);
	puppet_stop(&a);
	puppet_stop(&b);
}

static void after_a_downgrade_no_program_can_store(void **state)
{
	struct puppet a, b;

	(void)state;
	need_two_programs();
	a = rig_start(1);
	b = rig_start(2);
	rig_put(3, 2, 300, PAGER_WRITE);
	assert_int_equal(rig_do(&a, PUPPET_WRITE, 3, 1), 0);
	assert_int_equal(rig_do(&b, PUPPET_WRITE, 3, 2), 0);
	assert_int_equal(rig_do(&b, PUPPET_WRITE, 4, 2), 0);
	assert_int_equal(ops->downgrade(rig.pager, REGION, 3, 2), 0);
	assert_int_equal(rig_do(&a, PUPPET_READ, 3, 0), 2);
	puppet_tell(&a, PUPPET_WRITE, 3, 7);
	rig_expect_fault(3, true);
	puppet_tell(&b, PUPPET_WRITE, 3, 8);
	rig_expect_fault(3, true);
	assert_int_equal(rig_got(3), 2);
	assert_int_equal(ops->upgrade(rig.pager, REGION, 3, 1), 0);
	assert_int_equal(rig_answer(&a), 0);
	assert_int_equal(rig_answer(&b), 0);
	rig_write_upgraded(&b, 4, 8);
	puppet_stop(&a);
	puppet_stop(&b);
}

static void take_gives_the_last_store_and_leaves_nothing(void **state)
{
	struct puppet a, b;
	uint64_t page[PAGER_PAGE_SIZE / 8];

	(void)state;
	need_two_programs();
	a = rig_start(1);
	b = rig_start(2);
	rig_put(3, 1, 300, PAGER_WRITE);
	assert_int_equal(rig_do(&a, PUPPET_WRITE, 3, 41), 0);
	assert_int_equal(rig_do(&b, PUPPET_READ, 3, 0), 41);
	assert_int_equal(ops->take(rig.pager, REGION, 3, page), 0);
	assert_int_equal(page[0], 41);
	assert_int_equal(ops->take(rig.pager, REGION, 3, page), -ENOENT);
	assert_int_equal(ops->read(rig.pager, REGION, 3, 1, page), -ENOENT);
	puppet_tell(&a, PUPPET_READ, 3, 0);
	rig_expect_fault(3, false);
	puppet_tell(&b, PUPPET_WRITE, 3, 5);
	rig_expect_fault(3, true);
	rig_put(3, 1, 42, PAGER_READ);
	assert_int_equal(rig_answer(&a), 42);
	rig_expect_fault(3, true);
	assert_int_equal(ops->upgrade(rig.pager, REGION, 3, 1), 0);
	assert_int_equal(rig_answer(&b), 0);
	puppet_stop(&a);
	puppet_stop(&b);
}

static struct puppet *amid_copy; /* stores between the copy of a page and what follows it */

/* The pager's copies come through here, in place of the C library's. */
ssize_t pread(int fd, void *buf, size_t n, off_t off)
{
	ssize_t got = syscall(SYS_pread64, fd, buf, n, off);
	struct puppet *p = amid_copy;

	amid_copy = NULL;
	if (p) {
		struct pollfd f[2] = { { p->sock, POLLIN, 0 }, { p->uffd, POLLIN, 0 } };

		puppet_tell(p, PUPPET_WRITE, (uint64_t)off / PAGER_PAGE_SIZE, 42);
		assert_int_equal(poll(f, 2, DEADLINE_MS), 1); /* stored, or it faulted */
	}
	return got;
}

static void a_store_amid_a_take_waits_for_it(void **state)
{
	uint64_t page[PAGER_PAGE_SIZE / 8];
	struct puppet a = rig_start(1);

	(void)state;
	rig_put(3, 1, 41, PAGER_WRITE);
	assert_int_equal(rig_do(&a, PUPPET_WRITE, 3, 41), 0);
	amid_copy = &a;
	assert_int_equal(ops->take(rig.pager, REGION, 3, page), 0);
	assert_int_equal(page[0], 41);
	rig_expect_fault(3, true);
	rig_put(3, 1, 41, PAGER_WRITE);
	assert_int_equal(rig_answer(&a), 0);
	assert_int_equal(rig_got(3), 42);
	puppet_stop(&a);
}

static void a_killed_program_leaves_the_others_alone(void **state)
{
	struct puppet a, b;

	(void)state;
	need_two_programs();
	a = rig_start(1);
	b = rig_start(2);
	rig_put(3, 1, 300, PAGER_WRITE);
	assert_int_equal(rig_do(&a, PUPPET_WRITE, 3, 11), 0);
	puppet_tell(&a, PUPPET_READ, 4, 0);
	rig_expect_fault(4, false);
	puppet_kill(&a);
	rig_put(4, 1, 400, PAGER_READ);
	assert_int_equal(ops->downgrade(rig.pager, REGION, 3, 1), 0);
	assert_int_equal(rig_do(&b, PUPPET_READ, 3, 0), 11);
	assert_int_equal(rig_do(&b, PUPPET_READ, 4, 0), 400);
	ops->detach(rig.pager, 1);
	assert_int_equal(rig.nwatched, 1);
	rig_write_upgraded(&b, 4, 1);
	puppet_stop(&b);
}

static void old_kernels_refuse_a_second_program(void **state)
{
	struct puppet a = rig_start(1), b;

	(void)state;
	rig.pager->continue_wp = false;
	assert_int_equal(puppet_start(&b, ops->region_fd(rig.pager, REGION), PAGES), 0);
	assert_int_equal(ops->attach(rig.pager, REGION, b.uffd, b.base, b.pid, 2), -EOPNOTSUPP);
	close(b.uffd);
	puppet_stop(&b);
	ops->detach(rig.pager, 1);
	puppet_stop(&a);
	a = rig_start(3);
	puppet_stop(&a);
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
	struct pager *p = rig.pager;
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
	int err = stress_random() % 3 ? ops->take(rig.pager, REGION, page, remote[page])
				      : ops->downgrade(rig.pager, REGION, page, 1);

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
	p[0] = rig_start(1);
	p[1] = rig_start(2);
	stress_seed = (uint64_t)started;
	print_message("stress seed %llu\n", (unsigned long long)stress_seed);
	rig.on_fault = stress_fault;
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
				ops->ready(rig.pager, f[i].fd);
			if (f[2 + i].revents && !puppet_answer(&p[i]))
				left--;
		}
		stress_revoke();
		revoked++;
	}
	assert_true(revoked > 100);
	for (uint64_t i = 0; i < STRESS_PAGES; i++) {
		int err = ops->take(rig.pager, REGION, i, remote[i]);

		assert_true(!err || err == -ENOENT);
		memcpy(&value, remote[i], sizeof(value));
		sum += value;
	}
	assert_int_equal(sum, 2 * PUPPET_THREADS * STRESS_ADDS);
	puppet_stop(&p[0]);
	puppet_stop(&p[1]);
}

#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_second_program_is_served_without_the_host),
		T(both_programs_wait_for_one_page_and_both_wake),
		T(after_a_downgrade_no_program_can_store),
		T(take_gives_the_last_store_and_leaves_nothing),
		T(a_store_amid_a_take_waits_for_it),
		T(a_killed_program_leaves_the_others_alone),
		T(old_kernels_refuse_a_second_program),
		T(no_store_is_lost_under_revocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
