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
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/file.h>
#include <linux/magic.h>
#include <linux/mm.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/shmem_fs.h>
#include <linux/splice.h>
#include <linux/uio.h>

#include <uapi/linux/fcntl.h>

#include "mmapdemo.h"

static struct file *lower_of(struct file *file)
{
	return mmapdemo_open(file)->lower;
}

/* Looked at before it is opened: opening a device node or a fifo does things. */
static int check_type(const char *name)
{
	struct path path;
	umode_t mode;
	int err;

	err = kern_path(name, LOOKUP_FOLLOW, &path);
	if (err) {
		pr_err("path=%s cannot be looked up: %pe\n", name, ERR_PTR(err));
		return err;
	}
	mode = d_inode(path.dentry)->i_mode;
	path_put(&path);
	if (S_ISREG(mode))
		return 0;
	pr_err("path=%s is a %s, a regular file is needed\n", name,
	       S_ISDIR(mode) ? "directory" : S_ISFIFO(mode) ? "fifo" :
	       S_ISSOCK(mode) ? "socket" : "device node");
	return S_ISDIR(mode) ? -EISDIR : -EINVAL;
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
static int check_file(struct file *file, const char *name)
{
	struct inode *inode = file_inode(file);

	if (!S_ISREG(inode->i_mode)) {
		pr_err("path=%s is not a regular file any more\n", name);
		return -EINVAL;
	}
	if (inode->i_sb->s_magic == HUGETLBFS_MAGIC) {
		pr_err("path=%s is on hugetlbfs, whose pages cannot be passed through\n", name);
		return -EINVAL;
	}
	if (inode->i_sb->s_magic == CODA_SUPER_MAGIC) {
		pr_err("path=%s is on coda, which wraps vm_operations as we do\n", name);
		return -EINVAL;
	}
	if (IS_SWAPFILE(inode)) {
		pr_err("path=%s is in use as swap space\n", name);
		return -ETXTBSY;
	}
	if (is_made_up(file) || !can_mmap_file(file) || !file->f_op->read_iter) {
		pr_err("path=%s has no page cache (is it in /proc or /sys?)\n", name);
		return -EINVAL;
	}
	return 0;
}

/* For writing too if the caller may and the file system lets it, else for reading. */
static struct file *attach(const char *name)
{
	struct file *file = filp_open(name, O_RDWR | O_LARGEFILE | O_NONBLOCK, 0);

	switch (PTR_ERR_OR_ZERO(file)) {
	case -EACCES:
	case -EPERM:
	case -EROFS:
	case -ETXTBSY:
		file = filp_open(name, O_RDONLY | O_LARGEFILE | O_NONBLOCK, 0);
	}
	if (IS_ERR(file))
		pr_err("path=%s cannot be opened: %pe\n", name, file);
	return file;
}

static int file_create(struct mmapdemo_device *dev, const struct mmapdemo_spec *spec)
{
	struct file *file;
	int err;

	if (!spec->path || !*spec->path) {
		pr_err("backing=file needs path=FILE\n");
		return -EINVAL;
	}
	if (spec->size) {
		pr_err("size=%s goes with backing=ram, a file has its own\n", spec->size);
		return -EINVAL;
	}
	err = check_type(spec->path);
	if (err)
		return err;
	file = attach(spec->path);
	if (IS_ERR(file))
		return PTR_ERR(file);
	err = check_file(file, spec->path);
	if (err) {
		fput(file);
		return err;
	}
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

	if ((OPEN_FMODE(flags) & FMODE_WRITE) && !(dev->file->f_mode & FMODE_WRITE))
		return -EACCES;
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
