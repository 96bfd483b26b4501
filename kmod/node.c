// SPDX-License-Identifier: GPL-2.0-only
/*
 * Nodes: bound by an agent, orphaned when it dies, adopted by the next one or
 * gone after the recovery window.
 */
#include <linux/debugfs.h>
#include <linux/netlink.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <net/net_namespace.h>

#include "dsm.h"

LIST_HEAD(dsm_nodes);
DEFINE_MUTEX(dsm_nodes_lock); /* the list, and which sockets have which nodes */

static void dsm_node_free(struct kref *ref)
{
	struct dsm_node *node = container_of(ref, struct dsm_node, ref);

	free_percpu(node->counters);
	xa_destroy(&node->regions);
	kfree(node);
}

void dsm_node_put(struct dsm_node *node)
{
	kref_put(&node->ref, dsm_node_free);
}

/* The socket may close, and its number be reused, while we live on. Under node->lock. */
static struct net *dsm_node_detach_socket(struct dsm_node *node)
{
	struct net *net = node->net;

	node->net = NULL;
	node->portid = 0;
	return net;
}

/* Under dsm_nodes_lock and node->mutex. The caller drops the list's reference. */
static void dsm_node_end(struct dsm_node *node)
{
	struct net *net;

	spin_lock(&node->lock);
	WRITE_ONCE(node->state, DSM_NODE_GONE);
	net = dsm_node_detach_socket(node);
	spin_unlock(&node->lock);
	if (net)
		put_net(net);
	list_del_init(&node->link);
	debugfs_remove(node->debugfs);
	dsm_requests_fail(node, NULL, -EIO);
	dsm_regions_forget(node);
	wake_up_poll(&node->pollers, EPOLLIN | EPOLLHUP);
}

static void dsm_node_expire(struct work_struct *work)
{
	struct dsm_node *node = container_of(work, struct dsm_node, expiry.work);
	bool gone = false;

	mutex_lock(&dsm_nodes_lock);
	mutex_lock(&node->mutex);
	/* Adopted, and perhaps orphaned again, since this was queued? */
	if (node->state == DSM_NODE_ORPHAN && time_after_eq(jiffies, node->deadline)) {
		dsm_node_end(node);
		gone = true;
	}
	mutex_unlock(&node->mutex);
	mutex_unlock(&dsm_nodes_lock);
	if (gone)
		dsm_node_put(node);
	dsm_node_put(node); /* the work's own */
}

static struct dsm_node *dsm_node_create(u16 port)
{
	struct dsm_node *node = kzalloc(sizeof(*node), GFP_KERNEL_ACCOUNT);

	if (!node)
		return NULL;
	node->counters = alloc_percpu(struct dsm_counters);
	if (!node->counters) {
		kfree(node);
		return NULL;
	}
	kref_init(&node->ref);
	INIT_LIST_HEAD(&node->link);
	node->port = port;
	mutex_init(&node->mutex);
	node->state = DSM_NODE_ORPHAN;
	xa_init(&node->regions);
	INIT_DELAYED_WORK(&node->expiry, dsm_node_expire);
	spin_lock_init(&node->lock);
	hash_init(node->requests);
	INIT_LIST_HEAD(&node->queue);
	INIT_LIST_HEAD(&node->failed);
	init_waitqueue_head(&node->pollers);
	return node;
}

/* Under dsm_nodes_lock. @port 0: the first. No reference is taken. */
static struct dsm_node *dsm_node_lookup(u16 port)
{
	struct dsm_node *node;

	list_for_each_entry(node, &dsm_nodes, link)
		if (!port || node->port == port)
			return node;
	return NULL;
}

/* NULL or a reference. @port 0: the node that bound first. */
struct dsm_node *dsm_node_find(u16 port)
{
	struct dsm_node *node;

	mutex_lock(&dsm_nodes_lock);
	node = dsm_node_lookup(port);
	if (node)
		dsm_node_get(node);
	mutex_unlock(&dsm_nodes_lock);
	return node;
}

/* Under dsm_nodes_lock. No reference is taken. */
static struct dsm_node *dsm_node_lookup_socket(const struct net *net, u32 portid)
{
	struct dsm_node *node;

	list_for_each_entry(node, &dsm_nodes, link)
		if (node->portid == portid && node->net == net)
			return node;
	return NULL;
}

/* The node that the netlink socket bound: NULL or a reference. */
struct dsm_node *dsm_node_of_socket(const struct net *net, u32 portid)
{
	struct dsm_node *node;

	mutex_lock(&dsm_nodes_lock);
	node = dsm_node_lookup_socket(net, portid);
	if (node)
		dsm_node_get(node);
	mutex_unlock(&dsm_nodes_lock);
	return node;
}

/* A netlink socket closed. */
void dsm_node_forget_socket(const struct net *net, u32 portid)
{
	struct net *held = NULL;
	struct dsm_node *node;

	mutex_lock(&dsm_nodes_lock);
	node = dsm_node_lookup_socket(net, portid);
	if (node) {
		spin_lock(&node->lock);
		held = dsm_node_detach_socket(node);
		spin_unlock(&node->lock);
	}
	mutex_unlock(&dsm_nodes_lock);
	if (held)
		put_net(held);
}

/* Under dsm_nodes_lock and node->mutex. */
static void dsm_node_adopt(struct dsm_node *node, struct dsm_file *df, const struct dsm_bind *bind)
{
	if (cancel_delayed_work(&node->expiry))
		dsm_node_put(node);
	node->recovery_ms = bind->recovery_ms;
	spin_lock(&node->lock);
	WRITE_ONCE(node->state, DSM_NODE_BOUND);
	node->upcall = bind->upcall;
	node->net = get_net(bind->net);
	node->portid = bind->portid;
	node->bell_acked = node->bell;
	node->bell_muted = false;
	spin_unlock(&node->lock);
	/* Pairs with the load in the descriptor's calls. */
	smp_store_release(&df->node, dsm_node_get(node));
	dsm_requests_requeue(node);
}

/* Under dsm_nodes_lock and df->lock. */
static int dsm_node_may_bind(struct dsm_file *df, const struct dsm_bind *bind,
			     struct dsm_node *node, struct netlink_ext_ack *extack)
{
	if (df->node)
		NL_SET_ERR_MSG(extack, "the descriptor is bound already");
	else if (df->mapped)
		NL_SET_ERR_MSG(extack, "the descriptor was mapped: it is a program's");
	else if (dsm_node_lookup_socket(bind->net, bind->portid))
		NL_SET_ERR_MSG(extack, "this socket has bound another node");
	else if (node && node->state == DSM_NODE_BOUND)
		NL_SET_ERR_MSG(extack, "an agent is bound to this port");
	else
		return 0;
	return -EBUSY;
}

int dsm_node_bind(struct dsm_file *df, const struct dsm_bind *bind, bool *adopted,
		  struct netlink_ext_ack *extack)
{
	struct dsm_node *node;
	int err;

	mutex_lock(&df->lock);
	mutex_lock(&dsm_nodes_lock);
	node = dsm_node_lookup(bind->port);
	err = dsm_node_may_bind(df, bind, node, extack);
	if (err)
		goto out;
	*adopted = node;
	if (!node) {
		node = dsm_node_create(bind->port);
		err = -ENOMEM;
		if (!node)
			goto out;
		list_add_tail(&node->link, &dsm_nodes);
		dsm_debugfs_add(node);
		err = 0;
	}
	mutex_lock(&node->mutex);
	dsm_node_adopt(node, df, bind);
	mutex_unlock(&node->mutex);
	dsm_bell_ring(node);
out:
	mutex_unlock(&dsm_nodes_lock);
	mutex_unlock(&df->lock);
	return err;
}

/* The bound descriptor was closed: by an agent that died, or that means to come back. */
void dsm_node_abandon(struct dsm_node *node)
{
	struct net *net = NULL;

	mutex_lock(&dsm_nodes_lock);
	mutex_lock(&node->mutex);
	if (node->state == DSM_NODE_BOUND) {
		spin_lock(&node->lock);
		WRITE_ONCE(node->state, DSM_NODE_ORPHAN);
		net = dsm_node_detach_socket(node);
		spin_unlock(&node->lock);
		node->deadline = jiffies + msecs_to_jiffies(node->recovery_ms);
		dsm_node_get(node);
		if (!queue_delayed_work(dsm_workqueue, &node->expiry,
					msecs_to_jiffies(node->recovery_ms)))
			dsm_node_put(node);
	}
	mutex_unlock(&node->mutex);
	mutex_unlock(&dsm_nodes_lock);
	if (net)
		put_net(net);
}

/* The agent gives the node up. */
void dsm_node_close(struct dsm_node *node)
{
	bool gone = false;

	mutex_lock(&dsm_nodes_lock);
	mutex_lock(&node->mutex);
	if (node->state != DSM_NODE_GONE) {
		dsm_node_end(node);
		gone = true;
	}
	mutex_unlock(&node->mutex);
	mutex_unlock(&dsm_nodes_lock);
	if (gone)
		dsm_node_put(node);
}

/* Unloading: only orphans can be left. */
void dsm_nodes_exit(void)
{
	struct dsm_node *node;

	while ((node = dsm_node_find(0))) {
		if (cancel_delayed_work_sync(&node->expiry))
			dsm_node_put(node);
		dsm_node_close(node);
		dsm_node_put(node);
	}
}
