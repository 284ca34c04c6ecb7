// SPDX-License-Identifier: GPL-2.0
/* What each command tells and does, on every backing: counts, rows and bytes, all of them exact. */
#include <fcntl.h>
#include <linux/mman.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "control.h"
#include "fixture.h"

#define DEV "mmapdemo"

#define CONTROL_FIXTURE(name)							\
	FIXTURE(name)								\
	{									\
		struct device dev;						\
		struct genl genl;						\
	};									\
	FIXTURE_VARIANT(name)							\
	{									\
		enum backing backing;						\
	};									\
	FIXTURE_SETUP(name)							\
	{									\
		int err = device_up(&self->dev, variant->backing);		\
										\
		if (err > 0)							\
			SKIP(return, "%s", self->dev.why);			\
		ASSERT_EQ(0, err);						\
		ASSERT_EQ(0, control_open(&self->genl));			\
	}									\
	FIXTURE_TEARDOWN_PARENT(name)						\
	{									\
		EXPECT_EQ(0, device_down(&self->dev));				\
	}

CONTROL_FIXTURE(control);
RAM_VARIANTS(control);
FILE_VARIANTS(control);

/* Pages that one trap makes present or writable. */
static size_t unit(const struct device *dev)
{
	return dev->backing == RAM_HUGE ? 512 : 1;
}

static char *mapping(struct device *dev, int flags)
{
	return map(dev->fd, dev->size, PROT_READ | PROT_WRITE, flags, 0);
}

/* device-get */

/* The same counters from device-get and from sysfs. */
static bool agrees(const struct info *info, const struct figures *f)
{
	static const int same[][2] = {
		{ MMAPDEMO_A_FAULTS_READ, READ }, { MMAPDEMO_A_FAULTS_WRITE, WRITE },
		{ MMAPDEMO_A_FAULTS_COW, COW }, { MMAPDEMO_A_FAULTS_MKWRITE, MKWRITE },
		{ MMAPDEMO_A_FAULTS_AROUND, AROUND }, { MMAPDEMO_A_FAULTS_HUGE, HUGE },
		{ MMAPDEMO_A_FAULTS_MAJOR, MAJOR }, { MMAPDEMO_A_FAULTS_RETRY, RETRY },
		{ MMAPDEMO_A_FAULTS_VMA_LOCKED, VMA_LOCKED },
		{ MMAPDEMO_A_FAULTS_SIGBUS, SIGBUSES }, { MMAPDEMO_A_FAULTS_OOM, OOM },
		{ MMAPDEMO_A_FAULTS_HWPOISON, HWPOISON },
		{ MMAPDEMO_A_FAULTS_INJECTED, INJECTED },
	};
	bool same_all = info->live == (uint64_t)f->count[LIVE] &&
			info->total == (uint64_t)f->count[TOTAL];

	for (int i = 0; i < 13; i++)
		same_all &= info->faults[same[i][0]] == (uint64_t)f->count[same[i][1]];
	return same_all;
}

TEST_F(control, device_get)
{
	size_t n = self->dev.pages, traps = n / unit(&self->dev);
	struct info info, first;
	struct figures f;
	struct infos all;
	char *p, *q;

	p = mapping(&self->dev, MAP_SHARED);
	q = map(self->dev.fd, 2 * self->dev.size, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, q);
	store(p, n, 0x100);
	store(q, 7, 0x200);
	EXPECT_EQ(SIGBUS, trap_load(q + self->dev.size));
	munmap(p, self->dev.size);
	ASSERT_EQ(0, figures(&f));
	ASSERT_EQ(0, get(&self->genl, DEV, &info));
	EXPECT_TRUE(agrees(&info, &f));
	EXPECT_EQ(traps, info.faults[MMAPDEMO_A_FAULTS_WRITE]);
	EXPECT_EQ(traps, info.faults[MMAPDEMO_A_FAULTS_MKWRITE]);
	EXPECT_EQ(7, info.faults[MMAPDEMO_A_FAULTS_COW]);
	EXPECT_EQ(1, info.faults[MMAPDEMO_A_FAULTS_SIGBUS]);
	EXPECT_EQ(1, info.live);
	EXPECT_EQ(2, info.total);
	EXPECT_EQ(is_ram(&self->dev) ? 2 : 1, info.opens);
	EXPECT_EQ(self->dev.size, info.size);
	EXPECT_STREQ(is_ram(&self->dev) ? "ram" : "file", info.backing);
	EXPECT_EQ(self->dev.backing == RAM_HUGE ? MMAPDEMO_HUGE_PAGES : 0, info.flags);
	if (is_ram(&self->dev)) {
		EXPECT_EQ(n, info.dirty);
	}
	/* Of two, each as it is told alone. */
	ASSERT_EQ(0, add_ram(&self->genl, "mmapdemo-2", 8192, 0, &first));
	ASSERT_EQ(0, get_all(&self->genl, &all));
	ASSERT_EQ(2, all.nr);
	EXPECT_EQ(0, memcmp(&info, &all.info[0], sizeof(info)));
	EXPECT_EQ(0, memcmp(&first, &all.info[1], sizeof(info)));
}

/* mapping-get */

static int by_start(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->tgid != y->tgid)
		return x->tgid < y->tgid ? -1 : 1;
	return x->start < y->start ? -1 : x->start > y->start;
}

/* The rows, a process after the other, each in the order of its addresses; or -errno. */
static int sorted_rows(struct genl *genl, struct rows *rows)
{
	int err = get_mappings(genl, DEV, rows);
	struct info info;

	if (err)
		return err;
	err = get(genl, DEV, &info);
	if (err)
		return err;
	if (info.live != rows->nr || rows->nr > 40)
		return -EPROTO;
	qsort(rows->row, rows->nr, sizeof(rows->row[0]), by_start);
	return rows->nr;
}

static bool spans(const struct row *row, const char *start, size_t size, size_t pgoff)
{
	return row->start == (uintptr_t)start && row->end == (uintptr_t)start + size &&
	       row->pgoff == pgoff;
}

/* The five counters of a mapping, those that are not 0. */
static const char *counters(const struct row *row)
{
	return said("read=%llu write=%llu cow=%llu mkwrite=%llu around=%llu",
		    (unsigned long long)row->faults[MMAPDEMO_A_FAULTS_READ],
		    (unsigned long long)row->faults[MMAPDEMO_A_FAULTS_WRITE],
		    (unsigned long long)row->faults[MMAPDEMO_A_FAULTS_COW],
		    (unsigned long long)row->faults[MMAPDEMO_A_FAULTS_MKWRITE],
		    (unsigned long long)row->faults[MMAPDEMO_A_FAULTS_AROUND]);
}

static uint64_t writes_of(const struct rows *rows)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < rows->nr; i++)
		sum += rows->row[i].faults[MMAPDEMO_A_FAULTS_WRITE];
	return sum;
}

TEST_F(control, a_mapping)
{
	size_t n = self->dev.pages, traps = n / unit(&self->dev);
	struct rows rows;
	struct row *row = rows.row;
	char *p, *q, comm[32];

	ASSERT_EQ(0, sorted_rows(&self->genl, &rows));
	p = mapping(&self->dev, MAP_SHARED);
	ASSERT_EQ(1, sorted_rows(&self->genl, &rows));
	EXPECT_TRUE(spans(row, p, self->dev.size, 0));
	EXPECT_EQ(getpid(), row->tgid);
	EXPECT_EQ(gettid(), row->pid);
	ASSERT_LT(0, read_file("/proc/self/comm", comm, sizeof(comm)));
	comm[strcspn(comm, "\n")] = '\0';
	EXPECT_STREQ(comm, row->comm);
	EXPECT_STREQ(DEV, row->dev);
	EXPECT_TRUE(row->shared);
	EXPECT_EQ(PROT_READ | PROT_WRITE, row->prot);
	EXPECT_STREQ("", counters(row));
	store(p, n, 0x100);
	q = map(self->dev.fd, 8 * PAGE_SIZE, PROT_READ, MAP_PRIVATE, 5 * PAGE_SIZE);
	ASSERT_EQ(2, sorted_rows(&self->genl, &rows));
	row = rows.row[0].start == (uintptr_t)q ? &rows.row[0] : &rows.row[1];
	EXPECT_TRUE(spans(row, q, 8 * PAGE_SIZE, 5));
	EXPECT_FALSE(row->shared);
	EXPECT_EQ(PROT_READ, row->prot);
	EXPECT_STREQ("", counters(row));
	row = row == rows.row ? &rows.row[1] : &rows.row[0];
	EXPECT_STREQ(said("write=%zu mkwrite=%zu", traps, traps), counters(row));
	ASSERT_EQ(0, RC(mprotect(q, 8 * PAGE_SIZE, PROT_NONE)));
	munmap(p, self->dev.size);
	ASSERT_EQ(1, sorted_rows(&self->genl, &rows));
	EXPECT_EQ(PROT_NONE, rows.row[0].prot);
	munmap(q, 8 * PAGE_SIZE);
	EXPECT_EQ(0, sorted_rows(&self->genl, &rows));
}

/* Each kind of fault is counted where it happened, and the sum is the device's. */
TEST_F(control, counted_by_mapping)
{
	size_t n = self->dev.inner, traps = n / unit(&self->dev), around;
	struct rows rows;
	struct info info;
	struct row *row = rows.row;
	char *p, *q;

	ASSERT_EQ(0, fill(&self->dev));
	p = mapping(&self->dev, MAP_SHARED);
	q = mapping(&self->dev, MAP_PRIVATE);
	store(p, n, 0x100);
	load(q, n);
	store(q, 9, 0x200);
	around = n / window(&self->dev);
	ASSERT_EQ(2, sorted_rows(&self->genl, &rows));
	row = rows.row[0].shared ? &rows.row[0] : &rows.row[1];
	EXPECT_STREQ(said("write=%zu mkwrite=%zu", traps, traps), counters(row));
	row = rows.row[0].shared ? &rows.row[1] : &rows.row[0];
	/* A page that is mapped to be read the core copies alone; a PMD is taken down first. */
	EXPECT_STREQ(self->dev.backing == RAM_HUGE ? said("cow=9 around=%zu", around) :
		     said("around=%zu", around), counters(row));
	ASSERT_EQ(0, get(&self->genl, DEV, &info));
	for (int i = MMAPDEMO_A_FAULTS_READ; i <= MMAPDEMO_A_FAULTS_AROUND; i++)
		EXPECT_LE(rows.row[0].faults[i] + rows.row[1].faults[i], info.faults[i]);
}

TEST_F(control, split_and_moved)
{
	size_t size = self->dev.size, n = self->dev.pages, traps = n / unit(&self->dev);
	struct rows rows;
	struct row *row = rows.row;
	char *p = mapping(&self->dev, MAP_SHARED), *to;

	store(p, n, 0x100);
	ASSERT_EQ(0, RC(mprotect(p + 8 * PAGE_SIZE, 4 * PAGE_SIZE, PROT_READ)));
	ASSERT_EQ(3, sorted_rows(&self->genl, &rows));
	EXPECT_TRUE(spans(&row[0], p, 8 * PAGE_SIZE, 0));
	EXPECT_TRUE(spans(&row[1], p + 8 * PAGE_SIZE, 4 * PAGE_SIZE, 8));
	EXPECT_TRUE(spans(&row[2], p + 12 * PAGE_SIZE, size - 12 * PAGE_SIZE, 12));
	EXPECT_EQ(PROT_READ, row[1].prot);
	EXPECT_EQ(PROT_READ | PROT_WRITE, row[2].prot);
	/* One of them is the old one, and has its figures. */
	EXPECT_EQ(traps, writes_of(&rows));
	EXPECT_EQ(1, !!row[0].faults[3] + !!row[1].faults[3] + !!row[2].faults[3]);
	munmap(p + 8 * PAGE_SIZE, 4 * PAGE_SIZE);
	ASSERT_EQ(2, sorted_rows(&self->genl, &rows));
	EXPECT_TRUE(spans(&row[0], p, 8 * PAGE_SIZE, 0));
	EXPECT_TRUE(spans(&row[1], p + 12 * PAGE_SIZE, size - 12 * PAGE_SIZE, 12));
	munmap(p + 12 * PAGE_SIZE, size - 12 * PAGE_SIZE);
	to = map(-1, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, 0);
	ASSERT_EQ(to, mremap(p, 8 * PAGE_SIZE, 8 * PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, to));
	ASSERT_EQ(1, sorted_rows(&self->genl, &rows));
	EXPECT_TRUE(spans(&row[0], to, 8 * PAGE_SIZE, 0));
	EXPECT_EQ(getpid(), row[0].tgid);
	EXPECT_STREQ("", counters(row));
	EXPECT_TRUE(holds(to, 8, 0x100));
}

struct child {
	char *p;
	int ready[2], go[2];
};

/* Stores to @n pages once it is told to, and stays until it is told to go. */
static pid_t start_child(struct child *child, size_t n)
{
	char byte = 0;
	pid_t pid;

	if (pipe(child->ready) || pipe(child->go))
		return -1;
	pid = fork();
	if (!pid) {
		store(child->p, n, 0x300);
		if (write(child->ready[1], &byte, 1) != 1 || read(child->go[0], &byte, 1) != 1)
			_exit(1);
		_exit(0);
	}
	return read(child->ready[0], &byte, 1) == 1 ? pid : -1;
}

TEST_F(control, forked)
{
	size_t n = self->dev.pages, traps = n / unit(&self->dev);
	struct child child = { .p = mapping(&self->dev, MAP_SHARED) };
	struct rows rows;
	struct row *row = rows.row;
	pid_t pid;

	store(child.p, n, 0x100);
	pid = start_child(&child, n);
	ASSERT_LT(0, pid);
	ASSERT_EQ(2, sorted_rows(&self->genl, &rows));
	/* The child is the younger one; what it stored to, it had to fault in. */
	EXPECT_EQ(getpid(), row[0].tgid);
	EXPECT_EQ(pid, row[1].tgid);
	EXPECT_EQ(pid, row[1].pid);
	EXPECT_TRUE(spans(&row[0], child.p, self->dev.size, 0));
	EXPECT_TRUE(spans(&row[1], child.p, self->dev.size, 0));
	EXPECT_STREQ(said("write=%zu mkwrite=%zu", traps, traps), counters(&row[0]));
	EXPECT_STREQ(said("write=%zu mkwrite=%zu", traps, traps), counters(&row[1]));
	ASSERT_EQ(1, write(child.go[1], "", 1));
	EXPECT_EQ(0, reap(pid));
	ASSERT_EQ(1, sorted_rows(&self->genl, &rows));
	EXPECT_EQ(getpid(), row[0].tgid);
}

struct thread {
	struct device *dev;
	pid_t tid;
	char *p;
	bool leave;
};

static void *map_in_thread(void *arg)
{
	struct thread *thread = arg;

	pthread_setname_np(pthread_self(), "mapper");
	thread->tid = gettid();
	__atomic_store_n(&thread->p, mapping(thread->dev, MAP_SHARED), __ATOMIC_RELEASE);
	while (!__atomic_load_n(&thread->leave, __ATOMIC_ACQUIRE))
		usleep(1000);
	return NULL;
}

/* The thread that mapped it, and the process by the name of its main thread. */
TEST_F(control, of_a_thread)
{
	struct thread thread = { .dev = &self->dev };
	struct rows rows;
	pthread_t id;

	ASSERT_EQ(0, pthread_setname_np(pthread_self(), "main"));
	ASSERT_EQ(0, pthread_create(&id, NULL, map_in_thread, &thread));
	while (!__atomic_load_n(&thread.p, __ATOMIC_ACQUIRE))
		usleep(500);
	ASSERT_EQ(1, sorted_rows(&self->genl, &rows));
	EXPECT_EQ(thread.tid, rows.row[0].pid);
	EXPECT_NE(thread.tid, getpid());
	EXPECT_EQ(getpid(), rows.row[0].tgid);
	EXPECT_STREQ("main", rows.row[0].comm);
	__atomic_store_n(&thread.leave, true, __ATOMIC_RELEASE);
	pthread_join(id, NULL);
	ASSERT_EQ(1, sorted_rows(&self->genl, &rows));
	EXPECT_EQ(getpid(), rows.row[0].tgid);
}

/* From inside a PID namespace: those outside of it, whose mapping it got by fork, are nobody. */
static int ask_inside(void *arg)
{
	struct row *row;
	struct rows rows;

	if (sorted_rows(arg, &rows) != 3)
		return 1;
	row = rows.row;
	if (row[0].tgid || row[0].pid || row[1].tgid || row[1].pid)
		return 2;
	return row[2].tgid != 1 || row[2].pid != 1;
}

static int in_pid_namespace(void *arg)
{
	return unshare(CLONE_NEWPID) ? 100 : in_child(ask_inside, arg);
}

TEST_F(control, seen_from_a_pid_namespace)
{
	ASSERT_NE(MAP_FAILED, mapping(&self->dev, MAP_SHARED));
	EXPECT_EQ(0, in_child(in_pid_namespace, &self->genl));
}

/* page-get */

static const char *pages(struct genl *genl)
{
	struct runs runs;
	int err = get_pages(genl, DEV, &runs);

	return err ? strerror(-err) : pages_text(&runs);
}

static const char *text(const char *format, ...)
{
	static char buf[256];
	va_list args;

	va_start(args, format);
	vsnprintf(buf, sizeof(buf), format, args);
	va_end(args);
	return buf;
}

CONTROL_FIXTURE(ram);
RAM_VARIANTS(ram);

TEST_F(ram, page_get)
{
	size_t n = self->dev.pages;
	char *p = mapping(&self->dev, MAP_SHARED);
	bool huge = self->dev.backing == RAM_HUGE;

	EXPECT_STREQ(text("0+%zu:0", n), pages(&self->genl));
	load(p + 5 * PAGE_SIZE, 1);
	EXPECT_STREQ(huge ? text("0+512:5 512+1024:0") : text("0+5:0 5+1:1 6+%zu:0", n - 6),
		     pages(&self->genl));
	store(p + 6 * PAGE_SIZE, 2, 0x100);
	EXPECT_STREQ(huge ? text("0+512:7 512+1024:0") :
		     text("0+5:0 5+1:1 6+2:3 8+%zu:0", n - 8), pages(&self->genl));
	ASSERT_EQ(0, fsync(self->dev.fd));
	EXPECT_STREQ(huge ? text("0+512:5 512+1024:0") : text("0+5:0 5+3:1 8+%zu:0", n - 8),
		     pages(&self->genl));
	ASSERT_TRUE(writes(self->dev.fd, (n - 1) * PAGE_SIZE, 1, 0x200));
	EXPECT_STREQ(huge ? text("0+512:5 512+1023:0 1535+1:3") :
		     text("0+5:0 5+3:1 8+%zu:0 %zu+1:3", n - 9, n - 1), pages(&self->genl));
}

/* Every other page: more runs than one message, or one page of messages, has room for. */
TEST_F(ram, page_get_many_runs)
{
	size_t n = self->dev.pages;
	struct runs runs;

	for (size_t i = 0; i < n; i += 2)
		ASSERT_TRUE(writes(self->dev.fd, i * PAGE_SIZE, 1, TAG));
	ASSERT_EQ(0, get_pages(&self->genl, DEV, &runs));
	ASSERT_EQ(n, runs.nr);
	for (size_t i = 0; i < n && i < MAX_RUNS; i++) {
		ASSERT_EQ(i, runs.run[i].page);
		ASSERT_EQ(1, runs.run[i].pages);
		ASSERT_EQ(i % 2 ? 0 : 3, runs.run[i].state);
	}
}

static int ask_range(struct genl *genl, int command, int flags, uint64_t page, uint64_t count,
		     genl_fn *fn, void *arg)
{
	struct genl_request request;

	genl_begin(genl, &request, command, flags);
	genl_string(&request, MMAPDEMO_A_DEV, DEV);
	if (page)
		genl_u64(&request, MMAPDEMO_A_PAGE, page);
	if (count)
		genl_u64(&request, MMAPDEMO_A_PAGES, count);
	return genl_ask(genl, &request, fn, arg, NULL);
}

static void add_run(const struct nlmsghdr *message, void *arg)
{
	struct runs *runs = arg;

	runs->run[runs->nr++] = (struct run){
		genl_value(genl_find(message, MMAPDEMO_A_PAGE), 8),
		genl_value(genl_find(message, MMAPDEMO_A_PAGES), 8),
		genl_value(genl_find(message, MMAPDEMO_A_STATE), 4),
	};
}

/* A part of the device; with the first page alone it goes to the end. */
TEST_F(ram, page_get_of_a_range)
{
	size_t n = self->dev.pages;
	struct runs runs = { .nr = 0 };

	ASSERT_TRUE(writes(self->dev.fd, 2 * PAGE_SIZE, 4, TAG));
	ASSERT_EQ(0, ask_range(&self->genl, MMAPDEMO_CMD_PAGE_GET, NLM_F_DUMP, 4, 6, add_run,
			       &runs));
	EXPECT_STREQ("4+2:3 6+4:0", pages_text(&runs));
	runs.nr = 0;
	ASSERT_EQ(0, ask_range(&self->genl, MMAPDEMO_CMD_PAGE_GET, NLM_F_DUMP, 4, 0, add_run,
			       &runs));
	EXPECT_STREQ(text("4+2:3 6+%zu:0", n - 6), pages_text(&runs));
	runs.nr = 0;
	ASSERT_EQ(0, ask_range(&self->genl, MMAPDEMO_CMD_PAGE_GET, NLM_F_DUMP, 0, 3, add_run,
			       &runs));
	EXPECT_STREQ("0+2:0 2+1:3", pages_text(&runs));
	runs.nr = 0;
	ASSERT_EQ(0, ask_range(&self->genl, MMAPDEMO_CMD_PAGE_GET, NLM_F_DUMP, n - 1, 1, add_run,
			       &runs));
	EXPECT_STREQ(text("%zu+1:0", n - 1), pages_text(&runs));
}

CONTROL_FIXTURE(file);
FILE_VARIANTS(file);

/* The page cache of the file: clean pages can be dropped, holes are none; tmpfs is always dirty. */
TEST_F(file, page_get)
{
	size_t n = self->dev.pages;
	bool disk = self->dev.backing == EXT4;

	EXPECT_STREQ(text("0+%zu:%d", n, disk ? 1 : 3), pages(&self->genl));
	ASSERT_TRUE(writes(self->dev.file, 2 * PAGE_SIZE, 3, TAG));
	EXPECT_STREQ(disk ? text("0+2:1 2+3:3 5+%zu:1", n - 5) : text("0+%zu:3", n),
		     pages(&self->genl));
	ASSERT_EQ(0, fsync(self->dev.file));
	if (disk) {
		ASSERT_EQ(0, posix_fadvise(self->dev.file, 8 * PAGE_SIZE, 16 * PAGE_SIZE,
					   POSIX_FADV_DONTNEED));
		EXPECT_STREQ(text("0+8:1 8+16:0 24+%zu:1", n - 24), pages(&self->genl));
	}
	ASSERT_EQ(0, ftruncate(self->dev.file, self->dev.size + 4 * PAGE_SIZE));
	ASSERT_EQ(0, RC(fallocate(self->dev.file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				  8 * PAGE_SIZE, 16 * PAGE_SIZE)));
	EXPECT_STREQ(text("0+8:%d 8+16:0 24+%zu:%d %zu+4:0", disk ? 1 : 3, n - 24, disk ? 1 : 3, n),
		     pages(&self->genl));
}

/* zap and wrprotect */

TEST_F(control, zap)
{
	size_t n = self->dev.pages, all = n / unit(&self->dev);
	bool huge = self->dev.backing == RAM_HUGE;
	char *p = mapping(&self->dev, MAP_SHARED);
	char *q = mapping(&self->dev, MAP_SHARED);

	store(p, n, 0x100);
	store(q, n, 0x200);
	mark();
	ASSERT_EQ(0, zap(&self->genl, DEV, 8, 4));
	EXPECT_TRUE(holds(p + 12 * PAGE_SIZE, huge ? 0 : n - 12, 0x20c));
	EXPECT_STREQ("", moved());
	store(p + 8 * PAGE_SIZE, 4, 0x308);
	EXPECT_STREQ(huge ? "write=1 mkwrite=1 huge=1" : "write=4 mkwrite=4", moved());
	store(q + 8 * PAGE_SIZE, 4, 0x408);
	EXPECT_STREQ(huge ? "write=1 mkwrite=1 huge=1" : "write=4 mkwrite=4", moved());
	ASSERT_EQ(0, zap(&self->genl, DEV, 0, n));
	store(p, n, 0x500);
	EXPECT_STREQ(said("write=%zu mkwrite=%zu huge=%zu", all, all, huge ? all : 0), moved());
	EXPECT_TRUE(reads(self->dev.fd, 0, n, 0x500));
	/* Without a range, all of it; what is read is mapped around. */
	ASSERT_EQ(0, ask_range(&self->genl, MMAPDEMO_CMD_ZAP, 0, 0, 0, NULL, NULL));
	mark();
	EXPECT_TRUE(holds(q, self->dev.inner, 0x500));
	all = self->dev.inner / window(&self->dev);
	EXPECT_STREQ(said("around=%zu huge=%zu", all, huge ? all : 0), moved());
}

/* The copies that stores to a private mapping made stay, the pages that it shares go. */
TEST_F(control, zap_leaves_private_copies)
{
	char *p;

	ASSERT_EQ(0, fill(&self->dev));
	p = mapping(&self->dev, MAP_PRIVATE);
	store(p + 4 * PAGE_SIZE, 4, 0x900);
	mark();
	ASSERT_EQ(0, zap(&self->genl, DEV, 0, self->dev.pages));
	EXPECT_TRUE(holds(p + 4 * PAGE_SIZE, 4, 0x900));
	EXPECT_STREQ("", moved());
	EXPECT_TRUE(holds(p, 4, TAG));
	EXPECT_STRNE("", moved());
	EXPECT_TRUE(holds(p + 4 * PAGE_SIZE, 4, 0x900));
	EXPECT_TRUE(reads(self->dev.fd, 0, self->dev.pages, TAG));
}

TEST_F(control, wrprotect)
{
	size_t n = self->dev.pages, all = n / unit(&self->dev);
	bool huge = self->dev.backing == RAM_HUGE;
	char *p = mapping(&self->dev, MAP_SHARED);
	const char *before;
	char keep[512];

	store(p, n, 0x100);
	before = pages(&self->genl);
	snprintf(keep, sizeof(keep), "%s", before);
	mark();
	ASSERT_EQ(0, wrprotect(&self->genl, DEV, 8, 4));
	EXPECT_TRUE(holds(p, n, 0x100));
	EXPECT_STREQ("", moved());
	store(p, 8, 0x200);
	store(p + 12 * PAGE_SIZE, 8, 0x20c);
	EXPECT_STREQ(huge ? "write=1 mkwrite=1 huge=1" : "", moved());
	store(p + 8 * PAGE_SIZE, 4, 0x208);
	EXPECT_STREQ(huge ? "" : "mkwrite=4", moved());
	/* What was dirty is. */
	EXPECT_STREQ(keep, pages(&self->genl));
	ASSERT_EQ(0, ask_range(&self->genl, MMAPDEMO_CMD_WRPROTECT, 0, 0, 0, NULL, NULL));
	store(p, n, 0x300);
	EXPECT_STREQ(huge ? said("write=%zu mkwrite=%zu huge=%zu", all, all, all) :
		     said("mkwrite=%zu", n), moved());
	store(p, n, 0x400);
	EXPECT_STREQ("", moved());
	EXPECT_TRUE(reads(self->dev.fd, 0, n, 0x400));
}

/* Nothing is taken from a private mapping: its stores are no business of the device. */
TEST_F(control, wrprotect_leaves_private_copies)
{
	char *p;

	ASSERT_EQ(0, fill(&self->dev));
	p = mapping(&self->dev, MAP_PRIVATE);
	store(p, 8, 0x900);
	mark();
	ASSERT_EQ(0, wrprotect(&self->genl, DEV, 0, self->dev.pages));
	store(p, 8, 0xa00);
	EXPECT_STREQ("", moved());
	EXPECT_TRUE(holds(p, 8, 0xa00));
	EXPECT_TRUE(reads(self->dev.fd, 0, self->dev.pages, TAG));
}

/* dirty-harvest */

static const char *harvested(struct genl *genl)
{
	struct runs runs;
	int err = harvest(genl, DEV, &runs);

	return err ? strerror(-err) : harvest_text(&runs);
}

TEST_F(ram, harvest)
{
	bool huge = self->dev.backing == RAM_HUGE;
	char *p = mapping(&self->dev, MAP_SHARED);

	EXPECT_STREQ("", harvested(&self->genl));
	load(p, self->dev.pages);
	EXPECT_STREQ("", harvested(&self->genl));
	store(p + 3 * PAGE_SIZE, 2, 0x100);
	store(p + 9 * PAGE_SIZE, 1, 0x100);
	EXPECT_STREQ(huge ? "0+512" : "3+2 9+1", harvested(&self->genl));
	EXPECT_STREQ("", harvested(&self->genl));
	/* Armed again, those alone. */
	mark();
	store(p + 3 * PAGE_SIZE, 1, 0x200);
	EXPECT_STREQ(huge ? "write=1 mkwrite=1 huge=1" : "mkwrite=1", moved());
	EXPECT_STREQ(huge ? "0+512" : "3+1", harvested(&self->genl));
	EXPECT_TRUE(writes(self->dev.fd, 7 * PAGE_SIZE, 2, 0x300));
	EXPECT_STREQ(huge ? "0+512" : "7+2", harvested(&self->genl));
	EXPECT_STREQ("", harvested(&self->genl));
	EXPECT_TRUE(holds(p + 7 * PAGE_SIZE, 2, 0x300));
}

/* What fsync() has cleaned has not been told yet; what was told is clean. */
TEST_F(ram, harvest_and_fsync)
{
	bool huge = self->dev.backing == RAM_HUGE;
	char *p = mapping(&self->dev, MAP_SHARED);
	struct info info;

	store(p, 2, 0x100);
	ASSERT_EQ(0, fsync(self->dev.fd));
	store(p + 2 * PAGE_SIZE, 2, 0x100);
	ASSERT_EQ(0, msync(p, self->dev.size, MS_SYNC));
	ASSERT_EQ(0, get(&self->genl, DEV, &info));
	EXPECT_EQ(0, info.dirty);
	EXPECT_STREQ(huge ? "0+512" : "0+4", harvested(&self->genl));
	EXPECT_STREQ("", harvested(&self->genl));
	ASSERT_EQ(0, fsync(self->dev.fd));
	EXPECT_STREQ("", harvested(&self->genl));
	store(p, 1, 0x200);
	ASSERT_EQ(0, get(&self->genl, DEV, &info));
	EXPECT_EQ(huge ? 512 : 1, info.dirty);
	EXPECT_STREQ(huge ? "0+512" : "0+1", harvested(&self->genl));
	ASSERT_EQ(0, get(&self->genl, DEV, &info));
	EXPECT_EQ(0, info.dirty);
	/* Nothing is lost of what was cleaned: 1.5 MiB of other memory cannot push it out. */
	EXPECT_EQ(0, run("echo 3 >/proc/sys/vm/drop_caches"));
	EXPECT_TRUE(reads(self->dev.fd, 0, 1, 0x200));
	EXPECT_TRUE(reads(self->dev.fd, PAGE_SIZE, 1, 0x101));
}

TEST_F(ram, harvest_of_a_range)
{
	struct runs runs = { .nr = 0 };

	/* One by one: these are folios of one page, whatever the device prefers. */
	ASSERT_TRUE(writes(self->dev.fd, 2 * PAGE_SIZE, 6, TAG));
	ASSERT_EQ(0, ask_range(&self->genl, MMAPDEMO_CMD_DIRTY_HARVEST, NLM_F_DUMP, 4, 2, add_run,
			       &runs));
	EXPECT_STREQ("4+2", harvest_text(&runs));
	EXPECT_STREQ("2+2 6+2", harvested(&self->genl));
}

/* Every other page, more than one message of the kernel's holds: each is told once. */
TEST_F(ram, harvest_many_runs)
{
	size_t n = self->dev.pages;
	struct runs runs;

	for (size_t i = 0; i < n; i += 2)
		ASSERT_TRUE(writes(self->dev.fd, i * PAGE_SIZE, 1, TAG));
	ASSERT_EQ(0, harvest(&self->genl, DEV, &runs));
	ASSERT_EQ(n / 2, runs.nr);
	for (size_t i = 0; i < runs.nr && i < MAX_RUNS; i++) {
		ASSERT_EQ(2 * i, runs.run[i].page);
		ASSERT_EQ(1, runs.run[i].pages);
	}
	EXPECT_STREQ("", harvested(&self->genl));
}

/* resize and punch */

TEST_F(ram, grow)
{
	size_t size = self->dev.size, n = self->dev.pages;
	char *p = map(self->dev.fd, 2 * size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	struct info info;

	store(p, n, TAG);
	EXPECT_EQ(SIGBUS, trap_load(p + size));
	EXPECT_EQ(-ENOSPC, RC(pwrite(self->dev.fd, "x", 1, size)));
	ASSERT_EQ(0, resize(&self->genl, DEV, size + 4 * PAGE_SIZE));
	ASSERT_EQ(0, get(&self->genl, DEV, &info));
	EXPECT_EQ(size + 4 * PAGE_SIZE, info.size);
	EXPECT_EQ(size + 4 * PAGE_SIZE, lseek(self->dev.fd, 0, SEEK_END));
	EXPECT_EQ(0, trap_load(p + size));
	EXPECT_EQ(0, trap_store(p + size + 4 * PAGE_SIZE - 1));
	EXPECT_EQ(SIGBUS, trap_load(p + size + 4 * PAGE_SIZE));
	EXPECT_TRUE(holds(p, n, TAG));
	EXPECT_EQ(1, RC(pwrite(self->dev.fd, "x", 1, size)));
}

/* Are all bytes from one offset to another what is expected, by read() and by the mapping? */
static bool all_are(int fd, const char *p, size_t from, size_t to, char want)
{
	char expected[PAGE_SIZE], got[PAGE_SIZE];
	size_t n;

	memset(expected, want, sizeof(expected));
	for (size_t i = from; i < to; i += n) {
		n = to - i < PAGE_SIZE ? to - i : PAGE_SIZE;
		if (memcmp(p + i, expected, n) || pread(fd, got, n, i) != (ssize_t)n ||
		    memcmp(got, expected, n))
			return false;
	}
	return true;
}

TEST_F(ram, shrink)
{
	size_t size = self->dev.size, cut = 5 * PAGE_SIZE + 100;
	char *p = mapping(&self->dev, MAP_SHARED), byte;
	int pipes[2];

	memset(p, 'x', size);
	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(0, resize(&self->genl, DEV, cut));
	EXPECT_EQ(cut, lseek(self->dev.fd, 0, SEEK_END));
	EXPECT_TRUE(all_are(self->dev.fd, p, 0, cut, 'x'));
	/* The rest of the last page is there, and zero. */
	EXPECT_EQ(0, trap_load(p + cut));
	for (size_t i = cut; i < 6 * PAGE_SIZE; i++)
		ASSERT_EQ(0, p[i]);
	EXPECT_EQ(0, pread(self->dev.fd, &byte, 1, cut));
	EXPECT_EQ(-ENOSPC, RC(pwrite(self->dev.fd, "x", 1, cut)));
	EXPECT_EQ(SIGBUS, trap_load(p + 6 * PAGE_SIZE));
	EXPECT_EQ(SIGBUS, trap_store(p + 6 * PAGE_SIZE));
	EXPECT_EQ(SIGBUS, trap_load(p + size - 1));
	/* The kernel on behalf of a user. */
	EXPECT_EQ(-EFAULT, RC(write(pipes[1], p + 6 * PAGE_SIZE, 1)));
	EXPECT_EQ(1, RC(write(pipes[1], p + cut - 1, 1)));
	EXPECT_EQ(-EFAULT, RC(read(pipes[0], p + 6 * PAGE_SIZE, 1)));
	EXPECT_STREQ("0+6:3", pages(&self->genl));
	/* What is stored behind the end does not come back. */
	p[cut + 5] = 'y';
	ASSERT_EQ(0, resize(&self->genl, DEV, size));
	EXPECT_TRUE(all_are(self->dev.fd, p, 0, cut, 'x'));
	EXPECT_TRUE(all_are(self->dev.fd, p, cut, 8 * PAGE_SIZE, 0));
	EXPECT_TRUE(all_are(self->dev.fd, p, size - PAGE_SIZE, size, 0));
}

/* To a single byte, and to what it was. */
TEST_F_TIMEOUT(ram, shrink_to_a_byte, 240)
{
	char *p = mapping(&self->dev, MAP_SHARED);

	memset(p, 'x', self->dev.size);
	ASSERT_EQ(0, resize(&self->genl, DEV, 1));
	EXPECT_EQ('x', p[0]);
	EXPECT_EQ(0, p[1]);
	EXPECT_EQ(0, p[PAGE_SIZE - 1]);
	EXPECT_EQ(SIGBUS, trap_load(p + PAGE_SIZE));
	EXPECT_EQ(1, lseek(self->dev.fd, 0, SEEK_END));
	ASSERT_EQ(0, resize(&self->genl, DEV, self->dev.size));
	EXPECT_EQ('x', p[0]);
	EXPECT_TRUE(all_are(self->dev.fd, p, 1, self->dev.size, 0));
}

/* Private copies behind the end go too, as those of a file do. */
TEST_F(ram, shrink_takes_private_copies)
{
	char *p = mapping(&self->dev, MAP_PRIVATE);

	store(p, 8, 0x900);
	ASSERT_EQ(0, resize(&self->genl, DEV, 4 * PAGE_SIZE));
	EXPECT_TRUE(holds(p, 4, 0x900));
	EXPECT_EQ(SIGBUS, trap_load(p + 4 * PAGE_SIZE));
}

static const size_t holes[][2] = {
	{ 100, 200 }, { PAGE_SIZE, PAGE_SIZE }, { 3 * PAGE_SIZE + 1, 4 * PAGE_SIZE },
	{ 10 * PAGE_SIZE - 1, 2 }, { 20 * PAGE_SIZE, 64 * PAGE_SIZE }, { 0, 1 },
};

TEST_F_TIMEOUT(ram, punch, 240)
{
	size_t size = self->dev.size;
	char *p = mapping(&self->dev, MAP_SHARED), *model = malloc(size), *got = malloc(size);

	for (size_t i = 0; i < size; i++)
		model[i] = i % 251 + 1;
	memcpy(p, model, size);
	for (size_t i = 0; i < sizeof(holes) / sizeof(holes[0]); i++) {
		ASSERT_EQ(0, punch(&self->genl, DEV, holes[i][0], holes[i][1]));
		memset(model + holes[i][0], 0, holes[i][1]);
		ASSERT_EQ(size, pread(self->dev.fd, got, size, 0));
		ASSERT_EQ(0, memcmp(got, model, size));
	}
	ASSERT_EQ(0, memcmp(p, model, size));
	/* What is there no more is made anew, and what is stored into it is kept. */
	p[20 * PAGE_SIZE + 5] = 'z';
	model[20 * PAGE_SIZE + 5] = 'z';
	ASSERT_EQ(size, pread(self->dev.fd, got, size, 0));
	EXPECT_EQ(0, memcmp(got, model, size));
	ASSERT_EQ(0, punch(&self->genl, DEV, 0, size));
	EXPECT_STREQ(text("0+%zu:0", self->dev.pages), pages(&self->genl));
	EXPECT_TRUE(all_are(self->dev.fd, p, 0, size, 0));
}

/* Whole pages are given back, parts of pages are not. */
TEST_F(ram, punch_gives_back)
{
	size_t n = self->dev.pages;

	ASSERT_TRUE(writes(self->dev.fd, 0, n, TAG));
	ASSERT_EQ(0, punch(&self->genl, DEV, 2 * PAGE_SIZE - 1, 2 * PAGE_SIZE + 2));
	EXPECT_STREQ(text("0+2:3 2+2:0 4+%zu:3", n - 4), pages(&self->genl));
	EXPECT_EQ(2 * PAGE_SIZE, lseek(self->dev.fd, 0, SEEK_HOLE));
	EXPECT_EQ(4 * PAGE_SIZE, lseek(self->dev.fd, 2 * PAGE_SIZE, SEEK_DATA));
	EXPECT_TRUE(reads(self->dev.fd, 5 * PAGE_SIZE, n - 5, TAG + 5));
}

TEST_HARNESS_MAIN
