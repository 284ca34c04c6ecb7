// SPDX-License-Identifier: GPL-2.0
/* mmapdemo dirty */
#include <inttypes.h>
#include <stdio.h>

#include "cli.h"

static const char help[] =
	"Usage: mmapdemo dirty [-j] DEVICE [RANGE]\n"
	"Harvest a device of ram: print the pages (of all) that were stored to since this was last\n"
	"done, a range on each line, and make them clean. A store after that is in the next harvest.\n"
	"Pages of 2 MiB are dirty as a whole.\n\n"
	"  -j, --json   an object with an array of runs\n"
	"  -h, --help   this text\n";

struct harvest {
	uint64_t pages;
	struct json_object *runs;	/* NULL for text */
};

static int show(const struct mmapdemo_run *run, void *arg)
{
	struct harvest *harvest = arg;
	struct json_object *o;

	harvest->pages += run->pages;
	if (harvest->runs) {
		o = json_object_new_object();
		json_number(o, "page", run->page);
		json_number(o, "pages", run->pages);
		json_object_array_add(harvest->runs, o);
	} else if (run->pages == 1) {
		printf("%" PRIu64 "\n", run->page);
	} else {
		printf("%" PRIu64 "-%" PRIu64 "\n", run->page, run->page + run->pages - 1);
	}
	return 0;
}

/* What was harvested is printed also when it ends with an error: the device forgot it. */
static int dirty(struct target *target)
{
	struct harvest harvest = { .runs = target->json ? json_object_new_array() : NULL };
	struct json_object *top;
	int ret;

	ret = mmapdemo_harvest(target->ctl, target->name, target->page, target->pages, show,
			       &harvest);
	if (target->json && (!ret || harvest.pages)) {
		top = target_json(target, "dirty");
		json_number(top, "dirty-pages", harvest.pages);
		json_object_object_add(top, "runs", harvest.runs);
		json_print(top, JSON_C_TO_STRING_PRETTY);
	} else {
		json_object_put(harvest.runs);
	}
	return ret ? ctl_explain(target, "dirty", ret) : DONE;
}

int cmd_dirty(int argc, char **argv)
{
	struct target target;
	int code;

	if (!target_pages(argc, argv, help, &target, &code))
		return code;
	code = dirty(&target);
	mmapdemo_ctl_close(target.ctl);
	return code;
}
