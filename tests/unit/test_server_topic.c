// SPDX-License-Identifier: MIT
/* Topics at the agent: requests that are wrong, memory that lies, and who is told what. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/client/topic_head.h"
#include "lib/channel/slots.h"
#include "tests/unit/agent_rig.h"

/* A program's end of a topic. */
struct end {
	int session, fd;
	uint32_t number; /* of the client */
	struct topic_head *head;
	size_t bytes;
	struct slots slots;
};

static int two(void **state)
{
	(void)state;
	rig_open();
	return rig_start(0, NULL) || rig_start(1, NULL);
}

static int stop(void **state)
{
	(void)state;
	rig_close();
	return 0;
}

static int ask_open(int session, const char *name, uint64_t size, uint32_t flags,
		    struct client_rep *rep, int *ret_fd)
{
	struct client_req req = { .type = CLIENT_TOPIC_OPEN,
				  .arg = flags,
				  .count = size,
				  .length = (uint32_t)strlen(name) };

	rig_send(session, &req, name);
	assert_true(rig_receive(session, rep, NULL, ret_fd));
	return rep->err;
}

static int refused(int session, const char *name, uint64_t size, uint32_t flags)
{
	struct client_rep rep;
	int fd = -1, err = ask_open(session, name, size, flags, &rep, &fd);

	assert_int_equal(fd, -1);
	return err;
}

static struct end opened(unsigned int agent, const char *name, uint64_t size, uint32_t flags)
{
	struct end e = { .fd = -1 };
	struct client_rep rep;

	e.session = rig_session(agent, HELLO_PROGRAM, &e.number);
	assert_int_equal(ask_open(e.session, name, size, flags, &rep, &e.fd), 0);
	e.bytes = rep.val[2];
	e.head = mmap(NULL, e.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, e.fd, 0);
	assert_ptr_not_equal(e.head, MAP_FAILED);
	assert_int_equal(
		slots_open((char *)e.head + TOPIC_HEAD_BYTES, e.bytes - TOPIC_HEAD_BYTES, &e.slots),
		0);
	assert_int_equal(rep.val[1], e.slots.size);
	return e;
}

static void closed(struct end *e)
{
	munmap(e->head, e->bytes);
	close(e->fd);
	close(e->session);
}

static void ring(const struct end *e)
{
	const struct client_req req = { .type = CLIENT_TOPIC_CHANGED };

	atomic_store(&e->head->rung, 1);
	rig_send(e->session, &req, NULL);
}

static void publish(const struct end *e, uint64_t value)
{
	slots_write(&e->slots, &value, sizeof(value));
	ring(e);
}

struct expected {
	const struct end *end;
	uint64_t value;
};

static bool shows(void *ctx)
{
	const struct expected *x = ctx;
	uint64_t value = 0, number;

	return slots_read(&x->end->slots, 0, &value, sizeof(value), &number) == sizeof(value) &&
	       value == x->value;
}

static bool wanted(void *ctx)
{
	return atomic_load(&((struct end *)ctx)->head->remote) == 1;
}

static bool known(void *ctx)
{
	return atomic_load(&((struct end *)ctx)->head->publishers) == 1;
}

static bool unknown(void *ctx)
{
	return atomic_load(&((struct end *)ctx)->head->publishers) == 0;
}

static bool heard(void *ctx)
{
	return atomic_load(&((struct end *)ctx)->head->rung) == 0;
}

static void comes(const struct end *to, uint64_t value)
{
	struct expected x = { to, value };

	assert_true(rig_until(shows, &x));
}

/* --- requests --- */

static void wrong_requests_are_refused(void **state)
{
	struct end p = opened(0, "taken", 64, TOPIC_PUBLISH);
	int s = rig_session(0, HELLO_PROGRAM, NULL);
	char name[TOPIC_NAME_MAX + 1];
	struct client_req req = { .type = CLIENT_TOPIC_OPEN, .arg = TOPIC_PUBLISH };

	(void)state;
	memset(name, 'n', TOPIC_NAME_MAX);
	name[TOPIC_NAME_MAX] = '\0';
	assert_int_equal(refused(s, name, 0, TOPIC_PUBLISH), EINVAL);
	assert_int_equal(rig_ask(s, &req, NULL), EINVAL); /* no name */
	assert_int_equal(refused(s, "tab\tbed", 0, TOPIC_PUBLISH), EINVAL);
	assert_int_equal(refused(s, "x", 0, 0), EINVAL);
	assert_int_equal(refused(s, "x", 0, TOPIC_SUBSCRIBE | TOPIC_TAKE), EINVAL);
	assert_int_equal(refused(s, "x", 0, 1u << 31), EINVAL);
	assert_int_equal(refused(s, "x", TOPIC_SIZE_MAX + 1, TOPIC_PUBLISH), EMSGSIZE);
	assert_int_equal(refused(s, "taken", 63, TOPIC_SUBSCRIBE), EMSGSIZE);
	assert_int_equal(refused(s, "taken", 0, TOPIC_PUBLISH), EBUSY);
	assert_int_equal(refused(p.session, "other", 0, TOPIC_PUBLISH), EALREADY);
	close(s);
	closed(&p);
}

static void a_nul_in_a_name_is_refused(void **state)
{
	struct client_req req = { .type = CLIENT_TOPIC_OPEN, .arg = TOPIC_PUBLISH, .length = 3 };
	int s = rig_session(0, HELLO_PROGRAM, NULL);
	struct client_rep rep;

	(void)state;
	rig_send(s, &req, "a\0b");
	assert_true(rig_receive(s, &rep, NULL, NULL));
	assert_int_equal(rep.err, EINVAL);
	close(s);
}

static void to_ring_without_a_topic_is_an_error(void **state)
{
	struct client_req req = { .type = CLIENT_TOPIC_CHANGED };
	int s = rig_session(0, HELLO_PROGRAM, NULL);

	(void)state;
	assert_int_equal(rig_ask(s, &req, NULL), ENOENT);
	close(s);
}

static void so_many_topics_and_no_more(void **state)
{
	int s[4];
	unsigned int n;
	char name[16];

	(void)state;
	/* One session each is what it takes; a few are enough to see that they are given back. */
	for (n = 0; n < 4; n++) {
		struct client_rep rep;
		int fd = -1;

		s[n] = rig_session(0, HELLO_PROGRAM, NULL);
		snprintf(name, sizeof(name), "t%u", n);
		assert_int_equal(ask_open(s[n], name, 64, TOPIC_SUBSCRIBE, &rep, &fd), 0);
		assert_int_equal(rep.val[0], n + 1);
		close(fd);
	}
	for (n = 0; n < 4; n++)
		close(s[n]);
	rig_turn();
	assert_int_equal(refused(rig_session(0, HELLO_PROGRAM, NULL), "", 0, TOPIC_PUBLISH),
			 EINVAL);
}

/* --- values and presence, over a real link --- */

static void values_and_presence_cross_the_link(void **state)
{
	struct end s = opened(1, "a", 64, TOPIC_SUBSCRIBE), p = opened(0, "a", 64, TOPIC_PUBLISH);
	uint32_t before;

	(void)state;
	assert_true(rig_until(known, &s));
	assert_int_equal(s.head->pid, getpid());
	assert_int_equal(s.head->node, 1);
	assert_true(rig_until(wanted, &p));
	publish(&p, 9);
	comes(&s, 9);
	before = s.head->presence;
	closed(&p);
	assert_true(rig_until(unknown, &s));
	assert_int_not_equal(s.head->presence, before);
	closed(&s);
}

static void what_was_written_before_the_end_goes_out(void **state)
{
	struct end s = opened(1, "a", 64, TOPIC_SUBSCRIBE), p = opened(0, "a", 64, TOPIC_PUBLISH);
	uint64_t value = 31;

	(void)state;
	assert_true(rig_until(wanted, &p));
	/* Killed between writing and ringing; and between setting the bell and saying so. */
	slots_write(&p.slots, &value, sizeof(value));
	atomic_store(&p.head->rung, 1);
	closed(&p);
	/* Before its end the program's node gave its memory back: another one may come. */
	comes(&s, 31);
	p = opened(0, "a", 64, TOPIC_PUBLISH);
	publish(&p, 32);
	comes(&s, 32);
	closed(&p);
	closed(&s);
}

static void who_was_displaced_cannot_silence_the_bell(void **state)
{
	struct end s = opened(1, "a", 64, TOPIC_SUBSCRIBE), old = opened(0, "a", 64, TOPIC_PUBLISH);
	struct end new = opened(0, "a", 64, TOPIC_PUBLISH | TOPIC_TAKE);

	(void)state;
	assert_true(rig_until(wanted, &new));
	assert_int_equal(new.head->holder, new.number);
	ring(&old);
	assert_true(rig_until(heard, &new));
	publish(&new, 4);
	comes(&s, 4);
	closed(&old);
	publish(&new, 5);
	comes(&s, 5);
	assert_int_equal(s.head->publishers, 1);
	closed(&new);
	closed(&s);
}

/* --- memory that lies --- */

static void its_memory_cannot_be_cut_off(void **state)
{
	struct end p = opened(0, "a", 64, TOPIC_PUBLISH);

	(void)state;
	assert_int_equal(ftruncate(p.fd, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(p.fd, 1 << 20), -1);
	closed(&p);
}

static void scribbled_memory_harms_nobody(void **state)
{
	struct end s = opened(1, "a", 64, TOPIC_SUBSCRIBE), p = opened(0, "a", 64, TOPIC_PUBLISH);
	uint64_t rng = 1;

	(void)state;
	assert_true(rig_until(wanted, &p));
	for (int round = 0; round < 300; round++) {
		struct end *e = round % 2 ? &p : &s;
		uint64_t *words = (uint64_t *)e->head;

		for (int i = 0; i < 8; i++) {
			rng = rng * 6364136223846793005ull + 1442695040888963407ull;
			/* Mostly where the head and the slots' own words are. */
			words[(i % 2 ? TOPIC_HEAD_BYTES / 8 : 0) + (rng >> 33) % 64] = rng;
		}
		ring(&p);
		rig_turn();
	}
	closed(&p);
	closed(&s);
	/* Another topic, and the agents, are as they were. */
	s = opened(1, "b", 64, TOPIC_SUBSCRIBE);
	p = opened(0, "b", 64, TOPIC_PUBLISH);
	publish(&p, 77);
	comes(&s, 77);
	closed(&p);
	closed(&s);
}

/* A length that the slots cannot have: nothing is sent, and the next good value is. */
static void a_value_that_cannot_be_is_not_sent(void **state)
{
	struct end s = opened(1, "a", 64, TOPIC_SUBSCRIBE), p = opened(0, "a", 64, TOPIC_PUBLISH);
	uint64_t newest;

	(void)state;
	assert_true(rig_until(wanted, &p));
	publish(&p, 1);
	comes(&s, 1);
	slots_write(&p.slots, &newest, sizeof(newest));
	newest = atomic_load(&p.slots.head->newest);
	atomic_store(&slots_slot(&p.slots, (uint32_t)newest)->length, UINT32_MAX);
	ring(&p);
	assert_true(rig_until(heard, &p));
	publish(&p, 3);
	comes(&s, 3);
	closed(&p);
	closed(&s);
}

int main(void)
{
#define TWO(f) cmocka_unit_test_setup_teardown(f, two, stop)
	const struct CMUnitTest tests[] = {
		TWO(wrong_requests_are_refused),
		TWO(a_nul_in_a_name_is_refused),
		TWO(to_ring_without_a_topic_is_an_error),
		TWO(so_many_topics_and_no_more),
		TWO(values_and_presence_cross_the_link),
		TWO(what_was_written_before_the_end_goes_out),
		TWO(who_was_displaced_cannot_silence_the_bell),
		TWO(its_memory_cannot_be_cut_off),
		TWO(scribbled_memory_harms_nobody),
		TWO(a_value_that_cannot_be_is_not_sent),
	};

	return cmocka_run_group_tests_name("topics at the agent", tests, NULL, NULL);
}
