// SPDX-License-Identifier: MIT
/*
 * Maps in memory that somebody else has written: whatever is there, opening and using it gives
 * results or errors.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/map/table.h"
#include "tests/fuzz/stores.h"

const unsigned int fuzz_runs = 3000;

#define ENTRIES 60

static size_t key_of(int i, char key[16])
{
	return (size_t)snprintf(key, 16, "key%d", i);
}

/* A map with entries, retired ones, and one that grows when @grow. */
static dsm_map_t *map_make(dsm_segment_t *seg, bool grow)
{
	char key[16];
	dsm_map_t *m;

	MUST(!dsm_map_create(seg, "m", NULL, &m));
	for (int i = 0; i < 2 * ENTRIES; i++)
		MUST(!dsm_map_set(m, key, key_of(i % ENTRIES, key), "a value of some bytes", 21,
				  NULL));
	if (grow)
		MUST(!map_grow_start(m, atomic_load(&m->header->table)));
	return m;
}

/* Not to locks: those are the segment's, and waited for. The lowest bit of @which is not the place's. */
static uint8_t *place(void *map, uint32_t which, uint32_t off)
{
	dsm_map_t *m = map;
	uint64_t table = atomic_load(&m->header->table);
	struct map_found f;

	switch (which / 2 % 6) {
	case 0: /* the header */
		return (uint8_t *)m->header + off % 64 / 4 * 4;
	case 1: /* a stripe, behind its lock */
		return (uint8_t *)map_stripe(m, off % MAP_STRIPES) + 8 + off / MAP_STRIPES % 12 * 8;
	case 2: /* the table's head */
		return (uint8_t *)table_head(m, table) + off % 48 / 8 * 8;
	case 3: /* a bucket */
		return (uint8_t *)table_bucket(m, table, off / 8 % table_buckets(table)) +
		       off % 8 * 8;
	case 4: { /* an entry */
		char key[16];
		size_t n = key_of((int)(off % ENTRIES), key);
		uint64_t hash;

		MUST(n < sizeof(key) && !dsm_map_read_begin(m));
		hash = map_hash(m, key, n);
		MUST(!chain_find(m, table, table_bucket_of(m, table, hash), hash, key, n, &f));
		dsm_map_read_end(m);
		return f.entry ? (uint8_t *)f.entry + off / ENTRIES % 8 * 8 : NULL;
	}
	default: /* passes and growth, behind their locks */
		return off % 2 ? (uint8_t *)m->grace + 8 + off / 2 % 20 * 8
			       : (uint8_t *)m->growth + 8 + off / 2 % 2 * 8;
	}
}

static void use(dsm_segment_t *seg)
{
	struct dsm_map_entry e;
	struct dsm_map_stat s;
	dsm_map_iter_t *it;
	char key[16], value[64];
	dsm_map_t *m;

	if (dsm_map_open(seg, "m", &m))
		return;
	for (int i = 0; i < ENTRIES + 10; i++) {
		size_t n = key_of(i, key);

		(void)dsm_map_get(m, key, n, value, sizeof(value), NULL);
		(void)dsm_map_set(m, key, n, "another", 7, NULL);
		if (i % 3 == 0)
			(void)dsm_map_delete(m, key, n);
	}
	if (!dsm_map_iter_begin(m, "key", 3, &it)) {
		for (int i = 0; i < 10000 && dsm_map_iter_next(it, &e) == 1; i++)
			MUST(e.key_size >= 3 && !memcmp(e.key, "key", 3));
		dsm_map_iter_end(it);
	}
	(void)dsm_map_stat(m, &s);
	(void)dsm_map_watch(m, "key1", 4, 0, 0, NULL);
	(void)dsm_map_validate(m);
	dsm_map_close(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dsm_segment_options o = { .size = 1u << 20, .max_size = 4u << 20 };
	struct store stores[STORES_MAX];
	dsm_segment_t *seg;
	unsigned int n;
	char uri[64];
	dsm_map_t *m;

	snprintf(uri, sizeof(uri), "shm:fuzz-map-%d", getpid());
	(void)dsm_segment_unlink(uri, NULL);
	MUST(!dsm_segment_create(uri, &o, &seg));
	MUST(!dsm_segment_unlink(uri, NULL));
	m = map_make(seg, size && data[0] & 1);
	n = stores_find(data, size, place, m, stores);
	dsm_map_close(m);
	stores_do(stores, n);
	use(seg);
	dsm_segment_close(seg);
	return 0;
}

size_t fuzz_seed(unsigned int i, uint8_t ret[FUZZ_INPUT_MAX])
{
	static const uint64_t values[STORES_VALUES] = {
		0, 1, 64, 0x10000, 0x7fffffffffff, UINT64_MAX, 1ull << 63, 0x880009
	};

	return stores_seed(i, 12, values, ret);
}
