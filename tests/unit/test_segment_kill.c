// SPDX-License-Identifier: MIT
/*
 * Processes that make and drop structures, take and give grains and locks, and are killed at
 * any moment; what they leave is cleaned up by those who meet it.
 *
 *	test_segment_kill [KILLS]
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

#include "lib/segment/layout.h"
#include "tests/unit/lib_nodes.h"
#include "tests/unit/segment_rig.h"

#define WORKERS 3

static int kills = 300;
static dsm_segment_t *seg;     /* the one a process works in */
static dsm_segment_t *seen[2]; /* in a cluster: from either node */
static uint64_t shared_at;

/* Two words that a lock keeps equal. */
struct guarded {
	struct seg_lock lock;
	_Atomic uint64_t a, b;
	_Atomic uint64_t broken; /* seen unequal by who had the lock */
};

static uint64_t next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* The repair of "guarded": the second word follows the first. */
static void equal_pair(struct guarded *g)
{
	if (seg_lock(seg, &g->lock, SEG_LAYER_TOP))
		_exit(1);
	if (atomic_load(&g->a) != atomic_load(&g->b) &&
	    atomic_load(&g->a) != atomic_load(&g->b) + 1)
		atomic_fetch_add(&g->broken, 1);
	atomic_store(&g->b, atomic_load(&g->a));
	atomic_fetch_add(&g->a, 1);
	atomic_fetch_add(&g->b, 1);
	seg_unlock(seg, &g->lock);
}

static void work(uint64_t seed)
{
	struct guarded *g = seg_at(seg, shared_at);
	uint64_t x = seed * 2654435769u + 1, off;
	char name[16];
	uint32_t root;

	for (;;) {
		switch (next(&x) % 3) {
		case 0:
			equal_pair(g);
			break;
		case 1:
			if (!seg_grains_alloc(seg, next(&x) % 4 + 1, &off, NULL))
				(void)seg_grains_free(seg, off);
			break;
		default:
			(void)snprintf(name, sizeof(name), "n%d", (int)(next(&x) % 5));
			if (seg_root_make(seg, name, DSM_ROOT_RING, &root))
				break;
			if (!seg_grains_alloc(seg, next(&x) % 3 + 1, &off, NULL))
				seg_grains_adopt(seg, off, root);
			if (next(&x) % 2)
				seg_root_publish(seg, root, off);
			seg_root_drop(seg, root);
		}
	}
}

static pid_t start(uint64_t seed)
{
	pid_t pid = fork();

	if (!pid) {
		seg = seen[seed % 2];
		work(seed);
	}
	return pid;
}

static void nothing_is_stuck_or_lost(void **state)
{
	struct dsm_segment_info before, after;
	struct guarded *g = seg_at(seg, shared_at);
	pid_t workers[WORKERS];
	uint64_t x = 88172645463325252u;
	char name[16];
	uint64_t off;
	uint32_t root;
	/* A cluster takes its time for everything. */
	int n = seg->cluster ? kills / 10 : kills;
	uint64_t most_ns = seg->cluster ? 50000000 : 2000000;

	(void)state;
	assert_int_equal(dsm_segment_info(seg, &before), 0);
	for (int i = 0; i < WORKERS; i++)
		workers[i] = start((uint64_t)i);
	for (int i = 0; i < n; i++) {
		struct timespec t = { .tv_nsec = (long)(next(&x) % most_ns) };
		int k = (int)(next(&x) % WORKERS), status;

		(void)ppoll(NULL, 0, &t, NULL);
		assert_int_equal(kill(workers[k], SIGKILL), 0);
		assert_int_equal(waitpid(workers[k], &status, 0), workers[k]);
		assert_true(WIFSIGNALED(status));
		workers[k] = start((uint64_t)(WORKERS + i));
		/* A survivor goes on: this one. */
		equal_pair(g);
	}
	for (int i = 0; i < WORKERS; i++) {
		(void)kill(workers[i], SIGKILL);
		(void)waitpid(workers[i], NULL, 0);
	}
	(void)dsm_segment_recover(seg);
	equal_pair(g);
	assert_int_equal(atomic_load(&g->broken), 0);
	/* Those killed after publishing have left a structure, which is no leak. */
	for (int i = 0; i < 5; i++) {
		(void)snprintf(name, sizeof(name), "n%d", i);
		if (!seg_root_find(seg, name, DSM_ROOT_RING, &root, &off))
			seg_root_drop(seg, root);
	}
	assert_int_equal(dsm_segment_info(seg, &after), 0);
	assert_int_equal(after.roots, 0);
	assert_int_equal(after.participants, 1);
	assert_int_equal(after.size - after.free_bytes, before.size - before.free_bytes);
}

static int share_a_grain(void)
{
	seg = seen[0];
	if (seg_grains_alloc(seg, 1, &shared_at, NULL))
		return -1;
	memset(seg_at(seg, shared_at), 0, sizeof(struct guarded));
	return 0;
}

static int open_host(void **state)
{
	(void)state;
	seen[0] = seen[1] = rig_segment(rig_uri("kill"), 1u << 20);
	return share_a_grain();
}

static int close_host(void **state)
{
	(void)state;
	dsm_segment_close(seg);
	return dsm_segment_unlink(rig_uri("kill"), NULL);
}

#ifndef __SANITIZE_THREAD__ /* the memory of two nodes does not fit beside it */
static int open_cluster(void **state)
{
	struct dsm_segment_options o = { .size = 1u << 20, .max_size = 8u << 20 };

	if (nodes_setup(state))
		return -1;
	for (int i = 0; i < 2; i++) {
		o.ctx = node[i];
		o.flags = DSM_SEGMENT_EXISTING;
		if (dsm_segment_create("dsm:kill", &o, &seen[i]))
			return -1;
	}
	return share_a_grain();
}

static int close_cluster(void **state)
{
	dsm_segment_close(seen[0]);
	dsm_segment_close(seen[1]);
	return nodes_teardown(state);
}
#endif

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(nothing_is_stuck_or_lost) };
	int failed = 0;

	if (argc > 1)
		kills = atoi(argv[1]);
#ifndef __SANITIZE_THREAD__
	failed += cmocka_run_group_tests_name("cluster", tests, open_cluster, close_cluster);
#endif
	return failed + cmocka_run_group_tests_name("host", tests, open_host, close_host);
}
