/* SPDX-License-Identifier: MIT */
/* The consumer's calls. */
#include <errno.h>

#include "fast.h"

int ring_may_receive(dsm_ring_t *r)
{
	if (r->kind == DSM_RING_MPMC)
		return r->flags & DSM_RING_CONSUMER
			       ? 0
			       : seg_error(-EPERM, "ring: not opened for receiving");
	return ring_enter(r, &r->recv);
}

static inline int take(dsm_ring_t *r, struct dsm_ring_message *ret, unsigned int max)
{
	return r->kind == DSM_RING_SPSC ? spsc_take(r, ret, max) : mpmc_take(r, ret, max);
}

/* There was none: wait. */
static int take_waiting(dsm_ring_t *r, struct dsm_ring_message *ret, unsigned int max,
			int64_t timeout_us)
{
	uint64_t deadline;
	int n, err;

	if (!timeout_us) {
		/* ORDER: what was sent before the end is there when the end is seen. */
		err = r->conn ? conn_look_seldom(r->conn) : 0;
		n = err ? take(r, ret, max) : -EAGAIN;
		if (n != -EAGAIN)
			return n;
		return err ? err : seg_error(-EAGAIN, "ring: empty");
	}
	deadline = ring_deadline(timeout_us);
	do {
		err = ring_wait_message(r, deadline);
		if (err)
			return err == -ETIMEDOUT
				       ? seg_error(err, "ring: no message until the time was over")
				       : err;
		n = take(r, ret, max);
	} while (n == -EAGAIN);
	return n;
}

int dsm_ring_peek_many(dsm_ring_t *r, struct dsm_ring_message *ret, unsigned int max,
		       int64_t timeout_us)
{
	int n = ring_may_receive(r);

	if (unlikely(n))
		return n;
	if (unlikely(!max))
		return seg_error(-EINVAL, "ring: to take no message");
	n = take(r, ret, max);
	return likely(n != -EAGAIN) ? n : take_waiting(r, ret, max, timeout_us);
}

static __attribute__((noinline)) int peek_slow(dsm_ring_t *r, int64_t timeout_us,
					       struct dsm_ring_message *ret)
{
	int n = dsm_ring_peek_many(r, ret, 1, timeout_us);

	return n < 0 ? n : 0;
}

int dsm_ring_peek(dsm_ring_t *r, int64_t timeout_us, struct dsm_ring_message *ret)
{
	ret->data = fast_message(r, &ret->size);
	if (unlikely(!ret->data))
		return peek_slow(r, timeout_us, ret);
	r->take += record_size(ret->size);
	return 0;
}

int dsm_ring_release(dsm_ring_t *r, const void *data)
{
	struct dsm_ring_message m = { .data = data };
	int err = ring_may_receive(r);

	if (unlikely(err))
		return err;
	return r->kind == DSM_RING_SPSC ? spsc_release(r, data) : mpmc_release(r, &m, 1);
}

int dsm_ring_release_many(dsm_ring_t *r, const struct dsm_ring_message *v, unsigned int n)
{
	int err = ring_may_receive(r);

	if (unlikely(err) || !n)
		return err;
	return r->kind == DSM_RING_SPSC ? spsc_release(r, v[n - 1].data) : mpmc_release(r, v, n);
}

/* A message that does not fit is the next one again. */
static ssize_t refuse(dsm_ring_t *r, const struct dsm_ring_message *m, size_t size)
{
	if (r->kind == DSM_RING_MPMC)
		(void)mpmc_return(r, m->data);
	else
		r->take -= record_size(m->size);
	return seg_error(-EMSGSIZE, "ring: the next message has %zu bytes, more than %zu", m->size,
			 size);
}

static __attribute__((noinline)) ssize_t recv_slow(dsm_ring_t *r, void *buf, size_t size,
						   int64_t timeout_us)
{
	struct dsm_ring_message m;
	int n = ring_may_receive(r);

	if (n)
		return n;
	n = take(r, &m, 1);
	if (n == -EAGAIN)
		n = take_waiting(r, &m, 1, timeout_us);
	if (n < 0)
		return n;
	if (m.size > size)
		return refuse(r, &m, size);
	ring_copy(buf, m.data, m.size);
	if (r->kind == DSM_RING_SPSC) {
		spsc_release_all(r);
		return (ssize_t)m.size;
	}
	n = mpmc_release(r, &m, 1);
	return n ? n : (ssize_t)m.size;
}

ssize_t dsm_ring_recv(dsm_ring_t *r, void *buf, size_t size, int64_t timeout_us)
{
	size_t length;
	const uint8_t *message = fast_message(r, &length);

	if (unlikely(!message || length > size || length > RING_SMALL))
		return recv_slow(r, buf, size, timeout_us);
	ring_copy_small(buf, message, length);
	r->take += record_size(length);
	fast_release(r, length);
	return (ssize_t)length;
}
