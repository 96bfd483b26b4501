/* SPDX-License-Identifier: MIT */
/* Clock, pinning and percentiles for the benches. */
#ifndef DSM_BENCH_MEASURE_H
#define DSM_BENCH_MEASURE_H

#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BENCH_PAGE 4096ul

static inline uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline __attribute__((noreturn)) void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

/* Pins the calling thread; a negative cpu leaves it where it is. */
static inline void pin(int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
}

static inline int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* The p-th percentile of @v, which it sorts. */
static inline uint64_t percentile(uint64_t *v, size_t n, unsigned int p)
{
	qsort(v, n, sizeof(*v), compare_u64);
	return v[(n - 1) * p / 100];
}

/* Prints NAME and the median of nanoseconds in microseconds; more on a line of its own. */
static inline void put_latency(const char *name, uint64_t *v, size_t n)
{
	double p50 = (double)percentile(v, n, 50) / 1e3, p99 = (double)percentile(v, n, 99) / 1e3;

	printf("%s %.3f us\n%s_p99 %.3f us\n", name, p50, name, p99);
	fflush(stdout);
}

/* A fixed shuffle of 0..n-1, so that no prefetcher sees a sequence. */
static inline void shuffle(uint32_t *order, uint32_t n)
{
	uint64_t x = 88172645463325252u;

	for (uint32_t i = 0; i < n; i++)
		order[i] = i;
	for (uint32_t i = n - 1; i; i--) {
		uint32_t j, t;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		j = (uint32_t)(x % (i + 1));
		t = order[i];
		order[i] = order[j];
		order[j] = t;
	}
}

#endif
