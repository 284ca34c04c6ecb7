// SPDX-License-Identifier: GPL-2.0
/* page_mkwrite: when a shared page becomes writable, once, and again after writeback. */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fixture.h"

DEVICE_FIXTURE(device);
RAM_VARIANTS(device);
FILE_VARIANTS(device);
MORE_FILE_VARIANTS(device);

static void *shared_mapping(struct device *dev)
{
	return map(dev->fd, dev->size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
}

/* tmpfs has nowhere to write to, and does not act as if. */
static bool writes_back(const struct device *dev)
{
	return dev->backing != TMPFS && dev->backing != MEMFD;
}

/* Pages that one store makes writable. */
static size_t unit(const struct device *dev)
{
	return dev->backing == RAM_HUGE ? HUGE_SIZE / PAGE_SIZE : 1;
}

TEST_F(device, read_write_write)
{
	size_t n = self->dev.inner, around = n / window(&self->dev);
	bool huge = self->dev.backing == RAM_HUGE;
	void *p;

	ASSERT_EQ(0, fill(&self->dev));
	p = shared_mapping(&self->dev);
	ASSERT_NE(MAP_FAILED, p);
	mark();
	load(p, n);
	EXPECT_STREQ(said("around=%zu huge=%zu", around, huge ? around : 0), moved());
	/* A PMD that becomes writable is taken down and asked for again. */
	store(p, n, 0x100);
	EXPECT_STREQ(huge ? said("write=%zu mkwrite=%zu huge=%zu", around, around, around) :
		     said("mkwrite=%zu", n), moved());
	store(p, n, 0x200);
	EXPECT_STREQ("", moved());
	EXPECT_TRUE(reads(self->dev.fd, 0, n, 0x200));
}

TEST_F(device, write_first)
{
	size_t n = self->dev.pages, traps = n / unit(&self->dev);
	bool huge = self->dev.backing == RAM_HUGE;
	void *p;

	ASSERT_EQ(0, fill(&self->dev));
	p = shared_mapping(&self->dev);
	ASSERT_NE(MAP_FAILED, p);
	mark();
	store(p, n, 0x100);
	EXPECT_STREQ(said("write=%zu mkwrite=%zu huge=%zu", traps, traps, huge ? traps : 0),
		     moved());
	load(p, n);
	store(p, n, 0x200);
	EXPECT_STREQ("", moved());
	EXPECT_TRUE(reads(self->dev.fd, 0, n, 0x200));
}

/* Store to clean pages again, n of them: what the driver should see of it. */
static const char *rearmed(const struct device *dev, size_t n)
{
	if (!writes_back(dev))
		return "";
	n /= unit(dev);
	if (dev->backing == RAM_HUGE)
		return said("write=%zu mkwrite=%zu huge=%zu", n, n, n);
	return said("mkwrite=%zu", n);
}

TEST_F(device, rearmed_by_writeback)
{
	size_t n = self->dev.pages;
	void *p;

	ASSERT_EQ(0, fill(&self->dev));
	p = shared_mapping(&self->dev);
	ASSERT_NE(MAP_FAILED, p);
	store(p, n, 0x100);
	EXPECT_EQ(0, msync(p, self->dev.size, MS_SYNC));
	mark();
	store(p, n, 0x200);
	EXPECT_STREQ(rearmed(&self->dev, n), moved());
	EXPECT_EQ(0, fsync(self->dev.fd));
	store(p, n, 0x300);
	EXPECT_STREQ(rearmed(&self->dev, n), moved());
	EXPECT_EQ(0, fdatasync(self->dev.fd));
	store(p, n, 0x400);
	EXPECT_STREQ(rearmed(&self->dev, n), moved());
	/* Asynchronous means not at all. */
	EXPECT_EQ(0, msync(p, self->dev.size, MS_ASYNC));
	store(p, n, 0x500);
	EXPECT_STREQ("", moved());
	EXPECT_TRUE(reads(self->dev.fd, 0, n, 0x500));
}

/* Write-protected wherever it is mapped, and what was not stored to stays as it is. */
TEST_F(device, rearmed_in_every_mapping)
{
	size_t n = is_ram(&self->dev) ? self->dev.inner : 100;
	void *p, *q;

	ASSERT_EQ(0, fill(&self->dev));
	p = shared_mapping(&self->dev);
	q = shared_mapping(&self->dev);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, q);
	store(p, n, 0x100);
	store(q, n, 0x200);
	EXPECT_EQ(0, msync(p, n * PAGE_SIZE, MS_SYNC));
	mark();
	store(q, n, 0x300);
	EXPECT_STREQ(rearmed(&self->dev, n), moved());
	EXPECT_TRUE(holds(p, n, 0x300));
}

DEVICE_FIXTURE(file);
FILE_VARIANTS(file);

/* The core leaves the time stamp to page_mkwrite, also to one that the module installed. */
TEST_F(file, time_stamp_moves)
{
	struct timespec coarse = { .tv_nsec = 20000000 };
	struct stat before, after;
	void *p = shared_mapping(&self->dev);

	ASSERT_NE(MAP_FAILED, p);
	load(p, 1);
	ASSERT_EQ(0, fstat(self->dev.file, &before));
	nanosleep(&coarse, NULL);
	store(p, 1, 0x100);
	ASSERT_EQ(0, fsync(self->dev.file));
	ASSERT_EQ(0, fstat(self->dev.file, &after));
	EXPECT_GT(after.st_mtim.tv_sec * 1000000000LL + after.st_mtim.tv_nsec,
		  before.st_mtim.tv_sec * 1000000000LL + before.st_mtim.tv_nsec);
}

DEVICE_FIXTURE(ram);
RAM_VARIANTS(ram);

static long dirty_pages(void)
{
	char text[32];

	return read_file(SYSFS "dirty/pages", text, sizeof(text)) > 0 ? atol(text) : -1;
}

TEST_F(ram, dirty_pages)
{
	size_t n = self->dev.pages, some = self->dev.backing == RAM_HUGE ? 512 : 3;
	void *p = shared_mapping(&self->dev);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, dirty_pages());
	load(p, n);
	EXPECT_EQ(0, dirty_pages());
	store(p, some, 0x100);
	EXPECT_EQ(some, dirty_pages());
	EXPECT_EQ(0, msync(p, self->dev.size, MS_SYNC));
	EXPECT_EQ(0, dirty_pages());
	EXPECT_TRUE(writes(self->dev.fd, 0, n, 0x200));
	EXPECT_EQ(n, dirty_pages());
	/* No more than was asked for: the other folios stay dirty. */
	EXPECT_EQ(0, msync(p, some * PAGE_SIZE, MS_SYNC));
	EXPECT_EQ(n - some, dirty_pages());
	EXPECT_EQ(0, fsync(self->dev.fd));
	EXPECT_EQ(0, dirty_pages());
}

/* A private store copies: the device's page was read, not written. */
TEST_F(ram, private_stores_dirty_nothing)
{
	void *p = map(self->dev.fd, self->dev.size, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);

	ASSERT_NE(MAP_FAILED, p);
	store(p, self->dev.pages, 0x100);
	EXPECT_EQ(0, dirty_pages());
}

TEST_HARNESS_MAIN
