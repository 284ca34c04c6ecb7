// SPDX-License-Identifier: GPL-2.0
/* MAP_PRIVATE: what a store copies, who sees it, and what of it reaches the driver. */
#include <sys/mman.h>
#include <unistd.h>

#include "fixture.h"

DEVICE_FIXTURE(device);
RAM_VARIANTS(device);
FILE_VARIANTS(device);
MORE_FILE_VARIANTS(device);

static void *private_mapping(struct device *dev)
{
	return map(dev->fd, dev->size, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
}

TEST_F(device, store_first)
{
	size_t n = self->dev.pages;
	void *p;

	ASSERT_EQ(0, fill(&self->dev));
	p = private_mapping(&self->dev);
	ASSERT_NE(MAP_FAILED, p);
	mark();
	store(p, n, 0x100);
	EXPECT_STREQ(said("cow=%zu", n), moved());
	store(p, n, 0x200);
	load(p, n);
	EXPECT_STREQ("", moved());
	EXPECT_TRUE(holds(p, n, 0x200));
	EXPECT_TRUE(reads(self->dev.fd, 0, n, TAG));
	/* The copy is the mapping's own: what is written now does not show in it. */
	EXPECT_TRUE(writes(self->dev.fd, 0, n, 0x300));
	EXPECT_TRUE(holds(p, n, 0x200));
	EXPECT_EQ(0, madvise(p, self->dev.size, MADV_DONTNEED));
	EXPECT_TRUE(holds(p, n, 0x300));
}

/*
 * The store after a load is the core's alone, unless the load mapped 2 MiB: that mapping is
 * taken apart, and the driver is asked for each page again.
 */
TEST_F(device, read_then_store)
{
	size_t n = self->dev.inner, around = n / window(&self->dev);
	bool huge = self->dev.backing == RAM_HUGE;
	void *p;

	ASSERT_EQ(0, fill(&self->dev));
	p = private_mapping(&self->dev);
	ASSERT_NE(MAP_FAILED, p);
	mark();
	load(p, n);
	EXPECT_STREQ(said("around=%zu huge=%zu", around, huge ? around : 0), moved());
	store(p, n, 0x100);
	EXPECT_STREQ(said("cow=%zu", huge ? n : 0), moved());
	EXPECT_TRUE(holds(p, n, 0x100));
	EXPECT_TRUE(reads(self->dev.fd, 0, n, TAG));
}

/* Until it is copied, a private page is the device's page. */
TEST_F(device, sees_the_device_until_copied)
{
	size_t n = self->dev.pages;
	void *p, *shared;

	ASSERT_EQ(0, fill(&self->dev));
	p = private_mapping(&self->dev);
	shared = map(self->dev.fd, self->dev.size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, shared);
	EXPECT_TRUE(holds(p, n, TAG));
	store(shared, n, 0x100);
	EXPECT_TRUE(holds(p, n, 0x100));
	store(p, 1, 0x200);
	store(shared, n, 0x300);
	EXPECT_TRUE(holds(p, 1, 0x200));
	EXPECT_TRUE(holds((char *)p + PAGE_SIZE, n - 1, 0x301));
}

DEVICE_FIXTURE(file);
FILE_VARIANTS(file);

TEST_F(file, private_stores_never_reach_the_file)
{
	size_t n = self->dev.pages;
	void *p = private_mapping(&self->dev);

	ASSERT_NE(MAP_FAILED, p);
	store(p, n, 0x100);
	EXPECT_EQ(0, msync(p, self->dev.size, MS_SYNC));
	munmap(p, self->dev.size);
	EXPECT_EQ(0, fsync(self->dev.fd));
	EXPECT_TRUE(reads(self->dev.file, 0, n, TAG));
}

TEST_HARNESS_MAIN
