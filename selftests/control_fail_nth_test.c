// SPDX-License-Identifier: GPL-2.0
/*
 * Each command of the control plane with its first allocation failed, then with its second,
 * until none is left to fail: it says so cleanly and changes nothing, or does without.
 *
 * Sending and receiving are in it: the kernel answers in the sender's own call. So it may have
 * done what was asked and the answer be lost; then a second try shows what is there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/mmapdemo.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control.h"
#include "fail_nth.h"
#include "fixture.h"

#define OURS	"mmapdemo-nth"

FIXTURE(commands)
{
	struct device dev;
	struct genl genl, listener;
	int nth, memfd;
	char *map;
};

FIXTURE_VARIANT(commands)
{
	enum backing backing;
};

RAM_VARIANTS(commands);
VARIANT(commands, ext4, EXT4);

FIXTURE_SETUP(commands)
{
	int err;

	self->nth = fail_nth_open();
	if (self->nth < 0)
		SKIP(return, "this kernel has no fault injection");
	err = device_up(&self->dev, variant->backing);
	if (err > 0)
		SKIP(return, "%s", self->dev.why);
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, fill(&self->dev));
	self->map = map(self->dev.fd, self->dev.size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	ASSERT_NE(MAP_FAILED, self->map);
	self->memfd = memfd_create("nth", MFD_CLOEXEC);
	ASSERT_EQ(0, ftruncate(self->memfd, 4 * PAGE_SIZE));
	/* So that events are sent, and allocated. */
	ASSERT_EQ(0, control_open(&self->listener));
	ASSERT_EQ(0, genl_join(&self->listener, "devices"));
}

FIXTURE_TEARDOWN_PARENT(commands)
{
	if (!self->dev.size)
		return;
	EXPECT_EQ(0, device_down(&self->dev));
}

/* What is done, from and to the same state: 0 or -errno. */
typedef int (*op_t)(struct genl *genl, int memfd);

static struct infos infos;
static struct rows rows;
static struct runs runs;

static int op_add_ram(struct genl *genl, int memfd)
{
	(void)memfd;
	return add_ram(genl, OURS, 4 * PAGE_SIZE, ANY_FLAGS, NULL);
}

static int op_add_file(struct genl *genl, int memfd)
{
	return add_file(genl, OURS, memfd, ANY_FLAGS, NULL);
}

static int op_del(struct genl *genl, int memfd)
{
	(void)memfd;
	return del(genl, OURS, true);
}

static int op_get(struct genl *genl, int memfd)
{
	struct info info;

	(void)memfd;
	return get(genl, "mmapdemo", &info);
}

static int op_get_all(struct genl *genl, int memfd)
{
	(void)memfd;
	return get_all(genl, &infos);
}

static int op_mappings(struct genl *genl, int memfd)
{
	(void)memfd;
	return get_mappings(genl, "mmapdemo", &rows);
}

static int op_pages(struct genl *genl, int memfd)
{
	(void)memfd;
	return get_pages(genl, "mmapdemo", &runs);
}

static int op_harvest(struct genl *genl, int memfd)
{
	(void)memfd;
	return harvest(genl, "mmapdemo", &runs);
}

static int op_events(struct genl *genl, int memfd)
{
	uint64_t devices, faults;

	(void)memfd;
	return get_events(genl, &devices, &faults);
}

static const struct call {
	const char *name;
	op_t op;
	bool ram;	/* EOPNOTSUPP for others */
	bool ours;	/* is about OURS: once for all backings */
	bool there;	/* which it needs */
} calls[] = {
	{ "device-add ram", op_add_ram, false, true, false },
	{ "device-add file", op_add_file, false, true, false },
	{ "device-del", op_del, false, true, true },
	{ "device-get", op_get, false, false, false },
	{ "device-get dump", op_get_all, false, false, false },
	{ "mapping-get", op_mappings, false, false, false },
	{ "page-get", op_pages, false, false, false },
	{ "dirty-harvest", op_harvest, true, false, false },
	{ "event-get", op_events, false, false, false },
};

static bool is_there(const char *name)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/class/mmapdemo/%s", name);
	return !access(path, F_OK);
}

/* An answer that there is no memory for is told by ENOBUFS; path lookups run out of files. */
static bool may_say(int err)
{
	return fail_nth_is_clean(err) || err == -ENOBUFS || err == -ENFILE;
}

/* One call with its nth allocation failed, on a socket of its own: did it fail? */
static bool once(struct __test_metadata *_metadata, int fd, int memfd, const struct call *call,
		 unsigned int nth, int *err)
{
	struct genl genl, other;
	bool hit;

	ASSERT_EQ(0, control_open(&genl));
	ASSERT_EQ(0, control_open(&other));
	if (call->there && !is_there(OURS))
		ASSERT_EQ(0, add_ram(&other, OURS, 4 * PAGE_SIZE, ANY_FLAGS, NULL));
	fail_nth_arm(fd, nth);
	*err = call->op(&genl, memfd);
	hit = fail_nth_disarm(fd);
	EXPECT_TRUE(!*err || (hit && may_say(*err))) {
		TH_LOG("%s, allocation %u: %s", call->name, nth, strerror(-*err));
	}
	/* It may have been made, or deleted, and only the answer be lost. */
	if (!call->there && is_there(OURS))
		EXPECT_EQ(0, del(&other, OURS, false));
	genl_close(&genl);
	genl_close(&other);
	return hit;
}

TEST_F_TIMEOUT(commands, each, 600)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		unsigned int nth = 0, failed = 0;
		int err;

		if ((calls[i].ram && !is_ram(&self->dev)) ||
		    (calls[i].ours && self->dev.backing != RAM_4K))
			continue;
		while (once(_metadata, self->nth, self->memfd, &calls[i], ++nth, &err))
			failed += err != 0;
		TH_LOG("%s: %u allocations, %u of them needed", calls[i].name, nth - 1, failed);
		EXPECT_EQ(0, err);
		EXPECT_GT(failed, 1);
		EXPECT_FALSE(is_there(OURS));
		EXPECT_EQ(1, live());
		EXPECT_TRUE(holds(self->map, self->dev.pages, TAG));
	}
}

/*
 * What changes pages, each time from the same state. Only the sending fails: all that the
 * kernel does is done in it, and the answer tells whether it was done.
 */

#define EDGE	(100 * PAGE_SIZE + 100)

/* Page i holds TAG + i in each of its words. */
static uint64_t image[3 * HUGE_SIZE / 8], seen[3 * HUGE_SIZE / 8];

static void make_image(void)
{
	for (size_t i = 0; i < sizeof(image) / 8; i++)
		image[i] = TAG + i * 8 / PAGE_SIZE;
}

/* Is it @size bytes long, the image, but zero from @start to before @end? */
static bool is_image(const struct device *dev, size_t size, size_t start, size_t end)
{
	char *got = (char *)seen, *want = (char *)image;
	static const char zero[sizeof(seen)];

	return pread(dev->fd, seen, sizeof(seen), 0) == (ssize_t)size &&
	       !memcmp(got, want, start) && !memcmp(got + start, zero, end - start) &&
	       !memcmp(got + end, want + end, size - end);
}

static bool has_size(struct genl *genl, size_t size)
{
	struct info info;

	return !get(genl, "mmapdemo", &info) && info.size == size;
}

/* Does page-get tell that? */
static bool __attribute__((format(printf, 2, 3)))
has_pages(struct genl *genl, const char *format, ...)
{
	char want[160];
	va_list args;

	va_start(args, format);
	vsnprintf(want, sizeof(want), format, args);
	va_end(args);
	if (get_pages(genl, "mmapdemo", &runs))
		return false;
	if (strcmp(want, pages_text(&runs)))
		fprintf(stderr, "# page-get: %s, not %s\n", pages_text(&runs), want);
	return !strcmp(want, pages_text(&runs));
}

/* All pages new and clean, in folios of 2 MiB if it has such, each mapped. */
static int refill(struct genl *genl, const struct device *dev, char *map)
{
	int err = resize(genl, "mmapdemo", dev->size) ?:
		  punch(genl, "mmapdemo", 0, dev->size);

	if (err)
		return err;
	memcpy(map, image, dev->size);
	return RC(fsync(dev->fd));
}

static bool is_full(struct genl *genl, const struct device *dev)
{
	return has_size(genl, dev->size) && is_image(dev, dev->size, 0, 0) &&
	       has_pages(genl, "0+%zu:%d", dev->pages, dev->backing == RAM_HUGE ? 5 : 1);
}

/* Punch: from and to the middle of a page, and of a folio. */

static void ask_punch(struct genl_request *request, const struct device *dev)
{
	genl_u64(request, MMAPDEMO_A_OFFSET, EDGE);
	genl_u64(request, MMAPDEMO_A_LENGTH, dev->size - 2 * EDGE);
}

/* What is left of a folio that was cut counts as dirty. */
static bool is_punched(struct genl *genl, const struct device *dev, char *map)
{
	size_t left = EDGE / PAGE_SIZE + 1;
	int state = dev->backing == RAM_HUGE ? 3 : 1;

	(void)map;
	return has_size(genl, dev->size) && is_image(dev, dev->size, EDGE, dev->size - EDGE) &&
	       has_pages(genl, "0+%zu:%d %zu+%zu:0 %zu+%zu:%d", left, state, left,
			 dev->pages - 2 * left, dev->pages - left, left, state);
}

static bool is_not_punched(struct genl *genl, const struct device *dev, char *map)
{
	(void)map;
	return is_full(genl, dev);
}

/* Shrink: to the middle of a page, and of the second of three folios. */

static size_t half(const struct device *dev)
{
	return dev->size / 2 + 100;
}

static void ask_shrink(struct genl_request *request, const struct device *dev)
{
	genl_u64(request, MMAPDEMO_A_SIZE, half(dev));
}

/* Are those pages there that half of it has, in the state of the last one? */
static bool has_half(struct genl *genl, const struct device *dev, int last, size_t holes)
{
	size_t huge = HUGE_SIZE / PAGE_SIZE, n = half(dev) / PAGE_SIZE;
	char tail[64] = "";

	if (holes)
		snprintf(tail, sizeof(tail), " %zu+%zu:0", n + 1, holes);
	if (dev->backing == RAM_HUGE)
		return has_pages(genl, "0+%zu:5 %zu+%zu:3%s", huge, huge, n + 1 - huge, tail);
	if (last == 1)
		return has_pages(genl, "0+%zu:1%s", n + 1, tail);
	return has_pages(genl, "0+%zu:1 %zu+1:%d%s", n, n, last, tail);
}

static bool is_shrunk(struct genl *genl, const struct device *dev, char *map)
{
	(void)map;
	return has_size(genl, half(dev)) && is_image(dev, half(dev), 0, 0) &&
	       has_half(genl, dev, 1, 0);
}

/* Grow: what a store has left behind the end becomes zero. */

static int fill_half(struct genl *genl, const struct device *dev, char *map)
{
	int err = refill(genl, dev, map) ?: resize(genl, "mmapdemo", half(dev));

	if (!err)
		memset(map + half(dev), 0x5a, PAGE_SIZE - half(dev) % PAGE_SIZE);
	return err;
}

static void ask_grow(struct genl_request *request, const struct device *dev)
{
	genl_u64(request, MMAPDEMO_A_SIZE, dev->size);
}

static bool is_grown(struct genl *genl, const struct device *dev, char *map)
{
	(void)map;
	return has_size(genl, dev->size) && is_image(dev, dev->size, half(dev), dev->size) &&
	       has_half(genl, dev, 3, dev->pages - half(dev) / PAGE_SIZE - 1);
}

static bool is_half(struct genl *genl, const struct device *dev, char *map)
{
	return has_size(genl, half(dev)) && is_image(dev, half(dev), 0, 0) &&
	       has_half(genl, dev, 3, 0) && map[half(dev)] == 0x5a &&
	       map[half(dev) | (PAGE_SIZE - 1)] == 0x5a;
}

/* Zap and write-protect: eight pages of those that are mapped, all of them writable. */

#define RANGE	8

static int touch(struct genl *genl, const struct device *dev, char *map)
{
	int err = RC(fsync(dev->fd));

	(void)genl;
	store(map, dev->pages, TAG);
	mark();
	return err;
}

static void ask_range(struct genl_request *request, const struct device *dev)
{
	(void)dev;
	genl_u64(request, MMAPDEMO_A_PAGE, 0);
	genl_u64(request, MMAPDEMO_A_PAGES, RANGE);
}

static bool has_moved(const char *want)
{
	const char *text = moved();

	if (strcmp(want, text))
		fprintf(stderr, "# moved: %s, not %s\n", text, want);
	return !strcmp(want, text);
}

/* Each comes with what makes it seen. */
static bool is_zapped(struct genl *genl, const struct device *dev, char *map)
{
	(void)genl;
	load(map, RANGE);
	return has_moved(dev->backing == RAM_HUGE ? "around=1 huge=1" : "around=1") &&
	       holds(map, dev->pages, TAG);
}

static bool is_protected(struct genl *genl, const struct device *dev, char *map)
{
	(void)genl;
	load(map, RANGE);
	if (!has_moved(""))
		return false;
	store(map, RANGE, TAG);
	return has_moved(dev->backing == RAM_HUGE ? "write=1 mkwrite=1 huge=1" : "mkwrite=8") &&
	       holds(map, dev->pages, TAG);
}

static bool is_writable(struct genl *genl, const struct device *dev, char *map)
{
	(void)genl;
	store(map, RANGE, TAG);
	return has_moved("") && holds(map, dev->pages, TAG);
}

static const struct change {
	const char *name;
	int command;
	void (*ask)(struct genl_request *request, const struct device *dev);
	int (*prepare)(struct genl *genl, const struct device *dev, char *map);
	bool (*done)(struct genl *genl, const struct device *dev, char *map);
	bool (*undone)(struct genl *genl, const struct device *dev, char *map);
	bool ram;	/* EOPNOTSUPP for others */
	int splits;	/* how many folios of 2 MiB are cut */
} changes[] = {
	{ "punch", MMAPDEMO_CMD_PUNCH, ask_punch, refill, is_punched, is_not_punched, true, 2 },
	{ "shrink", MMAPDEMO_CMD_RESIZE, ask_shrink, refill, is_shrunk, is_not_punched, true, 1 },
	{ "grow", MMAPDEMO_CMD_RESIZE, ask_grow, fill_half, is_grown, is_half, true, 0 },
	{ "zap", MMAPDEMO_CMD_ZAP, ask_range, touch, is_zapped, is_writable, false, 0 },
	{ "wrprotect", MMAPDEMO_CMD_WRPROTECT, ask_range, touch, is_protected, is_writable, false,
	  0 },
};

/* Attempts at one change, and what came of them. */
struct tally {
	const struct change *change;
	struct device *dev;
	char *map;
	int nth;
	unsigned int hits, refused, lost, unsplit;
};

static void on_answer(const struct nlmsghdr *message, void *arg)
{
	if (message->nlmsg_type == NLMSG_ERROR)
		*(int *)arg = ((const struct nlmsgerr *)NLMSG_DATA(message))->error;
}

/* Folios of 2 MiB that the core could not split. */
static long unsplit(void)
{
	return line_of("/proc/vmstat", "thp_split_page_failed");
}

/* Ask with the nth allocation failed: 0, also if only the answer was lost, or -errno. */
static int ask_failing(struct tally *tally, unsigned int nth, bool *hit)
{
	const struct change *change = tally->change;
	struct genl_request request;
	struct genl genl;
	int answer = 1, err = control_open(&genl);
	long len, before = unsplit();

	if (err)
		return err;
	genl_begin(&genl, &request, change->command, NLM_F_ACK);
	genl_string(&request, MMAPDEMO_A_DEV, "mmapdemo");
	change->ask(&request, tally->dev);
	fail_nth_arm(tally->nth, nth);
	err = genl_send(&genl, &request);
	*hit = fail_nth_disarm(tally->nth);
	tally->unsplit += unsplit() > before;
	if (!err) {
		len = genl_receive(&genl, 0, on_answer, &answer);
		/* It could not be made: then it was another allocation than one of ours. */
		if (len == -ENOBUFS)
			tally->lost++;
		err = len == -ENOBUFS ? 0 : len < 0 ? len : answer;
	}
	genl_close(&genl);
	return err;
}

/* One change with its nth allocation failed: did it fail? */
static bool change_once(struct __test_metadata *_metadata, struct tally *tally,
			unsigned int nth)
{
	const struct change *change = tally->change;
	struct device *dev = tally->dev;
	struct genl genl;
	bool hit;
	int err;

	ASSERT_EQ(0, control_open(&genl));
	ASSERT_EQ(0, change->prepare(&genl, dev, tally->map));
	err = ask_failing(tally, nth, &hit);
	tally->hits += hit;
	tally->refused += err != 0;
	EXPECT_TRUE(!err || (hit && may_say(err))) {
		TH_LOG("%s, allocation %u: %s", change->name, nth, strerror(-err));
	}
	EXPECT_TRUE((err ? change->undone : change->done)(&genl, dev, tally->map)) {
		TH_LOG("%s, allocation %u: %s, and not so", change->name, nth, strerror(-err));
	}
	genl_close(&genl);
	return hit;
}

/* A split takes eight nodes of the page cache: each has failed. */
TEST_F_TIMEOUT(commands, changes, 600)
{
	unsigned int lost = 0;

	make_image();
	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		const struct change *change = &changes[i];
		struct tally tally = {
			.change = change, .dev = &self->dev, .map = self->map, .nth = self->nth,
		};
		unsigned int nth = 0;

		if (change->ram && !is_ram(&self->dev))
			continue;
		while (change_once(_metadata, &tally, ++nth))
			;
		TH_LOG("%s: %u allocations, %u of them needed, %u for the answer, %u for a split",
		       change->name, tally.hits, tally.refused, tally.lost, tally.unsplit);
		EXPECT_LT(1, tally.refused);
		EXPECT_EQ(self->dev.backing == RAM_HUGE ? 8 * change->splits : 0, tally.unsplit);
		lost += tally.lost;
	}
	EXPECT_LT(0, lost);
	EXPECT_EQ(1, live());
}

FIXTURE(ram)
{
	struct genl genl, ear;
	int nth;
};

FIXTURE_SETUP(ram)
{
	self->nth = fail_nth_open();
	if (self->nth < 0)
		SKIP(return, "this kernel has no fault injection");
	ASSERT_EQ(0, module_load("size=64K"));
	ASSERT_EQ(0, control_open(&self->genl));
	ASSERT_EQ(0, control_open(&self->ear));
	ASSERT_EQ(0, genl_join(&self->ear, "faults"));
}

FIXTURE_TEARDOWN_PARENT(ram)
{
	if (self->nth < 0)
		return;
	/* Of a test that ran out of time. */
	fail_pages_of(NULL);
	EXPECT_EQ(0, module_unload());
	EXPECT_FALSE(module_loaded());
}

/* The array of devices tries twice to get memory: one allocation that fails does not matter. */
TEST_F(ram, array_cannot_grow)
{
	struct info info;

	/* An empty array has none. */
	ASSERT_EQ(0, del(&self->genl, "mmapdemo", false));
	ASSERT_EQ(0, fail_cache("radix_tree_node"));
	EXPECT_EQ(-ENOMEM, add_ram(&self->genl, OURS, 4 * PAGE_SIZE, ANY_FLAGS, NULL));
	ASSERT_EQ(0, fail_cache(NULL));
	EXPECT_FALSE(is_there(OURS));
	EXPECT_EQ(-ENODEV, get(&self->genl, OURS, &info));
	ASSERT_EQ(0, add_ram(&self->genl, OURS, 4 * PAGE_SIZE, ANY_FLAGS, NULL));
	EXPECT_TRUE(is_there(OURS));
}

/* The figures are per CPU, on pages that the core has at hand for some devices, not for many. */
TEST_F_TIMEOUT(ram, no_figures, 120)
{
	struct info info;
	char name[32];
	int err = 0, i;

	fail_pages_of("pcpu_populate_chunk");
	for (i = 0; i < 1000 && !err; i++) {
		snprintf(name, sizeof(name), OURS "-%d", i);
		err = add_ram(&self->genl, name, 4 * PAGE_SIZE, ANY_FLAGS, NULL);
	}
	fail_pages_of(NULL);
	TH_LOG("%d devices, then none", i - 1);
	EXPECT_EQ(-ENOMEM, err);
	EXPECT_FALSE(is_there(name));
	EXPECT_EQ(-ENODEV, get(&self->genl, name, &info));
	ASSERT_EQ(0, add_ram(&self->genl, name, 4 * PAGE_SIZE, ANY_FLAGS, NULL));
	EXPECT_TRUE(is_there(name));
	while (i-- > 0) {
		snprintf(name, sizeof(name), OURS "-%d", i);
		ASSERT_EQ(0, del(&self->genl, name, false));
	}
}

static void on_oom(const struct nlmsghdr *message, void *arg)
{
	unsigned int *told = arg;
	struct event event;

	if (read_event(message, &event) && event.event == MMAPDEMO_FAULT_OOM && event.page == 3)
		++*told;
}

/* A fault without memory is counted and told; the core comes again, and then there is some. */
TEST_F_TIMEOUT(ram, oom_is_told, 120)
{
	int fd = open(NODE, O_RDWR);
	char *p = map(fd, 16 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	unsigned int nth = 0, told = 0;
	struct figures now;
	bool hit;

	ASSERT_NE(MAP_FAILED, p);
	do {
		ASSERT_EQ(0, punch(&self->genl, "mmapdemo", 3 * PAGE_SIZE, PAGE_SIZE));
		fail_nth_arm(self->nth, ++nth);
		load(p + 3 * PAGE_SIZE, 1);
		hit = fail_nth_disarm(self->nth);
	} while (hit);
	while (genl_receive(&self->ear, MSG_DONTWAIT, on_oom, &told) >= 0)
		;
	ASSERT_EQ(0, figures(&now));
	TH_LOG("%u allocations, %u faults ended for want of them", nth - 1, told);
	EXPECT_LT(0, told);
	EXPECT_EQ(now.count[OOM], told);
}

TEST_HARNESS_MAIN
