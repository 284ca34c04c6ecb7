// SPDX-License-Identifier: GPL-2.0
/*
 * Far too little memory: a file on ext4 behind the device, every page of it stored to by two
 * writers and loaded by a reader, all in a memory cgroup of 64 MiB, without swap.
 *
 *	selftests/vm/run -n -m 256 -d 2048 -- low_memory
 *
 * The file begins as a hole, so blocks are allotted while memory is reclaimed. The writers
 * come from its two ends, the reader starts in the middle: pages are written back and dropped
 * while another one stores to them. Prints TAP.
 */
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common.h"

#define CGROUP	"/sys/fs/cgroup/low_memory/"
#define LIMIT	"64M"
#define PATH	"/mnt/disk/low_memory"
#define WRITERS	2
#define TASKS	(WRITERS + 1)

static size_t size = 1UL << 30;

/* Shared with the tasks: how far they are, and how many traps they took for it. */
static struct task {
	volatile size_t done;
	long traps;
	pid_t pid;
} *tasks;

static unsigned int tests, failed;

static void check(bool good, const char *format, ...)
{
	va_list args;

	failed += !good;
	printf("%sok %u - ", good ? "" : "not ", ++tests);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

static void bail_out(const char *why)
{
	printf("Bail out! %s\n", why);
	exit(1);
}

static long traps(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt + usage.ru_majflt;
}

/* Writer i has word i of every page; until it has been there that is empty. */
static uint64_t value(int writer, size_t page)
{
	return ((uint64_t)(writer + 1) << 32) + page;
}

/* One access to each page, in an order of the task's own: what came of it. */
static int walk(int nr, uint64_t *map, size_t pages)
{
	volatile uint64_t *words;
	int wrong = 0;
	size_t page;

	for (size_t i = 0; i < pages; i++, tasks[nr].done = i) {
		page = nr == 0 ? i : nr == 1 ? pages - 1 - i : (i + pages / 2) % pages;
		words = map + page * (PAGE_SIZE / 8);
		if (nr < WRITERS)
			words[nr] = value(nr, page);
		else
			for (int w = 0; w < WRITERS; w++)
				wrong += words[w] && words[w] != value(w, page);
	}
	return wrong;
}

static int run_task(int nr, int fd)
{
	uint64_t *map;
	long before;
	int wrong;

	/* Code and stack stay, so that every trap is one of the device. */
	if (write_file(CGROUP "cgroup.procs", "0") < 0 || mlockall(MCL_CURRENT))
		return 2;
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return 3;
	before = traps();
	wrong = walk(nr, map, size / PAGE_SIZE);
	tasks[nr].traps = traps() - before;
	return wrong ? 4 : 0;
}

static void start(int fd)
{
	pid_t pid;

	for (int i = 0; i < TASKS; i++) {
		pid = fork();
		if (!pid)
			_exit(run_task(i, fd));
		tasks[i].pid = pid;
	}
}

static unsigned int percent(int nr)
{
	return tasks[nr].done * 100 / (size / PAGE_SIZE);
}

/* Wait for them all, with a line now and then. */
static void wait_for_tasks(void)
{
	static const char *const name[TASKS] = { "writer up", "writer down", "reader" };
	time_t start = time(NULL);
	int left = TASKS, status;
	pid_t pid;

	for (unsigned int ticks = 1; left; ticks++) {
		pid = waitpid(-1, &status, WNOHANG);
		for (int i = 0; i < TASKS; i++)
			if (pid > 0 && tasks[i].pid == pid && left--)
				check(!status, "%s ends, status %#x, %ld s, %ld traps", name[i],
				      status, time(NULL) - start, tasks[i].traps);
		if (pid > 0)
			continue;
		if (!(ticks % 50))
			printf("# %ld s: writers at %u and %u %%, reader at %u %%\n",
			       time(NULL) - start, percent(0), percent(1), percent(2));
		usleep(100000);
	}
}

static bool right(int file)
{
	static uint64_t page[PAGE_SIZE / 8], expected[PAGE_SIZE / 8];

	for (size_t i = 0; i < size / PAGE_SIZE; i++) {
		for (int w = 0; w < WRITERS; w++)
			expected[w] = value(w, i);
		if (read(file, page, PAGE_SIZE) != PAGE_SIZE || memcmp(page, expected, PAGE_SIZE))
			return false;
	}
	return true;
}

/*
 * Pages of ext4 that one trap can make writable: from 6.16 on it has folios of many, and the
 * core maps all of one.
 */
static long pages_at_once(void)
{
	int major = 0, minor = 0;
	struct utsname name;

	uname(&name);
	sscanf(name.release, "%d.%d", &major, &minor);
	return major > 6 || (major == 6 && minor >= 16) ? 512 : 1;
}

static long event(const char *name)
{
	return line_of(CGROUP "memory.events", name);
}

/* Of the whole machine: it may also be somebody outside who is killed. */
static long killed(void)
{
	return line_of("/proc/vmstat", "oom_kill");
}

static long migrated(void)
{
	return line_of("/proc/vmstat", "pgmigrate_success");
}

/*
 * Each trap of a writer ends in one page_mkwrite, or finds there that the page was reclaimed
 * meanwhile, and comes again: not counted. The fault handler ran before it, unless the page
 * was still mapped and only write-protected: written back between a trap and its store. A trap
 * that meets a page while compaction moves it waits for that, and nobody else hears of it.
 *
 * One trap of 535068 has been seen that none of these explains. What is left is one whose entry
 * has changed when the core looks again, with the page tables locked, since the page was
 * reclaimed just then: nothing counts those, so that is what the code says, not a measurement.
 */
static void check_figures(long gone, long moved)
{
	long pages = size / PAGE_SIZE, stores = tasks[0].traps + tasks[1].traps, waited;
	struct figures f;

	if (figures(&f))
		bail_out("the figures cannot be read");
	waited = stores - f.count[MKWRITE] - gone;
	check(waited >= 0 && waited <= moved + stores / 100000 && f.count[WRITE] <= stores &&
	      f.count[WRITE] >= WRITERS * pages / pages_at_once(),
	      "writers: %ld stores, %ld traps, mkwrite=%lld and %ld again, write=%lld, %ld waits for %ld moves",
	      WRITERS * pages, stores, f.count[MKWRITE], gone, f.count[WRITE], waited, moved);
	waited = tasks[2].traps - f.count[READ] - f.count[AROUND];
	check(waited >= 0 && waited <= moved, "reader: %ld traps, read=%lld + around=%lld, %ld waits",
	      tasks[2].traps, f.count[READ], f.count[AROUND], waited);
	check(adds_up(&f) && !f.count[SIGBUSES] && !f.count[OOM] && !f.count[COW],
	      "histograms add up, sigbus=%lld, oom=%lld, cow=%lld, retry=%lld, major=%lld",
	      f.count[SIGBUSES], f.count[OOM], f.count[COW], f.count[RETRY], f.count[MAJOR]);
}

#define MAX_CPUS 16

/* A counter, on each CPU, of the page_mkwrites that say VM_FAULT_NOPAGE. */
static void count_gone(int *counter)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_TRACEPOINT, .size = sizeof(attr) };
	char id[32];

	if (read_file("/sys/kernel/tracing/events/mmapdemo/mmapdemo_mkwrite/id", id,
		      sizeof(id)) < 0)
		bail_out("there are no tracepoints");
	attr.config = strtoul(id, NULL, 0);
	for (int i = 0; i < get_nprocs() && i < MAX_CPUS; i++) {
		counter[i] = syscall(SYS_perf_event_open, &attr, -1, i, -1, PERF_FLAG_FD_CLOEXEC);
		if (counter[i] < 0 ||
		    ioctl(counter[i], PERF_EVENT_IOC_SET_FILTER, "result == 256"))
			bail_out("the tracepoint cannot be counted");
	}
}

static long sum_gone(const int *counter)
{
	uint64_t n, sum = 0;

	for (int i = 0; i < get_nprocs() && i < MAX_CPUS; i++) {
		if (read(counter[i], &n, sizeof(n)) != sizeof(n))
			bail_out("the counter cannot be read");
		close(counter[i]);
		sum += n;
	}
	return sum;
}

static void set_up(int *file, int *fd)
{
	if (run("test \"$(stat -f -c %%T /mnt/disk)\" = ext2/ext3"))
		bail_out("no ext4 at /mnt/disk: selftests/vm/run -n -m 256 -d 2048 -- low_memory");
	*file = open(PATH, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (*file < 0 || ftruncate(*file, size))
		bail_out("the file cannot be made");
	run("swapoff -a");
	/* One by one: a kernel that lacks the second gives neither for both. */
	run("for c in memory io; do echo +$c >/sys/fs/cgroup/cgroup.subtree_control; done; "
	    "mkdir -p " CGROUP);
	if (write_file(CGROUP "memory.max", LIMIT) < 0)
		bail_out("there is no memory cgroup at /sys/fs/cgroup");
	if (module_load("backing=file path=" PATH))
		bail_out("the module does not load");
	*fd = open(NODE, O_RDWR | O_CLOEXEC);
	tasks = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (*fd < 0 || tasks == MAP_FAILED)
		bail_out("no device");
}

int main(int argc, char **argv)
{
	int file, fd, gone[MAX_CPUS];
	long moved, dead;

	if (argc == 3 && !strcmp(argv[1], "-s"))
		size = strtoul(argv[2], NULL, 0) << 20;
	if (!size || argc == 2 || argc > 3)
		bail_out("usage: low_memory [-s MIB]");
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 13\n");
	set_up(&file, &fd);
	count_gone(gone);
	moved = migrated();
	dead = killed();
	if (dead < 0)
		bail_out("who is killed is not counted");
	start(fd);
	wait_for_tasks();
	dead = killed() - dead;
	check(event("max") > 0 && !event("oom_kill") && !dead,
	      "the limit was hit %ld times, oom=%ld, oom_kill=%ld, %ld killed in the machine",
	      event("max"), event("oom"), event("oom_kill"), dead);
	check_figures(sum_gone(gone), migrated() - moved);
	check(!fsync(fd), "fsync");
	close(fd);
	write_file("/proc/sys/vm/drop_caches", "3");
	check(right(file), "the file is as it was written, %zu MiB", size >> 20);
	check(!module_unload(), "the module unloads");
	close(file);
	unlink(PATH);
	printf("1..%u\n", tests);
	return failed > 0;
}
