// SPDX-License-Identifier: GPL-2.0
/*
 * Every file that a device has in sysfs, read and written in every odd size by processes that keep
 * it open and open it again, while the device is taken away and another comes by the same name.
 *
 * An open file belongs to the device that it was opened of: it gives what that one has, whole,
 * and ENODEV, for ever, once that one is gone.
 */
#include <ctype.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "control.h"
#include "fixture.h"

#define DEV "mmapdemo"
#define USERS 4
#define FILES (NR_COUNTERS + 4 + 5)
#define ROOM (1 << 17)

/* What came of an access. */
enum outcome {
	NOTHING,	/* of no bytes, or behind the end */
	WHOLE,		/* all of it, or a write of the right thing */
	PART,
	REFUSED,	/* a write of the wrong thing */
	GONE,		/* ENODEV */
	ABSENT,		/* nothing to be opened */
	WRONG,
	OUTCOMES
};

struct user {
	unsigned long passes;		/* over all files */
	unsigned long moved;		/* reads of "stat" after faults had been counted */
	unsigned long count[FILES][OUTCOMES];
	char wrong[256];
};

struct stage {
	bool stop;
	unsigned long touched;
	struct user user[USERS];
};

static struct stage *stage;

enum kind { NUMBER, HISTOGRAM, STAT, BACKING, DEVICE_SIZE, PATH, RESET };

struct file {
	char path[64];
	enum kind kind;
};

static struct file files[FILES];

/* A file of a user, open or not. */
struct slot {
	int fd;
	bool gone;
	char same[160];		/* of a file that does not change: what it holds, once known */
};

static bool stopped(void)
{
	return __atomic_load_n(&stage->stop, __ATOMIC_ACQUIRE);
}

static unsigned int below(unsigned int *seed, unsigned int n)
{
	return rand_r(seed) % n;
}

/* Notes what is wrong, and everybody stops. */
static enum outcome __attribute__((format(printf, 2, 3))) wrong(struct user *user,
								const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(user->wrong, sizeof(user->wrong), format, args);
	va_end(args);
	__atomic_store_n(&stage->stop, true, __ATOMIC_RELEASE);
	return WRONG;
}

/* Contents */

static bool read_numbers(const char **text, long long *value, int nr, char end)
{
	const char *p = *text;

	for (int i = 0; i < nr; i++) {
		if (i && *p++ != ' ')
			return false;
		if (!isdigit(*p))
			return false;
		value[i] = strtoll(p, (char **)&p, 10);
	}
	*text = p + 1;
	return *p == end;
}

static int index_of(const char *const *names, int nr, const char *name, size_t len)
{
	for (int i = 0; i < nr; i++)
		if (strlen(names[i]) == len && !strncmp(names[i], name, len))
			return i;
	return -1;
}

/* Each line once, and they agree with each other as documented. */
static bool is_stat(struct user *user, const char *text)
{
	struct figures f = { 0 };
	uint64_t seen = 0;

	while (*text) {
		size_t len = strcspn(text, " ");
		int i = index_of(counter_files, NR_COUNTERS, text, len);
		int j = index_of(latency_files, 4, text, len);

		text += len;
		if ((i < 0 && j < 0) || *text++ != ' ')
			return false;
		if (!(i < 0 ? read_numbers(&text, f.latency[j], BUCKETS, '\n') :
			      read_numbers(&text, &f.count[i], 1, '\n')))
			return false;
		seen |= 1ULL << (i < 0 ? NR_COUNTERS + j : i);
	}
	user->moved += f.count[WRITE] > 0;
	return seen == (1ULL << (NR_COUNTERS + 4)) - 1 && adds_up(&f);
}

/* Lines of a power of two, or 0, and a count, the next one always greater. */
static bool is_histogram(const char *text)
{
	long long line[2], last = -1;

	for (; *text; last = line[0])
		if (!read_numbers(&text, line, 2, '\n') || line[0] <= last || !line[1] ||
		    line[0] & (line[0] - 1))
			return false;
	return true;
}

static bool is_number(const char *text)
{
	long long value;

	return read_numbers(&text, &value, 1, '\n') && !*text;
}

static bool is_whole(struct user *user, enum kind kind, const char *text)
{
	switch (kind) {
	case STAT:
		return is_stat(user, text);
	case HISTOGRAM:
		return is_histogram(text);
	case BACKING:
		return !strcmp(text, "ram\n") || !strcmp(text, "file\n");
	case PATH:
		return !strncmp(text, "/memfd:race-", 12) && strchr(text, '\n') &&
		       !*(strchr(text, '\n') + 1);
	default:
		return is_number(text);
	}
}

static bool is_constant(enum kind kind)
{
	return kind == BACKING || kind == DEVICE_SIZE || kind == PATH;
}

static enum outcome check_whole(struct user *user, struct slot *slot, const struct file *file,
				const char *text)
{
	if (!is_whole(user, file->kind, text))
		return wrong(user, "%s is torn: %.150s", file->path, text);
	if (is_constant(file->kind) && !slot->same[0])
		snprintf(slot->same, sizeof(slot->same), "%s", text);
	if (is_constant(file->kind) && strcmp(slot->same, text))
		return wrong(user, "%s is another's: %s, not %s", file->path, text, slot->same);
	return WHOLE;
}

/* What is at @at, not more than that: of the figures no more is known than how they look. */
static enum outcome check_part(struct user *user, struct slot *slot, const struct file *file,
			       const char *text, size_t at)
{
	static const char *const chars[] = {
		[NUMBER] = "\n0123456789", [HISTOGRAM] = "\n 0123456789",
		[STAT] = "\n 0123456789abcdefghijklmnopqrstuvwxyz_/",
	};

	if (!is_constant(file->kind))
		return strspn(text, chars[file->kind]) == strlen(text) ? PART :
		       wrong(user, "%s at %zu: %.150s", file->path, at, text);
	if (slot->same[0] &&
	    (at >= strlen(slot->same) || strncmp(slot->same + at, text, strlen(text))))
		return wrong(user, "%s at %zu: %s, of %s", file->path, at, text, slot->same);
	return PART;
}

/* Accesses */

static size_t odd_size(unsigned int *seed)
{
	static const size_t sizes[] = { 0, 1, 2, 3, 7, 63, 511, 4095, 4096, 4097, 65536 };

	return sizes[below(seed, ARRAY_SIZE(sizes))];
}

/*
 * From the beginning to the end in pieces. The first one fetches all of it; so whatever happens to
 * the device then, the others give the rest.
 */
static enum outcome read_pieces(struct user *user, struct slot *slot, const struct file *file,
				unsigned int *seed)
{
	static char text[ROOM];
	bool ended = false;
	size_t at = 0;

	/* Of a file that is gone the position stays, and what was fetched for another read. */
	if (lseek(slot->fd, 0, SEEK_SET) < 0)
		return errno == ENODEV ? GONE : wrong(user, "%s: lseek: %d", file->path, -errno);
	while (at <= PAGE_SIZE) {
		size_t size = odd_size(seed);
		long got = RC(read(slot->fd, text + at, size));

		if (got == -ENODEV && !at)
			return GONE;
		if (got < 0 && got != -ENODEV)
			return wrong(user, "%s: read of %zu: %ld", file->path, size, got);
		if (got > 0 && ended)
			return wrong(user, "%s: a read before %zu was short", file->path, at);
		if (size && got <= 0)
			break;
		at += got > 0 ? got : 0;
		ended |= got < (long)size;
	}
	text[at] = '\0';
	return check_whole(user, slot, file, text);
}

static enum outcome read_part(struct user *user, struct slot *slot, const struct file *file,
			      unsigned int *seed)
{
	static const off_t offsets[] = { 0, 0, 1, 2, 5, 4095, 4096, 4097, 1LL << 40 };
	off_t at = offsets[below(seed, ARRAY_SIZE(offsets))];
	size_t size = odd_size(seed);
	static char text[ROOM];
	long got = RC(pread(slot->fd, text, size, at));

	if (got == -ENODEV && size)
		return GONE;
	if (got < 0 || got > (long)size || (got && at >= (off_t)PAGE_SIZE))
		return wrong(user, "%s: read of %zu at %ld: %ld", file->path, size, at, got);
	/* At the beginning all is fetched anew; behind it, it can still be what was before. */
	if (slot->gone && !at && got)
		return wrong(user, "%s: %ld bytes after ENODEV", file->path, got);
	text[got] = '\0';
	if (!at && got < (long)size)
		return check_whole(user, slot, file, text);
	return got ? check_part(user, slot, file, text, at) : NOTHING;
}

/* "1" and whatever, behind the end of a string, or a number that is not 1; a page of it at most. */
static enum outcome write_oddly(struct user *user, struct slot *slot, const struct file *file,
				unsigned int *seed)
{
	static char text[ROOM];
	size_t size = odd_size(seed);
	bool right = below(seed, 6) == 0;
	long got, most = size < PAGE_SIZE ? size : PAGE_SIZE;

	memset(text, '7', size);
	if (right)
		memcpy(text, "1", 2);
	got = RC(pwrite(slot->fd, text, size, below(seed, 3) * 4095));
	if (got == -ENODEV)
		return GONE;
	if (got != (right || !size ? most : -EINVAL))
		return wrong(user, "%s: write of %zu, %s: %ld", file->path, size,
			     right ? "right" : "wrong", got);
	return !size ? NOTHING : right ? WHOLE : REFUSED;
}

static enum outcome use(struct user *user, struct slot *slot, const struct file *file,
			unsigned int *seed)
{
	enum outcome outcome;

	if (file->kind == RESET)
		outcome = write_oddly(user, slot, file, seed);
	else if (below(seed, 2))
		outcome = read_pieces(user, slot, file, seed);
	else
		outcome = read_part(user, slot, file, seed);
	/* Of a part read_part() knows more. */
	if (slot->gone && (outcome == WHOLE || outcome == REFUSED))
		return wrong(user, "%s: back again after ENODEV", file->path);
	slot->gone |= outcome == GONE;
	return outcome;
}

static enum outcome open_slot(struct user *user, struct slot *slot, const struct file *file)
{
	*slot = (struct slot){
		.fd = open(file->path, (file->kind == RESET ? O_WRONLY : O_RDONLY) | O_CLOEXEC),
	};
	if (slot->fd >= 0)
		return NOTHING;
	if (errno == ENOENT || errno == ENODEV)
		return ABSENT;
	return wrong(user, "%s: open: %d", file->path, -errno);
}

/* All files in turn; each is kept open for some passes, whatever becomes of it. */
static int use_all(int number)
{
	struct user *user = &stage->user[number];
	unsigned int seed = getpid();
	struct slot slot[FILES];
	enum outcome outcome;

	for (int i = 0; i < FILES; i++)
		slot[i].fd = -1;
	while (!stopped()) {
		for (int i = 0; i < FILES && !stopped(); i++) {
			if (slot[i].fd >= 0 && below(&seed, 4) == 0) {
				close(slot[i].fd);
				slot[i].fd = -1;
			}
			outcome = slot[i].fd < 0 ? open_slot(user, &slot[i], &files[i]) : NOTHING;
			if (slot[i].fd >= 0)
				outcome = use(user, &slot[i], &files[i], &seed);
			user->count[i][outcome]++;
		}
		__atomic_add_fetch(&user->passes, 1, __ATOMIC_RELEASE);
		/* Unloading waits until each task has slept once. */
		usleep(100);
	}
	return user->wrong[0] != '\0';
}

/* Meanwhile there is something to be counted. */
static int touch(void)
{
	while (!stopped()) {
		int fd = open(NODE, O_RDWR | O_CLOEXEC);
		char *p = mmap(NULL, 4 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

		for (int i = 0; p != MAP_FAILED && i < 4; i++) {
			/* A load before it makes it one of mkwrite. */
			if (i % 2)
				trap_load(p + i * PAGE_SIZE);
			stage->touched += !trap_store(p + i * PAGE_SIZE);
		}
		if (p != MAP_FAILED)
			munmap(p, 4 * PAGE_SIZE);
		close(fd);
		usleep(2000);
	}
	return 0;
}

/* The device */

enum way { UNLOAD, DELETE, FORCE };

FIXTURE(race)
{
	struct genl genl;
	pid_t pid[USERS + 1];
};

FIXTURE_VARIANT(race)
{
	enum way way;
	bool file;
};

FIXTURE_VARIANT_ADD(race, unload_ram) { .way = UNLOAD };
FIXTURE_VARIANT_ADD(race, unload_file) { .way = UNLOAD, .file = true };
FIXTURE_VARIANT_ADD(race, delete_ram) { .way = DELETE };
FIXTURE_VARIANT_ADD(race, delete_file) { .way = DELETE, .file = true };
FIXTURE_VARIANT_ADD(race, force_ram) { .way = FORCE };
FIXTURE_VARIANT_ADD(race, force_file) { .way = FORCE, .file = true };

static void add_one(int *nr, enum kind kind, const char *name)
{
	files[*nr].kind = kind;
	snprintf(files[*nr].path, sizeof(files[*nr].path), SYSFS "%s", name);
	(*nr)++;
}

/* attribute_test sees that there are no more of them. */
static void list_files(bool file)
{
	int nr = 0;

	for (int i = 0; i < NR_COUNTERS; i++)
		add_one(&nr, NUMBER, counter_files[i]);
	for (int i = 0; i < 4; i++)
		add_one(&nr, HISTOGRAM, latency_files[i]);
	add_one(&nr, STAT, "stat");
	add_one(&nr, BACKING, "backing");
	add_one(&nr, DEVICE_SIZE, "size");
	add_one(&nr, RESET, "reset");
	add_one(&nr, file ? PATH : NUMBER, file ? "path" : "dirty/pages");
}

FIXTURE_SETUP(race)
{
	ASSERT_TRUE(!module_loaded() || !module_unload());
	list_files(variant->file);
	stage = mmap(NULL, sizeof(*stage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	ASSERT_NE(MAP_FAILED, stage);
	if (variant->way == UNLOAD)
		return;
	ASSERT_EQ(0, module_load("size=4K"));
	ASSERT_EQ(0, control_open(&self->genl));
	ASSERT_EQ(0, del(&self->genl, DEV, false));
}

FIXTURE_TEARDOWN_PARENT(race)
{
	if (variant->way != UNLOAD)
		EXPECT_EQ(0, module_unload());
	EXPECT_FALSE(module_loaded());
}

/* No two are of one size, or have one file; @file is that, or -1. */
static int bring_up(struct genl *genl, enum way way, int file, size_t size)
{
	if (file >= 0 && ftruncate(file, size))
		return -errno;
	if (way == UNLOAD && file >= 0)
		return module_load("backing=file path=/proc/%d/fd/%d", getpid(), file);
	if (way == UNLOAD)
		return module_load("size=%zu", size);
	return file >= 0 ? add_file(genl, DEV, file, 0, NULL) : add_ram(genl, DEV, size, 0, NULL);
}

/* By force at once, otherwise when nobody has it open or mapped; sysfs is nothing that counts. */
static int take_away(struct genl *genl, enum way way)
{
	const int busy = way == UNLOAD ? -EWOULDBLOCK : way == DELETE ? -EBUSY : 1;
	int err;

	while ((err = way == UNLOAD ? module_unload() : del(genl, DEV, way == FORCE)) == busy)
		usleep(100);
	return err;
}

/* Each user has gone over all files, from the first to the last, at least once since now. */
static void wait_for_pass(void)
{
	unsigned long passes[USERS];

	for (int i = 0; i < USERS; i++)
		passes[i] = __atomic_load_n(&stage->user[i].passes, __ATOMIC_ACQUIRE);
	for (int i = 0; i < USERS; i++)
		while (__atomic_load_n(&stage->user[i].passes, __ATOMIC_ACQUIRE) < passes[i] + 2 &&
		       !stopped())
			usleep(500);
}

static unsigned long total(int file, enum outcome outcome)
{
	unsigned long sum = 0;

	for (int i = 0; i < USERS; i++)
		sum += stage->user[i].count[file][outcome];
	return sum;
}

/* The first file that did not have everything happen to it that can, or NULL. */
static const struct file *missed(void)
{
	for (int i = 0; i < FILES; i++)
		if (!total(i, WHOLE) || !total(i, GONE) || !total(i, ABSENT) ||
		    !total(i, files[i].kind == RESET ? REFUSED : NOTHING))
			return &files[i];
	return NULL;
}

static void expect_outcomes(struct __test_metadata *_metadata)
{
	unsigned long sum[OUTCOMES] = { 0 }, moved = 0;

	for (int i = 0; i < FILES; i++)
		for (int j = 0; j < OUTCOMES; j++)
			sum[j] += total(i, j);
	EXPECT_EQ(NULL, missed()) {
		TH_LOG("%s", missed()->path);
	}
	for (int i = 0; i < USERS; i++)
		moved += stage->user[i].moved;
	EXPECT_LT(0, moved);
	EXPECT_EQ(0, sum[WRONG]);
	TH_LOG("whole %lu, part %lu, none %lu, EINVAL %lu, ENODEV %lu, ENOENT %lu; %lu counted, %lu stores",
	       sum[WHOLE], sum[PART], sum[NOTHING], sum[REFUSED], sum[GONE], sum[ABSENT], moved,
	       stage->touched);
}

/* One device comes, is used, and goes. */
static void come_and_go(struct __test_metadata *_metadata, struct genl *genl, enum way way,
			bool has_file, int round)
{
	char name[32];
	int file = -1;

	snprintf(name, sizeof(name), "race-%d", round);
	if (has_file)
		file = memfd_create(name, MFD_CLOEXEC);
	ASSERT_EQ(has_file, file >= 0);
	ASSERT_EQ(0, bring_up(genl, way, file, (16 + round) * PAGE_SIZE));
	wait_for_pass();
	usleep(777 * round % 5000);
	ASSERT_EQ(0, take_away(genl, way));
	close(file);
	/* They have seen it gone; or the next one of that name is there at once. */
	if (round % 2 == 0)
		wait_for_pass();
}

TEST_F_TIMEOUT(race, removed_while_used, 200)
{
	/* Each second time the next one is there at once. */
	struct effort e = effort(2, variant->way == UNLOAD ? 6 : 24, 5);

	for (int i = 0; i < USERS + 1; i++) {
		pid_t pid = fork();

		if (!pid) {
			/* Should a test have ended in between. */
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			_exit(i < USERS ? use_all(i) : touch());
		}
		self->pid[i] = pid;
	}
	/* On a slow machine some outcome is late. */
	for (int i = 0; (goes_on(&e, i) || (missed() && i < 200)) && !stopped(); i++)
		come_and_go(_metadata, &self->genl, variant->way, variant->file, i);
	__atomic_store_n(&stage->stop, true, __ATOMIC_RELEASE);
	for (int i = 0; i < USERS; i++) {
		EXPECT_EQ(0, reap(self->pid[i])) {
			TH_LOG("%s", stage->user[i].wrong);
		}
	}
	EXPECT_EQ(0, reap(self->pid[USERS]));
	expect_outcomes(_metadata);
}

TEST_HARNESS_MAIN
