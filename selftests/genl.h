/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Generic netlink, raw: a message is whatever a test puts together, right or wrong, and the
 * answer is told completely.
 */
#ifndef MMAPDEMO_TESTS_GENL_H
#define MMAPDEMO_TESTS_GENL_H

#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A socket, and what the family's numbers are; one thread at a time. */
struct genl {
	int fd;
	uint16_t family;
	uint32_t seq;
	struct {
		char name[GENL_NAMSIZ];
		uint32_t id;
	} group[4];
};

#define GENL_ROOM 4096

/* A message that is being put together; @head.nlmsg_len grows with what is put. */
struct genl_request {
	union {
		struct nlmsghdr head;
		char bytes[GENL_ROOM];
	};
};

/* What the kernel said to a request. */
struct genl_answer {
	int err;		/* 0 or -errno */
	char text[160];		/* of the extended ack, empty without */
	int at;			/* offset of the wrong attribute in the request, or -1 */
	int missing;		/* type of the missing one, or -1 */
	unsigned int messages;	/* how many came before the end */
	bool interrupted;	/* NLM_F_DUMP_INTR */
};

/* Called with each message that belongs to the answer. */
typedef void genl_fn(const struct nlmsghdr *message, void *arg);

/* Open a socket and look the family up: 0 or -errno. */
int genl_open(struct genl *genl, const char *family);
void genl_close(struct genl *genl);

void genl_begin(struct genl *genl, struct genl_request *request, int command, int flags);
/* These return the offset of the attribute in the message. */
int genl_put(struct genl_request *request, int type, const void *data, size_t len);
int genl_string(struct genl_request *request, int type, const char *text);
int genl_u32(struct genl_request *request, int type, uint32_t value);
int genl_u64(struct genl_request *request, int type, uint64_t value);
int genl_flag(struct genl_request *request, int type);
/* The last attribute of a type in a request, NULL without. */
struct nlattr *genl_last(struct genl_request *request, int type);

/*
 * Send, and receive until the end of the answer: its err. -ETIMEDOUT if there is none within
 * a minute, -EPROTO if it is not as an answer has to be. NLM_F_ACK is added if it is no dump.
 */
int genl_ask(struct genl *genl, struct genl_request *request, genl_fn *fn, void *arg,
	     struct genl_answer *answer);
int genl_send(struct genl *genl, const struct genl_request *request);
/* One datagram, each message in it to @fn: bytes or -errno. */
long genl_receive(struct genl *genl, int flags, genl_fn *fn, void *arg);

/* Of a message of the family: its command, and its attributes. */
int genl_command(const struct nlmsghdr *message);
const struct nlattr *genl_find(const struct nlmsghdr *message, int type);
const struct nlattr *genl_nested(const struct nlattr *nest, int type);
/* Which types are there: bit 1 << type. */
uint64_t genl_types(const struct nlmsghdr *message);
uint64_t genl_nested_types(const struct nlattr *nest);
/* A number of 4 or 8 bytes, -1 if it is not there or has another length. */
uint64_t genl_value(const struct nlattr *attr, size_t len);
const char *genl_text(const struct nlattr *attr);

/* Subscribe to a group of the family: 0 or -errno. */
int genl_join(struct genl *genl, const char *group);

#endif /* MMAPDEMO_TESTS_GENL_H */
