// SPDX-License-Identifier: GPL-2.0-only
/* Counters of a node: written per CPU, summed when somebody asks. */
#include <linux/log2.h>
#include <linux/pagemap.h>

#include "dsm.h"

static_assert(offsetof(struct dsm_stats, killed) == DSM_KILLED * sizeof(u64));
static_assert(offsetof(struct dsm_stats, resident) == DSM_NR_COUNTERS * sizeof(u64));

/* A program waited this long. */
void dsm_stats_latency(struct dsm_node *node, u64 ns)
{
	u64 us = ns / NSEC_PER_USEC;
	unsigned int bucket = us ? ilog2(us) + 1 : 0;

	bucket = min_t(unsigned int, bucket, DSM_LATENCY_BUCKETS - 1);
	this_cpu_inc(node->counters->latency[bucket]);
}

void dsm_stats_sum(struct dsm_node *node, struct dsm_stats *ret)
{
	struct dsm_region *region;
	unsigned long number;
	u64 *sums = (u64 *)ret;
	int cpu, i;

	memset(ret, 0, sizeof(*ret));
	for_each_possible_cpu(cpu) {
		const struct dsm_counters *c = per_cpu_ptr(node->counters, cpu);

		for (i = 0; i < DSM_NR_COUNTERS; i++)
			sums[i] += c->n[i];
		for (i = 0; i < DSM_LATENCY_BUCKETS; i++)
			ret->latency[i] += c->latency[i];
	}
	xa_lock(&node->regions);
	xa_for_each(&node->regions, number, region) {
		ret->regions++;
		ret->resident += READ_ONCE(region->inode->i_mapping->nrpages);
	}
	xa_unlock(&node->regions);
	spin_lock(&node->lock);
	ret->pending = node->pending;
	ret->queued = node->queued;
	spin_unlock(&node->lock);
}
