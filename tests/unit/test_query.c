/* SPDX-License-Identifier: MIT */
/*
 * The agent's JSON: every document against a core whose introspection calls
 * are played here, so that each case says exactly what the core knows.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "tests/unit/played_core.h"

static struct query_source source(void)
{
	return (struct query_source){
		.core = &fake,
		.now_us = 3500000,
		.start_us = 1000000,
		.version = "1.2.3",
		.cluster = "lab",
		.pager = "uffd",
		.rundir = "/run/dsm",
		.pid = 42,
		.port = 9901,
		.discovery_port = 9999,
		.log_level = 1,
		.programs = 1,
		.sessions = 2,
		.bytes_in = 1000,
		.bytes_out = 2000,
		.read = { 3, 10.5, 20.5, 30.5 },
		.write = { 0, NAN, NAN, 0 },
	};
}

static json_t *ask(const char *command)
{
	struct query_source src = source();
	json_error_t error;
	char *text = NULL;
	json_t *doc;

	assert_int_equal(query_run(&src, command, &text), 0);
	assert_int_equal(text[strlen(text) - 1], '\n');
	doc = json_loads(text, 0, &error);
	assert_non_null(doc);
	free(text);
	return doc;
}

static json_t *at(json_t *doc, const char *path)
{
	char word[64];
	size_t len;

	for (; doc && *path; path += len + (path[len] == '.')) {
		len = strcspn(path, ".");
		snprintf(word, sizeof(word), "%.*s", (int)len, path);
		doc = json_is_array(doc) ? json_array_get(doc, (size_t)atoi(word))
					 : json_object_get(doc, word);
	}
	if (!doc)
		fail_msg("no key at '%s'", path);
	return doc;
}

#define assert_text(doc, path, text) assert_string_equal(json_string_value(at(doc, path)), text)
#define assert_number(doc, path, n)  assert_int_equal(json_integer_value(at(doc, path)), n)

static void status_tells_node_and_cluster(void **state)
{
	json_t *doc = ask("status");

	(void)state;
	assert_number(doc, "port", 9901);
	assert_text(doc, "state", "member");
	assert_text(doc, "cluster", "lab");
	assert_text(doc, "cluster_id", "0xfedcba9876543210");
	assert_number(doc, "node", 2);
	assert_false(json_is_true(at(doc, "is_master")));
	assert_number(doc, "memory.bytes_used", 40960);
	assert_number(doc, "metadata.pages", 2);
	assert_text(doc, "log_level", "info");
	assert_true(json_real_value(at(doc, "uptime_seconds")) == 2.5);
	json_decref(doc);
}

static void nodes_have_addresses_where_known(void **state)
{
	json_t *doc = ask("node list");

	(void)state;
	assert_text(doc, "nodes.0.address", "10.0.0.1");
	assert_text(doc, "nodes.0.uid", "0xffffffffffffffff");
	assert_true(json_is_true(at(doc, "nodes.0.master")));
	assert_true(json_is_true(at(doc, "nodes.0.link")));
	assert_true(json_is_null(at(doc, "nodes.1.address")));
	assert_number(doc, "nodes.1.port", 9901);
	assert_text(doc, "nodes.1.state", "leaving");
	assert_true(json_is_true(at(doc, "nodes.1.self")));
	json_decref(doc);
}

static void node_addresses_may_be_ipv6(void **state)
{
	json_t *doc;

	(void)state;
	fake.members[0].addr = (struct core_addr){ .ip = { 0xfe, 0x80, [15] = 1 }, .port = 1 };
	doc = ask("node list");
	assert_text(doc, "nodes.0.address", "fe80::1");
	json_decref(doc);
}

static void region_show_counts_only_its_own(void **state)
{
	json_t *doc = ask("region show grid");

	(void)state;
	assert_number(doc, "region", 1);
	assert_text(doc, "base", "0x300000000000");
	assert_number(doc, "pages_allocated", 1);
	assert_number(doc, "pages_here.shared", 1);
	assert_number(doc, "pages_here.modified", 0);
	assert_number(doc, "pages_here.homed", 1);
	assert_number(doc, "pages_here.lost", 1);
	assert_int_equal(json_array_size(at(doc, "extents")), 1);
	assert_text(doc, "extents.0.address", "0x1000");
	assert_true(json_is_true(at(doc, "extents.0.allocated")));
	json_decref(doc);
	doc = ask("region list");
	assert_number(doc, "regions.0.size", 1ll << 40);
	assert_text(doc, "regions.1.name", "grid");
	json_decref(doc);
}

static void page_show_takes_a_key(void **state)
{
	json_t *doc = ask("page show 0x1000000000001");

	(void)state;
	assert_text(doc, "state", "shared");
	assert_text(doc, "region_name", "grid");
	assert_text(doc, "global_address", "0x1000");
	assert_text(doc, "address", "0x300000001000");
	assert_number(doc, "version", 5);
	assert_number(doc, "sharers", 2);
	assert_true(json_is_true(at(doc, "lost")));
	json_decref(doc);
}

static void pages_are_listed_as_runs(void **state)
{
	struct core_page_info p = { .key = PAGE_KEY(1, 16), .state = PAGE_SHARED, .home = 1 };
	json_t *doc;

	(void)state;
	fake.npages = 0;
	for (; fake.npages < 5; p.key++) {
		p.state = fake.npages == 3 ? PAGE_MODIFIED : PAGE_SHARED;
		fake.pages[fake.npages++] = p;
	}
	doc = ask("page list 17 grid");
	assert_int_equal(json_array_size(at(doc, "pages")), 3);
	assert_text(doc, "pages.0.address", "0x11000");
	assert_number(doc, "pages.0.pages", 2);
	assert_text(doc, "pages.1.state", "modified");
	assert_true(json_is_null(at(doc, "next")));
	json_decref(doc);
	/* A long list says where to go on. */
	fake.npages = 0;
	fake.runs = 1500;
	doc = ask("page list 0 grid");
	assert_int_equal(json_array_size(at(doc, "pages")), 1000);
	assert_text(doc, "next", "0x3e8000");
	json_decref(doc);
}

static void locks_and_barriers_are_listed(void **state)
{
	json_t *doc = ask("lock list");

	(void)state;
	assert_number(doc, "locks.0.id", 4000000000);
	assert_number(doc, "locks.0.holder", 9);
	assert_text(doc, "locks.0.kind", "mutex");
	json_decref(doc);
	doc = ask("barrier list");
	assert_number(doc, "barriers.0.arrived", 3);
	assert_false(json_is_true(at(doc, "barriers.0.all_nodes")));
	json_decref(doc);
}

static void topics_are_listed(void **state)
{
	json_t *doc = ask("topic list");

	(void)state;
	assert_text(doc, "topics.0.name", "speed?");
	assert_number(doc, "topics.0.subscribers", 2);
	assert_number(doc, "topics.0.version", 77);
	assert_true(json_is_true(at(doc, "topics.0.publishes")));
	assert_false(json_is_true(at(doc, "topics.0.behind")));
	json_decref(doc);
}

static void stats_survive_a_latency_that_is_no_number(void **state)
{
	json_t *doc = ask("stats");

	(void)state;
	assert_number(doc, "faults.read", 11);
	assert_number(doc, "faults.write", 12);
	assert_number(doc, "pages.in", 13);
	assert_number(doc, "pages.out", 14);
	assert_number(doc, "coherence.invalidations", 15);
	assert_number(doc, "wire.bytes_out", 2000);
	assert_true(json_real_value(at(doc, "latency.read.p99_us")) == 20.5);
	assert_true(json_real_value(at(doc, "latency.write.p99_us")) == 0.0);
	json_decref(doc);
}

static void bad_commands_are_told_apart(void **state)
{
	static const struct {
		const char *command;
		int err;
	} cases[] = {
		{ "", -EINVAL },
		{ "statu", -EINVAL },
		{ "status ", -EINVAL },
		{ "region show", -EINVAL },
		{ "region show ", -EINVAL },
		{ "region show nowhere", -ENOENT },
		{ "page show zzz", -EINVAL },
		{ "page show 1x", -EINVAL },
		{ "page show -1", -EINVAL },
		{ "page show 99999999999999999999999", -EINVAL },
		{ "page show 77", -ENOENT },
		{ "page list", -EINVAL },
		{ "page list x grid", -EINVAL },
		{ "page list -1 grid", -EINVAL },
		{ "page list 0 void", -ENOENT },
		{ "events", -EINVAL },
	};
	struct query_source src = source();
	char *text = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(query_run(&src, cases[i].command, &text), cases[i].err);
		assert_null(text);
	}
	assert_true(query_is_events("events"));
	assert_false(query_is_events("event"));
}

static void a_name_that_is_no_utf8_costs_nothing(void **state)
{
	json_t *doc;

	(void)state;
	strcpy(fake.regions[1].name, "gr\xff\xfe");
	doc = ask("region list");
	assert_text(doc, "regions.1.name", "gr??");
	json_decref(doc);
}

/* --- events --- */

static char *poll_events(struct query_events *ev)
{
	struct query_source src = source();
	char *text = (char *)"unset";

	assert_int_equal(query_events_poll(ev, &src, &text), 0);
	return text;
}

/* Each line of @text must be an object; returns line @n and how many there are. */
static json_t *event_line(const char *text, size_t n, size_t *ret_lines)
{
	json_t *found = NULL, *doc;
	json_error_t error;
	size_t lines = 0;

	while (*text) {
		doc = json_loadb(text, strcspn(text, "\n"), 0, &error);
		assert_non_null(doc);
		if (lines++ == n)
			found = doc;
		else
			json_decref(doc);
		text += strcspn(text, "\n") + 1;
	}
	*ret_lines = lines;
	return found;
}

static struct query_events *events;

static int events_setup(void **state)
{
	int err = fake_setup(state);

	events = query_events_new();
	return err;
}

/* The state has been told: what is told next are changes. */
static int changes_setup(void **state)
{
	int err = events_setup(state);

	free(poll_events(events));
	return err;
}

static int events_teardown(void **state)
{
	(void)state;
	query_events_free(events);
	return 0;
}

static void events_begin_with_the_state(void **state)
{
	char *text = poll_events(events);
	size_t lines;
	json_t *doc = event_line(text, 0, &lines);

	(void)state;
	assert_int_equal(lines, 1);
	assert_text(doc, "event", "snapshot");
	assert_text(doc, "status.state", "member");
	assert_number(doc, "nodes.1.node", 2);
	assert_number(doc, "locks.0.holder", 9);
	json_decref(doc);
	free(text);
	assert_null(poll_events(events));
}

static void events_tell_each_change_once(void **state)
{
	size_t lines;
	json_t *doc;
	char *text;

	(void)state;
	fake.nmembers = 1;
	fake.info.epoch = 4;
	fake.locks[0].holder = 0;
	fake.regions[2] = (struct rec_region){ .region = 5, .name = "new" };
	fake.nregions = 3;
	text = poll_events(events);
	doc = event_line(text, 0, &lines);
	assert_int_equal(lines, 4);
	assert_text(doc, "event", "status");
	assert_number(doc, "status.epoch", 4);
	json_decref(doc);
	doc = event_line(text, 1, &lines);
	assert_text(doc, "change", "removed");
	assert_number(doc, "node.node", 2);
	json_decref(doc);
	doc = event_line(text, 2, &lines);
	assert_text(doc, "change", "added");
	assert_text(doc, "region.name", "new");
	json_decref(doc);
	doc = event_line(text, 3, &lines);
	assert_text(doc, "change", "changed");
	assert_number(doc, "lock.holder", 0);
	json_decref(doc);
	free(text);
	assert_null(poll_events(events));
}

static void a_node_that_returns_is_another_node(void **state)
{
	size_t lines;
	char *text;

	(void)state;
	fake.members[0].uid = 99;
	text = poll_events(events);
	json_decref(event_line(text, 0, &lines));
	assert_int_equal(lines, 2); /* one added, one removed */
	free(text);
}

static void a_mutex_and_a_rwlock_of_one_number_are_two(void **state)
{
	size_t lines;
	json_t *doc;
	char *text;

	(void)state;
	fake.locks[1] = fake.locks[0];
	fake.locks[1].rw = true;
	fake.nlocks = 2;
	text = poll_events(events);
	doc = event_line(text, 0, &lines);
	assert_int_equal(lines, 1);
	assert_text(doc, "change", "added");
	assert_text(doc, "lock.kind", "rw");
	json_decref(doc);
	free(text);
}

#define CHANGES(test) cmocka_unit_test_setup_teardown(test, changes_setup, events_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(status_tells_node_and_cluster, fake_setup),
		cmocka_unit_test_setup(nodes_have_addresses_where_known, fake_setup),
		cmocka_unit_test_setup(node_addresses_may_be_ipv6, fake_setup),
		cmocka_unit_test_setup(region_show_counts_only_its_own, fake_setup),
		cmocka_unit_test_setup(page_show_takes_a_key, fake_setup),
		cmocka_unit_test_setup(pages_are_listed_as_runs, fake_setup),
		cmocka_unit_test_setup(locks_and_barriers_are_listed, fake_setup),
		cmocka_unit_test_setup(topics_are_listed, fake_setup),
		cmocka_unit_test_setup(stats_survive_a_latency_that_is_no_number, fake_setup),
		cmocka_unit_test_setup(bad_commands_are_told_apart, fake_setup),
		cmocka_unit_test_setup(a_name_that_is_no_utf8_costs_nothing, fake_setup),
		cmocka_unit_test_setup_teardown(events_begin_with_the_state, events_setup,
						events_teardown),
		CHANGES(events_tell_each_change_once),
		CHANGES(a_node_that_returns_is_another_node),
		CHANGES(a_mutex_and_a_rwlock_of_one_number_are_two),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
