// SPDX-License-Identifier: MIT
/* Where a channel lies in its segment: made, found, checked. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "lib/channel/channel.h"
#include "lib/channel/cluster.h"

static uint64_t flow_bytes(const dsm_segment_t *seg, uint32_t size)
{
	return seg->cluster ? 0 : (slots_bytes(size) + SEG_PAGE - 1) / SEG_PAGE * SEG_PAGE;
}

static uint64_t channel_bytes(const dsm_segment_t *seg, uint32_t size)
{
	return sizeof(struct channel_header) + SEATS * flow_bytes(seg, size);
}

static void *flow_at(struct channel_header *h, int seat)
{
	return (uint8_t *)(h + 1) + (uint64_t)seat * h->flow_bytes;
}

/* The memory is the root's, and zeroed. */
static void lay_out(const dsm_segment_t *seg, struct channel_header *h, uint32_t size)
{
	h->version = CHANNEL_VERSION;
	h->size = size;
	(void)!getrandom(&h->name, sizeof(h->name), 0);
	h->flow_bytes = flow_bytes(seg, size);
	for (int i = 0; i < SEATS && h->flow_bytes; i++)
		slots_make(flow_at(h, i), size);
	h->magic = CHANNEL_MAGIC;
}

int channel_make(struct channel_place *place, const char *name, uint32_t size)
{
	dsm_segment_t *seg = place->seg;
	uint64_t bytes = channel_bytes(seg, size), off = 0;
	bool zeroed = false;
	uint32_t root = 0;
	int err = seg->cluster ? cluster_check_size(place, name, size) : 0;

	if (!err)
		err = seg_root_make(seg, name, DSM_ROOT_CHANNEL, &root);
	if (err)
		return err;
	err = seg_grains_alloc(seg, (bytes + SEG_GRAIN - 1) / SEG_GRAIN, &off, &zeroed);
	if (err) {
		seg_root_drop(seg, root);
		return err;
	}
	seg_crash_point("channel: has memory, is nobody's");
	seg_grains_adopt(seg, off, root);
	if (!zeroed)
		memset(seg_at(seg, off), 0, bytes);
	lay_out(seg, seg_at(seg, off), size);
	seg_crash_point("channel: laid out, not published");
	seg_root_publish(seg, root, off);
	return channel_place_open(place, name, off);
}

static int damaged(const struct channel_place *place, const char *name, const char *what)
{
	return seg_error(-EBADMSG, "%s: channel '%s' is damaged: %s", dsm_segment_uri(place->seg),
			 name, what);
}

int channel_place_open(struct channel_place *place, const char *name, uint64_t off)
{
	struct channel_header *h = seg_checked(place->seg, off, sizeof(*h), SEG_PAGE);

	if (!h || h->magic != CHANNEL_MAGIC)
		return damaged(place, name, "no channel where the root says");
	if (h->version != CHANNEL_VERSION)
		return seg_error(-EPROTO, "%s: channel '%s' has layout %u, this library's is %u",
				 dsm_segment_uri(place->seg), name, h->version, CHANNEL_VERSION);
	if (!h->size || h->size > DSM_CHANNEL_SIZE_MAX ||
	    h->flow_bytes != flow_bytes(place->seg, h->size))
		return damaged(place, name, "its sizes make no sense");
	if (!seg_checked(place->seg, off, channel_bytes(place->seg, h->size), SEG_PAGE))
		return damaged(place, name, "it does not fit in its segment");
	place->header = h;
	if (place->seg->cluster)
		return cluster_open_flows(place, name);
	for (int i = 0; i < SEATS; i++)
		if (slots_open(flow_at(h, i), flow_bytes(place->seg, h->size), &place->flow[i]) ||
		    place->flow[i].size != h->size)
			return damaged(place, name, "a flow's geometry");
	return 0;
}

int channel_find(struct channel_place *place, const char *name, uint32_t size)
{
	uint64_t off;
	int err = seg_root_find(place->seg, name, DSM_ROOT_CHANNEL, NULL, &off);

	if (!err)
		err = channel_place_open(place, name, off);
	if (!err && size && size != place->header->size) {
		channel_place_close(place);
		err = seg_error(-EMSGSIZE, "%s: channel '%s' has values of %u bytes, not %u",
				dsm_segment_uri(place->seg), name, place->header->size, size);
	}
	return err;
}

void channel_place_close(struct channel_place *place)
{
	if (place->seg->cluster)
		cluster_close_flows(place);
}
