// SPDX-License-Identifier: MIT
/* The shell and the core together: pages between agents, and how an agent starts, leaves and stops. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/exit_status.h"
#include "tests/unit/agent_rig.h"

static int setup(void **state)
{
	(void)state;
	rig_open();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rig_close();
	return 0;
}

/* A program of agent @i stores into a page it may write. */
static void put(unsigned int i, uint64_t page, const char *text)
{
	assert_true(rig_touch(i, page, true));
	strcpy(rig_pager(i)->pages[page].bytes, text);
}

static const char *get(unsigned int i, uint64_t page)
{
	assert_true(rig_touch(i, page, false));
	return rig_pager(i)->pages[page].bytes;
}

static void what_one_node_writes_the_others_read(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(rig_start(i, NULL), 0);
	put(0, 5, "from the first");
	assert_string_equal(get(1, 5), "from the first");
	put(1, 5, "from the second");
	assert_int_equal(rig_pager(0)->pages[5].prot, PAGER_NONE);
	assert_string_equal(get(2, 5), "from the second");
	assert_string_equal(get(0, 5), "from the second");
	put(2, 5, "from the third");
	assert_string_equal(get(0, 5), "from the third");
	assert_string_equal(get(1, 5), "from the third");
}

/* However much of a page and what comes before it the socket takes at once. */
static void pages_that_the_pager_sends_arrive(void **state)
{
	static const size_t takes[] = { 1, 100, 128, 129, 1000, 4096, 4223, 4224, 100000 };
	size_t n = sizeof(takes) / sizeof(takes[0]);
	char text[20];

	(void)state;
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(rig_start(i, NULL), 0);
	for (uint64_t page = 0; page < n; page++) {
		snprintf(text, sizeof(text), "page %u", (unsigned int)page);
		put(0, page, text);
	}
	for (uint64_t page = 0; page < n; page++) {
		snprintf(text, sizeof(text), "page %u", (unsigned int)page);
		rig_pager(0)->takes = takes[page];
		assert_string_equal(get(1, page), text);
	}
	assert_true(rig_pager(0)->sends > 0);
	put(1, 0, "and back");
	assert_string_equal(get(0, 0), "and back");
}

static void a_writer_is_alone(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(rig_start(i, NULL), 0);
	for (unsigned int round = 0; round < 60; round++) {
		unsigned int writer = round % 3;

		assert_true(rig_touch((round + 1) % 3, 9, false));
		assert_true(rig_touch(writer, 9, true));
		for (unsigned int i = 0; i < 3; i++)
			assert_int_equal(rig_pager(i)->pages[9].prot,
					 i == writer ? PAGER_WRITE : PAGER_NONE);
	}
}

static void a_pinned_page_goes_when_its_io_has_ended(void **state)
{
	(void)state;
	assert_int_equal(rig_start(0, NULL), 0);
	assert_int_equal(rig_start(1, NULL), 0);
	put(0, 7, "pinned");
	rig_pager(0)->busy = 5;
	put(1, 7, "taken");
	assert_int_equal(rig_pager(0)->busy, 0);
	assert_true(rig_pager(0)->revokes >= 6);
	assert_string_equal(get(0, 7), "taken");
}

static void no_chunks(struct config *cfg)
{
	cfg->chunks = 0;
}

static void an_exhausted_pool_is_an_error_not_a_wait(void **state)
{
	(void)state;
	assert_int_equal(rig_start(0, no_chunks), 0);
	assert_false(rig_touch(0, 3, true));
	assert_true(rig_pager(0)->pages[3].failed > 0);
}

static void faults_are_timed(void **state)
{
	(void)state;
	assert_int_equal(rig_start(0, NULL), 0);
	assert_int_equal(rig_start(1, NULL), 0);
	put(0, 1, "x");
	(void)get(1, 1);
	assert_int_equal(rig.agent[0].latency.write.n, 1);
	assert_int_equal(rig.agent[1].latency.read.n, 1);
}

static bool has_left(void *ctx)
{
	return ((struct agent *)ctx)->left;
}

static void who_leaves_hands_its_pages_over(void **state)
{
	(void)state;
	assert_int_equal(rig_start(0, NULL), 0);
	assert_int_equal(rig_start(1, NULL), 0);
	put(1, 20, "kept");
	agent_leave(&rig.agent[1]);
	assert_true(rig_until(has_left, &rig.agent[1]));
	rig_stop(1);
	assert_string_equal(get(0, 20), "kept");
}

static bool knows_two(void *ctx)
{
	struct core_info info;

	core_info_get(((struct agent *)ctx)->core, &info);
	return info.state == CORE_MEMBER && info.members == 2 && !info.rebuilding;
}

/* Agent @i is killed and comes back in time: what its programs hold goes on. */
static void check_restart(unsigned int i)
{
	struct core_info before, after;

	assert_int_equal(rig_start(0, NULL), 0);
	assert_int_equal(rig_start(1, NULL), 0);
	put(0, 40, "of the first");
	put(1, 41, "of the second");
	put(0, 42, "shared");
	put(i, 100, "known to nobody else");
	(void)get(1, 42);
	core_info_get(rig.agent[i].core, &before);
	rig_kill(i);
	/* It finds the other as it would by discovery. */
	rig.cfg[i].standalone = false;
	rig.cfg[i].nseeds = 1;
	rig.cfg[i].seeds[0] = rig.cfg[1].seeds[0];
	rig.cfg[i].seeds[0].port = rig.cfg[!i].port;
	assert_int_equal(rig_start_again(i), 0);
	assert_true(rig_until(knows_two, &rig.agent[0]));
	assert_true(rig_until(knows_two, &rig.agent[1]));
	core_info_get(rig.agent[i].core, &after);
	assert_true(after.cluster == before.cluster);
	assert_int_equal(after.nid, before.nid);
	assert_string_equal(get(1, 40), "of the first");
	assert_string_equal(get(0, 41), "of the second");
	assert_string_equal(get(0, 42), "shared");
	assert_string_equal(get(!i, 100), "known to nobody else");
	put(1, 42, "and on it goes");
	assert_string_equal(get(0, 42), "and on it goes");
}

static void an_agent_that_comes_back_takes_its_place(void **state)
{
	(void)state;
	check_restart(1);
}

static void so_does_the_masters(void **state)
{
	(void)state;
	check_restart(0);
}

static bool knows_three(void *ctx)
{
	struct core_info info;

	core_info_get(((struct agent *)ctx)->core, &info);
	return info.state == CORE_MEMBER && info.members == 3 && !info.rebuilding;
}

/* What the restarted one had written is at home elsewhere, and the other way round. */
static void a_master_that_comes_back_meets_all_it_knew(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(rig_start(i, NULL), 0);
	put(2, 60, "at home at the third");
	put(0, 60, "written by the first");
	put(0, 80, "at home at the first");
	put(2, 80, "written by the third");
	put(0, 120, "only ever at the first");
	rig_kill(0);
	rig.cfg[0].standalone = false;
	rig.cfg[0].nseeds = 1;
	rig.cfg[0].seeds[0] = rig.cfg[1].seeds[0];
	rig.cfg[0].seeds[0].port = rig.cfg[1].port;
	assert_int_equal(rig_start_again(0), 0);
	for (unsigned int i = 0; i < 3; i++)
		assert_true(rig_until(knows_three, &rig.agent[i]));
	for (unsigned int i = 0; i < 3; i++) {
		assert_string_equal(get(i, 60), "written by the first");
		assert_string_equal(get(i, 80), "written by the third");
		assert_string_equal(get(i, 120), "only ever at the first");
	}
	put(1, 120, "and on it goes");
	assert_string_equal(get(0, 120), "and on it goes");
}

static bool is_a_member(void *ctx)
{
	struct core_info info;

	core_info_get(((struct agent *)ctx)->core, &info);
	return info.state == CORE_MEMBER && !info.rebuilding;
}

/* The key of @pages that a program of agent 0 allocates, or frees where @key is given. */
static int memory(uint32_t op, uint64_t pages, uint64_t *key)
{
	int s = rig_session(0, HELLO_PROGRAM, NULL), err;
	struct client_req req = { .type = CLIENT_OP,
				  .arg = op,
				  .key = *key,
				  .count = pages,
				  .timeout_us = CORE_NO_TIMEOUT };
	struct client_rep rep;

	err = rig_ask(s, &req, &rep);
	if (op == OP_ALLOC)
		*key = rep.val[0];
	close(s);
	return err;
}

/* Nobody else knows what it gave out; twice, for the second life writes anew what the first had kept. */
static void a_master_that_was_alone_finds_its_blocks(void **state)
{
	uint64_t used = 0, untouched = 0, next = 0;

	(void)state;
	assert_int_equal(rig_start(0, NULL), 0);
	assert_int_equal(memory(OP_ALLOC, 3, &used), 0);
	assert_int_equal(memory(OP_ALLOC, 2, &untouched), 0);
	for (int life = 0; life < 2; life++) {
		rig_kill(0);
		assert_int_equal(rig_start_again(0), 0);
		assert_true(rig_until(is_a_member, &rig.agent[0]));
		next = 0;
		assert_int_equal(memory(OP_ALLOC, 2, &next), 0);
		assert_true(next != untouched && next != used);
		assert_int_equal(memory(OP_FREE, 0, &next), 0);
	}
	assert_int_equal(memory(OP_FREE, 0, &untouched), 0);
	assert_int_equal(memory(OP_FREE, 0, &untouched), EINVAL);
	assert_int_equal(memory(OP_FREE, 0, &used), 0);
	rig_kill(0);
	assert_int_equal(rig_start_again(0), 0);
	assert_true(rig_until(is_a_member, &rig.agent[0]));
	assert_int_equal(memory(OP_FREE, 0, &used), EINVAL);
}

static void who_leaves_keeps_nothing_for_another(void **state)
{
	char path[128];

	(void)state;
	assert_int_equal(rig_start(0, NULL), 0);
	snprintf(path, sizeof(path), "%s/dsmd-%u.kept", rig.run_dir, rig.cfg[0].port);
	assert_int_equal(access(path, F_OK), 0);
	agent_leave(&rig.agent[0]); /* alone: at once */
	assert_true(rig.agent[0].left);
	rig_stop(0);
	assert_int_equal(access(path, F_OK), -1);
}

static void leaving_twice_is_leaving_at_once(void **state)
{
	(void)state;
	assert_int_equal(rig_start(0, NULL), 0);
	assert_int_equal(rig_start(1, NULL), 0);
	put(1, 20, "x");
	agent_leave(&rig.agent[1]);
	agent_leave(&rig.agent[1]);
	assert_true(rig.agent[1].left);
	assert_int_equal(rig.agent[1].exit_status, DSMD_EXIT_FAILED);
}

static void same_port(struct config *cfg)
{
	cfg->port = rig.cfg[0].port;
}

static void same_port_elsewhere(struct config *cfg)
{
	same_port(cfg);
	strcat(cfg->run_dir, "/other");
}

static void two_agents_cannot_have_one_port(void **state)
{
	(void)state;
	assert_int_equal(rig_start(0, NULL), 0);
	assert_int_equal(rig_start(1, same_port), DSMD_EXIT_IN_USE);
	assert_int_equal(rig_start(1, same_port_elsewhere), DSMD_EXIT_IN_USE);
	/* The first one is none the worse. */
	assert_true(rig_touch(0, 1, true));
	close(rig_session(0, HELLO_ADMIN, NULL));
}

static void a_dead_agents_socket_is_replaced(void **state)
{
	char path[128];

	(void)state;
	assert_int_equal(rig_start(0, NULL), 0);
	snprintf(path, sizeof(path), "%s/dsmd-%u.sock", rig.run_dir, rig.cfg[0].port);
	rig_stop(0);
	assert_int_equal(access(path, F_OK), -1);
	/* As after a kill: the file is there, nobody listens. */
	assert_int_equal(symlink("/nowhere", path), 0);
	assert_int_equal(rig_start(0, NULL), 0);
	close(rig_session(0, HELLO_ADMIN, NULL));
}

static void only_kmod(struct config *cfg)
{
	cfg->pager = CONFIG_PAGER_KMOD;
}

static void a_pager_that_cannot_work_is_not_started(void **state)
{
	(void)state;
	assert_int_equal(rig_start(0, only_kmod), DSMD_EXIT_PAGER);
	assert_int_equal(rig_start(0, NULL), 0); /* auto finds the other one */
	assert_string_equal(rig.agent[0].ops->name, "uffd");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_one_node_writes_the_others_read),
		TEST(pages_that_the_pager_sends_arrive),
		TEST(a_writer_is_alone),
		TEST(a_pinned_page_goes_when_its_io_has_ended),
		TEST(an_exhausted_pool_is_an_error_not_a_wait),
		TEST(faults_are_timed),
		TEST(who_leaves_hands_its_pages_over),
		TEST(an_agent_that_comes_back_takes_its_place),
		TEST(so_does_the_masters),
		TEST(a_master_that_comes_back_meets_all_it_knew),
		TEST(a_master_that_was_alone_finds_its_blocks),
		TEST(who_leaves_keeps_nothing_for_another),
		TEST(leaving_twice_is_leaving_at_once),
		TEST(two_agents_cannot_have_one_port),
		TEST(a_dead_agents_socket_is_replaced),
		TEST(a_pager_that_cannot_work_is_not_started),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
