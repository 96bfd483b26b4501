// SPDX-License-Identifier: MIT
/* The public writing functions, by what they want of a change. */
#include <errno.h>

#include "lib/map/bytes.h"
#include "lib/map/map.h"

static int run(dsm_map_t *map, struct map_change *c, uint64_t *ret_version)
{
	int err = map_change(map, c);

	if (ret_version && (!err || err == -EEXIST || err == -ESTALE))
		*ret_version = c->ret_version;
	return err;
}

/* A time to live that reaches beyond the clock is one without an end. */
static uint64_t expiry(uint64_t ttl_ms)
{
	uint64_t now;

	if (!ttl_ms)
		return 0;
	now = map_clock();
	return ttl_ms > (UINT64_MAX - now) / 1000000 ? 0 : now + ttl_ms * 1000000;
}

int dsm_map_set(dsm_map_t *map, const void *key, size_t key_size, const void *value,
		size_t value_size, uint64_t *ret_version)
{
	return dsm_map_set_ttl(map, key, key_size, value, value_size, 0, ret_version);
}

int dsm_map_set_ttl(dsm_map_t *map, const void *key, size_t key_size, const void *value,
		    size_t value_size, uint64_t ttl_ms, uint64_t *ret_version)
{
	struct map_change c = { .want = MAP_SET,
				.key = key,
				.key_size = key_size,
				.value = value,
				.value_size = value_size,
				.expires_ns = expiry(ttl_ms) };

	return run(map, &c, ret_version);
}

int dsm_map_add(dsm_map_t *map, const void *key, size_t key_size, const void *value,
		size_t value_size, uint64_t ttl_ms, uint64_t *ret_version)
{
	struct map_change c = { .want = MAP_ADD,
				.key = key,
				.key_size = key_size,
				.value = value,
				.value_size = value_size,
				.expires_ns = expiry(ttl_ms) };

	return run(map, &c, ret_version);
}

int dsm_map_cas(dsm_map_t *map, const void *key, size_t key_size, uint64_t version,
		const void *value, size_t value_size, uint64_t *ret_version)
{
	struct map_change c = { .want = MAP_CAS,
				.key = key,
				.key_size = key_size,
				.version = version,
				.value = value,
				.value_size = value_size };

	return run(map, &c, ret_version);
}

int dsm_map_cas_value(dsm_map_t *map, const void *key, size_t key_size, const void *old,
		      size_t old_size, const void *value, size_t value_size, uint64_t *ret_version)
{
	struct map_change c = { .want = MAP_CAS_VALUE,
				.key = key,
				.key_size = key_size,
				.old = old,
				.old_size = old_size,
				.value = value,
				.value_size = value_size };

	return run(map, &c, ret_version);
}

int dsm_map_delete(dsm_map_t *map, const void *key, size_t key_size)
{
	struct map_change c = { .want = MAP_DELETE, .key = key, .key_size = key_size };

	return run(map, &c, NULL);
}

int dsm_map_delete_version(dsm_map_t *map, const void *key, size_t key_size, uint64_t version)
{
	struct map_change c = {
		.want = MAP_DELETE_VERSION, .key = key, .key_size = key_size, .version = version
	};

	return run(map, &c, NULL);
}

ssize_t dsm_map_get_or_insert(dsm_map_t *map, const void *key, size_t key_size, const void *value,
			      size_t value_size, void *buffer, size_t size, bool *ret_inserted)
{
	for (;;) {
		ssize_t got = dsm_map_get(map, key, key_size, buffer, size, NULL);
		int err;

		if (ret_inserted)
			*ret_inserted = false;
		if (got != -ENOENT)
			return got;
		err = dsm_map_add(map, key, key_size, value, value_size, 0, NULL);
		/* Somebody else was first: theirs it is, unless it is gone again. */
		if (err == -EEXIST)
			continue;
		if (err)
			return err;
		bytes_copy(buffer, value, value_size < size ? value_size : size);
		if (ret_inserted)
			*ret_inserted = true;
		return (ssize_t)value_size;
	}
}
