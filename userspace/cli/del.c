// SPDX-License-Identifier: GPL-2.0
/* mmapdemo del */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>

#include "cli.h"

static const char help[] =
	"Usage: mmapdemo del [-j] [--force] DEVICE\n"
	"Delete a device. What is in RAM is lost; the file behind a device stays as it is.\n\n"
	"  -f, --force  also while it is open or mapped: what is mapped is taken away, later\n"
	"               accesses are SIGBUS, open files fail with ENODEV\n"
	"  -j, --json   an object that says what was done\n"
	"  -h, --help   this text\n";

#define MOST_NAMED	8

struct holders {
	uint32_t tgid;		/* of the last one */
	unsigned int mappings;
	unsigned int named;
};

/* Mappings of a process mostly follow one another. */
static int name_holder(const struct mmapdemo_mapping *mapping, void *arg)
{
	struct holders *holders = arg;

	if (!holders->mappings++ || mapping->tgid != holders->tgid) {
		holders->tgid = mapping->tgid;
		if (holders->named++ < MOST_NAMED)
			fprintf(stderr, "  %s (%" PRIu32 ")\n", mapping->comm, mapping->tgid);
	}
	return 0;
}

static int explain_busy(const struct target *target)
{
	struct holders holders = { 0 };
	struct mmapdemo_info info;

	fprintf(stderr, "mmapdemo: %s is in use, and was not deleted.\n", target->name);
	if (!mmapdemo_get(target->ctl, target->name, &info))
		fprintf(stderr, "It is open %" PRIu32 " times and mapped %" PRIu64 " times.\n",
			info.opens, info.counter[MMAPDEMO_MAPPINGS_LIVE]);
	mmapdemo_mappings(target->ctl, target->name, name_holder, &holders);
	if (holders.named > MOST_NAMED)
		fputs("  and others\n", stderr);
	fprintf(stderr, "mmapdemo maps %s and fuser /dev/%s tell more.\n"
		"mmapdemo del --force %s takes it away from them.\n", target->name, target->name,
		target->name);
	return FAILED;
}

static int del(const struct target *target, bool force)
{
	int ret = mmapdemo_del(target->ctl, target->name, force);

	if (ret == -EBUSY)
		return explain_busy(target);
	return ret ? ctl_explain(target, "del", ret) : target_done(target, "del");
}

int cmd_del(int argc, char **argv)
{
	static const struct option options[] = {
		{ "force", no_argument, NULL, 'f' }, COMMON_LONG, { 0 }
	};
	struct target target = { 0 };
	bool force = false;
	int opt, code;

	while ((opt = getopt_long(argc, argv, "f" COMMON_SHORT, options, NULL)) != -1) {
		if (opt == 'f')
			force = true;
		else if (args_common(opt, "del", help, &target.json, &code))
			return code;
	}
	if (argc - optind != 1) {
		fputs("mmapdemo: del takes one device; see mmapdemo del --help\n", stderr);
		return USAGE;
	}
	code = target_open(argv[optind], &target);
	if (code)
		return code;
	code = del(&target, force);
	mmapdemo_ctl_close(target.ctl);
	return code;
}
