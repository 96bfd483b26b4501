// SPDX-License-Identifier: MIT
/* Maps at their limits: hostile keys, damaged memory, a full segment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <dsm/heap.h>

#include "lib/map/map.h"
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
	assert_non_null(strstr(dsm_last_error(), "version 4"));
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
	/* Not while somebody may look at it: then that is said, and does no harm. */
	assert_int_equal(dsm_map_read_begin(m), 0);
	assert_int_equal(dsm_map_set(m, "0", 1, value, sizeof(value), NULL), -ENOSPC);
	dsm_map_read_end(m);
	assert_int_equal(dsm_map_set(m, "0", 1, value, sizeof(value), NULL), 0);
	dsm_map_close(m);
	dsm_segment_close(seg);
	assert_int_equal(dsm_segment_unlink(uri, NULL), 0);
}

/* What was replaced waits until it is enough; but not where its memory is wanted. */
static void large_values_are_replaced_in_little_memory(void **state)
{
	struct dsm_segment_options o = { .size = 4u << 20, .max_size = 4u << 20 };
	static char value[150000];
	dsm_segment_t *seg;
	char uri[128];
	dsm_map_t *m;

	(void)state;
	strcpy(uri, rig_uri("little"));
	assert_int_equal(dsm_segment_create(uri, &o, &seg), 0);
	assert_int_equal(dsm_map_create(seg, "m", NULL, &m), 0);
	for (int i = 0; i < 500; i++) {
		char key = (char)('a' + i % 7);

		assert_int_equal(dsm_map_set(m, &key, 1, value, sizeof(value), NULL), 0);
	}
	assert_int_equal(dsm_map_validate(m), 0);
	dsm_map_close(m);
	dsm_segment_close(seg);
	assert_int_equal(dsm_segment_unlink(uri, NULL), 0);
}

/* By another implementation of the same description, with key 0, 0. */
static void the_hash_of_long_keys_is_siphash(void **state)
{
	static const uint64_t key[2] = { 0, 0 };

	(void)state;
	assert_true(siphash13(key, "", 0) == 0xd1fba762150c532cull);
	assert_true(siphash13(key, "a", 1) == 0x407448d2b89b1813ull);
	assert_true(siphash13(key, "abcdefgh", 8) == 0x3f7b849c0b8e35eaull);
	assert_true(siphash13(key, "key:0000000042", 14) == 0xb3a69a142d447924ull);
}

/* By another implementation of the same description, with key 0, 0. */
static void keys_of_each_length_have_the_hash_described(void **state)
{
	static const struct {
		const char *key;
		uint64_t hash;
	} known[] = {
		{ "", 0xf7daf36fafcdbdd1ull },
		{ "a", 0x4b5052e603a63cbeull },
		{ "abc", 0x1c96d0ee1229710full },
		{ "abcd", 0xab326646b38f5c72ull },
		{ "abcdefg", 0x963c62408d5c7061ull },
		{ "abcdefgh", 0x999cb334dfaac7a9ull },
		{ "key:0000000042", 0x16ae3194bb35d0f8ull },
		{ "0123456789abcdef", 0x7ddb5187d1210074ull },
		{ "0123456789abcdefg", 0x3323a4f8b8d9776bull },
	};
	static const uint64_t random[2] = { 0, 0 };
	struct hash_key key;

	(void)state;
	hash_key_make(&key, random);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		assert_true(hash_of(&key, known[i].key, strlen(known[i].key)) == known[i].hash);
}

/* Short keys that differ in one byte, or in their length alone. */
static void no_two_short_keys_are_hashed_from_the_same_words(void **state)
{
	static const uint64_t random[2] = { 3, 7 };
	uint64_t seen[17 * 18];
	uint8_t bytes[16];
	struct hash_key key;
	size_t n = 0;

	(void)state;
	hash_key_make(&key, random);
	for (size_t size = 0; size <= 16; size++)
		for (size_t at = 0; at <= size; at++) {
			memset(bytes, 0, sizeof(bytes));
			if (at < size)
				bytes[at] = 1;
			seen[n] = hash_of(&key, bytes, size);
			for (size_t i = 0; i < n; i++)
				assert_true(seen[i] != seen[n]);
			n++;
		}
}

/* Bytes of a value, below what a glance reads: one that is replaced, and one that is overwritten. */
#define WHOLE	  4000u
#define REWRITTEN 800u
static_assert(REWRITTEN <= MAP_REWRITE_MAX && WHOLE > MAP_REWRITE_MAX, "one of each");

static struct {
	uint8_t *pages; /* two; the second one cannot be written until a get tries to */
	uint8_t fill;
	size_t size;
} torn;

static void set_filled(uint8_t fill)
{
	uint8_t value[WHOLE];

	memset(value, fill, torn.size);
	if (dsm_map_set(rig_map[1], "whole", 5, value, torn.size, NULL))
		abort();
}

/* In the midst of the copy: the value is set so often that replaced ones' memory is used again. */
static void replace_meanwhile(int number)
{
	(void)number;
	if (mprotect(torn.pages + SEG_PAGE, SEG_PAGE, PROT_READ | PROT_WRITE))
		abort();
	for (int i = 0; i < 100; i++)
		set_filled(++torn.fill);
}

static void value_set_while_it_is_copied(size_t size)
{
	struct sigaction action = { .sa_handler = replace_meanwhile }, before;
	uint8_t *buffer;

	torn.size = size;
	torn.pages = mmap(NULL, 2 * SEG_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	assert_true(torn.pages != MAP_FAILED);
	set_filled(torn.fill = 1);
	assert_int_equal(sigaction(SIGSEGV, &action, &before), 0);
	for (size_t at = SEG_PAGE - size + 64; at < SEG_PAGE; at += size / 8) {
		buffer = torn.pages + at;
		assert_int_equal(mprotect(torn.pages + SEG_PAGE, SEG_PAGE, PROT_NONE), 0);
		assert_int_equal(dsm_map_get(rig_map[0], "whole", 5, buffer, size, NULL), size);
		for (size_t i = 1; i < size; i++)
			assert_int_equal(buffer[i], buffer[0]);
	}
	assert_int_equal(sigaction(SIGSEGV, &before, NULL), 0);
	assert_int_equal(munmap(torn.pages, 2 * SEG_PAGE), 0);
	assert_int_equal(dsm_map_validate(rig_map[0]), 0);
}

static void a_value_that_is_replaced_while_it_is_copied_is_got_whole(void **state)
{
	(void)state;
	value_set_while_it_is_copied(WHOLE);
}

static void a_value_that_is_overwritten_while_it_is_copied_is_got_whole(void **state)
{
	(void)state;
	value_set_while_it_is_copied(REWRITTEN);
}

#ifndef __SANITIZE_THREAD__ /* there no get is a glance, and a section keeps the memory */

/* Blocks that a program takes until it has the one that an entry was. */
#define TAKEN_MAX 64

static struct {
	uint64_t entry, version; /* of the value that is being copied */
	uint64_t block[TAKEN_MAX];
	int blocks;
} taken;

/*
 * In the midst of the copy: the value is replaced, and its memory given to a program, which has
 * there what the entry's version was, by chance, and what is no value.
 */
static void take_meanwhile(int number)
{
	dsm_map_t *m = rig_map[1];
	size_t size = sizeof(struct map_entry) + 8 + WHOLE;
	struct map_entry *e;
	uint64_t off = 0;

	(void)number;
	if (mprotect(torn.pages + SEG_PAGE, SEG_PAGE, PROT_READ | PROT_WRITE))
		abort();
	set_filled(2);
	if (map_retire_flush(m))
		abort();
	while (off != taken.entry) {
		if (taken.blocks == TAKEN_MAX)
			abort();
		off = taken.block[taken.blocks++] = dsm_heap_alloc(m->heap, size);
		if (!off)
			abort();
	}
	e = (struct map_entry *)(m->base + off);
	memset(e, 3, size);
	atomic_store(&e->version, taken.version);
}

/* Only the grace passes tell who has glanced at it that the memory is another's meanwhile. */
static void a_value_whose_memory_is_given_away_while_it_is_copied_is_not_got(void **state)
{
	struct sigaction action = { .sa_handler = take_meanwhile }, before;
	struct dsm_map_entry found;
	uint8_t *buffer;

	(void)state;
	torn.size = WHOLE;
	torn.pages = mmap(NULL, 2 * SEG_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	assert_true(torn.pages != MAP_FAILED);
	buffer = torn.pages + SEG_PAGE - WHOLE / 2;
	set_filled(1);
	assert_int_equal(dsm_map_read_begin(rig_map[1]), 0);
	assert_int_equal(dsm_map_find(rig_map[1], "whole", 5, &found), 0);
	taken.entry = (uint64_t)((const uint8_t *)found.key - rig_map[1]->base) -
		      offsetof(struct map_entry, key);
	taken.version = found.version;
	dsm_map_read_end(rig_map[1]);
	/* A handle's first get finds the table, and is no glance. */
	assert_int_equal(dsm_map_get(rig_map[0], "whole", 5, buffer, 1, NULL), WHOLE);
	assert_int_equal(sigaction(SIGSEGV, &action, &before), 0);
	assert_int_equal(mprotect(torn.pages + SEG_PAGE, SEG_PAGE, PROT_NONE), 0);
	assert_int_equal(dsm_map_get(rig_map[0], "whole", 5, buffer, WHOLE, NULL), WHOLE);
	assert_int_equal(sigaction(SIGSEGV, &before, NULL), 0);
	for (size_t i = 0; i < WHOLE; i++)
		assert_int_equal(buffer[i], buffer[0]);
	while (taken.blocks)
		assert_int_equal(dsm_heap_free(rig_map[1]->heap, taken.block[--taken.blocks]), 0);
	assert_int_equal(munmap(torn.pages, 2 * SEG_PAGE), 0);
	assert_int_equal(dsm_map_validate(rig_map[0]), 0);
}

#endif

/* Where a reader has asked for calm, its value stays where it is. */
static void a_reader_that_asks_for_calm_is_left_in_peace(void **state)
{
	uint32_t index = map_stripe_of(map_hash(rig_map[0], "k", 1));
	struct map_stripe *s = map_stripe(rig_map[0], index);
	struct dsm_map_stat stat;

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(put(rig_map[0], "k", "v"), 0);
	assert_int_equal(dsm_map_stat(rig_map[0], &stat), 0);
	assert_int_equal(stat.retired, 0);
	atomic_store(&s->calm, 2);
	for (int i = 0; i < 4; i++)
		assert_int_equal(put(rig_map[0], "k", "w"), 0);
	assert_int_equal(dsm_map_stat(rig_map[0], &stat), 0);
	assert_int_equal(stat.retired, 2);
	assert_string_equal(get(rig_map[1], "k"), "w");
	assert_int_equal(dsm_map_validate(rig_map[0]), 0);
}

#define FRESH(test) cmocka_unit_test_setup(test, map_rig_fresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRESH(patterns_of_keys_do_not_crowd),
		FRESH(each_map_hashes_by_a_key_of_its_own),
		FRESH(a_damaged_map_is_not_opened),
		cmocka_unit_test(a_full_segment_is_an_error),
		cmocka_unit_test(large_values_are_replaced_in_little_memory),
		cmocka_unit_test(the_hash_of_long_keys_is_siphash),
		cmocka_unit_test(keys_of_each_length_have_the_hash_described),
		cmocka_unit_test(no_two_short_keys_are_hashed_from_the_same_words),
		FRESH(a_value_that_is_replaced_while_it_is_copied_is_got_whole),
		FRESH(a_value_that_is_overwritten_while_it_is_copied_is_got_whole),
#ifndef __SANITIZE_THREAD__
		FRESH(a_value_whose_memory_is_given_away_while_it_is_copied_is_not_got),
#endif
		FRESH(a_reader_that_asks_for_calm_is_left_in_peace),
	};

	return cmocka_run_group_tests(tests, map_rig_open_host, map_rig_close_host);
}
