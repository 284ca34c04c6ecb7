// SPDX-License-Identifier: GPL-2.0
/*
 * Pages of a file, passed through: a mapping of the device is a mapping of that file.
 *
 * The VMA gets the file and the vm_operations that its own file system installs, so the page
 * cache is the file's: shared with its readers and writers, truncated, written back and
 * sealed as ever. Each open of the device opens the file anew, in the mode that the device
 * was opened in and with the rights of whoever attached it; so an open file of the device
 * hears of a write error once, as an open file of the file itself would.
 */
#include <linux/file.h>
#include <linux/magic.h>
#include <linux/mm.h>
#include <linux/mount.h>
#include <linux/shmem_fs.h>
#include <linux/splice.h>
#include <linux/uio.h>

#include <uapi/linux/fcntl.h>

#include "mmapdemo.h"

static struct file *lower_of(struct file *file)
{
	return mmapdemo_open(file)->lower;
}

/*
 * The files of proc, sysfs and their like are made up as they are read. Most have no page
 * cache operations at all; those of kernfs have the ones of ramfs, and no page either.
 */
static bool is_made_up(const struct file *file)
{
	switch (file_inode(file)->i_sb->s_magic) {
	case PROC_SUPER_MAGIC:
	case SYSFS_MAGIC:
	case CGROUP_SUPER_MAGIC:
	case CGROUP2_SUPER_MAGIC:
	case RDTGROUP_SUPER_MAGIC:
		return true;
	}
	return file->f_mapping->a_ops == &empty_aops;
}

/* Is it a file whose pages are in a page cache that we can share? */
static int check_file(struct mmapdemo_spec *spec, struct file *file)
{
	struct inode *inode = file_inode(file);
	const char *why;
	int err = -EINVAL;

	if (S_ISDIR(inode->i_mode)) {
		why = "is a directory, a regular file is needed";
		err = -EISDIR;
	} else if (!S_ISREG(inode->i_mode)) {
		why = "is not a regular file";
	} else if (!(file->f_mode & FMODE_READ)) {
		why = "is not open for reading";
		err = -EACCES;
	} else if (inode->i_sb->s_magic == HUGETLBFS_MAGIC) {
		why = "is on hugetlbfs, whose pages cannot be passed through";
	} else if (inode->i_sb->s_magic == CODA_SUPER_MAGIC) {
		why = "is on coda, which wraps vm_operations as we do";
	} else if (IS_SWAPFILE(inode)) {
		why = "is in use as swap space";
		err = -ETXTBSY;
	} else if (is_made_up(file) || !can_mmap_file(file) || !file->f_op->read_iter) {
		why = "has no page cache (is it in /proc or /sys?)";
	} else {
		return 0;
	}
	return mmapdemo_refuse(spec, MMAPDEMO_A_FILE, why, err);
}

static int check_spec(struct mmapdemo_spec *spec)
{
	if (!spec->file)
		return mmapdemo_refuse(spec, MMAPDEMO_A_FILE, "is needed with backing file",
				       -EINVAL);
	if (spec->size)
		return mmapdemo_refuse(spec, MMAPDEMO_A_SIZE,
				       "goes with backing ram, a file has its own", -EINVAL);
	if (spec->huge)
		return mmapdemo_refuse(spec, MMAPDEMO_A_FLAGS,
				       "ask for huge pages, which go with backing ram", -EINVAL);
	return check_file(spec, spec->file);
}

/*
 * A file of our own, so that whoever closes his is rid of it: in his mode, and with his
 * rights. One that may only be appended to was opened for writing for that alone.
 */
static int file_create(struct mmapdemo_device *dev, struct mmapdemo_spec *spec)
{
	struct file *file;
	int err;

	err = check_spec(spec);
	if (err)
		return err;
	if (!(spec->file->f_mode & FMODE_WRITE) || IS_APPEND(file_inode(spec->file)))
		dev->read_only = true;
	file = dentry_open(&spec->file->f_path,
			   (dev->read_only ? O_RDONLY : O_RDWR) | O_LARGEFILE | O_NONBLOCK,
			   spec->file->f_cred);
	if (IS_ERR(file))
		return mmapdemo_refuse(spec, MMAPDEMO_A_FILE, "cannot be opened", PTR_ERR(file));
	dev->file = file;
	dev->inode = file->f_mapping->host;
	return 0;
}

static void file_destroy(struct mmapdemo_device *dev)
{
	fput(dev->file);
}

static int file_open(struct mmapdemo_device *dev, struct mmapdemo_open *open, int flags)
{
	struct file *lower;

	/* What else the device was opened with, O_TRUNC or O_APPEND say, is not the file's. */
	flags &= O_ACCMODE | O_SYNC;
	lower = dentry_open(&dev->file->f_path, flags | O_LARGEFILE, dev->file->f_cred);
	if (IS_ERR(lower))
		return PTR_ERR(lower);
	open->lower = lower;
	return 0;
}

/* The core has asked the mount of the device node; here the mount of the file has its say. */
static bool is_noexec(const struct file *file)
{
	const struct vfsmount *mnt = file->f_path.mnt;

	return (mnt->mnt_flags & MNT_NOEXEC) || (mnt->mnt_sb->s_iflags & SB_I_NOEXEC);
}

/* The core of 6.12 and 7.2 asks for seals itself, and it asks the file that it was given, ours. */
static bool refuses_writers(struct file *file)
{
	return shmem_mapping(file->f_mapping) &&
	       (SHMEM_I(file_inode(file))->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE));
}

static int file_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct file *lower = lower_of(file);
	int err;

	if ((vma->vm_flags & VM_SHARED) && refuses_writers(lower)) {
		if (vma->vm_flags & VM_WRITE)
			return -EPERM;
		vm_flags_clear(vma, VM_MAYWRITE);
	}
	if (is_noexec(lower)) {
		if (vma->vm_flags & VM_EXEC)
			return -EPERM;
		vm_flags_clear(vma, VM_MAYEXEC);
	}
	vma_set_file(vma, lower);
	err = vfs_mmap(lower, vma);
	if (err)
		return err;
	if (vma->vm_ops && vma->vm_ops->fault)
		return 0;
	/* It has mapped something else than pages that are faulted in: give it back. */
	if (vma->vm_ops && vma->vm_ops->close)
		vma->vm_ops->close(vma);
	return -ENODEV;
}

/* The same position and wishes on the file below. Synchronous: nobody else knows of it. */
static void lower_iocb(struct kiocb *lower, struct kiocb *iocb)
{
	init_sync_kiocb(lower, lower_of(iocb->ki_filp));
	lower->ki_pos = iocb->ki_pos;
	lower->ki_flags |= iocb->ki_flags & (IOCB_DSYNC | IOCB_SYNC);
}

static ssize_t file_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct kiocb lower;
	ssize_t ret;

	lower_iocb(&lower, iocb);
	ret = vfs_iocb_iter_read(lower.ki_filp, &lower, to);
	iocb->ki_pos = lower.ki_pos;
	return ret;
}

static ssize_t file_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	struct kiocb lower;
	ssize_t ret;

	lower_iocb(&lower, iocb);
	ret = vfs_iocb_iter_write(lower.ki_filp, &lower, from);
	iocb->ki_pos = lower.ki_pos;
	return ret;
}

static ssize_t file_splice_read(struct file *file, loff_t *pos, struct pipe_inode_info *pipe,
				size_t len, unsigned int flags)
{
	return vfs_splice_read(lower_of(file), pos, pipe, len, flags);
}

static loff_t file_seek(struct file *file, loff_t offset, int whence)
{
	return vfs_llseek(lower_of(file), offset, whence);
}

static int file_fsync(struct file *file, loff_t start, loff_t end, int datasync)
{
	return vfs_fsync_range(lower_of(file), start, end, datasync);
}

static unsigned long file_get_unmapped_area(struct file *file, unsigned long addr,
					    unsigned long len, unsigned long pgoff,
					    unsigned long flags)
{
	struct file *lower = lower_of(file);

	if (lower->f_op->get_unmapped_area)
		return lower->f_op->get_unmapped_area(lower, addr, len, pgoff, flags);
	return thp_get_unmapped_area(lower, addr, len, pgoff, flags);
}

static char *file_path_name(struct mmapdemo_device *dev, char *buf)
{
	return d_path(&dev->file->f_path, buf, PATH_MAX);
}

const struct mmapdemo_backing mmapdemo_backing_file = {
	.name			= "file",
	.create			= file_create,
	.destroy		= file_destroy,
	.open			= file_open,
	.mmap			= file_mmap,
	.read_iter		= file_read_iter,
	.write_iter		= file_write_iter,
	.splice_read		= file_splice_read,
	.seek			= file_seek,
	.fsync			= file_fsync,
	.get_unmapped_area	= file_get_unmapped_area,
	.path			= file_path_name,
};
