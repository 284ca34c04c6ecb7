/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Differences between kernels, and nothing else.
 *
 * The code is written to the newest interface (7.2); each hunk maps one difference
 * back. module/Kbuild probes for the symbol and defines HAVE_*.
 */
#ifndef MMAPDEMO_COMPAT_H
#define MMAPDEMO_COMPAT_H

#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/pagemap.h>

/* 7.1: pagevec.h has become folio_batch.h. */
#ifdef HAVE_FOLIO_BATCH_H
#include <linux/folio_batch.h>
#else
#include <linux/pagevec.h>
#endif

/* 6.17: a file may have mmap_prepare instead of mmap, and vfs_mmap() knows both. */
#ifndef HAVE_VFS_MMAP
static inline bool can_mmap_file(struct file *file)
{
	return file->f_op->mmap;
}

static inline int vfs_mmap(struct file *file, struct vm_area_struct *vma)
{
	return file->f_op->mmap(file, vma);
}
#endif

#ifndef CONFIG_TRANSPARENT_HUGEPAGE
#error mmapdemo needs a kernel with CONFIG_TRANSPARENT_HUGEPAGE
#endif

/* 6.8: vfs_iocb_iter_write() keeps a freeze out itself; backing-file.h came with that. */
#ifndef HAVE_BACKING_FILE_H
static inline ssize_t mmapdemo_iocb_iter_write(struct file *file, struct kiocb *iocb,
					       struct iov_iter *from)
{
	ssize_t ret;

	file_start_write(file);
	ret = vfs_iocb_iter_write(file, iocb, from);
	file_end_write(file);
	return ret;
}

#define vfs_iocb_iter_write mmapdemo_iocb_iter_write
#endif

/* 6.9: a VMA may be asked whether huge pages are off for it; 6.18: and for what. */
static inline bool mmapdemo_thp_disabled(struct vm_area_struct *vma)
{
#if defined(HAVE_VMA_THP_DISABLED_FOR)
	return vma_thp_disabled(vma, vma->vm_flags, true);
#elif defined(HAVE_VMA_THP_DISABLED)
	return vma_thp_disabled(vma, vma->vm_flags);
#else
	return false;
#endif
}

/* 6.6, 6.7: the time stamps of an inode are read through functions. */
#ifndef HAVE_INODE_GET_CTIME
#define inode_get_ctime(inode) ((inode)->i_ctime)
#endif
#ifndef HAVE_INODE_GET_MTIME
#define inode_get_mtime(inode) ((inode)->i_mtime)
#endif

/* 6.13: a bit of the ctime says that somebody has asked for it, and the next differs. */
#ifdef HAVE_CTIME_QUERIED
#define mmapdemo_ctime_raw(inode) READ_ONCE((inode)->i_ctime_nsec)
#else
#define mmapdemo_ctime_raw(inode) 0
#endif

/* 6.5: ITER_PIPE is gone and with it the splice that went through read_iter. */
#ifndef HAVE_COPY_SPLICE_READ
#define copy_splice_read generic_file_splice_read

static inline ssize_t vfs_splice_read(struct file *in, loff_t *pos, struct pipe_inode_info *pipe,
				      size_t len, unsigned int flags)
{
	return in->f_op->splice_read ? in->f_op->splice_read(in, pos, pipe, len, flags) : -EINVAL;
}
#endif

/* 6.4: a folio that is not there is an ERR_PTR and no longer NULL (fgf_t came in 6.6). */
#ifndef HAVE_FGF_T
static inline struct folio *mmapdemo_folio_or_error(struct folio *folio)
{
	return folio ?: ERR_PTR(-ENOENT);
}

#define filemap_get_folio(mapping, index) \
	mmapdemo_folio_or_error(filemap_get_folio(mapping, index))
#define filemap_lock_folio(mapping, index) \
	mmapdemo_folio_or_error(filemap_lock_folio(mapping, index))
#endif

/* 6.3: vm_flags are write-protected by the per-VMA lock. */
#ifndef HAVE_VM_FLAGS_CLEAR
static inline void vm_flags_clear(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags &= ~flags;
}
#endif

/* 6.8: the question is asked for any order. */
#ifndef HAVE_THP_VMA_SUITABLE_ORDER
static inline bool thp_vma_suitable_order(struct vm_area_struct *vma, unsigned long addr,
					  int order)
{
	return order == HPAGE_PMD_ORDER && transhuge_vma_suitable(vma, addr);
}
#endif

/* 6.6: a dump finds its attributes where a command does. */
#ifdef HAVE_GENL_INFO_DUMP
#define mmapdemo_dump_attrs(cb) (genl_info_dump(cb)->attrs)
#else
#define mmapdemo_dump_attrs(cb) (genl_dumpit_info(cb)->attrs)
#endif

/* 6.4: see FAULT_FLAG_VMA_LOCK. */
#ifndef HAVE_FAULT_FLAG_VMA_LOCK
static inline void vma_start_write(struct vm_area_struct *vma) {}
#endif

/* 6.6: huge_fault is told an order, before that one of three sizes. */
#ifdef HAVE_HUGE_FAULT_ORDER
typedef unsigned int mmapdemo_huge_t;
#else
typedef enum page_entry_size mmapdemo_huge_t;
#endif

/* 6.4: a fault may be handled under the lock of its VMA alone. */
#ifndef HAVE_FAULT_FLAG_VMA_LOCK
#define FAULT_FLAG_VMA_LOCK 0
#endif

/* 6.18: filemap_alloc_folio() takes a memory policy, NULL for the task's own. */
#ifndef HAVE_FILEMAP_ALLOC_POLICY
#undef filemap_alloc_folio
#ifdef alloc_hooks
#define filemap_alloc_folio(gfp, order, policy) \
	alloc_hooks(filemap_alloc_folio_noprof(gfp, order))
#else
static inline struct folio *mmapdemo_alloc_folio(gfp_t gfp, unsigned int order)
{
	return filemap_alloc_folio(gfp, order);
}

#define filemap_alloc_folio(gfp, order, policy) mmapdemo_alloc_folio(gfp, order)
#endif
#endif

#endif /* MMAPDEMO_COMPAT_H */
