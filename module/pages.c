// SPDX-License-Identifier: GPL-2.0
/*
 * The pages of a device: zapped, write-protected, and told of.
 *
 * All of it works on the page cache in which the backing keeps them, and none of it loses
 * data: a page that is zapped stays in the cache, what was copied privately stays mapped. Of
 * a file, those who map the file itself fault again as well.
 */
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/rmap.h>
#include <linux/sched/signal.h>

#include "pages.h"

/* How many pages there are; of the last one perhaps only a part. */
pgoff_t mmapdemo_pages_end(const struct mmapdemo_device *dev)
{
	return DIV_ROUND_UP(mmapdemo_size(dev), PAGE_SIZE);
}

/* Take pages out of all page tables: the next access to each faults again. */
int mmapdemo_pages_zap(struct mmapdemo_device *dev, pgoff_t page, pgoff_t end)
{
	if (page < end)
		unmap_mapping_pages(dev->inode->i_mapping, page, end - page, false);
	return 0;
}

/* A dirty page table entry is all that knows of a store, where the backing has no mkwrite. */
static int wrprotect_folio(struct address_space *mapping, struct folio *folio)
{
	/* A fault may keep it locked for as long as its server in user space likes. */
	int err = folio_lock_killable(folio);

	if (err)
		return err;
	if (folio->mapping == mapping && folio_mkclean(folio))
		folio_mark_dirty(folio);
	folio_unlock(folio);
	return 0;
}

/* Write-protect pages in all page tables: the next store to each runs page_mkwrite again. */
int mmapdemo_pages_wrprotect(struct mmapdemo_device *dev, pgoff_t page, pgoff_t end)
{
	struct address_space *mapping = dev->inode->i_mapping;
	struct folio_batch batch;
	int i, err = 0;

	/* There are no folios then, by which to find the page table entries. */
	if (IS_DAX(dev->inode))
		return -EOPNOTSUPP;
	folio_batch_init(&batch);
	while (page < end && filemap_get_folios(mapping, &page, end - 1, &batch)) {
		for (i = 0; !err && i < folio_batch_count(&batch); i++)
			err = wrprotect_folio(mapping, batch.folios[i]);
		folio_batch_release(&batch);
		if (err || fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

static unsigned int state_of(struct folio *folio)
{
	unsigned int state = MMAPDEMO_PAGE_RESIDENT;

	if (folio_test_dirty(folio))
		state |= MMAPDEMO_PAGE_DIRTY;
	if (folio_order(folio) == HPAGE_PMD_ORDER)
		state |= MMAPDEMO_PAGE_HUGE;
	return state;
}

/* The run goes on to @next if the pages up to there are like those before. */
static bool extend(struct mmapdemo_run *run, pgoff_t next, unsigned int state)
{
	pgoff_t here = run->page + run->pages;

	if (next <= here)
		return true;
	if (run->pages && run->state != state)
		return false;
	run->state = state;
	run->pages = next - run->page;
	return true;
}

/**
 * mmapdemo_pages_run() - tell of pages in a row that are alike
 * @dev: the device
 * @page: the first
 * @end: the last, and one; above @page
 * @run: where it goes, 1 page at the least
 *
 * Nothing is locked: of pages that change meanwhile either is told.
 *
 * Return: 0, or -EINTR when the caller is being killed.
 */
int mmapdemo_pages_run(struct mmapdemo_device *dev, pgoff_t page, pgoff_t end,
		       struct mmapdemo_run *run)
{
	struct address_space *mapping = dev->inode->i_mapping;
	struct folio_batch batch;
	pgoff_t index = page;
	bool more = true;
	int i;

	*run = (struct mmapdemo_run) { .page = page };
	folio_batch_init(&batch);
	while (more && filemap_get_folios(mapping, &index, end - 1, &batch)) {
		for (i = 0; more && i < folio_batch_count(&batch); i++) {
			struct folio *folio = batch.folios[i];

			more = extend(run, folio->index, 0) &&
			       extend(run, min(folio_next_index(folio), end), state_of(folio));
		}
		folio_batch_release(&batch);
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	if (more)
		extend(run, end, 0);
	return 0;
}
