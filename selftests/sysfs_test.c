// SPDX-License-Identifier: GPL-2.0
/* The figures in sysfs: which files, what they hold, and that they are exact. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"

DEVICE_FIXTURE(device);
VARIANT(device, ram_4k, RAM_4K);
/* A file that nobody writes back, and by that takes the right to store away, while stores count. */
VARIANT(device, memfd, MEMFD);

static void *shared_mapping(struct device *dev)
{
	return map(dev->fd, dev->size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
}

/* The mode of a file of the device, -1 if there is none. */
static int mode_of(const char *name)
{
	char path[256];
	struct stat st;

	snprintf(path, sizeof(path), SYSFS "%s", name);
	return stat(path, &st) ? -1 : (int)(st.st_mode & 07777);
}

static long long value_of(const char *name)
{
	char path[256], text[64], *end;
	long long value;

	snprintf(path, sizeof(path), SYSFS "%s", name);
	if (read_file(path, text, sizeof(text)) <= 0)
		return -1;
	value = strtoll(text, &end, 10);
	return strcmp(end, "\n") ? -1 : value;
}

/* All that a histogram's own file holds, if each line is "2^i count" as documented. */
static long long histogram_of(const char *name, const long long *bucket)
{
	char path[256], text[4096], *line, *rest = text;
	long long low, count, sum = 0;
	int i;

	snprintf(path, sizeof(path), SYSFS "%s", name);
	if (read_file(path, text, sizeof(text)) < 0)
		return -1;
	while ((line = strsep(&rest, "\n")) && *line) {
		if (sscanf(line, "%lld %lld", &low, &count) != 2 || (low & (low - 1)) || !count)
			return -1;
		i = low ? __builtin_ctzll(low) : 0;
		if (low == 1 || i >= BUCKETS || bucket[i] != count)
			return -1;
		sum += count;
	}
	for (i = 0; i < BUCKETS; i++)
		sum -= bucket[i];
	return sum;
}

/* Something of everything: reads, stores, copies, errors, write-protection. */
static void exercise(struct device *dev)
{
	char *p = map(dev->fd, 2 * dev->size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	char *q = map(dev->fd, dev->size, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);

	load(p, 20);
	store(p, 40, 0x100);
	store(q, 10, 0x200);
	trap_load(p + dev->size);
	munmap(q, dev->size);
}

TEST_F(device, files_and_modes)
{
	bool ram = is_ram(&self->dev);

	for (int i = 0; i < NR_COUNTERS; i++) {
		EXPECT_EQ(0444, mode_of(counter_files[i])) TH_LOG("%s", counter_files[i]);
	}
	for (int i = 0; i < 4; i++) {
		EXPECT_EQ(0444, mode_of(latency_files[i])) TH_LOG("%s", latency_files[i]);
	}
	EXPECT_EQ(0444, mode_of("backing"));
	EXPECT_EQ(0444, mode_of("size"));
	EXPECT_EQ(0444, mode_of("stat"));
	EXPECT_EQ(0200, mode_of("reset"));
	EXPECT_EQ(ram ? -1 : 0444, mode_of("path"));
	EXPECT_EQ(ram ? 0444 : -1, mode_of("dirty/pages"));
}

static int entries(const char *path)
{
	DIR *dir = opendir(path);
	int n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n - 2;
}

TEST_F(device, no_other_files)
{
	EXPECT_EQ(13, entries(SYSFS "faults"));
	EXPECT_EQ(2, entries(SYSFS "mappings"));
	EXPECT_EQ(4, entries(SYSFS "latency"));
}

TEST_F(device, what_it_is)
{
	char text[256];

	EXPECT_GT(read_file(SYSFS "backing", text, sizeof(text)), 0);
	EXPECT_STREQ(is_ram(&self->dev) ? "ram\n" : "file\n", text);
	EXPECT_EQ(self->dev.size, value_of("size"));
	if (is_ram(&self->dev)) {
		EXPECT_EQ(0, value_of("dirty/pages"));
		return;
	}
	EXPECT_GT(read_file(SYSFS "path", text, sizeof(text)), 0);
	EXPECT_STREQ("/memfd:mmapdemo-test (deleted)\n", text);
}

TEST_F(device, all_zero_at_first)
{
	struct figures figures_now;

	ASSERT_EQ(0, figures(&figures_now));
	for (int i = 0; i < NR_COUNTERS; i++) {
		EXPECT_EQ(0, figures_now.count[i]) TH_LOG("%s", counter_files[i]);
		EXPECT_EQ(0, value_of(counter_files[i]));
	}
	EXPECT_TRUE(adds_up(&figures_now));
}

TEST_F(device, stat_is_the_single_files)
{
	struct figures now;

	exercise(&self->dev);
	ASSERT_EQ(0, figures(&now));
	for (int i = 0; i < NR_COUNTERS; i++) {
		EXPECT_EQ(now.count[i], value_of(counter_files[i])) TH_LOG("%s", counter_files[i]);
	}
	for (int i = 0; i < 4; i++) {
		EXPECT_EQ(0, histogram_of(latency_files[i], now.latency[i])) {
			TH_LOG("%s", latency_files[i]);
		}
	}
	EXPECT_TRUE(adds_up(&now));
	EXPECT_LT(0, now.count[WRITE]);
	EXPECT_LT(0, now.count[COW]);
	EXPECT_LT(0, now.count[MKWRITE]);
	EXPECT_EQ(1, now.count[SIGBUSES]);
	EXPECT_EQ(1, now.count[LIVE]);
	EXPECT_EQ(2, now.count[TOTAL]);
}

/* Nothing here waits, decides or fails: these are for other days. */
TEST_F(device, quiet_counters)
{
	struct figures now;

	exercise(&self->dev);
	ASSERT_EQ(0, figures(&now));
	EXPECT_EQ(0, now.count[MAJOR]);
	EXPECT_EQ(0, now.count[RETRY]);
	EXPECT_EQ(0, now.count[OOM]);
	EXPECT_EQ(0, now.count[HWPOISON]);
	EXPECT_EQ(0, now.count[INJECTED]);
	EXPECT_EQ(0, now.count[HUGE]);
}

TEST_F(device, reset)
{
	struct figures now;

	exercise(&self->dev);
	EXPECT_EQ(2, write_file(SYSFS "reset", "1\n"));
	ASSERT_EQ(0, figures(&now));
	for (int i = 0; i < NR_COUNTERS; i++) {
		EXPECT_EQ(i == LIVE, now.count[i]) TH_LOG("%s", counter_files[i]);
	}
	for (int i = 0; i < 4; i++) {
		EXPECT_EQ(0, histogram_of(latency_files[i], now.latency[i]));
		for (int j = 0; j < BUCKETS; j++) {
			EXPECT_EQ(0, now.latency[i][j]);
		}
	}
	/* And it goes on counting from there. */
	exercise(&self->dev);
	ASSERT_EQ(0, figures(&now));
	EXPECT_EQ(10, now.count[COW]);
	EXPECT_EQ(1, now.count[SIGBUSES]);
	EXPECT_EQ(2, now.count[TOTAL]);
	EXPECT_EQ(2, now.count[LIVE]);
}

TEST_F(device, reset_takes_1_only)
{
	static const char *const bad[] = { "0", "2", "-1", "one", "1 1", "", "10", "1x" };

	exercise(&self->dev);
	mark();
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(bad[i][0] ? -EINVAL : 0, write_file(SYSFS "reset", bad[i])) {
			TH_LOG("'%s'", bad[i]);
		}
	}
	EXPECT_STREQ("", moved());
}

static int as_nobody(void *arg)
{
	(void)arg;
	if (setgid(65534) || setuid(65534))
		return 100;
	if (open(SYSFS "stat", O_RDONLY) < 0 || open(SYSFS "faults/read", O_RDONLY) < 0)
		return 101;
	return open(SYSFS "reset", O_WRONLY) < 0 ? errno : 0;
}

TEST_F(device, who_may)
{
	EXPECT_EQ(EACCES, in_child(as_nobody, NULL));
}

#define ROUNDS ((int)rounds(10000))

/* ROUNDS accesses that each fault: a load, or a store to a page that is zapped each time. */
static void fault_at_full_speed(char *p, bool write)
{
	for (int i = ROUNDS; i > 0; i--) {
		madvise(p, PAGE_SIZE, MADV_DONTNEED);
		if (write)
			*(volatile char *)p = 1;
		else
			(void)*(volatile char *)p;
	}
}

/* Two processes on two CPUs: not one of their faults is lost or counted twice. */
TEST_F(device, exact)
{
	char *p = shared_mapping(&self->dev);
	pid_t pid;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, fill(&self->dev));
	mark();
	pid = fork();
	if (!pid) {
		fault_at_full_speed(p + 32 * PAGE_SIZE, true);
		fault_at_full_speed(p + 32 * PAGE_SIZE, false);
		_exit(0);
	}
	fault_at_full_speed(p, true);
	fault_at_full_speed(p, false);
	EXPECT_EQ(0, reap(pid));
	EXPECT_STREQ(said("write=%d mkwrite=%d around=%d", 2 * ROUNDS, 2 * ROUNDS, 2 * ROUNDS),
		     moved());
	EXPECT_EQ(has_vma_locks() ? 2 * ROUNDS : 0, moved_vma_locked());
}

/* Every snapshot that is taken meanwhile belongs together, and none goes back. */
TEST_F(device, snapshots_belong_together)
{
	char *p = shared_mapping(&self->dev);
	struct figures now, last = { 0 };
	int snapshots = 0, bad = 0;
	pid_t pid[2];

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, fill(&self->dev));
	for (int i = 0; i < 2; i++) {
		pid[i] = fork();
		if (!pid[i]) {
			fault_at_full_speed(p + i * 32 * PAGE_SIZE, true);
			_exit(0);
		}
	}
	while (last.count[WRITE] < 2 * ROUNDS && snapshots < 100000) {
		ASSERT_EQ(0, figures(&now));
		bad += !adds_up(&now) || now.count[WRITE] < last.count[WRITE] ||
		       now.count[MKWRITE] < last.count[MKWRITE];
		last = now;
		snapshots++;
	}
	EXPECT_EQ(0, reap(pid[0]));
	EXPECT_EQ(0, reap(pid[1]));
	EXPECT_EQ(0, bad);
	EXPECT_GT(snapshots, 10);
	ASSERT_EQ(0, figures(&now));
	EXPECT_EQ(2 * ROUNDS, now.count[WRITE]);
	EXPECT_EQ(2 * ROUNDS, now.count[MKWRITE]);
}

/* Resets in between lose nothing and count nothing twice: what each threw away was read. */
TEST_F(device, resets_meanwhile)
{
	char *p = shared_mapping(&self->dev);
	struct figures now;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, p);
	pid = fork();
	if (!pid) {
		fault_at_full_speed(p, true);
		_exit(0);
	}
	for (int i = 0; i < 200; i++) {
		ASSERT_EQ(1, write_file(SYSFS "reset", "1"));
		ASSERT_EQ(0, figures(&now));
		ASSERT_TRUE(adds_up(&now));
		ASSERT_LE(now.count[WRITE], ROUNDS);
		ASSERT_GE(now.count[WRITE], 0);
	}
	EXPECT_EQ(0, reap(pid));
	EXPECT_EQ(1, write_file(SYSFS "reset", "1"));
	mark();
	fault_at_full_speed(p, true);
	EXPECT_STREQ(said("write=%d mkwrite=%d", ROUNDS, ROUNDS), moved());
}

TEST_HARNESS_MAIN
