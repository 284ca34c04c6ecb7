/* SPDX-License-Identifier: GPL-2.0 */
/*
 * libmmapdemo: the devices of the mmapdemo module, from user space.
 *
 * A device has two faces. Its node (/dev/mmapdemo, /dev/mmapdemo1, ...) is read, written and
 * mapped like a regular file of fixed size. Its directory below /sys/class/mmapdemo tells what
 * its page faults were. A handle joins the two. What makes, deletes and examines devices is the
 * second half of this file, from struct mmapdemo_ctl on.
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

#include <stdbool.h>
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

/**
 * struct mmapdemo_ctl - the control plane: makes, deletes and examines devices; opaque
 *
 * Made by mmapdemo_ctl_open(), owned by the caller, freed by mmapdemo_ctl_close(). A function
 * that is called with what was found must not use the same handle: it gets -EBUSY.
 *
 * All calls on it but mmapdemo_get() and mmapdemo_get_all() need CAP_SYS_ADMIN in the initial
 * user namespace, and fail with -EPERM otherwise. Each of them can also fail with
 * -ENODEV: there is no device of this name, or the module is gone,
 * -EINVAL, -ERANGE: an argument is refused; mmapdemo_ctl_error() says which and why,
 * -EOPNOTSUPP: the module, or this backing, cannot do it,
 * -EPROTO: the answer is not understood, -ENOMEM, or another -errno of socket(7).
 *
 * A device is named as in sysfs ("mmapdemo1"); NULL is the first device, "mmapdemo".
 */
struct mmapdemo_ctl;

/* Room for the name of a device, with the NUL at its end. */
#define MMAPDEMO_NAME_SIZE	32

/**
 * mmapdemo_ctl_open() - reach the module; loads it if modprobe(8) finds it
 * @ctlp: where the handle goes; the caller closes it
 *
 * Return: 0, -ENODEV when the module is not loaded and cannot be, or another -errno.
 */
int mmapdemo_ctl_open(struct mmapdemo_ctl **ctlp);

/**
 * mmapdemo_ctl_close() - free a handle; devices stay
 * @ctl: the handle, or NULL
 */
void mmapdemo_ctl_close(struct mmapdemo_ctl *ctl);

/**
 * mmapdemo_ctl_error() - what was wrong with the last call that failed, in English
 * @ctl: the handle
 *
 * Return: what the kernel said, behind the name of the attribute if it names one: "page: is past
 * the end of the device"; the text of the errno if it said nothing, as Linux 6.1 does where a
 * call has a function to be called. Never NULL; valid until the next call on @ctl.
 */
const char *mmapdemo_ctl_error(const struct mmapdemo_ctl *ctl);

/**
 * mmapdemo_ctl_version() - the version of the module's netlink family
 * @ctl: the handle
 *
 * Return: 1 or larger.
 */
unsigned int mmapdemo_ctl_version(const struct mmapdemo_ctl *ctl);

/**
 * struct mmapdemo_spec - what a new device is to be; begin with MMAPDEMO_SPEC_INIT
 * @self_size: size of this structure, by which later versions know yours
 * @backing: "ram" or "file"
 * @name: begins with "mmapdemo", then letters, digits, '.', '_' and '-', at most 31 bytes; NULL
 * for "mmapdemo" and the lowest number that is free
 * @size: bytes, with ram: a multiple of the page size; 0 for 64 MiB
 * @fd: with file: the file, which the device keeps open itself, in its access mode: the node of
 * a device whose file was opened for reading cannot be opened for writing. -1 with ram
 * @read_only: nobody may open the node for writing
 * @small_pages: with ram: 4 KiB pages only, also where a mapping has room for 2 MiB
 */
struct mmapdemo_spec {
	size_t self_size;
	const char *backing;
	const char *name;
	uint64_t size;
	int fd;
	bool read_only;
	bool small_pages;
};

#define MMAPDEMO_SPEC_INIT	{ sizeof(struct mmapdemo_spec), "ram", NULL, 0, -1, false, false }

/**
 * mmapdemo_add() - make a device
 * @ctl: the handle
 * @spec: what it is to be
 * @name: where its name goes, or NULL
 *
 * The device stays until mmapdemo_del(), or until the module is unloaded.
 *
 * Return: 0, or
 * -EEXIST when the name is taken,
 * -EFBIG when @spec asks for more than a file can have,
 * -EBADF when its fd is no open file (or one opened with O_PATH), -EISDIR or -EINVAL when it is
 * no regular file with a page cache, -ETXTBSY when it is a swap file,
 * -E2BIG when @spec is of a later version and uses what this one does not know, or
 * what struct mmapdemo_ctl lists.
 */
int mmapdemo_add(struct mmapdemo_ctl *ctl, const struct mmapdemo_spec *spec,
		 char name[MMAPDEMO_NAME_SIZE]);

/**
 * mmapdemo_del() - delete a device
 * @ctl: the handle
 * @name: the device
 * @force: also while it is open or mapped. Every access through its mappings is a SIGBUS then,
 * its open files fail with ENODEV, poll(2) says POLLHUP. Data in RAM are lost either way
 *
 * Return: 0, -EBUSY without @force when it is open or mapped, or what struct mmapdemo_ctl lists.
 */
int mmapdemo_del(struct mmapdemo_ctl *ctl, const char *name, bool force);

/**
 * struct mmapdemo_info - what a device is and what happened on it
 * @name: its name
 * @backing: "ram", "file" or what a later module calls it
 * @path: path of the file behind it, or empty
 * @size: bytes
 * @dirty_pages: as mmapdemo_dirty_pages() says, UINT64_MAX when this backing keeps no record
 * @opens: open files of the device; a mapping of ram holds one
 * @read_only: nobody may open it for writing
 * @huge_pages: 2 MiB pages where they fit
 * @counter: indexed by &enum mmapdemo_counter
 * @reserved: 0
 */
struct mmapdemo_info {
	char name[MMAPDEMO_NAME_SIZE];
	char backing[32];
	char path[4096];
	uint64_t size;
	uint64_t dirty_pages;
	uint32_t opens;
	bool read_only;
	bool huge_pages;
	uint64_t counter[32];
	uint64_t reserved[8];
};

/**
 * mmapdemo_get() - one device, all figures of one moment
 * @ctl: the handle
 * @name: the device
 * @info: where they go
 *
 * Return: 0 or what struct mmapdemo_ctl lists. Nobody is refused.
 */
int mmapdemo_get(struct mmapdemo_ctl *ctl, const char *name, struct mmapdemo_info *info);

/**
 * mmapdemo_get_all() - every device
 * @ctl: the handle
 * @fn: called for each; @info is valid during the call. Anything but 0 ends the walk
 * @arg: handed to @fn
 *
 * Devices that come or go meanwhile may be in it or not, the others are, each once.
 *
 * Return: 0, what @fn returned, or what struct mmapdemo_ctl lists. Nobody is refused.
 */
int mmapdemo_get_all(struct mmapdemo_ctl *ctl,
		     int (*fn)(const struct mmapdemo_info *info, void *arg), void *arg);

/**
 * struct mmapdemo_mapping - a mapping of a device: one line of /proc/PID/maps
 * @pid: a thread of the process that has it, as your PID namespace numbers it, 0 if it does not
 * @tgid: the process, likewise
 * @comm: name of the process's main thread
 * @start: first address
 * @end: first address behind it
 * @pgoff: page of the device at @start
 * @shared: MAP_SHARED, otherwise MAP_PRIVATE
 * @prot: sum of PROT_READ, PROT_WRITE and PROT_EXEC
 * @counter: its own faults since it was made, by fork(2) or a split too: indexed by
 * &enum mmapdemo_counter, MMAPDEMO_FAULTS_READ to _AROUND; the others are 0
 * @reserved: 0
 */
struct mmapdemo_mapping {
	uint32_t pid;
	uint32_t tgid;
	char comm[32];
	uint64_t start;
	uint64_t end;
	uint64_t pgoff;
	bool shared;
	int prot;
	uint64_t counter[32];
	uint64_t reserved[8];
};

/**
 * mmapdemo_mappings() - who maps a device
 * @ctl: the handle
 * @name: the device
 * @fn: called for each mapping; @mapping is valid during the call. Anything but 0 ends the walk
 * @arg: handed to @fn
 *
 * Return: 0, what @fn returned, or what struct mmapdemo_ctl lists.
 */
int mmapdemo_mappings(struct mmapdemo_ctl *ctl, const char *name,
		      int (*fn)(const struct mmapdemo_mapping *mapping, void *arg), void *arg);

/**
 * enum mmapdemo_state - what a page can be, bits of &mmapdemo_run.state; none: it does not exist
 * @MMAPDEMO_STATE_RESIDENT: in the page cache
 * @MMAPDEMO_STATE_DIRTY: stored to since it was last written back
 * @MMAPDEMO_STATE_HUGE: part of a folio of 2 MiB
 * @MMAPDEMO_STATE_RULE: under a rule
 */
enum mmapdemo_state {
	MMAPDEMO_STATE_RESIDENT = 1,
	MMAPDEMO_STATE_DIRTY = 2,
	MMAPDEMO_STATE_HUGE = 4,
	MMAPDEMO_STATE_RULE = 8
};

/**
 * struct mmapdemo_run - pages in a row that are in the same state
 * @page: number of the first one in the device
 * @pages: how many
 * @state: of each, bits of &enum mmapdemo_state
 */
struct mmapdemo_run {
	uint64_t page;
	uint64_t pages;
	uint32_t state;
};

/**
 * mmapdemo_pages() - what is in each page
 * @ctl: the handle
 * @name: the device
 * @page: number of the first page
 * @pages: how many, 0 for all to the end of the device
 * @fn: called for each run, in the order of the pages; valid during the call. Anything but 0
 * ends the walk
 * @arg: handed to @fn
 *
 * The runs join: every page of the range is in one.
 *
 * Return: 0, what @fn returned, -ERANGE when the range is not inside the device, or what struct
 * mmapdemo_ctl lists.
 */
int mmapdemo_pages(struct mmapdemo_ctl *ctl, const char *name, uint64_t page, uint64_t pages,
		   int (*fn)(const struct mmapdemo_run *run, void *arg), void *arg);

/**
 * mmapdemo_zap() - take pages out of all page tables: the next access to each faults again
 * @ctl: the handle
 * @name: the device
 * @page: number of the first page
 * @pages: how many, 0 for all to the end of the device
 *
 * Nothing is lost: data stay, and so do the copies of private mappings.
 *
 * Return: 0, -ERANGE as mmapdemo_pages(), or what struct mmapdemo_ctl lists.
 */
int mmapdemo_zap(struct mmapdemo_ctl *ctl, const char *name, uint64_t page, uint64_t pages);

/**
 * mmapdemo_wrprotect() - write-protect pages: the next store to each runs page_mkwrite again
 * @ctl: the handle
 * @name: the device
 * @page: number of the first page
 * @pages: how many, 0 for all to the end of the device
 *
 * Return: 0, -ERANGE as mmapdemo_pages(), or what struct mmapdemo_ctl lists.
 */
int mmapdemo_wrprotect(struct mmapdemo_ctl *ctl, const char *name, uint64_t page,
		       uint64_t pages);

/**
 * mmapdemo_harvest() - the pages of ram stored to since the last harvest
 * @ctl: the handle
 * @name: the device
 * @page: number of the first page
 * @pages: how many, 0 for all to the end of the device
 * @fn: called for each run of dirty pages, in their order; the state is MMAPDEMO_STATE_DIRTY
 * @arg: handed to @fn
 *
 * A page is clean and write-protected before @fn hears of it, so a store after that is in the
 * next harvest. Pages of 2 MiB are dirty as a whole. What @fn returns cannot stop it: the rest
 * would be lost.
 *
 * Return: 0, the first of what @fn returned that is not 0, -ERANGE as mmapdemo_pages(),
 * -EOPNOTSUPP when the device is not ram, or what struct mmapdemo_ctl lists. After an error the
 * pages that @fn was not told of may be dirty or not.
 */
int mmapdemo_harvest(struct mmapdemo_ctl *ctl, const char *name, uint64_t page, uint64_t pages,
		     int (*fn)(const struct mmapdemo_run *run, void *arg), void *arg);

/**
 * mmapdemo_resize() - make a device of ram larger or smaller
 * @ctl: the handle
 * @name: the device
 * @size: bytes, 1 or more
 *
 * What is cut off is gone: an access to it is a SIGBUS, and after growing again it is zero.
 *
 * Return: 0, -ERANGE for 0, -EFBIG when a file cannot be so large, -EOPNOTSUPP when the device
 * is not ram, or what struct mmapdemo_ctl lists.
 */
int mmapdemo_resize(struct mmapdemo_ctl *ctl, const char *name, uint64_t size);

/**
 * mmapdemo_punch() - give back the memory of a part of a device of ram: it is zero then
 * @ctl: the handle
 * @name: the device
 * @offset: first byte
 * @length: bytes, 1 or more; pages that are not wholly inside stay, with zeros in that part
 *
 * Return: 0, -ERANGE when it is empty or not inside the device, -EOPNOTSUPP when it is not ram,
 * or what struct mmapdemo_ctl lists.
 */
int mmapdemo_punch(struct mmapdemo_ctl *ctl, const char *name, uint64_t offset,
		   uint64_t length);

/**
 * struct mmapdemo_events - a subscription to events; opaque
 *
 * Made by mmapdemo_events_open(), owned by the caller, freed by mmapdemo_events_close().
 */
struct mmapdemo_events;

/**
 * enum mmapdemo_group - what to subscribe to, a bit each
 * @MMAPDEMO_GROUP_DEVICES: devices that come, go, change
 * @MMAPDEMO_GROUP_FAULTS: faults that fail; needs CAP_SYS_ADMIN
 */
enum mmapdemo_group {
	MMAPDEMO_GROUP_DEVICES = 1,
	MMAPDEMO_GROUP_FAULTS = 2
};

/**
 * enum mmapdemo_event_type - what happened
 * @MMAPDEMO_EVENT_LOST: &mmapdemo_event.lost events of this group are not told, because they
 * were not fetched in time
 * @MMAPDEMO_EVENT_ADDED: a device was made
 * @MMAPDEMO_EVENT_DELETED: one was deleted
 * @MMAPDEMO_EVENT_RESIZED: one has another size
 * @MMAPDEMO_EVENT_MAPPED: its first mapping was made
 * @MMAPDEMO_EVENT_UNMAPPED: its last mapping went away
 * @MMAPDEMO_EVENT_SIGBUS: a fault ended in SIGBUS
 * @MMAPDEMO_EVENT_OOM: one ended without memory
 * @MMAPDEMO_EVENT_HWPOISON: one met a page with a hardware memory error
 * @MMAPDEMO_EVENT_OTHER: something that this version of the library does not know
 */
enum mmapdemo_event_type {
	MMAPDEMO_EVENT_LOST,
	MMAPDEMO_EVENT_ADDED,
	MMAPDEMO_EVENT_DELETED,
	MMAPDEMO_EVENT_RESIZED,
	MMAPDEMO_EVENT_MAPPED,
	MMAPDEMO_EVENT_UNMAPPED,
	MMAPDEMO_EVENT_SIGBUS,
	MMAPDEMO_EVENT_OOM,
	MMAPDEMO_EVENT_HWPOISON,
	MMAPDEMO_EVENT_OTHER
};

/**
 * struct mmapdemo_event - something happened
 * @type: an &enum mmapdemo_event_type
 * @group: an &enum mmapdemo_group
 * @seq: its number in the group; of MMAPDEMO_EVENT_LOST that of the last one lost
 * @lost: with MMAPDEMO_EVENT_LOST: how many, otherwise 0
 * @name: the device
 * @backing: of a device event: where its pages come from
 * @size: of a device event: its size in bytes, after the event
 * @page: of a fault event: number of the page
 * @pid: of a fault event: the thread, in the initial PID namespace
 * @tgid: of a fault event: the process, likewise
 * @comm: of a fault event: name of the thread
 * @reserved: 0
 */
struct mmapdemo_event {
	int type;
	unsigned int group;
	uint64_t seq;
	uint64_t lost;
	char name[MMAPDEMO_NAME_SIZE];
	char backing[32];
	uint64_t size;
	uint64_t page;
	uint32_t pid;
	uint32_t tgid;
	char comm[32];
	uint64_t reserved[8];
};

/**
 * mmapdemo_events_open() - be told what happens from now on
 * @groups: bits of &enum mmapdemo_group
 * @evp: where the handle goes; the caller closes it
 *
 * Return: 0, -EINVAL when @groups is empty or has unknown bits, -EPERM without CAP_SYS_ADMIN
 * for MMAPDEMO_GROUP_FAULTS, -ENODEV as mmapdemo_ctl_open(), or another -errno.
 */
int mmapdemo_events_open(unsigned int groups, struct mmapdemo_events **evp);

/**
 * mmapdemo_events_close() - end a subscription
 * @ev: the handle, or NULL
 */
void mmapdemo_events_close(struct mmapdemo_events *ev);

/**
 * mmapdemo_events_fd() - for poll(2): readable when mmapdemo_events_next() has something
 * @ev: the subscription, which keeps the descriptor
 *
 * Return: a socket. What is not fetched waits in its buffer, see SO_RCVBUF in socket(7); what
 * finds no room there is lost.
 */
int mmapdemo_events_fd(const struct mmapdemo_events *ev);

/**
 * mmapdemo_events_next() - the next event, in the order of its group; does not wait
 * @ev: the subscription
 * @event: where it goes
 *
 * Where events were lost, MMAPDEMO_EVENT_LOST is told in their place. Call it until it says
 * -EAGAIN before poll(2).
 *
 * Return: 0, -EAGAIN when there is none, or another -errno.
 */
int mmapdemo_events_next(struct mmapdemo_events *ev, struct mmapdemo_event *event);

/**
 * mmapdemo_events_lost() - how many events were lost since the subscription began, exactly
 * @ev: the subscription, of which mmapdemo_events_next() has told all
 * @lost: where their number goes
 *
 * The kernel is asked for the number of its last event, so that what was lost behind the last
 * one that arrived is known too. What is found by that, mmapdemo_events_next() tells as well.
 *
 * Return: 0, -EAGAIN when there are events to fetch first (@lost is what is known so far),
 * -ENODEV when the module is gone, or another -errno.
 */
int mmapdemo_events_lost(struct mmapdemo_events *ev, uint64_t *lost);

/**
 * mmapdemo_event_name() - what a type of event is called
 * @type: an &enum mmapdemo_event_type
 *
 * Return: "lost", "added" and so on; "other" for what is none.
 */
const char *mmapdemo_event_name(int type);

/**
 * mmapdemo_state_name() - what a bit of &enum mmapdemo_state is called
 * @bit: counted from 0
 *
 * Return: "resident" and so on, or NULL past the last: iterate until then.
 */
const char *mmapdemo_state_name(unsigned int bit);

#ifdef __cplusplus
}
#endif

#endif /* MMAPDEMO_H */
