// SPDX-License-Identifier: MIT
/*
 * channel_bench CPU OTHER: writing and reading last values, beside a plain sequence
 * lock that does the same, alone and against a writer on OTHER that never stops.
 *
 * channel_bench node write|read PORT CPU: one end over the cluster's memory, on the node
 * that serves PORT; the reader prints how long a read takes.
 *
 * Prints NAME VALUE UNIT lines; floors are named floor_*.
 */
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <dsm/channel.h>

#include "tests/bench/measure.h"

#define WORDS  512u
#define ALONE  2000000u /* operations of 64 bytes; an eighth of it with 4 KiB */
#define HOT    200000u	/* reads against the hot writer */
#define HOT_NS 1000000000ull
#define NODE_N 500000u
#define READY  1u
#define ENOUGH 2u

/* The floor: one copy under a sequence lock, which readers repeat until nobody wrote meanwhile. */
struct seqlock {
	_Alignas(64) _Atomic uint32_t sequence;
	_Alignas(64) _Atomic uint64_t words[WORDS];
	_Alignas(64) _Atomic uint32_t state; /* of the other process */
};

static struct seqlock *lock;
static uint64_t words[WORDS];
static dsm_channel_t *master, *slave;
static char uri[64];

static void floor_write(size_t bytes, uint64_t value)
{
	uint32_t before = atomic_load_explicit(&lock->sequence, memory_order_relaxed);

	atomic_store_explicit(&lock->sequence, before + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	for (size_t i = 0; i < bytes / 8; i++)
		atomic_store_explicit(&lock->words[i], value, memory_order_relaxed);
	atomic_store_explicit(&lock->sequence, before + 2, memory_order_release);
}

static void floor_read(size_t bytes)
{
	uint32_t before;

	do {
		before = atomic_load_explicit(&lock->sequence, memory_order_acquire);
		for (size_t i = 0; i < bytes / 8; i++)
			words[i] = atomic_load_explicit(&lock->words[i], memory_order_relaxed);
		atomic_thread_fence(memory_order_acquire);
	} while ((before & 1) ||
		 atomic_load_explicit(&lock->sequence, memory_order_relaxed) != before);
}

static void our_write(size_t bytes, uint64_t value)
{
	words[0] = words[bytes / 8 - 1] = value;
	if (dsm_channel_write(master, words, bytes))
		exit(3);
}

static void our_read(size_t bytes)
{
	if (dsm_channel_read(slave, words, sizeof(words), NULL) != (int)bytes ||
	    words[0] != words[bytes / 8 - 1])
		exit(4);
}

struct kind {
	const char *prefix;
	void (*write)(size_t bytes, uint64_t value);
	void (*read)(size_t bytes);
};

static const struct kind floors = { "floor", floor_write, floor_read };
static const struct kind ours = { "channel", our_write, our_read };

static void alone(const struct kind *k, size_t bytes, const char *what, uint32_t n)
{
	uint64_t begin;

	for (uint32_t i = 0; i < 1000; i++)
		k->write(bytes, i);
	begin = now_ns();
	for (uint32_t i = 0; i < n; i++)
		k->write(bytes, i);
	printf("%s_write_%s %.2f ns\n", k->prefix, what, (double)(now_ns() - begin) / n);
	begin = now_ns();
	for (uint32_t i = 0; i < n; i++)
		k->read(bytes);
	printf("%s_read_%s %.2f ns\n", k->prefix, what, (double)(now_ns() - begin) / n);
}

static void write_on(const struct kind *k, int cpu)
{
	pin(cpu);
	for (uint64_t i = 0; atomic_load_explicit(&lock->state, memory_order_relaxed) != ENOUGH;
	     i++) {
		k->write(WORDS * 8, i);
		if (!i)
			atomic_store(&lock->state, READY);
	}
	_exit(0);
}

/* Each read is timed by itself; what the clock costs is in it. */
static void against_hot(const struct kind *k, pid_t writer)
{
	static uint64_t took[HOT];
	uint64_t end = now_ns() + HOT_NS;
	uint32_t n = 0;
	int status;

	while (atomic_load(&lock->state) != READY)
		sched_yield();
	while (n < HOT && now_ns() < end) {
		uint64_t begin = now_ns();

		k->read(WORDS * 8);
		took[n++] = now_ns() - begin;
	}
	atomic_store(&lock->state, ENOUGH);
	if (waitpid(writer, &status, 0) < 0 || status)
		die("writer");
	atomic_store(&lock->state, 0);
	printf("%s_read_4k_hot %.1f ns\n", k->prefix, (double)percentile(took, n, 50));
	printf("%s_read_4k_hot_p99 %.3f us\n", k->prefix, (double)percentile(took, n, 99) / 1e3);
	fflush(stdout);
}

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, dsm_last_error());
	(void)dsm_segment_unlink(uri, NULL);
	exit(1);
}

static dsm_segment_t *open_ends(dsm_channel_t **first, dsm_channel_t **second)
{
	struct dsm_channel_options o = DSM_CHANNEL_DEFAULTS;
	struct dsm_segment_options s = { .flags = DSM_SEGMENT_EXISTING };
	dsm_segment_t *seg;

	if (dsm_segment_create(uri, &s, &seg))
		fail("segment");
	if (first) {
		o.role = DSM_CHANNEL_MASTER;
		if (dsm_channel_open(seg, "bench", &o, first))
			fail("master");
	}
	if (second) {
		o.role = DSM_CHANNEL_SLAVE;
		if (dsm_channel_open(seg, "bench", &o, second))
			fail("slave");
	}
	return seg;
}

/* The writer has the master's seat in a process of its own. */
static void hot(int cpu, int other)
{
	dsm_segment_t *seg;
	pid_t pid = fork();

	if (!pid)
		write_on(&floors, other);
	pin(cpu);
	against_hot(&floors, pid);
	pid = fork();
	if (!pid) {
		(void)open_ends(&master, NULL);
		write_on(&ours, other);
	}
	while (atomic_load(&lock->state) != READY)
		sched_yield();
	seg = open_ends(NULL, &slave);
	against_hot(&ours, pid);
	dsm_channel_close(slave);
	dsm_segment_close(seg);
}

static int one_host(int cpu, int other)
{
	dsm_segment_t *seg;

	(void)snprintf(uri, sizeof(uri), "shm:bench-%d", (int)getpid());
	hot(cpu, other);
	seg = open_ends(&master, &slave);
	alone(&floors, 64, "64", ALONE);
	alone(&ours, 64, "64", ALONE);
	alone(&floors, WORDS * 8, "4k", ALONE / 8);
	alone(&ours, WORDS * 8, "4k", ALONE / 8);
	dsm_channel_close(slave);
	dsm_channel_close(master);
	dsm_segment_close(seg);
	(void)dsm_segment_unlink(uri, NULL);
	return 0;
}

/* One end on a node of a cluster. */
static int one_node(const char *end, const char *port, int cpu)
{
	dsm_segment_t *seg;
	uint64_t begin;

	pin(cpu);
	setenv("DSM_PORT", port, 1);
	(void)snprintf(uri, sizeof(uri), "dsm:bench");
	if (!strcmp(end, "write")) {
		seg = open_ends(&master, NULL);
		our_write(WORDS * 8, 1);
		printf("ready\n");
		fflush(stdout);
		(void)getchar(); /* until the reader has measured */
		dsm_channel_close(master);
		dsm_segment_close(seg);
		return 0;
	}
	seg = open_ends(NULL, &slave);
	if (dsm_channel_wait(slave, 0, 10000000, NULL))
		fail("no value");
	our_read(WORDS * 8);
	begin = now_ns();
	for (uint32_t i = 0; i < NODE_N; i++)
		our_read(WORDS * 8);
	printf("channel_read_2n %.2f ns\n", (double)(now_ns() - begin) / NODE_N);
	dsm_channel_close(slave);
	dsm_segment_close(seg);
	return 0;
}

int main(int argc, char **argv)
{
	lock = mmap(NULL, sizeof(*lock), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (lock == MAP_FAILED)
		die("mmap");
	if (argc == 3)
		return one_host(atoi(argv[1]), atoi(argv[2]));
	if (argc == 5 && !strcmp(argv[1], "node"))
		return one_node(argv[2], argv[3], atoi(argv[4]));
	fprintf(stderr, "usage: channel_bench CPU OTHER | node write|read PORT CPU\n");
	return 2;
}
