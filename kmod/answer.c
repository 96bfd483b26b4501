// SPDX-License-Identifier: GPL-2.0-only
/* The table of requests, and how they end: granted, answered, failed. */
#include <linux/hash.h>
#include <linux/jiffies.h>

#include "dsm.h"

/* Waiters that were not back by then were killed, or unmapped the page. */
#define DSM_VERDICT_LIFE (10 * HZ)

static u64 dsm_request_key(const struct dsm_region *region, pgoff_t page)
{
	return page ^ (u64)region->number << 48;
}

struct dsm_request *dsm_request_find(struct dsm_region *region, pgoff_t page)
{
	struct dsm_request *req;

	hash_for_each_possible(region->node->requests, req, hash, dsm_request_key(region, page))
		if (req->page == page && req->region == region)
			return req;
	return NULL;
}

void dsm_request_insert(struct dsm_request *req)
{
	struct dsm_node *node = req->region->node;

	hash_add(node->requests, &req->hash, dsm_request_key(req->region, req->page));
	refcount_inc(&req->ref);
	node->pending++;
	req->region->pending++;
}

void dsm_request_enqueue(struct dsm_request *req)
{
	struct dsm_node *node = req->region->node;

	if (!list_empty(&req->link))
		return;
	list_add_tail(&req->link, &node->queue);
	WRITE_ONCE(node->queued, node->queued + 1);
}

static void dsm_request_dequeue(struct dsm_request *req)
{
	struct dsm_node *node = req->region->node;

	if (list_empty(&req->link))
		return;
	list_del_init(&req->link);
	WRITE_ONCE(node->queued, node->queued - 1);
}

/* Out of the table: a request that is done, or a verdict that nobody waits for. */
void dsm_request_remove(struct dsm_request *req)
{
	hash_del(&req->hash);
	list_del_init(&req->link);
	dsm_request_put(req);
}

static void dsm_verdicts_prune(struct dsm_node *node)
{
	struct dsm_request *req, *next;

	list_for_each_entry_safe(req, next, &node->failed, link) {
		if (time_before(jiffies, req->expires))
			break;
		dsm_request_remove(req);
	}
}

/* Ends a pending request. Those who come back find the verdict in the table. */
static void dsm_request_finish(struct dsm_request *req, int error)
{
	struct dsm_node *node = req->region->node;

	dsm_request_dequeue(req);
	node->pending--;
	req->region->pending--;
	req->error = error;
	/* Pairs with dsm_request_settled(). */
	smp_store_release(&req->done, true);
	wake_up_all(&req->waiters);
	if (error)
		dsm_count(node, DSM_FAILED);
	if (error && req->returning) {
		dsm_verdicts_prune(node);
		req->expires = jiffies + DSM_VERDICT_LIFE;
		list_add_tail(&req->link, &node->failed);
	} else {
		dsm_request_remove(req);
	}
}

/* The page is here, in @state: wake who waits for that. */
void dsm_request_granted(struct dsm_region *region, pgoff_t page, enum dsm_page_state state)
{
	struct dsm_request *req;

	spin_lock(&region->node->lock);
	req = dsm_request_find(region, page);
	if (!req) {
		/* Nobody waits. */
	} else if (req->done) {
		dsm_request_remove(req);
	} else if (state == DSM_PAGE_MODIFIED || !req->write) {
		dsm_request_finish(req, 0);
	} else {
		/* Enough for some: all look again, the writers come back to wait. */
		WRITE_ONCE(req->seq, req->seq + 1);
#ifndef DSM_MUTANT_KMOD_WAKE_LOST
		wake_up_all(&req->waiters);
#endif
	}
	spin_unlock(&region->node->lock);
}

/* @error: for those who wait now; 0: they look again. */
void dsm_request_answer(struct dsm_region *region, pgoff_t page, int error)
{
	struct dsm_request *req;

	spin_lock(&region->node->lock);
	req = dsm_request_find(region, page);
	if (req && !req->done)
		dsm_request_finish(req, error);
	spin_unlock(&region->node->lock);
}

/*
 * The node has gone, or @region (if not NULL) was deleted: no new request can
 * be made, so there is no need for verdicts either.
 */
void dsm_requests_fail(struct dsm_node *node, struct dsm_region *region, int error)
{
	struct dsm_request *req;
	struct dsm_request *next;
	struct hlist_node *tmp;
	int bucket;

	spin_lock(&node->lock);
	hash_for_each_safe(node->requests, bucket, tmp, req, hash) {
		if (region && req->region != region)
			continue;
		req->returning = 0;
		if (req->done)
			dsm_request_remove(req);
		else
			dsm_request_finish(req, error);
	}
	/* What is left of the queue are prefetches. */
	list_for_each_entry_safe(req, next, &node->queue, link) {
		if (region && req->region != region)
			continue;
		dsm_request_dequeue(req);
		node->prefetches--;
		dsm_request_put(req);
	}
	spin_unlock(&node->lock);
}
