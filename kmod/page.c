// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages of a region. A folio in the region's page cache is valid when it is
 * uptodate; it is modified when it is also "checked", a flag that the core
 * leaves to file systems and carries along when it migrates a folio. So a
 * page's state costs no memory. Both flags change under the folio lock only,
 * and a page table entry is only made under it: what a fault sees stays true
 * until the entry exists.
 */
#include <linux/highmem.h>
#include <linux/pagemap.h>
#include <linux/rmap.h>
#include <linux/uaccess.h>

#include "dsm.h"
#include "compat/compat.h"
#include "trace.h"

enum dsm_page_state dsm_folio_state(struct folio *folio)
{
	if (!folio_test_uptodate(folio))
		return DSM_PAGE_INVALID;
	return folio_test_checked(folio) ? DSM_PAGE_MODIFIED : DSM_PAGE_SHARED;
}

/* Under the folio lock. */
static void dsm_folio_set_state(struct folio *folio, enum dsm_page_state state)
{
	if (state == DSM_PAGE_MODIFIED)
		folio_set_checked(folio);
	else
		folio_clear_checked(folio);
	folio_mark_uptodate(folio);
	/* Dropping caches throws clean folios away, and ours have no other copy here. */
	folio_mark_dirty(folio);
}

/* The page, locked and referenced; NULL if it is not here. */
struct folio *dsm_page_lock(struct dsm_region *region, pgoff_t page)
{
	struct folio *folio = filemap_lock_folio(region->inode->i_mapping, page);

	if (IS_ERR_OR_NULL(folio))
		return NULL;
	if (folio_test_uptodate(folio))
		return folio;
	folio_unlock(folio);
	folio_put(folio);
	return NULL;
}

static void dsm_page_unlock(struct folio *folio)
{
	folio_unlock(folio);
	folio_put(folio);
}

/* As dsm_page_lock(), but NULL also when the state does not allow the access. */
struct folio *dsm_page_lock_for(struct dsm_region *region, pgoff_t page, bool write)
{
	struct folio *folio = dsm_page_lock(region, page);

	if (folio && write && dsm_folio_state(folio) != DSM_PAGE_MODIFIED) {
		dsm_page_unlock(folio);
		return NULL;
	}
	return folio;
}

/* The state without a lock: a hint that may be old when it is returned. */
enum dsm_page_state dsm_page_peek(struct dsm_region *region, pgoff_t page)
{
	enum dsm_page_state state = DSM_PAGE_INVALID;
	struct folio *folio;

	rcu_read_lock();
	folio = xa_load(&region->inode->i_mapping->i_pages, page);
	if (folio && !xa_is_value(folio))
		state = dsm_folio_state(folio);
	rcu_read_unlock();
	return state;
}

/* Is the page here, and in no page table? A hint, as above. */
bool dsm_page_peek_unmapped(struct dsm_region *region, pgoff_t page)
{
	struct folio *folio;
	bool unmapped;

	rcu_read_lock();
	folio = xa_load(&region->inode->i_mapping->i_pages, page);
	unmapped = folio && !xa_is_value(folio) && atomic_read(&folio->_mapcount) < 0;
	rcu_read_unlock();
	return unmapped;
}

/* Takes the page out of all page tables. Under the folio lock, so it stays out. */
static void dsm_folio_unmap(struct folio *folio)
{
	if (folio_mapped(folio))
		unmap_mapping_pages(folio->mapping, folio->index, 1, false);
}

/*
 * The page is here already: give it the bytes of @fresh. Returns -ENOENT when
 * it went away meanwhile.
 */
static int dsm_page_replace(struct dsm_region *region, pgoff_t page, struct folio *fresh,
			    enum dsm_page_state state)
{
	struct folio *folio = dsm_page_lock(region, page);
	int err = 0;

	if (!folio)
		return -ENOENT;
	dsm_folio_unmap(folio);
	if (dsm_folio_busy(folio)) {
		err = -EBUSY;
	} else {
		copy_highpage(folio_page(folio, 0), folio_page(fresh, 0));
		dsm_folio_set_state(folio, state);
	}
	dsm_page_unlock(folio);
	return err;
}

/* A folio with the caller's bytes, in nobody's sight. No lock is held. */
static struct folio *dsm_folio_fill(struct dsm_region *region, const void __user *data)
{
	gfp_t gfp = mapping_gfp_mask(region->inode->i_mapping) | (data ? 0 : __GFP_ZERO);
	struct folio *folio = folio_alloc(gfp, 0);
	unsigned long left;
	void *to;

	if (!folio)
		return ERR_PTR(-ENOMEM);
	if (!data)
		return folio;
	to = kmap_local_folio(folio, 0);
	left = copy_from_user(to, data, PAGE_SIZE);
	kunmap_local(to);
	if (left) {
		folio_put(folio);
		return ERR_PTR(-EFAULT);
	}
	return folio;
}

int dsm_page_install(struct dsm_region *region, pgoff_t page, const void __user *data,
		     enum dsm_page_state state)
{
	struct folio *folio = dsm_folio_fill(region, data);
	int err;

	if (IS_ERR(folio))
		return PTR_ERR(folio);
	do {
		err = filemap_add_folio(region->inode->i_mapping, folio, page, GFP_KERNEL);
		if (!err) {
			dsm_folio_set_state(folio, state);
			folio_unlock(folio);
		} else if (err == -EEXIST) {
			err = dsm_page_replace(region, page, folio, state);
		}
	} while (err == -ENOENT);
	folio_put(folio);
	if (err)
		return err;
	dsm_count(region->node, DSM_INSTALLS);
	dsm_request_granted(region, page, state);
	return 0;
}

int dsm_page_upgrade(struct dsm_region *region, pgoff_t page)
{
	struct folio *folio = dsm_page_lock(region, page);

	if (!folio)
		return -ENOENT;
	dsm_folio_set_state(folio, DSM_PAGE_MODIFIED);
	dsm_page_unlock(folio);
	dsm_count(region->node, DSM_UPGRADES);
	dsm_request_granted(region, page, DSM_PAGE_MODIFIED);
	return 0;
}

/* Without page faults: under the folio lock, which they may want. */
static bool dsm_folio_copy_out(struct folio *folio, void __user *data)
{
	unsigned long left;
	void *from;

	from = kmap_local_folio(folio, 0);
	pagefault_disable();
	left = copy_to_user(data, from, PAGE_SIZE);
	pagefault_enable();
	kunmap_local(from);
	return !left;
}

/*
 * Removes the page, once its last bytes are at @data, if that is not NULL.
 * Returns -EAGAIN when they could not be copied without a fault.
 */
static int dsm_page_remove(struct dsm_region *region, pgoff_t page, void __user *data)
{
	struct folio *folio = dsm_page_lock(region, page);
	int err;

	if (!folio)
		return -ENOENT;
	dsm_folio_unmap(folio);
	if (dsm_folio_busy(folio)) {
		dsm_count(region->node, DSM_BUSY);
		err = -EBUSY;
	} else if (data && !dsm_folio_copy_out(folio, data)) {
		err = -EAGAIN;
	} else {
		err = generic_error_remove_folio(region->inode->i_mapping, folio);
	}
	dsm_page_unlock(folio);
	return err;
}

int dsm_page_drop(struct dsm_region *region, pgoff_t page)
{
	int err = dsm_page_remove(region, page, NULL);

	if (!err)
		dsm_count(region->node, DSM_DROPS);
	return err == -ENOENT ? 0 : err;
}

int dsm_page_take(struct dsm_region *region, pgoff_t page, void __user *data)
{
	int tries, err;

	/* What was faulted in may be gone again when it is used, but not for ever. */
	for (tries = 0; tries < 8; tries++) {
		err = dsm_page_remove(region, page, data);
		if (err != -EAGAIN) {
			if (!err)
				dsm_count(region->node, DSM_TAKES);
			return err;
		}
		if (fault_in_safe_writeable(data, PAGE_SIZE))
			break;
	}
	return -EFAULT;
}

int dsm_page_downgrade(struct dsm_region *region, pgoff_t page)
{
	struct folio *folio = dsm_page_lock(region, page);
	int err = 0;

	if (!folio)
		return -ENOENT;
	if (dsm_folio_state(folio) == DSM_PAGE_MODIFIED) {
		folio_clear_checked(folio);
#ifndef DSM_MUTANT_KMOD_STILL_WRITABLE
		folio_mkclean(folio);
#endif
		if (dsm_folio_busy(folio)) {
			/* A device may store yet: still modified. */
			folio_set_checked(folio);
			err = -EBUSY;
		}
		dsm_count(region->node, err ? DSM_BUSY : DSM_DOWNGRADES);
	}
	dsm_page_unlock(folio);
	return err;
}

int dsm_page_read(struct dsm_region *region, pgoff_t page, void __user *data)
{
	struct folio *folio = dsm_page_lock(region, page);
	unsigned long left;
	void *from;

	if (!folio)
		return -ENOENT;
	/* The reference keeps the bytes; the lock must go before user memory. */
	folio_unlock(folio);
	from = kmap_local_folio(folio, 0);
	left = copy_to_user(data, from, PAGE_SIZE);
	kunmap_local(from);
	folio_put(folio);
	return left ? -EFAULT : 0;
}
