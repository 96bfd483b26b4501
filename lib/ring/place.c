/* SPDX-License-Identifier: MIT */
/* Places for connections: where they are, claiming and freeing them. */
#include <errno.h>
#include <limits.h>

#include "place.h"

static uint64_t ready_bytes(const struct place_map *m)
{
	uint64_t bytes = (m->max_conns + 63) / 64 * 8;

	return (bytes + m->line - 1) / m->line * m->line;
}

static uint32_t chunks_max(const struct place_map *m)
{
	return (m->max_conns + m->per_chunk - 1) / m->per_chunk;
}

void place_layout(struct place_map *m, dsm_segment_t *seg, uint32_t ring_size, uint32_t max_conns)
{
	uint64_t line = ring_line(seg);

	memset(m, 0, sizeof(*m));
	m->seg = seg;
	m->ring_size = ring_size;
	m->max_conns = max_conns;
	m->line = line;
	m->place_size = line + 2 * ring_bytes(line, ring_size);
	m->chunk_grains = (CHUNK_PLACES * m->place_size + SEG_GRAIN - 1) / SEG_GRAIN;
	m->per_chunk = (uint32_t)(m->chunk_grains * SEG_GRAIN / m->place_size);
}

uint64_t place_root_bytes(const struct place_map *m)
{
	return 3 * m->line + ready_bytes(m) + chunks_max(m) * sizeof(uint64_t);
}

void place_locate(struct place_map *m, uint64_t off)
{
	m->off = off;
	m->server = seg_at(m->seg, off + m->line);
	m->bell = seg_at(m->seg, off + 2 * m->line);
	m->ready = seg_at(m->seg, off + 3 * m->line);
	m->chunks = seg_at(m->seg, off + 3 * m->line + ready_bytes(m));
}

int place_map(dsm_segment_t *seg, const char *name, struct place_map *ret)
{
	const struct listener_root *root;
	struct listener_root r = { 0 };
	uint64_t off;
	uint32_t index;
	int err = seg_root_find(seg, name, DSM_ROOT_LISTENER, &index, &off);

	if (err)
		return err;
	root = seg_checked(seg, off, sizeof(*root), SEG_PAGE);
	if (root)
		r = *root;
	if (r.magic != LISTENER_MAGIC || r.ring_size < RING_MIN ||
	    r.ring_size > LISTENER_RING_MAX || r.ring_size & (r.ring_size - 1) || !r.max_conns ||
	    r.max_conns > LISTENER_CONNS_MAX || r.line != ring_line(seg))
		return seg_error(-EBADMSG, "listener %s: its header is damaged", name);
	place_layout(ret, seg, r.ring_size, r.max_conns);
	if (ret->per_chunk != r.per_chunk ||
	    !seg_checked(seg, off, place_root_bytes(ret), SEG_PAGE))
		return seg_error(-EBADMSG, "listener %s: its header is damaged", name);
	place_locate(ret, off);
	ret->index = index;
	return 0;
}

uint32_t place_count(const struct place_map *m)
{
	uint32_t chunks = atomic_load(&m->server->chunks), most = chunks_max(m);
	uint32_t places = (chunks < most ? chunks : most) * m->per_chunk;

	return places < m->max_conns ? places : m->max_conns;
}

struct conn_place *place_at(const struct place_map *m, uint32_t index)
{
	uint64_t chunk = atomic_load(&m->chunks[index / m->per_chunk]);

	if (!seg_checked(m->seg, chunk, m->chunk_grains * SEG_GRAIN, SEG_GRAIN)) {
		(void)seg_error(-EBADMSG, "listener: chunk %u lies outside", index / m->per_chunk);
		return NULL;
	}
	return seg_at(m->seg, chunk + index % m->per_chunk * m->place_size);
}

/* ------------------------------------------------------------ claiming */

/*
 * One chunk more. The table has its offset before it is the root's, so that whoever comes after
 * one that was killed in between finds it there.
 */
static int grow_locked(const struct place_map *m, uint32_t chunks)
{
	uint64_t off = atomic_load(&m->chunks[chunks]), first, n;
	uint32_t root;
	int err;

	if (!off || seg_grains_find(m->seg, off, &first, &n, &root) || first != off ||
	    n != m->chunk_grains || root != m->index) {
		err = seg_grains_alloc(m->seg, m->chunk_grains, &off, NULL);
		if (err)
			return err;
		for (uint32_t i = 0; i < m->per_chunk; i++)
			memset(seg_at(m->seg, off + i * m->place_size), 0,
			       sizeof(struct conn_place));
		atomic_store(&m->chunks[chunks], off);
		seg_crash_point("listener: chunk not adopted");
		seg_grains_adopt(m->seg, off, m->index);
		seg_crash_point("listener: chunk not counted");
	}
	atomic_store(&m->server->chunks, chunks + 1);
	return 0;
}

static int grow(const struct place_map *m, uint32_t seen)
{
	int err = seg_lock(m->seg, &m->server->grow, SEG_LAYER_TOP);

	if (err)
		return err;
	/* Somebody else may have done it. */
	if (place_count(m) == seen)
		err = seen == m->max_conns || seen / m->per_chunk >= chunks_max(m)
			      ? seg_error(-EAGAIN, "listener: all %u connections are taken", seen)
			      : grow_locked(m, seen / m->per_chunk);
	seg_unlock(m->seg, &m->server->grow);
	return err;
}

bool place_reclaim(const struct place_map *m, struct conn_place *p)
{
	uint64_t state = atomic_load(&p->state);
	uint64_t phase = state & PLACE_PHASE;
	seg_id client = phase == PLACE_CLAIMED ? (seg_id)(state >> 32) : atomic_load(&p->client);
	bool client_gone = state & PLACE_CLIENT_GONE, server_gone = state & PLACE_SERVER_GONE;

	if (phase == PLACE_FREE)
		return true;
	if (phase == PLACE_CLAIMED) {
		client_gone = !seg_alive(m->seg, client);
		server_gone = true;
	} else if (server_gone && !client_gone) {
		client_gone = !seg_alive(m->seg, client);
	}
	return client_gone && server_gone && atomic_compare_exchange_strong(&p->state, &state, 0);
}

static bool claim_at(const struct place_map *m, seg_id me, uint32_t index, bool ask)
{
	struct conn_place *p = place_at(m, index);
	uint64_t state = 0;

	if (!p || (atomic_load(&p->state) && !(ask && place_reclaim(m, p))))
		return false;
	return atomic_compare_exchange_strong(&p->state, &state,
					      (uint64_t)me << 32 | PLACE_CLAIMED);
}

int place_claim(const struct place_map *m, seg_id me, uint32_t *ret)
{
	for (;;) {
		uint32_t count = place_count(m);
		int err;

		/* Where it begins is spread, so that many at once do not meet. */
		for (uint32_t i = 0; i < count; i++)
			if (claim_at(m, me, *ret = (me + i) % count, false))
				return 0;
		if (count == m->max_conns)
			/* Before giving up, ask for each whether it is in use. */
			for (uint32_t i = 0; i < count; i++)
				if (claim_at(m, me, *ret = i, true))
					return 0;
		do
			err = grow(m, count);
		while (err == -ENOSPC && seg_reclaim(m->seg));
		if (err)
			return err;
	}
}

bool place_leave(struct conn_place *p, uint64_t bits)
{
	uint64_t state = atomic_fetch_or(&p->state, bits) | bits;

	seg_crash_point("connection: left, not freed");
	if (!(state & PLACE_CLIENT_GONE) || !(state & PLACE_SERVER_GONE))
		return false;
	return atomic_compare_exchange_strong(&p->state, &state, 0);
}

/* ------------------------------------------------------------ waking */

void place_ring(const struct place_map *m, uint32_t index)
{
	atomic_fetch_or(&m->ready[index / 64], 1ull << index % 64);
	/* ORDER: pairs with the server's, which says that it sleeps and looks again. */
	if (atomic_load(&m->bell->sleeping) && atomic_exchange(&m->bell->sleeping, 0))
		seg_wake(m->seg, &m->bell->sleeping, INT_MAX);
}

void place_wake(const struct place_map *m, struct conn_place *p)
{
	uint64_t ring = ring_bytes(m->line, m->ring_size);
	uint64_t off = seg_off(m->seg, p) + m->line;

	for (int i = 0; i < 2; i++, off += ring) {
		struct dsm_ring r = { 0 };

		ring_attach(&r, m->seg, off, m->line, m->ring_size, DSM_RING_SPSC);
		ring_wake_producers(&r);
		/* Not the doorbell: it is the next client's if the place is used again by now. */
		ring_wake_sleepers(&r, RING_SLEEPING | RING_POLLING);
	}
}
