// SPDX-License-Identifier: GPL-2.0
/* Fault injection: the nth allocation of the calling thread fails. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common.h"
#include "fail_nth.h"

#define FAIL_NTH	"/proc/thread-self/fail-nth"
#define DEBUGFS		"/sys/kernel/debug/"

static const char *const faults[] = { "failslab", "fail_page_alloc", "fail_usercopy" };
#define NR_FAULTS (sizeof(faults) / sizeof(*faults))

static void set(const char *fault, const char *name, unsigned long value)
{
	char path[96], text[32];

	snprintf(path, sizeof(path), DEBUGFS "%s/%s", fault, name);
	snprintf(text, sizeof(text), "%#lx", value);
	write_file(path, text);
}

/* From where to where a function of the kernel reaches: the list is in order of addresses. */
static void find_function(const char *name, unsigned long *start, unsigned long *end)
{
	FILE *file = fopen("/proc/kallsyms", "r");
	unsigned long address;
	char symbol[128];

	*start = 0;
	*end = 0;
	while (file && !*end && fscanf(file, "%lx %*c %127s%*[^\n]", &address, symbol) == 2) {
		if (!strcmp(symbol, name))
			*start = address;
		else if (*start && address > *start)
			*end = address;
	}
	if (file)
		fclose(file);
	if (!*end) {
		fprintf(stderr, "# this kernel has no function %s\n", name);
		abort();
	}
}

static void reject(const char *fault, const char *function)
{
	unsigned long start, end;

	find_function(function, &start, &end);
	set(fault, "reject-start", start);
	set(fault, "reject-end", end);
}

/*
 * Allocations that may sleep are to fail too, and without a report of each. Not those of the
 * tracing core for the events of a module that is loaded: it goes on without, and warns. Nor the
 * pages that a slab is made of: which object needs a new one is luck, and each of those would
 * shift the number of all that come after it, past one that then never fails.
 */
static void prepare(void)
{
	for (size_t i = 0; i < NR_FAULTS; i++) {
		set(faults[i], "ignore-gfp-wait", 0);
		set(faults[i], "ignore-gfp-highmem", 0);
		set(faults[i], "min-order", 0);
		set(faults[i], "verbose", 0);
		reject(faults[i], strcmp(faults[i], "fail_page_alloc") ? "event_create_dir" :
									 "new_slab");
	}
}

/* Only what is called from that function. */
void fail_nth_only_in(const char *function)
{
	unsigned long start, end;

	find_function(function, &start, &end);
	for (size_t i = 0; i < NR_FAULTS; i++) {
		set(faults[i], "require-start", start);
		set(faults[i], "require-end", end);
	}
}

void fail_nth_everywhere(void)
{
	for (size_t i = 0; i < NR_FAULTS; i++) {
		set(faults[i], "require-start", 0);
		set(faults[i], "require-end", -1UL);
	}
}

/* From here on the nth allocation of this thread fails. */
void fail_nth_arm(int fd, unsigned int nth)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", nth);
	if (pwrite(fd, text, strlen(text), 0) < 0)
		abort();
}

/*
 * Did it fail? Disarming copies to us and from us, which may be what fails: then it is not
 * what was armed for.
 */
bool fail_nth_disarm(int fd)
{
	char text[16] = "";
	unsigned long left;
	bool here = false;

	while (pread(fd, text, sizeof(text) - 1, 0) < 0) {
		if (errno != EFAULT)
			abort();
		here = true;
	}
	left = strtoul(text, NULL, 10);
	while (pwrite(fd, "0", 1, 0) < 0)
		if (errno != EFAULT)
			abort();
	return !left && !here;
}

int fail_nth_open(void)
{
	int fd = open(FAIL_NTH, O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		prepare();
	return fd;
}

int fail_cache(const char *cache)
{
	static char mark[96];
	bool on = cache;
	ssize_t len;

	/* The order matters: what fails without the two filters is everything. */
	set("failslab", "probability", 0);
	if (on)
		snprintf(mark, sizeof(mark), "/sys/kernel/slab/%s/failslab", cache);
	len = write_file(mark, on ? "1" : "0");
	if (len >= 0)
		len = write_file("/proc/self/make-it-fail", on ? "1" : "0");
	write_file(DEBUGFS "failslab/cache-filter", on ? "Y" : "N");
	write_file(DEBUGFS "failslab/task-filter", on ? "Y" : "N");
	write_file(DEBUGFS "failslab/times", on ? "-1" : "1");
	if (on && len >= 0)
		set("failslab", "probability", 100);
	return len < 0 ? len : 0;
}

void fail_pages_of(const char *function)
{
	unsigned long start = 0, end = -1UL;

	set("fail_page_alloc", "probability", 0);
	if (function)
		find_function(function, &start, &end);
	set("fail_page_alloc", "require-start", start);
	set("fail_page_alloc", "require-end", end);
	write_file(DEBUGFS "fail_page_alloc/times", function ? "-1" : "1");
	if (function)
		set("fail_page_alloc", "probability", 100);
}

bool fail_nth_is_clean(int err)
{
	return !err || err == -ENOMEM || err == -EFAULT;
}
