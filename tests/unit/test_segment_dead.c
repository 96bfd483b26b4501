// SPDX-License-Identifier: MIT
/*
 * What the dead have is found by those who need it, also where nobody waits for a lock of
 * theirs: their slots by whoever comes, their memory by whoever is in want of some.
 */
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
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <dsm/map.h>

#include "lib/heap/heap.h"
#include "tests/unit/segment_rig.h"

#define LIVING	 8
#define CROWD	 24
#define MAX_SIZE (4u << 20)

static dsm_segment_t *seg;
static dsm_heap_t *heap;

static int setup(void **state)
{
	struct dsm_segment_options o = { .size = 1u << 20, .max_size = MAX_SIZE };

	(void)state;
	(void)dsm_segment_unlink(rig_uri("dead"), NULL);
	if (dsm_segment_create(rig_uri("dead"), &o, &seg))
		fail_msg("%s", dsm_last_error());
	return dsm_heap_create(seg, NULL, &heap) || !seg_self(seg);
}

static int teardown(void **state)
{
	(void)state;
	dsm_segment_close(seg);
	return dsm_segment_unlink(rig_uri("dead"), NULL);
}

/* ------------------------------------------------------------ who is killed */

/* A child that has done what @does and waits for its end. */
static pid_t begin(void (*does)(void))
{
	int pipes[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	if (!pid) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when a test fails */
		does();
		(void)!write(pipes[1], "", 1);
		for (;;)
			(void)pause();
	}
	close(pipes[1]);
	assert_int_equal(read(pipes[0], &c, 1), 1);
	close(pipes[0]);
	return pid;
}

static void end(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static uint32_t participants(void)
{
	struct dsm_segment_info info;

	assert_int_equal(dsm_segment_info(seg, &info), 0);
	return info.participants;
}

static void come(void)
{
	if (!seg_self(seg))
		_exit(1);
}

/* All grains that it gets, for nothing. */
static void take_all(void)
{
	uint64_t off;

	while (!seg_grains_alloc(seg, 1, &off, NULL))
		;
}

/* Blocks that are given back leave spans at who had them. */
static void keep_spans(void)
{
	uint64_t off[64];
	size_t n = 0;

	for (size_t size = 16; size < 30000; size += size / 4, n++) {
		off[n] = dsm_heap_alloc(heap, size);
		if (!off[n])
			break;
	}
	while (n--)
		(void)dsm_heap_free(heap, off[n]);
}

/* ------------------------------------------------------------ tests */

/* Each looks at some slots, and the next one at others, though neither knows of the other. */
static void the_dead_do_not_pile_up(void **state)
{
	pid_t crowd[LIVING + CROWD];

	(void)state;
	for (int i = 0; i < LIVING + CROWD; i++)
		crowd[i] = begin(come);
	for (int i = LIVING; i < LIVING + CROWD; i++)
		end(crowd[i]);
	assert_int_equal(participants(), 1 + LIVING + CROWD);
	for (int i = 0; i < CROWD; i++)
		end(begin(come));
	/* This process, the living, the last that came, and a few that none has looked at since. */
	assert_in_range(participants(), 1 + LIVING, 1 + LIVING + CROWD / 3);
	for (int i = 0; i < LIVING; i++)
		end(crowd[i]);
}

static void grains_of_the_dead_are_found(void **state)
{
	uint64_t off;

	(void)state;
	end(begin(take_all));
	assert_int_equal(seg_grains_alloc(seg, MAX_SIZE / SEG_GRAIN / 2, &off, NULL), 0);
	assert_int_equal(participants(), 1);
}

static void blocks_are_made_of_what_the_dead_had(void **state)
{
	(void)state;
	end(begin(take_all));
	assert_int_not_equal(dsm_heap_alloc(heap, 100), 0);
	end(begin(take_all));
	assert_int_not_equal(dsm_heap_alloc(heap, MAX_SIZE / 2), 0);
}

/* As many as are not all there at once. */
static void empty_spans_of_the_dead_are_found(void **state)
{
	(void)state;
	for (int i = 0; i < CROWD; i++)
		end(begin(keep_spans));
	assert_int_not_equal(dsm_heap_alloc(heap, MAX_SIZE * 3 / 4), 0);
}

static void a_map_grows_into_what_the_dead_had(void **state)
{
	dsm_map_t *map;
	char key[16];
	int err = 0;

	(void)state;
	assert_int_equal(dsm_map_create(seg, "map", NULL, &map), 0);
	for (int i = 0; i < 20000 && !err; i++) {
		int n = snprintf(key, sizeof(key), "%d", i);

		if (i % 1000 == 999)
			end(begin(take_all));
		err = dsm_map_set(map, key, (size_t)n, "", 0, NULL);
	}
	assert_int_equal(err, 0);
	assert_int_equal(dsm_map_validate(map), 0);
	dsm_map_close(map);
}

/* Nobody is dead: then it is said, and why. */
static void what_is_full_is_full(void **state)
{
	uint64_t off;
	pid_t alive = begin(take_all);

	(void)state;
	assert_int_equal(seg_grains_alloc(seg, 1, &off, NULL), -ENOSPC);
	assert_int_equal(dsm_heap_alloc(heap, 100), 0);
	assert_non_null(strstr(dsm_last_error(), "the heap is full"));
	assert_non_null(strstr(dsm_last_error(), "it may grow to"));
	end(alive);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_dead_do_not_pile_up),
		TEST(grains_of_the_dead_are_found),
		TEST(blocks_are_made_of_what_the_dead_had),
		TEST(empty_spans_of_the_dead_are_found),
		TEST(a_map_grows_into_what_the_dead_had),
		TEST(what_is_full_is_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
