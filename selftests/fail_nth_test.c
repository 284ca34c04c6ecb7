// SPDX-License-Identifier: GPL-2.0
/*
 * A system call, or an access, with its first allocation failed, then with its second, until
 * none is left to fail: each time it says so cleanly and leaves nothing behind, or does
 * without. The kernel fails copies from and to user memory in the same way (EFAULT).
 *
 * Needs fault injection (CONFIG_FAULT_INJECTION and its parts): selftests/vm/run -k debug. What
 * leaked all the same is found by kmemleak at the end of that run.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control.h"
#include "fail_nth.h"
#include "fixture.h"

/* Nobody else may have a part of it. */
static bool named_in(const char *path)
{
	static char text[65536];

	return read_file(path, text, sizeof(text)) < 0 || strstr(text, "mmapdemo");
}

/* Loading */

FIXTURE(load)
{
	struct device dev;
	int nth;
};

FIXTURE_VARIANT(load)
{
	enum backing backing;
};

VARIANT(load, ram, RAM_HUGE);
VARIANT(load, ext4, EXT4);

FIXTURE_SETUP(load)
{
	int err;

	self->nth = fail_nth_open();
	if (self->nth < 0)
		SKIP(return, "this kernel has no fault injection");
	err = device_up(&self->dev, variant->backing);
	if (err > 0)
		SKIP(return, "%s", self->dev.why);
	ASSERT_EQ(0, err);
	close(self->dev.fd);
	ASSERT_EQ(0, module_unload());
}

FIXTURE_TEARDOWN_PARENT(load)
{
	fail_nth_everywhere();
	device_down(&self->dev);
	EXPECT_FALSE(module_loaded());
}

static int load_module(const struct device *dev)
{
	return is_ram(dev) ? module_load("size=%zu", dev->size) :
			     module_load("backing=file path=%s", dev->path);
}

/*
 * A load takes a second there and has hundreds of allocations, most of them before our init: for
 * them the core answers, and one in MMAPDEMO_STEP (17) of all is failed; of those from our init on
 * each is, or of a device over a file one in a quarter of that. Odd: kmemleak has one of its own
 * for each, which nothing depends on, and an even step would meet mostly those.
 */
#define STEP 17

static unsigned int wide_step(void)
{
	const char *step = getenv("MMAPDEMO_STEP");

	return step && atoi(step) > 0 ? atoi(step) : STEP;
}

/* One load with its nth allocation failed: did it fail? */
static bool load_once(struct __test_metadata *_metadata, const struct device *dev, int fd,
		      unsigned int nth, int *err)
{
	bool hit;

	fail_nth_arm(fd, nth);
	*err = load_module(dev);
	hit = fail_nth_disarm(fd);
	if (!*err) {
		EXPECT_EQ(0, module_unload());
	} else {
		EXPECT_TRUE(hit && fail_nth_is_clean(*err)) {
			TH_LOG("allocation %u: %s", nth, strerror(-*err));
		}
	}
	ASSERT_FALSE(module_loaded());
	ASSERT_FALSE(named_in("/proc/devices"));
	ASSERT_FALSE(named_in("/proc/filesystems"));
	return hit;
}

/* How many of them made it fail; the last one found nothing to fail. */
static unsigned int load_until_it_works(struct __test_metadata *_metadata,
					const struct device *dev, int fd, unsigned int step)
{
	unsigned int nth = 1, failed = 0;
	int err;

	for (; load_once(_metadata, dev, fd, nth, &err); nth += step)
		failed += err != 0;
	TH_LOG("some %u allocations, one in %u failed: %u of them needed", nth - 1, step, failed);
	EXPECT_EQ(0, err);
	return failed;
}

TEST_F_TIMEOUT(load, insmod, 900)
{
	if (is_ram(&self->dev)) {
		EXPECT_LT(5, load_until_it_works(_metadata, &self->dev, self->nth, wide_step()));
	}
	/* What a file needs besides is failed by control_fail_nth_test, one after the other. */
	fail_nth_only_in("do_init_module");
	if (is_ram(&self->dev)) {
		EXPECT_LT(20, load_until_it_works(_metadata, &self->dev, self->nth, 1));
	} else {
		EXPECT_LT(10, load_until_it_works(_metadata, &self->dev, self->nth,
						  wide_step() / 4 | 1));
	}
	fail_nth_everywhere();
}

/* What is done with a device */

FIXTURE(device)
{
	struct device dev;
	int nth;
	char *map;
};

FIXTURE_VARIANT(device)
{
	enum backing backing;
};

RAM_VARIANTS(device);
VARIANT(device, ext4, EXT4);
VARIANT(device, tmpfs, TMPFS);

FIXTURE_SETUP(device)
{
	int err;

	self->nth = fail_nth_open();
	if (self->nth < 0)
		SKIP(return, "this kernel has no fault injection");
	err = device_up(&self->dev, variant->backing);
	if (err > 0)
		SKIP(return, "%s", self->dev.why);
	ASSERT_EQ(0, err);
	self->map = map(self->dev.fd, self->dev.size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	ASSERT_NE(MAP_FAILED, self->map);
}

FIXTURE_TEARDOWN_PARENT(device)
{
	if (!self->dev.size)
		return;
	EXPECT_EQ(0, device_down(&self->dev));
}

/* One thing to do, each time from the same state and, if it works, back to it: 0 or -errno. */
typedef int (*op_t)(struct device *dev, char *map);

static int op_open(struct device *dev, char *map)
{
	int fd = open(NODE, O_RDWR | O_CLOEXEC);

	(void)dev;
	(void)map;
	return fd < 0 ? -errno : close(fd);
}

static int op_mmap(struct device *dev, char *map, int flags)
{
	char *p = mmap(NULL, dev->size, PROT_READ | PROT_WRITE, flags, dev->fd, 0);

	(void)map;
	if (p == MAP_FAILED)
		return -errno;
	while (munmap(p, dev->size))
		if (errno != ENOMEM)
			return -errno;
	return 0;
}

static int op_mmap_shared(struct device *dev, char *map)
{
	return op_mmap(dev, map, MAP_SHARED);
}

static int op_mmap_private(struct device *dev, char *map)
{
	return op_mmap(dev, map, MAP_PRIVATE);
}

/* The rest of the mapping stays as it is: three VMAs. */
static int op_protect_middle(struct device *dev, char *map)
{
	(void)dev;
	if (mprotect(map + PAGE_SIZE, PAGE_SIZE, PROT_READ))
		return -errno;
	while (mprotect(map + PAGE_SIZE, PAGE_SIZE, PROT_READ | PROT_WRITE))
		if (errno != ENOMEM)
			return -errno;
	return 0;
}

static int op_fork(struct device *dev, char *map)
{
	pid_t pid = fork();

	(void)dev;
	(void)map;
	if (!pid)
		_exit(0);
	return pid < 0 ? -errno : reap(pid);
}

static int op_duplicate(struct device *dev, char *map)
{
	char *p = mremap(map, 0, dev->size, MREMAP_MAYMOVE);

	if (p == MAP_FAILED)
		return -errno;
	while (munmap(p, dev->size))
		if (errno != ENOMEM)
			return -errno;
	return 0;
}

static int op_read(struct device *dev, char *map)
{
	char page[PAGE_SIZE];
	ssize_t n = pread(dev->fd, page, sizeof(page), PAGE_SIZE);

	if (n < 0)
		return -errno;
	return memcmp(page, map + PAGE_SIZE, n) ? -EILSEQ : 0;
}

static int op_write(struct device *dev, char *map)
{
	char page[PAGE_SIZE];

	memcpy(page, map + PAGE_SIZE, sizeof(page));
	return pwrite(dev->fd, page, sizeof(page), PAGE_SIZE) < 0 ? -errno : 0;
}

static int op_splice(struct device *dev, char *map)
{
	loff_t offset = 0;
	int pipes[2];
	ssize_t n;

	(void)map;
	if (pipe2(pipes, O_CLOEXEC))
		return -errno;
	n = splice(dev->fd, &offset, pipes[1], NULL, PAGE_SIZE, 0);
	n = n < 0 ? -errno : 0;
	close(pipes[0]);
	close(pipes[1]);
	return n;
}

static int op_msync(struct device *dev, char *map)
{
	*(volatile char *)map = *(volatile char *)map;
	return msync(map, dev->size, MS_SYNC) ? -errno : 0;
}

static int op_sysfs(struct device *dev, char *map)
{
	static const char *const files[] = { "stat", "faults/read", "latency/read", "path" };
	char text[PAGE_SIZE];
	ssize_t n;

	(void)map;
	for (size_t i = 0; i < (is_ram(dev) ? 3 : 4); i++) {
		char path[96];

		snprintf(path, sizeof(path), SYSFS "%s", files[i]);
		n = read_file(path, text, sizeof(text));
		if (n < 0)
			return n;
	}
	n = write_file(SYSFS "reset", "1");
	return n < 0 ? n : 0;
}

/*
 * File systems that write to a disk may say EIO for what they could not get; opening may run out
 * of files, forking out of processes.
 */
static bool may_say(op_t op, int err)
{
	if (fail_nth_is_clean(err))
		return true;
	return (op == op_msync && err == -EIO) || (op == op_open && err == -ENFILE) ||
	       (op == op_splice && err == -ENFILE) || (op == op_fork && err == -EAGAIN);
}

TEST_F_TIMEOUT(device, calls, 600)
{
	static const struct {
		const char *name;
		op_t op;
	} calls[] = {
		{ "open", op_open }, { "mmap shared", op_mmap_shared },
		{ "mmap private", op_mmap_private }, { "mprotect", op_protect_middle },
		{ "fork", op_fork }, { "mremap", op_duplicate }, { "read", op_read },
		{ "write", op_write }, { "splice", op_splice }, { "msync", op_msync },
		{ "sysfs", op_sysfs },
	};
	struct figures now;
	int live = 1;

	ASSERT_EQ(0, fill(&self->dev));
	load(self->map, self->dev.pages);
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		unsigned int nth = 0, failed = 0;
		long before = module_users();
		bool hit;
		int err;

		do {
			fail_nth_arm(self->nth, ++nth);
			err = calls[i].op(&self->dev, self->map);
			hit = fail_nth_disarm(self->nth);
			failed += err != 0;
			EXPECT_TRUE(!err || (hit && may_say(calls[i].op, err))) {
				TH_LOG("%s, allocation %u: %s", calls[i].name, nth, strerror(-err));
			}
		} while (hit && nth < 10000);
		TH_LOG("%s: %u allocations, %u of them needed", calls[i].name, nth - 1, failed);
		EXPECT_EQ(0, err);
		/* Only a disk is written back to. */
		EXPECT_EQ(calls[i].op == op_msync && variant->backing != EXT4, nth == 1);
		EXPECT_EQ(before, module_users());
		ASSERT_EQ(0, figures(&now));
		/* What mprotect() has split in three is not joined again. */
		live = calls[i].op == op_protect_middle ? 3 : live;
		EXPECT_EQ(live, now.count[LIVE]);
		EXPECT_TRUE(holds(self->map, self->dev.pages, TAG));
	}
}

/* An access to a page that is nowhere yet */

/* Alone in its 512 GiB: its page tables are its own, down from the second level. */
#define ALONE ((void *)(1UL << 44))

/* Attempts at one kind of access, and what came of them. */
struct tally {
	struct device *dev;
	struct genl genl;
	int nth;
	enum counter kind;
	unsigned int hits;
	unsigned int oom;	/* the handler had no page to give */
	unsigned int small;	/* it had none of 2 MiB */
	long tables;		/* memory of page tables before each, in KiB */
	uint64_t holds;		/* what is in the page */
};

/* In KiB. */
static long page_tables(void)
{
	return line_of("/proc/self/status", "VmPTE:");
}

/* Have no page of the device in memory: 0 or -errno. */
static int cool(struct genl *genl, const struct device *dev)
{
	if (is_ram(dev))
		return punch(genl, "mmapdemo", 0, dev->size);
	if (dev->backing == TMPFS)
		return RC(fallocate(dev->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
				    dev->size));
	return RC(fsync(dev->file)) ?: -posix_fadvise(dev->file, 0, 0, POSIX_FADV_DONTNEED);
}

static bool is_cold(const struct device *dev, void *map)
{
	static unsigned char there[3 * HUGE_SIZE / PAGE_SIZE];

	return !mincore(map, dev->size, there) && !memchr(there, 1, dev->pages);
}

/* A mapping of which there is nothing: no page, no page table, and no anon_vma. */
static char *map_cold(struct genl *genl, const struct device *dev, enum counter kind)
{
	int flags = (kind == COW ? MAP_PRIVATE : MAP_SHARED) | MAP_FIXED_NOREPLACE;
	char *p;

	/* A page that the journal of the file system holds goes a little later. */
	for (int i = 0; i < 100; i++) {
		if (cool(genl, dev))
			break;
		p = mmap(ALONE, dev->size, PROT_READ | PROT_WRITE, flags, dev->fd, 0);
		if (p == MAP_FAILED || is_cold(dev, p))
			return p;
		munmap(p, dev->size);
		usleep(20000);
	}
	return MAP_FAILED;
}

/* What page-get tells when only @page is there, or the 2 MiB around it. */
static const char *only(const struct device *dev, size_t page, unsigned int state)
{
	bool huge = state & MMAPDEMO_PAGE_HUGE;
	size_t n = huge ? HUGE_SIZE / PAGE_SIZE : 1;
	static char text[2][80];

	page -= page % n;
	snprintf(text[huge], sizeof(text[huge]), "0+%zu:0 %zu+%zu:%u %zu+%zu:0", page, page, n,
		 state, page + n, dev->pages - page - n);
	return text[huge];
}

/* Of RAM: which page there is now, and all counters. */
static void check_ram(struct __test_metadata *_metadata, struct tally *tally, unsigned int oom)
{
	const char *name = strchr(counter_files[tally->kind], '/') + 1;
	struct device *dev = tally->dev;
	bool store = tally->kind == WRITE;
	unsigned int state = MMAPDEMO_PAGE_RESIDENT | (store ? MMAPDEMO_PAGE_DIRTY : 0);
	bool huge = dev->backing == RAM_HUGE && tally->kind != COW;
	size_t page = dev->pages / 2;
	static struct runs runs;

	ASSERT_EQ(0, get_pages(&tally->genl, "mmapdemo", &runs));
	/* Where there were no 2 MiB to be had it is a small one. */
	if (huge && !strcmp(only(dev, page, state), pages_text(&runs))) {
		tally->small++;
		huge = false;
	}
	EXPECT_STREQ(only(dev, page, state | (huge ? MMAPDEMO_PAGE_HUGE : 0)),
		     pages_text(&runs));
	EXPECT_STREQ(said("%s=%u mkwrite=%d huge=%d oom=%u", name, 1 + oom, store, huge, oom),
		     moved());
}

/* What the access has done to the page, as the mapping and as read() have it. */
static void check_page(struct __test_metadata *_metadata, const struct device *dev,
		       const char *p, uint64_t here, uint64_t there)
{
	uint64_t page[2][PAGE_SIZE / 8] = { { here }, { there } }, now[PAGE_SIZE / 8];
	size_t offset = dev->pages / 2 * PAGE_SIZE;

	EXPECT_EQ(0, memcmp(page[0], p + offset, PAGE_SIZE));
	ASSERT_EQ(PAGE_SIZE, pread(dev->fd, now, PAGE_SIZE, offset));
	EXPECT_EQ(0, memcmp(page[1], now, PAGE_SIZE));
}

/*
 * One access with its nth allocation failed, to a page that is nowhere: did it fail? There is
 * no way to tell of it: the access faults again until it is served. Every attempt that failed
 * in the handler is counted, as a fault and under "oom".
 */
static bool once(struct __test_metadata *_metadata, struct tally *tally, unsigned int nth)
{
	enum counter kind = tally->kind;
	struct device *dev = tally->dev;
	char *p = map_cold(&tally->genl, dev, kind);
	volatile uint64_t *word = (void *)(p + dev->pages / 2 * PAGE_SIZE);
	struct figures now;
	uint64_t seen;
	bool hit;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(tally->tables ?: page_tables(), page_tables());
	/* What is in no page is in the file, if that is on a disk. */
	if (dev->backing != EXT4)
		tally->holds = 0;
	write_file(SYSFS "reset", "1");
	mark();
	fail_nth_arm(tally->nth, nth);
	if (kind == READ)
		seen = *word;
	else
		*word = seen = nth;
	hit = fail_nth_disarm(tally->nth);
	ASSERT_EQ(0, figures(&now));
	EXPECT_EQ(1, now.count[kind] + now.count[AROUND] - now.count[OOM]);
	EXPECT_EQ(0, now.count[SIGBUSES]);
	EXPECT_LE(now.count[OOM], hit);
	EXPECT_TRUE(adds_up(&now));
	tally->oom += now.count[OOM];
	if (is_ram(dev))
		check_ram(_metadata, tally, now.count[OOM]);
	if (kind == WRITE)
		tally->holds = nth;
	check_page(_metadata, dev, p, kind == READ ? tally->holds : nth, tally->holds);
	EXPECT_EQ(kind == READ ? tally->holds : nth, seen);
	ASSERT_EQ(0, munmap(p, dev->size));
	EXPECT_EQ(0, live());
	return hit;
}

/* Three page tables, the page and a node of the page cache; for a copy three more. */
static unsigned int least(enum counter kind)
{
	return kind == COW ? 8 : 5;
}

TEST_F_TIMEOUT(device, accesses, 300)
{
	static const enum counter kinds[] = { READ, WRITE, COW };
	struct tally tally = { .dev = &self->dev, .nth = self->nth, .kind = READ };
	struct device *dev = &self->dev;

	ASSERT_EQ(0, control_open(&tally.genl));
	ASSERT_EQ(0, munmap(self->map, dev->size));
	if (dev->backing == EXT4)
		tally.holds = TAG + dev->pages / 2;
	/* Once without: what else needs memory, a longer stack say, has it then. */
	ASSERT_FALSE(once(_metadata, &tally, 1 << 20));
	tally.tables = page_tables();
	for (int i = 0; i < 3; i++) {
		bool huge = dev->backing == RAM_HUGE && kinds[i] != COW;
		long before = module_users();

		tally.kind = kinds[i];
		tally.hits = 0;
		tally.oom = 0;
		tally.small = 0;
		while (once(_metadata, &tally, tally.hits + 1))
			tally.hits++;
		TH_LOG("%s: %u allocations, %u without a page, %u without 2 MiB",
		       counter_files[kinds[i]], tally.hits, tally.oom, tally.small);
		EXPECT_LE(least(kinds[i]), tally.hits);
		if (is_ram(dev)) {
			EXPECT_EQ(huge, tally.small);
			EXPECT_EQ(!huge, tally.oom);
		}
		EXPECT_EQ(before, module_users());
	}
	EXPECT_EQ(0, cool(&tally.genl, dev));
}

TEST_HARNESS_MAIN
