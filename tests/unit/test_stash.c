// SPDX-License-Identifier: MIT
/* The stash against a plain array, and the latency histogram against known samples. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/latency.h"
#include "agent/stash.h"

#define KEYS 500u

static uint32_t rng = 12345;

static uint32_t draw(uint32_t below)
{
	rng = rng * 1664525u + 1013904223u;
	return (rng >> 8) % below;
}

static void what_is_put_is_kept_until_dropped(void **state)
{
	struct stash *s = stash_new();
	uint8_t model[KEYS] = { 0 };
	size_t kept = 0;

	(void)state;
	for (unsigned int i = 0; i < 200000; i++) {
		uint32_t k = draw(KEYS);
		uint64_t key = (uint64_t)k << (k % 40); /* clustered, to make the probes collide */
		uint8_t *page;

		key = key * 2 + 1 + ((uint64_t)k << 48);
		if (draw(2)) {
			page = stash_put(s, key);
			assert_non_null(page);
			kept += !model[k];
			model[k] = (uint8_t)(1 + draw(255));
			memset(page, model[k], 4096);
		} else {
			stash_drop(s, key);
			kept -= model[k] != 0;
			model[k] = 0;
		}
		k = draw(KEYS);
		key = ((uint64_t)k << (k % 40)) * 2 + 1 + ((uint64_t)k << 48);
		page = stash_get(s, key);
		assert_int_equal(page != NULL, model[k] != 0);
		if (page) {
			assert_int_equal(page[0], model[k]);
			assert_int_equal(page[4095], model[k]);
		}
		assert_int_equal(stash_pages(s), kept);
	}
	stash_free(s);
}

static void a_fault_is_timed_from_its_first_report_to_its_answer(void **state)
{
	static struct latency l;

	(void)state;
	latency_begin(&l, 5, false, 1000);
	latency_begin(&l, 5, false, 5000);
	latency_end(&l, 4, 3, false, 11000);
	assert_int_equal(l.read.n, 1);
	assert_int_equal(l.read.max_ns, 10000);
	assert_true(latency_quantile(&l.read, 0.5) > 9300 &&
		    latency_quantile(&l.read, 0.5) <= 10000);
	latency_end(&l, 5, 1, true, 20000); /* nobody waits any more */
	assert_int_equal(l.read.n + l.write.n, 1);
}

static void who_wants_to_write_is_not_served_by_reading(void **state)
{
	static struct latency l;

	(void)state;
	latency_begin(&l, 9, true, 1000);
	latency_end(&l, 9, 1, false, 2000);
	assert_int_equal(l.write.n, 0);
	latency_end(&l, 9, 1, true, 3000);
	assert_int_equal(l.write.n, 1);
	assert_int_equal(l.write.max_ns, 2000);
	latency_begin(&l, 9, true, 1000);
	latency_cancel(&l, 9, 1);
	latency_end(&l, 9, 1, true, 3000);
	assert_int_equal(l.write.n, 1);
}

static void quantiles_are_right_within_a_step(void **state)
{
	static struct latency l;
	double p;

	(void)state;
	for (uint64_t i = 1; i <= 1000; i++) {
		latency_begin(&l, i, false, 1);
		latency_end(&l, i, 1, false, 1 + i * 1000);
	}
	assert_int_equal(l.read.n, 1000);
	p = latency_quantile(&l.read, 0.5);
	assert_true(p > 470000 && p < 530000);
	p = latency_quantile(&l.read, 0.99);
	assert_true(p > 930000 && p < 1000001);
	assert_true(latency_quantile(&l.write, 0.5) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_put_is_kept_until_dropped),
		cmocka_unit_test(a_fault_is_timed_from_its_first_report_to_its_answer),
		cmocka_unit_test(who_wants_to_write_is_not_served_by_reading),
		cmocka_unit_test(quantiles_are_right_within_a_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
