// SPDX-License-Identifier: GPL-2.0
/* mremap(): grown, moved, cut and doubled, a mapping stays what it is and ends where it ends. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fixture.h"

DEVICE_FIXTURE(device);
RAM_VARIANTS(device);
VARIANT(device, ext4, EXT4);
VARIANT(device, tmpfs, TMPFS);

static char *shared_mapping(struct device *dev)
{
	return map(dev->fd, dev->size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
}

static char *private_mapping(struct device *dev)
{
	return map(dev->fd, dev->size, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
}

/* Address space that nobody else uses. */
static char *room(size_t size)
{
	return map(-1, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, 0);
}

/* The C library hands on an address only with MREMAP_FIXED, the kernel looks at it. */
static char *raw_mremap(char *p, size_t old, size_t new, int flags, char *to)
{
	return (char *)syscall(SYS_mremap, p, old, new, flags, to);
}

/* One page of the device at each end of what is mapped, and a SIGBUS behind it. */
static void expect_end(struct __test_metadata *_metadata, char *p, size_t inside, size_t len)
{
	moved();
	EXPECT_EQ(SIGBUS, trap_load(p + inside));
	EXPECT_EQ(SIGBUS, trap_store(p + len - 1));
	EXPECT_STREQ("read=1 write=1 sigbus=2", moved());
}

/* Moved with its page table: nothing is faulted in again. */
TEST_F(device, moved)
{
	size_t size = self->dev.size, n = self->dev.pages;
	char *p = shared_mapping(&self->dev), *q = room(size);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, q);
	store(p, n, 0x100);
	mark();
	ASSERT_EQ(q, raw_mremap(p, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, q));
	EXPECT_TRUE(holds(q, n, 0x100));
	store(q, n, 0x200);
	EXPECT_STREQ("", moved());
	EXPECT_EQ(SIGSEGV, trap_load(p));
	munmap(q, size);
	EXPECT_STREQ("live=-1", moved());
	EXPECT_TRUE(reads(self->dev.fd, 0, n, 0x200));
}

/* A part of it: three mappings of one, each where it belongs in the device. */
TEST_F(device, middle_moved)
{
	size_t page = PAGE_SIZE, size = self->dev.size, n = self->dev.pages;
	char *p = shared_mapping(&self->dev), *q = room(10 * page);
	long pieces;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, q);
	store(p, n, 0x100);
	mark();
	ASSERT_EQ(q, raw_mremap(p + 10 * page, 10 * page, 10 * page,
				MREMAP_MAYMOVE | MREMAP_FIXED, q));
	EXPECT_STREQ("live=2", moved());
	EXPECT_EQ(SIGSEGV, trap_load(p + 10 * page));
	EXPECT_EQ(SIGSEGV, trap_store(p + 20 * page - 1));
	EXPECT_TRUE(holds(p, 10, 0x100));
	EXPECT_TRUE(holds(q, 10, 0x10a));
	EXPECT_TRUE(holds(p + 20 * page, n - 20, 0x114));
	store(q, 10, 0x200);
	moved();
	/* And back, where its neighbours still are. */
	ASSERT_EQ(p + 10 * page, raw_mremap(q, 10 * page, 10 * page, MREMAP_MAYMOVE | MREMAP_FIXED,
					    p + 10 * page));
	EXPECT_TRUE(holds(p, 10, 0x100));
	EXPECT_TRUE(holds(p + 10 * page, 10, 0x200));
	EXPECT_TRUE(holds(p + 20 * page, n - 20, 0x114));
	moved();
	/* From 6.12 on the core may have joined it with a neighbour. */
	pieces = live();
	EXPECT_TRUE(pieces == 2 || pieces == 3);
	munmap(p, size);
	EXPECT_STREQ(said("live=-%ld", pieces), moved());
}

/* What was at the target is unmapped, the last piece of another mapping say. */
TEST_F(device, moved_over_another)
{
	size_t size = self->dev.size, n = self->dev.pages;
	char *p = shared_mapping(&self->dev), *q = shared_mapping(&self->dev);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, q);
	store(p, n, 0x100);
	mark();
	ASSERT_EQ(q, raw_mremap(p, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, q));
	EXPECT_STREQ("live=-1", moved());
	EXPECT_TRUE(holds(q, n, 0x100));
	munmap(q, size);
	EXPECT_STREQ("live=-1", moved());
}

/* VMAs in a range, all of which is mapped. */
static int vmas(const char *from, const char *to)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long start, end;
	char line[512];
	int n = 0;

	while (maps && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx", &start, &end) == 2)
			n += start < (unsigned long)to && end > (unsigned long)from;
	if (maps)
		fclose(maps);
	return n;
}

/*
 * Two mappings of one open file come to lie side by side. For the mapping of a file 6.12 and
 * later make one VMA of the two, and tell us that the one that moved has ended: then there is
 * one mapping. 6.1 does not where there is an operation for the end.
 */
TEST_F(device, moved_beside_another)
{
	size_t half = self->dev.size / 2, n = self->dev.pages;
	char *all = room(self->dev.size), *p, *q;
	int left;

	ASSERT_NE(MAP_FAILED, all);
	p = mmap(all, half, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, self->dev.fd, 0);
	ASSERT_EQ(all, p);
	q = map(self->dev.fd, half, PROT_READ | PROT_WRITE, MAP_SHARED, half);
	ASSERT_NE(MAP_FAILED, q);
	store(p, n / 2, 0x100);
	store(q, n / 2, 0x100 + n / 2);
	mark();
	ASSERT_EQ(all + half, raw_mremap(q, half, half, MREMAP_MAYMOVE | MREMAP_FIXED, all + half));
	left = vmas(all, all + self->dev.size);
	EXPECT_EQ(is_ram(&self->dev) || !has_vma_locks() ? 2 : 1, left);
	EXPECT_STREQ(said("live=%d", left - 2), moved());
	EXPECT_TRUE(holds(all, n, 0x100));
	store(all, n, 0x200);
	moved();
	munmap(all, half);
	EXPECT_STREQ(said("live=%d", 1 - left), moved());
	EXPECT_TRUE(holds(all + half, n / 2, 0x200 + n / 2));
	moved();
	munmap(all + half, half);
	EXPECT_STREQ("live=-1", moved());
	EXPECT_TRUE(reads(self->dev.fd, 0, n, 0x200));
}

TEST_F(device, grown_in_place)
{
	size_t n = self->dev.pages, size = self->dev.size;
	char *p = room(2 * size);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(p, mmap(p, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			  self->dev.fd, 0));
	ASSERT_EQ(0, fill(&self->dev));
	mark();
	/* There is something behind it: no. */
	EXPECT_EQ(-1, (long)raw_mremap(p, PAGE_SIZE, size, 0, NULL));
	EXPECT_EQ(ENOMEM, errno);
	munmap(p + PAGE_SIZE, 2 * size - PAGE_SIZE);
	ASSERT_EQ(p, raw_mremap(p, PAGE_SIZE, size, 0, NULL));
	EXPECT_STREQ("", moved());
	EXPECT_TRUE(holds(p, n, TAG));
	store(p, n, 0x100);
	ASSERT_EQ(p, raw_mremap(p, size, 2 * size, 0, NULL));
	expect_end(_metadata, p, size, 2 * size);
	EXPECT_TRUE(reads(self->dev.fd, 0, n, 0x100));
	EXPECT_EQ(size, lseek(self->dev.fd, 0, SEEK_END));
	munmap(p, 2 * size);
	EXPECT_STREQ("live=-1", moved());
}

TEST_F(device, grown_and_moved)
{
	size_t n = self->dev.pages, size = self->dev.size;
	char *p = shared_mapping(&self->dev);

	ASSERT_NE(MAP_FAILED, p);
	store(p, n, 0x100);
	mark();
	p = raw_mremap(p, size, 2 * size, MREMAP_MAYMOVE, NULL);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_TRUE(holds(p, n, 0x100));
	EXPECT_STREQ("", moved());
	expect_end(_metadata, p, size, 2 * size);
	munmap(p, 2 * size);
	EXPECT_STREQ("live=-1", moved());
}

/* Only its last page is mapped: what grows out of that has nothing of the device. */
TEST_F(device, last_page_grown)
{
	size_t n = self->dev.pages, size = self->dev.size;
	char *p;

	ASSERT_EQ(0, fill(&self->dev));
	p = map(self->dev.fd, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, size - PAGE_SIZE);
	ASSERT_NE(MAP_FAILED, p);
	mark();
	p = raw_mremap(p, PAGE_SIZE, size, MREMAP_MAYMOVE, NULL);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_TRUE(holds(p, 1, TAG + n - 1));
	expect_end(_metadata, p, PAGE_SIZE, size);
	munmap(p, size);
	EXPECT_STREQ("live=-1", moved());
}

TEST_F(device, shrunk)
{
	size_t page = PAGE_SIZE, size = self->dev.size, n = self->dev.pages;
	char *p = shared_mapping(&self->dev);

	ASSERT_NE(MAP_FAILED, p);
	store(p, n, 0x100);
	mark();
	ASSERT_EQ(p, raw_mremap(p, size, size / 2, 0, NULL));
	EXPECT_EQ(SIGSEGV, trap_load(p + size / 2));
	EXPECT_EQ(SIGSEGV, trap_store(p + size - 1));
	EXPECT_TRUE(holds(p, n / 2, 0x100));
	ASSERT_EQ(p, raw_mremap(p, size / 2, 1, 0, NULL));
	EXPECT_EQ(SIGSEGV, trap_load(p + page));
	EXPECT_TRUE(holds(p, 1, 0x100));
	/* A huge page that is cut is taken apart, and faulted in again. */
	if (self->dev.backing != RAM_HUGE) {
		EXPECT_STREQ("", moved());
	}
	p = raw_mremap(p, page, size, MREMAP_MAYMOVE, NULL);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_TRUE(holds(p, n, 0x100));
	moved();
	munmap(p, size);
	EXPECT_STREQ("live=-1", moved());
}

/* A second view of the same pages, which may be longer than the first one, and than the device. */
TEST_F(device, doubled)
{
	size_t size = self->dev.size, n = self->dev.pages;
	char *p = shared_mapping(&self->dev), *q;

	ASSERT_NE(MAP_FAILED, p);
	store(p, n, 0x100);
	mark();
	q = raw_mremap(p, 0, 2 * size, MREMAP_MAYMOVE, NULL);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_STREQ("live=1", moved());
	EXPECT_TRUE(holds(q, n, 0x100));
	store(q, n, 0x200);
	EXPECT_TRUE(holds(p, n, 0x200));
	expect_end(_metadata, q, size, 2 * size);
	munmap(p, size);
	EXPECT_STREQ("live=-1", moved());
	store(q, n, 0x300);
	EXPECT_TRUE(reads(self->dev.fd, 0, n, 0x300));
	moved();
	munmap(q, 2 * size);
	EXPECT_STREQ("live=-1", moved());
}

/* Views that follow upon each other may be made one by the core; all of them go all the same. */
TEST_F(device, doubled_in_parts)
{
	size_t part = self->dev.size / 4, n = self->dev.pages;
	char *p = shared_mapping(&self->dev), *q = room(self->dev.size);
	long views;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, q);
	store(p, n, 0x100);
	mark();
	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(q + i * part, raw_mremap(p + i * part, 0, part,
						   MREMAP_MAYMOVE | MREMAP_FIXED, q + i * part));
	}
	views = live() - 1;
	EXPECT_TRUE(views == 1 || views == 4);
	EXPECT_STREQ(said("live=%ld", views), moved());
	munmap(p, self->dev.size);
	EXPECT_STREQ("live=-1", moved());
	EXPECT_TRUE(holds(q, n, 0x100));
	moved();
	/* One of four goes, or one becomes two. */
	munmap(q + part, part);
	EXPECT_STREQ(views == 4 ? "live=-1" : "live=1", moved());
	munmap(q, self->dev.size);
	EXPECT_STREQ(views == 4 ? "live=-3" : "live=-2", moved());
}

/* The first place stays mapped, without pages: of files too, which 6.1 and later allow. */
TEST_F(device, dontunmap)
{
	const int flags = MREMAP_MAYMOVE | MREMAP_DONTUNMAP;
	size_t size = self->dev.size, n = self->dev.pages;
	char *p = shared_mapping(&self->dev), *q;

	ASSERT_NE(MAP_FAILED, p);
	store(p, n, 0x100);
	mark();
	q = raw_mremap(p, size, size, flags, NULL);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_TRUE(holds(q, n, 0x100));
	EXPECT_STREQ("live=1", moved());
	EXPECT_TRUE(holds(p, n, 0x100));
	EXPECT_STRNE("", moved());
	munmap(p, size);
	EXPECT_STREQ("live=-1", moved());
	store(q, n, 0x200);
	EXPECT_TRUE(reads(self->dev.fd, 0, n, 0x200));
	moved();
	munmap(q, size);
	EXPECT_STREQ("live=-1", moved());
}

/* Copies move along; the place that they leave shows the device again. */
TEST_F(device, private)
{
	size_t size = self->dev.size, n = self->dev.pages;
	char *p, *q;

	ASSERT_EQ(0, fill(&self->dev));
	p = private_mapping(&self->dev);
	ASSERT_NE(MAP_FAILED, p);
	store(p, n, 0x100);
	mark();
	EXPECT_EQ(-1, (long)raw_mremap(p, 0, size, MREMAP_MAYMOVE, NULL));
	EXPECT_EQ(EINVAL, errno);
	q = raw_mremap(p, size, size, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_TRUE(holds(q, n, 0x100));
	EXPECT_STREQ("live=1", moved());
	EXPECT_TRUE(holds(p, n, TAG));
	moved();
	q = raw_mremap(q, size, 2 * size, MREMAP_MAYMOVE, NULL);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_TRUE(holds(q, n, 0x100));
	EXPECT_EQ(SIGBUS, trap_store(q + size));
	EXPECT_STREQ("cow=1 sigbus=1", moved());
	munmap(q, 2 * size);
	EXPECT_STREQ("live=-1", moved());
	munmap(p, size);
	EXPECT_STREQ("live=-1", moved());
	EXPECT_TRUE(reads(self->dev.fd, 0, n, TAG));
}

/* What is refused changes nothing. */
TEST_F(device, refused)
{
	const int move = MREMAP_MAYMOVE, fixed = move | MREMAP_FIXED, keep = MREMAP_DONTUNMAP;
	const size_t page = PAGE_SIZE, size = self->dev.size, n = self->dev.pages;
	char *p = shared_mapping(&self->dev), *q = room(3 * size);
	const struct {
		size_t from, old, new;
		int flags, err;
		char *to;
	} cases[] = {
		{ 0, size + page, 2 * size, move, EFAULT, NULL },
		{ page, size, size, move | keep, EFAULT, NULL },
		{ 0, 2 * size, 3 * size, fixed, EFAULT, q },
		{ 1, page, page, move, EINVAL, NULL },
		{ 0, size, 0, move, EINVAL, NULL },
		{ 0, size, size, fixed, EINVAL, p + page },
		{ 0, size, size, fixed, EINVAL, q + 1 },
		{ 0, size, size, MREMAP_FIXED, EINVAL, q },
		{ 0, size, size, keep, EINVAL, NULL },
		{ 0, size, 2 * size, move | keep, EINVAL, NULL },
		{ 0, size, size, move | 8, EINVAL, NULL },
		{ 0, size, size, fixed, EINVAL, (char *)-page },
	};

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, q);
	store(p, n, 0x100);
	mark();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		EXPECT_EQ(-1, (long)raw_mremap(p + cases[i].from, cases[i].old, cases[i].new,
					       cases[i].flags, cases[i].to));
		EXPECT_EQ(cases[i].err, errno) {
			TH_LOG("case %zu", i);
		}
	}
	EXPECT_EQ(-1, (long)raw_mremap(p, size, 1ULL << 46, 0, NULL));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(-1, (long)raw_mremap(p, size, -page, move, NULL));
	EXPECT_TRUE(holds(p, n, 0x100));
	EXPECT_STREQ("", moved());
	munmap(p, size);
	EXPECT_STREQ("live=-1", moved());
}

static int mremap_in_child(void *arg)
{
	struct device *dev = arg;
	char *p = shared_mapping(dev), *q;

	q = raw_mremap(p, 0, dev->size, MREMAP_MAYMOVE, NULL);
	if (q == MAP_FAILED)
		return 1;
	store(q, dev->pages, 0x200);
	munmap(p, PAGE_SIZE);
	/* The rest goes with the process. */
	return 0;
}

/* In a child, of what it inherits and of its own. */
TEST_F(device, after_fork)
{
	size_t size = self->dev.size, n = self->dev.pages;
	char *p = shared_mapping(&self->dev), *q;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, p);
	store(p, n, 0x100);
	mark();
	pid = fork();
	if (!pid) {
		q = raw_mremap(p, size, size, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
		_exit(q != MAP_FAILED && holds(q, n, 0x100) && holds(p, n, 0x100) ? 0 : 1);
	}
	EXPECT_EQ(0, reap(pid));
	EXPECT_EQ(0, in_child(mremap_in_child, &self->dev));
	EXPECT_TRUE(holds(p, n, 0x200));
	moved();
	munmap(p, size);
	EXPECT_STREQ("live=-1", moved());
}

FIXTURE(largest)
{
	int fd;
};

FIXTURE_SETUP(largest)
{
	ASSERT_EQ(0, module_load("size=0x7ffffffffffff000"));
	self->fd = open(NODE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN_PARENT(largest)
{
	EXPECT_EQ(0, module_unload());
}

/* Where a byte's position is no loff_t any more. */
TEST_F(largest, grown_past_2_to_the_63)
{
	const off_t last = 0x7fffffffffffe000;
	char *p = map(self->fd, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, last);

	ASSERT_NE(MAP_FAILED, p);
	mark();
	p = raw_mremap(p, PAGE_SIZE, 2 * HUGE_SIZE, MREMAP_MAYMOVE, NULL);
	ASSERT_NE(MAP_FAILED, p);
	store(p, 1, 0x100);
	EXPECT_STREQ("write=1 mkwrite=1", moved());
	expect_end(_metadata, p, PAGE_SIZE, 2 * HUGE_SIZE);
	EXPECT_EQ(SIGBUS, trap_load(p + HUGE_SIZE));
	EXPECT_EQ(0, msync(p, 2 * HUGE_SIZE, MS_SYNC));
	moved();
	store(p, 1, 0x200);
	EXPECT_STREQ("mkwrite=1", moved());
	EXPECT_TRUE(reads(self->fd, last, 1, 0x200));
	EXPECT_TRUE(reads(self->fd, 0, 1, 0));
	EXPECT_EQ(-1, madvise(p, 2 * HUGE_SIZE, MADV_POPULATE_WRITE));
	EXPECT_EQ(EFAULT, errno);
	munmap(p, 2 * HUGE_SIZE);
}

TEST_HARNESS_MAIN
