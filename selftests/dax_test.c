// SPDX-License-Identifier: GPL-2.0
/*
 * A file on persistent memory, mounted with dax: no page cache, the file system maps its
 * storage itself, 2 MiB at a time where it can. So it alone installs huge_fault and
 * pfn_mkwrite.
 *
 * Needs /dev/pmem0, which memmap= on the kernel's command line makes: selftests/vm/run does.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"

#define SIZE (2 * HUGE_SIZE)

FIXTURE(dax)
{
	char dir[96];
	char path[128];
	int file;
	int fd;
};

/* A file whose storage is aligned to 2 MiB. */
static int make_file(const char *dir, char path[128])
{
	int fd;

	snprintf(path, 128, "%s/file", dir);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	return fallocate(fd, 0, 0, SIZE) || !writes(fd, 0, SIZE / PAGE_SIZE, TAG) || fsync(fd) ?
	       -EIO : fd;
}

static int unmount(const char *dir)
{
	int err = umount2(dir, 0) ? -errno : 0;

	rmdir(dir);
	return err;
}

/* It comes a moment after its driver. */
static bool find_memory(void)
{
	run("modprobe -q -a nd_e820 nd_pmem");
	for (int i = 0; i < 50 && access("/dev/pmem0", F_OK); i++)
		usleep(100000);
	return !access("/dev/pmem0", F_OK);
}

FIXTURE_SETUP(dax)
{
	const char *tests = getenv("MMAPDEMO_DIR");

	if (!find_memory())
		SKIP(return, "there is no /dev/pmem0 (memmap= makes one)");
	ASSERT_NE(NULL, tests);
	snprintf(self->dir, sizeof(self->dir), "%s/dax", tests);
	/* What a test that died has left. */
	umount2(self->dir, MNT_DETACH);
	mkdir(self->dir, 0700);
	ASSERT_EQ(0, run("mkfs.ext4 -q -F -b 4096 -E stride=512,stripe_width=512 /dev/pmem0"));
	ASSERT_EQ(0, mount("/dev/pmem0", self->dir, "ext4", 0, "dax=always"));
	self->file = make_file(self->dir, self->path);
	ASSERT_LE(0, self->file);
	ASSERT_EQ(0, module_load("backing=file path=%s", self->path));
	self->fd = open(NODE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN_PARENT(dax)
{
	if (!module_loaded())
		return;
	EXPECT_EQ(0, module_unload());
	EXPECT_EQ(0, unmount(self->dir));
}

/* Two pages before a 2 MiB boundary of the file: no room for a PMD. */
#define SMALL (HUGE_SIZE - 2 * PAGE_SIZE)

TEST_F(dax, read_then_store)
{
	char *p = mmap(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, SMALL);

	ASSERT_NE(MAP_FAILED, p);
	mark();
	load(p, 2);
	EXPECT_STREQ("read=2", moved());
	mark();
	store(p, 2, TAG + 7);
	EXPECT_STREQ("mkwrite=2", moved());
	EXPECT_TRUE(reads(self->file, SMALL, 2, TAG + 7));
	/* Written back, it is protected again. */
	EXPECT_EQ(0, msync(p, 2 * PAGE_SIZE, MS_SYNC));
	mark();
	store(p, 1, TAG + 8);
	EXPECT_STREQ("mkwrite=1", moved());
	EXPECT_TRUE(reads(self->file, SMALL, 1, TAG + 8));
}

TEST_F(dax, store_first)
{
	char *p = mmap(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, SMALL);

	ASSERT_NE(MAP_FAILED, p);
	mark();
	store(p, 2, TAG + 7);
	/* It is made writable by the fault itself. */
	EXPECT_STREQ("write=2", moved());
	EXPECT_TRUE(reads(self->file, SMALL, 2, TAG + 7));
}

TEST_F(dax, huge)
{
	char *p = map(self->fd, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);

	ASSERT_NE(MAP_FAILED, p);
	mark();
	load(p, HUGE_SIZE / PAGE_SIZE);
	EXPECT_STREQ("read=1 huge=1", moved());
	mark();
	store(p + HUGE_SIZE, HUGE_SIZE / PAGE_SIZE, TAG);
	EXPECT_STREQ("write=1 huge=1", moved());
	EXPECT_TRUE(reads(self->file, 0, HUGE_SIZE / PAGE_SIZE, TAG));
	EXPECT_TRUE(reads(self->file, HUGE_SIZE, HUGE_SIZE / PAGE_SIZE, TAG));
}

/* The handler cannot give 2 MiB to be copied and says so; the fault comes again for a page. */
TEST_F(dax, private)
{
	char *p = map(self->fd, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);

	ASSERT_NE(MAP_FAILED, p);
	mark();
	store(p, 2, TAG + 7);
	EXPECT_STREQ("cow=2", moved());
	EXPECT_TRUE(holds(p, 2, TAG + 7));
	EXPECT_TRUE(reads(self->file, 0, 2, TAG));
}

/* A page that the disk of the file does not have any more. */
TEST_F(dax, truncated)
{
	char *p = map(self->fd, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);

	ASSERT_NE(MAP_FAILED, p);
	load(p, 1);
	ASSERT_EQ(0, ftruncate(self->file, HUGE_SIZE));
	mark();
	EXPECT_EQ(SIGBUS, trap_load(p + HUGE_SIZE));
	EXPECT_STREQ("read=1 sigbus=1", moved());
	EXPECT_TRUE(holds(p, HUGE_SIZE / PAGE_SIZE, TAG));
}

TEST_HARNESS_MAIN
