// SPDX-License-Identifier: GPL-2.0
/* What verbs that ask the module itself share. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

static int any_name(const char *name, void *arg)
{
	(void)name;
	(void)arg;
	return 0;
}

int ctl_open_or_explain(struct mmapdemo_ctl **ctlp)
{
	int ret = mmapdemo_ctl_open(ctlp);

	if (!ret)
		return DONE;
	if (ret != -ENODEV) {
		fprintf(stderr, "mmapdemo: generic netlink: %s\n", strerror(-ret));
		return FAILED;
	}
	if (mmapdemo_for_each(any_name, NULL) == -ENODEV)
		return explain(ret, "mmapdemo");
	fputs("mmapdemo: the module that is loaded does not answer. It is an older one, or this is\n"
	      "another network namespace. Load this version: rmmod mmapdemo, then modprobe mmapdemo.\n",
	      stderr);
	return ABSENT;
}

static void explain_range(const struct target *target, const char *verb)
{
	const uint64_t page_size = sysconf(_SC_PAGESIZE);
	struct mmapdemo_info info;

	fprintf(stderr, "mmapdemo: %s %s: %s\n", verb, target->name,
		mmapdemo_ctl_error(target->ctl));
	if (!mmapdemo_get(target->ctl, target->name, &info))
		fprintf(stderr, "%s has %" PRIu64 " bytes: pages 0-%" PRIu64 ".\n", info.name,
			info.size, (info.size - 1) / page_size);
}

int ctl_explain(const struct target *target, const char *verb, int error)
{
	switch (error) {
	case -ENODEV:
		return explain(-ENOENT, target->name);
	case -EPERM:
		fprintf(stderr, "mmapdemo: %s needs CAP_SYS_ADMIN in the initial user namespace.\n"
			"Run it as root, and not in a container that has its own users.\n", verb);
		return FAILED;
	case -ERANGE:
		explain_range(target, verb);
		return FAILED;
	case -EOPNOTSUPP:
		fprintf(stderr, "mmapdemo: %s %s: %s\nmmapdemo %s --help says what it works on.\n",
			verb, target->name, mmapdemo_ctl_error(target->ctl), verb);
		return SKIP;
	default:
		fprintf(stderr, "mmapdemo: %s %s: %s\n", verb, target->name,
			mmapdemo_ctl_error(target->ctl));
		return FAILED;
	}
}

/* A node may have any path, and the kernel wants the name. */
static int name_target(const char *device, struct target *target)
{
	struct mmapdemo_dev *dev;
	int code;

	if (!strchr(device, '/')) {
		if (strlen(device) >= sizeof(target->name))
			return explain(-ENOENT, device);
		strcpy(target->name, device);
		return DONE;
	}
	code = open_or_explain(device, O_PATH, &dev);
	if (code)
		return code;
	strcpy(target->name, mmapdemo_name(dev));
	mmapdemo_close(dev);
	return DONE;
}

/* The module first: a node's name is only to be had when it is there. */
int target_open(const char *device, struct target *target)
{
	int code = ctl_open_or_explain(&target->ctl);

	if (code)
		return code;
	code = name_target(device, target);
	if (code)
		mmapdemo_ctl_close(target->ctl);
	return code;
}

bool target_pages(int argc, char **argv, const char *help, struct target *target, int *code)
{
	*target = (struct target){ 0 };
	if (!args_words(argc, argv, help, 1, 2, &target->json, code) ||
	    !args_pages(optind + 1 < argc ? argv[optind + 1] : NULL, &target->page,
			&target->pages, code))
		return false;
	*code = target_open(argv[optind], target);
	return !*code;
}

struct json_object *target_json(const struct target *target, const char *verb)
{
	struct json_object *top;
	char schema[64];

	snprintf(schema, sizeof(schema), "mmapdemo.%s/1", verb);
	top = json_top(schema);
	json_text(top, "dev", target->name);
	if (target->pages) {
		json_number(top, "page", target->page);
		json_number(top, "pages", target->pages);
	}
	return top;
}

int target_done(const struct target *target, const char *verb)
{
	if (target->json)
		json_print(target_json(target, verb), JSON_C_TO_STRING_PRETTY);
	return DONE;
}

int target_apply(int argc, char **argv, const char *help,
		 int (*fn)(struct mmapdemo_ctl *ctl, const char *name, uint64_t page,
			   uint64_t pages))
{
	struct target target;
	int code, ret;

	if (!target_pages(argc, argv, help, &target, &code))
		return code;
	ret = fn(target.ctl, target.name, target.page, target.pages);
	code = ret ? ctl_explain(&target, argv[0], ret) : target_done(&target, argv[0]);
	mmapdemo_ctl_close(target.ctl);
	return code;
}
