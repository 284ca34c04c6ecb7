// SPDX-License-Identifier: GPL-2.0
/*
 * Two processes increment one counter in turn, each by a way of its own, while a third writes
 * back, drops caches and compacts memory: no value is ever stale, no increment is ever lost.
 *
 * The counter is the handshake. Increment t is done by side t % 2, after it has seen increment
 * t - 1, so each side knows at any time the two values that it may see: that before the next
 * increment, and that after it. Anything else is stale, and is seen at once.
 *
 * Each test lasts half a second, or until it was disturbed once; with MMAPDEMO_ROUNDS, as long as
 * its share of them takes:
 *	selftests/vm/run -n -d 512 -t 9999 -- \
 *		env MMAPDEMO_ROUNDS=10000000 run-all -t 9999 coherence_test
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fixture.h"

/* Of all rounds: three for each of the 12 tests without calls, which are faster, one for 24. */
#define SHARES 60

/* After so many increments the counter goes on in the next page, and comes round. */
#define STAY 256

/* How a process gets at the counter. */
struct way {
	bool calls;		/* pread() and pwrite(), else a mapping */
	bool file;		/* the file behind the device, else the device */
};

static const struct way mapping, calls = { .calls = true };
static const struct way file_mapping = { .file = true };
static const struct way file_calls = { .calls = true, .file = true };

/* A process's own file and mapping. */
struct side {
	struct way way;
	int fd;
	char *p;
	size_t size;
	size_t pages;
};

#define LATE 5

/*
 * What the processes share beside the counter.
 * @end: the first increment that is not to be done
 * @deadline: when side 0 is to set @end, in seconds, or LATE after that if not yet disturbed:
 *	what writes back may have no end as long as they play
 * @wrong: the increment at which a side saw what it must not see; @seen, @expected: that
 * @disturbances: rounds of disturb()
 */
struct game {
	struct way way[2];
	unsigned long end;
	double deadline;
	bool failed;
	unsigned long wrong, seen, expected;
	unsigned long disturbances;
};

static struct game *game;

/* Two values in a row differ in one bit, so that a copy byte by byte is one or the other. */
static uint64_t gray(uint64_t value)
{
	return value ^ (value >> 1);
}

static uint64_t from_gray(uint64_t code)
{
	for (int shift = 1; shift < 64; shift *= 2)
		code ^= code >> shift;
	return code;
}

static off_t offset_of(const struct side *side, unsigned long turn)
{
	return turn / STAY % side->pages * PAGE_SIZE;
}

/* How many increments the page has had after this one. */
static uint64_t value_of(const struct side *side, unsigned long turn)
{
	return turn / (STAY * side->pages) * STAY + turn % STAY + 1;
}

static uint64_t look(const struct side *side, off_t offset)
{
	uint64_t value;

	if (!side->way.calls)
		return *(volatile uint64_t *)(side->p + offset);
	return pread(side->fd, &value, sizeof(value), offset) == sizeof(value) ? value : ~0UL;
}

static bool put(const struct side *side, off_t offset, uint64_t value)
{
	if (side->way.calls)
		return pwrite(side->fd, &value, sizeof(value), offset) == sizeof(value);
	*(volatile uint64_t *)(side->p + offset) = value;
	return true;
}

/*
 * On each page the sides begin on two CPUs. Where QEMU's threads share cores with others, one that
 * spins keeps from running whom it waits for: after a long wait side 0 joins side 1 on its CPU.
 */
#define LONG_WAIT 4096		/* looks, of which one by pread() counts as 16 */

static void choose_cpu(unsigned long turn, bool together)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET((turn / STAY + (together ? 1 : turn)) % 2, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
}

static bool over(unsigned long turn)
{
	return turn >= __atomic_load_n(&game->end, __ATOMIC_ACQUIRE);
}

static bool wrong(unsigned long turn, uint64_t seen, uint64_t expected)
{
	game->wrong = turn;
	game->seen = seen;
	game->expected = expected;
	game->failed = true;
	return false;
}

/* Wait for the other's increment, or for the end. */
static bool await(const struct side *side, unsigned long turn)
{
	uint64_t after = gray(value_of(side, turn)), before = gray(value_of(side, turn) - 1);
	off_t offset = offset_of(side, turn);
	uint64_t seen;

	for (unsigned int spin = 1; (seen = look(side, offset)) != after; spin++) {
		if (seen != before)
			return wrong(turn, seen, before);
		if (over(turn))
			return true;
		if (turn % 2 && spin == LONG_WAIT / (side->way.calls ? 16 : 1))
			choose_cpu(turn, true);
		else if (spin % 32 == 0)
			sched_yield();
		else
			__builtin_ia32_pause();
	}
	return true;
}

static bool increment(const struct side *side, unsigned long turn)
{
	uint64_t before = gray(value_of(side, turn) - 1);
	off_t offset = offset_of(side, turn);
	uint64_t seen = look(side, offset);

	if (seen != before)
		return wrong(turn, seen, before);
	return put(side, offset, gray(value_of(side, turn))) || wrong(turn, seen, before);
}

/* The counter comes to a page, whose mapping is to be made anew: so it may have gone. */
static void turn_page(const struct side *side, unsigned long turn)
{
	choose_cpu(turn, false);
	if (!side->way.calls)
		madvise(side->p, side->size, MADV_DONTNEED);
	if (turn && turn % 2 == 0 &&
	    seconds() > game->deadline + (game->disturbances ? 0 : LATE))
		__atomic_store_n(&game->end, turn, __ATOMIC_RELEASE);
}

static bool play(const struct side *side, unsigned long turn)
{
	for (; !over(turn); turn += 2) {
		if (turn && !await(side, turn - 1))
			return false;
		if (turn % STAY < 2)
			turn_page(side, turn);
		if (!over(turn) && !increment(side, turn))
			return false;
	}
	return true;
}

static bool side_up(struct side *side, const struct device *dev, struct way way)
{
	*side = (struct side){ .way = way, .size = dev->size, .pages = dev->pages };
	side->fd = way.file ? dev->file : open(NODE, O_RDWR | O_CLOEXEC);
	side->p = map(side->fd, dev->size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	return side->p != MAP_FAILED;
}

/* Whatever may take a page away, write-protect or move it; and a pause as long as that took. */
static int disturb(const struct device *dev)
{
	struct side side;
	double begin;

	if (!side_up(&side, dev, mapping))
		return 1;
	/* The log is not to tell of each time. */
	write_file("/proc/sys/vm/drop_caches", "4");
	for (;;) {
		begin = seconds();
		if (msync(side.p, dev->size, MS_SYNC) || fsync(side.fd))
			return 1;
		if (dev->file >= 0 && sync_file_range(dev->file, 0, 0, SYNC_FILE_RANGE_WRITE))
			return 1;
		sync();
		load(side.p, dev->pages);
		/* What nobody else has mapped just now can be dropped. */
		madvise(side.p, dev->size, MADV_PAGEOUT);
		madvise(side.p, dev->size, MADV_DONTNEED);
		write_file("/proc/sys/vm/drop_caches", "3");
		write_file("/proc/sys/vm/compact_memory", "1");
		game->disturbances++;
		usleep((seconds() - begin) * 1e6);
	}
}

/* Process 0 and 1 play, 2 disturbs. */
static pid_t start(const struct device *dev, unsigned int process)
{
	struct side side;
	pid_t pid = fork();

	if (pid)
		return pid;
	if (process == 2)
		_exit(disturb(dev));
	_exit(!side_up(&side, dev, game->way[process]) || !play(&side, process));
}

/* True if both players succeed while the disturber lives, which ends a round. Waits for all. */
static bool ends_well(const pid_t pid[3])
{
	bool good = true;
	int status;

	for (int playing = 2; playing; ) {
		playing -= wait(&status) != pid[2];
		if (status)
			good = false;
		if (!good)
			break;
	}
	for (int i = 0; good && !game->disturbances && i < 3000; i++)
		usleep(100000);
	for (int i = 0; i < 3; i++)
		kill(pid[i], SIGKILL);
	while (wait(NULL) > 0)
		;
	return good;
}

static int new_game(struct device *dev, struct way one, struct way two)
{
	const char *increments = getenv("MMAPDEMO_ROUNDS");
	unsigned long share = one.calls || two.calls ? 1 : 3;
	const uint64_t zero = 0;
	int err = fill(dev);

	for (size_t i = 0; i < dev->pages; i++)
		if (pwrite(dev->fd, &zero, sizeof(zero), i * PAGE_SIZE) != sizeof(zero))
			return -1;
	game = mmap(NULL, sizeof(*game), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	game->way[0] = one;
	game->way[1] = two;
	game->end = increments ? (strtoul(increments, NULL, 0) * share + SHARES - 1) / SHARES :
				ULONG_MAX;
	game->deadline = increments ? 1e9 : seconds() + 0.5;
	return err;
}

/* All increments, as one more process sees them. */
static unsigned long sum(const struct device *dev, struct way way)
{
	unsigned long sum = 0;
	struct side side;

	if (!side_up(&side, dev, way))
		return 0;
	for (size_t i = 0; i < dev->pages; i++)
		sum += from_gray(look(&side, i * PAGE_SIZE));
	munmap(side.p, side.size);
	return sum;
}

static void in_turn(struct __test_metadata *_metadata, struct device *dev, struct way one,
		    struct way two)
{
	double begin = seconds();
	pid_t pid[3];

	ASSERT_EQ(0, new_game(dev, one, two));
	for (int i = 0; i < 3; i++) {
		pid[i] = start(dev, i);
		ASSERT_LT(0, pid[i]);
	}
	EXPECT_TRUE(ends_well(pid));
	EXPECT_FALSE(game->failed)
		TH_LOG("increment %lu: saw %#lx, expected %#lx or the next", game->wrong,
		       game->seen, game->expected);
	EXPECT_LE(STAY, game->end);
	EXPECT_LT(0, game->disturbances);
	/* Nobody has a page mapped now: whatever may be dropped is. */
	EXPECT_EQ(0, fsync(dev->fd));
	EXPECT_EQ(1, write_file("/proc/sys/vm/drop_caches", "1"));
	EXPECT_EQ(game->end, sum(dev, mapping));
	EXPECT_EQ(game->end, sum(dev, calls));
	EXPECT_TRUE(dev->file < 0 || sum(dev, file_calls) == game->end);
	TH_LOG("%lu increments, %lu disturbances, %.1f s", game->end, game->disturbances,
	       seconds() - begin);
}

DEVICE_FIXTURE(device);
RAM_VARIANTS(device);
FILE_VARIANTS(device);
MORE_FILE_VARIANTS(device);

TEST_F_TIMEOUT(device, mapping_and_mapping, 9999)
{
	in_turn(_metadata, &self->dev, mapping, mapping);
}

TEST_F_TIMEOUT(device, mapping_and_calls, 9999)
{
	in_turn(_metadata, &self->dev, mapping, calls);
}

TEST_F_TIMEOUT(device, calls_and_calls, 9999)
{
	in_turn(_metadata, &self->dev, calls, calls);
}

DEVICE_FIXTURE(file);
FILE_VARIANTS(file);
MORE_FILE_VARIANTS(file);

TEST_F_TIMEOUT(file, mapping_and_mapping_of_the_file, 9999)
{
	in_turn(_metadata, &self->dev, mapping, file_mapping);
}

TEST_F_TIMEOUT(file, mapping_and_calls_on_the_file, 9999)
{
	in_turn(_metadata, &self->dev, mapping, file_calls);
}

TEST_F_TIMEOUT(file, calls_and_mapping_of_the_file, 9999)
{
	in_turn(_metadata, &self->dev, calls, file_mapping);
}

TEST_HARNESS_MAIN
