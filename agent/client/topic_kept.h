/* SPDX-License-Identifier: MIT */
/* The agent's store of topics that nobody has open: their last values outlive their users. */
#ifndef DSM_AGENT_CLIENT_TOPIC_KEPT_H
#define DSM_AGENT_CLIENT_TOPIC_KEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/client/topic_head.h"

#define TOPIC_KEPT_BYTES (32u << 20) /* in all */
#define TOPIC_KEPT_MOST	 256u	     /* topics: each has a descriptor */

/* The memory of one topic. */
struct topic_memory {
	struct topic_head *head; /* mapped; NULL: not yet */
	size_t bytes;
	uint32_t size; /* most bytes of a value */
	int fd;	       /* -1: none */
	char name[TOPIC_NAME_MAX];
};

struct kept_topics {
	struct kept *first; /* the one that was left first */
	size_t bytes;
	uint32_t n;
};

/* Unmaps and closes. */
void topic_memory_free(struct topic_memory *m);
/* Keeps @m, which is the store's from now on; older ones may have to go for it. */
void topic_keep(struct kept_topics *k, const struct topic_memory *m);
/* The memory of @name, for values of @size bytes (0: whatever it has), is the caller's again. */
bool topic_kept_take(struct kept_topics *k, const char *name, uint32_t size,
		     struct topic_memory *ret);
void topic_kept_free(struct kept_topics *k);

#endif
