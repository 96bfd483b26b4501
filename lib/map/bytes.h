/* SPDX-License-Identifier: MIT */
/* Bytes that programs give: short ones mostly, and a null pointer may stand for none. */
#ifndef DSM_LIB_MAP_BYTES_H
#define DSM_LIB_MAP_BYTES_H

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
