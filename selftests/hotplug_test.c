// SPDX-License-Identifier: GPL-2.0
/*
 * A CPU goes and comes back while both CPUs count, and while the figures are read and reset. Tasks
 * are moved off it in the middle of a fault; what it has counted stays counted.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fixture.h"

#define ONLINE	"/sys/devices/system/cpu/cpu1/online"
#define WORKERS	2

/* What the processes share. @laps: of each worker; @reads: snapshots that added up. */
static struct shared {
	bool stop;
	unsigned long laps[WORKERS];
	unsigned long reads, resets;
} *shared;

struct worker {
	char *p[2];		/* its pages: private, shared */
	size_t pages;
	unsigned int number;
	bool loads;
};

static bool stopped(void)
{
	return __atomic_load_n(&shared->stop, __ATOMIC_ACQUIRE);
}

/* One fault for each page and kind, and a load that maps what is there around it. */
static bool lap(const struct worker *worker, uint64_t tag)
{
	size_t size = worker->pages * PAGE_SIZE;
	bool good;

	for (int i = 0; i < 2; i++)
		store(worker->p[i], worker->pages, tag + i);
	good = holds(worker->p[0], worker->pages, tag);
	for (int i = 0; i < 2; i++)
		madvise(worker->p[i], size, MADV_DONTNEED);
	if (worker->loads)
		good = good && holds(worker->p[1], worker->pages, tag + 1);
	madvise(worker->p[1], size, MADV_DONTNEED);
	return good;
}

static int work(void *arg)
{
	const struct worker *worker = arg;
	unsigned long *laps = &shared->laps[worker->number];
	cpu_set_t cpus;

	for (; !stopped(); ++*laps) {
		CPU_ZERO(&cpus);
		CPU_SET((*laps + worker->number) % 2, &cpus);
		/* It fails if the CPU is not there. */
		sched_setaffinity(0, sizeof(cpus), &cpus);
		if (!lap(worker, *laps << 16))
			return 1;
	}
	return 0;
}

/* Snapshots, each of which agrees with itself, and with the one before. */
static int read_stat(void *arg)
{
	struct figures last = { 0 }, now;
	bool resets = *(bool *)arg;

	for (; !stopped(); shared->reads++) {
		if (figures(&now) || !adds_up(&now))
			return 1;
		/* How many mappings there are may go down: a worker has ended, say. */
		for (int i = 0; i < LIVE && !resets; i++)
			if (now.count[i] < last.count[i])
				return 1;
		last = now;
		if (resets && write_file(SYSFS "reset", "1") == 1)
			shared->resets++;
	}
	return 0;
}

static pid_t start(int (*fn)(void *arg), void *arg)
{
	pid_t pid = fork();

	if (!pid)
		_exit(fn(arg));
	return pid;
}

/* Each worker has half of the device, so that none finds a page that another has locked. */
static int workers_up(struct worker workers[WORKERS], const struct device *dev)
{
	size_t pages = dev->pages / WORKERS;

	for (int i = 0; i < WORKERS; i++) {
		workers[i] = (struct worker){ .pages = pages, .number = i, .loads = is_ram(dev) };
		for (int j = 0; j < 2; j++) {
			workers[i].p[j] = map(dev->fd, pages * PAGE_SIZE, PROT_READ | PROT_WRITE,
					      j ? MAP_SHARED : MAP_PRIVATE, i * pages * PAGE_SIZE);
			if (workers[i].p[j] == MAP_FAILED)
				return -1;
		}
	}
	return 0;
}

/* Faults, snapshots and perhaps resets, while the CPU goes and comes. */
static void count_while_unplugging(struct __test_metadata *_metadata, const struct device *dev,
				   bool resets)
{
	struct worker workers[WORKERS];
	pid_t pid[WORKERS + 1];

	ASSERT_EQ(0, workers_up(workers, dev));
	mark();
	for (int i = 0; i < WORKERS; i++)
		pid[i] = start(work, &workers[i]);
	pid[WORKERS] = start(read_stat, &resets);
	for (unsigned long i = 0; i < rounds(8); i++) {
		ASSERT_EQ(1, write_file(ONLINE, "0"));
		usleep(20000);
		ASSERT_EQ(1, write_file(ONLINE, "1"));
		usleep(20000);
	}
	__atomic_store_n(&shared->stop, true, __ATOMIC_RELEASE);
	for (int i = 0; i < WORKERS + 1; i++)
		EXPECT_EQ(0, reap(pid[i]));
	for (int i = 0; i < WORKERS; i++)
		EXPECT_LT(0, shared->laps[i]);
	EXPECT_LT(0, shared->reads);
}

DEVICE_FIXTURE(device);
VARIANT(device, ram_4k, RAM_4K);
FILE_VARIANTS(device);

static unsigned long all_laps(void)
{
	return shared->laps[0] + shared->laps[1];
}

/* What so many laps count. Under a file system another may have a page locked: no loads there. */
static const char *said_of(const struct device *dev, unsigned long laps)
{
	size_t n = laps * dev->pages / WORKERS;

	return said("write=%zu cow=%zu mkwrite=%zu around=%zu", n, n, n,
		    is_ram(dev) ? n / window(dev) : 0);
}

static bool set_up(struct device *dev)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	/* Should a test have ended in between. */
	write_file(ONLINE, "1");
	return shared != MAP_FAILED && !fill(dev);
}

TEST_F_TIMEOUT(device, sums_stay_exact, 110)
{
	if (access(ONLINE, W_OK))
		SKIP(return, "there is no second CPU that could go");
	ASSERT_TRUE(set_up(&self->dev));
	count_while_unplugging(_metadata, &self->dev, false);
	EXPECT_STREQ(said_of(&self->dev, all_laps()), moved());
}

TEST_F_TIMEOUT(device, reset_meanwhile, 110)
{
	struct worker workers[WORKERS];

	if (access(ONLINE, W_OK))
		SKIP(return, "there is no second CPU that could go");
	ASSERT_TRUE(set_up(&self->dev));
	count_while_unplugging(_metadata, &self->dev, true);
	EXPECT_LT(0, shared->resets);
	/* It all counts from zero, whatever the CPU that was away still holds. */
	ASSERT_EQ(0, workers_up(workers, &self->dev));
	ASSERT_EQ(1, write_file(SYSFS "reset", "1"));
	mark();
	EXPECT_TRUE(lap(&workers[1], 1));
	EXPECT_STREQ(said_of(&self->dev, 1), moved());
}

TEST_HARNESS_MAIN
