// SPDX-License-Identifier: MIT
/*
 * Maps: what each function does, over shared memory by two handles, and over a region by two
 * nodes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/map/map.h"
#include "tests/unit/lib_nodes.h"
#include "tests/unit/map_rig.h"

#define SECOND_NS 1000000000ull

static void what_is_set_is_got_by_everybody(void **state)
{
	uint64_t version;

	(void)state;
	assert_null(get(rig_map[1], "a"));
	assert_int_equal(put(rig_map[0], "a", "one"), 0);
	assert_string_equal(get(rig_map[1], "a"), "one");
	assert_int_equal(put(rig_map[1], "a", "two"), 0);
	assert_string_equal(get(rig_map[0], "a"), "two");
	assert_int_equal(dsm_map_count(rig_map[0]), 1);
	version = version_of(rig_map[0], "a");
	assert_int_equal(dsm_map_delete(rig_map[0], "a", 1), 0);
	assert_null(get(rig_map[1], "a"));
	assert_int_equal(dsm_map_delete(rig_map[1], "a", 1), -ENOENT);
	assert_int_equal(dsm_map_count(rig_map[1]), 0);
	assert_int_equal(put(rig_map[1], "a", "three"), 0);
	assert_true(version_of(rig_map[0], "a") > version);
	assert_int_equal(dsm_map_validate(rig_map[0]), 0);
}

static void keys_and_values_have_any_size(void **state)
{
	size_t size = 200000;
	char *big = malloc(size), *back = malloc(size), small[4];
	ssize_t n;

	(void)state;
	for (size_t i = 0; i < size; i++)
		big[i] = (char)(i * 7);
	assert_int_equal(dsm_map_set(rig_map[0], NULL, 0, NULL, 0, NULL), 0);
	assert_int_equal(dsm_map_get(rig_map[1], "", 0, NULL, 0, NULL), 0);
	for (size_t i = 1; i < 40; i++) {
		assert_int_equal(dsm_map_set(rig_map[0], big, i, big + i, 40 - i, NULL), 0);
		assert_int_equal(dsm_map_get(rig_map[1], big, i, back, size, NULL), 40 - i);
		assert_memory_equal(back, big + i, 40 - i);
	}
	assert_int_equal(dsm_map_set(rig_map[0], big, 70000, big, size, NULL), 0);
	n = dsm_map_get(rig_map[1], big, 70000, back, size, NULL);
	assert_int_equal(n, size);
	assert_memory_equal(back, big, size);
	/* A buffer that is too small: the beginning, and how much there is. */
	assert_int_equal(dsm_map_get(rig_map[1], big, 70000, small, 4, NULL), size);
	assert_memory_equal(small, big, 4);
	assert_int_equal(dsm_map_get(rig_map[1], big, 69999, back, size, NULL), -ENOENT);
	assert_int_equal(dsm_map_count(rig_map[0]), 41);
	assert_int_equal(dsm_map_validate(rig_map[1]), 0);
	free(big);
	free(back);
}

static void add_is_for_who_comes_first(void **state)
{
	uint64_t first, version;
	char buffer[16];
	bool inserted;

	(void)state;
	assert_int_equal(dsm_map_add(rig_map[0], "k", 1, "v", 1, 0, &first), 0);
	assert_int_equal(dsm_map_add(rig_map[1], "k", 1, "w", 1, 0, &version), -EEXIST);
	assert_int_equal(version, first);
	assert_string_equal(get(rig_map[0], "k"), "v");
	assert_int_equal(dsm_map_get_or_insert(rig_map[1], "k", 1, "x", 1, buffer, 16, &inserted),
			 1);
	assert_int_equal(buffer[0], 'v');
	assert_false(inserted);
	assert_int_equal(dsm_map_get_or_insert(rig_map[1], "l", 1, "x", 1, buffer, 16, &inserted),
			 1);
	assert_int_equal(buffer[0], 'x');
	assert_true(inserted);
	assert_string_equal(get(rig_map[0], "l"), "x");
}

static void compare_and_set_by_version(void **state)
{
	uint64_t first, second, version;

	(void)state;
	assert_int_equal(dsm_map_cas(rig_map[0], "k", 1, 7, "v", 1, &version), -ESTALE);
	assert_int_equal(version, 0);
	assert_int_equal(dsm_map_cas(rig_map[0], "k", 1, 0, "v", 1, &first), 0);
	assert_int_equal(dsm_map_cas(rig_map[1], "k", 1, 0, "w", 1, &version), -ESTALE);
	assert_int_equal(version, first);
	assert_int_equal(dsm_map_cas(rig_map[1], "k", 1, first, "w", 1, &second), 0);
	assert_true(second > first);
	assert_int_equal(dsm_map_delete_version(rig_map[0], "k", 1, first), -ESTALE);
	assert_int_equal(dsm_map_delete_version(rig_map[0], "k", 1, second), 0);
	assert_int_equal(dsm_map_delete_version(rig_map[0], "k", 1, second), -ENOENT);
	assert_int_equal(dsm_map_delete_version(rig_map[0], "k", 1, 0), -ENOENT);
	assert_int_equal(dsm_map_count(rig_map[0]), 0);
}

static void compare_and_set_by_value(void **state)
{
	uint64_t version;

	(void)state;
	assert_int_equal(dsm_map_cas_value(rig_map[0], "k", 1, "a", 1, "b", 1, NULL), -ENOENT);
	assert_int_equal(put(rig_map[0], "k", "a"), 0);
	assert_int_equal(dsm_map_cas_value(rig_map[1], "k", 1, "ab", 2, "c", 1, &version), -ESTALE);
	assert_int_equal(version, version_of(rig_map[0], "k"));
	assert_int_equal(dsm_map_cas_value(rig_map[1], "k", 1, "a", 1, "c", 1, &version), 0);
	assert_string_equal(get(rig_map[0], "k"), "c");
	assert_int_equal(version, version_of(rig_map[0], "k"));
}

static void what_has_expired_is_not_there(void **state)
{
	dsm_map_iter_t *it;
	struct dsm_map_entry e;
	struct dsm_map_stat s;

	(void)state;
	map_rig_clock(100 * SECOND_NS);
	assert_int_equal(dsm_map_set_ttl(rig_map[0], "k", 1, "v", 1, 1000, NULL), 0);
	assert_int_equal(dsm_map_set_ttl(rig_map[0], "l", 1, "v", 1, 3000, NULL), 0);
	assert_int_equal(dsm_map_set_ttl(rig_map[0], "m", 1, "v", 1, UINT64_MAX, NULL), 0);
	assert_non_null(get(rig_map[1], "k"));
	map_rig_clock(101 * SECOND_NS);
	assert_null(get(rig_map[1], "k"));
	assert_non_null(get(rig_map[1], "l"));
	assert_int_equal(dsm_map_stat(rig_map[0], &s), 0);
	assert_int_equal(s.entries, 3);
	assert_int_equal(s.with_ttl, 2);
	assert_int_equal(s.expired, 1);
	assert_int_equal(dsm_map_iter_begin(rig_map[0], NULL, 0, &it), 0);
	assert_int_equal(dsm_map_iter_next(it, &e), 1);
	assert_int_equal(dsm_map_iter_next(it, &e), 1);
	assert_int_equal(dsm_map_iter_next(it, &e), 0);
	dsm_map_iter_end(it);
	assert_int_equal(dsm_map_delete(rig_map[1], "k", 1), -ENOENT);
	assert_int_equal(dsm_map_count(rig_map[0]), 2);
	assert_int_equal(dsm_map_add(rig_map[1], "k", 1, "w", 1, 0, NULL), 0);
	map_rig_clock(1000 * SECOND_NS);
	assert_string_equal(get(rig_map[0], "k"), "w");
	assert_int_equal(dsm_map_cas_value(rig_map[0], "l", 1, "v", 1, "x", 1, NULL), -ENOENT);
	assert_int_equal(dsm_map_validate(rig_map[0]), 0);
	map_rig_clock_real();
}

/* Writers take out what expired, without being asked for it. */
static void what_has_expired_goes_by_itself(void **state)
{
	char key[16];

	(void)state;
	map_rig_clock(100 * SECOND_NS);
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "%d", i);
		assert_int_equal(dsm_map_set_ttl(rig_map[0], key, strlen(key), "v", 1, 1000, NULL),
				 0);
	}
	map_rig_clock(200 * SECOND_NS);
	for (int i = 0; i < 4000; i++)
		assert_int_equal(
			put(rig_map[0], (snprintf(key, sizeof(key), "x%d", i % 1000), key), "w"),
			0);
	assert_int_equal(dsm_map_count(rig_map[0]), 1000);
	assert_int_equal(dsm_map_validate(rig_map[0]), 0);
	map_rig_clock_real();
}

static void a_walk_sees_each_entry_once(void **state)
{
	static uint8_t seen[5000];
	struct dsm_map_entry e;
	dsm_map_iter_t *it;
	char key[32];
	int n = 0, err;

	(void)state;
	memset(seen, 0, sizeof(seen));
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "key%d", i);
		assert_int_equal(put(rig_map[0], key, key + 3), 0);
	}
	assert_int_equal(dsm_map_iter_begin(rig_map[1], NULL, 0, &it), 0);
	while ((err = dsm_map_iter_next(it, &e)) == 1) {
		int i;

		memcpy(key, e.value, e.value_size);
		key[e.value_size] = 0;
		i = atoi(key);
		assert_int_equal(e.key_size, e.value_size + 3);
		assert_memory_equal((const char *)e.key + 3, e.value, e.value_size);
		assert_int_equal((uintptr_t)e.value % 8, 0);
		seen[i]++;
		/* It grows on the way. */
		snprintf(key, sizeof(key), "key%d", 1000 + n++);
		if (n < 4000)
			assert_int_equal(put(rig_map[0], key, key + 3), 0);
	}
	assert_int_equal(err, 0);
	dsm_map_iter_end(it);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(seen[i], 1);
	for (int i = 1000; i < 5000; i++)
		assert_true(seen[i] <= 1);
}

static void a_prefix_chooses(void **state)
{
	static const char *const keys[] = { "user:1", "user:22", "user", "use", "group:1" };
	struct dsm_map_entry e;
	dsm_map_iter_t *it;
	int n = 0;

	(void)state;
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(put(rig_map[0], keys[i], "v"), 0);
	assert_int_equal(dsm_map_iter_begin(rig_map[0], "user:", 5, &it), 0);
	for (; dsm_map_iter_next(it, &e) == 1; n++)
		assert_memory_equal(e.key, "user:", 5);
	dsm_map_iter_end(it);
	assert_int_equal(n, 2);
}

static void clearing_leaves_nothing(void **state)
{
	char key[32];

	(void)state;
	for (int i = 0; i < 3000; i++) {
		snprintf(key, sizeof(key), "key%d", i);
		assert_int_equal(put(rig_map[i % 2], key, "v"), 0);
	}
	assert_int_equal(dsm_map_clear(rig_map[1]), 3000);
	assert_int_equal(dsm_map_count(rig_map[0]), 0);
	assert_null(get(rig_map[0], "key17"));
	assert_int_equal(put(rig_map[0], "key17", "again"), 0);
	assert_string_equal(get(rig_map[1], "key17"), "again");
	assert_int_equal(dsm_map_validate(rig_map[0]), 0);
}

static void what_a_reader_holds_stays(void **state)
{
	struct dsm_map_entry e, f;

	(void)state;
	assert_int_equal(put(rig_map[0], "k", "a value that is held"), 0);
	assert_int_equal(dsm_map_read_begin(rig_map[1]), 0);
	assert_int_equal(dsm_map_find(rig_map[1], "k", 1, &e), 0);
	assert_int_equal((uintptr_t)e.value % 8, 0);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(put(rig_map[0], "k", "another value, as long"), 0);
	assert_memory_equal(e.value, "a value that is held", 20);
	assert_int_equal(dsm_map_delete(rig_map[1], "k", 1), 0);
	assert_int_equal(dsm_map_read_begin(rig_map[1]), 0);
	assert_int_equal(dsm_map_find(rig_map[1], "k", 1, &f), -ENOENT);
	dsm_map_read_end(rig_map[1]);
	assert_memory_equal(e.value, "a value that is held", 20);
	dsm_map_read_end(rig_map[1]);
	assert_int_equal(dsm_map_validate(rig_map[0]), 0);
}

static void old_values_are_freed(void **state)
{
	struct dsm_map_stat s;

	(void)state;
	for (int i = 0; i < 10000; i++)
		assert_int_equal(put(rig_map[0], "k", "v"), 0);
	assert_int_equal(dsm_map_stat(rig_map[0], &s), 0);
	assert_true(s.retired < 100);
	assert_int_equal(dsm_map_blocks(rig_map[0]), s.retired + 1);
	assert_int_equal(map_retire_flush(rig_map[0]), 0);
	assert_int_equal(dsm_map_blocks(rig_map[0]), 1);
}

static void versions_of_the_map_tell_of_changes(void **state)
{
	uint64_t version = dsm_map_version(rig_map[1]);

	(void)state;
	assert_int_equal(put(rig_map[0], "k", "v"), 0);
	assert_int_equal(dsm_map_version(rig_map[1]), version + 1);
	assert_int_equal(dsm_map_add(rig_map[0], "k", 1, "v", 1, 0, NULL), -EEXIST);
	assert_int_equal(dsm_map_version(rig_map[1]), version + 1);
	assert_int_equal(dsm_map_delete(rig_map[0], "k", 1), 0);
	assert_int_equal(dsm_map_version(rig_map[1]), version + 2);
}

static void names_are_checked(void **state)
{
	struct dsm_map_options existing = { .flags = DSM_MAP_EXISTING };
	struct dsm_map_options unknown = { .flags = 0x100 };
	dsm_map_t *m;

	(void)state;
	assert_int_equal(dsm_map_create(rig_seg[1], "m", NULL, &m), -EEXIST);
	assert_int_equal(dsm_map_create(rig_seg[1], "m", &existing, &m), 0);
	dsm_map_close(m);
	assert_int_equal(dsm_map_create(rig_seg[1], "n", &unknown, &m), -EINVAL);
	assert_int_equal(dsm_map_open(rig_seg[1], "none", &m), -ENOENT);
	assert_int_equal(dsm_map_open(rig_seg[1], ".heap", &m), -EMEDIUMTYPE);
	assert_int_equal(dsm_map_remove(rig_seg[1], "none"), -ENOENT);
	dsm_map_close(NULL);
}

static void a_map_may_be_made_large(void **state)
{
	struct dsm_map_options o = { .entries = 20000 };
	struct dsm_segment_info before, after;
	struct dsm_map_stat s;
	dsm_map_t *m;

	(void)state;
	assert_int_equal(dsm_segment_info(rig_seg[0], &before), 0);
	assert_int_equal(dsm_map_create(rig_seg[0], "large", &o, &m), 0);
	assert_int_equal(dsm_map_stat(m, &s), 0);
	assert_int_equal(s.buckets, 8192);
	assert_int_equal(s.growing_to, 0);
	assert_int_equal(put(m, "k", "v"), 0);
	dsm_map_close(m);
	assert_int_equal(dsm_map_remove(rig_seg[0], "large"), 0);
	assert_int_equal(dsm_segment_info(rig_seg[0], &after), 0);
	assert_int_equal(after.roots, before.roots);
	/* The heap may keep a span for the entry's block. */
	assert_true(after.size - after.free_bytes <= before.size - before.free_bytes + 4 * 65536);
}

/* ------------------------------------------------------------ watching */

static void *change_later(void *arg)
{
	dsm_map_t *m = arg;

	/* Wait until the watcher has marked its word. */
	for (uint64_t end = test_now_ms() + DEADLINE_MS; test_now_ms() < end; poll(NULL, 0, 1)) {
		uint32_t marked = atomic_load(&m->watch->any);

		for (uint32_t i = 0; i < MAP_STRIPES; i++)
			marked |= atomic_load(&m->watch->stripe[i]);
		if (marked & 1)
			break;
	}
	(void)put(m, "watched", "changed");
	return NULL;
}

static void a_watched_key_wakes(void **state)
{
	uint64_t version, now, start;
	pthread_t t;

	(void)state;
	assert_int_equal(put(rig_map[0], "watched", "first"), 0);
	version = version_of(rig_map[1], "watched");
	assert_int_equal(dsm_map_watch(rig_map[1], "watched", 7, version, 2000, &now), -ETIMEDOUT);
	assert_int_equal(dsm_map_watch(rig_map[1], "watched", 7, version - 1, 0, &now), 0);
	assert_int_equal(now, version);
	assert_int_equal(dsm_map_watch(rig_map[1], "none", 4, 0, 0, &now), -ETIMEDOUT);
	start = test_now_ms();
	assert_int_equal(pthread_create(&t, NULL, change_later, rig_map[0]), 0);
	assert_int_equal(dsm_map_watch(rig_map[1], "watched", 7, version, DSM_MAP_FOREVER, &now),
			 0);
	pthread_join(t, NULL);
	assert_true(now > version);
	assert_true(test_now_ms() - start < DEADLINE_MS);
	assert_string_equal(get(rig_map[1], "watched"), "changed");
}

static void a_watched_map_wakes(void **state)
{
	uint64_t version = dsm_map_version(rig_map[1]), now;
	pthread_t t;

	(void)state;
	assert_int_equal(dsm_map_watch_all(rig_map[1], version, 2000, &now), -ETIMEDOUT);
	assert_int_equal(pthread_create(&t, NULL, change_later, rig_map[0]), 0);
	assert_int_equal(dsm_map_watch_all(rig_map[1], version, DSM_MAP_FOREVER, &now), 0);
	pthread_join(t, NULL);
	assert_int_equal(now, version + 1);
}

static void expiry_wakes_too(void **state)
{
	uint64_t version, now;

	(void)state;
	assert_int_equal(dsm_map_set_ttl(rig_map[0], "k", 1, "v", 1, 30, &version), 0);
	assert_int_equal(dsm_map_watch(rig_map[1], "k", 1, version, 5 * SECOND_US, &now), 0);
	assert_int_equal(now, 0);
}

static void expect(dsm_map_watcher_t *w, enum dsm_map_event_kind kind, const char *key,
		   const char *value)
{
	struct dsm_map_event e;

	assert_int_equal(dsm_map_watcher_next(w, 5 * SECOND_US, &e), 0);
	assert_int_equal(e.kind, kind);
	assert_int_equal(e.entry.key_size, strlen(key));
	assert_memory_equal(e.entry.key, key, strlen(key));
	if (!value) {
		assert_null(e.entry.value);
		return;
	}
	assert_int_equal(e.entry.value_size, strlen(value));
	assert_memory_equal(e.entry.value, value, strlen(value));
}

static void a_watcher_is_told_what_changed(void **state)
{
	dsm_map_watcher_t *w;
	struct dsm_map_event e;

	(void)state;
	assert_int_equal(put(rig_map[0], "p:there", "before"), 0);
	assert_int_equal(dsm_map_watcher_begin(rig_map[1], "p:", 2, 0x100, &w), -EINVAL);
	assert_int_equal(dsm_map_watcher_begin(rig_map[1], "p:", 2, DSM_MAP_WATCH_PRESENT, &w), 0);
	expect(w, DSM_MAP_ADDED, "p:there", "before");
	dsm_map_watcher_end(w);
	assert_int_equal(dsm_map_watcher_begin(rig_map[1], "p:", 2, 0, &w), 0);
	assert_int_equal(dsm_map_watcher_next(w, 2000, &e), -ETIMEDOUT);
	assert_int_equal(put(rig_map[0], "q:other", "not watched"), 0);
	assert_int_equal(dsm_map_watcher_next(w, 2000, &e), -ETIMEDOUT);
	assert_int_equal(put(rig_map[0], "p:new", "1"), 0);
	expect(w, DSM_MAP_ADDED, "p:new", "1");
	assert_int_equal(put(rig_map[0], "p:new", "2"), 0);
	assert_int_equal(put(rig_map[0], "p:new", "3"), 0);
	expect(w, DSM_MAP_CHANGED, "p:new", "3");
	assert_int_equal(dsm_map_delete(rig_map[0], "p:new", 5), 0);
	expect(w, DSM_MAP_DELETED, "p:new", NULL);
	assert_int_equal(dsm_map_set_ttl(rig_map[0], "p:short", 7, "x", 1, 30, NULL), 0);
	expect(w, DSM_MAP_ADDED, "p:short", "x");
	expect(w, DSM_MAP_DELETED, "p:short", NULL);
	dsm_map_watcher_end(w);
	dsm_map_watcher_end(NULL);
}

#define BOTH(test) cmocka_unit_test_setup(test, map_rig_fresh)
#define TESTS                                                                                      \
	BOTH(what_is_set_is_got_by_everybody), BOTH(keys_and_values_have_any_size),                \
		BOTH(add_is_for_who_comes_first), BOTH(compare_and_set_by_version),                \
		BOTH(compare_and_set_by_value), BOTH(what_has_expired_is_not_there),               \
		BOTH(what_has_expired_goes_by_itself), BOTH(a_walk_sees_each_entry_once),          \
		BOTH(a_prefix_chooses), BOTH(clearing_leaves_nothing),                             \
		BOTH(what_a_reader_holds_stays), BOTH(old_values_are_freed),                       \
		BOTH(versions_of_the_map_tell_of_changes), BOTH(names_are_checked),                \
		BOTH(a_map_may_be_made_large), BOTH(a_watched_key_wakes),                          \
		BOTH(a_watched_map_wakes), BOTH(expiry_wakes_too),                                 \
		BOTH(a_watcher_is_told_what_changed)

int main(void)
{
	const struct CMUnitTest tests[] = { TESTS };
	int failed = cmocka_run_group_tests_name("shm", tests, map_rig_open_host,
						 map_rig_close_host);

#ifndef __SANITIZE_THREAD__ /* the memory of two nodes does not fit beside it */
	setenv("DSM_LOG", "error", 1);
	failed += cmocka_run_group_tests_name("dsm", tests, map_rig_open_cluster,
					      map_rig_close_cluster);
#endif
	return failed;
}
