// SPDX-License-Identifier: GPL-2.0
/* What a mapping lets a process do, by how the device was opened, mapped and protected since. */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"

DEVICE_FIXTURE(device);
RAM_VARIANTS(device);
FILE_VARIANTS(device);

/*
 * The rules, in the order in which they are asked:
 *
 *	open		mmap()				mprotect()
 *	O_WRONLY	EACCES
 *	O_RDONLY	shared and writable: EACCES	shared, to writable: EACCES
 *	any		executable: EPERM for RAM	to executable: EACCES for RAM
 *
 * All else is allowed. Then a load, a store and a call do what the protection says, as in
 * anonymous memory, and what is refused does not get as far as the driver.
 */
static int mmap_verdict(const struct device *dev, int mode, int share, int prot)
{
	if (mode == O_WRONLY)
		return -EACCES;
	if (mode == O_RDONLY && share != MAP_PRIVATE && (prot & PROT_WRITE))
		return -EACCES;
	return is_ram(dev) && (prot & PROT_EXEC) ? -EPERM : 0;
}

static int mprotect_verdict(const struct device *dev, int mode, int share, int prot)
{
	if (mode == O_RDONLY && share != MAP_PRIVATE && (prot & PROT_WRITE))
		return -EACCES;
	return is_ram(dev) && (prot & PROT_EXEC) ? -EACCES : 0;
}

static const int prots[] = {
	PROT_NONE, PROT_READ, PROT_WRITE, PROT_READ | PROT_WRITE, PROT_EXEC,
	PROT_READ | PROT_EXEC, PROT_WRITE | PROT_EXEC, PROT_READ | PROT_WRITE | PROT_EXEC,
};

/* The signal of each access by protection, of this kernel on this CPU; by "prots". */
static int loads[ARRAY_SIZE(prots)], stores[ARRAY_SIZE(prots)], calls[ARRAY_SIZE(prots)];

static unsigned char code[PAGE_SIZE] = { 0xc3 };

/* Whether execute means read, and write means read, is known by trying. */
static bool learn(void)
{
	char *p = map(-1, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, 0);

	if (p == MAP_FAILED)
		return false;
	p[0] = code[0];
	for (size_t i = 0; i < ARRAY_SIZE(prots); i++) {
		if (mprotect(p, PAGE_SIZE, prots[i]))
			return false;
		loads[i] = trap_load(p);
		calls[i] = trap_call(p);
		stores[i] = trap_store(p + 8);
		if (stores[i] != (prots[i] & PROT_WRITE ? 0 : SIGSEGV) ||
		    (prots[i] & PROT_READ && loads[i]) || (prots[i] & PROT_EXEC && calls[i]))
			return false;
	}
	munmap(p, PAGE_SIZE);
	return loads[0] == SIGSEGV && calls[0] == SIGSEGV;
}

struct cell {
	int mode, share;
	size_t from, to;	/* in prots */
};

/* Each kind of access once, and no other than the allowed ones seen by the driver. */
static void access_it(struct __test_metadata *_metadata, const struct device *dev, char *p,
		      const struct cell *c, size_t prot)
{
	char byte = 0;

	mark();
	if (loads[prot]) {
		EXPECT_EQ(loads[prot], trap_load(p));
	}
	if (stores[prot]) {
		EXPECT_EQ(stores[prot], trap_store(p + 8));
	}
	EXPECT_STREQ("", moved()) {
		TH_LOG("open %d share %d prot %#x, now %#x", c->mode, c->share, prots[c->from],
		       prots[prot]);
	}
	/* To x86 a call is a load until the page is there; then it knows better. */
	EXPECT_EQ(loads[prot], trap_load(p));
	mark();
	EXPECT_EQ(calls[prot], trap_call(p));
	if (calls[prot]) {
		EXPECT_STREQ("", moved());
	}
	EXPECT_EQ(stores[prot], trap_store(p + 8));
	EXPECT_EQ(1, pread(dev->fd, &byte, 1, 8));
	EXPECT_EQ(!stores[prot] && c->share != MAP_PRIVATE, byte);
	byte = 0;
	EXPECT_EQ(1, pwrite(dev->fd, &byte, 1, 8));
}

static void try_cell(struct __test_metadata *_metadata, struct device *dev, int fd,
		     const struct cell *c)
{
	int err = mmap_verdict(dev, c->mode, c->share, prots[c->from]);
	char *p;

	mark();
	p = mmap(NULL, PAGE_SIZE, prots[c->from], c->share, fd, 0);
	if (err) {
		EXPECT_EQ(MAP_FAILED, p);
		EXPECT_EQ(err, -errno) {
			TH_LOG("open %d share %d prot %#x", c->mode, c->share, prots[c->from]);
		}
		EXPECT_STREQ("", moved());
		return;
	}
	ASSERT_NE(MAP_FAILED, p) {
		TH_LOG("open %d share %d prot %#x: %d", c->mode, c->share, prots[c->from], errno);
	}
	EXPECT_STREQ("total=1 live=1", moved());
	access_it(_metadata, dev, p, c, c->from);
	err = mprotect_verdict(dev, c->mode, c->share, prots[c->to]);
	EXPECT_EQ(err, RC(mprotect(p, PAGE_SIZE, prots[c->to]))) {
		TH_LOG("open %d share %d prot %#x to %#x", c->mode, c->share, prots[c->from],
		       prots[c->to]);
	}
	access_it(_metadata, dev, p, c, err ? c->from : c->to);
	munmap(p, PAGE_SIZE);
}

TEST_F_TIMEOUT(device, every_protection, 110)
{
	static const int modes[] = { O_RDONLY, O_WRONLY, O_RDWR };
	static const int shares[] = { MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE };
	/* A debug kernel goes from each protection to every third one. */
	const size_t step = rounds(16) == 16 ? 1 : 3;
	struct cell c;

	ASSERT_TRUE(learn());
	ASSERT_EQ(PAGE_SIZE, pwrite(self->dev.fd, code, PAGE_SIZE, 0));
	for (size_t i = 0; i < ARRAY_SIZE(modes) * ARRAY_SIZE(shares); i++) {
		int fd = open(NODE, modes[i / 3] | O_CLOEXEC);

		ASSERT_LE(0, fd);
		c.mode = modes[i / 3];
		c.share = shares[i % 3];
		for (c.from = 0; c.from < ARRAY_SIZE(prots); c.from++) {
			for (c.to = c.from % step; c.to < ARRAY_SIZE(prots); c.to += step)
				try_cell(_metadata, &self->dev, fd, &c);
		}
		close(fd);
	}
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC,
				   self->dev.fd, 0));
	EXPECT_EQ(EOPNOTSUPP, errno);
}

/* Ways into the memory of another process, or around the protection of one's own. */

/* By /proc: forced where the kernel forces anything, and EIO where it does not. */
static int poke_mem(pid_t pid, char *p, uint64_t word)
{
	char path[64];
	int fd, err;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	err = fd < 0 ? -errno : RC(pwrite(fd, &word, 8, (off_t)(uintptr_t)p));
	close(fd);
	return err == 8 ? 0 : err;
}

static int poke_ptrace(pid_t pid, char *p, uint64_t word)
{
	return RC(ptrace(PTRACE_POKEDATA, pid, p, (void *)word));
}

/* Without force: as if the process stored itself. */
static int poke_writev(pid_t pid, char *p, uint64_t word)
{
	struct iovec here = { &word, 8 }, there = { p, 8 };
	long done = RC(process_vm_writev(pid, &here, 1, &there, 1, 0));

	return done == 8 ? 0 : done;
}

static int (*const pokes[])(pid_t pid, char *p, uint64_t word) = {
	poke_mem, poke_ptrace, poke_writev,
};

/* A stopped child that is traced, and has what this process has mapped. */
static pid_t traced_child(void)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		ptrace(PTRACE_TRACEME);
		raise(SIGSTOP);
		_exit(0);
	}
	return waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status) ? pid : -1;
}

static uint64_t peek(pid_t pid, char *p)
{
	errno = 0;
	return ptrace(PTRACE_PEEKDATA, pid, p, NULL);
}

struct way {
	int mode, share, prot;
	int forced;		/* of /proc/PID/mem and ptrace: 0 or -errno of the first */
	int plain;		/* of process_vm_writev() */
	bool reaches;		/* the device */
};

static const struct way ways[] = {
	{ O_RDWR, MAP_SHARED, PROT_READ, -EIO, -EFAULT, false },
	{ O_RDWR, MAP_SHARED, PROT_NONE, -EIO, -EFAULT, false },
	{ O_RDWR, MAP_SHARED, PROT_READ | PROT_WRITE, 0, 0, true },
	{ O_RDONLY, MAP_SHARED, PROT_READ, -EIO, -EFAULT, false },
	{ O_RDWR, MAP_PRIVATE, PROT_READ, 0, -EFAULT, false },
	{ O_RDWR, MAP_PRIVATE, PROT_NONE, 0, -EFAULT, false },
	{ O_RDONLY, MAP_PRIVATE, PROT_READ, 0, -EFAULT, false },
	{ O_RDONLY, MAP_PRIVATE, PROT_READ | PROT_WRITE, 0, 0, false },
};

/* What a poke counts as: a copy, a store, or nothing at all. Page @i was never mapped. */
static const char *counted(const struct way *way, int err, bool huge, int i)
{
	if (err)
		return "";
	if (way->share == MAP_PRIVATE)
		return "cow=1";
	return huge && i ? "" : said("write=1 mkwrite=1 huge=%d", huge);
}

static void poke_each_way(struct __test_metadata *_metadata, struct device *dev, pid_t pid,
			  const struct way *way, char *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(pokes); i++) {
		int err = i == 2 ? way->plain : way->forced;
		uint64_t word = 0x7700 + i, before = TAG + i;

		mark();
		EXPECT_EQ(err && i == 1 ? -EIO : err, pokes[i](pid, p + i * PAGE_SIZE, word)) {
			TH_LOG("mode %d share %d prot %d poke %zu", way->mode, way->share,
			       way->prot, i);
		}
		EXPECT_STREQ(counted(way, err, dev->backing == RAM_HUGE, i), moved()) {
			TH_LOG("mode %d share %d prot %d poke %zu", way->mode, way->share,
			       way->prot, i);
		}
		EXPECT_EQ(err ? before : word, peek(pid, p + i * PAGE_SIZE));
		EXPECT_TRUE(reads(dev->fd, i * PAGE_SIZE, 1, way->reaches ? word : before));
	}
}

TEST_F(device, memory_of_another)
{
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		int fd = open(NODE, ways[i].mode | O_CLOEXEC);
		pid_t pid;
		char *p;

		ASSERT_EQ(0, fill(&self->dev));
		p = map(fd, self->dev.size, ways[i].prot, ways[i].share, 0);
		ASSERT_NE(MAP_FAILED, p);
		pid = traced_child();
		ASSERT_LT(0, pid);
		poke_each_way(_metadata, &self->dev, pid, &ways[i], p);
		kill(pid, SIGKILL);
		EXPECT_EQ(-1, reap(pid));
		/* The copies were the child's; our own view is the device's. */
		if (ways[i].prot & PROT_READ) {
			EXPECT_TRUE(holds(p, 1, ways[i].reaches ? 0x7700 : TAG));
		}
		munmap(p, self->dev.size);
		close(fd);
	}
}

/*
 * One's own memory, with a page mapped read-only already: forced into a copy, or not at all.
 * 7.2 as Debian has it leaves force to debuggers, so anonymous memory is asked first.
 */
TEST_F(device, own_memory)
{
	char *p = map(-1, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, 0), *q;
	int forced = poke_mem(getpid(), p, 0x7700);
	bool copied = !forced;

	ASSERT_EQ(0, fill(&self->dev));
	p = map(self->dev.fd, self->dev.size, PROT_READ, MAP_PRIVATE, 0);
	q = map(self->dev.fd, self->dev.size, PROT_READ, MAP_SHARED, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, q);
	load(p, 4);
	load(q, 4);
	mark();
	EXPECT_EQ(forced, poke_mem(getpid(), p, 0x7700));
	EXPECT_EQ(-EIO, poke_mem(getpid(), q, 0x7700));
	EXPECT_STREQ(said("cow=%d", copied && self->dev.backing == RAM_HUGE), moved());
	EXPECT_TRUE(holds(p, 1, copied ? 0x7700 : TAG));
	EXPECT_TRUE(holds(q, 4, TAG));
	EXPECT_TRUE(reads(self->dev.fd, 0, self->dev.pages, TAG));
	EXPECT_EQ(SIGSEGV, trap_store(p));
}

TEST_HARNESS_MAIN
