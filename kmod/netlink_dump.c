// SPDX-License-Identifier: GPL-2.0-only
/* Netlink dumps: regions, pending requests, pages that are here. */
#include <linux/pagemap.h>
#include <net/genetlink.h>
#include <net/sock.h>

#include "dsm.h"
#include "compat/compat.h"

/* Where a dump is; in the callback's context. */
struct dsm_dump {
	struct dsm_node *node;		/* counted */
	struct dsm_region *region;	/* counted; pages only */
	unsigned long next;		/* region number, table bucket or page */
	unsigned int skip;		/* requests of the bucket that were dumped */
};

/* Items in one message; a batch is gathered on the stack. */
#define DSM_DUMP_BATCH 32

static struct dsm_dump *dsm_dump_of(struct netlink_callback *cb)
{
	BUILD_BUG_ON(sizeof(struct dsm_dump) > sizeof(cb->ctx));
	return (struct dsm_dump *)cb->ctx;
}

int dsm_genl_dump_start(struct netlink_callback *cb)
{
	struct nlattr **attrs = dsm_dump_attrs(cb);
	struct dsm_dump *dump = dsm_dump_of(cb);
	struct dsm_node *node;

	memset(dump, 0, sizeof(*dump));
	node = dsm_genl_node(attrs ? attrs[DSM_A_PORT] : NULL, sock_net(cb->skb->sk),
			     NETLINK_CB(cb->skb).portid, cb->extack);
	if (IS_ERR(node))
		return PTR_ERR(node);
	dump->node = node;
	return 0;
}

int dsm_genl_dump_done(struct netlink_callback *cb)
{
	struct dsm_dump *dump = dsm_dump_of(cb);

	if (dump->region)
		dsm_region_put(dump->region);
	if (dump->node)
		dsm_node_put(dump->node);
	return 0;
}

static void *dsm_dump_put(struct sk_buff *skb, struct netlink_callback *cb, u8 cmd)
{
	return genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq, &dsm_genl_family,
			   NLM_F_MULTI, cmd);
}

/* A message with one array attribute. */
static int dsm_dump_array(struct sk_buff *skb, struct netlink_callback *cb, u8 cmd, int attr,
			  const void *items, size_t len)
{
	void *head = dsm_dump_put(skb, cb, cmd);

	if (!head)
		return -EMSGSIZE;
	if (nla_put(skb, attr, len, items)) {
		genlmsg_cancel(skb, head);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, head);
	return 0;
}

/* Puts up to a batch of items at @items and moves the dump behind them; returns how many. */
typedef u32 (*dsm_gather_fn)(struct dsm_dump *dump, void *items);

/* As many batches as the message takes; what did not fit is gathered again for the next. */
static int dsm_dump_batches(struct sk_buff *skb, struct netlink_callback *cb, u8 cmd, int attr,
			    dsm_gather_fn gather, void *items, size_t size)
{
	struct dsm_dump *dump = dsm_dump_of(cb);
	struct dsm_dump before;
	u32 n;

	for (;;) {
		before = *dump;
		n = gather(dump, items);
		if (!n)
			break;
		if (dsm_dump_array(skb, cb, cmd, attr, items, n * size)) {
			*dump = before;
			break;
		}
	}
	return skb->len;
}

static int dsm_region_dump(struct sk_buff *skb, struct netlink_callback *cb,
			   struct dsm_region *region)
{
	void *head = dsm_dump_put(skb, cb, DSM_CMD_REGION_GET);

	if (!head)
		return -EMSGSIZE;
	if (nla_put_u16(skb, DSM_A_REGION, region->number) ||
	    nla_put_string(skb, DSM_A_NAME, region->name) ||
	    nla_put_u64_64bit(skb, DSM_A_SIZE, region->size, DSM_A_PAD) ||
	    nla_put_u64_64bit(skb, DSM_A_BASE, region->base, DSM_A_PAD) ||
	    nla_put_u64_64bit(skb, DSM_A_RESIDENT, READ_ONCE(region->inode->i_mapping->nrpages),
			      DSM_A_PAD) ||
	    nla_put_u32(skb, DSM_A_PENDING, READ_ONCE(region->pending))) {
		genlmsg_cancel(skb, head);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, head);
	return 0;
}

int dsm_genl_regions_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct dsm_dump *dump = dsm_dump_of(cb);
	struct dsm_region *region;
	unsigned long number;

	mutex_lock(&dump->node->mutex);
	xa_for_each_start(&dump->node->regions, number, region, dump->next) {
		if (dsm_region_dump(skb, cb, region))
			break;
		dump->next = number + 1;
	}
	mutex_unlock(&dump->node->mutex);
	return skb->len;
}

/* Pending requests. */
static u32 dsm_reqs_gather(struct dsm_dump *dump, void *items)
{
	struct dsm_node *node = dump->node;
	struct dsm_req *reqs = items;
	struct dsm_request *req;
	unsigned int seen;
	u32 n = 0;

	spin_lock(&node->lock);
	for (; dump->next < HASH_SIZE(node->requests); dump->next++, dump->skip = 0) {
		seen = 0;
		hlist_for_each_entry(req, &node->requests[dump->next], hash) {
			if (req->done || seen++ < dump->skip)
				continue;
			if (n == DSM_DUMP_BATCH)
				goto full;
			dsm_req_fill(&reqs[n++], req);
			dump->skip++;
		}
	}
full:
	spin_unlock(&node->lock);
	return n;
}

int dsm_genl_reqs_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct dsm_req reqs[DSM_DUMP_BATCH];

	return dsm_dump_batches(skb, cb, DSM_CMD_REQS_GET, DSM_A_REQS, dsm_reqs_gather, reqs,
				sizeof(*reqs));
}

/* Appends the page to the runs. False when a new run is needed and there is no room. */
static bool dsm_runs_add(struct dsm_page_run *runs, u32 *n, pgoff_t page,
			 enum dsm_page_state state)
{
	struct dsm_page_run *last = *n ? &runs[*n - 1] : NULL;

	if (last && last->state == state && last->page + last->count == page) {
		last->count++;
		return true;
	}
	if (*n == DSM_DUMP_BATCH)
		return false;
	runs[(*n)++] = (struct dsm_page_run){ .page = page, .count = 1, .state = state };
	return true;
}

/* Runs of pages in the same state. */
static u32 dsm_pages_gather(struct dsm_dump *dump, void *items)
{
	XA_STATE(xas, &dump->region->inode->i_mapping->i_pages, dump->next);
	struct dsm_page_run *runs = items;
	enum dsm_page_state state;
	struct folio *folio;
	u32 n = 0;

	rcu_read_lock();
	xas_for_each(&xas, folio, ULONG_MAX) {
		if (xas_retry(&xas, folio))
			continue;
		if (xa_is_value(folio))
			continue;
		state = dsm_folio_state(folio);
		if (state != DSM_PAGE_INVALID && !dsm_runs_add(runs, &n, xas.xa_index, state))
			break;
		dump->next = xas.xa_index + 1;
		if (need_resched()) {
			xas_pause(&xas);
			rcu_read_unlock();
			cond_resched();
			rcu_read_lock();
		}
	}
	rcu_read_unlock();
	return n;
}

static int dsm_pages_region(struct netlink_callback *cb, struct dsm_dump *dump)
{
	struct nlattr **attrs = dsm_dump_attrs(cb);

	if (!attrs || !attrs[DSM_A_REGION]) {
		NL_SET_ERR_MSG(cb->extack, "attribute missing: DSM_A_REGION");
		return -EINVAL;
	}
	dump->region = dsm_region_find(dump->node, nla_get_u16(attrs[DSM_A_REGION]));
	if (dump->region)
		return 0;
	NL_SET_ERR_MSG(cb->extack, "no such region");
	return -ENOENT;
}

int dsm_genl_pages_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct dsm_dump *dump = dsm_dump_of(cb);
	struct dsm_page_run runs[DSM_DUMP_BATCH];
	int err;

	if (!dump->region) {
		err = dsm_pages_region(cb, dump);
		if (err)
			return err;
	}
	return dsm_dump_batches(skb, cb, DSM_CMD_PAGES_GET, DSM_A_PAGES, dsm_pages_gather, runs,
				sizeof(*runs));
}
