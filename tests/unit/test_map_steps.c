// SPDX-License-Identifier: MIT
/*
 * One operation on a map, killed after each of its instructions in turn: the child is
 * stepped by its parent, which reads beside it as long as it is stopped, then kills it, cleans
 * up after it and looks at what is left.
 *
 *	test_map_steps [MOST]	kills for each operation, spread evenly (ten times as many for those
 *				whose moment is short); 0: at every instruction
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
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <dsm/heap_report.h>

#include "lib/map/table.h"
#include "tests/unit/map_rig.h"
#include "tests/unit/segment_rig.h"

#define STEPS_MAX 200000
#define FILL	  600 /* entries beside the one that is changed */

static long most = 25;
static char uri[128];
static dsm_segment_t *seg;
static dsm_map_t *map;
static int filled;

/* One operation: what is there before, what is done, and what may be there after a kill. */
struct operation {
	const char *name;
	void (*before)(void);
	int (*run)(void);
	const char *old, *new; /* NULL: absent */
	bool first;	       /* the child has not used a map before */
	bool close;	       /* what matters takes a few instructions only */
};

/* Long enough to be torn. */
#define LONG_OLD "old: a value of so many bytes that no processor copies them at one stroke, ever"
#define LONG_NEW "new, and as long: what of it is there must be all, or must not be seen, whoever"
static_assert(sizeof(LONG_OLD) == sizeof(LONG_NEW), "takes as many words");

static uint64_t table_now(void)
{
	return atomic_load(&map->header->table);
}

static bool growing(void)
{
	return atomic_load(&table_head(map, table_now())->next);
}

static void nothing_there(void)
{
}

static void one_there(void)
{
	assert_int_equal(put(map, "key", "old"), 0);
}

static void long_there(void)
{
	assert_int_equal(put(map, "key", LONG_OLD), 0);
}

static struct map_stripe *its_stripe(void)
{
	return map_stripe(map, map_stripe_of(map_hash(map, "key", 3)));
}

/* Values are not overwritten in their place, but replaced. */
static void calm_there(void)
{
	one_there();
	atomic_store(&its_stripe()->calm, 1000);
}

static int set_it(void)
{
	return put(map, "key", "new");
}

/* It makes the entry before it knows whether one is there. */
static int add_it(void)
{
	return dsm_map_add(map, "key", 3, "new", 3, 0, NULL);
}

static int set_long(void)
{
	return put(map, "key", LONG_NEW);
}

static int cas_long(void)
{
	return dsm_map_cas(map, "key", 3, version_of(map, "key"), LONG_NEW, strlen(LONG_NEW), NULL);
}

static int delete_it(void)
{
	return dsm_map_delete(map, "key", 3);
}

/* Its stripe sets aside what it retired, and frees it. */
static int set_often(void)
{
	for (int i = 0; i < 12; i++)
		if (put(map, "key", "new"))
			return 1;
	return 0;
}

/* Nearly as much as its stripe sets aside. */
static void much_retired(void)
{
	calm_there();
	while (atomic_load(&its_stripe()->fresh_count) < 4)
		assert_int_equal(put(map, "key", "old"), 0);
}

static void many_there(void)
{
	char key[16];

	one_there();
	for (int i = 0; i < FILL; i++) {
		snprintf(key, sizeof(key), "fill%d", i);
		assert_int_equal(put(map, key, "x"), 0);
	}
	filled = FILL;
	assert_false(growing());
}

static int grow(void)
{
	return map_grow_start(map, table_now());
}

static void growth_begun(void)
{
	many_there();
	assert_int_equal(grow(), 0);
	assert_true(growing());
}

/* All stripes have moved; what is left is to replace the table. */
static void growth_all_moved(void)
{
	struct map_writer w;

	growth_begun();
	for (uint32_t i = 0; i < MAP_STRIPES; i++) {
		assert_int_equal(map_writer_begin(&w, map, seg_self(seg), i), 0);
		assert_int_equal(map_move_some(&w, UINT32_MAX), 1);
		map_writer_leave(&w);
	}
	atomic_store(&map->growth->helped, MAP_STRIPES);
}

static int finish(void)
{
	map_grow_help(map);
	return growing();
}

static const struct operation operations[] = {
	{ "set what is absent", nothing_there, set_it, NULL, "new", false, false },
	{ "overwrite", long_there, set_long, LONG_OLD, LONG_NEW, false, true },
	{ "compare and overwrite", long_there, cas_long, LONG_OLD, LONG_NEW, false, true },
	{ "replace", calm_there, set_it, "old", "new", false, false },
	{ "replace by a longer one", one_there, set_long, "old", LONG_NEW, false, false },
	{ "add, as a first change", nothing_there, add_it, NULL, "new", true, true },
	{ "delete", one_there, delete_it, "old", NULL, false, false },
	{ "retire and free", much_retired, set_often, "old", "new", false, false },
	{ "begin to grow", many_there, grow, "old", "old", false, false },
	{ "set while it grows", growth_begun, set_it, "old", "new", false, false },
	{ "finish growing", growth_all_moved, finish, "old", "old", false, false },
};

/* A thread's first call takes a slot, and a lane of the heap, which are other tests' concern. */
static bool warm(const struct operation *op)
{
	if (!op->first)
		return !put(map, "warm", "warm");
	return !dsm_heap_free(map->heap, dsm_heap_alloc(map->heap, 100));
}

static bool is(const char *value, const char *wanted)
{
	return value && wanted ? !strcmp(value, wanted) : !value && !wanted;
}

static void look_at_value(const struct operation *op, long steps)
{
	const char *value = get(map, "key");
	struct dsm_map_entry e = { 0 };
	char held[128];
	int err;

	if (!is(value, op->old) && !is(value, op->new))
		fail_msg("%s, after %ld steps: '%s'", op->name, steps, value ? value : "(absent)");
	assert_int_equal(dsm_map_read_begin(map), 0);
	err = dsm_map_find(map, "key", 3, &e);
	(void)snprintf(held, sizeof(held), "%.*s", err ? 0 : (int)e.value_size,
		       err ? "" : (const char *)e.value);
	dsm_map_read_end(map);
	if (err != (value ? 0 : -ENOENT) || (value && !is(value, held)))
		fail_msg("%s, after %ld steps: found '%s'", op->name, steps, held);
}

/*
 * Whatever the stopped one holds or has half-done, growth included: no reader waits for it.
 * One that does is ended by the alarm.
 */
static void read_beside(const struct operation *op, long steps)
{
	struct dsm_map_entry e;
	dsm_map_iter_t *it;
	int n = 0, got;

	alarm(30);
	look_at_value(op, steps);
	assert_int_equal(dsm_map_iter_begin(map, "fill", 4, &it), 0);
	while ((got = dsm_map_iter_next(it, &e)) == 1)
		n++;
	dsm_map_iter_end(it);
	assert_int_equal(got, 0);
	assert_int_equal(n, filled);
	alarm(0);
}

/* Step a child through @op, and kill it after @steps; how many it took when it ended before. */
static long step_through(const struct operation *op, long steps)
{
	pid_t pid = fork();
	long done = 0;
	int status;

	if (!pid) {
		if (!warm(op) || ptrace(PTRACE_TRACEME, 0, NULL, NULL) || raise(SIGSTOP))
			_exit(2);
		_exit(op->run());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	for (; done < steps && WIFSTOPPED(status); done++) {
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
	}
	if (!WIFSTOPPED(status)) {
		assert_int_equal(status, 0);
		return done;
	}
	read_beside(op, steps);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return done;
}

static int fault(void *context, uint64_t off, const char *what)
{
	(void)context;
	print_error("heap, %#llx: %s\n", (unsigned long long)off, what);
	return 1;
}

static void look(const struct operation *op, long steps)
{
	struct dsm_heap_report report;
	struct dsm_segment_info info;

	(void)dsm_segment_recover(seg);
	look_at_value(op, steps);
	if (dsm_map_validate(map))
		fail_msg("%s, killed after %ld steps: %s", op->name, steps, dsm_last_error());
	/* It goes on. */
	assert_int_equal(put(map, "key", "after"), 0);
	assert_int_equal(map_grow_now(map, table_now()), 0);
	assert_int_equal(map_retire_flush(map), 0);
	assert_int_equal(dsm_heap_flush(map->heap), 0);
	assert_int_equal(dsm_heap_validate(map->heap, fault, NULL), 0);
	assert_int_equal(dsm_heap_report(map->heap, &report), 0);
	if ((int64_t)report.used != dsm_map_blocks(map))
		fail_msg("%s, killed after %ld steps: %llu blocks for %lld entries", op->name,
			 steps, (unsigned long long)report.used, (long long)dsm_map_blocks(map));
	assert_int_equal(dsm_segment_info(seg, &info), 0);
	assert_int_equal(info.participants, 1);
}

static void one_round(const struct operation *op, long steps, long *ret_took, uint64_t *ret_left)
{
	struct dsm_segment_info info;

	seg = rig_segment(uri, 4u << 20);
	assert_int_equal(dsm_map_create(seg, "m", NULL, &map), 0);
	filled = 0;
	op->before();
	*ret_took = step_through(op, steps);
	look(op, steps);
	dsm_map_close(map);
	assert_int_equal(dsm_map_remove(seg, "m"), 0);
	assert_int_equal(dsm_segment_info(seg, &info), 0);
	*ret_left = info.size - info.free_bytes;
	dsm_segment_close(seg);
	assert_int_equal(dsm_segment_unlink(uri, NULL), 0);
}

static void a_kill_at_any_instruction_leaves_it_whole(void **state)
{
	(void)state;
	strcpy(uri, rig_uri("steps"));
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
		uint64_t left, left_now;
		long all, took, stride, kills;

		one_round(&operations[i], STEPS_MAX, &all, &left);
		assert_true(all < STEPS_MAX);
		kills = operations[i].close ? 10 * most : most;
		stride = kills > 0 && all > kills ? all / kills : 1;
		for (long steps = 1; steps < all; steps += stride) {
			one_round(&operations[i], steps, &took, &left_now);
			/* A dead one's span may be somebody's still; a table may not. */
			assert_true(left_now <= left + 2 * SEG_GRAIN);
		}
		print_message("%-20s killed %ld times in %ld steps\n", operations[i].name,
			      (all - 1) / stride, all);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_kill_at_any_instruction_leaves_it_whole),
	};

	if (argc > 1)
		most = atol(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
