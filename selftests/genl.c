// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "genl.h"

/* Attributes */

static const void *data_of(const struct nlattr *attr)
{
	return (const char *)attr + NLA_HDRLEN;
}

static size_t len_of(const struct nlattr *attr)
{
	return attr->nla_len - NLA_HDRLEN;
}

/* The attribute at @p, NULL behind the last one. */
static const struct nlattr *attr_at(const char *p, const char *end)
{
	const struct nlattr *attr = (const struct nlattr *)p;

	if (p + NLA_HDRLEN > end || attr->nla_len < NLA_HDRLEN || p + attr->nla_len > end)
		return NULL;
	return attr;
}

static const char *behind(const struct nlattr *attr)
{
	return (const char *)attr + NLA_ALIGN(attr->nla_len);
}

static const struct nlattr *find(const char *p, const char *end, int type)
{
	const struct nlattr *attr;

	for (; (attr = attr_at(p, end)); p = behind(attr))
		if ((attr->nla_type & NLA_TYPE_MASK) == type)
			return attr;
	return NULL;
}

static uint64_t types(const char *p, const char *end)
{
	const struct nlattr *attr;
	uint64_t all = 0;

	for (; (attr = attr_at(p, end)); p = behind(attr))
		all |= 1ULL << (attr->nla_type & 63);
	return all;
}

static const char *attrs_of(const struct nlmsghdr *message)
{
	return (const char *)message + NLMSG_HDRLEN + GENL_HDRLEN;
}

static const char *end_of(const struct nlmsghdr *message)
{
	return (const char *)message + message->nlmsg_len;
}

int genl_command(const struct nlmsghdr *message)
{
	return ((const struct genlmsghdr *)NLMSG_DATA(message))->cmd;
}

const struct nlattr *genl_find(const struct nlmsghdr *message, int type)
{
	return find(attrs_of(message), end_of(message), type);
}

const struct nlattr *genl_nested(const struct nlattr *nest, int type)
{
	return nest ? find(data_of(nest), (const char *)nest + nest->nla_len, type) : NULL;
}

uint64_t genl_types(const struct nlmsghdr *message)
{
	return types(attrs_of(message), end_of(message));
}

uint64_t genl_nested_types(const struct nlattr *nest)
{
	return nest ? types(data_of(nest), (const char *)nest + nest->nla_len) : 0;
}

uint64_t genl_value(const struct nlattr *attr, size_t len)
{
	uint64_t value = 0;

	if (!attr || len_of(attr) != len)
		return -1;
	memcpy(&value, data_of(attr), len);
	return value;
}

const char *genl_text(const struct nlattr *attr)
{
	if (!attr || !len_of(attr) || ((const char *)attr)[attr->nla_len - 1])
		return "(no string)";
	return data_of(attr);
}

/* Requests */

void genl_begin(struct genl *genl, struct genl_request *request, int command, int flags)
{
	struct genlmsghdr *head = NLMSG_DATA(&request->head);

	memset(request, 0, sizeof(*request));
	request->head = (struct nlmsghdr){
		.nlmsg_len = NLMSG_HDRLEN + GENL_HDRLEN,
		.nlmsg_type = genl->family,
		.nlmsg_flags = NLM_F_REQUEST | flags,
		.nlmsg_seq = ++genl->seq,
	};
	*head = (struct genlmsghdr){ .cmd = command, .version = 1 };
}

int genl_put(struct genl_request *request, int type, const void *data, size_t len)
{
	int at = request->head.nlmsg_len;
	struct nlattr *attr = (struct nlattr *)(request->bytes + at);

	if (at + NLA_HDRLEN + NLA_ALIGN(len) > GENL_ROOM)
		return -1;
	*attr = (struct nlattr){ .nla_len = NLA_HDRLEN + len, .nla_type = type };
	if (len)
		memcpy(attr + 1, data, len);
	request->head.nlmsg_len += NLA_HDRLEN + NLA_ALIGN(len);
	return at;
}

int genl_string(struct genl_request *request, int type, const char *text)
{
	return genl_put(request, type, text, strlen(text) + 1);
}

int genl_u32(struct genl_request *request, int type, uint32_t value)
{
	return genl_put(request, type, &value, sizeof(value));
}

int genl_u64(struct genl_request *request, int type, uint64_t value)
{
	return genl_put(request, type, &value, sizeof(value));
}

int genl_flag(struct genl_request *request, int type)
{
	return genl_put(request, type, NULL, 0);
}

struct nlattr *genl_last(struct genl_request *request, int type)
{
	const char *p = attrs_of(&request->head), *end = end_of(&request->head);
	const struct nlattr *attr, *last = NULL;

	for (; (attr = attr_at(p, end)); p = behind(attr))
		if ((attr->nla_type & NLA_TYPE_MASK) == type)
			last = attr;
	return (struct nlattr *)last;
}

/* Sending and receiving */

int genl_send(struct genl *genl, const struct genl_request *request)
{
	ssize_t sent = send(genl->fd, request, request->head.nlmsg_len, 0);

	return sent < 0 ? -errno : 0;
}

long genl_receive(struct genl *genl, int flags, genl_fn *fn, void *arg)
{
	char buf[32768] __attribute__((aligned(NLMSG_ALIGNTO)));
	const struct nlmsghdr *message = (const struct nlmsghdr *)buf;
	ssize_t len = recv(genl->fd, buf, sizeof(buf), flags | MSG_TRUNC);
	size_t left = len;

	if (len < 0)
		return errno == EAGAIN && !(flags & MSG_DONTWAIT) ? -ETIMEDOUT : -errno;
	if (left > sizeof(buf))
		return -EMSGSIZE;
	for (; NLMSG_OK(message, left); message = NLMSG_NEXT(message, left))
		fn(message, arg);
	return len;
}

struct asking {
	uint32_t seq;
	genl_fn *fn;
	void *arg;
	struct genl_answer *answer;
	bool ended;
};

static void read_tlvs(const char *p, const char *end, struct genl_answer *answer)
{
	const struct nlattr *attr = find(p, end, NLMSGERR_ATTR_MSG);

	if (attr)
		snprintf(answer->text, sizeof(answer->text), "%s", genl_text(attr));
	attr = find(p, end, NLMSGERR_ATTR_OFFS);
	if (attr)
		answer->at = genl_value(attr, 4);
	attr = find(p, end, NLMSGERR_ATTR_MISS_TYPE);
	if (attr)
		answer->missing = genl_value(attr, 4);
}

/* The end of an answer: an error number, of a refused request the request, and what is wrong. */
static void read_end(const struct nlmsghdr *message, struct genl_answer *answer)
{
	const char *p = NLMSG_DATA(message);
	const struct nlmsgerr *error = (const struct nlmsgerr *)p;

	answer->err = error->error;
	if (message->nlmsg_type == NLMSG_DONE)
		p += sizeof(int);
	else if (message->nlmsg_flags & NLM_F_CAPPED)
		p += sizeof(*error);
	else
		p += sizeof(int) + NLMSG_ALIGN(error->msg.nlmsg_len);
	if (message->nlmsg_flags & NLM_F_ACK_TLVS)
		read_tlvs(p, end_of(message), answer);
}

static void on_message(const struct nlmsghdr *message, void *arg)
{
	struct asking *asking = arg;

	if (message->nlmsg_seq != asking->seq || asking->ended)
		return;
	if (message->nlmsg_flags & NLM_F_DUMP_INTR)
		asking->answer->interrupted = true;
	if (message->nlmsg_type == NLMSG_ERROR || message->nlmsg_type == NLMSG_DONE) {
		read_end(message, asking->answer);
		asking->ended = true;
		return;
	}
	asking->answer->messages++;
	if (asking->fn)
		asking->fn(message, asking->arg);
}

int genl_ask(struct genl *genl, struct genl_request *request, genl_fn *fn, void *arg,
	     struct genl_answer *answer)
{
	struct genl_answer ignored;
	struct asking asking = { request->head.nlmsg_seq, fn, arg, answer ?: &ignored, false };
	long len;

	*asking.answer = (struct genl_answer){ .at = -1, .missing = -1 };
	if ((request->head.nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
		request->head.nlmsg_flags |= NLM_F_ACK;
	len = genl_send(genl, request);
	while (len >= 0 && !asking.ended)
		len = genl_receive(genl, 0, on_message, &asking);
	if (len < 0)
		asking.answer->err = len;
	return asking.answer->err;
}

/* The family */

static void on_family(const struct nlmsghdr *message, void *arg)
{
	const struct nlattr *groups = genl_find(message, CTRL_ATTR_MCAST_GROUPS), *group;
	struct genl *genl = arg;

	genl->family = genl_value(genl_find(message, CTRL_ATTR_FAMILY_ID), 2);
	for (int i = 0; i < 4; i++) {
		group = genl_nested(groups, i + 1);
		if (!group)
			break;
		genl->group[i].id = genl_value(genl_nested(group, CTRL_ATTR_MCAST_GRP_ID), 4);
		snprintf(genl->group[i].name, GENL_NAMSIZ, "%s",
			 genl_text(genl_nested(group, CTRL_ATTR_MCAST_GRP_NAME)));
	}
}

int genl_open(struct genl *genl, const char *family)
{
	struct timeval minute = { .tv_sec = 60 };
	struct genl_request request;
	int one = 1, err;

	memset(genl, 0, sizeof(*genl));
	genl->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	if (genl->fd < 0)
		return -errno;
	setsockopt(genl->fd, SOL_SOCKET, SO_RCVTIMEO, &minute, sizeof(minute));
	setsockopt(genl->fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	genl->family = GENL_ID_CTRL;
	genl_begin(genl, &request, CTRL_CMD_GETFAMILY, 0);
	genl_string(&request, CTRL_ATTR_FAMILY_NAME, family);
	err = genl_ask(genl, &request, on_family, genl, NULL);
	if (err)
		genl_close(genl);
	return err;
}

void genl_close(struct genl *genl)
{
	close(genl->fd);
	genl->fd = -1;
}

int genl_join(struct genl *genl, const char *group)
{
	for (int i = 0; i < 4; i++)
		if (!strcmp(genl->group[i].name, group))
			return setsockopt(genl->fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP,
					  &genl->group[i].id, sizeof(uint32_t)) ? -errno : 0;
	return -ENOENT;
}
