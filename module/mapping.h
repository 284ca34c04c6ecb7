/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who maps a device: one struct mmapdemo_mapping for each VMA.
 *
 * A VMA that fork, a split or mremap makes of another gets one of its own, and its figures
 * begin at 0, so that each line of /proc/PID/maps that is a mapping of the device can be
 * told from the others.
 */
#ifndef MMAPDEMO_MAPPING_H
#define MMAPDEMO_MAPPING_H

#include <linux/mm.h>
#include <linux/rbtree.h>
#include <linux/sched.h>

#include "mmapdemo.h"

/**
 * struct mmapdemo_mapping - one VMA of a device
 * @ops: what the VMA points to
 * @inner: a copy of what the backing installed, one load nearer to the fault path; of a dead
 *	device it is what answers SIGBUS
 * @cpu: the device's figures, likewise
 * @faults: its own, by enum mmapdemo_access and MMAPDEMO_MAPPING_AROUND
 * @installed: what the backing installed, for the VMA to go back to
 * @dev: the device; @file keeps it
 * @file: the file that was mapped. For a file device vma->vm_file is the file behind it,
 *	and without this reference nothing would hold the device and the module.
 * @vma: the VMA; it and its mm exist as long as @node is in the tree
 * @node: in dev->mappings
 * @id: grows with each mapping of the device, orders the tree
 * @maker: the thread that called mmap(), NULL of what was made of another mapping
 * @stamp: what stamp() last left in the file's inode. Unlocked: should two CPUs mix theirs
 *	while a third sets the time, the next jiffy puts it right.
 */
struct mmapdemo_mapping {
	struct vm_operations_struct ops;
	struct vm_operations_struct inner;
	struct mmapdemo_stats_cpu __percpu *cpu;
	atomic_long_t faults[MMAPDEMO_NR_MAPPING_FAULTS];
	const struct vm_operations_struct *installed;
	struct mmapdemo_device *dev;
	struct file *file;
	struct vm_area_struct *vma;
	struct rb_node node;
	u64 id;
	struct pid *maker;
	struct {
		unsigned long tick;
		struct timespec64 mtime;
		u64 version;
		u32 ctime_raw;
	} stamp;
};

/**
 * struct mmapdemo_mapping_info - what is told of a mapping
 * @pid, @tgid: of @maker, if it still runs, else as the next; and of the process: in the PID
 *	namespace of who asks, 0 if it is not in that
 * @comm: name of the process's main thread
 * @start, @end, @pgoff: as in the VMA
 * @flags: VM_*
 * @faults: as in struct mmapdemo_mapping
 */
struct mmapdemo_mapping_info {
	pid_t pid;
	pid_t tgid;
	char comm[TASK_COMM_LEN];
	unsigned long start;
	unsigned long end;
	unsigned long pgoff;
	unsigned long flags;
	u64 faults[MMAPDEMO_NR_MAPPING_FAULTS];
};

static inline struct mmapdemo_mapping *mmapdemo_mapping_of(const struct vm_area_struct *vma)
{
	return container_of(vma->vm_ops, struct mmapdemo_mapping, ops);
}

/* In mapping.c */
int mmapdemo_mapping_create(struct file *file, struct vm_area_struct *vma);
u64 mmapdemo_mapping_last(struct mmapdemo_device *dev);
int mmapdemo_mapping_next(struct mmapdemo_device *dev, u64 *id, u64 last,
			  struct mmapdemo_mapping_info *info);
int mmapdemo_mappings_kill(struct mmapdemo_device *dev);

/* In fault.c */
void mmapdemo_fault_wrap(struct mmapdemo_mapping *m);
void mmapdemo_fault_kill(struct mmapdemo_mapping *m);

#endif /* MMAPDEMO_MAPPING_H */
