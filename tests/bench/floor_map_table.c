// SPDX-License-Identifier: MIT
/*
 * floor_map_table CPU [COUNT]: a table of this process alone, with the entries in it and a cheap
 * hash. No map that others share can be faster.
 */
#include <stdbool.h>

#include "tests/bench/map_trace.h"

#define PLACES 262144u

struct place {
	uint64_t hash;
	uint32_t used;
	char key[TRACE_KEY], value[TRACE_VALUE];
};

static struct place *places;

static uint64_t mix(const char *key)
{
	uint64_t a, b;

	memcpy(&a, key, sizeof(a));
	memcpy(&b, key + TRACE_KEY - sizeof(b), sizeof(b));
	a = (a ^ b * 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u;
	return (a ^ a >> 29) * 0x94d049bb133111ebu;
}

static struct place *find(const char *key)
{
	uint64_t hash = mix(key);
	size_t i = hash >> 32 & (PLACES - 1);

	for (;; i = (i + 1) & (PLACES - 1)) {
		struct place *p = &places[i];

		if (!p->used) {
			p->used = 1;
			p->hash = hash;
			memcpy(p->key, key, TRACE_KEY);
			return p;
		}
		if (p->hash == hash && !memcmp(p->key, key, TRACE_KEY))
			return p;
	}
}

int main(int argc, char **argv)
{
	size_t count = argc > 2 ? (size_t)atol(argv[2]) : 3000000;

	pin(argc > 1 ? atoi(argv[1]) : -1);
	trace_begin();
	places = calloc(PLACES, sizeof(*places));
	if (!places)
		die("calloc");
	for (unsigned int i = 0; i < TRACE_KEYS; i++)
		memset(find(trace_keys[i])->value, 1, TRACE_VALUE);
	TRACE_RUN("table_get", count, memcpy(value, find(key)->value, TRACE_VALUE));
	TRACE_RUN("table_set", count, memcpy(find(key)->value, value, TRACE_VALUE));
	free(places);
	return 0;
}
