// SPDX-License-Identifier: GPL-2.0
/*
 * Messages to the control plane that are right but for a few bytes, as in mutate_test.c, while
 * others work on the device; and a socket that is told of everything and never reads.
 *
 * A message may do to a device whatever it happens to say, but nothing that those who work on it
 * would have to know: none is deleted, resized or punched that belongs to somebody else.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control.h"
#include "soak.h"

static struct genl genl, deaf;
static struct infos infos;

static const char *const ours[] = { "mmapdemo-a", "mmapdemo-b", "mmapdemo1" };
static const char *const not_ours[] = { MAIN, BESIDE, STARVING };

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

static const char *a_name(uint64_t *state)
{
	return below(state, 2) ? MAIN : ours[below(state, sizeof(ours) / sizeof(ours[0]))];
}

/* Of pages or bytes: right, nearly right, or at an edge. */
static uint64_t number(uint64_t *state)
{
	switch (below(state, 4)) {
	case 0:
		return below(state, 64);
	case 1:
		return below(state, 64) * PAGE_SIZE;
	case 2:
		return (1ULL << below(state, 64)) - below(state, 3);
	default:
		return UINT64_MAX - below(state, 4);
	}
}

static void put_attr(struct genl_request *request, int type, uint64_t *state)
{
	switch (type) {
	case MMAPDEMO_A_DEV:
		genl_string(request, type, a_name(state));
		break;
	case MMAPDEMO_A_BACKING:
		genl_string(request, type, below(state, 4) ? "ram" : "file");
		break;
	case MMAPDEMO_A_FLAGS:
	case MMAPDEMO_A_FILE:
		genl_u32(request, type, below(state, 8));
		break;
	case MMAPDEMO_A_FORCE:
		genl_flag(request, type);
		break;
	default:
		genl_u64(request, type, number(state));
	}
}

static void make(struct genl_request *request, uint64_t *state)
{
	int command = 1 + below(state, MMAPDEMO_CMD_EVENT_GET);
	bool dump = command == MMAPDEMO_CMD_MAPPING_GET || command == MMAPDEMO_CMD_PAGE_GET ||
		    command == MMAPDEMO_CMD_DIRTY_HARVEST;

	genl_begin(&genl, request, command, dump ? NLM_F_DUMP : NLM_F_ACK);
	for (int i = 0; i < 6 && attrs_of[command][i]; i++)
		if (i == 0 || below(state, 3))
			put_attr(request, attrs_of[command][i], state);
}

/* Behind the header of netlink, or its flags: the message stays one to this family. */
static void mutate(struct genl_request *request, uint64_t *state)
{
	size_t behind = request->head.nlmsg_len - NLMSG_HDRLEN;
	struct nlattr *attr = genl_last(request, 1 + below(state, MMAPDEMO_A_MAX));
	uint64_t junk[4] = { dice(state), dice(state), dice(state), dice(state) };

	switch (below(state, 7)) {
	case 0:
		request->bytes[NLMSG_HDRLEN + below(state, behind)] ^= 1 << below(state, 8);
		break;
	case 1:
		request->bytes[NLMSG_HDRLEN + below(state, behind)] = dice(state);
		break;
	case 2:
		if (attr)
			attr->nla_len += below(state, 9) - 4;
		break;
	case 3:
		if (attr)
			attr->nla_type = below(state, below(state, 8) ? MMAPDEMO_A_MAX + 3 : 65536);
		break;
	case 4:
		put_attr(request, 1 + below(state, MMAPDEMO_A_MAX + 2), state);
		break;
	case 5:
		genl_put(request, below(state, MMAPDEMO_A_MAX + 3), junk,
			 below(state, sizeof(junk)));
		break;
	default:
		request->head.nlmsg_flags ^= 1 << below(state, 12);
	}
	request->head.nlmsg_flags |= NLM_F_REQUEST;
}

/* The kernel takes no name without the 0 at its end, so it would stand somewhere in there. */
static bool is_harmless(const struct genl_request *request)
{
	switch (genl_command(&request->head)) {
	case MMAPDEMO_CMD_DEVICE_DEL:
	case MMAPDEMO_CMD_RESIZE:
	case MMAPDEMO_CMD_PUNCH:
		break;
	default:
		return true;
	}
	for (size_t i = 0; i < sizeof(not_ours) / sizeof(not_ours[0]); i++)
		if (memmem(request, request->head.nlmsg_len, not_ours[i], strlen(not_ours[i]) + 1))
			return false;
	return true;
}

static void on_answer(const struct nlmsghdr *message, void *arg)
{
	(void)arg;
	did(message->nlmsg_type == NLMSG_ERROR && *(const int *)NLMSG_DATA(message) ? REFUSED :
	    TAKEN, 1);
}

/* Not always to the end: then the next dump on this socket finds it busy. */
static void read_answers(uint64_t *state)
{
	long len;

	do {
		len = genl_receive(&genl, MSG_DONTWAIT, on_answer, NULL);
	} while ((len > 0 && below(state, 64)) || len == -ENOBUFS);
}

static void send_nonsense(uint64_t *state)
{
	struct genl_request request;

	make(&request, state);
	for (size_t n = below(state, 4); n--;)
		mutate(&request, state);
	if (!is_harmless(&request))
		return;
	send(genl.fd, &request, request.head.nlmsg_len, MSG_DONTWAIT);
	did(MUTATED, 1);
	read_answers(state);
}

static bool is_ours(const char *name)
{
	for (size_t i = 0; i < sizeof(not_ours) / sizeof(not_ours[0]); i++)
		if (!strcmp(name, not_ours[i]))
			return false;
	return true;
}

/* What the messages have made, on a socket without a dump that is half told. */
static bool delete_ours(void)
{
	bool found;
	int err;

	genl_close(&genl);
	err = control_open(&genl);
	do {
		found = false;
		err = err ?: get_all(&genl, &infos);
		for (unsigned int i = 0; !err && i < infos.nr && i < 64; i++) {
			if (!is_ours(infos.info[i].dev))
				continue;
			found = true;
			err = del(&genl, infos.info[i].dev, true);
		}
	} while (!err && found);
	return !err || complain("deleting what nonsense made: %s", strerror(-err));
}

/* Room for a few events, which nobody takes out. */
static bool be_told(void)
{
	int err = control_open(&deaf), least = 1;

	if (!err)
		err = RC(setsockopt(deaf.fd, SOL_SOCKET, SO_RCVBUF, &least, sizeof(least)));
	err = err ?: genl_join(&deaf, "devices") ?: genl_join(&deaf, "faults");
	return !err || complain("one that never reads: %s", strerror(-err));
}

/* It is only now that it hears that it has missed something. */
static bool be_told_no_more(void)
{
	char byte;

	if (recv(deaf.fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == ENOBUFS)
		did(DEAF, 1);
	genl_close(&deaf);
	return true;
}

bool talk_nonsense(struct target *target, uint64_t *state)
{
	int err = control_open(&genl);
	bool right = (!err || complain("the control plane: %s", strerror(-err))) && be_told();

	(void)target;
	while (right && !is_over()) {
		for (size_t n = below(state, 32); n--;)
			send_nonsense(state);
		if (below(state, 16) == 0)
			right = delete_ours();
		if (right && below(state, 32) == 0)
			right = be_told_no_more() && be_told();
		usleep(below(state, 20000));
	}
	right = right && delete_ours() && be_told_no_more();
	genl_close(&genl);
	return right;
}
