// SPDX-License-Identifier: GPL-2.0-only
/*
 * Is somebody outside the page tables using a page? Direct I/O and the like
 * hold a reference while a device may read or write the bytes. Newer kernels
 * count such pins apart; 6.1 takes plain references for O_DIRECT, so every
 * reference that we cannot account for counts as a pin.
 */
#include <linux/pagemap.h>
#include <linux/percpu.h>
#include <linux/workqueue.h>

#include "dsm.h"
#include "compat/compat.h"

#define DSM_PIN_SPINS 100

static DEFINE_PER_CPU(struct work_struct, dsm_drain_work);

/*
 * Under the folio lock: no new mapping can come, but fork() may copy one and
 * munmap() may take one away, so read both counts until they agree.
 */
bool dsm_folio_pinned(struct folio *folio)
{
	int mapped, refs, known;

	do {
		mapped = atomic_read(&folio->_mapcount) + 1;
		smp_rmb(); /* ORDER: pairs with the full barriers of rmap's atomics */
		refs = folio_ref_count(folio);
		smp_rmb(); /* ORDER: as above */
	} while (mapped != atomic_read(&folio->_mapcount) + 1);
	/*
	 * The page cache's and the caller's. Off the LRU a folio is either in
	 * a CPU's batch on its way there, or isolated from it: one more.
	 */
	known = 2 + mapped + !folio_test_lru(folio);
#ifdef DSM_MUTANT_KMOD_PIN_IGNORED
	known = refs;
#endif
	return refs > known;
}

/*
 * mlock() and the like leave references in per-CPU batches until those fill.
 * The caller of a revoke comes again soon: see to it that they are gone then.
 */
static void dsm_drain(struct work_struct *work)
{
	struct folio_batch batch;
	struct folio *folio = folio_alloc(GFP_KERNEL, 0);

	if (!folio)
		return;
	/* Releasing any batch drains the others of this CPU first. */
	folio_batch_init(&batch);
	folio_batch_add(&batch, folio);
	folio_batch_release(&batch);
}

/* As dsm_folio_pinned(), for a caller that would refuse: lets short uses pass. */
bool dsm_folio_busy(struct folio *folio)
{
	int i, cpu;

	for (i = 0; i < DSM_PIN_SPINS; i++) {
		if (!dsm_folio_pinned(folio))
			return false;
		cpu_relax();
	}
	for_each_online_cpu(cpu)
		queue_work_on(cpu, dsm_workqueue, per_cpu_ptr(&dsm_drain_work, cpu));
	return true;
}

void dsm_pin_init(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		INIT_WORK(per_cpu_ptr(&dsm_drain_work, cpu), dsm_drain);
}
