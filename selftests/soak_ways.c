// SPDX-License-Identifier: GPL-2.0
/*
 * What a worker of the soak does in less usual ways: input and output with its own pages as the
 * buffer, rings, pipes that hold its pages, files of the device in messages, userfaultfd.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "soak_work.h"

/* Newer than the headers: 6.7. */
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif

/* 6.1 pins no pages of files, and has no WP_ASYNC. */
bool ways_up(struct worker *w)
{
	int err = ring_up(&w->ring) ?: ring_register(&w->ring, IORING_REGISTER_FILES, &w->fd);

	if (!has_vma_locks()) {
		cannot(PINNED_COPIES);
		cannot(USERFAULTS);
	}
	errno = -err;
	return good(!err, "a ring") &&
	       good(!pipe2(w->fork, O_CLOEXEC) && !pipe2(w->kept.pipe, O_CLOEXEC), "pipes");
}

/* After it has been overwritten with what is in another page. */
static bool stamp_again(struct worker *w, size_t page)
{
	put_stamp(w, at(w, page), page, ++w->epoch[page]);
	return true;
}

/* One request on the device; the kernel has them repeated that its worker did not get to. */
static int ring_do(struct worker *w, int opcode, void *buf, size_t page)
{
	int flags = below(&w->dice, 2) ? IOSQE_ASYNC : 0, res;

	do {
		res = ring_fixed(&w->ring, opcode, flags, buf, PAGE_SIZE, offset_of(w, page));
	} while ((res == -EINTR || res == -EAGAIN || res == -ECANCELED) && !soak->failed);
	if (res < 0)
		errno = -res;
	return res;
}

/* Input and output with the device's own page as the buffer: another one, or the very same. */

bool do_read_onto_itself(struct worker *w)
{
	size_t from = pick(w), to = pick(w);
	ssize_t len;

	if (below(&w->dice, 2))
		len = ring_do(w, IORING_OP_READ, at(w, to), from);
	else
		len = pread(w->fd, at(w, to), PAGE_SIZE, offset_of(w, from));
	did(SELF_READS, 1);
	return good(len == PAGE_SIZE, "read onto itself") &&
	       check(w, at(w, to), from, "read onto itself") && stamp_again(w, to);
}

bool do_write_onto_itself(struct worker *w)
{
	size_t from = pick(w), to = pick(w);
	ssize_t len;

	if (below(&w->dice, 2))
		len = ring_do(w, IORING_OP_WRITE, at(w, from), to);
	else
		len = pwrite(w->fd, at(w, from), PAGE_SIZE, offset_of(w, to));
	did(SELF_WRITES, 1);
	return good(len == PAGE_SIZE, "write onto itself") &&
	       check(w, at(w, to), from, "write onto itself") && stamp_again(w, to);
}

/* Rings */

bool do_ring(struct worker *w)
{
	size_t page = pick(w);

	if (below(&w->dice, 2)) {
		did(RING_READS, 1);
		return good(ring_do(w, IORING_OP_READ, w->buf, page) == PAGE_SIZE, "ring read") &&
		       check(w, w->buf, page, "ring read");
	}
	put_stamp(w, w->buf, page, ++w->epoch[page]);
	did(RING_WRITES, 1);
	return good(ring_do(w, IORING_OP_WRITE, w->buf, page) == PAGE_SIZE, "ring write");
}

/* 6.1 waits for a grace period, and from the beginning after each signal. */
static int forget_buffer(struct worker *w)
{
	sigset_t alarm, old;
	int err;

	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	sigprocmask(SIG_BLOCK, &alarm, &old);
	err = syscall(SYS_io_uring_register, w->ring.fd, IORING_UNREGISTER_BUFFERS, NULL, 0);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return err;
}

/* From page @from to the registered buffer, from there to page @to. */
static bool through_buffer(struct worker *w, char *buf, size_t from, size_t to)
{
	did(RING_BUFFERS, 1);
	return good(ring_do(w, IORING_OP_READ_FIXED, buf, from) == PAGE_SIZE, "fixed read") &&
	       check(w, buf, from, "fixed read") &&
	       good(ring_do(w, IORING_OP_WRITE_FIXED, buf, to) == PAGE_SIZE, "fixed write") &&
	       check(w, at(w, to), from, "fixed write") && stamp_again(w, to);
}

/* A private copy of the device's, pinned. What it was a copy of may be unmapped meanwhile. */
static bool through_pinned_copy(struct worker *w, size_t page)
{
	char *copy = map_device(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, w->fd,
				offset_of(w, page));
	struct iovec iov = { copy, PAGE_SIZE };
	size_t to = pick(w);
	int err;

	if (copy == MAP_FAILED)
		return false;
	err = ring_register(&w->ring, IORING_REGISTER_BUFFERS, &iov);
	if (err)
		return complain("a private copy as a buffer: %s", strerror(-err));
	did(PINNED_COPIES, 1);
	if (!check(w, copy, page, "pinned copy"))
		return false;
	if (below(&w->dice, 2) && !through_buffer(w, copy, pick(w), pick(w)))
		return false;
	put_stamp(w, copy, page, w->epoch[page]);
	return good(!munmap(copy, PAGE_SIZE), "munmap") &&
	       good(ring_do(w, IORING_OP_WRITE_FIXED, copy, to) == PAGE_SIZE, "pinned write") &&
	       check(w, at(w, to), page, "pinned write") && stamp_again(w, to) &&
	       good(!forget_buffer(w), "unregister");
}

bool do_ring_buffer(struct worker *w)
{
	struct iovec iov = { w->buf, PAGE_SIZE };
	int err;

	if (has_vma_locks() && below(&w->dice, 2))
		return through_pinned_copy(w, pick(w));
	err = ring_register(&w->ring, IORING_REGISTER_BUFFERS, &iov);
	if (err)
		return complain("a buffer: %s", strerror(-err));
	return through_buffer(w, w->buf, pick(w), pick(w)) && good(!forget_buffer(w), "unregister");
}

/* Pipes */

static bool read_page(struct worker *w, int pipe)
{
	ssize_t len;

	for (size_t got = 0; got < PAGE_SIZE; got += len) {
		len = read(pipe, w->buf + got, PAGE_SIZE - got);
		if (!good(len > 0, "read from a pipe"))
			return false;
	}
	return true;
}

static bool put_into_pipe(struct worker *w, int pipe, size_t page)
{
	struct iovec iov = { at(w, page), PAGE_SIZE };

	did(PAGES_IN_PIPES, 1);
	return good(vmsplice(pipe, &iov, 1, 0) == PAGE_SIZE, "vmsplice");
}

/* A page into a pipe, from there to another one, and to another page of the device. */
bool do_pipe(struct worker *w)
{
	size_t page = pick(w), to = pick(w);
	off_t offset = offset_of(w, to);
	ssize_t len;

	if (!put_into_pipe(w, w->pipe[1], page) ||
	    !good(tee(w->pipe[0], w->fork[1], PAGE_SIZE, 0) == PAGE_SIZE, "tee"))
		return false;
	did(TEES, 1);
	for (size_t done = 0; done < PAGE_SIZE; done += len) {
		len = splice(w->pipe[0], NULL, w->fd, &offset, PAGE_SIZE - done, 0);
		if (!good(len > 0, "splice of a page to another one"))
			return false;
	}
	if (!check(w, at(w, to), page, "splice of a page to another one"))
		return false;
	/* Now, because the other pipe may have the very page that is going to be stored to. */
	return read_page(w, w->fork[0]) && check(w, w->buf, page, "tee") && stamp_again(w, to);
}

/* What was the page, now or at some time since: a hole takes it from the device. */
static bool check_kept(struct worker *w, size_t page)
{
	struct stamp seen[2], stamp;

	memcpy(&seen[0], w->buf, sizeof(stamp));
	memcpy(&seen[1], w->buf + PAGE_SIZE - sizeof(stamp), sizeof(stamp));
	stamp = stamp_of(w, page, seen[0].epoch);
	if (!memcmp(&seen[0], &stamp, sizeof(stamp)) && !memcmp(&seen[1], &stamp, sizeof(stamp)))
		return true;
	return complain("kept in a pipe: page %zu begins with page %lu, epoch %lu, ends with page %lu, epoch %lu",
			w->first + page, seen[0].page, seen[0].epoch, seen[1].page, seen[1].epoch);
}

static bool drop_kept(struct worker *w)
{
	w->kept.nr = 0;
	close(w->kept.pipe[0]);
	close(w->kept.pipe[1]);
	return good(!pipe2(w->kept.pipe, O_CLOEXEC), "pipe");
}

bool do_keep_in_pipe(struct worker *w)
{
	size_t page = pick(w);

	if (w->kept.nr < MOST_KEPT) {
		w->kept.page[w->kept.nr++] = page;
		return put_into_pipe(w, w->kept.pipe[1], page);
	}
	if (below(&w->dice, 4) == 0)
		return drop_kept(w);
	for (size_t i = 0; i < MOST_KEPT; i++)
		if (!read_page(w, w->kept.pipe[0]) || !check_kept(w, w->kept.page[i]))
			return false;
	w->kept.nr = 0;
	return true;
}

/* Files of the device in messages */

static bool receive_file(struct worker *w, int socket)
{
	size_t page = pick(w);
	int fd = receive_fd(socket);
	char *p;

	if (fd < 0)
		return complain("a file in a message: %s", strerror(-fd));
	did(FILES_RECEIVED, 1);
	p = map_device(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, fd, offset_of(w, page));
	close(fd);
	return p != MAP_FAILED && check(w, p, page, "load by a file from a message") &&
	       good(!munmap(p, PAGE_SIZE), "munmap");
}

/*
 * Received, or dropped with the sockets, or left in a socket that lies in its own queue, until the
 * kernel collects its garbage.
 */
bool do_send(struct worker *w)
{
	int fd = open_device(O_RDONLY), pair[2], err;
	bool right = true;

	if (fd < 0 ||
	    !good(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), "socketpair"))
		return false;
	err = send_fd(pair[0], fd);
	close(fd);
	switch (below(&w->dice, 3)) {
	case 0:
		right = err || receive_file(w, pair[1]);
		break;
	case 1:
		did(FILES_DROPPED, 1);
		break;
	default:
		err = err ?: send_fd(pair[0], pair[1]);
		did(FILES_IN_CIRCLES, 1);
	}
	close(pair[1]);
	close(pair[0]);
	return (!err || complain("sending a file: %s", strerror(-err))) && right;
}

/* userfaultfd */

/* Write-protected by marks that the kernel takes away itself. */
static bool under_marks(struct worker *w, int fd, size_t page, size_t n)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_WP_ASYNC };
	struct uffdio_range range = { (uintptr_t)at(w, page), n * PAGE_SIZE };
	struct uffdio_register reg = { .range = range, .mode = UFFDIO_REGISTER_MODE_WP };
	struct uffdio_writeprotect wp = { .range = range, .mode = UFFDIO_WRITEPROTECT_MODE_WP };

	if (!good(!ioctl(fd, UFFDIO_API, &api) && !ioctl(fd, UFFDIO_REGISTER, &reg) &&
		  !ioctl(fd, UFFDIO_WRITEPROTECT, &wp), "userfaultfd"))
		return false;
	did(USERFAULTS, n);
	for (size_t end = page + n; page < end; page++) {
		if (!check(w, at(w, page), page, "load under a mark"))
			return false;
		if (below(&w->dice, 2))
			put_stamp(w, at(w, page), page, ++w->epoch[page]);
	}
	return true;
}

bool do_userfault(struct worker *w)
{
	size_t page = pick(w), n = pick_length(w, page);
	bool right;
	int fd;

	if (!has_vma_locks())
		return true;
	fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (!good(fd >= 0, "userfaultfd"))
		return false;
	right = under_marks(w, fd, page, n);
	close(fd);
	return right;
}
