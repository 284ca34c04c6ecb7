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
 * them the core answers, and one in MMAPDEMO_STEP (16) of all is failed; of those from our init on
 * each is.
 */
#define STEP 16

static unsigned int full_step(void)
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
		EXPECT_LT(5, load_until_it_works(_metadata, &self->dev, self->nth, full_step()));
	}
	fail_nth_only_in("do_init_module");
	EXPECT_LT(20, load_until_it_works(_metadata, &self->dev, self->nth, 1));
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
		EXPECT_GT(nth, 1);
		EXPECT_EQ(before, module_users());
		ASSERT_EQ(0, figures(&now));
		/* What mprotect() has split in three is not joined again. */
		live = calls[i].op == op_protect_middle ? 3 : live;
		EXPECT_EQ(live, now.count[LIVE]);
		EXPECT_TRUE(holds(self->map, self->dev.pages, TAG));
	}
}

/*
 * An access has no way to fail for want of memory: it faults again until it is served. Every
 * attempt that failed in the handler is counted, as a fault and under "oom".
 */
TEST_F_TIMEOUT(device, accesses, 300)
{
	static const enum counter kinds[] = { READ, WRITE, COW };
	struct device *dev = &self->dev;
	size_t step = 16 * PAGE_SIZE;
	struct figures now;

	for (int kind = 0; kind < 3; kind++) {
		unsigned int nth = 0;
		char *p = self->map;
		bool hit;

		if (kinds[kind] == COW)
			p = map(dev->fd, dev->size, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
		ASSERT_NE(MAP_FAILED, p);
		do {
			volatile uint64_t *word = (void *)(p + nth * step % dev->size);

			ASSERT_EQ(0, madvise(p, dev->size, MADV_DONTNEED));
			posix_fadvise(dev->file, 0, 0, POSIX_FADV_DONTNEED);
			write_file(SYSFS "reset", "1");
			fail_nth_arm(self->nth, ++nth);
			if (kinds[kind] == READ)
				(void)*word;
			else
				*word = nth;
			hit = fail_nth_disarm(self->nth);
			if (kinds[kind] != READ)
				EXPECT_EQ(nth, *word);
			ASSERT_EQ(0, figures(&now));
			EXPECT_EQ(1, now.count[kinds[kind]] + now.count[AROUND] - now.count[OOM]);
			EXPECT_EQ(0, now.count[SIGBUSES]);
			EXPECT_TRUE(adds_up(&now));
		} while (hit);
		TH_LOG("%s: %u allocations", counter_files[kinds[kind]], nth - 1);
		EXPECT_GT(nth, 1);
	}
}

TEST_HARNESS_MAIN
