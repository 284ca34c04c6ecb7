// SPDX-License-Identifier: GPL-2.0
/* The file behind the device shrinks and grows while it is mapped. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fixture.h"

DEVICE_FIXTURE(file);
FILE_VARIANTS(file);
MORE_FILE_VARIANTS(file);

TEST_F(file, shrinks_while_mapped)
{
	size_t half = self->dev.pages / 2, cut = self->dev.size / 2;
	char *p = map(self->dev.fd, self->dev.size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);

	ASSERT_NE(MAP_FAILED, p);
	store(p, self->dev.pages, 0x100);
	ASSERT_EQ(0, ftruncate(self->dev.file, cut));
	mark();
	EXPECT_EQ(SIGBUS, trap_load(p + cut));
	EXPECT_STREQ("read=1 sigbus=1", moved());
	EXPECT_EQ(SIGBUS, trap_store(p + self->dev.size - 1));
	EXPECT_STREQ("write=1 sigbus=1", moved());
	EXPECT_TRUE(holds(p, half, 0x100));
	EXPECT_STREQ("", moved());
	/* Grown again: what was cut off is gone, and reads as zeroes. */
	ASSERT_EQ(0, ftruncate(self->dev.file, self->dev.size));
	EXPECT_EQ(0, trap_load(p + cut));
	for (size_t i = half; i < self->dev.pages; i++) {
		ASSERT_TRUE(holds(p + i * PAGE_SIZE, 1, 0));
	}
	store(p + cut, half, 0x200);
	EXPECT_TRUE(reads(self->dev.file, cut, half, 0x200));
	EXPECT_TRUE(holds(p, half, 0x100));
}

/* Copies of a private mapping go with the pages that they were made from. */
TEST_F(file, shrinks_under_a_private_mapping)
{
	size_t cut = self->dev.size / 2;
	char *p = map(self->dev.fd, self->dev.size, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);

	ASSERT_NE(MAP_FAILED, p);
	store(p, self->dev.pages, 0x100);
	ASSERT_EQ(0, ftruncate(self->dev.file, cut));
	mark();
	EXPECT_EQ(SIGBUS, trap_load(p + cut));
	EXPECT_EQ(SIGBUS, trap_store(p + cut));
	EXPECT_STREQ("read=1 cow=1 sigbus=2", moved());
	EXPECT_TRUE(holds(p, self->dev.pages / 2, 0x100));
}

/* The device has the size of the file, whatever that is now. */
TEST_F(file, size_follows)
{
	char text[32];

	ASSERT_EQ(0, ftruncate(self->dev.file, 5000));
	EXPECT_EQ(5000, lseek(self->dev.fd, 0, SEEK_END));
	EXPECT_GT(read_file(SYSFS "size", text, sizeof(text)), 0);
	EXPECT_STREQ("5000\n", text);
	EXPECT_EQ(0, pread(self->dev.fd, text, 1, 5000));
	EXPECT_EQ(-1, pwrite(self->dev.fd, text, 1, 5000));
	EXPECT_EQ(ENOSPC, errno);
	ASSERT_EQ(0, ftruncate(self->dev.file, 0));
	EXPECT_EQ(0, lseek(self->dev.fd, 0, SEEK_END));
	EXPECT_EQ(0, pread(self->dev.fd, text, 1, 0));
	ASSERT_EQ(0, ftruncate(self->dev.file, 2 * self->dev.size));
	EXPECT_EQ(1, pwrite(self->dev.fd, "x", 1, 2 * self->dev.size - 1));
	EXPECT_EQ(2 * self->dev.size, lseek(self->dev.fd, 0, SEEK_END));
}

/* A hole punched into the file takes its pages out of every mapping. */
TEST_F(file, hole_while_mapped)
{
	size_t size = self->dev.size, page = PAGE_SIZE;
	char *p = map(self->dev.fd, size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);

	ASSERT_NE(MAP_FAILED, p);
	store(p, self->dev.pages, 0x100);
	ASSERT_EQ(0, fallocate(self->dev.file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			       16 * page, 16 * page));
	EXPECT_TRUE(holds(p, 16, 0x100));
	for (size_t i = 16; i < 32; i++) {
		EXPECT_TRUE(holds(p + i * page, 1, 0));
	}
	EXPECT_TRUE(holds(p + 32 * page, self->dev.pages - 32, 0x120));
	mark();
	store(p + 16 * page, 1, 0x200);
	EXPECT_STREQ("mkwrite=1", moved());
	EXPECT_TRUE(reads(self->dev.file, 16 * page, 1, 0x200));
}

/*
 * One process maps and stores while another cuts the file and gives it back: every access
 * either works or is a SIGBUS, and each SIGBUS is counted.
 */
TEST_F(file, race_with_stores)
{
	size_t size = self->dev.size;
	char *p = map(self->dev.fd, size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	struct figures before, after;
	int sig, traps = 0;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, figures(&before));
	pid = fork();
	if (!pid) {
		for (int i = 0; i < 50; i++)
			if (ftruncate(self->dev.file, PAGE_SIZE) ||
			    ftruncate(self->dev.file, size))
				_exit(1);
		_exit(0);
	}
	for (int i = 0; i < 3000; i++) {
		sig = trap_store(p + (i % self->dev.pages) * PAGE_SIZE);
		ASSERT_TRUE(!sig || sig == SIGBUS);
		traps += !!sig;
	}
	EXPECT_EQ(0, reap(pid));
	ASSERT_EQ(0, figures(&after));
	EXPECT_GE(traps, after.count[SIGBUSES] - before.count[SIGBUSES]);
	EXPECT_TRUE(adds_up(&after));
}

DEVICE_FIXTURE(memfd);
VARIANT(memfd, memfd, MEMFD);

/* Seals count the writable shared mappings of the file, made through the device or not. */
TEST_F(memfd, seal_against_writing)
{
	size_t size = self->dev.size;
	int file = self->dev.file;
	char *p = map(self->dev.fd, size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);

	ASSERT_NE(MAP_FAILED, p);
	store(p, 1, 0x100);
	EXPECT_EQ(-1, fcntl(file, F_ADD_SEALS, F_SEAL_WRITE));
	EXPECT_EQ(EBUSY, errno);
	munmap(p, size);
	EXPECT_EQ(0, fcntl(file, F_ADD_SEALS, F_SEAL_WRITE));
	mark();
	p = map(self->dev.fd, size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	EXPECT_EQ(MAP_FAILED, p);
	EXPECT_EQ(EPERM, errno);
	EXPECT_STREQ("", moved());
	EXPECT_EQ(-1, pwrite(self->dev.fd, "x", 1, 0));
	EXPECT_EQ(EPERM, errno);
	/* Private copies are nobody else's affair, nor is reading. */
	p = map(self->dev.fd, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
	ASSERT_NE(MAP_FAILED, p);
	store(p, 1, 0x200);
	EXPECT_TRUE(reads(file, 0, 1, 0x100));
}

TEST_HARNESS_MAIN
