// SPDX-License-Identifier: MIT
/*
 * Watching. Who watches marks a word, looks, and sleeps on the word if nothing is new. A writer
 * that finds the mark after its change counts the word up and wakes. The sleep is never longer
 * than a slice: so a writer that was killed between its change and the waking does no more than
 * delay the news.
 */
#include <limits.h>

#include "lib/map/table.h"

#define SLICE_US 250000u
#define WATCHED	 1u /* the lowest bit; the others count */

static void word_notify(struct dsm_map *m, _Atomic uint32_t *word)
{
	uint32_t w = atomic_load(word);

	if (likely(!(w & WATCHED)))
		return;
	/*
	 * Whoever fails here: another writer has just done it, after both changes or before a new
	 * watcher looks.
	 */
	if (atomic_compare_exchange_strong(word, &w, (w + 2) & ~WATCHED))
		seg_wake(m->seg, word, INT_MAX);
}

void map_watch_notify(struct dsm_map *m, uint32_t index)
{
	/* ORDER: after the change, by the exchange in seg_unlock(); pairs with word_mark(). */
	word_notify(m, &m->watch->any);
	word_notify(m, &m->watch->stripe[index]);
}

static uint32_t word_mark(_Atomic uint32_t *word)
{
	return atomic_fetch_or(word, WATCHED) | WATCHED;
}

/*
 * Sleep on it for no longer than @end (of seg_now_ns()) and @expires_ns. False: the time is over.
 */
static bool word_sleep(struct dsm_map *m, _Atomic uint32_t *word, uint32_t marked, uint64_t end,
		       uint64_t expires_ns)
{
	uint64_t now = seg_now_ns(), slice = SLICE_US, wall;

	if (now >= end)
		return false;
	if ((end - now) / 1000 < slice)
		slice = (end - now) / 1000 + 1;
	if (expires_ns) {
		wall = map_clock();
		/* The clock behind expiry steps by a few ms. */
		if (expires_ns < wall + slice * 1000)
			slice = expires_ns > wall ? (expires_ns - wall) / 1000 + 1000 : 1000;
	}
	(void)seg_wait(m->seg, word, marked, slice);
	return true;
}

uint64_t map_watch_end(uint64_t timeout_us)
{
	uint64_t now = seg_now_ns();

	return timeout_us > (UINT64_MAX - now) / 1000 ? UINT64_MAX : now + timeout_us * 1000;
}

/* 0 with the entry's version, 0 when there is none, and its end. */
static int version_now(dsm_map_t *map, const void *key, size_t key_size, uint64_t *ret_version,
		       uint64_t *ret_expires)
{
	struct dsm_map_entry e = { 0 };
	int err = dsm_map_read_begin(map);

	if (err)
		return err;
	err = dsm_map_find(map, key, key_size, &e);
	dsm_map_read_end(map);
	if (err && err != -ENOENT)
		return err;
	*ret_version = err ? 0 : e.version;
	*ret_expires = err ? 0 : e.expires_ns;
	return 0;
}

int dsm_map_watch(dsm_map_t *map, const void *key, size_t key_size, uint64_t version,
		  uint64_t timeout_us, uint64_t *ret_version)
{
	_Atomic uint32_t *word = &map->watch->stripe[map_stripe_of(map_hash(map, key, key_size))];
	uint64_t end = map_watch_end(timeout_us), now, expires;

	for (;;) {
		uint32_t marked = word_mark(word);
		int err = version_now(map, key, key_size, &now, &expires);

		if (err)
			return err;
		if (ret_version)
			*ret_version = now;
		if (now != version)
			return 0;
		if (!word_sleep(map, word, marked, end, expires))
			return -ETIMEDOUT;
	}
}

int map_watch_any(struct dsm_map *m, uint64_t version, uint64_t end, uint64_t expires_ns,
		  uint64_t *ret_version)
{
	for (;;) {
		uint32_t marked = word_mark(&m->watch->any);

		*ret_version = dsm_map_version(m);
		if (*ret_version != version || (expires_ns && map_expired(expires_ns)))
			return 0;
		if (!word_sleep(m, &m->watch->any, marked, end, expires_ns))
			return -ETIMEDOUT;
	}
}

int dsm_map_watch_all(dsm_map_t *map, uint64_t version, uint64_t timeout_us, uint64_t *ret_version)
{
	uint64_t now;
	int err = map_watch_any(map, version, map_watch_end(timeout_us), 0, &now);

	if (ret_version)
		*ret_version = now;
	return err;
}
