/* SPDX-License-Identifier: GPL-2.0 */
/*
 * libmmapdemo: the devices of the mmapdemo module, from user space.
 *
 * A device has two faces. Its node (/dev/mmapdemo, /dev/mmapdemo1, ...) is read, written and
 * mapped like a regular file of fixed size. Its directory below /sys/class/mmapdemo tells what
 * its page faults were. A handle joins the two.
 *
 * Every function that can fail returns 0 (or a count) on success and a negative errno on
 * failure; nothing is printed and errno itself means nothing. A handle may be used by one
 * thread at a time. The counters belong to the device, not to the handle: they move for every
 * process that maps it.
 *
 * The environment variable MMAPDEMO_SYSFS replaces "/sys" (not in setuid programs). Tests
 * point it at a directory of their own.
 */
#ifndef MMAPDEMO_H
#define MMAPDEMO_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct mmapdemo_dev - one device; opaque
 *
 * Made by mmapdemo_open(), owned by the caller, freed by mmapdemo_close(). Mappings made
 * through it stay valid after it is closed.
 */
struct mmapdemo_dev;

/**
 * enum mmapdemo_counter - index into &mmapdemo_stat.counter
 *
 * Each stands for the sysfs file of the same name: MMAPDEMO_FAULTS_READ is "faults/read".
 *
 * @MMAPDEMO_FAULTS_READ: read faults that reached the device's own fault handler
 * @MMAPDEMO_FAULTS_WRITE: stores to a shared mapping that found no page mapped
 * @MMAPDEMO_FAULTS_COW: stores to a private mapping that found no page mapped
 * @MMAPDEMO_FAULTS_MKWRITE: times that page_mkwrite ran
 * @MMAPDEMO_FAULTS_AROUND: read traps that map_pages resolved alone
 * @MMAPDEMO_FAULTS_HUGE: faults that were answered with a huge page
 * @MMAPDEMO_FAULTS_MAJOR: faults that waited for storage
 * @MMAPDEMO_FAULTS_RETRY: attempts that ended with VM_FAULT_RETRY
 * @MMAPDEMO_FAULTS_VMA_LOCKED: of read, write and cow: those handled under the per-VMA lock
 * @MMAPDEMO_FAULTS_SIGBUS: faults that ended in SIGBUS
 * @MMAPDEMO_FAULTS_OOM: faults that ended with no memory
 * @MMAPDEMO_FAULTS_HWPOISON: faults that met a poisoned page
 * @MMAPDEMO_FAULTS_INJECTED: faults that a rule decided
 * @MMAPDEMO_MAPPINGS_LIVE: mappings that exist now; a gauge, it falls as well
 * @MMAPDEMO_MAPPINGS_TOTAL: mappings ever made
 * @MMAPDEMO_NR_COUNTERS: how many this header knows
 */
enum mmapdemo_counter {
	MMAPDEMO_FAULTS_READ,
	MMAPDEMO_FAULTS_WRITE,
	MMAPDEMO_FAULTS_COW,
	MMAPDEMO_FAULTS_MKWRITE,
	MMAPDEMO_FAULTS_AROUND,
	MMAPDEMO_FAULTS_HUGE,
	MMAPDEMO_FAULTS_MAJOR,
	MMAPDEMO_FAULTS_RETRY,
	MMAPDEMO_FAULTS_VMA_LOCKED,
	MMAPDEMO_FAULTS_SIGBUS,
	MMAPDEMO_FAULTS_OOM,
	MMAPDEMO_FAULTS_HWPOISON,
	MMAPDEMO_FAULTS_INJECTED,
	MMAPDEMO_MAPPINGS_LIVE,
	MMAPDEMO_MAPPINGS_TOTAL,
	MMAPDEMO_NR_COUNTERS
};

/**
 * enum mmapdemo_latency - index into &mmapdemo_stat.latency, named like the sysfs files
 *
 * @MMAPDEMO_LATENCY_READ: of the faults counted in "faults/read"
 * @MMAPDEMO_LATENCY_WRITE: of those in "faults/write"
 * @MMAPDEMO_LATENCY_COW: of those in "faults/cow"
 * @MMAPDEMO_LATENCY_MKWRITE: of those in "faults/mkwrite"
 * @MMAPDEMO_NR_LATENCIES: how many this header knows
 *
 * Attempts that the kernel makes again ("faults/retry") are in them too, because those are
 * the ones that waited: read, write and cow together hold faults/read + write + cow + retry.
 */
enum mmapdemo_latency {
	MMAPDEMO_LATENCY_READ,
	MMAPDEMO_LATENCY_WRITE,
	MMAPDEMO_LATENCY_COW,
	MMAPDEMO_LATENCY_MKWRITE,
	MMAPDEMO_NR_LATENCIES
};

/* Bucket i: latencies of 2^i to 2^(i+1)-1 ns; 0 also takes 0 ns, the last all longer ones. */
#define MMAPDEMO_NR_BUCKETS	40

/**
 * struct mmapdemo_stat - what a device counted, all of one moment
 * @counter: indexed by &enum mmapdemo_counter
 * @latency: log2 histograms in ns, indexed by &enum mmapdemo_latency and bucket
 *
 * Both have room for counters that later versions may add; what this version does not know is
 * 0.
 */
struct mmapdemo_stat {
	uint64_t counter[32];
	uint64_t latency[8][MMAPDEMO_NR_BUCKETS];
};

/**
 * mmapdemo_for_each() - call a function with the name of every device
 * @fn: called with a name ("mmapdemo", "mmapdemo1", ...) that is valid during the call, in the
 *	order of the numbers; anything but 0 ends the walk
 * @arg: handed to @fn
 *
 * Return: 0, what @fn returned, -ENODEV when the module is not loaded, or another -errno.
 */
int mmapdemo_for_each(int (*fn)(const char *name, void *arg), void *arg);

/**
 * mmapdemo_open() - take a device
 * @name: its name ("mmapdemo1"), or any path of its node (with a slash); NULL is the first
 * device
 * @flags: O_RDONLY or O_RDWR as for open(2), or O_PATH: leave the node alone, for the counters
 * only
 * @devp: where the handle goes; the caller closes it
 *
 * Return: 0, or
 * -ENODEV when the module is not loaded or the path is no device of it,
 * -ENOENT when it has no such device,
 * -ENXIO when the device exists but its node does not,
 * -EACCES or -EPERM when the caller may not open the node, or another -errno.
 */
int mmapdemo_open(const char *name, int flags, struct mmapdemo_dev **devp);

/**
 * mmapdemo_close() - give a device back
 * @dev: the handle, or NULL
 */
void mmapdemo_close(struct mmapdemo_dev *dev);

/**
 * mmapdemo_name() - the device's name in sysfs
 * @dev: the device
 *
 * Return: a string that lives as long as @dev.
 */
const char *mmapdemo_name(const struct mmapdemo_dev *dev);

/**
 * mmapdemo_fd() - the open node, for read(2), write(2), lseek(2), fsync(2) and so on
 * @dev: the device, which keeps the descriptor
 *
 * Return: a descriptor, or -EBADF after an open with O_PATH.
 */
int mmapdemo_fd(const struct mmapdemo_dev *dev);

/**
 * mmapdemo_size() - how large the device is
 * @dev: the device
 * @bytes: where the size goes
 *
 * Return: 0 or -errno; -ENOENT when the device is gone.
 */
int mmapdemo_size(const struct mmapdemo_dev *dev, uint64_t *bytes);

/**
 * mmapdemo_backing() - where the device's pages come from
 * @dev: the device
 *
 * Return: "ram", "file" or what a later module calls it; lives as long as @dev.
 */
const char *mmapdemo_backing(const struct mmapdemo_dev *dev);

/**
 * mmapdemo_path() - the file behind the device
 * @dev: the device
 *
 * Return: a path that lives as long as @dev, or NULL when no file is behind it.
 */
const char *mmapdemo_path(const struct mmapdemo_dev *dev);

/**
 * mmapdemo_dirty_pages() - how many pages are recorded as dirty
 * @dev: the device
 * @pages: where the number of pages goes
 *
 * Return: 0, -EOPNOTSUPP when this backing keeps no record, or another -errno.
 */
int mmapdemo_dirty_pages(const struct mmapdemo_dev *dev, uint64_t *pages);

/**
 * mmapdemo_map() - map a part of the device
 * @dev: the device, not opened with O_PATH
 * @offset: first byte of it, a multiple of the page size
 * @length: bytes; may reach past the end of the device, where a touch raises SIGBUS
 * @prot: PROT_READ and PROT_WRITE as for mmap(2)
 * @flags: MAP_SHARED or MAP_PRIVATE, with MAP_FIXED, MAP_POPULATE, ... as for mmap(2)
 * @addr: in: the hint, or the place with MAP_FIXED, or NULL; out: where the mapping begins
 *
 * Return: 0 or the -errno of mmap(2). The caller ends the mapping with mmapdemo_unmap().
 */
int mmapdemo_map(const struct mmapdemo_dev *dev, uint64_t offset, size_t length, int prot,
		 int flags, void **addr);

/**
 * mmapdemo_unmap() - end a mapping, or a part of one
 * @addr: where it begins
 * @length: bytes
 *
 * Return: 0 or the -errno of munmap(2).
 */
int mmapdemo_unmap(void *addr, size_t length);

/**
 * mmapdemo_stat_read() - a consistent snapshot of counters and histograms
 * @dev: the device
 * @stat: where it goes
 *
 * One read of one file. Lines of newer modules are passed over.
 *
 * Return: 0, -EPROTO when a known line is missing or malformed, -ENOENT when the device is
 * gone, or another -errno.
 */
int mmapdemo_stat_read(const struct mmapdemo_dev *dev, struct mmapdemo_stat *stat);

/**
 * mmapdemo_stat_diff() - what happened between two snapshots
 * @later: the newer one
 * @earlier: the older one
 * @delta: where later minus earlier goes; a gauge keeps the later value. May be @later or
 * @earlier
 *
 * Return: 0, or -ERANGE when a counter went backwards: somebody reset the device in between.
 * @delta is then undefined.
 */
int mmapdemo_stat_diff(const struct mmapdemo_stat *later, const struct mmapdemo_stat *earlier,
		       struct mmapdemo_stat *delta);

/**
 * mmapdemo_counter_name() - the name of a counter
 * @counter: counted from 0
 *
 * Return: "faults/read" and so on, or NULL past the last: iterate until then.
 */
const char *mmapdemo_counter_name(unsigned int counter);

/**
 * mmapdemo_latency_name() - the name of a histogram
 * @latency: counted from 0
 *
 * Return: "latency/read" and so on, or NULL past the last: iterate until then.
 */
const char *mmapdemo_latency_name(unsigned int latency);

/**
 * mmapdemo_latency_total() - how many latencies a histogram holds
 * @bucket: MMAPDEMO_NR_BUCKETS numbers
 *
 * Return: their sum.
 */
uint64_t mmapdemo_latency_total(const uint64_t *bucket);

/**
 * mmapdemo_latency_quantile() - an upper bound for a quantile
 * @bucket: MMAPDEMO_NR_BUCKETS numbers
 * @percent: 50 for the median, 99, ...; 1 to 100
 *
 * Return: the longest latency in ns of the bucket that holds the quantile, so at most twice
 * the true value; UINT64_MAX when that is the last bucket, which has no end; 0 for an empty
 * histogram.
 */
uint64_t mmapdemo_latency_quantile(const uint64_t *bucket, unsigned int percent);

/**
 * mmapdemo_reset() - set all counters and histograms to zero; root only
 * @dev: the device
 *
 * Return: 0 or -errno. The gauge MMAPDEMO_MAPPINGS_LIVE keeps its value.
 */
int mmapdemo_reset(const struct mmapdemo_dev *dev);

#ifdef __cplusplus
}
#endif

#endif /* MMAPDEMO_H */
