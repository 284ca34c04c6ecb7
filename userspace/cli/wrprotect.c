// SPDX-License-Identifier: GPL-2.0
/* mmapdemo wrprotect */
#include "cli.h"

static const char help[] =
	"Usage: mmapdemo wrprotect [-j] DEVICE [RANGE]\n"
	"Write-protect pages (all) in all page tables, so that the next store to each runs\n"
	"page_mkwrite again. Nothing is lost.\n\n"
	"  -j, --json   an object that says what was done\n"
	"  -h, --help   this text\n";

int cmd_wrprotect(int argc, char **argv)
{
	return target_apply(argc, argv, help, mmapdemo_wrprotect);
}
