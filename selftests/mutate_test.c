// SPDX-License-Identifier: GPL-2.0
/*
 * A million messages, or as many as go in half a minute, that are right but for a few bytes,
 * lengths, types or flags, from several processes and sockets, on devices that are in use. No
 * answer is wrong here, as long as the kernel has nothing to complain of, and everything works in
 * the end.
 *
 * What counts is a message that differs from the right one and that the kernel took. Right ones
 * are sent too, so that there are devices to meet; they are not counted.
 *
 * MMAPDEMO_SEED repeats the messages of a run, MMAPDEMO_MESSAGES says how many it has to be:
 *	selftests/vm/run -n -t 9999 -- env MMAPDEMO_MESSAGES=1000000 run-all -t 9999 mutate_test
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control.h"
#include "fixture.h"

#define PROCESSES 4
#define SOCKETS 3
#define BATCH 24
#define LEAST 5000	/* mutated messages of each process, however slow the machine is */

/* Whose answers are read: at once, now and then, and never. */
struct mutator {
	struct genl genl[SOCKETS];
	uint64_t random;
	unsigned long errors, answers;
	uint32_t first, heard;	/* of the batch: the first number, and which were answered */
};

/* What a process has done. */
struct tally {
	unsigned long mutated, right;	/* messages that the kernel took */
	unsigned long read, heard;	/* messages to who reads, and of these the answered ones */
	unsigned long errors, answers;
};

struct stage {
	int stop;
	struct tally tally[PROCESSES];
	unsigned long touched;
};

static struct stage *stage;

FIXTURE(mutate)
{
	struct genl genl;
	unsigned long seed;
	int file;
};

static const char *const names[] = {
	"mmapdemo", "mmapdemo-a", "mmapdemo-b", "mmapdemo-file", "mmapdemo-new", "mmapdemo1",
};

FIXTURE_SETUP(mutate)
{
	const char *seed = getenv("MMAPDEMO_SEED");

	self->seed = seed ? strtoul(seed, NULL, 0) : (unsigned long)getpid() * 2654435761UL;
	TH_LOG("MMAPDEMO_SEED=%lu", self->seed);
	ASSERT_EQ(0, module_load("size=64K"));
	ASSERT_EQ(0, control_open(&self->genl));
	self->file = memfd_create("mutate", 0);
	ASSERT_EQ(0, ftruncate(self->file, 1 << 16));
	ASSERT_EQ(0, add_ram(&self->genl, "mmapdemo-a", 4 << 20, MMAPDEMO_HUGE_PAGES, NULL));
	ASSERT_EQ(0, add_ram(&self->genl, "mmapdemo-b", 1 << 16, 0, NULL));
	ASSERT_EQ(0, add_file(&self->genl, "mmapdemo-file", self->file, 0, NULL));
	stage = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

FIXTURE_TEARDOWN_PARENT(mutate)
{
	EXPECT_EQ(0, module_unload());
	EXPECT_FALSE(module_loaded());
}

static unsigned int below(struct mutator *m, unsigned int n)
{
	m->random = m->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return (m->random >> 33) % n;
}

/* Values that are right, nearly right, or at an edge. */
static uint64_t number(struct mutator *m)
{
	switch (below(m, 6)) {
	case 0:
		return below(m, 4);
	case 1:
		return below(m, 64) * 4096ULL;
	case 2:
		return (1ULL << below(m, 64)) - below(m, 3);
	case 3:
		return UINT64_MAX - below(m, 4);
	default:
		return below(m, 20);
	}
}

static const int attrs_of[][6] = {
	[MMAPDEMO_CMD_DEVICE_ADD] = { MMAPDEMO_A_BACKING, MMAPDEMO_A_DEV, MMAPDEMO_A_SIZE,
				      MMAPDEMO_A_FLAGS, MMAPDEMO_A_FILE },
	[MMAPDEMO_CMD_DEVICE_DEL] = { MMAPDEMO_A_DEV, MMAPDEMO_A_FORCE },
	[MMAPDEMO_CMD_DEVICE_GET] = { MMAPDEMO_A_DEV },
	[MMAPDEMO_CMD_MAPPING_GET] = { MMAPDEMO_A_DEV },
	[MMAPDEMO_CMD_PAGE_GET] = { MMAPDEMO_A_DEV, MMAPDEMO_A_PAGE, MMAPDEMO_A_PAGES },
	[MMAPDEMO_CMD_ZAP] = { MMAPDEMO_A_DEV, MMAPDEMO_A_PAGE, MMAPDEMO_A_PAGES },
	[MMAPDEMO_CMD_WRPROTECT] = { MMAPDEMO_A_DEV, MMAPDEMO_A_PAGE, MMAPDEMO_A_PAGES },
	[MMAPDEMO_CMD_DIRTY_HARVEST] = { MMAPDEMO_A_DEV, MMAPDEMO_A_PAGE, MMAPDEMO_A_PAGES },
	[MMAPDEMO_CMD_RESIZE] = { MMAPDEMO_A_DEV, MMAPDEMO_A_SIZE },
	[MMAPDEMO_CMD_PUNCH] = { MMAPDEMO_A_DEV, MMAPDEMO_A_OFFSET, MMAPDEMO_A_LENGTH },
	[MMAPDEMO_CMD_EVENT_GET] = { 0 },
};

static void put_attr(struct mutator *m, struct genl_request *request, int type)
{
	switch (type) {
	case MMAPDEMO_A_DEV:
		genl_string(request, type, names[below(m, 6)]);
		break;
	case MMAPDEMO_A_BACKING:
		genl_string(request, type, below(m, 4) ? "ram" : "file");
		break;
	case MMAPDEMO_A_FLAGS:
		genl_u32(request, type, below(m, 4));
		break;
	case MMAPDEMO_A_FILE:
		genl_u32(request, type, below(m, 16));
		break;
	case MMAPDEMO_A_FORCE:
		genl_flag(request, type);
		break;
	default:
		genl_u64(request, type, number(m));
	}
}

/* A right message, or one that lacks something. Making and deleting is dear, so it is rare. */
static void make(struct mutator *m, struct genl *genl, struct genl_request *request)
{
	int command = 1 + below(m, MMAPDEMO_CMD_EVENT_GET);
	bool dump = command == MMAPDEMO_CMD_MAPPING_GET || command == MMAPDEMO_CMD_PAGE_GET ||
		    command == MMAPDEMO_CMD_DIRTY_HARVEST;

	if (command <= MMAPDEMO_CMD_DEVICE_DEL && below(m, 16))
		command = MMAPDEMO_CMD_ZAP;
	if (below(m, 16) == 0)
		dump = !dump;
	genl_begin(genl, request, command, dump ? NLM_F_DUMP : NLM_F_ACK);
	for (int i = 0; i < 6 && attrs_of[command][i]; i++)
		if (i == 0 || below(m, 3))
			put_attr(m, request, attrs_of[command][i]);
}

/* A random attribute of the message, or NULL if it has none. */
static struct nlattr *some_attr(struct mutator *m, struct genl_request *request)
{
	return genl_last(request, 1 + below(m, MMAPDEMO_A_MAX));
}

/* All attributes once more, inside of one. */
static void nest(struct mutator *m, struct genl_request *request)
{
	char copy[GENL_ROOM];
	size_t len = request->head.nlmsg_len - NLMSG_HDRLEN - GENL_HDRLEN;

	if (len > GENL_ROOM / 4)
		return;
	memcpy(copy, request->bytes + NLMSG_HDRLEN + GENL_HDRLEN, len);
	genl_put(request, (below(m, MMAPDEMO_A_MAX + 3)) | (below(m, 4) ? NLA_F_NESTED : 0), copy,
		 len);
}

static void mutate(struct mutator *m, struct genl_request *request)
{
	size_t len = request->head.nlmsg_len;
	struct nlattr *attr = some_attr(m, request);
	char junk[64];

	switch (below(m, 9)) {
	case 0:
		/* Behind the header of netlink: the message stays one to this family. */
		request->bytes[NLMSG_HDRLEN + below(m, len - NLMSG_HDRLEN)] ^= 1 << below(m, 8);
		break;
	case 1:
		request->bytes[NLMSG_HDRLEN + below(m, len - NLMSG_HDRLEN)] = below(m, 256);
		break;
	case 2:
		if (attr)
			attr->nla_len += below(m, 9) - 4;
		break;
	case 3:
		if (attr)
			attr->nla_type = below(m, below(m, 8) ? MMAPDEMO_A_MAX + 3 : 65536);
		break;
	case 4:
		put_attr(m, request, 1 + below(m, MMAPDEMO_A_MAX + 2));
		break;
	case 5:
		for (size_t i = 0; i < sizeof(junk); i++)
			junk[i] = below(m, 256);
		genl_put(request, below(m, MMAPDEMO_A_MAX + 3), junk, below(m, sizeof(junk)));
		break;
	case 6:
		nest(m, request);
		break;
	case 7:
		request->head.nlmsg_flags ^= 1 << below(m, 12);
		break;
	default:
		request->head.nlmsg_len -= below(m, len - NLMSG_HDRLEN);
	}
}

/* A message, one of 16 a right one; of a last one the length may be wrong. Is it mutated? */
static bool make_one(struct mutator *m, struct genl *genl, struct genl_request *request,
		     size_t *len, bool last)
{
	struct genl_request right;

	make(m, genl, request);
	memcpy(&right, request, request->head.nlmsg_len);
	for (int n = below(m, 16) ? 1 + below(m, 3) : 0; n > 0; n--)
		mutate(m, request);
	request->head.nlmsg_flags |= NLM_F_REQUEST;
	*len = NLMSG_ALIGN(request->head.nlmsg_len);
	if (last && below(m, 4) == 0)
		request->head.nlmsg_len += below(m, 32) - 16;
	return memcmp(request, &right, *len);
}

/* As many messages as a datagram holds, and how many the kernel will find in it. */
static size_t fill_batch(struct mutator *m, struct genl *genl, char *batch, size_t room,
			 struct tally *in)
{
	struct genl_request request;
	size_t at = 0, len;
	bool mutated;

	*in = (struct tally){ 0 };
	m->first = genl->seq + 1;
	for (int i = 0; i < BATCH; i++) {
		mutated = make_one(m, genl, &request, &len, i == BATCH - 1);
		if (at + len > room)
			break;
		memcpy(batch + at, &request, len);
		at += len;
		/* One that claims less than its header, or more than there is, is not looked at. */
		if (request.head.nlmsg_len < NLMSG_HDRLEN || request.head.nlmsg_len > len)
			continue;
		if (mutated)
			in->mutated++;
		else
			in->right++;
	}
	return at;
}

static void on_answer(const struct nlmsghdr *message, void *arg)
{
	struct mutator *m = arg;
	int err = *(const int *)NLMSG_DATA(message);

	if (message->nlmsg_seq - m->first < BATCH)
		m->heard |= 1U << (message->nlmsg_seq - m->first);
	if (message->nlmsg_type == NLMSG_ERROR && err)
		m->errors++;
	else
		m->answers++;
}

/* Until there is nothing more to be read; a dump goes on with each message that is taken. */
static void drain(struct mutator *m, struct genl *genl)
{
	long got;

	do {
		got = genl_receive(genl, MSG_DONTWAIT, on_answer, m);
	} while (got > 0 || got == -ENOBUFS);
}

/* Now and then a new one, whatever the old one was about. */
static int reopen(struct genl *genl)
{
	genl_close(genl);
	return control_open(genl);
}

/* A datagram to the socket: 0, also if there was no memory for it, or -errno. */
static int send_batch(struct mutator *m, int which, struct tally *all)
{
	char batch[BATCH * 256];
	struct tally in;
	ssize_t len = fill_batch(m, &m->genl[which], batch, sizeof(batch), &in);
	ssize_t sent = send(m->genl[which].fd, batch, len, MSG_DONTWAIT);

	if (sent != len)
		return sent < 0 && errno == ENOBUFS ? 0 : -EIO;
	all->mutated += in.mutated;
	all->right += in.right;
	m->heard = 0;
	if (which == 0 || (which == 1 && below(m, 16) == 0))
		drain(m, &m->genl[which]);
	if (which == 0) {
		all->read += in.mutated + in.right;
		all->heard += __builtin_popcount(m->heard);
	}
	return 0;
}

static int mutator(unsigned long seed, const struct effort *effort, struct tally *all)
{
	struct mutator m = { .random = seed };
	int err = 0;

	for (int i = 0; i < SOCKETS; i++)
		err |= control_open(&m.genl[i]);
	for (int i = 0; !err && goes_on(effort, all->mutated); i = (i + 1) % SOCKETS) {
		err = send_batch(&m, i, all);
		if (!err && below(&m, 512) == 0)
			err = reopen(&m.genl[i]);
	}
	all->errors = m.errors;
	all->answers = m.answers;
	return err ? 1 : 0;
}

/* Meanwhile they are open, mapped and stored to, as long as they live. */
static int toucher(unsigned int seed)
{
	char node[32];

	while (!__atomic_load_n(&stage->stop, __ATOMIC_ACQUIRE)) {
		int fd, i = rand_r(&seed) % 6;
		char *p;

		snprintf(node, sizeof(node), "/dev/%s", names[i]);
		fd = open(node, O_RDWR);
		if (fd < 0)
			continue;
		p = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		for (i = 0; p != MAP_FAILED && i < 32; i++)
			stage->touched += trap_store(p + i % 16 * PAGE_SIZE) == 0;
		if (p != MAP_FAILED)
			munmap(p, 1 << 16);
		close(fd);
	}
	return 0;
}

/* All devices that are there, if any is left. */
static void delete_all(struct __test_metadata *_metadata, struct genl *genl)
{
	static struct infos infos;

	for (;;) {
		ASSERT_EQ(0, get_all(genl, &infos));
		if (!infos.nr)
			break;
		for (unsigned int i = 0; i < infos.nr && i < 64; i++)
			ASSERT_EQ(0, del(genl, infos.info[i].dev, true));
	}
}

static bool all_works(struct genl *genl)
{
	struct info info;
	bool good;
	int fd;

	if (add_ram(genl, NULL, 1 << 16, 0, &info) || strcmp(info.dev, "mmapdemo"))
		return false;
	fd = open(NODE, O_RDWR);
	good = writes(fd, 0, 16, TAG) && reads(fd, 0, 16, TAG);
	close(fd);
	return good && !del(genl, "mmapdemo", false);
}

static void add_up(const struct tally *one, struct tally *sum)
{
	sum->mutated += one->mutated;
	sum->right += one->right;
	sum->read += one->read;
	sum->heard += one->heard;
	sum->errors += one->errors;
	sum->answers += one->answers;
}

/* How many it is for each process, and for how long. */
static struct effort effort_of_each(void)
{
	const char *wanted = getenv("MMAPDEMO_MESSAGES");
	unsigned long all = wanted ? strtoul(wanted, NULL, 0) : 1000000;
	unsigned long each = (all + PROCESSES - 1) / PROCESSES;

	return effort(wanted ? each : LEAST, each, 30);
}

TEST_F_TIMEOUT(mutate, a_million_messages, 9999)
{
	struct effort e = effort_of_each();
	struct tally all = { 0 };
	pid_t pid[PROCESSES + 1];

	for (int i = 0; i <= PROCESSES; i++) {
		pid[i] = fork();
		if (!pid[i])
			_exit(i < PROCESSES ? mutator(self->seed + i, &e, &stage->tally[i]) :
			      toucher(self->seed));
	}
	for (int i = 0; i <= PROCESSES; i++) {
		if (i == PROCESSES)
			__atomic_store_n(&stage->stop, 1, __ATOMIC_RELEASE);
		EXPECT_EQ(0, reap(pid[i]));
		if (i < PROCESSES)
			add_up(&stage->tally[i], &all);
	}
	TH_LOG("%lu mutated messages and %lu right ones; of %lu to who reads %lu were answered: %lu errors, %lu other answers; %lu stores",
	       all.mutated, all.right, all.read, all.heard, all.errors, all.answers,
	       stage->touched);
	EXPECT_LE(PROCESSES * e.least, all.mutated);
	/* Whoever reads is told of each, but of one that is right and asked for no answer. */
	EXPECT_LT(all.read / 10 * 9, all.heard);
	/* They were not all nonsense, and not all right. */
	EXPECT_LT(all.read / 100, all.errors);
	EXPECT_LT(all.read / 100, all.answers);
	EXPECT_LT(0, stage->touched);
	delete_all(_metadata, &self->genl);
	EXPECT_TRUE(all_works(&self->genl));
}

TEST_HARNESS_MAIN
