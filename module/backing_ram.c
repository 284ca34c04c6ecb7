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
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/ctype.h>
#include <linux/file.h>
#include <linux/kstrtox.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/pagemap.h>
#include <linux/pseudo_fs.h>
#include <linux/rmap.h>
#include <linux/splice.h>
#include <linux/uio.h>

#include "mmapdemo.h"

#define MMAPDEMO_MAGIC 0x6d6d6170	/* "mmap" */

static struct vfsmount *ram_mnt;

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

/*
 * Make the folio at @index, which was not there, or find that of someone who was faster:
 * locked and with a reference. With @huge a new one is PMD-sized if that is to be had and
 * none of its pages exists yet.
 */
static struct folio *make_folio(struct address_space *mapping, pgoff_t index, bool huge)
{
	loff_t start = (loff_t)ALIGN_DOWN(index, HPAGE_PMD_NR) << PAGE_SHIFT;
	struct folio *folio;

	do {
		folio = ERR_PTR(-ENOMEM);
		/* Asked first: it is 2 MiB that would be zeroed for nothing. */
		if (huge && !filemap_range_has_page(mapping, start, start + HPAGE_PMD_SIZE - 1))
			folio = add_folio(mapping, ALIGN_DOWN(index, HPAGE_PMD_NR),
					  HPAGE_PMD_ORDER, GFP_TRANSHUGE_LIGHT);
		if (IS_ERR(folio))
			folio = add_folio(mapping, index, 0, mapping_gfp_mask(mapping));
		if (PTR_ERR_OR_ZERO(folio) != -EEXIST)
			return folio;
		/* Another fault or write() was faster; if it is truncated meanwhile, again. */
		folio = filemap_lock_folio(mapping, index);
	} while (IS_ERR(folio));
	return folio;
}

/* Has the VMA, and the device, room for the whole PMD around this fault? */
static bool wants_huge(const struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	const struct mmapdemo_device *dev = mmapdemo_open(vma->vm_file)->dev;
	pgoff_t index = ALIGN_DOWN(vmf->pgoff, HPAGE_PMD_NR);

	/* A private store wants one page, to copy it. */
	if (!dev->huge || ((vmf->flags & FAULT_FLAG_WRITE) && !(vma->vm_flags & VM_SHARED)))
		return false;
	return thp_vma_suitable_order(vma, vmf->address, HPAGE_PMD_ORDER) &&
	       ((loff_t)index << PAGE_SHIFT) + HPAGE_PMD_SIZE <= mmapdemo_size(dev);
}

static vm_fault_t ram_fault(struct vm_fault *vmf)
{
	struct address_space *mapping = vmf->vma->vm_file->f_mapping;
	struct folio *folio;

	/* mmap() may reach past the end and mremap() may grow it: each page is checked. */
	if (vmf->pgoff >= i_size_read(mapping->host) >> PAGE_SHIFT)
		return VM_FAULT_SIGBUS;
	folio = filemap_lock_folio(mapping, vmf->pgoff);
	if (IS_ERR(folio)) {
		folio = make_folio(mapping, vmf->pgoff, wants_huge(vmf));
		if (IS_ERR(folio))
			return vmf_error(PTR_ERR(folio));
	}
	/* Locked until the core has mapped it, so that it cannot be truncated in between. */
	vmf->page = folio_file_page(folio, vmf->pgoff);
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

static const struct vm_operations_struct ram_vm_ops = {
	.fault		= ram_fault,
	.map_pages	= filemap_map_pages,
	.page_mkwrite	= ram_page_mkwrite,
};

/*
 * Each mapping gets a file of its own, opened as the given one was. With one file for both
 * the core would merge two mappings that touch, and then it calls mmap for the second and no
 * close (6.12), or no mmap either.
 */
static int ram_mmap(struct file *file, struct vm_area_struct *vma)
{
	loff_t size = mmapdemo_size(mmapdemo_open(file)->dev);
	struct file *own;

	if (vma->vm_pgoff >= size >> PAGE_SHIFT)
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
	loff_t size = i_size_read(mapping->host);
	ssize_t copied, done = 0;
	size_t want;

	while (iov_iter_count(to) && iocb->ki_pos < size) {
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
 * to each runs page_mkwrite again.
 */
static void clean_folio(struct address_space *mapping, struct folio *folio)
{
	folio_lock(folio);
	if (folio->mapping == mapping && folio_test_dirty(folio)) {
		/* From here on the dirty flag does not protect it: see ram_release_folio(). */
		if (!folio_test_private(folio))
			folio_attach_private(folio, mapping);
		folio_mkclean(folio);
		folio_clear_dirty(folio);
	}
	folio_unlock(folio);
}

static int ram_fsync(struct file *file, loff_t start, loff_t end, int datasync)
{
	struct address_space *mapping = file->f_mapping;
	pgoff_t index = start >> PAGE_SHIFT, last = end >> PAGE_SHIFT;
	struct folio_batch batch;
	int i;

	folio_batch_init(&batch);
	while (filemap_get_folios(mapping, &index, last, &batch)) {
		for (i = 0; i < folio_batch_count(&batch); i++)
			clean_folio(mapping, batch.folios[i]);
		folio_batch_release(&batch);
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
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
		cond_resched();
	}
	return dirty;
}

/* A number and perhaps one of K M G T P E; memparse() would wrap around without a word. */
static int parse_bytes(const char *text, unsigned long long *bytes)
{
	static const char units[] = "KMGTPE";
	size_t len = strlen(text);
	char number[32];
	const char *unit;
	int err;

	if (!len || len >= sizeof(number))
		return -EINVAL;
	strscpy(number, text, sizeof(number));
	unit = strchr(units, toupper(number[len - 1]));
	if (unit)
		number[len - 1] = '\0';
	err = kstrtoull(number, 0, bytes);
	if (err || !unit)
		return err;
	return check_shl_overflow(*bytes, 10 * (unit - units + 1), bytes) ? -ERANGE : 0;
}

static int parse_size(const char *text, loff_t *size)
{
	unsigned long long bytes;
	int err;

	if (!text) {
		*size = MMAPDEMO_DEFAULT_SIZE;
		return 0;
	}
	err = parse_bytes(text, &bytes);
	if (err == -ERANGE || (!err && bytes > MAX_LFS_FILESIZE)) {
		pr_err("size=%s is more than a file can have, %lld\n", text, MAX_LFS_FILESIZE);
		return -EFBIG;
	}
	if (err) {
		pr_err("size=%s is not a number of bytes (K, M, G accepted)\n", text);
		return -EINVAL;
	}
	if (!bytes || bytes % PAGE_SIZE) {
		pr_err("size=%s is not a multiple, from 1, of the page size %lu\n", text,
		       PAGE_SIZE);
		return -EINVAL;
	}
	*size = bytes;
	return 0;
}

static int ram_create(struct mmapdemo_device *dev, const struct mmapdemo_spec *spec)
{
	struct address_space *mapping;
	struct inode *inode;
	loff_t size;
	int err;

	if (spec->path) {
		pr_err("path=%s goes with backing=file, and backing is ram\n", spec->path);
		return -EINVAL;
	}
	err = parse_size(spec->size, &size);
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
	i_size_write(inode, size);
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
	.init			= ram_init,
	.exit			= ram_exit,
	.create			= ram_create,
	.destroy		= ram_destroy,
	.mmap			= ram_mmap,
	.read_iter		= ram_read_iter,
	.write_iter		= ram_write_iter,
	.splice_read		= copy_splice_read,
	.seek			= ram_seek,
	.fsync			= ram_fsync,
	.get_unmapped_area	= thp_get_unmapped_area,
	.dirty			= ram_dirty,
};
