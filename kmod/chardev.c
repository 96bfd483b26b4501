// SPDX-License-Identifier: GPL-2.0-only
/* /dev/dsm: descriptors of regions for programs, and of nodes for agents. */
#include <linux/anon_inodes.h>
#include <linux/fadvise.h>
#include <linux/file.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "dsm.h"
#include "compat/compat.h"

static struct dsm_file *dsm_file_alloc(struct dsm_region *region)
{
	struct dsm_file *df = kzalloc(sizeof(*df), GFP_KERNEL);

	if (df) {
		df->region = region;
		mutex_init(&df->lock);
	}
	return df;
}

/*
 * The region is chosen here and stays: the core mm reads f_mapping at several
 * points of an mmap and of the mapping's life, without a lock of ours.
 */
static int dsm_open(struct inode *inode, struct file *file)
{
	struct dsm_region *region = dsm_region_default();
	struct dsm_file *df = dsm_file_alloc(region);

	if (!df) {
		if (region)
			dsm_region_put(region);
		return -ENOMEM;
	}
	if (region)
		file->f_mapping = region->inode->i_mapping;
	file->private_data = df;
	return nonseekable_open(inode, file);
}

/* A new descriptor for @region; takes over the caller's reference. */
int dsm_file_create(struct dsm_region *region)
{
	struct dsm_file *df = dsm_file_alloc(region);
	struct file *file;
	int fd;

	if (!df) {
		dsm_region_put(region);
		return -ENOMEM;
	}
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		goto err_df;
	file = anon_inode_getfile("[dsm]", &dsm_fops, df, O_RDWR);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		fd = PTR_ERR(file);
		goto err_df;
	}
	file->f_mapping = region->inode->i_mapping;
	fd_install(fd, file);
	return fd;

err_df:
	dsm_region_put(region);
	kfree(df);
	return fd;
}

static int dsm_release(struct inode *inode, struct file *file)
{
	struct dsm_file *df = file->private_data;

	if (df->node) {
		dsm_node_abandon(df->node);
		dsm_node_put(df->node);
	}
	if (df->region)
		dsm_region_put(df->region);
	kfree(df);
	return 0;
}

static int dsm_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct dsm_file *df = file->private_data;
	int err = 0;

	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	if (!df->region || READ_ONCE(df->region->dead))
		return -ENODEV;
	if (vma->vm_pgoff + vma_pages(vma) < vma->vm_pgoff ||
	    vma->vm_pgoff + vma_pages(vma) > dsm_region_pages(df->region))
		return -ENXIO;
	mutex_lock(&df->lock);
	if (df->node)
		err = -EPERM;
	else
		df->mapped = true;
	mutex_unlock(&df->lock);
	if (err)
		return err;
	vm_flags_set(vma, VM_DONTEXPAND | VM_DONTDUMP);
	vma->vm_ops = &dsm_vm_ops;
	return 0;
}

static int dsm_fadvise(struct file *file, loff_t offset, loff_t len, int advice)
{
	struct dsm_file *df = file->private_data;
	u64 first = offset, end = len ? first + len : U64_MAX;

	if (advice != POSIX_FADV_WILLNEED)
		return 0;
	if (!df->region)
		return -ENODEV;
	if (offset < 0 || len < 0 || first >= df->region->size)
		return -EINVAL;
	end = min(end, df->region->size);
	first >>= PAGE_SHIFT;
	return dsm_request_prefetch(df->region, first, DIV_ROUND_UP_ULL(end, PAGE_SIZE) - first,
				    false);
}

static bool dsm_agent_has_work(struct dsm_node *node)
{
	return READ_ONCE(node->queued) || READ_ONCE(node->state) == DSM_NODE_GONE;
}

/* Agents only: whole struct dsm_req, as many as fit and wait. */
static ssize_t dsm_read(struct file *file, char __user *buf, size_t len, loff_t *pos)
{
	struct dsm_file *df = file->private_data;
	struct dsm_node *node = dsm_file_node(df);
	struct dsm_req reqs[16];
	size_t room = len / sizeof(reqs[0]), got = 0;
	int err;

	if (!node || !room)
		return -EINVAL;
	for (;;) {
		while (got < room) {
			u32 n = dsm_requests_take(node, reqs,
						  min_t(size_t, room - got, ARRAY_SIZE(reqs)));

			if (!n)
				break;
			if (copy_to_user(buf + got * sizeof(reqs[0]), reqs, n * sizeof(reqs[0]))) {
				dsm_requests_untake(node, reqs, n);
				return got ? got * sizeof(reqs[0]) : -EFAULT;
			}
			got += n;
		}
		if (got)
			return got * sizeof(reqs[0]);
		if (READ_ONCE(node->state) == DSM_NODE_GONE)
			return 0;
		if (file->f_flags & O_NONBLOCK)
			return -EAGAIN;
		err = wait_event_interruptible(node->pollers, dsm_agent_has_work(node));
		if (err)
			return err;
	}
}

static __poll_t dsm_poll(struct file *file, poll_table *wait)
{
	struct dsm_file *df = file->private_data;
	struct dsm_node *node = dsm_file_node(df);
	__poll_t mask = 0;

	if (!node)
		return EPOLLERR;
	poll_wait(file, &node->pollers, wait);
	if (READ_ONCE(node->queued))
		mask |= EPOLLIN | EPOLLRDNORM;
	if (READ_ONCE(node->state) == DSM_NODE_GONE)
		mask |= EPOLLHUP;
	return mask;
}

static long dsm_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct dsm_file *df = file->private_data;

	switch (cmd) {
	case DSM_IOC_INSTALL:
	case DSM_IOC_UPGRADE:
	case DSM_IOC_REVOKE:
	case DSM_IOC_READ:
		return dsm_ioctl_agent(df, cmd, (void __user *)arg);
	case DSM_IOC_SEND:
		return dsm_ioctl_send(df, (void __user *)arg);
	default:
		return dsm_ioctl_program(df, cmd, (void __user *)arg);
	}
}

const struct file_operations dsm_fops = {
	.owner = THIS_MODULE,
	.open = dsm_open,
	.release = dsm_release,
	.mmap = dsm_mmap,
	.fadvise = dsm_fadvise,
	.read = dsm_read,
	.poll = dsm_poll,
	.unlocked_ioctl = dsm_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice dsm_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "dsm",
	.fops = &dsm_fops,
	.mode = 0666,
};

int dsm_chardev_init(void)
{
	return misc_register(&dsm_misc);
}

void dsm_chardev_exit(void)
{
	misc_deregister(&dsm_misc);
}
