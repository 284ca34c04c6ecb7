// SPDX-License-Identifier: GPL-2.0
/* Arguments that all verbs take alike. */
#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

#include "cli.h"
#include "range.h"

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

bool args_words(int argc, char **argv, const char *help, int min, int max, bool *json, int *code)
{
	static const struct option options[] = { COMMON_LONG, { 0 } };
	const char *verb = argv[0];
	int opt;

	while ((opt = getopt_long(argc, argv, COMMON_SHORT, options, NULL)) != -1)
		if (args_common(opt, verb, help, json, code))
			return false;
	if (argc - optind >= min && argc - optind <= max)
		return true;
	fprintf(stderr, "mmapdemo: too %s arguments; see mmapdemo %s --help\n",
		argc - optind < min ? "few" : "many", verb);
	*code = USAGE;
	return false;
}

static bool right(const char *wrong, const char *text, int *code)
{
	if (!wrong)
		return true;
	fprintf(stderr, "mmapdemo: '%s': %s\n", text, wrong);
	*code = USAGE;
	return false;
}

bool args_size(const char *text, uint64_t *bytes, int *code)
{
	return right(size_parse(text, bytes), text, code);
}

bool args_range(const char *text, uint64_t *offset, uint64_t *length, int *code)
{
	struct range range;

	if (!right(range_parse(text, sysconf(_SC_PAGESIZE), &range), text, code))
		return false;
	*offset = range.offset;
	*length = range.length;
	return true;
}

bool args_pages(const char *text, uint64_t *page, uint64_t *pages, int *code)
{
	const long page_size = sysconf(_SC_PAGESIZE);
	struct range range;

	*page = 0;
	*pages = 0;
	return !text || (right(range_parse(text, page_size, &range), text, code) &&
			 right(range_pages(&range, page_size, page, pages), text, code));
}
