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

/* Each in a file of its name: a verb takes its own arguments, argv[0] being its name. */
int cmd_add(int argc, char **argv);
int cmd_del(int argc, char **argv);
int cmd_dirty(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_maps(int argc, char **argv);
int cmd_monitor(int argc, char **argv);
int cmd_pages(int argc, char **argv);
int cmd_punch(int argc, char **argv);
int cmd_resize(int argc, char **argv);
int cmd_stat(int argc, char **argv);
int cmd_tour(int argc, char **argv);
int cmd_wrprotect(int argc, char **argv);
int cmd_zap(int argc, char **argv);

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

/* The only options are the common ones, and behind them are @min to @max words. */
bool args_words(int argc, char **argv, const char *help, int min, int max, bool *json, int *code);

/* Sizes and ranges, see range.h: false, a message and *code when it is none. */
bool args_size(const char *text, uint64_t *bytes, int *code);
bool args_range(const char *text, uint64_t *offset, uint64_t *length, int *code);
/* NULL is 0 and 0: all pages. */
bool args_pages(const char *text, uint64_t *page, uint64_t *pages, int *code);

/* In control.c: what verbs that ask the module itself share. */
struct target {
	struct mmapdemo_ctl *ctl;
	char name[256];
	/* What the verb works on. 0 pages are all to the end of the device. */
	uint64_t page, pages;
	bool json;
};

/* mmapdemo_ctl_open(), or a message that says what to do, and the exit code for it. */
int ctl_open_or_explain(struct mmapdemo_ctl **ctlp);
/* What is wrong and what to do about it, after a call on the device failed: the exit code. */
int ctl_explain(const struct target *target, const char *verb, int error);

/* DEVICE as it was written; the caller ends it with mmapdemo_ctl_close(). An exit code. */
int target_open(const char *device, struct target *target);
/* The same for a verb whose words are DEVICE [RANGE], with the help text's options. */
bool target_pages(int argc, char **argv, const char *help, struct target *target, int *code);
/* For those that do something to pages and have no more to say than that. */
int target_apply(int argc, char **argv, const char *help,
		 int (*fn)(struct mmapdemo_ctl *ctl, const char *name, uint64_t page,
			   uint64_t pages));
/* {"schema": "mmapdemo.VERB/1", "dev": NAME} and the pages, if it has any. */
struct json_object *target_json(const struct target *target, const char *verb);
/* The same, printed; nothing without -j. */
int target_done(const struct target *target, const char *verb);

/* In open.c: mmapdemo_open(), or a message that says what to do, and the exit code for it. */
int open_or_explain(const char *name, int flags, struct mmapdemo_dev **devp);
int explain(int error, const char *name);

/* In out.c: an object with its schema. */
struct json_object *json_top(const char *schema);
/* Adds {"faults": {"read": n, ...}, "mappings": {...}}: the names are those of sysfs. */
void json_counters(struct json_object *to, const uint64_t *counter);
void json_text(struct json_object *to, const char *key, const char *value);
void json_number(struct json_object *to, const char *key, uint64_t value);
/* An array of names, one for each bit that is set. */
void json_state(struct json_object *to, const char *key, uint32_t state);
/* One line for JSON Lines, several otherwise; the object is given away. */
void json_print(struct json_object *object, int flags);
/* Whether stdout still takes what is printed; a closed pipe is no reason for a message. */
int out_flush(void);

#endif /* MMAPDEMO_CLI_H */
