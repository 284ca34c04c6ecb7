// SPDX-License-Identifier: GPL-2.0
/* What was once broken: each of these failed before it was mended. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fixture.h"

DEVICE_FIXTURE(device);
RAM_VARIANTS(device);
FILE_VARIANTS(device);

DEVICE_FIXTURE(file);
FILE_VARIANTS(file);

DEVICE_FIXTURE(huge);
VARIANT(huge, ram_huge, RAM_HUGE);

/* The core merges neighbours of one file: then one was never closed, or never counted. */
TEST_F(device, neighbours_are_two_mappings)
{
	size_t half = self->dev.size / 2;
	char *p = map(self->dev.fd, self->dev.size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, munmap(p, self->dev.size));
	mark();
	ASSERT_EQ(p, mmap(p, half, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			  self->dev.fd, 0));
	ASSERT_EQ(p + half, mmap(p + half, half, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
				 self->dev.fd, half));
	EXPECT_STREQ("total=2 live=2", moved());
	ASSERT_EQ(0, munmap(p, self->dev.size));
	EXPECT_STREQ("live=-2", moved());
}

/* A jiffy in which the file was stamped is not over for a time that was set in it. */
TEST_F(file, store_after_utimens)
{
	const struct timespec old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
	struct stat st;
	char *p;

	p = map(self->dev.fd, self->dev.size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	ASSERT_NE(MAP_FAILED, p);
	for (size_t i = 0; i + 1 < self->dev.pages && i < 60; i += 2) {
		p[i * PAGE_SIZE] = 1;
		ASSERT_EQ(0, futimens(self->dev.file, old));
		p[(i + 1) * PAGE_SIZE] = 1;
		ASSERT_EQ(0, fstat(self->dev.file, &st));
		ASSERT_NE(1000, st.st_mtime);
	}
}

static long long vmstat(const char *prefix)
{
	FILE *file = fopen("/proc/vmstat", "r");
	long long value, sum = 0;
	char name[64];

	while (file && fscanf(file, "%63s %lld", name, &value) == 2)
		if (!strncmp(name, prefix, strlen(prefix)))
			sum += value;
	if (file)
		fclose(file);
	return sum;
}

/* A page that exists in each 2 MiB: no fault may make 2 MiB only to throw them away. */
TEST_F(huge, one_page_does_not_cost_512)
{
	const size_t size = 2 * HUGE_SIZE;
	long long pages;
	char *p;

	ASSERT_LE(size, self->dev.size);
	ASSERT_TRUE(writes(self->dev.fd, 0, 1, 1));
	ASSERT_TRUE(writes(self->dev.fd, HUGE_SIZE, 1, 1));
	p = map(self->dev.fd, size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	ASSERT_NE(MAP_FAILED, p);
	pages = vmstat("pgalloc_");
	store(p, size / PAGE_SIZE, 2);
	EXPECT_LT(vmstat("pgalloc_") - pages, 4 * (long long)(size / PAGE_SIZE));
}

/* Kilobytes of this process that are mapped by whole PMDs of a file. */
static long huge_mapped(void)
{
	FILE *file = fopen("/proc/self/smaps_rollup", "r");
	char line[200];
	long kb = -1;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "FilePmdMapped: %ld", &kb) == 1)
			break;
	if (file)
		fclose(file);
	return kb;
}

TEST_F(device, huge_is_what_is_mapped_huge)
{
	struct figures before, after;
	char *p = map(self->dev.fd, self->dev.size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, madvise(p, self->dev.size, MADV_NOHUGEPAGE));
	ASSERT_EQ(0, huge_mapped());
	ASSERT_EQ(0, figures(&before));
	store(p, self->dev.pages, 1);
	ASSERT_EQ(0, figures(&after));
	EXPECT_EQ(huge_mapped() * 1024 / (long)HUGE_SIZE,
		  after.count[HUGE] - before.count[HUGE]);
}

/* A file system's readahead was given the device's file, and took it for one of its own. */
TEST(advice_goes_to_the_file)
{
	struct statfs fs;
	int fd;

	ASSERT_EQ(0, statfs("/usr/bin/env", &fs));
	if (fs.f_type != 0x65735546)
		SKIP(return, "/usr is not on FUSE, as it is under selftests/vm/run");
	ASSERT_EQ(0, module_load("backing=file path=/usr/bin/env"));
	fd = open(NODE, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, fd);
	ASSERT_EQ(1, write_file("/proc/sys/vm/drop_caches", "1"));
	EXPECT_EQ(0, posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED));
	EXPECT_EQ(0, posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM));
	close(fd);
	EXPECT_EQ(0, module_unload());
}

FIXTURE(sealed)
{
	int memfd;
};

FIXTURE_SETUP(sealed)
{
	self->memfd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ASSERT_LE(0, self->memfd);
	ASSERT_EQ(0, ftruncate(self->memfd, 4 * PAGE_SIZE));
	ASSERT_EQ(0, module_load("backing=file path=/proc/%d/fd/%d", getpid(), self->memfd));
}

FIXTURE_TEARDOWN(sealed)
{
	EXPECT_EQ(0, module_unload());
}

TEST_F(sealed, future_write)
{
	int fd = open(NODE, O_RDWR | O_CLOEXEC);
	char *p;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fcntl(self->memfd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	EXPECT_EQ(EPERM, errno);
	p = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-1, mprotect(p, PAGE_SIZE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
	munmap(p, PAGE_SIZE);
	close(fd);
}

/* fcntl(F_GET_SEALS) read the inode of a node outside of tmpfs as one of tmpfs. */
TEST_F(sealed, node_elsewhere)
{
	char why[160], path[256];
	struct stat st;
	const char *dir = fs_dir("ext4", why);

	if (!dir)
		SKIP(return, "%s", why);
	ASSERT_EQ(0, stat(NODE, &st));
	snprintf(path, sizeof(path), "%s/node", dir);
	ASSERT_EQ(0, mknod(path, S_IFCHR | 0600, st.st_rdev));
	EXPECT_EQ(-1, open(path, O_RDWR | O_CLOEXEC));
	EXPECT_EQ(ENXIO, errno);
	EXPECT_EQ(0, unlink(path));
}

DEVICE_FIXTURE(ram);
RAM_VARIANTS(ram);

/* write() put into a page whose memory has failed what no read() would give. */
TEST_F(ram, write_to_failed_memory)
{
	char buf[3 * PAGE_SIZE] = { 0 };

	ASSERT_EQ(0, fill(&self->dev));
	/* It says EBUSY, because no page that holds data can be dropped; the page is marked. */
	if (fail_memory(self->dev.fd, PAGE_SIZE) == -ENOENT)
		SKIP(return, "this kernel has no CONFIG_MEMORY_FAILURE");
	EXPECT_EQ(-1, pread(self->dev.fd, buf, 1, PAGE_SIZE));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(-1, pwrite(self->dev.fd, buf, 1, PAGE_SIZE));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(PAGE_SIZE, pwrite(self->dev.fd, buf, sizeof(buf), 0));
	EXPECT_EQ(PAGE_SIZE, pwrite(self->dev.fd, buf, PAGE_SIZE, 2 * PAGE_SIZE));
	EXPECT_TRUE(reads(self->dev.fd, 0, 1, 0));
	EXPECT_TRUE(reads(self->dev.fd, 2 * PAGE_SIZE, 1, 0));
}

/* The core looks at the page after the handler: a fault that ended so was counted as a success. */
TEST_F(ram, fault_on_failed_memory)
{
	char *p;

	ASSERT_EQ(0, fill(&self->dev));
	if (fail_memory(self->dev.fd, PAGE_SIZE) == -ENOENT)
		SKIP(return, "this kernel has no CONFIG_MEMORY_FAILURE");
	p = map(self->dev.fd, self->dev.size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	ASSERT_NE(MAP_FAILED, p);
	mark();
	EXPECT_EQ(-SIGBUS, trap_load(p + PAGE_SIZE));
	EXPECT_STREQ("read=1 hwpoison=1", moved());
	EXPECT_EQ(-SIGBUS, trap_store(p + PAGE_SIZE));
	EXPECT_STREQ("write=1 hwpoison=1", moved());
}

typedef ssize_t (*vector_t)(int fd, const struct iovec *vec, int n);

/* How far a child comes that is killed @us after it called; the file's offset is shared. */
static off_t killed_after(int fd, vector_t call, useconds_t us)
{
	static char buf[1 << 20];
	struct iovec vec[1024];
	pid_t pid;

	for (int i = 0; i < 1024; i++)
		vec[i] = (struct iovec){ buf, sizeof(buf) };
	lseek(fd, 0, SEEK_SET);
	pid = fork();
	if (!pid)
		_exit(call(fd, vec, 1024) < 0);
	usleep(us);
	kill(pid, SIGKILL);
	reap(pid);
	return lseek(fd, 0, SEEK_CUR);
}

/* It went on to its end: a victim of the OOM killer would have used up the reserves. */
TEST(killed_in_a_long_call)
{
	static const vector_t calls[] = { readv, writev };
	const off_t size = 256 << 20;
	off_t pos;
	int fd;

	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, module_load("size=256M"));
		fd = open(NODE, O_RDWR | O_CLOEXEC);
		ASSERT_LE(0, fd);
		pos = 0;
		/* Before it began, or after it ended, is no answer: again, a bit later. */
		for (int try = 1; try < 20 && (!pos || pos == size); try++)
			pos = killed_after(fd, calls[i], 1000 * try);
		EXPECT_LT(0, pos);
		EXPECT_GT(size, pos);
		close(fd);
		ASSERT_EQ(0, module_unload());
	}
}

TEST_HARNESS_MAIN
