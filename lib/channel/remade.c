// SPDX-License-Identifier: MIT
/* A segment that was removed while we had it open, and made anew by the peer's next life. */
#include <errno.h>
#include <stdlib.h>

#include "lib/channel/channel.h"

/* Another segment under our URI, with our channel in it. The place there, or false. */
static bool look(const struct dsm_channel *ch, struct channel_place *ret)
{
	struct dsm_segment_info ours, theirs;
	struct channel_place place = { 0 };

	if (dsm_segment_info(ch->place.seg, &ours) || dsm_segment_open(ch->uri, NULL, &place.seg))
		return false;
	if (dsm_segment_info(place.seg, &theirs) || theirs.id == ours.id ||
	    channel_find(&place, ch->name, ch->size)) {
		dsm_segment_close(place.seg);
		return false;
	}
	*ret = place;
	return true;
}

static bool retire(struct dsm_channel *ch, dsm_segment_t *seg)
{
	dsm_segment_t **more = realloc(ch->retired, (ch->nretired + 1) * sizeof(dsm_segment_t *));

	if (!more)
		return false;
	ch->retired = more;
	more[ch->nretired++] = seg;
	return true;
}

bool channel_moved(struct dsm_channel *ch)
{
	struct channel_place old = ch->place, new;
	struct slots_head *sleepers = ch->in.head;

	if (!ch->uri || ch->place.seg->cluster || !look(ch, &new))
		return false;
	if (!retire(ch, old.seg)) {
		dsm_segment_close(new.seg);
		return false;
	}
	seat_leave(ch);
	ch->place = new;
	if (seat_take(ch)) {
		/* Somebody else has our seat there, and keeps it: as it was, and silent. */
		ch->nretired--;
		ch->place = old;
		(void)seat_take(ch);
		dsm_segment_close(new.seg);
		return false;
	}
	ch->watch.id = 0;
	atomic_fetch_add(&sleepers->bell, 1);
	bell_ring(sleepers);
	return true;
}
