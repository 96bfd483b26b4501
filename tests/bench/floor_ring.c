// SPDX-License-Identifier: MIT
/*
 * floor_ring CPU,CPU [COUNT [NAME]]: the least that passing messages between two processes costs here.
 * Prints the rate of 64-byte slots of fixed size through shared memory (slots_64), the round
 * trip of a word that both spin on (spin_round_trip; on two CPUs only), that of a word they
 * sleep on by futexes (futex_round_trip), and that of one for which they yield (yield_round_trip).
 */
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/measure.h"

#define SLOTS	   1024u
#define RATE_COUNT 20000000u
#define TRIP_COUNT 50000u

struct slot {
	uint64_t word[8];
};

struct memory {
	_Alignas(128) _Atomic uint64_t written;
	_Alignas(128) _Atomic uint64_t read;
	_Alignas(128) _Atomic uint32_t there;
	_Alignas(128) _Atomic uint32_t back;
	_Alignas(128) struct slot slot[SLOTS];
};
static struct memory *m;
static int cpus[2] = { 0, 1 };

static void relax(uint32_t *turns)
{
	/* One CPU for both: the other one has to run. */
	if (cpus[0] == cpus[1] || ++*turns % 4096 == 0)
		sched_yield();
#ifdef __x86_64__
	else
		__builtin_ia32_pause();
#endif
}

static void write_slots(uint32_t n)
{
	uint64_t seen = 0;
	uint32_t turns = 0;

	for (uint64_t i = 0; i < n; i++) {
		struct slot *s = &m->slot[i % SLOTS];

		while (i - seen == SLOTS) {
			seen = atomic_load_explicit(&m->read, memory_order_acquire);
			if (i - seen == SLOTS)
				relax(&turns);
		}
		for (uint64_t k = 0; k < 8; k++)
			s->word[k] = i + k;
		atomic_store_explicit(&m->written, i + 1, memory_order_release);
	}
}

static void read_slots(uint32_t n)
{
	uint64_t seen = 0;
	uint32_t turns = 0;

	for (uint64_t i = 0; i < n; i++) {
		struct slot s;

		while (seen == i) {
			seen = atomic_load_explicit(&m->written, memory_order_acquire);
			if (seen == i)
				relax(&turns);
		}
		s = m->slot[i % SLOTS];
		for (uint64_t k = 0; k < 8; k++)
			if (s.word[k] != i + k)
				_exit(1);
		atomic_store_explicit(&m->read, i + 1, memory_order_release);
	}
}

static void spin_until(_Atomic uint32_t *word, uint32_t value)
{
	while (atomic_load_explicit(word, memory_order_acquire) != value)
		;
}

static void spin(bool first, uint32_t n)
{
	for (uint32_t i = 1; i <= n; i++) {
		if (first)
			atomic_store_explicit(&m->there, i, memory_order_release);
		spin_until(first ? &m->back : &m->there, i);
		if (!first)
			atomic_store_explicit(&m->back, i, memory_order_release);
	}
}

static void put(_Atomic uint32_t *word, uint32_t value)
{
	atomic_store(word, value);
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static void sleep_until(_Atomic uint32_t *word, uint32_t value)
{
	uint32_t now;

	while ((now = atomic_load(word)) != value)
		syscall(SYS_futex, word, FUTEX_WAIT, now, NULL, NULL, 0);
}

static void futexes(bool first, uint32_t n)
{
	for (uint32_t i = 1; i <= n; i++) {
		if (first)
			put(&m->there, i);
		sleep_until(first ? &m->back : &m->there, i);
		if (!first)
			put(&m->back, i);
	}
}

static void yield_until(_Atomic uint32_t *word, uint32_t value)
{
	while (atomic_load_explicit(word, memory_order_acquire) != value)
		sched_yield();
}

static void yields(bool first, uint32_t n)
{
	for (uint32_t i = 1; i <= n; i++) {
		if (first)
			atomic_store_explicit(&m->there, i, memory_order_release);
		yield_until(first ? &m->back : &m->there, i);
		if (!first)
			atomic_store_explicit(&m->back, i, memory_order_release);
	}
}

static void rate(bool first, uint32_t n)
{
	if (first)
		write_slots(n);
	else
		read_slots(n);
}

/* Both sides at once; nanoseconds for each of @n. */
static double both(void (*side)(bool first, uint32_t n), uint32_t n)
{
	uint64_t start;
	int status;
	pid_t child;

	memset(m, 0, sizeof(*m));
	child = fork();
	if (child < 0)
		die("fork");
	pin(cpus[!child]);
	if (!child) {
		side(false, n);
		_exit(0);
	}
	start = now_ns();
	side(true, n);
	if (waitpid(child, &status, 0) != child || status)
		die("the other side");
	return (double)(now_ns() - start) / n;
}

static const char *only; /* NULL: all */

static bool asked(const char *name)
{
	return !only || !strcmp(only, name);
}

int main(int argc, char **argv)
{
	uint32_t n;

	if (argc < 2 || sscanf(argv[1], "%d,%d", &cpus[0], &cpus[1]) != 2) {
		fprintf(stderr, "usage: floor_ring CPU,CPU [COUNT [NAME]]\n");
		return 2;
	}
	only = argc > 3 ? argv[3] : NULL;
	n = argc > 2 ? (uint32_t)atoi(argv[2]) : RATE_COUNT;
	m = mmap(NULL, sizeof(*m), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (m == MAP_FAILED)
		die("mmap");
	if (asked("slots_64"))
		printf("slots_64 %.3f M/s\n", 1e3 / both(rate, n));
	n = n < TRIP_COUNT ? n : TRIP_COUNT;
	if (cpus[0] != cpus[1] && asked("spin_round_trip"))
		printf("spin_round_trip %.4f us\n", both(spin, n) / 1e3);
	if (asked("futex_round_trip"))
		printf("futex_round_trip %.4f us\n", both(futexes, n) / 1e3);
	if (asked("yield_round_trip"))
		printf("yield_round_trip %.4f us\n", both(yields, n) / 1e3);
	return 0;
}
