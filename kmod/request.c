// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests as programs see them: made by the first fault on a page, shared by
 * the others, waited for. The table is the truth about what is pending; what
 * the agent was told is only a copy.
 */
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "dsm.h"
#include "trace.h"

/* Pages that one prefetch call may ask for, and prefetches that may queue up. */
#define DSM_PREFETCH_PAGES_MAX (16 * DSM_RUN_PAGES_MAX)
#define DSM_PREFETCHES_MAX 1024

static struct kmem_cache *dsm_request_cache;

static struct dsm_request *dsm_request_alloc(struct dsm_region *region, pgoff_t page, u32 count)
{
	struct dsm_request *req = kmem_cache_alloc(dsm_request_cache, GFP_KERNEL);

	if (!req)
		return NULL;
	INIT_HLIST_NODE(&req->hash);
	INIT_LIST_HEAD(&req->link);
	init_waitqueue_head(&req->waiters);
	req->region = region;
	req->page = page;
	refcount_set(&req->ref, 1);
	req->seq = 0;
	req->count = count;
	req->returning = 0;
	req->write = false;
	req->prefetch = false;
	req->done = false;
	req->error = 0;
	return req;
}

void dsm_request_put(struct dsm_request *req)
{
	if (refcount_dec_and_test(&req->ref))
		kmem_cache_free(dsm_request_cache, req);
}

static void dsm_request_wake_agent(struct dsm_node *node)
{
	wake_up_interruptible_sync_poll(&node->pollers, EPOLLIN | EPOLLRDNORM);
}

/* There is something in the queue. */
static void dsm_request_announce(struct dsm_node *node)
{
	dsm_request_wake_agent(node);
	if (READ_ONCE(node->upcall) == DSM_UPCALL_NETLINK)
		dsm_bell_ring(node);
}

/* A retried fault takes its share of a failure. Under node->lock. */
static void dsm_request_verdict(struct dsm_request *failed)
{
	if (--failed->returning == 0)
		dsm_request_remove(failed);
}

/*
 * Finds the page's request or makes @fresh it. Under node->lock. Sets @news
 * when the agent has to hear of it.
 */
static struct dsm_request *dsm_request_join(struct dsm_request *fresh, unsigned int flags,
					    bool *news)
{
	struct dsm_region *region = fresh->region;
	struct dsm_request *req;

	if (region->node->state == DSM_NODE_GONE || region->dead)
		return ERR_PTR(-EIO);
	req = dsm_request_find(region, fresh->page);
	if (req && req->done) {
		if (flags & DSM_POST_TRIED) {
			dsm_request_verdict(req);
			return ERR_PTR(-EIO);
		}
		/* Another access: it may ask again. */
		dsm_request_remove(req);
		req = NULL;
	}
	if (!req) {
		req = fresh;
		dsm_request_insert(req);
		*news = true;
	}
	if ((flags & DSM_POST_WRITE) && !req->write) {
		req->write = true;
		*news = true;
	}
	if (flags & DSM_POST_RETURNS)
		req->returning++;
	if (*news)
		dsm_request_enqueue(req);
	/* The caller's reference; that of a fresh one is the allocation's. */
	if (req != fresh)
		refcount_inc(&req->ref);
	return req;
}

static void dsm_request_unreturn(struct dsm_request *req)
{
	struct dsm_node *node = req->region->node;

	spin_lock(&node->lock);
	/* After a success nobody reads the count any more. */
	if (--req->returning == 0 && req->done && req->error && !hlist_unhashed(&req->hash))
		dsm_request_remove(req);
	spin_unlock(&node->lock);
}

/**
 * dsm_request_post - ask for a page
 * @region: the caller keeps it alive
 * @page: in @region
 * @flags: DSM_POST_*
 * @ret: for dsm_request_wait()
 *
 * Returns a counted request; NULL when the page came meanwhile, so that the
 * caller looks again; or -EIO the node has gone or (DSM_POST_TRIED only) the
 * agent set an error; -ENOMEM no memory for the request.
 */
struct dsm_request *dsm_request_post(struct dsm_region *region, pgoff_t page, unsigned int flags,
				     struct dsm_ticket *ret)
{
	struct dsm_request *fresh = dsm_request_alloc(region, page, 1);
	enum dsm_page_state need = flags & DSM_POST_WRITE ? DSM_PAGE_MODIFIED : DSM_PAGE_SHARED;
	struct dsm_node *node = region->node;
	struct dsm_request *req;
	bool news = false;

	if (!fresh)
		return ERR_PTR(-ENOMEM);
	spin_lock(&node->lock);
	req = dsm_request_join(fresh, flags, &news);
	if (!IS_ERR(req))
		ret->seq = req->seq;
	spin_unlock(&node->lock);
	if (req != fresh)
		dsm_request_put(fresh);
	if (IS_ERR(req))
		return req;
	/*
	 * ORDER: an install publishes the page, then takes node->lock to look
	 * for a request. Either it saw ours, or we see its page here.
	 */
	if (dsm_page_peek(region, page) >= need) {
		if (flags & DSM_POST_RETURNS)
			dsm_request_unreturn(req);
		if (news)
			dsm_request_granted(region, page, need);
		dsm_request_put(req);
		return NULL;
	}
	if (news) {
		dsm_count(node, DSM_REQUESTS);
		trace_dsm_upcall(region, page, 1, req->write ? DSM_REQ_WRITE : 0);
		if (!(flags & DSM_POST_WAITS))
			dsm_request_announce(node);
	}
	ret->news = news;
	return req;
}

static bool dsm_request_settled(struct dsm_request *req, u32 seq)
{
	/* ORDER: pairs with the release in dsm_request_finish(), for the error. */
	return smp_load_acquire(&req->done) || READ_ONCE(req->seq) != seq;
}

/*
 * A bell may have found no memory for its message, and nobody else may come:
 * those who wait ring again.
 */
static int dsm_request_wait_ringing(struct dsm_request *req, u32 seq)
{
	long left;

	for (;;) {
		left = wait_event_killable_timeout(req->waiters, dsm_request_settled(req, seq),
						   HZ);
		if (left)
			return left < 0 ? left : 0;
		dsm_bell_ring(req->region->node);
	}
}

/* What a task does when it is all but asleep, in dsm_request_wait_telling(). */
static void dsm_request_sleep(struct dsm_request *req, bool *news)
{
	if (*news)
		dsm_request_wake_agent(req->region->node);
	*news = false;
	schedule();
}

/*
 * The agent is woken last. Woken before, it takes the CPU from a task that has
 * nothing left to do but to go to sleep, and has to give it back for that: two
 * changes of address space more in each fault.
 */
static int dsm_request_wait_telling(struct dsm_request *req, const struct dsm_ticket *ticket)
{
	bool news = ticket->news;
	int err;

	err = ___wait_event(req->waiters, dsm_request_settled(req, ticket->seq),
			    TASK_KILLABLE, 0, 0, dsm_request_sleep(req, &news));
	/* Settled for now, but the request may be in the queue yet. */
	if (news)
		dsm_request_wake_agent(req->region->node);
	return err;
}

/**
 * dsm_request_wait - sleep until it is worth looking at the page again
 * @req: from dsm_request_post(), with DSM_POST_WAITS
 * @ticket: what that returned
 * @returns: it was posted with DSM_POST_RETURNS
 *
 * Returns 0; -ERESTARTSYS after SIGKILL; else the error that the agent set.
 */
int dsm_request_wait(struct dsm_request *req, const struct dsm_ticket *ticket, bool returns)
{
	struct dsm_node *node = req->region->node;
	int err;

	if (READ_ONCE(node->upcall) == DSM_UPCALL_NETLINK) {
		if (ticket->news)
			dsm_request_announce(node);
		err = dsm_request_wait_ringing(req, ticket->seq);
	} else {
		err = dsm_request_wait_telling(req, ticket);
	}
	/* Unless it failed, nothing waits for our return. */
	if (returns && (err || !req->done))
		dsm_request_unreturn(req);
	if (err)
		return err;
	return req->done ? req->error : 0;
}

static struct dsm_request *dsm_prefetch_make(struct dsm_region *region, pgoff_t page, u32 count,
					     bool write)
{
	struct dsm_request *req = dsm_request_alloc(region, page, count);

	if (req) {
		req->prefetch = true;
		req->write = write;
	}
	return req;
}

/* A hint, so that too many of them are forgotten and not an error. */
int dsm_request_prefetch(struct dsm_region *region, pgoff_t page, u64 count, bool write)
{
	struct dsm_node *node = region->node;
	struct dsm_request *req;
	u32 part;

	for (count = min_t(u64, count, DSM_PREFETCH_PAGES_MAX); count; count -= part) {
		part = min_t(u64, count, DSM_RUN_PAGES_MAX);
		req = dsm_prefetch_make(region, page, part, write);
		if (!req)
			return -ENOMEM;
		page += part;
		spin_lock(&node->lock);
		if (node->state == DSM_NODE_BOUND && !region->dead &&
		    node->prefetches < DSM_PREFETCHES_MAX) {
			node->prefetches++;
			dsm_request_enqueue(req);
			req = NULL;
		}
		spin_unlock(&node->lock);
		if (req) {
			dsm_request_put(req);
			return 0;
		}
		dsm_count(node, DSM_PREFETCHES);
		trace_dsm_upcall(region, page - part, part,
				 DSM_REQ_PREFETCH | (write ? DSM_REQ_WRITE : 0));
	}
	dsm_request_announce(node);
	return 0;
}

/* DSM_PAGE_F_PENDING and DSM_PAGE_F_PENDING_WRITE of a page. */
u32 dsm_request_flags(struct dsm_region *region, pgoff_t page)
{
	struct dsm_request *req;
	u32 flags = 0;

	spin_lock(&region->node->lock);
	req = dsm_request_find(region, page);
	if (req && !req->done) {
		flags = DSM_PAGE_F_PENDING;
		if (req->write)
			flags |= DSM_PAGE_F_PENDING_WRITE;
	}
	spin_unlock(&region->node->lock);
	return flags;
}

int dsm_request_init(void)
{
	dsm_request_cache = KMEM_CACHE(dsm_request, 0);
	return dsm_request_cache ? 0 : -ENOMEM;
}

void dsm_request_exit(void)
{
	kmem_cache_destroy(dsm_request_cache);
}
