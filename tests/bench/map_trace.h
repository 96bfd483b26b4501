/* SPDX-License-Identifier: MIT */
/*
 * What maps and their peers are measured with: 100,000 keys of 14 bytes, values of 100, drawn at
 * random.
 */
#ifndef DSM_BENCH_MAP_TRACE_H
#define DSM_BENCH_MAP_TRACE_H

#include "tests/bench/measure.h"

#define TRACE_KEYS  100000u
#define TRACE_KEY   14u
#define TRACE_VALUE 100u

static char trace_keys[TRACE_KEYS][16];
static uint64_t trace_state = 88172645463325252u;

static inline void trace_begin(void)
{
	for (unsigned int i = 0; i < TRACE_KEYS; i++)
		snprintf(trace_keys[i], sizeof(trace_keys[i]), "key:%010u", i);
}

static inline const char *trace_key(void)
{
	trace_state ^= trace_state << 13;
	trace_state ^= trace_state >> 7;
	trace_state ^= trace_state << 17;
	return trace_keys[(trace_state >> 16) % TRACE_KEYS];
}

/*
 * Runs @statement @count times, with `key` and `value` to use in it, and prints what one takes. A
 * first pass of a tenth is not counted.
 */
#define TRACE_RUN(name, count, statement)                                                          \
	do {                                                                                       \
		static char value[TRACE_VALUE];                                                    \
		uint64_t start_ = 0;                                                               \
		for (size_t i_ = 0; i_ < (count) + (count) / 10; i_++) {                           \
			const char *key = trace_key();                                             \
			if (i_ == (count) / 10)                                                    \
				start_ = now_ns();                                                 \
			value[0] = (char)i_;                                                       \
			statement;                                                                 \
			__asm__ volatile("" ::"r"(value), "r"(key) : "memory");                    \
		}                                                                                  \
		printf("%s %.3f ns\n", name, (double)(now_ns() - start_) / (double)(count));       \
		fflush(stdout);                                                                    \
	} while (0)

#endif
