// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control.h"

#define BIT(type) (1ULL << MMAPDEMO_A_##type)
#define MUST_DEVICE (BIT(DEV) | BIT(BACKING) | BIT(SIZE) | BIT(FLAGS) | BIT(OPENS) |	\
		     BIT(MAPPINGS) | BIT(FAULTS))
#define MUST_ROW (BIT(DEV) | BIT(PID) | BIT(TGID) | BIT(COMM) | BIT(START) | BIT(END) |	\
		  BIT(PGOFF) | BIT(PROT) | BIT(FAULTS))

int control_open(struct genl *genl)
{
	return genl_open(genl, MMAPDEMO_FAMILY_NAME);
}

static uint64_t u64_of(const struct nlmsghdr *message, int type)
{
	return genl_value(genl_find(message, type), 8);
}

static uint32_t u32_of(const struct nlmsghdr *message, int type)
{
	return genl_value(genl_find(message, type), 4);
}

static void text_of(const struct nlmsghdr *message, int type, char *text, size_t size)
{
	snprintf(text, size, "%s", genl_text(genl_find(message, type)));
}

/* The types that a message has, without the padding. */
static uint64_t has(const struct nlmsghdr *message)
{
	return genl_types(message) & ~BIT(PAD);
}

/* Counters 2 to @last of a nest, each there and no other. */
static bool read_counters(const struct nlattr *nest, uint64_t *count, int last)
{
	uint64_t want = (2ULL << last) - 4;

	for (int i = 2; i <= last; i++)
		count[i] = genl_value(genl_nested(nest, i), 8);
	return (genl_nested_types(nest) & ~2ULL) == want;
}

static bool read_device(const struct nlmsghdr *message, struct info *info)
{
	const struct nlattr *mappings = genl_find(message, MMAPDEMO_A_MAPPINGS);
	uint64_t count[MMAPDEMO_A_MAPPINGS_MAX + 1], must = MUST_DEVICE;

	memset(info, 0, sizeof(*info));
	text_of(message, MMAPDEMO_A_DEV, info->dev, sizeof(info->dev));
	text_of(message, MMAPDEMO_A_BACKING, info->backing, sizeof(info->backing));
	info->size = u64_of(message, MMAPDEMO_A_SIZE);
	info->flags = u32_of(message, MMAPDEMO_A_FLAGS);
	info->opens = u32_of(message, MMAPDEMO_A_OPENS);
	info->has_path = genl_find(message, MMAPDEMO_A_PATH);
	text_of(message, MMAPDEMO_A_PATH, info->path, sizeof(info->path));
	info->has_dirty = genl_find(message, MMAPDEMO_A_DIRTY_PAGES);
	info->dirty = u64_of(message, MMAPDEMO_A_DIRTY_PAGES);
	if (!read_counters(mappings, count, MMAPDEMO_A_MAPPINGS_MAX) ||
	    !read_counters(genl_find(message, MMAPDEMO_A_FAULTS), info->faults,
			   MMAPDEMO_A_FAULTS_MAX))
		return false;
	info->live = count[MMAPDEMO_A_MAPPINGS_LIVE];
	info->total = count[MMAPDEMO_A_MAPPINGS_TOTAL];
	must |= strcmp(info->backing, "ram") ? BIT(PATH) : BIT(DIRTY_PAGES);
	return has(message) == must;
}

void on_device(const struct nlmsghdr *message, void *arg)
{
	struct infos *infos = arg;
	struct info ignored, *info = infos->nr < 64 ? &infos->info[infos->nr] : &ignored;

	if (read_device(message, info))
		infos->nr++;
}

static bool read_row(const struct nlmsghdr *message, struct row *row)
{
	memset(row, 0, sizeof(*row));
	text_of(message, MMAPDEMO_A_DEV, row->dev, sizeof(row->dev));
	row->pid = u32_of(message, MMAPDEMO_A_PID);
	row->tgid = u32_of(message, MMAPDEMO_A_TGID);
	text_of(message, MMAPDEMO_A_COMM, row->comm, sizeof(row->comm));
	row->start = u64_of(message, MMAPDEMO_A_START);
	row->end = u64_of(message, MMAPDEMO_A_END);
	row->pgoff = u64_of(message, MMAPDEMO_A_PGOFF);
	row->shared = genl_find(message, MMAPDEMO_A_SHARED);
	row->prot = u32_of(message, MMAPDEMO_A_PROT);
	return read_counters(genl_find(message, MMAPDEMO_A_FAULTS), row->faults,
			     MMAPDEMO_A_FAULTS_AROUND) &&
	       (has(message) & ~BIT(SHARED)) == MUST_ROW;
}

static void on_row(const struct nlmsghdr *message, void *arg)
{
	struct rows *rows = arg;
	struct row ignored, *row = rows->nr < 40 ? &rows->row[rows->nr] : &ignored;

	if (read_row(message, row))
		rows->nr++;
}

static void on_run(const struct nlmsghdr *message, void *arg)
{
	bool state = genl_command(message) == MMAPDEMO_CMD_PAGE_GET;
	struct runs *runs = arg;
	struct run run = {
		u64_of(message, MMAPDEMO_A_PAGE), u64_of(message, MMAPDEMO_A_PAGES),
		state ? u32_of(message, MMAPDEMO_A_STATE) : 0,
	};

	if (has(message) != (BIT(PAGE) | BIT(PAGES) | (state ? BIT(STATE) : 0)))
		return;
	if (runs->nr < MAX_RUNS)
		runs->run[runs->nr] = run;
	runs->nr++;
}

/* Ask; every message of the answer has to be one of the @nr that could be read. */
static int ask(struct genl *genl, struct genl_request *request, genl_fn *fn, void *arg,
	       const unsigned int *nr)
{
	struct genl_answer answer;
	int err = genl_ask(genl, request, fn, arg, &answer);

	return err ?: answer.messages == (nr ? *nr : 0) ? 0 : -EPROTO;
}

/* Begin a request to a device. */
static void begin(struct genl *genl, struct genl_request *request, int command, int flags,
		  const char *dev)
{
	genl_begin(genl, request, command, flags);
	if (dev)
		genl_string(request, MMAPDEMO_A_DEV, dev);
}

/* The answer is one device. */
static int ask_device(struct genl *genl, struct genl_request *request, struct info *info)
{
	struct infos infos = { .nr = 0 };
	int err = ask(genl, request, on_device, &infos, &infos.nr);

	if (!err && infos.nr != 1)
		return -EPROTO;
	if (!err && info)
		*info = infos.info[0];
	return err;
}

int add_ram(struct genl *genl, const char *dev, uint64_t size, uint32_t flags, struct info *info)
{
	struct genl_request request;

	begin(genl, &request, MMAPDEMO_CMD_DEVICE_ADD, 0, dev);
	genl_string(&request, MMAPDEMO_A_BACKING, "ram");
	if (size != ANY_SIZE)
		genl_u64(&request, MMAPDEMO_A_SIZE, size);
	if (flags != ANY_FLAGS)
		genl_u32(&request, MMAPDEMO_A_FLAGS, flags);
	return ask_device(genl, &request, info);
}

int add_file(struct genl *genl, const char *dev, int file, uint32_t flags, struct info *info)
{
	struct genl_request request;

	begin(genl, &request, MMAPDEMO_CMD_DEVICE_ADD, 0, dev);
	genl_string(&request, MMAPDEMO_A_BACKING, "file");
	genl_u32(&request, MMAPDEMO_A_FILE, file);
	if (flags != ANY_FLAGS)
		genl_u32(&request, MMAPDEMO_A_FLAGS, flags);
	return ask_device(genl, &request, info);
}

int del(struct genl *genl, const char *dev, bool force)
{
	struct genl_request request;

	begin(genl, &request, MMAPDEMO_CMD_DEVICE_DEL, 0, dev);
	if (force)
		genl_flag(&request, MMAPDEMO_A_FORCE);
	return ask(genl, &request, NULL, NULL, NULL);
}

int get(struct genl *genl, const char *dev, struct info *info)
{
	struct genl_request request;

	begin(genl, &request, MMAPDEMO_CMD_DEVICE_GET, 0, dev);
	return ask_device(genl, &request, info);
}

int get_all(struct genl *genl, struct infos *infos)
{
	struct genl_request request;

	infos->nr = 0;
	begin(genl, &request, MMAPDEMO_CMD_DEVICE_GET, NLM_F_DUMP, NULL);
	return ask(genl, &request, on_device, infos, &infos->nr);
}

int get_mappings(struct genl *genl, const char *dev, struct rows *rows)
{
	struct genl_request request;

	rows->nr = 0;
	begin(genl, &request, MMAPDEMO_CMD_MAPPING_GET, NLM_F_DUMP, dev);
	return ask(genl, &request, on_row, rows, &rows->nr);
}

static int get_runs(struct genl *genl, int command, const char *dev, struct runs *runs)
{
	struct genl_request request;

	runs->nr = 0;
	begin(genl, &request, command, NLM_F_DUMP, dev);
	return ask(genl, &request, on_run, runs, &runs->nr);
}

int get_pages(struct genl *genl, const char *dev, struct runs *runs)
{
	return get_runs(genl, MMAPDEMO_CMD_PAGE_GET, dev, runs);
}

int harvest(struct genl *genl, const char *dev, struct runs *runs)
{
	return get_runs(genl, MMAPDEMO_CMD_DIRTY_HARVEST, dev, runs);
}

/* A command with a device and two numbers, 0 for none. */
static int two(struct genl *genl, int command, const char *dev, int first, uint64_t a,
	       int second, uint64_t b)
{
	struct genl_request request;

	begin(genl, &request, command, 0, dev);
	genl_u64(&request, first, a);
	if (second)
		genl_u64(&request, second, b);
	return ask(genl, &request, NULL, NULL, NULL);
}

int zap(struct genl *genl, const char *dev, uint64_t page, uint64_t pages)
{
	return two(genl, MMAPDEMO_CMD_ZAP, dev, MMAPDEMO_A_PAGE, page, MMAPDEMO_A_PAGES, pages);
}

int wrprotect(struct genl *genl, const char *dev, uint64_t page, uint64_t pages)
{
	return two(genl, MMAPDEMO_CMD_WRPROTECT, dev, MMAPDEMO_A_PAGE, page, MMAPDEMO_A_PAGES,
		   pages);
}

int resize(struct genl *genl, const char *dev, uint64_t size)
{
	return two(genl, MMAPDEMO_CMD_RESIZE, dev, MMAPDEMO_A_SIZE, size, 0, 0);
}

int punch(struct genl *genl, const char *dev, uint64_t offset, uint64_t length)
{
	return two(genl, MMAPDEMO_CMD_PUNCH, dev, MMAPDEMO_A_OFFSET, offset, MMAPDEMO_A_LENGTH,
		   length);
}

struct last {
	uint64_t devices, faults;
	unsigned int nr;
};

static void on_last(const struct nlmsghdr *message, void *arg)
{
	struct last *last = arg;

	if (has(message) != (BIT(DEVICES_SEQ) | BIT(FAULTS_SEQ)))
		return;
	last->devices = u64_of(message, MMAPDEMO_A_DEVICES_SEQ);
	last->faults = u64_of(message, MMAPDEMO_A_FAULTS_SEQ);
	last->nr++;
}

int get_events(struct genl *genl, uint64_t *devices, uint64_t *faults)
{
	struct genl_request request;
	struct last last = { .nr = 0 };
	int err;

	genl_begin(genl, &request, MMAPDEMO_CMD_EVENT_GET, 0);
	err = ask(genl, &request, on_last, &last, &last.nr);
	if (!err && last.nr != 1)
		return -EPROTO;
	*devices = last.devices;
	*faults = last.faults;
	return err;
}

static const char *runs_text(const struct runs *runs, bool state)
{
	static char text[2][2048];
	char *all = text[state];
	int len = 0;

	all[0] = '\0';
	for (unsigned int i = 0; i < runs->nr && i < MAX_RUNS && len < 2000; i++) {
		len += snprintf(all + len, 2048 - len, "%s%llu+%llu", i ? " " : "",
				(unsigned long long)runs->run[i].page,
				(unsigned long long)runs->run[i].pages);
		if (state)
			len += snprintf(all + len, 2048 - len, ":%u", runs->run[i].state);
	}
	return all;
}

const char *pages_text(const struct runs *runs)
{
	return runs_text(runs, true);
}

const char *harvest_text(const struct runs *runs)
{
	return runs_text(runs, false);
}

bool read_event(const struct nlmsghdr *message, struct event *event)
{
	uint64_t must = BIT(SEQ) | BIT(EVENT) | BIT(DEV);

	memset(event, 0, sizeof(*event));
	event->command = genl_command(message);
	event->seq = u64_of(message, MMAPDEMO_A_SEQ);
	event->event = u32_of(message, MMAPDEMO_A_EVENT);
	text_of(message, MMAPDEMO_A_DEV, event->dev, sizeof(event->dev));
	text_of(message, MMAPDEMO_A_BACKING, event->backing, sizeof(event->backing));
	event->size = u64_of(message, MMAPDEMO_A_SIZE);
	event->page = u64_of(message, MMAPDEMO_A_PAGE);
	event->pid = u32_of(message, MMAPDEMO_A_PID);
	event->tgid = u32_of(message, MMAPDEMO_A_TGID);
	text_of(message, MMAPDEMO_A_COMM, event->comm, sizeof(event->comm));
	if (event->command == MMAPDEMO_CMD_DEVICE_EVENT)
		return has(message) == (must | BIT(BACKING) | BIT(SIZE));
	return event->command == MMAPDEMO_CMD_FAULT_EVENT &&
	       has(message) == (must | BIT(PAGE) | BIT(PID) | BIT(TGID) | BIT(COMM));
}
