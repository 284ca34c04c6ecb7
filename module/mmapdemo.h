/* SPDX-License-Identifier: GPL-2.0 */
/*
 * mmapdemo: the map of the module
 *
 * A page's way, and the file that tells of each stage:
 *
 *	insmod		main.c, device.c	make a device over a backing and publish it
 *	open, read...	file.c			the device as a file of fixed size
 *	mmap		file.c -> fault.c	the backing sets the VMA up, we go on top
 *	fault		fault.c -> backing	count, time and trace the backing's handler
 *	page		backing_*.c		find or make the page, hand it over locked
 *	dirty		fault.c -> backing	page_mkwrite
 *	close		fault.c			the last VMA of a mapping lets the device go
 *
 * Calls go down this list and never up: main, sysfs, device, file, fault, {stats, trace};
 * device, file and fault reach a backing through backing.h only.
 *
 * Lifetimes. A struct file of the device holds the device and the module. A mapping holds
 * the file it was made from, so what is open or mapped can neither be freed nor unloaded,
 * and the last step of letting go, fput(), is completed by the core and not by code that
 * it may unload. A fault that gave up the lock of its VMA holds nothing: it is counted in
 * and out (stats.h), the device is freed when none is inside, and unloading waits until
 * each task was seen outside of our text (device.c).
 */
#ifndef MMAPDEMO_H
#define MMAPDEMO_H

#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/fs.h>

#include "backing.h"
#include "compat.h"
#include "stats.h"

#define MMAPDEMO_DEFAULT_SIZE	(64ULL << 20)

/**
 * struct mmapdemo_spec - what a device is to be
 * @backing: name of its backing
 * @size: size in bytes as a user wrote it (K, M, G accepted), NULL for the default
 * @path: file for backing=file, else NULL
 * @huge: hand over PMD-sized folios where they fit
 */
struct mmapdemo_spec {
	char *backing;
	char *size;
	char *path;
	bool huge;
};

/**
 * struct mmapdemo_device - a device
 * @dev: its place in sysfs; holds the reference count of this structure
 * @cdev: its node; an open file holds it, and through it @dev
 * @backing: what supplies its pages
 * @inode: whose page cache the pages are in; set by the backing
 * @file: backing=file: the attached file
 * @huge: PMD-sized folios where they fit
 * @stats: counters and histograms
 * @live: mappings that exist, mappings/live
 */
struct mmapdemo_device {
	struct device dev;
	struct cdev cdev;
	const struct mmapdemo_backing *backing;
	struct inode *inode;
	struct file *file;
	bool huge;
	struct mmapdemo_stats stats;
	atomic_long_t live;
};

/**
 * struct mmapdemo_open - an open file of a device (file->private_data)
 * @dev: the device
 * @lower: a file of the backing's that belongs to this open file alone, with its own
 *	access mode and its own memory of write errors; NULL where the backing needs none
 */
struct mmapdemo_open {
	struct mmapdemo_device *dev;
	struct file *lower;
};

static inline struct mmapdemo_open *mmapdemo_open(struct file *file)
{
	return file->private_data;
}

static inline loff_t mmapdemo_size(const struct mmapdemo_device *dev)
{
	return i_size_read(dev->inode);
}

/* Minor number: 0 is mmapdemo, 1 is mmapdemo1, ... */
static inline unsigned int mmapdemo_index(const struct mmapdemo_device *dev)
{
	return MINOR(dev->dev.devt);
}

/* In sysfs.c */
extern const struct attribute_group *mmapdemo_groups[];
extern const struct attribute_group *mmapdemo_dirty_groups[];

/* In device.c */
int mmapdemo_devices_init(const struct attribute_group **groups,
			  const struct attribute_group **dirty_groups);
void mmapdemo_devices_exit(void);
struct mmapdemo_device *mmapdemo_device_create(const struct mmapdemo_spec *spec);
void mmapdemo_device_delete(struct mmapdemo_device *dev);

/* In file.c */
extern const struct file_operations mmapdemo_fops;

/* In fault.c */
int mmapdemo_mapping_create(struct file *file, struct vm_area_struct *vma);

#endif /* MMAPDEMO_H */
