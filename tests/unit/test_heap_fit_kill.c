// SPDX-License-Identifier: MIT
/*
 * Processes that allocate into words and free from them by first, best and worst fit, and
 * are killed at any moment, some of them in the midst of cleaning up after another. Over shared
 * memory, and a tenth as often over a region of a node.
 *
 *	test_heap_fit_kill [KILLS]
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dsm/heap_report.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/heap/fit.h"
#include "lib/segment/layout.h"
#include "tests/unit/lib_nodes.h"
#include "tests/unit/segment_rig.h"

#define WORKERS	   3
#define WORDS	   64
#define PATIENT_MS (2 * DEADLINE_MS)

/* What a worker has; the next one in its place goes on with it. */
struct mine {
	uint64_t word[WORDS];	/* offsets of blocks */
	_Atomic uint64_t done;	/* operations */
	_Atomic uint64_t wrong; /* blocks that held somebody else's stamp, and errors */
};

static int kills = 300, now_kills;
static bool cluster;
static dsm_segment_t *seg;
static dsm_heap_t *heap;
static struct mine *all;

static uint64_t next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* Now and then a half-done place is where it ends. */
static void die_here(const char *where)
{
	static uint64_t x;

	(void)where;
	if (!x)
		x = (uint64_t)getpid() * 0x9e3779b97f4a7c15ull;
	if (next(&x) % 4000 == 0)
		(void)raise(SIGKILL);
}

/* Every block begins with the place of the word that names it. */
static void stamp(const uint64_t *word)
{
	*(uint64_t *)dsm_heap_ptr(heap, *word) = seg_off(seg, word);
}

static void one_operation(struct mine *m, uint64_t *x)
{
	uint64_t *word = &m->word[next(x) % WORDS], grown;
	uint64_t size = 8ull << (next(x) % 12);
	int err;

	if (!*word) {
		err = dsm_heap_alloc_to(heap, size + next(x) % size, word);
		if (!err)
			stamp(word);
		else if (err != -ENOMEM)
			atomic_fetch_add(&m->wrong, 1);
	} else if (next(x) % 4 == 0) {
		/* Where it moves the word follows late: only in place. */
		err = fit_resize(heap->own, *word, size);
		if (err && err != -ENOSPC)
			atomic_fetch_add(&m->wrong, 1);
	} else {
		memcpy(&grown, dsm_heap_ptr(heap, *word), 8);
		if (grown != seg_off(seg, word) || dsm_heap_free_from(heap, word))
			atomic_fetch_add(&m->wrong, 1);
	}
	atomic_fetch_add(&m->done, 1);
}

static uint64_t now_ms(void)
{
	return seg_now_ns() / 1000000;
}

static bool has_slot(pid_t pid)
{
	for (uint32_t i = 0; i < SEG_SLOTS - 1 && i < atomic_load(&seg->header->slots_high); i++)
		if (atomic_load(&seg->slots[i].state) == SLOT_USED &&
		    seg->slots[i].pid == (uint32_t)pid)
			return true;
	return false;
}

/*
 * Until a dead one was cleaned up after, its words are not the next one's. At times that is
 * left to the others, who are killed themselves.
 */
static void see_off(pid_t pid, uint64_t *x)
{
	uint64_t end = now_ms() + PATIENT_MS, others = now_ms() + next(x) % 3 * 20;

	while (has_slot(pid) && now_ms() < end) {
		if (now_ms() >= others)
			(void)dsm_segment_recover(seg);
		else
			(void)poll(NULL, 0, 1);
	}
	assert_false(has_slot(pid));
}

static pid_t start(int k, uint64_t seed)
{
	uint64_t x = seed * 2654435769u + 88172645463325252u;
	pid_t pid = fork();

	if (pid)
		return pid;
	/* Who was here before may have been killed between a block and its stamp. */
	for (int i = 0; i < WORDS; i++)
		if (all[k].word[i])
			stamp(&all[k].word[i]);
	seg_crash_hook = die_here;
	for (;;)
		one_operation(&all[k], &x);
}

/* Kill one, or find one dead, and put another in its place. */
static void replace(pid_t *workers, uint64_t *x, int i)
{
	struct timespec t = { .tv_nsec = (long)(next(x) % 1500000) };
	int k = (int)(next(x) % WORKERS), status;

	(void)ppoll(NULL, 0, &t, NULL);
	assert_int_equal(kill(workers[k], SIGKILL), 0);
	assert_int_equal(waitpid(workers[k], &status, 0), workers[k]);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	see_off(workers[k], x);
	workers[k] = start(k, (uint64_t)(WORKERS + i));
}

/* All go on: nobody waits for a dead one. Who dies by itself is replaced. */
static void all_go_on(pid_t *workers, uint64_t *x)
{
	uint64_t end = now_ms() + PATIENT_MS, before[WORKERS], left = WORKERS;
	int status;

	for (int k = 0; k < WORKERS; k++)
		before[k] = atomic_load(&all[k].done);
	while (left && now_ms() < end) {
		left = 0;
		for (int k = 0; k < WORKERS; k++) {
			left += atomic_load(&all[k].done) < before[k] + 1000;
			if (waitpid(workers[k], &status, WNOHANG) != workers[k])
				continue;
			see_off(workers[k], x);
			workers[k] = start(k, now_ms());
		}
		(void)poll(NULL, 0, 1);
	}
	assert_int_equal(left, 0);
}

static int fault_print(void *context, uint64_t off, const char *what)
{
	(void)context;
	print_error("%#lx: %s\n", (unsigned long)off, what);
	return 0;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Every word names a block of its own, every block but the table has a word. */
static void nothing_is_lost_or_given_twice(void)
{
	uint64_t offs[WORKERS * WORDS];
	struct dsm_heap_report r;
	size_t n = 0;

	assert_int_equal(dsm_heap_validate(heap, fault_print, NULL), 0);
	for (int k = 0; k < WORKERS; k++) {
		assert_int_equal(atomic_load(&all[k].wrong), 0);
		for (int i = 0; i < WORDS; i++)
			if (all[k].word[i])
				offs[n++] = all[k].word[i];
	}
	qsort(offs, n, sizeof(offs[0]), compare);
	for (size_t i = 0; i < n; i++) {
		assert_int_not_equal(dsm_heap_usable_size(heap, offs[i]), 0);
		assert_true(!i || offs[i] != offs[i - 1]);
	}
	assert_int_equal(dsm_heap_report(heap, &r), 0);
	assert_int_equal(r.used, n + 1);
	for (int k = 0; k < WORKERS; k++)
		for (int i = 0; i < WORDS; i++)
			assert_int_equal(dsm_heap_free_from(heap, &all[k].word[i]), 0);
	assert_int_equal(dsm_heap_report(heap, &r), 0);
	assert_int_equal(r.used, 1);
	assert_int_equal(dsm_heap_validate(heap, fault_print, NULL), 0);
}

static void make_segment(void)
{
	struct dsm_segment_options o = { .size = 1u << 20, .max_size = 16u << 20, .ctx = node[0] };

	if (!cluster)
		seg = rig_segment(rig_uri("fit-kill"), 1u << 20);
	else if (dsm_segment_create("dsm:fit-kill", &o, &seg))
		fail_msg("%s", dsm_last_error());
}

static void survives(uint32_t strategy)
{
	struct dsm_heap_options o = { .strategy = strategy };
	uint64_t x = 88172645463325252u + strategy;
	pid_t workers[WORKERS];
	uint64_t table;

	make_segment();
	assert_int_equal(dsm_heap_create(seg, &o, &heap), 0);
	table = dsm_heap_calloc(heap, WORKERS, sizeof(*all));
	assert_int_not_equal(table, 0);
	all = dsm_heap_ptr(heap, table);
	for (int k = 0; k < WORKERS; k++)
		workers[k] = start(k, (uint64_t)k);
	for (int i = 0; i < now_kills / 3; i++)
		replace(workers, &x, i);
	all_go_on(workers, &x);
	for (int k = 0; k < WORKERS; k++) {
		assert_int_equal(kill(workers[k], SIGKILL), 0);
		assert_int_equal(waitpid(workers[k], NULL, 0), workers[k]);
	}
	assert_true(dsm_segment_recover(seg) >= 0);
	nothing_is_lost_or_given_twice();
	print_message("%lu heaps rebuilt\n",
		      (unsigned long)atomic_load(&((struct fit *)heap->own)->ctl->rebuilt));
	/* A test in which nobody was killed at work shows nothing. */
	if (now_kills >= 300)
		assert_int_not_equal(atomic_load(&((struct fit *)heap->own)->ctl->rebuilt), 0);
	dsm_heap_close(heap);
	dsm_segment_close(seg);
	assert_int_equal(cluster ? dsm_segment_unlink("dsm:fit-kill", node[0])
				 : dsm_segment_unlink(rig_uri("fit-kill"), NULL),
			 0);
}

static void kills_leave_first_fit_whole(void **state)
{
	(void)state;
	survives(DSM_HEAP_FIRST_FIT);
}

static void kills_leave_best_fit_whole(void **state)
{
	(void)state;
	survives(DSM_HEAP_BEST_FIT);
}

static void kills_leave_worst_fit_whole(void **state)
{
	(void)state;
	survives(DSM_HEAP_WORST_FIT);
}

static int on_a_host(void **state)
{
	(void)state;
	now_kills = kills;
	return 0;
}

static int on_a_node(void **state)
{
	now_kills = kills / 10;
	cluster = true;
	return nodes_setup_one(state);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kills_leave_first_fit_whole),
		cmocka_unit_test(kills_leave_best_fit_whole),
		cmocka_unit_test(kills_leave_worst_fit_whole),
	};
	int failed;

	if (argc > 1)
		kills = atoi(argv[1]);
	failed = cmocka_run_group_tests(tests, on_a_host, NULL);
	return failed + cmocka_run_group_tests(tests, on_a_node, nodes_teardown);
}
