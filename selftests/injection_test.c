// SPDX-License-Identifier: GPL-2.0
/*
 * Memory runs out while a process stores to private copies, forks and makes pages: a store is done
 * wholly or the process is killed, and what was done is counted, once.
 *
 * On a kernel with fault injection (selftests/vm/run -k debug) allocations of the process fail by
 * chance; a store comes again until its allocations succeed. On any other kernel the same is done
 * and counted without a failure. A memory cgroup that is full is there on all.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"

#define DEBUGFS	"/sys/kernel/debug/"
#define CGROUP	"/sys/fs/cgroup/mmapdemo-test"

/* What the processes tell the test. */
static struct shared {
	unsigned long stores, mmaps, forks, refused;
} *shared;

static bool can_inject(void)
{
	return !access("/proc/self/make-it-fail", W_OK) && !access(DEBUGFS "fail_page_alloc", F_OK);
}

/* Of this process; open from the first time on, because to open it might fail too. */
static void make_it_fail(const char *yes)
{
	static int fd;

	if (!fd)
		fd = open("/proc/self/make-it-fail", O_WRONLY | O_CLOEXEC);
	if (pwrite(fd, yes, 1, 0) != 1)
		_exit(9);
}

static void set(const char *name, const char *value)
{
	static const char *const faults[] = { "failslab", "fail_page_alloc" };
	char path[96];

	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), DEBUGFS "%s/%s", faults[i], name);
		write_file(path, value);
	}
}

/* Every second of the allocations whose number this divides fails, also if it may sleep. */
static void inject(const char *interval)
{
	if (!can_inject())
		return;
	set("interval", interval);
	set("probability", "50");
	set("task-filter", "1");
	set("times", "-1");
	set("verbose", "0");
	set("ignore-gfp-wait", "0");
	set("ignore-gfp-highmem", "0");
	set("min-order", "0");
	make_it_fail("1");
}

static void inject_no_more(void)
{
	if (can_inject())
		make_it_fail("0");
}

/* Out of memory is the one excuse. */
static char *map_at_last(const struct device *dev)
{
	char *p;

	do {
		p = mmap(NULL, dev->size, PROT_READ | PROT_WRITE, MAP_PRIVATE, dev->fd, 0);
	} while (p == MAP_FAILED && errno == ENOMEM && ++shared->refused);
	shared->mmaps += p != MAP_FAILED;
	return p;
}

/* Both have the same copies after the fork, and neither sees what the other stores. */
static bool fork_and_store(char *p, size_t n, uint64_t tag)
{
	pid_t pid = fork();

	if (!pid) {
		bool same = holds(p, n, tag);

		store(p, n, tag + 0x10000);
		_exit(!same || !holds(p, n, tag + 0x10000));
	}
	if (pid < 0)
		return errno == ENOMEM && ++shared->refused;
	shared->forks++;
	store(p, n, tag + 0x20000);
	return !reap(pid) && holds(p, n, tag + 0x20000);
}

static int store_and_fork(void *arg)
{
	const struct device *dev = arg;

	for (uint64_t round = 1; round <= rounds(64); round++) {
		char *p = map_at_last(dev);

		if (p == MAP_FAILED)
			return 1;
		inject("3");
		store(p, dev->pages, round << 32);
		shared->stores += dev->pages;
		inject_no_more();
		inject("200");
		for (int i = 0; i < 4; i++) {
			if (!fork_and_store(p, dev->pages, round << 32))
				return 2;
			store(p, dev->pages, round << 32);
		}
		inject_no_more();
		if (!holds(p, dev->pages, round << 32) || munmap(p, dev->size))
			return 3;
	}
	return 0;
}

static struct figures before, after;

static long long count(enum counter counter)
{
	return after.count[counter] - before.count[counter];
}

DEVICE_FIXTURE(device);
VARIANT(device, ram_4k, RAM_4K);
FILE_VARIANTS(device);

static bool begin(struct device *dev)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	return shared != MAP_FAILED && !fill(dev) && !figures(&before);
}

/*
 * The core has its page, and the page table, before it asks the device: so it asks once. What comes
 * after the first store is between the core and the two copies.
 */
TEST_F_TIMEOUT(device, private_stores_and_forks, 110)
{
	size_t n = self->dev.pages;

	ASSERT_TRUE(begin(&self->dev));
	EXPECT_EQ(0, in_child(store_and_fork, &self->dev));
	ASSERT_EQ(0, figures(&after));
	EXPECT_LT(0, shared->forks);
	EXPECT_EQ(can_inject(), shared->refused > 0);
	EXPECT_EQ((long long)shared->stores, count(COW));
	/* A mmap() that the core gave up after the device had agreed is counted too. */
	EXPECT_LE((long long)shared->mmaps, count(TOTAL));
	EXPECT_EQ(0, count(LIVE) + count(OOM) + count(SIGBUSES));
	EXPECT_EQ(0, count(READ) + count(WRITE) + count(MKWRITE) + count(AROUND));
	EXPECT_TRUE(adds_up(&after));
	EXPECT_TRUE(reads(self->dev.fd, 0, n, TAG));
}

static int store_everywhere(void *arg)
{
	const struct device *dev = arg;
	char *p = map(dev->fd, dev->size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);

	if (p == MAP_FAILED)
		return 1;
	inject("3");
	store(p, dev->pages, 0x100);
	inject_no_more();
	return !holds(p, dev->pages, 0x100);
}

DEVICE_FIXTURE(ram);
VARIANT(ram, ram_4k, RAM_4K);

/* Pages that the device makes: each time that it could not is an oom, and the store comes again. */
TEST_F(ram, pages_that_do_not_exist)
{
	long long n = self->dev.pages;

	ASSERT_EQ(0, figures(&before));
	EXPECT_EQ(0, in_child(store_everywhere, &self->dev));
	ASSERT_EQ(0, figures(&after));
	EXPECT_EQ(can_inject(), count(OOM) > 0);
	EXPECT_EQ(n + count(OOM), count(WRITE));
	EXPECT_EQ(n, count(MKWRITE));
	EXPECT_EQ(0, count(LIVE) + count(READ) + count(COW) + count(SIGBUSES) + count(RETRY));
	EXPECT_TRUE(adds_up(&after));
	EXPECT_TRUE(reads(self->dev.fd, 0, n, 0x100));
}

#define ROOM	(8UL << 20)

/* More copies than the cgroup has room for. */
static void store_until_killed(const struct device *dev)
{
	write_file(CGROUP "/cgroup.procs", "0");
	for (size_t size = 0; size < 8 * ROOM; size += dev->size) {
		char *p = map_at_last(dev);

		for (size_t i = 0; p != MAP_FAILED && i < dev->pages; i++) {
			store(p + i * PAGE_SIZE, 1, i);
			shared->stores++;
		}
	}
}

static bool make_full_cgroup(void)
{
	write_file("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	mkdir(CGROUP, 0755);
	write_file(CGROUP "/memory.swap.max", "0");
	return write_file(CGROUP "/memory.max", "8M") == 2;
}

TEST_F(device, killed_in_a_full_cgroup)
{
	int status;
	pid_t pid;

	if (!make_full_cgroup())
		SKIP(return, "no memory controller in a cgroup2 at /sys/fs/cgroup");
	ASSERT_TRUE(begin(&self->dev));
	pid = fork();
	if (!pid) {
		store_until_killed(&self->dev);
		_exit(0);
	}
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, rmdir(CGROUP));
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	/* It died in a store, before the device was asked or after that, or in between two. */
	ASSERT_EQ(0, figures(&after));
	EXPECT_LT(0, shared->stores);
	EXPECT_LE((long long)shared->stores, count(COW));
	EXPECT_GE((long long)shared->stores + 1, count(COW));
	EXPECT_EQ((long long)shared->mmaps, count(TOTAL));
	EXPECT_EQ(0, count(LIVE) + count(OOM) + count(SIGBUSES));
	EXPECT_TRUE(adds_up(&after));
	EXPECT_TRUE(reads(self->dev.fd, 0, self->dev.pages, TAG));
}

TEST_HARNESS_MAIN
