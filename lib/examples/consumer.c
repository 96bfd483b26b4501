// SPDX-License-Identifier: MIT
/*
 * consumer: prints every change of the map that `producer` writes, as it happens.
 *
 *	consumer URI [CHANGES [SECONDS]]
 *
 * Ends after CHANGES (0: never), or when nothing has changed for SECONDS (0: never). A pair that
 * changes several times before it is looked at is printed once, with its last value.
 */
#include <dsm_map.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static int fail(const char *what)
{
	fprintf(stderr, "consumer: %s: %s\n", what, dsm_last_error());
	return 1;
}

static void print(const struct dsm_map_event *event)
{
	const struct dsm_map_entry *e = &event->entry;

	switch (event->kind) {
	case DSM_MAP_DELETED:
		printf("%.*s is gone\n", (int)e->key_size, (const char *)e->key);
		break;
	case DSM_MAP_ADDED:
	case DSM_MAP_CHANGED:
		printf("%.*s %s %.*s (version %" PRIu64 ")\n", (int)e->key_size,
		       (const char *)e->key, event->kind == DSM_MAP_ADDED ? "is" : "became",
		       (int)e->value_size, (const char *)e->value, e->version);
		break;
	}
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct dsm_segment_options there = { .flags = DSM_SEGMENT_EXISTING };
	struct dsm_map_options existing = { .flags = DSM_MAP_EXISTING };
	uint64_t changes = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
	uint64_t seconds = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
	struct dsm_map_event event;
	dsm_map_watcher_t *watcher;
	dsm_segment_t *segment;
	dsm_map_t *map;
	int err = 0;

	if (argc < 2) {
		fprintf(stderr, "usage: consumer URI [CHANGES [SECONDS]]\n");
		return 2;
	}
	if (dsm_segment_create(argv[1], &there, &segment))
		return fail(argv[1]);
	if (dsm_map_create(segment, "pairs", &existing, &map))
		return fail("pairs");
	if (dsm_map_watcher_begin(map, NULL, 0, DSM_MAP_WATCH_PRESENT, &watcher))
		return fail("watch");
	for (uint64_t n = 0; !err && (!changes || n < changes); n++) {
		err = dsm_map_watcher_next(watcher, seconds ? seconds * 1000000 : DSM_MAP_FOREVER,
					   &event);
		if (!err)
			print(&event);
	}
	dsm_map_watcher_end(watcher);
	dsm_map_close(map);
	dsm_segment_close(segment);
	return err && err != -ETIMEDOUT ? fail("watch") : 0;
}
