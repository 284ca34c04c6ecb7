// SPDX-License-Identifier: GPL-2.0
/* The window of a lab: the first pages of a device, mapped one way after the other. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "cli.h"
#include "lab.h"

#define WINDOW_PAGES	64
/* One page table: within it, fault-around is bounded by nothing but its own window. */
#define TABLE_BYTES	(2UL << 20)

/* For the signal handler. */
static struct lab *current;

static size_t window_bytes(const struct lab *lab)
{
	return lab->pages * lab->page;
}

static int put_back(const struct lab *lab)
{
	ssize_t len = pwrite(mmapdemo_fd(lab->dev), lab->saved, window_bytes(lab), 0);

	return len < 0 ? -errno : len == (ssize_t)window_bytes(lab) ? 0 : -EIO;
}

/* Interrupted: leave neither a trace instance nor foreign bytes. The parent has the bytes. */
static void on_signal(int sig)
{
	mmapdemo_witness_abort(current->witness);
	if (!current->child)
		put_back(current);
	raise(sig);	/* SA_RESETHAND: this one kills */
}

static void catch_signals(struct lab *lab)
{
	static const int sigs[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	const struct sigaction act = { .sa_handler = on_signal, .sa_flags = SA_RESETHAND };
	unsigned int i;

	current = lab;
	for (i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++)
		sigaction(sigs[i], &act, NULL);
}

/* fault_around_bytes is 64 KiB unless somebody changed it in debugfs. */
static unsigned int around_pages(const struct lab *lab)
{
	unsigned long bytes = 65536;
	FILE *f = fopen("/sys/kernel/debug/fault_around_bytes", "re");

	if (f) {
		if (fscanf(f, "%lu", &bytes) != 1)
			bytes = 65536;
		fclose(f);
	}
	return bytes / lab->page;
}

static int choose_pages(struct lab *lab)
{
	uint64_t size;
	int ret;

	lab->page = sysconf(_SC_PAGESIZE);
	lab->around = around_pages(lab);
	ret = mmapdemo_size(lab->dev, &size);
	if (ret)
		return explain(ret, mmapdemo_name(lab->dev));
	lab->pages = size / lab->page < WINDOW_PAGES ? size / lab->page : WINDOW_PAGES;
	lab->pages -= lab->pages % lab->around;
	if (lab->pages)
		return DONE;
	fprintf(stderr, "mmapdemo: %s is too small: the lab needs %zu bytes, or a smaller\n"
		"/sys/kernel/debug/fault_around_bytes.\n", mmapdemo_name(lab->dev),
		lab->around * lab->page);
	return SKIP;
}

/* Nothing but reserved addresses in the window. */
static int clear_window(struct lab *lab)
{
	void *p = mmap(lab->window, lab->bytes, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

	return p == MAP_FAILED ? -errno : 0;
}

static int reserve(struct lab *lab)
{
	char *p = mmap(NULL, 2 * TABLE_BYTES, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	lab->window = p + (TABLE_BYTES - (uintptr_t)p % TABLE_BYTES) % TABLE_BYTES;
	lab->bytes = TABLE_BYTES;
	return 0;
}

/*
 * Twice: read-ahead leaves a mark on one of the pages that it brought in, and fault-around
 * passes over that page until a read has met the mark.
 */
static int save(struct lab *lab)
{
	int i;

	lab->saved = malloc(window_bytes(lab));
	if (!lab->saved)
		return -ENOMEM;
	for (i = 0; i < 2; i++) {
		ssize_t len = pread(mmapdemo_fd(lab->dev), lab->saved, window_bytes(lab), 0);

		if (len != (ssize_t)window_bytes(lab))
			return len < 0 ? -errno : -EIO;
	}
	return 0;
}

/* tmpfs keeps its data in the page cache only: msync() has nothing to do there. */
static bool writes_back(const struct lab *lab)
{
	struct statfs fs;

	return !mmapdemo_path(lab->dev) || statfs(mmapdemo_path(lab->dev), &fs) ||
	       fs.f_type != TMPFS_MAGIC;
}

/*
 * Dirt is recorded by the folio, and a folio has many pages where somebody mapped 2 MiB of the
 * device before: one store tells.
 */
static void learn_dirty_unit(struct lab *lab)
{
	uint64_t before, after;

	if (mmapdemo_dirty_pages(lab->dev, &before))
		return;
	lab_map(lab, PROT_READ | PROT_WRITE, MAP_SHARED);
	if (!lab->error)
		*(volatile char *)lab->window = 0;
	if (!lab->error)
		lab->error = mmapdemo_dirty_pages(lab->dev, &after);
	if (!lab->error)
		lab->dirty_unit = after - before;
	lab_sync(lab);
}

static int need_cpu(struct lab *lab, bool no_cpu)
{
	int error = mmapdemo_witness_cpu_error(lab->witness);

	if (!error || no_cpu)
		return DONE;
	fprintf(stderr,
		"mmapdemo: the third witness is absent: tracepoint exceptions:page_fault_user: %s.\n"
		"Run this as root on a kernel with tracefs and CONFIG_HIST_TRIGGERS, or use --no-cpu to\n"
		"go with two witnesses.\n",
		strerror(-error));
	return SKIP;
}

static int prepare(struct lab *lab)
{
	int ret;

	ret = save(lab);
	if (ret)
		return ret;
	ret = reserve(lab);
	if (ret)
		return ret;
	lab->shared = mmap(NULL, lab->page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			   -1, 0);
	if (lab->shared == MAP_FAILED)
		return -errno;
	lab->rearms = writes_back(lab);
	return mmapdemo_witness_open(lab->dev, lab->window, lab->bytes, &lab->witness);
}

int lab_open(struct lab *lab, const char *device, bool json, bool force, bool no_cpu)
{
	int code, ret;

	memset(lab, 0, sizeof(*lab));
	code = open_or_explain(device, O_RDWR, &lab->dev);
	if (code)
		return code;
	code = FAILED;
	if (mmapdemo_path(lab->dev) && !force) {
		fprintf(stderr,
			"mmapdemo: this writes to the first pages of %s and puts the old bytes back\n"
			"at the end. If nobody else uses that file meanwhile, say --force.\n",
			mmapdemo_path(lab->dev));
		goto err_dev;
	}
	code = choose_pages(lab);
	if (code)
		goto err_dev;
	ret = prepare(lab);
	if (ret) {
		code = explain(ret, mmapdemo_name(lab->dev));
		goto err_dev;
	}
	catch_signals(lab);
	lab_fill(lab, 0);
	code = need_cpu(lab, no_cpu);
	learn_dirty_unit(lab);
	if (!code && lab->error)
		code = explain(lab->error, mmapdemo_name(lab->dev));
	if (code) {
		lab_close(lab);
		return code;
	}
	if (json)
		lab->steps = json_object_new_array();
	return DONE;

err_dev:
	mmapdemo_close(lab->dev);
	return code;
}

void lab_close(struct lab *lab)
{
	if (put_back(lab))
		fprintf(stderr, "mmapdemo: the first pages of %s could not be put back\n",
			mmapdemo_name(lab->dev));
	mmapdemo_witness_close(lab->witness);
	mmapdemo_close(lab->dev);
	free(lab->saved);
}

void lab_map_part(struct lab *lab, size_t first, size_t pages, int prot, int flags)
{
	void *addr = lab->window;

	if (lab->error)
		return;
	/* Of the mapping before, nothing may stay behind a shorter one. */
	lab->error = clear_window(lab);
	if (!lab->error)
		lab->error = mmapdemo_map(lab->dev, first * lab->page, pages * lab->page, prot,
					  flags | MAP_FIXED, &addr);
}

void lab_map(struct lab *lab, int prot, int flags)
{
	lab_map_part(lab, 0, lab->pages, prot, flags);
}

void lab_touch(const struct lab *lab)
{
	if (!lab->error)
		(void)*(const volatile char *)lab->window;
}

size_t lab_read(const struct lab *lab, char value)
{
	const volatile char *p = lab->window;
	size_t i, same = 0;

	for (i = 0; !lab->error && i < lab->pages; i++)
		same += p[i * lab->page] == value;
	return same;
}

void lab_write(const struct lab *lab, char value)
{
	volatile char *p = lab->window;
	size_t i;

	for (i = 0; !lab->error && i < lab->pages; i++)
		p[i * lab->page] = value;
}

/* Page by page, so that a filesystem with large folios is not invited to make one. */
void lab_fill(struct lab *lab, char value)
{
	char *buf = malloc(lab->page);
	size_t i;

	if (!buf && !lab->error)
		lab->error = -ENOMEM;
	if (!lab->error)
		memset(buf, value, lab->page);
	for (i = 0; !lab->error && i < lab->pages; i++)
		if (pwrite(mmapdemo_fd(lab->dev), buf, lab->page, i * lab->page) < 0)
			lab->error = -errno;
	free(buf);
	/* Clean, so that no writeback comes in between later. */
	if (!lab->error && fsync(mmapdemo_fd(lab->dev)))
		lab->error = -errno;
}

void lab_sync(struct lab *lab)
{
	if (!lab->error && msync(lab->window, window_bytes(lab), MS_SYNC))
		lab->error = -errno;
}

size_t lab_pread(const struct lab *lab, char value)
{
	size_t i, same = 0;
	char byte;

	for (i = 0; i < lab->pages; i++)
		same += pread(mmapdemo_fd(lab->dev), &byte, 1, i * lab->page) == 1 &&
			byte == value;
	return same;
}

static int read_pagemap(const struct lab *lab, uint64_t *entry)
{
	ssize_t want = lab->pages * sizeof(*entry), len;
	int fd;

	fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	len = pread(fd, entry, want, (uintptr_t)lab->window / lab->page * sizeof(*entry));
	if (len < 0)
		len = -errno;
	close(fd);
	if (len < 0)
		return len;
	return len == want ? 0 : -EIO;
}

size_t lab_present(struct lab *lab)
{
	const uint64_t present = 1ULL << 63;
	uint64_t entry[WINDOW_PAGES];
	size_t i, pages = 0;

	if (!lab->error)
		lab->error = read_pagemap(lab, entry);
	for (i = 0; !lab->error && i < lab->pages; i++)
		pages += !!(entry[i] & present);
	return pages;
}

static sigjmp_buf after_sigbus;
static siginfo_t sigbus_info;

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	sigbus_info = *info;
	siglongjmp(after_sigbus, 1);
}

bool lab_sigbus(const char *addr, siginfo_t *info)
{
	const struct sigaction act = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };
	volatile bool raised = true;
	struct sigaction old;

	sigaction(SIGBUS, &act, &old);
	if (!sigsetjmp(after_sigbus, 1)) {
		(void)*(const volatile char *)addr;
		raised = false;
	}
	sigaction(SIGBUS, &old, NULL);
	*info = sigbus_info;
	return raised;
}
