/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The soak: everything together on one device after another. soak.c makes the devices and adds
 * up. soak_work.c and soak_ways.c work on pages that they check, and soak_visit.c does so in the
 * mappings of others. soak_noise.c gets in their way, soak_control.c does by netlink,
 * soak_mutate.c by nonsense in it, and soak_starve.c has no memory.
 */
#ifndef MMAPDEMO_TESTS_SOAK_H
#define MMAPDEMO_TESTS_SOAK_H

#include <stdbool.h>
#include <stdint.h>

#include "common.h"

/* What was done, over all devices and processes. */
enum done {
	DEVICES, OPENS, MMAPS, FORKS, BYTES_READ, BYTES_WRITTEN, SELF_READS, SELF_WRITES,
	RING_READS, RING_WRITES, RING_BUFFERS, PINNED_COPIES, PAGES_IN_PIPES, TEES, FILES_RECEIVED,
	FILES_DROPPED, FILES_IN_CIRCLES, USERFAULTS, PROCESS_VM, PROC_MEM, PTRACES, PEEKS, SIGNALS,
	FAST_SIGNALS, SIGBUS_CAUGHT, SIGSEGV_CAUGHT, KILLS, SNAPSHOTS, RESETS, TRUNCATIONS, HOLES,
	DROPS, UNPLUGS, TRACINGS, MESSAGES, BESIDES, EVENTS, MUTATED, REFUSED, TAKEN, DEAF,
	STARVED, NR_DONE
};

#define MOST_WORKERS	4
#define MOST_EACH	(4 * 256)	/* pages of a worker */

enum { ALONE, ASKED, RECEIVED };

/*
 * Between a worker and the visitor, who asks, and makes it ALONE again. In between the worker
 * makes RECEIVED of ASKED, and waits.
 * @p: where the worker has its pages mapped, or had
 */
struct visit {
	int state;		/* ALONE, ASKED or RECEIVED */
	pid_t pid;
	char *p;
};

/*
 * What all processes share. The first that finds something wrong says so in @complaint.
 * @over: this device has had its time
 * @cannot: what this machine, or this kernel, cannot do
 * @faults: what resets took out of the counters of this device
 * @epoch: of each page that a worker owns; who works on the page changes it
 */
struct soak {
	bool over;
	bool failed;
	char complaint[256];
	unsigned long done[NR_DONE];
	bool cannot[NR_DONE];
	struct figures faults;
	struct visit visit[MOST_WORKERS];
	uint64_t epoch[MOST_WORKERS * MOST_EACH];
};

/*
 * A device: pages that workers own, an equal number each, and after them a tail, which a file
 * loses and gets back.
 */
struct target {
	struct device dev;
	unsigned int workers;
	size_t each;		/* pages of a worker */
	size_t owned;		/* of all workers */
	bool resets;
	uint64_t seed;
};

extern struct soak *soak;

static inline bool is_over(void)
{
	return __atomic_load_n(&soak->over, __ATOMIC_ACQUIRE);
}

static inline void did(enum done what, unsigned long n)
{
	__atomic_fetch_add(&soak->done[what], n, __ATOMIC_RELAXED);
}

static inline void cannot(enum done what)
{
	soak->cannot[what] = true;
}

/* Says the first complaint of all; returns false. */
bool complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Chance, from a state that a seed began: splitmix64. */
static inline uint64_t dice(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static inline size_t below(uint64_t *state, size_t n)
{
	return dice(state) % n;
}

/* Counted. */
int open_device(int flags);
void *map_device(void *address, size_t size, int prot, int flags, int fd, off_t offset);

/* In soak_work.c: the life of one worker; 0 if all was as it should be. */
int work(struct target *target, unsigned int number);

/* In soak_noise.c: the life of one of those that disturb. */
#define NOISES 11
int make_noise(struct target *target, unsigned int which);
bool trace_events(bool on);

/* In soak_control.c: one that gives commands. Its devices are its own. */
#define MAIN	"mmapdemo"
#define BESIDE	"mmapdemo-soak"
bool control(struct target *target, uint64_t *state);

/* In soak_visit.c: one that uses the mappings of the workers. */
bool go_visiting(struct target *target, uint64_t *state);

/* In soak_mutate.c: one that sends nonsense, and one that is told and does not listen. */
bool talk_nonsense(struct target *target, uint64_t *state);

/* In soak_starve.c: one whose allocations fail, with a device of its own. */
#define STARVING "mmapdemo-starving"
bool starve(struct target *target, uint64_t *state);

#endif /* MMAPDEMO_TESTS_SOAK_H */
