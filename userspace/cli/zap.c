// SPDX-License-Identifier: GPL-2.0
/* mmapdemo zap */
#include "cli.h"

static const char help[] =
	"Usage: mmapdemo zap [-j] DEVICE [RANGE]\n"
	"Take pages (all) out of all page tables, so that the next access to each faults again.\n"
	"Nothing is lost: data stay, and so do the copies of private mappings.\n\n"
	"  -j, --json   an object that says what was done\n"
	"  -h, --help   this text\n";

int cmd_zap(int argc, char **argv)
{
	return target_apply(argc, argv, help, mmapdemo_zap);
}
