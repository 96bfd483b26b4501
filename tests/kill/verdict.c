// SPDX-License-Identifier: MIT
/* Is everything whole, and does nothing belong to the dead? */
#include <errno.h>
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

unsigned int verdict(const struct scene *s)
{
	struct dsm_segment_info info;
	struct dsm_heap_report heap;
	dsm_channel_t *ch = NULL;
	struct dsm_channel_options o = DSM_CHANNEL_DEFAULTS;
	int64_t blocks;
	int n;

	expect(!atomic_load(&s->shared->wrong), s->shared->what,
	       (long long)atomic_load(&s->shared->wrong));
	(void)dsm_segment_recover(s->seg);
	expect(!dsm_segment_info(s->seg, &info), "info", 0);
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
	n = dsm_map_validate(s->map);
	expect(!n, "map", n);

	/* Every block is a holder's, the map's, or the one that all share. */
	for (unsigned int i = 0; i < USERS + SURVIVORS; i++)
		user_empty(s, i);
	(void)dsm_heap_flush(s->heap);
	n = dsm_heap_validate(s->heap, name_fault, NULL);
	expect(!n, "damages of the heap", n);
	blocks = dsm_map_blocks(s->map) + 1;
	expect(!dsm_heap_report(s->heap, &heap), "report", 0);
	expect((int64_t)heap.used == blocks, "blocks that nobody has",
	       (long long)heap.used - blocks);
	expect(!atomic_load(&s->shared->wrong), s->shared->what,
	       (long long)atomic_load(&s->shared->wrong));
	return wrong;
}
