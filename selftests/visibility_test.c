// SPDX-License-Identifier: GPL-2.0
/* One set of pages: who stores, who loads, who reads, who writes, and what survives. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fixture.h"

DEVICE_FIXTURE(device);
RAM_VARIANTS(device);
FILE_VARIANTS(device);
MORE_FILE_VARIANTS(device);

/* Another process, with a file and a mapping of its own. */
static int other_process(void *arg)
{
	struct device *dev = arg;
	int fd = open(NODE, O_RDWR);
	void *p = map(fd, dev->size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);

	if (p == MAP_FAILED || !holds(p, dev->pages, 0x100))
		return 1;
	store(p, dev->pages, 0x200);
	return 0;
}

TEST_F(device, between_processes)
{
	size_t n = self->dev.pages;
	void *p = map(self->dev.fd, self->dev.size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);

	ASSERT_NE(MAP_FAILED, p);
	store(p, n, 0x100);
	EXPECT_EQ(0, in_child(other_process, &self->dev));
	EXPECT_TRUE(holds(p, n, 0x200));
}

TEST_F(device, read_and_write)
{
	size_t n = self->dev.pages;
	void *p = map(self->dev.fd, self->dev.size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);

	ASSERT_NE(MAP_FAILED, p);
	store(p, n, 0x100);
	EXPECT_TRUE(reads(self->dev.fd, 0, n, 0x100));
	EXPECT_TRUE(writes(self->dev.fd, 0, n, 0x200));
	EXPECT_TRUE(holds(p, n, 0x200));
	store(p, n, 0x300);
	EXPECT_TRUE(reads(self->dev.fd, 0, n, 0x300));
	/* The same where nothing was mapped before. */
	munmap(p, self->dev.size);
	EXPECT_TRUE(writes(self->dev.fd, 0, n, 0x400));
	p = map(self->dev.fd, self->dev.size, PROT_READ, MAP_SHARED, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_TRUE(holds(p, n, 0x400));
}

static void drop_caches(void)
{
	sync();
	write_file("/proc/sys/vm/drop_caches", "3");
}

/* Advice that throws pages away or out, and pressure on the caches. */
static void forget(void *p, size_t size)
{
	madvise(p, size, MADV_PAGEOUT);
	madvise(p, size, MADV_DONTNEED);
	munmap(p, size);
	drop_caches();
}

TEST_F(device, data_survives)
{
	size_t n = self->dev.pages, size = self->dev.size;
	void *p = map(self->dev.fd, size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);

	ASSERT_NE(MAP_FAILED, p);
	store(p, n, 0x100);
	forget(p, size);
	EXPECT_TRUE(reads(self->dev.fd, 0, n, 0x100));

	/* Dirty no more, so that the cache might drop it, and nobody has it open. */
	p = map(self->dev.fd, size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	ASSERT_NE(MAP_FAILED, p);
	store(p, n, 0x200);
	EXPECT_EQ(0, fsync(self->dev.fd));
	posix_fadvise(self->dev.fd, 0, size, POSIX_FADV_DONTNEED);
	forget(p, size);
	close(self->dev.fd);
	drop_caches();
	self->dev.fd = open(NODE, O_RDWR);
	EXPECT_TRUE(reads(self->dev.fd, 0, n, 0x200));
	p = map(self->dev.fd, size, PROT_READ, MAP_SHARED, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_TRUE(holds(p, n, 0x200));
}

/* What was written and never mapped is as safe. */
TEST_F(device, written_data_survives)
{
	size_t n = self->dev.pages;

	ASSERT_TRUE(writes(self->dev.fd, 0, n, 0x100));
	drop_caches();
	EXPECT_TRUE(reads(self->dev.fd, 0, n, 0x100));
	ASSERT_EQ(0, fsync(self->dev.fd));
	posix_fadvise(self->dev.fd, 0, self->dev.size, POSIX_FADV_DONTNEED);
	drop_caches();
	EXPECT_TRUE(reads(self->dev.fd, 0, n, 0x100));
}

DEVICE_FIXTURE(file);
FILE_VARIANTS(file);
MORE_FILE_VARIANTS(file);

TEST_F(file, through_the_file_itself)
{
	size_t n = self->dev.pages, size = self->dev.size;
	int file = self->dev.file, fd = self->dev.fd;
	void *p = map(fd, size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	void *direct = map(file, size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, direct);
	EXPECT_TRUE(holds(p, n, TAG));
	store(p, n, 0x100);
	EXPECT_TRUE(reads(file, 0, n, 0x100));
	EXPECT_TRUE(holds(direct, n, 0x100));
	store(direct, n, 0x200);
	EXPECT_TRUE(holds(p, n, 0x200));
	EXPECT_TRUE(reads(fd, 0, n, 0x200));
	EXPECT_TRUE(writes(file, 0, n, 0x300));
	EXPECT_TRUE(holds(p, n, 0x300));
	EXPECT_TRUE(reads(fd, 0, n, 0x300));
	EXPECT_TRUE(writes(fd, 0, n, 0x400));
	EXPECT_TRUE(holds(direct, n, 0x400));
	EXPECT_TRUE(reads(file, 0, n, 0x400));
}

/* What is mapped directly is none of the device's business. */
TEST_F(file, direct_mappings_are_not_counted)
{
	size_t n = self->dev.pages, size = self->dev.size;
	void *direct = map(self->dev.file, size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);

	ASSERT_NE(MAP_FAILED, direct);
	mark();
	load(direct, n);
	store(direct, n, 0x100);
	munmap(direct, size);
	EXPECT_STREQ("", moved());
}

TEST_HARNESS_MAIN
