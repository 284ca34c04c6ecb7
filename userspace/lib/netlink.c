// SPDX-License-Identifier: GPL-2.0
/*
 * Requests to the generic netlink family of the module, and answers.
 *
 * libnl writes and reads the messages. Its sockets are not used: they keep errors as numbers
 * of their own, of which several errno values share one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <netlink/attr.h>
#include <netlink/genl/genl.h>
#include <netlink/msg.h>

#include "netlink.h"

/* The kernel makes no message larger than 32 KiB. */
#define BUFFER_SIZE	(64 << 10)

struct group {
	char name[GENL_NAMSIZ];
	uint32_t id;
};

struct conn {
	int fd;
	bool busy;		/* a function that was called with an answer runs */
	uint16_t family;
	uint32_t version;
	uint32_t seq;		/* of the last request */
	int failed;		/* why the request that is being filled cannot be sent */
	struct nl_msg *request;	/* the last one; errors point into it */
	struct group group[8];
	unsigned int groups;
	char error[320];
	char buffer[BUFFER_SIZE] __attribute__((aligned(NLMSG_ALIGNTO)));
};

static const struct {
	const char *name;	/* in the specification */
	int type;
} attrs[MMAPDEMO_A_MAX + 1] = {
	[MMAPDEMO_A_DEV]		= { "dev", NLA_STRING },
	[MMAPDEMO_A_BACKING]		= { "backing", NLA_STRING },
	[MMAPDEMO_A_SIZE]		= { "size", NLA_U64 },
	[MMAPDEMO_A_FLAGS]		= { "flags", NLA_U32 },
	[MMAPDEMO_A_FILE]		= { "file", NLA_U32 },
	[MMAPDEMO_A_PATH]		= { "path", NLA_STRING },
	[MMAPDEMO_A_FORCE]		= { "force", NLA_FLAG },
	[MMAPDEMO_A_OPENS]		= { "opens", NLA_U32 },
	[MMAPDEMO_A_MAPPINGS]		= { "mappings", NLA_NESTED },
	[MMAPDEMO_A_FAULTS]		= { "faults", NLA_NESTED },
	[MMAPDEMO_A_DIRTY_PAGES]	= { "dirty-pages", NLA_U64 },
	[MMAPDEMO_A_PAGE]		= { "page", NLA_U64 },
	[MMAPDEMO_A_PAGES]		= { "pages", NLA_U64 },
	[MMAPDEMO_A_STATE]		= { "state", NLA_U32 },
	[MMAPDEMO_A_PID]		= { "pid", NLA_U32 },
	[MMAPDEMO_A_TGID]		= { "tgid", NLA_U32 },
	[MMAPDEMO_A_COMM]		= { "comm", NLA_STRING },
	[MMAPDEMO_A_START]		= { "start", NLA_U64 },
	[MMAPDEMO_A_END]		= { "end", NLA_U64 },
	[MMAPDEMO_A_PGOFF]		= { "pgoff", NLA_U64 },
	[MMAPDEMO_A_SHARED]		= { "shared", NLA_FLAG },
	[MMAPDEMO_A_PROT]		= { "prot", NLA_U32 },
	[MMAPDEMO_A_OFFSET]		= { "offset", NLA_U64 },
	[MMAPDEMO_A_LENGTH]		= { "length", NLA_U64 },
	[MMAPDEMO_A_SEQ]		= { "seq", NLA_U64 },
	[MMAPDEMO_A_EVENT]		= { "event", NLA_U32 },
	[MMAPDEMO_A_DEVICES_SEQ]	= { "devices-seq", NLA_U64 },
	[MMAPDEMO_A_FAULTS_SEQ]		= { "faults-seq", NLA_U64 },
};

static int parse_counts(struct nlattr *nest, uint64_t *count, int max)
{
	struct nlattr *attr;
	int left;

	nla_for_each_nested(attr, nest, left) {
		if (nla_type(attr) > max || !nla_len(attr))
			continue;
		if (nla_len(attr) != sizeof(uint64_t))
			return -EPROTO;
		count[nla_type(attr)] = nla_get_u64(attr);
	}
	return 0;
}

static int parse_attr(struct nlattr *attr, struct answer *answer)
{
	const int i = nla_type(attr), len = nla_len(attr);
	const char *text = nla_data(attr);

	switch (attrs[i].type) {
	case NLA_U32:
		if (len != sizeof(uint32_t))
			return -EPROTO;
		answer->number[i] = nla_get_u32(attr);
		return 0;
	case NLA_U64:
		if (len != sizeof(uint64_t))
			return -EPROTO;
		answer->number[i] = nla_get_u64(attr);
		return 0;
	case NLA_STRING:
		if (!len || text[len - 1])
			return -EPROTO;
		answer->text[i] = text;
		return 0;
	case NLA_NESTED:
		return i == MMAPDEMO_A_MAPPINGS ?
			parse_counts(attr, answer->mappings, MMAPDEMO_A_MAPPINGS_MAX) :
			parse_counts(attr, answer->faults, MMAPDEMO_A_FAULTS_MAX);
	default:
		return 0;
	}
}

/* Attributes of a newer module are passed over. */
static int parse_answer(struct nlmsghdr *nlh, struct answer *answer)
{
	struct genlmsghdr *genl;
	struct nlattr *attr;
	int left, ret;

	memset(answer, 0, sizeof(*answer));
	if (!genlmsg_valid_hdr(nlh, 0))
		return -EPROTO;
	genl = genlmsg_hdr(nlh);
	answer->cmd = genl->cmd;
	nla_for_each_attr(attr, genlmsg_attrdata(genl, 0), genlmsg_attrlen(genl, 0), left) {
		if (nla_type(attr) > MMAPDEMO_A_MAX)
			continue;
		ret = parse_attr(attr, answer);
		if (ret)
			return ret;
		answer->has |= 1ULL << nla_type(attr);
	}
	return 0;
}

/* The name of the attribute of the last request that is at an offset of it. */
static const char *attr_at(struct conn *conn, uint32_t offset)
{
	struct nlmsghdr *nlh = nlmsg_hdr(conn->request);
	struct genlmsghdr *genl = genlmsg_hdr(nlh);
	struct nlattr *attr;
	int left;

	nla_for_each_attr(attr, genlmsg_attrdata(genl, 0), genlmsg_attrlen(genl, 0), left) {
		uint32_t begin = (char *)attr - (char *)nlh;

		if (offset >= begin && offset < begin + attr->nla_len)
			return nla_type(attr) <= MMAPDEMO_A_MAX ? attrs[nla_type(attr)].name : NULL;
	}
	return NULL;
}

/* What the kernel says in the attributes behind a refusal or the end of a dump. */
static void keep_error(struct conn *conn, int error, struct nlattr *tlvs, int len)
{
	struct nlattr *msg = nla_find(tlvs, len, NLMSGERR_ATTR_MSG);
	struct nlattr *offs = nla_find(tlvs, len, NLMSGERR_ATTR_OFFS);
	struct nlattr *miss = nla_find(tlvs, len, NLMSGERR_ATTR_MISS_TYPE);
	const char *text = strerror(-error), *name = NULL;

	if (miss && nla_len(miss) == sizeof(uint32_t) && nla_get_u32(miss) <= MMAPDEMO_A_MAX) {
		name = attrs[nla_get_u32(miss)].name;
		text = "this attribute is missing";
	} else if (offs && nla_len(offs) == sizeof(uint32_t)) {
		name = attr_at(conn, nla_get_u32(offs));
	}
	if (msg && nla_len(msg) && !((char *)nla_data(msg))[nla_len(msg) - 1])
		text = nla_data(msg);
	snprintf(conn->error, sizeof(conn->error), "%s%s%s", name ? name : "", name ? ": " : "",
		 text);
}

static int take_ack(struct conn *conn, struct nlmsghdr *nlh)
{
	struct nlmsgerr *err = nlmsg_data(nlh);
	int len = sizeof(*err);

	if (nlmsg_datalen(nlh) < len)
		return -EPROTO;
	if (!err->error)
		return 0;
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED))
		len += NLMSG_ALIGN(err->msg.nlmsg_len) - NLMSG_HDRLEN;
	if (nlh->nlmsg_flags & NLM_F_ACK_TLVS && nlmsg_datalen(nlh) > len)
		keep_error(conn, err->error, (void *)((char *)err + len), nlmsg_datalen(nlh) - len);
	else
		keep_error(conn, err->error, NULL, 0);
	return err->error;
}

static int take_done(struct conn *conn, struct nlmsghdr *nlh)
{
	int *error = nlmsg_data(nlh);
	int len = nlmsg_datalen(nlh) - sizeof(*error);

	if (len < 0 || *error >= 0)
		return 0;
	keep_error(conn, *error, (void *)(error + 1), nlh->nlmsg_flags & NLM_F_ACK_TLVS ? len : 0);
	return *error;
}

/* One datagram of the kernel, in the buffer: its length or -errno. */
static ssize_t receive(struct conn *conn, int flags)
{
	struct sockaddr_nl from = { 0 };
	struct iovec iov = { conn->buffer, sizeof(conn->buffer) };
	struct msghdr msg = {
		.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1
	};
	ssize_t len;

	do {
		len = recvmsg(conn->fd, &msg, flags);
		if (len < 0 && errno != EINTR)
			return -errno;
	} while (len < 0 || from.nl_pid);
	return msg.msg_flags & MSG_TRUNC ? -EMSGSIZE : len;
}

/* Calls @fn with the messages of the answer, until it returns anything but 0. */
static int exchange(struct conn *conn, int (*fn)(struct conn *, struct nlmsghdr *, void *),
		    void *arg)
{
	struct nlmsghdr *request = nlmsg_hdr(conn->request), *nlh;
	int ret = 0, left;

	request->nlmsg_seq = ++conn->seq;
	if (send(conn->fd, request, request->nlmsg_len, 0) < 0)
		return -errno;
	for (;;) {
		left = receive(conn, 0);
		if (left < 0)
			return left;
		nlh = (struct nlmsghdr *)conn->buffer;
		for (; nlmsg_ok(nlh, left); nlh = nlmsg_next(nlh, &left)) {
			if (nlh->nlmsg_seq != conn->seq)
				continue;
			if (nlh->nlmsg_type == NLMSG_ERROR)
				return take_ack(conn, nlh) ?: ret;
			if (nlh->nlmsg_type == NLMSG_DONE)
				return take_done(conn, nlh) ?: ret;
			if (nlh->nlmsg_type >= NLMSG_MIN_TYPE && !ret)
				ret = fn(conn, nlh, arg);
		}
	}
}

int conn_refuse(struct conn *conn, int error, const char *text)
{
	snprintf(conn->error, sizeof(conn->error), "%s", text);
	return error;
}

static int begin(struct conn *conn, uint16_t family, uint8_t cmd, uint8_t version, int flags)
{
	if (conn->busy)
		return conn_refuse(conn, -EBUSY, "the handle is in use by who called");
	nlmsg_free(conn->request);
	conn->failed = 0;
	conn->request = nlmsg_alloc();
	if (!conn->request)
		return conn_refuse(conn, -ENOMEM, strerror(ENOMEM));
	genlmsg_put(conn->request, 0, 0, family, 0, NLM_F_REQUEST | flags, cmd, version);
	return 0;
}

int conn_begin(struct conn *conn, uint8_t cmd, bool dump)
{
	return begin(conn, conn->family, cmd, MMAPDEMO_FAMILY_VERSION,
		     dump ? NLM_F_DUMP : NLM_F_ACK);
}

static void put(struct conn *conn, int attr, const void *data, size_t len)
{
	if (!conn->failed && (len > UINT16_MAX / 2 || nla_put(conn->request, attr, len, data)))
		conn->failed = -EMSGSIZE;
}

void conn_put_u32(struct conn *conn, int attr, uint32_t value)
{
	put(conn, attr, &value, sizeof(value));
}

void conn_put_u64(struct conn *conn, int attr, uint64_t value)
{
	put(conn, attr, &value, sizeof(value));
}

void conn_put_text(struct conn *conn, int attr, const char *text)
{
	put(conn, attr, text, strlen(text) + 1);
}

void conn_put_flag(struct conn *conn, int attr)
{
	put(conn, attr, NULL, 0);
}

struct reader {
	answer_fn fn;
	void *arg;
};

static int hand_over(struct conn *conn, struct nlmsghdr *nlh, void *arg)
{
	const struct reader *reader = arg;
	struct answer answer;
	int ret;

	if (nlh->nlmsg_type != conn->family || !reader->fn)
		return 0;
	ret = parse_answer(nlh, &answer);
	if (ret)
		return ret;
	conn->busy = true;
	ret = reader->fn(&answer, reader->arg);
	conn->busy = false;
	return ret;
}

int conn_ask(struct conn *conn, answer_fn fn, void *arg)
{
	struct reader reader = { fn, arg };
	int ret = conn->failed;

	conn->error[0] = '\0';
	if (!ret)
		ret = exchange(conn, hand_over, &reader);
	if (ret < 0 && !conn->error[0])
		conn_refuse(conn, ret, strerror(-ret));
	/* That is what generic netlink says of a family that is gone; ours never says it. */
	return ret == -ENOENT ? -ENODEV : ret;
}

const char *conn_error(const struct conn *conn)
{
	return conn->error;
}

static void take_group(struct conn *conn, struct nlattr *nest)
{
	struct nlattr *name = nla_find(nla_data(nest), nla_len(nest), CTRL_ATTR_MCAST_GRP_NAME);
	struct nlattr *id = nla_find(nla_data(nest), nla_len(nest), CTRL_ATTR_MCAST_GRP_ID);
	struct group *group = &conn->group[conn->groups];

	if (!name || !id || conn->groups == sizeof(conn->group) / sizeof(conn->group[0]))
		return;
	nla_strlcpy(group->name, name, sizeof(group->name));
	group->id = nla_get_u32(id);
	conn->groups++;
}

static int take_family(struct conn *conn, struct nlmsghdr *nlh, void *arg)
{
	struct nlattr *attr, *group;
	int left, rest;

	(void)arg;
	nlmsg_for_each_attr(attr, nlh, GENL_HDRLEN, left) {
		switch (nla_type(attr)) {
		case CTRL_ATTR_FAMILY_ID:
			conn->family = nla_get_u16(attr);
			break;
		case CTRL_ATTR_VERSION:
			conn->version = nla_get_u32(attr);
			break;
		case CTRL_ATTR_MCAST_GROUPS:
			nla_for_each_nested(group, attr, rest)
				take_group(conn, group);
			break;
		}
	}
	return 0;
}

/* To be asked for a family that it does not have makes the kernel load the module. */
static int find_family(struct conn *conn)
{
	int ret = begin(conn, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1, NLM_F_ACK);

	if (ret)
		return ret;
	conn_put_text(conn, CTRL_ATTR_FAMILY_NAME, MMAPDEMO_FAMILY_NAME);
	ret = conn->failed ?: exchange(conn, take_family, NULL);
	return ret == -ENOENT ? -ENODEV : ret;
}

static int make_socket(void)
{
	struct sockaddr_nl any = { .nl_family = AF_NETLINK };
	int fd, one = 1, ret;

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) ||
	    setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one))) {
		ret = -errno;
		close(fd);
		return ret;
	}
	return fd;
}

int conn_open(struct conn **connp)
{
	struct conn *conn = calloc(1, sizeof(*conn));
	int ret;

	if (!conn)
		return -ENOMEM;
	conn->fd = make_socket();
	ret = conn->fd < 0 ? conn->fd : find_family(conn);
	if (ret) {
		conn_close(conn);
		return ret;
	}
	*connp = conn;
	return 0;
}

void conn_close(struct conn *conn)
{
	if (!conn)
		return;
	if (conn->fd >= 0)
		close(conn->fd);
	nlmsg_free(conn->request);
	free(conn);
}

unsigned int conn_version(const struct conn *conn)
{
	return conn->version;
}

int conn_fd(const struct conn *conn)
{
	return conn->fd;
}

int conn_join(struct conn *conn, const char *group)
{
	unsigned int i;

	for (i = 0; i < conn->groups; i++) {
		if (strcmp(conn->group[i].name, group))
			continue;
		return setsockopt(conn->fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP,
				  &conn->group[i].id, sizeof(conn->group[i].id)) ? -errno : 0;
	}
	return -EPROTO;
}

int conn_next(struct conn *conn, answer_fn fn, void *arg)
{
	struct reader reader = { fn, arg };
	ssize_t len = receive(conn, MSG_DONTWAIT);
	struct nlmsghdr *nlh = (struct nlmsghdr *)conn->buffer;

	if (len < 0)
		return len;
	return nlmsg_ok(nlh, len) ? hand_over(conn, nlh, &reader) : -EPROTO;
}
