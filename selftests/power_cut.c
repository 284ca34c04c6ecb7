// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's side of selftests/vm/power-cut: a writer that acknowledges what is durable, and
 * the check of what is left of it after the machine was killed.
 *
 * The writer goes in rounds. In each it stamps some pages, through a shared mapping of the
 * device, with the number of the round, the epoch; it calls msync(MS_SYNC) over all or a part,
 * fsync() or fdatasync(); and it acknowledges on a serial port, whose bytes have left QEMU when
 * they are sent. What a round does is a function of seed and epoch, so that the check knows it.
 *
 * What is promised. The call returns when the pages of its range, and what the file system
 * needs to find them, have been written and the disk has flushed its cache. So of a page
 * that was acknowledged in epoch A, every word is from A or from a later epoch in which it
 * was stamped: an older one was lost, and a page can never mix two acknowledged epochs. If
 * nothing later was in flight, that is a whole page from A.
 *
 * A page can be torn, between two of {A, the epochs in flight}, in two ways. The disk tears
 * what it was writing: only between physical sectors, and they are as large as the page here.
 * Or writeback reads the page while the writer stores to it, which ext4 lets happen to
 * a device that does not ask for stable pages; data=ordered promises no more than that no
 * stale block is seen. Then the rest of the stamp is still dirty, so it is never acknowledged
 * this way. That needs somebody who writes back behind the writer's back. So odd boots are
 * "busy", with such a process, and a page in flight may be torn; in even ones, "quiet", nobody
 * else writes back, and no page may be torn at all.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <termios.h>
#include <unistd.h>

#include "common.h"

#define PAGES	1024UL
#define SIZE	(PAGES * PAGE_SIZE)
#define WORDS	(PAGE_SIZE / 8)
#define DIR	"/mnt/cut"
#define FILE_	DIR "/file"
#define SERIAL	"/dev/ttyS1"

enum how { FSYNC, MSYNC, MSYNC_PART, FDATASYNC, NR_HOWS };

/* A round: the pages to stamp, and then what to sync, pages [first, first + count). */
struct plan {
	enum how how;
	unsigned int nr;
	size_t page[16];
	size_t first, count;
};

static uint64_t seed;
static uint32_t boot;

/* Epochs of a boot begin at its number << 16; nothing is stamped in that first one. */
static uint32_t first_epoch(void)
{
	return boot << 16;
}

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

static struct plan plan_of(uint32_t epoch)
{
	uint64_t dice = mix(seed ^ mix(epoch));
	struct plan plan = { .how = epoch % NR_HOWS, .count = PAGES };
	size_t start = dice % (PAGES - 64);

	if (epoch == first_epoch())
		return (struct plan){ .how = FSYNC, .count = PAGES };
	/* Near each other, and the same ones now and then. */
	plan.nr = 1 + (dice >> 32) % 16;
	for (unsigned int i = 0; i < plan.nr; i++) {
		dice = mix(dice);
		plan.page[i] = dice % 8 ? start + (dice >> 8) % 64 : (dice >> 8) % 16;
	}
	if (plan.how == MSYNC_PART) {
		plan.first = start + (dice >> 40) % 32;
		plan.count = 1 + (dice >> 48) % 32;
	}
	return plan;
}

/* A page: every word tells its epoch, page and place, and the last one has a checksum of all. */

static uint64_t word(uint32_t epoch, size_t page, unsigned int i)
{
	return (uint64_t)epoch << 32 | page * WORDS | i;
}

static uint32_t checksum(const uint64_t *words)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < WORDS - 1; i++)
		sum = mix(sum ^ words[i]);
	return sum;
}

static void stamp(uint64_t *words, size_t page, uint32_t epoch)
{
	for (unsigned int i = 0; i < WORDS - 1; i++)
		words[i] = word(epoch, page, i);
	words[WORDS - 1] = (uint64_t)epoch << 32 | checksum(words);
}

/* The writer */

static int open_serial(void)
{
	int fd = open(SERIAL, O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct termios raw;

	if (fd < 0 || tcgetattr(fd, &raw))
		err(2, SERIAL);
	cfmakeraw(&raw);
	cfsetspeed(&raw, B115200);
	if (tcsetattr(fd, TCSANOW, &raw))
		err(2, SERIAL);
	return fd;
}

/* "EPOCH FIRST COUNT": when this returns it is out of the machine. */
static void acknowledge(int serial, uint32_t epoch, const struct plan *plan)
{
	if (dprintf(serial, "%u %zu %zu\n", epoch, plan->first, plan->count) < 0 || tcdrain(serial))
		err(2, SERIAL);
}

static int sync_plan(int fd, char *p, const struct plan *plan)
{
	switch (plan->how) {
	case FSYNC:
		return fsync(fd);
	case FDATASYNC:
		return fdatasync(fd);
	default:
		return msync(p + plan->first * PAGE_SIZE, plan->count * PAGE_SIZE, MS_SYNC);
	}
}

/* A new file, all of it a hole, so that blocks are allotted while it is written. */
static int make_file(void)
{
	int dir = open(DIR, O_RDONLY | O_CLOEXEC), fd;

	unlink(FILE_);
	fd = open(FILE_, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0 || ftruncate(fd, SIZE) || fsync(fd) || fsync(dir))
		err(2, FILE_);
	return fd;
}

static void write_back_for_ever(int fd)
{
	for (;;) {
		sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
		usleep(500);
	}
}

static bool busy(void)
{
	return boot % 2;
}

static int write_for_ever(bool lie)
{
	int file = make_file(), fd, serial = open_serial();
	uint32_t epoch = first_epoch();
	struct plan plan;
	char *p;

	if (module_load("backing=file path=" FILE_))
		errx(2, "the module does not load");
	fd = open(NODE, O_RDWR | O_CLOEXEC);
	p = map(fd, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	if (p == MAP_FAILED)
		err(2, NODE);
	write_file("/proc/sys/vm/dirty_writeback_centisecs", "0");
	if (busy() && !fork())
		write_back_for_ever(file);
	for (;; epoch++) {
		plan = plan_of(epoch);
		for (unsigned int i = 0; i < plan.nr; i++)
			stamp((uint64_t *)(p + plan.page[i] * PAGE_SIZE), plan.page[i], epoch);
		if (!lie && sync_plan(fd, p, &plan))
			err(2, "epoch %u", epoch);
		acknowledge(serial, epoch, &plan);
	}
}

/* The check */

static uint32_t stamped[PAGES], acknowledged[PAGES];
static uint32_t newest;

/* Epochs, one after the other, each as planned; the line that the kill cut off is not one. */
static unsigned int read_acks(const char *path)
{
	unsigned int epoch, acks = 0;
	size_t first, count;
	char line[64];
	FILE *file = fopen(path, "r");
	struct plan plan;

	if (!file)
		err(2, "%s", path);
	while (fgets(line, sizeof(line), file) && strchr(line, '\n')) {
		newest = first_epoch() + acks++;
		plan = plan_of(newest);
		if (sscanf(line, "%u %zu %zu", &epoch, &first, &count) != 3 || epoch != newest ||
		    first != plan.first || count != plan.count)
			errx(2, "%s: unexpected: %s", path, line);
		for (unsigned int i = 0; i < plan.nr; i++)
			stamped[plan.page[i]] = epoch;
		for (size_t i = first; i < first + count; i++)
			acknowledged[i] = stamped[i];
	}
	fclose(file);
	return acks;
}

/* May a word of this page be from that epoch? At most one was in flight, the one after newest. */
static bool expected(size_t page, uint32_t epoch)
{
	struct plan plan;

	if (epoch == acknowledged[page])
		return true;
	if (epoch < acknowledged[page] || epoch <= first_epoch() || epoch > newest + 1)
		return false;
	plan = plan_of(epoch);
	for (unsigned int i = 0; i < plan.nr; i++)
		if (plan.page[i] == page)
			return true;
	return false;
}

static const char *wrong(size_t page, const uint64_t *words, bool *torn)
{
	static char why[160];
	uint32_t epoch = 0, last = words[0] >> 32;

	for (unsigned int i = 0; i < WORDS; i++, last = epoch) {
		epoch = words[i] >> 32;
		*torn |= epoch != last;
		if (expected(page, epoch) &&
		    (i == WORDS - 1 || words[i] == (epoch ? word(epoch, page, i) : 0)))
			continue;
		sprintf(why, "page %zu, word %u is %#llx, acknowledged %#x, the last %#x", page, i,
			(unsigned long long)words[i], acknowledged[page], newest);
		return why;
	}
	if (*torn)
		return busy() ? NULL : "torn, and nobody wrote back meanwhile";
	if (epoch && (uint32_t)words[WORDS - 1] != checksum(words))
		return "a checksum is wrong";
	return NULL;
}

static int check(const char *name, const char *acks_path)
{
	unsigned int acks = read_acks(acks_path), pages = 0, torn = 0, bad = 0;
	int fd = open(FILE_, O_RDONLY | O_CLOEXEC);
	static uint64_t words[WORDS];
	const char *why, *first = "";
	bool is_torn;

	for (size_t i = 0; i < PAGES; i++) {
		is_torn = false;
		if (pread(fd, words, PAGE_SIZE, i * PAGE_SIZE) == PAGE_SIZE)
			why = wrong(i, words, &is_torn);
		else
			why = fd < 0 ? "there is no file" : "it cannot be read";
		if (why && !bad++)
			first = strdup(why);
		pages += acknowledged[i] > 0;
		torn += is_torn;
	}
	close(fd);
	printf("%s: %s, %u acks, %lu pages checked, %u of them acknowledged, ", name,
	       bad || !acks ? "FAILED" : "ok", acks, PAGES, pages);
	printf("%u torn, newest epoch %u", torn, newest & 0xffff);
	if (bad)
		printf(", %u wrong: %s", bad, first);
	printf("\n");
	return bad || !acks;
}

int main(int argc, char **argv)
{
	bool checks = argc > 6 && !strcmp(argv[1], "check");
	const char *options = argc > 4 ? argv[checks ? 7 : 5] : NULL;
	int failed;

	if (argc < 5 || (!checks && !strcmp(argv[1], "check")))
		errx(2, "usage: power_cut check NODE SEED BOOT NAME ACKS [MOUNT-OPTIONS]\n"
		     "       power_cut write|lie NODE SEED BOOT [MOUNT-OPTIONS]");
	seed = strtoull(argv[3], NULL, 0);
	boot = atoi(argv[4]);
	if (run("mkdir -p " DIR) || mount(argv[2], DIR, "ext4", 0, options))
		err(2, "%s", argv[2]);
	if (!checks)
		return write_for_ever(!strcmp(argv[1], "lie"));
	failed = check(argv[5], argv[6]);
	if (umount(DIR))
		err(2, DIR);
	return failed;
}
