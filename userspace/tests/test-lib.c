// SPDX-License-Identifier: GPL-2.0
/* The library against a sysfs tree of the test's own making. Prints TAP. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mmapdemo-witness.h"

static char root[32] = "/tmp/mmapdemo-test-XXXXXX";
static int done, failed;

static void ok(bool pass, const char *what)
{
	printf("%sok %d - %s\n", pass ? "" : "not ", ++done, what);
	failed += !pass;
}

static void die(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(1);
}

/* A file below the fake class directory. */
static void put(const char *file, const char *text)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/class/mmapdemo/%s", root, file);
	f = fopen(path, "we");
	if (!f || fputs(text, f) < 0 || fclose(f))
		die(path);
}

static void make_dir(const char *dir)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", root, dir);
	if (mkdir(path, 0755))
		die(path);
}

static void make_device(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "class/mmapdemo/%s", name);
	make_dir(path);
	snprintf(path, sizeof(path), "%s/backing", name);
	put(path, "ram\n");
	snprintf(path, sizeof(path), "%s/size", name);
	put(path, "67108864\n");
}

/* A stat file: counter i is @base + i, bucket b is @base + b; @skip leaves a line out. */
static const char *stat_text(unsigned long long base, const char *skip, const char *extra)
{
	static char text[8192];
	char *p = text;
	unsigned int i, b;

	for (i = 0; mmapdemo_counter_name(i); i++)
		if (!skip || strcmp(skip, mmapdemo_counter_name(i)))
			p += sprintf(p, "%s %llu\n", mmapdemo_counter_name(i), base + i);
	p += sprintf(p, "%s", extra);
	for (i = 0; mmapdemo_latency_name(i); i++) {
		if (skip && !strcmp(skip, mmapdemo_latency_name(i)))
			continue;
		p += sprintf(p, "%s", mmapdemo_latency_name(i));
		for (b = 0; b < MMAPDEMO_NR_BUCKETS; b++)
			p += sprintf(p, " %llu", base + b);
		p += sprintf(p, "\n");
	}
	return text;
}

static void test_absent(void)
{
	struct mmapdemo_dev *dev;

	ok(mmapdemo_open(NULL, O_PATH, &dev) == -ENODEV, "no class directory: -ENODEV");
	ok(mmapdemo_for_each(NULL, NULL) == -ENODEV, "nothing to walk: -ENODEV");
	make_dir("class");
	make_dir("class/mmapdemo");
	make_device("mmapdemo");
	make_device("mmapdemo10");
	make_device("mmapdemo2");
	ok(mmapdemo_open("mmapdemo3", O_PATH, &dev) == -ENOENT, "no such device: -ENOENT");
	ok(mmapdemo_open("..", O_PATH, &dev) == -ENOENT, "dots are no name: -ENOENT");
	ok(mmapdemo_open("", O_PATH, &dev) == -ENOENT, "nor is nothing: -ENOENT");
	ok(mmapdemo_open("/dev/null", O_PATH, &dev) == -ENODEV, "another's node: -ENODEV");
	ok(mmapdemo_open("/etc/passwd", O_PATH, &dev) == -ENODEV, "not a node: -ENODEV");
	ok(mmapdemo_open("mmapdemo10", O_RDWR, &dev) == -ENXIO, "a node is missing: -ENXIO");
}

static int join(const char *name, void *arg)
{
	strcat(arg, name);
	strcat(arg, " ");
	return 0;
}

static int stop_at_once(const char *name, void *arg)
{
	(void)name;
	return ++*(int *)arg;
}

static void test_walk(void)
{
	char names[256] = "";
	int calls = 0;

	ok(!mmapdemo_for_each(join, names) && !strcmp(names, "mmapdemo mmapdemo2 mmapdemo10 "),
	   "devices in the order of their numbers");
	ok(mmapdemo_for_each(stop_at_once, &calls) == 1 && calls == 1,
	   "the callback ends the walk");
}

static void test_identity(struct mmapdemo_dev *dev)
{
	struct mmapdemo_dev *file;
	void *addr = NULL;
	uint64_t value;

	ok(!strcmp(mmapdemo_name(dev), "mmapdemo"), "name");
	ok(!strcmp(mmapdemo_backing(dev), "ram") && !mmapdemo_path(dev), "ram, no path");
	ok(!mmapdemo_size(dev, &value) && value == 64 << 20, "size");
	put("mmapdemo/size", "64M\n");
	ok(mmapdemo_size(dev, &value) == -EPROTO, "a size that is no number: -EPROTO");
	ok(mmapdemo_fd(dev) == -EBADF, "opened with O_PATH: no descriptor");
	ok(mmapdemo_map(dev, 0, 4096, PROT_READ, MAP_SHARED, &addr) == -EBADF && !addr,
	   "nor a mapping");
	ok(mmapdemo_dirty_pages(dev, &value) == -EOPNOTSUPP, "no record of dirty pages");
	make_dir("class/mmapdemo/mmapdemo/dirty");
	put("mmapdemo/dirty/pages", "7\n");
	ok(!mmapdemo_dirty_pages(dev, &value) && value == 7, "dirty pages");
	put("mmapdemo2/backing", "file\n");
	put("mmapdemo2/path", "/a b\n");
	ok(!mmapdemo_open("mmapdemo2", O_PATH, &file) && !strcmp(mmapdemo_path(file), "/a b"),
	   "path of the file behind");
	mmapdemo_close(file);
	put("mmapdemo2/dev", "1:3\n");
	ok(!mmapdemo_open("/dev/null", O_RDWR, &file) &&
	   !strcmp(mmapdemo_name(file), "mmapdemo2") && mmapdemo_fd(file) >= 0,
	   "found by the device number of a node");
	mmapdemo_close(file);
	mmapdemo_close(NULL);
}

static bool counts_from(const struct mmapdemo_stat *st, unsigned long long base)
{
	unsigned int i, b;

	for (i = 0; i < MMAPDEMO_NR_COUNTERS; i++)
		if (st->counter[i] != base + i)
			return false;
	for (i = 0; i < MMAPDEMO_NR_LATENCIES; i++)
		for (b = 0; b < MMAPDEMO_NR_BUCKETS; b++)
			if (st->latency[i][b] != base + b)
				return false;
	return true;
}

static int read_stat(struct mmapdemo_dev *dev, const char *text, struct mmapdemo_stat *st)
{
	put("mmapdemo/stat", text);
	return mmapdemo_stat_read(dev, st);
}

static void test_parse(struct mmapdemo_dev *dev)
{
	const unsigned long long huge = UINT64_MAX - MMAPDEMO_NR_BUCKETS;
	struct mmapdemo_stat st;

	ok(!read_stat(dev, stat_text(5, NULL, ""), &st) && counts_from(&st, 5), "snapshot");
	ok(!st.counter[31] && !st.latency[7][39], "room for later counters is zero");
	ok(!read_stat(dev, stat_text(huge, NULL, ""), &st) && counts_from(&st, huge),
	   "numbers close to 2^64");
	ok(!read_stat(dev, stat_text(5, NULL, "faults/new 1 2 x\nodd\n\n"), &st) &&
	   counts_from(&st, 5),
	   "unknown lines are passed over");
	ok(read_stat(dev, stat_text(5, "faults/mkwrite", ""), &st) == -EPROTO,
	   "a missing counter: -EPROTO");
	ok(read_stat(dev, stat_text(5, "latency/cow", ""), &st) == -EPROTO,
	   "a missing histogram: -EPROTO");
	ok(read_stat(dev, "", &st) == -EPROTO, "an empty file: -EPROTO");
	ok(read_stat(dev, stat_text(5, "faults/cow", "faults/cow\n"), &st) == -EPROTO,
	   "a line without its number: -EPROTO");
	ok(read_stat(dev, stat_text(5, "faults/cow", "faults/cow -1\n"), &st) == -EPROTO,
	   "a negative number: -EPROTO");
	ok(read_stat(dev, stat_text(5, "faults/cow", "faults/cow 1 2\n"), &st) == -EPROTO,
	   "a number too many: -EPROTO");
	ok(read_stat(dev, stat_text(5, "faults/cow", "faults/cow 18446744073709551616\n"),
		     &st) == -EPROTO,
	   "2^64: -EPROTO");
	ok(read_stat(dev, stat_text(5, "latency/cow", "latency/cow 1 2 3\n"), &st) == -EPROTO,
	   "a short histogram: -EPROTO");
}

static void test_diff(struct mmapdemo_dev *dev)
{
	struct mmapdemo_stat a, b, d;

	read_stat(dev, stat_text(5, NULL, ""), &a);
	read_stat(dev, stat_text(12, NULL, ""), &b);
	ok(!mmapdemo_stat_diff(&b, &a, &d) && d.counter[MMAPDEMO_FAULTS_COW] == 7 &&
	   d.latency[MMAPDEMO_LATENCY_COW][39] == 7, "difference");
	ok(d.counter[MMAPDEMO_MAPPINGS_LIVE] == b.counter[MMAPDEMO_MAPPINGS_LIVE],
	   "a gauge keeps the later value");
	ok(mmapdemo_stat_diff(&a, &b, &d) == -ERANGE, "counters that fell: -ERANGE");
	b = a;
	b.counter[MMAPDEMO_MAPPINGS_LIVE]--;
	ok(!mmapdemo_stat_diff(&b, &a, &d), "a gauge may fall");
	ok(!mmapdemo_stat_diff(&b, &a, &b) && !b.counter[MMAPDEMO_FAULTS_COW], "in place");
}

static void test_quantile(void)
{
	uint64_t h[MMAPDEMO_NR_BUCKETS] = { 0 };

	ok(mmapdemo_latency_quantile(h, 50) == 0, "no latency, no quantile");
	h[0] = 1;
	ok(mmapdemo_latency_quantile(h, 50) == 1, "bucket 0 ends at 1 ns");
	h[0] = 0;
	h[10] = 99;
	h[20] = 1;
	ok(mmapdemo_latency_total(h) == 100, "total");
	ok(mmapdemo_latency_quantile(h, 50) == 2047, "p50 at the end of its bucket");
	ok(mmapdemo_latency_quantile(h, 99) == 2047, "p99 is the 99th of 100");
	ok(mmapdemo_latency_quantile(h, 100) == (2 << 20) - 1, "p100 is the longest");
	h[39] = 100;
	ok(mmapdemo_latency_quantile(h, 99) == UINT64_MAX, "the last bucket has no end");
	memset(h, 0, sizeof(h));
	h[3] = UINT64_MAX / 2;
	h[5] = 10;
	ok(mmapdemo_latency_quantile(h, 99) == 15, "huge counts do not overflow");
}

static void test_errors(struct mmapdemo_dev *dev)
{
	struct mmapdemo_stat st;
	char path[512], got[8] = "";
	FILE *f;

	put("mmapdemo/reset", "");
	ok(!mmapdemo_reset(dev), "reset");
	snprintf(path, sizeof(path), "%s/class/mmapdemo/mmapdemo/reset", root);
	f = fopen(path, "re");
	ok(f && fgets(got, sizeof(got), f) && !strcmp(got, "1"), "reset writes 1");
	if (f)
		fclose(f);
	snprintf(path, sizeof(path), "%s/class/mmapdemo/mmapdemo/stat", root);
	/* Root may read anything, so another error stands in for -EACCES there. */
	if (geteuid()) {
		chmod(path, 0);
		ok(mmapdemo_stat_read(dev, &st) == -EACCES, "no permission: -EACCES");
	} else {
		unlink(path);
		mkdir(path, 0755);
		ok(mmapdemo_stat_read(dev, &st) == -EISDIR,
		   "the error of read(2) is handed on");
		rmdir(path);
	}
	unlink(path);
	ok(mmapdemo_stat_read(dev, &st) == -ENOENT, "the device is gone: -ENOENT");
}

/* What there is of the control plane without a kernel that has it. */
static void test_control(void)
{
	struct mmapdemo_events *ev;
	struct mmapdemo_ctl *ctl;
	int ret;

	ok(mmapdemo_events_open(0, &ev) == -EINVAL, "no group to subscribe to: -EINVAL");
	ok(mmapdemo_events_open(4, &ev) == -EINVAL, "an unknown group: -EINVAL");
	ok(!strcmp(mmapdemo_event_name(MMAPDEMO_EVENT_LOST), "lost") &&
	   !strcmp(mmapdemo_event_name(MMAPDEMO_EVENT_HWPOISON), "hwpoison") &&
	   !strcmp(mmapdemo_event_name(MMAPDEMO_EVENT_OTHER), "other") &&
	   !strcmp(mmapdemo_event_name(-1), "other"), "names of events");
	ok(!strcmp(mmapdemo_state_name(3), "rule") && !mmapdemo_state_name(4),
	   "names of states");
	mmapdemo_events_close(NULL);
	mmapdemo_ctl_close(NULL);
	ret = mmapdemo_ctl_open(&ctl);
	if (!ret) {
		ok(mmapdemo_ctl_version(ctl) >= 1, "the module is there, and has a version");
		ok(mmapdemo_get(ctl, "mmapdemo-none", NULL) == -ENODEV,
		   "... and has no such device: -ENODEV");
		mmapdemo_ctl_close(ctl);
		return;
	}
	ok(ret == -ENODEV, "no module: -ENODEV");
	ok(mmapdemo_events_open(MMAPDEMO_GROUP_DEVICES, &ev) == -ENODEV,
	   "no module to subscribe to: -ENODEV");
}

/* The process's own faults, without a device: nothing may be left for the code between. */
static void test_witness(struct mmapdemo_dev *dev)
{
	struct mmapdemo_testimony heard;
	struct mmapdemo_witness *w;
	volatile char *p;
	int ret, i;

	put("mmapdemo/stat", stat_text(5, NULL, ""));
	p = mmap(NULL, 16 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		die("mmap");
	madvise((void *)p, 16 * 4096, MADV_NOHUGEPAGE);
	ok(!mmapdemo_witness_open(dev, (void *)p, 16 * 4096, &w),
	   "witness, with or without tracing");
	ret = mmapdemo_witness_start(w) ?: mmapdemo_witness_stop(w, &heard);
	ok(!ret && !heard.minflt && !heard.majflt, "measuring itself takes no fault");
	ret = mmapdemo_witness_start(w);
	for (i = 0; i < 16; i++)
		p[i * 4096] = 1;
	ret = ret ?: mmapdemo_witness_stop(w, &heard);
	ok(!ret && heard.minflt == 16,
	   "16 pages, 16 faults: the range itself is not filled in");
	ok(mmapdemo_witness_cpu_error(w) || heard.cpu[MMAPDEMO_CPU_WRITE_ABSENT] == 16,
	   "the cpu saw 16 too, where it may be asked");
	mmapdemo_witness_close(w);
	mmapdemo_witness_close(NULL);
}

int main(void)
{
	struct mmapdemo_dev *dev;
	char command[64];

	if (!mkdtemp(root))
		die(root);
	setenv("MMAPDEMO_SYSFS", root, 1);
	test_absent();
	test_walk();
	ok(!mmapdemo_open(NULL, O_PATH, &dev), "the first device is the default");
	test_identity(dev);
	test_parse(dev);
	test_diff(dev);
	test_quantile();
	test_control();
	test_witness(dev);
	test_errors(dev);
	mmapdemo_close(dev);
	printf("1..%d\n", done);
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command) || failed ? 1 : 0;
}
