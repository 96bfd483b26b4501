// SPDX-License-Identifier: MIT
/*
 * Rings and connections in memory that somebody else has written: whatever is there, opening and
 * using them gives results or errors, and touches nothing else. An input's first bits
 * say what it is about: a ring of either kind, or a listener with a connection.
 */
#include <string.h>

#include "lib/ring/place.h"
#include "tests/fuzz/fenced.h"
#include "tests/fuzz/stores.h"
#include "tests/unit/ring_use.h"

const unsigned int fuzz_runs = 3000;

#define CAPACITY 2048u

/* Words of the lines that both ends share, of its records, and of its root. Not locks. */
static uint8_t *word_of_ring(void *ring, uint32_t which, uint32_t off)
{
	const dsm_ring_t *r = ring;

	switch (which / 4 % 8) {
	case 0:
		return (uint8_t *)&r->producer->tail;
	case 1:
		return (uint8_t *)&r->producer->owner;
	case 2:
		return (uint8_t *)r->consumer + off % 3 * 8;
	case 3:
		return (uint8_t *)r->sleep + off % 3 * 8;
	case 4: /* the next record */
	case 5:
		return r->data + ((atomic_load(&r->consumer->head) + off % 4 * 8) & r->mask);
	default:
		return r->data + off % (CAPACITY / 8) * 8;
	}
}

static void fuzz_ring(const uint8_t *data, size_t size, uint32_t kind)
{
	struct dsm_ring_options o = { .capacity = CAPACITY,
				      .kind = kind,
				      .flags = DSM_RING_PRODUCER };
	struct store stores[STORES_MAX];
	dsm_ring_t *out, *in;
	unsigned int n;

	MUST(!dsm_ring_create(fenced[0], "r", &o, &out));
	fenced_end();
	MUST(!dsm_ring_open(fenced[1], "r", DSM_RING_CONSUMER, &in));
	ring_use(out, in);
	(void)dsm_ring_send(out, "left behind", 12, 0);
	n = stores_find(data, size, word_of_ring, out, stores);
	stores_do(stores, n);
	ring_use(out, in);
	dsm_ring_close(out);
	dsm_ring_close(in);
	/* Whoever comes next. */
	stores_do(stores, n);
	if (!dsm_ring_open(fenced[1], "r", DSM_RING_PRODUCER | DSM_RING_CONSUMER, &in)) {
		ring_use(in, in);
		dsm_ring_close(in);
	}
}

/* Words of the root, of its tables, and of the connection's place, and of its rings. Not locks. */
static uint8_t *word_of_conn(void *connection, uint32_t which, uint32_t off)
{
	dsm_conn_t *c = connection;
	const struct place_map *m = &c->map;

	switch (which / 4 % 8) {
	case 0:
		return (uint8_t *)seg_at(m->seg, m->off) + off % 8 * 8;
	case 1:
		return (uint8_t *)&m->server->server;
	case 2:
		return (uint8_t *)m->bell;
	case 3:
		return (uint8_t *)m->ready;
	case 4:
		return (uint8_t *)m->chunks + off % 4 * 8;
	case 5:
		return (uint8_t *)c->place + off % 2 * 8;
	default:
		return word_of_ring(off & 1 ? &c->in : &c->out, off / 2 * 4, off / 16);
	}
}

static void talk(dsm_listener_t *l, dsm_conn_t *c, dsm_conn_t *s)
{
	char text[64] = "";

	for (int i = 0; i < 4; i++) {
		dsm_conn_t *next;

		(void)dsm_conn_send(c, text, sizeof(text), 0);
		(void)dsm_conn_recv(s, text, sizeof(text), 100);
		(void)dsm_conn_send(s, text, sizeof(text), 0);
		(void)dsm_conn_recv(c, text, sizeof(text), 100);
		(void)dsm_listener_wait(l, 0, &next);
	}
}

static void fuzz_listener(const uint8_t *data, size_t size)
{
	struct dsm_listener_options o = { .ring_size = 1024, .max_conns = 20 };
	struct dsm_listener_stat stat;
	struct store stores[STORES_MAX];
	dsm_conn_t *c, *s, *another;
	dsm_listener_t *l;
	unsigned int n;

	MUST(!dsm_listener_create(fenced[0], "l", &o, &l));
	MUST(!dsm_conn_open(fenced[1], "l", &c));
	fenced_end();
	MUST(!dsm_listener_accept(l, 0, &s));
	talk(l, c, s);
	n = stores_find(data, size, word_of_conn, c, stores);
	stores_do(stores, n);
	talk(l, c, s);
	(void)dsm_listener_validate(fenced[1], "l");
	(void)dsm_listener_stat(fenced[1], "l", &stat);
	if (!dsm_conn_open(fenced[1], "l", &another))
		dsm_conn_close(another);
	dsm_conn_close(c);
	stores_do(stores, n);
	dsm_listener_close(l);
	if (!dsm_listener_create(fenced[1], "l", &o, &l)) {
		for (int i = 0; i < 4; i++)
			(void)dsm_listener_wait(l, 0, &another);
		dsm_listener_close(l);
	}
	(void)dsm_listener_remove(fenced[0], "l");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t what = size ? data[0] & 3 : 0;

	fenced_begin("fuzz-ring");
	if (what < 2)
		fuzz_ring(data, size, what ? DSM_RING_MPMC : DSM_RING_SPSC);
	else
		fuzz_listener(data, size);
	fenced_close();
	return 0;
}

size_t fuzz_seed(unsigned int i, uint8_t ret[FUZZ_INPUT_MAX])
{
	static const uint64_t values[STORES_VALUES] = {
		0,
		1,
		8,
		(uint64_t)RING_READY << 28 | RING_LENGTH,
		(uint64_t)RING_READY << 28 | CAPACITY / 2,
		(uint64_t)RING_PAD << 28 | (CAPACITY - RING_HEADER),
		1ull << 32 | (uint64_t)RING_RESERVED << 28 | 16,
		UINT64_MAX,
	};

	return stores_seed(i, 32, values, ret);
}
