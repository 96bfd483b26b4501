/* SPDX-License-Identifier: MIT */
/*
 * Channels of a cluster: each flow is a topic, whose values the agents push, so that its
 * slots are memory of this node, for the writer and for readers. Who publishes is who
 * lives: the agents' protocol takes the place of heartbeats.
 */
#ifndef DSM_LIB_CHANNEL_CLUSTER_H
#define DSM_LIB_CHANNEL_CLUSTER_H

#include "lib/channel/channel.h"

/* Can a channel's values have @size bytes? -EMSGSIZE: the agents push none that long. */
int cluster_check_size(const struct channel_place *place, const char *name, uint32_t size);
/* Opens both flows' topics, to read. Sets place->flow and place->topic. */
int cluster_open_flows(struct channel_place *place, const char *name);
void cluster_close_flows(struct channel_place *place);

/* The flow of @seat is ours to write, or not any more. */
int cluster_publish(struct channel_place *place, int seat, bool on);

/* A value was written. */
void cluster_changed(struct topic *t);

/* How many publish the flow of @seat, on all nodes. */
uint32_t cluster_publishers(const struct channel_place *place, int seat);

/* The agent went: the topics are dead. */
bool cluster_lost(const struct channel_place *place);

#endif
