/* SPDX-License-Identifier: MIT */
#ifndef DSM_HEAP_DUMP_H
#define DSM_HEAP_DUMP_H

#include <stdio.h>

#include "lib/heap/heap.h"

/* The log's entries as lines, or as the members of a JSON array. Nothing where there is no log. */
void dump_log(const dsm_heap_t *heap, FILE *out, bool json);

#endif
