/* SPDX-License-Identifier: GPL-2.0 */
/* What can hold a file of a device, or a page of it, beside who has it open or mapped. */
#ifndef MMAPDEMO_TESTS_HOLD_H
#define MMAPDEMO_TESTS_HOLD_H

#include <linux/io_uring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A message with a file in it into a Unix socket: 0 or -errno; and out of one: the file. */
int send_fd(int socket, int fd);
int receive_fd(int socket);

/* A ring of io_uring without its library: one request at a time. */
struct ring {
	int fd;
	unsigned int *tail, *mask, *array, *cq_head, *cq_tail;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
	unsigned int cq_mask;
};

/* 0 or -errno, and of a request its result. */
int ring_up(struct ring *ring);
int ring_register(struct ring *ring, int what, void *one);
void ring_down(struct ring *ring);
int ring_submit(struct ring *ring, const struct io_uring_sqe *sqe);
int ring_wait(struct ring *ring);
bool ring_is_waiting(const struct ring *ring);
/* One request on registered file 0, as the kernel likes it or (flags) by a worker. */
int ring_fixed(struct ring *ring, int opcode, int flags, void *buf, size_t len, off_t at);

/*
 * A child with nothing of the device but a shared mapping of @size, of which it has stored to
 * the first four pages (0x100 + i): it dies of @sig. Its pid, or -1.
 */
pid_t mapped_child(int fd, size_t size, int sig, char **at);

/* The core dump of such a child, which goes on no faster than it is read. */
struct core {
	pid_t pid;
	int fd;			/* what comes out of it */
	size_t at;		/* how far that has come */
};

/* It has begun, and what comes next are the pages of the mapping: 0 or -errno. */
int core_begin(struct core *core, int fd, size_t size);
/*
 * The next @n pages: how many, from the first on, hold tag + i. Those after them have to be
 * empty: -EBADMSG if they are not, -EIO if they are not there.
 */
long core_pages(struct core *core, size_t n, uint64_t tag);
bool core_is_dumping(const struct core *core);
/* Read the rest. 0 if the kernel calls it a dump and the child died of it, or -errno. */
int core_end(struct core *core);

/* Eight pages out of a pipe, which nothing but the pipe holds any more: are they tag + i? */
bool pipe_holds(int pipe, uint64_t tag);

#endif /* MMAPDEMO_TESTS_HOLD_H */
