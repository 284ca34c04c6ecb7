// SPDX-License-Identifier: GPL-2.0
/* mmapdemo list */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>

#include "cli.h"

static const char help[] =
	"Usage: mmapdemo list [-j]\n"
	"One line for each device: name, size in bytes, live mappings, backing, path of its file.\n\n"
	"  -j, --json   an object with an array of devices\n"
	"  -h, --help   this text\n";

struct device {
	const char *name, *backing, *path;
	uint64_t size, live;
};

static void print_text(const struct device *d)
{
	printf("%-12s %12" PRIu64 " %5" PRIu64 "  %s%s%s\n", d->name, d->size, d->live,
	       d->backing, d->path ? "  " : "", d->path ? d->path : "");
}

static struct json_object *to_json(const struct device *d)
{
	struct json_object *o = json_object_new_object();
	struct json_object *mappings = json_object_new_object();

	json_object_object_add(o, "name", json_object_new_string(d->name));
	json_object_object_add(o, "backing", json_object_new_string(d->backing));
	json_object_object_add(o, "size", json_object_new_uint64(d->size));
	if (d->path)
		json_object_object_add(o, "path", json_object_new_string(d->path));
	json_object_object_add(mappings, "live", json_object_new_uint64(d->live));
	json_object_object_add(o, "mappings", mappings);
	return o;
}

/* @arg is the JSON array, or NULL for text. */
static int show(const char *name, void *arg)
{
	struct mmapdemo_stat stat;
	struct mmapdemo_dev *dev;
	struct device d = { .name = name };
	int ret;

	ret = mmapdemo_open(name, O_PATH, &dev);
	if (ret)
		return ret == -ENOENT ? 0 : ret;	/* deleted since it was listed */
	ret = mmapdemo_size(dev, &d.size);
	if (!ret)
		ret = mmapdemo_stat_read(dev, &stat);
	if (!ret) {
		d.live = stat.counter[MMAPDEMO_MAPPINGS_LIVE];
		d.backing = mmapdemo_backing(dev);
		d.path = mmapdemo_path(dev);
		if (arg)
			json_object_array_add(arg, to_json(&d));
		else
			print_text(&d);
	}
	mmapdemo_close(dev);
	return ret == -ENOENT ? 0 : ret;
}

int cmd_list(int argc, char **argv)
{
	static const struct option options[] = { COMMON_LONG, { 0 } };
	struct json_object *devices = NULL, *top;
	bool json = false;
	int opt, code, ret;

	while ((opt = getopt_long(argc, argv, COMMON_SHORT, options, NULL)) != -1)
		if (args_common(opt, "list", help, &json, &code))
			return code;
	if (optind < argc) {
		fputs("mmapdemo: list takes no device; see mmapdemo list --help\n", stderr);
		return USAGE;
	}
	if (json)
		devices = json_object_new_array();
	ret = mmapdemo_for_each(show, devices);
	if (ret) {
		json_object_put(devices);
		return explain(ret, "mmapdemo");
	}
	if (json) {
		top = json_top("mmapdemo.list/1");
		json_object_object_add(top, "devices", devices);
		json_print(top, JSON_C_TO_STRING_PRETTY);
	}
	return DONE;
}
