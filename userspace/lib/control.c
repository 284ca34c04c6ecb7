// SPDX-License-Identifier: GPL-2.0
/* The control plane: devices made, deleted and examined. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mmapdemo.h"
#include "netlink.h"

struct mmapdemo_ctl {
	struct conn *conn;
};

_Static_assert((int)MMAPDEMO_STATE_RESIDENT == MMAPDEMO_PAGE_RESIDENT &&
	       (int)MMAPDEMO_STATE_DIRTY == MMAPDEMO_PAGE_DIRTY &&
	       (int)MMAPDEMO_STATE_HUGE == MMAPDEMO_PAGE_HUGE &&
	       (int)MMAPDEMO_STATE_RULE == MMAPDEMO_PAGE_RULE,
	       "the library hands on the kernel's bits");

int mmapdemo_ctl_open(struct mmapdemo_ctl **ctlp)
{
	struct mmapdemo_ctl *ctl = calloc(1, sizeof(*ctl));
	int ret;

	if (!ctl)
		return -ENOMEM;
	ret = conn_open(&ctl->conn);
	if (ret) {
		free(ctl);
		return ret;
	}
	*ctlp = ctl;
	return 0;
}

void mmapdemo_ctl_close(struct mmapdemo_ctl *ctl)
{
	if (!ctl)
		return;
	conn_close(ctl->conn);
	free(ctl);
}

const char *mmapdemo_ctl_error(const struct mmapdemo_ctl *ctl)
{
	return conn_error(ctl->conn);
}

unsigned int mmapdemo_ctl_version(const struct mmapdemo_ctl *ctl)
{
	return conn_version(ctl->conn);
}

/* All requests but that for all devices name one. */
static int begin(struct mmapdemo_ctl *ctl, uint8_t cmd, bool dump, const char *name)
{
	int ret = conn_begin(ctl->conn, cmd, dump);

	if (!ret)
		conn_put_text(ctl->conn, MMAPDEMO_A_DEV, name ? name : MMAPDEMO_NAME);
	return ret;
}

static int begin_range(struct mmapdemo_ctl *ctl, uint8_t cmd, bool dump, const char *name,
		       uint64_t page, uint64_t pages)
{
	int ret = begin(ctl, cmd, dump, name);

	if (ret)
		return ret;
	conn_put_u64(ctl->conn, MMAPDEMO_A_PAGE, page);
	if (pages)
		conn_put_u64(ctl->conn, MMAPDEMO_A_PAGES, pages);
	return 0;
}

static bool has(const struct answer *answer, int attr)
{
	return answer->has & 1ULL << attr;
}

/* What does not fit, or is not there, is no answer of this module. */
static int copy_text(char *to, size_t size, const struct answer *answer, int attr)
{
	const char *text = answer->text[attr];

	if (!text || strlen(text) >= size)
		return -EPROTO;
	strcpy(to, text);
	return 0;
}

static void copy_counters(uint64_t *counter, const struct answer *answer)
{
	static const struct {
		int from, to;
	} faults[] = {
		{ MMAPDEMO_A_FAULTS_READ,	MMAPDEMO_FAULTS_READ },
		{ MMAPDEMO_A_FAULTS_WRITE,	MMAPDEMO_FAULTS_WRITE },
		{ MMAPDEMO_A_FAULTS_COW,	MMAPDEMO_FAULTS_COW },
		{ MMAPDEMO_A_FAULTS_MKWRITE,	MMAPDEMO_FAULTS_MKWRITE },
		{ MMAPDEMO_A_FAULTS_AROUND,	MMAPDEMO_FAULTS_AROUND },
		{ MMAPDEMO_A_FAULTS_HUGE,	MMAPDEMO_FAULTS_HUGE },
		{ MMAPDEMO_A_FAULTS_MAJOR,	MMAPDEMO_FAULTS_MAJOR },
		{ MMAPDEMO_A_FAULTS_RETRY,	MMAPDEMO_FAULTS_RETRY },
		{ MMAPDEMO_A_FAULTS_VMA_LOCKED,	MMAPDEMO_FAULTS_VMA_LOCKED },
		{ MMAPDEMO_A_FAULTS_SIGBUS,	MMAPDEMO_FAULTS_SIGBUS },
		{ MMAPDEMO_A_FAULTS_OOM,	MMAPDEMO_FAULTS_OOM },
		{ MMAPDEMO_A_FAULTS_HWPOISON,	MMAPDEMO_FAULTS_HWPOISON },
		{ MMAPDEMO_A_FAULTS_INJECTED,	MMAPDEMO_FAULTS_INJECTED },
	};
	unsigned int i;

	for (i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		counter[faults[i].to] = answer->faults[faults[i].from];
	counter[MMAPDEMO_MAPPINGS_LIVE] = answer->mappings[MMAPDEMO_A_MAPPINGS_LIVE];
	counter[MMAPDEMO_MAPPINGS_TOTAL] = answer->mappings[MMAPDEMO_A_MAPPINGS_TOTAL];
}

static int to_info(const struct answer *answer, struct mmapdemo_info *info)
{
	const uint64_t flags = answer->number[MMAPDEMO_A_FLAGS];

	memset(info, 0, sizeof(*info));
	if (copy_text(info->name, sizeof(info->name), answer, MMAPDEMO_A_DEV) ||
	    copy_text(info->backing, sizeof(info->backing), answer, MMAPDEMO_A_BACKING) ||
	    (has(answer, MMAPDEMO_A_PATH) &&
	     copy_text(info->path, sizeof(info->path), answer, MMAPDEMO_A_PATH)))
		return -EPROTO;
	info->size = answer->number[MMAPDEMO_A_SIZE];
	info->dirty_pages = has(answer, MMAPDEMO_A_DIRTY_PAGES) ?
			    answer->number[MMAPDEMO_A_DIRTY_PAGES] : UINT64_MAX;
	info->opens = answer->number[MMAPDEMO_A_OPENS];
	info->read_only = flags & MMAPDEMO_READ_ONLY;
	info->huge_pages = flags & MMAPDEMO_HUGE_PAGES;
	copy_counters(info->counter, answer);
	return 0;
}

/* One of a later version may be larger: what is in the rest is asked for in vain. */
static int check_spec(struct mmapdemo_ctl *ctl, const struct mmapdemo_spec *spec)
{
	const char *rest = (const char *)spec;
	size_t i;

	if (spec->self_size < sizeof(*spec))
		return conn_refuse(ctl->conn, -EINVAL, "not begun with MMAPDEMO_SPEC_INIT");
	for (i = sizeof(*spec); i < spec->self_size; i++)
		if (rest[i])
			return conn_refuse(ctl->conn, -E2BIG,
					   "the library is older than the program");
	return 0;
}

static int take_name(const struct answer *answer, void *arg)
{
	return arg ? copy_text(arg, MMAPDEMO_NAME_SIZE, answer, MMAPDEMO_A_DEV) : 0;
}

int mmapdemo_add(struct mmapdemo_ctl *ctl, const struct mmapdemo_spec *spec,
		 char name[MMAPDEMO_NAME_SIZE])
{
	uint32_t flags;
	int ret = check_spec(ctl, spec);

	ret = ret ?: conn_begin(ctl->conn, MMAPDEMO_CMD_DEVICE_ADD, false);
	if (ret)
		return ret;
	if (spec->backing)
		conn_put_text(ctl->conn, MMAPDEMO_A_BACKING, spec->backing);
	if (spec->name)
		conn_put_text(ctl->conn, MMAPDEMO_A_DEV, spec->name);
	if (spec->size)
		conn_put_u64(ctl->conn, MMAPDEMO_A_SIZE, spec->size);
	if (spec->fd != -1)
		conn_put_u32(ctl->conn, MMAPDEMO_A_FILE, spec->fd);
	flags = (spec->read_only ? MMAPDEMO_READ_ONLY : 0) |
		(spec->fd == -1 && !spec->small_pages ? MMAPDEMO_HUGE_PAGES : 0);
	conn_put_u32(ctl->conn, MMAPDEMO_A_FLAGS, flags);
	return conn_ask(ctl->conn, take_name, name);
}

int mmapdemo_del(struct mmapdemo_ctl *ctl, const char *name, bool force)
{
	int ret = begin(ctl, MMAPDEMO_CMD_DEVICE_DEL, false, name);

	if (ret)
		return ret;
	if (force)
		conn_put_flag(ctl->conn, MMAPDEMO_A_FORCE);
	return conn_ask(ctl->conn, NULL, NULL);
}

static int take_info(const struct answer *answer, void *arg)
{
	return to_info(answer, arg);
}

int mmapdemo_get(struct mmapdemo_ctl *ctl, const char *name, struct mmapdemo_info *info)
{
	int ret = begin(ctl, MMAPDEMO_CMD_DEVICE_GET, false, name);

	return ret ?: conn_ask(ctl->conn, take_info, info);
}

struct info_walk {
	int (*fn)(const struct mmapdemo_info *info, void *arg);
	void *arg;
};

static int tell_info(const struct answer *answer, void *arg)
{
	const struct info_walk *walk = arg;
	struct mmapdemo_info info;

	return to_info(answer, &info) ?: walk->fn(&info, walk->arg);
}

int mmapdemo_get_all(struct mmapdemo_ctl *ctl,
		     int (*fn)(const struct mmapdemo_info *info, void *arg), void *arg)
{
	struct info_walk walk = { fn, arg };
	int ret = conn_begin(ctl->conn, MMAPDEMO_CMD_DEVICE_GET, true);

	return ret ?: conn_ask(ctl->conn, tell_info, &walk);
}

struct mapping_walk {
	int (*fn)(const struct mmapdemo_mapping *mapping, void *arg);
	void *arg;
};

static int tell_mapping(const struct answer *answer, void *arg)
{
	const struct mapping_walk *walk = arg;
	struct mmapdemo_mapping mapping = {
		.pid = answer->number[MMAPDEMO_A_PID],
		.tgid = answer->number[MMAPDEMO_A_TGID],
		.start = answer->number[MMAPDEMO_A_START],
		.end = answer->number[MMAPDEMO_A_END],
		.pgoff = answer->number[MMAPDEMO_A_PGOFF],
		.shared = has(answer, MMAPDEMO_A_SHARED),
		.prot = answer->number[MMAPDEMO_A_PROT],
	};

	if (copy_text(mapping.comm, sizeof(mapping.comm), answer, MMAPDEMO_A_COMM))
		return -EPROTO;
	copy_counters(mapping.counter, answer);
	return walk->fn(&mapping, walk->arg);
}

int mmapdemo_mappings(struct mmapdemo_ctl *ctl, const char *name,
		      int (*fn)(const struct mmapdemo_mapping *mapping, void *arg), void *arg)
{
	struct mapping_walk walk = { fn, arg };
	int ret = begin(ctl, MMAPDEMO_CMD_MAPPING_GET, true, name);

	return ret ?: conn_ask(ctl->conn, tell_mapping, &walk);
}

struct run_walk {
	int (*fn)(const struct mmapdemo_run *run, void *arg);
	void *arg;
};

static int tell_run(const struct answer *answer, void *arg)
{
	const struct run_walk *walk = arg;
	struct mmapdemo_run run = {
		.page = answer->number[MMAPDEMO_A_PAGE],
		.pages = answer->number[MMAPDEMO_A_PAGES],
		.state = has(answer, MMAPDEMO_A_STATE) ? answer->number[MMAPDEMO_A_STATE] :
							 MMAPDEMO_STATE_DIRTY,
	};

	return run.pages ? walk->fn(&run, walk->arg) : -EPROTO;
}

int mmapdemo_pages(struct mmapdemo_ctl *ctl, const char *name, uint64_t page, uint64_t pages,
		   int (*fn)(const struct mmapdemo_run *run, void *arg), void *arg)
{
	struct run_walk walk = { fn, arg };
	int ret = begin_range(ctl, MMAPDEMO_CMD_PAGE_GET, true, name, page, pages);

	return ret ?: conn_ask(ctl->conn, tell_run, &walk);
}

int mmapdemo_zap(struct mmapdemo_ctl *ctl, const char *name, uint64_t page, uint64_t pages)
{
	int ret = begin_range(ctl, MMAPDEMO_CMD_ZAP, false, name, page, pages);

	return ret ?: conn_ask(ctl->conn, NULL, NULL);
}

int mmapdemo_wrprotect(struct mmapdemo_ctl *ctl, const char *name, uint64_t page,
		       uint64_t pages)
{
	int ret = begin_range(ctl, MMAPDEMO_CMD_WRPROTECT, false, name, page, pages);

	return ret ?: conn_ask(ctl->conn, NULL, NULL);
}

struct harvest {
	struct run_walk walk;
	int ret;	/* the first that was not 0 */
};

static int tell_dirty(const struct answer *answer, void *arg)
{
	struct harvest *harvest = arg;
	int ret = tell_run(answer, &harvest->walk);

	harvest->ret = harvest->ret ?: ret;
	return 0;
}

int mmapdemo_harvest(struct mmapdemo_ctl *ctl, const char *name, uint64_t page, uint64_t pages,
		     int (*fn)(const struct mmapdemo_run *run, void *arg), void *arg)
{
	struct harvest harvest = { { fn, arg }, 0 };
	int ret = begin_range(ctl, MMAPDEMO_CMD_DIRTY_HARVEST, true, name, page, pages);

	return ret ?: conn_ask(ctl->conn, tell_dirty, &harvest) ?: harvest.ret;
}

int mmapdemo_resize(struct mmapdemo_ctl *ctl, const char *name, uint64_t size)
{
	int ret = begin(ctl, MMAPDEMO_CMD_RESIZE, false, name);

	if (ret)
		return ret;
	conn_put_u64(ctl->conn, MMAPDEMO_A_SIZE, size);
	return conn_ask(ctl->conn, NULL, NULL);
}

int mmapdemo_punch(struct mmapdemo_ctl *ctl, const char *name, uint64_t offset,
		   uint64_t length)
{
	int ret = begin(ctl, MMAPDEMO_CMD_PUNCH, false, name);

	if (ret)
		return ret;
	conn_put_u64(ctl->conn, MMAPDEMO_A_OFFSET, offset);
	conn_put_u64(ctl->conn, MMAPDEMO_A_LENGTH, length);
	return conn_ask(ctl->conn, NULL, NULL);
}

const char *mmapdemo_state_name(unsigned int bit)
{
	static const char *const name[] = { "resident", "dirty", "huge", "rule" };

	return bit < sizeof(name) / sizeof(name[0]) ? name[bit] : NULL;
}
