// SPDX-License-Identifier: MIT
/* The core's parts one by one, over cores that are wired directly. */
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

static int two(void **state)
{
	(void)state;
	rig_start(2, 64);
	return 0;
}

static int three(void **state)
{
	(void)state;
	rig_start(3, 64);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	rig_stop();
	return 0;
}

/* --- membership --- */

static void the_first_is_master_with_id_1(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(info(i).state, CORE_MEMBER);
		assert_int_equal(info(i).nid, i + 1);
		assert_int_equal(info(i).master, 1);
		assert_int_equal(info(i).members, 3);
		assert_int_equal(info(i).chunks_total, 3 * 64);
	}
}

static void the_oldest_survivor_follows_a_dead_master(void **state)
{
	(void)state;
	rig_kill(0);
	assert_int_equal(info(1).master, 2);
	assert_int_equal(info(2).master, 2);
	assert_int_equal(info(2).members, 2);
	assert_true(info(2).epoch > 1);
}

static void a_node_that_leaves_hands_its_pages_over(void **state)
{
	(void)state;
	rig_fault(1, 5, true);
	assert_int_equal(rig.nodes[1].prot[5], PAGE_MODIFIED);
	rig_leave(1);
	assert_int_equal(rig.nodes[1].state, CORE_OUT);
	assert_int_equal(info(0).members, 2);
	rig_fault(2, 5, false);
	assert_int_equal(rig.nodes[2].prot[5], PAGE_SHARED);
	assert_int_equal(rig.nodes[2].failed[5], -1);
}

static void a_master_that_leaves_hands_its_office_over(void **state)
{
	(void)state;
	rig_fault(0, 5, true);
	rig_leave(0);
	assert_int_equal(rig.nodes[0].state, CORE_OUT);
	assert_int_equal(info(1).master, 2);
	rig_fault(2, 5, false);
	assert_int_equal(rig.nodes[2].prot[5], PAGE_SHARED);
}

/* Whoever goes, at whatever moment of another's leave: all within far less than it takes to miss somebody. */
static void who_leaves_beside_another_waits_for_no_timeout(void **state)
{
	(void)state;
	for (unsigned int k = 0; k < 6 * 32; k++) {
		unsigned int first = k % 3, second = (first + 1 + k % 2) % 3;
		unsigned int stays = 3 - first - second;

		rig_start(3, 64);
		rig_leave_both(first, second, k / 6);
		assert_int_equal(rig.nodes[first].state, CORE_OUT);
		assert_int_equal(rig.nodes[second].state, CORE_OUT);
		assert_int_equal(rig.nodes[stays].state, CORE_MEMBER);
		assert_int_equal(info(stays).members, 1);
		rig_stop();
	}
}

/* Also where nobody stays. */
static void all_can_leave_at_once(void **state)
{
	(void)state;
	for (unsigned int events = 0; events < 32; events++) {
		rig_start(3, 64);
		rig_leave_both(events % 3, (events + 1) % 3, events / 3);
		rig_leave((events + 2) % 3);
		for (unsigned int i = 0; i < 3; i++)
			assert_int_equal(rig.nodes[i].state, CORE_OUT);
		rig_stop();
	}
}

static void what_only_a_dead_node_had_is_lost_and_said_so(void **state)
{
	(void)state;
	rig_fault(0, 5, true); /* at home at node 1 */
	rig_fault(1, 5, true);
	rig_kill(1);
	assert_non_null(strstr(rig.nodes[0].log, "lost"));
	rig_fault(0, 5, false);
	assert_int_equal(rig.nodes[0].failed[5], EIO);
	rig_fault(0, 6, true); /* the rest goes on */
	assert_int_equal(rig.nodes[0].prot[6], PAGE_MODIFIED);
}

static void ids_are_not_used_again(void **state)
{
	(void)state;
	rig_kill(1);
	rig.nodes[1].core = (core_free(rig.nodes[1].core), NULL);
	rig_add(2, 64);
	assert_int_equal(info(2).nid, 3);
}

/* --- pages --- */

static void a_write_takes_the_page_from_all_readers(void **state)
{
	(void)state;
	rig_fault(0, 9, true);
	rig_fault(1, 9, false);
	rig_fault(2, 9, false);
	assert_int_equal(rig.nodes[0].prot[9], PAGE_SHARED);
	rig_fault(2, 9, true);
	assert_int_equal(rig.nodes[2].prot[9], PAGE_MODIFIED);
	assert_int_equal(rig.nodes[0].prot[9], PAGE_INVALID);
	assert_int_equal(rig.nodes[1].prot[9], PAGE_INVALID);
}

static void an_upgrade_moves_no_bytes(void **state)
{
	unsigned int data;

	(void)state;
	rig_fault(0, 9, true);
	rig_fault(1, 9, false);
	data = rig.sent[MSG_PAGE_DATA];
	rig_fault(1, 9, true);
	assert_int_equal(rig.nodes[1].prot[9], PAGE_MODIFIED);
	assert_int_equal(rig.sent[MSG_PAGE_DATA], data);
	/* Shared with the home alone: nothing but the request and its answer. */
	assert_int_equal(rig.sent[MSG_PAGE_DONE], 0);
}

static void a_read_of_what_the_home_writes_is_one_round_trip(void **state)
{
	unsigned int sent = 0;

	(void)state;
	rig_fault(1, 10, false); /* the extent is known */
	rig_fault(0, 9, true);
	for (int t = MSG_PAGE_REQUEST; t <= MSG_PAGE_ERROR; t++)
		sent -= rig.sent[t];
	rig_fault(1, 9, false);
	for (int t = MSG_PAGE_REQUEST; t <= MSG_PAGE_ERROR; t++)
		sent += rig.sent[t];
	assert_int_equal(sent, 2);
	assert_int_equal(rig.nodes[0].prot[9], PAGE_SHARED);
	assert_int_equal(rig.nodes[1].prot[9], PAGE_SHARED);
	/* And the directory knows both. */
	rig_fault(0, 9, true);
	assert_int_equal(rig.nodes[1].prot[9], PAGE_INVALID);
	rig_fault(1, 9, true);
	assert_int_equal(rig.nodes[0].prot[9], PAGE_INVALID);
}

static void a_read_with_the_home_valid_is_one_round_trip(void **state)
{
	unsigned int before = 0, after = 0;

	(void)state;
	rig_fault(0, 9, true);
	rig_fault(1, 9, false);
	rig_fault(2, 10, false); /* the extent is known */
	for (int t = MSG_PAGE_REQUEST; t <= MSG_PAGE_ERROR; t++)
		before += rig.sent[t];
	rig_fault(2, 9, false);
	for (int t = MSG_PAGE_REQUEST; t <= MSG_PAGE_ERROR; t++)
		after += rig.sent[t];
	assert_int_equal(rig.nodes[2].prot[9], PAGE_SHARED);
	assert_int_equal(after - before, 2);
}

static void no_stash_outlives_its_transfer(void **state)
{
	(void)state;
	rig_fault(0, 9, true);
	rig_fault(1, 9, true);
	rig_fault(2, 9, true);
	rig_fault(0, 9, true);
	for (unsigned int i = 0; i < 3; i++)
		assert_false(rig.nodes[i].stash[9]);
}

static void metadata_is_at_most_64_bytes_a_page(void **state)
{
	size_t bytes, pages;

	(void)state;
	for (uint64_t p = 0; p < RIG_PAGES; p++)
		rig_fault(0, p, true);
	core_page_memory(rig.nodes[0].core, &bytes, &pages);
	assert_true(pages >= RIG_PAGES);
	assert_true(bytes <=
		    pages * 64 + 16 * sizeof(struct map_slot)); /* the smallest table of leaves */
	assert_true(sizeof(struct leaf) <= 64 * LEAF_PAGES - 64);
}

static void outside_the_region_is_refused(void **state)
{
	(void)state;
	rig_fault(0, RIG_PAGES - 1, true);
	assert_int_equal(rig.nodes[0].failed[RIG_PAGES - 1], -1);
	assert_int_equal(rig_ask(0, 1, OP_ALLOC_AT, 0, RIG_PAGES - 1, 2).err, EINVAL);
	assert_int_equal(rig_ask(0, 1, OP_ALLOC, 0, 0, 0).err, EINVAL);
	assert_int_equal(rig_ask(0, 1, OP_PAGE_QUERY, 0, PAGE_KEY(9, 0), 0).err, EINVAL);
}

/* --- memory --- */

static void memory_is_given_once_and_taken_back(void **state)
{
	struct core_reply a = rig_ask(0, 1, OP_ALLOC, 0, 0, 8),
			  b = rig_ask(1, 1, OP_ALLOC, 0, 0, 8);

	(void)state;
	assert_int_equal(a.err, 0);
	assert_int_equal(b.err, 0);
	assert_true(a.val[0] + 8 <= b.val[0] || b.val[0] + 8 <= a.val[0]);
	assert_int_equal(rig_ask(1, 1, OP_ALLOC_AT, 0, a.val[0] + 1, 1).err, EEXIST);
	assert_int_equal(rig_ask(1, 1, OP_FREE, 0, a.val[0] + 1, 0).err, EINVAL);
	assert_int_equal(rig_ask(1, 1, OP_FREE, 0, a.val[0], 0).err, 0); /* any node may */
	assert_int_equal(rig_ask(0, 1, OP_FREE, 0, a.val[0], 0).err, EINVAL);
	assert_int_equal(rig_ask(1, 1, OP_ALLOC_AT, 0, a.val[0], 8).err, 0);
}

static void freed_pages_are_gone_everywhere(void **state)
{
	struct core_reply a = rig_ask(0, 1, OP_ALLOC, 0, 0, 1);

	(void)state;
	rig_fault(0, a.val[0], true);
	rig_fault(1, a.val[0], false);
	assert_int_equal(rig_ask(0, 1, OP_FREE, 0, a.val[0], 0).err, 0);
	assert_int_equal(rig.nodes[0].prot[a.val[0]], PAGE_INVALID);
	assert_int_equal(rig.nodes[1].prot[a.val[0]], PAGE_INVALID);
	assert_int_equal(rig_ask(1, 1, OP_LOOKUP, 0, a.val[0], 0).err, ENOENT);
}

static void extent_counted(void *ctx, const struct rec_extent *e)
{
	(void)e;
	++*(unsigned int *)ctx;
}

static unsigned int extents_at(unsigned int i)
{
	unsigned int n = 0;

	core_each_extent(rig.nodes[i].core, extent_counted, &n);
	return n;
}

/* The third node has needed none of it. What is being freed must not come back to those who forgot it. */
static void any_node_can_learn_what_there_is(void **state)
{
	struct core_reply a = rig_ask(0, 1, OP_ALLOC, 0, 0, 1), r;

	(void)state;
	assert_int_equal(rig_ask(1, 1, OP_ALLOC, 0, 0, 1).err, 0);
	assert_int_equal(rig_ask(0, 1, OP_ALLOC, 0, 0, 3).err, 0);
	assert_int_equal(extents_at(2), 0);
	r = rig_ask(2, 1, OP_EXTENTS, 0, 0, 0);
	assert_int_equal(r.err, 0);
	assert_int_equal(extents_at(2), 3);
	assert_int_equal(rig_ask(2, 1, OP_EXTENTS, 0, r.val[0], 0).err, ENOENT);
	rig_hold(0, 1, MSG_EXTENT_FREE);
	assert_int_equal(rig_ask(0, 1, OP_FREE, 0, a.val[0], 0).err, -1);
	assert_int_equal(extents_at(2), 2);
	assert_int_equal(rig_ask(2, 1, OP_EXTENTS, 0, 0, 0).err, 0);
	assert_int_equal(extents_at(2), 2);
	rig_release();
	rig_pass(0);
	assert_int_equal(rig.nodes[0].reply.err, 0);
	assert_int_equal(extents_at(0), 2);
}

static void an_empty_pool_is_a_clean_error_logged_once(void **state)
{
	unsigned int logs;

	(void)state;
	rig_stop();
	rig_start(2, 2);
	assert_int_equal(rig_ask(0, 1, OP_ALLOC, 0, 0, 5).err, ENOMEM);
	assert_int_equal(rig_ask(0, 1, OP_ALLOC, 0, 0, 4).err, 0); /* spread over both */
	rig_fault(0, 40, true);
	assert_int_equal(rig.nodes[0].failed[40], ENOMEM);
	logs = rig.nodes[0].logs;
	rig_fault(0, 50, true);
	assert_int_equal(rig.nodes[0].failed[50], ENOMEM);
	assert_int_equal(rig.nodes[0].logs, logs);
}

/* --- locks, barriers, waits --- */

static void a_token_stays_where_it_was_used(void **state)
{
	struct core_reply r = rig_ask(1, 1, OP_LOCK, 3, 0, 0);
	unsigned int requests;

	(void)state;
	assert_int_equal(r.err, 0);
	assert_true(r.val[0] < RIG_WORDS);
	assert_int_equal(rig.nodes[1].words[r.val[0]], lock_word_held(1));
	assert_true(lock_word_leave(&rig.nodes[1].words[r.val[0]], 1));
	requests = rig.sent[MSG_LOCK_REQUEST];
	assert_true(lock_word_try(&rig.nodes[1].words[r.val[0]], 2));
	assert_true(lock_word_leave(&rig.nodes[1].words[r.val[0]], 2));
	assert_int_equal(rig.sent[MSG_LOCK_REQUEST], requests);
}

static void locks_are_served_in_order(void **state)
{
	(void)state;
	assert_int_equal(rig_ask(0, 1, OP_LOCK, 3, 0, 0).err, 0);
	assert_int_equal(rig_ask(2, 1, OP_LOCK, 3, 0, 0).err, -1);
	assert_int_equal(rig_ask(1, 1, OP_LOCK, 3, 0, 0).err, -1);
	assert_int_equal(rig_ask(0, 1, OP_UNLOCK, 3, 0, 0).err, 0);
	assert_int_equal(rig.nodes[2].reply.op, OP_LOCK);
	assert_int_equal(rig.nodes[1].replies, 0);
	assert_int_equal(rig_ask(2, 1, OP_UNLOCK, 3, 0, 0).err, 0);
	assert_int_equal(rig.nodes[1].reply.op, OP_LOCK);
}

static void misuse_of_locks_is_told(void **state)
{
	(void)state;
	assert_int_equal(rig_ask(0, 1, OP_UNLOCK, 9, 0, 0).err, EPERM);
	assert_int_equal(rig_ask(0, 1, OP_LOCK, 9, 0, 0).err, 0);
	assert_int_equal(rig_ask(0, 1, OP_LOCK, 9, 0, 0).err, EDEADLK);
	assert_int_equal(rig_ask(0, 2, OP_UNLOCK, 9, 0, 0).err, EPERM);
	assert_int_equal(rig_ask(0, 2, OP_RWUNLOCK, 9, 0, 0).err, EPERM);
}

static void a_holder_that_dies_is_told_to_the_next(void **state)
{
	(void)state;
	assert_int_equal(rig_ask(1, 1, OP_LOCK, 3, 0, 0).err, 0);
	assert_int_equal(rig_ask(0, 1, OP_LOCK, 3, 0, 0).err, -1);
	rig_client_gone(1, 1);
	assert_int_equal(rig.nodes[0].reply.op, OP_LOCK);
	assert_int_equal(rig.nodes[0].reply.err, EOWNERDEAD);
}

static void a_dead_node_s_lock_is_handed_on(void **state)
{
	(void)state;
	assert_int_equal(rig_ask(1, 1, OP_LOCK, 3, 0, 0).err, 0);
	assert_int_equal(rig_ask(2, 1, OP_LOCK, 3, 0, 0).err, -1);
	rig_kill(1);
	assert_int_equal(rig.nodes[2].reply.op, OP_LOCK);
	assert_int_equal(rig.nodes[2].reply.err, EOWNERDEAD);
}

static void readers_share_and_a_writer_waits(void **state)
{
	(void)state;
	assert_int_equal(rig_ask(0, 1, OP_RWLOCK, 4, 0, 0).err, 0);
	assert_int_equal(rig_ask(1, 1, OP_RWLOCK, 4, 0, 0).err, 0);
	assert_int_equal(rig_ask_flags(1, 2, OP_RWLOCK, 4, F_WRITE).err, -1);
	assert_int_equal(rig_ask(0, 2, OP_RWLOCK, 4, 0, 0).err, -1); /* nobody overtakes */
	assert_int_equal(rig_ask(0, 1, OP_RWUNLOCK, 4, 0, 0).err, 0);
	assert_int_equal(rig_ask(0, 1, OP_RWUNLOCK, 4, 0, 0).err, EPERM);
	assert_int_equal(rig_ask(1, 1, OP_RWUNLOCK, 4, 0, 0).err, 0);
	assert_int_equal(rig.nodes[1].reply.client, 2);
	assert_int_equal(rig_ask_flags(1, 2, OP_RWUNLOCK, 4, F_WRITE).err, 0);
	assert_int_equal(rig.nodes[0].reply.client, 2);
}

static void a_barrier_counts_nodes_and_not_the_dead(void **state)
{
	(void)state;
	assert_int_equal(rig_ask(0, 1, OP_BARRIER, 1, 0, 0).err, -1);
	assert_int_equal(rig_ask(1, 1, OP_BARRIER, 1, 0, 0).err, -1);
	rig_kill(2);
	assert_int_equal(rig.nodes[0].reply.op, OP_BARRIER);
	assert_int_equal(rig.nodes[0].reply.err, 0);
	assert_int_equal(rig.nodes[1].reply.op, OP_BARRIER);
}

static void a_counted_barrier_counts(void **state)
{
	(void)state;
	assert_int_equal(rig_ask(0, 1, OP_BARRIER, 1, 0, 2).err, -1);
	assert_int_equal(rig_ask(2, 1, OP_BARRIER, 1, 0, 3).err, EINVAL); /* they do not agree */
	assert_int_equal(rig_ask(1, 1, OP_BARRIER, 1, 0, 2).err, 0);
	assert_int_equal(rig.nodes[0].reply.err, 0);
}

static void a_sleeper_wakes_when_another_node_writes(void **state)
{
	struct core_reply r;

	(void)state;
	rig_fault(0, 9, true);
	rig_fault(1, 9, false);
	r = rig_ask(1, 1, OP_WAIT, 0, 9, 0);
	assert_int_equal(r.val[0], 0); /* armed */
	rig_fault(0, 9, true);
	assert_int_equal(rig.nodes[1].reply.op, OP_WAIT);
	assert_int_equal(rig.nodes[1].reply.val[0], 1);
}

static void an_epoch_that_a_link_has_left_is_a_replay(void **state)
{
	struct core_msg m = { .type = MSG_LOCK_REQUEST, .src = 2, .key = 5 };
	struct core_info info;
	struct core_stats stats;
	unsigned int logs;

	(void)state;
	core_info_get(rig.nodes[0].core, &info);
	m.epoch = info.epoch;
	rig_say(1, 0, &m, NULL);
	logs = rig.nodes[0].logs;
	m.epoch--;
	rig_say(1, 0, &m, NULL);
	rig_say(1, 0, &m, NULL);
	core_stats_get(rig.nodes[0].core, &stats);
	assert_int_equal(stats.messages_replayed, 2);
	assert_int_equal(rig.nodes[0].logs, logs + 1);
	assert_non_null(strstr(rig.nodes[0].log, "replayed"));
}

static void the_map_keeps_what_a_plain_table_keeps(void **state)
{
	static char values[512];
	bool in[512] = { false };
	struct map m = { 0 };
	uint32_t rng = 7;
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		uint32_t k = (rng = rng * 1664525u + 1013904223u) >> 16 & 511;
		uint64_t key = (uint64_t)k * 4096;

		if (rng & 0x8000) {
			map_put(&m, key, &values[k]);
			n += !in[k];
			in[k] = true;
		} else {
			assert_ptr_equal(map_del(&m, key), in[k] ? &values[k] : NULL);
			n -= in[k];
			in[k] = false;
		}
		k = rng >> 7 & 511;
		assert_ptr_equal(map_get(&m, (uint64_t)k * 4096), in[k] ? &values[k] : NULL);
	}
	assert_int_equal(m.used, n);
	map_free(&m);
}

struct seen {
	page_key first, end, last;
	unsigned int n;
	bool wrong;
};

static void see(struct core *c, page_key key, struct page *p, void *ctx)
{
	struct seen *s = ctx;

	s->wrong |= key < s->first || key >= s->end || (s->n && key <= s->last) ||
		    page_find(c, key) != p;
	s->last = key;
	s->n++;
}

/* Whether there are fewer pages in the range, or fewer that the node knows. */
static void pages_of_a_range_are_found_in_their_order(void **state)
{
	struct core *c = rig.nodes[0].core;

	(void)state;
	for (page_key key = 0; key < 4000; key++)
		if (key / 16 % 3)
			(void)page_get(c, PAGE_KEY(1, key));
	for (uint64_t len = 0; len < 100000; len = len * 2 + 1) {
		for (uint64_t at = 0; at < 4000; at += 37) {
			struct seen s = { .first = PAGE_KEY(1, at), .end = PAGE_KEY(1, at + len) };
			unsigned int there = 0;

			for (page_key key = at; key < at + len && key < 4000; key++)
				there += key / 16 % 3 != 0;
			page_each_in(c, s.first, s.end, see, &s);
			assert_false(s.wrong);
			assert_int_equal(s.n, there);
		}
	}
}

/* Its node leaves, and then the master, which was the only one to know of it. */
static void a_death_is_told_after_those_who_knew_have_left(void **state)
{
	(void)state;
	assert_int_equal(rig_ask(2, 1, OP_LOCK, 3, 0, 0).err, 0);
	rig_client_gone(2, 1);
	rig_leave(2);
	rig_leave(0);
	assert_int_equal(rig_ask(1, 1, OP_LOCK, 3, 0, 0).err, EOWNERDEAD);
	assert_int_equal(rig_ask(1, 1, OP_UNLOCK, 3, 0, 0).err, 0);
	assert_int_equal(rig_ask(1, 1, OP_LOCK, 3, 0, 0).err, 0);
}

int main(void)
{
#define TWO(f)	 cmocka_unit_test_setup_teardown(f, two, stop)
#define THREE(f) cmocka_unit_test_setup_teardown(f, three, stop)
	const struct CMUnitTest tests[] = {
		THREE(the_first_is_master_with_id_1),
		THREE(the_oldest_survivor_follows_a_dead_master),
		THREE(a_node_that_leaves_hands_its_pages_over),
		THREE(a_master_that_leaves_hands_its_office_over),
		cmocka_unit_test(who_leaves_beside_another_waits_for_no_timeout),
		cmocka_unit_test(all_can_leave_at_once),
		TWO(what_only_a_dead_node_had_is_lost_and_said_so),
		TWO(ids_are_not_used_again),
		THREE(a_write_takes_the_page_from_all_readers),
		TWO(an_upgrade_moves_no_bytes),
		TWO(a_read_of_what_the_home_writes_is_one_round_trip),
		THREE(a_read_with_the_home_valid_is_one_round_trip),
		THREE(no_stash_outlives_its_transfer),
		TWO(metadata_is_at_most_64_bytes_a_page),
		TWO(outside_the_region_is_refused),
		TWO(memory_is_given_once_and_taken_back),
		TWO(freed_pages_are_gone_everywhere),
		THREE(any_node_can_learn_what_there_is),
		TWO(an_empty_pool_is_a_clean_error_logged_once),
		TWO(a_token_stays_where_it_was_used),
		THREE(locks_are_served_in_order),
		TWO(misuse_of_locks_is_told),
		TWO(a_holder_that_dies_is_told_to_the_next),
		THREE(a_dead_node_s_lock_is_handed_on),
		THREE(a_death_is_told_after_those_who_knew_have_left),
		TWO(readers_share_and_a_writer_waits),
		THREE(a_barrier_counts_nodes_and_not_the_dead),
		THREE(a_counted_barrier_counts),
		TWO(a_sleeper_wakes_when_another_node_writes),
		TWO(an_epoch_that_a_link_has_left_is_a_replay),
		TWO(pages_of_a_range_are_found_in_their_order),
		cmocka_unit_test(the_map_keeps_what_a_plain_table_keeps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
