// SPDX-License-Identifier: MIT
/* What a channel is like: counts, hearts, and whether all of it makes sense. */
#include <errno.h>
#include <string.h>

#include "lib/channel/channel.h"

uint32_t dsm_channel_size(const dsm_channel_t *ch)
{
	return ch ? ch->size : 0;
}

enum dsm_channel_role dsm_channel_role(const dsm_channel_t *ch)
{
	return ch ? (enum dsm_channel_role)atomic_load(&ch->role) : DSM_CHANNEL_AUTO;
}

enum dsm_channel_peer_state dsm_channel_peer(dsm_channel_t *ch)
{
	return ch ? (enum dsm_channel_peer_state)atomic_load(&ch->state) : DSM_CHANNEL_ABSENT;
}

void dsm_channel_reconnect(dsm_channel_t *ch)
{
	if (!ch || (atomic_load(&ch->trouble) & TROUBLE_FORKED))
		return;
	keeper_lock();
	peer_reconnect(ch);
	keeper_unlock();
	keeper_hurry(ch);
}

int dsm_channel_take_over(dsm_channel_t *ch)
{
	if (!ch)
		return seg_error(-EINVAL, "no channel");
	if (atomic_load(&ch->trouble) & TROUBLE_FORKED)
		return seg_error(-EPERM, "channel '%s': the seat is the parent process'", ch->name);
	return keeper_do(seat_take_over, ch);
}

static uint64_t since_beat_us(const struct channel_seat *s)
{
	uint64_t now = seg_now_ns(), beat = atomic_load(&s->beat_ns);

	return now > beat ? (now - beat) / 1000 : 0;
}

static void seat_info(struct dsm_channel *ch, int seat, struct dsm_channel_seat_info *ret)
{
	struct channel_seat *s = &ch->place.header->seat[seat];
	seg_id id = atomic_load(&s->id);
	bool mine = atomic_load(&ch->role) != DSM_CHANNEL_OBSERVER && seat != channel_peer_seat(ch);

	*ret = (struct dsm_channel_seat_info){
		.pid = id ? atomic_load(&s->pid) : 0,
		.node = id ? atomic_load(&s->node) : 0,
		.seated = atomic_load(&s->seated),
		.beats = atomic_load(&s->beats),
		.silent_us = id ? since_beat_us(s) : 0,
		.since_ns = atomic_load(&s->since_ns),
	};
	if (mine)
		ret->state = DSM_CHANNEL_LIVE;
	else if (seat == channel_peer_seat(ch))
		ret->state = atomic_load(&ch->state);
	else
		ret->state = !id			    ? DSM_CHANNEL_ABSENT
			     : seg_alive(ch->place.seg, id) ? DSM_CHANNEL_LIVE
							    : DSM_CHANNEL_STALE;
}

/* The flow from @seat, which the other one reads. */
static void flow_info(struct dsm_channel *ch, int seat, double seconds,
		      struct dsm_channel_flow_info *ret)
{
	struct channel_count *c = &ch->place.header->seat[!seat].count;
	const struct slots *s = &ch->place.flow[seat];
	uint64_t word = atomic_load(&s->head->newest);

	*ret = (struct dsm_channel_flow_info){
		.written = word >> 8,
		.read = atomic_load(&c->read),
		.missed = atomic_load(&c->missed),
	};
	if (ch->place.seg->cluster && ret->written < seat_told_written(ch, seat))
		ret->written = seat_told_written(ch, seat);
	if (word)
		ret->newest = atomic_load(&slots_slot(s, (uint32_t)word)->length);
	if (seconds > 0) {
		ret->rate = (double)(ret->written - ch->info_written[seat]) / seconds;
		ret->read_rate = (double)(ret->read - ch->info_read[seat]) / seconds;
	}
	ch->info_written[seat] = ret->written;
	ch->info_read[seat] = ret->read;
}

int dsm_channel_info(dsm_channel_t *ch, struct dsm_channel_info *ret)
{
	uint64_t now = seg_now_ns();
	double seconds;

	if (!ch || !ret)
		return seg_error(-EINVAL, "no channel, or nowhere to put what it is like");
	keeper_lock();
	seat_tell_counts(ch);
	seconds = (double)(now - ch->info_ns) / 1e9;
	ch->info_ns = now;
	*ret = (struct dsm_channel_info){
		.size = ch->size,
		.role = atomic_load(&ch->role),
		.reconnects = ch->watch.reconnects,
		.attempts = ch->watch.silent ? ch->watch.attempts : 0,
	};
	seat_info(ch, SEAT_MASTER, &ret->master);
	seat_info(ch, SEAT_SLAVE, &ret->slave);
	flow_info(ch, SEAT_MASTER, seconds, &ret->from_master);
	flow_info(ch, SEAT_SLAVE, seconds, &ret->from_slave);
	keeper_unlock();
	return 0;
}

static int wrong(const struct dsm_channel *ch, const char *what)
{
	return seg_error(-EBADMSG, "channel '%s' is damaged: %s", ch->name, what);
}

/* Nobody reads what was never written. */
static const char *counts_wrong(const struct channel_seat *reader, const struct slots *flow)
{
	uint64_t seen = atomic_load(&reader->count.seen), read = atomic_load(&reader->count.read);
	uint64_t missed = atomic_load(&reader->count.missed), written = slots_newest(flow);

	if (seen > written)
		return "a value was read that was never written";
	/* A reader that was killed while it counted may have told too much by the value before. */
	if (read > written || missed > written)
		return "more values were read or missed than written";
	return NULL;
}

int dsm_channel_validate(dsm_channel_t *ch)
{
	const struct channel_header *h;
	const char *what = NULL;

	if (!ch)
		return seg_error(-EINVAL, "no channel");
	h = ch->place.header;
	if (h->magic != CHANNEL_MAGIC || h->version != CHANNEL_VERSION || h->size != ch->size)
		return wrong(ch, "its header");
	for (int i = 0; i < SEATS && !what; i++) {
		if (atomic_load(&h->seat[i].id) & ~SEG_ID_MASK)
			what = "a seat's participant";
		if (!what)
			what = slots_wrong(&ch->place.flow[i]);
		if (!what && !ch->place.seg->cluster)
			what = counts_wrong(&h->seat[!i], &ch->place.flow[i]);
	}
	return what ? wrong(ch, what) : 0;
}
