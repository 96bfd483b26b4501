// SPDX-License-Identifier: MIT
/* Locks that are waited for in a circle: one of the waits is refused, and no other ever. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/core/state.h"
#include "tests/unit/core_rig.h"

#define PERIODS 400000 /* us, more than two looks take */

static int three(void **state)
{
	(void)state;
	rig_start(3, 16);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	rig_stop();
	return 0;
}

static void takes(unsigned int node, uint32_t client, uint32_t id)
{
	assert_int_equal(rig_ask(node, client, OP_LOCK, id, 0, 0).err, 0);
}

static void waits(unsigned int node, uint32_t client, uint32_t id)
{
	assert_int_equal(rig_ask(node, client, OP_LOCK, id, 0, 0).err, -1);
}

static void two_threads_of_a_node(void **state)
{
	(void)state;
	takes(1, 1, 10);
	takes(1, 2, 20);
	waits(1, 1, 20);
	waits(1, 2, 10); /* the youngest gives way */
	rig_pass(PERIODS);
	assert_int_equal(rig.nodes[1].reply.client, 2);
	assert_int_equal(rig.nodes[1].reply.err, EDEADLK);
	rig_ask(1, 2, OP_UNLOCK, 20, 0, 0);
	assert_int_equal(rig.nodes[1].core->lock_refused, 1);
}

static void a_circle_over_all_nodes(void **state)
{
	unsigned int replies[2];

	(void)state;
	for (unsigned int i = 0; i < 3; i++)
		takes(i, 1, i);
	replies[0] = rig.nodes[0].replies;
	replies[1] = rig.nodes[1].replies;
	for (unsigned int i = 0; i < 3; i++)
		waits(i, 1, (i + 1) % 3);
	rig_pass(PERIODS);
	assert_int_equal(rig.nodes[2].reply.err, EDEADLK); /* the highest node's */
	assert_int_equal(rig.nodes[0].replies, replies[0]);
	assert_int_equal(rig.nodes[1].replies, replies[1]);
	rig_ask(2, 1, OP_UNLOCK, 2, 0, 0);
	assert_int_equal(rig.nodes[1].replies, replies[1] + 1);
	assert_int_equal(rig.nodes[1].reply.err, 0);
}

static void who_waits_for_one_that_runs_is_left_alone(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 3; i++)
		takes(i, 1, i);
	waits(2, 1, 1);
	waits(1, 1, 0);
	rig_pass(10 * PERIODS);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(rig.nodes[i].core->lock_refused, 0);
	rig_ask(0, 1, OP_UNLOCK, 0, 0, 0);
	assert_int_equal(rig.nodes[1].reply.err, 0);
	assert_int_equal(rig.nodes[1].reply.op, OP_LOCK);
}

/*
 * The question of node 3 meets each wait at another time: together they look
 * like a circle, and there never was one.
 */
static void locks_that_changed_hands_meanwhile_are_no_circle(void **state)
{
	(void)state;
	takes(0, 1, 20);
	takes(1, 1, 10);
	takes(2, 1, 30);
	waits(1, 1, 20);
	waits(1, 3, 10); /* before node 3 */
	waits(2, 1, 10);
	rig_hold(1, 0, MSG_LOCK_PROBE);
	rig_pass(200000); /* the second look of each node finds it waiting for long enough */
	rig_ask(0, 1, OP_UNLOCK, 20, 0, 0);
	rig_ask(1, 1, OP_UNLOCK, 20, 0, 0);
	takes(1, 2, 20);
	rig_ask(1, 1, OP_UNLOCK, 10, 0, 0); /* now client 3 has it, and runs */
	waits(1, 2, 30);
	rig_release();
	rig_pass(PERIODS);
	assert_int_equal(rig.nodes[2].core->lock_refused, 0);
	assert_int_equal(rig.nodes[1].core->lock_refused, 0);
	rig_ask(1, 3, OP_UNLOCK, 10, 0, 0);
	assert_int_equal(rig.nodes[2].reply.op, OP_LOCK);
	assert_int_equal(rig.nodes[2].reply.err, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(two_threads_of_a_node, three, stop),
		cmocka_unit_test_setup_teardown(a_circle_over_all_nodes, three, stop),
		cmocka_unit_test_setup_teardown(who_waits_for_one_that_runs_is_left_alone, three,
						stop),
		cmocka_unit_test_setup_teardown(locks_that_changed_hands_meanwhile_are_no_circle,
						three, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
