// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
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
