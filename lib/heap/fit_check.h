/* SPDX-License-Identifier: MIT */
/* The check of a fit heap while it goes on; the lock is held. */
#ifndef DSM_HEAP_FIT_CHECK_H
#define DSM_HEAP_FIT_CHECK_H

#include "lib/heap/fit.h"

/* A free block as the tags tell. */
struct fit_free {
	uint64_t b;
	uint64_t units; /* 0: the index was seen to have it */
};

struct fit_checking {
	struct fit *f;
	heap_fault_fn fn;
	void *context;
	size_t faults;
	struct fit_free *free; /* by address */
	size_t nfree, room;
};

/* Tell of a damage; what fn said. The text begins with the kind: "header: ". */
int fit_fault(struct fit_checking *c, uint64_t off, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* NULL: the tags know of no free block there. */
struct fit_free *fit_free_find(const struct fit_checking *c, uint64_t b);

/* The indexes against c->free. */
int fit_check_area(struct fit_checking *c);
int fit_check_size(struct fit_checking *c);

#endif
