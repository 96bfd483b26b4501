// SPDX-License-Identifier: GPL-2.0-only
/* Netlink: requests to the agent, and its answers. */
#include <linux/slab.h>
#include <net/genetlink.h>

#include "dsm.h"

/*
 * A bell carries the first requests itself. It is only a bell: what did not
 * reach the agent goes back to the queue. So that an agent that is busy does
 * not find its socket full of them, a few at most ring unacknowledged.
 */
#define DSM_BELL_REQS 16
#define DSM_BELLS_UNACKED 32

/* The requests, how many are left, and the bell's number. */
static int dsm_bell_fill(struct sk_buff *msg, struct dsm_node *node, const struct dsm_req *reqs,
			 u32 n, u32 bell, bool last)
{
	u32 queued = READ_ONCE(node->queued);
	void *head = genlmsg_put(msg, 0, 0, &dsm_genl_family, 0, DSM_CMD_REQS_NTF);

	if (!head || nla_put(msg, DSM_A_REQS, n * sizeof(*reqs), reqs) ||
	    nla_put_u32(msg, DSM_A_QUEUED, queued) || nla_put_u32(msg, DSM_A_BELL, bell) ||
	    (last && nla_put_flag(msg, DSM_A_BELL_LAST)))
		return -EMSGSIZE;
	genlmsg_end(msg, head);
	return 0;
}

/* May a bell ring? Takes its number, and the socket to ring at. */
static bool dsm_bell_start(struct dsm_node *node, u32 *bell, bool *last, struct net **net,
			   u32 *portid)
{
	bool ring;

	spin_lock(&node->lock);
	ring = node->upcall == DSM_UPCALL_NETLINK && node->portid && node->queued &&
	       !node->bell_muted;
	if (ring) {
		*bell = ++node->bell;
		*last = node->bell - node->bell_acked >= DSM_BELLS_UNACKED ||
			node->queued > DSM_BELL_REQS;
		node->bell_muted = *last;
		*portid = node->portid;
		*net = get_net(node->net);
	}
	spin_unlock(&node->lock);
	return ring;
}

static void dsm_bell_lost(struct dsm_node *node)
{
	spin_lock(&node->lock);
	/* The agent learns from ENOBUFS that it has to ask, which acknowledges. */
	node->bell_muted = true;
	spin_unlock(&node->lock);
	dsm_count(node, DSM_BELLS_LOST);
}

/* Tells the agent of what is queued, if it wants to be told this way. */
void dsm_bell_ring(struct dsm_node *node)
{
	struct dsm_req reqs[DSM_BELL_REQS];
	struct sk_buff *msg;
	struct net *net;
	u32 bell, portid, n;
	bool last;

	if (!READ_ONCE(node->queued) || READ_ONCE(node->bell_muted))
		return;
	msg = genlmsg_new(nla_total_size(sizeof(reqs)) + 3 * nla_total_size(sizeof(u32)),
			  GFP_KERNEL);
	if (!msg)
		return;
	if (!dsm_bell_start(node, &bell, &last, &net, &portid)) {
		nlmsg_free(msg);
		return;
	}
	n = dsm_requests_take(node, reqs, DSM_BELL_REQS);
	dsm_count(node, DSM_BELLS);
	if (dsm_bell_fill(msg, node, reqs, n, bell, last)) {
		nlmsg_free(msg);
		dsm_requests_untake(node, reqs, n);
	} else if (genlmsg_unicast(net, msg, portid)) {
		dsm_requests_untake(node, reqs, n);
		dsm_bell_lost(node);
	}
	put_net(net);
}

static void dsm_bell_ack(struct dsm_node *node)
{
	spin_lock(&node->lock);
	node->bell_acked = node->bell;
	node->bell_muted = false;
	spin_unlock(&node->lock);
}

/* Replies with up to @max requests. */
static int dsm_reqs_reply(struct dsm_node *node, struct genl_info *info, u8 cmd, u32 max)
{
	struct dsm_req *reqs = kmalloc_array(max, sizeof(*reqs), GFP_KERNEL);
	struct sk_buff *msg;
	void *head;
	u32 n = 0;
	int err = -ENOMEM;

	msg = genlmsg_new(nla_total_size(max * sizeof(*reqs)) + nla_total_size(sizeof(u32)),
			  GFP_KERNEL);
	if (!reqs || !msg)
		goto err;
	head = genlmsg_put_reply(msg, info, &dsm_genl_family, 0, cmd);
	err = -EMSGSIZE;
	if (!head)
		goto err;
	/* First, so that a request that comes after the batch rings again. */
	dsm_bell_ack(node);
	n = dsm_requests_take(node, reqs, max);
	if (nla_put(msg, DSM_A_REQS, n * sizeof(*reqs), reqs) ||
	    nla_put_u32(msg, DSM_A_QUEUED, READ_ONCE(node->queued)))
		goto err;
	genlmsg_end(msg, head);
	err = genlmsg_reply(msg, info);
	if (err)
		dsm_requests_untake(node, reqs, n);
	kfree(reqs);
	return err;
err:
	nlmsg_free(msg);
	dsm_requests_untake(node, reqs, n);
	kfree(reqs);
	return err;
}

int dsm_genl_reqs_get(struct sk_buff *skb, struct genl_info *info)
{
	struct dsm_node *node = dsm_genl_own_node(info);
	struct nlattr *max = info->attrs[DSM_A_MAX];
	int err;

	if (IS_ERR(node))
		return PTR_ERR(node);
	err = dsm_reqs_reply(node, info, DSM_CMD_REQS_GET, max ? nla_get_u32(max) : DSM_REQS_MAX);
	dsm_node_put(node);
	return err;
}

static int dsm_answer_apply(struct dsm_node *node, const struct dsm_answer *answer)
{
	struct dsm_region *region = dsm_region_find(node, answer->region);
	u32 i;

	if (!region)
		return -ENOENT;
	for (i = 0; i < answer->count; i++) {
		dsm_request_answer(region, answer->page + i, answer->error);
		cond_resched();
	}
	dsm_region_put(region);
	return 0;
}

static int dsm_answer_check(const struct dsm_answer *answer)
{
	return answer->reserved || answer->reserved2 || !answer->count ||
	       answer->count > DSM_RUN_PAGES_MAX || answer->error > 0 ||
	       answer->error < -MAX_ERRNO ? -EINVAL : 0;
}

static int dsm_answers_apply(struct dsm_node *node, struct genl_info *info)
{
	const struct nlattr *attr = info->attrs[DSM_A_ANSWERS];
	struct dsm_answer answer;
	int err, i;

	if (nla_len(attr) % sizeof(answer)) {
		NL_SET_ERR_MSG_ATTR(info->extack, attr, "not whole answers");
		return -EINVAL;
	}
	for (i = 0; i < nla_len(attr); i += sizeof(answer)) {
		memcpy(&answer, nla_data(attr) + i, sizeof(answer));
		err = dsm_answer_check(&answer);
		if (err) {
			NL_SET_ERR_MSG_ATTR(info->extack, attr,
					    "an answer has a wrong count, error or reserved field");
			return err;
		}
		err = dsm_answer_apply(node, &answer);
		if (err) {
			NL_SET_ERR_MSG_ATTR(info->extack, attr, "an answer names no region");
			return err;
		}
	}
	return 0;
}

int dsm_genl_reqs_set(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *max = info->attrs[DSM_A_MAX];
	struct dsm_node *node;
	int err;

	if (GENL_REQ_ATTR_CHECK(info, DSM_A_ANSWERS)) {
		NL_SET_ERR_MSG(info->extack, "attribute missing: DSM_A_ANSWERS");
		return -EINVAL;
	}
	node = dsm_genl_own_node(info);
	if (IS_ERR(node))
		return PTR_ERR(node);
	err = dsm_answers_apply(node, info);
	if (!err && max)
		err = dsm_reqs_reply(node, info, DSM_CMD_REQS_SET, nla_get_u32(max));
	else if (!err)
		dsm_bell_ack(node);
	dsm_bell_ring(node);
	dsm_node_put(node);
	return err;
}
