// SPDX-License-Identifier: MIT
/*
 * Many threads on one node. What a lock guards here is plain memory of this
 * program, so that ThreadSanitizer sees whether the lock orders it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/personality.h>
#include <unistd.h>

#include "tests/unit/lib_nodes.h"

#define THREADS	    4
#define ROUNDS	    1000
#define GENERATIONS 20
#define LOCK	    5
#define MEETING	    9

static long count;
static atomic_long lived;

static void *count_under_lock(void *arg)
{
	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		struct dsm_status s;

		if (dsm_ctx_lock(node[0], LOCK))
			return node;
		count++;
		if (dsm_ctx_unlock(node[0], LOCK))
			return node;
		if (i % 100)
			continue;
		if (dsm_barrier_wait(node[0], MEETING, THREADS, DSM_FOREVER) ||
		    dsm_status_get(node[0], &s))
			return node;
	}
	return NULL;
}

static void run_threads(void *(*work)(void *))
{
	pthread_t t[THREADS];
	void *failed;

	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, work, NULL), 0);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(t[i], &failed);
		assert_null(failed);
	}
}

static void a_lock_orders_what_it_guards(void **state)
{
	(void)state;
	count = 0;
	run_threads(count_under_lock);
	assert_int_equal(count, THREADS * ROUNDS);
}

/* Its session ends with the thread; a lock it still holds goes to the next one. */
static void *live_shortly(void *arg)
{
	int err = dsm_ctx_lock(node[0], LOCK);
	long mine;

	(void)arg;
	if (err && err != DSM_OWNER_DEAD)
		return node;
	mine = atomic_fetch_add(&lived, 1) + 1;
	return mine % 3 && dsm_ctx_unlock(node[0], LOCK) ? node : NULL;
}

static void threads_come_and_go(void **state)
{
	(void)state;
	for (int i = 0; i < GENERATIONS; i++)
		run_threads(live_shortly);
	assert_int_equal(lived, GENERATIONS * THREADS);
}

static void *open_region(void *arg)
{
	dsm_region_t *r;
	int err = dsm_region_open(node[0], "shared", &r);

	(void)arg;
	if (err)
		return node;
	dsm_region_close(r);
	return NULL;
}

static void threads_open_one_region(void **state)
{
	dsm_region_t *r;

	(void)state;
	assert_int_equal(dsm_region_create(node[0], "shared", PAGE, &r), 0);
	for (int i = 0; i < GENERATIONS; i++)
		run_threads(open_region);
	assert_int_equal(*(char *)dsm_region_base(r), 0);
	dsm_region_close(r);
	assert_int_equal(dsm_region_delete(node[0], "shared"), 0);
}

/*
 * ThreadSanitizer leaves little more than the terabyte of a region; where chance puts
 * the libraries decides whether it fits. So no chance.
 */
static void place_libraries_high(char **argv)
{
#ifdef __SANITIZE_THREAD__
	int persona = personality(0xffffffff);

	if (persona & ADDR_NO_RANDOMIZE)
		return;
	personality((unsigned long)persona | ADDR_NO_RANDOMIZE);
	execv("/proc/self/exe", argv);
#else
	(void)argv;
#endif
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lock_orders_what_it_guards),
		cmocka_unit_test(threads_come_and_go),
		cmocka_unit_test(threads_open_one_region),
	};

	(void)argc;
	place_libraries_high(argv);
	setenv("DSM_LOG", "error", 1);
	return cmocka_run_group_tests(tests, nodes_setup_one, nodes_teardown);
}
