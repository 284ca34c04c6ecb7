// SPDX-License-Identifier: GPL-2.0
/* The device as a file of fixed size: its ends, its positions, and who copies to whom. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fixture.h"

DEVICE_FIXTURE(device);
RAM_VARIANTS(device);
FILE_VARIANTS(device);

TEST_F(device, ends)
{
	off_t size = self->dev.size;
	int fd = self->dev.fd, append = open(NODE, O_WRONLY | O_APPEND);
	char buf[100] = "0123456789";
	off_t in = size - 10;

	EXPECT_EQ(0, RC(pread(fd, buf, 10, size)));
	EXPECT_EQ(0, RC(pread(fd, buf, 10, size + 1)));
	EXPECT_EQ(-ENOSPC, RC(pwrite(fd, buf, 10, size)));
	EXPECT_EQ(-ENOSPC, RC(pwrite(fd, buf, 10, size + PAGE_SIZE)));
	EXPECT_EQ(10, RC(pwrite(fd, buf, 100, in)));
	EXPECT_EQ(10, RC(pread(fd, buf, 100, in)));
	EXPECT_EQ(0, strncmp(buf, "0123456789", 10));
	EXPECT_EQ(0, RC(pread(fd, buf, 0, 0)));
	EXPECT_EQ(0, RC(pwrite(fd, buf, 0, 0)));
	EXPECT_EQ(0, RC(pwrite(fd, buf, 0, size)));
	EXPECT_EQ(-ENOSPC, RC(write(append, buf, 1)));
	EXPECT_EQ(0, RC(lseek(append, 0, SEEK_SET)));
	EXPECT_EQ(-ENOSPC, RC(write(append, buf, 1)));
	EXPECT_EQ(size, RC(lseek(fd, 0, SEEK_END)));
}

TEST_F(device, seeks)
{
	off_t size = self->dev.size;
	int fd = self->dev.fd;
	uint64_t word;

	ASSERT_EQ(0, fill(&self->dev));
	EXPECT_EQ(size, RC(lseek(fd, 0, SEEK_END)));
	EXPECT_EQ(size - 1, RC(lseek(fd, -1, SEEK_END)));
	EXPECT_EQ(-EINVAL, RC(lseek(fd, -1, SEEK_SET)));
	EXPECT_EQ(-EINVAL, RC(lseek(fd, -size - 1, SEEK_END)));
	EXPECT_EQ(size - 1, RC(lseek(fd, 0, SEEK_CUR)));
	EXPECT_EQ(size + PAGE_SIZE, RC(lseek(fd, PAGE_SIZE, SEEK_END)));
	EXPECT_EQ(0, RC(read(fd, &word, 8)));
	EXPECT_EQ(-EINVAL, RC(lseek(fd, 0, 77)));
	EXPECT_EQ(PAGE_SIZE, RC(lseek(fd, PAGE_SIZE, SEEK_SET)));
	EXPECT_EQ(8, RC(read(fd, &word, 8)));
	EXPECT_EQ(TAG + 1, word);
	EXPECT_EQ(PAGE_SIZE + 8, RC(lseek(fd, 0, SEEK_CUR)));
	word = 0x100;
	EXPECT_EQ(8, RC(write(fd, &word, 8)));
	EXPECT_EQ(PAGE_SIZE + 16, RC(lseek(fd, 0, SEEK_CUR)));
	EXPECT_EQ(-ENXIO, RC(lseek(fd, size, SEEK_DATA)));
	EXPECT_EQ(-ENXIO, RC(lseek(fd, size, SEEK_HOLE)));
	EXPECT_EQ(-ENXIO, RC(lseek(fd, -1, SEEK_DATA)));
	EXPECT_EQ(0, RC(lseek(fd, 0, SEEK_DATA)));
	EXPECT_EQ(size, RC(lseek(fd, 5, SEEK_HOLE)));
}

TEST_F(device, far_offsets)
{
	const off_t last = LLONG_MAX;
	int fd = self->dev.fd;
	char c = 1;

	EXPECT_EQ(0, RC(pread(fd, &c, 1, last - 1)));
	EXPECT_EQ(-ENOSPC, RC(pwrite(fd, &c, 1, last - 1)));
	EXPECT_EQ(-EINVAL, RC(pread(fd, &c, 1, -1)));
	EXPECT_EQ(-EINVAL, RC(pwrite(fd, &c, 1, -1)));
	EXPECT_EQ(-EINVAL, RC(pread(fd, &c, 1, LLONG_MIN)));
	/* The range may wrap around: refused or at the end, never a page. */
	EXPECT_LE(RC(pread(fd, &c, 1, last)), 0);
	EXPECT_LT(RC(pwrite(fd, &c, 1, last)), 0);
	EXPECT_EQ(last, RC(lseek(fd, last, SEEK_SET)));
	EXPECT_LE(RC(read(fd, &c, 1)), 0);
	EXPECT_LT(RC(write(fd, &c, 1)), 0);
	EXPECT_LT(RC(lseek(fd, 1, SEEK_CUR)), 0);
}

TEST_F(device, vectors)
{
	char a[5] = "abcde", b[3000], c[2000], got[5000];
	struct iovec out[3] = { { a, 5 }, { b, sizeof(b) }, { c, sizeof(c) } };
	struct iovec in[2] = { { got, 2500 }, { got + 2500, 2500 } };
	int fd = self->dev.fd;

	memset(b, 'b', sizeof(b));
	memset(c, 'c', sizeof(c));
	EXPECT_EQ(5005, RC(pwritev(fd, out, 3, PAGE_SIZE - 5)));
	EXPECT_EQ(5000, RC(preadv(fd, in, 2, PAGE_SIZE - 5)));
	EXPECT_EQ(0, memcmp(got, a, 5));
	EXPECT_EQ(0, memcmp(got + 5, b, sizeof(b)));
	EXPECT_EQ(0, memcmp(got + 3005, c, 1995));
	EXPECT_EQ(4000, RC(pwritev(fd, out, 3, self->dev.size - 4000)));
	EXPECT_EQ(4000, RC(preadv(fd, in, 2, self->dev.size - 4000)));
	EXPECT_EQ(0, memcmp(got, a, 5));
	EXPECT_EQ(-ENOSPC, RC(pwritev(fd, out, 3, self->dev.size)));
}

/* Bytes through a pipe, and at the ends of the device. */
TEST_F(device, splice)
{
	off_t size = self->dev.size, at = PAGE_SIZE, to = 4 * PAGE_SIZE, end = size - 8;
	int fd = self->dev.fd, pipes[2];
	uint64_t word[2];

	ASSERT_EQ(0, fill(&self->dev));
	ASSERT_EQ(0, pipe(pipes));
	EXPECT_EQ(16, RC(splice(fd, &at, pipes[1], NULL, 16, 0)));
	EXPECT_EQ(PAGE_SIZE + 16, at);
	EXPECT_EQ(16, RC(splice(pipes[0], NULL, fd, &to, 16, 0)));
	EXPECT_EQ(4 * PAGE_SIZE + 16, to);
	EXPECT_EQ(16, RC(pread(fd, word, 16, 4 * PAGE_SIZE)));
	EXPECT_EQ(TAG + 1, word[0]);
	at = size;
	EXPECT_EQ(0, RC(splice(fd, &at, pipes[1], NULL, 16, 0)));
	at = size - 8;
	EXPECT_EQ(8, RC(splice(fd, &at, pipes[1], NULL, 16, 0)));
	ASSERT_EQ(8, RC(write(pipes[1], word, 8)));
	EXPECT_EQ(8, RC(splice(pipes[0], NULL, fd, &end, 16, 0)));
	EXPECT_EQ(-ENOSPC, RC(splice(pipes[0], NULL, fd, &end, 8, 0)));
}

TEST_F(device, sendfile)
{
	int out = memfd_create("out", 0);
	off_t at = PAGE_SIZE;

	ASSERT_EQ(0, fill(&self->dev));
	EXPECT_EQ(3 * PAGE_SIZE, RC(sendfile(out, self->dev.fd, &at, 3 * PAGE_SIZE)));
	EXPECT_EQ(4 * PAGE_SIZE, at);
	EXPECT_TRUE(reads(out, 0, 3, TAG + 1));
	at = self->dev.size - PAGE_SIZE;
	EXPECT_EQ(PAGE_SIZE, RC(sendfile(out, self->dev.fd, &at, 3 * PAGE_SIZE)));
	EXPECT_EQ(0, RC(sendfile(out, self->dev.fd, &at, PAGE_SIZE)));
	EXPECT_EQ(0, RC(lseek(out, 0, SEEK_SET)));
	EXPECT_EQ(8 * PAGE_SIZE, RC(lseek(self->dev.fd, 8 * PAGE_SIZE, SEEK_SET)));
	EXPECT_EQ(PAGE_SIZE, RC(sendfile(self->dev.fd, out, NULL, PAGE_SIZE)));
	EXPECT_TRUE(reads(self->dev.fd, 8 * PAGE_SIZE, 1, TAG + 1));
}

TEST_F(device, bad_buffers)
{
	int fd = self->dev.fd;
	char *p = map(-1, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, 0);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, fill(&self->dev));
	ASSERT_EQ(0, mprotect(p + PAGE_SIZE, PAGE_SIZE, PROT_NONE));
	EXPECT_EQ(-EFAULT, RC(pread(fd, p + PAGE_SIZE, 100, 0)));
	EXPECT_EQ(-EFAULT, RC(pwrite(fd, p + PAGE_SIZE, 100, 0)));
	EXPECT_TRUE(reads(fd, 0, self->dev.pages, TAG));
	/* Half of it: what could be copied counts, up to the page where it stops. */
	EXPECT_LE(RC(pread(fd, p + PAGE_SIZE - 100, 200, 0)), 100);
	EXPECT_LE(RC(pwrite(fd, p + PAGE_SIZE - 100, 200, 8)), 100);
	EXPECT_TRUE(reads(fd, PAGE_SIZE, self->dev.pages - 1, TAG + 1));
}

TEST_F(device, syncs)
{
	void *p = map(self->dev.fd, self->dev.size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	int reader = open(NODE, O_RDONLY);

	ASSERT_NE(MAP_FAILED, p);
	store(p, self->dev.pages, 0x100);
	EXPECT_EQ(0, RC(fsync(self->dev.fd)));
	EXPECT_EQ(0, RC(fdatasync(self->dev.fd)));
	EXPECT_EQ(0, RC(fsync(reader)));
	EXPECT_EQ(0, RC(msync(p, self->dev.size, MS_SYNC)));
	EXPECT_EQ(0, RC(msync(p, self->dev.size, MS_ASYNC | MS_INVALIDATE)));
	munmap(p, self->dev.size);
	EXPECT_TRUE(reads(self->dev.fd, 0, self->dev.pages, 0x100));
	close(self->dev.fd);
	self->dev.fd = open(NODE, O_RDWR | O_DSYNC);
	EXPECT_TRUE(writes(self->dev.fd, 0, 3, 0x200));
	EXPECT_TRUE(reads(self->dev.fd, 0, 3, 0x200));
}

/* What a character device cannot do, and advice that may not do harm. */
TEST_F(device, harmless)
{
	int fd = self->dev.fd;
	struct stat st;

	ASSERT_EQ(0, fill(&self->dev));
	EXPECT_EQ(-EINVAL, RC(open(NODE, O_RDWR | O_DIRECT)));
	EXPECT_EQ(-EINVAL, RC(fcntl(fd, F_SETFL, O_DIRECT)));
	EXPECT_EQ(-EINVAL, RC(ftruncate(fd, 0)));
	EXPECT_EQ(-ENODEV, RC(fallocate(fd, 0, 0, PAGE_SIZE)));
	EXPECT_EQ(-ESPIPE, RC(sync_file_range(fd, 0, PAGE_SIZE, SYNC_FILE_RANGE_WRITE)));
	EXPECT_GT(RC(open(NODE, O_RDWR | O_TRUNC)), 0);
	for (int advice = POSIX_FADV_NORMAL; advice <= POSIX_FADV_NOREUSE; advice++) {
		EXPECT_EQ(0, posix_fadvise(fd, 0, self->dev.size, advice));
	}
	/* A character device has no read-ahead: refused or ignored, as the kernel likes. */
	readahead(fd, 0, self->dev.size);
	EXPECT_EQ(0, fstat(fd, &st));
	EXPECT_TRUE(S_ISCHR(st.st_mode));
	EXPECT_EQ(self->dev.size, RC(lseek(fd, 0, SEEK_END)));
	EXPECT_TRUE(reads(fd, 0, self->dev.pages, TAG));
}

DEVICE_FIXTURE(ram);
RAM_VARIANTS(ram);

/* Pages exist once they were touched; the rest reads as zeroes and takes no memory. */
TEST_F(ram, holes)
{
	off_t size = self->dev.size, page = 7 * PAGE_SIZE;
	int fd = self->dev.fd;

	EXPECT_EQ(-ENXIO, RC(lseek(fd, 0, SEEK_DATA)));
	EXPECT_EQ(0, RC(lseek(fd, 0, SEEK_HOLE)));
	EXPECT_TRUE(reads(fd, 3 * PAGE_SIZE, 1, 0));
	EXPECT_EQ(-ENXIO, RC(lseek(fd, 0, SEEK_DATA)));
	EXPECT_TRUE(writes(fd, page, 2, 0x100));
	EXPECT_EQ(page, RC(lseek(fd, 0, SEEK_DATA)));
	EXPECT_EQ(page + 5, RC(lseek(fd, page + 5, SEEK_DATA)));
	EXPECT_EQ(page + 2 * PAGE_SIZE, RC(lseek(fd, page, SEEK_HOLE)));
	EXPECT_EQ(-ENXIO, RC(lseek(fd, page + 2 * PAGE_SIZE, SEEK_DATA)));
	EXPECT_EQ(3, RC(lseek(fd, 3, SEEK_HOLE)));
	EXPECT_TRUE(writes(fd, size - PAGE_SIZE, 1, 0x200));
	EXPECT_EQ(size - PAGE_SIZE, RC(lseek(fd, page + 2 * PAGE_SIZE, SEEK_DATA)));
	EXPECT_EQ(size, RC(lseek(fd, size - 1, SEEK_HOLE)));
	EXPECT_EQ(size, RC(lseek(fd, 0, SEEK_END)));
}

DEVICE_FIXTURE(file);
FILE_VARIANTS(file);

/* The file's own idea of its holes. */
TEST_F(file, holes)
{
	int fd = self->dev.fd, file = self->dev.file;
	off_t hole = self->dev.size / 4, end = self->dev.size / 2;

	ASSERT_EQ(0, RC(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, hole,
				  end - hole)));
	EXPECT_EQ(hole, RC(lseek(fd, 0, SEEK_HOLE)));
	EXPECT_EQ(end, RC(lseek(fd, hole, SEEK_DATA)));
	EXPECT_EQ(self->dev.size, RC(lseek(fd, end, SEEK_HOLE)));
}

TEST_HARNESS_MAIN
