/* SPDX-License-Identifier: MIT */
/* A segment, opened twice, whose structure lies between grains that nobody has to touch. */
#ifndef DSM_TESTS_FUZZ_FENCED_H
#define DSM_TESTS_FUZZ_FENCED_H

#include <dsm/segment.h>

extern dsm_segment_t *fenced[2];

/* Before the structure is made; @name tells the targets apart. */
void fenced_begin(const char *name);
/* When it has all its memory. */
void fenced_end(void);
/* Checks what is before and behind it, and closes. */
void fenced_close(void);

#endif
