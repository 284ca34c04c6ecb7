// SPDX-License-Identifier: GPL-2.0
/*
 * A process of the soak whose allocations fail by chance, on a kernel that can do that: each call
 * says so cleanly, and what was stored is there. It commands and opens the device that others
 * work on, but maps only one of its own, since a mmap() that the core gives up after the device
 * had agreed is counted, and they count too.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "control.h"
#include "soak.h"

#define DEBUGFS	"/sys/kernel/debug/"
#define PAGES	32

static struct rows rows;
static struct runs runs;
static int make_it_fail = -1;

static void set(const char *name, const char *value)
{
	static const char *const faults[] = { "failslab", "fail_page_alloc" };
	char path[96];

	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), DEBUGFS "%s/%s", faults[i], name);
		write_file(path, value);
	}
}

/*
 * One allocation in 10, but only in the process that says that it wants it. It keeps what it runs
 * in memory: to read that again might fail too, and there is no errno for it.
 */
static bool prepare(void)
{
	if (access(DEBUGFS "failslab", F_OK) || access(DEBUGFS "fail_page_alloc", F_OK))
		return false;
	make_it_fail = open("/proc/self/make-it-fail", O_WRONLY | O_CLOEXEC);
	if (make_it_fail < 0)
		return false;
	set("probability", "0");
	set("task-filter", "1");
	set("interval", "1");
	set("times", "-1");
	set("verbose", "0");
	set("ignore-gfp-wait", "0");
	set("ignore-gfp-highmem", "0");
	set("min-order", "0");
	set("probability", "10");
	return !mlockall(MCL_CURRENT) || complain("mlockall: %s", strerror(errno));
}

static void inject(bool yes)
{
	if (pwrite(make_it_fail, yes ? "1" : "0", 1, 0) != 1)
		_exit(9);
}

/* Out of memory, in one of the ways to say it, is the one excuse. */
static bool is_clean(int err, const char *what)
{
	if (!err)
		return true;
	did(STARVED, 1);
	return err == -ENOMEM || err == -ENOBUFS || err == -ENFILE ||
	       complain("%s, without memory: %s", what, strerror(-err));
}

static int do_zap(struct genl *genl)
{
	return zap(genl, MAIN, 0, 8);
}

static int do_wrprotect(struct genl *genl)
{
	return wrprotect(genl, MAIN, 0, 8);
}

static int do_get(struct genl *genl)
{
	struct info info;

	return get(genl, MAIN, &info);
}

static int do_get_mappings(struct genl *genl)
{
	return get_mappings(genl, MAIN, &rows);
}

static int do_get_pages(struct genl *genl)
{
	return get_pages(genl, MAIN, &runs);
}

static int do_open(struct genl *genl)
{
	int fd = open(NODE, O_RDWR | O_CLOEXEC);

	(void)genl;
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int do_add(struct genl *genl)
{
	return add_ram(genl, STARVING, PAGES * PAGE_SIZE, 0, NULL);
}

static int do_del(struct genl *genl)
{
	return del(genl, STARVING, false);
}

static const struct {
	int (*call)(struct genl *genl);
	const char *name;
} calls[] = {
	{ do_zap, "zap" }, { do_wrprotect, "wrprotect" }, { do_get, "device-get" },
	{ do_get_mappings, "mapping-get" }, { do_get_pages, "page-get" }, { do_open, "open" },
};

/* On a socket of its own: a dump that has failed halfway keeps one busy. */
static bool without_memory(int (*call)(struct genl *genl), const char *name)
{
	struct genl genl;
	int err = control_open(&genl);

	if (err)
		return complain("the control plane: %s", strerror(-err));
	inject(true);
	err = call(&genl);
	inject(false);
	genl_close(&genl);
	return is_clean(err, name);
}

static bool is_there(void)
{
	return !access("/sys/class/mmapdemo/" STARVING, F_OK);
}

/* It may have been done, and only the answer be lost. */
static bool make_sure(bool there)
{
	struct genl genl;
	int err = 0;

	if (is_there() == there)
		return true;
	err = control_open(&genl);
	if (err)
		return complain("the control plane: %s", strerror(-err));
	err = there ? do_add(&genl) : do_del(&genl);
	genl_close(&genl);
	return !err || complain("device-%s: %s", there ? "add" : "del", strerror(-err));
}

static uint64_t *map_own(int *fd)
{
	void *p;

	inject(true);
	*fd = RC(open("/dev/" STARVING, O_RDWR | O_CLOEXEC));
	p = *fd < 0 ? NULL : mmap(NULL, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
				  *fd, 0);
	inject(false);
	return p == MAP_FAILED ? NULL : p;
}

/* Every other page by a store, which comes again until there is memory for it, or by a write. */
static bool fill_own(int fd, uint64_t *p, uint64_t tag)
{
	uint64_t page[PAGE_SIZE / 8];

	for (size_t i = 0; i < PAGES; i++) {
		uint64_t *word = p + i * PAGE_SIZE / 8;
		ssize_t len = PAGE_SIZE;

		page[0] = tag + i;
		inject(true);
		if (i % 2)
			*(volatile uint64_t *)word = tag + i;
		else
			len = RC(pwrite(fd, page, PAGE_SIZE, i * PAGE_SIZE));
		inject(false);
		if (!is_clean(len < 0 ? len : 0, "write"))
			return false;
		if (len != PAGE_SIZE)
			*word = tag + i;
	}
	return true;
}

static bool check_own(int fd, const uint64_t *p, uint64_t tag)
{
	uint64_t page[PAGE_SIZE / 8];
	ssize_t len;

	for (size_t i = 0; i < PAGES; i++) {
		inject(true);
		len = RC(pread(fd, page, PAGE_SIZE, i * PAGE_SIZE));
		inject(false);
		if (!is_clean(len < 0 ? len : 0, "read"))
			return false;
		if ((len == PAGE_SIZE && page[0] != tag + i) || p[i * PAGE_SIZE / 8] != tag + i)
			return complain("a page that was stored without memory is not there");
	}
	return true;
}

static bool use_own(uint64_t *state)
{
	uint64_t tag = dice(state);
	bool right = true;
	uint64_t *p;
	int fd;

	if (!without_memory(do_add, "device-add") || !make_sure(true))
		return false;
	p = map_own(&fd);
	if (p) {
		right = fill_own(fd, p, tag) && check_own(fd, p, tag);
		munmap(p, PAGES * PAGE_SIZE);
	} else {
		right = is_clean(fd < 0 ? fd : -ENOMEM, "open or mmap");
	}
	if (fd >= 0)
		close(fd);
	return right && without_memory(do_del, "device-del") && make_sure(false);
}

bool starve(struct target *target, uint64_t *state)
{
	bool right = true;

	(void)target;
	if (!prepare()) {
		cannot(STARVED);
		return !soak->failed;
	}
	while (right && !is_over()) {
		size_t nr = sizeof(calls) / sizeof(calls[0]), i = below(state, 2 * nr);

		if (i < nr)
			right = without_memory(calls[i].call, calls[i].name);
		else
			right = use_own(state);
		usleep(below(state, 20000));
	}
	set("probability", "0");
	return right && make_sure(false);
}
