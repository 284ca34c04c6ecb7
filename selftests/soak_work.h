/* SPDX-License-Identifier: GPL-2.0 */
/* A worker of the soak and its pages, of which each begins and ends with a stamp. */
#ifndef MMAPDEMO_TESTS_SOAK_WORK_H
#define MMAPDEMO_TESTS_SOAK_WORK_H

#include "hold.h"
#include "soak.h"

#define MOST_KEPT 8

struct stamp {
	uint64_t page, epoch, sum;
};

/*
 * @p: a shared mapping of the worker's pages
 * @epoch: of each page, 0 for one that is all zero
 * @ring: its file 0 is @fd
 * @fork: a second pipe, for what tee() makes of the first
 * @kept: pages in a pipe, for as long as chance has it, and which
 */
struct worker {
	struct target *target;
	struct visit *visit;
	uint64_t dice;
	size_t first, pages;
	uint64_t *epoch;
	int fd, mem, pipe[2], fork[2];
	char *p;
	char *buf;
	struct ring ring;
	struct {
		int pipe[2];
		size_t page[MOST_KEPT], nr;
	} kept;
};

static inline size_t pick(struct worker *w)
{
	return below(&w->dice, w->pages);
}

/* Up to 16 pages from there on. */
static inline size_t pick_length(struct worker *w, size_t page)
{
	size_t most = w->pages - page;

	return 1 + below(&w->dice, most < 16 ? most : 16);
}

static inline char *at(const struct worker *w, size_t page)
{
	return w->p + page * PAGE_SIZE;
}

static inline off_t offset_of(const struct worker *w, size_t page)
{
	return (w->first + page) * PAGE_SIZE;
}

/* In soak_work.c: what a page is to hold; into it, and is it there? */
struct stamp stamp_of(const struct worker *w, size_t page, uint64_t epoch);
void put_stamp(const struct worker *w, void *to, size_t page, uint64_t epoch);
bool check(const struct worker *w, const void *from, size_t page, const char *how);
/* What a system call said, or a complaint with errno. */
bool good(bool condition, const char *what);

/* In soak_ways.c: further things that a worker does, and what it needs for them. */
bool ways_up(struct worker *w);
bool do_read_onto_itself(struct worker *w);
bool do_write_onto_itself(struct worker *w);
bool do_ring(struct worker *w);
bool do_ring_buffer(struct worker *w);
bool do_pipe(struct worker *w);
bool do_keep_in_pipe(struct worker *w);
bool do_send(struct worker *w);
bool do_userfault(struct worker *w);

/* In soak_visit.c: lets the visitor at its pages, if there is one. */
void receive_visitor(struct worker *w);

#endif /* MMAPDEMO_TESTS_SOAK_WORK_H */
