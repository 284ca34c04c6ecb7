// SPDX-License-Identifier: GPL-2.0
/*
 * Loaded and unloaded again and again while others open, map and read whatever is there: as often
 * as goes in 20 seconds, but no less than LEAST, or exactly as often as MMAPDEMO_CYCLES says:
 *	selftests/vm/run -n -t 9999 -- env MMAPDEMO_CYCLES=1000 run-all -t 9999 reload_test
 */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "fixture.h"

#define SIZE (16 * PAGE_SIZE)
#define LEAST 16
#define WARM 10		/* what is only made once is made by then */

/* What the processes tell each other. */
struct shared {
	bool stop;
	unsigned long cycle;		/* the one that goes on, from 1 */
	unsigned long worked[3];	/* by process: how often all went well */
	unsigned long cycles[3];	/* in how many of the cycles it did */
	unsigned long absent[3];	/* and how often there was nothing to open */
};

static bool is_absent(int err)
{
	return err == -ENOENT || err == -ENXIO || err == -ENODEV;
}

/* Whoever has opened it has a device that works, and a module that stays. */
static int use_file(void)
{
	int fd = open(NODE, O_RDWR | O_CLOEXEC), err = 0, unload;
	uint64_t word = 0x100, got = 0;

	if (fd < 0)
		return -errno;
	if (lseek(fd, 0, SEEK_END) != SIZE || pwrite(fd, &word, 8, SIZE - 8) != 8 ||
	    pread(fd, &got, 8, SIZE - 8) != 8 || got != word || fsync(fd) ||
	    pread(fd, &got, 8, 8) != 8 || got)
		err = -EIO;
	/* While it is still being loaded the kernel says EBUSY. */
	unload = module_unload();
	if (unload != -EWOULDBLOCK && unload != -EBUSY)
		err = -EOWNERDEAD;
	close(fd);
	return err;
}

static int use_mapping(void)
{
	int fd = open(NODE, O_RDWR | O_CLOEXEC), err = 0;
	char *p, *q;

	if (fd < 0)
		return -errno;
	p = map(fd, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	q = map(fd, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
	close(fd);
	if (p == MAP_FAILED || q == MAP_FAILED)
		return -EIO;
	store(p, SIZE / PAGE_SIZE - 1, 0x100);
	if (!holds(q, SIZE / PAGE_SIZE - 1, 0x100))
		err = -EILSEQ;
	store(q, SIZE / PAGE_SIZE, 0x200);
	if (!holds(p, SIZE / PAGE_SIZE - 1, 0x100) || msync(p, SIZE, MS_SYNC))
		err = -EILSEQ;
	munmap(p, SIZE);
	munmap(q, SIZE);
	return err;
}

/* A snapshot is whole, or there is none. */
static int use_sysfs(void)
{
	struct figures now;
	int err = figures(&now);

	if (err)
		return err;
	return adds_up(&now) && now.count[LIVE] >= 0 && now.count[LIVE] <= 2 ? 0 : -EILSEQ;
}

static int use_forever(struct shared *s, int process)
{
	static int (*const uses[])(void) = { use_file, use_mapping, use_sysfs };
	unsigned long cycle, last = 0;
	int err;

	while (!__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE)) {
		err = uses[process]();
		cycle = __atomic_load_n(&s->cycle, __ATOMIC_ACQUIRE);
		if (err && !is_absent(err))
			return -err;
		if (err)
			s->absent[process]++;
		else
			s->worked[process]++;
		if (!err && cycle != last) {
			s->cycles[process]++;
			last = cycle;
		}
		/* Let others have it, and the module a chance to go. */
		usleep(err ? 100 : 2000);
	}
	return 0;
}

/* What the kernel has taken for its own structures, in kilobytes. */
static long kernel_memory(void)
{
	const char *path = "/proc/meminfo";

	return line_of(path, "SUnreclaim:") + line_of(path, "Percpu:") +
	       line_of(path, "VmallocUsed:");
}

/*
 * In kilobytes. Neither what the kernel may drop when it likes, which no page of a device is
 * among, nor free pages that each CPU keeps at hand, 27 MiB of them in a guest of 1 GiB.
 */
static long used_memory(void)
{
	write_file("/proc/sys/vm/drop_caches", "3");
	return line_of("/proc/meminfo", "MemTotal:") - line_of("/proc/meminfo", "MemFree:") -
	       line_of("/proc/zoneinfo", "count:") * (long)(PAGE_SIZE / 1024);
}

/* Somebody has it open now and then: as often as it takes. */
static int unload_again_and_again(unsigned long *refused)
{
	int err;

	while ((err = module_unload()) == -EWOULDBLOCK) {
		(*refused)++;
		usleep(100);
	}
	return err;
}

/* How many, or -errno. One waits for every task of the system to be seen: most of its time. */
static long cycles(struct shared *s, const struct effort *effort, unsigned long *refused)
{
	int err = 0;
	long i;

	for (i = 0; goes_on(effort, i); i++) {
		__atomic_add_fetch(&s->cycle, 1, __ATOMIC_RELEASE);
		err = module_load("size=64K");
		/* Sometimes at once, sometimes when they have found it. */
		usleep(i % 4 * 500);
		err = err ?: unload_again_and_again(refused);
		if (err)
			return err;
	}
	return i;
}

FIXTURE(module)
{
	struct shared *shared;
	pid_t pid[3];
};

FIXTURE_SETUP(module)
{
	if (module_loaded())
		module_unload();
	self->shared = mmap(NULL, sizeof(*self->shared), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->shared);
	for (int i = 0; i < 3; i++) {
		/* The harness shares *self with every process. */
		pid_t pid = fork();

		if (!pid)
			_exit(use_forever(self->shared, i));
		self->pid[i] = pid;
	}
}

FIXTURE_TEARDOWN_PARENT(module)
{
	EXPECT_FALSE(module_loaded());
}

/* How many kilobytes more than before; what does not come back within seconds is lost. */
static long growth_since(long before, long (*memory)(void), long allowed)
{
	long grown = 0;

	for (int i = 0; i < 100; i++) {
		grown = memory() - before;
		if (grown < allowed)
			break;
		usleep(100000);
	}
	return grown;
}

/* Each of them worked in so many cycles at least, and found nothing in between. */
static void expect_openers(struct __test_metadata *_metadata, struct shared *s, const pid_t pid[3],
			   unsigned long least)
{
	__atomic_store_n(&s->stop, true, __ATOMIC_RELEASE);
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(0, reap(pid[i]));
		EXPECT_LE(least, s->cycles[i]);
		EXPECT_LE(least, s->absent[i]);
	}
}

TEST_F_TIMEOUT(module, reloaded, 7200)
{
	const char *wanted = getenv("MMAPDEMO_CYCLES");
	long n = wanted ? atol(wanted) : LEAST, done, before;
	struct effort some = effort(WARM, WARM, 0), all;
	struct shared *s = self->shared;
	unsigned long refused = 0;
	double start;

	EXPECT_EQ(WARM, cycles(s, &some, &refused));
	before = kernel_memory();
	start = seconds();
	all = effort(n, wanted ? n : LONG_MAX, 20);
	done = cycles(s, &all, &refused);
	TH_LOG("%ld cycles in %.0f s, %lu times in use", done, seconds() - start, refused);
	EXPECT_LE(n, done);
	if (wanted)
		EXPECT_EQ(n, done);
	/* The least that a device has, its figures, are 6 kB for each CPU. */
	EXPECT_LT(growth_since(before, kernel_memory, 128 + 4 * done), 128 + 4 * done);
	expect_openers(_metadata, s, self->pid, done / 4);
	EXPECT_LT(0, refused);
	TH_LOG("worked %lu %lu %lu times, in %lu %lu %lu cycles; absent %lu %lu %lu; %ld kB",
	       s->worked[0], s->worked[1], s->worked[2], s->cycles[0], s->cycles[1], s->cycles[2],
	       s->absent[0], s->absent[1], s->absent[2], kernel_memory() - before);
}

/* Every page of a device goes with it: written, stored to, clean, mapped by 2 MiB or not. */
static int use_memory(const char *params, size_t size)
{
	int fd, err = module_load("size=%zu %s", size, params);
	char *p;

	if (err)
		return err;
	fd = open(NODE, O_RDWR | O_CLOEXEC);
	p = map(fd, size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	if (p == MAP_FAILED)
		return -errno;
	store(p, size / PAGE_SIZE / 2, 0x100);
	if (!writes(fd, size / 2, size / PAGE_SIZE / 2, 0x100) || fsync(fd))
		return -EIO;
	store(p, size / PAGE_SIZE / 4, 0x200);
	munmap(p, size);
	close(fd);
	return module_unload();
}

FIXTURE(memory)
{
	size_t size;
};

FIXTURE_SETUP(memory)
{
	self->size = 64UL << 20;
}

FIXTURE_TEARDOWN_PARENT(memory)
{
	/* One that was stopped halfway is not in the way of others. */
	if (module_loaded())
		EXPECT_EQ(0, module_unload());
}

TEST_F_TIMEOUT(memory, comes_back, 200)
{
	const size_t size = self->size;
	long before, grown;

	EXPECT_EQ(0, use_memory("huge=0", size));
	EXPECT_EQ(0, use_memory("huge=1", size));
	before = used_memory();
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(0, use_memory("huge=0", size));
		EXPECT_EQ(0, use_memory("huge=1", size));
	}
	grown = growth_since(before, used_memory, 16384);
	TH_LOG("%ld kB more", grown);
	/* A quarter of one device. */
	EXPECT_LT(grown, 16384);
}

TEST_HARNESS_MAIN
