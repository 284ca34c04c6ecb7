// SPDX-License-Identifier: GPL-2.0
/* Subscriptions to the module's events, and how many of them were lost. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "mmapdemo.h"
#include "netlink.h"

#define NR_GROUPS	2

static const struct {
	const char *name;
	int cmd;
	int seq;	/* attribute of event-get: the last one's number */
} groups[NR_GROUPS] = {
	{ MMAPDEMO_MCGRP_DEVICES, MMAPDEMO_CMD_DEVICE_EVENT, MMAPDEMO_A_DEVICES_SEQ },
	{ MMAPDEMO_MCGRP_FAULTS, MMAPDEMO_CMD_FAULT_EVENT, MMAPDEMO_A_FAULTS_SEQ },
};

/* Events of a group are numbered, and arrive in that order. */
struct group {
	bool member;
	uint64_t seen;	/* number of the last event that arrived or is known to be lost */
	uint64_t lost;
	uint64_t untold;	/* of those lost, for the next MMAPDEMO_EVENT_LOST */
};

struct mmapdemo_events {
	struct conn *listen;
	struct conn *ask;
	struct group group[NR_GROUPS];
	struct mmapdemo_event held;	/* arrived, told after what was lost before it */
	bool holds;
	bool overrun;		/* the kernel said so; how many is not known yet */
};

static void count_lost(struct group *group, uint64_t until)
{
	group->lost += until - group->seen;
	group->untold += until - group->seen;
	group->seen = until;
}

/* What came between subscribing and asking for the first number is told, and has been seen. */
static void count_seen(struct group *group, uint64_t seq)
{
	if (seq <= group->seen)
		return;
	count_lost(group, seq - 1);
	group->seen = seq;
}

static int event_type(unsigned int group, uint64_t event)
{
	static const int device_types[] = {
		[MMAPDEMO_DEVICE_ADDED]		= MMAPDEMO_EVENT_ADDED,
		[MMAPDEMO_DEVICE_DELETED]	= MMAPDEMO_EVENT_DELETED,
		[MMAPDEMO_DEVICE_RESIZED]	= MMAPDEMO_EVENT_RESIZED,
		[MMAPDEMO_DEVICE_MAPPED]	= MMAPDEMO_EVENT_MAPPED,
		[MMAPDEMO_DEVICE_UNMAPPED]	= MMAPDEMO_EVENT_UNMAPPED,
	};
	static const int fault_types[] = {
		[MMAPDEMO_FAULT_SIGBUS]		= MMAPDEMO_EVENT_SIGBUS,
		[MMAPDEMO_FAULT_OOM]		= MMAPDEMO_EVENT_OOM,
		[MMAPDEMO_FAULT_HWPOISON]	= MMAPDEMO_EVENT_HWPOISON,
	};
	const int *types = group ? fault_types : device_types;
	const unsigned int max = group ? MMAPDEMO_FAULT_HWPOISON : MMAPDEMO_DEVICE_UNMAPPED;

	return event && event <= max ? types[event] : MMAPDEMO_EVENT_OTHER;
}

static void copy_text(char *to, size_t size, const char *text)
{
	if (text)
		strncpy(to, text, size - 1);
}

static int take_event(const struct answer *answer, void *arg)
{
	struct mmapdemo_events *ev = arg;
	struct mmapdemo_event *event = &ev->held;
	unsigned int g = answer->cmd == groups[1].cmd;

	if (answer->cmd != groups[g].cmd)
		return 0;
	*event = (struct mmapdemo_event){
		.type = event_type(g, answer->number[MMAPDEMO_A_EVENT]),
		.group = 1U << g,
		.seq = answer->number[MMAPDEMO_A_SEQ],
		.size = answer->number[MMAPDEMO_A_SIZE],
		.page = answer->number[MMAPDEMO_A_PAGE],
		.pid = answer->number[MMAPDEMO_A_PID],
		.tgid = answer->number[MMAPDEMO_A_TGID],
	};
	copy_text(event->name, sizeof(event->name), answer->text[MMAPDEMO_A_DEV]);
	copy_text(event->backing, sizeof(event->backing), answer->text[MMAPDEMO_A_BACKING]);
	copy_text(event->comm, sizeof(event->comm), answer->text[MMAPDEMO_A_COMM]);
	count_seen(&ev->group[g], event->seq);
	ev->holds = true;
	return 0;
}

static int take_last(const struct answer *answer, void *arg)
{
	uint64_t *last = arg;
	unsigned int g;

	for (g = 0; g < NR_GROUPS; g++)
		last[g] = answer->number[groups[g].seq];
	return 0;
}

/* The numbers of the last events so far. */
static int ask_last(struct mmapdemo_events *ev, uint64_t last[NR_GROUPS])
{
	int ret = conn_begin(ev->ask, MMAPDEMO_CMD_EVENT_GET, false);

	return ret ?: conn_ask(ev->ask, take_last, last);
}

/*
 * When nothing waits after the kernel has told its last number, what is missing up to that was
 * lost. Otherwise it is too early to say: -EAGAIN.
 */
static int settle(struct mmapdemo_events *ev)
{
	struct pollfd waiting = { .fd = conn_fd(ev->listen), .events = POLLIN };
	uint64_t last[NR_GROUPS] = { 0 };
	unsigned int g;
	int ret = ask_last(ev, last);

	if (ret)
		return ret;
	if (ev->holds || poll(&waiting, 1, 0))
		return -EAGAIN;
	for (g = 0; g < NR_GROUPS; g++)
		if (ev->group[g].member && last[g] > ev->group[g].seen)
			count_lost(&ev->group[g], last[g]);
	return 0;
}

static int join(struct mmapdemo_events *ev, unsigned int mask)
{
	uint64_t last[NR_GROUPS] = { 0 };
	unsigned int g;
	int ret = 0;

	for (g = 0; g < NR_GROUPS && !ret; g++) {
		ev->group[g].member = mask & 1U << g;
		if (ev->group[g].member)
			ret = conn_join(ev->listen, groups[g].name);
	}
	ret = ret ?: ask_last(ev, last);
	for (g = 0; g < NR_GROUPS; g++)
		ev->group[g].seen = last[g];
	return ret;
}

int mmapdemo_events_open(unsigned int mask, struct mmapdemo_events **evp)
{
	struct mmapdemo_events *ev;
	int ret;

	if (!mask || mask >> NR_GROUPS)
		return -EINVAL;
	ev = calloc(1, sizeof(*ev));
	if (!ev)
		return -ENOMEM;
	ret = conn_open(&ev->listen);
	ret = ret ?: conn_open(&ev->ask);
	ret = ret ?: join(ev, mask);
	if (ret) {
		mmapdemo_events_close(ev);
		return ret;
	}
	*evp = ev;
	return 0;
}

void mmapdemo_events_close(struct mmapdemo_events *ev)
{
	if (!ev)
		return;
	conn_close(ev->listen);
	conn_close(ev->ask);
	free(ev);
}

int mmapdemo_events_fd(const struct mmapdemo_events *ev)
{
	return conn_fd(ev->listen);
}

static bool tell_lost(struct mmapdemo_events *ev, struct mmapdemo_event *event)
{
	struct group *group;
	unsigned int g;

	for (g = 0; g < NR_GROUPS; g++) {
		group = &ev->group[g];
		if (!group->untold)
			continue;
		*event = (struct mmapdemo_event){
			.type = MMAPDEMO_EVENT_LOST,
			.group = 1U << g,
			.seq = group->seen - (ev->holds && ev->held.group == 1U << g),
			.lost = group->untold,
		};
		group->untold = 0;
		return true;
	}
	return false;
}

/* One more message is held, or it is known what was lost instead. */
static int fetch(struct mmapdemo_events *ev)
{
	int ret = conn_next(ev->listen, take_event, ev);

	if (ret == -ENOBUFS) {
		ev->overrun = true;
		return 0;
	}
	if (ret != -EAGAIN || !ev->overrun)
		return ret;
	/* No later event has come that would show the gap. */
	ret = settle(ev);
	if (ret == -EAGAIN)
		return 0;
	ev->overrun = false;
	return ret;
}

int mmapdemo_events_next(struct mmapdemo_events *ev, struct mmapdemo_event *event)
{
	int ret;

	for (;;) {
		if (tell_lost(ev, event))
			return 0;
		if (ev->holds) {
			*event = ev->held;
			ev->holds = false;
			return 0;
		}
		ret = fetch(ev);
		if (ret)
			return ret;
	}
}

int mmapdemo_events_lost(struct mmapdemo_events *ev, uint64_t *lost)
{
	unsigned int g;
	int ret = settle(ev);

	*lost = 0;
	for (g = 0; g < NR_GROUPS; g++)
		*lost += ev->group[g].lost;
	return ret;
}

const char *mmapdemo_event_name(int type)
{
	static const char *const name[] = {
		[MMAPDEMO_EVENT_LOST]		= "lost",
		[MMAPDEMO_EVENT_ADDED]		= "added",
		[MMAPDEMO_EVENT_DELETED]	= "deleted",
		[MMAPDEMO_EVENT_RESIZED]	= "resized",
		[MMAPDEMO_EVENT_MAPPED]		= "mapped",
		[MMAPDEMO_EVENT_UNMAPPED]	= "unmapped",
		[MMAPDEMO_EVENT_SIGBUS]		= "sigbus",
		[MMAPDEMO_EVENT_OOM]		= "oom",
		[MMAPDEMO_EVENT_HWPOISON]	= "hwpoison",
	};
	const int n = sizeof(name) / sizeof(name[0]);

	return type >= 0 && type < n ? name[type] : "other";
}
