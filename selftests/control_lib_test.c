// SPDX-License-Identifier: GPL-2.0
/* The control plane through libmmapdemo and nothing else: each call once, and what it refuses. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mmapdemo.h>

#include "fixture.h"

/* The module with its first device, and a second one, mmapdemo1, which the tests use. */
#define NAME	"mmapdemo1"
#define PAGES	256UL
#define SIZE	(PAGES * PAGE_SIZE)

FIXTURE(control)
{
	struct mmapdemo_ctl *ctl;
	struct mmapdemo_dev *dev;
	char name[MMAPDEMO_NAME_SIZE];
};

static int make(struct mmapdemo_ctl *ctl, const char *name)
{
	struct mmapdemo_spec spec = MMAPDEMO_SPEC_INIT;

	spec.size = SIZE;
	spec.small_pages = true;
	spec.name = name;
	return mmapdemo_add(ctl, &spec, NULL);
}

FIXTURE_SETUP(control)
{
	struct mmapdemo_spec spec = MMAPDEMO_SPEC_INIT;

	for (int i = 0; i < 20 && module_loaded() && module_unload(); i++)
		usleep(100000);
	ASSERT_EQ(0, module_load("size=64K"));
	ASSERT_EQ(0, mmapdemo_ctl_open(&self->ctl));
	spec.size = SIZE;
	spec.small_pages = true;
	ASSERT_EQ(0, mmapdemo_add(self->ctl, &spec, self->name)) {
		TH_LOG("%s", mmapdemo_ctl_error(self->ctl));
	}
	ASSERT_STREQ(NAME, self->name);
	ASSERT_EQ(0, mmapdemo_open(NAME, O_RDWR, &self->dev));
}

FIXTURE_TEARDOWN_PARENT(control)
{
	EXPECT_EQ(0, module_unload());
	EXPECT_FALSE(module_loaded());
}

/* Room for 2 * SIZE at an address at which a window of fault-around begins. */
static void *reserve(void)
{
	char *p = mmap(NULL, 2 * HUGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p + HUGE_SIZE - (uintptr_t)p % HUGE_SIZE;
}

static char *map_shared(struct mmapdemo_dev *dev, size_t length)
{
	void *p = reserve();

	return p && !mmapdemo_map(dev, 0, length, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_FIXED, &p) ? p : MAP_FAILED;
}

/* Lines of text that callbacks add to, and whether they were too many. */
struct text {
	char text[1024];
	size_t len;
	int ret;	/* what the callback returns */
};

static void add(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct text *t, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	t->len += vsnprintf(t->text + t->len, sizeof(t->text) - t->len, format, args);
	va_end(args);
	if (t->len >= sizeof(t->text))
		abort();
}

static int add_run(const struct mmapdemo_run *run, void *arg)
{
	struct text *t = arg;

	add(t, "%s%d+%d:%x", t->len ? " " : "", (int)run->page, (int)run->pages, run->state);
	return t->ret;
}

static int add_mapping(const struct mmapdemo_mapping *m, void *arg)
{
	add(arg, "%s %d+%d %c%c%c w%d k%d\n", m->tgid == (uint32_t)getpid() ? "me" : "other",
	    (int)m->pgoff, (int)((m->end - m->start) / PAGE_SIZE),
	    m->prot & PROT_READ ? 'r' : '-', m->prot & PROT_WRITE ? 'w' : '-',
	    m->shared ? 's' : 'p', (int)m->counter[MMAPDEMO_FAULTS_WRITE],
	    (int)m->counter[MMAPDEMO_FAULTS_MKWRITE]);
	return 0;
}

static int add_name(const struct mmapdemo_info *info, void *arg)
{
	add(arg, "%s ", info->name);
	return 0;
}

static uint64_t counted(struct mmapdemo_ctl *ctl, int counter)
{
	struct mmapdemo_info info;

	return mmapdemo_get(ctl, NAME, &info) ? UINT64_MAX : info.counter[counter];
}

TEST_F(control, add_get_del)
{
	struct mmapdemo_info info;
	struct text names = { 0 };

	ASSERT_EQ(0, mmapdemo_get(self->ctl, NAME, &info));
	EXPECT_STREQ(NAME, info.name);
	EXPECT_STREQ("ram", info.backing);
	EXPECT_STREQ("", info.path);
	EXPECT_EQ(SIZE, info.size);
	EXPECT_EQ(0, info.dirty_pages);
	EXPECT_EQ(1, info.opens);
	EXPECT_FALSE(info.read_only);
	EXPECT_FALSE(info.huge_pages);
	ASSERT_EQ(0, make(self->ctl, "mmapdemo-x.y_z"));
	EXPECT_EQ(-EEXIST, make(self->ctl, "mmapdemo-x.y_z"));
	EXPECT_EQ(0, mmapdemo_get_all(self->ctl, add_name, &names));
	EXPECT_STREQ("mmapdemo mmapdemo1 mmapdemo-x.y_z ", names.text);
	EXPECT_EQ(0, mmapdemo_del(self->ctl, "mmapdemo-x.y_z", false));
	EXPECT_EQ(-ENODEV, mmapdemo_get(self->ctl, "mmapdemo-x.y_z", &info));
	EXPECT_STREQ("dev: there is no such device", mmapdemo_ctl_error(self->ctl));
	EXPECT_EQ(0, mmapdemo_get(self->ctl, NULL, &info));
	EXPECT_STREQ("mmapdemo", info.name);
	EXPECT_TRUE(info.huge_pages);
	EXPECT_LE(1, mmapdemo_ctl_version(self->ctl));
}

/* The attribute that the kernel objects to is named. */
TEST_F(control, refusals)
{
	struct mmapdemo_spec spec = MMAPDEMO_SPEC_INIT;
	char name[4000];

	EXPECT_EQ(-EINVAL, make(self->ctl, "sda"));
	EXPECT_EQ(0, strncmp("dev: ", mmapdemo_ctl_error(self->ctl), 5));
	memset(name, 'm', sizeof(name));
	memcpy(name, "mmapdemo", 8);
	name[sizeof(name) - 1] = '\0';
	EXPECT_NE(0, make(self->ctl, name));
	spec.size = PAGE_SIZE + 1;
	EXPECT_EQ(-EINVAL, mmapdemo_add(self->ctl, &spec, NULL));
	EXPECT_EQ(0, strncmp("size: ", mmapdemo_ctl_error(self->ctl), 6));
	spec.size = ~(PAGE_SIZE - 1);
	EXPECT_EQ(-EFBIG, mmapdemo_add(self->ctl, &spec, NULL));
	spec.backing = "file";
	spec.size = 0;
	EXPECT_EQ(-EINVAL, mmapdemo_add(self->ctl, &spec, NULL));
	EXPECT_EQ(0, strncmp("file: ", mmapdemo_ctl_error(self->ctl), 6));
	spec.fd = 999;
	EXPECT_EQ(-EBADF, mmapdemo_add(self->ctl, &spec, NULL));
	EXPECT_EQ(-ERANGE, mmapdemo_zap(self->ctl, NAME, PAGES, 1));
	EXPECT_EQ(0, strncmp("page: ", mmapdemo_ctl_error(self->ctl), 6));
	EXPECT_EQ(-ERANGE, mmapdemo_wrprotect(self->ctl, NAME, 1, PAGES));
	EXPECT_EQ(0, strncmp("pages: ", mmapdemo_ctl_error(self->ctl), 7));
	EXPECT_EQ(-ERANGE, mmapdemo_punch(self->ctl, NAME, 0, SIZE + 1));
	EXPECT_EQ(-ERANGE, mmapdemo_punch(self->ctl, NAME, 0, 0));
	EXPECT_EQ(0, strncmp("length: ", mmapdemo_ctl_error(self->ctl), 8)) {
		TH_LOG("%s", mmapdemo_ctl_error(self->ctl));
	}
}

/* Programs built with another version of the structure. */
TEST_F(control, larger_and_smaller_spec)
{
	struct {
		struct mmapdemo_spec spec;
		uint64_t later;
	} s = { .spec = MMAPDEMO_SPEC_INIT };

	s.spec.size = PAGE_SIZE;
	s.spec.self_size = sizeof(s);
	EXPECT_EQ(0, mmapdemo_add(self->ctl, &s.spec, NULL));
	s.later = 1;
	EXPECT_EQ(-E2BIG, mmapdemo_add(self->ctl, &s.spec, NULL));
	s.spec.self_size = sizeof(s.spec) - 1;
	EXPECT_EQ(-EINVAL, mmapdemo_add(self->ctl, &s.spec, NULL));
	EXPECT_STREQ("not begun with MMAPDEMO_SPEC_INIT", mmapdemo_ctl_error(self->ctl));
}

TEST_F(control, mappings)
{
	struct text before = { 0 }, forked = { 0 }, after = { 0 };
	char *p = map_shared(self->dev, SIZE);
	void *private = p + SIZE;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, mmapdemo_map(self->dev, 8 * PAGE_SIZE, 4 * PAGE_SIZE, PROT_READ,
				  MAP_PRIVATE | MAP_FIXED, &private));
	store(p, 5, TAG);
	ASSERT_EQ(0, mmapdemo_mappings(self->ctl, NAME, add_mapping, &before));
	EXPECT_STREQ("me 0+256 rws w5 k5\nme 8+4 r-p w0 k0\n", before.text);
	pid = fork();
	if (!pid) {
		pause();
		_exit(0);
	}
	EXPECT_EQ(0, mmapdemo_mappings(self->ctl, NAME, add_mapping, &forked));
	EXPECT_STREQ("me 0+256 rws w5 k5\nme 8+4 r-p w0 k0\n"
		     "other 0+256 rws w0 k0\nother 8+4 r-p w0 k0\n", forked.text);
	EXPECT_EQ(4, counted(self->ctl, MMAPDEMO_MAPPINGS_LIVE));
	kill(pid, SIGKILL);
	reap(pid);
	mmapdemo_unmap(p, SIZE);
	EXPECT_EQ(0, mmapdemo_mappings(self->ctl, NAME, add_mapping, &after));
	EXPECT_STREQ("me 8+4 r-p w0 k0\n", after.text);
}

TEST_F(control, pages)
{
	const unsigned int there = MMAPDEMO_STATE_RESIDENT, dirty = there | MMAPDEMO_STATE_DIRTY;
	struct text all = { 0 }, some = { 0 }, stopped = { .ret = 7 };
	char *p = map_shared(self->dev, SIZE);

	ASSERT_NE(MAP_FAILED, p);
	store(p + 3 * PAGE_SIZE, 3, TAG);
	load(p + 8 * PAGE_SIZE, 1);
	ASSERT_EQ(0, mmapdemo_pages(self->ctl, NAME, 0, 0, add_run, &all));
	EXPECT_STREQ(said("0+3:0 3+3:%x 6+2:0 8+1:%x 9+247:0", dirty, there), all.text);
	EXPECT_EQ(0, mmapdemo_pages(self->ctl, NAME, 5, 4, add_run, &some));
	EXPECT_STREQ(said("5+1:%x 6+2:0 8+1:%x", dirty, there), some.text);
	EXPECT_EQ(7, mmapdemo_pages(self->ctl, NAME, 0, 0, add_run, &stopped));
	EXPECT_STREQ("0+3:0", stopped.text);
	EXPECT_EQ(-ERANGE, mmapdemo_pages(self->ctl, NAME, 0, PAGES + 1, add_run, &all));
}

static int use_again(const struct mmapdemo_run *run, void *arg)
{
	(void)run;
	return mmapdemo_zap(arg, NAME, 0, 0);
}

/* A handle has one conversation at a time, and is all right after a walk that ended early. */
TEST_F(control, a_handle_is_busy_in_a_walk)
{
	EXPECT_EQ(-EBUSY, mmapdemo_pages(self->ctl, NAME, 0, 0, use_again, self->ctl));
	EXPECT_EQ(0, mmapdemo_zap(self->ctl, NAME, 0, 0));
}

TEST_F(control, zap)
{
	char *p = map_shared(self->dev, SIZE);
	uint64_t before;

	ASSERT_NE(MAP_FAILED, p);
	store(p, PAGES, TAG);
	before = counted(self->ctl, MMAPDEMO_FAULTS_READ) +
		 counted(self->ctl, MMAPDEMO_FAULTS_AROUND);
	load(p, PAGES);
	EXPECT_EQ(before, counted(self->ctl, MMAPDEMO_FAULTS_READ) +
			  counted(self->ctl, MMAPDEMO_FAULTS_AROUND));
	EXPECT_EQ(0, mmapdemo_zap(self->ctl, NAME, 16, 16));
	EXPECT_TRUE(holds(p, PAGES, TAG));
	EXPECT_EQ(before + 1, counted(self->ctl, MMAPDEMO_FAULTS_READ) +
			      counted(self->ctl, MMAPDEMO_FAULTS_AROUND));
}

TEST_F(control, wrprotect)
{
	char *p = map_shared(self->dev, SIZE);

	ASSERT_NE(MAP_FAILED, p);
	store(p, PAGES, TAG);
	store(p, PAGES, TAG);
	EXPECT_EQ(PAGES, counted(self->ctl, MMAPDEMO_FAULTS_MKWRITE));
	EXPECT_EQ(0, mmapdemo_wrprotect(self->ctl, NAME, 10, 20));
	EXPECT_TRUE(holds(p, PAGES, TAG));
	store(p, PAGES, TAG + 1);
	EXPECT_EQ(PAGES + 20, counted(self->ctl, MMAPDEMO_FAULTS_MKWRITE));
}

TEST_F(control, harvest)
{
	struct text first = { .ret = 7 }, second = { 0 }, third = { 0 };
	struct mmapdemo_info info;
	char *p = map_shared(self->dev, SIZE);

	ASSERT_NE(MAP_FAILED, p);
	store(p + PAGE_SIZE, 2, TAG);
	store(p + 7 * PAGE_SIZE, 1, TAG);
	ASSERT_EQ(0, mmapdemo_get(self->ctl, NAME, &info));
	EXPECT_EQ(3, info.dirty_pages);
	/* What a callback returns is kept, and keeps nothing from being told. */
	EXPECT_EQ(7, mmapdemo_harvest(self->ctl, NAME, 0, 0, add_run, &first));
	EXPECT_STREQ("1+2:2 7+1:2", first.text);
	EXPECT_EQ(0, mmapdemo_harvest(self->ctl, NAME, 0, 0, add_run, &second));
	EXPECT_STREQ("", second.text);
	store(p + PAGE_SIZE, 2, TAG);
	EXPECT_EQ(0, mmapdemo_harvest(self->ctl, NAME, 2, 0, add_run, &third));
	EXPECT_STREQ("2+1:2", third.text);
	ASSERT_EQ(0, mmapdemo_get(self->ctl, NAME, &info));
	EXPECT_EQ(1, info.dirty_pages);
}

TEST_F(control, resize)
{
	char *p = map_shared(self->dev, 2 * SIZE);
	uint64_t size;

	ASSERT_NE(MAP_FAILED, p);
	store(p, PAGES, TAG);
	EXPECT_EQ(SIGBUS, trap_load(p + SIZE));
	EXPECT_EQ(0, mmapdemo_resize(self->ctl, NAME, 2 * SIZE));
	EXPECT_EQ(0, trap_load(p + SIZE));
	EXPECT_EQ(0, mmapdemo_resize(self->ctl, NAME, PAGE_SIZE + 3));
	EXPECT_EQ(SIGBUS, trap_load(p + 2 * PAGE_SIZE));
	EXPECT_EQ(0, mmapdemo_size(self->dev, &size));
	EXPECT_EQ(PAGE_SIZE + 3, size);
	EXPECT_EQ(0, mmapdemo_resize(self->ctl, NAME, SIZE));
	EXPECT_TRUE(holds(p, 1, TAG));
	for (size_t i = PAGE_SIZE + 3; i < SIZE; i++) {
		ASSERT_EQ(0, p[i]);
	}
	EXPECT_EQ(-EFBIG, mmapdemo_resize(self->ctl, NAME, UINT64_MAX));
	EXPECT_EQ(0, strncmp("size: ", mmapdemo_ctl_error(self->ctl), 6));
}

TEST_F(control, punch)
{
	const size_t from = PAGE_SIZE - 3, to = 5 * PAGE_SIZE + 7;
	char *p = map_shared(self->dev, SIZE);
	struct text runs = { 0 };

	ASSERT_NE(MAP_FAILED, p);
	memset(p, 'x', 8 * PAGE_SIZE);
	EXPECT_EQ(0, mmapdemo_punch(self->ctl, NAME, from, to - from));
	EXPECT_EQ(0, mmapdemo_pages(self->ctl, NAME, 0, 8, add_run, &runs));
	EXPECT_STREQ("0+1:3 1+4:0 5+3:3", runs.text);
	for (size_t i = 0; i < 8 * PAGE_SIZE; i++) {
		ASSERT_EQ(i >= from && i < to ? 0 : 'x', p[i]);
	}
}

TEST_F(control, delete_by_force)
{
	char *p = map_shared(self->dev, SIZE), byte;
	struct mmapdemo_info info;

	ASSERT_NE(MAP_FAILED, p);
	store(p, PAGES, TAG);
	EXPECT_EQ(-EBUSY, mmapdemo_del(self->ctl, NAME, false));
	EXPECT_TRUE(holds(p, PAGES, TAG));
	EXPECT_EQ(0, mmapdemo_del(self->ctl, NAME, true));
	EXPECT_EQ(SIGBUS, trap_load(p));
	EXPECT_EQ(-ENODEV, RC(read(mmapdemo_fd(self->dev), &byte, 1)));
	EXPECT_EQ(-ENODEV, mmapdemo_get(self->ctl, NAME, &info));
	EXPECT_EQ(-ENODEV, mmapdemo_del(self->ctl, NAME, true));
	EXPECT_EQ(0, make(self->ctl, NAME));
	EXPECT_EQ(SIGBUS, trap_load(p));
}

TEST_F(control, file)
{
	struct mmapdemo_spec spec = MMAPDEMO_SPEC_INIT;
	char name[MMAPDEMO_NAME_SIZE];
	struct mmapdemo_info info;
	struct mmapdemo_dev *dev;
	struct text runs = { 0 };

	spec.backing = "file";
	spec.fd = memfd_create("lib", 0);
	ASSERT_LE(0, spec.fd);
	ASSERT_EQ(0, ftruncate(spec.fd, 4 * PAGE_SIZE));
	ASSERT_TRUE(writes(spec.fd, PAGE_SIZE, 1, TAG));
	ASSERT_EQ(0, mmapdemo_add(self->ctl, &spec, name)) {
		TH_LOG("%s", mmapdemo_ctl_error(self->ctl));
	}
	ASSERT_EQ(0, mmapdemo_get(self->ctl, name, &info));
	EXPECT_STREQ("file", info.backing);
	EXPECT_NE(NULL, strstr(info.path, "lib"));
	EXPECT_EQ(4 * PAGE_SIZE, info.size);
	EXPECT_EQ(UINT64_MAX, info.dirty_pages);
	EXPECT_EQ(0, mmapdemo_pages(self->ctl, name, 1, 2, add_run, &runs));
	EXPECT_EQ(0, strncmp("1+1:", runs.text, 4));
	EXPECT_EQ(0, mmapdemo_zap(self->ctl, name, 0, 0));
	EXPECT_EQ(-EOPNOTSUPP, mmapdemo_resize(self->ctl, name, PAGE_SIZE));
	EXPECT_EQ(-EOPNOTSUPP, mmapdemo_punch(self->ctl, name, 0, 1));
	EXPECT_EQ(0, strncmp("dev: ", mmapdemo_ctl_error(self->ctl), 5));
	/* 6.1 lets no dump say why it cannot be: there it is the errno's text. */
	EXPECT_EQ(-EOPNOTSUPP, mmapdemo_harvest(self->ctl, name, 0, 0, add_run, &runs));
	EXPECT_STRNE("", mmapdemo_ctl_error(self->ctl));
	EXPECT_EQ(0, mmapdemo_del(self->ctl, name, false));
	spec.read_only = true;
	ASSERT_EQ(0, mmapdemo_add(self->ctl, &spec, name));
	EXPECT_EQ(-EACCES, mmapdemo_open(name, O_RDWR, &dev));
	EXPECT_EQ(0, mmapdemo_open(name, O_RDONLY, &dev));
}

static int without_privilege(void *arg)
{
	struct mmapdemo_events *ev;
	struct mmapdemo_ctl *ctl;
	struct mmapdemo_info info;
	struct text text = { 0 };
	int bad = 0;

	(void)arg;
	bad += !!setresuid(65534, 65534, 65534) || mmapdemo_ctl_open(&ctl);
	bad += mmapdemo_get(ctl, NAME, &info) != 0;
	bad += mmapdemo_get_all(ctl, add_name, &text) != 0;
	bad += make(ctl, NULL) != -EPERM;
	bad += mmapdemo_del(ctl, NAME, false) != -EPERM;
	bad += mmapdemo_mappings(ctl, NAME, add_mapping, &text) != -EPERM;
	bad += mmapdemo_pages(ctl, NAME, 0, 0, add_run, &text) != -EPERM;
	bad += mmapdemo_harvest(ctl, NAME, 0, 0, add_run, &text) != -EPERM;
	bad += mmapdemo_zap(ctl, NAME, 0, 0) != -EPERM;
	bad += mmapdemo_wrprotect(ctl, NAME, 0, 0) != -EPERM;
	bad += mmapdemo_resize(ctl, NAME, 1) != -EPERM;
	bad += mmapdemo_punch(ctl, NAME, 0, 1) != -EPERM;
	bad += mmapdemo_events_open(MMAPDEMO_GROUP_FAULTS, &ev) != -EPERM;
	bad += mmapdemo_events_open(MMAPDEMO_GROUP_DEVICES, &ev) != 0;
	return bad;
}

TEST_F(control, privilege)
{
	EXPECT_EQ(0, in_child(without_privilege, NULL));
}

/* What a subscription tells until it has no more. */
static void listen_to(struct mmapdemo_events *ev, struct text *t)
{
	struct mmapdemo_event e;

	while (!mmapdemo_events_next(ev, &e)) {
		if (e.type == MMAPDEMO_EVENT_LOST)
			add(t, "lost ");
		else if (e.group == MMAPDEMO_GROUP_FAULTS)
			add(t, "%s:%d%s ", mmapdemo_event_name(e.type), (int)e.page,
			    e.tgid == (uint32_t)getpid() ? "" : "?");
		else
			add(t, "%s:%d ", mmapdemo_event_name(e.type), (int)(e.size / PAGE_SIZE));
	}
}

TEST_F(control, events)
{
	struct mmapdemo_events *ev;
	struct pollfd fd = { .events = POLLIN };
	struct text heard = { 0 };
	uint64_t lost = 9;
	char *p;

	ASSERT_EQ(0, mmapdemo_events_open(MMAPDEMO_GROUP_DEVICES | MMAPDEMO_GROUP_FAULTS, &ev));
	fd.fd = mmapdemo_events_fd(ev);
	EXPECT_EQ(0, poll(&fd, 1, 0));
	p = map_shared(self->dev, 2 * SIZE);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(1, poll(&fd, 1, 0));
	EXPECT_EQ(-EAGAIN, mmapdemo_events_lost(ev, &lost));
	EXPECT_EQ(SIGBUS, trap_load(p + SIZE + 5 * PAGE_SIZE));
	EXPECT_EQ(0, mmapdemo_resize(self->ctl, NAME, 2 * SIZE));
	EXPECT_EQ(0, mmapdemo_resize(self->ctl, NAME, SIZE));
	EXPECT_EQ(SIGBUS, trap_store(p + SIZE));
	munmap(p, 2 * SIZE);
	EXPECT_EQ(0, make(self->ctl, "mmapdemo9"));
	EXPECT_EQ(0, mmapdemo_del(self->ctl, "mmapdemo9", false));
	listen_to(ev, &heard);
	EXPECT_STREQ("mapped:256 sigbus:261 resized:512 resized:256 sigbus:256 unmapped:256 added:256 deleted:256 ",
		     heard.text);
	EXPECT_EQ(0, mmapdemo_events_lost(ev, &lost));
	EXPECT_EQ(0, lost);
	EXPECT_EQ(0, poll(&fd, 1, 0));
	mmapdemo_events_close(ev);
}

/* More than the socket has room for, and nothing behind it that would show the gap. */
TEST_F(control, lost_events_are_counted)
{
	const unsigned int n = 1000;
	struct mmapdemo_events *ev;
	struct mmapdemo_event e;
	uint64_t told = 0, lost = 0, total, seq = 0;
	int small = 1;
	char *p = map_shared(self->dev, 2 * SIZE);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, mmapdemo_events_open(MMAPDEMO_GROUP_FAULTS, &ev));
	ASSERT_EQ(0, setsockopt(mmapdemo_events_fd(ev), SOL_SOCKET, SO_RCVBUF, &small,
				sizeof(small)));
	for (unsigned int i = 0; i < n; i++) {
		ASSERT_EQ(SIGBUS, trap_load(p + SIZE));
		/* Room in the middle: a gap before what comes then, and one behind the last. */
		if (i == n / 2)
			EXPECT_EQ(0, mmapdemo_events_next(ev, &e));
	}
	for (told = 1, seq = e.seq; !mmapdemo_events_next(ev, &e); seq = e.seq) {
		told += e.type != MMAPDEMO_EVENT_LOST;
		lost += e.lost;
		EXPECT_EQ(seq + (e.type == MMAPDEMO_EVENT_LOST ? e.lost : 1), e.seq);
	}
	EXPECT_LT(0, lost);
	EXPECT_EQ(n, told + lost);
	EXPECT_EQ(0, mmapdemo_events_lost(ev, &total));
	EXPECT_EQ(lost, total);
	TH_LOG("told %d, lost %d", (int)told, (int)lost);
}

/* Nothing of the library keeps the module, and each handle notices that it is gone. */
TEST_F(control, the_module_goes)
{
	struct mmapdemo_events *ev;
	struct mmapdemo_ctl *ctl;
	struct mmapdemo_info info;
	uint64_t lost;

	ASSERT_EQ(0, mmapdemo_events_open(MMAPDEMO_GROUP_DEVICES, &ev));
	mmapdemo_close(self->dev);
	ASSERT_EQ(0, module_unload());
	EXPECT_EQ(-ENODEV, mmapdemo_get(self->ctl, NULL, &info));
	EXPECT_EQ(-ENODEV, mmapdemo_events_lost(ev, &lost));
	EXPECT_EQ(-ENODEV, mmapdemo_ctl_open(&ctl));
	ASSERT_EQ(0, module_load("size=64K"));
	EXPECT_EQ(0, mmapdemo_ctl_open(&ctl));
	EXPECT_EQ(0, mmapdemo_get(ctl, NULL, &info));
}

TEST_HARNESS_MAIN
