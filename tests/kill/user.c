// SPDX-License-Identifier: MIT
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <dsm/heap_report.h>

#include "tests/kill/kill.h"

#define BUSY_TRIES 5000

/* Bytes that tell whose they are and how many. */
static void fill(uint8_t *at, size_t n, uint64_t stamp)
{
	for (size_t i = 0; i < n; i++)
		at[i] = (uint8_t)(stamp + i * 7);
}

static bool is_filled(const uint8_t *at, size_t n, uint64_t stamp)
{
	for (size_t i = 0; i < n; i++)
		if (at[i] != (uint8_t)(stamp + i * 7))
			return false;
	return true;
}

void note_wrong(struct shared *shared, const char *what, int number)
{
	if (!atomic_fetch_add(&shared->wrong, 1))
		(void)snprintf(shared->what, sizeof(shared->what), "%s (%d): %s", what, number,
			       number < 0 ? dsm_last_error() : "");
}

/* ------------------------------------------------------------ heap */

/* A block is the holder's alone: nobody else may have written to it. */
static void give_back(const struct scene *s, struct holder *h, unsigned int k)
{
	uint64_t off = h->block[k];
	int err;

	if (atomic_load(&h->filled[k]) == off) {
		if (!is_filled(dsm_heap_ptr(s->heap, off), atomic_load(&h->size[k]), off >> 4))
			note_wrong(s->shared, "a block that somebody else wrote to", (int)k);
		atomic_store(&h->filled[k], 0);
	}
	err = dsm_heap_free_from(s->heap, &h->block[k]);
	if (err)
		note_wrong(s->shared, "dsm_heap_free_from", err);
}

/* Who has the memory, the first time that there is none. */
static void tell_memory(const struct scene *s)
{
	struct dsm_segment_info info = { 0 };
	struct dsm_heap_report heap = { 0 };
	struct dsm_map_stat map = { 0 };

	(void)dsm_segment_info(s->seg, &info);
	(void)dsm_heap_report(s->heap, &heap);
	(void)dsm_map_stat(s->map, &map);
	(void)fprintf(
		stderr,
		"no memory: segment %llu bytes, %llu free, %u participants; heap %llu in %llu "
		"pieces, %llu blocks used, %llu on their way; map %llu retired\n",
		(unsigned long long)info.size, (unsigned long long)info.free_bytes,
		(unsigned int)info.participants, (unsigned long long)heap.bytes,
		(unsigned long long)heap.runs, (unsigned long long)heap.used,
		(unsigned long long)heap.freeing, (unsigned long long)map.retired);
}

static void use_heap(const struct scene *s, struct holder *h, uint64_t *x)
{
	unsigned int k = (unsigned int)(draw(x) % BLOCKS);
	size_t size = draw(x) % 8 ? draw(x) % 500 + 1 : draw(x) % 100000 + 1;
	int err;

	if (h->block[k]) {
		give_back(s, h, k);
		return;
	}
	/* What was filled last is not this one, wherever it will be. */
	atomic_store(&h->filled[k], 0);
	err = dsm_heap_alloc_to(s->heap, size, &h->block[k]);
	if (err) {
		if (err == -ENOMEM && !atomic_load(&s->shared->wrong))
			tell_memory(s);
		note_wrong(s->shared, "dsm_heap_alloc_to", err);
		return;
	}
	fill(dsm_heap_ptr(s->heap, h->block[k]), size, h->block[k] >> 4);
	atomic_store(&h->size[k], size);
	atomic_store(&h->filled[k], h->block[k]);
}

void user_empty(const struct scene *s, unsigned int who)
{
	for (unsigned int life = 0; life < LIVES; life++) {
		struct holder *h = &s->shared->holders[who][life];

		for (unsigned int k = 0; k < BLOCKS; k++)
			if (h->block[k])
				give_back(s, h, k);
	}
}

/* ------------------------------------------------------------ map */

/* A value says its own length and is filled with it. */
static size_t make_value(uint8_t *value, uint64_t *x)
{
	size_t n = draw(x) % (VALUE_MAX - 2) + 2;

	fill(value, n, n);
	value[0] = (uint8_t)n;
	value[1] = (uint8_t)(n >> 8);
	return n;
}

static bool is_value(const uint8_t *value, size_t n)
{
	uint8_t good[VALUE_MAX];

	if (n < 2 || n > VALUE_MAX || value[0] != (uint8_t)n || value[1] != (uint8_t)(n >> 8))
		return false;
	fill(good, n, n);
	return !memcmp(good + 2, value + 2, n - 2);
}

static void use_map(const struct scene *s, uint64_t *x)
{
	uint8_t value[VALUE_MAX];
	char key[16];
	size_t n = (size_t)snprintf(key, sizeof(key), "key %d", (int)(draw(x) % KEYS)), size;
	ssize_t got;
	int err;

	switch (draw(x) % 4) {
	case 0:
		size = make_value(value, x);
		err = dsm_map_set(s->map, key, n, value, size, NULL);
		break;
	case 1:
		err = dsm_map_delete(s->map, key, n);
		break;
	case 2:
		size = make_value(value, x);
		err = dsm_map_add(s->map, key, n, value, size, 0, NULL);
		break;
	default:
		got = dsm_map_get(s->map, key, n, value, sizeof(value), NULL);
		err = got < 0 ? (int)got : 0;
		if (!err && !is_value(value, (size_t)got))
			note_wrong(s->shared, "a torn value in the map", (int)got);
	}
	if (err && err != -ENOENT && err != -EEXIST)
		note_wrong(s->shared, "map", err);
}

/* ------------------------------------------------------------ ring */

static void use_ring(const struct scene *s, uint64_t *x)
{
	struct dsm_ring_message m;
	uint8_t value[VALUE_MAX];
	size_t size;
	void *room;
	int err;

	switch (draw(x) % 3) {
	case 0:
		size = make_value(value, x);
		err = dsm_ring_send(s->ring, value, size, 0);
		atomic_fetch_add(&s->shared->sent, !err);
		break;
	case 1:
		size = make_value(value, x);
		err = dsm_ring_reserve(s->ring, size, 0, &room);
		if (err)
			break;
		memcpy(room, value, size);
		err = draw(x) % 4 ? dsm_ring_commit(s->ring, room, size)
				  : dsm_ring_cancel(s->ring, room);
		break;
	default:
		err = dsm_ring_peek(s->ring, 0, &m);
		if (err)
			break;
		if (!is_value(m.data, m.size))
			note_wrong(s->shared, "a torn message", (int)m.size);
		err = dsm_ring_release(s->ring, m.data);
		atomic_fetch_add(&s->shared->received, 1);
	}
	if (err && err != -EAGAIN)
		note_wrong(s->shared, "ring", err);
}

/* ------------------------------------------------------------ channel */

static void use_channel(const struct scene *s, dsm_channel_t *ch, uint64_t *x)
{
	uint8_t value[VALUE_MAX];
	ssize_t got;
	int err;

	if (draw(x) % 2) {
		err = dsm_channel_write(ch, value, make_value(value, x));
		if (err)
			note_wrong(s->shared, "dsm_channel_write", err);
		return;
	}
	got = dsm_channel_read(ch, value, sizeof(value), NULL);
	if (got >= 0 && !is_value(value, (size_t)got))
		note_wrong(s->shared, "a torn value in the channel", (int)got);
	if (got < 0 && got != -ENODATA)
		note_wrong(s->shared, "dsm_channel_read", (int)got);
}

/* NULL: user @who has no seat. */
static dsm_channel_t *take_seat(const struct scene *s, unsigned int who)
{
	struct dsm_channel_options o = DSM_CHANNEL_DEFAULTS;
	dsm_channel_t *ch = NULL;
	int err, tries = 0;

	if (who > 1)
		return NULL;
	o.role = who ? DSM_CHANNEL_SLAVE : DSM_CHANNEL_MASTER;
	o.stale = DSM_CHANNEL_NEVER;
	o.size = VALUE_MAX;
	/* In a cluster it takes its agent a moment to see that a process has died. */
	do
		err = dsm_channel_open(s->seg, "channel", &o, &ch);
	while (err == -EBUSY && s->ctx && tries++ < BUSY_TRIES && !poll(NULL, 0, 1));
	if (err)
		note_wrong(s->shared, "dsm_channel_open", err);
	return err ? NULL : ch;
}

void user_run(const struct scene *s, unsigned int who, unsigned int life, uint64_t seed)
{
	uint64_t rng = seed * 0x9e3779b97f4a7c15u + 1;
	struct holder *h = &s->shared->holders[who][life % LIVES];
	dsm_channel_t *ch = take_seat(s, who);

	for (;;) {
		switch (draw(&rng) % 4) {
		case 0:
			if (ch)
				use_channel(s, ch, &rng);
			break;
		case 1:
			use_heap(s, h, &rng);
			break;
		case 2:
			use_map(s, &rng);
			break;
		default:
			use_ring(s, &rng);
		}
		atomic_fetch_add(&s->shared->rounds[who], 1);
	}
}
