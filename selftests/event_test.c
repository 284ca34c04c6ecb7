// SPDX-License-Identifier: GPL-2.0
/* Events: each once, in order, with the number that it has to have; what is lost is counted. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "control.h"
#include "fixture.h"

#define DEVICES MMAPDEMO_MCGRP_DEVICES
#define FAULTS MMAPDEMO_MCGRP_FAULTS

FIXTURE(event)
{
	struct genl genl;		/* to ask */
	struct genl ear;		/* to listen */
	int fd;
	uint64_t devices, faults;	/* numbers of the last events before it listened */
};

FIXTURE_SETUP(event)
{
	ASSERT_EQ(0, module_load("size=64K"));
	ASSERT_EQ(0, control_open(&self->genl));
	ASSERT_EQ(0, control_open(&self->ear));
	self->fd = open(NODE, O_RDWR);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, get_events(&self->genl, &self->devices, &self->faults));
	ASSERT_EQ(0, genl_join(&self->ear, DEVICES));
	ASSERT_EQ(0, genl_join(&self->ear, FAULTS));
}

FIXTURE_TEARDOWN_PARENT(event)
{
	EXPECT_EQ(0, module_unload());
	EXPECT_FALSE(module_loaded());
}

struct heard {
	struct event event[64];
	unsigned int nr;		/* all that could be read */
	uint64_t last[2], lost[2];	/* of devices, of faults */
	bool wrong;			/* not an event, or not in order */
};

static void on_event(const struct nlmsghdr *message, void *arg)
{
	struct heard *heard = arg;
	struct event event;
	int group;

	if (!read_event(message, &event)) {
		heard->wrong = true;
		return;
	}
	group = event.command == MMAPDEMO_CMD_FAULT_EVENT;
	if (event.seq <= heard->last[group])
		heard->wrong = true;
	heard->lost[group] += event.seq - heard->last[group] - 1;
	heard->last[group] = event.seq;
	if (heard->nr < 64)
		heard->event[heard->nr] = event;
	heard->nr++;
}

/* All that waits in the socket: how often it said that something was lost. */
static int hear(struct genl *ear, struct heard *heard)
{
	int overruns = 0;
	long got;

	for (;;) {
		got = genl_receive(ear, MSG_DONTWAIT, on_event, heard);
		if (got == -ENOBUFS)
			overruns++;
		else if (got < 0)
			return got == -EAGAIN ? overruns : got;
	}
}

static void listen_from(struct heard *heard, uint64_t devices, uint64_t faults)
{
	memset(heard, 0, sizeof(*heard));
	heard->last[0] = devices;
	heard->last[1] = faults;
}

/* "1 added mmapdemo-e ram 8192", the number counted from the beginning of the test. */
static const char *told(const struct heard *heard, unsigned int i, uint64_t first)
{
	static const char *const what[] = {
		"?", "added", "deleted", "resized", "mapped", "unmapped",
	};
	const struct event *event = &heard->event[i];
	static char text[128];

	if (i >= heard->nr || event->event > MMAPDEMO_DEVICE_UNMAPPED ||
	    event->command != MMAPDEMO_CMD_DEVICE_EVENT)
		return "nothing";
	snprintf(text, sizeof(text), "%lld %s %s %s %llu", (long long)(event->seq - first),
		 what[event->event], event->dev, event->backing, (unsigned long long)event->size);
	return text;
}

TEST_F(event, of_devices)
{
	uint64_t devices, faults;
	struct heard heard;
	char *p, *q;
	pid_t pid;
	int fd;

	listen_from(&heard, self->devices, self->faults);
	ASSERT_EQ(0, add_ram(&self->genl, "mmapdemo-e", 8192, 0, NULL));
	fd = open("/dev/mmapdemo-e", O_RDWR);
	p = map(fd, 8192, PROT_READ, MAP_SHARED, 0);
	q = map(fd, 8192, PROT_READ, MAP_PRIVATE, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, q);
	pid = fork();
	if (!pid)
		_exit(0);
	EXPECT_EQ(0, reap(pid));
	munmap(p, 8192);
	munmap(q, 4096);
	ASSERT_EQ(0, resize(&self->genl, "mmapdemo-e", 4097));
	munmap(q + 4096, 4096);
	EXPECT_EQ(-EBUSY, del(&self->genl, "mmapdemo-e", false));
	EXPECT_EQ(-EEXIST, add_ram(&self->genl, "mmapdemo-e", 8192, 0, NULL));
	ASSERT_EQ(0, punch(&self->genl, "mmapdemo-e", 0, 100));
	ASSERT_EQ(0, del(&self->genl, "mmapdemo-e", true));
	EXPECT_EQ(0, hear(&self->ear, &heard));
	EXPECT_FALSE(heard.wrong);
	ASSERT_EQ(5, heard.nr);
	EXPECT_STREQ("1 added mmapdemo-e ram 8192", told(&heard, 0, self->devices));
	EXPECT_STREQ("2 mapped mmapdemo-e ram 8192", told(&heard, 1, self->devices));
	EXPECT_STREQ("3 resized mmapdemo-e ram 4097", told(&heard, 2, self->devices));
	EXPECT_STREQ("4 unmapped mmapdemo-e ram 4097", told(&heard, 3, self->devices));
	EXPECT_STREQ("5 deleted mmapdemo-e ram 4097", told(&heard, 4, self->devices));
	ASSERT_EQ(0, get_events(&self->genl, &devices, &faults));
	EXPECT_EQ(self->devices + 5, devices);
	EXPECT_EQ(self->faults, faults);
}

/* That it was deleted is the last: what is unmapped later may be under another's name by then. */
TEST_F(event, deleted_while_mapped)
{
	struct heard heard;
	char *p;
	int fd;

	listen_from(&heard, self->devices, self->faults);
	fd = memfd_create("event", 0);
	ASSERT_EQ(0, ftruncate(fd, 8192));
	ASSERT_EQ(0, add_file(&self->genl, "mmapdemo-e", fd, 0, NULL));
	fd = open("/dev/mmapdemo-e", O_RDWR);
	p = map(fd, 4096, PROT_READ, MAP_SHARED, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, del(&self->genl, "mmapdemo-e", true));
	munmap(p, 4096);
	EXPECT_EQ(0, hear(&self->ear, &heard));
	EXPECT_FALSE(heard.wrong);
	ASSERT_EQ(3, heard.nr);
	EXPECT_STREQ("1 added mmapdemo-e file 8192", told(&heard, 0, self->devices));
	EXPECT_STREQ("2 mapped mmapdemo-e file 8192", told(&heard, 1, self->devices));
	EXPECT_STREQ("3 deleted mmapdemo-e file 8192", told(&heard, 2, self->devices));
}

static void *trap_in_thread(void *arg)
{
	pthread_setname_np(pthread_self(), "trapper");
	return (void *)(long)(trap_load(arg) == SIGBUS ? gettid() : 0);
}

/* As many as the counter says: of loads, of stores, and of the kernel on behalf of the process. */
TEST_F_TIMEOUT(event, of_faults, 200)
{
	char *p = map(self->fd, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	struct heard heard;
	pthread_t thread;
	int pipes[2], kernels = has_vma_locks() ? 1 : 2;
	void *tid;

	listen_from(&heard, self->devices, self->faults);
	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(0, pthread_setname_np(pthread_self(), "faulter"));
	mark();
	EXPECT_EQ(SIGBUS, trap_load(p + 17 * PAGE_SIZE));
	EXPECT_EQ(SIGBUS, trap_store(p + 20 * PAGE_SIZE));
	ASSERT_EQ(0, pthread_create(&thread, NULL, trap_in_thread, p + 16 * PAGE_SIZE));
	ASSERT_EQ(0, pthread_join(thread, &tid));
	EXPECT_EQ(-EFAULT, RC(write(pipes[1], p + 18 * PAGE_SIZE, 1)));
	/* 6.1 tries twice before it gives up. */
	EXPECT_STREQ(said("read=%d write=1 sigbus=%d", 2 + kernels, 3 + kernels), moved());
	EXPECT_EQ(0, hear(&self->ear, &heard));
	EXPECT_FALSE(heard.wrong);
	/* The first was that it is mapped. */
	ASSERT_EQ(4 + kernels, heard.nr);
	for (int i = 1; i < 4 + kernels; i++) {
		const struct event *event = &heard.event[i];
		static const uint64_t page[] = { 0, 17, 20, 16, 18, 18 };

		EXPECT_EQ(MMAPDEMO_CMD_FAULT_EVENT, event->command);
		EXPECT_EQ(MMAPDEMO_FAULT_SIGBUS, event->event);
		EXPECT_EQ(self->faults + i, event->seq);
		EXPECT_STREQ("mmapdemo", event->dev);
		EXPECT_EQ(page[i], event->page);
		EXPECT_EQ(getpid(), event->tgid);
		EXPECT_EQ(i == 3 ? (uint32_t)(long)tid : (uint32_t)getpid(), event->pid);
		EXPECT_STREQ(i == 3 ? "trapper" : "faulter", event->comm);
	}
}

/* A page whose memory has failed is told of as that. */
TEST_F(event, of_failed_memory)
{
	char *p = map(self->fd, 64 << 10, PROT_READ, MAP_SHARED, 0);
	struct heard heard;

	ASSERT_TRUE(writes(self->fd, 0, 4, TAG));
	if (fail_memory(self->fd, 3 * PAGE_SIZE) == -ENOENT)
		SKIP(return, "this kernel has no CONFIG_MEMORY_FAILURE");
	listen_from(&heard, self->devices, self->faults);
	mark();
	EXPECT_EQ(-SIGBUS, trap_load(p + 3 * PAGE_SIZE));
	EXPECT_STREQ("read=1 hwpoison=1", moved());
	EXPECT_EQ(0, hear(&self->ear, &heard));
	EXPECT_FALSE(heard.wrong);
	ASSERT_EQ(2, heard.nr);
	EXPECT_EQ(MMAPDEMO_CMD_FAULT_EVENT, heard.event[1].command);
	EXPECT_EQ(MMAPDEMO_FAULT_HWPOISON, heard.event[1].event);
	EXPECT_EQ(3, heard.event[1].page);
	EXPECT_EQ(self->faults + 1, heard.event[1].seq);
}

/* Many at a time */

static int fault_often(int fd, unsigned long n)
{
	char *p = map(fd, 1 << 20, PROT_READ, MAP_SHARED, 0);

	for (unsigned long i = 0; i < n; i++)
		if (trap_load(p + (1 << 20) - 1) != SIGBUS)
			return 1;
	return munmap(p, 1 << 20);
}

static int add_often(int number, unsigned long n)
{
	struct genl genl;
	char name[32];

	snprintf(name, sizeof(name), "mmapdemo-%d", number);
	if (control_open(&genl))
		return 1;
	for (unsigned long i = 0; i < n; i++)
		if (add_ram(&genl, name, 4096, 0, NULL) || del(&genl, name, false))
			return 2;
	return 0;
}

/* Two that make devices come and go, and two whose accesses fail. */
static void start_noise(int fd, pid_t pid[4], unsigned long devices, unsigned long faults)
{
	for (int i = 0; i < 4; i++) {
		pid[i] = fork();
		if (!pid[i])
			_exit(i < 2 ? add_often(i, devices) : fault_often(fd, faults));
	}
}

static int ended(pid_t pid[4])
{
	int bad = 0;

	for (int i = 0; i < 4; i++)
		bad |= reap(pid[i]) << 8 * i;
	return bad;
}

static bool is_running(pid_t pid[4])
{
	siginfo_t info;

	for (int i = 0; i < 4; i++) {
		info.si_pid = 0;
		if (!waitid(P_PID, pid[i], &info, WEXITED | WNOHANG | WNOWAIT) && !info.si_pid)
			return true;
	}
	return false;
}

/* Two that listen hear the same, all of it, with a buffer that is large enough. */
TEST_F_TIMEOUT(event, each_once_and_in_order, 200)
{
	unsigned long n = rounds(200), faults = rounds(2000);
	uint64_t last[2];
	struct heard heard[2];
	struct genl second;
	int room = 64 << 20;
	pid_t pid[4];

	ASSERT_EQ(0, control_open(&second));
	ASSERT_EQ(0, genl_join(&second, DEVICES));
	ASSERT_EQ(0, genl_join(&second, FAULTS));
	ASSERT_EQ(0, setsockopt(self->ear.fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)));
	ASSERT_EQ(0, setsockopt(second.fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)));
	listen_from(&heard[0], self->devices, self->faults);
	listen_from(&heard[1], self->devices, self->faults);
	start_noise(self->fd, pid, n, faults);
	while (is_running(pid)) {
		/* One reads along, the other when all is over. */
		ASSERT_EQ(0, hear(&self->ear, &heard[0]));
	}
	EXPECT_EQ(0, ended(pid));
	ASSERT_EQ(0, hear(&self->ear, &heard[0]));
	ASSERT_EQ(0, hear(&second, &heard[1]));
	ASSERT_EQ(0, get_events(&self->genl, &last[0], &last[1]));
	for (int i = 0; i < 2; i++) {
		EXPECT_FALSE(heard[i].wrong);
		EXPECT_EQ(0, heard[i].lost[0]);
		EXPECT_EQ(0, heard[i].lost[1]);
		EXPECT_EQ(last[0], heard[i].last[0]);
		EXPECT_EQ(last[1], heard[i].last[1]);
	}
	/* Two for each device, and one each time that nobody had it mapped before, or after. */
	EXPECT_LE(self->devices + 4 * n + 2, last[0]);
	EXPECT_GE(self->devices + 4 * n + 4, last[0]);
	EXPECT_EQ(self->faults + 2 * faults, last[1]);
}

/* What does not fit is lost, and exactly that much is missing in the numbers. */
TEST_F_TIMEOUT(event, lost_when_too_slow, 200)
{
	unsigned long faults = rounds(2000), total;
	uint64_t last[2];
	struct heard heard;
	int small = 8192, overruns;

	ASSERT_EQ(0, setsockopt(self->ear.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)));
	listen_from(&heard, self->devices, self->faults);
	ASSERT_EQ(0, fault_often(self->fd, faults));
	overruns = hear(&self->ear, &heard);
	EXPECT_LT(0, overruns);
	EXPECT_LT(0, heard.nr);
	EXPECT_GT(faults, heard.nr);
	/* It can hear again, and now the gap shows. */
	ASSERT_EQ(0, fault_often(self->fd, 1));
	ASSERT_LE(0, hear(&self->ear, &heard));
	EXPECT_FALSE(heard.wrong);
	ASSERT_EQ(0, get_events(&self->genl, &last[0], &last[1]));
	total = last[0] - self->devices + last[1] - self->faults;
	EXPECT_EQ(self->faults + faults + 1, last[1]);
	EXPECT_EQ(last[1], heard.last[1]);
	EXPECT_LT(0, heard.lost[1]);
	EXPECT_EQ(total, heard.nr + heard.lost[0] + heard.lost[1] + (last[0] - heard.last[0]));
}

/* A socket that is never read is nobody's problem but its own. */
TEST_F_TIMEOUT(event, never_read, 200)
{
	unsigned long faults = rounds(10000), n = rounds(100);
	double start, alone, with;
	uint64_t last[2];
	pid_t pid[4];

	genl_close(&self->ear);
	start = seconds();
	start_noise(self->fd, pid, n / 10, faults / 10);
	ASSERT_EQ(0, ended(pid));
	alone = 10 * (seconds() - start);
	ASSERT_EQ(0, control_open(&self->ear));
	ASSERT_EQ(0, genl_join(&self->ear, DEVICES));
	ASSERT_EQ(0, genl_join(&self->ear, FAULTS));
	start = seconds();
	start_noise(self->fd, pid, n, faults);
	ASSERT_EQ(0, ended(pid));
	with = seconds() - start;
	TH_LOG("%.1f s without a listener, %.1f s with one that never reads", alone, with);
	EXPECT_GT(10 * alone + 1, with);
	ASSERT_EQ(0, get_events(&self->genl, &last[0], &last[1]));
	EXPECT_EQ(self->faults + 2 * faults + 2 * (faults / 10), last[1]);
}

/* Whoever leaves the group, or was never in it, hears nothing; a late one what is new. */
TEST_F(event, only_the_group)
{
	struct genl other;
	struct heard heard;

	ASSERT_EQ(0, control_open(&other));
	ASSERT_EQ(0, genl_join(&other, DEVICES));
	ASSERT_EQ(0, fault_often(self->fd, 3));
	listen_from(&heard, self->devices, self->faults);
	EXPECT_EQ(0, hear(&other, &heard));
	EXPECT_EQ(2, heard.nr);
	EXPECT_EQ(self->devices + 2, heard.last[0]);
	ASSERT_EQ(0, genl_join(&other, FAULTS));
	ASSERT_EQ(0, fault_often(self->fd, 1));
	listen_from(&heard, self->devices + 2, self->faults + 3);
	EXPECT_EQ(0, hear(&other, &heard));
	EXPECT_EQ(3, heard.nr);
	EXPECT_EQ(0, heard.lost[0] + heard.lost[1]);
}

TEST_HARNESS_MAIN
