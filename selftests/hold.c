// SPDX-License-Identifier: GPL-2.0
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common.h"
#include "hold.h"

int send_fd(int socket, int fd)
{
	char room[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 0;
	struct iovec vec = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &vec, .msg_iovlen = 1, .msg_control = room,
			      .msg_controllen = sizeof(room) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	*cmsg = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	return sendmsg(socket, &msg, 0) == 1 ? 0 : -errno;
}

int receive_fd(int socket)
{
	char room[CMSG_SPACE(sizeof(int))] = { 0 }, byte;
	struct iovec vec = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &vec, .msg_iovlen = 1, .msg_control = room,
			      .msg_controllen = sizeof(room) };
	int fd;

	if (recvmsg(socket, &msg, 0) != 1)
		return -errno;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
	return fd;
}

int ring_up(struct ring *ring)
{
	struct io_uring_params p = { 0 };
	size_t size;
	char *rings;

	ring->fd = syscall(SYS_io_uring_setup, 4, &p);
	if (ring->fd < 0)
		return -errno;
	size = p.cq_off.cqes + p.cq_entries * sizeof(*ring->cqes);
	if (size < p.sq_off.array + p.sq_entries * sizeof(*ring->array))
		size = p.sq_off.array + p.sq_entries * sizeof(*ring->array);
	rings = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd,
		     IORING_OFF_SQ_RING);
	ring->sqes = mmap(NULL, p.sq_entries * sizeof(*ring->sqes), PROT_READ | PROT_WRITE,
			  MAP_SHARED, ring->fd, IORING_OFF_SQES);
	if (rings == MAP_FAILED || ring->sqes == MAP_FAILED)
		return -errno;
	ring->tail = (unsigned int *)(rings + p.sq_off.tail);
	ring->mask = (unsigned int *)(rings + p.sq_off.ring_mask);
	ring->array = (unsigned int *)(rings + p.sq_off.array);
	ring->cq_head = (unsigned int *)(rings + p.cq_off.head);
	ring->cq_tail = (unsigned int *)(rings + p.cq_off.tail);
	ring->cq_mask = *(unsigned int *)(rings + p.cq_off.ring_mask);
	ring->cqes = (struct io_uring_cqe *)(rings + p.cq_off.cqes);
	return 0;
}

int ring_register(struct ring *ring, int what, void *one)
{
	return RC(syscall(SYS_io_uring_register, ring->fd, what, one, 1));
}

void ring_down(struct ring *ring)
{
	munmap(ring->sqes, PAGE_SIZE);
	munmap((void *)((uintptr_t)ring->tail & -PAGE_SIZE), PAGE_SIZE);
	close(ring->fd);
}

int ring_submit(struct ring *ring, const struct io_uring_sqe *sqe)
{
	unsigned int tail = *ring->tail, i = tail & *ring->mask;

	ring->sqes[i] = *sqe;
	ring->array[i] = i;
	__atomic_store_n(ring->tail, tail + 1, __ATOMIC_RELEASE);
	return RC(syscall(SYS_io_uring_enter, ring->fd, 1, 0, 0, NULL, 0));
}

int ring_wait(struct ring *ring)
{
	unsigned int head = *ring->cq_head;
	int res;

	while (__atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE) == head)
		if (syscall(SYS_io_uring_enter, ring->fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0) &&
		    errno != EINTR)
			return -errno;
	res = ring->cqes[head & ring->cq_mask].res;
	__atomic_store_n(ring->cq_head, head + 1, __ATOMIC_RELEASE);
	return res;
}

int ring_fixed(struct ring *ring, int opcode, int flags, void *buf, size_t len, off_t at)
{
	struct io_uring_sqe sqe = {
		.opcode = opcode, .flags = IOSQE_FIXED_FILE | flags, .off = at,
		.addr = (uintptr_t)buf, .len = len,
	};
	int err = ring_submit(ring, &sqe);

	return err == 1 ? ring_wait(ring) : err;
}

bool pipe_holds(int pipe, uint64_t tag)
{
	uint64_t page[PAGE_SIZE / 8];

	for (int i = 0; i < 8; i++) {
		for (size_t got = 0; got < PAGE_SIZE;) {
			ssize_t n = read(pipe, (char *)page + got, PAGE_SIZE - got);

			if (n <= 0)
				return false;
			got += n;
		}
		if (page[0] != tag + i)
			return false;
	}
	return true;
}

bool ring_is_waiting(const struct ring *ring)
{
	return __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE) == *ring->cq_head;
}

pid_t mapped_child(int fd, size_t size, int sig, char **at)
{
	char *p = map(fd, size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	pid_t pid;

	*at = p;
	if (p == MAP_FAILED)
		return -1;
	store(p, 4, 0x100);
	pid = fork();
	if (!pid) {
		/* Of all its memory what is shared, that is this. */
		write_file("/proc/self/coredump_filter", "0xa");
		syscall(SYS_close_range, 3, ~0U, 0);
		raise(sig);
		_exit(1);
	}
	munmap(p, size);
	return pid;
}

/* Core dumps */

#define PATTERN "/proc/sys/kernel/core_pattern"

/* The kernel gives it to a program, which passes it on to a pipe of one page. */
static int take_dumps(struct core *core)
{
	char path[90], pattern[128];

	snprintf(path, sizeof(path), "%s/dump", getenv("MMAPDEMO_DIR"));
	unlink(path);
	if (mkfifo(path, 0600))
		return -errno;
	core->at = 0;
	core->fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (core->fd < 0 || fcntl(core->fd, F_SETPIPE_SZ, PAGE_SIZE) < 0)
		return -errno;
	snprintf(pattern, sizeof(pattern), "|/bin/dd bs=4k status=none of=%s", path);
	return write_file(PATTERN, pattern) < 0 ||
	       setrlimit(RLIMIT_CORE, &(struct rlimit){ RLIM_INFINITY, RLIM_INFINITY }) ?
	       -errno : 0;
}

/* The next bytes; @buf may be NULL. */
static bool take(struct core *core, void *buf, size_t len)
{
	char passed[PAGE_SIZE];

	while (len) {
		size_t piece = buf || len < sizeof(passed) ? len : sizeof(passed);
		ssize_t n = read(core->fd, buf ?: passed, piece);

		if (n <= 0)
			return false;
		core->at += n;
		len -= n;
		if (buf)
			buf = (char *)buf + n;
	}
	return true;
}

/* Up to the pages of the segment at @address. */
static int find_pages(struct core *core, const char *address)
{
	Elf64_Ehdr header;
	Elf64_Phdr part;
	size_t offset = 0;

	if (!take(core, &header, sizeof(header)) || header.e_phoff != core->at)
		return -ENOEXEC;
	for (int i = 0; i < header.e_phnum; i++) {
		if (!take(core, &part, sizeof(part)))
			return -EIO;
		if (part.p_type == PT_LOAD && part.p_vaddr == (uintptr_t)address)
			offset = part.p_offset;
	}
	if (offset < core->at)
		return -ENOENT;
	return take(core, NULL, offset - core->at) ? 0 : -EIO;
}

int core_begin(struct core *core, int fd, size_t size)
{
	char old[200], *at;
	struct pollfd poller;
	int err;

	if (read_file(PATTERN, old, sizeof(old)) < 0)
		return -errno;
	err = take_dumps(core);
	if (!err) {
		core->pid = mapped_child(fd, size, SIGABRT, &at);
		poller = (struct pollfd){ .fd = core->fd, .events = POLLIN };
		err = poll(&poller, 1, 30000) == 1 ? 0 : -ETIMEDOUT;
	}
	/* A dump asks for the pattern as it begins. */
	if (write_file(PATTERN, old) < 0)
		return -errno;
	if (err)
		return err;
	fcntl(core->fd, F_SETFL, 0);
	return find_pages(core, at);
}

long core_pages(struct core *core, size_t n, uint64_t tag)
{
	uint64_t page[PAGE_SIZE / 8], none[PAGE_SIZE / 8] = { 0 };
	bool over = false;
	long good = 0;

	for (size_t i = 0; i < n; i++) {
		if (!take(core, page, PAGE_SIZE))
			return -EIO;
		over |= page[0] != tag + i;
		if (!over)
			good++;
		else if (memcmp(page, none, PAGE_SIZE))
			return -EBADMSG;
	}
	return good;
}

bool core_is_dumping(const struct core *core)
{
	char path[64], text[4096];

	snprintf(path, sizeof(path), "/proc/%d/status", core->pid);
	return read_file(path, text, sizeof(text)) > 0 && strstr(text, "CoreDumping:\t1");
}

int core_end(struct core *core)
{
	char rest[PAGE_SIZE];
	int status;

	while (read(core->fd, rest, sizeof(rest)) > 0)
		;
	close(core->fd);
	if (waitpid(core->pid, &status, 0) != core->pid)
		return -errno;
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && WCOREDUMP(status) ? 0 : -EIO;
}
