// SPDX-License-Identifier: GPL-2.0
/* A device that is deleted while it is in use: dead at once, to everybody, for ever. */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "control.h"
#include "fixture.h"
#include "hold.h"

#define DEV "mmapdemo-x"
#define XNODE "/dev/mmapdemo-x"
#define PAGES 512UL		/* one folio of 2 MiB */
#define SIZE (PAGES * PAGE_SIZE)

FIXTURE(forced)
{
	struct genl genl;
	char path[160];
	int file;		/* behind it, or -1 */
	int fd;			/* the device, O_RDWR */
};

FIXTURE_VARIANT(forced)
{
	enum backing backing;
};

VARIANT(forced, ram_4k, RAM_4K);
VARIANT(forced, ram_huge, RAM_HUGE);
VARIANT(forced, ext4, EXT4);
VARIANT(forced, tmpfs, TMPFS);

static int add(struct genl *genl, enum backing backing, int file)
{
	if (file >= 0)
		return add_file(genl, DEV, file, 0, NULL);
	return add_ram(genl, DEV, SIZE, backing == RAM_HUGE ? MMAPDEMO_HUGE_PAGES : 0, NULL);
}

static char *shared(int fd)
{
	return map(fd, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
}

/* By stores: write() makes no folios of 2 MiB. */
static int fill_ram(int fd)
{
	char *p = shared(fd);

	if (p == MAP_FAILED)
		return -errno;
	store(p, PAGES, TAG);
	return munmap(p, SIZE);
}

FIXTURE_SETUP(forced)
{
	bool ram = variant->backing == RAM_4K || variant->backing == RAM_HUGE;
	char why[160];
	const char *dir;

	self->file = -1;
	if (!ram) {
		dir = fs_dir(variant->backing == EXT4 ? "ext4" : "tmpfs", why);
		if (!dir)
			SKIP(return, "%s", why);
		snprintf(self->path, sizeof(self->path), "%s/forced", dir);
		self->file = open(self->path, O_RDWR | O_CREAT | O_TRUNC, 0600);
		ASSERT_TRUE(writes(self->file, 0, PAGES, TAG));
	}
	ASSERT_EQ(0, module_up(&self->genl));
	ASSERT_EQ(0, add(&self->genl, variant->backing, self->file));
	self->fd = open(XNODE, O_RDWR);
	ASSERT_LE(0, self->fd);
	if (ram) {
		ASSERT_EQ(0, fill_ram(self->fd));
	}
}

FIXTURE_TEARDOWN_PARENT(forced)
{
	EXPECT_EQ(0, module_down());
	if (self->path[0])
		unlink(self->path);
}

/* Not while it is in use; forced at once, and then it is not there any more. */
static const char *deleted(struct genl *genl)
{
	struct genl_request request;
	struct genl_answer answer;
	int at;

	genl_begin(genl, &request, MMAPDEMO_CMD_DEVICE_DEL, 0);
	at = genl_string(&request, MMAPDEMO_A_DEV, DEV);
	if (genl_ask(genl, &request, NULL, NULL, &answer) != -EBUSY || answer.at != at ||
	    !answer.text[0])
		return "is deleted without force";
	if (del(genl, DEV, true))
		return "is not deleted by force";
	if (del(genl, DEV, true) != -ENODEV || get(genl, DEV, NULL) != -ENODEV)
		return "is still known";
	if (!access(XNODE, F_OK) || !access("/sys/class/mmapdemo/" DEV, F_OK))
		return "is still seen";
	return "deleted";
}

/* Every page, to be read and to be written: how many of the accesses were no SIGBUS. */
static int alive(char *p, size_t pages)
{
	int alive = 0;

	for (size_t i = 0; i < pages; i++) {
		alive += trap_load(p + i * PAGE_SIZE) != SIGBUS;
		alive += trap_store(p + i * PAGE_SIZE + 8) != SIGBUS;
	}
	return alive;
}

/* Each operation on an open file that answers something else than ENODEV: its number, or 0. */
static int works(int fd)
{
	char buf[PAGE_SIZE];
	int pipes[2], out = memfd_create("out", 0), bad = 0;
	off_t at = 0;

	if (pipe(pipes) || write(pipes[1], buf, 8) != 8)
		return 100;
	const long results[] = {
		RC(read(fd, buf, 8)), RC(write(fd, buf, 8)),
		RC(pread(fd, buf, 8, 4096)), RC(pwrite(fd, buf, 8, 4096)),
		RC(lseek(fd, 0, SEEK_SET)), RC(lseek(fd, 0, SEEK_END)),
		RC(lseek(fd, 0, SEEK_DATA)), RC(lseek(fd, 0, SEEK_HOLE)),
		RC(fsync(fd)), RC(fdatasync(fd)),
		shared(fd) == MAP_FAILED ? -errno : 0,
		RC(splice(fd, &at, pipes[1], NULL, 4096, 0)),
		RC(splice(pipes[0], NULL, fd, &at, 8, 0)),
		RC(sendfile(out, fd, &at, 4096)),
	};

	for (int i = 0; i < (int)(sizeof(results) / sizeof(results[0])); i++)
		if (results[i] != -ENODEV) {
			fprintf(stderr, "# operation %d: %ld\n", i, results[i]);
			bad = i + 1;
		}
	close(pipes[0]);
	close(pipes[1]);
	close(out);
	return bad;
}

static int events_of(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN | POLLOUT };

	return poll(&poll_fd, 1, 0) < 0 ? -errno : poll_fd.revents;
}

TEST_F(forced, everything_fails)
{
	char *p = shared(self->fd);
	char *q = map(self->fd, SIZE, PROT_READ, MAP_PRIVATE, 0);
	int second = open(XNODE, O_RDONLY);

	store(p, PAGES, 0x100);
	load(q, 8);
	EXPECT_EQ(POLLIN | POLLOUT, events_of(self->fd));
	EXPECT_STREQ("deleted", deleted(&self->genl));
	EXPECT_EQ(0, alive(p, PAGES));
	EXPECT_EQ(SIGBUS, trap_load(q));
	EXPECT_EQ(SIGBUS, trap_load(q + SIZE - 1));
	EXPECT_EQ(0, works(self->fd));
	EXPECT_EQ(-ENODEV, RC(read(second, q, 1)));
	EXPECT_EQ(POLLHUP, events_of(self->fd) & POLLHUP);
	EXPECT_EQ(POLLHUP, events_of(second) & POLLHUP);
	/* What was stored before is in the file, which is none of the device's business now. */
	if (self->file >= 0) {
		EXPECT_TRUE(reads(self->file, 0, PAGES, 0x100));
		EXPECT_TRUE(writes(self->file, 0, PAGES, 0x200));
		EXPECT_EQ(0, alive(p, PAGES));
		EXPECT_TRUE(reads(self->file, 0, PAGES, 0x200));
	}
	/* The mappings can be changed, split, moved and inherited as any, and stay dead. */
	EXPECT_EQ(0, RC(mprotect(p, SIZE / 2, PROT_READ)));
	EXPECT_EQ(SIGBUS, trap_load(p));
	EXPECT_NE(MAP_FAILED, mremap(q, SIZE, 2 * SIZE, MREMAP_MAYMOVE));
	EXPECT_EQ(0, RC(munmap(p + PAGE_SIZE, PAGE_SIZE)));
	EXPECT_EQ(-EWOULDBLOCK, module_unload());
}

/* Copies of pages: ram takes them along, of a file they are the process's own memory. */
TEST_F(forced, private_copies)
{
	char *p = map(self->fd, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);

	store(p, 8, 0x900);
	load(p + 8 * PAGE_SIZE, 8);
	EXPECT_STREQ("deleted", deleted(&self->genl));
	if (self->file < 0) {
		EXPECT_EQ(0, alive(p, 16));
	} else {
		EXPECT_TRUE(holds(p, 8, 0x900));
		EXPECT_EQ(0, alive(p + 8 * PAGE_SIZE, 8));
	}
}

/* Four processes */

struct stage {
	int deleting, deleted;		/* set by the parent */
	int loops[4];			/* by the children */
};

static struct stage *stage;

static bool is_set(const int *flag)
{
	return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

/* An access works, or is dead; that it may be once somebody has begun to delete it. */
static bool is_right(int sig)
{
	return !sig || (sig == SIGBUS && is_set(&stage->deleting));
}

static bool touch(char *p, unsigned int *seed)
{
	for (int i = 0; i < 40; i++) {
		char *at = p + rand_r(seed) % PAGES * PAGE_SIZE;
		int sig = i % 2 ? trap_store(at) : trap_load(at);

		if (!is_right(sig))
			return false;
	}
	return true;
}

static int touch_in_child(void *arg)
{
	unsigned int seed = getpid();

	return !touch(arg, &seed);
}

/* Maps, touches, forks and unmaps until the device is gone: 0 if then everything is dead. */
static int worker(int fd, int number)
{
	unsigned int seed = number;
	char *keep = shared(fd), *p;

	if (keep == MAP_FAILED)
		return 1;
	while (!is_set(&stage->deleted)) {
		p = map(fd, SIZE, PROT_READ | PROT_WRITE, rand_r(&seed) % 4 ? MAP_SHARED :
			MAP_PRIVATE, 0);
		if (p == MAP_FAILED) {
			if (errno != ENODEV || !is_set(&stage->deleting))
				return 2;
			continue;
		}
		if (!touch(p, &seed) || !touch(keep, &seed))
			return 3;
		if (rand_r(&seed) % 4 == 0 && in_child(touch_in_child, p))
			return 4;
		munmap(p + SIZE / 4, SIZE / 2);
		if (!is_right(trap_store(p)))
			return 5;
		munmap(p, SIZE);
		__atomic_add_fetch(&stage->loops[number], 1, __ATOMIC_RELEASE);
	}
	if (alive(keep, PAGES))
		return 6;
	return works(fd) ? 7 : 0;
}

static void start_workers(int fd, pid_t pid[4])
{
	memset(stage, 0, sizeof(*stage));
	for (int i = 0; i < 4; i++) {
		pid[i] = fork();
		if (!pid[i])
			_exit(worker(fd, i));
	}
}

/* All four are at it. */
static void wait_for_workers(void)
{
	for (int i = 0; i < 4; i++)
		while (!is_set(&stage->loops[i]))
			usleep(200);
}

/* After this has returned there is not a single access that is not a SIGBUS. */
TEST_F_TIMEOUT(forced, under_four_processes, 200)
{
	struct effort e = effort(3, 8, 5);
	pid_t pid[4];

	stage = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (unsigned long round = 0; goes_on(&e, round); round++) {
		start_workers(self->fd, pid);
		wait_for_workers();
		usleep(round * 777 % 5000);
		__atomic_store_n(&stage->deleting, 1, __ATOMIC_RELEASE);
		EXPECT_EQ(0, del(&self->genl, DEV, true));
		__atomic_store_n(&stage->deleted, 1, __ATOMIC_RELEASE);
		for (int i = 0; i < 4; i++)
			EXPECT_EQ(0, reap(pid[i]));
		close(self->fd);
		ASSERT_EQ(0, add(&self->genl, variant->backing, self->file));
		self->fd = open(XNODE, O_RDWR);
		ASSERT_LE(0, self->fd);
	}
}

/* Waiting */

static int wait_by_poll(void *arg)
{
	struct pollfd fd = { .fd = *(int *)arg };

	return poll(&fd, 1, 60000) == 1 ? fd.revents & POLLHUP : 0;
}

static int wait_by_epoll(void *arg)
{
	struct epoll_event event = { .events = EPOLLET };
	int epoll = epoll_create1(0);

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, *(int *)arg, &event))
		return 1;
	return epoll_wait(epoll, &event, 1, 60000) == 1 ? event.events & EPOLLHUP : 0;
}

TEST_F(forced, wakes_who_waits)
{
	int (*const wait[])(void *) = { wait_by_poll, wait_by_epoll };
	pid_t pid[2];

	for (int i = 0; i < 2; i++) {
		pid[i] = fork();
		if (!pid[i])
			_exit(wait[i](&self->fd));
	}
	usleep(300000);
	EXPECT_STREQ("deleted", deleted(&self->genl));
	EXPECT_EQ(POLLHUP, reap(pid[0]));
	EXPECT_EQ(EPOLLHUP, reap(pid[1]));
}

/* Another device in its place */

TEST_F(forced, new_device_of_the_same_name)
{
	char *p = shared(self->fd), *q;
	struct stat st, old;
	char node[128];
	int fd;

	snprintf(node, sizeof(node), "%s/forced-node", getenv("MMAPDEMO_DIR"));
	ASSERT_EQ(0, fstat(self->fd, &old));
	ASSERT_EQ(0, mknod(node, S_IFCHR | 0600, old.st_rdev));
	store(p, PAGES, 0x100);
	EXPECT_STREQ("deleted", deleted(&self->genl));
	ASSERT_EQ(0, add_ram(&self->genl, DEV, SIZE, 0, NULL));
	fd = open(XNODE, O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_NE(old.st_rdev, st.st_rdev);
	EXPECT_TRUE(writes(fd, 0, PAGES, 0x200));
	q = shared(fd);
	ASSERT_NE(MAP_FAILED, q);
	store(q, PAGES, 0x300);
	EXPECT_EQ(0, alive(p, PAGES));
	EXPECT_EQ(0, works(self->fd));
	EXPECT_EQ(-ENXIO, RC(open(node, O_RDWR)));
	EXPECT_TRUE(holds(q, PAGES, 0x300));
	/* Nor is the number used again soon once nobody has the old one open or mapped. */
	munmap(p, SIZE);
	close(self->fd);
	/* A number without a driver makes the kernel run modprobe, which takes its time. */
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, add_ram(&self->genl, "mmapdemo-y", 4096, 0, NULL));
		EXPECT_EQ(-ENXIO, RC(open(node, O_RDWR)));
		ASSERT_EQ(0, del(&self->genl, "mmapdemo-y", false));
	}
	EXPECT_EQ(0, unlink(node));
}

/* What holds it, each alone */

TEST_F(forced, open_only)
{
	EXPECT_STREQ("deleted", deleted(&self->genl));
	EXPECT_EQ(0, works(self->fd));
}

TEST_F(forced, mapped_only)
{
	char *p = shared(self->fd);

	close(self->fd);
	store(p, PAGES, 0x100);
	EXPECT_STREQ("deleted", deleted(&self->genl));
	EXPECT_EQ(0, alive(p, PAGES));
}

TEST_F(forced, not_in_use)
{
	munmap(shared(self->fd), SIZE);
	EXPECT_EQ(-EBUSY, del(&self->genl, DEV, false));
	close(self->fd);
	EXPECT_EQ(0, del(&self->genl, DEV, false));
	EXPECT_EQ(-ENODEV, del(&self->genl, DEV, false));
}

TEST_F(forced, in_flight)
{
	int pair[2], fd;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	ASSERT_EQ(0, send_fd(pair[0], self->fd));
	close(self->fd);
	EXPECT_STREQ("deleted", deleted(&self->genl));
	fd = receive_fd(pair[1]);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, works(fd));
	EXPECT_EQ(POLLHUP, events_of(fd) & POLLHUP);
}

TEST_F(forced, registered_with_io_uring)
{
	char page[PAGE_SIZE];
	struct ring ring;

	ASSERT_EQ(0, ring_up(&ring));
	ASSERT_EQ(0, ring_register(&ring, IORING_REGISTER_FILES, &self->fd));
	close(self->fd);
	ASSERT_EQ(PAGE_SIZE, ring_fixed(&ring, IORING_OP_READ, 0, page, PAGE_SIZE, 0));
	EXPECT_STREQ("deleted", deleted(&self->genl));
	for (int i = 0; i < 2; i++) {
		int flags = i ? IOSQE_ASYNC : 0;

		EXPECT_EQ(-ENODEV, ring_fixed(&ring, IORING_OP_READ, flags, page, PAGE_SIZE, 0));
		EXPECT_EQ(-ENODEV, ring_fixed(&ring, IORING_OP_WRITE, flags, page, PAGE_SIZE, 0));
		EXPECT_EQ(-ENODEV, ring_fixed(&ring, IORING_OP_FSYNC, flags, NULL, 0, 0));
	}
	ring_down(&ring);
}

/* A request that waits in the ring for the device to be gone. */
TEST_F(forced, polled_with_io_uring)
{
	struct io_uring_sqe sqe = { .opcode = IORING_OP_POLL_ADD, .fd = self->fd };
	struct ring ring;

	ASSERT_EQ(0, ring_up(&ring));
	ASSERT_EQ(1, ring_submit(&ring, &sqe));
	EXPECT_TRUE(ring_is_waiting(&ring));
	EXPECT_STREQ("deleted", deleted(&self->genl));
	EXPECT_EQ(POLLHUP, ring_wait(&ring) & POLLHUP);
	ring_down(&ring);
}

/* A page in a pipe is memory, and holds nothing; forced deletion does not take it back. */
TEST_F(forced, pages_in_a_pipe)
{
	char *p = shared(self->fd);
	struct iovec iov = { p, 8 * PAGE_SIZE };
	int pipes[2];

	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(8 * PAGE_SIZE, RC(vmsplice(pipes[1], &iov, 1, 0)));
	EXPECT_STREQ("deleted", deleted(&self->genl));
	EXPECT_EQ(0, alive(p, PAGES));
	EXPECT_TRUE(pipe_holds(pipes[0], TAG));
}

TEST_F(forced, pages_in_a_pipe_alone)
{
	int pipes[2];
	off_t at = 0;

	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(8 * PAGE_SIZE, RC(splice(self->fd, &at, pipes[1], NULL, 8 * PAGE_SIZE, 0)));
	close(self->fd);
	EXPECT_EQ(0, del(&self->genl, DEV, false));
	EXPECT_TRUE(pipe_holds(pipes[0], TAG));
}

/*
 * The core dump of a process that maps it is under way. It makes the device busy, forced
 * deletion does not wait for its end, and what it has not come to by then is missing in it:
 * empty pages, in a dump that is complete otherwise.
 */
TEST_F(forced, while_dumping_core)
{
	struct core core;
	long more;

	ASSERT_EQ(0, core_begin(&core, self->fd, SIZE));
	close(self->fd);
	EXPECT_EQ(4, core_pages(&core, 4, 0x100));
	EXPECT_TRUE(core_is_dumping(&core));
	EXPECT_EQ(-EWOULDBLOCK, module_unload());
	EXPECT_STREQ("deleted", deleted(&self->genl));
	EXPECT_TRUE(core_is_dumping(&core));
	EXPECT_EQ(-EWOULDBLOCK, module_unload());
	/* What had been dumped, and waited in pipes to be read. */
	more = core_pages(&core, PAGES - 4, TAG + 4);
	EXPECT_LE(0, more);
	EXPECT_GT(64, more);
	EXPECT_EQ(0, core_end(&core));
	if (self->file >= 0) {
		EXPECT_TRUE(reads(self->file, 0, 4, 0x100));
		EXPECT_TRUE(reads(self->file, 4 * PAGE_SIZE, PAGES - 4, TAG + 4));
	}
}

/* Holes between the pages, so that a dump of them is longer than the kernel makes it at once. */
static int punch_every_other(int fd, int file, struct genl *genl)
{
	for (unsigned long i = 0; i < PAGES; i += 2)
		if (file < 0 ? punch(genl, DEV, i * PAGE_SIZE, PAGE_SIZE) :
		    fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, i * PAGE_SIZE,
			      PAGE_SIZE))
			return -1;
	return lseek(fd, 0, SEEK_DATA) == (off_t)PAGE_SIZE ? 0 : -1;
}

struct dumped {
	bool done;
	unsigned int messages;
	int err;
};

static void on_dump(const struct nlmsghdr *message, void *arg)
{
	struct dumped *dumped = arg;

	if (message->nlmsg_type == NLMSG_DONE) {
		dumped->done = true;
		dumped->err = *(int *)NLMSG_DATA(message);
	} else {
		dumped->messages++;
	}
}

/*
 * Dumps that have begun, as far as one message, go on to their end, and are no reason to keep
 * the device. Whether they tell the rest of what was there is not promised.
 */
TEST_F(forced, while_dumped)
{
	static const int commands[] = {
		MMAPDEMO_CMD_PAGE_GET, MMAPDEMO_CMD_MAPPING_GET, MMAPDEMO_CMD_DEVICE_GET,
		MMAPDEMO_CMD_DIRTY_HARVEST,
	};
	int nr = self->file < 0 ? 4 : 3;
	struct genl_request request;
	struct genl genl[4];

	ASSERT_EQ(0, punch_every_other(self->fd, self->file, &self->genl));
	for (int i = 0; i < 40; i++)
		ASSERT_NE(MAP_FAILED, map(self->fd, PAGE_SIZE, PROT_READ, MAP_SHARED, 0));
	for (int i = 0; i < nr; i++) {
		ASSERT_EQ(0, control_open(&genl[i]));
		genl_begin(&genl[i], &request, commands[i], NLM_F_DUMP);
		if (commands[i] != MMAPDEMO_CMD_DEVICE_GET)
			genl_string(&request, MMAPDEMO_A_DEV, DEV);
		ASSERT_EQ(0, genl_send(&genl[i], &request));
	}
	EXPECT_STREQ("deleted", deleted(&self->genl));
	close(self->fd);
	for (int i = 0; i < nr; i++) {
		struct dumped dumped = { .done = false };

		while (!dumped.done)
			ASSERT_LT(0, genl_receive(&genl[i], 0, on_dump, &dumped));
		EXPECT_EQ(0, dumped.err);
		EXPECT_LT(0, dumped.messages);
	}
	/* The same name, and the dump of it is its own. */
	ASSERT_EQ(0, add_ram(&self->genl, DEV, 4096, 0, NULL));
	EXPECT_EQ(0, del(&self->genl, DEV, false));
}

/* A dump alone does not make a device busy; nobody reads it, and the socket is closed. */
TEST_F(forced, dump_is_no_use)
{
	struct genl_request request;
	struct genl genl;

	ASSERT_EQ(0, punch_every_other(self->fd, self->file, &self->genl));
	ASSERT_EQ(0, control_open(&genl));
	genl_begin(&genl, &request, MMAPDEMO_CMD_PAGE_GET, NLM_F_DUMP);
	genl_string(&request, MMAPDEMO_A_DEV, DEV);
	ASSERT_EQ(0, genl_send(&genl, &request));
	close(self->fd);
	EXPECT_EQ(0, del(&self->genl, DEV, false));
	EXPECT_EQ(-EWOULDBLOCK, module_unload());
	genl_close(&genl);
}

TEST_HARNESS_MAIN
