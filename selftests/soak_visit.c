// SPDX-License-Identifier: GPL-2.0
/*
 * The soak's visitor: a process that loads and stores in the mappings of others, by
 * process_vm_readv(), /proc/PID/mem and ptrace().
 *
 * A worker that is asked lets it at its pages, between two things that it does: then what is in
 * them is known. Unasked the visitor only reads, whatever the worker does to its mapping
 * meanwhile, and looks at nothing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "soak_work.h"

static bool change(struct visit *visit, int from, int to)
{
	return __atomic_compare_exchange_n(&visit->state, &from, to, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE);
}

void receive_visitor(struct worker *w)
{
	struct visit *visit = w->visit;

	__atomic_store_n(&visit->p, w->p, __ATOMIC_RELEASE);
	if (!change(visit, ASKED, RECEIVED))
		return;
	while (__atomic_load_n(&visit->state, __ATOMIC_ACQUIRE) == RECEIVED && !soak->failed)
		usleep(200);
}

/* What the visitor knows of the worker: its pages, and the address of its mapping. */
struct host {
	struct worker w;
	pid_t pid;
	int mem;
};

static bool by_process_vm(struct host *host, size_t page, bool writes)
{
	struct iovec here = { host->w.buf, PAGE_SIZE }, there = { at(&host->w, page), PAGE_SIZE };

	return good((writes ? process_vm_writev : process_vm_readv)(host->pid, &here, 1, &there, 1,
								    0) == PAGE_SIZE, "process_vm");
}

static bool by_proc_mem(struct host *host, size_t page, bool writes)
{
	off_t where = (uintptr_t)at(&host->w, page);

	return good((writes ? pwrite(host->mem, host->w.buf, PAGE_SIZE, where) :
		     pread(host->mem, host->w.buf, PAGE_SIZE, where)) == PAGE_SIZE,
		    "/proc/PID/mem");
}

/* The words of both stamps. */
static bool peek_and_poke(struct host *host, size_t page, bool writes)
{
	const size_t words = sizeof(struct stamp) / sizeof(long), behind = PAGE_SIZE / sizeof(long);
	long *here = (long *)host->w.buf, *there = (long *)at(&host->w, page);

	for (size_t i = 0; i < 2 * words; i++) {
		size_t word = i < words ? i : behind - 2 * words + i;

		errno = 0;
		if (writes)
			ptrace(PTRACE_POKEDATA, host->pid, there + word, here[word]);
		else
			here[word] = ptrace(PTRACE_PEEKDATA, host->pid, there + word, NULL);
		if (!good(!errno, writes ? "PTRACE_POKEDATA" : "PTRACE_PEEKDATA"))
			return false;
	}
	return true;
}

/* It may be stopped by a signal that comes just then, and is to get it. */
static bool by_ptrace(struct host *host, size_t page, bool writes)
{
	int status = 0;
	bool right;
	long sig;

	if (!good(!ptrace(PTRACE_SEIZE, host->pid, NULL, NULL) &&
		  !ptrace(PTRACE_INTERRUPT, host->pid, NULL, NULL) &&
		  waitpid(host->pid, &status, __WALL) == host->pid && WIFSTOPPED(status), "ptrace"))
		return false;
	right = peek_and_poke(host, page, writes);
	sig = status >> 16 ? 0 : WSTOPSIG(status);
	return good(!ptrace(PTRACE_DETACH, host->pid, NULL, sig), "PTRACE_DETACH") && right;
}

static const struct {
	enum done done;
	bool (*access)(struct host *host, size_t page, bool writes);
	const char *name;
} ways[] = {
	{ PROCESS_VM, by_process_vm, "process_vm" },
	{ PROC_MEM, by_proc_mem, "/proc/PID/mem" },
	{ PTRACES, by_ptrace, "ptrace" },
};

static bool visit_page(struct host *host, size_t page)
{
	size_t way = below(&host->w.dice, sizeof(ways) / sizeof(ways[0]));

	did(ways[way].done, 1);
	if (!ways[way].access(host, page, false) ||
	    !check(&host->w, host->w.buf, page, ways[way].name))
		return false;
	put_stamp(&host->w, host->w.buf, page, ++host->w.epoch[page]);
	return ways[way].access(host, page, true);
}

/* Until the worker has finished what it does, or all is over, and it did not get to us. */
static bool ask(struct visit *visit)
{
	change(visit, ALONE, ASKED);
	while (!is_over() && !soak->failed) {
		usleep(500);
		if (__atomic_load_n(&visit->state, __ATOMIC_ACQUIRE) == RECEIVED)
			return true;
	}
	return !change(visit, ASKED, ALONE);
}

static bool visit(struct host *host)
{
	struct visit *visit = host->w.visit;
	bool right = true;

	if (!ask(visit))
		return true;
	host->w.p = visit->p;
	for (size_t n = 1 + below(&host->w.dice, 8); right && n--;)
		right = visit_page(host, pick(&host->w));
	change(visit, RECEIVED, ALONE);
	return right;
}

/* The mapping may be moved, or go, at any time: then it is an error, or a part. */
static void peek(struct host *host)
{
	static char buf[16 * PAGE_SIZE];
	size_t page = pick(&host->w), size = pick_length(&host->w, page) * PAGE_SIZE;
	struct iovec here = { buf, size }, there;
	ssize_t len;

	host->w.p = __atomic_load_n(&host->w.visit->p, __ATOMIC_RELAXED);
	there = (struct iovec){ at(&host->w, page), size };
	len = below(&host->w.dice, 2) ? process_vm_readv(host->pid, &here, 1, &there, 1, 0) :
		pread(host->mem, buf, size, (uintptr_t)there.iov_base);
	if (len > 0)
		did(PEEKS, 1);
}

static bool find_host(struct host *host, struct target *target, unsigned int number, char *buf)
{
	char path[32];

	*host = (struct host){
		.w = {
			.target = target, .visit = &soak->visit[number], .pages = target->each,
			.first = number * target->each, .buf = buf,
			.epoch = soak->epoch + number * target->each,
			.dice = target->seed + 2000 + number,
		},
	};
	while (!__atomic_load_n(&host->w.visit->p, __ATOMIC_ACQUIRE)) {
		if (is_over())
			return false;
		usleep(1000);
	}
	host->pid = host->w.visit->pid;
	snprintf(path, sizeof(path), "/proc/%d/mem", host->pid);
	host->mem = open(path, O_RDWR | O_CLOEXEC);
	return good(host->mem >= 0, path);
}

bool go_visiting(struct target *target, uint64_t *state)
{
	static struct host hosts[MOST_WORKERS];
	static char buf[PAGE_SIZE];
	bool right = true;

	for (unsigned int i = 0; i < target->workers; i++)
		if (!find_host(&hosts[i], target, i, buf))
			return !soak->failed;
	while (right && !is_over()) {
		struct host *host = &hosts[below(state, target->workers)];

		for (size_t n = below(state, 16); n--;)
			peek(host);
		right = visit(host);
		usleep(below(state, 10000));
	}
	return right;
}
