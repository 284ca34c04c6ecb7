/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests share: a device to test, its figures, and accesses that trap.
 *
 * Needs root, and in the environment MMAPDEMO_KO (the module) and MMAPDEMO_DIR: a directory
 * with a mounted file system at ext4/, tmpfs/, xfs/ and btrfs/ each, or a file <name>.missing
 * that says why there is none. run-all makes it.
 */
#ifndef MMAPDEMO_TESTS_COMMON_H
#define MMAPDEMO_TESTS_COMMON_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define NODE		"/dev/mmapdemo"
#define SYSFS		"/sys/class/mmapdemo/mmapdemo/"
#define PAGE_SIZE	4096UL
#define HUGE_SIZE	(2UL << 20)
#define BUCKETS		40

/* What a system call says, -errno instead of -1, so that one comparison says all. */
#define RC(call) ({ long rc_ = (call); rc_ < 0 ? -errno : rc_; })

enum backing { RAM_4K, RAM_HUGE, EXT4, TMPFS, MEMFD, XFS, BTRFS };

/*
 * The device under test. The file behind it is @pages long and has every page, each in a
 * folio of its own, clean; pages of RAM do not exist yet: see fill().
 */
struct device {
	enum backing backing;
	size_t size;		/* in bytes */
	size_t pages;
	/*
	 * Pages that every kernel maps around. Some refuse fault-around a huge mapping of
	 * the last folio, by an off-by-one in their check against the size, and call the
	 * fault handler, which gives it: these are without the last 2 MiB of RAM_HUGE.
	 */
	size_t inner;
	int fd;			/* the device, O_RDWR */
	int file;		/* what is behind it, O_RDWR, or -1 */
	char path[128];		/* as the parameter names it */
	char why[160];		/* why there can be no such device here */
};

/* Parameters as insmod takes them: 0 or -errno. */
int module_load(const char *format, ...) __attribute__((format(printf, 1, 2)));
int module_unload(void);
bool module_loaded(void);
/* How many open files, mappings and such keep it; -1 if there is none. */
long module_users(void);

struct genl;

/*
 * For fixtures that make devices of their own: the module is loaded, without a device, and its
 * control plane open. Afterwards nobody may keep it; it stays loaded for the next test, and is
 * unloaded when the program ends or loads it anew by itself. 0 or -errno.
 */
int module_up(struct genl *genl);
int module_down(void);

/*
 * 0, -errno, or 1 and @why. It comes up in the test and goes down after the test's end, by a
 * deletion that nobody may be in the way of; then nobody may keep the module. That is loaded
 * for the first device, and unloaded when the program ends or loads it anew by itself.
 */
int device_up(struct device *dev, enum backing backing);
int device_down(struct device *dev);
bool is_ram(const struct device *dev);

/* Directory of a file system in MMAPDEMO_DIR; NULL and @why if there is none. */
const char *fs_dir(const char *name, char why[160]);

/* Make page i hold TAG + i, in 2 MiB folios where the backing has them. 0 or -errno. */
int fill(struct device *dev);
#define TAG 0x7465737400000000ULL

/* Pages that one read trap maps when all are there and the window is aligned. */
size_t window(const struct device *dev);

/* At an address that is a multiple of 2 MiB. MAP_FAILED and errno as mmap(). */
void *map(int fd, size_t size, int prot, int flags, off_t offset);

/* One access to each of n pages; page i gets tag + i. */
void load(const void *map, size_t n);
void store(void *map, size_t n, uint64_t tag);
bool holds(const void *map, size_t n, uint64_t tag);
/* The same through read() and write(): the pages from the one at offset. */
bool reads(int fd, off_t offset, size_t n, uint64_t tag);
bool writes(int fd, off_t offset, size_t n, uint64_t tag);

/*
 * The signal that a load or store gives, 0 for none. Anything but a SIGBUS with BUS_ADRERR
 * or a SIGSEGV, with the exact address, comes back negative.
 */
int trap_load(const volatile void *address);
int trap_store(volatile void *address);
/* The same for running what is there: it has to be a "ret", 0xc3. */
int trap_call(const volatile void *address);

enum counter {
	READ, WRITE, COW, MKWRITE, AROUND, HUGE, MAJOR, RETRY, SIGBUSES, OOM, HWPOISON,
	INJECTED, TOTAL, LIVE, VMA_LOCKED, NR_COUNTERS
};

struct figures {
	long long count[NR_COUNTERS];
	long long latency[4][BUCKETS];		/* READ to MKWRITE */
};

extern const char *const counter_files[NR_COUNTERS];
extern const char *const latency_files[4];

/* The file "stat" in one read(): 0 or -errno, -EPROTO if it is not as documented. */
int figures(struct figures *figures);
/* Do the histograms hold as many calls as the counters of one snapshot say? */
bool adds_up(const struct figures *figures);

/*
 * Every counter that moved since the last mark() or moved(), by how much: "read=2 around=1",
 * in the order of enum counter, without vma_locked, and for a device over a file without
 * retry: an access comes again whenever a worker of the file system has the folio locked.
 * If the histograms do not add up, or a kernel without VMA locks counts one, it says so.
 */
void mark(void);
const char *moved(void);
/* What moved() is expected to say; parts that end in "=0" are left out. */
const char *said(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The vma_locked of the last moved(). */
long long moved_vma_locked(void);
/* mappings/live as it is now: VMAs of the device. */
long live(void);
/* Does this kernel handle faults on files under the lock of the VMA alone? From 6.7 on. */
bool has_vma_locks(void);

/*
 * How many rounds, of those that a stock kernel does: a debug kernel (KASAN, KCSAN) is many
 * times slower and sees more in each of them, so it does one in 16, but not less than four:
 * a race takes a few.
 */
unsigned long rounds(unsigned long stock);

/*
 * How long to go on with what is done again and again: @most times, or fewer if @seconds are over
 * by then, but never less than @least times, however slow the machine is.
 *	for (i = 0; goes_on(&effort, i); i++)
 */
struct effort {
	unsigned long least, most;
	double end;
};

struct effort effort(unsigned long least, unsigned long most, double seconds);
bool goes_on(const struct effort *effort, unsigned long done);

/* Of the monotonic clock. */
double seconds(void);

/* Wait for a child: its exit status, or -1 if it did not exit. */
int reap(pid_t pid);
/* Run fn(arg) in a child: what it returned, or -1. */
int in_child(int (*fn)(void *arg), void *arg);
/* A file in one read() or write(): bytes or -errno; reading ends the string. */
ssize_t read_file(const char *path, char *buf, size_t size);
ssize_t write_file(const char *path, const char *text);

/*
 * The numbers in the lines "NAME NUMBER ..." of a file, added up, or -1 if there is no such line.
 * A file of /proc is to be read to its end: one read() gives no more than a page of it.
 */
long line_of(const char *path, const char *name);
/*
 * Tell the kernel that the memory of the page at @offset has failed. -EBUSY if it cannot be
 * dropped, because it holds data: it is marked as failed all the same. -ENOENT on a kernel
 * without CONFIG_MEMORY_FAILURE.
 */
ssize_t fail_memory(int fd, off_t offset);
/* Run a command: its exit status. */
int run(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif /* MMAPDEMO_TESTS_COMMON_H */
