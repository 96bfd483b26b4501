/* SPDX-License-Identifier: MIT */
/* The memory of a heap cut into cells of equal size, to be drawn. */
#ifndef DSM_HEAP_PICTURE_H
#define DSM_HEAP_PICTURE_H

#include "lib/heap/heap.h"

/* Bytes of a cell by what they are; what is left of it is of no run. */
struct picture_cell {
	uint64_t used, free, freeing, meta;
};

struct picture {
	uint64_t scale; /* bytes of a cell, a power of two, at least 16 */
	size_t n;	/* cells */
	uint64_t bytes; /* of all runs, which follow each other in the picture */
	uint64_t runs;
	struct picture_cell *cells;
};

/* At most @most cells. To be freed by picture_free(). -ENOMEM, what walking says. */
int picture_make(dsm_heap_t *heap, size_t most, struct picture *ret);
void picture_free(struct picture *p);

#endif
