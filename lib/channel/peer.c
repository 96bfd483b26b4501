// SPDX-License-Identifier: MIT
/*
 * How the other side is. Each look notes whether its heart has beaten; one that was silent for
 * stale_ms is stale, unless the time was not given to us to look, or not
 * to it to beat. Then it is looked for every retry_ms, as often and long as the options say.
 */
#include "lib/channel/channel.h"
#include "lib/channel/cluster.h"

#define MS 1000000ull

static struct channel_seat *peer_seat(const struct dsm_channel *ch)
{
	return &ch->place.header->seat[channel_peer_seat(ch)];
}

/* Who sleeps for a value is to hear of it. */
static void wake_readers(struct dsm_channel *ch)
{
	atomic_fetch_add(&ch->in.head->bell, 1);
	bell_ring(ch->in.head);
}

/* Operations give up, or go on. */
static void judge(struct dsm_channel *ch)
{
	const struct channel_watch *w = &ch->watch;
	uint32_t state = w->lost      ? DSM_CHANNEL_LOST
			 : !w->silent ? (w->id ? DSM_CHANNEL_LIVE : DSM_CHANNEL_ABSENT)
			 : w->id || atomic_load(&peer_seat(ch)->died) ? DSM_CHANNEL_STALE
								      : DSM_CHANNEL_ABSENT;
	bool broken = ch->o.stale == DSM_CHANNEL_AT_ONCE      ? w->silent
		      : ch->o.stale == DSM_CHANNEL_ON_TIMEOUT ? w->lost
							      : false;

	atomic_store(&ch->state, state);
	if (broken == !!(atomic_load(&ch->trouble) & TROUBLE_BROKEN))
		return;
	if (!broken) {
		atomic_fetch_and(&ch->trouble, ~(uint32_t)TROUBLE_BROKEN);
		return;
	}
	atomic_fetch_or(&ch->trouble, TROUBLE_BROKEN);
	wake_readers(ch);
}

static void alive(struct dsm_channel *ch, uint64_t now)
{
	struct channel_watch *w = &ch->watch;

	if (w->silent && !w->lost) {
		w->silent = false;
		w->attempts = 0;
		w->reconnects++;
	}
	w->heard_ns = now;
}

static void silent(struct dsm_channel *ch, uint64_t now)
{
	struct channel_watch *w = &ch->watch;

	if (w->silent)
		return;
	w->silent = true;
	w->silent_ns = now;
	w->attempts = 0;
	w->next_look_ns = now + ch->o.retry_ms * MS;
}

void peer_reconnect(struct dsm_channel *ch)
{
	struct channel_watch *w = &ch->watch;
	uint64_t now = seg_now_ns();
	bool was = w->silent;

	w->lost = false;
	w->silent = false;
	w->heard_ns = now;
	/* Who is still not there stays silent, for the whole time again. */
	if (was && !w->id)
		silent(ch, now);
	judge(ch);
}

/* A peer has come or gone. */
static void changed(struct dsm_channel *ch, seg_id id, uint64_t now)
{
	struct channel_watch *w = &ch->watch;

	w->id = id;
	if (!id) {
		silent(ch, now);
		return;
	}
	/* Somebody else at once, without a pause that was seen. */
	if (w->met && !w->silent)
		w->reconnects++;
	w->met = true;
	w->beats = UINT64_MAX;
	alive(ch, now);
}

/* It may not be its fault: dead, starved, or really stuck. */
static void suspect(struct dsm_channel *ch, uint64_t now)
{
	struct channel_watch *w = &ch->watch;

	if (seat_clear_dead(ch, channel_peer_seat(ch))) {
		changed(ch, 0, now);
		return;
	}
	if (now - w->heard_ns < ch->o.stale_ms * MS)
		return;
	if (opinion_starved(peer_seat(ch)))
		w->heard_ns = now;
	else
		silent(ch, now);
}

/* Its heart, on a host. */
static void listen(struct dsm_channel *ch, uint64_t now, uint64_t late)
{
	struct channel_seat *s = peer_seat(ch);
	struct channel_watch *w = &ch->watch;
	uint64_t beats = atomic_load_explicit(&s->beats, memory_order_acquire);
	uint64_t period = atomic_load_explicit(&s->period_us, memory_order_relaxed) * 1000ull;

	if (beats != w->beats) {
		w->beats = beats;
		alive(ch, now);
		return;
	}
	/* While we did not look it was not silent. */
	w->heard_ns += late;
	if (w->heard_ns > now)
		w->heard_ns = now;
	if (period > ch->o.stale_ms * MS / 2)
		period = ch->o.stale_ms * MS / 2;
	if (!w->silent && now - w->heard_ns > 2 * period + 2 * MS)
		suspect(ch, now);
	else if (w->silent)
		(void)seat_clear_dead(ch, channel_peer_seat(ch));
}

/* In a cluster the agents know. */
static void ask_agents(struct dsm_channel *ch, uint64_t now)
{
	int seat = channel_peer_seat(ch);

	if (cluster_lost(&ch->place) && !(atomic_load(&ch->trouble) & TROUBLE_CLOSED)) {
		atomic_fetch_or(&ch->trouble, TROUBLE_CLOSED);
		wake_readers(ch);
	}
	if (cluster_publishers(&ch->place, seat))
		alive(ch, now);
	else if (!ch->watch.silent && now - ch->watch.heard_ns > ch->o.stale_ms * MS)
		silent(ch, now);
	if (ch->watch.silent && now >= ch->watch.next_look_ns)
		(void)seat_clear_dead(ch, seat);
}

/* Looking for one that is silent. */
static void look_for(struct dsm_channel *ch, uint64_t now)
{
	struct channel_watch *w = &ch->watch;

	if (now < w->next_look_ns)
		return;
	w->attempts++;
	w->next_look_ns = now + ch->o.retry_ms * MS;
	if (channel_moved(ch))
		return;
	if ((ch->o.attempts && w->attempts >= ch->o.attempts) ||
	    (ch->o.total_ms && now - w->silent_ns >= ch->o.total_ms * MS))
		w->lost = true;
}

/* The master is dead or has left, and the slave is to be the next. */
static bool should_take_over(const struct dsm_channel *ch)
{
	return ch->o.take_over && !ch->watch.id && ch->watch.met &&
	       atomic_load(&ch->role) == DSM_CHANNEL_SLAVE;
}

uint64_t peer_look(struct dsm_channel *ch, uint64_t now, uint64_t late)
{
	struct channel_watch *w = &ch->watch;
	uint64_t most = ch->o.stale_ms * MS * 2 / 5, age;
	seg_id id = atomic_load_explicit(&peer_seat(ch)->id, memory_order_acquire);

	if (id != w->id)
		changed(ch, id, now);
	if (id && ch->place.seg->cluster)
		ask_agents(ch, now);
	else if (id)
		listen(ch, now, late);
	else if (!w->met)
		w->silent = false;
	if (should_take_over(ch) && !seat_take_over(ch))
		return MS;
	if (w->silent && !w->lost)
		look_for(ch, now);
	judge(ch);
	/* One that is late is looked at more often. */
	age = now - w->heard_ns;
	if (w->id && !w->silent && age > most)
		most = most / 8;
	return most;
}
