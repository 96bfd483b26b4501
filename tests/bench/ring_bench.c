// SPDX-License-Identifier: MIT
/*
 * ring_bench CPU,CPU [COUNT [NAME]]: a ring between two processes. Prints the rate of messages of
 * 64 bytes one way, sent and received one by one (ring_rate), in place (ring_rate_inplace)
 * and 16 at a time (ring_rate_batch), each of whose words is checked; and the round trip of 8
 * and of 64 bytes, as waits are by default (ring_rtt) and asleep always (ring_rtt_futex).
 */
#include <dsm_ring.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/measure.h"

#define RATE_COUNT 20000000u
#define TRIP_COUNT 50000u
#define BATCH	   16u

struct message {
	uint64_t word[8];
};

static dsm_segment_t *seg;
static char uri[64];
static int cpus[2] = { 0, 1 };
static uint32_t count;

static void check(int64_t result)
{
	if (result >= 0)
		return;
	fprintf(stderr, "ring_bench: %s\n", dsm_last_error());
	exit(1);
}

static void fill(struct message *m, uint64_t n)
{
	for (uint64_t i = 0; i < 8; i++)
		m->word[i] = n + i;
}

static void verify(const struct message *m, uint64_t n)
{
	for (uint64_t i = 0; i < 8; i++) {
		if (m->word[i] != n + i) {
			fprintf(stderr, "ring_bench: message %llu is wrong\n",
				(unsigned long long)n);
			exit(1);
		}
	}
}

static void send_one(dsm_ring_t *r, uint64_t n)
{
	struct message m;

	fill(&m, n);
	check(dsm_ring_send(r, &m, sizeof(m), -1));
}

static void recv_one(dsm_ring_t *r, uint64_t n)
{
	struct message m;

	check(dsm_ring_recv(r, &m, sizeof(m), -1));
	verify(&m, n);
}

static void send_inplace(dsm_ring_t *r, uint64_t n)
{
	void *p;

	check(dsm_ring_reserve(r, sizeof(struct message), -1, &p));
	fill(p, n);
	check(dsm_ring_commit(r, p, sizeof(struct message)));
}

static void recv_inplace(dsm_ring_t *r, uint64_t n)
{
	struct dsm_ring_message m;

	check(dsm_ring_peek(r, -1, &m));
	verify(m.data, n);
	check(dsm_ring_release(r, m.data));
}

static void send_batch(dsm_ring_t *r, uint64_t n)
{
	struct message m[BATCH];
	struct iovec v[BATCH];

	for (unsigned int i = 0; i < BATCH; i++) {
		fill(&m[i], n + i);
		v[i] = (struct iovec){ &m[i], sizeof(m[i]) };
	}
	for (unsigned int i = 0; i < BATCH;) {
		int now = dsm_ring_send_many(r, v + i, BATCH - i, -1);

		check(now);
		i += (unsigned int)now;
	}
}

static void recv_batch(dsm_ring_t *r, uint64_t n)
{
	struct dsm_ring_message v[BATCH];

	for (unsigned int i = 0; i < BATCH;) {
		int now = dsm_ring_peek_many(r, v, BATCH - i, -1);

		check(now);
		for (int k = 0; k < now; k++)
			verify(v[k].data, n + i + (unsigned int)k);
		check(dsm_ring_release_many(r, v, (unsigned int)now));
		i += (unsigned int)now;
	}
}

static uint32_t waiting; /* DSM_RING_SLEEP, or 0 */

static dsm_ring_t *ring(const char *name, uint32_t end)
{
	struct dsm_ring_options o = { .flags = end | waiting | DSM_RING_EXISTING };
	dsm_ring_t *r;

	check(dsm_ring_create(seg, name, &o, &r));
	return r;
}

static void start_child(pid_t *ret)
{
	*ret = fork();
	if (*ret < 0)
		die("fork");
	pin(cpus[!*ret]);
	if (*ret)
		return;
	check(dsm_segment_open(uri, NULL, &seg));
}

static void reap(pid_t child)
{
	int status;

	if (waitpid(child, &status, 0) != child || status)
		exit(1);
}

static void rate(const char *name, void (*send)(dsm_ring_t *, uint64_t),
		 void (*receive)(dsm_ring_t *, uint64_t), unsigned int step)
{
	uint64_t start;
	dsm_ring_t *r;
	pid_t child;

	start_child(&child);
	if (!child) {
		r = ring("rate", DSM_RING_CONSUMER);
		for (uint64_t i = 0; i < count; i += step)
			receive(r, i);
		dsm_ring_close(r);
		_exit(0);
	}
	r = ring("rate", DSM_RING_PRODUCER);
	start = now_ns();
	for (uint64_t i = 0; i < count; i += step)
		send(r, i);
	reap(child);
	printf("%s %.3f M/s\n", name, (double)count * 1e3 / (double)(now_ns() - start));
	dsm_ring_close(r);
}

static void trips(const char *name, size_t size)
{
	uint32_t n = count < TRIP_COUNT ? count : TRIP_COUNT;
	dsm_ring_t *there, *back;
	char text[64] = { 0 };
	uint64_t start = 0, took = 0;
	pid_t child;

	start_child(&child);
	there = ring("there", child ? DSM_RING_PRODUCER : DSM_RING_CONSUMER);
	back = ring("back", child ? DSM_RING_CONSUMER : DSM_RING_PRODUCER);
	for (uint32_t i = 0; i < n + n / 10; i++) {
		if (child) {
			/* The first tenth warms up. */
			if (i == n / 10)
				start = now_ns();
			check(dsm_ring_send(there, text, size, -1));
			check(dsm_ring_recv(back, text, size, -1));
		} else {
			check(dsm_ring_recv(there, text, size, -1));
			check(dsm_ring_send(back, text, size, -1));
		}
	}
	if (child)
		took = now_ns() - start;
	dsm_ring_close(there);
	dsm_ring_close(back);
	if (!child)
		_exit(0);
	reap(child);
	printf("%s %.4f us\n", name, (double)took / 1e3 / n);
}

static const char *only; /* NULL: all */

static bool asked(const char *name)
{
	return !only || !strcmp(only, name);
}

int main(int argc, char **argv)
{
	if (argc < 2 || sscanf(argv[1], "%d,%d", &cpus[0], &cpus[1]) != 2) {
		fprintf(stderr, "usage: ring_bench CPU,CPU [COUNT [NAME]]\n");
		return 2;
	}
	count = argc > 2 ? (uint32_t)atoi(argv[2]) / BATCH * BATCH : RATE_COUNT;
	only = argc > 3 ? argv[3] : NULL;
	snprintf(uri, sizeof(uri), "shm:ring-bench-%d", getpid());
	check(dsm_segment_create(uri, NULL, &seg));
	if (asked("ring_rate"))
		rate("ring_rate", send_one, recv_one, 1);
	if (asked("ring_rate_inplace"))
		rate("ring_rate_inplace", send_inplace, recv_inplace, 1);
	if (asked("ring_rate_batch"))
		rate("ring_rate_batch", send_batch, recv_batch, BATCH);
	if (asked("ring_rtt"))
		trips("ring_rtt", 8);
	if (asked("ring_rtt_64"))
		trips("ring_rtt_64", 64);
	waiting = DSM_RING_SLEEP;
	if (asked("ring_rtt_futex"))
		trips("ring_rtt_futex", 8);
	dsm_segment_close(seg);
	check(dsm_segment_unlink(uri, NULL));
	return 0;
}
