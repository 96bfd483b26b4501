// SPDX-License-Identifier: GPL-2.0-only
/* Regions: inodes with a page cache, in the tables of their nodes. */
#include <linux/mount.h>
#include <linux/netlink.h>
#include <linux/pagemap.h>
#include <linux/slab.h>

#include "dsm.h"

static const struct address_space_operations dsm_aops = {
	.dirty_folio = noop_dirty_folio,
	.migrate_folio = filemap_migrate_folio,
};

static struct inode *dsm_inode_new(u64 size)
{
	struct inode *inode = new_inode(dsm_mount->mnt_sb);

	if (!inode)
		return NULL;
	/* A regular file: the core removes single pages from nothing else. */
	inode->i_mode = S_IFREG | 0600;
	inode->i_ino = get_next_ino();
	inode->i_mapping->a_ops = &dsm_aops;
	/* Reclaim would lose modified pages: they have no backing here. */
	mapping_set_unevictable(inode->i_mapping);
	i_size_write(inode, size);
	return inode;
}

static void dsm_region_free(struct kref *ref)
{
	struct dsm_region *region = container_of(ref, struct dsm_region, ref);

	iput(region->inode);
	dsm_node_put(region->node);
	kfree(region);
}

void dsm_region_put(struct dsm_region *region)
{
	kref_put(&region->ref, dsm_region_free);
}

static struct dsm_region *dsm_region_alloc(struct dsm_node *node, u16 number, const char *name,
					   u64 size, u64 base)
{
	struct dsm_region *region = kzalloc(sizeof(*region), GFP_KERNEL_ACCOUNT);

	if (!region)
		return NULL;
	region->inode = dsm_inode_new(size);
	if (!region->inode) {
		kfree(region);
		return NULL;
	}
	kref_init(&region->ref);
	region->node = dsm_node_get(node);
	region->number = number;
	region->size = size;
	region->base = base;
	strscpy(region->name, name, sizeof(region->name));
	return region;
}

/* Under node->mutex. No reference is taken. */
static struct dsm_region *dsm_region_by_name(struct dsm_node *node, const char *name)
{
	struct dsm_region *region;
	unsigned long number;

	xa_for_each(&node->regions, number, region)
		if (!strcmp(region->name, name))
			return region;
	return NULL;
}

int dsm_region_create(struct dsm_node *node, u16 number, const char *name, u64 size, u64 base,
		      struct netlink_ext_ack *extack)
{
	struct dsm_region *region, *same;
	int err;

	mutex_lock(&node->mutex);
	err = -EPERM;
	if (node->state != DSM_NODE_BOUND)
		goto out;
	region = xa_load(&node->regions, number);
	same = dsm_region_by_name(node, name);
	err = 0;
	if (region && region == same && region->size == size)
		goto out;
	err = -EEXIST;
	if (region) {
		NL_SET_ERR_MSG(extack, "the region number is taken");
		goto out;
	}
	if (same) {
		NL_SET_ERR_MSG(extack, "the region name is taken");
		goto out;
	}
	err = -ENOMEM;
	region = dsm_region_alloc(node, number, name, size, base);
	if (!region)
		goto out;
	err = xa_err(xa_store(&node->regions, number, region, GFP_KERNEL));
	if (err)
		dsm_region_put(region);
out:
	mutex_unlock(&node->mutex);
	return err;
}

int dsm_region_delete(struct dsm_node *node, u16 number)
{
	struct dsm_region *region;

	mutex_lock(&node->mutex);
	region = xa_erase(&node->regions, number);
	mutex_unlock(&node->mutex);
	if (!region)
		return -ENOENT;
	WRITE_ONCE(region->dead, true);
	dsm_requests_fail(node, region, -EIDRM);
	/* Also takes the pages out of every mapping. */
	truncate_inode_pages(region->inode->i_mapping, 0);
	dsm_region_put(region);
	return 0;
}

/* The node has gone; pages stay for the programs that have them. Under node->mutex. */
void dsm_regions_forget(struct dsm_node *node)
{
	struct dsm_region *region;
	unsigned long number;

	xa_for_each(&node->regions, number, region) {
		xa_erase(&node->regions, number);
		dsm_region_put(region);
	}
}

/* NULL or a reference. */
struct dsm_region *dsm_region_find(struct dsm_node *node, u16 number)
{
	struct dsm_region *region;

	xa_lock(&node->regions);
	region = xa_load(&node->regions, number);
	if (region)
		dsm_region_get(region);
	xa_unlock(&node->regions);
	return region;
}

/* NULL or a reference. */
struct dsm_region *dsm_region_named(struct dsm_node *node, const char *name)
{
	struct dsm_region *region;

	mutex_lock(&node->mutex);
	region = dsm_region_by_name(node, name);
	if (region)
		dsm_region_get(region);
	mutex_unlock(&node->mutex);
	return region;
}

/* Region 0 of the node that bound first. NULL or a reference. */
struct dsm_region *dsm_region_default(void)
{
	struct dsm_region *region = NULL;
	struct dsm_node *node = dsm_node_find(0);

	if (node) {
		region = dsm_region_find(node, 0);
		dsm_node_put(node);
	}
	return region;
}
