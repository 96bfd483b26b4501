// SPDX-License-Identifier: MIT
/* Looking before sleeping: only while somebody waits, bounded, and seldom where it is in vain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/spin.h"

#define US 1000ull
#define MS 1000000ull

static void nobody_waits_nobody_spins(void **state)
{
	struct spin s = { .limit_ns = 100 * US };

	(void)state;
	for (uint64_t now = 0; now < 10 * MS; now += US)
		assert_false(spin_wanted(&s, false, now));
}

static void turned_off_it_never_spins(void **state)
{
	struct spin s = { 0 };

	(void)state;
	for (uint64_t now = 0; now < 10 * MS; now += US)
		assert_false(spin_wanted(&s, true, now));
}

static void a_wait_has_one_bounded_spin(void **state)
{
	struct spin s = { .limit_ns = 100 * US };
	uint64_t spun = 0;

	(void)state;
	for (uint64_t now = 1 * MS; now < 5000 * MS; now += US)
		spun += spin_wanted(&s, true, now);
	assert_int_equal(spun, 100);
}

static void answers_in_time_keep_it_spinning(void **state)
{
	struct spin s = { .limit_ns = 100 * US };
	uint64_t now = MS;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		assert_true(spin_wanted(&s, true, now));
		assert_true(spin_wanted(&s, true, now + 30 * US));
		assert_false(spin_wanted(&s, false, now + 40 * US));
		now += 50 * US;
	}
}

/* Waits of 150 us one after the other, none answered within the 100 us. */
static void in_vain_it_gives_up_for_longer_and_longer(void **state)
{
	struct spin s = { .limit_ns = 100 * US };
	uint64_t now = MS, spun = 0, total = 0;

	(void)state;
	for (; now < 2000 * MS; now += 10 * US, total++) {
		bool waiting = now % (160 * US) >= 10 * US;

		spun += spin_wanted(&s, waiting, now);
	}
	assert_true(spun > 0);
	assert_true(spun * 1000 < total);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_waits_nobody_spins),
		cmocka_unit_test(turned_off_it_never_spins),
		cmocka_unit_test(a_wait_has_one_bounded_spin),
		cmocka_unit_test(answers_in_time_keep_it_spinning),
		cmocka_unit_test(in_vain_it_gives_up_for_longer_and_longer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
