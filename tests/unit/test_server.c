// SPDX-License-Identifier: MIT
/* The client server: requests, their checks, waiting, and the end of sessions. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/core/lock_word.h"
#include "tests/unit/agent_rig.h"

static int setup(void **state)
{
	(void)state;
	rig_open();
	return rig_start(0, NULL);
}

static int teardown(void **state)
{
	(void)state;
	rig_close();
	return 0;
}

static uint64_t next_ticket = 100;

static struct client_req op(uint32_t what, uint32_t id)
{
	return (struct client_req){
		.type = CLIENT_OP,
		.arg = what,
		.id = id,
		.ticket = ++next_ticket,
		.timeout_us = CORE_NO_TIMEOUT,
	};
}

static int ask_op(int session, uint32_t what, uint32_t id)
{
	struct client_req req = op(what, id);

	return rig_ask(session, &req, NULL);
}

/* --- greetings --- */

static void hello_gives_number_and_lock_words(void **state)
{
	struct client_req req = { .type = CLIENT_HELLO,
				  .arg = CLIENT_PROTO_VERSION,
				  .id = HELLO_PROGRAM };
	int s = rig_connect(0), fd = -1;
	struct client_rep rep;
	void *words;

	(void)state;
	rig_send(s, &req, NULL);
	assert_true(rig_receive(s, &rep, NULL, &fd));
	assert_int_equal(rep.err, 0);
	assert_in_range(rep.val[0], 1, 65534);
	assert_int_equal(rep.val[2], CLIENT_PAGER_UFFD);
	assert_int_equal(rep.val[3], rig.cfg[0].port);
	assert_int_equal(rep.val[4], SERVER_LOCK_WORDS);
	words = mmap(NULL, SERVER_LOCK_WORDS * SERVER_LOCK_STRIDE, PROT_READ | PROT_WRITE,
		     MAP_SHARED, fd, 0);
	assert_ptr_not_equal(words, MAP_FAILED);
	munmap(words, SERVER_LOCK_WORDS * SERVER_LOCK_STRIDE);
	close(fd);
	close(s);
}

static void hello_must_be_right_and_first(void **state)
{
	static const struct {
		uint32_t version, flags;
		int err;
	} bad[] = {
		{ 2, HELLO_PROGRAM, EPROTONOSUPPORT },	    { 1, 0, EINVAL },
		{ 1, HELLO_PROGRAM | HELLO_ADMIN, EINVAL }, { 1, HELLO_OWNER, EINVAL },
		{ 1, HELLO_PROGRAM | 1 << 20, EINVAL },	    { 1, HELLO_THREAD, ESRCH },
	};
	struct client_req req = { .type = CLIENT_STATUS };
	int s = rig_connect(0);

	(void)state;
	assert_int_equal(rig_ask(s, &req, NULL), EPERM);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		req = (struct client_req){ .type = CLIENT_HELLO,
					   .arg = bad[i].version,
					   .id = bad[i].flags };
		assert_int_equal(rig_ask(s, &req, NULL), bad[i].err);
	}
	req = (struct client_req){ .type = CLIENT_HELLO, .arg = 1, .id = HELLO_PROGRAM };
	assert_int_equal(rig_ask(s, &req, NULL), 0);
	assert_int_equal(rig_ask(s, &req, NULL), EALREADY);
	close(s);
}

/* --- bad requests --- */

static void bad_fields_are_refused(void **state)
{
	int s = rig_session(0, HELLO_PROGRAM, NULL);
	struct client_req req;

	(void)state;
	req = (struct client_req){ .type = 99 };
	assert_int_equal(rig_ask(s, &req, NULL), EINVAL);
	req = (struct client_req){ .type = CLIENT_STATUS, .reserved = 1 };
	assert_int_equal(rig_ask(s, &req, NULL), EINVAL);
	req = (struct client_req){ .type = CLIENT_STATUS, .flags = 1 << 30 };
	assert_int_equal(rig_ask(s, &req, NULL), EINVAL);
	req = (struct client_req){ .type = CLIENT_REGION_ATTACH };
	memset(req.name, 'x', sizeof(req.name));
	assert_int_equal(rig_ask(s, &req, NULL), EINVAL);
	assert_int_equal(ask_op(s, 0, 0), EINVAL);
	assert_int_equal(ask_op(s, 77, 0), EINVAL);
	req = op(OP_ALLOC, 0);
	assert_int_equal(rig_ask(s, &req, NULL), EINVAL); /* no pages */
	req.count = 1ull << 40;
	assert_int_equal(rig_ask(s, &req, NULL), EINVAL);
	req = (struct client_req){ .type = CLIENT_LIST, .arg = 9 };
	assert_int_equal(rig_ask(s, &req, NULL), EINVAL);
	req = (struct client_req){ .type = CLIENT_LOG_LEVEL, .arg = 4 };
	assert_int_equal(rig_ask(s, &req, NULL), EINVAL);
	req = (struct client_req){ .type = CLIENT_REGION_DETACH, .arg = 3 };
	assert_int_equal(rig_ask(s, &req, NULL), ENOENT);
	/* After all that it still works. */
	req = (struct client_req){ .type = CLIENT_STATUS };
	assert_int_equal(rig_ask(s, &req, NULL), 0);
	close(s);
}

static void packets_of_the_wrong_length_end_the_session(void **state)
{
	struct client_req req = { .type = CLIENT_STATUS, .length = 50 };
	int other = rig_session(0, HELLO_ADMIN, NULL);
	int s = rig_session(0, HELLO_ADMIN, NULL);
	struct client_rep rep;
	char big[8192] = { 0 };

	(void)state;
	assert_int_equal(send(s, &req, sizeof(req), 0), sizeof(req)); /* says 50 more, has none */
	assert_false(rig_receive(s, &rep, NULL, NULL));
	close(s);
	s = rig_session(0, HELLO_ADMIN, NULL);
	assert_int_equal(send(s, big, 10, 0), 10);
	assert_false(rig_receive(s, &rep, NULL, NULL));
	close(s);
	s = rig_session(0, HELLO_ADMIN, NULL);
	assert_int_equal(send(s, big, sizeof(big), 0), sizeof(big));
	assert_false(rig_receive(s, &rep, NULL, NULL));
	close(s);
	req.length = 0;
	assert_int_equal(rig_ask(other, &req, NULL), 0);
	close(other);
}

static void descriptors_where_none_belong_are_refused_and_closed(void **state)
{
	int s = rig_session(0, HELLO_PROGRAM, NULL), ends[2];
	struct client_req req = { .type = CLIENT_STATUS };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { &req, sizeof(req) };
	struct msghdr mh = { .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control) };
	struct client_rep rep;
	char byte;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	CMSG_FIRSTHDR(&mh)->cmsg_level = SOL_SOCKET;
	CMSG_FIRSTHDR(&mh)->cmsg_type = SCM_RIGHTS;
	CMSG_FIRSTHDR(&mh)->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(CMSG_FIRSTHDR(&mh)), &ends[1], sizeof(int));
	assert_int_equal(sendmsg(s, &mh, 0), sizeof(req));
	assert_true(rig_receive(s, &rep, NULL, NULL));
	assert_int_equal(rep.err, EINVAL);
	close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 0); /* end of file: no copy of it is left */
	close(ends[0]);
	close(s);
}

/* --- operations --- */

static void a_lock_waits_and_goes_on_at_the_holders_end(void **state)
{
	int a = rig_session(0, HELLO_PROGRAM, NULL), b = rig_session(0, HELLO_PROGRAM, NULL);
	struct client_req req = op(OP_LOCK, 5);
	struct client_rep rep;

	(void)state;
	assert_int_equal(ask_op(a, OP_LOCK, 5), 0);
	rig_send(b, &req, NULL);
	assert_false(rig_has_reply(b));
	close(a);
	assert_true(rig_receive(b, &rep, NULL, NULL));
	assert_int_equal(rep.err, EOWNERDEAD);
	close(b);
}

static void a_session_asks_one_thing_at_a_time(void **state)
{
	int a = rig_session(0, HELLO_PROGRAM, NULL), b = rig_session(0, HELLO_PROGRAM, NULL);
	struct client_req wait = op(OP_LOCK, 5), more = { .type = CLIENT_STATUS, .ticket = 7 };
	struct client_rep rep;

	(void)state;
	assert_int_equal(ask_op(a, OP_LOCK, 5), 0);
	rig_send(b, &wait, NULL);
	assert_int_equal(rig_ask(b, &more, NULL), EBUSY);
	assert_int_equal(ask_op(a, OP_UNLOCK, 5), 0);
	assert_true(rig_receive(b, &rep, NULL, NULL));
	assert_int_equal(rep.ticket, wait.ticket);
	assert_int_equal(rep.err, 0);
	close(a);
	close(b);
}

static void a_lock_times_out(void **state)
{
	int a = rig_session(0, HELLO_PROGRAM, NULL), b = rig_session(0, HELLO_PROGRAM, NULL);
	struct client_req req = op(OP_LOCK, 5);

	(void)state;
	assert_int_equal(ask_op(a, OP_LOCK, 5), 0);
	req.timeout_us = 20000;
	assert_int_equal(rig_ask(b, &req, NULL), ETIMEDOUT);
	assert_int_equal(ask_op(b, OP_UNLOCK, 5), EPERM);
	close(a);
	close(b);
}

/* --- barriers of all nodes --- */

static void enter(int session, uint64_t timeout_us)
{
	struct client_req req = op(OP_BARRIER, 1);

	req.timeout_us = timeout_us;
	rig_send(session, &req, NULL);
}

static void assert_released(int session, int err)
{
	struct client_rep rep;

	assert_true(rig_receive(session, &rep, NULL, NULL));
	assert_int_equal(rep.err, err);
}

static void a_node_arrives_when_all_its_programs_wait(void **state)
{
	int a = rig_session(0, HELLO_PROGRAM, NULL), b = rig_session(0, HELLO_PROGRAM, NULL), other;

	(void)state;
	assert_int_equal(rig_start(1, NULL), 0);
	other = rig_session(1, HELLO_PROGRAM, NULL);
	for (int round = 0; round < 5; round++) {
		enter(other, CORE_NO_TIMEOUT);
		enter(a, CORE_NO_TIMEOUT);
		assert_false(rig_has_reply(other));
		assert_false(rig_has_reply(a));
		enter(b, CORE_NO_TIMEOUT);
		assert_released(a, 0);
		assert_released(b, 0);
		assert_released(other, 0);
	}
	close(a);
	close(b);
	close(other);
}

static void a_thread_arrives_for_its_program(void **state)
{
	uint32_t number;
	int a = rig_session(0, HELLO_PROGRAM, &number), t = rig_session(0, HELLO_THREAD, &number);

	(void)state;
	enter(t, CORE_NO_TIMEOUT);
	assert_released(t, 0);
	close(t);
	close(a);
}

static void the_end_of_the_missing_program_releases_the_others(void **state)
{
	int a = rig_session(0, HELLO_PROGRAM, NULL), b = rig_session(0, HELLO_PROGRAM, NULL);

	(void)state;
	enter(a, CORE_NO_TIMEOUT);
	assert_false(rig_has_reply(a));
	close(b);
	assert_released(a, 0);
	close(a);
}

static void an_arrival_is_taken_back_when_its_waiter_gives_up(void **state)
{
	int a = rig_session(0, HELLO_PROGRAM, NULL), other;

	(void)state;
	assert_int_equal(rig_start(1, NULL), 0);
	other = rig_session(1, HELLO_PROGRAM, NULL);
	enter(a, 20000);
	assert_released(a, ETIMEDOUT);
	enter(other, CORE_NO_TIMEOUT);
	assert_false(rig_has_reply(other)); /* node 1 does not count as arrived any more */
	enter(a, CORE_NO_TIMEOUT);
	assert_released(a, 0);
	assert_released(other, 0);
	close(a);
	close(other);
}

static void the_command_line_is_no_participant(void **state)
{
	int admin = rig_session(0, HELLO_ADMIN, NULL), a = rig_session(0, HELLO_PROGRAM, NULL);

	(void)state;
	assert_int_equal(ask_op(admin, OP_BARRIER, 1), EPERM);
	enter(a, CORE_NO_TIMEOUT);
	assert_released(a, 0);
	close(a);
	close(admin);
}

/* --- regions --- */

static void attaching_gives_address_and_descriptor(void **state)
{
	int s = rig_session(0, HELLO_PROGRAM, NULL), fd = -1;
	struct client_req req = { .type = CLIENT_REGION_ATTACH, .name = "default" };
	struct client_rep rep;

	(void)state;
	rig_send(s, &req, NULL);
	assert_true(rig_receive(s, &rep, NULL, &fd));
	assert_int_equal(rep.err, 0);
	assert_int_equal(rep.val[0], 0);
	assert_true(rep.val[2] == 0x200000000000ull);
	assert_true(fd >= 0);
	close(fd);
	strcpy(req.name, "nobody made me");
	assert_int_equal(rig_ask(s, &req, NULL), ENOENT);
	req = (struct client_req){ .type = CLIENT_REGION_UFFD, .a = rep.val[2] };
	assert_int_equal(rig_ask(s, &req, NULL), EBADF); /* no descriptor came along */
	close(s);
}

/* --- lists and queries --- */

static void a_list_comes_in_pieces(void **state)
{
	struct client_req req = { .type = CLIENT_LIST, .arg = LIST_LOCAL_PAGES, .ticket = 4 };
	static char payload[CLIENT_PACKET_MAX];
	int s = rig_session(0, HELLO_ADMIN, NULL);
	struct client_rep rep;
	size_t records = 0;

	(void)state;
	assert_true(rig_touch(0, 1, true));
	rig_send(s, &req, NULL);
	do {
		assert_true(rig_receive(s, &rep, payload, NULL));
		assert_int_equal(rep.length % sizeof(struct client_page), 0);
		records += rep.length / sizeof(struct client_page);
	} while (!(rep.flags & CLIENT_LAST));
	assert_true(records >= 1);
	req.key = UINT64_MAX; /* from there on: nothing */
	rig_send(s, &req, NULL);
	assert_true(rig_receive(s, &rep, payload, NULL));
	assert_int_equal(rep.length, 0);
	assert_true(rep.flags & CLIENT_LAST);
	close(s);
}

static void send_query(int session, const char *command)
{
	struct client_req req = { .type = CLIENT_QUERY, .length = (uint32_t)strlen(command) };

	rig_send(session, &req, command);
}

static void queries_are_answered_in_json(void **state)
{
	static char payload[CLIENT_PACKET_MAX];
	int s = rig_session(0, HELLO_ADMIN, NULL);
	struct client_rep rep;

	(void)state;
	send_query(s, "status");
	assert_true(rig_receive(s, &rep, payload, NULL));
	assert_int_equal(rep.err, 0);
	assert_int_equal(payload[0], '{');
	send_query(s, "no such thing");
	assert_true(rig_receive(s, &rep, NULL, NULL));
	assert_int_equal(rep.err, EINVAL);
	close(s);
}

static void events_go_on(void **state)
{
	static char payload[CLIENT_PACKET_MAX];
	int s = rig_session(0, HELLO_ADMIN, NULL);
	struct client_rep rep;

	(void)state;
	send_query(s, "events");
	assert_true(rig_receive(s, &rep, payload, NULL));
	assert_int_equal(payload[0], '{');
	assert_false(rep.flags & CLIENT_LAST);
	assert_int_equal(rig_start(1, NULL), 0);
	assert_true(rig_receive(s, &rep, payload, NULL)); /* a node has come */
	assert_true(rep.length > 0);
	close(s);
}

/* A client that asks and asks and reads nothing stops being heard; the others do not notice. */
static void who_does_not_read_is_not_waited_for(void **state)
{
	struct client_req req = { .type = CLIENT_STATUS };
	int slow = rig_session(0, HELLO_ADMIN, NULL), s = rig_session(0, HELLO_ADMIN, NULL);
	unsigned int sent = 0;
	struct client_rep rep;

	(void)state;
	for (int i = 0; i < 5000; i++) {
		while (send(slow, &req, sizeof(req), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
			sent++;
		rig_turn();
	}
	assert_int_equal(rig_ask(s, &req, NULL), 0);
	/* When it reads at last, every question has its answer. */
	while (sent--) {
		assert_true(rig_receive(slow, &rep, NULL, NULL));
		assert_int_equal(rep.err, 0);
	}
	close(slow);
	close(s);
}

/* --- the end --- */

static bool has_left(void *ctx)
{
	return ((struct agent *)ctx)->left;
}

static void an_agent_ends_with_its_owner(void **state)
{
	int s = rig_session(0, HELLO_PROGRAM | HELLO_OWNER, NULL);

	(void)state;
	rig_turn();
	assert_false(rig.agent[0].left);
	close(s);
	assert_true(rig_until(has_left, &rig.agent[0]));
	assert_int_equal(rig.agent[0].exit_status, 0);
}

static void leave_is_answered_when_out(void **state)
{
	int s = rig_session(0, HELLO_ADMIN, NULL);
	struct client_req req = { .type = CLIENT_LEAVE };

	(void)state;
	assert_int_equal(rig_ask(s, &req, NULL), 0);
	assert_true(rig.agent[0].left);
	close(s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(hello_gives_number_and_lock_words),
		TEST(hello_must_be_right_and_first),
		TEST(bad_fields_are_refused),
		TEST(packets_of_the_wrong_length_end_the_session),
		TEST(descriptors_where_none_belong_are_refused_and_closed),
		TEST(a_lock_waits_and_goes_on_at_the_holders_end),
		TEST(a_session_asks_one_thing_at_a_time),
		TEST(a_lock_times_out),
		TEST(a_node_arrives_when_all_its_programs_wait),
		TEST(a_thread_arrives_for_its_program),
		TEST(the_end_of_the_missing_program_releases_the_others),
		TEST(an_arrival_is_taken_back_when_its_waiter_gives_up),
		TEST(the_command_line_is_no_participant),
		TEST(attaching_gives_address_and_descriptor),
		TEST(a_list_comes_in_pieces),
		TEST(queries_are_answered_in_json),
		TEST(events_go_on),
		TEST(who_does_not_read_is_not_waited_for),
		TEST(an_agent_ends_with_its_owner),
		TEST(leave_is_answered_when_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
