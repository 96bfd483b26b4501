/* SPDX-License-Identifier: MIT */
/*
 * A file beside the agent's socket with the core's records for its next life (struct core_kept).
 * It survives the agent, not the machine: no more do the pages that it speaks of.
 *
 * A record counts from the moment when the file's number of records says so, and a file
 * takes the place of the one before by its name: whatever instruction the agent is killed at,
 * what is found is what was written before it.
 *
 * Threading: the agent's loop thread. Errors are negative errnos. Whatever cannot be written
 * takes the file away: old records would pass for true ones.
 */
#ifndef DSM_AGENT_KEPT_FILE_H
#define DSM_AGENT_KEPT_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "agent/core/core.h"

struct kept_file;

/* Nothing is written yet: a file of an agent before this one stays. NULL: no memory. */
struct kept_file *kept_file_new(const char *run_dir, uint16_t port);
/* The file itself stays. NULL is fine. */
void kept_file_free(struct kept_file *f);

/*
 * What an earlier agent had written of @cluster; nothing where its file is of another one, is
 * damaged, or is not there. @ret is the caller's to free(), NULL when *@ret_n is 0.
 */
void kept_file_read(struct kept_file *f, uint64_t cluster, struct core_kept **ret, size_t *ret_n);

/* In place of all that is kept: what core_each_kept() says of @core, for @cluster. */
int kept_file_anew(struct kept_file *f, uint64_t cluster, const struct core *core);
/* One record more. -ENOSPC: the file is full, kept_file_anew() makes a larger one; -ENOENT: there is no file. */
int kept_file_add(struct kept_file *f, const struct core_kept *rec);
/* There is nothing to keep. */
void kept_file_remove(struct kept_file *f);

#endif
