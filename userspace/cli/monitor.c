// SPDX-License-Identifier: GPL-2.0
/* mmapdemo monitor */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

static const char help[] =
	"Usage: mmapdemo monitor [-j] [--devices] [--faults]\n"
	"Print what happens, a line for each event, until Ctrl-C. If this is too slow, it says how\n"
	"many events it lost and where. The sums are on standard error at the end.\n\n"
	"  -d, --devices   devices that are added, deleted, resized, first mapped, last unmapped\n"
	"  -f, --faults    faults that end in sigbus, oom or hwpoison; needs root\n"
	"                  both, without either option\n"
	"  -j, --json      an object for each event, one to a line\n"
	"  -h, --help      this text\n";

struct monitor {
	struct mmapdemo_events *ev;
	int signals;		/* readable when it is to end */
	bool json;
	uint64_t told, lost;	/* sums */
};

/* Told in one go, so that a flood of events does not keep it from ending. */
#define MOST_AT_ONCE	1024

static const char *group_name(const struct mmapdemo_event *e)
{
	return e->group == MMAPDEMO_GROUP_FAULTS ? "faults" : "devices";
}

static void print_text(const struct mmapdemo_event *e, const struct timespec *now)
{
	char clock[16];
	struct tm tm;

	strftime(clock, sizeof(clock), "%H:%M:%S", localtime_r(&now->tv_sec, &tm));
	printf("%s.%03ld %s %" PRIu64 " ", clock, now->tv_nsec / 1000000, group_name(e), e->seq);
	if (e->type == MMAPDEMO_EVENT_LOST)
		printf("lost %" PRIu64 " events up to here\n", e->lost);
	else if (e->group == MMAPDEMO_GROUP_FAULTS)
		printf("%s %s page %" PRIu64 " %s (pid %" PRIu32 ", tgid %" PRIu32 ")\n",
		       mmapdemo_event_name(e->type), e->name, e->page, e->comm, e->pid, e->tgid);
	else
		printf("%s %s %s, %" PRIu64 " bytes\n", mmapdemo_event_name(e->type), e->name,
		       e->backing, e->size);
}

static void print_json(const struct mmapdemo_event *e, const struct timespec *now)
{
	struct json_object *top = json_top("mmapdemo.monitor/1");
	char time[32];

	snprintf(time, sizeof(time), "%ld.%06ld", now->tv_sec, now->tv_nsec / 1000);
	json_object_object_add(top, "time", json_object_new_double_s(atof(time), time));
	json_text(top, "group", group_name(e));
	json_number(top, "seq", e->seq);
	json_text(top, "event", mmapdemo_event_name(e->type));
	if (e->type == MMAPDEMO_EVENT_LOST) {
		json_number(top, "lost", e->lost);
	} else if (e->group == MMAPDEMO_GROUP_FAULTS) {
		json_text(top, "dev", e->name);
		json_number(top, "page", e->page);
		json_number(top, "pid", e->pid);
		json_number(top, "tgid", e->tgid);
		json_text(top, "comm", e->comm);
	} else {
		json_text(top, "dev", e->name);
		json_text(top, "backing", e->backing);
		json_number(top, "size", e->size);
	}
	json_print(top, JSON_C_TO_STRING_PLAIN);
}

static void print(struct monitor *m, const struct mmapdemo_event *event)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (m->json)
		print_json(event, &now);
	else
		print_text(event, &now);
	m->lost += event->lost;
	m->told += event->type != MMAPDEMO_EVENT_LOST;
}

/* What waits: 0, or -errno of the subscription. @code when nobody reads it any more. */
static int tell(struct monitor *m, int *code)
{
	struct mmapdemo_event event;
	unsigned int i;
	int ret = 0;

	for (i = 0; i < MOST_AT_ONCE && !ret; i++) {
		ret = mmapdemo_events_next(m->ev, &event);
		if (!ret)
			print(m, &event);
	}
	*code = out_flush();
	return ret == -EAGAIN ? 0 : ret;
}

/*
 * What was lost behind the last event shows only when the kernel is asked, so it is, each
 * second; which also shows that the module is gone.
 */
static int watch(struct monitor *m, int *code)
{
	struct pollfd fds[] = {
		{ .fd = m->signals, .events = POLLIN },
		{ .fd = mmapdemo_events_fd(m->ev), .events = POLLIN },
	};
	uint64_t lost;
	int ret = 0;

	while (!ret && !*code) {
		if (!poll(fds, 2, 1000))
			ret = mmapdemo_events_lost(m->ev, &lost);
		if (fds[0].revents)
			break;
		if (!ret || ret == -EAGAIN)
			ret = tell(m, code);
	}
	return ret;
}

/* What waits at the end is told, and what is missing then is lost; but more may come for ever. */
static int finish(struct monitor *m, int *code)
{
	unsigned int tries = 100;
	uint64_t lost;
	int ret = -EAGAIN, err = 0;

	while (ret == -EAGAIN && !err && !*code && tries--) {
		ret = mmapdemo_events_lost(m->ev, &lost);
		err = tell(m, code);
	}
	return err ?: ret == -EAGAIN ? 0 : ret;
}

static int explain_end(int error)
{
	if (error == -ENODEV) {
		fputs("mmapdemo: the module was unloaded\n", stderr);
		return ABSENT;
	}
	fprintf(stderr, "mmapdemo: monitor: %s\n", strerror(-error));
	return FAILED;
}

/* SIGINT and SIGTERM are read like the events, so that none is lost between two of them. */
static int monitor(struct monitor *m)
{
	int code = DONE, ret;
	sigset_t end;

	sigemptyset(&end);
	sigaddset(&end, SIGINT);
	sigaddset(&end, SIGTERM);
	sigprocmask(SIG_BLOCK, &end, NULL);
	m->signals = signalfd(-1, &end, SFD_CLOEXEC);
	if (m->signals < 0)
		return explain_end(-errno);
	fputs("mmapdemo: waiting for events; Ctrl-C ends it\n", stderr);
	ret = watch(m, &code);
	if (!ret && !code)
		ret = finish(m, &code);
	close(m->signals);
	fprintf(stderr, "mmapdemo: %" PRIu64 " events, %" PRIu64 " lost\n", m->told, m->lost);
	return ret ? explain_end(ret) : code;
}

static int subscribe(unsigned int groups, struct mmapdemo_events **evp)
{
	int ret = mmapdemo_events_open(groups, evp);

	switch (ret) {
	case 0:
		return DONE;
	case -ENODEV:
		return explain(ret, "mmapdemo");
	case -EPERM:
		fputs("mmapdemo: faults are for root only. For the others: mmapdemo monitor --devices\n",
		      stderr);
		return FAILED;
	default:
		fprintf(stderr, "mmapdemo: monitor: %s\n", strerror(-ret));
		return FAILED;
	}
}

int cmd_monitor(int argc, char **argv)
{
	static const struct option options[] = {
		{ "devices", no_argument, NULL, 'd' }, { "faults", no_argument, NULL, 'f' },
		COMMON_LONG, { 0 }
	};
	struct monitor m = { 0 };
	unsigned int groups = 0;
	int opt, code;

	while ((opt = getopt_long(argc, argv, "df" COMMON_SHORT, options, NULL)) != -1) {
		if (opt == 'd')
			groups |= MMAPDEMO_GROUP_DEVICES;
		else if (opt == 'f')
			groups |= MMAPDEMO_GROUP_FAULTS;
		else if (args_common(opt, "monitor", help, &m.json, &code))
			return code;
	}
	if (optind < argc) {
		fputs("mmapdemo: monitor takes no device; see mmapdemo monitor --help\n", stderr);
		return USAGE;
	}
	code = subscribe(groups ?: MMAPDEMO_GROUP_DEVICES | MMAPDEMO_GROUP_FAULTS, &m.ev);
	if (code)
		return code;
	code = monitor(&m);
	mmapdemo_events_close(m.ev);
	return code;
}
