// SPDX-License-Identifier: MIT
/* The userfaultfd pager with one real program, and what it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail /* a pager has an operation of that name */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/uffd_rig.h"

static void a_read_miss_is_reported_and_gets_the_installed_bytes(void **state)
{
	struct puppet a = rig_start(1);

	(void)state;
	rig_read_put(&a, 7, 700, PAGER_READ);
	puppet_stop(&a);
}

static void a_store_to_a_shared_page_waits_for_the_upgrade(void **state)
{
	struct puppet a = rig_start(1);

	(void)state;
	rig_put(7, 1, 700, PAGER_READ);
	assert_int_equal(rig_do(&a, PUPPET_READ, 7, 0), 700);
	puppet_tell(&a, PUPPET_WRITE, 7, 701);
	rig_expect_fault(7, true);
	assert_int_equal(rig_got(7), 700);
	assert_int_equal(ops->upgrade(rig.pager, REGION, 7, 1), 0);
	assert_int_equal(rig_answer(&a), 0);
	assert_int_equal(rig_got(7), 701);
	puppet_stop(&a);
}

static void a_write_miss_installed_writable_needs_no_second_fault(void **state)
{
	struct puppet a = rig_start(1);

	(void)state;
	puppet_tell(&a, PUPPET_WRITE, 9, 5);
	rig_expect_fault(9, true);
	assert_int_equal(ops->install(rig.pager, REGION, 9, 1, NULL, PAGER_WRITE), 0);
	assert_int_equal(rig_answer(&a), 0);
	assert_int_equal(rig.nfaults, 0);
	assert_int_equal(rig_got(9), 5);
	puppet_stop(&a);
}

static void a_write_miss_answered_for_reading_asks_again(void **state)
{
	struct puppet a = rig_start(1);

	(void)state;
	puppet_tell(&a, PUPPET_WRITE, 9, 5);
	rig_expect_fault(9, true);
	rig_put(9, 1, 900, PAGER_READ);
	rig_expect_fault(9, true);
	assert_int_equal(ops->upgrade(rig.pager, REGION, 9, 1), 0);
	assert_int_equal(rig_answer(&a), 0);
	puppet_stop(&a);
}

static void dropped_pages_fault_again(void **state)
{
	struct puppet a = rig_start(1);

	(void)state;
	rig_put(10, 3, 100, PAGER_READ);
	assert_int_equal(rig_do(&a, PUPPET_READ, 11, 0), 101);
	assert_int_equal(ops->drop(rig.pager, REGION, 10, 3), 0);
	rig_read_put(&a, 11, 5, PAGER_READ);
	puppet_stop(&a);
}

static void prefetched_pages_cause_no_fault(void **state)
{
	struct puppet a = rig_start(1);

	(void)state;
	rig_put(64, 64, 1000, PAGER_READ);
	for (uint64_t i = 0; i < 64; i++)
		assert_int_equal(rig_do(&a, PUPPET_READ, 64 + i, 0), 1000 + i);
	assert_int_equal(ops->install(rig.pager, REGION, 130, 40, NULL, PAGER_READ), 0);
	assert_int_equal(rig_do(&a, PUPPET_READ, 169, 0), 0);
	assert_int_equal(rig.nfaults, 0);
	puppet_stop(&a);
}

static void pages_installed_before_any_program_came_are_there(void **state)
{
	struct puppet a;

	(void)state;
	rig_put(20, 2, 200, PAGER_READ);
	rig_put(22, 1, 220, PAGER_WRITE);
	a = rig_start(1);
	assert_int_equal(rig_do(&a, PUPPET_READ, 21, 0), 201);
	assert_int_equal(rig_do(&a, PUPPET_WRITE, 22, 7), 0);
	assert_int_equal(rig.nfaults, 0);
	rig_write_upgraded(&a, 20, 9);
	assert_int_equal(rig_got(20), 9);
	puppet_stop(&a);
}

static void a_run_with_present_pages_is_replaced_whole(void **state)
{
	struct puppet a = rig_start(1);

	(void)state;
	rig_put(31, 1, 1, PAGER_WRITE);
	rig_put(33, 1, 2, PAGER_READ);
	rig_put(30, 5, 500, PAGER_READ);
	for (uint64_t i = 0; i < 5; i++)
		assert_int_equal(rig_do(&a, PUPPET_READ, 30 + i, 0), 500 + i);
	rig_write_upgraded(&a, 31, 1);
	puppet_stop(&a);
}

static void a_page_the_program_discards_is_not_lost(void **state)
{
	struct puppet a = rig_start(1);

	(void)state;
	rig_put(3, 1, 300, PAGER_READ);
	assert_int_equal(rig_do(&a, PUPPET_READ, 3, 0), 300);
	assert_int_equal(rig_do(&a, PUPPET_DISCARD, 3, 0), 0);
	assert_int_equal(rig_do(&a, PUPPET_READ, 3, 0), 300);
	assert_int_equal(rig.nfaults, 0);
	assert_int_equal(rig_do(&a, PUPPET_DISCARD, 3, 0), 0);
	rig_write_upgraded(&a, 3, 4);
	assert_int_equal(rig_got(3), 4);
	puppet_stop(&a);
}

/* A program that goes behind the pager's back harms its own bytes, not the protocol. */
static void pages_a_program_punched_are_zeroes(void **state)
{
	struct puppet a = rig_start(1);

	(void)state;
	rig_put(3, 1, 300, PAGER_READ);
	assert_int_equal(fallocate(ops->region_fd(rig.pager, REGION),
				   FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 3 * PAGER_PAGE_SIZE,
				   PAGER_PAGE_SIZE),
			 0);
	assert_int_equal(rig_do(&a, PUPPET_READ, 3, 0), 0);
	assert_int_equal(rig.nfaults, 0);
	puppet_stop(&a);
}

static void pages_a_program_made_up_are_void(void **state)
{
	struct puppet a = rig_start(1);
	uint64_t made_up = 666;

	(void)state;
	assert_int_equal(pwrite(ops->region_fd(rig.pager, REGION), &made_up, sizeof(made_up),
				4 * PAGER_PAGE_SIZE),
			 sizeof(made_up));
	rig_read_put(&a, 4, 400, PAGER_READ);
	puppet_stop(&a);
}

static void old_kernels_make_a_page_anew_to_protect_it(void **state)
{
	struct puppet a = rig_start(1);

	(void)state;
	rig.pager->continue_wp = false;
	rig_put(3, 1, 300, PAGER_READ);
	assert_int_equal(rig_do(&a, PUPPET_DISCARD, 3, 0), 0);
	assert_int_equal(rig_do(&a, PUPPET_READ, 3, 0), 300);
	rig_write_upgraded(&a, 3, 4);
	assert_int_equal(rig_got(3), 4);
	puppet_stop(&a);
}

static void a_mapping_split_by_mprotect_is_still_served(void **state)
{
	struct puppet a = rig_start(1);

	(void)state;
	assert_int_equal(rig_do(&a, PUPPET_SPLIT, 41, 0), 0);
	puppet_tell(&a, PUPPET_READ, 41, 0);
	rig_expect_fault(41, false);
	rig_put(40, 4, 400, PAGER_WRITE);
	assert_int_equal(rig_answer(&a), 401);
	assert_int_equal(rig_do(&a, PUPPET_WRITE, 40, 1), 0);
	assert_int_equal(rig_do(&a, PUPPET_WRITE, 43, 1), 0);
	assert_int_equal(ops->downgrade(rig.pager, REGION, 40, 4), 0);
	puppet_tell(&a, PUPPET_WRITE, 43, 2);
	rig_expect_fault(43, true);
	assert_int_equal(ops->upgrade(rig.pager, REGION, 40, 4), 0);
	assert_int_equal(rig_answer(&a), 0);
	puppet_stop(&a);
}

static void a_failed_page_is_sigbus_once(void **state)
{
	struct puppet a = rig_start(1);

	(void)state;
	puppet_tell(&a, PUPPET_TRY_READ, 5, 0);
	rig_expect_fault(5, false);
	assert_int_equal(ops->fail(rig.pager, REGION, 5, 1, EIO), 0);
	/* The puppet's handler answers with the address it was told. */
	assert_int_equal(rig_answer(&a), a.base + 5 * PAGER_PAGE_SIZE);
	puppet_tell(&a, PUPPET_TRY_READ, 5, 0);
	rig_expect_fault(5, false);
	rig_put(5, 1, 55, PAGER_READ);
	assert_int_equal(rig_answer(&a), 55);
	puppet_stop(&a);
}

static void failing_without_an_error_is_another_try(void **state)
{
	struct puppet a = rig_start(1);

	(void)state;
	puppet_tell(&a, PUPPET_READ, 5, 0);
	rig_expect_fault(5, false);
	assert_int_equal(ops->fail(rig.pager, REGION, 5, 1, 0), 0);
	rig_expect_fault(5, false);
	rig_put(5, 1, 55, PAGER_READ);
	assert_int_equal(rig_answer(&a), 55);
	puppet_tell(&a, PUPPET_WRITE, 5, 56);
	rig_expect_fault(5, true);
	assert_int_equal(ops->fail(rig.pager, REGION, 5, 1, 0), 0);
	rig_expect_fault(5, true);
	assert_int_equal(ops->upgrade(rig.pager, REGION, 5, 1), 0);
	assert_int_equal(rig_answer(&a), 0);
	puppet_stop(&a);
}

static void sigbus_blocked_ends_the_program(void **state)
{
	struct puppet a = rig_start(1);
	int status;

	(void)state;
	puppet_tell(&a, PUPPET_DEAF_READ, 5, 0);
	rig_expect_fault(5, false);
	assert_int_equal(ops->fail(rig.pager, REGION, 5, 1, EIO), 0);
	assert_int_equal(waitpid(a.pid, &status, 0), a.pid);
	assert_true(WIFSIGNALED(status));
	close(a.sock);
}

static void closing_the_pager_is_sigbus_for_all(void **state)
{
	struct puppet a = rig_start(1);

	(void)state;
	rig_put(3, 1, 300, PAGER_WRITE);
	assert_int_equal(rig_do(&a, PUPPET_WRITE, 3, 11), 0);
	puppet_tell(&a, PUPPET_TRY_READ, 5, 0);
	rig_expect_fault(5, false);
	ops->close(rig.pager, false);
	rig.pager = NULL;
	assert_int_equal(rig.nwatched, 0);
	assert_int_equal(rig_answer(&a), a.base + 5 * PAGER_PAGE_SIZE);
	assert_int_equal(rig_do(&a, PUPPET_TRY_READ, 3, 0), a.base + 3 * PAGER_PAGE_SIZE);
	puppet_stop(&a);
}

static void detach_inside_fault(uint64_t page, bool write)
{
	(void)page;
	(void)write;
	rig.nfaults++;
	ops->detach(rig.pager, 1);
}

static void a_program_may_go_while_its_fault_is_reported(void **state)
{
	struct puppet a = rig_start(1);

	(void)state;
	rig.on_fault = detach_inside_fault;
	puppet_tell(&a, PUPPET_READ, 5, 0);
	assert_true(rig_pump(-1, 1));
	assert_int_equal(rig.nwatched, 0);
	puppet_kill(&a);
}

static void wrong_arguments_are_refused(void **state)
{
	uint8_t buf[PAGER_PAGE_SIZE];
	int other = memfd_create("other", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(ops->region_add(rig.pager, REGION, "again", PAGER_PAGE_SIZE), -EEXIST);
	assert_int_equal(ops->region_add(rig.pager, 9, "odd", 5000), -EINVAL);
	assert_int_equal(ops->region_add(rig.pager, 9, "none", 0), -EINVAL);
	assert_int_equal(ops->region_del(rig.pager, 9), -ENOENT);
	assert_int_equal(ops->region_fd(rig.pager, 9), -ENOENT);
	assert_int_equal(ops->install(rig.pager, 9, 0, 1, NULL, PAGER_READ), -ENOENT);
	assert_int_equal(ops->install(rig.pager, REGION, PAGES, 1, NULL, PAGER_READ), -EINVAL);
	assert_int_equal(ops->install(rig.pager, REGION, PAGES - 1, 2, NULL, PAGER_READ), -EINVAL);
	assert_int_equal(ops->install(rig.pager, REGION, UINT64_MAX, 2, NULL, PAGER_READ), -EINVAL);
	assert_int_equal(ops->install(rig.pager, REGION, 0, 0, NULL, PAGER_READ), -EINVAL);
	assert_int_equal(ops->install(rig.pager, REGION, 0, 1, NULL, PAGER_NONE), -EINVAL);
	assert_int_equal(ops->upgrade(rig.pager, REGION, 0, 1), -ENOENT);
	assert_int_equal(ops->downgrade(rig.pager, REGION, 0, 1), -ENOENT);
	assert_int_equal(ops->take(rig.pager, REGION, PAGES, buf), -EINVAL);
	assert_int_equal(ops->attach(rig.pager, REGION, other, 0, getpid(), 1), -EINVAL);
	assert_int_equal(ops->attach(rig.pager, 9, other, 0, getpid(), 1), -ENOENT);
	assert_int_equal(ops->attach(rig.pager, REGION, other, 100, getpid(), 1), -EINVAL);
	close(other);
}

static void a_region_of_a_terabyte_costs_little(void **state)
{
	(void)state;
	assert_int_equal(ops->region_add(rig.pager, 0, "default", 1ull << 40), 0);
	assert_int_equal(ops->install(rig.pager, 0, (1ull << 28) - 1, 1, NULL, PAGER_WRITE), 0);
	assert_int_equal(ops->drop(rig.pager, 0, (1ull << 28) - 1, 1), 0);
	assert_int_equal(ops->region_del(rig.pager, 0), 0);
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

#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(states_are_kept_per_page),
		T(a_read_miss_is_reported_and_gets_the_installed_bytes),
		T(a_store_to_a_shared_page_waits_for_the_upgrade),
		T(a_write_miss_installed_writable_needs_no_second_fault),
		T(a_write_miss_answered_for_reading_asks_again),
		T(dropped_pages_fault_again),
		T(prefetched_pages_cause_no_fault),
		T(pages_installed_before_any_program_came_are_there),
		T(a_run_with_present_pages_is_replaced_whole),
		T(a_page_the_program_discards_is_not_lost),
		T(pages_a_program_punched_are_zeroes),
		T(pages_a_program_made_up_are_void),
		T(old_kernels_make_a_page_anew_to_protect_it),
		T(a_mapping_split_by_mprotect_is_still_served),
		T(a_failed_page_is_sigbus_once),
		T(failing_without_an_error_is_another_try),
		T(sigbus_blocked_ends_the_program),
		T(closing_the_pager_is_sigbus_for_all),
		T(a_program_may_go_while_its_fault_is_reported),
		T(wrong_arguments_are_refused),
		T(a_region_of_a_terabyte_costs_little),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
