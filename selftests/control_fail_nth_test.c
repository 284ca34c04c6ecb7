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
#include <stdio.h>
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
VARIANT(commands, tmpfs, TMPFS);

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
	EXPECT_FALSE(module_loaded());
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

static int op_zap(struct genl *genl, int memfd)
{
	(void)memfd;
	return zap(genl, "mmapdemo", 0, 8);
}

static int op_wrprotect(struct genl *genl, int memfd)
{
	(void)memfd;
	return wrprotect(genl, "mmapdemo", 0, 8);
}

static int op_harvest(struct genl *genl, int memfd)
{
	(void)memfd;
	return harvest(genl, "mmapdemo", &runs);
}

/* A size that cuts nothing off that is looked at. */
static int op_resize(struct genl *genl, int memfd)
{
	struct info info;

	(void)memfd;
	return get(genl, "mmapdemo", &info) ?: resize(genl, "mmapdemo", info.size);
}

static int op_punch(struct genl *genl, int memfd)
{
	(void)memfd;
	return punch(genl, "mmapdemo", 0, 1);
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
	bool there;	/* needs the device OURS */
} calls[] = {
	{ "device-add ram", op_add_ram, false, false },
	{ "device-add file", op_add_file, false, false },
	{ "device-del", op_del, false, true },
	{ "device-get", op_get, false, false },
	{ "device-get dump", op_get_all, false, false },
	{ "mapping-get", op_mappings, false, false },
	{ "page-get", op_pages, false, false },
	{ "zap", op_zap, false, false },
	{ "wrprotect", op_wrprotect, false, false },
	{ "dirty-harvest", op_harvest, true, false },
	{ "resize", op_resize, true, false },
	{ "punch", op_punch, true, false },
	{ "event-get", op_events, false, false },
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

		if (calls[i].ram && !is_ram(&self->dev))
			continue;
		while (once(_metadata, self->nth, self->memfd, &calls[i], ++nth, &err))
			failed += err != 0;
		TH_LOG("%s: %u allocations, %u of them needed", calls[i].name, nth - 1, failed);
		EXPECT_EQ(0, err);
		EXPECT_GT(failed, 1);
		EXPECT_FALSE(is_there(OURS));
		EXPECT_EQ(1, live());
		EXPECT_TRUE(holds(self->map + PAGE_SIZE, self->dev.pages - 1, TAG + 1));
	}
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
