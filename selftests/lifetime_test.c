// SPDX-License-Identifier: GPL-2.0
/* Mappings through fork, split, move, close and exit. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fixture.h"

DEVICE_FIXTURE(device);
RAM_VARIANTS(device);
FILE_VARIANTS(device);

static void *shared_mapping(struct device *dev)
{
	return map(dev->fd, dev->size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
}

/* The page table of a shared mapping is not copied: the child faults for itself. */
TEST_F(device, fork_shared)
{
	size_t n = self->dev.inner, around = n / window(&self->dev);
	bool huge = self->dev.backing == RAM_HUGE;
	char *p;
	pid_t pid;

	ASSERT_EQ(0, fill(&self->dev));
	p = shared_mapping(&self->dev);
	ASSERT_NE(MAP_FAILED, p);
	load(p, n);
	mark();
	pid = fork();
	if (!pid) {
		load(p, n);
		EXPECT_STREQ(said("around=%zu huge=%zu live=1", around, huge ? around : 0),
			     moved());
		store(p, n, 0x100);
		EXPECT_STREQ(huge ? said("write=%zu mkwrite=%zu huge=%zu", around, around,
					 around) : said("mkwrite=%zu", n), moved());
		EXPECT_EQ(2, live());
		_exit(0);
	}
	EXPECT_EQ(0, reap(pid));
	EXPECT_EQ(1, live());
	EXPECT_TRUE(holds(p, n, 0x100));
	munmap(p, self->dev.size);
	EXPECT_EQ(0, live());
}

/* Private copies go along, and are copied again by whoever stores, without the driver. */
TEST_F(device, fork_private)
{
	size_t n = self->dev.pages;
	char *p;
	pid_t pid;

	ASSERT_EQ(0, fill(&self->dev));
	p = map(self->dev.fd, self->dev.size, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
	ASSERT_NE(MAP_FAILED, p);
	store(p, n, 0x100);
	mark();
	pid = fork();
	if (!pid) {
		EXPECT_TRUE(holds(p, n, 0x100));
		store(p, n, 0x200);
		EXPECT_STREQ("live=1", moved());
		_exit(0);
	}
	EXPECT_EQ(0, reap(pid));
	EXPECT_TRUE(holds(p, n, 0x100));
	store(p, n, 0x300);
	EXPECT_STREQ("", moved());
	EXPECT_TRUE(reads(self->dev.fd, 0, n, TAG));
}

TEST_F(device, split)
{
	size_t page = PAGE_SIZE, size = self->dev.size, n = self->dev.pages;
	char *p = shared_mapping(&self->dev);

	ASSERT_NE(MAP_FAILED, p);
	store(p, n, 0x100);
	mark();
	EXPECT_EQ(0, munmap(p + 10 * page, 10 * page));
	EXPECT_EQ(0, mprotect(p, 4 * page, PROT_READ));
	EXPECT_EQ(0, mprotect(p + 30 * page, page, PROT_NONE));
	/* Pages 0 to 3, 4 to 9, 20 to 29, 30, and from 31 on. */
	EXPECT_STREQ("live=4", moved());
	EXPECT_EQ(5, live());
	EXPECT_EQ(SIGSEGV, trap_load(p + 10 * page));
	EXPECT_EQ(SIGSEGV, trap_store(p));
	EXPECT_TRUE(holds(p, 10, 0x100));
	store(p + 4 * page, 6, 0x204);
	EXPECT_TRUE(holds(p + 40 * page, n - 40, 0x128));
	moved();
	/* The last piece, not the first, ends the mapping. */
	EXPECT_EQ(0, munmap(p, 10 * page));
	EXPECT_EQ(0, munmap(p + 20 * page, size / 2));
	EXPECT_EQ(1, live());
	EXPECT_TRUE(holds(p + size - page, 1, 0x100 + n - 1));
	moved();
	EXPECT_EQ(0, munmap(p, size));
	EXPECT_STREQ("live=-1", moved());
	EXPECT_TRUE(reads(self->dev.fd, 4 * page, 6, 0x204));
}

TEST_F(device, closed_before_unmapped)
{
	size_t size = self->dev.size, n = self->dev.pages;
	char *p = shared_mapping(&self->dev);

	ASSERT_NE(MAP_FAILED, p);
	close(self->dev.fd);
	mark();
	store(p, n, 0x100);
	EXPECT_TRUE(holds(p, n, 0x100));
	EXPECT_EQ(0, msync(p, size, MS_SYNC));
	moved();
	munmap(p, size);
	EXPECT_STREQ("live=-1", moved());
	self->dev.fd = open(NODE, O_RDWR);
	EXPECT_TRUE(reads(self->dev.fd, 0, n, 0x100));
}

static int exit_mapped(void *arg)
{
	char *p = shared_mapping(arg), *q = shared_mapping(arg);

	store(p, 10, 0x100);
	load(q, 20);
	munmap(p, PAGE_SIZE);
	return live() == 2 ? 0 : 1;
}

static int exec_mapped(void *arg)
{
	char *p = shared_mapping(arg);

	store(p, 10, 0x200);
	execl("/bin/sh", "sh", "-c", "read live <" SYSFS "mappings/live; exit $live", NULL);
	return 100;
}

TEST_F(device, exit_and_exec_while_mapped)
{
	struct figures before, after;

	ASSERT_EQ(0, figures(&before));
	EXPECT_EQ(0, in_child(exit_mapped, &self->dev));
	EXPECT_EQ(0, live());
	EXPECT_TRUE(reads(self->dev.fd, 0, 10, 0x100));
	EXPECT_EQ(0, in_child(exec_mapped, &self->dev));
	EXPECT_EQ(0, live());
	EXPECT_TRUE(reads(self->dev.fd, 0, 10, 0x200));
	ASSERT_EQ(0, figures(&after));
	EXPECT_EQ(before.count[TOTAL] + 3, after.count[TOTAL]);
}

/* Every mmap() is one, those that fail are none, and other processes' count as well. */
TEST_F(device, live_and_total)
{
	char *p[10];

	mark();
	for (int i = 0; i < 10; i++) {
		p[i] = shared_mapping(&self->dev);
		ASSERT_NE(MAP_FAILED, p[i]);
	}
	EXPECT_STREQ("total=10 live=10", moved());
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 0, PROT_READ, MAP_SHARED, self->dev.fd, 0));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, self->dev.fd, 1));
	EXPECT_STREQ("", moved());
	for (int i = 0; i < 4; i++)
		munmap(p[i], self->dev.size);
	EXPECT_STREQ("live=-4", moved());
	EXPECT_EQ(6, live());
}

/* A second mapping over the first one: it goes, as if it had been unmapped. */
TEST_F(device, mapped_over)
{
	size_t size = self->dev.size;
	char *p = shared_mapping(&self->dev);

	ASSERT_NE(MAP_FAILED, p);
	store(p, 10, 0x100);
	mark();
	ASSERT_EQ(p, mmap(p, size, PROT_READ, MAP_SHARED | MAP_FIXED, self->dev.fd, 0));
	EXPECT_STREQ("total=1", moved());
	ASSERT_EQ(p, mmap(p, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	EXPECT_STREQ("live=-1", moved());
	EXPECT_TRUE(holds(p, 1, 0));
}

/* Loading and unloading leaves nothing of the device behind, data neither. */
TEST_F(device, loaded_again)
{
	bool ram = is_ram(&self->dev);

	ASSERT_TRUE(writes(self->dev.fd, 0, 10, 0x100));
	close(self->dev.fd);
	ASSERT_EQ(0, module_unload());
	EXPECT_FALSE(module_loaded());
	ASSERT_EQ(0, ram ? module_load("size=1M") :
		     module_load("backing=file path=%s", self->dev.path));
	self->dev.fd = open(NODE, O_RDWR);
	for (int i = 0; i < 10; i++) {
		EXPECT_TRUE(reads(self->dev.fd, i * PAGE_SIZE, 1, ram ? 0 : 0x100 + i));
	}
}

TEST_HARNESS_MAIN
