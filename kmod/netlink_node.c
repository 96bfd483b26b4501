// SPDX-License-Identifier: GPL-2.0-only
/* Netlink: binding, regions, identity, statistics. */
#include <linux/file.h>
#include <net/genetlink.h>

#include "dsm.h"

/* Is the attribute missing? Then the reply says which. */
#define dsm_genl_missing(_info, _attr) \
	dsm_genl_missing_text(_info, _attr, "attribute missing: " #_attr)

static bool dsm_genl_missing_text(struct genl_info *info, int attr, const char *text)
{
	if (!GENL_REQ_ATTR_CHECK(info, attr))
		return false;
	/* A string constant: it outlives the reply. */
	if (info->extack)
		info->extack->_msg = text;
	return true;
}

static u32 dsm_genl_u32(struct genl_info *info, int attr, u32 otherwise)
{
	return info->attrs[attr] ? nla_get_u32(info->attrs[attr]) : otherwise;
}

static struct sk_buff *dsm_genl_reply_new(struct genl_info *info, u8 cmd, void **ret_head)
{
	struct sk_buff *msg = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_KERNEL);

	if (!msg)
		return NULL;
	*ret_head = genlmsg_put_reply(msg, info, &dsm_genl_family, 0, cmd);
	if (*ret_head)
		return msg;
	nlmsg_free(msg);
	return NULL;
}

/* Answers with one attribute. */
static int dsm_genl_reply(struct genl_info *info, u8 cmd, int attr, int len, const void *data)
{
	struct sk_buff *msg;
	void *head;

	msg = dsm_genl_reply_new(info, cmd, &head);
	if (!msg)
		return -ENOMEM;
	if (nla_put(msg, attr, len, data)) {
		nlmsg_free(msg);
		return -EMSGSIZE;
	}
	genlmsg_end(msg, head);
	return genlmsg_reply(msg, info);
}

int dsm_genl_bind(struct sk_buff *skb, struct genl_info *info)
{
	struct dsm_bind bind = {
		.portid = info->snd_portid,
		.net = genl_info_net(info),
	};
	bool adopted = false;
	struct file *file;
	u32 value;
	int err;

	if (dsm_genl_missing(info, DSM_A_PORT) || dsm_genl_missing(info, DSM_A_FD))
		return -EINVAL;
	bind.port = nla_get_u16(info->attrs[DSM_A_PORT]);
	bind.recovery_ms = dsm_genl_u32(info, DSM_A_RECOVERY_MS, DSM_RECOVERY_MS);
	bind.upcall = dsm_genl_u32(info, DSM_A_UPCALL, DSM_UPCALL_READ);
	/* Messages are handled in the sender's context: its descriptor table. */
	file = fget(nla_get_u32(info->attrs[DSM_A_FD]));
	err = -EBADF;
	if (!file || file->f_op != &dsm_fops)
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[DSM_A_FD],
				    "not an open descriptor of /dev/dsm");
	else
		err = dsm_node_bind(file->private_data, &bind, &adopted, info->extack);
	if (file)
		fput(file);
	if (err)
		return err;
	value = adopted;
	return dsm_genl_reply(info, DSM_CMD_BIND, DSM_A_ADOPTED, sizeof(value), &value);
}

int dsm_genl_unbind(struct sk_buff *skb, struct genl_info *info)
{
	struct dsm_node *node = dsm_genl_own_node(info);

	if (IS_ERR(node))
		return PTR_ERR(node);
	dsm_node_close(node);
	dsm_node_put(node);
	return 0;
}

/* The sizes and addresses that the policy cannot check. */
static int dsm_region_check(struct genl_info *info, u64 size, u64 base)
{
	const char *name = nla_data(info->attrs[DSM_A_NAME]);

	if (!name[0])
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[DSM_A_NAME],
				    "the region name is empty");
	else if (!size || !PAGE_ALIGNED(size))
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[DSM_A_SIZE],
				    "the region size is not a multiple of the page size");
	else if (size > DSM_REGION_MAX_SIZE)
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[DSM_A_SIZE],
				    "the region is too large");
	else if (!PAGE_ALIGNED(base))
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[DSM_A_BASE],
				    "the base is not a multiple of the page size");
	else
		return 0;
	return -EINVAL;
}

int dsm_genl_region_new(struct sk_buff *skb, struct genl_info *info)
{
	struct dsm_node *node;
	u64 size, base = 0;
	int err;

	if (dsm_genl_missing(info, DSM_A_REGION) || dsm_genl_missing(info, DSM_A_NAME) ||
	    dsm_genl_missing(info, DSM_A_SIZE))
		return -EINVAL;
	size = nla_get_u64(info->attrs[DSM_A_SIZE]);
	if (info->attrs[DSM_A_BASE])
		base = nla_get_u64(info->attrs[DSM_A_BASE]);
	err = dsm_region_check(info, size, base);
	if (err)
		return err;
	node = dsm_genl_own_node(info);
	if (IS_ERR(node))
		return PTR_ERR(node);
	err = dsm_region_create(node, nla_get_u16(info->attrs[DSM_A_REGION]),
				nla_data(info->attrs[DSM_A_NAME]), size, base, info->extack);
	dsm_node_put(node);
	return err;
}

int dsm_genl_region_del(struct sk_buff *skb, struct genl_info *info)
{
	struct dsm_node *node;
	int err;

	if (dsm_genl_missing(info, DSM_A_REGION))
		return -EINVAL;
	node = dsm_genl_own_node(info);
	if (IS_ERR(node))
		return PTR_ERR(node);
	err = dsm_region_delete(node, nla_get_u16(info->attrs[DSM_A_REGION]));
	if (err)
		NL_SET_ERR_MSG(info->extack, "no such region");
	dsm_node_put(node);
	return err;
}

int dsm_genl_identity_get(struct sk_buff *skb, struct genl_info *info)
{
	struct dsm_node *node = dsm_genl_own_node(info);
	u8 identity[DSM_IDENTITY_LEN];
	u32 len;
	int err;

	if (IS_ERR(node))
		return PTR_ERR(node);
	mutex_lock(&node->mutex);
	len = node->identity_len;
	memcpy(identity, node->identity, len);
	mutex_unlock(&node->mutex);
	dsm_node_put(node);
	err = -ENOENT;
	if (len)
		err = dsm_genl_reply(info, DSM_CMD_IDENTITY_GET, DSM_A_IDENTITY, len, identity);
	else
		NL_SET_ERR_MSG(info->extack, "no identity was set");
	return err;
}

int dsm_genl_identity_set(struct sk_buff *skb, struct genl_info *info)
{
	struct dsm_node *node;

	if (dsm_genl_missing(info, DSM_A_IDENTITY))
		return -EINVAL;
	node = dsm_genl_own_node(info);
	if (IS_ERR(node))
		return PTR_ERR(node);
	mutex_lock(&node->mutex);
	node->identity_len = nla_len(info->attrs[DSM_A_IDENTITY]);
	memcpy(node->identity, nla_data(info->attrs[DSM_A_IDENTITY]), node->identity_len);
	mutex_unlock(&node->mutex);
	dsm_node_put(node);
	return 0;
}

int dsm_genl_stats_get(struct sk_buff *skb, struct genl_info *info)
{
	struct dsm_stats stats;
	struct dsm_node *node;

	node = dsm_genl_node(info->attrs[DSM_A_PORT], genl_info_net(info), info->snd_portid,
			     info->extack);
	if (IS_ERR(node))
		return PTR_ERR(node);
	dsm_stats_sum(node, &stats);
	dsm_node_put(node);
	return dsm_genl_reply(info, DSM_CMD_STATS_GET, DSM_A_STATS, sizeof(stats), &stats);
}
