// SPDX-License-Identifier: GPL-2.0
/*
 * What watching costs: guest instructions per page, side by side with the memory that a
 * program would map instead, in one run.
 *
 * Run by selftests/vm/run -n -i, where one nanosecond of the guest's clock is one
 * instruction and the second of two runs differs by less than 0.1 %. Prints TAP; the
 * figures are in the description of each line.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define PAGE	4096UL
#define HUGE	(2UL << 20)
#define SIZE	(32UL << 20)
#define PAGES	(SIZE / PAGE)
#define ROUNDS	7
#define DEV	"/dev/mmapdemo"

enum { READ, SPARSE, SHARED, PRIVATE, CASES };

static const char *const case_names[CASES] = {
	"read, sequential", "read, one touch per 64 KiB", "store, shared", "store, private",
};

/* Instructions per touched page, by enum; the least of all rounds. */
struct cost {
	double of[CASES];
};

static int failed, tests;

static void die(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/*
 * For about a second after boot kernel workers share the one CPU. Spin a loop of known
 * length until it takes what it should: two instructions a turn, one nanosecond each.
 */
static void settle(void)
{
	const uint64_t turns = 50000000;
	int try;

	for (try = 0; try < 60; try++) {
		uint64_t start = now(), left = turns, ns;

		asm volatile("1: dec %0\n\tjnz 1b" : "+r"(left));
		ns = now() - start;
		if (ns < 2 * turns + 2 * turns / 500 && ns > 2 * turns - 2 * turns / 500)
			return;
		printf("# not settled: %llu ns for %llu instructions\n",
		       (unsigned long long)ns, (unsigned long long)(2 * turns));
	}
	printf("Bail out! the clock does not count instructions: run me with selftests/vm/run -i\n");
	exit(1);
}

static void touch(volatile char *p, size_t step, bool store)
{
	size_t i;

	for (i = 0; i < SIZE; i += step)
		if (store)
			p[i] = 1;
		else
			(void)p[i];
}

/* One round: a fresh mapping, aligned so that 2 MiB pages fit, touched once. */
static double round_of(int fd, int what)
{
	static const size_t steps[CASES] = { PAGE, 16 * PAGE, PAGE, PAGE };
	bool store = what == SHARED || what == PRIVATE;
	int flags = what == PRIVATE ? MAP_PRIVATE : MAP_SHARED;
	char *area, *p;
	uint64_t ns;

	area = mmap(NULL, SIZE + HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		die("mmap area");
	p = (char *)(((uintptr_t)area + HUGE - 1) & ~(HUGE - 1));
	if (mmap(p, SIZE, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0) == MAP_FAILED)
		die("mmap");
	ns = now();
	touch(p, steps[what], store);
	ns = now() - ns;
	munmap(area, SIZE + HUGE);
	return (double)ns / (SIZE / steps[what]);
}

/* Warm: every page exists and was stored to once, through a mapping as a user would. */
static struct cost measure(int fd)
{
	struct cost cost;
	int what, i;

	round_of(fd, SHARED);
	for (what = 0; what < CASES; what++) {
		cost.of[what] = 1e18;
		for (i = 0; i < ROUNDS; i++) {
			double c = round_of(fd, what);

			if (c < cost.of[what])
				cost.of[what] = c;
		}
	}
	return cost;
}

static void load(const char *params)
{
	const char *ko = getenv("MMAPDEMO_KO");
	int fd;

	fd = open(ko ? ko : "mmapdemo.ko", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die("open the module, named by MMAPDEMO_KO");
	if (syscall(SYS_finit_module, fd, params, 0))
		die(params);
	close(fd);
}

static struct cost measure_device(const char *params)
{
	struct cost cost;
	int fd;

	load(params);
	fd = open(DEV, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die(DEV);
	cost = measure(fd);
	close(fd);
	if (syscall(SYS_delete_module, "mmapdemo", O_NONBLOCK))
		die("unload");
	return cost;
}

static int new_file(const char *dir)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/cost-file", dir);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, SIZE))
		die(path);
	return fd;
}

static void check(const char *name, int what, const struct cost *ours, const struct cost *peer,
		  double limit)
{
	double ratio = ours->of[what] / peer->of[what];
	bool good = ratio <= limit;

	printf("%sok %d - %s, %s: %.1f instructions a page, direct %.1f, ratio %.4f (limit %.4f)\n",
	       good ? "" : "not ", ++tests, name, case_names[what], ours->of[what],
	       peer->of[what], ratio, limit);
	failed += !good;
}

static void check_file(const char *dir)
{
	char params[300], name[300];
	struct cost direct, device;
	int fd = new_file(dir);

	direct = measure(fd);
	snprintf(params, sizeof(params), "backing=file path=%s/cost-file", dir);
	device = measure_device(params);
	snprintf(name, sizeof(name), "file in %s", dir);
	check(name, READ, &device, &direct, 1.01);
	check(name, SPARSE, &device, &direct, 1.01);
	check(name, SHARED, &device, &direct, 1.05);
	check(name, PRIVATE, &device, &direct, 1.01);
	close(fd);
}

/*
 * One trap maps 512 pages. Linux 6.1 walks all of them in do_set_pmd(), once to flush and
 * once to raise each page's map count; later kernels count a folio once.
 */
static double huge_limit(void)
{
	struct utsname name;

	uname(&name);
	return strncmp(name.release, "6.1.", 4) ? 0.01 : 0.015;
}

static void check_ram(void)
{
	int fd = memfd_create("cost", MFD_CLOEXEC);
	struct cost direct, small, huge;

	if (fd < 0 || ftruncate(fd, SIZE))
		die("memfd");
	direct = measure(fd);
	small = measure_device("backing=ram huge=0");
	huge = measure_device("backing=ram huge=1");
	check("ram, 4 KiB pages", READ, &small, &direct, 1.03);
	check("ram, 4 KiB pages", SPARSE, &small, &direct, 1.03);
	check("ram, 4 KiB pages", SHARED, &small, &direct, 1.03);
	check("ram, 4 KiB pages", PRIVATE, &small, &direct, 1.03);
	check("ram, 2 MiB pages", SHARED, &huge, &direct, huge_limit());
	close(fd);
}

int main(int argc, char **argv)
{
	const char *dir = argc > 1 ? argv[1] : "/tmp";

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 13\n1..9\n");
	settle();
	check_file(dir);
	check_ram();
	return failed ? 1 : 0;
}
