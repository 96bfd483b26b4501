// SPDX-License-Identifier: MIT
/*
 * topic_bench PORT,PORT CPU,CPU [BYTES [COUNT]]
 *
 * Two programs at two agents push a value back and forth, each asleep until the other's comes:
 * push_round_trip. Then what a write costs that nobody elsewhere wants (push_none), and one that
 * is wanted (push_wanted), and a read of what was pushed (push_read). Prints NAME VALUE UNIT lines.
 */
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <dsm/dsm.h>

#include "lib/topic.h"
#include "tests/bench/measure.h"

#define OPS 1000000u

static char bytes[TOPIC_SIZE_MAX];
static uint32_t size = 64, count = 5000;

static dsm_t *attach(uint16_t port, int cpu)
{
	struct dsm_options o = { .port = port, .flags = DSM_OPEN_NO_START };
	dsm_t *ctx;

	pin(cpu);
	errno = -dsm_open(&o, &ctx);
	if (errno)
		die("dsm_open");
	return ctx;
}

static struct topic *opened(dsm_t *ctx, const char *name, uint32_t flags)
{
	struct topic *t;

	errno = -topic_open(ctx, name, size, flags, &t);
	if (errno)
		die("topic_open");
	return t;
}

static void futex(_Atomic uint32_t *word, int op, uint32_t value, uint64_t us)
{
	const struct timespec t = { (time_t)(us / 1000000), (long)(us % 1000000) * 1000 };

	syscall(SYS_futex, word, op, value, op == FUTEX_WAIT ? &t : NULL, NULL, 0);
}

static void publish(struct topic *t)
{
	if (slots_write(&t->slots, bytes, size))
		futex(&t->slots.head->bell, FUTEX_WAKE, INT_MAX, 0);
	topic_changed(t);
}

/* Sleeps until there is a value newer than number @seen; its number. */
static uint64_t receive(struct topic *t, uint64_t seen)
{
	struct slots_head *h = t->slots.head;
	uint64_t us = SLOTS_FIRST_SLEEP_US;

	while (slots_read(&t->slots, seen, bytes, size, &seen) < 0) {
		uint32_t bell = atomic_load(&h->bell);

		atomic_store(&h->waiting, 1);
		if (slots_newest(&t->slots) > seen)
			continue;
		futex(&h->bell, FUTEX_WAIT, bell, us);
		us = 1000000;
	}
	return seen;
}

/* Returns each value, until it is killed. */
static void answer(uint16_t port, int cpu)
{
	dsm_t *ctx = attach(port, cpu);
	struct topic *in = opened(ctx, "there", TOPIC_SUBSCRIBE);
	struct topic *out = opened(ctx, "back", TOPIC_PUBLISH);

	for (uint64_t seen = 0;;) {
		seen = receive(in, seen);
		publish(out);
	}
}

static void put_each(const char *name, uint64_t from)
{
	printf("%s %.2f ns\n", name, (double)(now_ns() - from) / OPS);
}

static void measure(struct topic *out, struct topic *in, uint64_t *v)
{
	uint64_t number, seen = 0, from;

	for (uint32_t i = 0; i < count; i++) {
		from = now_ns();
		publish(out);
		seen = receive(in, seen);
		v[i] = now_ns() - from;
	}
	put_latency("push_round_trip", v, count);
	from = now_ns();
	for (uint32_t i = 0; i < OPS; i++)
		if (slots_read(&in->slots, 0, bytes, size, &number) < 0)
			die("slots_read");
	put_each("push_read", from);
	from = now_ns();
	for (uint32_t i = 0; i < OPS; i++)
		publish(out);
	put_each("push_wanted", from);
}

static void measure_alone(dsm_t *ctx)
{
	struct topic *t = opened(ctx, "alone", TOPIC_PUBLISH);
	uint64_t from = now_ns();

	for (uint32_t i = 0; i < OPS; i++)
		publish(t);
	put_each("push_none", from);
	topic_close(t);
}

int main(int argc, char **argv)
{
	unsigned int ports[2];
	int cpus[2];
	struct topic *in, *out;
	uint64_t *v;
	dsm_t *ctx;
	pid_t pid;

	if (argc < 3 || sscanf(argv[1], "%u,%u", &ports[0], &ports[1]) != 2 ||
	    sscanf(argv[2], "%d,%d", &cpus[0], &cpus[1]) != 2) {
		fprintf(stderr, "usage: topic_bench PORT,PORT CPU,CPU [BYTES [COUNT]]\n");
		return 2;
	}
	size = argc > 3 ? (uint32_t)atoi(argv[3]) : size;
	count = argc > 4 ? (uint32_t)atoi(argv[4]) : count;
	v = calloc(count ? count : 1, sizeof(*v));
	pid = fork();
	if (!v || pid < 0)
		die("fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		answer((uint16_t)ports[1], cpus[1]);
	}
	ctx = attach((uint16_t)ports[0], cpus[0]);
	in = opened(ctx, "back", TOPIC_SUBSCRIBE);
	out = opened(ctx, "there", TOPIC_PUBLISH);
	while (!atomic_load(&out->head->remote) || !topic_publishers(in))
		futex(&in->head->presence, FUTEX_WAIT, atomic_load(&in->head->presence), 1000);
	measure(out, in, v);
	measure_alone(ctx);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	free(v);
	dsm_close(ctx);
	return 0;
}
