// SPDX-License-Identifier: GPL-2.0
/* The end of the device: checked when it is mapped, and again at each fault. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fixture.h"

DEVICE_FIXTURE(device);
RAM_VARIANTS(device);
FILE_VARIANTS(device);
MORE_FILE_VARIANTS(device);

/* A mapping may be longer than the device; what is past the end is a SIGBUS. */
TEST_F(device, past_the_end)
{
	size_t n = self->dev.pages, size = self->dev.size;
	char *p = map(self->dev.fd, 2 * size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, trap_load(p + size - 1));
	EXPECT_EQ(0, trap_store(p + size - 1));
	mark();
	EXPECT_EQ(SIGBUS, trap_load(p + size));
	EXPECT_STREQ("read=1 sigbus=1", moved());
	EXPECT_EQ(SIGBUS, trap_load(p + size + 4095));
	EXPECT_STREQ("read=1 sigbus=1", moved());
	EXPECT_EQ(SIGBUS, trap_store(p + size + 123));
	EXPECT_STREQ("write=1 sigbus=1", moved());
	EXPECT_EQ(SIGBUS, trap_store(p + 2 * size - 1));
	EXPECT_STREQ("write=1 sigbus=1", moved());
	store(p, n, 0x100);
	EXPECT_TRUE(reads(self->dev.fd, 0, n, 0x100));
	EXPECT_EQ(size, lseek(self->dev.fd, 0, SEEK_END));
}

TEST_F(device, past_the_end_private)
{
	size_t size = self->dev.size;
	char *p = map(self->dev.fd, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);

	ASSERT_NE(MAP_FAILED, p);
	mark();
	EXPECT_EQ(SIGBUS, trap_store(p + size));
	EXPECT_STREQ("cow=1 sigbus=1", moved());
	EXPECT_EQ(SIGBUS, trap_load(p + size));
	EXPECT_STREQ("read=1 sigbus=1", moved());
	EXPECT_EQ(0, trap_store(p + size - 1));
	EXPECT_STREQ("cow=1", moved());
}

/* A fixed RAM device has nothing there ever; a file may grow, and until then gives SIGBUS. */
TEST_F(device, mapping_starts_past_the_end)
{
	size_t size = self->dev.size;
	char *p;

	mark();
	p = map(self->dev.fd, PAGE_SIZE, PROT_READ, MAP_SHARED, size);
	if (is_ram(&self->dev)) {
		EXPECT_EQ(MAP_FAILED, p);
		EXPECT_EQ(ENXIO, errno);
		EXPECT_STREQ("", moved());
		return;
	}
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(SIGBUS, trap_load(p));
	EXPECT_STREQ("read=1 sigbus=1 total=1 live=1", moved());
	EXPECT_TRUE(writes(self->dev.file, size, 1, 0x100));
	EXPECT_TRUE(holds(p, 1, 0x100));
}

/* The kernel takes the fault on behalf of the caller: an error, no signal. */
TEST_F(device, system_calls_get_efault)
{
	size_t size = self->dev.size;
	char *p = map(self->dev.fd, 2 * size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	int other = memfd_create("other", 0);
	struct figures before, after;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(PAGE_SIZE, write(other, p, PAGE_SIZE));
	ASSERT_EQ(0, figures(&before));
	EXPECT_EQ(-1, pwrite(other, p + size, 1, 0));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, pread(other, p + size, 1, 0));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, madvise(p + size, PAGE_SIZE, MADV_POPULATE_READ));
	EXPECT_EQ(EFAULT, errno);
	/* How often the kernel tries is its own affair; each try is counted as what it was. */
	ASSERT_EQ(0, figures(&after));
	EXPECT_LE(before.count[SIGBUSES] + 3, after.count[SIGBUSES]);
	EXPECT_EQ(after.count[SIGBUSES] - before.count[SIGBUSES],
		  after.count[READ] - before.count[READ] +
		  after.count[WRITE] - before.count[WRITE]);
}

DEVICE_FIXTURE(file);
FILE_VARIANTS(file);
MORE_FILE_VARIANTS(file);

/* A size that is no multiple of the page: zeroes behind it, SIGBUS in the page after. */
TEST_F(file, ragged_end)
{
	const off_t size = 3 * PAGE_SIZE + 100;
	char buf[200], *p;

	ASSERT_EQ(0, ftruncate(self->dev.file, size));
	p = map(self->dev.fd, 8 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(size, lseek(self->dev.fd, 0, SEEK_END));
	memset(buf, '8', 60);
	buf[49] = '9';
	EXPECT_EQ(50, pwrite(self->dev.fd, buf, 60, size - 50));
	EXPECT_EQ(50, pread(self->dev.fd, buf, 200, size - 50));
	EXPECT_EQ(0, pread(self->dev.fd, buf, 200, size));
	EXPECT_TRUE(holds(p, 4, TAG));
	EXPECT_EQ('9', p[size - 1]);
	for (size_t i = size; i < 4 * PAGE_SIZE; i++) {
		ASSERT_EQ(0, p[i]);
	}
	mark();
	EXPECT_EQ(SIGBUS, trap_load(p + 4 * PAGE_SIZE));
	EXPECT_STREQ("read=1 sigbus=1", moved());
	p[4 * PAGE_SIZE - 1] = 1;
	EXPECT_EQ(size, lseek(self->dev.file, 0, SEEK_END));
}

TEST_HARNESS_MAIN
