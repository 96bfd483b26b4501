// SPDX-License-Identifier: MIT
/* Opening, closing and removing channels. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/channel/channel.h"
#include "lib/channel/cluster.h"

#define MS 1000000ull

static int check_options(const char *name, struct dsm_channel_options *o)
{
	if (!name || !name[0] || strnlen(name, DSM_ROOT_NAME_MAX) == DSM_ROOT_NAME_MAX)
		return seg_error(-EINVAL, "a channel's name has 1 to %d bytes",
				 DSM_ROOT_NAME_MAX - 1);
	if (o->role > DSM_CHANNEL_OBSERVER || o->stale > DSM_CHANNEL_NEVER || o->take_over > 1 ||
	    o->observe > DSM_CHANNEL_SLAVE || o->reserved)
		return seg_error(-EINVAL, "channel '%s': an option is none that there is", name);
	if (o->size > DSM_CHANNEL_SIZE_MAX)
		return seg_error(-EINVAL, "channel '%s': a value has at most %u bytes", name,
				 DSM_CHANNEL_SIZE_MAX);
	if (!o->stale_ms)
		o->stale_ms = 100;
	if (!o->retry_ms)
		o->retry_ms = 100;
	return 0;
}

static bool makes(const struct dsm_channel_options *o)
{
	return o->role == DSM_CHANNEL_AUTO || o->role == DSM_CHANNEL_MASTER;
}

/* Found, or made. */
static int settle(struct dsm_channel *ch)
{
	uint32_t size = ch->o.size ? ch->o.size : DSM_CHANNEL_SIZE;
	int err;

	do {
		err = channel_find(&ch->place, ch->name, ch->o.size);
		if (err == -ENOENT && makes(&ch->o))
			err = channel_make(&ch->place, ch->name, size);
	} while (err == -EEXIST);
	return err;
}

static int open_segment(struct dsm_channel *ch)
{
	struct dsm_segment_options s = { .flags = DSM_SEGMENT_EXISTING };

	if (!ch->uri || ch->place.seg)
		return 0;
	if (makes(&ch->o))
		return dsm_segment_create(ch->uri, &s, &ch->place.seg);
	return dsm_segment_open(ch->uri, NULL, &ch->place.seg);
}

/* Once, or as often and as long as reconnecting may while there is no such thing yet. */
static int find(struct dsm_channel *ch)
{
	uint64_t begin = seg_now_ns();
	struct timespec pause = { .tv_sec = ch->o.retry_ms / 1000,
				  .tv_nsec = ch->o.retry_ms % 1000 * 1000000l };

	for (uint32_t looks = 1;; looks++) {
		int err = open_segment(ch);

		if (!err)
			err = settle(ch);
		if ((err != -ENOENT && err != -ESTALE) || makes(&ch->o) ||
		    (ch->o.attempts && looks >= ch->o.attempts) ||
		    (ch->o.total_ms && seg_now_ns() - begin >= ch->o.total_ms * MS))
			return err;
		nanosleep(&pause, NULL);
	}
}

static void free_channel(struct dsm_channel *ch)
{
	if (ch->uri) {
		dsm_segment_close(ch->place.seg);
		for (uint32_t i = 0; i < ch->nretired; i++)
			dsm_segment_close(ch->retired[i]);
		free(ch->retired);
		free(ch->uri);
	}
	free(ch);
}

/* By the keeper. */
static int join(struct dsm_channel *ch)
{
	int err = seat_take(ch);

	if (!err)
		keeper_add(ch);
	return err;
}

static int part(struct dsm_channel *ch)
{
	keeper_remove(ch);
	seat_leave(ch);
	return 0;
}

static int open_channel(struct dsm_channel *ch, dsm_channel_t **ret)
{
	int err = find(ch);

	if (err)
		return err;
	ch->size = ch->place.header->size;
	seg_spin_begin(&ch->spin);
	ch->info_ns = seg_now_ns();
	err = keeper_do(join, ch);
	if (err) {
		channel_place_close(&ch->place);
		return err;
	}
	*ret = ch;
	return 0;
}

static int new_channel(const char *name, const struct dsm_channel_options *options,
		       struct dsm_channel **ret)
{
	struct dsm_channel_options o = DSM_CHANNEL_DEFAULTS;
	struct dsm_channel *ch;
	int err;

	if (options)
		o = *options;
	err = check_options(name, &o);
	if (err)
		return err;
	ch = aligned_alloc(SEG_LINE, sizeof(*ch));
	if (!ch)
		return seg_error(-ENOMEM, "no memory");
	memset(ch, 0, sizeof(*ch));
	ch->o = o;
	strcpy(ch->name, name);
	*ret = ch;
	return 0;
}

int dsm_channel_open(dsm_segment_t *seg, const char *name,
		     const struct dsm_channel_options *options, dsm_channel_t **ret)
{
	struct dsm_channel *ch;
	int err;

	if (!seg || !ret)
		return seg_error(-EINVAL, "no segment, or nowhere to put the channel");
	err = new_channel(name, options, &ch);
	if (err)
		return err;
	ch->place.seg = seg;
	err = open_channel(ch, ret);
	if (err)
		free_channel(ch);
	return err;
}

int dsm_channel_connect(const char *uri, const char *name,
			const struct dsm_channel_options *options, dsm_channel_t **ret)
{
	struct dsm_channel *ch;
	int err;

	if (!uri || !ret)
		return seg_error(-EINVAL, "no segment, or nowhere to put the channel");
	err = new_channel(name, options, &ch);
	if (err)
		return err;
	ch->uri = strdup(uri);
	err = ch->uri ? open_channel(ch, ret) : seg_error(-ENOMEM, "no memory");
	if (err)
		free_channel(ch);
	return err;
}

void dsm_channel_close(dsm_channel_t *ch)
{
	if (!ch)
		return;
	if (!(atomic_load(&ch->trouble) & TROUBLE_FORKED))
		(void)keeper_do(part, ch);
	channel_place_close(&ch->place);
	free_channel(ch);
}

int dsm_channel_remove(dsm_segment_t *seg, const char *name)
{
	struct dsm_channel ch = { .place.seg = seg };
	uint32_t root;
	uint64_t off;
	int err;

	if (!seg)
		return seg_error(-EINVAL, "no segment");
	err = seg_root_find(seg, name, DSM_ROOT_CHANNEL, &root, &off);
	if (err)
		return err;
	ch.place.header = seg_checked(seg, off, sizeof(*ch.place.header), SEG_PAGE);
	for (int i = 0; i < SEATS && ch.place.header; i++)
		if (!seat_clear_dead(&ch, i))
			return seg_error(-EBUSY, "channel '%s': process %u sits in it", name,
					 atomic_load(&ch.place.header->seat[i].pid));
	seg_root_drop(seg, root);
	return 0;
}
