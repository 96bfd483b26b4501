/* SPDX-License-Identifier: MIT */
/*
 * Bytes of pages that have left this node's programs but are still needed:
 * one 4 KiB buffer for each page key, kept until the core says otherwise.
 */
#ifndef DSM_AGENT_STASH_H
#define DSM_AGENT_STASH_H

#include <stddef.h>
#include <stdint.h>

struct stash;

/* NULL: no memory. */
struct stash *stash_new(void);
void stash_free(struct stash *s);
/* The buffer of @key, to be filled; made if there is none. NULL: no memory. */
void *stash_put(struct stash *s, uint64_t key);
/* NULL: nothing is kept for @key. */
void *stash_get(const struct stash *s, uint64_t key);
/* No effect when nothing is kept. */
void stash_drop(struct stash *s, uint64_t key);
size_t stash_pages(const struct stash *s);

#endif
