// SPDX-License-Identifier: GPL-2.0-only
/* /sys/kernel/debug/dsm/PORT/: stats, latency, regions, pending. */
#include <linux/debugfs.h>
#include <linux/pagemap.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "dsm.h"

static struct dentry *dsm_debugfs_root;

static const char * const dsm_counter_names[] = {
	"faults_read", "faults_write", "faults_waited", "waits_locked", "requests",
	"prefetches", "handed", "bells", "bells_lost", "installs", "upgrades", "drops", "takes",
	"downgrades", "busy", "failed", "sigbus", "killed",
	"resident", "pending", "queued", "regions",
};

static_assert(ARRAY_SIZE(dsm_counter_names) == offsetof(struct dsm_stats, latency) / sizeof(u64));

static int dsm_stats_show(struct seq_file *seq, void *unused)
{
	struct dsm_stats *stats = kzalloc(sizeof(*stats), GFP_KERNEL);
	int i;

	if (!stats)
		return -ENOMEM;
	dsm_stats_sum(seq->private, stats);
	for (i = 0; i < ARRAY_SIZE(dsm_counter_names); i++)
		seq_printf(seq, "%s %llu\n", dsm_counter_names[i], ((u64 *)stats)[i]);
	kfree(stats);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(dsm_stats);

/* Waits of programs: "less than so many microseconds" and how many. */
static int dsm_latency_show(struct seq_file *seq, void *unused)
{
	struct dsm_stats *stats = kzalloc(sizeof(*stats), GFP_KERNEL);
	int i;

	if (!stats)
		return -ENOMEM;
	dsm_stats_sum(seq->private, stats);
	for (i = 0; i < DSM_LATENCY_BUCKETS - 1; i++)
		seq_printf(seq, "<%llu %llu\n", 1ULL << i, stats->latency[i]);
	seq_printf(seq, ">= %llu\n", stats->latency[i]);
	kfree(stats);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(dsm_latency);

static int dsm_regions_show(struct seq_file *seq, void *unused)
{
	struct dsm_node *node = seq->private;
	struct dsm_region *region;
	unsigned long number;

	seq_puts(seq, "number size resident pending name\n");
	xa_lock(&node->regions);
	xa_for_each(&node->regions, number, region)
		seq_printf(seq, "%u %llu %lu %u %s\n", region->number, region->size,
			   READ_ONCE(region->inode->i_mapping->nrpages),
			   READ_ONCE(region->pending), region->name);
	xa_unlock(&node->regions);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(dsm_regions);

static int dsm_pending_show(struct seq_file *seq, void *unused)
{
	struct dsm_node *node = seq->private;
	struct dsm_request *req;
	int bucket;

	seq_puts(seq, "region page access told\n");
	spin_lock(&node->lock);
	hash_for_each(node->requests, bucket, req, hash)
		if (!req->done)
			seq_printf(seq, "%u 0x%lx %s %s\n", req->region->number, req->page,
				   req->write ? "write" : "read",
				   list_empty(&req->link) ? "yes" : "no");
	spin_unlock(&node->lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(dsm_pending);

/* The files hold the node by its folder, which goes before the node does. */
void dsm_debugfs_add(struct dsm_node *node)
{
	char name[8];

	snprintf(name, sizeof(name), "%u", node->port);
	node->debugfs = debugfs_create_dir(name, dsm_debugfs_root);
	debugfs_create_file("stats", 0444, node->debugfs, node, &dsm_stats_fops);
	debugfs_create_file("latency", 0444, node->debugfs, node, &dsm_latency_fops);
	debugfs_create_file("regions", 0444, node->debugfs, node, &dsm_regions_fops);
	debugfs_create_file("pending", 0444, node->debugfs, node, &dsm_pending_fops);
}

void dsm_debugfs_init(void)
{
	dsm_debugfs_root = debugfs_create_dir("dsm", NULL);
}

void dsm_debugfs_exit(void)
{
	debugfs_remove(dsm_debugfs_root);
}
