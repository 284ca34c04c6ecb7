// SPDX-License-Identifier: GPL-2.0
/* mmapdemo punch */
#include <getopt.h>

#include "cli.h"

static const char help[] =
	"Usage: mmapdemo punch [-j] DEVICE RANGE\n"
	"Give back the memory of a part of a device of ram, which is zero then. RANGE may begin and\n"
	"end inside of pages: these stay, and are zero in that part.\n\n"
	"  -j, --json   an object that says what was done\n"
	"  -h, --help   this text\n";

static int punch(const struct target *target, uint64_t offset, uint64_t length)
{
	int ret = mmapdemo_punch(target->ctl, target->name, offset, length);
	struct json_object *top;

	if (ret)
		return ctl_explain(target, "punch", ret);
	if (target->json) {
		top = target_json(target, "punch");
		json_number(top, "offset", offset);
		json_number(top, "length", length);
		json_print(top, JSON_C_TO_STRING_PRETTY);
	}
	return DONE;
}

int cmd_punch(int argc, char **argv)
{
	struct target target = { 0 };
	uint64_t offset, length;
	int code;

	if (!args_words(argc, argv, help, 2, 2, &target.json, &code) ||
	    !args_range(argv[optind + 1], &offset, &length, &code))
		return code;
	code = target_open(argv[optind], &target);
	if (code)
		return code;
	code = punch(&target, offset, length);
	mmapdemo_ctl_close(target.ctl);
	return code;
}
