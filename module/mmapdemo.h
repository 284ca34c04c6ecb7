/* SPDX-License-Identifier: GPL-2.0 */
/*
 * mmapdemo: the map of the module
 *
 * A page's way, and the file that tells of each stage:
 *
 *	insmod		main.c, params.c	what the parameters ask for
 *	add		netlink.c, device.c	make a device over a backing and publish it
 *	open, read...	file.c			the device as a file
 *	mmap		file.c -> mapping.c	the backing sets the VMA up, we go on top
 *	fault		fault.c -> backing	count, time and trace the backing's handler
 *	page		backing_*.c		find or make the page, hand it over locked
 *	dirty		fault.c -> backing	page_mkwrite
 *	zap, wrprotect	netlink.c -> pages.c	take pages back, so that they fault again
 *	close		mapping.c		the last VMA lets the device go
 *	del		netlink.c, device.c	it dies at once, and is freed when nobody holds it
 *
 * Calls go down this list and never up: main, {params, netlink, sysfs}, device, file,
 * mapping, fault, {pages, stats, trace, events}; they reach a backing through backing.h only.
 *
 * Lifetimes. A struct file of the device holds the device and the module. A mapping holds
 * the file it was made from, so what is open or mapped can neither be freed nor unloaded,
 * and the last step of letting go, fput(), is completed by the core and not by code that
 * it may unload. A command or a dump of netlink's holds the device itself, and the core
 * holds the module meanwhile. A deleted device cannot be found or opened any more; what is
 * open stays, and is answered ENODEV and SIGBUS. A fault that gave up the lock of its VMA
 * holds nothing: it is counted in and out (stats.h), the device is freed when none is
 * inside, and unloading waits until each task was seen outside of our text (device.c).
 */
#ifndef MMAPDEMO_H
#define MMAPDEMO_H

#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/mmapdemo.h>
#include <linux/rbtree.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

#include "backing.h"
#include "compat.h"
#include "stats.h"

#define MMAPDEMO_DEFAULT_SIZE	(64ULL << 20)

/**
 * struct mmapdemo_spec - what a device is to be
 * @backing: name of its backing
 * @name: what it is to be called, NULL for the first name that is free
 * @size: bytes, 0 for the default
 * @file: for backing=file, else NULL; the caller's reference
 * @huge: hand over PMD-sized folios where they fit
 * @read_only: nobody may open it for writing
 * @wrong: of a spec that was refused, which of these was wrong: MMAPDEMO_A_*, or 0
 * @why: and why, to be read after its name and value
 */
struct mmapdemo_spec {
	const char *backing;
	const char *name;
	u64 size;
	struct file *file;
	bool huge;
	bool read_only;
	int wrong;
	const char *why;
};

/* Returns @err, with the reason in @spec. */
static inline int mmapdemo_refuse(struct mmapdemo_spec *spec, int wrong, const char *why, int err)
{
	spec->wrong = wrong;
	spec->why = why;
	return err;
}

/**
 * struct mmapdemo_device - a device
 * @dev: its place in sysfs; holds the reference count of this structure
 * @cdev: its node; an open file holds it, and through it @dev
 * @backing: what supplies its pages
 * @inode: whose page cache the pages are in; set by the backing
 * @file: backing=file: the attached file
 * @huge: PMD-sized folios where they fit
 * @read_only: nobody may open it for writing
 * @opens: open files; MMAPDEMO_DEAD is added when it is deleted
 * @hangup: who polls one of them
 * @stats: counters and histograms
 * @mappings_lock: guards the next three; see mapping.c
 * @mappings: its mappings, by age
 * @last_mapping: id of the youngest ever
 * @live: how many there are, mappings/live
 */
struct mmapdemo_device {
	struct device dev;
	struct cdev cdev;
	const struct mmapdemo_backing *backing;
	struct inode *inode;
	struct file *file;
	bool huge;
	bool read_only;
	atomic_t opens;
	wait_queue_head_t hangup;
	struct mmapdemo_stats stats;
	spinlock_t mappings_lock;
	struct rb_root mappings;
	u64 last_mapping;
	long live;
};

#define MMAPDEMO_DEAD (INT_MIN / 2)

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

/* Deleted: whoever has seen it alive may go on, so deleting waits for those that matter. */
static inline bool mmapdemo_is_dead(const struct mmapdemo_device *dev)
{
	return atomic_read(&dev->opens) < 0;
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

/* In params.c */
int mmapdemo_params_device(void);

/* In netlink.c */
int mmapdemo_netlink_init(void);
void mmapdemo_netlink_ready(void);
void mmapdemo_netlink_exit(void);

/* In sysfs.c */
extern const struct attribute_group *mmapdemo_groups[];
extern const struct attribute_group *mmapdemo_dirty_groups[];

/* In device.c */
int mmapdemo_devices_init(const struct attribute_group **groups,
			  const struct attribute_group **dirty_groups);
void mmapdemo_devices_exit(void);
struct mmapdemo_device *mmapdemo_device_create(struct mmapdemo_spec *spec);
int mmapdemo_device_delete(struct mmapdemo_device *dev, bool force);
struct mmapdemo_device *mmapdemo_device_find(const char *name);
struct mmapdemo_device *mmapdemo_device_next(unsigned long *minor);

/* In file.c */
extern const struct file_operations mmapdemo_fops;

#endif /* MMAPDEMO_H */
