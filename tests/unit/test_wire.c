// SPDX-License-Identifier: MIT
/* Frames: what is right passes, and each way to be wrong is refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/net/wire.h"
#include "agent/net/wire_rules.h"

static struct wire_header header;
static struct wire_error error;

/* A message that its own rule has nothing against. */
static struct core_msg good(uint16_t type)
{
	struct core_msg m = { .type = type, .src = 3, .epoch = 9 };

	if (wire_rule(type)->run_max) {
		m.key = PAGE_KEY(1, 77);
		m.count = 2;
	}
	if (type == MSG_TOPIC_VALUE || type == MSG_TOPIC_ACK) {
		m.key = 7;
		m.a = 1;
	}
	return m;
}

static bool passes(const struct core_msg *m, const void *recs)
{
	error.text[0] = '\0';
	wire_seal(&header, m, 5);
	return wire_header_check(&header, 5, &error) && wire_body_check(&header, m, recs, &error);
}

#define assert_refused(m, recs, word)                                                              \
	do {                                                                                       \
		assert_false(passes(m, recs));                                                     \
		assert_non_null(strstr(error.text, word));                                         \
	} while (0)

static void every_type_has_a_message_that_passes(void **state)
{
	unsigned int n = 0;

	(void)state;
	for (unsigned int t = 0; t < MSG_TYPES; t++) {
		uint16_t type = (uint16_t)t;
		struct core_msg m;

		if (!wire_rule(type))
			continue;
		m = good(type);
		assert_true(passes(&m, NULL));
		n++;
	}
	assert_true(n > 50);
}

static void every_type_with_records_names_their_kind(void **state)
{
	(void)state;
	for (unsigned int t = 0; t < MSG_TYPES; t++) {
		uint16_t type = (uint16_t)t;

		if (wire_rule(type))
			assert_int_equal(wire_rule(type)->rec != REC_NONE,
					 core_msg_rec_size(type) != 0);
	}
}

static void a_field_of_no_use_must_be_zero(void **state)
{
	struct core_msg m = good(MSG_LEAVE);

	(void)state;
	m.a = 1;
	assert_refused(&m, NULL, "field a");
	m = good(MSG_PAGE_REQUEST);
	m.nid2 = 1;
	assert_refused(&m, NULL, "field nid2");
	m = good(MSG_PAGE_REQUEST);
	strcpy(m.name, "x");
	assert_refused(&m, NULL, "field name");
	m = good(MSG_PAGE_REQUEST);
	m.reserved2 = 1;
	assert_refused(&m, NULL, "reserved");
}

static void flags_are_those_of_the_type(void **state)
{
	struct core_msg m = good(MSG_PAGE_REQUEST);

	(void)state;
	m.flags = F_WRITE;
	assert_true(passes(&m, NULL));
	m.flags = F_WRITE | F_ZERO;
	assert_refused(&m, NULL, "flags");
	m.flags = 1 << 15;
	assert_refused(&m, NULL, "flags");
}

static void runs_are_bounded(void **state)
{
	struct core_msg m = good(MSG_PAGE_DATA);

	(void)state;
	m.count = CORE_MSG_PAGES;
	assert_true(passes(&m, NULL));
	m.count = 0;
	assert_refused(&m, NULL, "run of 0 pages");
	m.count = CORE_MSG_PAGES + 1;
	assert_false(passes(&m, NULL)); /* by its length already */
	m = good(MSG_PAGE_REQUEST);
	m.count = CORE_MSG_PAGES + 1;
	assert_refused(&m, NULL, "run of 65 pages");
	m.count = 2;
	m.key = PAGE_KEY(1, 0xffffffffffffull); /* the second page would be another region's */
	assert_refused(&m, NULL, "run of 2 pages");
}

static void names_end_in_their_field(void **state)
{
	struct core_msg m = good(MSG_HELLO);

	(void)state;
	strcpy(m.name, "dsm");
	assert_true(passes(&m, NULL));
	m.name[10] = 'x'; /* something after the end */
	assert_refused(&m, NULL, "name");
	memset(m.name, 'x', sizeof(m.name));
	assert_refused(&m, NULL, "name");
}

static void records_are_bounded_and_checked(void **state)
{
	struct rec_member members[2] = { { .nid = 1, .state = MEMBER_ACTIVE },
					 { .nid = 2, .state = MEMBER_ACTIVE } };
	struct core_msg m = good(MSG_NODE_TABLE);

	(void)state;
	m.nrecs = 2;
	assert_true(passes(&m, members));
	members[1].state = 9;
	assert_refused(&m, members, "record 1");
	members[1].state = MEMBER_ACTIVE;
	members[1].reserved[4] = 1;
	assert_refused(&m, members, "record 1");
	m.nrecs = CORE_NODES_MAX + 1;
	assert_refused(&m, members, "257 records");
	m = good(MSG_PAGE_REQUEST);
	m.nrecs = 1;
	assert_refused(&m, members, "1 records");
}

static void other_records_are_checked_too(void **state)
{
	struct rec_region region = { .size = 4096, .name = "r" };
	struct rec_extent extent = { .key = 5, .count = 1, .home = 1 };
	struct rec_holding holding = { .key = 5, .count = 1, .state = HOLDING_STASH };
	struct rec_lock lock = { .id = 1, .kind = LOCK_TOKEN_HELD };
	struct core_msg m = good(MSG_REGION_UPDATE);

	(void)state;
	m.nrecs = 1;
	assert_true(passes(&m, &region));
	region.size = 4097;
	assert_refused(&m, &region, "record 0");
	m.type = MSG_EXTENT_UPDATE;
	assert_true(passes(&m, &extent));
	extent.count = 0;
	assert_refused(&m, &extent, "record 0");
	m.type = MSG_HOLDINGS;
	assert_true(passes(&m, &holding));
	holding.state = 0;
	assert_refused(&m, &holding, "record 0");
	m.type = MSG_LOCKS_HELD;
	assert_true(passes(&m, &lock));
	lock.kind = 5;
	assert_refused(&m, &lock, "record 0");
}

static void records_of_topics_are_checked(void **state)
{
	struct rec_topic topic = { .id = 1, .name = "speed" };
	struct rec_presence presence = { .id = 1, .flags = PRESENCE_PUBLISHES };
	struct core_msg m = good(MSG_TOPIC_SUBSCRIBE);

	(void)state;
	m.nrecs = 1;
	assert_true(passes(&m, &topic));
	topic.id = CORE_TOPIC_IDS;
	assert_refused(&m, &topic, "record 0");
	topic = (struct rec_topic){ .id = 1, .name = "a\tb" };
	assert_refused(&m, &topic, "record 0");
	topic.name[0] = '\0'; /* and something after the end */
	assert_refused(&m, &topic, "record 0");
	memset(topic.name, 'x', sizeof(topic.name));
	assert_refused(&m, &topic, "record 0");
	topic = (struct rec_topic){ .id = 1, .name = "a", .version = CORE_TOPIC_VERSIONS };
	assert_refused(&m, &topic, "record 0");
	m.type = MSG_TOPIC_PUBLISHERS;
	assert_true(passes(&m, &presence));
	presence.flags = 2;
	assert_refused(&m, &presence, "record 0");
	presence = (struct rec_presence){ .id = 0 };
	assert_refused(&m, &presence, "record 0");
}

static void values_are_bounded(void **state)
{
	struct core_msg m = good(MSG_TOPIC_VALUE);

	(void)state;
	m.arg = 13;
	assert_int_equal(wire_body_size(&m), 96 + 16);
	m.arg = CORE_TOPIC_BYTES;
	assert_true(passes(&m, NULL));
	m.arg++;
	assert_refused(&m, NULL, "bytes");
	m = good(MSG_TOPIC_VALUE);
	m.key = 0;
	assert_refused(&m, NULL, "topic 0");
	m = good(MSG_TOPIC_VALUE);
	m.a = CORE_TOPIC_VERSIONS;
	assert_refused(&m, NULL, "version");
	m = good(MSG_TOPIC_VALUE);
	m.flags = F_ZERO;
	assert_true(passes(&m, NULL));
	m.arg = 8; /* none to be had, and yet some */
	assert_refused(&m, NULL, "bytes");
	m = good(MSG_TOPIC_ACK);
	m.b = CORE_TOPIC_VERSIONS;
	assert_refused(&m, NULL, "version");
}

static void headers_are_checked_before_the_body_is_read(void **state)
{
	struct core_msg m = good(MSG_PAGE_DATA);

	(void)state;
	wire_seal(&header, &m, 5);
	assert_int_equal(header.length, 96 + 2 * 4096);
	header.magic++;
	assert_false(wire_header_check(&header, 5, &error));
	assert_non_null(strstr(error.text, "magic"));
	wire_seal(&header, &m, 5);
	header.version = 2;
	assert_false(wire_header_check(&header, 5, &error));
	assert_non_null(strstr(error.text, "version 2"));
	wire_seal(&header, &m, 5);
	header.length = 0xffffffff;
	assert_false(wire_header_check(&header, 5, &error));
	assert_non_null(strstr(error.text, "4294967295 bytes"));
	wire_seal(&header, &m, 5);
	header.length = 95;
	assert_false(wire_header_check(&header, 5, &error));
	wire_seal(&header, &m, 5);
	header.flags = 1;
	assert_false(wire_header_check(&header, 5, &error));
	wire_seal(&header, &m, 5);
	header.type = 2000;
	assert_false(wire_header_check(&header, 5, &error));
	assert_non_null(strstr(error.text, "type 2000"));
}

static void frames_come_in_order_and_once(void **state)
{
	struct core_msg m = good(MSG_LEAVE);

	(void)state;
	wire_seal(&header, &m, 4);
	assert_false(wire_header_check(&header, 5, &error));
	assert_non_null(strstr(error.text, "replayed"));
	wire_seal(&header, &m, 6);
	assert_false(wire_header_check(&header, 5, &error));
	assert_non_null(strstr(error.text, "skipped"));
}

static void header_and_message_say_the_same(void **state)
{
	struct core_msg m = good(MSG_LEAVE), other = good(MSG_LEAVE);

	(void)state;
	wire_seal(&header, &m, 5);
	other.src++;
	assert_false(wire_body_check(&header, &other, NULL, &error));
	other = m;
	other.epoch++;
	assert_false(wire_body_check(&header, &other, NULL, &error));
	other = m;
	header.length += 8;
	assert_false(wire_body_check(&header, &other, NULL, &error));
	assert_non_null(strstr(error.text, "its fields make 96"));
}

static void only_discovery_comes_in_datagrams(void **state)
{
	struct core_msg m = good(MSG_DISCOVER);

	(void)state;
	wire_seal(&header, &m, 0);
	assert_true(wire_header_check(&header, 0, &error) &&
		    wire_body_check(&header, &m, NULL, &error));
	m = good(MSG_PAGE_REQUEST);
	wire_seal(&header, &m, 0);
	assert_false(wire_header_check(&header, 0, &error) &&
		     wire_body_check(&header, &m, NULL, &error));
	assert_non_null(strstr(error.text, "datagram"));
	/* A datagram's frame is no link's, and the other way round. */
	assert_false(wire_header_check(&header, 5, &error));
}

static void scopes_stay_at_home(void **state)
{
	struct rec_member r[2] = { { .addr = { .ip = { 0xfe, 0x80 }, .scope = 7 } },
				   { .addr = { .ip = { 0x20 }, .scope = 7 } } };
	struct core_msg m = { .type = MSG_VIEW, .nrecs = 2 };

	(void)state;
	wire_recs_scope(&m, r, 0);
	assert_int_equal(r[0].addr.scope, 0);
	wire_recs_scope(&m, r, 4);
	assert_int_equal(r[0].addr.scope, 4);
	assert_int_equal(r[1].addr.scope, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_has_a_message_that_passes),
		cmocka_unit_test(every_type_with_records_names_their_kind),
		cmocka_unit_test(a_field_of_no_use_must_be_zero),
		cmocka_unit_test(flags_are_those_of_the_type),
		cmocka_unit_test(runs_are_bounded),
		cmocka_unit_test(names_end_in_their_field),
		cmocka_unit_test(records_are_bounded_and_checked),
		cmocka_unit_test(other_records_are_checked_too),
		cmocka_unit_test(records_of_topics_are_checked),
		cmocka_unit_test(values_are_bounded),
		cmocka_unit_test(headers_are_checked_before_the_body_is_read),
		cmocka_unit_test(frames_come_in_order_and_once),
		cmocka_unit_test(header_and_message_say_the_same),
		cmocka_unit_test(only_discovery_comes_in_datagrams),
		cmocka_unit_test(scopes_stay_at_home),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
