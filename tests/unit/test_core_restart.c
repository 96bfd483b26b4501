// SPDX-License-Identifier: MIT
/* Agents that are killed alone: another one takes the node's place, with the pages that the module kept. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/core/state.h"
#include "tests/unit/core_rig.h"

static struct core_info info(unsigned int i)
{
	struct core_info ret;

	core_info_get(rig.nodes[i].core, &ret);
	return ret;
}

static int three(void **state)
{
	(void)state;
	rig_start(3, 64);
	return 0;
}

static int two(void **state)
{
	(void)state;
	rig_start(2, 64);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	rig_stop();
	return 0;
}

static void all_are_members_of_one_view(void)
{
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(info(i).state, CORE_MEMBER);
		assert_int_equal(info(i).nid, i + 1);
		assert_int_equal(info(i).members, 3);
		assert_int_equal(info(i).epoch, info(0).epoch);
		assert_false(info(i).rebuilding);
	}
}

static void it_keeps_the_page_that_only_it_has(void **state)
{
	(void)state;
	rig_fault(1, 5, true); /* at home at node 2 */
	rig_fault(2, 5, true);
	rig_agent_kill(2);
	rig_agent_restart(2, 60000);
	all_are_members_of_one_view();
	assert_int_equal(rig.nodes[2].prot[5], PAGE_MODIFIED);
	rig_fault(0, 5, false);
	assert_int_equal(rig.nodes[0].prot[5], PAGE_SHARED);
	assert_int_equal(rig.nodes[2].prot[5], PAGE_SHARED);
}

/* The view that takes it in reaches it before the page's home, and it speaks over a link that is new there. */
static void it_is_heard_before_the_view_is(void **state)
{
	(void)state;
	rig_fault(1, 5, true);
	rig_fault(2, 5, true);
	rig_agent_kill(2);
	rig_hold(0, 1, MSG_STATE_REGIONS);
	rig_agent_restart(2, 60000);
	rig_release();
	rig_pass(60000);
	all_are_members_of_one_view();
	rig_fault(0, 5, false);
	assert_int_equal(rig.nodes[0].failed[5], -1);
	assert_int_equal(rig.nodes[0].prot[5], PAGE_SHARED);
}

/* The version of its copy is not known to it, nor does it say anything of the others'. */
static void a_copy_of_no_known_version_is_one_of_the_copies(void **state)
{
	(void)state;
	rig_fault(0, 5, true);
	rig_fault(1, 5, true);
	rig_fault(0, 5, true);
	rig_fault(1, 5, false);
	rig_fault(2, 5, false);
	rig_agent_kill(2);
	rig_agent_restart(2, 60000);
	all_are_members_of_one_view();
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(rig.nodes[i].prot[5], PAGE_SHARED);
	rig_fault(1, 5, true);
	assert_int_equal(rig.nodes[0].prot[5], PAGE_INVALID);
	assert_int_equal(rig.nodes[1].prot[5], PAGE_MODIFIED);
	assert_int_equal(rig.nodes[2].prot[5], PAGE_INVALID);
}

/* The successor lets it in; what it says to others meanwhile does not cost it the link it joins over. */
static void a_master_gets_its_place_back(void **state)
{
	(void)state;
	rig_fault(0, 5, true);
	rig_fault(1, 9, true);
	rig_agent_kill(0);
	rig_pass(20000); /* the others dial it meanwhile */
	rig_agent_restart(0, 90000);
	all_are_members_of_one_view();
	assert_int_equal(info(0).master, 2);
	assert_int_equal(rig.nodes[0].prot[5], PAGE_MODIFIED);
	rig_fault(2, 5, false);
	rig_fault(2, 9, false);
	assert_int_equal(rig.nodes[2].prot[5], PAGE_SHARED);
	assert_int_equal(rig.nodes[2].prot[9], PAGE_SHARED);
}

/*
 * The successor dials it before it is asked, and its word comes late, amid the join. A link that the
 * younger node made is the better one of two, but not where a join goes over the other.
 */
static void a_join_keeps_its_link(void **state)
{
	(void)state;
	rig_agent_kill(0);
	rig_hold(0, 1, MSG_JOIN);
	rig_slow(1, 0);
	rig_agent_restart(0, 20000);
	rig_release();
	rig_hold(0, 1, MSG_JOIN_READY);
	rig_pass(1000);
	assert_int_equal(info(0).state, CORE_JOINING);
	assert_int_equal(rig.nodes[1].core->admitting, 1);
	rig_hurry();
	rig_pass(1000);
	rig_release();
	rig_pass(1000);
	all_are_members_of_one_view();
}

/* Killed once more while it was being let in. */
static void one_that_fails_to_come_back_may_try_again(void **state)
{
	(void)state;
	rig_fault(2, 5, true);
	rig_agent_kill(2);
	rig_hold(0, 2, MSG_NODE_TABLE);
	rig_agent_restart(2, 20000);
	assert_int_equal(rig.nodes[0].core->admitting, 3);
	rig_agent_kill(2);
	rig_release();
	rig_agent_restart(2, 60000);
	all_are_members_of_one_view();
	assert_int_equal(rig.nodes[2].prot[5], PAGE_MODIFIED);
}

static void one_that_fails_to_come_back_is_dead_in_time(void **state)
{
	(void)state;
	rig_agent_kill(1);
	rig_hold(0, 1, MSG_NODE_TABLE);
	rig_agent_restart(1, 20000);
	assert_int_equal(rig.nodes[0].core->admitting, 2);
	rig_agent_kill(1);
	rig_release();
	rig_pass(500000);
	assert_int_equal(info(0).members, 1);
}

/* Each start over asks at once; none leaves a timer of its own behind. */
static void starting_over_does_not_ask_more_often(void **state)
{
	unsigned int before;

	(void)state;
	rig_kill(1);
	rig_kill(2);
	rig_agent_kill(0);
	rig.nodes[0].cfg.elect_ms = 100000;
	rig_agent_restart(0, 200000);
	before = rig.sent[MSG_DISCOVER];
	rig_pass(400000);
	assert_in_range(rig.sent[MSG_DISCOVER] - before, 9, 11);
	for (int i = 0; i < 5; i++)
		rig_offer(0, 2); /* nobody answers there */
	before = rig.sent[MSG_DISCOVER];
	rig_pass(400000);
	assert_in_range(rig.sent[MSG_DISCOVER] - before, 9, 14); /* the first ones follow faster */
}

/* Two clusters meet, and one joins the other at once: the beat of its life before has not ended yet. */
static void a_node_that_comes_back_beats_as_before(void **state)
{
	unsigned int before = rig.sent[MSG_HEARTBEAT], beats;

	(void)state;
	rig_pass(400000);
	beats = rig.sent[MSG_HEARTBEAT] - before;
	for (int i = 0; i < 5; i++) {
		rig_kill(1);
		rig.nodes[1].cut = false;
		rig_pass(400000);
		assert_int_equal(info(0).members, 2);
		assert_int_equal(info(1).master, 1);
	}
	before = rig.sent[MSG_HEARTBEAT];
	rig_pass(400000);
	assert_in_range(rig.sent[MSG_HEARTBEAT] - before, beats - beats / 8, beats + beats / 8);
}

/* A release that waits for the agent's word is asked for again in the new view: it is the same one. */
static void memory_is_given_back_once_across_a_restart(void **state)
{
	struct core_reply r;

	(void)state;
	r = rig_ask(1, 1, OP_ALLOC, 0, 0, 2);
	assert_int_equal(r.err, 0);
	rig_agent_kill(2);
	assert_int_equal(rig_ask(1, 1, OP_FREE, 0, r.val[0], 0).err, -1);
	rig_agent_restart(2, 60000);
	all_are_members_of_one_view();
	assert_int_equal(rig.nodes[1].reply.op, OP_FREE);
	assert_int_equal(rig.nodes[1].reply.err, 0);
	assert_int_equal(rig_ask(1, 1, OP_FREE, 0, r.val[0], 0).err, EINVAL);
}

/* Its successor was told of each block as it was given out: what kind of memory it is, too. */
static void blocks_of_a_restarted_master_can_be_given_back(void **state)
{
	struct core_reply mine, theirs;

	(void)state;
	mine = rig_ask(0, 1, OP_ALLOC, 0, 0, 3);
	theirs = rig_ask(2, 1, OP_ALLOC, 0, 0, 2);
	assert_int_equal(mine.err, 0);
	assert_int_equal(theirs.err, 0);
	rig_fault(0, mine.val[0], true);
	rig_fault(0, theirs.val[0], true);
	rig_agent_kill(0);
	rig_agent_restart(0, 60000);
	all_are_members_of_one_view();
	assert_int_equal(rig_ask(0, 2, OP_FREE, 0, mine.val[0], 0).err, 0);
	assert_int_equal(rig_ask(2, 1, OP_FREE, 0, theirs.val[0], 0).err, 0);
	assert_int_equal(rig_ask(1, 1, OP_FREE, 0, mine.val[0], 0).err, EINVAL);
	assert_int_equal(rig.nodes[0].prot[mine.val[0]], PAGE_INVALID);
}

static int one(void **state)
{
	(void)state;
	rig_start(1, 16);
	return 0;
}

/* What it gave out was known to nobody else: blocks that were touched, and blocks that were not. */
static void a_master_that_was_alone_finds_its_blocks(void **state)
{
	struct core_reply touched, untouched, fresh;

	(void)state;
	touched = rig_ask(0, 1, OP_ALLOC, 0, 0, 3);
	untouched = rig_ask(0, 1, OP_ALLOC, 0, 0, 4);
	rig_fault(0, touched.val[0], true);
	rig_agent_kill(0);
	rig_agent_restart(0, 300000);
	assert_int_equal(info(0).members, 1);
	assert_int_equal(info(0).chunks_used, 7);
	fresh = rig_ask(0, 2, OP_ALLOC, 0, 0, 4);
	assert_int_equal(fresh.err, 0);
	assert_true(fresh.val[0] >= untouched.val[0] + 4 || fresh.val[0] + 4 <= untouched.val[0]);
	rig_fault(0, untouched.val[0], true); /* never touched, so not lost */
	assert_int_equal(rig.nodes[0].prot[untouched.val[0]], PAGE_MODIFIED);
	assert_int_equal(rig_ask(0, 2, OP_FREE, 0, touched.val[0], 0).err, 0);
	assert_int_equal(rig_ask(0, 2, OP_FREE, 0, touched.val[0], 0).err, EINVAL);
	assert_int_equal(rig.nodes[0].prot[touched.val[0]], PAGE_INVALID);
	rig_agent_kill(0);
	rig_agent_restart(0, 300000);
	assert_int_equal(rig_ask(0, 2, OP_FREE, 0, touched.val[0], 0).err, EINVAL);
	assert_int_equal(rig_ask(0, 2, OP_FREE, 0, untouched.val[0], 0).err, 0);
}

/* A fault that waits for the next agent is not one outside of all regions. */
static void a_master_that_was_alone_finds_its_regions(void **state)
{
	struct core_reply first = rig_ask_name(0, 1, OP_REGION_CREATE, "first", 1 << 20), r;

	(void)state;
	assert_int_equal(first.err, 0);
	rig_agent_kill(0);
	rig_agent_restart(0, 1000);
	rig_fault(0, PAGE_KEY(first.val[0], 3), true);
	rig_pass(300000);
	assert_int_equal(rig.nodes[0].regions, 2);
	assert_int_equal(rig.nodes[0].core->extents.n, 1);
	r = rig_ask_name(0, 1, OP_REGION_OPEN, "first", 0);
	assert_int_equal(r.err, 0);
	assert_memory_equal(r.val, first.val, 3 * sizeof(r.val[0]));
	assert_int_equal(rig_ask_name(0, 1, OP_REGION_CREATE, "second", 1 << 20).val[0],
			 first.val[0] + 1);
	assert_int_equal(rig_ask_name(0, 1, OP_REGION_DELETE, "first", 0).err, 0);
	rig_agent_kill(0);
	rig_agent_restart(0, 300000);
	assert_int_equal(rig_ask_name(0, 1, OP_REGION_OPEN, "first", 0).err, ENOENT);
	assert_int_equal(rig_ask_name(0, 1, OP_REGION_OPEN, "second", 0).err, 0);
}

/* The other died with its pages while the master's agent was away, and nobody noticed. */
static void what_others_had_is_lost_and_not_zero(void **state)
{
	struct core_reply r;

	(void)state;
	r = rig_ask(0, 1, OP_ALLOC, 0, 0, 2);
	rig_fault(0, r.val[0] + 1, true);
	rig_fault(1, r.val[0], true);
	rig_agent_kill(0);
	rig_kill(1);
	rig_agent_restart(0, 300000);
	assert_int_equal(info(0).members, 1);
	rig_fault(0, r.val[0], false);
	assert_int_equal(rig.nodes[0].failed[r.val[0]], EIO);
	assert_int_equal(rig.nodes[0].prot[r.val[0] + 1], PAGE_MODIFIED);
	assert_int_equal(rig_ask(0, 2, OP_FREE, 0, r.val[0], 0).err, 0);
}

/* The other's death is known and settled before: what it took stays lost, the rest is as it was. */
static void what_was_lost_stays_lost(void **state)
{
	struct core_reply r;

	(void)state;
	r = rig_ask(0, 1, OP_ALLOC, 0, 0, 3);
	rig_fault(1, r.val[0], true);
	rig_kill(1);
	rig_pass(500000);
	assert_int_equal(info(0).members, 1);
	rig_agent_kill(0);
	rig_agent_restart(0, 300000);
	rig_fault(0, r.val[0], false);
	assert_int_equal(rig.nodes[0].failed[r.val[0]], EIO);
	rig_fault(0, r.val[0] + 1, false);
	assert_int_equal(rig.nodes[0].prot[r.val[0] + 1], PAGE_SHARED);
	assert_int_equal(rig_ask(0, 2, OP_FREE, 0, r.val[0], 0).err, 0);
	r = rig_ask(0, 1, OP_ALLOC, 0, 0, 3);
	rig_agent_kill(0);
	rig_agent_restart(0, 300000);
	rig_fault(0, r.val[0], false);
	assert_int_equal(rig.nodes[0].prot[r.val[0]], PAGE_SHARED);
}

/* Killed before its word of a block that it has given out has left it. */
static void a_block_that_only_the_master_knows_is_told(void **state)
{
	struct core_reply r, other;

	(void)state;
	rig_hold(0, 1, MSG_EXTENT_UPDATE);
	r = rig_ask(0, 1, OP_ALLOC, 0, 0, 2);
	assert_int_equal(r.err, 0);
	rig_agent_kill(0);
	rig_agent_restart(0, 60000);
	rig_release();
	rig_pass(60000);
	all_are_members_of_one_view();
	other = rig_ask(1, 1, OP_ALLOC, 0, 0, 2);
	assert_int_equal(other.err, 0);
	assert_true(other.val[0] >= r.val[0] + 2);
	assert_int_equal(rig_ask(0, 1, OP_FREE, 0, r.val[0], 0).err, 0);
}

/* A node that has died, and that nobody has missed yet, keeps nobody else from coming back. */
static void a_dead_node_keeps_nobody_out(void **state)
{
	(void)state;
	rig_fault(2, 5, true);
	rig_cut(1);
	rig_agent_kill(2);
	rig_agent_restart(2, 300000);
	assert_int_equal(info(0).members, 2);
	assert_int_equal(info(2).members, 2);
	assert_int_equal(info(2).nid, 3);
	assert_int_equal(rig.nodes[2].prot[5], PAGE_MODIFIED);
	rig_fault(0, 5, false);
	assert_int_equal(rig.nodes[0].prot[5], PAGE_SHARED);
}

/* The view that takes the one in waits for the other, which must be let in before that. */
static void two_agents_come_back_at_once(void **state)
{
	(void)state;
	rig_fault(1, 4, true);
	rig_fault(2, 5, true);
	rig_agent_kill(1);
	rig_agent_kill(2);
	rig_agent_restart(1, 1000);
	rig_agent_restart(2, 90000);
	all_are_members_of_one_view();
	assert_int_equal(rig.nodes[1].prot[4], PAGE_MODIFIED);
	assert_int_equal(rig.nodes[2].prot[5], PAGE_MODIFIED);
	rig_fault(0, 4, false);
	rig_fault(0, 5, false);
	assert_int_equal(rig.nodes[0].prot[4], PAGE_SHARED);
	assert_int_equal(rig.nodes[0].prot[5], PAGE_SHARED);
}

/* A master that wants to go does not hand over while somebody is missing: who comes back is let in. */
static void a_master_that_leaves_lets_it_in_first(void **state)
{
	(void)state;
	rig_fault(2, 5, true);
	rig_agent_kill(2);
	rig_leave(0);
	assert_int_equal(rig.nodes[0].state, CORE_LEAVING);
	rig_agent_restart(2, 90000);
	rig_pass(100000);
	assert_int_equal(rig.nodes[0].state, CORE_OUT);
	assert_int_equal(info(1).members, 2);
	assert_int_equal(info(2).nid, 3);
	assert_int_equal(rig.nodes[2].prot[5], PAGE_MODIFIED);
}

/* It would be counted among the dead as soon as there is another master. */
static void who_follows_a_dead_master_lets_it_in(void **state)
{
	(void)state;
	rig_fault(2, 5, true);
	rig_cut(0);
	rig_agent_kill(2);
	rig_agent_restart(2, 300000);
	assert_int_equal(info(1).master, 2);
	assert_int_equal(info(1).members, 2);
	assert_int_equal(info(2).nid, 3);
	assert_int_equal(rig.nodes[2].prot[5], PAGE_MODIFIED);
}

/* What was written is known to the home alone, whose agent is restarted before the writer's death is noticed. */
static void what_a_restarted_home_forgot_is_lost_and_not_zero(void **state)
{
	struct core_reply r = rig_ask(1, 1, OP_ALLOC, 0, 0, 2);

	(void)state;
	rig_fault(2, r.val[0], true);
	rig_fault(2, r.val[0], true);
	rig_cut(2);
	rig_agent_kill(1);
	rig_agent_restart(1, 300000);
	assert_int_equal(info(0).members, 2);
	rig_fault(0, r.val[0], false);
	assert_int_equal(rig.nodes[0].failed[r.val[0]], EIO);
}

/* A newcomer that cannot get in has no place that is waited for. */
static void a_newcomer_does_not_hold_it_up(void **state)
{
	(void)state;
	rig_fault(1, 5, true);
	rig_hold(0, 2, MSG_NODE_TABLE);
	rig_add_for(2, 64, 20000);
	assert_int_equal(rig.nodes[0].core->admitting, 3);
	rig_agent_kill(1);
	rig_agent_restart(1, 60000);
	assert_int_equal(info(1).state, CORE_MEMBER);
	assert_int_equal(info(1).nid, 2);
	assert_int_equal(rig.nodes[1].prot[5], PAGE_MODIFIED);
	rig_release();
	rig_pass(300000);
	assert_int_equal(info(0).members, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(it_keeps_the_page_that_only_it_has, three, stop),
		cmocka_unit_test_setup_teardown(it_is_heard_before_the_view_is, three, stop),
		cmocka_unit_test_setup_teardown(a_copy_of_no_known_version_is_one_of_the_copies,
						three, stop),
		cmocka_unit_test_setup_teardown(a_master_gets_its_place_back, three, stop),
		cmocka_unit_test_setup_teardown(a_join_keeps_its_link, three, stop),
		cmocka_unit_test_setup_teardown(one_that_fails_to_come_back_may_try_again, three,
						stop),
		cmocka_unit_test_setup_teardown(one_that_fails_to_come_back_is_dead_in_time, two,
						stop),
		cmocka_unit_test_setup_teardown(starting_over_does_not_ask_more_often, three, stop),
		cmocka_unit_test_setup_teardown(a_node_that_comes_back_beats_as_before, two, stop),
		cmocka_unit_test_setup_teardown(memory_is_given_back_once_across_a_restart, three,
						stop),
		cmocka_unit_test_setup_teardown(blocks_of_a_restarted_master_can_be_given_back,
						three, stop),
		cmocka_unit_test_setup_teardown(a_master_that_was_alone_finds_its_blocks, one,
						stop),
		cmocka_unit_test_setup_teardown(a_master_that_was_alone_finds_its_regions, one,
						stop),
		cmocka_unit_test_setup_teardown(what_others_had_is_lost_and_not_zero, two, stop),
		cmocka_unit_test_setup_teardown(what_was_lost_stays_lost, two, stop),
		cmocka_unit_test_setup_teardown(a_block_that_only_the_master_knows_is_told, three,
						stop),
		cmocka_unit_test_setup_teardown(a_dead_node_keeps_nobody_out, three, stop),
		cmocka_unit_test_setup_teardown(two_agents_come_back_at_once, three, stop),
		cmocka_unit_test_setup_teardown(a_master_that_leaves_lets_it_in_first, three, stop),
		cmocka_unit_test_setup_teardown(who_follows_a_dead_master_lets_it_in, three, stop),
		cmocka_unit_test_setup_teardown(what_a_restarted_home_forgot_is_lost_and_not_zero,
						three, stop),
		cmocka_unit_test_setup_teardown(a_newcomer_does_not_hold_it_up, two, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
