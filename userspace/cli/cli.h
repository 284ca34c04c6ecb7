/* SPDX-License-Identifier: GPL-2.0 */
/* What the verbs of the mmapdemo command share. */
#ifndef MMAPDEMO_CLI_H
#define MMAPDEMO_CLI_H

#include <stdbool.h>
#include <stdint.h>

#include <json.h>

#include "mmapdemo.h"

/* Exit codes, of every verb. */
enum {
	DONE = 0,
	FAILED = 1,
	USAGE = 2,
	ABSENT = 3,	/* no module, or no such device */
	SKIP = 4,	/* cannot be done on this kernel or device */
};

/* In list.c, stat.c, tour.c: a verb takes its own arguments, argv[0] being its name. */
int cmd_list(int argc, char **argv);
int cmd_stat(int argc, char **argv);
int cmd_tour(int argc, char **argv);

/*
 * In args.c: options all verbs have, for getopt_long(), and what to do about them.
 * args_common() prints @help for -h and a hint for a wrong option and sets *code; it returns
 * false when the verb goes on.
 */
#define COMMON_SHORT	"hj"
#define COMMON_LONG	{ "help", 0, NULL, 'h' }, { "json", 0, NULL, 'j' }
bool args_common(int opt, const char *verb, const char *help, bool *json, int *code);

/* At most one device name in argv from optind on: false, and *code, when there are more. */
bool args_device(int argc, char **argv, const char *verb, const char **device, int *code);

/* In open.c: mmapdemo_open(), or a message that says what to do, and the exit code for it. */
int open_or_explain(const char *name, int flags, struct mmapdemo_dev **devp);
int explain(int error, const char *name);

/* In out.c: an object with its schema. */
struct json_object *json_top(const char *schema);
/* Adds {"faults": {"read": n, ...}, "mappings": {...}}: the names are those of sysfs. */
void json_counters(struct json_object *to, const uint64_t *counter);
/* One line for JSON Lines, several otherwise; the object is given away. */
void json_print(struct json_object *object, int flags);
/* Whether stdout still takes what is printed; a closed pipe is no reason for a message. */
int out_flush(void);

#endif /* MMAPDEMO_CLI_H */
