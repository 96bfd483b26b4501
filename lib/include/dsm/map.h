/* SPDX-License-Identifier: MIT */
/*
 * Maps: byte keys to byte values in a segment, for any number of processes and nodes.
 *
 * Keys and values are of any size that fits (below 4 GiB each); an empty key and an empty value
 * are fine. Their memory comes from the segment's heap.
 *
 * Readers never lock, and are never in a writer's way: a new value is a new entry, or is
 * there for readers before the old one is overwritten. Writers of keys in different stripes do not
 * meet. The map grows by itself, bucket by bucket.
 *
 * Who is killed, wherever it was, leaves either the old value or the new one, and no lock.
 *
 * Versions. Each successful change of a key gives its entry a new version, which that
 * key never had before, not even before a delete: greater each time, never 0. The
 * map's own version grows with every change of any key.
 *
 * Time to live counts by the wall clock, so that it means the same on all nodes as far as
 * their clocks agree. What has expired is not there for any function below, but
 * for dsm_map_count(): it is taken out by writers on their way.
 *
 * Results are 0, a count or a length, or a negative errno; dsm_last_error() says it in words.
 * Every function may give -EBADMSG (the map's memory is damaged), writers also -ENOSPC
 * (the segment is full), -EUSERS and -ENOTCONN (see <dsm/segment.h>). Threads may share a handle.
 */
#ifndef DSM_MAP_H
#define DSM_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <dsm/segment.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A map as a process uses it. */
typedef struct dsm_map dsm_map_t;

/** No end of a wait; other time-outs are in microseconds from the call, as in <dsm/context.h>. */
#define DSM_MAP_FOREVER UINT64_MAX

/** How to make a map. Zeroed: the defaults. */
struct dsm_map_options {
	uint64_t
		entries; /**< room made for so many from the start; 0: a small map. It grows beyond */
	uint32_t flags; /**< DSM_MAP_* */
};

#define DSM_MAP_EXISTING 1u /**< create: open it when it is there already */

/**
 * Make the map @name in @seg, and the segment's heap when there is none yet. @options may be NULL.
 * -EEXIST; -ENOSPC no memory, or no free root; -EINVAL a bad name; -EMEDIUMTYPE (with
 * DSM_MAP_EXISTING) @name is something else.
 */
int dsm_map_create(dsm_segment_t *seg, const char *name, const struct dsm_map_options *options,
		   dsm_map_t **ret);

/** Open a map that is there. -ENOENT; -EMEDIUMTYPE @name is something else; -EBADMSG; -EPROTO
 *  another layout version. */
int dsm_map_open(dsm_segment_t *seg, const char *name, dsm_map_t **ret);

/** Let go of it; the map stays. NULL is allowed. No other thread may use @map. */
void dsm_map_close(dsm_map_t *map);

/** Remove the map and all that is in it. Nobody may have it open. -ENOENT. */
int dsm_map_remove(dsm_segment_t *seg, const char *name);

/* ------------------------------------------------------------ writing */

/**
 * Have @key mean @value from now on, without an end. @ret_version may be NULL; in all
 * functions it is the new entry's version.
 */
int dsm_map_set(dsm_map_t *map, const void *key, size_t key_size, const void *value,
		size_t value_size, uint64_t *ret_version);

/** The same until @ttl_ms milliseconds from now; 0: without an end. */
int dsm_map_set_ttl(dsm_map_t *map, const void *key, size_t key_size, const void *value,
		    size_t value_size, uint64_t ttl_ms, uint64_t *ret_version);

/** Only if @key is absent. -EEXIST: @ret_version is that of who was there. */
int dsm_map_add(dsm_map_t *map, const void *key, size_t key_size, const void *value,
		size_t value_size, uint64_t ttl_ms, uint64_t *ret_version);

/**
 * Only if the entry has version @version (0: if it is absent). -ESTALE it has another;
 * @ret_version is the one it has, 0 when there is none.
 */
int dsm_map_cas(dsm_map_t *map, const void *key, size_t key_size, uint64_t version,
		const void *value, size_t value_size, uint64_t *ret_version);

/**
 * Only if the value is @old. -ENOENT absent; -ESTALE another value, @ret_version is its version.
 */
int dsm_map_cas_value(dsm_map_t *map, const void *key, size_t key_size, const void *old,
		      size_t old_size, const void *value, size_t value_size, uint64_t *ret_version);

/** -ENOENT. */
int dsm_map_delete(dsm_map_t *map, const void *key, size_t key_size);

/** Only the entry of version @version. -ENOENT; -ESTALE. */
int dsm_map_delete_version(dsm_map_t *map, const void *key, size_t key_size, uint64_t version);

/** Delete all that is there now; others may add meanwhile. How many were deleted. */
int64_t dsm_map_clear(dsm_map_t *map);

/* ------------------------------------------------------------ reading */

/** An entry as readers see it. */
struct dsm_map_entry {
	const void *key; /**< its bytes, in the map or a copy: as the function that gives it says */
	const void *value;   /**< its bytes, aligned to 8 */
	uint32_t key_size;   /**< bytes of the key */
	uint32_t value_size; /**< bytes of the value */
	uint64_t version;    /**< of the entry: see above */
	uint64_t expires_ns; /**< wall clock, ns since 1970; 0: never */
};

/**
 * Copy the value of @key to @buffer. The value's size, of which no more than @size bytes were
 * copied. -ENOENT. @ret_version may be NULL.
 */
ssize_t dsm_map_get(dsm_map_t *map, const void *key, size_t key_size, void *buffer, size_t size,
		    uint64_t *ret_version);

/**
 * The value of @key, or else insert @value and be it: of several who try at
 * once all get the same. As dsm_map_get(), *@ret_inserted (may be NULL) tells whose value it is.
 */
ssize_t dsm_map_get_or_insert(dsm_map_t *map, const void *key, size_t key_size, const void *value,
			      size_t value_size, void *buffer, size_t size, bool *ret_inserted);

/**
 * Reading in place: between begin and end, what dsm_map_find() gave the calling thread (large
 * values without a copy, small ones, on segments of one host, as a copy) stays as it is, even when it is replaced or deleted meanwhile. Memory that writers replace
 * stays taken that long: so not for long. May be nested, and other functions called in between.
 * -EUSERS, -ENOTCONN.
 */
int dsm_map_read_begin(dsm_map_t *map);
void dsm_map_read_end(dsm_map_t *map);
/** Between begin and end: the entry of @key. -ENOENT; -ENOMEM. */
int dsm_map_find(dsm_map_t *map, const void *key, size_t key_size, struct dsm_map_entry *ret);

/** Entries, with those that expired and were not taken out yet. */
int64_t dsm_map_count(dsm_map_t *map);

/** The map's version: greater after every change. */
uint64_t dsm_map_version(dsm_map_t *map);

/* ------------------------------------------------------------ all of them */

/** A walk over a map; of one thread. */
typedef struct dsm_map_iter dsm_map_iter_t;

/**
 * Begin a walk over the entries whose keys begin with @prefix (NULL with 0: all of them), in no
 * order. What is there during the whole walk comes exactly once, with some value that it had
 * meanwhile; what comes or goes meanwhile may come or not. A prefix is looked for in all entries.
 * -ENOMEM.
 */
int dsm_map_iter_begin(dsm_map_t *map, const void *prefix, size_t prefix_size,
		       dsm_map_iter_t **ret);
/**
 * The next entry, a copy that is good until the next call: 1, and 0 at the end. Holds nothing
 * up between the calls.
 */
int dsm_map_iter_next(dsm_map_iter_t *iter, struct dsm_map_entry *ret);
/** NULL is allowed. */
void dsm_map_iter_end(dsm_map_iter_t *iter);

/* ------------------------------------------------------------ watching */

/**
 * Wait until @key's version is another than @version (0: absent), by expiry too. *@ret_version
 * (may be NULL) is the new one. -ETIMEDOUT. Values between may be missed; the last one is not.
 */
int dsm_map_watch(dsm_map_t *map, const void *key, size_t key_size, uint64_t version,
		  uint64_t timeout_us, uint64_t *ret_version);

/** Wait until the map's version is another than @version. -ETIMEDOUT. */
int dsm_map_watch_all(dsm_map_t *map, uint64_t version, uint64_t timeout_us, uint64_t *ret_version);

/** Somebody who is told what changed; of one thread. */
typedef struct dsm_map_watcher dsm_map_watcher_t;

/** What became of a key. */
enum dsm_map_event_kind {
	DSM_MAP_ADDED = 1, /**< it was absent */
	DSM_MAP_CHANGED,   /**< it has another version */
	DSM_MAP_DELETED,   /**< or expired */
};

/** A change that a watcher is told of. */
struct dsm_map_event {
	enum dsm_map_event_kind kind; /**< what became of the key */
	struct dsm_map_entry entry;   /**< deleted: value NULL, version the last one seen */
};

#define DSM_MAP_WATCH_PRESENT 1u /**< what is there already comes first, as added */

/**
 * Begin to watch the keys that begin with @prefix. What the watcher has seen of each it keeps in
 * memory of its own (about 100 bytes for each key), so it costs writers nothing but waking it.
 * -ENOMEM.
 */
int dsm_map_watcher_begin(dsm_map_t *map, const void *prefix, size_t prefix_size, uint32_t flags,
			  dsm_map_watcher_t **ret);
/**
 * The next change, waited for: 0, @ret is good until the next call. -ETIMEDOUT. A key that
 * changes several times before it is looked at is told once, with the last value.
 */
int dsm_map_watcher_next(dsm_map_watcher_t *watcher, uint64_t timeout_us,
			 struct dsm_map_event *ret);
/** NULL is allowed. */
void dsm_map_watcher_end(dsm_map_watcher_t *watcher);

/* ------------------------------------------------------------ looking into it */

/** A map as a whole: dsm_map_stat(). Counts are of the moment, taken without a stop. */
struct dsm_map_stat {
	uint64_t entries;	/**< as dsm_map_count() */
	uint64_t expired;	/**< of these */
	uint64_t with_ttl;	/**< of these */
	uint64_t key_bytes;	/**< sum of the keys' sizes */
	uint64_t value_bytes;	/**< sum of the values' sizes */
	uint64_t version;	/**< of the map */
	uint64_t buckets;	/**< of the table that is filled */
	uint64_t overflow;	/**< buckets beyond these, chained to full ones */
	uint64_t table_bytes;	/**< the tables' memory */
	uint64_t growing_to;	/**< buckets of the table it grows into; 0: it does not grow now */
	uint64_t moved;		/**< buckets moved there already */
	uint64_t retired;	/**< old entries that readers may still look at */
	uint32_t longest_chain; /**< entries in the fullest bucket */
	uint32_t stripes;	/**< writers of different stripes do not meet */
};
/** Looks at every entry. */
int dsm_map_stat(dsm_map_t *map, struct dsm_map_stat *ret);

/**
 * Check everything: each entry's place, hash and size, the counts, that none is there twice.
 * Stripe by stripe, under its lock. 0; -EBADMSG: dsm_last_error() names the first thing that is
 * wrong. Frees nothing and repairs nothing.
 */
int dsm_map_validate(dsm_map_t *map);

/**
 * The heap blocks the map owns: entries and those retired. For checks against the heap's own
 * count, when nobody writes.
 */
int64_t dsm_map_blocks(dsm_map_t *map);

#ifdef __cplusplus
}
#endif

#endif
