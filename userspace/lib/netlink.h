/* SPDX-License-Identifier: GPL-2.0 */
/* Private to the library: requests to the generic netlink family of the module, and answers. */
#ifndef MMAPDEMO_NETLINK_H
#define MMAPDEMO_NETLINK_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/mmapdemo.h>

struct conn;

/*
 * A message of the module, taken apart, indexed by attribute: what it does not have is 0 or
 * NULL. Texts are valid while the function that was called with it runs.
 */
struct answer {
	uint8_t cmd;
	uint64_t has;		/* bit i: there is an attribute i */
	uint64_t number[MMAPDEMO_A_MAX + 1];
	const char *text[MMAPDEMO_A_MAX + 1];
	uint64_t mappings[MMAPDEMO_A_MAPPINGS_MAX + 1];
	uint64_t faults[MMAPDEMO_A_FAULTS_MAX + 1];
};

/* Called with each answer. What it returns ends conn_next(), or is what conn_ask() returns. */
typedef int (*answer_fn)(const struct answer *answer, void *arg);

/* Finds the family, which loads the module: 0 or -errno, -ENODEV if there is none. */
int conn_open(struct conn **connp);
void conn_close(struct conn *conn);
unsigned int conn_version(const struct conn *conn);
int conn_fd(const struct conn *conn);

/*
 * A request is begun, filled and asked. What goes wrong while it is filled, conn_ask() says.
 * A dump may have many answers: if @fn returns anything but 0 the others are thrown away.
 * conn_begin() returns -EBUSY when called from an @fn.
 */
int conn_begin(struct conn *conn, uint8_t cmd, bool dump);
void conn_put_u32(struct conn *conn, int attr, uint32_t value);
void conn_put_u64(struct conn *conn, int attr, uint64_t value);
void conn_put_text(struct conn *conn, int attr, const char *text);
void conn_put_flag(struct conn *conn, int attr);
int conn_ask(struct conn *conn, answer_fn fn, void *arg);

/* What was wrong with the last request, as the kernel says it, or as it was refused here. */
const char *conn_error(const struct conn *conn);
/* Returns @error. */
int conn_refuse(struct conn *conn, int error, const char *text);

/* Of a connection that asks nothing: receive what the group (its name) is told. */
int conn_join(struct conn *conn, const char *group);
/* One message: what @fn returned, -EAGAIN if there is none, -ENOBUFS if some were lost. */
int conn_next(struct conn *conn, answer_fn fn, void *arg);

#endif /* MMAPDEMO_NETLINK_H */
