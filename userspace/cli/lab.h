/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tour and the labs are made of.
 *
 * A lab works in one window of addresses: the first pages of the device are mapped there, one
 * way after the other, and the witnesses listen to the window only. A step is a few lines that
 * touch it between lab_begin() and lab_end(); lab_end() is told what must have happened,
 * compares every figure, prints the step, and remembers whether anything was wrong:
 *
 *	lab_begin(lab, "read one byte of each of %zu pages", n);
 *	lab_read(p, n);
 *	lab_end(lab, &(struct lab_expect){
 *		.counter = { [MMAPDEMO_FAULTS_AROUND] = n / lab->around }, ...
 *
 * A wrong figure does not end the lab. A call that fails does: its -errno stays in @error, and
 * from then on all of these functions do nothing, so that a lab need not ask after each.
 */
#ifndef MMAPDEMO_LAB_H
#define MMAPDEMO_LAB_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json.h>

#include "mmapdemo-witness.h"

struct lab_shared;

/**
 * struct lab - one run
 * @dev: the device, open for reading and writing
 * @witness: listens to the window; in a child, the child's own
 * @window: where the device is mapped: the beginning of what one page table spans
 * @bytes: how far the witnesses listen, from there
 * @pages: how many of the device's pages the lab maps, a multiple of @around
 * @page: bytes in a page
 * @around: how many pages the kernel maps around a read fault
 * @rearms: whether msync() write-protects the pages; it does not where nothing is written back
 * @dirty_unit: by how many pages "dirty/pages" grows at a store; 0 where there is no such
 * record
 * @steps: what was printed, as a JSON array; NULL for text
 * @figures: how many were compared
 * @wrong: how many were not as stated
 * @error: 0, or the -errno that ended the lab
 *
 * The rest is private to lab.c and step.c.
 */
struct lab {
	struct mmapdemo_dev *dev;
	struct mmapdemo_witness *witness;
	char *window;
	size_t bytes, pages, page;
	unsigned int around;
	bool rearms;
	size_t dirty_unit;
	struct json_object *steps;
	unsigned int figures, wrong;
	int error;

	const char *section;
	char does[128];
	char *saved;			/* what the window held; put back at the end */
	bool child;
	struct lab_shared *shared;	/* what a child leaves for its parent */
};

/**
 * struct lab_expect - what a step must have done
 * @counter: how far each of the device's counters moved; vma_locked and the gauge follow by
 * themselves
 * @minflt: what getrusage() must say; majflt must be 0
 * @cpu: exceptions, by &enum mmapdemo_cpu
 * @kernel: the functions that did it, outermost first
 * @why: where the witnesses differ: the explanation; otherwise NULL
 */
struct lab_expect {
	uint64_t counter[MMAPDEMO_NR_COUNTERS];
	uint64_t minflt;
	uint64_t cpu[MMAPDEMO_NR_CPU];
	const char *kernel;
	const char *why;
};

/* In lab.c: the device and the window. */

/* Returns an exit code; all but DONE were explained on stderr, and nothing is to be closed. */
int lab_open(struct lab *lab, const char *device, bool json, bool force, bool no_cpu);
void lab_close(struct lab *lab);

/* Map the window's pages, replacing what was there: MAP_SHARED or MAP_PRIVATE. */
void lab_map(struct lab *lab, int prot, int flags);
/* Map @pages from page @first of the device on, at the beginning of the window. */
void lab_map_part(struct lab *lab, size_t first, size_t pages, int prot, int flags);

/* Load a byte of the first page. */
void lab_touch(const struct lab *lab);
/* Touch one byte of each page. lab_read() returns how many pages held @value. */
size_t lab_read(const struct lab *lab, char value);
void lab_write(const struct lab *lab, char value);
/* Fill the pages through pwrite(), which also brings them into the page cache. */
void lab_fill(struct lab *lab, char value);
/* msync(MS_SYNC) of the mapping. */
void lab_sync(struct lab *lab);
/* How many pages hold @value according to pread(). */
size_t lab_pread(const struct lab *lab, char value);
/* Pages of the window that have an entry in the page table. */
size_t lab_present(struct lab *lab);
/* Load a byte: whether that raised SIGBUS, and what the signal said. */
bool lab_sigbus(const char *addr, siginfo_t *info);

/* In step.c: measuring, judging, printing. */

void lab_section(struct lab *lab, const char *title);
void lab_begin(struct lab *lab, const char *does, ...) __attribute__((format(printf, 2, 3)));
void lab_end(struct lab *lab, const struct lab_expect *expect);

/*
 * A step taken by a forked child, under witnesses of its own. @act returns a figure,
 * which must be @want.
 */
void lab_child(struct lab *lab, const char *does, size_t (*act)(struct lab *lab),
	       const char *what, size_t want, const struct lab_expect *expect);

/* One more figure that must be right. */
void lab_fact(struct lab *lab, const char *what, uint64_t got, uint64_t want);

#endif /* MMAPDEMO_LAB_H */
