// SPDX-License-Identifier: MIT
/* The pipes of a session: what they carry, and whose end is whose. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/agent_rig.h"

#define LOCK 5

/* A session as a program's thread has it. */
struct piped {
	int session, to, from;
};

static uint64_t next_ticket = 100;

static int setup(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN); /* as dsmd does */
	rig_open();
	return rig_start(0, NULL);
}

static int teardown(void **state)
{
	(void)state;
	rig_close();
	return 0;
}

/* CLIENT_PIPES with @fd along (-1: none). @ret: the end for requests, or -1. */
static int ask_pipes(int session, int fd, int *ret)
{
	struct client_req req = { .type = CLIENT_PIPES, .ticket = ++next_ticket };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { &req, sizeof(req) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct client_rep rep;
	struct cmsghdr *h;

	if (fd >= 0) {
		mh.msg_control = &control;
		mh.msg_controllen = sizeof(control);
		h = CMSG_FIRSTHDR(&mh);
		*h = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(h), &fd, sizeof(fd));
	}
	assert_int_equal(sendmsg(session, &mh, 0), sizeof(req));
	assert_true(rig_receive(session, &rep, NULL, ret));
	assert_int_equal(rep.ticket, req.ticket);
	return rep.err;
}

static struct piped open_piped(void)
{
	struct piped p = { .session = rig_session(0, HELLO_PROGRAM, NULL) };
	int answers[2];

	assert_int_equal(pipe(answers), 0);
	assert_int_equal(ask_pipes(p.session, answers[1], &p.to), 0);
	close(answers[1]);
	p.from = answers[0];
	return p;
}

static void close_piped(struct piped *p)
{
	close(p->session);
	close(p->to);
	close(p->from);
}

static struct client_req lock_op(uint32_t what)
{
	return (struct client_req){
		.type = CLIENT_OP,
		.arg = what,
		.id = LOCK,
		.ticket = ++next_ticket,
		.timeout_us = CORE_NO_TIMEOUT,
	};
}

static void tell(const struct piped *p, const struct client_req *req)
{
	assert_int_equal(write(p->to, req, sizeof(*req)), sizeof(*req));
}

static bool readable(void *ctx)
{
	struct pollfd p = { .fd = *(int *)ctx, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

/* False: the end of the answers. */
static bool answer(struct piped *p, struct client_rep *ret)
{
	ssize_t n;

	assert_true(rig_until(readable, &p->from));
	n = read(p->from, ret, sizeof(*ret));
	assert_true(!n || n == sizeof(*ret));
	return n;
}

static int ask(struct piped *p, const struct client_req *req)
{
	struct client_rep rep;

	tell(p, req);
	assert_true(answer(p, &rep));
	assert_int_equal(rep.ticket, req->ticket);
	assert_int_equal(rep.type, req->type);
	return rep.err;
}

static int ask_lock(struct piped *p, uint32_t what)
{
	struct client_req req = lock_op(what);

	return ask(p, &req);
}

static void operations_go_through_and_come_back(void **state)
{
	struct piped p = open_piped();
	struct client_req req = lock_op(OP_UNLOCK);

	(void)state;
	assert_int_equal(ask_lock(&p, OP_LOCK), 0);
	assert_int_equal(ask_lock(&p, OP_LOCK), EDEADLK);
	assert_int_equal(rig_ask(p.session, &req, NULL),
			 0); /* the socket is answered by the socket */
	assert_int_equal(ask_lock(&p, OP_UNLOCK), EPERM);
	assert_false(rig_has_reply(p.session));
	close_piped(&p);
}

static void a_lock_is_waited_for_and_handed_on_at_an_end(void **state)
{
	struct piped a = open_piped(), b = open_piped();
	struct client_req req = lock_op(OP_LOCK);
	struct client_rep rep;

	(void)state;
	assert_int_equal(ask_lock(&a, OP_LOCK), 0);
	tell(&b, &req);
	assert_false(rig_has_reply(b.from));
	close(a.to); /* the pipe's end is the session's */
	assert_true(answer(&b, &rep));
	assert_int_equal(rep.err, EOWNERDEAD);
	assert_false(rig_receive(a.session, &rep, NULL, NULL));
	assert_false(answer(&a, &rep));
	close(a.session);
	close(a.from);
	close_piped(&b);
}

static void one_thing_is_asked_at_a_time(void **state)
{
	struct piped a = open_piped(), b = open_piped();
	struct client_req wait = lock_op(OP_LOCK), status = { .type = CLIENT_STATUS, .ticket = 7 };
	struct client_rep rep;

	(void)state;
	assert_int_equal(ask_lock(&a, OP_LOCK), 0);
	tell(&b, &wait);
	assert_int_equal(ask_lock(&b, OP_LOCK), EBUSY);
	assert_int_equal(rig_ask(b.session, &status, NULL), EBUSY);
	assert_int_equal(ask_lock(&a, OP_UNLOCK), 0);
	assert_true(answer(&b, &rep));
	assert_int_equal(rep.ticket, wait.ticket);
	assert_int_equal(rep.err, 0);
	close_piped(&a);
	close_piped(&b);
}

static void what_is_no_operation_is_refused(void **state)
{
	struct piped p = open_piped();
	struct client_req status = { .type = CLIENT_STATUS, .ticket = ++next_ticket };
	struct client_req strange = lock_op(99);

	(void)state;
	assert_int_equal(ask(&p, &status), EINVAL);
	assert_int_equal(ask(&p, &strange), EINVAL);
	assert_int_equal(ask_lock(&p, OP_LOCK), 0);
	close_piped(&p);
}

static void a_piece_of_a_request_ends_the_session(void **state)
{
	struct piped p = open_piped(), q = open_piped();
	struct client_req no_payload = lock_op(OP_BARRIER);
	struct client_rep rep;

	(void)state;
	assert_int_equal(write(p.to, "half", 4), 4);
	assert_false(answer(&p, &rep));
	close_piped(&p);
	no_payload.length = sizeof(struct client_ahead);
	tell(&q, &no_payload);
	assert_false(answer(&q, &rep));
	close_piped(&q);
}

/* A request with @size bytes of what it wants after a barrier. */
static int ask_ahead(struct piped *p, uint32_t what, struct client_ahead ahead, uint32_t size)
{
	struct {
		struct client_req req;
		struct client_ahead ahead[CLIENT_AHEAD_MAX + 1];
	} packet = { .req = lock_op(what) };
	struct client_rep rep;

	packet.req.count = 1;
	packet.req.length = size;
	for (uint32_t i = 0; i <= CLIENT_AHEAD_MAX; i++)
		packet.ahead[i] = ahead;
	assert_int_equal(write(p->to, &packet, sizeof(packet.req) + size),
			 sizeof(packet.req) + size);
	assert_true(answer(p, &rep));
	assert_int_equal(rep.ticket, packet.req.ticket);
	return rep.err;
}

static void what_a_barrier_takes_along_is_checked(void **state)
{
	struct piped p = open_piped();
	struct client_ahead good = { .count = 1 }, none = { 0 }, flags = { .count = 1, .flags = 8 };
	struct client_ahead beyond = { .key = PAGE_KEY_PAGE(UINT64_MAX), .count = 2 };
	uint32_t one = sizeof(good);

	(void)state;
	assert_int_equal(ask_ahead(&p, OP_BARRIER, good, one), 0);
	assert_int_equal(ask_ahead(&p, OP_BARRIER, good, CLIENT_AHEAD_MAX * one), 0);
	assert_int_equal(ask_ahead(&p, OP_BARRIER, good, (CLIENT_AHEAD_MAX + 1) * one), EINVAL);
	assert_int_equal(ask_ahead(&p, OP_BARRIER, good, one - 1), EINVAL);
	assert_int_equal(ask_ahead(&p, OP_BARRIER, none, one), EINVAL);
	assert_int_equal(ask_ahead(&p, OP_BARRIER, flags, one), EINVAL);
	assert_int_equal(ask_ahead(&p, OP_BARRIER, beyond, one), EINVAL);
	assert_int_equal(ask_ahead(&p, OP_LOCK, good, one), EINVAL);
	assert_int_equal(ask_lock(&p, OP_LOCK), 0);
	close_piped(&p);
}

/* More than a pipe holds is asked, and not one answer read. */
static void who_does_not_read_is_not_waited_for(void **state)
{
	struct piped p = open_piped();
	struct client_rep rep;

	(void)state;
	for (int i = 0; i < 4000 && !readable(&p.session); i++) {
		struct client_req req = lock_op(OP_UNLOCK);

		tell(&p, &req);
		rig_turn();
	}
	assert_false(rig_receive(p.session, &rep, NULL, NULL));
	close_piped(&p);
}

static void only_pipes_are_taken_and_once(void **state)
{
	struct piped p = open_piped();
	int s = rig_session(0, HELLO_PROGRAM, NULL), to, ends[2];

	(void)state;
	assert_int_equal(ask_pipes(s, -1, &to), EBADF);
	assert_int_equal(ask_pipes(s, s, &to), EBADF);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(ask_pipes(p.session, ends[1], &to), EALREADY);
	close(ends[1]);
	assert_int_equal(read(ends[0], &to, 1), 0); /* no copy of it is left */
	close(ends[0]);
	assert_int_equal(ask_lock(&p, OP_LOCK), 0);
	close_piped(&p);
	close(s);
}

/* The agent dies: the answers end, and asking is no SIGPIPE. */
static void the_agents_end_shows_in_the_answers(void **state)
{
	struct piped p = open_piped();
	struct client_req req = lock_op(OP_LOCK);
	struct client_rep rep;

	(void)state;
	signal(SIGPIPE, SIG_DFL);
	rig_kill(0);
	tell(&p, &req);
	assert_false(answer(&p, &rep));
	close_piped(&p);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(operations_go_through_and_come_back),
		TEST(a_lock_is_waited_for_and_handed_on_at_an_end),
		TEST(one_thing_is_asked_at_a_time),
		TEST(what_is_no_operation_is_refused),
		TEST(a_piece_of_a_request_ends_the_session),
		TEST(what_a_barrier_takes_along_is_checked),
		TEST(who_does_not_read_is_not_waited_for),
		TEST(only_pipes_are_taken_and_once),
		TEST(the_agents_end_shows_in_the_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
