// SPDX-License-Identifier: MIT
/*
 * Processes that write and read a map and are killed at any moment, or where a kill
 * leaves something half-done. What survives goes on, and finds everything whole.
 *
 *	test_map_kill [KILLS [SEED]]
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <dsm/heap_report.h>

#include "lib/map/map.h"
#include "tests/unit/lib_nodes.h"
#include "tests/unit/map_rig.h"

#define WORKERS 3
#define STABLE	50u    /* keys that are there all the time */
#define KEYS	20000u /* so that the map grows; workers begin it anew now and then */
#define WORDS	40u

static int kills = 300;
static uint64_t seed = 88172645463325252u;
static uint64_t here; /* of the worker */

/* ------------------------------------------------------------ workers */

static void crash_here(const char *where)
{
	(void)where;
	if (rig_next(&here) % 4 == 0)
		(void)kill(getpid(), SIGKILL);
}

/* All words of a value tell its key, so that a torn or a strange one shows. */
static size_t value_of(uint32_t k, uint64_t *x, uint64_t value[WORDS])
{
	size_t n = rig_next(x) % WORDS + 1;

	for (size_t i = 0; i < n; i++)
		value[i] = ((uint64_t)k << 32) | n;
	return n * 8;
}

static bool value_good(uint32_t k, const uint64_t *value, size_t bytes)
{
	for (size_t i = 0; i < bytes / 8; i++)
		if (value[i] != (((uint64_t)k << 32) | bytes / 8))
			return false;
	return bytes;
}

static size_t key_of(uint32_t k, char key[16])
{
	return (size_t)snprintf(key, 16, "%s%u", k < STABLE ? "stable" : "k", k);
}

/* A negative result is an error that must not be. */
static int step(dsm_map_t *m, uint64_t *x)
{
	uint32_t k = (uint32_t)(rig_next(x) >> 8) % KEYS,
		 what = (uint32_t)(rig_next(x) >> 16) % 1000;
	uint64_t value[WORDS], version = 0;
	size_t size = value_of(k, x, value), n;
	char key[16];
	ssize_t got;

	n = key_of(k, key);
	if (what < 500)
		return dsm_map_set_ttl(m, key, n, value, size, k < STABLE || what % 8 ? 0 : 20,
				       NULL);
	if (what < 700 && k >= STABLE)
		return dsm_map_delete(m, key, n) == -EBADMSG ? -EBADMSG : 0;
	if (what == 999 && rig_next(x) % 16 == 0) {
		for (k = STABLE; k < KEYS; k++)
			if (dsm_map_delete(m, key, key_of(k, key)) == -EBADMSG)
				return -EBADMSG;
		return 0;
	}
	if (dsm_map_read_begin(m))
		return -1;
	got = dsm_map_get(m, key, n, value, sizeof(value), &version);
	dsm_map_read_end(m);
	if (got == -ENOENT)
		return k < STABLE ? -ENOENT : 0;
	if (got < 0 || !value_good(k, value, (size_t)got))
		return -EBADMSG;
	size = value_of(k, x, value);
	got = dsm_map_cas(m, key, n, version, value, size, NULL);
	return got == -ESTALE ? 0 : (int)got;
}

static pid_t start(uint64_t number)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	here = (number + 1) * 2654435769u;
	seg_crash_hook = crash_here;
	for (;;) {
		int err = step(rig_map[number % 2], &here);

		if (err) {
			fprintf(stderr, "worker: %s (%s)\n", strerror(-err), dsm_last_error());
			_exit(1);
		}
	}
}

/* ------------------------------------------------------------ the survivor */

static void stable_all(void)
{
	uint64_t value[WORDS];
	char key[16];

	for (uint32_t k = 0; k < STABLE; k++) {
		ssize_t got = dsm_map_get(rig_map[k % 2], key, key_of(k, key), value, sizeof(value),
					  NULL);

		if (got < 0 || !value_good(k, value, (size_t)got))
			fail_msg("%s: %zd, %s", key, got, dsm_last_error());
	}
}

/* Ends one of the workers, by now or because it ended itself. */
static void replace(pid_t *worker, uint64_t number)
{
	int status;

	assert_int_equal(kill(*worker, SIGKILL), 0);
	assert_int_equal(waitpid(*worker, &status, 0), *worker);
	/* Not by an error of its own. */
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	*worker = number ? start(number) : 0;
}

static int print_fault(void *context, uint64_t off, const char *what)
{
	(void)context;
	print_error("heap, %#llx: %s\n", (unsigned long long)off, what);
	return 1;
}

/* Every block of the heap is an entry, or retired. */
static void nothing_is_lost(void)
{
	struct dsm_heap_report report;
	int64_t blocks;

	if (dsm_map_validate(rig_map[0]))
		fail_msg("%s", dsm_last_error());
	assert_int_equal(dsm_heap_flush(rig_map[0]->heap), 0);
	assert_int_equal(dsm_heap_validate(rig_map[0]->heap, print_fault, NULL), 0);
	assert_int_equal(map_retire_flush(rig_map[0]), 0);
	assert_int_equal(dsm_heap_flush(rig_map[0]->heap), 0);
	blocks = dsm_map_blocks(rig_map[0]);
	assert_int_equal(blocks, dsm_map_count(rig_map[1]));
	assert_int_equal(dsm_heap_report(rig_map[0]->heap, &report), 0);
	assert_int_equal(report.used, blocks);
}

static void a_kill_leaves_all_whole(void **state)
{
	int n = rig_seg[0]->cluster ? kills / 10 : kills;
	uint64_t most_ns = rig_seg[0]->cluster ? 50000000 : 2000000;
	uint64_t x = seed, value[WORDS], longest = 0;
	pid_t workers[WORKERS];
	char key[16];

	(void)state;
	for (uint32_t k = 0; k < STABLE; k++)
		assert_int_equal(dsm_map_set(rig_map[0], key, key_of(k, key), value,
					     value_of(k, &x, value), NULL),
				 0);
	for (int i = 0; i < WORKERS; i++)
		workers[i] = start((uint64_t)i + 1);
	for (int i = 0; i < n; i++) {
		struct timespec t = { .tv_nsec = (long)(rig_next(&x) % most_ns) };
		uint64_t before;

		(void)ppoll(NULL, 0, &t, NULL);
		replace(&workers[rig_next(&x) % WORKERS], (uint64_t)(WORKERS + i + 1));
		before = test_now_ms();
		assert_true(step(rig_map[i % 2], &x) >= 0);
		stable_all();
		if (test_now_ms() - before > longest)
			longest = test_now_ms() - before;
		if (i % 50 == 0 && dsm_map_validate(rig_map[0]))
			fail_msg("after %d kills: %s", i + 1, dsm_last_error());
	}
	for (int i = 0; i < WORKERS; i++)
		replace(&workers[i], 0);
	(void)dsm_segment_recover(rig_seg[0]);
	nothing_is_lost();
	stable_all();
	print_message("%d kills, the survivor waited %llu ms at most\n", n,
		      (unsigned long long)longest);
	assert_true(longest < DEADLINE_MS);
}

#define TEST cmocka_unit_test_setup(a_kill_leaves_all_whole, map_rig_fresh)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { TEST };
	int failed;

	if (argc > 1)
		kills = atoi(argv[1]);
	if (argc > 2)
		seed = strtoull(argv[2], NULL, 0) | 1;
	failed = cmocka_run_group_tests_name("shm", tests, map_rig_open_host, map_rig_close_host);
#ifndef __SANITIZE_THREAD__ /* the memory of two nodes does not fit beside it */
	setenv("DSM_LOG", "error", 1);
	failed += cmocka_run_group_tests_name("dsm", tests, map_rig_open_cluster,
					      map_rig_close_cluster);
#endif
	return failed;
}
