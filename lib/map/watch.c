// SPDX-License-Identifier: MIT
/*
 * Watching. Who watches marks a word, looks, and sleeps on the word if nothing is new. A writer
 * that finds the mark, while it has the stripe's lock, counts the word up after its change and wakes.
 * Who has the lock when the mark is made may not have found it: then the sleep is short. The sleep is never longer
 * than a slice: so a writer that was killed between its change and the waking does no more than
 * delay the news.
 */
#include <limits.h>

#include "lib/map/table.h"
#include "lib/segment/spin.h"

#define SLICE_US 250000u
#define BUSY_US	 1000u /* a slice when a writer was at work */
#define LOOKS	 200u  /* at its lock, before it is taken to be */

static void word_notify(struct dsm_map *m, _Atomic uint32_t *word)
{
	uint32_t w = atomic_load(word);

	if (likely(!(w & MAP_WATCHED)))
		return;
	/*
	 * Whoever fails here: another writer has just done it, after both changes or before a new
	 * watcher looks.
	 */
	if (atomic_compare_exchange_strong(word, &w, (w + 2) & ~MAP_WATCHED))
		seg_wake(m->seg, word, INT_MAX);
}

void map_watch_notify(struct dsm_map *m, uint32_t index)
{
	word_notify(m, &m->watch->any);
	word_notify(m, &m->watch->stripe[index]);
}

static uint32_t word_mark(_Atomic uint32_t *word)
{
	return atomic_fetch_or(word, MAP_WATCHED) | MAP_WATCHED;
}

/* After word_mark(): somebody has had the lock of stripe @index since before that. */
static bool writer_inside(const struct dsm_map *m, uint32_t index)
{
	const struct seg_lock *lock = &map_stripe(m, index)->lock;
	/* ORDER: after the mark; pairs with the lock's being taken before map_watched(). */
	uint32_t holder = atomic_load(&lock->word), looks = LOOKS;

	while (holder && looks && atomic_load(&lock->word) == holder) {
		seg_spin_relax();
		looks--;
	}
	return holder && !looks;
}

static bool writers_inside(const struct dsm_map *m)
{
	bool any = false;

	for (uint32_t i = 0; i < MAP_STRIPES; i++)
		any |= writer_inside(m, i);
	return any;
}

/*
 * Sleep on it for no longer than @end (of seg_now_ns()) and @expires_ns, nor for long if @busy.
 * False: the time is over.
 */
static bool word_sleep(struct dsm_map *m, _Atomic uint32_t *word, uint32_t marked, bool busy,
		       uint64_t end, uint64_t expires_ns)
{
	uint64_t now = seg_now_ns(), slice = busy ? BUSY_US : SLICE_US, wall;

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
	uint32_t index = map_stripe_of(map_hash(map, key, key_size));
	_Atomic uint32_t *word = &map->watch->stripe[index];
	uint64_t end = map_watch_end(timeout_us), now, expires;

	for (;;) {
		uint32_t marked = word_mark(word);
		bool busy = writer_inside(map, index);
		int err = version_now(map, key, key_size, &now, &expires);

		if (err)
			return err;
		if (ret_version)
			*ret_version = now;
		if (now != version)
			return 0;
		if (!word_sleep(map, word, marked, busy, end, expires))
			return -ETIMEDOUT;
	}
}

int map_watch_any(struct dsm_map *m, uint64_t version, uint64_t end, uint64_t expires_ns,
		  uint64_t *ret_version)
{
	for (;;) {
		uint32_t marked = word_mark(&m->watch->any);
		bool busy = writers_inside(m);

		*ret_version = dsm_map_version(m);
		if (*ret_version != version || (expires_ns && map_expired(expires_ns)))
			return 0;
		if (!word_sleep(m, &m->watch->any, marked, busy, end, expires_ns))
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
