// SPDX-License-Identifier: GPL-2.0
/* Demand paging: which accesses trap, what each trap is counted as, and how often. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
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

static long minor_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

TEST_F(device, warm_reads)
{
	size_t n = self->dev.inner, around = n / window(&self->dev);
	bool huge = self->dev.backing == RAM_HUGE;
	long minor;
	void *p;

	ASSERT_EQ(0, fill(&self->dev));
	mark();
	p = shared_mapping(&self->dev);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_STREQ("total=1 live=1", moved());
	minor = minor_faults();
	load(p, n);
	EXPECT_EQ(around, minor_faults() - minor);
	EXPECT_STREQ(said("around=%zu huge=%zu", around, huge ? around : 0), moved());
	load(p, n);
	EXPECT_STREQ("", moved());
	EXPECT_TRUE(holds(p, n, TAG));
	munmap(p, self->dev.size);
	EXPECT_STREQ("live=-1", moved());
}

/* MADV_DONTNEED takes the page table entries away and leaves the pages. */
TEST_F(device, reads_again_after_dontneed)
{
	size_t n = self->dev.inner, around = n / window(&self->dev);
	bool huge = self->dev.backing == RAM_HUGE;
	void *p;

	ASSERT_EQ(0, fill(&self->dev));
	p = shared_mapping(&self->dev);
	ASSERT_NE(MAP_FAILED, p);
	load(p, n);
	EXPECT_EQ(0, madvise(p, self->dev.size, MADV_DONTNEED));
	mark();
	load(p, n);
	EXPECT_STREQ(said("around=%zu huge=%zu", around, huge ? around : 0), moved());
}

/* The lock of the VMA is enough for these, the core says so wherever map_pages is there. */
TEST_F(device, vma_locked)
{
	size_t n = self->dev.pages;
	bool locks = has_vma_locks();
	struct figures before, after;
	void *p, *q;

	ASSERT_EQ(0, fill(&self->dev));
	p = shared_mapping(&self->dev);
	q = map(self->dev.fd, self->dev.size, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, q);
	ASSERT_EQ(0, figures(&before));
	mark();
	store(p, n, 0x100);
	store(q, n, 0x200);
	moved();
	ASSERT_EQ(0, figures(&after));
	EXPECT_EQ(locks ? after.count[WRITE] - before.count[WRITE] + n : 0,
		  moved_vma_locked());
	/* The kernel's own access, on behalf of read(), takes the lock of the whole. */
	EXPECT_EQ(0, madvise(p, self->dev.size, MADV_DONTNEED));
	mark();
	EXPECT_EQ(1, read(open("/dev/zero", O_RDONLY), p, 1));
	moved();
	EXPECT_EQ(0, moved_vma_locked());
}

/* MADV_POPULATE_*: the same faults, without a trap. */
TEST_F(device, populate)
{
	size_t n = self->dev.pages, size = self->dev.size;
	size_t traps = self->dev.backing == RAM_HUGE ? n / window(&self->dev) : n;
	bool huge = self->dev.backing == RAM_HUGE;
	void *p;

	ASSERT_EQ(0, fill(&self->dev));
	p = shared_mapping(&self->dev);
	ASSERT_NE(MAP_FAILED, p);
	mark();
	EXPECT_EQ(0, madvise(p, size, MADV_POPULATE_WRITE));
	EXPECT_STREQ(said("write=%zu mkwrite=%zu huge=%zu", traps, traps, huge ? traps : 0),
		     moved());
	EXPECT_EQ(0, moved_vma_locked());
	store(p, n, 0x100);
	EXPECT_STREQ("", moved());
}

DEVICE_FIXTURE(ram_4k);
VARIANT(ram_4k, ram_4k, RAM_4K);

TEST_F(ram_4k, cold_reads)
{
	size_t n = 64;
	long minor;
	char *p = shared_mapping(&self->dev);

	ASSERT_NE(MAP_FAILED, p);
	mark();
	minor = minor_faults();
	load(p, n);
	EXPECT_EQ(n, minor_faults() - minor);
	EXPECT_STREQ(said("read=%zu", n), moved());
	load(p, n);
	EXPECT_STREQ("", moved());
	EXPECT_TRUE(holds(p, 1, 0));
	/* The last page does not make those in between. */
	load(p + (self->dev.pages - 1) * PAGE_SIZE, 1);
	EXPECT_STREQ("read=1", moved());
	store(p + n * PAGE_SIZE, n, 0x100);
	EXPECT_STREQ(said("write=%zu mkwrite=%zu", n, n), moved());
}

TEST_F(ram_4k, cold_private_stores)
{
	char *p = map(self->dev.fd, self->dev.size, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);

	ASSERT_NE(MAP_FAILED, p);
	mark();
	store(p, 64, 0x100);
	EXPECT_STREQ("cow=64", moved());
}

/* Pages that are there are mapped around; one that is missing is a read fault. */
TEST_F(ram_4k, around_skips_what_is_missing)
{
	char *p = shared_mapping(&self->dev);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_TRUE(writes(self->dev.fd, 0, 10, 0x100));
	mark();
	load(p, 10);
	EXPECT_STREQ("around=1", moved());
	load(p + 10 * PAGE_SIZE, 6);
	EXPECT_STREQ("read=6", moved());
	EXPECT_TRUE(holds(p, 10, 0x100));
}

/* Windows of 64 KiB are aligned to the address, and end where the VMA ends. */
TEST_F(ram_4k, around_windows)
{
	size_t n = self->dev.pages;
	char *room = map(-1, 2 * HUGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, 0);
	char *p = room + 5 * PAGE_SIZE;

	ASSERT_NE(MAP_FAILED, room);
	ASSERT_EQ(0, fill(&self->dev));
	p = mmap(p, 64 * PAGE_SIZE, PROT_READ, MAP_SHARED | MAP_FIXED, self->dev.fd, 0);
	ASSERT_EQ(room + 5 * PAGE_SIZE, p);
	mark();
	/* 11 pages to the first boundary, three whole windows, 5 pages of the last. */
	for (int page = 63; page >= 0; page--)
		load(p + page * PAGE_SIZE, 1);
	EXPECT_STREQ("around=5", moved());
	/* From the offset of the device it does not depend. */
	p = mmap(room + 64 * PAGE_SIZE, 64 * PAGE_SIZE, PROT_READ, MAP_SHARED | MAP_FIXED,
		 self->dev.fd, 7 * PAGE_SIZE);
	ASSERT_NE(MAP_FAILED, p);
	mark();
	for (int page = 63; page >= 0; page--)
		load(p + page * PAGE_SIZE, 1);
	EXPECT_STREQ("around=4", moved());
	EXPECT_TRUE(holds(p, 64, TAG + 7));
	ASSERT_GT(n, 71);
}

DEVICE_FIXTURE(ram_huge);
VARIANT(ram_huge, ram_huge, RAM_HUGE);

TEST_F(ram_huge, one_fault_for_2_mib)
{
	size_t n = 2 * HUGE_SIZE / PAGE_SIZE;
	char *p = shared_mapping(&self->dev);

	ASSERT_NE(MAP_FAILED, p);
	mark();
	store(p, 1, 0x100);
	EXPECT_STREQ("write=1 mkwrite=1 huge=1", moved());
	store(p, n / 2, 0x100);
	EXPECT_STREQ("", moved());
	load(p + HUGE_SIZE, n / 2);
	EXPECT_STREQ("read=1 huge=1", moved());
	store(p + HUGE_SIZE, n / 2, 0x200);
	EXPECT_STREQ("write=1 mkwrite=1 huge=1", moved());
	EXPECT_TRUE(reads(self->dev.fd, 0, n / 2, 0x100));
	EXPECT_TRUE(reads(self->dev.fd, HUGE_SIZE, n / 2, 0x200));
}

/* The last 2 MiB are huge too, whichever handler the kernel gets them from. */
TEST_F(ram_huge, last_2_mib)
{
	struct figures before, after;
	long long *a = after.count, *b = before.count;
	char *p;

	ASSERT_EQ(0, fill(&self->dev));
	p = shared_mapping(&self->dev);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, figures(&before));
	load(p + self->dev.size - HUGE_SIZE, HUGE_SIZE / PAGE_SIZE);
	ASSERT_EQ(0, figures(&after));
	EXPECT_EQ(1, a[READ] + a[AROUND] - b[READ] - b[AROUND]);
	EXPECT_EQ(1, a[HUGE] - b[HUGE]);
}

TEST_F(ram_huge, placed_at_2_mib)
{
	char *p = mmap(NULL, self->dev.size, PROT_READ, MAP_SHARED, self->dev.fd, 0);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, (uintptr_t)p % HUGE_SIZE);
}

/* Where the mapping has no room, or is not aligned: 4 KiB pages, one fault each. */
TEST_F(ram_huge, falls_back_to_4_kib)
{
	char *p = map(self->dev.fd, HUGE_SIZE / 2, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	char *q = map(self->dev.fd, HUGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		      HUGE_SIZE + PAGE_SIZE);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, q);
	mark();
	store(p, 20, 0x100);
	EXPECT_STREQ("write=20 mkwrite=20", moved());
	store(q, 20, 0x200);
	EXPECT_STREQ("write=20 mkwrite=20", moved());
	EXPECT_TRUE(reads(self->dev.fd, 0, 20, 0x100));
	EXPECT_TRUE(reads(self->dev.fd, HUGE_SIZE + PAGE_SIZE, 20, 0x200));
	munmap(p, HUGE_SIZE / 2);
	/* The small pages stay: a mapping with room finds them and takes no huge one. */
	p = map(self->dev.fd, HUGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	ASSERT_NE(MAP_FAILED, p);
	mark();
	store(p, 20, 0x300);
	EXPECT_STREQ("write=20 mkwrite=20", moved());
}

DEVICE_FIXTURE(stored);
VARIANT(stored, ext4, EXT4);
VARIANT(stored, xfs, XFS);
VARIANT(stored, btrfs, BTRFS);

static long all_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt + usage.ru_majflt;
}

/*
 * Cold pages: the fault gives up its lock, waits for storage and is tried again. The attempt
 * that was given up is a retry, the one that completes is the read: as many as the process had.
 */
TEST_F(stored, major)
{
	struct figures before, after;
	long long *a = after.count, *b = before.count;
	void *p = shared_mapping(&self->dev);
	long faults;

	ASSERT_NE(MAP_FAILED, p);
	load(&before, 1);
	sync();
	ASSERT_GT(write_file("/proc/sys/vm/drop_caches", "3"), 0);
	ASSERT_EQ(0, figures(&before));
	faults = all_faults();
	load(p, self->dev.pages);
	faults = all_faults() - faults;
	ASSERT_EQ(0, figures(&after));
	EXPECT_EQ(faults, a[READ] - b[READ] + a[AROUND] - b[AROUND]);
	EXPECT_GE(a[MAJOR] - b[MAJOR], 1);
	EXPECT_GE(a[RETRY] - b[RETRY], 1);
	EXPECT_TRUE(adds_up(&after));
	EXPECT_EQ(0, a[WRITE] + a[COW] + a[MKWRITE] + a[SIGBUSES] + a[OOM] + a[HWPOISON]);
	EXPECT_TRUE(holds(p, self->dev.pages, TAG));
	EXPECT_EQ(1, a[LIVE]);
}

TEST_HARNESS_MAIN
