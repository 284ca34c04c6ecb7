// SPDX-License-Identifier: GPL-2.0
/* mmapdemo <verb>: the verbs. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
} verbs[] = {
	{ "add", cmd_add, "make a device" },
	{ "del", cmd_del, "delete a device" },
	{ "list", cmd_list, "the devices there are" },
	{ "stat", cmd_stat, "the page faults of a device: counters and latencies" },
	{ "maps", cmd_maps, "who maps a device, and each mapping's own faults" },
	{ "pages", cmd_pages, "what is in each page of a device, as a map" },
	{ "zap", cmd_zap, "take pages out of all page tables: the next access faults" },
	{ "wrprotect", cmd_wrprotect, "write-protect pages: the next store faults" },
	{ "dirty", cmd_dirty, "the pages stored to since it was last asked" },
	{ "resize", cmd_resize, "make a device larger or smaller" },
	{ "punch", cmd_punch, "give back the memory of a part of a device" },
	{ "monitor", cmd_monitor, "print what happens to devices, and faults that fail" },
	{ "tour", cmd_tour, "a narrated run through the fault handler, on a live device" },
	{ "doctor", cmd_doctor, "what works on this machine, and what to do about the rest" },
};

#define NR_VERBS (sizeof(verbs) / sizeof(verbs[0]))

static void help(FILE *to)
{
	unsigned int i;

	fputs("Usage: mmapdemo VERB [OPTION]... [DEVICE] [RANGE]\n"
	      "Make mmapdemo devices, examine them, and watch their page faults.\n\n", to);
	for (i = 0; i < NR_VERBS; i++)
		fprintf(to, "  %-9s %s\n", verbs[i].name, verbs[i].summary);
	fputs("\n"
	      "  mmapdemo VERB --help tells more. Every verb takes -j, --json.\n"
	      "  -h, --help      this text\n"
	      "  -V, --version   the version\n\n"
	      "DEVICE is a name (mmapdemo, mmapdemo1, ...) or the path of a node. RANGE is in pages\n"
	      "(7, 7-9 or 7+3) or in bytes (0x7000-0x9fff or 28K+12K; the end is the last byte).\n"
	      "Exit status: 0 done, 1 failed, 2 usage, 3 no module or device, 4 cannot be done here.\n",
	      to);
}

static int run(int argc, char **argv)
{
	unsigned int i;

	if (argc < 2) {
		help(stderr);
		return USAGE;
	}
	if (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help")) {
		help(stdout);
		return DONE;
	}
	if (!strcmp(argv[1], "-V") || !strcmp(argv[1], "--version")) {
		puts("mmapdemo " VERSION);
		return DONE;
	}
	for (i = 0; i < NR_VERBS; i++)
		if (!strcmp(argv[1], verbs[i].name))
			return verbs[i].run(argc - 1, argv + 1);
	fprintf(stderr, "mmapdemo: no verb '%s'; see mmapdemo --help\n", argv[1]);
	return USAGE;
}

int main(int argc, char **argv)
{
	int code, flushed;

	/* A reader that leaves must not kill the tour before the device's bytes are put back. */
	signal(SIGPIPE, SIG_IGN);
	code = run(argc, argv);
	flushed = out_flush();
	return code ? code : flushed;
}
