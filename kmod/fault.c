// SPDX-License-Identifier: GPL-2.0-only
/* What happens when a program touches a page that it may not use yet. */
#include <linux/file.h>
#include <linux/ktime.h>
#include <linux/pagemap.h>

#include "dsm.h"
#include "compat/compat.h"
#include "trace.h"

static struct dsm_region *dsm_vma_region(struct vm_area_struct *vma)
{
	struct dsm_file *df = vma->vm_file->private_data;

	return df->region;
}

static vm_fault_t dsm_fault_sigbus(struct dsm_region *region)
{
	dsm_count(region->node, DSM_SIGBUS);
	return VM_FAULT_SIGBUS;
}

/*
 * Asks for the page and sleeps. Returns 0 to look again, with the fault lock
 * still held; or what the fault returns.
 */
static vm_fault_t dsm_fault_wait(struct vm_fault *vmf, struct dsm_region *region, bool write)
{
	bool drop = vmf->flags & FAULT_FLAG_ALLOW_RETRY;
	bool nowait = drop && (vmf->flags & FAULT_FLAG_RETRY_NOWAIT);
	unsigned int flags = 0;
	struct dsm_ticket ticket;
	struct dsm_request *req;
	struct file *file;
	u64 start;
	int err;

	if (write)
		flags |= DSM_POST_WRITE;
	if (vmf->flags & FAULT_FLAG_TRIED)
		flags |= DSM_POST_TRIED;
	if (!nowait)
		flags |= DSM_POST_WAITS;
	if (drop && !nowait)
		flags |= DSM_POST_RETURNS;
	req = dsm_request_post(region, vmf->pgoff, flags, &ticket);
	if (!req)
		return 0;
	if (IS_ERR(req))
		return req == ERR_PTR(-ENOMEM) ? VM_FAULT_OOM : dsm_fault_sigbus(region);
	if (nowait) {
		dsm_request_put(req);
		return VM_FAULT_RETRY;
	}
	dsm_count(region->node, DSM_FAULTS_WAITED);
	start = ktime_get_mono_fast_ns();
	if (drop) {
		/* The mapping, and with it our region, may go while we sleep. */
		file = get_file(vmf->vma->vm_file);
		release_fault_lock(vmf);
	} else {
		dsm_count(region->node, DSM_WAITS_LOCKED);
	}
	err = dsm_request_wait(req, &ticket, drop);
	dsm_request_put(req);
	if (err == -ERESTARTSYS)
		dsm_count(region->node, DSM_KILLED);
	else
		dsm_stats_latency(region->node, ktime_get_mono_fast_ns() - start);
	if (drop) {
		fput(file);
		/* MAJOR makes the retry carry TRIED also after a per-VMA lock. */
		return VM_FAULT_RETRY | VM_FAULT_MAJOR;
	}
	return err ? dsm_fault_sigbus(region) : 0;
}

static vm_fault_t dsm_fault(struct vm_fault *vmf)
{
	struct dsm_region *region = dsm_vma_region(vmf->vma);
	bool write = vmf->flags & FAULT_FLAG_WRITE;
	struct folio *folio;
	vm_fault_t ret;

	/* An access that comes back from its wait is the same one. */
	if (!(vmf->flags & FAULT_FLAG_TRIED))
		dsm_count(region->node, write ? DSM_FAULTS_WRITE : DSM_FAULTS_READ);
	trace_dsm_fault(region, vmf->pgoff, write, vmf->flags);
	for (;;) {
		if (READ_ONCE(region->dead) || vmf->pgoff >= dsm_region_pages(region))
			return dsm_fault_sigbus(region);
		folio = dsm_page_lock_for(region, vmf->pgoff, write);
		if (folio) {
			/* Locked until the page table entry exists: no revoke between. */
			vmf->page = folio_page(folio, 0);
			return VM_FAULT_LOCKED;
		}
		ret = dsm_fault_wait(vmf, region, write);
		if (ret)
			return ret;
	}
}

/*
 * The first store through an entry that allows loads. The core replaces the
 * fault's flags here, so we can neither drop its lock nor have it retry: not
 * a place to wait. Take the page out of the page tables instead; the access
 * comes back as a write fault.
 */
static vm_fault_t dsm_page_mkwrite(struct vm_fault *vmf)
{
	struct dsm_region *region = dsm_vma_region(vmf->vma);
	struct folio *folio = page_folio(vmf->page);
	struct dsm_ticket ticket;
	struct dsm_request *req;

	folio_lock(folio);
	if (folio->mapping != region->inode->i_mapping || !folio_test_uptodate(folio)) {
		folio_unlock(folio);
		return VM_FAULT_NOPAGE;
	}
	if (dsm_folio_state(folio) == DSM_PAGE_MODIFIED) {
		/* Upgraded since it was mapped. Else the store comes again, and is counted then. */
		dsm_count(region->node, DSM_FAULTS_WRITE);
		folio_mark_dirty(folio);
		return VM_FAULT_LOCKED;
	}
	unmap_mapping_pages(folio->mapping, folio->index, 1, false);
	folio_unlock(folio);
	/* Let the upgrade travel while the fault comes back. */
	req = dsm_request_post(region, vmf->pgoff, DSM_POST_WRITE, &ticket);
	if (!IS_ERR_OR_NULL(req))
		dsm_request_put(req);
	return VM_FAULT_NOPAGE;
}

/*
 * Maps what is here around the page, for nothing but where it would be in
 * vain: a page that has to be asked for, and pages before it that a program on its
 * way forward has mapped already. Those two take 3000 of 25000 instructions
 * from a fault that asks the agent (tests/vm/bench-kmod-path).
 */
static vm_fault_t dsm_map_pages(struct vm_fault *vmf, pgoff_t start, pgoff_t end)
{
	struct dsm_region *region = dsm_vma_region(vmf->vma);

	/* Back from a wait: with nothing that came along there is one page to map. */
	if ((vmf->flags & FAULT_FLAG_TRIED) && !dsm_page_peek_unmapped(region, vmf->pgoff + 1))
		return 0;
	if (dsm_page_peek(region, vmf->pgoff) == DSM_PAGE_INVALID)
		return 0;
	if (!dsm_page_peek_unmapped(region, vmf->pgoff - 1))
		start = vmf->pgoff;
	return filemap_map_pages(vmf, start, end);
}

const struct vm_operations_struct dsm_vm_ops = {
	.fault = dsm_fault,
	.map_pages = dsm_map_pages,
	.page_mkwrite = dsm_page_mkwrite,
};
