// SPDX-License-Identifier: MIT
#include "tests/fuzz/stores.h"

#include <string.h>

#define STORE_BYTES 14u

unsigned int stores_find(const uint8_t *data, size_t size, store_place place, void *structure,
			 struct store ret[STORES_MAX])
{
	unsigned int n = 0;

	for (; size >= STORE_BYTES && n < STORES_MAX; data += STORE_BYTES, size -= STORE_BYTES) {
		uint16_t which;
		uint32_t off;

		memcpy(&which, data, 2);
		memcpy(&off, data + 2, 4);
		memcpy(&ret[n].value, data + 6, 8);
		ret[n].at = place(structure, which, off);
		n += ret[n].at != NULL;
	}
	return n;
}

void stores_do(const struct store *stores, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		memcpy(stores[i].at, &stores[i].value, sizeof(stores[i].value));
}

size_t stores_seed(unsigned int i, uint32_t kinds, const uint64_t values[STORES_VALUES],
		   uint8_t ret[FUZZ_INPUT_MAX])
{
	uint32_t off = i * 2654435761u;

	if (i >= kinds * STORES_VALUES)
		return 0;
	for (unsigned int k = 0; k <= i % 3; k++) {
		uint16_t which = (uint16_t)((i + k) % kinds);
		uint64_t value = values[(i / kinds + k) % STORES_VALUES];

		off += k * 40503;
		memcpy(ret + k * STORE_BYTES, &which, 2);
		memcpy(ret + k * STORE_BYTES + 2, &off, 4);
		memcpy(ret + k * STORE_BYTES + 6, &value, 8);
	}
	return (i % 3 + 1) * STORE_BYTES;
}
