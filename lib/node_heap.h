/* SPDX-License-Identifier: MIT */
/*
 * What dsm_malloc() gives: blocks of the heap in "dsm:default" for small sizes, so
 * that they cost no page and no message each, and pages of the pool beyond a page, or
 * where the pool is too small for a heap.
 */
#ifndef DSM_LIB_NODE_HEAP_H
#define DSM_LIB_NODE_HEAP_H

#include <stddef.h>

#include <dsm/context.h>

/* @size bytes, zeroed; from a page on, aligned to pages. 0 or a negative errno. */
int node_heap_alloc(dsm_t *ctx, size_t size, void **ret);
/* -EINVAL: no allocation starts there. */
int node_heap_free(dsm_t *ctx, void *ptr);
/* Before the context is closed, if there is one. Its memory is given back where none of it is in use. */
void node_heap_close(dsm_t *ctx);

#endif
