/* SPDX-License-Identifier: MIT */
/* Bytes that programs give: short ones mostly, and a null pointer may stand for none. */
#ifndef DSM_LIB_MAP_BYTES_H
#define DSM_LIB_MAP_BYTES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/segment/segment.h"

static inline void bytes_copy(void *to, const void *from, size_t n)
{
	if (n)
		memcpy(to, from, n);
}

/* Fewer than 16. */
static inline void bytes_copy_few(uint8_t *to, const uint8_t *from, size_t n)
{
	if (n >= 8) {
		uint64_t first, last;

		memcpy(&first, from, sizeof(first));
		memcpy(&last, from + n - 8, sizeof(last));
		memcpy(to, &first, sizeof(first));
		memcpy(to + n - 8, &last, sizeof(last));
		return;
	}
	while (n) {
		n--;
		to[n] = from[n];
		/* No word from the compiler that this is a memcpy(): a call. */
		__asm__("" : "+r"(n));
	}
}

/*
 * A value's bytes, which others may read or write at this moment: who reads them believes them
 * only when the entry's version says so. @to and @from at multiples of 8, if they are in the map.
 */
#ifndef __SANITIZE_THREAD__
#define bytes_fence(order) atomic_thread_fence(order)

static inline void bytes_load(void *to, const void *from, size_t n)
{
	bytes_copy(to, from, n);
}
static inline void bytes_store(void *to, const void *from, size_t n)
{
	bytes_copy(to, from, n);
}
#else
/*
 * It would take them for a race, which they are, unless each access is atomic by itself. It knows
 * no fences, so each keeps the order, too.
 */
#define bytes_fence(order) ((void)(order))

static inline void bytes_load(void *to, const void *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((uint8_t *)to)[i] = atomic_load_explicit((const _Atomic uint8_t *)from + i,
							  memory_order_acquire);
}
static inline void bytes_store(void *to, const void *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		atomic_store_explicit((_Atomic uint8_t *)to + i, ((const uint8_t *)from)[i],
				      memory_order_release);
}
#endif

static inline uint64_t bytes_differ8(const uint8_t *a, const uint8_t *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x ^ y;
}

/* Without a call for the sizes that keys have. */
static inline bool bytes_same(const void *left, const void *right, size_t n)
{
	const uint8_t *a = left, *b = right;

	if (likely(n - 8 <= 8))
		return !(bytes_differ8(a, b) | bytes_differ8(a + n - 8, b + n - 8));
	if (n > 32)
		return !memcmp(a, b, n);
	if (n >= 8) {
		uint64_t differ = bytes_differ8(a + n - 8, b + n - 8);

		for (size_t i = 0; i + 8 < n; i += 8)
			differ |= bytes_differ8(a + i, b + i);
		return !differ;
	}
	while (n)
		if (n--, a[n] != b[n])
			return false;
	return true;
}

#endif
