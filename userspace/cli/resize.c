// SPDX-License-Identifier: GPL-2.0
/* mmapdemo resize */
#include <getopt.h>

#include "cli.h"

static const char help[] =
	"Usage: mmapdemo resize [-j] DEVICE SIZE\n"
	"Make a device of ram larger or smaller: 4096, 64K, 1G. What is cut off is gone: an access\n"
	"to it is SIGBUS, and if the device grows again it is zero.\n\n"
	"  -j, --json   an object that says what was done\n"
	"  -h, --help   this text\n";

static int resize(const struct target *target, uint64_t size)
{
	int ret = mmapdemo_resize(target->ctl, target->name, size);
	struct json_object *top;

	if (ret)
		return ctl_explain(target, "resize", ret);
	if (target->json) {
		top = target_json(target, "resize");
		json_number(top, "size", size);
		json_print(top, JSON_C_TO_STRING_PRETTY);
	}
	return DONE;
}

int cmd_resize(int argc, char **argv)
{
	struct target target = { 0 };
	uint64_t size;
	int code;

	if (!args_words(argc, argv, help, 2, 2, &target.json, &code) ||
	    !args_size(argv[optind + 1], &size, &code))
		return code;
	code = target_open(argv[optind], &target);
	if (code)
		return code;
	code = resize(&target, size);
	mmapdemo_ctl_close(target.ctl);
	return code;
}
