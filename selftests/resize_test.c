// SPDX-License-Identifier: GPL-2.0
/*
 * resize and punch while others read, store and fault: one process changes the device and
 * knows every byte of it; the others look on from a second CPU.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "control.h"
#include "fixture.h"

#define DEV "mmapdemo"
#define MOST (2 * HUGE_SIZE)

struct oracle {
	struct genl genl;
	int fd;
	int *stop;
	char *p, *q;		/* two mappings of the largest size */
	char *model, *got;	/* what has to be in it, up to the size; and room */
	size_t size;
	unsigned int seed;
};

FIXTURE(resize)
{
	struct oracle oracle;
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
	struct oracle *o = &self->oracle;
	const char *seed = getenv("MMAPDEMO_SEED");

	ASSERT_EQ(0, module_load("size=%lu huge=%d", MOST, variant->huge));
	ASSERT_EQ(0, control_open(&o->genl));
	o->fd = open(NODE, O_RDWR);
	ASSERT_LE(0, o->fd);
	o->p = map(o->fd, MOST, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	o->q = map(o->fd, MOST, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	o->stop = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	o->model = calloc(1, MOST);
	o->got = calloc(1, MOST);
	o->size = MOST;
	o->seed = seed ? atoi(seed) : getpid();
	TH_LOG("MMAPDEMO_SEED=%u", o->seed);
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
	for (size_t i = 0; i < len; i++) {
		/* Once: it may become 0 meanwhile. */
		char byte = *(const volatile char *)(bytes + i);

		if (byte && byte != byte_of(offset + i))
			return false;
	}
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
static int loader(struct oracle *o, unsigned int seed)
{
	signal(SIGBUS, on_bus);
	while (!__atomic_load_n(o->stop, __ATOMIC_ACQUIRE)) {
		size_t offset = rand_r(&seed) % MOST & -64UL, len = 64;

		if (seed % 8 == 0)
			len = MOST - offset < 16 * PAGE_SIZE ? MOST - offset : 16 * PAGE_SIZE;
		if (!look(o->p, offset, len))
			return 1;
		if (seed % 64 == 0)
			madvise(o->p, MOST, MADV_DONTNEED);
	}
	return 0;
}

/* read() at random: never more than there is. */
static int reader(struct oracle *o, unsigned int seed)
{
	while (!__atomic_load_n(o->stop, __ATOMIC_ACQUIRE)) {
		size_t offset = rand_r(&seed) % MOST, len = rand_r(&seed) % (64 * PAGE_SIZE);
		ssize_t got = pread(o->fd, o->got, len, offset);

		if (got < 0 || offset + got > MOST || !all_right(o->got, offset, got))
			return 2;
	}
	return 0;
}

/* Stores the right bytes at random, by the mapping and by write(). */
static int writer(struct oracle *o, unsigned int seed)
{
	char buf[3000];

	signal(SIGBUS, on_bus);
	while (!__atomic_load_n(o->stop, __ATOMIC_ACQUIRE)) {
		size_t offset = rand_r(&seed) % MOST;
		ssize_t done;

		if (seed % 2) {
			if (!sigsetjmp(bus, 1))
				o->q[offset] = byte_of(offset);
			continue;
		}
		for (size_t i = 0; i < sizeof(buf); i++)
			buf[i] = byte_of(offset + i);
		done = pwrite(o->fd, buf, sizeof(buf), offset);
		if (done < 0 && errno != ENOSPC)
			return 3;
	}
	return 0;
}

static pid_t start(struct oracle *o,
		   int (*what)(struct oracle *o, unsigned int seed), unsigned int seed)
{
	pid_t pid = fork();

	if (!pid)
		_exit(what(o, seed));
	return pid;
}

/* The one who changes */

static size_t random_to(struct oracle *o, size_t most)
{
	return ((size_t)rand_r(&o->seed) << 8 ^ rand_r(&o->seed)) % most;
}

/* A size: any, one at or near the end of a page or of 2 MiB, or all of it. */
static size_t random_size(struct oracle *o)
{
	size_t size = random_to(o, MOST);

	switch (rand_r(&o->seed) % 6) {
	case 0:
		return MOST;
	case 1:
		return up(size + 1);
	case 2:
		size = (size / HUGE_SIZE + 1) * HUGE_SIZE;
		return size - rand_r(&o->seed) % 3;
	default:
		return size + 1;
	}
}

/* Cut off or zero, and SIGBUS is where it has to be. */
static const char *do_resize(struct oracle *o)
{
	size_t size = random_size(o);

	if (resize(&o->genl, DEV, size))
		return "resize fails";
	if (size < o->size)
		memset(o->model + size, 0, MOST - size);
	o->size = size;
	if (lseek(o->fd, 0, SEEK_END) != (off_t)size)
		return "has another size";
	if (trap_load(o->q + size - 1) || trap_load(o->q + up(size) - 1))
		return "SIGBUS in front of the end";
	if (up(size) < MOST && (trap_load(o->q + up(size)) != SIGBUS ||
				trap_store(o->q + MOST - 1) != SIGBUS))
		return "no SIGBUS behind the end";
	return NULL;
}

static const char *do_punch(struct oracle *o)
{
	size_t offset = random_to(o, o->size), len;

	len = 1 + random_to(o, rand_r(&o->seed) % 2 ? 3 * PAGE_SIZE : MOST);
	if (len > o->size - offset)
		len = o->size - offset;
	memset(o->model + offset, 0, len);
	return punch(&o->genl, DEV, offset, len) ? "punch fails" : NULL;
}

/* By stores, behind the end of the last page too, where they must not come back from. */
static const char *do_store(struct oracle *o)
{
	size_t offset = random_to(o, o->size), len = 1 + random_to(o, 40 * PAGE_SIZE);

	if (len > o->size - offset)
		len = o->size - offset;
	for (size_t i = offset; i < offset + len; i++)
		o->model[i] = byte_of(i);
	if (rand_r(&o->seed) % 2) {
		memcpy(o->q + offset, o->model + offset, len);
		if (up(o->size) > o->size)
			o->q[up(o->size) - 1] = byte_of(up(o->size) - 1);
	} else if (pwrite(o->fd, o->model + offset, len, offset) != (ssize_t)len) {
		return "write() is short";
	}
	return NULL;
}

/* The device is the model, by read() and by the mapping that the changes were not made by. */
static const char *compare(struct oracle *o)
{
	ssize_t got = pread(o->fd, o->got, MOST, 0);

	if (got != (ssize_t)o->size)
		return "read() has another size";
	if (memcmp(o->got, o->model, o->size))
		return "read() has other bytes";
	return memcmp(o->p, o->model, o->size) ? "the mapping has other bytes" : NULL;
}

static const char *step(struct oracle *o)
{
	const char *wrong;

	switch (rand_r(&o->seed) % 5) {
	case 0:
	case 1:
		wrong = do_resize(o);
		break;
	case 2:
		wrong = do_punch(o);
		break;
	default:
		wrong = do_store(o);
	}
	return wrong;
}

TEST_F_TIMEOUT(resize, byte_exact, 200)
{
	struct oracle *o = &self->oracle;
	unsigned long n = rounds(400);
	const char *wrong = NULL;
	pid_t pid[2];

	pid[0] = start(o, loader, 1);
	pid[1] = start(o, reader, 2);
	for (unsigned long i = 0; i < n && !wrong; i++) {
		wrong = step(o);
		if (!wrong && i % 16 == 0)
			wrong = compare(o);
	}
	EXPECT_STREQ("", wrong ?: compare(o) ?: "");
	__atomic_store_n(o->stop, 1, __ATOMIC_RELEASE);
	EXPECT_EQ(0, reap(pid[0]));
	EXPECT_EQ(0, reap(pid[1]));
}

/*
 * With others who store, no byte is known, but where it can be from: its own place. What was
 * cut off while they stood still is zero when the device has grown again.
 */
TEST_F_TIMEOUT(resize, against_writers, 200)
{
	struct oracle *o = &self->oracle;
	pid_t pid[3];

	for (unsigned long round = 0; round < rounds(4); round++) {
		pid[0] = start(o, writer, 3 * round + 1);
		pid[1] = start(o, writer, 3 * round + 2);
		pid[2] = start(o, loader, 3 * round + 3);
		for (int i = 0; i < 50; i++) {
			o->size = random_size(o);
			ASSERT_EQ(0, resize(&o->genl, DEV, o->size));
			ASSERT_EQ(0, punch(&o->genl, DEV, random_to(o, o->size), 1));
		}
		__atomic_store_n(o->stop, 1, __ATOMIC_RELEASE);
		for (int i = 0; i < 3; i++)
			ASSERT_EQ(0, reap(pid[i]));
		*o->stop = 0;
		ASSERT_EQ(0, resize(&o->genl, DEV, MOST / 3 + round));
		ASSERT_EQ(0, resize(&o->genl, DEV, MOST));
		ASSERT_EQ(MOST, pread(o->fd, o->got, MOST, 0));
		ASSERT_TRUE(all_right(o->got, 0, MOST));
		for (size_t at = MOST / 3 + round; at < MOST; at++)
			ASSERT_EQ(0, o->got[at]);
		ASSERT_EQ(0, memcmp(o->p, o->got, MOST));
	}
}

/* To the middle of a page and of 2 MiB, of a folio that somebody holds and cannot be split. */
TEST_F_TIMEOUT(resize, while_pinned, 200)
{
	struct oracle *o = &self->oracle;
	static const size_t cuts[] = {
		HUGE_SIZE + 100 * PAGE_SIZE, HUGE_SIZE + 100 * PAGE_SIZE + 77, HUGE_SIZE + 1,
		PAGE_SIZE, 1,
	};
	int pipes[2];
	struct iovec iov;

	for (size_t at = 0; at < MOST; at++)
		o->model[at] = byte_of(at);
	for (size_t i = 0; i < 5; i++) {
		size_t cut = cuts[i];

		memcpy(o->q, o->model, MOST);
		ASSERT_EQ(0, pipe(pipes));
		iov = (struct iovec){ o->q + (cut & -PAGE_SIZE), PAGE_SIZE };
		ASSERT_EQ(PAGE_SIZE, RC(vmsplice(pipes[1], &iov, 1, 0)));
		ASSERT_EQ(0, resize(&o->genl, DEV, cut));
		EXPECT_EQ(cut, lseek(o->fd, 0, SEEK_END));
		EXPECT_EQ(cut, pread(o->fd, o->got, MOST, 0));
		ASSERT_EQ(0, memcmp(o->got, o->model, cut));
		for (size_t at = up(cut); at < MOST; at += 31 * PAGE_SIZE)
			ASSERT_EQ(SIGBUS, trap_load(o->q + at));
		ASSERT_EQ(0, resize(&o->genl, DEV, MOST));
		EXPECT_EQ(0, memcmp(o->p, o->model, cut));
		for (size_t at = cut; at < MOST; at += 7)
			ASSERT_EQ(0, o->p[at]);
		/* Let go, it is as if it had never been held. */
		close(pipes[0]);
		close(pipes[1]);
		o->q[cut] = 'x';
		ASSERT_EQ(0, punch(&o->genl, DEV, 0, MOST));
		ASSERT_EQ(0, o->p[cut]);
		ASSERT_EQ(0, o->p[0]);
	}
}

/* A buffer whose first touch waits until answer() is called: its userfaultfd, or -errno. */
static int slow_buffer(char **buf)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC);

	*buf = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	reg.range.start = (uintptr_t)*buf;
	reg.range.len = PAGE_SIZE;
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) || ioctl(uffd, UFFDIO_REGISTER, &reg))
		return -errno;
	return uffd;
}

static void answer(int uffd, char *buf, const char *page)
{
	struct uffdio_copy copy = { .dst = (uintptr_t)buf, .src = (uintptr_t)page,
				    .len = PAGE_SIZE };

	if (ioctl(uffd, UFFDIO_COPY, &copy))
		abort();
}

struct writer {
	int fd;
	char *buf;
	ssize_t written;
};

static void *write_page_5(void *arg)
{
	struct writer *w = arg;

	w->written = pwrite(w->fd, w->buf, PAGE_SIZE, 5 * PAGE_SIZE);
	return NULL;
}

/* What a write() is about to put into a folio stays, when another part of that is cut off. */
TEST_F_TIMEOUT(resize, write_under_way, 200)
{
	struct oracle *o = &self->oracle;
	static char page[PAGE_SIZE];
	struct writer w = { .fd = o->fd };
	struct uffd_msg msg;
	pthread_t thread;
	int uffd;

	memset(page, 'w', PAGE_SIZE);
	for (int cut = 0; cut < 2; cut++) {
		/* Clean and zero, never stored to. */
		ASSERT_EQ(0, punch(&o->genl, DEV, 0, MOST));
		ASSERT_EQ(0, o->q[5 * PAGE_SIZE]);
		uffd = slow_buffer(&w.buf);
		ASSERT_LE(0, uffd);
		ASSERT_EQ(0, pthread_create(&thread, NULL, write_page_5, &w));
		ASSERT_EQ(sizeof(msg), read(uffd, &msg, sizeof(msg)));
		ASSERT_EQ(0, cut ? resize(&o->genl, DEV, 100 * PAGE_SIZE) :
				   punch(&o->genl, DEV, 100 * PAGE_SIZE, PAGE_SIZE));
		answer(uffd, w.buf, page);
		pthread_join(thread, NULL);
		EXPECT_EQ(PAGE_SIZE, w.written);
		EXPECT_EQ(0, memcmp(o->q + 5 * PAGE_SIZE, page, PAGE_SIZE));
		EXPECT_EQ(PAGE_SIZE, pread(o->fd, o->got, PAGE_SIZE, 5 * PAGE_SIZE));
		EXPECT_EQ(0, memcmp(o->got, page, PAGE_SIZE));
		close(uffd);
		munmap(w.buf, PAGE_SIZE);
		ASSERT_EQ(0, resize(&o->genl, DEV, MOST));
	}
}

TEST_HARNESS_MAIN
