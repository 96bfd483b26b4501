// SPDX-License-Identifier: MIT
/*
 * Rings and connections whose users are killed at random: test_ring_kill [KILLS], of each
 * sort, over shared memory; a tenth of them over two nodes, whose programs the users are in
 * turns. Nothing that was sent is lost, nothing is torn, nothing comes twice
 * but by a death, nobody is stuck, and in the end all room is free.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/segment/segment.h"
#include "tests/unit/lib_nodes.h"
#include "tests/unit/ring_rig.h"

#define ACTORS	 6
#define LIVES	 20000u /* of producers, one after another */
#define EACH	 4096u	/* messages of one life that are looked after */
#define PATIENCE 10000000

static unsigned int kills = 150;
static dsm_segment_t *mine; /* of the actor that the process is */

/* What survives the actors: what they have done so far. */
struct notes {
	_Atomic uint64_t sent, got; /* SPSC: numbers of the next */
	_Atomic uint64_t repeated, wrong;
	_Atomic uint32_t life;		     /* MPMC: of the next producer */
	_Atomic uint32_t done[LIVES];	     /* sends that returned */
	_Atomic uint64_t seen[LIVES * 8ull]; /* bits of the first 512 messages of each life */
	_Atomic uint64_t progress[ACTORS];
	_Atomic int stop;
};
static struct notes *notes;

struct actor {
	void (*play)(unsigned int index);
	pid_t pid;
};
static struct actor actors[ACTORS];

/* At a half-done place, one time in some: as if killed there. */
static void die_here(const char *where)
{
	static uint64_t x;

	(void)where;
	if (!x)
		x = (uint64_t)getpid() * 0x9e3779b97f4a7c15u;
	if (rig_next(&x) % 400 == 0)
		kill(getpid(), SIGKILL);
}

static void start(unsigned int index)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		seg_crash_hook = die_here;
		mine = seg[index % 2];
		actors[index].play(index);
		_exit(0);
	}
	actors[index].pid = pid;
}

static void check_alive(uint64_t *seen, uint64_t *since)
{
	for (unsigned int i = 0; i < ACTORS; i++) {
		uint64_t now = atomic_load(&notes->progress[i]);

		if (!actors[i].pid || now != seen[i] || !since[i]) {
			seen[i] = now;
			since[i] = test_now_ms();
		}
		/* Who lives goes on. */
		if (test_now_ms() - since[i] > DEADLINE_MS)
			fail_msg("actor %u has been stuck for %d s", i, DEADLINE_MS / 1000);
	}
}

/* Kills one or the other and starts another in its place; then ends them all. */
static void play(uint64_t seed)
{
	uint64_t x = seed, seen[ACTORS] = { 0 }, since[ACTORS] = { 0 };

	for (unsigned int i = 0; i < ACTORS; i++)
		if (actors[i].play)
			start(i);
	for (unsigned int done = 0; done < kills;) {
		unsigned int victim = (unsigned int)(rig_next(&x) % ACTORS);
		int status;
		pid_t pid;

		poll(NULL, 0, (int)(rig_next(&x) % 4));
		if (actors[victim].pid)
			kill(actors[victim].pid, SIGKILL);
		while ((pid = waitpid(-1, &status, actors[victim].pid ? 0 : WNOHANG)) > 0) {
			unsigned int i = 0;

			while (i < ACTORS && actors[i].pid != pid)
				i++;
			if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
				fail_msg("actor %u ended with %#x", i, status);
			start(i);
			done++;
			if (i == victim)
				break;
		}
		check_alive(seen, since);
	}
	atomic_store(&notes->stop, 1);
	for (unsigned int i = 0; i < ACTORS; i++) {
		if (!actors[i].pid)
			continue;
		kill(actors[i].pid, SIGKILL);
		waitpid(actors[i].pid, NULL, 0);
	}
	memset(actors, 0, sizeof(actors));
}

static int take_notes(void **state)
{
	(void)state;
	if (!notes)
		notes = mmap(NULL, sizeof(*notes), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(notes != MAP_FAILED);
	memset((void *)notes, 0, sizeof(*notes));
	mine = seg[0];
	/* Those of a test that failed. */
	for (unsigned int i = 0; i < ACTORS; i++) {
		if (!actors[i].pid)
			continue;
		kill(actors[i].pid, SIGKILL);
		waitpid(actors[i].pid, NULL, 0);
	}
	memset(actors, 0, sizeof(actors));
	return 0;
}

static _Noreturn void fail_child(const char *what)
{
	print_error("%s: %s\n", what, dsm_last_error());
	_exit(1);
}

static dsm_ring_t *open_end(uint32_t end)
{
	dsm_ring_t *r;
	int err;

	/* The one before may be being cleaned up after by somebody. */
	while ((err = dsm_ring_open(mine, "kill", end, &r)) == -EBUSY)
		poll(NULL, 0, 1);
	if (err)
		fail_child("open");
	return r;
}

/* ------------------------------------------------------------ one and one */

static void spsc_producer(unsigned int index)
{
	dsm_ring_t *r = open_end(DSM_RING_PRODUCER);
	static uint8_t text[8][500];
	struct iovec v[8];

	for (;;) {
		uint64_t n = atomic_load(&notes->sent);
		unsigned int batch = n % 7 ? 1 : 8;
		int sent;

		for (unsigned int i = 0; i < batch; i++) {
			v[i] = (struct iovec){ text[i], 8 + rig_size(n + i, 400) };
			rig_fill(text[i], v[i].iov_len, n + i);
		}
		sent = dsm_ring_send_many(r, v, batch, PATIENCE);
		if (sent < 0)
			fail_child("send");
		atomic_store(&notes->sent, n + (uint64_t)sent);
		atomic_fetch_add(&notes->progress[index], 1);
	}
}

static void spsc_consumer(unsigned int index)
{
	dsm_ring_t *r = open_end(DSM_RING_CONSUMER);
	struct dsm_ring_message m;

	for (;;) {
		uint64_t n, expected = atomic_load(&notes->got);

		if (dsm_ring_peek(r, PATIENCE, &m))
			fail_child("peek");
		memcpy(&n, m.data, sizeof(n));
		/* Again what was not released, or what a producer sent and did not note. */
		if (n > expected || m.size != 8 + rig_size(n, 400) || !rig_is(m.data, m.size, n))
			atomic_fetch_add(&notes->wrong, 1);
		else if (n < expected)
			atomic_fetch_add(&notes->repeated, 1);
		else
			atomic_store(&notes->got, n + 1);
		atomic_fetch_add(&notes->progress[index], 1);
		if (dsm_ring_release(r, m.data))
			fail_child("release");
	}
}

static void one_and_one(void **state)
{
	struct dsm_ring_options o = { .capacity = 4096 };
	struct dsm_ring_message m;
	dsm_ring_t *r;
	uint64_t n = 0;

	(void)state;
	assert_int_equal(dsm_ring_create(seg[0], "kill", &o, &r), 0);
	dsm_ring_close(r);
	actors[0].play = spsc_producer;
	actors[1].play = spsc_consumer;
	play(1);
	assert_int_equal(notes->wrong, 0);
	assert_true(notes->got > kills);
	/* A batch at most for each death. */
	assert_true(notes->repeated <= 9 * (uint64_t)kills);
	r = open_end(DSM_RING_PRODUCER | DSM_RING_CONSUMER);
	assert_true(dsm_ring_validate(r) >= 0);
	while (dsm_ring_peek(r, 0, &m) == 0) {
		memcpy(&n, m.data, sizeof(n));
		assert_true(rig_is(m.data, m.size, n));
		assert_int_equal(dsm_ring_release(r, m.data), 0);
		notes->got = n + 1 > notes->got ? n + 1 : notes->got;
	}
	assert_true(notes->got >= notes->sent);
	dsm_ring_close(r);
	assert_int_equal(dsm_ring_remove(seg[0], "kill"), 0);
}

/* ------------------------------------------------------------ many and many */

static void mpmc_producer(unsigned int index)
{
	dsm_ring_t *r = open_end(DSM_RING_PRODUCER);
	uint64_t life = atomic_fetch_add(&notes->life, 1);

	for (uint64_t i = 0; i < EACH && life < LIVES; i++) {
		uint64_t n = life * EACH + i;
		size_t size = 8 + rig_size(n, 300);
		void *p;

		if (dsm_ring_reserve(r, size + 16, PATIENCE, &p))
			fail_child("reserve");
		rig_fill(p, size, n);
		if (dsm_ring_commit(r, p, size))
			fail_child("commit");
		atomic_store(&notes->done[life], (uint32_t)i + 1);
		atomic_fetch_add(&notes->progress[index], 1);
	}
	/* Enough of this life. */
	kill(getpid(), SIGKILL);
}

static void note_message(const struct dsm_ring_message *m)
{
	uint64_t n, life, bit;

	memcpy(&n, m->data, sizeof(n));
	life = n / EACH;
	bit = n % EACH;
	if (life >= LIVES || m->size != 8 + rig_size(n, 300) || !rig_is(m->data, m->size, n) ||
	    bit > atomic_load(&notes->done[life]))
		atomic_fetch_add(&notes->wrong, 1);
	else if (bit < 512 && atomic_fetch_or(&notes->seen[life * 8 + bit / 64], 1ull << bit % 64) &
				      1ull << bit % 64)
		atomic_fetch_add(&notes->repeated, 1);
}

static void mpmc_consumer(unsigned int index)
{
	dsm_ring_t *r = open_end(DSM_RING_CONSUMER);
	struct dsm_ring_message m[4];

	for (unsigned int turn = 0;; turn++) {
		int n = dsm_ring_peek_many(r, m, 4, PATIENCE);

		if (n < 0)
			fail_child("peek");
		/* Time to be killed with messages in hand that nobody has seen. */
		if (turn % 8 == 0)
			poll(NULL, 0, 1);
		for (int i = 0; i < n; i++)
			note_message(&m[i]);
		atomic_fetch_add(&notes->progress[index], 1);
		if (dsm_ring_release_many(r, m, (unsigned int)n))
			fail_child("release");
	}
}

static void many_and_many(void **state)
{
	struct dsm_ring_options o = { .capacity = 4096,
				      .kind = DSM_RING_MPMC,
				      .flags = DSM_RING_PRODUCER | DSM_RING_CONSUMER };
	struct dsm_ring_message m;
	static char most[4096];
	dsm_ring_t *r;

	(void)state;
	assert_int_equal(dsm_ring_create(seg[0], "kill", &o, &r), 0);
	for (int i = 0; i < ACTORS; i++)
		actors[i].play = i & 1 ? mpmc_producer : mpmc_consumer;
	play(2);
	/* What the dead had is given again, or skipped, while one waits. */
	while (dsm_ring_peek(r, 100000, &m) == 0) {
		note_message(&m);
		assert_int_equal(dsm_ring_release(r, m.data), 0);
	}
	assert_int_equal(notes->wrong, 0);
	assert_true(notes->repeated <= 4 * (uint64_t)(kills + ACTORS));
	for (uint32_t life = 0; life < notes->life && life < LIVES; life++) {
		uint32_t done = notes->done[life] < 512 ? notes->done[life] : 512;

		for (uint32_t i = 0; i < done; i++)
			if (!(notes->seen[life * 8 + i / 64] & 1ull << i % 64))
				fail_msg("message %u of producer %u was lost", i, life);
	}
	assert_int_equal(dsm_ring_validate(r), 0);
	assert_int_equal(dsm_ring_send(r, most, dsm_ring_message_max(r), 0), 0);
	dsm_ring_close(r);
	assert_int_equal(dsm_ring_remove(seg[0], "kill"), 0);
}

static void die_released(const char *where)
{
	if (!strcmp(where, "ring: released, head behind"))
		kill(getpid(), SIGKILL);
}

static void room_whose_release_was_cut_short_is_there(void **state)
{
	struct dsm_ring_options o = { .capacity = 1024,
				      .kind = DSM_RING_MPMC,
				      .flags = DSM_RING_PRODUCER | DSM_RING_CONSUMER };
	static char most[512];
	struct dsm_ring_message m[2];
	dsm_ring_t *r;
	pid_t child;

	(void)state;
	assert_int_equal(dsm_ring_create(seg[0], "kill", &o, &r), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(dsm_ring_send(r, most, dsm_ring_message_max(r), 0), 0);
	assert_int_equal(dsm_ring_send(r, most, dsm_ring_message_max(r), 0), -EAGAIN);
	child = fork();
	if (!child) {
		r = open_end(DSM_RING_CONSUMER);
		seg_crash_hook = die_released;
		_exit(dsm_ring_peek_many(r, m, 2, 0) != 2 || !dsm_ring_release_many(r, m, 2));
	}
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(dsm_ring_send(r, most, dsm_ring_message_max(r), 0), 0);
	assert_int_equal(dsm_ring_validate(r), 1);
	dsm_ring_close(r);
	assert_int_equal(dsm_ring_remove(seg[0], "kill"), 0);
}

/* ------------------------------------------------------------ connections */

static void server(unsigned int index)
{
	dsm_listener_t *l;
	dsm_conn_t *c;
	char text[64];
	int err;

	while ((err = dsm_listener_create(mine, "kill", NULL, &l)) == -EBUSY)
		poll(NULL, 0, 1);
	if (err)
		fail_child("listener");
	for (;;) {
		int event = dsm_listener_wait(l, 5000, &c);

		atomic_fetch_add(&notes->progress[index], 1);
		if (event == -ETIMEDOUT || event == DSM_CONN_NEW)
			continue;
		if (event < 0)
			fail_child("listener wait");
		for (;;) {
			ssize_t n = dsm_conn_recv(c, text, sizeof(text), 0);

			if (n == -EAGAIN)
				break;
			if (n < 0 || dsm_conn_send(c, text, (size_t)n, PATIENCE)) {
				dsm_conn_close(c);
				break;
			}
		}
	}
}

static void client(unsigned int index)
{
	dsm_conn_t *c = NULL;
	uint64_t n = 0, back;

	for (;; n++) {
		int err = c ? 0 : dsm_conn_open(mine, "kill", &c);

		if (!err)
			err = dsm_conn_send(c, &n, sizeof(n), PATIENCE);
		if (!err && dsm_conn_recv(c, &back, sizeof(back), PATIENCE) != sizeof(back))
			err = -EPIPE;
		else if (!err && back != n)
			_exit(1);
		atomic_fetch_add(&notes->progress[index], 1);
		if (!err && n % 50)
			continue;
		dsm_conn_close(c);
		c = NULL;
		if (err)
			poll(NULL, 0, 1);
	}
}

static void a_server_and_its_clients(void **state)
{
	struct dsm_listener_stat stat;
	dsm_listener_t *l;
	dsm_conn_t *c;

	(void)state;
	actors[0].play = server;
	for (int i = 1; i < ACTORS; i++)
		actors[i].play = client;
	play(3);
	assert_true(dsm_listener_validate(seg[0], "kill") >= 0);
	assert_int_equal(dsm_listener_stat(seg[0], "kill", &stat), 0);
	/* Places of the dead are used again. */
	assert_true(stat.places < 200);
	assert_int_equal(dsm_listener_create(seg[1], "kill", NULL, &l), 0);
	while (dsm_listener_stat(seg[0], "kill", &stat) == 0 && stat.open) {
		int event = dsm_listener_wait(l, PATIENCE, &c);
		char text[64];

		assert_true(event > 0);
		while (dsm_conn_recv(c, text, sizeof(text), 0) >= 0)
			;
		if (event == DSM_CONN_GONE)
			dsm_conn_close(c);
	}
	dsm_listener_close(l);
	assert_int_equal(dsm_listener_remove(seg[0], "kill"), 0);
}

#define NOTED(test) cmocka_unit_test_setup(test, take_notes)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		NOTED(one_and_one),
		NOTED(many_and_many),
		NOTED(room_whose_release_was_cut_short_is_there),
		NOTED(a_server_and_its_clients),
	};
	int failed;

	if (argc > 1)
		kills = (unsigned int)atoi(argv[1]);
	failed = cmocka_run_group_tests(tests, rig_open_host, rig_close_host);
#ifndef __SANITIZE_THREAD__ /* the memory of two nodes does not fit beside it */
	kills = (kills + 9) / 10;
	failed += cmocka_run_group_tests(tests, rig_open_cluster, rig_close_cluster);
#endif
	return failed;
}
