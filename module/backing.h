/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The contract between a device and what supplies its pages.
 *
 * A backing is a page cache (struct inode) and the operations that reach it. The
 * device, its files and its faults know nothing else of it: whoever adds one writes
 * a file backing_<name>.c and one entry in the table in device.c.
 */
#ifndef MMAPDEMO_BACKING_H
#define MMAPDEMO_BACKING_H

#include <linux/fs.h>
#include <linux/mm_types.h>

struct mmapdemo_device;
struct mmapdemo_open;
struct mmapdemo_spec;

/**
 * struct mmapdemo_run - pages in a row that are alike
 * @page: the first
 * @pages: how many
 * @state: enum mmapdemo_page_state
 */
struct mmapdemo_run {
	pgoff_t page;
	pgoff_t pages;
	unsigned int state;
};

/**
 * struct mmapdemo_backing - one kind of page supplier
 * @name: what users call it (backing=NAME)
 * @init: once, before any device is made; may be NULL
 * @exit: once, when no device is left; may be NULL
 * @own: the page cache is the device's alone: nobody reaches it but through the device
 * @create: take @spec, check it, and set dev->inode; on failure say why in @spec,
 *	leave nothing behind and return the errno that the user gets
 * @destroy: drop what @create took; nobody has the device open or mapped any more
 * @resize: make the device @size bytes large; what is cut off is gone, mapped or not.
 *	NULL where that is not the device's to decide, as are the next two
 * @punch: give back the pages of these bytes, which lie below the size; they are zero then
 * @harvest: find the first pages in a row from @page to @end that were stored to since the
 *	last harvest, and write-protect them, so that a later store is in the next one. Of
 *	a folio at either end of the range all pages are told. Returns 1, 0 when there are
 *	none, or -EINTR.
 * @open: a file of the device is being opened: set open->lower if reads and writes
 *	are to go through a file of the backing's own; may be NULL
 * @mmap: set the VMA up as the backing wants it, vm_ops included. The core's checks of
 *	the device file's mode have been made; execute permission is the backing's to
 *	refuse. The fault wrapper goes on top of what it leaves in vma->vm_ops, and
 *	vma->vm_ops->fault must be there.
 * @read_iter: read at iocb->ki_pos, which lies below the size
 * @write_iter: write at iocb->ki_pos; the range lies below the size
 * @splice_read: as file_operations have it
 * @seek: SEEK_DATA and SEEK_HOLE; returns the new position or -ENXIO
 * @fsync: make the bytes from @start to @end durable and write-protect their pages
 * @get_unmapped_area: as file_operations have it
 * @dirty: how many pages were stored to since they were last written back; NULL where
 *	the backing does not know
 * @path: path of what is behind the device into @buf of PATH_MAX bytes, returns it or an
 *	ERR_PTR; NULL where nothing is
 *
 * All but @init, @exit run in process context and may sleep; any number at a time.
 */
struct mmapdemo_backing {
	const char *name;
	bool own;
	int (*init)(void);
	void (*exit)(void);
	int (*create)(struct mmapdemo_device *dev, struct mmapdemo_spec *spec);
	void (*destroy)(struct mmapdemo_device *dev);
	int (*resize)(struct mmapdemo_device *dev, loff_t size);
	int (*punch)(struct mmapdemo_device *dev, loff_t offset, loff_t length);
	int (*harvest)(struct mmapdemo_device *dev, pgoff_t page, pgoff_t end,
		       struct mmapdemo_run *run);
	int (*open)(struct mmapdemo_device *dev, struct mmapdemo_open *open, int flags);
	int (*mmap)(struct file *file, struct vm_area_struct *vma);
	ssize_t (*read_iter)(struct kiocb *iocb, struct iov_iter *to);
	ssize_t (*write_iter)(struct kiocb *iocb, struct iov_iter *from);
	ssize_t (*splice_read)(struct file *file, loff_t *pos, struct pipe_inode_info *pipe,
			       size_t len, unsigned int flags);
	loff_t (*seek)(struct file *file, loff_t offset, int whence);
	int (*fsync)(struct file *file, loff_t start, loff_t end, int datasync);
	unsigned long (*get_unmapped_area)(struct file *file, unsigned long addr,
					   unsigned long len, unsigned long pgoff,
					   unsigned long flags);
	unsigned long (*dirty)(struct mmapdemo_device *dev);
	char *(*path)(struct mmapdemo_device *dev, char *buf);
};

extern const struct mmapdemo_backing mmapdemo_backing_ram;
extern const struct mmapdemo_backing mmapdemo_backing_file;

#endif /* MMAPDEMO_BACKING_H */
