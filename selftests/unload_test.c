// SPDX-License-Identifier: GPL-2.0
/* What keeps the module loaded, each alone; what does not; and that it goes once that is gone. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"
#include "hold.h"

DEVICE_FIXTURE(device);
RAM_VARIANTS(device);
VARIANT(device, ext4, EXT4);
VARIANT(device, tmpfs, TMPFS);

static char *shared_mapping(struct device *dev)
{
	return map(dev->fd, dev->size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
}

/* Another one in its place, which the fixture unloads. */
#define EXPECT_UNLOADED(err) do {						\
	ASSERT_EQ(0, err);							\
	EXPECT_FALSE(module_loaded());						\
	ASSERT_EQ(0, module_load("size=4K"));					\
} while (0)

/* What was let go may be put by a worker of the kernel, a little later. */
static int unload_soon(void)
{
	int err = module_unload();

	for (int i = 0; i < 1000 && err == -EWOULDBLOCK; i++) {
		usleep(10000);
		err = module_unload();
	}
	return err;
}

TEST_F(device, in_use_while_open_or_mapped)
{
	size_t size = self->dev.size;
	int second = open(NODE, O_RDONLY);
	char *p = shared_mapping(&self->dev);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-EWOULDBLOCK, module_unload());
	close(second);
	close(self->dev.fd);
	/* Mapped only, for a file device by a VMA that belongs to another file. */
	EXPECT_EQ(-EWOULDBLOCK, module_unload());
	store(p, 10, 0x100);
	munmap(p, size / 2);
	EXPECT_EQ(-EWOULDBLOCK, module_unload());
	EXPECT_TRUE(module_loaded());
	munmap(p, size);
	EXPECT_EQ(0, module_unload());
	EXPECT_FALSE(module_loaded());
	ASSERT_EQ(0, module_load("size=4K"));
}

/* The file goes to another process in a message, and the sender closes its own. */
TEST_F(device, sent_to_another_process)
{
	int pair[2], fd;
	char *p;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	ASSERT_EQ(0, send_fd(pair[0], self->dev.fd));
	close(self->dev.fd);
	/* In flight, and in nobody's table. */
	EXPECT_EQ(-EWOULDBLOCK, module_unload());
	fd = receive_fd(pair[1]);
	ASSERT_LE(0, fd);
	p = map(fd, self->dev.size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	ASSERT_NE(MAP_FAILED, p);
	store(p, 10, 0x100);
	EXPECT_TRUE(reads(fd, 0, 10, 0x100));
}

/* Nobody ever takes it out of the socket, and with the socket it goes. */
TEST_F(device, sent_and_never_received)
{
	int pair[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	ASSERT_EQ(0, send_fd(pair[0], self->dev.fd));
	close(self->dev.fd);
	close(pair[0]);
	EXPECT_EQ(-EWOULDBLOCK, module_unload());
	close(pair[1]);
	EXPECT_UNLOADED(unload_soon());
}

TEST_F(device, registered_file)
{
	uint64_t page[PAGE_SIZE / 8], pages = self->dev.pages;
	struct ring ring;

	ASSERT_EQ(0, fill(&self->dev));
	ASSERT_EQ(0, ring_up(&ring));
	ASSERT_EQ(0, ring_register(&ring, IORING_REGISTER_FILES, &self->dev.fd));
	close(self->dev.fd);
	EXPECT_EQ(-EWOULDBLOCK, module_unload());
	for (unsigned int i = 0; i < 20; i++) {
		int flags = i % 2 ? IOSQE_ASYNC : 0;
		off_t at = i * PAGE_SIZE;

		ASSERT_EQ(PAGE_SIZE, ring_fixed(&ring, IORING_OP_READ, flags, page, PAGE_SIZE, at));
		ASSERT_EQ(TAG + i, page[0]);
		page[0] = 0x100 + i;
		ASSERT_EQ(PAGE_SIZE, ring_fixed(&ring, IORING_OP_WRITE, flags, page, PAGE_SIZE,
						at));
	}
	EXPECT_EQ(0, ring_fixed(&ring, IORING_OP_FSYNC, 0, NULL, 0, 0));
	EXPECT_EQ(0, ring_fixed(&ring, IORING_OP_READ, 0, page, PAGE_SIZE, self->dev.size));
	EXPECT_EQ(-ENOSPC, ring_fixed(&ring, IORING_OP_WRITE, 0, page, PAGE_SIZE, self->dev.size));
	self->dev.fd = open(NODE, O_RDWR);
	EXPECT_TRUE(reads(self->dev.fd, 0, 20, 0x100));
	EXPECT_TRUE(reads(self->dev.fd, 20 * PAGE_SIZE, pages - 20, TAG + 20));
	close(self->dev.fd);
	EXPECT_EQ(-EWOULDBLOCK, module_unload());
	ring_down(&ring);
	EXPECT_UNLOADED(unload_soon());
}

/* A ring with the file in it cannot be sent, or the two could hold each other for ever. */
TEST_F(device, registered_and_sent)
{
	struct ring ring;
	int pair[2];

	ASSERT_EQ(0, ring_up(&ring));
	ASSERT_EQ(0, ring_register(&ring, IORING_REGISTER_FILES, &self->dev.fd));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	EXPECT_EQ(-EINVAL, send_fd(pair[0], ring.fd));
	close(self->dev.fd);
	EXPECT_EQ(-EWOULDBLOCK, module_unload());
	ring_down(&ring);
	EXPECT_UNLOADED(unload_soon());
}

/*
 * Buffers pinned for long: not of a shared mapping, whose pages are to be write-protected now
 * and then; of a private one the copies, which are the process's own.
 */
TEST_F(device, registered_buffers)
{
	char *p = shared_mapping(&self->dev);
	bool old = !has_vma_locks();	/* 6.1 pins no pages of files at all, 6.4 and later do */
	struct io_uring_sqe sqe = { .opcode = IORING_OP_WRITE_FIXED, .len = 4 * PAGE_SIZE };
	struct iovec iov = { p, 4 * PAGE_SIZE };
	int out = memfd_create("out", 0);
	struct ring ring;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, fill(&self->dev));
	ASSERT_EQ(0, ring_up(&ring));
	EXPECT_EQ(old ? -EOPNOTSUPP : -EFAULT, ring_register(&ring, IORING_REGISTER_BUFFERS, &iov));
	store(p, self->dev.pages, 0x100);
	EXPECT_TRUE(reads(self->dev.fd, 0, self->dev.pages, 0x100));
	munmap(p, self->dev.size);
	p = map(self->dev.fd, self->dev.size, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
	ASSERT_NE(MAP_FAILED, p);
	iov.iov_base = p;
	EXPECT_EQ(old ? -EOPNOTSUPP : 0, ring_register(&ring, IORING_REGISTER_BUFFERS, &iov));
	store(p, 4, 0x200);
	munmap(p, self->dev.size);
	EXPECT_TRUE(reads(self->dev.fd, 0, self->dev.pages, 0x100));
	close(self->dev.fd);
	EXPECT_UNLOADED(unload_soon());
	if (!old) {
		sqe.fd = out;
		sqe.addr = (uintptr_t)p;
		ASSERT_EQ(1, ring_submit(&ring, &sqe));
		EXPECT_EQ(4 * PAGE_SIZE, ring_wait(&ring));
		EXPECT_TRUE(reads(out, 0, 4, 0x200));
	}
}

/*
 * Pages of the device in a pipe are memory that the pipe holds. They need nothing of the
 * module: it may go, and they stay what they were until they are read. The first half of
 * them is clean, which to a RAM device means that it holds them in a way of its own.
 */
TEST_F(device, pages_in_a_pipe)
{
	struct iovec iov;
	int pipes[2];
	char *p;

	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(0, fill(&self->dev));
	p = shared_mapping(&self->dev);
	ASSERT_NE(MAP_FAILED, p);
	store(p + 4 * PAGE_SIZE, 4, TAG + 4);
	iov = (struct iovec){ p, 8 * PAGE_SIZE };
	ASSERT_EQ(8 * PAGE_SIZE, RC(vmsplice(pipes[1], &iov, 1, SPLICE_F_GIFT)));
	munmap(p, self->dev.size);
	close(self->dev.fd);
	ASSERT_EQ(0, unload_soon());
	EXPECT_FALSE(module_loaded());
	EXPECT_TRUE(pipe_holds(pipes[0], TAG));
	ASSERT_EQ(0, module_load("size=4K"));
}

TEST_F(device, spliced_into_a_pipe)
{
	int pipes[2];
	off_t at = 0;

	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(0, fill(&self->dev));
	ASSERT_EQ(4 * PAGE_SIZE, RC(splice(self->dev.fd, &at, pipes[1], NULL, 4 * PAGE_SIZE, 0)));
	ASSERT_EQ(4 * PAGE_SIZE, RC(sendfile(pipes[1], self->dev.fd, &at, 4 * PAGE_SIZE)));
	close(self->dev.fd);
	ASSERT_EQ(0, unload_soon());
	EXPECT_FALSE(module_loaded());
	EXPECT_TRUE(pipe_holds(pipes[0], TAG));
	ASSERT_EQ(0, module_load("size=4K"));
}

/* Two sizes of the device, mapped by a child that is to die of @sig and by nobody else. */
static pid_t child_alone(struct device *dev, int sig, char **at)
{
	pid_t pid = mapped_child(dev->fd, 2 * dev->size, sig, at);

	close(dev->fd);
	return pid;
}

TEST_F(device, stopped_while_mapped)
{
	int status;
	pid_t pid;
	char *p;

	pid = child_alone(&self->dev, SIGSTOP, &p);
	ASSERT_LT(0, pid);
	ASSERT_EQ(pid, waitpid(pid, &status, WUNTRACED));
	EXPECT_TRUE(WIFSTOPPED(status));
	EXPECT_EQ(-EWOULDBLOCK, module_unload());
	self->dev.fd = open(NODE, O_RDWR);
	EXPECT_TRUE(reads(self->dev.fd, 0, 4, 0x100));
	close(self->dev.fd);
	kill(pid, SIGKILL);
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_UNLOADED(unload_soon());
}

/* What a core file has of the pages at an address: how many, and are they as they should be? */
static long pages_in_core(int core, const char *address, uint64_t tag)
{
	Elf64_Ehdr header;
	Elf64_Phdr part;

	if (pread(core, &header, sizeof(header), 0) != sizeof(header))
		return -1;
	for (int i = 0; i < header.e_phnum; i++) {
		if (pread(core, &part, sizeof(part), header.e_phoff + i * sizeof(part)) !=
		    sizeof(part))
			return -1;
		if (part.p_type == PT_LOAD && part.p_vaddr == (uintptr_t)address)
			return reads(core, part.p_offset, 4, tag) ?
			       (long)(part.p_filesz / PAGE_SIZE) : -2;
	}
	return 0;
}

/* Dumps what it has mapped, after it was told where to. */
static int dump(struct device *dev, const char *pattern, char **at, pid_t *pid, char old[200])
{
	if (read_file("/proc/sys/kernel/core_pattern", old, 200) < 0 ||
	    write_file("/proc/sys/kernel/core_pattern", pattern) < 0 ||
	    setrlimit(RLIMIT_CORE, &(struct rlimit){ RLIM_INFINITY, RLIM_INFINITY }))
		return -errno;
	*pid = child_alone(dev, SIGABRT, at);
	return *pid < 0 ? -1 : 0;
}

/* The dump has every page, the device's that were not mapped too, and holes where none is. */
TEST_F(device, dumped)
{
	char core[160], old[200], *p;
	struct figures before, after;
	int fd, status;
	pid_t pid;

	ASSERT_EQ(0, fill(&self->dev));
	snprintf(core, sizeof(core), "%s/core", getenv("MMAPDEMO_DIR"));
	ASSERT_EQ(0, figures(&before));
	ASSERT_EQ(0, dump(&self->dev, core, &p, &pid, old));
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_LT(0, write_file("/proc/sys/kernel/core_pattern", old));
	EXPECT_TRUE(WCOREDUMP(status));
	ASSERT_EQ(0, figures(&after));
	EXPECT_LT(before.count[READ] + before.count[AROUND],
		  after.count[READ] + after.count[AROUND]);
	EXPECT_LT(before.count[SIGBUSES], after.count[SIGBUSES]);
	EXPECT_TRUE(adds_up(&after));
	EXPECT_EQ(0, after.count[LIVE]);
	fd = open(core, O_RDONLY);
	EXPECT_EQ(2 * self->dev.pages, pages_in_core(fd, p, 0x100));
	close(fd);
	EXPECT_EQ(0, unlink(core));
	EXPECT_UNLOADED(unload_soon());
}

DEVICE_FIXTURE(slowly);
VARIANT(slowly, ram_4k, RAM_4K);
VARIANT(slowly, ext4, EXT4);

/* Whoever takes the dump takes his time over it, in the midst of the pages of the device. */
TEST_F(slowly, in_use_while_dumped)
{
	long n = self->dev.pages;
	struct core core;

	ASSERT_EQ(0, fill(&self->dev));
	ASSERT_EQ(0, core_begin(&core, self->dev.fd, 2 * self->dev.size));
	close(self->dev.fd);
	EXPECT_EQ(4, core_pages(&core, 4, 0x100));
	EXPECT_TRUE(core_is_dumping(&core));
	EXPECT_EQ(-EWOULDBLOCK, module_unload());
	EXPECT_EQ(n - 4, core_pages(&core, n - 4, TAG + 4));
	EXPECT_EQ(-EWOULDBLOCK, module_unload());
	/* Past the end of the device there is nothing. */
	EXPECT_EQ(0, core_pages(&core, n, TAG));
	EXPECT_EQ(0, core_end(&core));
	EXPECT_UNLOADED(unload_soon());
}

/* Direct input into the pages, from a disk that answers only once it is told to. */
FIXTURE(direct)
{
	struct device dev;
	struct ring ring;
	int disk;
};

FIXTURE_VARIANT(direct)
{
	enum backing backing;
};

VARIANT(direct, ram_4k, RAM_4K);
VARIANT(direct, ram_huge, RAM_HUGE);
VARIANT(direct, ext4, EXT4);
VARIANT(direct, tmpfs, TMPFS);

#define DISK "mmapdemo-direct"
#define DMSETUP "dmsetup --noudevrules --noudevsync "

static void unmake_disk(void)
{
	run("cd $MMAPDEMO_DIR/tmpfs && exec 2>/dev/null; dmsetup resume " DISK "; "
	    DMSETUP "remove --retry " DISK "; losetup -d $(cat loop); rm -f disk loop node");
}

/* A disk of 8 pages with something on them: 0, or 1 and why there is none. */
static int make_disk(char why[160])
{
	const char *dir = fs_dir("tmpfs", why);
	char path[128];
	int fd;

	if (!dir)
		return 1;
	strcpy(why, "dmsetup, losetup or the device mapper is missing");
	if (run("modprobe -q dm_mod; modprobe -q loop; command -v dmsetup losetup >/dev/null"))
		return 1;
	unmake_disk();
	snprintf(path, sizeof(path), "%s/disk", dir);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (!writes(fd, 0, 8, 0x900))
		return -EIO;
	close(fd);
	if (run("cd %s && losetup -f --show $PWD/disk >loop", dir) ||
	    run("cd %s && echo 0 64 linear $(cat loop) 0 | " DMSETUP "create " DISK, dir))
		return -EIO;
	/* Its name in /dev/mapper is udev's business, which need not be there. */
	return run("cd %s && ln -s /dev/$(" DMSETUP "info -c --noheadings -o blkdevname " DISK
		   ") node", dir) ? -EIO : 0;
}

static int open_disk(void)
{
	char why[160], path[128];

	snprintf(path, sizeof(path), "%s/node", fs_dir("tmpfs", why));
	return open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
}

FIXTURE_SETUP(direct)
{
	int err = device_up(&self->dev, variant->backing) ?: make_disk(self->dev.why);

	if (err > 0)
		SKIP(return, "%s", self->dev.why);
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, fill(&self->dev));
	ASSERT_EQ(0, ring_up(&self->ring));
	self->disk = open_disk();
	ASSERT_LE(0, self->disk);
	ASSERT_EQ(0, run("dmsetup suspend --noflush --nolockfs " DISK));
}

FIXTURE_TEARDOWN_PARENT(direct)
{
	unmake_disk();
	EXPECT_TRUE(!module_loaded() || !unload_soon());
	if (self->dev.path[0])
		unlink(self->dev.path);
}

/* A worker of the ring reads the disk to @p, and waits for it with the pages pinned. */
static bool read_disk(struct ring *ring, int disk, char *p, struct device *dev)
{
	struct io_uring_sqe sqe = {
		.opcode = IORING_OP_READ, .flags = IOSQE_ASYNC, .fd = disk,
		.addr = (uintptr_t)p, .len = 8 * PAGE_SIZE,
	};
	long long n = dev->backing == RAM_HUGE ? 1 : 8;
	struct figures before, now;

	if (figures(&before) || ring_submit(ring, &sqe) != 1)
		return false;
	for (int i = 0; i < 3000; i++) {
		if (figures(&now) || now.count[MKWRITE] == before.count[MKWRITE] + n)
			break;
		usleep(1000);
	}
	/* The last page has been faulted in; a moment later it is pinned with the others. */
	usleep(200000);
	return now.count[WRITE] == before.count[WRITE] + n &&
	       now.count[MKWRITE] == before.count[MKWRITE] + n;
}

static long long dirty_pages(void)
{
	char text[32];

	return read_file(SYSFS "dirty/pages", text, sizeof(text)) > 0 ? atoll(text) : -1;
}

/* What arrives after fsync() has cleaned the pages makes them dirty again. */
TEST_F(direct, arrives_after_fsync)
{
	size_t n = self->dev.pages;
	char *p = shared_mapping(&self->dev);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_TRUE(read_disk(&self->ring, self->disk, p, &self->dev));
	EXPECT_TRUE(reads(self->dev.fd, 0, n, TAG));
	if (is_ram(&self->dev)) {
		EXPECT_EQ(0, fsync(self->dev.fd));
		EXPECT_EQ(0, dirty_pages());
	}
	EXPECT_EQ(-EWOULDBLOCK, module_unload());
	EXPECT_TRUE(ring_is_waiting(&self->ring));
	EXPECT_EQ(0, run("dmsetup resume " DISK));
	EXPECT_EQ(8 * PAGE_SIZE, ring_wait(&self->ring));
	EXPECT_TRUE(reads(self->dev.fd, 0, 8, 0x900));
	EXPECT_TRUE(holds(p, 8, 0x900));
	EXPECT_TRUE(reads(self->dev.fd, 8 * PAGE_SIZE, n - 8, TAG + 8));
	if (is_ram(&self->dev)) {
		EXPECT_EQ(self->dev.backing == RAM_HUGE ? 512 : 8, dirty_pages());
	}
	EXPECT_EQ(0, fsync(self->dev.fd));
	EXPECT_TRUE(holds(p, 8, 0x900));
}

/* Pinned pages are memory: neither mapping nor file nor module is left when they arrive. */
TEST_F(direct, arrives_after_unloading)
{
	char *p = shared_mapping(&self->dev);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_TRUE(read_disk(&self->ring, self->disk, p, &self->dev));
	munmap(p, self->dev.size);
	close(self->dev.fd);
	ASSERT_EQ(0, unload_soon());
	EXPECT_FALSE(module_loaded());
	EXPECT_TRUE(ring_is_waiting(&self->ring));
	EXPECT_EQ(0, run("dmsetup resume " DISK));
	EXPECT_EQ(8 * PAGE_SIZE, ring_wait(&self->ring));
	if (self->dev.file >= 0) {
		EXPECT_TRUE(reads(self->dev.file, 0, 8, 0x900));
	}
}

TEST_HARNESS_MAIN
