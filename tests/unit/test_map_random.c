// SPDX-License-Identifier: MIT
/*
 * Maps beside a model under random operations; readers beside writers that make the map
 * grow; processes that count in it together.
 *
 *	test_map_random [SEED]
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/map/map.h"
#include "tests/unit/lib_nodes.h"
#include "tests/unit/map_rig.h"

#define KEYS	  300
#define VALUE_MAX 300
#define SECOND_NS 1000000000ull
#define STABLE	  200 /* keys that are there all the time */
#define PROCESSES 3
#define COUNTERS  7

static uint64_t seed = 88172645463325252u;

/* ------------------------------------------------------------ the model */

struct known {
	bool there;
	uint64_t version, expires_ns, last; /* last: greatest version ever */
	uint32_t size;
	uint8_t value[VALUE_MAX];
};
static struct known known[KEYS];
static uint64_t now_ns;

static size_t key_of(uint32_t k, char key[32])
{
	/* Some long, some that are prefixes of others. */
	return (size_t)snprintf(key, 32, k % 3 ? "%u" : "a rather long key, %u", k);
}

static bool model_has(uint32_t k)
{
	return known[k].there && !(known[k].expires_ns && known[k].expires_ns <= now_ns);
}

static void model_set(uint32_t k, const uint8_t *value, uint32_t size, uint64_t ttl_ms,
		      uint64_t version)
{
	assert_true(version > known[k].last);
	known[k].there = true;
	known[k].size = size;
	known[k].version = known[k].last = version;
	known[k].expires_ns = ttl_ms ? now_ns + ttl_ms * 1000000 : 0;
	memcpy(known[k].value, value, size);
}

static uint32_t value_make(uint64_t *x, uint8_t value[VALUE_MAX])
{
	uint32_t size = (uint32_t)(rig_next(x) % VALUE_MAX);

	for (uint32_t i = 0; i < size; i++)
		value[i] = (uint8_t)(rig_next(x) >> 20);
	return size;
}

static void write_one(dsm_map_t *m, uint64_t *x, uint32_t k)
{
	uint64_t ttl = rig_next(x) % 4 ? 0 : rig_next(x) % 5000 + 1, version = 0;
	bool has = model_has(k), right = rig_next(x) % 2;
	uint8_t value[VALUE_MAX];
	uint32_t size = value_make(x, value);
	uint64_t expected = right ? (has ? known[k].version : 0) : known[k].version + 1;
	char key[32];
	size_t n = key_of(k, key);
	int err;

	switch (rig_next(x) % 4) {
	case 0:
		assert_int_equal(dsm_map_set_ttl(m, key, n, value, size, ttl, &version), 0);
		break;
	case 1:
		err = dsm_map_add(m, key, n, value, size, ttl, &version);
		assert_int_equal(err, has ? -EEXIST : 0);
		if (err)
			assert_int_equal(version, known[k].version);
		break;
	case 2:
		ttl = 0;
		err = dsm_map_cas(m, key, n, expected, value, size, &version);
		assert_int_equal(err, right ? 0 : -ESTALE);
		break;
	default:
		ttl = 0;
		right = right && has;
		err = dsm_map_cas_value(m, key, n, known[k].value,
					right ? known[k].size : known[k].size + 1, value, size,
					&version);
		assert_int_equal(err, right ? 0 : has ? -ESTALE : -ENOENT);
		if (err)
			return;
	}
	if (version && version != known[k].version)
		model_set(k, value, size, ttl, version);
}

static void delete_one(dsm_map_t *m, uint64_t *x, uint32_t k)
{
	bool has = model_has(k), right = rig_next(x) % 2;
	char key[32];
	size_t n = key_of(k, key);

	if (rig_next(x) % 2) {
		assert_int_equal(dsm_map_delete(m, key, n), has ? 0 : -ENOENT);
	} else {
		uint64_t version = right ? known[k].version : known[k].version + 1;
		int wanted = !has ? -ENOENT : right ? 0 : -ESTALE;

		assert_int_equal(dsm_map_delete_version(m, key, n, version), wanted);
		if (wanted == -ESTALE)
			return;
	}
	known[k].there = false;
}

static void read_one(dsm_map_t *m, uint64_t *x, uint32_t k)
{
	uint8_t value[VALUE_MAX], other[VALUE_MAX];
	uint64_t version;
	uint32_t size;
	bool inserted;
	char key[32];
	size_t n = key_of(k, key);
	ssize_t got;

	if (rig_next(x) % 3) {
		got = dsm_map_get(m, key, n, value, sizeof(value), &version);
		assert_int_equal(got, model_has(k) ? (ssize_t)known[k].size : -ENOENT);
		if (got < 0)
			return;
		assert_int_equal(version, known[k].version);
	} else {
		size = value_make(x, other);
		got = dsm_map_get_or_insert(m, key, n, other, size, value, sizeof(value),
					    &inserted);
		assert_int_equal(inserted, !model_has(k));
		if (inserted)
			model_set(k, other, size, 0, version_of(m, key));
	}
	assert_int_equal(got, known[k].size);
	assert_memory_equal(value, known[k].value, known[k].size);
}

static void walk_all(dsm_map_t *m, uint64_t *x)
{
	const char *prefix = rig_next(x) % 2 ? "1" : "";
	size_t prefix_size = strlen(prefix);
	uint32_t wanted = 0, seen = 0;
	struct dsm_map_entry e;
	dsm_map_iter_t *it;
	char key[32];

	for (uint32_t k = 0; k < KEYS; k++) {
		key_of(k, key);
		wanted += model_has(k) && !strncmp(key, prefix, prefix_size);
	}
	assert_int_equal(dsm_map_iter_begin(m, prefix, prefix_size, &it), 0);
	for (; dsm_map_iter_next(it, &e) == 1; seen++) {
		const char *digits = e.key;
		uint32_t k;

		memcpy(key, digits, e.key_size);
		key[e.key_size] = '\0';
		k = (uint32_t)atoi(key[0] == 'a' ? key + 19 : key);
		assert_true(k < KEYS && model_has(k));
		assert_int_equal(e.version, known[k].version);
		assert_int_equal(e.value_size, known[k].size);
		assert_memory_equal(e.value, known[k].value, known[k].size);
	}
	dsm_map_iter_end(it);
	assert_int_equal(seen, wanted);
}

static void it_does_what_a_simple_one_does(void **state)
{
	int n = rig_seg[0]->cluster ? 3000 : 40000;
	uint64_t x = seed;

	(void)state;
	memset(known, 0, sizeof(known));
	now_ns = 100 * SECOND_NS;
	map_rig_clock(now_ns);
	for (int i = 0; i < n; i++) {
		dsm_map_t *m = rig_map[rig_next(&x) / 64 % 2];
		uint32_t k = (uint32_t)(rig_next(&x) >> 8) % KEYS,
			 what = (uint32_t)(rig_next(&x) >> 16) % 1000;

		if (what < 450)
			write_one(m, &x, k);
		else if (what < 600)
			delete_one(m, &x, k);
		else if (what < 980)
			read_one(m, &x, k);
		else if (what < 995)
			map_rig_clock(now_ns += rig_next(&x) % SECOND_NS);
		else if (what < 998)
			walk_all(m, &x);
		else
			assert_int_equal(dsm_map_validate(m), 0);
		if (i == n / 2) {
			assert_true(dsm_map_clear(m) >= 0);
			assert_int_equal(dsm_map_count(m), 0);
			for (k = 0; k < KEYS; k++)
				known[k].there = false;
		}
	}
	map_rig_clock_real();
}

/* ------------------------------------------------------------ at once */

struct crowd {
	atomic_bool stop;
	atomic_int failed;
};
static struct crowd crowd;

/* All words of a value are the same, so that a torn one shows. */
static int value_put(dsm_map_t *m, const char *key, uint64_t word)
{
	uint64_t value[32];
	size_t n = word % 31 + 1;

	for (size_t i = 0; i < n; i++)
		value[i] = word;
	return dsm_map_set(m, key, strlen(key), value, n * 8, NULL);
}

static bool value_whole(const uint64_t *value, ssize_t bytes)
{
	if (bytes < 8 || (size_t)bytes / 8 != value[0] % 31 + 1)
		return false;
	for (ssize_t i = 0; i < bytes / 8; i++)
		if (value[i] != value[0])
			return false;
	return true;
}

static bool stable_there(dsm_map_t *m, uint32_t k)
{
	uint64_t value[32];
	struct dsm_map_entry e;
	char key[32];
	bool good;
	int n = snprintf(key, sizeof(key), "stable%u", k);

	if (!value_whole(value, dsm_map_get(m, key, (size_t)n, value, sizeof(value), NULL)))
		return false;
	if (dsm_map_read_begin(m))
		return false;
	good = !dsm_map_find(m, key, (size_t)n, &e) && value_whole(e.value, e.value_size);
	dsm_map_read_end(m);
	return good;
}

static void *read_on(void *arg)
{
	uint64_t x = (uintptr_t)arg;

	while (!atomic_load(&crowd.stop))
		if (!stable_there(arg, (uint32_t)(rig_next(&x) >> 8) % STABLE))
			atomic_fetch_add(&crowd.failed, 1);
	return NULL;
}

static void *walk_on(void *arg)
{
	struct dsm_map_entry e;
	dsm_map_iter_t *it;

	while (!atomic_load(&crowd.stop)) {
		uint32_t seen = 0;
		int got;

		if (dsm_map_iter_begin(arg, "stable", 6, &it))
			return NULL;
		while ((got = dsm_map_iter_next(it, &e)) == 1)
			seen += value_whole(e.value, e.value_size);
		dsm_map_iter_end(it);
		if (got || seen != STABLE)
			atomic_fetch_add(&crowd.failed, 1);
	}
	return NULL;
}

static void readers_see_all_while_it_grows(void **state)
{
	int n = rig_seg[0]->cluster ? 3000 : 20000;
	pthread_t t[3];
	char key[32];
	uint64_t x = seed;

	(void)state;
	atomic_store(&crowd.stop, false);
	atomic_store(&crowd.failed, 0);
	for (uint32_t k = 0; k < STABLE; k++) {
		snprintf(key, sizeof(key), "stable%u", k);
		assert_int_equal(value_put(rig_map[0], key, k), 0);
	}
	for (int i = 0; i < 3; i++)
		assert_int_equal(
			pthread_create(&t[i], NULL, i == 2 ? walk_on : read_on, rig_map[i % 2]), 0);
	for (int i = 0; i < n; i++) {
		if (i % 2)
			snprintf(key, sizeof(key), "stable%u",
				 (uint32_t)(rig_next(&x) >> 8) % STABLE);
		else
			snprintf(key, sizeof(key), "new%d", i);
		assert_int_equal(value_put(rig_map[i % 2], key, rig_next(&x)), 0);
	}
	atomic_store(&crowd.stop, true);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(atomic_load(&crowd.failed), 0);
	assert_int_equal(dsm_map_count(rig_map[1]), n / 2 + STABLE);
	assert_int_equal(dsm_map_validate(rig_map[0]), 0);
}

static int count_up(dsm_map_t *m, const char *key)
{
	for (;;) {
		uint64_t version = 0, value = 0;
		ssize_t n = dsm_map_get(m, key, 1, &value, sizeof(value), &version);
		int err;

		if (n < 0 && n != -ENOENT)
			return (int)n;
		value++;
		err = dsm_map_cas(m, key, 1, n < 0 ? 0 : version, &value, sizeof(value), NULL);
		if (err != -ESTALE)
			return err;
	}
}

static void processes_count_together(void **state)
{
	int n = rig_seg[0]->cluster ? 300 : 20000, status;
	uint64_t sum = 0, value;
	pid_t pids[PROCESSES];
	char key[2] = "";

	(void)state;
	for (int p = 0; p < PROCESSES; p++) {
		pids[p] = fork();
		if (pids[p])
			continue;
		for (int i = 0; i < n; i++) {
			key[0] = (char)('a' + i % COUNTERS);
			if (count_up(rig_map[p % 2], key))
				_exit(1);
		}
		_exit(0);
	}
	for (int p = 0; p < PROCESSES; p++) {
		assert_int_equal(waitpid(pids[p], &status, 0), pids[p]);
		assert_int_equal(status, 0);
	}
	for (int i = 0; i < COUNTERS; i++) {
		key[0] = (char)('a' + i);
		assert_int_equal(dsm_map_get(rig_map[0], key, 1, &value, sizeof(value), NULL), 8);
		sum += value;
	}
	assert_int_equal(sum, PROCESSES * n);
	assert_int_equal(dsm_map_validate(rig_map[0]), 0);
}

/* Two threads: each sets a key of its own, and gets the other one's. */
static struct {
	atomic_uint turn[2]; /* rounds each has come to */
	uint32_t seen[2];    /* what it got */
	uint32_t rounds;
} cross;

static uint32_t get_number(dsm_map_t *m, const char *key)
{
	uint32_t n = 0;

	return dsm_map_get(m, key, strlen(key), &n, sizeof(n), NULL) == sizeof(n) ? n : UINT32_MAX;
}

static void meet(unsigned int side, unsigned int round)
{
	atomic_store(&cross.turn[side], round);
	for (int i = 0; atomic_load(&cross.turn[!side]) < round; i++)
		if (i > 1000)
			sched_yield();
}

static void *cross_on(void *arg)
{
	unsigned int side = arg != NULL;
	const char *mine = side ? "key-left" : "key-rite", *other = side ? "key-rite" : "key-left";

	for (uint32_t i = 1; i <= cross.rounds; i++) {
		meet(side, 2 * i);
		if (dsm_map_set(rig_map[side], mine, 8, &i, sizeof(i), NULL))
			atomic_fetch_add(&crowd.failed, 1);
		cross.seen[side] = get_number(rig_map[side], other);
		meet(side, 2 * i + 1);
		if (cross.seen[side] < i - 1 || (cross.seen[0] < i && cross.seen[1] < i))
			atomic_fetch_add(&crowd.failed, 1);
	}
	return NULL;
}

/* Of two who each set one key and then get the other, one at least sees what the other one did. */
static void who_has_set_a_key_gets_no_older_state_of_others(void **state)
{
	uint32_t none = 0;
	pthread_t t;

	(void)state;
	cross.rounds = rig_seg[0]->cluster ? 300 : 100000;
	atomic_store(&cross.turn[0], 0);
	atomic_store(&cross.turn[1], 0);
	atomic_store(&crowd.failed, 0);
	assert_int_equal(dsm_map_set(rig_map[0], "key-left", 8, &none, sizeof(none), NULL), 0);
	assert_int_equal(dsm_map_set(rig_map[0], "key-rite", 8, &none, sizeof(none), NULL), 0);
	assert_int_equal(pthread_create(&t, NULL, cross_on, &cross), 0);
	(void)cross_on(NULL);
	pthread_join(t, NULL);
	assert_int_equal(atomic_load(&crowd.failed), 0);
}

/*
 * What the above rests on, as chance seldom shows that a barrier is missing: whatever reads first
 * after a change pays for it.
 */
static void the_first_look_after_a_change_has_a_barrier(void **state)
{
	enum { GET, LONG_GET, FIND, WALK, COUNT, VERSION, LOOKS };
	static const char long_key[] = "a key for which a get is no short glance, at the least";
	struct dsm_map_entry e;
	dsm_map_iter_t *it;

	(void)state;
	for (int look = GET; look < LOOKS; look++) {
		assert_int_equal(put(rig_map[0], "key-left", "v"), 0);
		assert_true(map_unfenced);
		if (look == GET || look == LONG_GET)
			(void)get_number(rig_map[1], look == GET ? "key-rite" : long_key);
		if (look == FIND) {
			assert_int_equal(dsm_map_read_begin(rig_map[1]), 0);
			assert_int_equal(dsm_map_find(rig_map[1], "key-left", 8, &e), 0);
			dsm_map_read_end(rig_map[1]);
		}
		if (look == WALK) {
			assert_int_equal(dsm_map_iter_begin(rig_map[1], "", 0, &it), 0);
			assert_int_equal(dsm_map_iter_next(it, &e), 1);
			dsm_map_iter_end(it);
		}
		if (look == COUNT)
			assert_int_equal(dsm_map_count(rig_map[1]), 1);
		if (look == VERSION)
			assert_true(dsm_map_version(rig_map[1]) != 0);
		assert_false(map_unfenced);
	}
}

#define BOTH(test) cmocka_unit_test_setup(test, map_rig_fresh)
#define TESTS                                                                                      \
	BOTH(it_does_what_a_simple_one_does), BOTH(readers_see_all_while_it_grows),                \
		BOTH(processes_count_together),                                                    \
		BOTH(who_has_set_a_key_gets_no_older_state_of_others),                             \
		BOTH(the_first_look_after_a_change_has_a_barrier)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { TESTS };
	int failed;

	if (argc > 1)
		seed = strtoull(argv[1], NULL, 0) | 1;
	failed = cmocka_run_group_tests_name("shm", tests, map_rig_open_host, map_rig_close_host);
#ifndef __SANITIZE_THREAD__ /* the memory of two nodes does not fit beside it */
	setenv("DSM_LOG", "error", 1);
	failed += cmocka_run_group_tests_name("dsm", tests, map_rig_open_cluster,
					      map_rig_close_cluster);
#endif
	return failed;
}
