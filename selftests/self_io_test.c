// SPDX-License-Identifier: GPL-2.0
/* Input and output of the device with its own pages as the buffer, and nobody waits for himself. */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"

DEVICE_FIXTURE(device);
RAM_VARIANTS(device);
FILE_VARIANTS(device);
MORE_FILE_VARIANTS(device);

/* The pages at the beginning of the device that the transfers take place in: one fault-around. */
#define REGION (8 * PAGE_SIZE)

/* What the mapping has of the device's pages before the transfer. */
enum state { ABSENT, LOADED, STORED, NR_STATES };

struct transfer {
	const char *name;
	size_t dev;		/* where in the device */
	size_t buf;		/* where in the mapping */
	size_t len;
};

static const struct transfer transfers[] = {
	{ "the same page", 0, 0, PAGE_SIZE },
	{ "another page", 0, 2 * PAGE_SIZE, PAGE_SIZE },
	{ "halves of two pages", 2048, 2048, PAGE_SIZE },
	{ "half a page up", 0, 2048, PAGE_SIZE },
	{ "half a page down", 2048, 0, PAGE_SIZE },
	{ "pages onto the next ones", 0, PAGE_SIZE, 3 * PAGE_SIZE },
	{ "odd ends", 1, PAGE_SIZE + 3, 2 * PAGE_SIZE + 1 },
};

static ssize_t do_read(int fd, char *buf, size_t len, off_t at)
{
	return lseek(fd, at, SEEK_SET) < 0 ? -1 : read(fd, buf, len);
}

static ssize_t do_write(int fd, char *buf, size_t len, off_t at)
{
	return lseek(fd, at, SEEK_SET) < 0 ? -1 : write(fd, buf, len);
}

static ssize_t do_pread(int fd, char *buf, size_t len, off_t at)
{
	return pread(fd, buf, len, at);
}

static ssize_t do_pwrite(int fd, char *buf, size_t len, off_t at)
{
	return pwrite(fd, buf, len, at);
}

/* The same bytes in two pieces, the first one odd. */
#define PIECES(buf, len) ((struct iovec[]){ { buf, 999 }, { (buf) + 999, (len) - 999 } })

static ssize_t do_preadv(int fd, char *buf, size_t len, off_t at)
{
	return preadv(fd, PIECES(buf, len), 2, at);
}

static ssize_t do_pwritev(int fd, char *buf, size_t len, off_t at)
{
	return pwritev(fd, PIECES(buf, len), 2, at);
}

struct call {
	const char *name;
	bool into;		/* into the buffer */
	ssize_t (*run)(int fd, char *buf, size_t len, off_t at);
};

static const struct call calls[] = {
	{ "read", true, do_read }, { "pread", true, do_pread }, { "preadv", true, do_preadv },
	{ "write", false, do_write }, { "pwrite", false, do_pwrite },
	{ "pwritev", false, do_pwritev },
};

struct scene {
	const struct call *call;
	const struct transfer *transfer;
	enum state state;
	bool shared;
	unsigned char dev[REGION];	/* what the device has to hold */
	unsigned char own[REGION];	/* and the mapping, where it is not the same */
	unsigned char *buf;		/* one of these two: what the mapping shows */
};

/* No two pages, nor a page and one moved by a few bytes, are alike. */
static void pattern(unsigned char *to, size_t len)
{
	uint32_t seed = 1;

	for (size_t i = 0; i < len; i++) {
		seed = seed * 1664525 + 1013904223;
		to[i] = seed >> 24;
	}
}

static bool device_holds(int fd, const unsigned char *want)
{
	unsigned char got[REGION];

	return pread(fd, got, REGION, 0) == REGION && !memcmp(got, want, REGION);
}

/* A mapping of the whole device, its first pages known and in the state that is asked for. */
static char *set_up(struct device *dev, struct scene *s)
{
	char *p;

	pattern(s->dev, REGION);
	if (pwrite(dev->fd, s->dev, REGION, 0) != REGION)
		return MAP_FAILED;
	p = map(dev->fd, dev->size, PROT_READ | PROT_WRITE,
		s->shared ? MAP_SHARED : MAP_PRIVATE, 0);
	if (p == MAP_FAILED)
		return p;
	s->buf = s->dev;
	if (s->state == LOADED)
		load(p, REGION / PAGE_SIZE);
	if (s->state == STORED) {
		if (!s->shared)
			s->buf = memcpy(s->own, s->dev, REGION);
		store(p, REGION / PAGE_SIZE, TAG);
		store(s->buf, REGION / PAGE_SIZE, TAG);
	}
	return p;
}

/*
 * What the transfer has to make of it. Bytes go upwards one by one, so where the ranges
 * overlap some go twice; every kernel copies like that between user space and a page cache.
 */
static void foresee(struct scene *s)
{
	const struct transfer *t = s->transfer;

	/* What is read into a private mapping goes into copies of its own. */
	if (s->call->into && !s->shared && s->buf == s->dev)
		s->buf = memcpy(s->own, s->dev, REGION);
	for (size_t i = 0; i < t->len; i++) {
		if (s->call->into)
			s->buf[t->buf + i] = s->dev[t->dev + i];
		else
			s->dev[t->dev + i] = s->buf[t->buf + i];
	}
}

/* The faults that the kernel takes for the buffer, and no other. */
static const char *faults(struct scene *s, bool huge)
{
	const struct transfer *t = s->transfer;
	size_t n = (t->buf + t->len - 1) / PAGE_SIZE - t->buf / PAGE_SIZE + 1;

	if (s->state == STORED)
		return "";
	if (!s->call->into)
		return said("around=%d huge=%d", s->state == ABSENT, s->state == ABSENT && huge);
	/* A huge mapping is taken apart by the first store, and then it is as if absent. */
	if (!s->shared)
		return said("cow=%zu", s->state == ABSENT || huge ? n : 0);
	if (huge)
		return "write=1 mkwrite=1 huge=1";
	return said("write=%zu mkwrite=%zu", s->state == ABSENT ? n : 0, n);
}

static void play(struct __test_metadata *_metadata, struct device *dev, struct scene *s)
{
	static const char *const states[] = { "absent", "loaded", "stored" };
	const struct transfer *t = s->transfer;
	char *p = set_up(dev, s);
	char name[128];

	snprintf(name, sizeof(name), "%s, %s, %s, %s", s->call->name, t->name, states[s->state],
		 s->shared ? "shared" : "private");
	ASSERT_NE(MAP_FAILED, p);
	foresee(s);
	mark();
	EXPECT_EQ(t->len, RC(s->call->run(dev->fd, p + t->buf, t->len, t->dev))) {
		TH_LOG("%s", name);
	}
	EXPECT_STREQ(faults(s, dev->backing == RAM_HUGE), moved()) {
		TH_LOG("%s", name);
	}
	EXPECT_TRUE(device_holds(dev->fd, s->dev)) {
		TH_LOG("device: %s", name);
	}
	EXPECT_EQ(0, memcmp(p, s->buf, REGION)) {
		TH_LOG("mapping: %s", name);
	}
	munmap(p, dev->size);
}

#define SCENES (ARRAY_SIZE(calls) * ARRAY_SIZE(transfers) * NR_STATES * 2)

/* Every call with every transfer in every state; a debug kernel plays each fifth scene. */
TEST_F_TIMEOUT(device, own_mapping_as_buffer, 110)
{
	size_t step = rounds(16) == 16 ? 1 : 5;
	struct scene s;

	ASSERT_EQ(0, fill(&self->dev));
	for (size_t i = 0; i < SCENES; i += step) {
		s.shared = i % 2;
		s.state = i / 2 % NR_STATES;
		s.call = &calls[i / 2 / NR_STATES % ARRAY_SIZE(calls)];
		s.transfer = &transfers[i / 2 / NR_STATES / ARRAY_SIZE(calls)];
		play(_metadata, &self->dev, &s);
	}
	EXPECT_TRUE(reads(self->dev.fd, REGION, self->dev.pages - 8, TAG + 8));
}

/* No file takes part: a process reads and writes its memory, which is the device, by pid. */
TEST_F(device, process_vm)
{
	struct scene s = { .shared = true };
	struct iovec here, there;
	char *p;

	ASSERT_EQ(0, fill(&self->dev));
	for (s.state = ABSENT; s.state < NR_STATES; s.state++) {
		p = set_up(&self->dev, &s);
		ASSERT_NE(MAP_FAILED, p);
		here = (struct iovec){ p + PAGE_SIZE, PAGE_SIZE };
		there = (struct iovec){ p + 3 * PAGE_SIZE, PAGE_SIZE };
		EXPECT_EQ(PAGE_SIZE, RC(process_vm_readv(getpid(), &here, 1, &there, 1, 0)));
		memcpy(s.dev + PAGE_SIZE, s.dev + 3 * PAGE_SIZE, PAGE_SIZE);
		here.iov_base = p + 100;
		there.iov_base = p + 4 * PAGE_SIZE + 200;
		EXPECT_EQ(PAGE_SIZE, RC(process_vm_writev(getpid(), &here, 1, &there, 1, 0)));
		memcpy(s.dev + 4 * PAGE_SIZE + 200, s.dev + 100, PAGE_SIZE);
		EXPECT_TRUE(device_holds(self->dev.fd, s.dev));
		EXPECT_EQ(0, memcmp(p, s.dev, REGION));
		munmap(p, self->dev.size);
	}
}

/* From page @from to the pipe, and from there to page @to: bytes, or -errno. */
static ssize_t through_pipe(int fd, int *pipes, off_t from, off_t to, size_t len)
{
	ssize_t in = splice(fd, &from, pipes[1], NULL, len, 0);

	return in < 0 ? -errno : RC(splice(pipes[0], NULL, fd, &to, in, 0));
}

/* Of a file device it is the page cache's own page that lies in the pipe. */
TEST_F(device, splice_onto_itself)
{
	struct scene s = { .shared = true };
	int fd = self->dev.fd, pipes[2];

	ASSERT_EQ(0, pipe(pipes));
	ASSERT_NE(MAP_FAILED, set_up(&self->dev, &s));
	EXPECT_EQ(2 * PAGE_SIZE, through_pipe(fd, pipes, 0, 0, 2 * PAGE_SIZE));
	EXPECT_TRUE(device_holds(fd, s.dev));
	EXPECT_EQ(PAGE_SIZE, through_pipe(fd, pipes, PAGE_SIZE, 5 * PAGE_SIZE, PAGE_SIZE));
	memcpy(s.dev + 5 * PAGE_SIZE, s.dev + PAGE_SIZE, PAGE_SIZE);
	EXPECT_EQ(3000, through_pipe(fd, pipes, 100, 6 * PAGE_SIZE + 1, 3000));
	memcpy(s.dev + 6 * PAGE_SIZE + 1, s.dev + 100, 3000);
	EXPECT_TRUE(device_holds(fd, s.dev));
}

/* The pipe holds the mapping's page, which is the device's, and it is written to the device. */
TEST_F(device, vmsplice_onto_itself)
{
	struct scene s = { .shared = true };
	struct iovec iov;
	int pipes[2];
	char *p;

	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(0, fill(&self->dev));
	for (s.state = ABSENT; s.state < NR_STATES; s.state++) {
		p = set_up(&self->dev, &s);
		ASSERT_NE(MAP_FAILED, p);
		for (int to = 0; to < 2; to++) {
			off_t at = to * 3 * PAGE_SIZE;

			iov = (struct iovec){ p, PAGE_SIZE };
			EXPECT_EQ(PAGE_SIZE, RC(vmsplice(pipes[1], &iov, 1, 0)));
			EXPECT_EQ(PAGE_SIZE, RC(splice(pipes[0], NULL, self->dev.fd, &at,
						       PAGE_SIZE, 0)));
		}
		memcpy(s.dev + 3 * PAGE_SIZE, s.dev, PAGE_SIZE);
		EXPECT_TRUE(device_holds(self->dev.fd, s.dev));
		EXPECT_EQ(0, memcmp(p, s.dev, REGION));
		munmap(p, self->dev.size);
	}
}

/*
 * Crosswise: one process moves page 0 to page 1 while another one moves page 1 to page 0, and
 * each time the buffer is to be faulted in. Who held a page locked while he faulted another
 * one in would sooner or later wait for the other for ever, and there is no signal out of it.
 */
struct cross {
	struct device *dev;
	const struct call *call;
	char *p;
	unsigned long rounds;
};

/* Words that only ever stand on these pages. */
#define WORD(page) (0x5e1f100000000000ULL + (page))

static bool words(const char *page, size_t pages)
{
	const uint64_t *word = (const uint64_t *)page;

	for (size_t i = 0; i < pages * PAGE_SIZE / 8; i++)
		if (word[i] != WORD(0) && word[i] != WORD(1))
			return false;
	return true;
}

static int move(const struct cross *c, int page)
{
	char *buf = c->p + page * PAGE_SIZE;

	for (unsigned long i = 0; i < c->rounds; i++) {
		/* The own page only: with both the two would share a fault-around. */
		if (madvise(buf, PAGE_SIZE, MADV_DONTNEED))
			return 1;
		if (c->call->run(c->dev->fd, buf, PAGE_SIZE, !page * PAGE_SIZE) != PAGE_SIZE)
			return 2;
		if (!words(buf, 1))
			return 3;
	}
	return 0;
}

/* Exit status of a child, or -1 if it has not ended after many times the time that it needs. */
static int ended(pid_t pid)
{
	int status;

	for (int i = 0; i < 2400; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
		usleep(10000);
	}
	kill(pid, SIGKILL);
	return -1;
}

static void move_crosswise(struct __test_metadata *_metadata, const struct cross *c)
{
	pid_t pid[2];

	for (int page = 0; page < 2; page++) {
		for (size_t i = 0; i < PAGE_SIZE / 8; i++)
			((uint64_t *)(c->p + page * PAGE_SIZE))[i] = WORD(page);
	}
	mark();
	for (int page = 0; page < 2; page++) {
		pid[page] = fork();
		if (!pid[page])
			_exit(move(c, page));
	}
	EXPECT_EQ(0, ended(pid[0]));
	EXPECT_EQ(0, ended(pid[1]));
	EXPECT_TRUE(words(c->p, 2));
	EXPECT_TRUE(reads(c->dev->fd, 2 * PAGE_SIZE, c->dev->pages - 2, TAG + 2));
}

TEST_F_TIMEOUT(device, crosswise_pread, 110)
{
	struct cross c = { .dev = &self->dev, .call = &calls[1], .rounds = rounds(2000) };
	unsigned long n = 2 * c.rounds;

	ASSERT_EQ(0, fill(&self->dev));
	c.p = map(self->dev.fd, self->dev.size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	ASSERT_NE(MAP_FAILED, c.p);
	move_crosswise(_metadata, &c);
	EXPECT_STREQ(said("write=%lu mkwrite=%lu huge=%lu", n, n,
			  self->dev.backing == RAM_HUGE ? n : 0), moved());
}

/* A page that the other one has locked is passed over by the fault-around, and faulted. */
TEST_F_TIMEOUT(device, crosswise_pwrite, 110)
{
	struct cross c = { .dev = &self->dev, .call = &calls[4], .rounds = rounds(2000) };
	struct figures before, after;

	ASSERT_EQ(0, fill(&self->dev));
	c.p = map(self->dev.fd, self->dev.size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	ASSERT_NE(MAP_FAILED, c.p);
	store(c.p, 2, 0);
	ASSERT_EQ(0, figures(&before));
	move_crosswise(_metadata, &c);
	ASSERT_EQ(0, figures(&after));
	EXPECT_TRUE(adds_up(&after));
	EXPECT_EQ(2 * c.rounds, after.count[READ] - before.count[READ] +
				after.count[AROUND] - before.count[AROUND]);
	EXPECT_EQ(before.count[WRITE], after.count[WRITE]);
	EXPECT_EQ(before.count[MKWRITE], after.count[MKWRITE]);
	EXPECT_EQ(before.count[SIGBUSES], after.count[SIGBUSES]);
}

TEST_HARNESS_MAIN
