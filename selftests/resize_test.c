// SPDX-License-Identifier: GPL-2.0
/*
 * resize and punch while others read, store and fault: one process changes the device and
 * knows every byte of it; the others look on from a second CPU.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "control.h"
#include "fixture.h"

#define DEV "mmapdemo"
#define MOST (3 * HUGE_SIZE)

FIXTURE(resize)
{
	struct genl genl;
	int fd;
	int *stop;
	char *p, *q;		/* two mappings of the largest size */
	char *model, *got;	/* what has to be in it, up to the size; and room */
	size_t size;
	unsigned int seed;
};

FIXTURE_VARIANT(resize)
{
	bool huge;
};

FIXTURE_VARIANT_ADD(resize, ram_4k)
{
	.huge = false
};

FIXTURE_VARIANT_ADD(resize, ram_huge)
{
	.huge = true
};

FIXTURE_SETUP(resize)
{
	const char *seed = getenv("MMAPDEMO_SEED");

	ASSERT_EQ(0, module_load("size=%lu huge=%d", MOST, variant->huge));
	ASSERT_EQ(0, control_open(&self->genl));
	self->fd = open(NODE, O_RDWR);
	ASSERT_LE(0, self->fd);
	self->p = map(self->fd, MOST, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	self->q = map(self->fd, MOST, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	self->stop = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			  -1, 0);
	self->model = calloc(1, MOST);
	self->got = calloc(1, MOST);
	self->size = MOST;
	self->seed = seed ? atoi(seed) : getpid();
	TH_LOG("MMAPDEMO_SEED=%u", self->seed);
}

FIXTURE_TEARDOWN_PARENT(resize)
{
	EXPECT_EQ(0, module_unload());
	EXPECT_FALSE(module_loaded());
}

static size_t up(size_t size)
{
	return (size + PAGE_SIZE - 1) & -PAGE_SIZE;
}

/* Every byte says where it is, or is 0. */
static char byte_of(size_t offset)
{
	return (offset ^ offset >> 8 ^ offset >> 16) % 255 + 1;
}

static bool all_right(const char *bytes, size_t offset, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i] && bytes[i] != byte_of(offset + i))
			return false;
	return true;
}

/* The lookers-on */

static sigjmp_buf bus;

static void on_bus(int sig)
{
	(void)sig;
	siglongjmp(bus, 1);
}

/* A part of the mapping, byte by byte; it may end in a SIGBUS anywhere. */
static bool look(const char *p, size_t offset, size_t len)
{
	if (sigsetjmp(bus, 1))
		return true;
	return all_right(p + offset, offset, len);
}

/* Loads at random: with fault-around, and each time from page tables made anew now and then. */
static int loader(FIXTURE_DATA(resize) *self, unsigned int seed)
{
	signal(SIGBUS, on_bus);
	while (!__atomic_load_n(self->stop, __ATOMIC_ACQUIRE)) {
		size_t offset = rand_r(&seed) % MOST & -64UL, len = 64;

		if (seed % 8 == 0)
			len = MOST - offset < 16 * PAGE_SIZE ? MOST - offset : 16 * PAGE_SIZE;
		if (!look(self->p, offset, len))
			return 1;
		if (seed % 64 == 0)
			madvise(self->p, MOST, MADV_DONTNEED);
	}
	return 0;
}

/* read() at random: never more than there is. */
static int reader(FIXTURE_DATA(resize) *self, unsigned int seed)
{
	while (!__atomic_load_n(self->stop, __ATOMIC_ACQUIRE)) {
		size_t offset = rand_r(&seed) % MOST, len = rand_r(&seed) % (64 * PAGE_SIZE);
		ssize_t got = pread(self->fd, self->got, len, offset);

		if (got < 0 || offset + got > MOST || !all_right(self->got, offset, got))
			return 2;
	}
	return 0;
}

/* Stores the right bytes at random, by the mapping and by write(). */
static int writer(FIXTURE_DATA(resize) *self, unsigned int seed)
{
	char buf[3000];

	signal(SIGBUS, on_bus);
	while (!__atomic_load_n(self->stop, __ATOMIC_ACQUIRE)) {
		size_t offset = rand_r(&seed) % MOST;
		ssize_t done;

		if (seed % 2) {
			if (!sigsetjmp(bus, 1))
				self->q[offset] = byte_of(offset);
			continue;
		}
		for (size_t i = 0; i < sizeof(buf); i++)
			buf[i] = byte_of(offset + i);
		done = pwrite(self->fd, buf, sizeof(buf), offset);
		if (done < 0 && errno != ENOSPC)
			return 3;
	}
	return 0;
}

static pid_t start(FIXTURE_DATA(resize) *self,
		   int (*what)(FIXTURE_DATA(resize) *self, unsigned int seed), unsigned int seed)
{
	pid_t pid = fork();

	if (!pid)
		_exit(what(self, seed));
	return pid;
}

/* The one who changes */

static size_t random_to(FIXTURE_DATA(resize) *self, size_t most)
{
	return ((size_t)rand_r(&self->seed) << 8 ^ rand_r(&self->seed)) % most;
}

/* A size: any, one at or near the end of a page or of 2 MiB, or all of it. */
static size_t random_size(FIXTURE_DATA(resize) *self)
{
	size_t size = random_to(self, MOST);

	switch (rand_r(&self->seed) % 6) {
	case 0:
		return MOST;
	case 1:
		return up(size + 1);
	case 2:
		size = (size / HUGE_SIZE + 1) * HUGE_SIZE;
		return size - rand_r(&self->seed) % 3;
	default:
		return size + 1;
	}
}

/* Cut off or zero, and SIGBUS is where it has to be. */
static const char *do_resize(FIXTURE_DATA(resize) *self)
{
	size_t size = random_size(self);

	if (resize(&self->genl, DEV, size))
		return "resize fails";
	if (size < self->size)
		memset(self->model + size, 0, MOST - size);
	self->size = size;
	if (lseek(self->fd, 0, SEEK_END) != (off_t)size)
		return "has another size";
	if (trap_load(self->q + size - 1) || trap_load(self->q + up(size) - 1))
		return "SIGBUS in front of the end";
	if (up(size) < MOST && (trap_load(self->q + up(size)) != SIGBUS ||
				trap_store(self->q + MOST - 1) != SIGBUS))
		return "no SIGBUS behind the end";
	return NULL;
}

static const char *do_punch(FIXTURE_DATA(resize) *self)
{
	size_t offset = random_to(self, self->size), len;

	len = 1 + random_to(self, rand_r(&self->seed) % 2 ? 3 * PAGE_SIZE : MOST);
	if (len > self->size - offset)
		len = self->size - offset;
	memset(self->model + offset, 0, len);
	return punch(&self->genl, DEV, offset, len) ? "punch fails" : NULL;
}

/* By stores, behind the end of the last page too, where they must not come back from. */
static const char *do_store(FIXTURE_DATA(resize) *self)
{
	size_t offset = random_to(self, self->size), len = 1 + random_to(self, 40 * PAGE_SIZE);

	if (len > self->size - offset)
		len = self->size - offset;
	for (size_t i = offset; i < offset + len; i++)
		self->model[i] = byte_of(i);
	if (rand_r(&self->seed) % 2) {
		memcpy(self->q + offset, self->model + offset, len);
		if (up(self->size) > self->size)
			self->q[up(self->size) - 1] = byte_of(up(self->size) - 1);
	} else if (pwrite(self->fd, self->model + offset, len, offset) != (ssize_t)len) {
		return "write() is short";
	}
	return NULL;
}

/* The device is the model, by read() and by the mapping that the changes were not made by. */
static const char *compare(FIXTURE_DATA(resize) *self)
{
	ssize_t got = pread(self->fd, self->got, MOST, 0);

	if (got != (ssize_t)self->size)
		return "read() has another size";
	if (memcmp(self->got, self->model, self->size))
		return "read() has other bytes";
	return memcmp(self->p, self->model, self->size) ? "the mapping has other bytes" : NULL;
}

static const char *step(FIXTURE_DATA(resize) *self)
{
	const char *wrong;

	switch (rand_r(&self->seed) % 5) {
	case 0:
	case 1:
		wrong = do_resize(self);
		break;
	case 2:
		wrong = do_punch(self);
		break;
	default:
		wrong = do_store(self);
	}
	return wrong;
}

TEST_F(resize, byte_exact)
{
	unsigned long n = rounds(variant->huge ? 1600 : 800);
	const char *wrong = NULL;
	pid_t pid[2];

	pid[0] = start(self, loader, 1);
	pid[1] = start(self, reader, 2);
	for (unsigned long i = 0; i < n && !wrong; i++) {
		wrong = step(self);
		if (!wrong && i % 16 == 0)
			wrong = compare(self);
	}
	EXPECT_STREQ("", wrong ?: compare(self) ?: "");
	__atomic_store_n(self->stop, 1, __ATOMIC_RELEASE);
	EXPECT_EQ(0, reap(pid[0]));
	EXPECT_EQ(0, reap(pid[1]));
}

/*
 * With others who store, no byte is known, but where it can be from: its own place. What was
 * cut off while they stood still is zero when the device has grown again.
 */
TEST_F(resize, against_writers)
{
	unsigned long n = rounds(600);
	pid_t pid[3];

	for (unsigned long i = 0; i < n; i++) {
		if (i % 50 == 0) {
			pid[0] = start(self, writer, i + 1);
			pid[1] = start(self, writer, i + 2);
			pid[2] = start(self, loader, i + 3);
		}
		ASSERT_EQ(0, i % 3 ? resize(&self->genl, DEV, self->size = random_size(self)) :
			  punch(&self->genl, DEV, random_to(self, self->size), 1));
		if (i % 50 != 49)
			continue;
		__atomic_store_n(self->stop, 1, __ATOMIC_RELEASE);
		for (int j = 0; j < 3; j++)
			ASSERT_EQ(0, reap(pid[j]));
		*self->stop = 0;
		ASSERT_EQ(0, resize(&self->genl, DEV, MOST / 3 + i));
		ASSERT_EQ(0, resize(&self->genl, DEV, MOST));
		ASSERT_EQ(MOST, pread(self->fd, self->got, MOST, 0));
		ASSERT_TRUE(all_right(self->got, 0, MOST));
		for (size_t at = MOST / 3 + i; at < MOST; at++)
			ASSERT_EQ(0, self->got[at]);
		ASSERT_EQ(0, memcmp(self->p, self->got, MOST));
	}
}

/* To the middle of a page and of 2 MiB, of a folio that somebody holds and cannot be split. */
TEST_F(resize, while_pinned)
{
	static const size_t cuts[] = {
		HUGE_SIZE + 100 * PAGE_SIZE, HUGE_SIZE + 100 * PAGE_SIZE + 77, HUGE_SIZE + 1,
		PAGE_SIZE, 1,
	};
	int pipes[2];
	struct iovec iov;

	for (size_t i = 0; i < 5; i++) {
		size_t cut = cuts[i];

		for (size_t at = 0; at < MOST; at++)
			self->q[at] = byte_of(at);
		ASSERT_EQ(0, pipe(pipes));
		iov = (struct iovec){ self->q + (cut & -PAGE_SIZE), PAGE_SIZE };
		ASSERT_EQ(PAGE_SIZE, RC(vmsplice(pipes[1], &iov, 1, 0)));
		ASSERT_EQ(0, resize(&self->genl, DEV, cut));
		EXPECT_EQ(cut, lseek(self->fd, 0, SEEK_END));
		EXPECT_EQ(cut, pread(self->fd, self->got, MOST, 0));
		for (size_t at = 0; at < cut; at++)
			ASSERT_EQ(byte_of(at), self->got[at]);
		for (size_t at = up(cut); at < MOST; at += 31 * PAGE_SIZE)
			ASSERT_EQ(SIGBUS, trap_load(self->q + at));
		ASSERT_EQ(0, resize(&self->genl, DEV, MOST));
		EXPECT_EQ(0, memcmp(self->p, self->got, cut));
		for (size_t at = cut; at < MOST; at += 7)
			ASSERT_EQ(0, self->p[at]);
		/* Let go, it is as if it had never been held. */
		close(pipes[0]);
		close(pipes[1]);
		self->q[cut] = 'x';
		ASSERT_EQ(0, punch(&self->genl, DEV, 0, MOST));
		ASSERT_EQ(0, self->p[cut]);
		ASSERT_EQ(0, self->p[0]);
	}
}

TEST_HARNESS_MAIN
