/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _DSM_STATS_H
#define _DSM_STATS_H

#include <linux/percpu.h>
#include <linux/dsm.h>

struct dsm_node;

/* Counters in the order of struct dsm_stats, which says what they count. */
enum dsm_counter {
	DSM_FAULTS_READ,
	DSM_FAULTS_WRITE,
	DSM_FAULTS_WAITED,
	DSM_WAITS_LOCKED,
	DSM_REQUESTS,
	DSM_PREFETCHES,
	DSM_HANDED,
	DSM_BELLS,
	DSM_BELLS_LOST,
	DSM_INSTALLS,
	DSM_UPGRADES,
	DSM_DROPS,
	DSM_TAKES,
	DSM_DOWNGRADES,
	DSM_BUSY,
	DSM_FAILED,
	DSM_SIGBUS,
	DSM_KILLED,
	DSM_NR_COUNTERS,
};

struct dsm_counters {
	u64 n[DSM_NR_COUNTERS];
	u64 latency[DSM_LATENCY_BUCKETS];
};

#define dsm_count(node, counter) this_cpu_inc((node)->counters->n[counter])
#define dsm_count_add(node, counter, by) this_cpu_add((node)->counters->n[counter], by)

void dsm_stats_latency(struct dsm_node *node, u64 ns);
void dsm_stats_sum(struct dsm_node *node, struct dsm_stats *ret);

#endif /* _DSM_STATS_H */
