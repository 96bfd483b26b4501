// SPDX-License-Identifier: MIT
/* Flows as topics. */
#include "lib/channel/cluster.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/segment/private.h"
#include "lib/topic.h"

int cluster_check_size(const struct channel_place *place, const char *name, uint32_t size)
{
	if (size <= TOPIC_SIZE_MAX)
		return 0;
	return seg_error(-EMSGSIZE, "%s: channel '%s': a cluster's values have at most %u bytes",
			 dsm_segment_uri(place->seg), name, TOPIC_SIZE_MAX);
}

int cluster_open_flows(struct channel_place *place, const char *name)
{
	static const char *const from[SEATS] = { "master", "slave" };
	char topic[TOPIC_NAME_MAX];
	int err = 0;

	for (int i = 0; i < SEATS && !err; i++) {
		(void)snprintf(topic, sizeof(topic), "channel/%016llx/%s",
			       (unsigned long long)place->header->name, from[i]);
		err = topic_open(place->seg->priv->ctx, topic, place->header->size, TOPIC_SUBSCRIBE,
				 &place->topic[i]);
		if (!err)
			place->flow[i] = place->topic[i]->slots;
		else
			(void)seg_error(err, "%s: channel '%s': no topic of %u bytes: %s",
					dsm_segment_uri(place->seg), name, place->header->size,
					strerror(-err));
	}
	if (err)
		cluster_close_flows(place);
	return err;
}

void cluster_close_flows(struct channel_place *place)
{
	for (int i = 0; i < SEATS; i++) {
		topic_close(place->topic[i]);
		place->topic[i] = NULL;
	}
}

int cluster_publish(struct channel_place *place, int seat, bool on)
{
	/* Who publishes without having the seat has just lost it. */
	uint32_t flags = TOPIC_SUBSCRIBE | (on ? TOPIC_PUBLISH | TOPIC_TAKE : 0);
	int err = topic_role(place->topic[seat], flags);

	return err ? seg_error(err, "%s: a channel's topic: %s", dsm_segment_uri(place->seg),
			       strerror(-err))
		   : 0;
}

void cluster_changed(struct topic *t)
{
	topic_changed(t);
}

uint32_t cluster_publishers(const struct channel_place *place, int seat)
{
	return topic_publishers(place->topic[seat]);
}

bool cluster_lost(const struct channel_place *place)
{
	return topic_lost(place->topic[SEAT_MASTER]) || topic_lost(place->topic[SEAT_SLAVE]);
}
