// SPDX-License-Identifier: GPL-2.0
/* Loaded and unloaded a thousand times while others open, map and read whatever is there. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "fixture.h"

#define SIZE (16 * PAGE_SIZE)

/* What the processes tell each other. */
struct shared {
	bool stop;
	unsigned long worked[3];	/* by process: how often all went well */
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
	int err;

	while (!__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE)) {
		err = uses[process]();
		if (err && !is_absent(err))
			return -err;
		if (err)
			s->absent[process]++;
		else
			s->worked[process]++;
		/* Let others have it, and the module a chance to go. */
		usleep(err ? 100 : 2000);
	}
	return 0;
}

/* The sum of these lines of /proc/meminfo, in kilobytes. */
static long meminfo(const char *const *names, size_t nr)
{
	FILE *file = fopen("/proc/meminfo", "r");
	char name[64], line[160];
	long kb, sum = 0;

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%63s %ld", name, &kb) != 2)
			continue;
		for (size_t i = 0; i < nr; i++)
			sum += strcmp(name, names[i]) ? 0 : kb;
	}
	if (file)
		fclose(file);
	return sum;
}

/* What the kernel has taken for its own structures. */
static long kernel_memory(void)
{
	static const char *const names[] = { "SUnreclaim:", "Percpu:", "VmallocUsed:" };

	return meminfo(names, ARRAY_SIZE(names));
}

static long used_memory(void)
{
	static const char *const total[] = { "MemTotal:" }, *const free[] = { "MemFree:" };

	return meminfo(total, 1) - meminfo(free, 1);
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

/* One cycle waits for every task of the system to be seen: most of its time. */
static int cycles(unsigned long *n, double limit, unsigned long *refused)
{
	double end = seconds() + limit;
	unsigned long i;
	int err = 0;

	for (i = 0; i < *n && !err && seconds() < end; i++) {
		err = module_load("size=64K");
		/* Sometimes at once, sometimes when they have found it. */
		usleep(i % 4 * 500);
		err = err ?: unload_again_and_again(refused);
	}
	*n = i;
	return err;
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

/* 1000 times, or as often as goes in half a minute unless RELOAD_SECONDS says otherwise. */
TEST_F_TIMEOUT(module, reloaded, 1800)
{
	unsigned long warm = 10, n = 1000, refused = 0;
	const char *limit = getenv("RELOAD_SECONDS");
	struct shared *s = self->shared;
	long before;

	/* Some first, for what is only made once. */
	EXPECT_EQ(0, cycles(&warm, 30, &refused));
	before = kernel_memory();
	EXPECT_EQ(0, cycles(&n, limit ? atof(limit) : 30, &refused));
	/* The least that a device has, its figures, are 6 kB for each CPU. */
	EXPECT_LT(growth_since(before, kernel_memory, 128 + 4 * n), 128 + 4 * (long)n);
	__atomic_store_n(&s->stop, true, __ATOMIC_RELEASE);
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(0, reap(self->pid[i]));
		EXPECT_LT(0, s->worked[i]);
		EXPECT_LT(0, s->absent[i]);
	}
	EXPECT_LT(0, refused);
	TH_LOG("%lu cycles, %lu times in use; worked %lu %lu %lu, absent %lu %lu %lu; %ld kB", n,
	       refused, s->worked[0], s->worked[1], s->worked[2], s->absent[0], s->absent[1],
	       s->absent[2], kernel_memory() - before);
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
	long before;

	EXPECT_EQ(0, use_memory("huge=0", size));
	EXPECT_EQ(0, use_memory("huge=1", size));
	before = used_memory();
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(0, use_memory("huge=0", size));
		EXPECT_EQ(0, use_memory("huge=1", size));
	}
	/* A quarter of one device. */
	EXPECT_LT(growth_since(before, used_memory, 16384), 16384);
}

TEST_HARNESS_MAIN
