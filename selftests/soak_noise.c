// SPDX-License-Identifier: GPL-2.0
/* Those that get in the way of the soak's workers, a process each. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "soak.h"

#define TRACING	"/sys/kernel/tracing/"
#define CPU1	"/sys/devices/system/cpu/cpu1/online"

static bool pause_ms(unsigned int ms)
{
	for (; ms && !is_over(); ms -= ms < 10 ? ms : 10)
		usleep(10000);
	return !is_over();
}

/* Every file of the device, and its groups. */
static void read_all(const char *dir, int depth)
{
	DIR *entries = opendir(dir);
	char path[512], buf[8192];
	struct dirent *entry;

	while (entries && (entry = readdir(entries))) {
		if (entry->d_name[0] == '.' || !strcmp(entry->d_name, "power"))
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		if (entry->d_type == DT_REG)
			read_file(path, buf, sizeof(buf));
		else if (entry->d_type == DT_DIR && depth)
			read_all(path, depth - 1);
	}
	if (entries)
		closedir(entries);
}

/* What is counted is kept, but for what comes between the reading and the reset. */
static bool reset(const struct figures *now)
{
	for (int i = 0; i < NR_COUNTERS; i++)
		soak->faults.count[i] += i == LIVE ? 0 : now->count[i];
	did(RESETS, 1);
	return write_file(SYSFS "reset", "1") == 1;
}

static bool read_figures(struct target *target, uint64_t *state)
{
	struct figures now;
	unsigned long n = 0;

	do {
		if (figures(&now) || !adds_up(&now))
			return complain("the histograms do not add up to the counters");
		did(SNAPSHOTS, 1);
		/* Once for sure. */
		if (target->resets && (n++ == 5 || below(state, 100) == 0) && !reset(&now))
			return complain("reset failed");
		if (below(state, 10) == 0)
			read_all(SYSFS, 1);
	} while (pause_ms(10));
	return true;
}

static bool drop_caches(struct target *target, uint64_t *state)
{
	char value[] = "0";

	(void)target;
	/* The log is not to tell of each time. */
	write_file("/proc/sys/vm/drop_caches", "4");
	while (pause_ms(100 + below(state, 900))) {
		sync();
		value[0] = '0' + below(state, 4);
		if (value[0] == '0')
			write_file("/proc/sys/vm/compact_memory", "1");
		else
			write_file("/proc/sys/vm/drop_caches", value);
		did(DROPS, 1);
	}
	return true;
}

static size_t available(void)
{
	char buf[4096], *line;

	if (read_file("/proc/meminfo", buf, sizeof(buf)) < 0)
		return 0;
	line = strstr(buf, "MemAvailable:");
	return line ? strtoul(line + strlen("MemAvailable:"), NULL, 10) << 10 : 0;
}

/* Most of what there is, for a moment. */
static bool press_memory(struct target *target, uint64_t *state)
{
	(void)target;
	while (pause_ms(500 + below(state, 2000))) {
		size_t size = available() / 10 * (5 + below(state, 4));
		char *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		for (size_t i = 0; p != MAP_FAILED && i < size && !is_over(); i += PAGE_SIZE)
			p[i] = 1;
		if (p != MAP_FAILED)
			munmap(p, size);
	}
	return true;
}

/*
 * Events on and off, and the trace read in part. QEMU's TCG does not always survive that code is
 * patched while another CPU runs it: there they are on or off for the whole of a device.
 */
bool trace_events(bool on)
{
	return write_file(TRACING "events/mmapdemo/enable", on ? "1" : "0") == 1 ||
	       complain("the events cannot be switched");
}

static bool under_tcg(void)
{
	char text[8192];

	return read_file("/proc/cpuinfo", text, sizeof(text)) > 0 && strstr(text, "QEMU TCG");
}

static bool trace(struct target *target, uint64_t *state)
{
	bool stays = under_tcg();
	char buf[8192];

	(void)target;
	while (pause_ms(500 + below(state, 1000))) {
		if (!stays && !trace_events(true))
			return false;
		pause_ms(300);
		read_file(TRACING "trace", buf, sizeof(buf));
		if (!stays && !trace_events(false))
			return false;
		close(open(TRACING "trace", O_WRONLY | O_TRUNC | O_CLOEXEC));
		did(TRACINGS, 1);
	}
	return true;
}

static bool unplug(struct target *target, uint64_t *state)
{
	(void)target;
	if (access(CPU1, W_OK)) {
		cannot(UNPLUGS);
		return true;
	}
	while (pause_ms(1000 + below(state, 3000))) {
		if (write_file(CPU1, "0") != 1)
			return complain("CPU 1 cannot go");
		pause_ms(below(state, 500));
		if (write_file(CPU1, "1") != 1)
			return complain("CPU 1 cannot come back");
		did(UNPLUGS, 1);
	}
	return true;
}

/* The file loses its tail, or a part of it, and gets it back. */
static bool truncate_tail(struct target *target, uint64_t *state)
{
	off_t owned = target->owned * PAGE_SIZE;

	if (target->dev.file < 0)
		return true;
	while (pause_ms(1 + below(state, 50))) {
		off_t tail = below(state, target->dev.size - owned + 1);

		if (ftruncate(target->dev.file, owned + tail))
			return complain("truncate: %s", strerror(errno));
		did(TRUNCATIONS, 1);
	}
	return true;
}

/* Loads from pages of all workers, and may be killed in any of them. */
static void look_around(const char *p, size_t pages, uint64_t state)
{
	char byte;

	for (;;) {
		if (below(&state, 16) == 0)
			madvise((char *)p, pages * PAGE_SIZE, MADV_DONTNEED);
		byte = *(const volatile char *)(p + below(&state, pages) * PAGE_SIZE);
		(void)byte;
	}
}

static bool kill_lookers(struct target *target, uint64_t *state)
{
	int fd = open_device(O_RDONLY), status;
	const char *p = map_device(NULL, target->owned * PAGE_SIZE, PROT_READ,
				   below(state, 2) ? MAP_SHARED : MAP_PRIVATE, fd, 0);
	pid_t pid;

	if (p == MAP_FAILED)
		return false;
	do {
		pid = fork();
		if (!pid)
			look_around(p, target->owned, dice(state));
		pause_ms(below(state, 100));
		kill(pid, SIGKILL);
		if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status) ||
		    WTERMSIG(status) != SIGKILL)
			return complain("one that looks around ended: %#x", status);
		did(KILLS, 1);
	} while (!is_over());
	return true;
}

static bool (*const noises[NOISES])(struct target *target, uint64_t *state) = {
	read_figures, drop_caches, press_memory, trace, unplug, truncate_tail, kill_lookers,
	control, go_visiting, talk_nonsense, starve,
};

int make_noise(struct target *target, unsigned int which)
{
	uint64_t state = target->seed + 1000 + which;

	return !noises[which](target, &state);
}
