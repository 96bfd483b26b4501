// SPDX-License-Identifier: MIT
/*
 * Rings and listeners with foreign bytes in their memory: an error, or a message that is none of
 * ours, but never a crash, an overrun or a call that does not return.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "lib/ring/place.h"
#include "tests/unit/lib_nodes.h"
#include "tests/unit/ring_rig.h"
#include "tests/unit/ring_use.h"

#define ROUNDS 400

/* Where the root of structure @name is. */
static uint8_t *root_of(const char *name)
{
	struct dsm_root root;

	assert_int_equal(dsm_segment_root_get(seg[0], name, &root), 0);
	return dsm_segment_ptr(seg[0], root.offset);
}

static void a_damaged_header_is_refused(void **state)
{
	static const size_t fields[] = { 0, 4, 8, 16 };
	struct rig_pair p = rig_ring("header", DSM_RING_SPSC, 4096);
	uint8_t *root = root_of("header"), before[64];
	dsm_ring_t *r;

	(void)state;
	memcpy(before, root, sizeof(before));
	for (unsigned int i = 0; i < 4; i++) {
		memset(root + fields[i], 0xa5, 4);
		assert_int_equal(dsm_ring_open(seg[1], "header", 0, &r), -EBADMSG);
		assert_non_null(strstr(dsm_last_error(), "header"));
		memcpy(root, before, sizeof(before));
	}
	/* A capacity that leads outside of the segment. */
	((struct ring_root *)root)->capacity = RING_MAX;
	assert_int_equal(dsm_ring_open(seg[1], "header", 0, &r), -EBADMSG);
	memcpy(root, before, sizeof(before));
	rig_ring_end(&p, "header");
}

static void scribble(uint8_t *at, size_t size, uint64_t *x, int words)
{
	for (int i = 0; i < words; i++) {
		uint64_t value = rig_next(x) >> rig_next(x) % 64;

		memcpy(at + rig_next(x) % (size / 8) * 8, &value, 8);
	}
}

static void random_bytes_do_no_harm(void **state)
{
	uint64_t x = 12345;

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		uint32_t kind = round & 1 ? DSM_RING_MPMC : DSM_RING_SPSC;
		struct rig_pair p = rig_ring("bytes", kind, 2048);
		uint8_t *root = root_of("bytes");
		uint64_t line = ((struct ring_root *)root)->line;
		struct ring_producer *producer = (void *)(root + line);
		struct ring_consumer *consumer = (void *)(root + 2 * line);

		ring_use(p.out, p.in);
		/* Positions, then records; locks stay as they are: they are the segment's own. */
		if (round % 3 != 1) {
			scribble((uint8_t *)&producer->tail, 8, &x, 1);
			scribble((uint8_t *)&consumer->head, 16, &x, 1);
		}
		if (round % 3 != 0)
			scribble(root + 4 * line, 2048, &x, 40);
		ring_use(p.out, p.in);
		dsm_ring_close(p.out);
		dsm_ring_close(p.in);
		/* Whoever comes next. */
		if (dsm_ring_open(seg[0], "bytes", DSM_RING_PRODUCER | DSM_RING_CONSUMER, &p.out) ==
		    0) {
			ring_use(p.out, p.out);
			dsm_ring_close(p.out);
		}
		assert_int_equal(dsm_ring_remove(seg[0], "bytes"), 0);
	}
}

static void a_damaged_listener_does_no_harm(void **state)
{
	struct dsm_listener_options o = { .ring_size = 1024, .max_conns = 20 };
	uint64_t x = 777;

	(void)state;
	for (int round = 0; round < ROUNDS / 4; round++) {
		dsm_listener_t *l;
		dsm_conn_t *c = NULL, *s = NULL;
		struct place_map m;
		char text[64];

		assert_int_equal(dsm_listener_create(seg[0], "bad", &o, &l), 0);
		assert_int_equal(dsm_conn_open(seg[1], "bad", &c), 0);
		assert_int_equal(dsm_listener_accept(l, 0, &s), 0);
		assert_int_equal(place_map(seg[0], "bad", &m), 0);
		switch (round % 3) {
		case 0: /* the table of chunks */
			scribble((uint8_t *)m.chunks, 16, &x, 2);
			break;
		case 1: /* who is to be looked at */
			scribble((uint8_t *)m.ready, 8, &x, 1);
			break;
		default: /* the records */
			scribble((uint8_t *)c->out.data, 1024, &x, 30);
			scribble((uint8_t *)c->in.data, 1024, &x, 30);
			break;
		}
		(void)dsm_conn_send(c, text, sizeof(text), 0);
		(void)dsm_conn_recv(s, text, sizeof(text), 0);
		(void)dsm_conn_send(s, text, sizeof(text), 0);
		(void)dsm_conn_recv(c, text, sizeof(text), 0);
		for (int i = 0; i < 5; i++)
			(void)dsm_listener_wait(l, 0, &s);
		(void)dsm_listener_validate(seg[1], "bad");
		dsm_conn_close(c);
		if (dsm_conn_open(seg[1], "bad", &c) == 0)
			dsm_conn_close(c);
		dsm_listener_close(l);
		/* Its chunks may be known no more; the name is to go all the same. */
		m.server->chunks = 0;
		assert_int_equal(dsm_listener_remove(seg[0], "bad"), 0);
	}
}

static void a_damaged_listeners_header_is_refused(void **state)
{
	static const size_t fields[] = { 0, 4, 8, 12, 16 };
	dsm_listener_t *l, *other;
	uint8_t *root, before[64];
	dsm_conn_t *c;

	(void)state;
	assert_int_equal(dsm_listener_create(seg[0], "lh", NULL, &l), 0);
	dsm_listener_close(l);
	root = root_of("lh");
	memcpy(before, root, sizeof(before));
	for (unsigned int i = 0; i < 5; i++) {
		memset(root + fields[i], 0xa5, 4);
		assert_int_equal(dsm_conn_open(seg[1], "lh", &c), -EBADMSG);
		assert_int_equal(dsm_listener_create(seg[1], "lh", NULL, &other), -EBADMSG);
		memcpy(root, before, sizeof(before));
	}
	assert_int_equal(dsm_listener_remove(seg[0], "lh"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_damaged_header_is_refused),
		cmocka_unit_test(random_bytes_do_no_harm),
		cmocka_unit_test(a_damaged_listener_does_no_harm),
		cmocka_unit_test(a_damaged_listeners_header_is_refused),
	};

	return cmocka_run_group_tests(tests, rig_open_host, rig_close_host);
}
