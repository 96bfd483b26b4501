// SPDX-License-Identifier: MIT
/* Writing, reading and waiting for values. */
#include <errno.h>

#include "lib/channel/channel.h"
#include "lib/channel/cluster.h"

static inline void mark_used(struct dsm_channel *ch)
{
	if (unlikely(!atomic_load_explicit(&ch->used, memory_order_relaxed)))
		atomic_store_explicit(&ch->used, 1, memory_order_relaxed);
}

static int broken(const struct dsm_channel *ch)
{
	return seg_error(-EPIPE, "channel '%s': the %s does not answer", ch->name,
			 channel_peer_seat(ch) == SEAT_MASTER ? "master" : "slave");
}

static int may_not_write(const struct dsm_channel *ch, uint32_t trouble)
{
	if (trouble & TROUBLE_NO_SEAT)
		return seg_error(-EPERM, "channel '%s': an observer does not write", ch->name);
	if (trouble & TROUBLE_FORKED)
		return seg_error(-EPERM, "channel '%s': the seat is the parent process'", ch->name);
	if (trouble & TROUBLE_CLOSED)
		return seg_error(-ENOTCONN, "channel '%s': the agent has gone", ch->name);
	return broken(ch);
}

/* The write lock is held. True: wake all. */
static inline bool put(struct dsm_channel *ch, const void *bytes, uint32_t size)
{
	uint64_t newest = atomic_load_explicit(&ch->out.head->newest, memory_order_relaxed);
	uint64_t number = newest >> 8;

	/* Agents forget values that no program has open: numbers go on all the same. */
	if (unlikely(number < ch->number_from))
		number = ch->number_from;
	return slots_put(&ch->out, bytes, size, number + 1, newest);
}

int dsm_channel_write(dsm_channel_t *ch, const void *bytes, size_t size)
{
	uint32_t trouble;
	bool wake;

	if (unlikely(!ch || (!bytes && size)))
		return seg_error(-EINVAL, "no channel, or nothing to write");
	if (unlikely(size > ch->size))
		return seg_error(-EMSGSIZE, "channel '%s': %zu bytes are more than its %u",
				 ch->name, size, ch->size);
	trouble = atomic_load_explicit(&ch->trouble, memory_order_relaxed);
	if (unlikely(trouble))
		return may_not_write(ch, trouble);
	channel_lock(&ch->write_lock);
	wake = put(ch, bytes, (uint32_t)size);
	if (unlikely(wake))
		bell_ring(ch->out.head);
	if (unlikely(ch->topic_out != NULL))
		cluster_changed(ch->topic_out);
	channel_unlock(&ch->write_lock);
	mark_used(ch);
	return 0;
}

/* A value was read: once, and those before it that were not are missed. Read lock held. */
static inline void count_value(struct channel_count *c, uint64_t number)
{
	uint64_t seen = atomic_load_explicit(&c->seen, memory_order_relaxed);

	if (number <= seen)
		return;
	atomic_store_explicit(&c->read, atomic_load_explicit(&c->read, memory_order_relaxed) + 1,
			      memory_order_relaxed);
	if (number - seen > 1)
		atomic_store_explicit(&c->missed,
				      atomic_load_explicit(&c->missed, memory_order_relaxed) +
					      (number - seen - 1),
				      memory_order_relaxed);
	atomic_store_explicit(&c->seen, number, memory_order_relaxed);
}

static int damaged(const struct dsm_channel *ch)
{
	return seg_error(-EBADMSG, "channel '%s' is damaged: its newest value cannot be read",
			 ch->name);
}

static int too_long(const struct dsm_channel *ch, size_t room)
{
	return seg_error(-EMSGSIZE, "channel '%s': the value is longer than %zu bytes", ch->name,
			 room);
}

/*
 * The newest value; with @newer only one that was not read before. Once the peer is given up only
 * those are to be had, the last it wrote among them.
 */
static inline int take(struct dsm_channel *ch, bool newer, void *buffer, size_t room,
		       uint64_t *ret_number)
{
	uint32_t trouble = atomic_load_explicit(&ch->trouble, memory_order_relaxed);
	uint64_t number = 0, than;
	int n;

	channel_lock(&ch->read_lock);
	if (unlikely(trouble & TROUBLE_BROKEN))
		newer = true;
	than = newer ? atomic_load_explicit(&ch->count->seen, memory_order_relaxed) : 0;
	if (unlikely(than < ch->old))
		than = ch->old;
	n = slots_read(&ch->in, than, buffer, room, &number);
	if (likely(n >= 0))
		count_value(ch->count, number);
	channel_unlock(&ch->read_lock);
	mark_used(ch);
	if (likely(n >= 0)) {
		if (ret_number)
			*ret_number = number;
		return n;
	}
	if (n == -EBADMSG)
		return damaged(ch);
	return n == -EMSGSIZE ? too_long(ch, room) : n;
}

/* There is nothing to be read: is there ever going to be? */
static int nothing(struct dsm_channel *ch, int n)
{
	uint32_t trouble = atomic_load_explicit(&ch->trouble, memory_order_relaxed);

	if (trouble & TROUBLE_CLOSED)
		return seg_error(-ENOTCONN, "channel '%s': the agent has gone", ch->name);
	if (trouble & TROUBLE_BROKEN)
		return broken(ch);
	return n;
}

static int no_buffer(const void *buffer, size_t room)
{
	return !buffer && room ? seg_error(-EINVAL, "no buffer") : 0;
}

int dsm_channel_read(dsm_channel_t *ch, void *buffer, size_t room, uint64_t *ret_number)
{
	int n;

	if (unlikely(!ch || no_buffer(buffer, room)))
		return seg_error(-EINVAL, "no channel, or no buffer");
	n = take(ch, false, buffer, room, ret_number);
	if (likely(n >= 0))
		return n;
	if (n != -ENODATA && n != -EAGAIN)
		return n;
	/* -EAGAIN: what is here is not the last value that was written, which nobody has. */
	return nothing(ch, seg_error(-ENODATA, "channel '%s': no value is here yet", ch->name));
}

int dsm_channel_read_newer(dsm_channel_t *ch, void *buffer, size_t room, uint64_t *ret_number)
{
	int n;

	if (unlikely(!ch || no_buffer(buffer, room)))
		return seg_error(-EINVAL, "no channel, or no buffer");
	n = take(ch, true, buffer, room, ret_number);
	if (likely(n >= 0))
		return n;
	return n == -ENODATA || n == -EAGAIN ? nothing(ch, -EAGAIN) : n;
}

struct value_wait {
	const struct slots *in;
	uint64_t than;
};

static bool newer_ready(const void *arg)
{
	const struct value_wait *w = arg;

	return slots_newest(w->in) > w->than;
}

/* What the reader sleeps on may change when the segment was made anew. */
static struct slots flow_in(struct dsm_channel *ch)
{
	struct slots in;

	channel_lock(&ch->read_lock);
	in = ch->in;
	channel_unlock(&ch->read_lock);
	return in;
}

static uint64_t last_seen(struct dsm_channel *ch)
{
	uint64_t seen;

	channel_lock(&ch->read_lock);
	seen = atomic_load_explicit(&ch->count->seen, memory_order_relaxed);
	channel_unlock(&ch->read_lock);
	return seen;
}

/* Until a value newer than @than, or the deadline (0: none). 0; -ETIMEDOUT; what nothing() says. */
static int await(struct dsm_channel *ch, uint64_t than, uint64_t deadline)
{
	struct slots in = flow_in(ch);
	bool spun = false;

	for (;;) {
		uint64_t now;
		int err;

		if (slots_newest(&in) > than)
			return 0;
		err = nothing(ch, 0);
		if (err)
			return err;
		if (!spun && seg_spin(&ch->spin, newer_ready, &(struct value_wait){ &in, than }))
			return 0;
		spun = true;
		now = deadline ? seg_now_ns() : 0;
		if (deadline && now >= deadline)
			return seg_error(-ETIMEDOUT, "channel '%s': no new value in time",
					 ch->name);
		bell_wait(&in, than, deadline ? deadline - now : UINT64_MAX);
		in = flow_in(ch);
	}
}

static uint64_t deadline_of(int64_t timeout_us)
{
	uint64_t now = seg_now_ns();

	if (timeout_us < 0 || (uint64_t)timeout_us > (UINT64_MAX - now) / 1000)
		return 0;
	return now + (uint64_t)timeout_us * 1000;
}

int dsm_channel_read_timed(dsm_channel_t *ch, void *buffer, size_t room, int64_t timeout_us,
			   uint64_t *ret_number)
{
	int n = dsm_channel_read_newer(ch, buffer, room, ret_number);
	uint64_t deadline = 0;

	while (n == -EAGAIN && timeout_us) {
		int err;

		if (!deadline && timeout_us > 0)
			deadline = deadline_of(timeout_us);
		err = await(ch, last_seen(ch), deadline);
		if (err)
			return err;
		/* Another thread of the handle may have been faster. */
		n = dsm_channel_read_newer(ch, buffer, room, ret_number);
	}
	return n;
}

int dsm_channel_wait(dsm_channel_t *ch, uint64_t after, int64_t timeout_us, uint64_t *ret_number)
{
	struct slots in;
	int err = 0;

	if (!ch)
		return seg_error(-EINVAL, "no channel");
	if (after == DSM_CHANNEL_LAST_READ)
		after = last_seen(ch);
	in = flow_in(ch);
	if (slots_newest(&in) <= after)
		err = timeout_us ? await(ch, after, timeout_us < 0 ? 0 : deadline_of(timeout_us))
				 : nothing(ch, -EAGAIN);
	if (!err && ret_number) {
		in = flow_in(ch);
		*ret_number = slots_newest(&in);
	}
	return err;
}
