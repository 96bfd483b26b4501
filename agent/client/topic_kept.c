// SPDX-License-Identifier: MIT
/*
 * Memory of topics that no program has open any more, kept with its last value for
 * whoever opens the topic on this node next. The core knows nothing of it: values are not pushed
 * to it, nor from it. Of more than fits what was left first goes first.
 */
#include "agent/client/topic_kept.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct kept {
	struct kept *next; /* left later */
	struct topic_memory m;
};

void topic_memory_free(struct topic_memory *m)
{
	if (m->head)
		munmap(m->head, m->bytes);
	if (m->fd >= 0)
		close(m->fd);
}

static struct topic_memory unlink_at(struct kept_topics *k, struct kept **at)
{
	struct kept *found = *at;
	struct topic_memory m = found->m;

	*at = found->next;
	k->bytes -= m.bytes;
	k->n--;
	free(found);
	return m;
}

void topic_keep(struct kept_topics *k, const struct topic_memory *m)
{
	struct kept *one = calloc(1, sizeof(*one)), **end = &k->first;
	struct topic_memory oldest;

	if (!one || m->bytes > TOPIC_KEPT_BYTES) {
		oldest = *m;
		topic_memory_free(&oldest);
		free(one);
		return;
	}
	while (k->first && (k->n == TOPIC_KEPT_MOST || k->bytes + m->bytes > TOPIC_KEPT_BYTES)) {
		oldest = unlink_at(k, &k->first);
		topic_memory_free(&oldest);
	}
	while (*end)
		end = &(*end)->next;
	one->m = *m;
	*end = one;
	k->bytes += m->bytes;
	k->n++;
}

bool topic_kept_take(struct kept_topics *k, const char *name, uint32_t size,
		     struct topic_memory *ret)
{
	struct kept **at = &k->first;

	while (*at && strcmp((*at)->m.name, name))
		at = &(*at)->next;
	if (!*at)
		return false;
	*ret = unlink_at(k, at);
	if (!size || size == ret->size)
		return true;
	/* Made anew with another size: nobody asks for the old one again. */
	topic_memory_free(ret);
	return false;
}

void topic_kept_free(struct kept_topics *k)
{
	while (k->first) {
		struct topic_memory m = unlink_at(k, &k->first);

		topic_memory_free(&m);
	}
}
