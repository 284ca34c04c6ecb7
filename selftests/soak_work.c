// SPDX-License-Identifier: GPL-2.0
/*
 * A worker of the soak: does one thing after another to pages that nobody else changes, and knows
 * at any time what is in them. Each page begins and ends with a stamp.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include "soak_work.h"

struct stamp stamp_of(const struct worker *w, size_t page, uint64_t epoch)
{
	uint64_t number = w->first + page, seed = number << 32 ^ epoch;

	return epoch ? (struct stamp){ number, epoch, dice(&seed) } : (struct stamp){ 0 };
}

void put_stamp(const struct worker *w, void *to, size_t page, uint64_t epoch)
{
	struct stamp stamp = stamp_of(w, page, epoch);

	memcpy(to, &stamp, sizeof(stamp));
	memcpy((char *)to + PAGE_SIZE - sizeof(stamp), &stamp, sizeof(stamp));
}

bool check(const struct worker *w, const void *from, size_t page, const char *how)
{
	struct stamp stamp = stamp_of(w, page, w->epoch[page]), seen[2];

	memcpy(&seen[0], from, sizeof(stamp));
	memcpy(&seen[1], (const char *)from + PAGE_SIZE - sizeof(stamp), sizeof(stamp));
	if (!memcmp(&seen[0], &stamp, sizeof(stamp)) && !memcmp(&seen[1], &stamp, sizeof(stamp)))
		return true;
	return complain("%s: page %zu, epoch %lu, begins with page %lu, epoch %lu, ends with page %lu, epoch %lu",
			how, w->first + page, w->epoch[page], seen[0].page, seen[0].epoch,
			seen[1].page, seen[1].epoch);
}

bool good(bool condition, const char *what)
{
	return condition || complain("%s: %s", what, strerror(errno));
}

/* What a worker does. Each returns false after a complaint. */

static bool do_load(struct worker *w)
{
	size_t page = pick(w);

	for (size_t n = pick_length(w, page); n--; page++)
		if (!check(w, at(w, page), page, "load"))
			return false;
	return true;
}

static bool do_store(struct worker *w)
{
	size_t page = pick(w);

	for (size_t n = pick_length(w, page); n--; page++)
		put_stamp(w, at(w, page), page, ++w->epoch[page]);
	return true;
}

static bool read_by(struct worker *w, int fd, const char *how)
{
	size_t page = pick(w);

	did(BYTES_READ, PAGE_SIZE);
	return good(pread(fd, w->buf, PAGE_SIZE, offset_of(w, page)) == PAGE_SIZE, how) &&
	       check(w, w->buf, page, how);
}

static bool write_by(struct worker *w, int fd, const char *how)
{
	size_t page = pick(w);

	put_stamp(w, w->buf, page, ++w->epoch[page]);
	did(BYTES_WRITTEN, PAGE_SIZE);
	return good(pwrite(fd, w->buf, PAGE_SIZE, offset_of(w, page)) == PAGE_SIZE, how);
}

static bool do_read(struct worker *w)
{
	return read_by(w, w->fd, "read");
}

static bool do_write(struct worker *w)
{
	return write_by(w, w->fd, "write");
}

static bool do_read_file(struct worker *w)
{
	int file = w->target->dev.file;

	return file < 0 || read_by(w, file, "read of the file");
}

static bool do_write_file(struct worker *w)
{
	int file = w->target->dev.file;

	return file < 0 || write_by(w, file, "write to the file");
}

static bool do_splice_out(struct worker *w)
{
	size_t page = pick(w);
	off_t offset = offset_of(w, page);
	ssize_t len;

	for (size_t done = 0; done < PAGE_SIZE; done += len) {
		len = splice(w->fd, &offset, w->pipe[1], NULL, PAGE_SIZE - done, 0);
		if (!good(len > 0 && read(w->pipe[0], w->buf + done, len) == len, "splice out"))
			return false;
		did(BYTES_READ, len);
	}
	return check(w, w->buf, page, "splice out");
}

static bool do_splice_in(struct worker *w)
{
	size_t page = pick(w);
	off_t offset = offset_of(w, page);
	ssize_t len;

	put_stamp(w, w->buf, page, ++w->epoch[page]);
	if (!good(write(w->pipe[1], w->buf, PAGE_SIZE) == PAGE_SIZE, "write to the pipe"))
		return false;
	for (size_t done = 0; done < PAGE_SIZE; done += len) {
		len = splice(w->pipe[0], NULL, w->fd, &offset, PAGE_SIZE - done, 0);
		if (!good(len > 0, "splice in"))
			return false;
		did(BYTES_WRITTEN, len);
	}
	return true;
}

/* The kernel loads and stores for us. */
static bool do_proc_mem(struct worker *w)
{
	size_t page = pick(w);
	off_t where = (uintptr_t)at(w, page);

	if (!good(pread(w->mem, w->buf, PAGE_SIZE, where) == PAGE_SIZE, "/proc/self/mem") ||
	    !check(w, w->buf, page, "/proc/self/mem"))
		return false;
	put_stamp(w, w->buf, page, ++w->epoch[page]);
	return good(pwrite(w->mem, w->buf, PAGE_SIZE, where) == PAGE_SIZE, "/proc/self/mem");
}

/* Copies, changed without effect on the device, loaded before or not. */
static bool change_privately(struct worker *w, char *copy, size_t page, size_t n)
{
	for (size_t end = page + n; page < end; page++, copy += PAGE_SIZE) {
		if (below(&w->dice, 2) && !check(w, copy, page, "private load"))
			return false;
		put_stamp(w, copy, page, ~w->epoch[page]);
		if (!check(w, at(w, page), page, "load after a private store"))
			return false;
	}
	return true;
}

static bool do_private(struct worker *w)
{
	size_t page = pick(w), n = pick_length(w, page), size = n * PAGE_SIZE;
	char *copy = map_device(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, w->fd,
				offset_of(w, page));

	return copy != MAP_FAILED && change_privately(w, copy, page, n) &&
	       good(!munmap(copy, size), "munmap");
}

/* A child sees what its parent does, and keeps its own copies to itself. */
static bool do_fork(struct worker *w)
{
	size_t page = pick(w), n = pick_length(w, page), size = n * PAGE_SIZE;
	char *copy = map_device(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, w->fd,
				offset_of(w, page));
	pid_t pid;

	if (copy == MAP_FAILED)
		return false;
	/* The first page is a copy already, which both share. */
	*(volatile char *)copy = *copy;
	pid = fork();
	if (!pid)
		_exit(!change_privately(w, copy, page, n));
	did(FORKS, 1);
	if (!good(pid > 0, "fork") || reap(pid))
		return complain("a child failed");
	return check(w, copy, page, "load of the parent's copy") &&
	       change_privately(w, copy, page, n) && good(!munmap(copy, size), "munmap");
}

/* The mapping anew, in one piece. */
static bool renew(struct worker *w)
{
	size_t size = w->pages * PAGE_SIZE;

	munmap(w->p, size);
	w->p = map_device(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd, offset_of(w, 0));
	return w->p != MAP_FAILED && do_load(w);
}

/* Once it is in pieces, by mprotect() or munmap(), it cannot be moved or grown as a whole. */
static bool moved_to(struct worker *w, char *to, const char *how)
{
	if (to == MAP_FAILED && errno == EFAULT)
		return renew(w);
	if (to == MAP_FAILED)
		return good(false, how);
	w->p = to;
	return do_load(w);
}

static bool do_move(struct worker *w)
{
	size_t size = w->pages * PAGE_SIZE;
	char *room = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *to = mremap(w->p, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, room);
	int err = errno;

	if (to == MAP_FAILED)
		munmap(room, size);
	errno = err;
	return moved_to(w, to, "mremap that moves");
}

static bool do_shrink(struct worker *w)
{
	size_t size = w->pages * PAGE_SIZE, less = (1 + pick(w)) * PAGE_SIZE;

	if (!good(mremap(w->p, size, less, 0) == w->p, "mremap that shrinks"))
		return false;
	return moved_to(w, mremap(w->p, less, size, MREMAP_MAYMOVE), "mremap that grows");
}

static bool do_protect(struct worker *w)
{
	size_t page = pick(w), size = pick_length(w, page) * PAGE_SIZE;
	bool none = below(&w->dice, 2);
	int sig;

	if (!good(!mprotect(at(w, page), size, none ? PROT_NONE : PROT_READ), "mprotect"))
		return false;
	sig = none ? trap_load(at(w, page)) : trap_store(at(w, page));
	did(SIGSEGV_CAUGHT, 1);
	if (sig != SIGSEGV)
		return complain("access to a protected page: signal %d", sig);
	return good(!mprotect(at(w, page), size, PROT_READ | PROT_WRITE), "mprotect");
}

/* A hole in the mapping, and another mapping in its place. */
static bool do_unmap(struct worker *w)
{
	size_t page = pick(w), size = pick_length(w, page) * PAGE_SIZE;
	void *p = at(w, page);

	if (!good(!munmap(p, size), "munmap"))
		return false;
	return map_device(p, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, w->fd,
			  offset_of(w, page)) == p;
}

/* One file after the other, and a mapping that outlives its file. */
static bool do_open(struct worker *w)
{
	size_t page = pick(w);
	int fd = open_device(O_RDONLY);
	char *p;

	if (fd < 0)
		return false;
	p = map_device(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, fd, offset_of(w, page));
	close(fd);
	return p != MAP_FAILED && check(w, p, page, "load after close") &&
	       good(!munmap(p, PAGE_SIZE), "munmap");
}

/* An advice may be refused; what is in the pages stays. */
static bool do_advise(struct worker *w)
{
	static const int advices[] = {
		MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTNEED,
		MADV_COLD, MADV_PAGEOUT, MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_POPULATE_READ,
		MADV_POPULATE_WRITE, 25 /* MADV_COLLAPSE */, MADV_DONTDUMP, MADV_DODUMP,
	};
	size_t page = pick(w), n = pick_length(w, page);
	int which = below(&w->dice, sizeof(advices) / sizeof(advices[0]));

	if (below(&w->dice, 4) == 0)
		page = 0, n = w->pages;
	madvise(at(w, page), n * PAGE_SIZE, advices[which]);
	posix_fadvise(w->fd, offset_of(w, page), n * PAGE_SIZE, below(&w->dice, 6));
	return do_load(w);
}

static bool do_sync(struct worker *w)
{
	size_t page = pick(w), size = pick_length(w, page) * PAGE_SIZE;

	switch (below(&w->dice, 4)) {
	case 0:
		return good(!msync(at(w, page), size, MS_SYNC), "msync");
	case 1:
		return good(!msync(at(w, page), size, MS_ASYNC | MS_INVALIDATE), "msync");
	case 2:
		return good(!fsync(w->fd), "fsync");
	default:
		return good(!fdatasync(w->fd), "fdatasync");
	}
}

/* A hole in the file: zero from now on, wherever it is mapped. */
static bool do_punch(struct worker *w)
{
	size_t page = pick(w), n = pick_length(w, page);
	int err;

	if (w->target->dev.file < 0)
		return true;
	do {
		err = fallocate(w->target->dev.file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				offset_of(w, page), n * PAGE_SIZE);
	} while (err && errno == EINTR);
	memset(&w->epoch[page], 0, n * sizeof(w->epoch[0]));
	did(HOLES, 1);
	return good(!err, "punch") && check(w, at(w, page), page, "load of a hole");
}

/* RAM ends where it ended, a file may end anywhere in the tail. */
static bool trap_as_expected(struct worker *w, char *p, off_t offset)
{
	int sig = below(&w->dice, 2) ? trap_load(p) : trap_store(p);
	bool behind = offset >= (off_t)w->target->dev.size;

	if (sig == SIGBUS)
		did(SIGBUS_CAUGHT, 1);
	if ((sig && sig != SIGBUS) || (behind && !sig) ||
	    (is_ram(&w->target->dev) && !behind && sig))
		return complain("access at %ld, the end is %zu: signal %d", offset,
				w->target->dev.size, sig);
	return true;
}

/* What is there holds nothing but 0 and 1. RAM refuses a mapping that is all behind the end. */
static bool do_tail(struct worker *w)
{
	struct target *target = w->target;
	size_t tail = target->dev.pages - target->owned;
	off_t offset = (target->owned + below(&w->dice, tail)) * PAGE_SIZE;
	char *p = map_device(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd,
			     offset);
	char byte = 0;

	if (p == MAP_FAILED || !trap_as_expected(w, p, offset) ||
	    !trap_as_expected(w, p + PAGE_SIZE, offset + PAGE_SIZE))
		return false;
	if (pread(w->fd, &byte, 1, offset) == 1 && byte != 0 && byte != 1)
		return complain("byte %d in the tail", byte);
	return good(!munmap(p, 2 * PAGE_SIZE), "munmap");
}

static volatile sig_atomic_t fast;

static void on_signal(int sig)
{
	(void)sig;
	did(fast ? FAST_SIGNALS : SIGNALS, 1);
}

/* From now on 1 kHz or 100 Hz. */
static bool do_signals(struct worker *w)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	int us = below(&w->dice, 3) ? 10000 : 1000;
	struct itimerval every = { { 0, us }, { 0, us } };

	fast = us == 1000;
	return good(!sigaction(SIGALRM, &action, NULL) && !setitimer(ITIMER_REAL, &every, NULL),
		    "signals");
}

static bool (*const things[])(struct worker *w) = {
	do_load, do_load, do_load, do_store, do_store, do_store, do_read, do_write, do_read_file,
	do_write_file, do_splice_out, do_splice_in, do_proc_mem, do_private, do_fork, do_move,
	do_shrink, do_protect, do_unmap, do_open, do_advise, do_advise, do_sync, do_punch, do_tail,
	do_read_onto_itself, do_write_onto_itself, do_ring, do_ring_buffer, do_pipe,
	do_keep_in_pipe, do_keep_in_pipe, do_send, do_userfault, do_signals,
};

#define NR_THINGS (sizeof(things) / sizeof(things[0]))

static bool worker_up(struct worker *w, struct target *target, unsigned int number)
{
	*w = (struct worker){
		.target = target, .visit = &soak->visit[number], .dice = target->seed + number,
		.pages = target->each, .first = number * target->each, .fd = open_device(O_RDWR),
		.mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC),
		.epoch = soak->epoch + number * target->each, .buf = calloc(1, PAGE_SIZE),
	};
	if (w->fd < 0)
		return false;
	w->p = map_device(NULL, w->pages * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd,
			  offset_of(w, 0));
	w->visit->pid = getpid();
	return w->p != MAP_FAILED && good(!pipe(w->pipe) && w->mem >= 0, "pipe, mem") &&
	       ways_up(w) && do_signals(w);
}

static bool check_all(struct worker *w)
{
	for (size_t page = 0; page < w->pages; page++)
		if (!check(w, at(w, page), page, "load in the end") ||
		    !good(pread(w->fd, w->buf, PAGE_SIZE, offset_of(w, page)) == PAGE_SIZE,
			  "read in the end") || !check(w, w->buf, page, "read in the end"))
			return false;
	return true;
}

/* Each thing once, each worker from another one on, and then by chance. */
int work(struct target *target, unsigned int number)
{
	struct worker w;

	if (!worker_up(&w, target, number))
		return 1;
	for (size_t n = 0; !is_over(); n++) {
		size_t which = n < NR_THINGS ? n + number * NR_THINGS / target->workers :
			       below(&w.dice, NR_THINGS);
		bool (*thing)(struct worker *) = things[which % NR_THINGS];

		if (!thing(&w))
			return 1;
		receive_visitor(&w);
	}
	return !check_all(&w);
}
