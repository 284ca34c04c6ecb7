// SPDX-License-Identifier: GPL-2.0
/* Arguments that all verbs take alike. */
#include <getopt.h>
#include <stdio.h>

#include "cli.h"

bool args_common(int opt, const char *verb, const char *help, bool *json, int *code)
{
	switch (opt) {
	case 'j':
		*json = true;
		return false;
	case 'h':
		fputs(help, stdout);
		*code = DONE;
		return true;
	default:
		/* getopt has named the option. */
		fprintf(stderr, "mmapdemo: see mmapdemo %s --help\n", verb);
		*code = USAGE;
		return true;
	}
}

bool args_device(int argc, char **argv, const char *verb, const char **device, int *code)
{
	if (argc - optind > 1) {
		fprintf(stderr, "mmapdemo: %s takes one device; see mmapdemo %s --help\n",
			verb, verb);
		*code = USAGE;
		return false;
	}
	*device = optind < argc ? argv[optind] : NULL;
	return true;
}
