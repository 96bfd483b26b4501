/* SPDX-License-Identifier: MIT */
/*
 * Inputs that are lists of stores into memory that programs share: which of a structure's
 * memories (2 bytes), where in it (4 bytes), and what (8 bytes).
 */
#ifndef DSM_TESTS_FUZZ_STORES_H
#define DSM_TESTS_FUZZ_STORES_H

#include "tests/fuzz/fuzz.h"

#define STORES_MAX 32u

struct store {
	uint8_t *at;
	uint64_t value;
};

/* Where 8 bytes may be stored; NULL: nowhere. */
typedef uint8_t *(*store_place)(void *structure, uint32_t which, uint32_t off);

/* The stores of an input, as long as the structure is whole. How many. */
unsigned int stores_find(const uint8_t *data, size_t size, store_place place, void *structure,
			 struct store ret[STORES_MAX]);
void stores_do(const struct store *stores, unsigned int n);

/* For fuzz_seed(): stores of telling values in each of @kinds memories. */
#define STORES_VALUES 8u
size_t stores_seed(unsigned int i, uint32_t kinds, const uint64_t values[STORES_VALUES],
		   uint8_t ret[FUZZ_INPUT_MAX]);

#endif
