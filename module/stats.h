/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Counters and latency histograms of one device.
 */
#ifndef MMAPDEMO_STATS_H
#define MMAPDEMO_STATS_H

#include <linux/bitops.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/mmapdemo.h>

#include "compat.h"

struct mmapdemo_device;

/* What an access was. */
enum mmapdemo_access {
	MMAPDEMO_READ,		/* load */
	MMAPDEMO_WRITE,		/* store to a shared mapping */
	MMAPDEMO_COW,		/* store to a private mapping, the core copies the page */
	MMAPDEMO_MKWRITE,	/* a shared page is about to become writable */
	MMAPDEMO_NR_ACCESS,
};

/* What a mapping counts: its calls by access, and this. */
#define MMAPDEMO_MAPPING_AROUND		MMAPDEMO_NR_ACCESS
#define MMAPDEMO_NR_MAPPING_FAULTS	(MMAPDEMO_NR_ACCESS + 1)

/* How a call of the backing's handler came out. */
enum mmapdemo_outcome {
	MMAPDEMO_DONE,		/* completed, for better or worse, under mmap_lock */
	MMAPDEMO_DONE_VMA,	/* completed under the lock of the VMA alone */
	MMAPDEMO_AGAIN,		/* VM_FAULT_RETRY: the core comes again */
	MMAPDEMO_NR_OUTCOMES,
};

/* What is counted beside the calls themselves. */
enum mmapdemo_counter {
	MMAPDEMO_AROUND,
	MMAPDEMO_HUGE,
	MMAPDEMO_MAJOR,
	MMAPDEMO_SIGBUS,
	MMAPDEMO_OOM,
	MMAPDEMO_HWPOISON,
	MMAPDEMO_INJECTED,
	MMAPDEMO_MAPPINGS,	/* mmap() calls, mappings/total */
	MMAPDEMO_NR_COUNTERS,
};

#define MMAPDEMO_LOG2S 64	/* of a u64, so that the fault path has nothing to limit */

/**
 * struct mmapdemo_figures - one set of figures: a CPU's, a sum, or a snapshot
 * @calls: calls of the backing's handler, by enum mmapdemo_outcome, enum mmapdemo_access
 *	and the binary logarithm of the time in ns
 * @count: by enum mmapdemo_counter
 *
 * A call is entered by one increment in @calls. What else is told of calls, how many there
 * were of a kind, under which lock, how many came again, and the histograms, is a sum over
 * @calls, so those figures agree with each other whenever they are read.
 */
struct mmapdemo_figures {
	u64 calls[MMAPDEMO_NR_OUTCOMES][MMAPDEMO_NR_ACCESS][MMAPDEMO_LOG2S];
	u64 count[MMAPDEMO_NR_COUNTERS];
};

/**
 * struct mmapdemo_stats_cpu - what one CPU counts
 * @figures: since the device was made; never set back
 * @inside: calls entered less calls left here; summed up over the CPUs, because a call may
 *	migrate, the number of tasks inside the backing's handlers
 * @dev: whose figures they are: the same on every CPU, for who has kept nothing but these
 */
struct mmapdemo_stats_cpu {
	struct mmapdemo_figures figures;
	long inside;
	struct mmapdemo_device *dev;
};

/**
 * struct mmapdemo_stats - figures of a device
 * @cpu: one set per CPU
 * @reset_lock: serialises resets and snapshots
 * @base: the sum at the last reset, guarded by @reset_lock
 */
struct mmapdemo_stats {
	struct mmapdemo_stats_cpu __percpu *cpu;
	struct mutex reset_lock;
	struct mmapdemo_figures base;
};

int mmapdemo_stats_init(struct mmapdemo_stats *stats, struct mmapdemo_device *dev);
void mmapdemo_stats_free(struct mmapdemo_stats *stats);

static inline void mmapdemo_stats_inc(struct mmapdemo_stats *stats,
				      enum mmapdemo_counter counter)
{
	this_cpu_inc(stats->cpu->figures.count[counter]);
}

/*
 * A call that may give up the lock of its VMA stands between these two. Nothing else holds
 * the device then: mmapdemo_stats_free() waits until all have left.
 */
static inline void mmapdemo_stats_enter(struct mmapdemo_stats_cpu __percpu *cpu)
{
	this_cpu_inc(cpu->inside);
}

static inline void mmapdemo_stats_leave(struct mmapdemo_stats_cpu __percpu *cpu)
{
	this_cpu_dec(cpu->inside);
}

/* A call whose result is not plain success. */
void mmapdemo_stats_unusual(struct mmapdemo_stats_cpu __percpu *cpu, enum mmapdemo_access access,
			    enum mmapdemo_outcome outcome, vm_fault_t result, u64 ns);

/* What a result of such a call may say. */
#define MMAPDEMO_UNUSUAL (VM_FAULT_ERROR | VM_FAULT_MAJOR | VM_FAULT_RETRY | VM_FAULT_NOPAGE | \
			  VM_FAULT_DONE_COW)

/* A call with plain success. In the fault path, hence inline and a single increment. */
static __always_inline void mmapdemo_stats_call(struct mmapdemo_stats_cpu __percpu *cpu,
						enum mmapdemo_access access,
						enum mmapdemo_outcome outcome, u64 ns)
{
	/* A sum and not an index, which some kernels would compare with the array's size. */
	u64 __percpu *calls = cpu->figures.calls[outcome][access] + __fls(ns | 1);

	this_cpu_inc(*calls);
}

void mmapdemo_stats_snapshot(struct mmapdemo_stats *stats, struct mmapdemo_figures *sum);
void mmapdemo_stats_reset(struct mmapdemo_stats *stats);

/* Sums over a snapshot. */
u64 mmapdemo_figures_counter(const struct mmapdemo_figures *figures,
			     enum mmapdemo_faults_attr counter);
/*
 * Bucket of a latency histogram. Attempts that came again are in it, because such a call
 * is where the waiting was: latency/{read,write,cow} sum up to read + write + cow + retry.
 */
u64 mmapdemo_figures_latency(const struct mmapdemo_figures *figures, enum mmapdemo_access access,
			     unsigned int bucket);

#endif /* MMAPDEMO_STATS_H */
