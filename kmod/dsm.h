/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The module's parts and what they call of each other.
 *
 * A node is what an agent owns on this kernel; it outlives the agent for the
 * recovery window. It has regions; a region has an inode whose page cache
 * holds the pages that are here; a request stands for a page that programs
 * wait for.
 *
 * References: the node list, each region and the bound descriptor hold their
 * node; the node's table and each open file hold their region. Mappings hold
 * files, files hold the module.
 *
 * Locks, in this order:
 *   mmap lock, dsm_file.lock, dsm_nodes_lock, dsm_node.mutex,
 *   folio lock, dsm_node.lock (spin; the last)
 * Nothing copies to or from user memory under any of ours but the folio-less
 * ioctl paths: a fault on user memory may need every one of them.
 */
#ifndef _DSM_H
#define _DSM_H

#include <linux/fs.h>
#include <linux/hashtable.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/net.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <linux/dsm.h>

#include "stats.h"

struct dentry;
struct netlink_ext_ack;

enum dsm_node_state {
	DSM_NODE_BOUND,		/* an agent holds the descriptor */
	DSM_NODE_ORPHAN,	/* the agent died; requests wait for the next one */
	DSM_NODE_GONE,		/* for good: what is not here is SIGBUS */
};

/**
 * struct dsm_node - an agent's place on this kernel
 * @ref: see the top of this file
 * @link: in dsm_nodes, in the order of binding; under dsm_nodes_lock
 * @port: names the node; never changes
 * @mutex: binding, @regions and @identity
 * @state: written under @mutex and @lock, read under either
 * @regions: by number; written under @mutex
 * @recovery_ms: how long requests wait for another agent
 * @deadline: jiffies when an orphan's time is over
 * @expiry: turns an orphan into a gone node
 * @identity: opaque to us, kept for the next agent
 * @identity_len: 0 when there is none
 * @lock: the request table, @queue and the upcall fields
 * @requests: pending and failed requests by region and page
 * @queue: requests and prefetches not handed over yet
 * @failed: failed requests whose waiters have not come back yet
 * @pending: requests in @requests that have no answer
 * @queued: entries of @queue
 * @prefetches: of these, prefetches
 * @pollers: agent threads in read() and poll()
 * @upcall: enum dsm_upcall
 * @net: counted while @portid is set; both written under dsm_nodes_lock and @lock
 * @portid: netlink socket that bound, 0: closed
 * @bell: number of the last DSM_CMD_REQS_NTF
 * @bell_acked: the last one that the agent acknowledged
 * @bell_muted: no more until it acknowledges
 * @counters: per CPU
 * @debugfs: the node's folder
 */
struct dsm_node {
	struct kref ref;
	struct list_head link;
	u16 port;

	struct mutex mutex;	/* binding, regions, identity */
	enum dsm_node_state state;
	struct xarray regions;
	u32 recovery_ms;
	unsigned long deadline;
	struct delayed_work expiry;
	u8 identity[DSM_IDENTITY_LEN];
	u32 identity_len;

	spinlock_t lock;	/* requests, queue, upcall fields */
	DECLARE_HASHTABLE(requests, 8);
	struct list_head queue;
	struct list_head failed;
	u32 pending;
	u32 queued;
	u32 prefetches;
	wait_queue_head_t pollers;
	u32 upcall;
	struct net *net;
	u32 portid;
	u32 bell;
	u32 bell_acked;
	bool bell_muted;

	struct dsm_counters __percpu *counters;
	struct dentry *debugfs;
};

/**
 * struct dsm_region - pages that programs of a node share with other nodes
 * @ref: see the top of this file
 * @node: counted
 * @inode: its page cache is the region's memory on this machine
 * @size: bytes
 * @base: address that programs map it at, 0: they have not agreed on one
 * @number: in @node
 * @dead: deleted; every access is SIGBUS
 * @pending: requests without an answer; under dsm_node.lock
 * @name: ends with 0
 */
struct dsm_region {
	struct kref ref;
	struct dsm_node *node;
	struct inode *inode;
	u64 size;
	u64 base;
	u16 number;
	bool dead;
	u32 pending;
	char name[DSM_NAME_LEN];
};

/**
 * struct dsm_file - one open of /dev/dsm, or of a region by DSM_IOC_ATTACH
 * @region: counted, or NULL; never changes, so faults read it without a lock
 * @lock: @mapped and the change of @node from NULL
 * @mapped: was mapped at least once: cannot become an agent's
 * @node: counted; the node this descriptor is bound to, else NULL
 */
struct dsm_file {
	struct dsm_region *region;
	struct mutex lock;	/* mapped, node */
	bool mapped;
	struct dsm_node *node;
};

/**
 * struct dsm_request - a page that programs wait for, or a prefetch
 * @hash: in dsm_node.requests (not prefetches)
 * @link: in dsm_node.queue or .failed, else empty
 * @waiters: programs in dsm_request_wait()
 * @region: not counted: waiters hold it by their file, and deleting a region
 *	or ending a node empties the table first
 * @page: first page
 * @ref: the table's or queue's one and one for each waiter
 * @seq: grows when waiters should look again
 * @count: pages; 1 but for prefetches
 * @returning: waiters that dropped the fault lock: they learn of a failure when they come back
 * @expires: failed: jiffies after which nobody comes back
 * @write: at least one waiter wants to store
 * @prefetch: nobody waits
 * @done: answered; @error is valid
 * @error: 0 or a negative errno
 */
struct dsm_request {
	struct hlist_node hash;
	struct list_head link;
	wait_queue_head_t waiters;
	struct dsm_region *region;
	pgoff_t page;
	refcount_t ref;
	u32 seq;
	u32 count;
	u32 returning;
	unsigned long expires;
	bool write;
	bool prefetch;
	bool done;
	int error;
};

/* NULL, or the node that the descriptor is bound to. */
static inline struct dsm_node *dsm_file_node(struct dsm_file *df)
{
	/* ORDER: pairs with the release in dsm_node_adopt(). */
	return smp_load_acquire(&df->node);
}

/* main.c */
extern struct vfsmount *dsm_mount;
extern struct workqueue_struct *dsm_workqueue;

/* chardev.c */
extern const struct file_operations dsm_fops;
int dsm_file_create(struct dsm_region *region);
int dsm_chardev_init(void);
void dsm_chardev_exit(void);

/* node.c */
extern struct list_head dsm_nodes;
extern struct mutex dsm_nodes_lock;
struct dsm_bind {
	u16 port;
	u32 recovery_ms;
	u32 upcall;
	u32 portid;
	struct net *net;
};

int dsm_node_bind(struct dsm_file *df, const struct dsm_bind *bind, bool *adopted,
		  struct netlink_ext_ack *extack);
void dsm_node_abandon(struct dsm_node *node);
void dsm_node_close(struct dsm_node *node);
struct dsm_node *dsm_node_find(u16 port);
struct dsm_node *dsm_node_of_socket(const struct net *net, u32 portid);
void dsm_node_forget_socket(const struct net *net, u32 portid);
void dsm_node_put(struct dsm_node *node);
void dsm_nodes_exit(void);

static inline struct dsm_node *dsm_node_get(struct dsm_node *node)
{
	kref_get(&node->ref);
	return node;
}

/* region.c */
int dsm_region_create(struct dsm_node *node, u16 number, const char *name, u64 size, u64 base,
		      struct netlink_ext_ack *extack);
int dsm_region_delete(struct dsm_node *node, u16 number);
void dsm_regions_forget(struct dsm_node *node);
struct dsm_region *dsm_region_find(struct dsm_node *node, u16 number);
struct dsm_region *dsm_region_named(struct dsm_node *node, const char *name);
struct dsm_region *dsm_region_default(void);
void dsm_region_put(struct dsm_region *region);

static inline struct dsm_region *dsm_region_get(struct dsm_region *region)
{
	kref_get(&region->ref);
	return region;
}

static inline pgoff_t dsm_region_pages(const struct dsm_region *region)
{
	return region->size >> PAGE_SHIFT;
}

/* page.c */
struct folio *dsm_page_lock(struct dsm_region *region, pgoff_t page);
struct folio *dsm_page_lock_for(struct dsm_region *region, pgoff_t page, bool write);
enum dsm_page_state dsm_folio_state(struct folio *folio);
enum dsm_page_state dsm_page_peek(struct dsm_region *region, pgoff_t page);
bool dsm_page_peek_unmapped(struct dsm_region *region, pgoff_t page);
int dsm_page_install(struct dsm_region *region, pgoff_t page, const void __user *data,
		     enum dsm_page_state state);
int dsm_page_upgrade(struct dsm_region *region, pgoff_t page);
int dsm_page_drop(struct dsm_region *region, pgoff_t page);
int dsm_page_take(struct dsm_region *region, pgoff_t page, void __user *data);
int dsm_page_downgrade(struct dsm_region *region, pgoff_t page);
int dsm_page_read(struct dsm_region *region, pgoff_t page, void __user *data);

/* pin.c */
bool dsm_folio_pinned(struct folio *folio);
bool dsm_folio_busy(struct folio *folio);
void dsm_pin_init(void);

/* fault.c */
extern const struct vm_operations_struct dsm_vm_ops;

/* request.c */
enum dsm_post_flags {
	DSM_POST_WRITE = 1,	/* the access is a store */
	DSM_POST_TRIED = 2,	/* the fault is a retry: it may come for a verdict */
	DSM_POST_WAITS = 4,	/* dsm_request_wait() comes next, and tells the agent */
	DSM_POST_RETURNS = 8,	/* and after that the fault, for the verdict */
};

/**
 * struct dsm_ticket - what a task that posted a request takes along to wait for it
 * @seq: the request's when it was posted
 * @news: the agent has to be told
 */
struct dsm_ticket {
	u32 seq;
	bool news;
};

struct dsm_request *dsm_request_post(struct dsm_region *region, pgoff_t page, unsigned int flags,
				     struct dsm_ticket *ret);
int dsm_request_wait(struct dsm_request *req, const struct dsm_ticket *ticket, bool returns);
void dsm_request_put(struct dsm_request *req);
int dsm_request_prefetch(struct dsm_region *region, pgoff_t page, u64 count, bool write);
u32 dsm_request_flags(struct dsm_region *region, pgoff_t page);
int dsm_request_init(void);
void dsm_request_exit(void);

/* answer.c; the first four under dsm_node.lock */
struct dsm_request *dsm_request_find(struct dsm_region *region, pgoff_t page);
void dsm_request_insert(struct dsm_request *req);
void dsm_request_enqueue(struct dsm_request *req);
void dsm_request_remove(struct dsm_request *req);
void dsm_request_granted(struct dsm_region *region, pgoff_t page, enum dsm_page_state state);
void dsm_request_answer(struct dsm_region *region, pgoff_t page, int error);
void dsm_requests_fail(struct dsm_node *node, struct dsm_region *region, int error);

/* queue.c */
u32 dsm_requests_take(struct dsm_node *node, struct dsm_req *reqs, u32 max);
void dsm_requests_untake(struct dsm_node *node, const struct dsm_req *reqs, u32 n);
void dsm_requests_requeue(struct dsm_node *node);
void dsm_req_fill(struct dsm_req *req, const struct dsm_request *from);

/* ioctl_program.c, ioctl_agent.c */
long dsm_ioctl_program(struct dsm_file *df, unsigned int cmd, void __user *arg);
long dsm_ioctl_agent(struct dsm_file *df, unsigned int cmd, void __user *arg);

/* send.c */
long dsm_ioctl_send(struct dsm_file *df, void __user *arg);

/* netlink*.c */
struct genl_info;
struct netlink_callback;
struct nlattr;
struct sk_buff;
extern struct genl_family dsm_genl_family;
struct dsm_node *dsm_genl_node(const struct nlattr *port, const struct net *net, u32 portid,
			       struct netlink_ext_ack *extack);
struct dsm_node *dsm_genl_own_node(struct genl_info *info);
int dsm_genl_bind(struct sk_buff *skb, struct genl_info *info);
int dsm_genl_unbind(struct sk_buff *skb, struct genl_info *info);
int dsm_genl_region_new(struct sk_buff *skb, struct genl_info *info);
int dsm_genl_region_del(struct sk_buff *skb, struct genl_info *info);
int dsm_genl_identity_get(struct sk_buff *skb, struct genl_info *info);
int dsm_genl_identity_set(struct sk_buff *skb, struct genl_info *info);
int dsm_genl_stats_get(struct sk_buff *skb, struct genl_info *info);
int dsm_genl_reqs_get(struct sk_buff *skb, struct genl_info *info);
int dsm_genl_reqs_set(struct sk_buff *skb, struct genl_info *info);
int dsm_genl_dump_start(struct netlink_callback *cb);
int dsm_genl_dump_done(struct netlink_callback *cb);
int dsm_genl_regions_dump(struct sk_buff *skb, struct netlink_callback *cb);
int dsm_genl_reqs_dump(struct sk_buff *skb, struct netlink_callback *cb);
int dsm_genl_pages_dump(struct sk_buff *skb, struct netlink_callback *cb);
void dsm_bell_ring(struct dsm_node *node);
int dsm_genl_init(void);
void dsm_genl_exit(void);

/* debugfs.c */
void dsm_debugfs_init(void);
void dsm_debugfs_exit(void);
void dsm_debugfs_add(struct dsm_node *node);

#endif /* _DSM_H */
