// SPDX-License-Identifier: MIT
/*
 * Processes that allocate and free each other's blocks and are killed, some at any moment, some
 * just where something is half-done. Afterwards the blocks given out are exactly those that
 * are named, each once.
 *
 *	test_heap_kill [KILLS [SEED [host]]]	without a cluster
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
#include <time.h>
#include <unistd.h>

#include "lib/segment/segment.h"
#include "tests/unit/heap_rig.h"
#include "tests/unit/lib_nodes.h"

#define WORKERS 3
#define NAMES	1024u
#define LOCKS	64u
#define POINTS	64

/* Where processes name their blocks; name i is guarded by lock i % LOCKS. */
struct names {
	struct seg_lock lock[LOCKS];
	uint64_t block[NAMES];
	_Atomic uint64_t marked[NAMES]; /* the block that carries name i's mark, 0: none does */
	_Atomic uint64_t torn;		/* blocks that did not carry their mark */
	uint64_t torn_block, torn_mark, torn_size; /* the last of these */
	_Atomic uint64_t done;			   /* operations */
	_Atomic uint64_t refused; /* operations that failed for another reason than a full heap */
	/* Half-done places where somebody was killed. */
	_Atomic uint64_t points;
	char point[POINTS][64];
};

static int kills = 400;
static uint64_t seed = 1;
static dsm_heap_t *heap;
static struct names *names;
static uint64_t dice; /* at half-done places */

static uint64_t *word_of(size_t i)
{
	return &names->block[i];
}

static uint64_t mark_of(size_t i, uint64_t off)
{
	return off * 2654435761u ^ i;
}

static void take(size_t i, uint64_t size)
{
	int err = dsm_heap_alloc_to(heap, size, word_of(i));
	uint64_t *p;

	if (err) {
		if (err != -ENOMEM)
			atomic_fetch_add(&names->refused, 1);
		return;
	}
	p = dsm_heap_ptr(heap, *word_of(i));
	p[size >= 32 ? size / 8 - 1 : 0] = p[0] = mark_of(i, *word_of(i));
	atomic_signal_fence(memory_order_seq_cst);
	p[1] = size;
	atomic_signal_fence(memory_order_seq_cst);
	atomic_store(&names->marked[i], *word_of(i));
}

static void give(size_t i)
{
	uint64_t off = *word_of(i), *p = dsm_heap_ptr(heap, off);

	if (atomic_load(&names->marked[i]) == off &&
	    (p[0] != mark_of(i, off) || (p[1] >= 32 && p[p[1] / 8 - 1] != p[0]))) {
		names->torn_block = off;
		names->torn_mark = p[0];
		names->torn_size = p[1];
		atomic_fetch_add(&names->torn, 1);
	}
	atomic_store(&names->marked[i], 0);
	if (dsm_heap_free_from(heap, word_of(i)))
		atomic_fetch_add(&names->refused, 1);
}

static void step(uint64_t *x)
{
	size_t i = rig_next(x) % NAMES;
	uint64_t size = rig_next(x) % 64 ? rig_pick(x) : 4096 + rig_next(x) % 200000;
	struct seg_lock *lock = &names->lock[i % LOCKS];

	if (seg_lock(dsm_heap_segment(heap), lock, SEG_LAYER_TOP))
		_exit(1);
	if (*word_of(i))
		give(i);
	else
		take(i, size);
	atomic_fetch_add(&names->done, 1);
	seg_unlock(dsm_heap_segment(heap), lock);
}

/* seg_crash_hook: now and then it ends here. */
static void perhaps_die(const char *where)
{
	if (rig_next(&dice) % 300)
		return;
	for (uint64_t i = 0; i < POINTS; i++) {
		if (!names->point[i][0]) {
			(void)snprintf(names->point[i], sizeof(names->point[i]), "%s", where);
			break;
		}
		if (!strncmp(names->point[i], where, sizeof(names->point[i]) - 1))
			break;
	}
	(void)raise(SIGKILL);
}

static pid_t start(uint64_t number)
{
	uint64_t x = (seed + number) * 0x9e3779b97f4a7c15ull | 1;
	pid_t pid = fork();

	if (pid)
		return pid;
	heap = rig_heap[number % 2];
	names = dsm_heap_ptr(heap, dsm_heap_offset(rig_heap[0], names));
	dice = x ^ 12345;
	seg_crash_hook = perhaps_die;
	for (;;)
		step(&x);
}

static void kill_one(pid_t *pid, uint64_t *x, uint64_t number, uint64_t most_ns)
{
	struct timespec t = { .tv_nsec = (long)(rig_next(x) % most_ns) };
	int status;

	(void)ppoll(NULL, 0, &t, NULL);
	(void)kill(*pid, SIGKILL);
	assert_int_equal(waitpid(*pid, &status, 0), *pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	*pid = start(number);
}

static void check_all(void)
{
	uint64_t off[NAMES];

	(void)dsm_segment_recover(rig_seg[0]);
	assert_int_equal(dsm_heap_flush(rig_heap[0]), 0);
	assert_int_equal(dsm_heap_flush(rig_heap[1]), 0);
	rig_whole(rig_heap[0]);
	memcpy(off, names->block, sizeof(off));
	assert_int_equal(rig_used_are(rig_heap[0], off, NAMES), 0);
	if (atomic_load(&names->torn))
		fail_msg("%llu blocks were overwritten (%llu frees refused), the last at %#llx: "
			 "mark %#llx, size %llu",
			 (unsigned long long)atomic_load(&names->torn),
			 (unsigned long long)atomic_load(&names->refused),
			 (unsigned long long)names->torn_block,
			 (unsigned long long)names->torn_mark,
			 (unsigned long long)names->torn_size);
	assert_int_equal(atomic_load(&names->refused), 0);
}

static void nothing_is_lost_or_given_twice(void **state)
{
	bool cluster = rig_seg[0]->cluster;
	uint64_t x = seed * 88172645463325252u | 1, own = x ^ 1, before;
	int n = cluster ? kills / 10 : kills, most_ns = cluster ? 50000000 : 3000000;
	pid_t workers[WORKERS];

	(void)state;
	for (int i = 0; i < WORKERS; i++)
		workers[i] = start((uint64_t)i);
	for (int i = 0; i < n; i++) {
		kill_one(&workers[rig_next(&x) % WORKERS], &x, (uint64_t)(WORKERS + i),
			 (uint64_t)most_ns);
		/* A survivor goes on: this one. */
		before = atomic_load(&names->done);
		for (int k = 0; k < 50; k++)
			step(&own);
		assert_true(atomic_load(&names->done) >= before + 50);
	}
	for (int i = 0; i < WORKERS; i++) {
		(void)kill(workers[i], SIGKILL);
		(void)waitpid(workers[i], NULL, 0);
	}
	check_all();
	for (size_t i = 0; i < NAMES; i++)
		if (*word_of(i))
			give(i);
	check_all();
	assert_int_equal(rig_used(rig_heap[0]), 0);
	print_message("%d kills, %llu operations; killed where half-done:\n", n,
		      (unsigned long long)atomic_load(&names->done));
	for (int i = 0; i < POINTS && names->point[i][0]; i++)
		print_message("    %s\n", names->point[i]);
}

static int name_blocks(void)
{
	uint64_t off;

	heap = rig_heap[0];
	if (seg_grains_alloc(rig_seg[0], 1, &off, NULL))
		return -1;
	names = dsm_heap_ptr(heap, off);
	memset(names, 0, sizeof(*names));
	return 0;
}

static int open_host(void **state)
{
	return heap_open_host(state) || name_blocks();
}

#ifndef __SANITIZE_THREAD__ /* the memory of two nodes does not fit beside it */
static int open_cluster(void **state)
{
	return heap_open_cluster(state) || name_blocks();
}
#endif

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(nothing_is_lost_or_given_twice) };
	int failed = 0;

	if (argc > 1)
		kills = atoi(argv[1]);
	if (argc > 2)
		seed = strtoull(argv[2], NULL, 10);
#ifndef __SANITIZE_THREAD__
	/* As much as the nodes have. */
	rig_size.max_size = 16u << 20;
	if (argc < 4)
		failed += cmocka_run_group_tests_name("cluster", tests, open_cluster,
						      heap_close_cluster);
	rig_size.max_size = 64u << 20;
#endif
	return failed + cmocka_run_group_tests_name("host", tests, open_host, heap_close_host);
}
