// SPDX-License-Identifier: GPL-2.0
/*
 * dirty-harvest while others store: a replica into which nothing is copied but the pages that
 * are told is equal to the device in the end. Of the stores of a page that is told, those that
 * come later are in the next harvest.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control.h"
#include "fixture.h"

#define DEV "mmapdemo"
#define PAGES 1024UL
#define SIZE (PAGES * PAGE_SIZE)

struct stage {
	int stop;
	unsigned long harvests;
	unsigned long stores[2], syncs;
};

struct replica {
	struct genl genl;
	int fd;
	struct stage *stage;
	char *replica, *device;
	unsigned long told, most;	/* pages in all harvests, and in the largest */
};

FIXTURE(harvest)
{
	struct replica replica;
};

FIXTURE_VARIANT(harvest)
{
	bool huge;
};

FIXTURE_VARIANT_ADD(harvest, ram_4k)
{
	.huge = false
};

FIXTURE_VARIANT_ADD(harvest, ram_huge)
{
	.huge = true
};

FIXTURE_SETUP(harvest)
{
	struct replica *r = &self->replica;

	ASSERT_EQ(0, module_load("size=%lu huge=%d", SIZE, variant->huge));
	ASSERT_EQ(0, control_open(&r->genl));
	r->fd = open(NODE, O_RDWR);
	ASSERT_LE(0, r->fd);
	r->stage = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	r->replica = calloc(1, SIZE);
	r->device = calloc(1, SIZE);
}

FIXTURE_TEARDOWN_PARENT(harvest)
{
	EXPECT_EQ(0, module_unload());
	EXPECT_FALSE(module_loaded());
}

static bool stopped(struct stage *stage)
{
	return __atomic_load_n(&stage->stop, __ATOMIC_ACQUIRE);
}

/*
 * Counts up in words of its own, the even or the odd ones, most by stores and one in 64 by
 * write(); for a while in 64 pages here, then in others, so that the same pages are stored to
 * again and again while they are told.
 */
static int writer(struct stage *stage, int fd, int number, unsigned long most)
{
	uint64_t *p = (uint64_t *)map(fd, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	unsigned int seed = number + 1;
	size_t window = 0, i;
	uint64_t value;

	if ((void *)p == MAP_FAILED)
		return 1;
	for (value = 1; value <= most || !stopped(stage); value++) {
		if (value % 262144 == 1)
			window = rand_r(&seed) % (PAGES / 64) * 64 * 512;
		i = window + (rand_r(&seed) % (64 * 512) & ~1UL) + number;
		if (value % 64)
			__atomic_store_n(&p[i], value, __ATOMIC_RELAXED);
		else if (pwrite(fd, &value, 8, i * 8) != 8)
			return 2;
		__atomic_store_n(&stage->stores[number], value, __ATOMIC_RELEASE);
	}
	return 0;
}

/* Cleans what is to be told, and asks for memory back. */
static int syncer(struct stage *stage, int fd)
{
	char *p = map(fd, SIZE, PROT_READ, MAP_SHARED, 0);

	while (!stopped(stage)) {
		unsigned long n = ++stage->syncs;

		if (n % 2 ? fsync(fd) : msync(p + n % 7 * HUGE_SIZE / 8, SIZE / 4, MS_SYNC))
			return 1;
		if (n % 16 == 0 && write_file("/proc/sys/vm/drop_caches", "1") < 0)
			return 2;
	}
	return 0;
}

static bool copy_run(int fd, char *replica, const struct run *run)
{
	size_t at = run->page * PAGE_SIZE, len = run->pages * PAGE_SIZE;

	return run->page + run->pages <= PAGES &&
	       pread(fd, replica + at, len, at) == (ssize_t)len;
}

/* Harvest, and copy what is told and nothing else: 0 or what went wrong. */
static int replicate(struct replica *r)
{
	static struct runs runs;
	unsigned long pages = 0;
	int err = harvest(&r->genl, DEV, &runs);

	if (err)
		return err;
	if (runs.nr > MAX_RUNS)
		return -E2BIG;
	for (unsigned int i = 0; i < runs.nr; i++) {
		if (!copy_run(r->fd, r->replica, &runs.run[i]))
			return -EIO;
		pages += runs.run[i].pages;
	}
	r->told += pages;
	if (pages > r->most)
		r->most = pages;
	r->stage->harvests++;
	return 0;
}

/* Both have done what they have to, and have met many harvests while they did. */
static bool is_enough(struct replica *r, unsigned long most, unsigned long harvests)
{
	return __atomic_load_n(&r->stage->stores[0], __ATOMIC_ACQUIRE) >= most &&
	       __atomic_load_n(&r->stage->stores[1], __ATOMIC_ACQUIRE) >= most &&
	       r->stage->harvests >= harvests;
}

static pid_t start(struct stage *stage, int fd, int number, unsigned long most)
{
	pid_t pid = fork();

	if (!pid)
		_exit(number < 2 ? writer(stage, fd, number, most) : syncer(stage, fd));
	return pid;
}

static void run_replica(struct __test_metadata *_metadata, struct replica *r,
			int processes)
{
	unsigned long most = rounds(500000), harvests = rounds(200);
	pid_t pid[3];

	for (int i = 0; i < processes; i++) {
		pid[i] = start(r->stage, r->fd, i, most);
		ASSERT_LT(0, pid[i]);
	}
	while (!is_enough(r, most, harvests)) {
		ASSERT_EQ(0, replicate(r));
		/* A store in a hundred is to fault, or there would not be a million of them. */
		usleep(2000);
	}
	__atomic_store_n(&r->stage->stop, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < processes; i++)
		EXPECT_EQ(0, reap(pid[i]));
	ASSERT_EQ(0, replicate(r));
	ASSERT_EQ(SIZE, pread(r->fd, r->device, SIZE, 0));
	EXPECT_EQ(0, memcmp(r->replica, r->device, SIZE));
	/* Nothing is left to tell, and it was not everything each time. */
	r->most = 0;
	ASSERT_EQ(0, replicate(r));
	EXPECT_EQ(0, r->most);
	TH_LOG("%lu stores, %lu harvests of %lu pages, %lu syncs", r->stage->stores[0] +
	       r->stage->stores[1], r->stage->harvests, r->told, r->stage->syncs);
}

TEST_F_TIMEOUT(harvest, against_two_writers, 200)
{
	struct replica *r = &self->replica;

	run_replica(_metadata, r, 2);
}

TEST_F_TIMEOUT(harvest, while_others_sync, 200)
{
	struct replica *r = &self->replica;

	run_replica(_metadata, r, 3);
	EXPECT_LT(0, r->stage->syncs);
}

/* Two that harvest: each page that was stored to is told to one of them, and to one only. */
TEST_F_TIMEOUT(harvest, two_harvesters, 200)
{
	struct replica *r = &self->replica;
	static struct runs mine, others;
	struct genl second;
	char *p = map(r->fd, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	char told[PAGES] = { 0 };
	int pipes[2];
	pid_t pid;

	ASSERT_EQ(0, pipe(pipes));
	for (unsigned long round = 0; round < rounds(32); round++) {
		store(p, PAGES, round);
		memset(told, 0, sizeof(told));
		pid = fork();
		if (!pid) {
			int err = control_open(&second) ?: harvest(&second, DEV, &others);

			_exit(err || write(pipes[1], &others, sizeof(others)) != sizeof(others));
		}
		ASSERT_EQ(0, harvest(&r->genl, DEV, &mine));
		for (size_t got = 0; got < sizeof(others);)
			got += read(pipes[0], (char *)&others + got, sizeof(others) - got);
		ASSERT_EQ(0, reap(pid));
		for (unsigned int i = 0; i < mine.nr; i++)
			for (size_t j = 0; j < mine.run[i].pages; j++)
				told[mine.run[i].page + j]++;
		for (unsigned int i = 0; i < others.nr; i++)
			for (size_t j = 0; j < others.run[i].pages; j++)
				told[others.run[i].page + j]++;
		for (size_t i = 0; i < PAGES; i++)
			ASSERT_EQ(1, told[i]);
	}
}

TEST_HARNESS_MAIN
