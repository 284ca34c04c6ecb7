// SPDX-License-Identifier: GPL-2.0
/*
 * What the control plane refuses: every command with every attribute wrong in every way, and
 * what whom is refused. The errno, the attribute's offset and the text are the interface.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "control.h"
#include "fixture.h"

#define T "mmapdemo-t"		/* what the requests are about: 256 pages of ram */
#define MIB (1UL << 20)

enum kind { STRING, U32, U64, FLAG };

struct attr {
	int type;
	enum kind kind;
	bool needed;
	const char *text;
	uint64_t value;
};

/* A request that is right as it stands. */
struct command {
	const char *name;
	int command, flags;
	struct attr attr[6];
};

#define A(name) MMAPDEMO_A_##name
#define NAMED { A(DEV), STRING, true, T, 0 }
#define RANGE { A(PAGE), U64, false, NULL, 3 }, { A(PAGES), U64, false, NULL, 7 }
#define COMMAND(label, name, flags, ...) \
	{ label, MMAPDEMO_CMD_##name, flags, { __VA_ARGS__ } }

static const struct command commands[] = {
	COMMAND("device-add", DEVICE_ADD, 0, { A(BACKING), STRING, true, "ram", 0 },
		{ A(DEV), STRING, false, T, 0 }, { A(SIZE), U64, false, NULL, MIB },
		{ A(FLAGS), U32, false, NULL, MMAPDEMO_HUGE_PAGES }),
	/* The 0 stands for a file that the fixture opens. */
	COMMAND("device-add file", DEVICE_ADD, 0, { A(BACKING), STRING, true, "file", 0 },
		{ A(DEV), STRING, false, T, 0 }, { A(FLAGS), U32, false, NULL, 0 },
		{ A(FILE), U32, true, NULL, 0 }),
	COMMAND("device-del", DEVICE_DEL, 0, NAMED, { A(FORCE), FLAG, false, NULL, 0 }),
	COMMAND("device-get", DEVICE_GET, 0, NAMED),
	COMMAND("device-get dump", DEVICE_GET, NLM_F_DUMP, { 0 }),
	COMMAND("mapping-get", MAPPING_GET, NLM_F_DUMP, NAMED),
	COMMAND("page-get", PAGE_GET, NLM_F_DUMP, NAMED, RANGE),
	COMMAND("zap", ZAP, 0, NAMED, RANGE),
	COMMAND("wrprotect", WRPROTECT, 0, NAMED, RANGE),
	COMMAND("dirty-harvest", DIRTY_HARVEST, NLM_F_DUMP, NAMED, RANGE),
	COMMAND("resize", RESIZE, 0, NAMED, { A(SIZE), U64, true, NULL, MIB }),
	COMMAND("punch", PUNCH, 0, NAMED, { A(OFFSET), U64, true, NULL, 100 },
		{ A(LENGTH), U64, true, NULL, 5000 }),
	COMMAND("event-get", EVENT_GET, 0, { 0 }),
};

#define FOR_EACH(item, array, last)						\
	for (__typeof__(&(array)[0]) item = (array);				\
	     item < (array) + sizeof(array) / sizeof((array)[0]) && (last); item++)
#define FOR_EACH_COMMAND(c) FOR_EACH(c, commands, true)
#define FOR_EACH_ATTR(a, c) FOR_EACH(a, (c)->attr, a->type)

static bool for_everybody(const struct command *c)
{
	return c->command == MMAPDEMO_CMD_DEVICE_GET || c->command == MMAPDEMO_CMD_EVENT_GET;
}

FIXTURE(netlink)
{
	struct device dev;
	struct genl genl;
	int file;
};

FIXTURE_SETUP(netlink)
{
	ASSERT_EQ(0, device_up(&self->dev, RAM_4K));
	ASSERT_EQ(0, control_open(&self->genl));
	self->file = memfd_create("netlink-test", 0);
	ASSERT_EQ(0, RC(ftruncate(self->file, MIB)));
}

FIXTURE_TEARDOWN_PARENT(netlink)
{
	EXPECT_EQ(0, device_down(&self->dev));
}

/* The device is there, as it was at first, or is not if the command adds it. */
static int prepare(struct genl *genl, const struct command *c)
{
	int err = del(genl, T, true);

	if (err && err != -ENODEV)
		return err;
	if (c->command == MMAPDEMO_CMD_DEVICE_ADD)
		return 0;
	return add_ram(genl, T, MIB, 0, NULL);
}

/* Is the device there if and only if it was, with the size it had? */
static bool untouched(struct genl *genl, const struct command *c)
{
	struct info info;
	int err = get(genl, T, &info);

	if (c->command == MMAPDEMO_CMD_DEVICE_ADD)
		return err == -ENODEV;
	return !err && info.size == MIB;
}

static int put(struct genl_request *request, const struct attr *a, int file)
{
	uint32_t value = a->value;

	if (a->type == A(FILE))
		value = file;
	switch (a->kind) {
	case STRING:
		return genl_string(request, a->type, a->text);
	case U32:
		return genl_u32(request, a->type, value);
	case U64:
		return genl_u64(request, a->type, a->value);
	default:
		return genl_flag(request, a->type);
	}
}

static void begin(struct genl *genl, struct genl_request *request, const struct command *c)
{
	genl_begin(genl, request, c->command, c->flags);
}

static void complete(struct genl *genl, struct genl_request *request, const struct command *c,
		     int file)
{
	begin(genl, request, c);
	FOR_EACH_ATTR(a, c)
		put(request, a, file);
}

/* The generic netlink of 6.1 passes on of a dump that is refused only the errno. */
static bool is_bare(const struct genl_answer *answer, const struct command *c)
{
	return !has_vma_locks() && (c->flags & NLM_F_DUMP) && answer->at == -1 &&
	       answer->missing == -1 && !answer->text[0];
}

/* Is the answer the one that is expected? Every refusal but a missing attribute has a text. */
static bool is(const struct genl_answer *answer, int err, int at, int missing,
	       const struct command *c, const char *what, int type)
{
	bool text = !err || missing >= 0 || answer->text[0];

	if (answer->err == err && is_bare(answer, c))
		return true;
	if (answer->err == err && answer->at == at && answer->missing == missing && text)
		return true;
	fprintf(stderr, "# %s, attribute %d %s: error %d at %d missing %d \"%s\", not %d %d %d\n",
		c->name, type, what, answer->err, answer->at, answer->missing, answer->text, err,
		at, missing);
	return false;
}

TEST_F(netlink, right)
{
	struct genl_request request;
	struct genl_answer answer;

	FOR_EACH_COMMAND(c) {
		ASSERT_EQ(0, prepare(&self->genl, c));
		complete(&self->genl, &request, c, self->file);
		genl_ask(&self->genl, &request, NULL, NULL, &answer);
		EXPECT_TRUE(is(&answer, 0, -1, -1, c, "right", 0));
		EXPECT_STREQ("", answer.text);
	}
}

/* What is not needed may be absent, and what is needed is named. */
TEST_F(netlink, missing)
{
	struct genl_request request;
	struct genl_answer answer;
	int tried = 0;

	FOR_EACH_COMMAND(c)
		FOR_EACH_ATTR(without, c) {
			ASSERT_EQ(0, prepare(&self->genl, c));
			begin(&self->genl, &request, c);
			FOR_EACH_ATTR(a, c)
				if (a != without)
					put(&request, a, self->file);
			genl_ask(&self->genl, &request, NULL, NULL, &answer);
			EXPECT_TRUE(is(&answer, without->needed ? -EINVAL : 0, -1,
				       without->needed ? without->type : -1, c, "missing",
				       without->type));
			if (without->needed) {
				EXPECT_TRUE(untouched(&self->genl, c));
			} else if (c->command == MMAPDEMO_CMD_DEVICE_ADD &&
				   without->type == A(DEV)) {
				/* It got the first free name. */
				EXPECT_EQ(0, del(&self->genl, "mmapdemo1", false));
			}
			tried++;
		}
	EXPECT_EQ(29, tried);
}

enum wrong { EMPTY, SHORT, LONG, WRONG_TYPE, UNTERMINATED, PAST_END, NESTED, NR_WRONG };

static const char *const wrongs[] = {
	"empty", "short", "long", "of wrong type", "unterminated", "past its end", "nested",
};

/* Put it wrong: its offset, or -1 if there is no such wrong of its kind; *err is what to expect. */
static int put_wrong(struct genl_request *request, const struct attr *a, enum wrong how,
		     int file, int *err)
{
	char name[100] = "mmapdemo-0123456789012345678901234567890123456789";
	size_t size = a->kind == U32 ? 4 : 8;
	bool number = a->kind == U32 || a->kind == U64;
	int at;

	*err = a->kind == FLAG ? -ERANGE : -EINVAL;
	switch (how) {
	case EMPTY:
		return a->kind == FLAG ? -1 : genl_put(request, a->type, "", 0);
	case SHORT:
		return number ? genl_put(request, a->type, name, size - 1) : -1;
	case LONG:
		if (a->kind == STRING)
			return genl_string(request, a->type, name);
		return genl_put(request, a->type, name, number ? size + 1 : 1);
	case WRONG_TYPE:
		if (a->kind == STRING)
			return genl_u64(request, a->type, 0x6161616161616161);
		return number ? genl_string(request, a->type, T) : genl_u32(request, a->type, 1);
	case UNTERMINATED:
		if (a->kind != STRING)
			return -1;
		return genl_put(request, a->type, a->text, strlen(a->text));
	case PAST_END:
		/* Right as far as its end, and then more than a name may have. */
		*err = -ERANGE;
		memset(name, 0, sizeof(name));
		strcpy(name, a->text ?: "");
		return a->type == A(DEV) ? genl_put(request, a->type, name, sizeof(name)) : -1;
	default:
		*err = -EINVAL;
		at = put(request, a, file);
		((struct nlattr *)(request->bytes + at))->nla_type |= NLA_F_NESTED;
		return at;
	}
}

/* Ask with one attribute wrong: 1 if that is possible, and *ok if it was refused rightly. */
static int ask_wrong(struct genl *genl, const struct command *c, const struct attr *which,
		     enum wrong how, int file, bool *ok)
{
	struct genl_request request;
	struct genl_answer answer;
	int at = -1, err;

	begin(genl, &request, c);
	FOR_EACH_ATTR(a, c) {
		if (a == which)
			at = put_wrong(&request, a, how, file, &err);
		else
			put(&request, a, file);
	}
	if (at < 0)
		return 0;
	genl_ask(genl, &request, NULL, NULL, &answer);
	*ok = is(&answer, err, at, -1, c, wrongs[how], which->type);
	return 1;
}

TEST_F_TIMEOUT(netlink, malformed, 200)
{
	int tried = 0, good;
	bool ok;

	FOR_EACH_COMMAND(c) {
		ASSERT_EQ(0, prepare(&self->genl, c));
		FOR_EACH_ATTR(a, c)
			for (int i = 0; i < NR_WRONG; i++) {
				good = ask_wrong(&self->genl, c, a, i, self->file, &ok);
				EXPECT_TRUE(!good || ok);
				tried += good;
			}
		EXPECT_TRUE(untouched(&self->genl, c));
	}
	/* 15 numbers and 13 strings in 5 ways, 11 of these, the names, in one more; a flag in 3. */
	EXPECT_EQ(15 * 5 + 13 * 5 + 11 + 3, tried);
}

/* The attributes that a command does not know, those of other commands among them. */
TEST_F(netlink, unknown)
{
	static const int types[] = { 0, A(MAX) + 1, 100, NLA_TYPE_MASK };
	struct genl_request request;
	struct genl_answer answer;
	int tried = 0, at;

	FOR_EACH_COMMAND(c) {
		ASSERT_EQ(0, prepare(&self->genl, c));
		for (int i = 1; i <= A(MAX) + 4; i++) {
			int type = i <= A(MAX) ? i : types[i - A(MAX) - 1];

			complete(&self->genl, &request, c, self->file);
			/* The one command has these in two forms. */
			if (genl_last(&request, type) || (c->command == MMAPDEMO_CMD_DEVICE_ADD &&
							  (type == A(SIZE) || type == A(FILE))))
				continue;
			at = genl_u64(&request, type, 0);
			genl_ask(&self->genl, &request, NULL, NULL, &answer);
			EXPECT_TRUE(is(&answer, -EINVAL, at, -1, c, "unknown", type));
			tried++;
		}
		EXPECT_TRUE(untouched(&self->genl, c));
	}
	EXPECT_EQ((int)(sizeof(commands) / sizeof(commands[0])) * (A(MAX) + 4) - 31, tried);
}

/* A value that is as it should be but for what it says. @policy: every one is looked at. */
struct bad {
	int command;
	struct attr attr;
	int err;
	bool policy;
};

#define BAD(name, attr, kind, text, value, err, policy) \
	{ MMAPDEMO_CMD_##name, { A(attr), kind, true, text, value }, err, policy }
#define BAD_RANGE(name)								\
	BAD(name, DEV, STRING, "mmapdemo-none", 0, -ENODEV, false),		\
	BAD(name, DEV, STRING, "", 0, -ENODEV, false),				\
	BAD(name, PAGE, U64, NULL, 256, -ERANGE, false),			\
	BAD(name, PAGE, U64, NULL, 250, -ERANGE, false),			\
	BAD(name, PAGE, U64, NULL, UINT64_MAX, -ERANGE, false),			\
	BAD(name, PAGE, U64, NULL, 1ULL << 52, -ERANGE, false),			\
	BAD(name, PAGES, U64, NULL, 0, -ERANGE, true),				\
	BAD(name, PAGES, U64, NULL, 254, -ERANGE, false),			\
	BAD(name, PAGES, U64, NULL, UINT64_MAX, -ERANGE, false),		\
	BAD(name, PAGES, U64, NULL, UINT64_MAX - 2, -ERANGE, false)

static const struct bad bads[] = {
	BAD(DEVICE_ADD, BACKING, STRING, "ring?", 0, -EINVAL, false),
	BAD(DEVICE_ADD, BACKING, STRING, "", 0, -EINVAL, false),
	BAD(DEVICE_ADD, BACKING, STRING, "RAM", 0, -EINVAL, false),
	BAD(DEVICE_ADD, DEV, STRING, "", 0, -EINVAL, false),
	BAD(DEVICE_ADD, DEV, STRING, "null", 0, -EINVAL, false),
	BAD(DEVICE_ADD, DEV, STRING, "mmapdem", 0, -EINVAL, false),
	BAD(DEVICE_ADD, DEV, STRING, "xmmapdemo", 0, -EINVAL, false),
	BAD(DEVICE_ADD, DEV, STRING, "mmapdemo/x", 0, -EINVAL, false),
	BAD(DEVICE_ADD, DEV, STRING, "mmapdemo!x", 0, -EINVAL, false),
	BAD(DEVICE_ADD, DEV, STRING, "mmapdemo x", 0, -EINVAL, false),
	BAD(DEVICE_ADD, DEV, STRING, "mmapdemo\n", 0, -EINVAL, false),
	BAD(DEVICE_ADD, DEV, STRING, "mmapdemo%s", 0, -EINVAL, false),
	BAD(DEVICE_ADD, DEV, STRING, "mmapdemo\xc3\xa9", 0, -EINVAL, false),
	BAD(DEVICE_ADD, DEV, STRING, "mmapdemo", 0, -EEXIST, false),
	BAD(DEVICE_ADD, SIZE, U64, NULL, 0, -ERANGE, true),
	BAD(DEVICE_ADD, SIZE, U64, NULL, 4095, -EINVAL, false),
	BAD(DEVICE_ADD, SIZE, U64, NULL, MIB + 1, -EINVAL, false),
	BAD(DEVICE_ADD, SIZE, U64, NULL, 1ULL << 63, -EFBIG, false),
	BAD(DEVICE_ADD, SIZE, U64, NULL, -4096ULL, -EFBIG, false),
	BAD(DEVICE_ADD, FLAGS, U32, NULL, 4, -EINVAL, true),
	BAD(DEVICE_ADD, FLAGS, U32, NULL, 1U << 31, -EINVAL, true),
	BAD(DEVICE_DEL, DEV, STRING, "mmapdemo-none", 0, -ENODEV, false),
	BAD(DEVICE_DEL, DEV, STRING, "", 0, -ENODEV, false),
	BAD(DEVICE_DEL, DEV, STRING, "null", 0, -ENODEV, false),
	BAD(DEVICE_GET, DEV, STRING, "mmapdemo-none", 0, -ENODEV, false),
	BAD(DEVICE_GET, DEV, STRING, "", 0, -ENODEV, false),
	BAD(MAPPING_GET, DEV, STRING, "mmapdemo-none", 0, -ENODEV, false),
	BAD_RANGE(PAGE_GET), BAD_RANGE(ZAP), BAD_RANGE(WRPROTECT), BAD_RANGE(DIRTY_HARVEST),
	BAD(RESIZE, DEV, STRING, "mmapdemo-none", 0, -ENODEV, false),
	BAD(RESIZE, SIZE, U64, NULL, 0, -ERANGE, true),
	BAD(RESIZE, SIZE, U64, NULL, 1ULL << 63, -EFBIG, false),
	BAD(RESIZE, SIZE, U64, NULL, UINT64_MAX, -EFBIG, false),
	BAD(PUNCH, DEV, STRING, "mmapdemo-none", 0, -ENODEV, false),
	BAD(PUNCH, OFFSET, U64, NULL, MIB, -ERANGE, false),
	BAD(PUNCH, OFFSET, U64, NULL, UINT64_MAX, -ERANGE, false),
	BAD(PUNCH, OFFSET, U64, NULL, MIB - 4999, -ERANGE, false),
	BAD(PUNCH, LENGTH, U64, NULL, 0, -ERANGE, true),
	BAD(PUNCH, LENGTH, U64, NULL, MIB - 99, -ERANGE, false),
	BAD(PUNCH, LENGTH, U64, NULL, UINT64_MAX, -ERANGE, false),
	BAD(PUNCH, LENGTH, U64, NULL, UINT64_MAX - 50, -ERANGE, false),
};

/*
 * Where the wrong value is told to be. A first page inside the device with a range that leaves
 * it: that is the fault of the length, which is named where it is there.
 */
static int place(struct genl_request *request, const struct bad *bad, int at)
{
	struct nlattr *length = NULL;

	if (bad->attr.type == A(PAGE) && bad->attr.value < 256)
		length = genl_last(request, A(PAGES));
	if (bad->attr.type == A(OFFSET) && bad->attr.value < MIB)
		length = genl_last(request, A(LENGTH));
	return length ? (char *)length - request->bytes : at;
}

/* The request with the bad value in its place, or (twice) behind all or before all of it. */
enum where { ALONE, BEHIND, BEFORE };

static bool ask_bad(struct genl *genl, const struct command *c, const struct bad *bad,
		    enum where where, int file)
{
	bool good = where == BEFORE && !bad->policy;
	struct genl_request request;
	struct genl_answer answer;
	int at = -1;

	begin(genl, &request, c);
	if (where == BEFORE)
		at = put(&request, &bad->attr, file);
	FOR_EACH_ATTR(a, c) {
		if (where == ALONE && a->type == bad->attr.type)
			at = put(&request, &bad->attr, file);
		else
			put(&request, a, file);
	}
	if (where == BEHIND)
		at = put(&request, &bad->attr, file);
	genl_ask(genl, &request, NULL, NULL, &answer);
	return is(&answer, good ? 0 : bad->err, good ? -1 : place(&request, bad, at), -1, c,
		  bad->attr.text ?: "bad", bad->attr.type);
}

static const struct command *command_of(const struct bad *bad)
{
	FOR_EACH_COMMAND(c)
		if (c->command == bad->command)
			return c;
	return NULL;
}

TEST_F(netlink, bad_value)
{
	FOR_EACH(bad, bads, true) {
		const struct command *c = command_of(bad);

		ASSERT_EQ(0, prepare(&self->genl, c));
		EXPECT_TRUE(ask_bad(&self->genl, c, bad, ALONE, self->file));
		EXPECT_TRUE(untouched(&self->genl, c));
	}
}

/* Of two the last counts. What depends on nothing else is asked of both. */
TEST_F(netlink, duplicated)
{
	FOR_EACH(bad, bads, true) {
		const struct command *c = command_of(bad);

		ASSERT_EQ(0, prepare(&self->genl, c));
		EXPECT_TRUE(ask_bad(&self->genl, c, bad, BEHIND, self->file));
		EXPECT_TRUE(untouched(&self->genl, c));
		EXPECT_TRUE(ask_bad(&self->genl, c, bad, BEFORE, self->file));
	}
}

/* A file device wants a file, and takes neither a size nor huge pages; ram takes no file. */
TEST_F(netlink, does_not_go_together)
{
	const struct command *ram = &commands[0], *file = &commands[1];
	struct genl_request request;
	struct genl_answer answer;
	int at;

	ASSERT_EQ(0, prepare(&self->genl, ram));
	complete(&self->genl, &request, ram, self->file);
	at = genl_u32(&request, A(FILE), self->file);
	genl_ask(&self->genl, &request, NULL, NULL, &answer);
	EXPECT_TRUE(is(&answer, -EINVAL, at, -1, ram, "with ram", A(FILE)));
	complete(&self->genl, &request, file, self->file);
	at = genl_u64(&request, A(SIZE), MIB);
	genl_ask(&self->genl, &request, NULL, NULL, &answer);
	EXPECT_TRUE(is(&answer, -EINVAL, at, -1, file, "with a file", A(SIZE)));
	complete(&self->genl, &request, file, self->file);
	at = genl_u32(&request, A(FLAGS), MMAPDEMO_HUGE_PAGES);
	genl_ask(&self->genl, &request, NULL, NULL, &answer);
	EXPECT_TRUE(is(&answer, -EINVAL, at, -1, file, "huge with a file", A(FLAGS)));
	complete(&self->genl, &request, file, self->file);
	at = genl_u32(&request, A(FILE), -1);
	genl_ask(&self->genl, &request, NULL, NULL, &answer);
	EXPECT_TRUE(is(&answer, -ERANGE, at, -1, file, "-1", A(FILE)));
	EXPECT_TRUE(untouched(&self->genl, file));
}

/* What only a ram device can. */
TEST_F(netlink, not_of_a_file)
{
	static const int only_ram[] = {
		MMAPDEMO_CMD_DIRTY_HARVEST, MMAPDEMO_CMD_RESIZE, MMAPDEMO_CMD_PUNCH,
	};
	struct genl_request request;
	struct genl_answer answer;

	ASSERT_EQ(0, prepare(&self->genl, &commands[0]));
	ASSERT_EQ(0, add_file(&self->genl, T, self->file, 0, NULL));
	for (int i = 0; i < 3; i++) {
		const struct command *c = command_of(&(struct bad){ .command = only_ram[i] });

		complete(&self->genl, &request, c, self->file);
		genl_ask(&self->genl, &request, NULL, NULL, &answer);
		EXPECT_TRUE(is(&answer, -EOPNOTSUPP, (char *)genl_last(&request, A(DEV)) -
			       request.bytes, -1, c, "of a file", A(DEV)));
	}
}

/* As the core says it, without a text. */
TEST_F(netlink, no_such_command)
{
	static const int none[] = {
		0, MMAPDEMO_CMD_DEVICE_EVENT, MMAPDEMO_CMD_FAULT_EVENT, MMAPDEMO_CMD_MAX + 1, 255,
	};
	struct genl_request request;

	for (int i = 0; i < 10; i++) {
		genl_begin(&self->genl, &request, none[i / 2], i % 2 ? NLM_F_DUMP : 0);
		EXPECT_EQ(-EOPNOTSUPP, genl_ask(&self->genl, &request, NULL, NULL, NULL));
	}
	ASSERT_EQ(0, prepare(&self->genl, &commands[2]));
	FOR_EACH_COMMAND(c) {
		if (c->command == MMAPDEMO_CMD_DEVICE_GET)
			continue;
		complete(&self->genl, &request, c, self->file);
		request.head.nlmsg_flags ^= NLM_F_DUMP;
		EXPECT_EQ(-EOPNOTSUPP, genl_ask(&self->genl, &request, NULL, NULL, NULL));
	}
	EXPECT_TRUE(untouched(&self->genl, &commands[2]));
}

/* Messages that are wrong as a whole. */
TEST_F(netlink, no_message)
{
	static const uint32_t broken[] = { 0, 3, 0x00030003, 0x00020008, 0xffff0001 };
	struct genl_request request;
	struct genl_answer answer;
	struct genlmsghdr *head = NLMSG_DATA(&request.head);

	ASSERT_EQ(0, prepare(&self->genl, &commands[2]));
	FOR_EACH_COMMAND(c) {
		if (!c->attr[0].type)
			continue;
		for (int i = 0; i < 5; i++) {
			complete(&self->genl, &request, c, self->file);
			/* A header that says it is shorter than itself, or longer than the rest. */
			memcpy(request.bytes + request.head.nlmsg_len, &broken[i], 4);
			request.head.nlmsg_len += 4;
			genl_ask(&self->genl, &request, NULL, NULL, &answer);
			EXPECT_TRUE(is(&answer, -EINVAL, -1, -1, c, "behind the last", 0));
		}
		complete(&self->genl, &request, c, self->file);
		head->reserved = 1;
		genl_ask(&self->genl, &request, NULL, NULL, &answer);
		EXPECT_TRUE(is(&answer, -EINVAL, -1, -1, c, "reserved", 0));
		complete(&self->genl, &request, c, self->file);
		request.head.nlmsg_flags |= NLM_F_CREATE;
		genl_ask(&self->genl, &request, NULL, NULL, &answer);
		EXPECT_TRUE(is(&answer, -EINVAL, -1, -1, c, "with a flag", 0));
		complete(&self->genl, &request, c, self->file);
		request.head.nlmsg_len = NLMSG_HDRLEN + 3;
		EXPECT_EQ(-EINVAL, genl_ask(&self->genl, &request, NULL, NULL, NULL));
	}
	EXPECT_TRUE(untouched(&self->genl, &commands[2]));
}

/* Several in one datagram: each is answered. */
TEST_F_TIMEOUT(netlink, many_at_once, 200)
{
	struct genl_request request, more;
	struct infos infos = { .nr = 0 };
	struct genl_answer answer;

	begin(&self->genl, &request, &commands[12]);
	request.head.nlmsg_seq = 0;
	for (int i = 0; i < 30; i++) {
		genl_begin(&self->genl, &more, MMAPDEMO_CMD_DEVICE_GET, 0);
		genl_string(&more, A(DEV), "mmapdemo");
		memcpy(request.bytes + NLMSG_ALIGN(request.head.nlmsg_len), &more,
		       more.head.nlmsg_len);
		request.head.nlmsg_len = NLMSG_ALIGN(request.head.nlmsg_len) +
					 NLMSG_ALIGN(more.head.nlmsg_len);
	}
	/* The head counts itself alone, the datagram has all. */
	more.head.nlmsg_len = request.head.nlmsg_len;
	request.head.nlmsg_len = NLMSG_HDRLEN + GENL_HDRLEN;
	ASSERT_EQ(more.head.nlmsg_len, RC(send(self->genl.fd, &request, more.head.nlmsg_len, 0)));
	while (infos.nr < 30)
		ASSERT_LT(0, genl_receive(&self->genl, 0, on_device, &infos));
	EXPECT_STREQ("mmapdemo", infos.info[29].dev);
	begin(&self->genl, &request, &commands[12]);
	EXPECT_EQ(0, genl_ask(&self->genl, &request, NULL, NULL, &answer));
}

/* Who may what */

struct whom {
	struct genl *genl;
	int file;
	int (*become)(void);
	bool open_before;	/* the socket, by who may */
};

static int without_sys_admin(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data))
		return -errno;
	data[0].effective &= ~(1U << CAP_SYS_ADMIN);
	return RC(syscall(SYS_capset, &head, data));
}

static int nobody(void)
{
	return RC(setresuid(65534, 65534, 65534));
}

static int root_of_a_namespace(void)
{
	if (unshare(CLONE_NEWUSER))
		return -errno;
	if (write_file("/proc/self/setgroups", "deny") < 0 ||
	    write_file("/proc/self/uid_map", "0 0 1") < 0 ||
	    write_file("/proc/self/gid_map", "0 0 1") < 0)
		return -EIO;
	return geteuid() ? -EIO : 0;
}

/* Every command, each of them right: how many were not answered as they have to be, or -1. */
static int ask_all(void *arg)
{
	struct whom *whom = arg;
	struct genl_request request;
	struct genl_answer answer;
	struct genl own, *genl = whom->genl;
	int bad = 0;

	if (whom->become())
		return 100;
	if (!whom->open_before) {
		if (control_open(&own))
			return 101;
		genl = &own;
	}
	FOR_EACH_COMMAND(c) {
		complete(genl, &request, c, whom->file);
		genl_ask(genl, &request, NULL, NULL, &answer);
		bad += !is(&answer, for_everybody(c) ? 0 : -EPERM, -1, -1, c, "by others", 0);
	}
	bad += genl_join(genl, MMAPDEMO_MCGRP_DEVICES) != 0;
	bad += genl_join(genl, MMAPDEMO_MCGRP_FAULTS) != -EPERM;
	return bad;
}

TEST_F(netlink, privileges)
{
	int (*const become[])(void) = { without_sys_admin, nobody, root_of_a_namespace };
	struct whom whom = { &self->genl, self->file, NULL, false };

	ASSERT_EQ(0, prepare(&self->genl, &commands[2]));
	for (int i = 0; i < 6; i++) {
		whom.become = become[i / 2];
		whom.open_before = i % 2;
		EXPECT_EQ(0, in_child(ask_all, &whom));
		EXPECT_TRUE(untouched(&self->genl, &commands[2]));
	}
	EXPECT_EQ(0, genl_join(&self->genl, MMAPDEMO_MCGRP_FAULTS));
}

/* A socket that somebody without rights opened, used by root, who was talked into it. */
TEST_F(netlink, socket_of_somebody_else)
{
	struct genl_request request;
	struct genl_answer answer;
	struct genl genl;

	ASSERT_EQ(0, prepare(&self->genl, &commands[2]));
	ASSERT_EQ(0, RC(setresuid(-1, 65534, -1)));
	ASSERT_EQ(0, control_open(&genl));
	ASSERT_EQ(0, RC(setresuid(-1, 0, -1)));
	FOR_EACH_COMMAND(c) {
		complete(&genl, &request, c, self->file);
		genl_ask(&genl, &request, NULL, NULL, &answer);
		EXPECT_TRUE(is(&answer, for_everybody(c) ? 0 : -EPERM, -1, -1, c, "by proxy", 0));
	}
	EXPECT_TRUE(untouched(&self->genl, &commands[2]));
}

static int in_other_net(void *arg)
{
	struct genl genl;

	(void)arg;
	if (unshare(CLONE_NEWNET))
		return 100;
	return -control_open(&genl);
}

/* Devices belong to the machine: there is no such family in another network namespace. */
TEST_F(netlink, another_network)
{
	EXPECT_EQ(ENOENT, in_child(in_other_net, NULL));
}

TEST_HARNESS_MAIN
