// SPDX-License-Identifier: GPL-2.0
/*
 * Pages from RAM: an inode of our own, its page cache, and a fault handler written out.
 *
 * The page cache is the storage. There is nothing behind it, so no page that holds data
 * may be dropped: the mapping is unevictable, a dirty folio is nobody's to drop, and a
 * folio that fsync() has cleaned carries private data, which release_folio() refuses to
 * give up. A page that was never stored to does not exist, or is zero and may go.
 *
 * Life of a page:	(absent) -- read fault --> clean, zero
 *			(absent or clean) -- page_mkwrite or write() --> dirty
 *			(dirty) -- fsync(), msync(MS_SYNC) --> clean, held; mapped read-only
 *			(dirty, or held and not yet harvested) -- harvest --> clean, held, told
 *			(any) -- shrink, punch --> absent
 *
 * Locks: inode_lock > invalidate_lock > folio lock. The first is held for writing while the
 * size or the set of pages is cut, for reading while pages are cleaned; the second keeps new
 * pages from being made in a part that is being cut off. Neither is held while memory of a
 * user's is touched.
 */
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/pseudo_fs.h>
#include <linux/rmap.h>
#include <linux/splice.h>
#include <linux/uio.h>

#include "mmapdemo.h"

#define MMAPDEMO_MAGIC 0x6d6d6170	/* "mmap" */

static struct vfsmount *ram_mnt;

/*
 * The private data of a folio that was dirty and is clean: it must not be dropped, and of
 * what fsync() has cleaned the next harvest has yet to tell.
 */
#define HELD		((void *)1)
#define HELD_UNTOLD	((void *)2)

/* Only a folio with private data gets here: the one copy of what was stored in it. */
static bool ram_release_folio(struct folio *folio, gfp_t gfp)
{
	return false;
}

/* Truncation. What the private data protected is meant to go. */
static void ram_invalidate_folio(struct folio *folio, size_t offset, size_t len)
{
	if (len == folio_size(folio))
		folio_detach_private(folio);
}

static const struct address_space_operations ram_address_space_ops = {
	.dirty_folio		= noop_dirty_folio,
	.release_folio		= ram_release_folio,
	.invalidate_folio	= ram_invalidate_folio,
#ifdef CONFIG_MIGRATION
	.migrate_folio		= filemap_migrate_folio,
#endif
};

/* Put a zeroed folio of @order at @index. The caller finds it locked, with a reference. */
static struct folio *add_folio(struct address_space *mapping, pgoff_t index,
			       unsigned int order, gfp_t gfp)
{
	struct folio *folio;
	int err;

	folio = filemap_alloc_folio(gfp | __GFP_ZERO, order, NULL);
	if (!folio)
		return ERR_PTR(-ENOMEM);
	__folio_mark_uptodate(folio);
	err = filemap_add_folio(mapping, folio, index, gfp);
	if (err) {
		folio_put(folio);
		return ERR_PTR(err);
	}
	return folio;
}

/* The last page may be there in part. */
static pgoff_t nr_pages(const struct address_space *mapping)
{
	return DIV_ROUND_UP(i_size_read(mapping->host), PAGE_SIZE);
}

/* Is there room for all of the PMD around @index, and nothing in it yet? */
static bool has_room(struct address_space *mapping, pgoff_t index)
{
	loff_t start = (loff_t)ALIGN_DOWN(index, HPAGE_PMD_NR) << PAGE_SHIFT;
	loff_t end = start + HPAGE_PMD_SIZE;

	return end <= i_size_read(mapping->host) &&
	       !filemap_range_has_page(mapping, start, end - 1);
}

static struct folio *find_or_make(struct address_space *mapping, pgoff_t index, bool huge)
{
	struct folio *folio;

	do {
		folio = ERR_PTR(-ENOMEM);
		/* Asked first: it is 2 MiB that would be zeroed for nothing. */
		if (huge && has_room(mapping, index))
			folio = add_folio(mapping, ALIGN_DOWN(index, HPAGE_PMD_NR),
					  HPAGE_PMD_ORDER, GFP_TRANSHUGE_LIGHT);
		if (IS_ERR(folio))
			folio = add_folio(mapping, index, 0, mapping_gfp_mask(mapping));
		if (PTR_ERR_OR_ZERO(folio) != -EEXIST)
			return folio;
		/* Another fault or write() was faster; if it is reclaimed meanwhile, again. */
		folio = filemap_lock_folio(mapping, index);
	} while (IS_ERR(folio));
	return folio;
}

/*
 * Make the folio at @index, which was not there, or find that of someone who was faster:
 * locked and with a reference. With @huge a new one is PMD-sized if that is to be had and
 * none of its pages exists yet. -ENOSPC past the end.
 */
static struct folio *make_folio(struct address_space *mapping, pgoff_t index, bool huge)
{
	struct folio *folio = ERR_PTR(-ENOSPC);

	filemap_invalidate_lock_shared(mapping);
	if (index < nr_pages(mapping))
		folio = find_or_make(mapping, index, huge);
	filemap_invalidate_unlock_shared(mapping);
	return folio;
}

/* Has the VMA room for the whole PMD around this fault? */
static bool wants_huge(const struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	const struct mmapdemo_device *dev = mmapdemo_open(vma->vm_file)->dev;

	/* A private store wants one page, to copy it. */
	if (!dev->huge || ((vmf->flags & FAULT_FLAG_WRITE) && !(vma->vm_flags & VM_SHARED)))
		return false;
	return thp_vma_suitable_order(vma, vmf->address, HPAGE_PMD_ORDER);
}

/* Does the folio reach past the end? One of 2 MiB that somebody holds cannot be split. */
static bool is_too_long(struct address_space *mapping, struct folio *folio)
{
	return folio_next_index(folio) > nr_pages(mapping);
}

static int leave_pte(pte_t *pte, unsigned long address, void *data)
{
	return 0;
}

/*
 * 6.1 would map the folio as a whole, what is past the end of the device included: not where
 * there is a page table. Who makes a PMD of this folio has locked it, and we have.
 */
static int forbid_pmd(struct vm_fault *vmf)
{
	if (!pmd_none(*vmf->pmd))
		return 0;
	return apply_to_page_range(vmf->vma->vm_mm, vmf->address & PAGE_MASK, PAGE_SIZE,
				   leave_pte, NULL);
}

/* The page of a large folio that is locked, or, if that is past the end, neither. */
static vm_fault_t large_fault(struct vm_fault *vmf, struct address_space *mapping,
			      struct folio *folio)
{
	vm_fault_t ret = VM_FAULT_LOCKED;

	if (is_too_long(mapping, folio))
		ret = vmf->pgoff >= nr_pages(mapping) ? VM_FAULT_SIGBUS :
		      forbid_pmd(vmf) ? VM_FAULT_OOM : VM_FAULT_LOCKED;
	if (ret == VM_FAULT_LOCKED) {
		vmf->page = folio_file_page(folio, vmf->pgoff);
	} else {
		folio_unlock(folio);
		folio_put(folio);
	}
	return ret;
}

static vm_fault_t ram_fault(struct vm_fault *vmf)
{
	struct address_space *mapping = vmf->vma->vm_file->f_mapping;
	struct folio *folio;

	folio = filemap_lock_folio(mapping, vmf->pgoff);
	if (IS_ERR(folio)) {
		folio = make_folio(mapping, vmf->pgoff, wants_huge(vmf));
		if (IS_ERR(folio))
			return vmf_error(PTR_ERR(folio));
	}
	if (folio_test_large(folio))
		return large_fault(vmf, mapping, folio);
	/* Locked until the core has mapped it, so that it cannot be cut off in between. */
	vmf->page = folio_page(folio, 0);
	return VM_FAULT_LOCKED;
}

/*
 * The core is about to make a page of a shared mapping writable. Here a file system would
 * reserve space, lock the folio, look whether it is still in the file, and return
 * VM_FAULT_LOCKED. RAM has nothing to reserve, and with 0 the core does the rest: it locks
 * the folio, looks, marks it dirty, which is our record, and maps it writable before it
 * drops the lock. fsync() takes the same lock, and either finds the folio dirty and
 * write-protects it again, or comes first, and this store is after it.
 */
static vm_fault_t ram_page_mkwrite(struct vm_fault *vmf)
{
	return 0;
}

/* Is there such a folio at the end? Asked only of the last 2 MiB. */
static bool ends_too_long(struct address_space *mapping, pgoff_t pgoff)
{
	pgoff_t end = nr_pages(mapping);
	struct folio *folio;
	bool too_long;

	if (!end || ALIGN(pgoff + 1, HPAGE_PMD_NR) <= end)
		return false;
	folio = filemap_get_folio(mapping, end - 1);
	if (IS_ERR(folio))
		return false;
	too_long = folio_test_large(folio) && is_too_long(mapping, folio);
	folio_put(folio);
	return too_long;
}

/* Around a fault in such a folio nothing is mapped: ram_fault() knows how. */
static vm_fault_t ram_map_pages(struct vm_fault *vmf, pgoff_t start, pgoff_t end)
{
	if (ends_too_long(vmf->vma->vm_file->f_mapping, vmf->pgoff))
		return 0;
	return filemap_map_pages(vmf, start, end);
}

static const struct vm_operations_struct ram_vm_ops = {
	.fault		= ram_fault,
	.map_pages	= ram_map_pages,
	.page_mkwrite	= ram_page_mkwrite,
};

/*
 * Each mapping gets a file of its own, opened as the given one was. With one file for both
 * the core would merge two mappings that touch, and then it calls mmap for the second and no
 * close (6.12), or no mmap either.
 */
static int ram_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct file *own;

	if (vma->vm_pgoff >= nr_pages(file->f_mapping))
		return -ENXIO;
	/* Data, which anybody who may open the node writes: nothing to be run. */
	if (vma->vm_flags & VM_EXEC)
		return -EPERM;
	own = dentry_open(&file->f_path, file->f_flags & (O_ACCMODE | O_SYNC), file->f_cred);
	if (IS_ERR(own))
		return PTR_ERR(own);
	vma_set_file(vma, own);
	fput(own);
	vm_flags_clear(vma, VM_MAYEXEC);
	vma->vm_ops = &ram_vm_ops;
	return 0;
}

/* Nothing of a page whose memory has failed. */
static ssize_t copy_from_folio(struct folio *folio, pgoff_t index, size_t offset, size_t want,
			       struct iov_iter *to)
{
	struct page *page = folio_file_page(folio, index);

	return PageHWPoison(page) ? -EIO : copy_page_to_iter(page, offset, want, to);
}

/*
 * read() and write() copy without the folio lock, so that the user's buffer may be a mapping
 * of the very page that is copied.
 */
static ssize_t ram_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct address_space *mapping = iocb->ki_filp->f_mapping;
	ssize_t copied, done = 0;
	size_t want;
	loff_t size;

	while (iov_iter_count(to) && iocb->ki_pos < (size = i_size_read(mapping->host))) {
		pgoff_t index = iocb->ki_pos >> PAGE_SHIFT;
		size_t offset = offset_in_page(iocb->ki_pos);
		struct folio *folio = filemap_get_folio(mapping, index);

		want = min_t(loff_t, PAGE_SIZE - offset, size - iocb->ki_pos);
		want = min(want, iov_iter_count(to));
		if (IS_ERR(folio)) {
			copied = iov_iter_zero(want, to);
		} else {
			copied = copy_from_folio(folio, index, offset, want, to);
			folio_put(folio);
		}
		if (copied < 0)
			return done ?: copied;
		iocb->ki_pos += copied;
		done += copied;
		if ((size_t)copied < want)
			return done ?: -EFAULT;
		if (fatal_signal_pending(current))
			return done;
		cond_resched();
	}
	return done;
}

/* The record comes after the bytes: whoever cleans in between leaves it for the next time. */
static void mark_dirty(struct folio *folio)
{
	folio_lock(folio);
	if (folio->mapping)
		folio_mark_dirty(folio);
	folio_unlock(folio);
}

/* Nothing into one either: it could not be read again. */
static ssize_t copy_to_folio(struct folio *folio, pgoff_t index, size_t offset, size_t want,
			     struct iov_iter *from)
{
	struct page *page = folio_file_page(folio, index);
	size_t copied;

	if (PageHWPoison(page))
		return -EIO;
	copied = copy_page_from_iter(page, offset, want, from);
	if (copied)
		mark_dirty(folio);
	return copied;
}

static ssize_t ram_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	struct address_space *mapping = iocb->ki_filp->f_mapping;
	ssize_t copied, done = 0;
	size_t want;

	while (iov_iter_count(from)) {
		pgoff_t index = iocb->ki_pos >> PAGE_SHIFT;
		size_t offset = offset_in_page(iocb->ki_pos);
		struct folio *folio = filemap_get_folio(mapping, index);

		if (IS_ERR(folio)) {
			folio = make_folio(mapping, index, false);
			if (IS_ERR(folio))
				return done ?: PTR_ERR(folio);
			folio_unlock(folio);
		}
		want = min_t(size_t, PAGE_SIZE - offset, iov_iter_count(from));
		copied = copy_to_folio(folio, index, offset, want, from);
		folio_put(folio);
		if (copied < 0)
			return done ?: copied;
		iocb->ki_pos += copied;
		done += copied;
		if ((size_t)copied < want)
			return done ?: -EFAULT;
		/* One whom the OOM killer has chosen may use the last reserves: not here. */
		if (fatal_signal_pending(current))
			return done;
		cond_resched();
	}
	return done;
}

/* Where the first folio at or after @offset begins, or @size. */
static loff_t next_data(struct address_space *mapping, loff_t offset, loff_t size)
{
	pgoff_t index = offset >> PAGE_SHIFT;
	struct folio_batch batch;

	folio_batch_init(&batch);
	if (!filemap_get_folios(mapping, &index, ULONG_MAX, &batch))
		return size;
	offset = max(offset, folio_pos(batch.folios[0]));
	folio_batch_release(&batch);
	return offset;
}

/* Where the first page at or after @offset is that does not exist, or @size. */
static loff_t next_hole(struct address_space *mapping, loff_t offset, loff_t size)
{
	struct folio *folio;

	while (offset < size) {
		folio = filemap_get_folio(mapping, offset >> PAGE_SHIFT);
		if (IS_ERR(folio))
			return offset;
		offset = folio_pos(folio) + folio_size(folio);
		folio_put(folio);
		cond_resched();
	}
	return size;
}

static loff_t ram_seek(struct file *file, loff_t offset, int whence)
{
	loff_t size = i_size_read(file->f_mapping->host);

	if (whence == SEEK_HOLE)
		return next_hole(file->f_mapping, offset, size);
	offset = next_data(file->f_mapping, offset, size);
	return offset < size ? offset : -ENXIO;
}

/*
 * "Written back": there is nowhere to write to, so what remains is what writeback does to
 * the mappings. The pages are write-protected wherever they are mapped, and the next store
 * to each runs page_mkwrite again. From here on the dirty flag does not protect the folio.
 */
static void clean_folio(struct folio *folio, void *held)
{
	if (folio_test_private(folio))
		folio_change_private(folio, held);
	else
		folio_attach_private(folio, held);
	folio_mkclean(folio);
	folio_clear_dirty(folio);
}

static void sync_folio(struct address_space *mapping, struct folio *folio)
{
	folio_lock(folio);
	if (folio->mapping == mapping && folio_test_dirty(folio))
		clean_folio(folio, HELD_UNTOLD);
	folio_unlock(folio);
}

static int sync_range(struct address_space *mapping, pgoff_t index, pgoff_t last)
{
	struct folio_batch batch;
	int i;

	folio_batch_init(&batch);
	while (filemap_get_folios(mapping, &index, last, &batch)) {
		for (i = 0; i < folio_batch_count(&batch); i++)
			sync_folio(mapping, batch.folios[i]);
		folio_batch_release(&batch);
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

static int ram_fsync(struct file *file, loff_t start, loff_t end, int datasync)
{
	struct inode *inode = file->f_mapping->host;
	int err;

	inode_lock_shared(inode);
	err = sync_range(inode->i_mapping, start >> PAGE_SHIFT, end >> PAGE_SHIFT);
	inode_unlock_shared(inode);
	return err;
}

static bool is_untold(struct folio *folio)
{
	return folio_test_dirty(folio) ||
	       (folio_test_private(folio) && folio_get_private(folio) == HELD_UNTOLD);
}

/*
 * Put the folio to the run, if it is to be told and follows what is in it; false ends the run.
 * All of the folio: it is cleaned as a whole, so there is no telling of a part of it.
 */
static bool harvest_folio(struct address_space *mapping, struct folio *folio,
			  struct mmapdemo_run *run)
{
	bool more = true;

	folio_lock(folio);
	if (folio->mapping != mapping || !is_untold(folio)) {
		more = !run->pages;
	} else if (run->pages && run->page + run->pages != folio->index) {
		more = false;
	} else {
		clean_folio(folio, HELD);
		if (!run->pages)
			run->page = folio->index;
		run->pages = min(folio_next_index(folio), nr_pages(mapping)) - run->page;
	}
	folio_unlock(folio);
	return more;
}

static int harvest(struct address_space *mapping, pgoff_t page, pgoff_t end,
		   struct mmapdemo_run *run)
{
	struct folio_batch batch;
	pgoff_t index = page;
	bool more = true;
	int i;

	/* It may have shrunk since the range was asked for. */
	end = min(end, nr_pages(mapping));
	folio_batch_init(&batch);
	while (more && index < end && filemap_get_folios(mapping, &index, end - 1, &batch)) {
		for (i = 0; more && i < folio_batch_count(&batch); i++)
			more = harvest_folio(mapping, batch.folios[i], run);
		folio_batch_release(&batch);
		/* What is in the run is clean by now: it is told, whoever is being killed. */
		if (!run->pages && fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return run->pages > 0;
}

static int ram_harvest(struct mmapdemo_device *dev, pgoff_t page, pgoff_t end,
		       struct mmapdemo_run *run)
{
	int ret;

	*run = (struct mmapdemo_run) { 0 };
	inode_lock_shared(dev->inode);
	ret = harvest(dev->inode->i_mapping, page, end, run);
	inode_unlock_shared(dev->inode);
	return ret;
}

/* The folio at @offset if that is inside of it, locked and with a reference, else NULL. */
static struct folio *lock_cut_folio(struct address_space *mapping, loff_t offset)
{
	struct folio *folio = filemap_lock_folio(mapping, offset >> PAGE_SHIFT);

	if (IS_ERR(folio))
		return NULL;
	if (folio_test_large(folio) && folio_pos(folio) < offset)
		return folio;
	folio_unlock(folio);
	folio_put(folio);
	return NULL;
}

static void unlock_cut_folio(struct folio *folio)
{
	folio_unlock(folio);
	folio_put(folio);
}

/*
 * The core splits a folio that is cut in two, but not one with private data, and then drops
 * it as a whole if it is clean. So it becomes dirty instead, and the next harvest tells of
 * it; with inode_lock held for writing nobody cleans it before it is cut.
 *
 * One that reaches past the end, because it could not be split before, keeps its private
 * data: of pages behind the end the core would take a dirty one for one that is accounted to
 * a writeback, which there is none of.
 */
static void prepare_cut(struct address_space *mapping, loff_t offset)
{
	struct folio *folio = lock_cut_folio(mapping, offset);

	if (!folio)
		return;
	/* Also one without: a write() may be about to copy to it that has not marked it yet. */
	folio_mark_dirty(folio);
	if (folio_test_private(folio) && !is_too_long(mapping, folio))
		folio_detach_private(folio);
	unlock_cut_folio(folio);
}

/* Is there one yet to be split? */
static bool is_uncut(struct address_space *mapping, loff_t offset)
{
	struct folio *folio = lock_cut_folio(mapping, offset);
	bool uncut;

	if (!folio)
		return false;
	uncut = !folio_test_private(folio);
	unlock_cut_folio(folio);
	return uncut;
}

/* What could not be split never is, by anybody. */
static void hold_uncut(struct address_space *mapping, loff_t offset)
{
	struct folio *folio = lock_cut_folio(mapping, offset);

	if (!folio)
		return;
	if (!folio_test_private(folio))
		folio_attach_private(folio, HELD);
	unlock_cut_folio(folio);
}

/*
 * Have no folio go on from below @offset to above it. Only truncation splits a folio for a
 * module: of @byte, next to @offset on the side that is cut off. One that somebody holds, to
 * copy from it say, cannot be split: wait a little, and if it never can, hold it together.
 */
static void split_at(struct address_space *mapping, loff_t offset, loff_t byte)
{
	int tries;

	prepare_cut(mapping, offset);
	for (tries = 100; tries && is_uncut(mapping, offset); tries--) {
		if (tries < 100)
			schedule_timeout_uninterruptible(1);
		truncate_inode_pages_range(mapping, byte, byte);
	}
	hold_uncut(mapping, offset);
}

/*
 * Take the bytes from @start to before @end out of the cache, and what is left of their pages
 * is zero. The ends first, each by itself: 7.2 may split a folio at one end and not at the
 * other, and then drops what is behind that as well.
 */
static void cut(struct address_space *mapping, loff_t start, loff_t end)
{
	split_at(mapping, end, end - 1);
	split_at(mapping, start, start);
	truncate_inode_pages_range(mapping, start, end - 1);
}

static int ram_punch(struct mmapdemo_device *dev, loff_t offset, loff_t length)
{
	struct address_space *mapping = dev->inode->i_mapping;
	loff_t end = offset + length;

	inode_lock(dev->inode);
	filemap_invalidate_lock(mapping);
	/* Only whole pages are unmapped; of the others it is bytes that become zero. */
	if (round_down(end, PAGE_SIZE) > round_up(offset, PAGE_SIZE))
		unmap_mapping_range(mapping, round_up(offset, PAGE_SIZE),
				    round_down(end, PAGE_SIZE) - round_up(offset, PAGE_SIZE),
				    false);
	cut(mapping, offset, end);
	filemap_invalidate_unlock(mapping);
	inode_unlock(dev->inode);
	return 0;
}

/* Stores behind the end of the last page have left something there. */
static void grow(struct address_space *mapping, loff_t size)
{
	loff_t old = i_size_read(mapping->host);
	struct folio *folio = filemap_lock_folio(mapping, old >> PAGE_SHIFT);

	if (!IS_ERR(folio)) {
		/* Of a large folio all of the rest, which may have been mapped: is_too_long(). */
		if (folio_pos(folio) < old)
			folio_zero_segment(folio, offset_in_folio(folio, old), folio_size(folio));
		folio_unlock(folio);
		folio_put(folio);
	}
	i_size_write(mapping->host, size);
}

/*
 * What is cut off goes while the size is still the old one: the core counts the pages that it
 * finds behind the end, when it splits a folio, for a writeback that there is none of. Who has
 * seen the old size, and maps or copies a page, is unmapped after it has changed.
 */
static void shrink(struct address_space *mapping, loff_t size)
{
	/* Where a folio that reaches past the end may end. */
	u64 end = round_up((u64)i_size_read(mapping->host), HPAGE_PMD_SIZE);
	struct folio *folio;

	cut(mapping, size, min_t(u64, end, round_down(MAX_LFS_FILESIZE, PAGE_SIZE)));
	i_size_write(mapping->host, size);
	/* Who has locked it before that maps a page of it before this. */
	folio = lock_cut_folio(mapping, size);
	if (folio)
		unlock_cut_folio(folio);
	unmap_mapping_range(mapping, round_up(size, PAGE_SIZE), 0, true);
}

static int ram_resize(struct mmapdemo_device *dev, loff_t size)
{
	struct address_space *mapping = dev->inode->i_mapping;

	inode_lock(dev->inode);
	filemap_invalidate_lock(mapping);
	if (size < i_size_read(dev->inode))
		shrink(mapping, size);
	else
		grow(mapping, size);
	filemap_invalidate_unlock(mapping);
	inode_unlock(dev->inode);
	return 0;
}

static unsigned long ram_dirty(struct mmapdemo_device *dev)
{
	unsigned long dirty = 0;
	struct folio_batch batch;
	pgoff_t index = 0;
	int i;

	folio_batch_init(&batch);
	while (filemap_get_folios(dev->inode->i_mapping, &index, ULONG_MAX, &batch)) {
		for (i = 0; i < folio_batch_count(&batch); i++)
			if (folio_test_dirty(batch.folios[i]))
				dirty += folio_nr_pages(batch.folios[i]);
		folio_batch_release(&batch);
		if (fatal_signal_pending(current))
			break;
		cond_resched();
	}
	return dirty;
}

static int check_spec(struct mmapdemo_spec *spec)
{
	if (spec->file)
		return mmapdemo_refuse(spec, MMAPDEMO_A_FILE,
				       "goes with backing file, and backing is ram", -EINVAL);
	if (spec->size > MAX_LFS_FILESIZE)
		return mmapdemo_refuse(spec, MMAPDEMO_A_SIZE, "is more than a file can have",
				       -EFBIG);
	if (spec->size % PAGE_SIZE)
		return mmapdemo_refuse(spec, MMAPDEMO_A_SIZE,
				       "is not a multiple, from 1, of the page size", -EINVAL);
	return 0;
}

static int ram_create(struct mmapdemo_device *dev, struct mmapdemo_spec *spec)
{
	struct address_space *mapping;
	struct inode *inode;
	int err;

	err = check_spec(spec);
	if (err)
		return err;
	inode = new_inode(ram_mnt->mnt_sb);
	if (!inode)
		return -ENOMEM;
	inode->i_ino = get_next_ino();
	inode->i_mode = S_IFREG | 0600;
	mapping = inode->i_mapping;
	mapping->a_ops = &ram_address_space_ops;
	mapping_set_unevictable(mapping);
	mapping_set_large_folios(mapping);
	i_size_write(inode, spec->size ?: MMAPDEMO_DEFAULT_SIZE);
	dev->inode = inode;
	return 0;
}

static void ram_destroy(struct mmapdemo_device *dev)
{
	iput(dev->inode);
}

static int ram_init_fs_context(struct fs_context *fc)
{
	return init_pseudo(fc, MMAPDEMO_MAGIC) ? 0 : -ENOMEM;
}

/* Without .owner: the mount would hold the module, and it is the module that unmounts. */
static struct file_system_type ram_fs = {
	.name			= "mmapdemo",
	.init_fs_context	= ram_init_fs_context,
	.kill_sb		= kill_anon_super,
};

static int ram_init(void)
{
	ram_mnt = kern_mount(&ram_fs);
	return PTR_ERR_OR_ZERO(ram_mnt);
}

static void ram_exit(void)
{
	kern_unmount(ram_mnt);
}

const struct mmapdemo_backing mmapdemo_backing_ram = {
	.name			= "ram",
	.own			= true,
	.init			= ram_init,
	.exit			= ram_exit,
	.create			= ram_create,
	.destroy		= ram_destroy,
	.resize			= ram_resize,
	.punch			= ram_punch,
	.harvest		= ram_harvest,
	.mmap			= ram_mmap,
	.read_iter		= ram_read_iter,
	.write_iter		= ram_write_iter,
	.splice_read		= copy_splice_read,
	.seek			= ram_seek,
	.fsync			= ram_fsync,
	.get_unmapped_area	= thp_get_unmapped_area,
	.dirty			= ram_dirty,
};
