// SPDX-License-Identifier: MIT
/* What a waiter does before it sleeps: it keeps up what was of use, and hardly tries what was not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/segment/spin.h"

#define WAITS	10000u
#define QUICK	10u	 /* looks */
#define LATE	1000u	 /* looks: as long as a wake-up takes */
#define SOON_NS 2000u	 /* a yield to somebody who answers at once */
#define LONG_NS 3000000u /* one to somebody who uses up the time slice */

static int begin(void **state)
{
	static struct seg_spin s;

	seg_spin_begin(&s);
	*state = &s;
	return 0;
}

/* A wait that is answered after @took looks, were it to look that long. How long it did. */
static uint32_t look(struct seg_spin *s, uint32_t took)
{
	uint32_t turns = seg_spin_turns(s);

	if (turns > took)
		seg_spin_paid(s, took);
	else if (turns)
		seg_spin_failed(s, turns);
	return turns > took ? took : turns;
}

static void quick_answers_keep_it_looking(void **state)
{
	for (uint32_t i = 0; i < WAITS; i++)
		assert_int_equal(look(*state, QUICK), QUICK);
}

static void in_vain_it_looks_seldom_and_not_for_long(void **state)
{
	uint64_t looks = 0;

	for (uint32_t i = 0; i < WAITS; i++)
		looks += look(*state, UINT32_MAX);
	/* A look is 30 ns: less than a third of a microsecond for each wait. */
	assert_true(looks > 0);
	assert_true(looks < 10 * WAITS);
}

static void it_finds_out_that_answers_have_become_quick(void **state)
{
	uint32_t waits = 0;

	for (uint32_t i = 0; i < WAITS; i++)
		look(*state, UINT32_MAX);
	while (look(*state, QUICK) != QUICK && waits < WAITS)
		waits++;
	assert_true(waits < 300);
	quick_answers_keep_it_looking(state);
}

/* Each answers late while the other one sleeps, quickly when that one looks. */
static void two_that_sleep_find_each_other(void **state)
{
	struct seg_spin other;
	uint32_t waits = 0;
	bool awake[2] = { false, false };

	seg_spin_begin(&other);
	for (uint32_t i = 0; i < WAITS; i++) {
		look(*state, UINT32_MAX);
		if (i % 3)
			look(&other, UINT32_MAX);
	}
	for (; waits < WAITS && !(awake[0] && awake[1]); waits++) {
		awake[0] = look(*state, awake[1] ? QUICK : LATE) == (awake[1] ? QUICK : LATE);
		awake[1] = look(&other, awake[0] ? QUICK : LATE) == (awake[0] ? QUICK : LATE);
	}
	assert_true(waits < 600);
}

static uint32_t yield(struct seg_spin *s, bool paid, uint64_t ns)
{
	uint32_t yields = seg_spin_yields(s);

	if (yields)
		seg_spin_yielded(s, paid, ns);
	return yields;
}

static void yields_that_pay_go_on_and_long_looks_do_not(void **state)
{
	uint32_t looks = 0;

	for (uint32_t i = 0; i < WAITS; i++) {
		looks += look(*state, UINT32_MAX);
		assert_true(yield(*state, true, SOON_NS));
	}
	assert_true(looks < WAITS);
}

static void yields_in_vain_are_seldom(void **state)
{
	uint32_t yields = 0;

	for (uint32_t i = 0; i < WAITS; i++)
		yields += yield(*state, false, SOON_NS);
	assert_true(yields > 0);
	assert_true(yields < WAITS / 100);
}

/* Where one yield in @every takes @ns: what that costs each wait. */
static uint64_t loss(struct seg_spin *s, uint32_t every, uint64_t ns)
{
	uint32_t yields = 0;
	uint64_t lost = 0;

	for (uint32_t i = 0; i < 100 * WAITS; i++) {
		bool late = yields % every == every - 1;

		if (yield(s, true, late ? ns : SOON_NS)) {
			yields++;
			lost += late ? ns : 0;
		}
	}
	assert_true(lost > 0);
	return lost / (100 * WAITS);
}

/* As a wake-up takes a few microseconds, a fourth of one is little. */
static void yields_that_took_a_time_slice_cost_little_in_all(void **state)
{
	assert_true(loss(*state, 1, LONG_NS) < 300);
	/* A hog does not always run: some successes in between are no reason to go on. */
	assert_true(loss(*state, 9, LONG_NS) < 300);
	assert_true(loss(*state, 9, LONG_NS / 30) < 300);
}

static uint32_t looked_for;
static bool ready_after(const void *arg)
{
	return looked_for++ >= *(const uint32_t *)arg;
}

static void it_says_how_it_came(void **state)
{
	uint32_t after = QUICK;

	assert_int_equal(seg_spin(*state, ready_after, &after), SEG_LOOKED);
	looked_for = 0;
	begin(state);
	after = seg_spin_turns(*state) + 1;
	assert_int_equal(seg_spin(*state, ready_after, &after), SEG_YIELDED);
	after = UINT32_MAX;
	assert_int_equal(seg_spin(*state, ready_after, &after), SEG_NOTHING);
}

/* Waits of which each is answered after @after looks; how many of them needed no yield. */
static uint32_t waits_looking(struct seg_spin *s, uint32_t waits, uint32_t after, uint64_t *looks)
{
	uint32_t looking = 0;

	for (uint32_t i = 0; i < waits; i++) {
		looked_for = 0;
		looking += seg_spin(s, ready_after, &after) == SEG_LOOKED;
		*looks += looked_for;
	}
	return looking;
}

static void one_that_was_held_up_is_waited_for(void **state)
{
	uint64_t looks = 0;

	assert_int_equal(waits_looking(*state, WAITS, QUICK, &looks), WAITS);
	assert_int_equal(waits_looking(*state, 1, 2 * LATE, &looks), 1);
	assert_int_equal(waits_looking(*state, WAITS, QUICK, &looks), WAITS);
}

static void what_it_waits_in_vain_was_earned_before(void **state)
{
	uint64_t looks = 0;

	/* Few quick answers are worth a short look, however many there were before that. */
	assert_int_equal(waits_looking(*state, WAITS, QUICK, &looks), WAITS);
	assert_int_equal(waits_looking(*state, 1, UINT32_MAX, &looks), 0);
	assert_int_equal(waits_looking(*state, 10, QUICK, &looks), 10);
	looks = 0;
	assert_int_equal(waits_looking(*state, 1, UINT32_MAX, &looks), 0);
	assert_true(looks < 2 * QUICK + 200);
	/* And many for no more than a moment. */
	assert_int_equal(waits_looking(*state, 10 * WAITS, QUICK, &looks), 10 * WAITS);
	looks = 0;
	assert_int_equal(waits_looking(*state, 1, UINT32_MAX, &looks), 0);
	assert_true(looks < 4 * LATE);
}

#define TEST(f) cmocka_unit_test_setup(f, begin)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(quick_answers_keep_it_looking),
		TEST(in_vain_it_looks_seldom_and_not_for_long),
		TEST(it_finds_out_that_answers_have_become_quick),
		TEST(two_that_sleep_find_each_other),
		TEST(yields_that_pay_go_on_and_long_looks_do_not),
		TEST(yields_in_vain_are_seldom),
		TEST(yields_that_took_a_time_slice_cost_little_in_all),
		TEST(it_says_how_it_came),
		TEST(one_that_was_held_up_is_waited_for),
		TEST(what_it_waits_in_vain_was_earned_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
