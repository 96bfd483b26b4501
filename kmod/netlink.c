// SPDX-License-Identifier: GPL-2.0-only
/* The generic netlink family: its commands, attributes and policies. */
#include <linux/module.h>
#include <linux/notifier.h>
#include <net/genetlink.h>

#include "dsm.h"

/* Not const: 6.1 wants it so. */
static struct netlink_range_validation dsm_recovery_range = { .max = DSM_RECOVERY_MAX_MS };

#define DSM_POLICY_PORT		NLA_POLICY_MIN(NLA_U16, 1)
#define DSM_POLICY_NAME		{ .type = NLA_NUL_STRING, .len = DSM_NAME_LEN - 1 }

static const struct nla_policy dsm_bind_policy[] = {
	[DSM_A_PORT] = DSM_POLICY_PORT,
	[DSM_A_FD] = { .type = NLA_U32 },
	[DSM_A_RECOVERY_MS] = NLA_POLICY_FULL_RANGE(NLA_U32, &dsm_recovery_range),
	[DSM_A_UPCALL] = NLA_POLICY_MAX(NLA_U32, DSM_UPCALL_NETLINK),
};

static const struct nla_policy dsm_region_policy[] = {
	[DSM_A_REGION] = { .type = NLA_U16 },
	[DSM_A_NAME] = DSM_POLICY_NAME,
	[DSM_A_SIZE] = { .type = NLA_U64 },
	[DSM_A_BASE] = { .type = NLA_U64 },
};

static const struct nla_policy dsm_region_del_policy[] = {
	[DSM_A_REGION] = { .type = NLA_U16 },
};

static const struct nla_policy dsm_dump_policy[] = {
	[DSM_A_PORT] = DSM_POLICY_PORT,
};

static const struct nla_policy dsm_pages_policy[] = {
	[DSM_A_PORT] = DSM_POLICY_PORT,
	[DSM_A_REGION] = { .type = NLA_U16 },
};

static const struct nla_policy dsm_reqs_policy[] = {
	[DSM_A_PORT] = DSM_POLICY_PORT,
	[DSM_A_MAX] = NLA_POLICY_RANGE(NLA_U32, 1, DSM_REQS_MAX),
};

static const struct nla_policy dsm_answers_policy[] = {
	[DSM_A_MAX] = NLA_POLICY_RANGE(NLA_U32, 1, DSM_REQS_MAX),
	[DSM_A_ANSWERS] = NLA_POLICY_MIN_LEN(sizeof(struct dsm_answer)),
};

static const struct nla_policy dsm_identity_policy[] = {
	[DSM_A_IDENTITY] = NLA_POLICY_RANGE(NLA_BINARY, 1, DSM_IDENTITY_LEN),
};

#define DSM_LAST(_policy) (ARRAY_SIZE(_policy) - 1)
#define DSM_DUMP(_name) \
	.start = dsm_genl_dump_start, .dumpit = dsm_genl_##_name, .done = dsm_genl_dump_done
#define DSM_OP(_cmd, ...) { .cmd = _cmd, .flags = GENL_ADMIN_PERM, __VA_ARGS__ }

/* Small operations have no policies of their own, so these are full ones. */
static const struct genl_ops dsm_genl_ops[] = {
	DSM_OP(DSM_CMD_BIND, .doit = dsm_genl_bind,
	       .policy = dsm_bind_policy, .maxattr = DSM_LAST(dsm_bind_policy)),
	DSM_OP(DSM_CMD_UNBIND, .doit = dsm_genl_unbind),
	DSM_OP(DSM_CMD_REGION_NEW, .doit = dsm_genl_region_new,
	       .policy = dsm_region_policy, .maxattr = DSM_LAST(dsm_region_policy)),
	DSM_OP(DSM_CMD_REGION_DEL, .doit = dsm_genl_region_del,
	       .policy = dsm_region_del_policy, .maxattr = DSM_LAST(dsm_region_del_policy)),
	DSM_OP(DSM_CMD_REGION_GET, DSM_DUMP(regions_dump),
	       .policy = dsm_dump_policy, .maxattr = DSM_LAST(dsm_dump_policy)),
	DSM_OP(DSM_CMD_REQS_GET, .doit = dsm_genl_reqs_get, DSM_DUMP(reqs_dump),
	       .policy = dsm_reqs_policy, .maxattr = DSM_LAST(dsm_reqs_policy)),
	DSM_OP(DSM_CMD_REQS_SET, .doit = dsm_genl_reqs_set,
	       .policy = dsm_answers_policy, .maxattr = DSM_LAST(dsm_answers_policy)),
	DSM_OP(DSM_CMD_PAGES_GET, DSM_DUMP(pages_dump),
	       .policy = dsm_pages_policy, .maxattr = DSM_LAST(dsm_pages_policy)),
	DSM_OP(DSM_CMD_IDENTITY_GET, .doit = dsm_genl_identity_get),
	DSM_OP(DSM_CMD_IDENTITY_SET, .doit = dsm_genl_identity_set,
	       .policy = dsm_identity_policy, .maxattr = DSM_LAST(dsm_identity_policy)),
	DSM_OP(DSM_CMD_STATS_GET, .doit = dsm_genl_stats_get,
	       .policy = dsm_dump_policy, .maxattr = DSM_LAST(dsm_dump_policy)),
};

struct genl_family dsm_genl_family __ro_after_init = {
	.name = DSM_GENL_NAME,
	.version = DSM_GENL_VERSION,
	.maxattr = DSM_A_MAX_ATTR,
	.module = THIS_MODULE,
	.ops = dsm_genl_ops,
	.n_ops = ARRAY_SIZE(dsm_genl_ops),
	.parallel_ops = true,
	.netnsok = true,
};

/* Port numbers of closed sockets are given out again: do not talk to them. */
static int dsm_genl_socket_event(struct notifier_block *nb, unsigned long event, void *data)
{
	struct netlink_notify *notify = data;

	if (event == NETLINK_URELEASE && notify->protocol == NETLINK_GENERIC)
		dsm_node_forget_socket(notify->net, notify->portid);
	return NOTIFY_DONE;
}

static struct notifier_block dsm_genl_notifier = {
	.notifier_call = dsm_genl_socket_event,
};

/* The node of attribute @port, or without one that of the sender; counted, or an error and why. */
struct dsm_node *dsm_genl_node(const struct nlattr *port, const struct net *net, u32 portid,
			       struct netlink_ext_ack *extack)
{
	struct dsm_node *node;

	if (port) {
		node = dsm_node_find(nla_get_u16(port));
		if (node)
			return node;
		NL_SET_ERR_MSG(extack, "no node has this port");
		return ERR_PTR(-ENODEV);
	}
	node = dsm_node_of_socket(net, portid);
	if (node)
		return node;
	NL_SET_ERR_MSG(extack, "this socket has not bound a node");
	return ERR_PTR(-EPERM);
}

struct dsm_node *dsm_genl_own_node(struct genl_info *info)
{
	return dsm_genl_node(NULL, genl_info_net(info), info->snd_portid, info->extack);
}

int dsm_genl_init(void)
{
	int err = netlink_register_notifier(&dsm_genl_notifier);

	if (err)
		return err;
	err = genl_register_family(&dsm_genl_family);
	if (err)
		netlink_unregister_notifier(&dsm_genl_notifier);
	return err;
}

void dsm_genl_exit(void)
{
	genl_unregister_family(&dsm_genl_family);
	netlink_unregister_notifier(&dsm_genl_notifier);
}
