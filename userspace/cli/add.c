// SPDX-License-Identifier: GPL-2.0
/* mmapdemo add */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

static const char help[] =
	"Usage: mmapdemo add [-j] [--name NAME] [--read-only] ram [--size SIZE] [--no-huge]\n"
	"       mmapdemo add [-j] [--name NAME] [--read-only] file PATH | file --fd N\n"
	"Make a device, of memory or of a file, and print its name.\n\n"
	"  -n, --name NAME   mmapdemo and then letters, digits, '.', '_', '-'; without it\n"
	"                    mmapdemo and the lowest number that is free\n"
	"  -s, --size SIZE   64K, 1G, ...: whole pages; 64M without it\n"
	"      --no-huge     pages of 4 KiB only, no 2 MiB ones\n"
	"      --fd N        the file behind a descriptor that the shell opened: --fd 3 3<>FILE;\n"
	"                    opened for reading only, the device cannot be opened for writing\n"
	"  -r, --read-only   nobody may open the device for writing\n"
	"  -j, --json        an object with the new device\n"
	"  -h, --help        this text\n";

struct options {
	struct mmapdemo_spec spec;
	bool json;
};

static int usage(const char *what)
{
	fprintf(stderr, "mmapdemo: add %s; see mmapdemo add --help\n", what);
	return USAGE;
}

static bool parse_fd(const char *text, int *fd, int *code)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || value > INT32_MAX) {
		fprintf(stderr, "mmapdemo: '%s' is no file descriptor\n", text);
		*code = USAGE;
		return false;
	}
	*fd = value;
	return true;
}

/* False and the exit code when that is all. */
static bool take_option(int opt, struct options *o, int *code)
{
	switch (opt) {
	case 'n':
		o->spec.name = optarg;
		return true;
	case 's':
		return args_size(optarg, &o->spec.size, code);
	case 'H':
		o->spec.small_pages = true;
		return true;
	case 'F':
		return parse_fd(optarg, &o->spec.fd, code);
	case 'r':
		o->spec.read_only = true;
		return true;
	default:
		return !args_common(opt, "add", help, &o->json, code);
	}
}

static int open_file(const char *path, struct mmapdemo_spec *spec)
{
	struct stat st;

	if (!stat(path, &st) && !S_ISREG(st.st_mode)) {
		fprintf(stderr, "mmapdemo: %s is no regular file\n", path);
		return FAILED;
	}
	spec->fd = open(path, (spec->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (spec->fd >= 0)
		return DONE;
	fprintf(stderr, "mmapdemo: %s: %s\n", path, strerror(errno));
	if (errno == ENOENT)
		fprintf(stderr, "Make it first: truncate -s 64M %s\n", path);
	else if (!spec->read_only && !access(path, R_OK))
		fputs("It can be read: add --read-only.\n", stderr);
	return FAILED;
}

/* The words behind the options: "ram", or "file" and its path. */
static int take_words(int argc, char **argv, struct options *o)
{
	const int words = argc - optind;
	const bool path = words > 1, fd = o->spec.fd >= 0;
	const char *backing = words ? argv[optind] : "";

	o->spec.backing = backing;
	if (!strcmp(backing, "ram")) {
		if (path || fd)
			return usage("ram has no file");
		return DONE;
	}
	if (strcmp(backing, "file"))
		return usage("makes devices of ram or file");
	if (o->spec.size || o->spec.small_pages)
		return usage("file has the size and the pages of the file: no --size, no --no-huge");
	if (words > 2 || path == fd)
		return usage("file takes either a path or --fd");
	return path ? open_file(argv[optind + 1], &o->spec) : DONE;
}

static void print_device(const struct mmapdemo_info *info)
{
	struct json_object *top = json_top("mmapdemo.add/1");
	struct json_object *flags = json_object_new_array();

	json_text(top, "dev", info->name);
	json_text(top, "backing", info->backing);
	json_number(top, "size", info->size);
	if (info->read_only)
		json_object_array_add(flags, json_object_new_string("read-only"));
	if (info->huge_pages)
		json_object_array_add(flags, json_object_new_string("huge-pages"));
	json_object_object_add(top, "flags", flags);
	if (info->path[0])
		json_text(top, "path", info->path);
	json_print(top, JSON_C_TO_STRING_PRETTY);
}

static int add(struct target *target, const struct options *o)
{
	struct mmapdemo_info info;
	int ret = mmapdemo_add(target->ctl, &o->spec, target->name);

	if (ret == -EEXIST) {
		fprintf(stderr, "mmapdemo: there is a device %s already: mmapdemo list\n",
			o->spec.name);
		return FAILED;
	}
	if (!ret && o->json)
		ret = mmapdemo_get(target->ctl, target->name, &info);
	if (ret)
		return ctl_explain(target, "add", ret);
	if (o->json)
		print_device(&info);
	else
		puts(target->name);
	return DONE;
}

int cmd_add(int argc, char **argv)
{
	static const struct option options[] = {
		{ "name", required_argument, NULL, 'n' }, { "size", required_argument, NULL, 's' },
		{ "no-huge", no_argument, NULL, 'H' }, { "fd", required_argument, NULL, 'F' },
		{ "read-only", no_argument, NULL, 'r' }, COMMON_LONG, { 0 }
	};
	struct options o = { .spec = MMAPDEMO_SPEC_INIT };
	struct target target = { 0 };
	int opt, code;

	while ((opt = getopt_long(argc, argv, "n:s:r" COMMON_SHORT, options, NULL)) != -1)
		if (!take_option(opt, &o, &code))
			return code;
	code = take_words(argc, argv, &o);
	if (code)
		return code;
	code = ctl_open_or_explain(&target.ctl);
	if (code)
		return code;
	strcpy(target.name, o.spec.backing);
	code = add(&target, &o);
	mmapdemo_ctl_close(target.ctl);
	return code;
}
