// SPDX-License-Identifier: MIT
#include "tests/unit/ring_use.h"

#include <stdint.h>
#include <stdlib.h>

#include "lib/ring/ring.h"

/* What is given out as a message lies in the ring. */
static void check(const dsm_ring_t *r, const struct dsm_ring_message *m)
{
	const uint8_t *data = m->data;

	if (data < r->data || data > r->data + r->capacity ||
	    m->size > (size_t)(r->data + r->capacity - data))
		abort();
}

void ring_use(dsm_ring_t *out, dsm_ring_t *in)
{
	static uint8_t buf[4096];
	struct iovec v[3] = { { buf, 10 }, { buf, 300 }, { buf, 0 } };
	struct dsm_ring_message m[8];
	struct dsm_ring_stat s;
	void *p;
	int n;

	for (int i = 0; i < 20; i++) {
		(void)dsm_ring_send(out, buf, (size_t)i * 20, 0);
		if (dsm_ring_reserve(out, 100, 0, &p) == 0)
			(void)dsm_ring_commit(out, p, 50);
		(void)dsm_ring_send_many(out, v, 3, 0);
		(void)dsm_ring_recv(in, buf, sizeof(buf), 0);
		(void)dsm_ring_recv(in, buf, 8, i & 1 ? 100 : 0);
		n = dsm_ring_peek_many(in, m, 8, 0);
		for (int k = 0; k < n; k++)
			check(in, &m[k]);
		if (n > 0)
			(void)dsm_ring_release_many(in, m, (unsigned int)n);
		(void)dsm_ring_validate(in);
		(void)dsm_ring_stat(in, &s);
	}
}
