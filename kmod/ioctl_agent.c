// SPDX-License-Identifier: GPL-2.0-only
/* Batches of page runs, from the descriptor that an agent bound. */
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "dsm.h"
#include "trace.h"

typedef int (*dsm_page_op)(struct dsm_region *region, pgoff_t page, void __user *data,
			   u16 mode);

static int dsm_op_install(struct dsm_region *region, pgoff_t page, void __user *data, u16 mode)
{
	return dsm_page_install(region, page, data, mode);
}

static int dsm_op_upgrade(struct dsm_region *region, pgoff_t page, void __user *data, u16 mode)
{
	return dsm_page_upgrade(region, page);
}

static int dsm_op_revoke(struct dsm_region *region, pgoff_t page, void __user *data, u16 mode)
{
	switch (mode) {
	case DSM_REVOKE_DROP:
		return dsm_page_drop(region, page);
	case DSM_REVOKE_DOWNGRADE:
		return dsm_page_downgrade(region, page);
	default:
		return dsm_page_take(region, page, data);
	}
}

static int dsm_op_read(struct dsm_region *region, pgoff_t page, void __user *data, u16 mode)
{
	return dsm_page_read(region, page, data);
}

/* Is @run well formed for @cmd? Sets the function for its pages. */
static int dsm_run_check(unsigned int cmd, const struct dsm_run *run, dsm_page_op *ret_op)
{
	bool ok;

	switch (cmd) {
	case DSM_IOC_INSTALL:
		*ret_op = dsm_op_install;
		ok = run->mode == DSM_PAGE_SHARED || run->mode == DSM_PAGE_MODIFIED;
		break;
	case DSM_IOC_UPGRADE:
		*ret_op = dsm_op_upgrade;
		ok = !run->mode && !run->data;
		break;
	case DSM_IOC_REVOKE:
		*ret_op = dsm_op_revoke;
		ok = run->mode <= DSM_REVOKE_TAKE &&
		     !run->data == (run->mode != DSM_REVOKE_TAKE);
		break;
	default:
		*ret_op = dsm_op_read;
		ok = !run->mode && run->data;
		break;
	}
	return ok && run->count && run->count <= DSM_RUN_PAGES_MAX ? 0 : -EINVAL;
}

static void dsm_run_trace(struct dsm_region *region, unsigned int cmd, const struct dsm_run *run)
{
	if (cmd == DSM_IOC_INSTALL)
		trace_dsm_grant(region, run->page, run->done, run->mode);
	else if (cmd == DSM_IOC_UPGRADE)
		trace_dsm_grant(region, run->page, run->done, DSM_PAGE_MODIFIED);
	else if (cmd == DSM_IOC_REVOKE)
		trace_dsm_revoke(region, run->page, run->done, run->mode, run->result);
}

static int dsm_run_do(struct dsm_node *node, unsigned int cmd, struct dsm_run *run)
{
	struct dsm_region *region;
	void __user *data;
	dsm_page_op op;
	int err;

	run->done = 0;
	err = dsm_run_check(cmd, run, &op);
	if (err)
		return err;
	region = dsm_region_find(node, run->region);
	if (!region)
		return -ENOENT;
	err = -ERANGE;
	if (run->page >= dsm_region_pages(region) ||
	    run->count > dsm_region_pages(region) - run->page)
		goto out;
	for (err = 0; run->done < run->count; run->done++) {
		data = run->data ? u64_to_user_ptr(run->data) + run->done * PAGE_SIZE : NULL;
		err = op(region, run->page + run->done, data, run->mode);
		if (err)
			break;
		if (fatal_signal_pending(current)) {
			err = -EINTR;
			break;
		}
		cond_resched();
	}
out:
	run->result = err;
	dsm_run_trace(region, cmd, run);
	dsm_region_put(region);
	return err;
}

long dsm_ioctl_agent(struct dsm_file *df, unsigned int cmd, void __user *arg)
{
	struct dsm_node *node = dsm_file_node(df);
	struct dsm_run __user *user;
	struct dsm_runs runs;
	struct dsm_run run;
	long failed = 0;
	u32 i;

	if (!node)
		return -EPERM;
	if (copy_from_user(&runs, arg, sizeof(runs)))
		return -EFAULT;
	if (runs.flags || !runs.count || runs.count > DSM_RUNS_MAX)
		return -EINVAL;
	user = u64_to_user_ptr(runs.runs);
	for (i = 0; i < runs.count; i++) {
		if (copy_from_user(&run, &user[i], sizeof(run)))
			return -EFAULT;
		run.result = dsm_run_do(node, cmd, &run);
		failed += run.result != 0;
		if (copy_to_user(&user[i].result, &run.result,
				 sizeof(run.result) + sizeof(run.done)))
			return -EFAULT;
	}
	return failed;
}
