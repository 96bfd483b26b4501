// SPDX-License-Identifier: GPL-2.0-only
/* What a program may ask of its descriptor. */
#include <linux/pagemap.h>
#include <linux/uaccess.h>

#include "dsm.h"

static long dsm_ioc_info(struct dsm_file *df, void __user *arg)
{
	struct dsm_region *region = df->region;
	struct dsm_info info = {
		.api = DSM_API_VERSION,
		.page_size = PAGE_SIZE,
	};

	if (!region)
		return -ENODEV;
	info.size = region->size;
	info.base = region->base;
	info.port = region->node->port;
	info.region = region->number;
	if (READ_ONCE(region->node->state) == DSM_NODE_BOUND)
		info.flags |= DSM_INFO_AGENT;
	if (READ_ONCE(region->dead) || READ_ONCE(region->node->state) == DSM_NODE_GONE)
		info.flags |= DSM_INFO_DEAD;
	memcpy(info.name, region->name, sizeof(info.name));
	return copy_to_user(arg, &info, sizeof(info)) ? -EFAULT : 0;
}

static long dsm_ioc_attach(void __user *arg)
{
	struct dsm_region *region;
	struct dsm_attach attach;
	struct dsm_node *node;

	if (copy_from_user(&attach, arg, sizeof(attach)))
		return -EFAULT;
	if (attach.flags || attach.reserved || !attach.name[0] ||
	    strnlen(attach.name, sizeof(attach.name)) == sizeof(attach.name))
		return -EINVAL;
	node = dsm_node_find(attach.port);
	if (!node)
		return -ENODEV;
	region = dsm_region_named(node, attach.name);
	dsm_node_put(node);
	if (!region)
		return -ENOENT;
	return dsm_file_create(region);
}

static long dsm_ioc_page(struct dsm_file *df, void __user *arg)
{
	struct dsm_region *region = df->region;
	struct dsm_page page;
	struct folio *folio;

	if (!region)
		return -ENODEV;
	if (copy_from_user(&page, arg, sizeof(page)))
		return -EFAULT;
	if (page.state || page.flags)
		return -EINVAL;
	if (page.page >= dsm_region_pages(region))
		return -ERANGE;
	folio = dsm_page_lock(region, page.page);
	if (folio) {
		page.state = dsm_folio_state(folio);
		if (dsm_folio_pinned(folio))
			page.flags |= DSM_PAGE_F_PINNED;
		folio_unlock(folio);
		folio_put(folio);
	}
	page.flags |= dsm_request_flags(region, page.page);
	return copy_to_user(arg, &page, sizeof(page)) ? -EFAULT : 0;
}

static long dsm_ioc_prefetch(struct dsm_file *df, void __user *arg)
{
	struct dsm_region *region = df->region;
	struct dsm_prefetch pre;

	if (!region)
		return -ENODEV;
	if (copy_from_user(&pre, arg, sizeof(pre)))
		return -EFAULT;
	if ((pre.flags & ~DSM_PREFETCH_WRITE) || pre.reserved || !pre.length ||
	    !PAGE_ALIGNED(pre.offset) || !PAGE_ALIGNED(pre.length))
		return -EINVAL;
	if (pre.offset >= region->size || pre.length > region->size - pre.offset)
		return -ERANGE;
	return dsm_request_prefetch(region, pre.offset >> PAGE_SHIFT, pre.length >> PAGE_SHIFT,
				    pre.flags & DSM_PREFETCH_WRITE);
}

long dsm_ioctl_program(struct dsm_file *df, unsigned int cmd, void __user *arg)
{
	switch (cmd) {
	case DSM_IOC_INFO:
		return dsm_ioc_info(df, arg);
	case DSM_IOC_ATTACH:
		return dsm_ioc_attach(arg);
	case DSM_IOC_PAGE:
		return dsm_ioc_page(df, arg);
	case DSM_IOC_PREFETCH:
		return dsm_ioc_prefetch(df, arg);
	default:
		return -ENOTTY;
	}
}
