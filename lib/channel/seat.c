// SPDX-License-Identifier: MIT
/*
 * Seats: taken, left, taken over, and cleared after the dead. All but the last
 * by the keeper, whose participant has the seat.
 */
#include <errno.h>
#include <limits.h>
#include <time.h>
#include <unistd.h>

#include "lib/channel/channel.h"
#include "lib/channel/cluster.h"

static struct channel_seat *seat_at(const struct dsm_channel *ch, int seat)
{
	return &ch->place.header->seat[seat];
}

bool seat_clear_dead(struct dsm_channel *ch, int seat)
{
	seg_id id = atomic_load(&seat_at(ch, seat)->id);

	if (id && !seg_alive(ch->place.seg, id))
		(void)seg_recover(ch->place.seg, id);
	/* A slot that never was: the seat's id is no participant's. */
	if (id && !seg_alive(ch->place.seg, id) &&
	    atomic_compare_exchange_strong(&seat_at(ch, seat)->id, &id, 0))
		atomic_store(&seat_at(ch, seat)->died, 1);
	return !atomic_load(&seat_at(ch, seat)->id);
}

/* The seat is free, and the channel's lock held. */
static void sit(struct dsm_channel *ch, int seat, struct seg_slot *self)
{
	struct channel_seat *s = seat_at(ch, seat);
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	atomic_store(&s->pid, (uint32_t)getpid());
	atomic_store(&s->tid, (uint32_t)gettid());
	atomic_store(&s->node, self->node);
	atomic_store(&s->pid_namespace, opinion_pid_namespace());
	atomic_store(&s->stale_ms, ch->o.stale_ms);
	atomic_store(&s->since_ns, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
	atomic_store(&s->beats, 0);
	atomic_store(&s->beat_ns, seg_now_ns());
	atomic_store(&s->died, 0);
	atomic_fetch_add(&s->seated, 1);
	seg_crash_point("channel: about to sit");
	atomic_store(&s->id, seg_slot_id(self));
}

uint64_t seat_told_written(const struct dsm_channel *ch, int seat)
{
	uint64_t written = atomic_load(&seat_at(ch, seat)->written);
	uint64_t seen = atomic_load(&seat_at(ch, !seat)->count.seen);

	/* No more than slots can count, whatever the bytes are. */
	return (written > seen ? written : seen) & UINT64_MAX >> 9;
}

/* In a cluster the seat says what was read and written by who had it before. */
static void follow_on(struct dsm_channel *ch, int peer)
{
	atomic_store(&ch->own_count.seen, atomic_load(&seat_at(ch, !peer)->count.seen));
	ch->number_from = seat_told_written(ch, !peer);
}

/* Which flows the handle writes, reads and counts follows from its seat. */
static void face(struct dsm_channel *ch, uint32_t role)
{
	uint64_t told;
	int peer;

	channel_lock(&ch->write_lock);
	channel_lock(&ch->read_lock);
	atomic_store(&ch->role, role);
	peer = channel_peer_seat(ch);
	/* What this node's agent kept may have been overtaken while nobody here had the channel open. */
	told = ch->place.seg->cluster ? seat_told_written(ch, peer) : 0;
	ch->old = told ? told - 1 : 0;
	ch->in = ch->place.flow[peer];
	ch->out = ch->place.flow[!peer];
	ch->topic_out = ch->place.topic[!peer];
	ch->count = &ch->own_count;
	if (role != DSM_CHANNEL_OBSERVER && !ch->place.seg->cluster)
		ch->count = &seat_at(ch, !peer)->count;
	else if (role != DSM_CHANNEL_OBSERVER)
		follow_on(ch, peer);
	channel_unlock(&ch->read_lock);
	channel_unlock(&ch->write_lock);
}

/* Who only looks on has seen nothing yet, but has not missed it either. */
static void observe(struct dsm_channel *ch)
{
	uint64_t newest;

	face(ch, DSM_CHANNEL_OBSERVER);
	newest = slots_newest(&ch->in);
	atomic_store(&ch->own_count.seen, newest ? newest - 1 : 0);
	atomic_fetch_or(&ch->trouble, TROUBLE_NO_SEAT);
}

/* Free: SEAT_MASTER, SEAT_SLAVE; or -EBUSY. */
static int choose(const struct dsm_channel *ch)
{
	bool master = !atomic_load(&seat_at(ch, SEAT_MASTER)->id);
	bool slave = !atomic_load(&seat_at(ch, SEAT_SLAVE)->id);

	if (ch->o.role != DSM_CHANNEL_SLAVE && master)
		return SEAT_MASTER;
	if (ch->o.role != DSM_CHANNEL_MASTER && slave)
		return SEAT_SLAVE;
	return -EBUSY;
}

static int busy(const struct dsm_channel *ch)
{
	return seg_error(-EBUSY, "channel '%s': the %s is there already: process %u", ch->name,
			 ch->o.role == DSM_CHANNEL_SLAVE ? "slave" : "master",
			 atomic_load(&seat_at(ch, channel_seat_of(ch->o.role))->pid));
}

int seat_take(struct dsm_channel *ch)
{
	dsm_segment_t *seg = ch->place.seg;
	struct seg_slot *self = seg_self(seg);
	int seat, err;

	if (ch->o.role == DSM_CHANNEL_OBSERVER) {
		observe(ch);
		return 0;
	}
	if (!self)
		return -EUSERS;
	for (int i = 0; i < SEATS; i++)
		(void)seat_clear_dead(ch, i);
	err = seg_lock(seg, &ch->place.header->lock, SEG_LAYER_TOP);
	if (err)
		return err;
	seat = choose(ch);
	if (seat >= 0)
		sit(ch, seat, self);
	seg_unlock(seg, &ch->place.header->lock);
	if (seat < 0)
		return busy(ch);
	face(ch, seat == SEAT_MASTER ? DSM_CHANNEL_MASTER : DSM_CHANNEL_SLAVE);
	if (!seg->cluster)
		return 0;
	err = cluster_publish(&ch->place, seat, true);
	if (err)
		seat_leave(ch);
	return err;
}

void seat_tell_counts(struct dsm_channel *ch)
{
	uint64_t read = atomic_load(&ch->own_count.read) - ch->told_read;
	uint64_t missed = atomic_load(&ch->own_count.missed) - ch->told_missed;
	uint64_t seen = atomic_load(&ch->own_count.seen), written;
	struct channel_seat *seat;

	if (!ch->place.seg->cluster ||
	    (atomic_load(&ch->trouble) & (TROUBLE_FORKED | TROUBLE_NO_SEAT)) ||
	    cluster_lost(&ch->place))
		return;
	seat = seat_at(ch, !channel_peer_seat(ch));
	written = slots_newest(&ch->out);
	/* A store takes the page from the other node: none without need. */
	if (written > atomic_load(&seat->written))
		atomic_store(&seat->written, written);
	if (!read && !missed)
		return;
	atomic_fetch_add(&seat->count.read, read);
	atomic_fetch_add(&seat->count.missed, missed);
	atomic_store(&seat->count.seen, seen);
	ch->told_read += read;
	ch->told_missed += missed;
}

/* In peace: the other side sees the seat free. */
static void stand_up(struct dsm_channel *ch, int seat)
{
	struct channel_seat *s = seat_at(ch, seat);
	struct seg_slot *self = seg_self(ch->place.seg);
	seg_id id = self ? seg_slot_id(self) : 0;

	seat_tell_counts(ch);
	/* Never somebody else's. */
	if (id)
		(void)atomic_compare_exchange_strong(&s->id, &id, 0);
	if (ch->place.seg->cluster)
		(void)cluster_publish(&ch->place, seat, false);
}

void seat_leave(struct dsm_channel *ch)
{
	if (atomic_load(&ch->role) != DSM_CHANNEL_OBSERVER)
		stand_up(ch, !channel_peer_seat(ch));
}

/* Master's seat is free, and the lock held. The other flow's values that the last master read are read. */
static int move_up(struct dsm_channel *ch, struct seg_slot *self)
{
	if (atomic_load(&seat_at(ch, SEAT_MASTER)->id))
		return seg_error(-EBUSY, "channel '%s': the master is alive", ch->name);
	sit(ch, SEAT_MASTER, self);
	seg_crash_point("channel: in both seats");
	atomic_store(&seat_at(ch, SEAT_SLAVE)->id, 0);
	return 0;
}

int seat_take_over(struct dsm_channel *ch)
{
	dsm_segment_t *seg = ch->place.seg;
	struct seg_slot *self = seg_self(seg);
	int err;

	if (atomic_load(&ch->role) != DSM_CHANNEL_SLAVE)
		return seg_error(-EPERM, "channel '%s': only the slave takes over", ch->name);
	if (!self)
		return -EUSERS;
	(void)seat_clear_dead(ch, SEAT_MASTER);
	seat_tell_counts(ch);
	err = seg_lock(seg, &ch->place.header->lock, SEG_LAYER_TOP);
	if (err)
		return err;
	err = move_up(ch, self);
	seg_unlock(seg, &ch->place.header->lock);
	if (err)
		return err;
	if (seg->cluster) {
		(void)cluster_publish(&ch->place, SEAT_SLAVE, false);
		(void)cluster_publish(&ch->place, SEAT_MASTER, true);
	}
	face(ch, DSM_CHANNEL_MASTER);
	peer_reconnect(ch);
	return 0;
}

static void clear_seats(dsm_segment_t *seg, const struct dsm_root *root, seg_id id)
{
	struct channel_place place = { .seg = seg };
	struct channel_header *h = seg_checked(seg, root->offset, sizeof(*h), SEG_PAGE);

	if (!h || h->magic != CHANNEL_MAGIC)
		return;
	for (int i = 0; i < SEATS; i++) {
		seg_id expected = id;

		if (atomic_load(&h->seat[i].id) != id)
			continue;
		atomic_store(&h->seat[i].died, 1);
		seg_crash_point("channel: dead, still in the seat");
		(void)atomic_compare_exchange_strong(&h->seat[i].id, &expected, 0);
	}
	/* A value whose writer had no time to wake for it. */
	if (!seg->cluster && !channel_place_open(&place, root->name, root->offset))
		for (int i = 0; i < SEATS; i++)
			bell_ring(place.flow[i].head);
}

/*
 * The dead had nothing half-done but its seats: a value is there or not by one
 * store. Its handle's channels are found by their roots, there being few.
 */
void channel_recover(dsm_segment_t *seg, struct seg_slot *dead)
{
	struct dsm_root roots[16];
	uint32_t from = 0;
	int n;

	while ((n = dsm_segment_root_list(seg, from, roots, 16)) > 0) {
		for (int i = 0; i < n; i++)
			if (roots[i].kind == DSM_ROOT_CHANNEL)
				clear_seats(seg, &roots[i], seg_slot_id(dead));
		from = roots[n - 1].index + 1;
	}
}
