// SPDX-License-Identifier: GPL-2.0
/*
 * Signals at 1 kHz while an access waits for a slow disk, and the one that ends the process.
 *
 * The disk is under dm-delay. Each access is to a page that is not in memory; the signal is
 * handled when the wait is over, before the core comes again.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "disk.h"
#include "fixture.h"

#define PAGES	(16 * 64UL)
#define SIZE	(PAGES * PAGE_SIZE)
#define STRIDE	(16 * PAGE_SIZE)	/* what one read trap maps: one access to each */
#define DELAY	15			/* ms */
#define FOREVER	600000			/* ms */

enum access { LOAD, STORE, STORE_PRIVATE, PREAD, PWRITE };

FIXTURE(slow)
{
	struct disk disk;
	int file;
	int fd;
	char *p;
};

FIXTURE_VARIANT(slow)
{
	enum access access;
};

FIXTURE_VARIANT_ADD(slow, load) { .access = LOAD };
FIXTURE_VARIANT_ADD(slow, store) { .access = STORE };
FIXTURE_VARIANT_ADD(slow, store_private) { .access = STORE_PRIVATE };
FIXTURE_VARIANT_ADD(slow, pread) { .access = PREAD };
FIXTURE_VARIANT_ADD(slow, pwrite) { .access = PWRITE };

FIXTURE_SETUP(slow)
{
	char path[128];
	int err = disk_up(&self->disk, "ext4");

	if (err > 0)
		SKIP(return, "%s", self->disk.why);
	ASSERT_EQ(0, err);
	snprintf(path, sizeof(path), "%s/file", self->disk.dir);
	self->file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	ASSERT_LE(0, self->file);
	ASSERT_TRUE(writes(self->file, 0, PAGES, TAG));
	ASSERT_EQ(0, fsync(self->file));
	ASSERT_EQ(0, module_load("backing=file path=%s", path));
	self->fd = open(NODE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->fd);
	self->p = map(self->fd, SIZE, PROT_READ | PROT_WRITE,
		      variant->access == STORE_PRIVATE ? MAP_PRIVATE : MAP_SHARED, 0);
	ASSERT_NE(MAP_FAILED, self->p);
	/* Each page for itself, nothing ahead; 7.2 would collapse the file, that is read it all. */
	ASSERT_EQ(0, madvise(self->p, SIZE, MADV_RANDOM));
	ASSERT_EQ(0, madvise(self->p, SIZE, MADV_NOHUGEPAGE));
	ASSERT_EQ(0, posix_fadvise(self->fd, 0, 0, POSIX_FADV_RANDOM));
	ASSERT_EQ(0, posix_fadvise(self->file, 0, 0, POSIX_FADV_DONTNEED));
}

FIXTURE_TEARDOWN_PARENT(slow)
{
	/* What still waits would keep the file system from unmounting. */
	EXPECT_EQ(0, disk_delay(&self->disk, 0));
	EXPECT_EQ(0, module_unload());
	EXPECT_EQ(0, disk_down(&self->disk));
}

/* What an access finds at an offset, or what it leaves there. */
static uint64_t value_of(enum access access, off_t offset)
{
	bool changes = access != LOAD && access != PREAD;

	return TAG + offset / PAGE_SIZE + (changes ? 0x1000000 : 0);
}

static bool access_at(int fd, char *p, enum access access, off_t offset, uint64_t value)
{
	volatile uint64_t *word = (uint64_t *)(p + offset);
	uint64_t seen;

	switch (access) {
	case LOAD:
		return *word == value;
	case PREAD:
		return pread(fd, &seen, sizeof(seen), offset) == sizeof(seen) && seen == value;
	case PWRITE:
		return pwrite(fd, &value, sizeof(value), offset) == sizeof(value);
	default:
		*word = value;
		return true;
	}
}

static volatile sig_atomic_t handled;

static void on_signal(int sig)
{
	(void)sig;
	handled++;
}

/* 1 kHz, by one of the two ways there are. */
static int start_signals(bool restart)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	struct sigaction action = { .sa_handler = on_signal };
	struct itimerspec each = { .it_interval = ms, .it_value = ms };
	struct itimerval every = { { 0, 1000 }, { 0, 1000 } };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	timer_t timer;

	if (restart) {
		action.sa_flags = SA_RESTART;
		return sigaction(SIGALRM, &action, NULL) ?: setitimer(ITIMER_REAL, &every, NULL);
	}
	return sigaction(SIGUSR1, &action, NULL) ?:
	       timer_create(CLOCK_MONOTONIC, &event, &timer) ?:
	       timer_settime(timer, 0, &each, NULL);
}

struct job {
	int fd;
	char *p;
	enum access access;
	bool restart;		/* SA_RESTART, or let system calls end with EINTR */
	off_t begin, end;
};

/* Accesses under signals: 0 if each was right, and signals were handled. */
static int accesses(void *arg)
{
	struct job *job = arg;

	if (start_signals(job->restart))
		return 1;
	for (off_t offset = job->begin; offset < job->end; offset += STRIDE)
		if (!access_at(job->fd, job->p, job->access, offset,
			       value_of(job->access, offset)))
			return 1;
	return !handled;
}

/* What was stored to the file is there, what was only copied is not, the rest is as ever. */
static bool holds_what_is_left(int fd, enum access access)
{
	if (access == STORE_PRIVATE)
		access = LOAD;
	for (off_t offset = 0; offset < (off_t)SIZE; offset += STRIDE)
		if (!reads(fd, offset, 1, value_of(access, offset)) ||
		    !reads(fd, offset + PAGE_SIZE, STRIDE / PAGE_SIZE - 1,
			   value_of(LOAD, offset + PAGE_SIZE)))
			return false;
	return true;
}

static struct figures before, after;

static long long count(enum counter counter)
{
	return after.count[counter] - before.count[counter];
}

/*
 * Each access gave up its lock to wait, and came again when the disk had answered. It is one
 * access: the wait is major and retry, the rest what it would be without. A load that comes again
 * is mapped around.
 */
static void expect_counted_once(struct __test_metadata *_metadata, enum access access, long long n)
{
	ASSERT_EQ(0, figures(&after));
	EXPECT_EQ(access == LOAD ? n : 0, count(READ) + count(AROUND));
	EXPECT_EQ(access == STORE ? n : 0, count(WRITE));
	EXPECT_EQ(access == STORE ? n : 0, count(MKWRITE));
	EXPECT_EQ(access == STORE_PRIVATE ? n : 0, count(COW));
	if (access == PREAD || access == PWRITE)
		n = 0;
	EXPECT_EQ(n, count(MAJOR));
	/* And once more, should a worker of the file system have the page locked just then. */
	EXPECT_LE(n, count(RETRY));
	EXPECT_EQ(0, count(SIGBUSES) + count(OOM));
	EXPECT_TRUE(adds_up(&after));
}

TEST_F_TIMEOUT(slow, signals, 110)
{
	struct job half[2] = {
		{ self->fd, self->p, variant->access, true, 0, SIZE / 2 },
		{ self->fd, self->p, variant->access, false, SIZE / 2, SIZE },
	};
	const long long n = SIZE / STRIDE;
	struct timespec begin, end;

	ASSERT_EQ(0, disk_delay(&self->disk, DELAY));
	ASSERT_EQ(0, figures(&before));
	clock_gettime(CLOCK_MONOTONIC, &begin);
	EXPECT_EQ(0, in_child(accesses, &half[0]));
	EXPECT_EQ(0, in_child(accesses, &half[1]));
	clock_gettime(CLOCK_MONOTONIC, &end);
	/* They did wait, each. */
	EXPECT_LE(n * DELAY, (end.tv_sec - begin.tv_sec) * 1000 + end.tv_nsec / 1000000);
	expect_counted_once(_metadata, variant->access, n);
	ASSERT_EQ(0, posix_fadvise(self->fd, 0, 0, POSIX_FADV_NORMAL));
	EXPECT_TRUE(holds_what_is_left(self->fd, variant->access));
}

static bool is_waiting(pid_t pid)
{
	char path[32], stat[512];

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	return read_file(path, stat, sizeof(stat)) > 0 && strstr(stat, ") D ");
}

/* The disk would answer in ten minutes. */
TEST_F_TIMEOUT(slow, killed, 110)
{
	int status;
	pid_t pid;

	ASSERT_EQ(0, disk_delay(&self->disk, FOREVER));
	ASSERT_EQ(0, figures(&before));
	pid = fork();
	if (!pid) {
		access_at(self->fd, self->p, variant->access, STRIDE, 0);
		_exit(0);
	}
	while (!is_waiting(pid))
		ASSERT_EQ(0, usleep(1000));
	EXPECT_EQ(0, kill(pid, SIGKILL));
	/* Where a write is of a part of a block, ext4 listens to no signal. */
	if (variant->access == PWRITE)
		ASSERT_EQ(0, disk_delay(&self->disk, 0));
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	ASSERT_EQ(0, figures(&after));
	/* The access never came to pass. */
	EXPECT_EQ(0, count(READ) + count(AROUND) + count(WRITE) + count(MKWRITE) + count(COW));
	EXPECT_EQ(variant->access < PREAD, count(MAJOR));
	EXPECT_TRUE(adds_up(&after));
	ASSERT_EQ(0, disk_delay(&self->disk, 0));
	if (variant->access != PWRITE)
		EXPECT_TRUE(reads(self->fd, 0, PAGES, TAG));
}

TEST_HARNESS_MAIN
