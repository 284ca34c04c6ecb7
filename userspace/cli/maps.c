// SPDX-License-Identifier: GPL-2.0
/* mmapdemo maps */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cli.h"

static const char help[] =
	"Usage: mmapdemo maps [-j] [DEVICE]\n"
	"Who maps a device (all devices): a line for each mapping, as in /proc/PID/maps, with the\n"
	"faults that it took since it was made. What a fork or a split makes is one of its own.\n\n"
	"  -j, --json   an object with an array of mappings\n"
	"  -h, --help   this text\n";

/* The counters that a mapping has. */
#define NR_COLUMNS	(MMAPDEMO_FAULTS_AROUND + 1)

struct walk {
	struct target target;
	struct json_object *rows;	/* NULL for text */
	unsigned int printed;
};

static const char *column(unsigned int i)
{
	return strchr(mmapdemo_counter_name(i), '/') + 1;
}

static void print_header(void)
{
	unsigned int i;

	printf("%-12s %7s %-15s %-25s %8s perm", "device", "pid", "command", "address", "page");
	for (i = 0; i < NR_COLUMNS; i++)
		printf(" %8s", column(i));
	putchar('\n');
}

static void print_row(const struct walk *walk, const struct mmapdemo_mapping *m)
{
	char range[64];
	unsigned int i;

	snprintf(range, sizeof(range), "%012" PRIx64 "-%012" PRIx64, m->start, m->end);
	printf("%-12s %7" PRIu32 " %-15s %-25s %8" PRIu64 " %c%c%c%c", walk->target.name,
	       m->tgid, m->comm, range, m->pgoff, m->prot & PROT_READ ? 'r' : '-',
	       m->prot & PROT_WRITE ? 'w' : '-', m->prot & PROT_EXEC ? 'x' : '-',
	       m->shared ? 's' : 'p');
	for (i = 0; i < NR_COLUMNS; i++)
		printf(" %8" PRIu64, m->counter[i]);
	putchar('\n');
}

static struct json_object *to_json(const struct walk *walk, const struct mmapdemo_mapping *m)
{
	struct json_object *o = json_object_new_object();
	struct json_object *faults = json_object_new_object();
	unsigned int i;

	json_text(o, "dev", walk->target.name);
	json_number(o, "pid", m->pid);
	json_number(o, "tgid", m->tgid);
	json_text(o, "comm", m->comm);
	json_number(o, "start", m->start);
	json_number(o, "end", m->end);
	json_number(o, "pgoff", m->pgoff);
	json_object_object_add(o, "shared", json_object_new_boolean(m->shared));
	json_number(o, "prot", m->prot);
	for (i = 0; i < NR_COLUMNS; i++)
		json_number(faults, column(i), m->counter[i]);
	json_object_object_add(o, "faults", faults);
	return o;
}

static int show(const struct mmapdemo_mapping *mapping, void *arg)
{
	struct walk *walk = arg;

	if (walk->rows) {
		json_object_array_add(walk->rows, to_json(walk, mapping));
		return 0;
	}
	if (!walk->printed++)
		print_header();
	print_row(walk, mapping);
	return 0;
}

struct names {
	char (*name)[MMAPDEMO_NAME_SIZE];
	size_t count;
};

static int take_name(const struct mmapdemo_info *info, void *arg)
{
	struct names *names = arg;
	void *more;

	more = reallocarray(names->name, names->count + 1, sizeof(*names->name));
	if (!more)
		return -ENOMEM;
	names->name = more;
	strcpy(names->name[names->count++], info->name);
	return 0;
}

/* A device that goes meanwhile is left out. */
static int all_devices(struct walk *walk)
{
	struct target *target = &walk->target;
	struct names names = { 0 };
	size_t i;
	int ret = mmapdemo_get_all(target->ctl, take_name, &names);

	for (i = 0; i < names.count && !ret; i++) {
		strcpy(target->name, names.name[i]);
		ret = mmapdemo_mappings(target->ctl, target->name, show, walk);
		if (ret == -ENODEV)
			ret = 0;
	}
	free(names.name);
	return ret;
}

static int maps(struct walk *walk, bool all)
{
	struct target *target = &walk->target;
	struct json_object *top;
	int ret;

	if (target->json)
		walk->rows = json_object_new_array();
	ret = all ? all_devices(walk) :
		    mmapdemo_mappings(target->ctl, target->name, show, walk);
	if (ret) {
		json_object_put(walk->rows);
		return ctl_explain(target, "maps", ret);
	}
	if (target->json) {
		top = json_top("mmapdemo.maps/1");
		json_object_object_add(top, "mappings", walk->rows);
		json_print(top, JSON_C_TO_STRING_PRETTY);
	}
	return DONE;
}

int cmd_maps(int argc, char **argv)
{
	struct walk walk = { 0 };
	bool all;
	int code;

	if (!args_words(argc, argv, help, 0, 1, &walk.target.json, &code))
		return code;
	all = optind == argc;
	code = all ? ctl_open_or_explain(&walk.target.ctl) :
		     target_open(argv[optind], &walk.target);
	if (code)
		return code;
	code = maps(&walk, all);
	mmapdemo_ctl_close(walk.target.ctl);
	return code;
}
