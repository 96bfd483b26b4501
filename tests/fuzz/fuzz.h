/* SPDX-License-Identifier: MIT */
/*
 * What a fuzz target defines. LLVMFuzzerTestOneInput() is libFuzzer's entry, so a
 * target links with `clang -fsanitize=fuzzer` as it is; driver.c is the
 * plain main() that mutates the target's own seeds, the same way each time.
 */
#ifndef DSM_TESTS_FUZZ_H
#define DSM_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define FUZZ_INPUT_MAX 8192

#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

/* One input; returns 0. A defect ends the program: an assertion or a sanitizer's report. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Writes the good input number @i to @ret and returns its size; 0: there is no such number. */
size_t fuzz_seed(unsigned int i, uint8_t ret[FUZZ_INPUT_MAX]);

/* How many inputs make a short run. */
extern const unsigned int fuzz_runs;

#endif
