// SPDX-License-Identifier: GPL-2.0-only
/* Handing requests over to the agent: each once, and again to the next agent. */
#include "dsm.h"

void dsm_req_fill(struct dsm_req *req, const struct dsm_request *from)
{
	*req = (struct dsm_req){
		.page = from->page,
		.count = from->count,
		.region = from->region->number,
		.flags = (from->write ? DSM_REQ_WRITE : 0) |
			 (from->prefetch ? DSM_REQ_PREFETCH : 0),
	};
}

/* Up to @max from the queue, oldest first. */
u32 dsm_requests_take(struct dsm_node *node, struct dsm_req *reqs, u32 max)
{
	struct dsm_request *req;
	u32 n = 0;

	spin_lock(&node->lock);
#ifdef DSM_MUTANT_KMOD_SLEEPS_UNDER_LOCK
	might_sleep();
#endif
	while (n < max && !list_empty(&node->queue)) {
		req = list_first_entry(&node->queue, struct dsm_request, link);
		list_del_init(&req->link);
		dsm_req_fill(&reqs[n++], req);
		if (req->prefetch) {
			node->prefetches--;
			dsm_request_put(req);
		}
	}
	WRITE_ONCE(node->queued, node->queued - n);
	spin_unlock(&node->lock);
	dsm_count_add(node, DSM_HANDED, n);
	return n;
}

/* They did not reach the agent. (Prefetches are let go: nobody waits for them.) */
void dsm_requests_untake(struct dsm_node *node, const struct dsm_req *reqs, u32 n)
{
	struct dsm_region *region;
	struct dsm_request *req;
	u32 i;

	for (i = 0; i < n; i++) {
		region = dsm_region_find(node, reqs[i].region);
		if (!region)
			continue;
		spin_lock(&node->lock);
		req = dsm_request_find(region, reqs[i].page);
		if (req && !req->done)
			dsm_request_enqueue(req);
		spin_unlock(&node->lock);
		dsm_region_put(region);
	}
}

/* A new agent: it has to hear of all that is pending. */
void dsm_requests_requeue(struct dsm_node *node)
{
	struct dsm_request *req;
	int bucket;

	spin_lock(&node->lock);
#ifndef DSM_MUTANT_KMOD_HANDED_FORGOTTEN
	hash_for_each(node->requests, bucket, req, hash)
		if (!req->done)
			dsm_request_enqueue(req);
#endif
	spin_unlock(&node->lock);
	wake_up_interruptible(&node->pollers);
}
