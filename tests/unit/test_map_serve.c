// SPDX-License-Identifier: MIT
/*
 * A map's server: 64 and 1,000 client processes at once, in batches, some of which are
 * killed; and clients that send what is no request. Over two nodes 64, half of them on each.
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
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <dsm/map_server.h>

#include "tests/unit/lib_nodes.h"
#include "tests/unit/ring_rig.h"

#define CLIENTS_MAX 1000
#define BATCH	    20
#define PATIENCE    60000000

static dsm_map_t *map;
static dsm_map_server_t *server;

static int serve(void **state)
{
	struct dsm_listener_options o = { .ring_size = 4096 };
	int err = dsm_map_create(seg[1], "table", NULL, &map);

	(void)state;
	if (!err)
		err = dsm_map_server_create(seg[0], "served", map, &o, &server);
	if (err)
		print_error("%s\n", dsm_last_error());
	return err;
}

static int serve_no_more(void **state)
{
	(void)state;
	dsm_map_server_close(server);
	dsm_map_close(map);
	return dsm_listener_remove(seg[0], "served") | dsm_map_remove(seg[1], "table");
}

/* ------------------------------------------------------------ many processes */

/* Of all clients of a test: where they are. */
struct notes {
	_Atomic uint32_t done, failed;
	_Atomic int go;
};
static struct notes *notes;

struct texts {
	char key[BATCH][32], value[BATCH][64], back[BATCH][64];
};

static void fill(struct dsm_map_request *q, struct texts *t, uint32_t who, uint32_t round,
		 enum dsm_map_op op)
{
	memset(q, 0, BATCH * sizeof(*q));
	for (uint32_t i = 0; i < BATCH; i++) {
		q[i].op = op;
		q[i].key = t->key[i];
		q[i].key_size = (size_t)snprintf(t->key[i], sizeof(t->key[i]), "k%u.%u", who, i);
		q[i].value = t->value[i];
		q[i].value_size = (size_t)snprintf(t->value[i], sizeof(t->value[i]),
						   "value %u of round %u by %u", i, round, who);
		if (op == DSM_MAP_OP_GET)
			q[i].value_size = 0;
		q[i].buffer = t->back[i];
		q[i].buffer_size = sizeof(t->back[i]);
	}
}

/* What was written in a batch is read in the next. */
static bool round_trip(dsm_map_client_t *c, uint32_t who, uint32_t round)
{
	struct dsm_map_request q[BATCH];
	struct texts t;

	fill(q, &t, who, round, DSM_MAP_OP_SET);
	if (dsm_map_client_do(c, q, BATCH, PATIENCE))
		return false;
	for (int i = 0; i < BATCH; i++)
		if (q[i].result || !q[i].version)
			return false;
	fill(q, &t, who, round, DSM_MAP_OP_GET);
	if (dsm_map_client_do(c, q, BATCH, PATIENCE))
		return false;
	for (int i = 0; i < BATCH; i++)
		if (q[i].result != (int64_t)strlen(t.value[i]) ||
		    memcmp(t.back[i], t.value[i], (size_t)q[i].result) != 0)
			return false;
	return true;
}

static _Noreturn void client(uint32_t who, uint32_t rounds)
{
	dsm_map_client_t *c;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dsm_map_client_open(seg[who % 2], "served", &c)) {
		print_error("client %u: %s\n", who, dsm_last_error());
		atomic_fetch_add(&notes->failed, 1);
		_exit(1);
	}
	while (!atomic_load(&notes->go))
		poll(NULL, 0, 5);
	for (uint32_t round = 0; round < rounds; round++) {
		if (!round_trip(c, who, round)) {
			print_error("client %u: %s\n", who, dsm_last_error());
			atomic_fetch_add(&notes->failed, 1);
			_exit(1);
		}
	}
	dsm_map_client_close(c);
	atomic_fetch_add(&notes->done, 1);
	_exit(0);
}

static uint64_t clients_now(void)
{
	struct dsm_map_server_stat s;

	dsm_map_server_stat(server, &s);
	return s.clients;
}

/* Starts @n clients that are all connected before the first one goes on. */
static void start(pid_t *pids, uint32_t n, uint32_t rounds)
{
	if (!notes)
		notes = mmap(NULL, sizeof(*notes), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	memset((void *)notes, 0, sizeof(*notes));
	for (uint32_t i = 0; i < n; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (!pids[i])
			client(i, rounds);
		while (dsm_map_server_answer(server, 0) >= 0)
			;
	}
	for (uint64_t end = test_now_ms() + 3 * DEADLINE_MS;
	     clients_now() + notes->failed < n && test_now_ms() < end;)
		(void)dsm_map_server_answer(server, 1000);
	assert_int_equal(clients_now(), n);
}

static uint64_t processor_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Looking after each of a thousand took 6 % of a processor. */
static void idle_for_a_second(uint32_t n)
{
	uint64_t end = test_now_ms() + 1000, spent = processor_us();

	while (test_now_ms() < end)
		(void)dsm_map_server_answer(server, 200000);
	spent = processor_us() - spent;
	if (spent > 20000)
		fail_msg("%u idle clients cost %u us of a second", n, (unsigned int)spent);
}

/* Serves until all of @alive are done and all others noticed. */
static void serve_until(uint32_t alive)
{
	struct dsm_map_server_stat s;
	uint64_t end = test_now_ms() + 6 * DEADLINE_MS;

	do
		(void)dsm_map_server_answer(server, 1000);
	while ((notes->done + notes->failed < alive || clients_now()) && test_now_ms() < end);
	assert_int_equal(notes->failed, 0);
	assert_true(notes->done >= alive);
	assert_int_equal(clients_now(), 0);
	dsm_map_server_stat(server, &s);
	assert_int_equal(s.refused, 0);
}

static void reap(const pid_t *pids, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
	assert_int_equal(dsm_listener_validate(seg[0], "served"), 0);
	assert_true(dsm_map_count(map) <= BATCH * (int64_t)n);
}

static void many(uint32_t n, uint32_t rounds, uint32_t to_kill)
{
	static pid_t pids[CLIENTS_MAX];
	struct dsm_map_server_stat s;
	uint64_t x = 5;

	start(pids, n, rounds);
	if (n == CLIENTS_MAX)
		idle_for_a_second(n);
	atomic_store(&notes->go, 1);
	for (uint32_t i = 0; i < to_kill; i++) {
		kill(pids[i * (n / to_kill)], SIGKILL);
		for (uint64_t k = rig_next(&x) % 20; k; k--)
			(void)dsm_map_server_answer(server, 0);
	}
	serve_until(n - to_kill);
	dsm_map_server_stat(server, &s);
	assert_true(s.requests >= 2ull * BATCH * rounds * (n - to_kill));
	/* Many requests in a turn. */
	assert_true(s.batches < s.requests);
	reap(pids, n);
	if (!to_kill)
		assert_int_equal(dsm_map_count(map), BATCH * n);
}

static void sixty_four_clients_at_once(void **state)
{
	(void)state;
	many(64, rig_cluster() ? 5 : 50, 0);
}

#ifndef __SANITIZE_THREAD__ /* too much memory */
static void a_thousand_clients_at_once(void **state)
{
	(void)state;
	many(CLIENTS_MAX, 2, 0);
}
#endif

static void clients_that_are_killed_cost_nobody_anything(void **state)
{
	(void)state;
	many(64, rig_cluster() ? 10 : 100, 32);
}

/* ------------------------------------------------------------ one by one */

static void answer_all(void)
{
	while (dsm_map_server_answer(server, 0) >= 0)
		;
}

static void what_is_no_request_is_refused(void **state)
{
	static const char bad[][48] = { "short", "\x63 an op that is none, with many bytes yet" };
	struct dsm_map_server_stat s;
	char back[8];
	dsm_conn_t *c;

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(dsm_conn_open(seg[1], "served", &c), 0);
		assert_int_equal(dsm_conn_send(c, bad[i], i ? sizeof(bad[i]) : 5, 0), 0);
		answer_all();
		assert_int_equal(dsm_conn_recv(c, back, sizeof(back), 0), -EPIPE);
		dsm_conn_close(c);
	}
	dsm_map_server_stat(server, &s);
	assert_int_equal(s.refused, 2);
	assert_int_equal(s.clients, 0);
}

/* More requests than their answers may have room: by one that does not keep to the rule. */
static void who_does_not_read_is_disconnected(void **state)
{
	uint32_t request[8] = { DSM_MAP_OP_COUNT };
	struct dsm_map_server_stat s;
	dsm_conn_t *c;
	int err = 0;

	(void)state;
	assert_int_equal(dsm_conn_open(seg[1], "served", &c), 0);
	for (int i = 0; i < 1000 && !err; i++) {
		err = dsm_conn_send(c, request, sizeof(request), 0);
		answer_all();
	}
	assert_int_equal(err, -EPIPE);
	dsm_conn_close(c);
	dsm_map_server_stat(server, &s);
	assert_int_equal(s.clients, 0);
}

static _Noreturn void try_everything(void)
{
	dsm_map_client_t *c;
	static char large[8192], buffer[8192];
	uint64_t version;
	struct dsm_map_request add = { .op = DSM_MAP_OP_ADD, .key = "a", .key_size = 1 };
	struct dsm_map_request count = { .op = DSM_MAP_OP_COUNT };
	struct dsm_map_request none = { .op = 77 };

	if (dsm_map_client_open(seg[1], "served", &c))
		_exit(1);
	if (dsm_map_client_get(c, "a", 1, buffer, 8) != -ENOENT ||
	    dsm_map_client_set(c, "a", 1, "one", 3) ||
	    dsm_map_client_get(c, "a", 1, buffer, sizeof(buffer)) != 3 ||
	    memcmp(buffer, "one", 3) != 0 || dsm_map_client_get(c, "a", 1, buffer, 1) != 3)
		_exit(2);
	if (dsm_map_client_cas(c, "a", 1, 1ull << 60, "two", 3, &version) != -ESTALE ||
	    dsm_map_client_cas(c, "a", 1, version, "two", 3, &version) ||
	    dsm_map_client_do(c, &add, 1, PATIENCE) || add.result != -EEXIST)
		_exit(3);
	if (dsm_map_client_do(c, &count, 1, PATIENCE) || count.result != 1 ||
	    dsm_map_client_do(c, &none, 1, PATIENCE) != -EINVAL ||
	    dsm_map_client_set(c, "b", 1, large, sizeof(large)) != -EMSGSIZE ||
	    dsm_map_client_set(c, "b", 1, large, 1500) ||
	    dsm_map_client_get(c, "b", 1, buffer, sizeof(buffer)) != 1500)
		_exit(4);
	if (dsm_map_client_delete(c, "a", 1) || dsm_map_client_delete(c, "a", 1) != -ENOENT)
		_exit(5);
	dsm_map_client_close(c);
	_exit(0);
}

static void a_client_has_what_a_map_has(void **state)
{
	uint64_t end = test_now_ms() + DEADLINE_MS;
	pid_t child = fork();
	int status = -1;

	(void)state;
	if (!child)
		try_everything();
	while (waitpid(child, &status, WNOHANG) != child && test_now_ms() < end)
		(void)dsm_map_server_answer(server, 1000);
	assert_int_equal(status, 0);
}

#define SERVED(test) cmocka_unit_test_setup_teardown(test, serve, serve_no_more)

#define BOTH                                                                                       \
	SERVED(a_client_has_what_a_map_has), SERVED(what_is_no_request_is_refused),                \
		SERVED(who_does_not_read_is_disconnected), SERVED(sixty_four_clients_at_once),     \
		SERVED(clients_that_are_killed_cost_nobody_anything)

int main(void)
{
	const struct CMUnitTest host[] = {
		BOTH,
#ifndef __SANITIZE_THREAD__
		SERVED(a_thousand_clients_at_once),
#endif
	};
	int failed = cmocka_run_group_tests_name("shm", host, rig_open_host, rig_close_host);

#ifndef __SANITIZE_THREAD__ /* the memory of two nodes does not fit beside it */
	const struct CMUnitTest cluster[] = { BOTH };

	failed += cmocka_run_group_tests_name("dsm", cluster, rig_open_cluster, rig_close_cluster);
#endif
	return failed;
}
