// SPDX-License-Identifier: MIT
/*
 * producer: writes and updates pairs in a map that others watch.
 *
 *   terminal 1:  producer shm:prices
 *   terminal 2:  consumer shm:prices
 *
 * On two machines of a cluster: producer dsm:prices, consumer dsm:prices.
 *
 *	producer URI [PAIRS [UPDATES [MILLISECONDS]]]
 *
 * Sets PAIRS keys, then changes one of them, drawn at random, every MILLISECONDS; UPDATES times,
 * 0: until it is killed. Killed or not, it may be started again at any time, also beside itself.
 */
#include <dsm_map.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

static int fail(const char *what)
{
	fprintf(stderr, "producer: %s: %s\n", what, dsm_last_error());
	return 1;
}

/* The next price of item @i: a little more or less than it was. */
static int update(dsm_map_t *map, unsigned int i)
{
	char key[32], value[32];
	int n = snprintf(key, sizeof(key), "item%u", i);
	ssize_t got = dsm_map_get(map, key, (size_t)n, value, sizeof(value) - 1, NULL);
	double price = 100;

	if (got > 0 && (size_t)got < sizeof(value)) {
		value[got] = '\0';
		price = atof(value) * (0.95 + 0.1 * (rand() % 1000) / 1000.0);
	}
	got = snprintf(value, sizeof(value), "%.2f", price);
	return dsm_map_set(map, key, (size_t)n, value, (size_t)got, NULL);
}

int main(int argc, char **argv)
{
	struct dsm_segment_options there = { .flags = DSM_SEGMENT_EXISTING };
	struct dsm_map_options existing = { .flags = DSM_MAP_EXISTING };
	unsigned int pairs = argc > 2 ? (unsigned int)atoi(argv[2]) : 10;
	uint64_t updates = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
	int pause_ms = argc > 4 ? atoi(argv[4]) : 500;
	dsm_segment_t *segment;
	dsm_map_t *map;

	if (argc < 2 || !pairs) {
		fprintf(stderr, "usage: producer URI [PAIRS [UPDATES [MILLISECONDS]]]\n");
		return 2;
	}
	if (dsm_segment_create(argv[1], &there, &segment))
		return fail(argv[1]);
	if (dsm_map_create(segment, "pairs", &existing, &map))
		return fail("pairs");
	for (unsigned int i = 0; i < pairs; i++)
		if (update(map, i))
			return fail("set");
	for (uint64_t n = 0; !updates || n < updates; n++) {
		poll(NULL, 0, pause_ms);
		if (update(map, (unsigned int)rand() % pairs))
			return fail("set");
	}
	printf("%" PRId64 " pairs, version %" PRIu64 "\n", dsm_map_count(map),
	       dsm_map_version(map));
	dsm_map_close(map);
	dsm_segment_close(segment);
	return 0;
}
