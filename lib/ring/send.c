/* SPDX-License-Identifier: MIT */
/* The producer's calls. */
#include <errno.h>

#include "fast.h"

/* What every call asks first. */
static int may_send(dsm_ring_t *r)
{
	int err;

	if (r->kind == DSM_RING_MPMC)
		return r->flags & DSM_RING_PRODUCER
			       ? 0
			       : seg_error(-EPERM, "ring: not opened for sending");
	err = ring_enter(r, &r->send);
	if (unlikely(err))
		return err;
	return r->conn ? conn_gone(r->conn) : 0;
}

static int too_large(const dsm_ring_t *r, size_t size)
{
	return seg_error(-EMSGSIZE, "ring: a message of %zu bytes, the greatest is %llu", size,
			 (unsigned long long)ring_message_max(r));
}

static int still_reserved(void)
{
	return seg_error(-EBUSY, "ring: the last reservation is neither committed nor cancelled");
}

/* After -EAGAIN: 0 try again. @deadline: 0 at first. */
static int wait_room(dsm_ring_t *r, uint64_t seen, int64_t timeout_us, uint64_t *deadline)
{
	int err;

	if (!timeout_us) {
		err = r->conn ? conn_look_seldom(r->conn) : 0;
		return err ? err : seg_error(-EAGAIN, "ring: full");
	}
	if (!*deadline)
		*deadline = ring_deadline(timeout_us);
	err = ring_wait_room(r, seen, *deadline);
	return err == -ETIMEDOUT ? seg_error(err, "ring: full until the time was over") : err;
}

static int spsc_room_waiting(dsm_ring_t *r, size_t size, int64_t timeout_us)
{
	uint64_t deadline = 0;
	int err;

	while (unlikely((err = spsc_room(r, size)) == -EAGAIN)) {
		err = wait_room(r, r->head_seen, timeout_us, &deadline);
		if (err)
			return err;
	}
	return err;
}

static int mpmc_reserve_waiting(dsm_ring_t *r, size_t size, int64_t timeout_us, void **ret)
{
	uint64_t deadline = 0, seen;
	int err;

	for (;;) {
		seen = atomic_load(&r->consumer->head);
		err = mpmc_reserve(r, size, ret);
		if (err != -EAGAIN)
			return err;
		err = wait_room(r, seen, timeout_us, &deadline);
		if (err)
			return err;
	}
}

static __attribute__((noinline)) int send_slow(dsm_ring_t *r, const void *data, size_t size,
					       int64_t timeout_us)
{
	int err = may_send(r);
	void *p;

	if (err)
		return err;
	if (size > ring_message_max(r))
		return too_large(r, size);
	if (r->kind == DSM_RING_SPSC) {
		if (r->reserved)
			return still_reserved();
		err = spsc_room_waiting(r, size, timeout_us);
		if (err)
			return err;
		ring_copy(payload_at(r, r->tail), data, size);
		return fast_publish(r, size);
	}
	err = mpmc_reserve_waiting(r, size, timeout_us, &p);
	if (err)
		return err;
	ring_copy(p, data, size);
	return mpmc_commit(r, p, size);
}

int dsm_ring_send(dsm_ring_t *r, const void *data, size_t size, int64_t timeout_us)
{
	if (unlikely(size > RING_SMALL || !fast_room(r, size)))
		return send_slow(r, data, size, timeout_us);
	ring_copy_small(payload_at(r, r->tail), data, size);
	return fast_publish(r, size);
}

int dsm_ring_send_many(dsm_ring_t *r, const struct iovec *v, unsigned int n, int64_t timeout_us)
{
	uint64_t deadline = 0, seen;
	unsigned int sent = 0;
	int err = may_send(r);

	if (!err && r->reserved)
		err = still_reserved();
	while (!err && sent < n) {
		int now;

		if (v[sent].iov_len > ring_message_max(r)) {
			err = too_large(r, v[sent].iov_len);
			break;
		}
		seen = r->kind == DSM_RING_SPSC ? r->head_seen : atomic_load(&r->consumer->head);
		now = r->kind == DSM_RING_SPSC ? spsc_put_many(r, v + sent, n - sent)
					       : mpmc_put_many(r, v + sent, n - sent);
		if (now > 0)
			sent += (unsigned int)now;
		else
			err = now == -EAGAIN ? wait_room(r, seen, timeout_us, &deadline) : now;
	}
	return sent ? (int)sent : err;
}

static __attribute__((noinline)) int reserve_slow(dsm_ring_t *r, size_t size, int64_t timeout_us,
						  void **ret)
{
	int err = may_send(r);

	if (err)
		return err;
	if (size > ring_message_max(r))
		return too_large(r, size);
	if (r->kind == DSM_RING_MPMC)
		return mpmc_reserve_waiting(r, size, timeout_us, ret);
	if (r->reserved)
		return still_reserved();
	err = spsc_room_waiting(r, size, timeout_us);
	if (err)
		return err;
	r->reserved = record_size(size);
	*ret = payload_at(r, r->tail);
	return 0;
}

int dsm_ring_reserve(dsm_ring_t *r, size_t size, int64_t timeout_us, void **ret)
{
	if (!fast_room(r, size))
		return reserve_slow(r, size, timeout_us, ret);
	r->reserved = record_size(size);
	*ret = payload_at(r, r->tail);
	return 0;
}

static bool is_reserved(const dsm_ring_t *r, const void *p)
{
	return r->reserved && p == payload_at(r, r->tail);
}

static __attribute__((noinline)) int commit_slow(dsm_ring_t *r, void *p, size_t size)
{
	int err = may_send(r);

	if (unlikely(err)) {
		if (is_reserved(r, p))
			r->reserved = 0;
		return err;
	}
	if (r->kind == DSM_RING_MPMC)
		return mpmc_commit(r, p, size);
	if (unlikely(!is_reserved(r, p) || record_size(size) > r->reserved))
		return seg_error(-EINVAL, "ring: committed what was not reserved");
	r->reserved = 0;
	return fast_publish(r, size);
}

int dsm_ring_commit(dsm_ring_t *r, void *p, size_t size)
{
	if (unlikely(r->kind != DSM_RING_SPSC || !fast_mine(r, &r->send) || !is_reserved(r, p) ||
		     record_size(size) > r->reserved ||
		     atomic_load_explicit(r->peer_state, memory_order_relaxed) & r->peer_gone))
		return commit_slow(r, p, size);
	r->reserved = 0;
	return fast_publish(r, size);
}

int dsm_ring_cancel(dsm_ring_t *r, void *p)
{
	if (r->kind == DSM_RING_MPMC)
		return mpmc_cancel(r, p);
	if (!is_reserved(r, p))
		return seg_error(-EINVAL, "ring: cancelled what was not reserved");
	r->reserved = 0;
	return 0;
}

size_t dsm_ring_message_max(const dsm_ring_t *r)
{
	return ring_message_max(r);
}
