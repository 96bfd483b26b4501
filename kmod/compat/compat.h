/* SPDX-License-Identifier: GPL-2.0-only */
/* The differences between kernels 6.1 and 7.2, and nothing else. */
#ifndef _DSM_COMPAT_H
#define _DSM_COMPAT_H

#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/version.h>
#include <linux/workqueue.h>
#include <net/genetlink.h>

#if KERNEL_VERSION(7, 0, 0) > LINUX_VERSION_CODE
#include <linux/pagevec.h>
#else
#include <linux/folio_batch.h>
#endif

#if KERNEL_VERSION(6, 6, 0) > LINUX_VERSION_CODE
/* File faults came with the mmap lock only. */
static inline void release_fault_lock(struct vm_fault *vmf)
{
	mmap_read_unlock(vmf->vma->vm_mm);
}
#endif

#if KERNEL_VERSION(6, 3, 0) > LINUX_VERSION_CODE
static inline void vm_flags_set(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags |= flags;
}
#endif

#if KERNEL_VERSION(6, 17, 0) > LINUX_VERSION_CODE
/* What was always meant has to be said since. */
#define WQ_PERCPU 0
#endif

#if KERNEL_VERSION(6, 8, 0) > LINUX_VERSION_CODE
static inline int generic_error_remove_folio(struct address_space *mapping, struct folio *folio)
{
	return generic_error_remove_page(mapping, &folio->page);
}
#endif

#if KERNEL_VERSION(6, 6, 0) > LINUX_VERSION_CODE
#define dsm_dump_attrs(cb) (genl_dumpit_info(cb)->attrs)
#else
#define dsm_dump_attrs(cb) (genl_info_dump(cb)->attrs)
#endif

#endif /* _DSM_COMPAT_H */
