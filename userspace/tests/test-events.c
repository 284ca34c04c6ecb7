// SPDX-License-Identifier: GPL-2.0
/*
 * Subscriptions against a kernel of the test's own making, which tells what it is told to and
 * loses what it is told to. Prints TAP.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "mmapdemo.h"
#include "netlink.h"

#define OVERRUN	UINT64_MAX

/* The made-up kernel: a message is its number; those of "faults" count from 1000. */
static struct {
	uint64_t queue[16];
	unsigned int head, tail;
	uint64_t last[2];
	bool may_not;		/* join */
	bool gone;
	int ready;		/* an eventfd, readable while the queue has something */
} kernel;

static int done, failed;

struct conn {
	int unused;
};

static void ok(bool pass, const char *what)
{
	printf("%sok %d - %s\n", pass ? "" : "not ", ++done, what);
	failed += !pass;
}

static void tell(uint64_t seq)
{
	kernel.queue[kernel.head++ % 16] = seq;
	eventfd_write(kernel.ready, 1);
}

int conn_open(struct conn **connp)
{
	*connp = calloc(1, sizeof(**connp));
	return 0;
}

void conn_close(struct conn *conn)
{
	free(conn);
}

int conn_fd(const struct conn *conn)
{
	(void)conn;
	return kernel.ready;
}

int conn_join(struct conn *conn, const char *group)
{
	(void)conn;
	return kernel.may_not && !strcmp(group, "faults") ? -EPERM : 0;
}

int conn_begin(struct conn *conn, uint8_t cmd, bool dump)
{
	(void)conn;
	return cmd == MMAPDEMO_CMD_EVENT_GET && !dump ? 0 : -EINVAL;
}

int conn_ask(struct conn *conn, answer_fn fn, void *arg)
{
	struct answer answer = { .cmd = MMAPDEMO_CMD_EVENT_GET };

	(void)conn;
	answer.number[MMAPDEMO_A_DEVICES_SEQ] = kernel.last[0];
	answer.number[MMAPDEMO_A_FAULTS_SEQ] = kernel.last[1];
	return kernel.gone ? -ENODEV : fn(&answer, arg);
}

int conn_next(struct conn *conn, answer_fn fn, void *arg)
{
	struct answer answer = { .cmd = MMAPDEMO_CMD_DEVICE_EVENT };
	uint64_t seq;
	eventfd_t n;

	(void)conn;
	if (kernel.head == kernel.tail)
		return -EAGAIN;
	seq = kernel.queue[kernel.tail++ % 16];
	if (kernel.head == kernel.tail)
		eventfd_read(kernel.ready, &n);
	if (seq == OVERRUN)
		return -ENOBUFS;
	answer.number[MMAPDEMO_A_EVENT] = MMAPDEMO_DEVICE_RESIZED;
	if (seq >= 1000) {
		answer.cmd = MMAPDEMO_CMD_FAULT_EVENT;
		answer.number[MMAPDEMO_A_EVENT] = 99;
	}
	answer.number[MMAPDEMO_A_SEQ] = seq % 1000;
	answer.text[MMAPDEMO_A_DEV] = "mmapdemo7";
	return fn(&answer, arg);
}

/* What a subscription tells until it has no more: "d5 f3 lost:d8:2", and the total. */
static const char *heard(struct mmapdemo_events *ev)
{
	static char text[256];
	struct mmapdemo_event e;
	uint64_t lost = 0;
	char *p = text;
	int ret;

	for (;;) {
		ret = mmapdemo_events_next(ev, &e);
		if (ret)
			break;
		p += e.type == MMAPDEMO_EVENT_LOST ?
			sprintf(p, "lost:%c%d:%d ", "?df"[e.group], (int)e.seq, (int)e.lost) :
			sprintf(p, "%c%d ", "?df"[e.group], (int)e.seq);
	}
	if (ret != -EAGAIN)
		return strerror(-ret);
	ret = mmapdemo_events_lost(ev, &lost);
	if (ret)
		sprintf(p, "%s", strerror(-ret));
	else
		sprintf(p, "= %d", (int)lost);
	return text;
}

static void hears(struct mmapdemo_events *ev, const char *want, const char *what)
{
	const char *got = heard(ev);

	ok(!strcmp(got, want), what);
	if (strcmp(got, want))
		printf("# heard '%s', expected '%s'\n", got, want);
}

static void test_order(struct mmapdemo_events *ev)
{
	struct mmapdemo_event e;

	hears(ev, "= 0", "nothing happened");
	tell(4);
	tell(5);
	kernel.last[0] = 6;
	tell(6);
	hears(ev, "d4 d5 d6 = 0", "what came while it subscribed is told, and no gap before it");
	tell(7);
	kernel.last[0] = 7;
	ok(!mmapdemo_events_next(ev, &e) && e.type == MMAPDEMO_EVENT_RESIZED &&
	   !strcmp(e.name, "mmapdemo7") && !e.lost, "an event, and what is in it");
	tell(1003);
	kernel.last[1] = 3;
	ok(!mmapdemo_events_next(ev, &e) && e.type == MMAPDEMO_EVENT_OTHER,
	   "an event that is not known");
}

static void test_gaps(struct mmapdemo_events *ev)
{
	uint64_t lost;

	tell(8);
	tell(11);
	tell(1004);
	kernel.last[0] = 11;
	kernel.last[1] = 4;
	hears(ev, "d8 lost:d10:2 d11 f4 = 2", "a gap is told where it is");
	kernel.last[0] = 14;
	ok(!mmapdemo_events_lost(ev, &lost) && lost == 5, "lost behind the last that came");
	hears(ev, "lost:d14:3 = 5", "... is told too, once");
	tell(15);
	kernel.last[0] = 16;
	ok(mmapdemo_events_lost(ev, &lost) == -EAGAIN && lost == 5,
	   "too early to say while events wait");
	hears(ev, "d15 = 6", "... then it is known");
	hears(ev, "lost:d16:1 = 6", "... and told");
}

static void test_overrun(struct mmapdemo_events *ev)
{
	tell(OVERRUN);
	tell(17);
	tell(1008);
	kernel.last[0] = 20;
	kernel.last[1] = 9;
	hears(ev, "d17 lost:f7:3 f8 lost:d20:3 lost:f9:1 = 13",
	      "an overrun asks for the tail at once");
	tell(OVERRUN);
	tell(21);
	kernel.last[0] = 21;
	hears(ev, "d21 = 13", "an overrun of what was not for us");
	kernel.gone = true;
	hears(ev, "No such device", "the module is gone");
	kernel.gone = false;
}

int main(void)
{
	struct mmapdemo_events *ev, *none;

	kernel.ready = eventfd(0, EFD_CLOEXEC);
	kernel.last[0] = 5;
	kernel.last[1] = 2;
	ok(!mmapdemo_events_open(MMAPDEMO_GROUP_DEVICES | MMAPDEMO_GROUP_FAULTS, &ev),
	   "subscribe to both groups");
	ok(mmapdemo_events_fd(ev) == kernel.ready, "a descriptor to poll");
	kernel.may_not = true;
	ok(mmapdemo_events_open(MMAPDEMO_GROUP_FAULTS, &none) == -EPERM, "no right to: -EPERM");
	test_order(ev);
	test_gaps(ev);
	test_overrun(ev);
	mmapdemo_events_close(ev);
	ok(!mmapdemo_events_open(MMAPDEMO_GROUP_DEVICES, &ev), "subscribe to one");
	kernel.last[1] = 100;
	hears(ev, "= 0", "the other group's events are none of its own");
	mmapdemo_events_close(ev);
	printf("1..%d\n", done);
	return failed ? 1 : 0;
}
