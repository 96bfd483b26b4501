/* SPDX-License-Identifier: MIT */
/* Looking on at a listener, checking it, removing it. */
#include <errno.h>

#include "place.h"

static bool is_open(uint64_t state)
{
	return (state & PLACE_PHASE) == PLACE_OPEN || (state & PLACE_PHASE) == PLACE_PENDING;
}

int dsm_listener_stat(dsm_segment_t *seg, const char *name, struct dsm_listener_stat *ret)
{
	struct place_map m;
	seg_id server;
	int err = place_map(seg, name, &m);

	if (err)
		return err;
	server = atomic_load(&m.server->server);
	*ret = (struct dsm_listener_stat){
		.server_pid = server && seg_alive(seg, server) ? seg->slots[SEG_ID_SLOT(server)].pid
							       : 0,
		.places = place_count(&m),
		.max_conns = m.max_conns,
		.ring_size = m.ring_size,
	};
	for (uint32_t i = 0; i < ret->places; i++) {
		struct conn_place *p = place_at(&m, i);

		ret->open += p && is_open(atomic_load(&p->state));
	}
	return 0;
}

/* The two rings of a place. */
static int rings_validate(const struct place_map *m, const struct conn_place *p)
{
	uint64_t ring = ring_bytes(m->line, m->ring_size), off = seg_off(m->seg, p) + m->line;

	for (int i = 0; i < 2; i++) {
		struct dsm_ring r = { 0 };
		int err;

		ring_attach(&r, m->seg, off + (uint64_t)i * ring, m->line, m->ring_size,
			    DSM_RING_SPSC);
		err = dsm_ring_validate(&r);
		if (err < 0)
			return err;
	}
	return 0;
}

int dsm_listener_validate(dsm_segment_t *seg, const char *name)
{
	struct place_map m;
	int open = 0, err = place_map(seg, name, &m);

	for (uint32_t i = 0; !err && i < place_count(&m); i++) {
		struct conn_place *p = place_at(&m, i);
		uint64_t state = p ? atomic_load(&p->state) : 0;

		if (!p)
			return -EBADMSG;
		if ((state & PLACE_PHASE) > PLACE_OPEN || (!(state & PLACE_PHASE) && state))
			return seg_error(-EBADMSG, "listener %s: connection %u in no known state",
					 name, i);
		if (!is_open(state))
			continue;
		open++;
		err = rings_validate(&m, p);
	}
	return err ? err : open;
}

int dsm_listener_remove(dsm_segment_t *seg, const char *name)
{
	struct place_map m;
	seg_id server;
	int err = place_map(seg, name, &m);

	if (err)
		return err;
	server = atomic_load(&m.server->server);
	if (server && seg_alive(seg, server))
		return seg_error(-EBUSY, "listener %s is served", name);
	for (uint32_t i = 0; i < place_count(&m); i++) {
		struct conn_place *p = place_at(&m, i);
		uint64_t state = p ? atomic_load(&p->state) : 0;

		if (is_open(state) && !(state & PLACE_CLIENT_GONE) &&
		    seg_alive(seg, atomic_load(&p->client)))
			return seg_error(-EBUSY, "listener %s has a client yet", name);
	}
	seg_root_drop(seg, m.index);
	return 0;
}
