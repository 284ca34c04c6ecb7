// SPDX-License-Identifier: GPL-2.0
/*
 * The device as a file: a row of bytes that ends at its size, and mmap.
 *
 * The rules of the ends are here; what is between them is the backing's. Of a deleted device
 * everything fails with ENODEV.
 */
#include <linux/fadvise.h>
#include <linux/file.h>
#include <linux/magic.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/splice.h>
#include <linux/uio.h>

#include "mapping.h"
#include "trace.h"

static struct mmapdemo_device *dev_of(struct file *file)
{
	return mmapdemo_open(file)->dev;
}

static bool is_dead(struct file *file)
{
	return mmapdemo_is_dead(dev_of(file));
}

/*
 * O_DIRECT would not happen: the pages are the device. 6.1 asks file->f_mapping, which may be
 * that of a file on a file system that can, and lets it through at open and at F_SETFL.
 */
static int mmapdemo_check_flags(int flags)
{
	return flags & O_DIRECT ? -EINVAL : 0;
}

/*
 * fcntl(F_GET_SEALS) takes any file with a shmem mapping for one of shmem and looks for the
 * seals in its inode, which here is the node's. In devtmpfs or tmpfs that is one of shmem's,
 * without seals; a node made elsewhere would be read, and written, as what it is not.
 */
static bool is_misread(const struct mmapdemo_device *dev, const struct inode *node)
{
	return shmem_mapping(dev->inode->i_mapping) && node->i_sb->s_magic != TMPFS_MAGIC;
}

static int check_open(const struct mmapdemo_device *dev, const struct inode *node,
		      const struct file *file)
{
	if (is_misread(dev, node))
		return -ENXIO;
	if (dev->read_only && (file->f_mode & FMODE_WRITE))
		return -EACCES;
	return mmapdemo_check_flags(file->f_flags);
}

static struct mmapdemo_open *open_alloc(struct mmapdemo_device *dev, int flags)
{
	struct mmapdemo_open *open;
	int err;

	open = kzalloc(sizeof(*open), GFP_KERNEL);
	if (!open)
		return ERR_PTR(-ENOMEM);
	open->dev = dev;
	if (!dev->backing->open)
		return open;
	err = dev->backing->open(dev, open, flags);
	if (err) {
		kfree(open);
		return ERR_PTR(err);
	}
	return open;
}

static int mmapdemo_open_file(struct inode *inode, struct file *file)
{
	struct mmapdemo_device *dev = container_of(inode->i_cdev, struct mmapdemo_device, cdev);
	struct mmapdemo_open *open;
	int err;

	err = check_open(dev, inode, file);
	if (err)
		return err;
	/* Either deleting sees us, or we see that it is deleted. */
	if (!atomic_inc_unless_negative(&dev->opens))
		return -ENODEV;
	open = open_alloc(dev, file->f_flags);
	if (IS_ERR(open)) {
		atomic_dec(&dev->opens);
		return PTR_ERR(open);
	}
	/*
	 * The core keeps a shared mapping in file->f_mapping's tree and counts the writable
	 * ones there while it makes them, so that a memfd is not sealed meanwhile. The write
	 * error mark goes with the mapping.
	 */
	file->f_mapping = dev->inode->i_mapping;
	file->f_wb_err = filemap_sample_wb_err(file->f_mapping);
	file->private_data = open;
	return 0;
}

static int mmapdemo_release(struct inode *inode, struct file *file)
{
	struct mmapdemo_open *open = mmapdemo_open(file);

	if (open->lower)
		fput(open->lower);
	atomic_dec(&open->dev->opens);
	kfree(open);
	return 0;
}

static loff_t mmapdemo_llseek(struct file *file, loff_t offset, int whence)
{
	struct mmapdemo_device *dev = dev_of(file);
	loff_t size = mmapdemo_size(dev);

	if (is_dead(file))
		return -ENODEV;
	if (whence == SEEK_DATA || whence == SEEK_HOLE) {
		if (offset < 0 || offset >= size)
			return -ENXIO;
		offset = dev->backing->seek(file, offset, whence);
		return offset < 0 ? offset : vfs_setpos(file, offset, MAX_LFS_FILESIZE);
	}
	return generic_file_llseek_size(file, offset, whence, MAX_LFS_FILESIZE, size);
}

static ssize_t mmapdemo_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct mmapdemo_device *dev = dev_of(iocb->ki_filp);

	if (is_dead(iocb->ki_filp))
		return -ENODEV;
	if (!iov_iter_count(to) || iocb->ki_pos >= mmapdemo_size(dev))
		return 0;
	return dev->backing->read_iter(iocb, to);
}

/*
 * The device never grows the file behind it, except when somebody else truncates that file
 * after its size was looked at here; only the file's own lock could prevent it.
 */
static ssize_t mmapdemo_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	struct mmapdemo_device *dev = dev_of(iocb->ki_filp);
	loff_t size = mmapdemo_size(dev);
	size_t len = iov_iter_count(from);
	ssize_t ret;

	if (is_dead(iocb->ki_filp))
		return -ENODEV;
	if (iocb->ki_flags & IOCB_APPEND)
		iocb->ki_pos = size;
	if (!len)
		return 0;
	if (iocb->ki_pos >= size)
		return -ENOSPC;
	/* Crossing the end is short; the caller gets his iterator back as long as it was. */
	iov_iter_truncate(from, size - iocb->ki_pos);
	len -= iov_iter_count(from);
	ret = dev->backing->write_iter(iocb, from);
	iov_iter_reexpand(from, iov_iter_count(from) + len);
	return ret;
}

static ssize_t mmapdemo_splice_read(struct file *file, loff_t *pos, struct pipe_inode_info *pipe,
				    size_t len, unsigned int flags)
{
	loff_t left = mmapdemo_size(dev_of(file)) - *pos;

	if (is_dead(file))
		return -ENODEV;
	if (left <= 0)
		return 0;
	len = min_t(loff_t, len, left);
	return dev_of(file)->backing->splice_read(file, pos, pipe, len, flags);
}

static int mmapdemo_fsync(struct file *file, loff_t start, loff_t end, int datasync)
{
	if (is_dead(file))
		return -ENODEV;
	return dev_of(file)->backing->fsync(file, start, end, datasync);
}

/* There are always bytes, and always room for bytes, until the device is deleted. */
static __poll_t mmapdemo_poll(struct file *file, poll_table *wait)
{
	poll_wait(file, &dev_of(file)->hangup, wait);
	return is_dead(file) ? EPOLLHUP | EPOLLERR : DEFAULT_POLLMASK;
}

/*
 * Not left to the core: with file->f_mapping it would hand our file to the readahead of
 * another file system, and faults read ahead by the lower file's advice.
 */
static int mmapdemo_fadvise(struct file *file, loff_t offset, loff_t len, int advice)
{
	struct file *lower = mmapdemo_open(file)->lower;

	if (is_dead(file))
		return -ENODEV;
	return lower ? vfs_fadvise(lower, offset, len, advice) :
		       generic_fadvise(file, offset, len, advice);
}

static unsigned long mmapdemo_get_unmapped_area(struct file *file, unsigned long addr,
						unsigned long len, unsigned long pgoff,
						unsigned long flags)
{
	return dev_of(file)->backing->get_unmapped_area(file, addr, len, pgoff, flags);
}

static int mmapdemo_mmap(struct file *file, struct vm_area_struct *vma)
{
	int err;

	/* The core lets a character device be mapped up to 2^63; no page is that far. */
	if (is_dead(file))
		err = -ENODEV;
	else if (vma->vm_pgoff + vma_pages(vma) > MAX_LFS_FILESIZE >> PAGE_SHIFT)
		err = -EOVERFLOW;
	else
		err = mmapdemo_mapping_create(file, vma);
	trace_mmapdemo_mmap(dev_of(file), vma->vm_pgoff, vma->vm_start, MMAPDEMO_NO_ACCESS,
			    (__force vm_fault_t)err, 0);
	return err;
}

const struct file_operations mmapdemo_fops = {
	.owner			= THIS_MODULE,
	.open			= mmapdemo_open_file,
	.release		= mmapdemo_release,
	.check_flags		= mmapdemo_check_flags,
	.llseek			= mmapdemo_llseek,
	.read_iter		= mmapdemo_read_iter,
	.write_iter		= mmapdemo_write_iter,
	.splice_read		= mmapdemo_splice_read,
	.splice_write		= iter_file_splice_write,
	.poll			= mmapdemo_poll,
	.fsync			= mmapdemo_fsync,
	.fadvise		= mmapdemo_fadvise,
	.get_unmapped_area	= mmapdemo_get_unmapped_area,
	.mmap			= mmapdemo_mmap,
};
