// SPDX-License-Identifier: MIT
/* Maps at their limits: hostile keys, damaged memory, a full segment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/map/map.h"
#include "lib/map/siphash.h"
#include "tests/unit/map_rig.h"
#include "tests/unit/segment_rig.h"

/* Keys that a weak hash would put side by side, or on top of each other. */
static void patterns_of_keys_do_not_crowd(void **state)
{
	struct dsm_map_stat s;

	(void)state;
	for (uint64_t i = 0; i < 6000; i++) {
		uint64_t low = i, high = i << 48, both = i * 0x0101010101010101ull;

		assert_int_equal(dsm_map_set(rig_map[0], &low, 8, "", 0, NULL), 0);
		assert_int_equal(dsm_map_set(rig_map[0], &high, 8, "", 0, NULL), 0);
		assert_int_equal(dsm_map_set(rig_map[0], &both, 8, "", 0, NULL), 0);
	}
	assert_int_equal(dsm_map_stat(rig_map[0], &s), 0);
	assert_true(s.longest_chain <= 24);
	assert_true(s.overflow < s.buckets / 4);
}

/* Who has found keys of one map that meet has found nothing about another one. */
static void each_map_hashes_by_a_key_of_its_own(void **state)
{
	uint64_t before = map_hash(rig_map[0], "key", 3);

	(void)state;
	assert_int_equal(map_hash(rig_map[1], "key", 3), before);
	assert_int_equal(map_rig_fresh(state), 0);
	assert_int_not_equal(map_hash(rig_map[0], "key", 3), before);
}

static void a_damaged_map_is_not_opened(void **state)
{
	struct map_header *h = rig_map[0]->header;
	uint64_t table = atomic_load(&h->table);
	dsm_map_t *m;

	(void)state;
	h->magic ^= 1;
	assert_int_equal(dsm_map_open(rig_seg[1], "m", &m), -EBADMSG);
	h->magic ^= 1;
	h->version++;
	assert_int_equal(dsm_map_open(rig_seg[1], "m", &m), -EPROTO);
	assert_non_null(strstr(dsm_last_error(), "version 2"));
	h->version--;
	h->stripe_shift = 40;
	assert_int_equal(dsm_map_open(rig_seg[1], "m", &m), -EBADMSG);
	h->stripe_shift = rig_map[0]->stripe_shift;
	atomic_store(&h->table, table + 1);
	assert_int_equal(dsm_map_open(rig_seg[1], "m", &m), -EBADMSG);
	assert_int_equal(put(rig_map[0], "k", "v"), -EBADMSG);
	assert_non_null(strstr(dsm_last_error(), "damaged"));
	atomic_store(&h->table, table);
	assert_int_equal(dsm_map_open(rig_seg[1], "m", &m), 0);
	dsm_map_close(m);
}

static void a_full_segment_is_an_error(void **state)
{
	struct dsm_segment_options o = { .size = 2u << 20, .max_size = 2u << 20 };
	char uri[128], key[16], value[1000] = "";
	dsm_segment_t *seg;
	dsm_map_t *m;
	int n = 0, err;

	(void)state;
	strcpy(uri, rig_uri("full"));
	assert_int_equal(dsm_segment_create(uri, &o, &seg), 0);
	assert_int_equal(dsm_map_create(seg, "m", NULL, &m), 0);
	do
		err = dsm_map_set(m, key, (size_t)snprintf(key, sizeof(key), "%d", n), value,
				  sizeof(value), NULL);
	while (!err && ++n < 10000);
	assert_int_equal(err, -ENOSPC);
	assert_true(n > 500);
	assert_int_equal(dsm_map_count(m), n);
	assert_int_equal(dsm_map_validate(m), 0);
	assert_int_equal(dsm_map_delete(m, "0", 1), 0);
	assert_int_equal(map_retire_flush(m), 0);
	assert_int_equal(dsm_map_set(m, "0", 1, value, sizeof(value), NULL), 0);
	dsm_map_close(m);
	dsm_segment_close(seg);
	assert_int_equal(dsm_segment_unlink(uri, NULL), 0);
}

/* By another implementation of the same description, with key 0, 0. */
static void the_hash_is_siphash(void **state)
{
	static const uint64_t key[2] = { 0, 0 };

	(void)state;
	assert_true(siphash13(key, "", 0) == 0xd1fba762150c532cull);
	assert_true(siphash13(key, "a", 1) == 0x407448d2b89b1813ull);
	assert_true(siphash13(key, "abcdefgh", 8) == 0x3f7b849c0b8e35eaull);
	assert_true(siphash13(key, "key:0000000042", 14) == 0xb3a69a142d447924ull);
}

#define FRESH(test) cmocka_unit_test_setup(test, map_rig_fresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRESH(patterns_of_keys_do_not_crowd),  FRESH(each_map_hashes_by_a_key_of_its_own),
		FRESH(a_damaged_map_is_not_opened),    cmocka_unit_test(a_full_segment_is_an_error),
		cmocka_unit_test(the_hash_is_siphash),
	};

	return cmocka_run_group_tests(tests, map_rig_open_host, map_rig_close_host);
}
