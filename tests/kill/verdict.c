// SPDX-License-Identifier: MIT
/* Is everything whole, and does nothing belong to the dead? */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>

#include <dsm/heap_report.h>

#include "tests/kill/kill.h"

static unsigned int wrong;

static void expect(int good, const char *what, long long number)
{
	if (good)
		return;
	wrong++;
	(void)fprintf(stderr, "%s: %lld (%s)\n", what, number, dsm_last_error());
}

static int name_fault(void *unused, uint64_t off, const char *what)
{
	(void)unused;
	(void)fprintf(stderr, "heap, at %#llx: %s\n", (unsigned long long)off, what);
	return 0;
}

static void drain(dsm_ring_t *ring)
{
	struct dsm_ring_message m;
	int left = 1 << 20;

	while (left-- && !dsm_ring_peek(ring, 0, &m))
		expect(!dsm_ring_release(ring, m.data), "release", 0);
	expect(left > 0, "a ring that never ends", left);
}

struct map_look {
	const struct scene *s;
	int64_t blocks;
	int fault;
};

/* A thread of its own: what it keeps for its next use of the map goes with it. */
static void *look_at_map(void *arg)
{
	struct map_look *l = arg;

	l->fault = dsm_map_validate(l->s->map);
	l->blocks = dsm_map_blocks(l->s->map);
	return NULL;
}

static struct map_look map_look(const struct scene *s)
{
	struct map_look l = { .s = s, .fault = -1 };
	pthread_t t;

	if (!pthread_create(&t, NULL, look_at_map, &l))
		(void)pthread_join(t, NULL);
	return l;
}

unsigned int verdict(const struct scene *s)
{
	struct dsm_segment_info info;
	struct dsm_heap_report heap;
	dsm_channel_t *ch = NULL;
	struct dsm_channel_options o = DSM_CHANNEL_DEFAULTS;
	int64_t blocks = 0;
	int n;

	expect(!atomic_load(&s->shared->wrong), s->shared->what,
	       (long long)atomic_load(&s->shared->wrong));
	/* In a cluster it takes its agent a moment to see that a process has died. */
	for (int tries = 0; tries < 5000; tries++) {
		(void)dsm_segment_recover(s->seg);
		expect(!dsm_segment_info(s->seg, &info), "info", 0);
		if (!s->ctx || info.participants <= 2)
			break;
		(void)poll(NULL, 0, 1);
	}
	/* This thread, and the one that the library has for channels. */
	expect(info.participants <= 2, "participants left", info.participants);

	n = dsm_ring_validate(s->ring);
	expect(n >= 0, "ring", n);
	drain(s->ring);
	o.role = DSM_CHANNEL_OBSERVER;
	n = dsm_channel_open(s->seg, "channel", &o, &ch);
	expect(!n, "channel", n);
	if (!n)
		expect(!dsm_channel_validate(ch), "channel", -1);
	dsm_channel_close(ch);
	n = map_look(s).fault;
	expect(!n, "map", n);

	/* Every block is a holder's, the map's, or the one that all share. */
	for (unsigned int i = 0; i < USERS + SURVIVORS; i++)
		user_empty(s, i);
	(void)dsm_heap_flush(s->heap);
	n = dsm_heap_validate(s->heap, name_fault, NULL);
	expect(!n, "damages of the heap", n);
	/* Looking gives retired entries back, a few each time: until there are none. */
	for (int i = 0; i < 10; i++) {
		blocks = map_look(s).blocks + 1;
		expect(!dsm_heap_report(s->heap, &heap), "report", 0);
		if ((int64_t)heap.used == blocks)
			break;
	}
	expect((int64_t)heap.used == blocks, "blocks that nobody has",
	       (long long)heap.used - blocks);
	expect(!atomic_load(&s->shared->wrong), s->shared->what,
	       (long long)atomic_load(&s->shared->wrong));
	return wrong;
}
