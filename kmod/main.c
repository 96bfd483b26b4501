// SPDX-License-Identifier: GPL-2.0-only
/* Loading and unloading, and the file system that gives regions their inodes. */
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/pseudo_fs.h>

#include "dsm.h"
#include "compat/compat.h"
#include "uapi_layout.h"

#define DSM_FS_MAGIC 0x64736d66

struct vfsmount *dsm_mount;
/* Recovery windows and LRU drains; our own, so that unloading can wait for it. */
struct workqueue_struct *dsm_workqueue;

static int dsm_fs_init_context(struct fs_context *fc)
{
	return init_pseudo(fc, DSM_FS_MAGIC) ? 0 : -ENOMEM;
}

/*
 * No .owner: a mount of our own must not keep us loaded. It is private to the
 * kernel, every user of its inodes holds a file of ours, and dsm_exit() takes
 * it down before this code goes.
 */
static struct file_system_type dsm_fs = {
	.name = "dsm",
	.init_fs_context = dsm_fs_init_context,
	.kill_sb = kill_anon_super,
};

static int __init dsm_init(void)
{
	int err;

	dsm_mount = kern_mount(&dsm_fs);
	if (IS_ERR(dsm_mount))
		return PTR_ERR(dsm_mount);
	err = -ENOMEM;
	dsm_workqueue = alloc_workqueue("dsm", WQ_PERCPU, 0);
	if (!dsm_workqueue)
		goto err_mount;
	dsm_pin_init();
	err = dsm_request_init();
	if (err)
		goto err_workqueue;
	dsm_debugfs_init();
	err = dsm_genl_init();
	if (err)
		goto err_request;
	err = dsm_chardev_init();
	if (err)
		goto err_genl;
	return 0;

err_genl:
	dsm_genl_exit();
err_request:
	dsm_debugfs_exit();
	dsm_request_exit();
err_workqueue:
	destroy_workqueue(dsm_workqueue);
err_mount:
	kern_unmount(dsm_mount);
	return err;
}

/* No file is open, so no agent is bound; orphaned nodes may be left. */
static void __exit dsm_exit(void)
{
	dsm_chardev_exit();
	dsm_genl_exit();
	dsm_nodes_exit();
	destroy_workqueue(dsm_workqueue);
	dsm_debugfs_exit();
	dsm_request_exit();
	kern_unmount(dsm_mount);
}

module_init(dsm_init);
module_exit(dsm_exit);
MODULE_DESCRIPTION("Memory shared between machines");
MODULE_AUTHOR("The DSM authors");
MODULE_LICENSE("GPL");
