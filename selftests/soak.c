// SPDX-License-Identifier: GPL-2.0
/*
 * Everything together, on one random device after another, for a number of minutes: see soak.h.
 * selftests/vm/soak runs it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "soak.h"

static const char *const backing_names[] = {
	[RAM_4K] = "ram", [RAM_HUGE] = "ram, huge", [EXT4] = "ext4", [TMPFS] = "tmpfs",
	[MEMFD] = "memfd", [XFS] = "xfs", [BTRFS] = "btrfs",
};

/* Of those that devices are made on. */
#define NR_KINDS 6

struct soak *soak;

static struct options {
	double seconds;
	uint64_t seed;
	const char *stop;
} options;

static struct figures faults;		/* of all devices that are done with */
static volatile sig_atomic_t interrupted;
static double began;
static bool had_file;

bool complain(const char *format, ...)
{
	va_list args;

	if (!__atomic_exchange_n(&soak->failed, true, __ATOMIC_ACQ_REL)) {
		va_start(args, format);
		vsnprintf(soak->complaint, sizeof(soak->complaint), format, args);
		va_end(args);
	}
	return false;
}

int open_device(int flags)
{
	int fd = open(NODE, flags | O_CLOEXEC);

	did(OPENS, 1);
	if (fd < 0)
		complain("open: %s", strerror(errno));
	return fd;
}

void *map_device(void *address, size_t size, int prot, int flags, int fd, off_t offset)
{
	void *p = mmap(address, size, prot, flags, fd, offset);

	if (p == MAP_FAILED)
		complain("mmap: %s", strerror(errno));
	else
		did(MMAPS, 1);
	return p;
}

static double elapsed(void)
{
	return seconds() - began;
}

static bool to_be_stopped(void)
{
	return interrupted || soak->failed || elapsed() >= options.seconds ||
	       (options.stop && !access(options.stop, F_OK));
}

/* The device of a round */

static int make_file(struct device *dev)
{
	const char *name = backing_names[dev->backing];
	const char *dir;

	if (dev->backing == MEMFD) {
		dev->file = memfd_create("soak", 0);
		snprintf(dev->path, sizeof(dev->path), "/proc/%d/fd/%d", getpid(), dev->file);
	} else {
		dir = fs_dir(name, dev->why);
		if (!dir)
			return 1;
		snprintf(dev->path, sizeof(dev->path), "%s/soak", dir);
		dev->file = open(dev->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	}
	return dev->file < 0 || ftruncate(dev->file, dev->size) ? -errno : 0;
}

/* 0, -errno, or 1 and why there is no such device here. */
static int target_up(struct target *t, enum backing which, uint64_t *state)
{
	struct device *dev = &t->dev;
	int err;

	memset(t, 0, sizeof(*t));
	t->seed = dice(state);
	t->workers = 2 + below(state, MOST_WORKERS - 1);
	t->each = 16 + below(state, 240);
	t->resets = soak->done[DEVICES] % 3 == options.seed % 3;
	if (which == RAM_HUGE)
		t->each *= 4;
	t->owned = t->workers * t->each;
	*dev = (struct device){
		.backing = which, .pages = t->owned + 1 + below(state, 63), .file = -1,
	};
	dev->size = dev->pages * PAGE_SIZE;
	if (is_ram(dev))
		return module_load("size=%zu huge=%d", dev->size, which == RAM_HUGE);
	err = make_file(dev);
	had_file |= !err;
	return err ?: module_load("backing=file path=%s", dev->path);
}

/*
 * What was let go may be put by a worker of the kernel, a little later: what rings had, and files
 * in sockets that only each other's messages hold, of which some worker thinks when another socket
 * is closed.
 */
static int unload_soon(void)
{
	int err = module_unload(), fd;

	for (int i = 0; i < 6000 && err == -EWOULDBLOCK; i++) {
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd >= 0)
			close(fd);
		usleep(10000);
		err = module_unload();
	}
	return err;
}

static int target_down(struct target *t)
{
	int err = unload_soon();

	if (t->dev.file >= 0)
		close(t->dev.file);
	if (t->dev.path[0] && t->dev.backing != MEMFD)
		unlink(t->dev.path);
	return err;
}

/* Telling */

static long long sum_of_faults(const struct figures *figures)
{
	const long long *count = figures->count;

	return count[READ] + count[WRITE] + count[COW] + count[MKWRITE] + count[AROUND];
}

static long long faults_so_far(void)
{
	struct figures now = { 0 };

	figures(&now);
	return sum_of_faults(&faults) + sum_of_faults(&soak->faults) + sum_of_faults(&now);
}

static void clock_text(char text[16], double seconds)
{
	snprintf(text, 16, "%d:%02d", (int)seconds / 60, (int)seconds % 60);
}

static void progress(const struct target *t)
{
	static double next = 10;
	char now[16], all[16];

	if (elapsed() < next)
		return;
	next = elapsed() + 10;
	clock_text(now, elapsed());
	clock_text(all, options.seconds);
	printf("%s of %s: device %lu (%s, %zu KiB), %lld faults\n", now, all,
	       soak->done[DEVICES], backing_names[t->dev.backing], t->dev.size >> 10,
	       faults_so_far());
	fflush(stdout);
}

static const struct {
	enum done done;
	const char *name;
} lines[] = {
	{ DEVICES, "devices made" }, { OPENS, "opens" }, { MMAPS, "mmaps" }, { FORKS, "forks" },
	{ BYTES_READ, "bytes read" }, { BYTES_WRITTEN, "bytes written" },
	{ SELF_READS, "pages read onto the device itself" },
	{ SELF_WRITES, "pages written from the device itself" },
	{ RING_READS, "pages read by a ring" }, { RING_WRITES, "pages written by a ring" },
	{ RING_BUFFERS, "pages through registered buffers" },
	{ PINNED_COPIES, "private copies registered as buffers" },
	{ PAGES_IN_PIPES, "pages put into pipes" }, { TEES, "pages from pipe to pipe" },
	{ FILES_RECEIVED, "files received in messages" },
	{ FILES_DROPPED, "files dropped with their messages" },
	{ FILES_IN_CIRCLES, "files left for garbage" },
	{ USERFAULTS, "pages marked by userfaultfd" },
	{ PROCESS_VM, "pages of others by process_vm" },
	{ PROC_MEM, "pages of others by /proc/PID/mem" }, { PTRACES, "pages of others by ptrace" },
	{ PEEKS, "looks at others while they worked" },
	{ SIGNALS, "signals handled, at 100 Hz" }, { FAST_SIGNALS, "signals handled, at 1 kHz" },
	{ SIGBUS_CAUGHT, "SIGBUS caught" }, { SIGSEGV_CAUGHT, "SIGSEGV caught" },
	{ KILLS, "processes killed" },
	{ TRUNCATIONS, "truncations" }, { HOLES, "holes punched" },
	{ SNAPSHOTS, "snapshots that added up" }, { RESETS, "resets" },
	{ DROPS, "caches dropped, memory compacted" }, { UNPLUGS, "CPU gone and back" },
	{ TRACINGS, "traces read" }, { MESSAGES, "commands by netlink" },
	{ BESIDES, "devices made by them" }, { EVENTS, "events heard" },
	{ MUTATED, "messages with something wrong" }, { REFUSED, "answers to them: refused" },
	{ TAKEN, "answers to them: not refused" }, { DEAF, "listeners that missed events" },
	{ STARVED, "calls refused by injected failures" },
};

static void summary(void)
{
	printf("faults%s:\n", soak->done[RESETS] ? ", less what resets lost on the way" : "");
	for (int i = 0; i < NR_COUNTERS; i++)
		if (faults.count[i] && i != TOTAL && i != LIVE)
			printf("%14lld %s\n", faults.count[i], strchr(counter_files[i], '/') + 1);
	printf("and:\n");
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		printf("%14lu %s%s\n", soak->done[lines[i].done], lines[i].name,
		       soak->cannot[lines[i].done] ? " (cannot be done here)" : "");
}

/*
 * What is never done is not tested. One device, and that it is the right one, can make the
 * difference, so nothing is said of a run without one of each kind.
 */
static void expect_all_kinds(void)
{
	_Static_assert(sizeof(lines) / sizeof(lines[0]) == NR_DONE, "a line for each");

	if (!had_file) {
		cannot(TRUNCATIONS);
		cannot(HOLES);
	}
	if (soak->failed || soak->done[DEVICES] < NR_KINDS)
		return;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		if (soak->done[lines[i].done] || soak->cannot[lines[i].done])
			continue;
		complain("never done: %s", lines[i].name);
		printf("FAILED: never done: %s\n", lines[i].name);
	}
}

/* One round */

static pid_t start(struct target *t, unsigned int number)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	/* Whoever stops us, stops them. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_DFL);
	_exit(number < t->workers ? work(t, number) : make_noise(t, number - t->workers));
}

/* Until it is over: nobody may end before, but one that has nothing to do with this backing. */
static void wait_for_children(const struct target *t, double end)
{
	int status;

	while (!to_be_stopped() && elapsed() < end) {
		while (waitpid(-1, &status, WNOHANG) > 0)
			if (status)
				complain("a process ended with status %#x", status);
		progress(t);
		usleep(20000);
	}
	__atomic_store_n(&soak->over, true, __ATOMIC_RELEASE);
	while (wait(&status) > 0)
		if (status)
			complain("a process ended with status %#x", status);
}

/* Everybody is gone: the counters are what they will ever be. */
static void judge(const struct target *t, long long mmaps, long long sigbuses)
{
	struct figures now;

	if (figures(&now) || !adds_up(&now)) {
		complain("the counters do not add up in the end");
		return;
	}
	if (now.count[LIVE])
		complain("%lld mappings are left", now.count[LIVE]);
	if (!t->resets && now.count[TOTAL] != mmaps)
		complain("%lld mmaps were counted as %lld", mmaps, now.count[TOTAL]);
	if (!t->resets && now.count[SIGBUSES] != sigbuses)
		complain("%lld SIGBUS were counted as %lld", sigbuses, now.count[SIGBUSES]);
	for (int i = 0; i < NR_COUNTERS; i++)
		faults.count[i] += now.count[i] + soak->faults.count[i];
	memset(&soak->faults, 0, sizeof(soak->faults));
}

static bool round_on(enum backing backing, uint64_t *state)
{
	unsigned long mmaps = soak->done[MMAPS], sigbuses = soak->done[SIGBUS_CAUGHT];
	struct target t;
	int err = target_up(&t, backing, state);

	if (err > 0) {
		printf("no device on %s: %s\n", backing_names[backing], t.dev.why);
		return true;
	}
	if (err)
		return complain("a device on %s cannot be made: %s", backing_names[backing],
				strerror(-err));
	did(DEVICES, 1);
	soak->over = false;
	memset(soak->visit, 0, sizeof(soak->visit));
	memset(soak->epoch, 0, sizeof(soak->epoch));
	/* They are off again when the module goes. */
	trace_events(below(state, 2));
	for (unsigned int i = 0; i < t.workers + NOISES; i++)
		if (start(&t, i) < 0)
			complain("fork: %s", strerror(errno));
	wait_for_children(&t, elapsed() + 4 + below(state, 6));
	judge(&t, soak->done[MMAPS] - mmaps, soak->done[SIGBUS_CAUGHT] - sigbuses);
	err = target_down(&t);
	if (err || module_loaded())
		complain("the module cannot be unloaded: %s", strerror(-err));
	if (soak->failed)
		printf("FAILED: device %lu, %s, %u workers of %zu pages, %zu pages: %s\n",
		       soak->done[DEVICES], backing_names[backing], t.workers, t.each, t.dev.pages,
		       soak->complaint);
	return !soak->failed;
}

/*
 * Each backing once, in an order of chance; then again. Not btrfs: with the same workers on its
 * file, and no device at all, 6.12 shows old data in a hole after 350 s, and loses pages that
 * /proc/self/mem has written ("marked dirty without notifying the fs", EUCLEAN) after 85 s.
 */
static void rounds_of_all(uint64_t *state)
{
	enum backing order[NR_KINDS] = { RAM_4K, RAM_HUGE, EXT4, TMPFS, MEMFD, XFS };
	const size_t n = NR_KINDS;

	for (size_t i = 0; !to_be_stopped(); i = (i + 1) % n) {
		size_t j = i + below(state, n - i);
		enum backing backing = order[j];

		order[j] = order[i];
		order[i] = backing;
		if (!round_on(backing, state))
			return;
	}
}

static void on_stop(int sig)
{
	(void)sig;
	interrupted = 1;
}

static void parse(int argc, char **argv)
{
	static const struct option names[] = {
		{ "minutes", required_argument, NULL, 'm' },
		{ "seed", required_argument, NULL, 's' },
		{ "stop", required_argument, NULL, 'f' }, { 0 },
	};
	int option;

	options.seconds = 60;
	options.seed = time(NULL) ^ getpid() << 20;
	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (option == 'm')
			options.seconds = 60 * atof(optarg);
		else if (option == 's')
			options.seed = strtoull(optarg, NULL, 0);
		else if (option == 'f')
			options.stop = optarg;
		else
			exit(2);
	}
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_stop };
	uint64_t state;

	parse(argc, argv);
	soak = mmap(NULL, sizeof(*soak), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (soak == MAP_FAILED)
		return 1;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	began = seconds();
	state = options.seed;
	printf("seed %lu\n", options.seed);
	fflush(stdout);
	rounds_of_all(&state);
	expect_all_kinds();
	summary();
	printf("1..1\n%s 1 - soak, %.0f s, seed %lu\n", soak->failed ? "not ok" : "ok", elapsed(),
	       options.seed);
	return soak->failed;
}
