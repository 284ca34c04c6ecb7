/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The soak: everything together on one device after another. soak.c makes the devices and adds
 * up, soak_work.c works on pages that it checks, soak_noise.c gets in its way, and
 * soak_control.c by netlink.
 */
#ifndef MMAPDEMO_TESTS_SOAK_H
#define MMAPDEMO_TESTS_SOAK_H

#include <stdbool.h>
#include <stdint.h>

#include "common.h"

/* What was done, over all devices and processes. */
enum done {
	DEVICES, OPENS, MMAPS, FORKS, BYTES_READ, BYTES_WRITTEN, SIGNALS, SIGBUS_CAUGHT,
	SIGSEGV_CAUGHT, KILLS, SNAPSHOTS, RESETS, TRUNCATIONS, HOLES, DROPS, UNPLUGS, TRACINGS,
	MESSAGES, BESIDES, EVENTS, NR_DONE
};

/*
 * What all processes share. The first that finds something wrong says so in @complaint.
 * @over: this device has had its time
 * @faults: what resets took out of the counters of this device
 */
struct soak {
	bool over;
	bool failed;
	char complaint[256];
	unsigned long done[NR_DONE];
	struct figures faults;
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
#define NOISES 8
int make_noise(struct target *target, unsigned int which);
bool trace_events(bool on);

/* In soak_control.c: one that gives commands. */
bool control(struct target *target, uint64_t *state);

#endif /* MMAPDEMO_TESTS_SOAK_H */
