/* SPDX-License-Identifier: MIT */
/* Pieces of text that reports, dumps and pictures of heaps share. */
#ifndef DSM_HEAP_TEXT_H
#define DSM_HEAP_TEXT_H

#include <stdint.h>
#include <stdio.h>

/* @text in quotes as JSON has it. */
void text_json(FILE *out, const char *text);
/* "guards, poison" of DSM_HEAP_* @flags, or @none; with quotes around each where @json. */
void text_flags(FILE *out, uint32_t flags, const char *none, int json);
/* "12.5 KiB" in a buffer of the caller. */
const char *text_size(uint64_t bytes, char text[24]);
/* -EIO where something could not be written. */
int text_end(FILE *out);

#endif
