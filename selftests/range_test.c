// SPDX-License-Identifier: GPL-2.0
/* mmap() of every range that makes sense, and of those that make none. */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fixture.h"

DEVICE_FIXTURE(device);
RAM_VARIANTS(device);
FILE_VARIANTS(device);

#define VAST (1ULL << 47)

/* The largest file has 2^63 - 1 bytes: this is the end of its last whole page. */
#define LIMIT ((1ULL << 63) - PAGE_SIZE)

struct range {
	uint64_t offset;
	uint64_t len;
};

/* Who says no, and with that what is left of what was at a fixed address. */
enum refused { NO, EARLY, LATE };

/*
 * What mmap() is to say: 0 or -errno. The core looks at the offset's alignment, then for
 * room (less than @most bytes), and then whether the range wraps around at 2^64: all that
 * before it touches what is mapped. We are asked after that. A file may grow, so it is mapped
 * wherever it can get.
 */
static int verdict(const struct device *dev, struct range r, uint64_t most, enum refused *refused)
{
	uint64_t len = (r.len + PAGE_SIZE - 1) & -PAGE_SIZE;

	*refused = EARLY;
	if (r.offset % PAGE_SIZE)
		return -EINVAL;
	if (len >= most)
		return -ENOMEM;
	if (r.offset / PAGE_SIZE > (UINT64_MAX - len) / PAGE_SIZE)
		return -EOVERFLOW;
	*refused = LATE;
	if (r.offset + len > LIMIT)
		return -EOVERFLOW;
	if (is_ram(dev) && r.offset >= dev->size)
		return -ENXIO;
	*refused = NO;
	return 0;
}

/* Room of the test's own, with a mark on the first page and the last one. */
static char *reserve(size_t size)
{
	char *p = map(-1, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, 0);

	if (p != MAP_FAILED) {
		p[0] = 'r';
		p[size - 1] = 'r';
	}
	return p;
}

/* Does an address have 57 bits here? Then there is room for 2^47 bytes where one asks for it. */
static bool wide_addresses(void)
{
	char *hint = (char *)(1ULL << 50), *p;

	p = mmap(hint, PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(p, PAGE_SIZE);
	return p == hint;
}

/* The C library's mmap() has ideas of its own about offsets. */
static char *raw_mmap(void *address, struct range r, int flags, int fd)
{
	return (char *)syscall(SYS_mmap, address, r.len, PROT_READ | PROT_WRITE,
			       MAP_SHARED | flags, fd, r.offset);
}

/* Pages inside are the device's, byte for byte; those outside are a SIGBUS each. */
static void look(struct __test_metadata *_metadata, struct device *dev, char *p, struct range r)
{
	size_t pages = (r.len + PAGE_SIZE - 1) / PAGE_SIZE, first = r.offset / PAGE_SIZE;
	size_t inside = first < dev->pages ? dev->pages - first : 0;

	if (inside > pages)
		inside = pages;
	if (inside) {
		EXPECT_TRUE(holds(p, 1, TAG + first));
		EXPECT_TRUE(holds(p + (inside - 1) * PAGE_SIZE, 1, TAG + first + inside - 1));
	}
	mark();
	if (inside < pages) {
		EXPECT_EQ(SIGBUS, trap_load(p + inside * PAGE_SIZE));
		EXPECT_EQ(SIGBUS, trap_store(p + inside * PAGE_SIZE + 4095));
		EXPECT_EQ(SIGBUS, trap_store(p + pages * PAGE_SIZE - 1));
		EXPECT_STREQ("read=1 write=2 sigbus=3", moved());
	}
	munmap(p, r.len);
	EXPECT_STREQ("live=-1", moved());
}

static void try_range(struct __test_metadata *_metadata, struct device *dev, struct range r)
{
	enum refused refused;
	int err = verdict(dev, r, VAST, &refused);
	char *p;

	mark();
	p = raw_mmap(NULL, r, 0, dev->fd);
	if (refused) {
		EXPECT_EQ(-1, (long)p);
		EXPECT_EQ(err, -errno) {
			TH_LOG("%#llx at %#llx", (long long)r.len, (long long)r.offset);
		}
		EXPECT_STREQ("", moved());
		return;
	}
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_STREQ("total=1 live=1", moved());
	look(_metadata, dev, p, r);
}

/* Over something that is there: it is replaced, kept, or after a late refusal gone. */
static void try_fixed(struct __test_metadata *_metadata, struct device *dev, struct range r)
{
	size_t room = dev->size + 4 * PAGE_SIZE;
	int fixed = r.len > room ? MAP_FIXED_NOREPLACE : MAP_FIXED, err;
	char *around = reserve(room + 2 * PAGE_SIZE), *p = around + PAGE_SIZE, *got;
	enum refused refused;

	ASSERT_NE(MAP_FAILED, around);
	p[0] = 'r';
	err = verdict(dev, r, VAST, &refused);
	if (r.len > room && err == -ENOMEM && wide_addresses())
		err = -EEXIST;
	mark();
	got = raw_mmap(p, r, fixed, dev->fd);
	if (refused) {
		EXPECT_EQ(-1, (long)got);
		EXPECT_EQ(err, -errno) {
			TH_LOG("%#llx at %#llx", (long long)r.len, (long long)r.offset);
		}
		EXPECT_STREQ("", moved());
		EXPECT_EQ(refused == LATE ? SIGSEGV : 0, trap_load(p));
		EXPECT_TRUE(refused == LATE || p[0] == 'r');
	} else {
		ASSERT_EQ(p, got);
		EXPECT_STREQ("total=1 live=1", moved());
		look(_metadata, dev, p, r);
	}
	/* The neighbours are as they were, and the room can be used again. */
	EXPECT_EQ('r', around[0]);
	EXPECT_EQ('r', around[room + 2 * PAGE_SIZE - 1]);
	mark();
	r = (struct range){ 0, PAGE_SIZE };
	ASSERT_EQ(p, raw_mmap(p, r, MAP_FIXED, dev->fd));
	EXPECT_TRUE(holds(p, 1, TAG));
	munmap(around, room + 2 * PAGE_SIZE);
	EXPECT_STREQ(said("around=1 huge=%d total=1", 0), moved());
}

/*
 * More than there is room for, by force. With addresses of 57 bits there is room for it where
 * nothing else is: then it is judged as any other, and takes the place of what was there.
 */
static void try_vast(struct __test_metadata *_metadata, struct device *dev, uint64_t offset)
{
	char *hint = wide_addresses() ? (char *)(1ULL << 50) : NULL, *p, *got;
	struct range r = { offset, VAST };
	enum refused refused;
	int err;

	p = mmap(hint, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_TRUE(!hint || p == hint);
	p[0] = 'r';
	err = verdict(dev, r, hint ? 1ULL << 56 : VAST, &refused);
	mark();
	got = raw_mmap(p, r, MAP_FIXED, dev->fd);
	EXPECT_EQ(err, got == MAP_FAILED ? -errno : 0) {
		TH_LOG("by force %#llx at %#llx", (long long)r.len, (long long)r.offset);
	}
	if (got != MAP_FAILED) {
		EXPECT_EQ(p, got);
		EXPECT_STREQ("total=1 live=1", moved());
		look(_metadata, dev, p, r);
		return;
	}
	EXPECT_STREQ("", moved());
	EXPECT_EQ(refused == LATE ? SIGSEGV : 0, trap_load(p));
	EXPECT_TRUE(refused == LATE || p[0] == 'r');
	munmap(p, PAGE_SIZE);
}

/* A debug kernel looks at each third. */
TEST_F_TIMEOUT(device, every_range, 110)
{
	const size_t step = rounds(16) == 16 ? 1 : 3;
	const uint64_t size = self->dev.size, lens[] = { 1, size, size + 1, VAST };
	const uint64_t offsets[] = {
		0, size - PAGE_SIZE, size, size + PAGE_SIZE, 1ULL << 31, (1ULL << 32) - PAGE_SIZE,
		1ULL << 62, LIMIT - PAGE_SIZE, LIMIT, 1ULL << 63, -PAGE_SIZE, -size, 1, size - 1,
	};

	ASSERT_EQ(0, fill(&self->dev));
	for (size_t i = 0; i < ARRAY_SIZE(offsets) * ARRAY_SIZE(lens); i += step) {
		struct range r = { offsets[i / ARRAY_SIZE(lens)], lens[i % ARRAY_SIZE(lens)] };

		try_range(_metadata, &self->dev, r);
		try_fixed(_metadata, &self->dev, r);
	}
	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++)
		try_vast(_metadata, &self->dev, offsets[i]);
	mark();
	EXPECT_EQ(-1, (long)raw_mmap(NULL, (struct range){ 0, 0 }, 0, self->dev.fd));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_STREQ("", moved());
	EXPECT_TRUE(reads(self->dev.fd, 0, self->dev.pages, TAG));
}

TEST_HARNESS_MAIN
