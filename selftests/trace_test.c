// SPDX-License-Identifier: GPL-2.0
/* The tracepoints: one for each stage, with the same fields, in the order of what happens. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fixture.h"

#define TRACING "/sys/kernel/tracing/instances/mmapdemo-tests/"

DEVICE_FIXTURE(device);
VARIANT(device, ram_4k, RAM_4K);
VARIANT(device, tmpfs, TMPFS);
VARIANT(device, ext4, EXT4);

#define FORMAT \
	": mmapdemo_%31[^:]: device=%u pgoff=%lu address=%lx access=%15s result=%x ns=%llu"

struct event {
	char name[32];
	unsigned int device;
	unsigned long pgoff;
	unsigned long address;
	char access[16];
	unsigned int result;
	unsigned long long ns;
};

#define MAX_EVENTS 64

static int start_tracing(void)
{
	if (run("mkdir -p " TRACING))
		return -1;
	if (run(": >" TRACING "trace"))
		return -1;
	return write_file(TRACING "events/mmapdemo/enable", "1") == 1 ? 0 : -1;
}

/* The events of this process since start_tracing(), and the end of it. */
static int stop_tracing(struct event events[MAX_EVENTS])
{
	char line[512], me[32], *at;
	FILE *trace;
	int n = 0;

	write_file(TRACING "events/mmapdemo/enable", "0");
	snprintf(me, sizeof(me), "-%d ", getpid());
	trace = fopen(TRACING "trace", "r");
	while (trace && n < MAX_EVENTS && fgets(line, sizeof(line), trace)) {
		struct event *e = &events[n];

		at = strstr(line, ": mmapdemo_");
		if (!at || !strstr(line, me))
			continue;
		if (sscanf(at, FORMAT, e->name, &e->device, &e->pgoff, &e->address,
			   e->access, &e->result, &e->ns) == 7)
			n++;
	}
	if (trace)
		fclose(trace);
	rmdir(TRACING);
	return n;
}

static unsigned int minor_of_node(void)
{
	struct stat st;

	return stat(NODE, &st) ? ~0U : minor(st.st_rdev);
}

/* One event in words, without what the kernel chooses: time and the bits of the result. */
static const char *words(const struct event *e, const char *p)
{
	static char text[128];

	snprintf(text, sizeof(text), "%s %s page %lu at %ld", e->name, e->access, e->pgoff,
		 (long)(e->address - (unsigned long)p));
	return e->device != minor_of_node() ? "another device" : text;
}

#define VM_FAULT_SIGBUS	0x2
#define VM_FAULT_NOPAGE	0x100
#define VM_FAULT_LOCKED	0x200

TEST_F(device, stages)
{
	struct event e[MAX_EVENTS];
	char *p;

	ASSERT_EQ(0, fill(&self->dev));
	ASSERT_EQ(0, start_tracing());
	p = map(self->dev.fd, 8 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 4 * PAGE_SIZE);
	ASSERT_NE(MAP_FAILED, p);
	load(p + PAGE_SIZE, 1);
	store(p + 2 * PAGE_SIZE, 1, 0x100);
	munmap(p, 8 * PAGE_SIZE);
	ASSERT_EQ(4, stop_tracing(e));
	EXPECT_STREQ("mmap - page 4 at 0", words(&e[0], p));
	EXPECT_EQ(0, e[0].result);
	EXPECT_STREQ("map_pages read page 5 at 4096", words(&e[1], p));
	EXPECT_EQ(VM_FAULT_NOPAGE, e[1].result & VM_FAULT_NOPAGE);
	EXPECT_STREQ("mkwrite mkwrite page 6 at 8192", words(&e[2], p));
	/* With the page locked, or without: the core locks it then. */
	EXPECT_EQ(0, e[2].result & ~VM_FAULT_LOCKED);
	/* tmpfs has no page_mkwrite: nothing of it runs, and nothing is timed. */
	EXPECT_EQ(self->dev.backing != TMPFS, e[2].ns > 0);
	EXPECT_STREQ("close - page 4 at 0", words(&e[3], p));
	EXPECT_EQ(0, e[3].result);
}

TEST_F(device, faults)
{
	struct event e[MAX_EVENTS];
	size_t size = self->dev.size, n = self->dev.pages;
	char *p, *q;

	ASSERT_EQ(0, fill(&self->dev));
	p = map(self->dev.fd, 2 * size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	q = map(self->dev.fd, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, q);
	ASSERT_EQ(0, start_tracing());
	store(p + 3 * PAGE_SIZE, 1, 0x100);
	store(q + 7 * PAGE_SIZE, 1, 0x200);
	EXPECT_EQ(SIGBUS, trap_load(p + size + 5));
	ASSERT_EQ(5, stop_tracing(e));
	ASSERT_EQ(256, n);
	EXPECT_STREQ("fault write page 3 at 12288", words(&e[0], p));
	EXPECT_EQ(0, e[0].result & VM_FAULT_SIGBUS);
	EXPECT_GT(e[0].ns, 0);
	EXPECT_STREQ("mkwrite mkwrite page 3 at 12288", words(&e[1], p));
	EXPECT_STREQ("fault cow page 7 at 28672", words(&e[2], q));
	EXPECT_STREQ("map_pages read page 256 at 1048576", words(&e[3], p));
	EXPECT_EQ(0, e[3].result & VM_FAULT_NOPAGE);
	EXPECT_STREQ("fault read page 256 at 1048576", words(&e[4], p));
	EXPECT_EQ(VM_FAULT_SIGBUS, e[4].result & VM_FAULT_SIGBUS);
}

/* A mmap() that is refused is told with its errno. */
TEST_F(device, refused_mmap)
{
	struct event e[MAX_EVENTS];

	ASSERT_EQ(0, start_tracing());
	EXPECT_EQ(MAP_FAILED, map(self->dev.fd, PAGE_SIZE, PROT_READ, MAP_SHARED,
				  0x7ffffffffffff000));
	ASSERT_EQ(1, stop_tracing(e));
	EXPECT_STREQ("mmap", e[0].name);
	EXPECT_EQ(0x7ffffffffffffUL, e[0].pgoff);
	EXPECT_EQ(-EOVERFLOW, (int)e[0].result);
}

/* Each VMA of a mapping says when it goes. */
TEST_F(device, close_of_each_part)
{
	struct event e[MAX_EVENTS];
	char *p = map(self->dev.fd, 9 * PAGE_SIZE, PROT_READ, MAP_SHARED, 0);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, start_tracing());
	munmap(p + 3 * PAGE_SIZE, 3 * PAGE_SIZE);
	munmap(p, 9 * PAGE_SIZE);
	ASSERT_EQ(3, stop_tracing(e));
	EXPECT_STREQ("close - page 3 at 12288", words(&e[0], p));
	EXPECT_STREQ("close - page 0 at 0", words(&e[1], p));
	EXPECT_STREQ("close - page 6 at 24576", words(&e[2], p));
}

TEST_HARNESS_MAIN
