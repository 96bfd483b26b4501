// SPDX-License-Identifier: MIT
/* Topics: who hears of whom, which value counts, and how many are under way. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/core/state.h"
#include "tests/unit/core_rig.h"

#define A 1 /* the number of topic "a" on most nodes here */

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

static const struct core_topic_state *shown(unsigned int i)
{
	return &rig.nodes[i].topics[A];
}

static void a_value_reaches_subscribers_and_nobody_else(void **state)
{
	(void)state;
	rig_topic(0, A, "a", false, true);
	rig_topic(1, A, "a", true, false);
	rig_topic(2, A, "b", true, false);
	assert_int_equal(shown(0)->remote, 1);
	rig_publish(0, A, 77);
	assert_int_equal(rig.nodes[1].values[A], 77);
	assert_int_equal(rig.nodes[2].puts, 0);
	assert_int_equal(rig.sent[MSG_TOPIC_VALUE], 1);
}

static void who_subscribes_later_gets_the_value_at_once(void **state)
{
	(void)state;
	rig_topic(0, A, "a", false, true);
	rig_publish(0, A, 5);
	rig_topic(2, A, "a", true, false);
	assert_int_equal(rig.nodes[2].values[A], 5);
	assert_int_equal(rig.nodes[2].puts, 1);
}

static void a_node_that_joins_later_hears_and_is_heard(void **state)
{
	(void)state;
	rig_stop();
	rig_start(2, 64);
	rig_topic(0, A, "a", false, true);
	rig_topic(1, 2, "b", true, false);
	rig_publish(0, A, 9);
	rig_add(2, 64);
	rig_topic(2, A, "a", true, false);
	assert_int_equal(rig.nodes[2].values[A], 9);
	rig_topic(2, 2, "b", false, true);
	rig_publish(2, 2, 11);
	assert_int_equal(rig.nodes[1].values[2], 11);
}

static void publishers_are_seen_to_come_and_go(void **state)
{
	uint32_t before;

	(void)state;
	rig_topic(1, A, "a", true, false);
	assert_int_equal(shown(1)->elsewhere, 0);
	before = shown(1)->presence;
	rig_topic(0, A, "a", false, true);
	assert_int_equal(shown(1)->elsewhere, 1);
	assert_int_equal(shown(1)->nid, 1);
	assert_int_not_equal(shown(1)->presence, before);
	rig_topic(2, A, "a", false, true);
	assert_int_equal(shown(1)->elsewhere, 2);
	assert_int_equal(shown(1)->nid, 3);
	rig_topic(0, A, "a", false, false);
	assert_int_equal(shown(1)->elsewhere, 1);
	rig_kill(2);
	assert_int_equal(shown(1)->elsewhere, 0);
}

static void a_subscription_ends_with_its_node(void **state)
{
	(void)state;
	rig_topic(0, A, "a", false, true);
	rig_topic(1, A, "a", true, false);
	rig_topic(2, A, "a", true, false);
	assert_int_equal(shown(0)->remote, 2);
	rig_kill(2);
	assert_int_equal(shown(0)->remote, 1);
	rig_leave(1);
	assert_int_equal(shown(0)->remote, 0);
}

static void a_subscription_ends_when_it_is_closed(void **state)
{
	(void)state;
	rig_topic(0, A, "a", false, true);
	rig_topic(1, A, "a", true, false);
	rig_topic(1, A, "a", false, false);
	assert_int_equal(shown(0)->remote, 0);
	rig_publish(0, A, 3);
	assert_int_equal(rig.sent[MSG_TOPIC_VALUE], 0);
}

static void values_go_on_after_the_master_died(void **state)
{
	(void)state;
	rig_topic(1, A, "a", false, true);
	rig_topic(2, A, "a", true, false);
	rig_publish(1, A, 1);
	rig_kill(0);
	assert_int_equal(shown(1)->remote, 1);
	assert_int_equal(shown(2)->elsewhere, 1);
	/* What it has already is not sent again. */
	assert_int_equal(rig.nodes[2].puts, 1);
	rig_publish(1, A, 2);
	assert_int_equal(rig.nodes[2].values[A], 2);
}

static void a_publisher_that_comes_later_is_not_taken_for_old(void **state)
{
	(void)state;
	rig_topic(2, A, "a", true, false);
	rig_topic(0, A, "a", false, true);
	for (uint64_t v = 1; v <= 20; v++)
		rig_publish(0, A, v);
	rig_topic(0, A, "a", false, false);
	rig_topic(1, A, "a", false, true);
	rig_publish(1, A, 500);
	assert_int_equal(rig.nodes[2].values[A], 500);
}

/* Of two that publish, whose value came last is everybody's, also of those who subscribe afterwards. */
static void late_subscribers_agree_with_early_ones(void **state)
{
	(void)state;
	rig_topic(2, A, "a", true, false);
	rig_topic(0, A, "a", false, true);
	rig_topic(1, A, "a", false, true);
	rig_publish(0, A, 10);
	rig_publish(1, A, 20);
	rig_publish(0, A, 30);
	rig_publish(1, A, 40);
	assert_int_equal(rig.nodes[2].values[A], 40);
	rig_topic(2, A, "a", false, false);
	rig.nodes[2].values[2] = 0;
	rig_topic(2, 2, "a", true, false);
	assert_int_equal(rig.nodes[2].values[2], 40);
}

static void a_node_that_publishes_shows_its_own(void **state)
{
	(void)state;
	rig_topic(0, A, "a", true, true);
	rig_topic(1, A, "a", true, false);
	rig_topic(2, A, "a", true, true);
	rig_publish(0, A, 1);
	rig_publish(2, A, 2);
	assert_int_equal(rig.nodes[0].values[A], 1);
	assert_int_equal(rig.nodes[1].values[A], 2);
	/* It publishes no more: the newest comes. */
	rig_topic(0, A, "a", true, false);
	assert_int_equal(rig.nodes[0].values[A], 2);
}

static void a_slow_subscriber_gets_the_newest_only(void **state)
{
	struct core_msg ack = { .type = MSG_TOPIC_ACK, .src = 2, .key = A, .a = 1 };

	(void)state;
	rig_topic(0, A, "a", false, true);
	rig_topic(1, A, "a", true, false);
	rig.mute = true;
	for (uint64_t v = 1; v <= 50; v++)
		rig_publish(0, A, v);
	assert_int_equal(rig.sent[MSG_TOPIC_VALUE], TOPIC_WINDOW);
	rig.mute = false;
	ack.epoch = 1;
	rig_say(1, 0, &ack, NULL);
	assert_int_equal(rig.nodes[1].values[A], 50);
	assert_int_equal(rig.sent[MSG_TOPIC_VALUE], TOPIC_WINDOW + 1);
}

static void a_slow_node_is_sent_so_many_values_of_all_topics(void **state)
{
	char name[CORE_TOPIC_NAME];

	(void)state;
	for (uint64_t id = 1; id <= 2 * TOPIC_FLYING_MAX; id++) {
		snprintf(name, sizeof(name), "topic %u", (unsigned int)id);
		rig_topic(0, id, name, false, true);
		rig_topic(1, id, name, true, false);
	}
	rig.mute = true;
	for (uint64_t id = 1; id <= 2 * TOPIC_FLYING_MAX; id++)
		rig_publish(0, id, id);
	assert_int_equal(rig.sent[MSG_TOPIC_VALUE], TOPIC_FLYING_MAX);
	rig.mute = false;
	for (uint64_t id = 1; id <= TOPIC_FLYING_MAX; id++) {
		struct core_msg ack = {
			.type = MSG_TOPIC_ACK, .src = 2, .epoch = 1, .key = id, .a = 1
		};

		rig_say(1, 0, &ack, NULL);
	}
	for (uint64_t id = 1; id <= 2 * TOPIC_FLYING_MAX; id++)
		assert_int_equal(rig.nodes[1].values[id], id);
}

/* It had written it: it must be there, as on one host. */
static void the_last_value_of_one_that_went_still_comes(void **state)
{
	struct core_msg ack = { .type = MSG_TOPIC_ACK, .src = 2, .epoch = 1, .key = A };

	(void)state;
	rig_topic(0, A, "a", false, true);
	rig_topic(1, A, "a", true, false);
	rig.mute = true;
	for (uint64_t v = 1; v <= 9; v++)
		rig_publish(0, A, v);
	rig_topic(0, A, "a", false, false);
	assert_int_equal(shown(1)->elsewhere, 0);
	assert_int_equal(rig.nodes[0].done, 0);
	rig.mute = false;
	for (ack.a = 1; ack.a <= 2; ack.a++)
		rig_say(1, 0, &ack, NULL);
	assert_int_equal(rig.nodes[1].values[A], 9);
	assert_int_equal(rig.nodes[0].done, A);
}

static void what_nobody_waits_for_ends_at_once(void **state)
{
	(void)state;
	rig_topic(0, A, "a", false, true);
	rig_publish(0, A, 1);
	rig_topic(0, A, "a", false, false);
	assert_int_equal(rig.nodes[0].done, A);
	rig_topic(0, 2, "b", false, true);
	rig_topic(1, 2, "b", true, false);
	rig.mute = true;
	rig_publish(0, 2, 1);
	rig_topic(0, 2, "b", false, false);
	assert_int_equal(rig.nodes[0].done, A);
	rig_kill(1);
	assert_int_equal(rig.nodes[0].done, 2);
}

/* --- messages that make no sense --- */

static void nonsense_changes_nothing(void **state)
{
	struct core_msg value = {
		.type = MSG_TOPIC_VALUE, .src = 1, .epoch = 1, .key = 99, .a = 7, .b = 7
	};
	struct core_msg ack = { .type = MSG_TOPIC_ACK, .src = 1, .epoch = 1, .key = A, .a = 3 };
	struct core_msg subscribe = {
		.type = MSG_TOPIC_SUBSCRIBE, .src = 1, .epoch = 1, .nrecs = 1, .flags = F_DELETED
	};
	struct core_msg told = { .type = MSG_TOPIC_PUBLISHERS, .src = 1, .epoch = 1, .nrecs = 1 };
	struct rec_topic topic = { .id = 12, .name = "never heard of" };
	struct rec_presence presence = { .id = 44, .flags = PRESENCE_PUBLISHES };

	(void)state;
	rig_topic(1, A, "a", false, true);
	rig_say(0, 1, &value, NULL); /* of a topic that is not */
	value.key = A;
	rig_say(0, 1, &value, NULL); /* of one that is not subscribed to */
	rig_say(0, 1, &ack, NULL);   /* nothing was sent */
	rig_say(0, 1, &subscribe, &topic);
	rig_say(0, 1, &told, &presence);
	assert_int_equal(rig.nodes[1].puts, 0);
	assert_int_equal(shown(1)->remote, 0);
	rig_topic(2, A, "a", true, false);
	rig_publish(1, A, 4);
	assert_int_equal(rig.nodes[2].values[A], 4);
}

static void one_number_has_one_name(void **state)
{
	struct core_msg m = { .type = MSG_TOPIC_SUBSCRIBE, .src = 1, .epoch = 1, .nrecs = 1 };
	struct rec_topic topic = { .id = 12, .name = "one" };

	(void)state;
	rig_topic(1, A, "one", false, true);
	rig_topic(1, 2, "two", false, true);
	rig_say(0, 1, &m, &topic);
	rig_say(0, 1, &m, &topic);
	strcpy(topic.name, "two");
	rig_say(0, 1, &m, &topic);
	assert_int_equal(rig.nodes[1].topics[A].remote, 1);
	assert_int_equal(rig.nodes[1].topics[2].remote, 0);
}

static void a_node_subscribes_to_so_many_topics(void **state)
{
	static struct rec_topic recs[CORE_MSG_RECS];
	struct core_msg m = { .type = MSG_TOPIC_SUBSCRIBE, .src = 1, .epoch = 1 };
	struct core_stats stats;

	(void)state;
	for (unsigned int i = 0; i < TOPIC_SUBS_MAX + 10; i += m.nrecs) {
		for (m.nrecs = 0; m.nrecs < CORE_MSG_RECS; m.nrecs++) {
			recs[m.nrecs].id = i + m.nrecs + 1;
			snprintf(recs[m.nrecs].name, CORE_TOPIC_NAME, "t%u", i + m.nrecs);
		}
		rig_say(0, 1, &m, recs);
	}
	core_stats_get(rig.nodes[1].core, &stats);
	assert_int_equal(stats.messages_bad, CORE_MSG_RECS);
}

int main(void)
{
#define THREE(f) cmocka_unit_test_setup_teardown(f, three, stop)
	const struct CMUnitTest tests[] = {
		THREE(a_value_reaches_subscribers_and_nobody_else),
		THREE(who_subscribes_later_gets_the_value_at_once),
		THREE(a_node_that_joins_later_hears_and_is_heard),
		THREE(publishers_are_seen_to_come_and_go),
		THREE(a_subscription_ends_with_its_node),
		THREE(a_subscription_ends_when_it_is_closed),
		THREE(values_go_on_after_the_master_died),
		THREE(a_publisher_that_comes_later_is_not_taken_for_old),
		THREE(late_subscribers_agree_with_early_ones),
		THREE(a_node_that_publishes_shows_its_own),
		THREE(a_slow_subscriber_gets_the_newest_only),
		THREE(a_slow_node_is_sent_so_many_values_of_all_topics),
		THREE(the_last_value_of_one_that_went_still_comes),
		THREE(what_nobody_waits_for_ends_at_once),
		THREE(nonsense_changes_nothing),
		THREE(one_number_has_one_name),
		THREE(a_node_subscribes_to_so_many_topics),
	};

	return cmocka_run_group_tests_name("topics", tests, NULL, NULL);
}
