// SPDX-License-Identifier: MIT
/* libdsm against real agents: memory, locks, waiting, regions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/unit/lib_nodes.h"

static void two_programs_are_two_nodes(void **state)
{
	struct dsm_status s[2];

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(dsm_status_get(node[i], &s[i]), 0);
	assert_int_equal(s[0].node_count, 2);
	assert_int_not_equal(s[0].node_id, s[1].node_id);
	assert_int_equal(s[0].master_id, s[1].master_id);
	assert_int_equal(s[0].total_bytes, 2 * 4096 * PAGE);
	assert_int_equal(s[1].port, port + 1);
}

static void stores_are_seen_at_the_other_node(void **state)
{
	uint64_t *here = nodes_pages(3), *remote = nodes_there(1, here);

	(void)state;
	here[0] = 1;
	here[2 * PAGE / 8] = 3;
	assert_int_equal(remote[0], 1);
	assert_int_equal(remote[PAGE / 8], 0);
	remote[2 * PAGE / 8]++;
	assert_int_equal(here[2 * PAGE / 8], 4);
	assert_int_equal(dsm_release(node[1], remote), 0);
}

static void bad_memory_requests_are_refused(void **state)
{
	dsm_region_t *r = dsm_region_default(node[0]);
	char *ptr = nodes_pages(2), local;
	void *other;

	(void)state;
	assert_int_equal(dsm_alloc(r, 0, &other), -EINVAL);
	assert_int_equal(dsm_alloc(NULL, 1, &other), -EINVAL);
	assert_int_equal(dsm_alloc(r, SIZE_MAX, &other), -ENOMEM);
	assert_int_equal(dsm_alloc(r, 64ull << 30, &other), -ENOMEM);
	assert_int_equal(dsm_alloc_at(r, 100, PAGE, &other), -EINVAL);
	assert_int_equal(dsm_alloc_at(r, 1ull << 40, PAGE, &other), -EINVAL);
	assert_int_equal(dsm_alloc_at(r, 0x2000000, PAGE, &other), 0);
	assert_ptr_equal(other, (char *)dsm_region_base(r) + 0x2000000);
	assert_int_equal(dsm_alloc_at(dsm_region_default(node[1]), 0x2000000, PAGE, &other),
			 -EEXIST);
	assert_int_equal(dsm_release(node[0], (char *)dsm_region_base(r) + 0x2000000), 0);
	assert_int_equal(dsm_release(node[0], ptr + 1), -EINVAL);
	assert_int_equal(dsm_release(node[0], ptr + PAGE), -EINVAL);
	assert_int_equal(dsm_release(node[0], &local), -EINVAL);
	assert_int_equal(dsm_release(node[0], ptr), 0);
	assert_int_equal(dsm_release(node[0], ptr), -EINVAL);
	assert_int_equal(dsm_prefetch(node[0], &local, 1, 0), -EINVAL);
	assert_int_equal(dsm_prefetch(node[0], ptr, 0, 0), -EINVAL);
	assert_int_equal(dsm_prefetch(node[0], ptr, 1, 8), -EINVAL);
}

static void page_info_tells_who_has_it(void **state)
{
	volatile uint64_t *here = nodes_pages(1), *remote = nodes_there(1, (const void *)here);
	dsm_page_info_t info;

	(void)state;
	*here = 5;
	assert_int_equal(dsm_page_info_get(node[0], (const char *)here + 77, &info), 0);
	assert_int_equal(info.state, DSM_STATE_MODIFIED);
	assert_int_equal(info.dirty, 1);
	assert_int_equal(info.size, PAGE);
	assert_ptr_equal(info.local_addr, here);
	assert_int_equal(*remote, 5);
	assert_int_equal(dsm_page_info_get(node[1], (const void *)remote, &info), 0);
	assert_int_equal(info.state, DSM_STATE_SHARED);
	assert_int_equal(dsm_page_info_get(node[0], &info, &info), -EINVAL);
	assert_int_equal(dsm_release(node[0], (void *)(uintptr_t)here), 0);
}

static uint32_t state_of(int at, const void *ptr)
{
	dsm_page_info_t info = { 0 };

	assert_int_equal(dsm_page_info_get(node[at], ptr, &info), 0);
	return info.state;
}

static void prefetched_pages_come_by_themselves(void **state)
{
	char *here = nodes_pages(4), *remote = nodes_there(1, here);

	(void)state;
	memset(here, 1, 4 * PAGE);
	assert_int_equal(dsm_prefetch(node[1], remote, 4 * PAGE, 0), 0);
	UNTIL(state_of(1, remote + 3 * PAGE) == DSM_STATE_SHARED);
	assert_int_equal(dsm_prefetch(node[1], remote, PAGE, DSM_PREFETCH_FOR_WRITE), 0);
	UNTIL(state_of(1, remote) == DSM_STATE_MODIFIED);
	assert_int_equal(remote[0], 1);
	assert_int_equal(dsm_release(node[0], here), 0);
}

static void what_is_prefetched_after_a_barrier_waits_for_it(void **state)
{
	char *here = nodes_pages(4), *remote = nodes_there(1, here);

	(void)state;
	memset(here, 1, 4 * PAGE);
	assert_int_equal(dsm_prefetch(node[1], remote, 2 * PAGE, DSM_PREFETCH_AFTER_BARRIER), 0);
	assert_int_equal(dsm_prefetch(node[1], remote + 3 * PAGE, PAGE,
				      DSM_PREFETCH_AFTER_BARRIER | DSM_PREFETCH_FOR_WRITE),
			 0);
	assert_int_equal(state_of(1, remote), DSM_STATE_INVALID);
	assert_int_equal(dsm_barrier_wait(node[1], 71, 1, DSM_FOREVER), 0);
	UNTIL(state_of(1, remote + PAGE) == DSM_STATE_SHARED);
	UNTIL(state_of(1, remote + 3 * PAGE) == DSM_STATE_MODIFIED);
	assert_int_equal(state_of(1, remote + 2 * PAGE), DSM_STATE_INVALID);
	/* Once, and so many. */
	remote[0] = 2;
	here[0] = 3;
	assert_int_equal(dsm_barrier_wait(node[1], 71, 1, DSM_FOREVER), 0);
	assert_int_equal(state_of(1, remote), DSM_STATE_INVALID);
	for (int i = 0; i < 16; i++)
		assert_int_equal(dsm_prefetch(node[1], remote, 1, DSM_PREFETCH_AFTER_BARRIER), 0);
	assert_int_equal(dsm_prefetch(node[1], remote, 1, DSM_PREFETCH_AFTER_BARRIER), -ENOSPC);
	assert_int_equal(dsm_barrier_wait(node[1], 71, 1, DSM_FOREVER), 0);
	assert_int_equal(dsm_release(node[0], here), 0);
}

/* --- locks --- */

#define ADDS 300

struct adder {
	pthread_t thread;
	int node;
	volatile uint64_t *count;
	_Atomic(const char *) in; /* what it is doing */
	atomic_int done;
};

static void *add_under_lock(void *arg)
{
	struct adder *a = arg;

	for (int i = 0; i < ADDS; i++) {
		atomic_store(&a->in, "lock");
		if (dsm_ctx_lock(node[a->node], 77))
			return a;
		atomic_store(&a->in, "add");
		*a->count = *a->count + 1;
		atomic_store(&a->in, "unlock");
		if (dsm_ctx_unlock(node[a->node], 77))
			return a;
		atomic_fetch_add(&a->done, 1);
	}
	return NULL;
}

/* All of them end; where one does not, what each is at says more than that. */
static void end_adders(struct adder *a, int n)
{
	struct timespec until;
	void *failed;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 3 * DEADLINE_MS / 1000;
	for (int i = 0; i < n; i++) {
		if (pthread_timedjoin_np(a[i].thread, &failed, &until)) {
			for (int k = 0; k < n; k++)
				print_error("node %d: %d adds, now at %s\n", a[k].node,
					    atomic_load(&a[k].done), atomic_load(&a[k].in));
			fail_msg("thread %d does not end", i);
		}
		assert_null(failed);
	}
}

static void a_lock_excludes_threads_and_nodes(void **state)
{
	uint64_t *here = nodes_pages(1);
	struct adder a[4] = { 0 };

	(void)state;
	for (int i = 0; i < 4; i++) {
		a[i].node = i % 2;
		a[i].count = i % 2 ? nodes_there(1, here) : here;
		assert_int_equal(pthread_create(&a[i].thread, NULL, add_under_lock, &a[i]), 0);
	}
	end_adders(a, 4);
	assert_int_equal(*here, 4 * ADDS);
	assert_int_equal(dsm_release(node[0], here), 0);
}

/* Twice: the second time, the thread is known to the agent and could do it by itself. */
static atomic_int have_one;

/* On each node one takes a lock of its own, and then wants the other's. */
static void *take_both(void *arg)
{
	int me = arg != NULL, err = dsm_ctx_lock(node[me], 60u + (unsigned int)me);

	if (err)
		return (void *)(intptr_t)err;
	atomic_fetch_add(&have_one, 1);
	UNTIL(atomic_load(&have_one) == 2);
	err = dsm_ctx_lock(node[me], 61u - (unsigned int)me);
	if (!err)
		(void)dsm_ctx_unlock(node[me], 61u - (unsigned int)me);
	(void)dsm_ctx_unlock(node[me], 60u + (unsigned int)me);
	return (void *)(intptr_t)err;
}

static void of_two_who_wait_for_each_other_one_is_told(void **state)
{
	pthread_t t[2];
	void *err[2];

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, take_both, i ? &t[i] : NULL), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], &err[i]);
	assert_int_equal((intptr_t)err[0] + (intptr_t)err[1], -EDEADLK);
	assert_true(!err[0] || !err[1]);
}

static void *unlock_foreign(void *arg)
{
	int first = dsm_ctx_unlock(arg, 5);

	return (void *)(intptr_t)(first == -EPERM ? dsm_ctx_unlock(arg, 5) : first);
}

static void locks_belong_to_their_thread(void **state)
{
	pthread_t t;
	void *ret;

	(void)state;
	assert_int_equal(dsm_ctx_unlock(node[0], 5), -EPERM);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(dsm_ctx_lock(node[0], 5), 0);
		assert_int_equal(dsm_ctx_lock(node[0], 5), -EDEADLK);
		pthread_create(&t, NULL, unlock_foreign, node[0]);
		pthread_join(t, &ret);
		assert_int_equal((intptr_t)ret, -EPERM);
		assert_int_equal(dsm_ctx_trylock(node[1], 5), -EBUSY);
		assert_int_equal(dsm_ctx_timedlock(node[1], 5, 20000), -ETIMEDOUT);
		assert_int_equal(dsm_ctx_unlock(node[0], 5), 0);
		assert_int_equal(dsm_ctx_unlock(node[0], 5), -EPERM);
		assert_int_equal(dsm_ctx_trylock(node[1], 5), 0);
		assert_int_equal(dsm_ctx_unlock(node[1], 5), 0);
	}
}

static void *lock_and_die(void *arg)
{
	return (void *)(intptr_t)dsm_ctx_lock(arg, 6);
}

static void a_thread_that_ends_hands_its_lock_on(void **state)
{
	pthread_t t;
	void *ret;

	(void)state;
	pthread_create(&t, NULL, lock_and_die, node[0]);
	pthread_join(t, &ret);
	assert_int_equal((intptr_t)ret, 0);
	assert_int_equal(dsm_ctx_lock(node[1], 6), DSM_OWNER_DEAD);
	assert_int_equal(dsm_ctx_unlock(node[1], 6), 0);
	assert_int_equal(dsm_ctx_lock(node[0], 6), 0);
	assert_int_equal(dsm_ctx_unlock(node[0], 6), 0);
}

static void readers_share_and_writers_do_not(void **state)
{
	(void)state;
	assert_int_equal(dsm_rdlock(node[0], 9, DSM_FOREVER), 0);
	assert_int_equal(dsm_rdlock(node[1], 9, SECOND_US), 0);
	assert_int_equal(dsm_rdunlock(node[0], 9), 0);
	assert_int_equal(dsm_wrlock(node[0], 9, 0), -EBUSY);
	assert_int_equal(dsm_wrlock(node[0], 9, 20000), -ETIMEDOUT);
	assert_int_equal(dsm_rdunlock(node[1], 9), 0);
	assert_int_equal(dsm_wrlock(node[0], 9, SECOND_US), 0);
	assert_int_equal(dsm_rdlock(node[1], 9, 0), -EBUSY);
	assert_int_equal(dsm_wrunlock(node[0], 9), 0);
	assert_int_equal(dsm_wrunlock(node[0], 9), -EPERM);
	/* To try is to ask the master, and to wait for its answer. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(dsm_wrlock(node[i], 9, 0), 0);
		assert_int_equal(dsm_wrunlock(node[i], 9), 0);
	}
}

/* --- waiting --- */

static void *enter(void *arg)
{
	return (void *)(intptr_t)dsm_barrier_wait(arg, 3, 2, 5 * SECOND_US);
}

static void a_barrier_waits_for_its_count(void **state)
{
	pthread_t t;
	void *ret;

	(void)state;
	assert_int_equal(dsm_barrier_wait(node[0], 3, 2, 20000), -ETIMEDOUT);
	for (int i = 0; i < 20; i++) {
		pthread_create(&t, NULL, enter, node[1]);
		assert_int_equal(dsm_barrier_wait(node[0], 3, 2, 5 * SECOND_US), 0);
		pthread_join(t, &ret);
		assert_int_equal((intptr_t)ret, 0);
	}
}

struct waiter {
	pthread_t thread;
	dsm_t *ctx;
	_Atomic uint32_t *word;
	atomic_bool waits;
};

static void *wait_for_one(void *arg)
{
	struct waiter *w = arg;

	while (!atomic_load(w->word)) {
		int err;

		atomic_store(&w->waits, true);
		err = dsm_wait(w->ctx, (const void *)w->word, 0, 5 * SECOND_US);
		if (err)
			return (void *)(intptr_t)err;
	}
	return NULL;
}

static void wait_for_store(int waits_at, int stores_at)
{
	uint32_t *here = nodes_pages(1);
	struct waiter w = { .ctx = node[waits_at] };
	_Atomic uint32_t *store = (_Atomic uint32_t *)(stores_at ? nodes_there(1, here) : here);
	uint64_t start = test_now_ms();
	void *ret;

	w.word = (_Atomic uint32_t *)(waits_at ? nodes_there(1, here) : here);
	pthread_create(&w.thread, NULL, wait_for_one, &w);
	UNTIL(atomic_load(&w.waits));
	poll(NULL, 0, 20);
	atomic_store(store, 1);
	if (waits_at == stores_at)
		assert_true(dsm_wake(node[stores_at], (const void *)store) >= 0);
	pthread_join(w.thread, &ret);
	assert_null(ret);
	assert_true(test_now_ms() - start < 4000);
	assert_int_equal(dsm_release(node[0], here), 0);
}

static void a_store_elsewhere_ends_a_wait(void **state)
{
	(void)state;
	wait_for_store(1, 0);
	wait_for_store(0, 1);
}

static void a_wake_here_ends_a_wait(void **state)
{
	(void)state;
	wait_for_store(0, 0);
	wait_for_store(1, 1);
}

static void a_wait_times_out_or_does_not_begin(void **state)
{
	uint32_t *here = nodes_pages(1);

	(void)state;
	*here = 4;
	assert_int_equal(dsm_wait(node[0], here, 3, DSM_FOREVER), 0);
	assert_int_equal(dsm_wait(node[0], here, 4, 20000), -ETIMEDOUT);
	assert_int_equal(dsm_wait(node[0], (char *)here + 1, 4, 0), -EINVAL);
	assert_int_equal(dsm_wait(node[0], &port, 4, 0), -EINVAL);
	assert_int_equal(dsm_release(node[0], here), 0);
}

/* --- regions --- */

static void regions_have_names(void **state)
{
	dsm_region_t *a, *b, *again;
	const char *too_long = "0123456789012345678901234567890123456789";

	(void)state;
	assert_int_equal(dsm_region_open(node[0], "field", &a), -ENOENT);
	assert_int_equal(dsm_region_create(node[0], too_long, PAGE, &a), -EINVAL);
	assert_int_equal(dsm_region_create(node[0], "field", 0, &a), -EINVAL);
	assert_int_equal(dsm_region_create(node[0], "field", 10 * PAGE + 1, &a), 0);
	assert_int_equal(dsm_region_create(node[1], "field", PAGE, &b), -EEXIST);
	assert_int_equal(dsm_region_open(node[1], "field", &b), 0);
	assert_int_equal(dsm_region_open(node[1], "field", &again), 0);
	assert_ptr_equal(b, again);
	assert_int_equal(dsm_region_size(b), 11 * PAGE);
	assert_string_equal(dsm_region_name(b), "field");
	*(uint64_t *)dsm_region_base(a) = 9;
	assert_int_equal(*(uint64_t *)dsm_region_base(b), 9);
	dsm_region_close(again);
	assert_int_equal(*(uint64_t *)dsm_region_base(b), 9);
	dsm_region_close(b);
	dsm_region_close(a);
	assert_int_equal(dsm_region_delete(node[1], "field"), 0);
	assert_int_equal(dsm_region_delete(node[0], "field"), -ENOENT);
	assert_int_equal(dsm_region_delete(node[0], "default"), -EBUSY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_programs_are_two_nodes),
		cmocka_unit_test(stores_are_seen_at_the_other_node),
		cmocka_unit_test(bad_memory_requests_are_refused),
		cmocka_unit_test(page_info_tells_who_has_it),
		cmocka_unit_test(prefetched_pages_come_by_themselves),
		cmocka_unit_test(what_is_prefetched_after_a_barrier_waits_for_it),
		cmocka_unit_test(a_lock_excludes_threads_and_nodes),
		cmocka_unit_test(locks_belong_to_their_thread),
		cmocka_unit_test(of_two_who_wait_for_each_other_one_is_told),
		cmocka_unit_test(a_thread_that_ends_hands_its_lock_on),
		cmocka_unit_test(readers_share_and_writers_do_not),
		cmocka_unit_test(a_barrier_waits_for_its_count),
		cmocka_unit_test(a_store_elsewhere_ends_a_wait),
		cmocka_unit_test(a_wake_here_ends_a_wait),
		cmocka_unit_test(a_wait_times_out_or_does_not_begin),
		cmocka_unit_test(regions_have_names),
	};

	setenv("DSM_LOG", "error", 1);
	return cmocka_run_group_tests(tests, nodes_setup, nodes_teardown);
}
