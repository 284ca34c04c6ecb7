/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Counters and latency histograms of one device.
 */
#ifndef MMAPDEMO_STATS_H
#define MMAPDEMO_STATS_H

#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/seqlock.h>
#include <linux/mmapdemo.h>

/* What an access was; each has a counter of the same number and a histogram. */
enum mmapdemo_access {
	MMAPDEMO_READ,		/* load */
	MMAPDEMO_WRITE,		/* store to a shared mapping */
	MMAPDEMO_COW,		/* store to a private mapping, the core copies the page */
	MMAPDEMO_MKWRITE,	/* a shared page is about to become writable */
	MMAPDEMO_NR_ACCESS,
};

enum mmapdemo_counter {
	/* The first MMAPDEMO_NR_ACCESS are those of enum mmapdemo_access. */
	MMAPDEMO_AROUND = MMAPDEMO_NR_ACCESS,
	MMAPDEMO_HUGE,
	MMAPDEMO_MAJOR,
	MMAPDEMO_RETRY,
	MMAPDEMO_VMA_LOCKED,
	MMAPDEMO_SIGBUS,
	MMAPDEMO_OOM,
	MMAPDEMO_HWPOISON,
	MMAPDEMO_INJECTED,
	MMAPDEMO_MAPPINGS,	/* mmap() calls, mappings/total */
	MMAPDEMO_NR_COUNTERS,
};

/**
 * struct mmapdemo_figures - one set of figures: a CPU's, a sum, or a snapshot
 * @count: by enum mmapdemo_counter
 * @latency: histograms in ns, see MMAPDEMO_BUCKETS. Every call of the backing's
 *	handler is in here, also one that ended in VM_FAULT_RETRY, because such a
 *	call is where the waiting was: the sum of the read, write and cow histograms
 *	is read + write + cow + retry.
 */
struct mmapdemo_figures {
	u64 count[MMAPDEMO_NR_COUNTERS];
	u64 latency[MMAPDEMO_NR_ACCESS][MMAPDEMO_BUCKETS];
};

/*
 * Written with preemption off by its own CPU in process context only, so a plain
 * sequence count is enough for a reader to take the CPU's figures as a whole.
 */
struct mmapdemo_stats_cpu {
	seqcount_t seq;
	struct mmapdemo_figures figures;
};

/**
 * struct mmapdemo_stats - figures of a device
 * @cpu: what each CPU counted since the device was made; never set back
 * @reset_lock: serialises resets, and with them snapshots
 * @base: the sum at the last reset, guarded by @reset_lock
 * @scratch: one CPU's figures while they are summed up, guarded by @reset_lock
 */
struct mmapdemo_stats {
	struct mmapdemo_stats_cpu __percpu *cpu;
	struct mutex reset_lock;
	struct mmapdemo_figures base;
	struct mmapdemo_figures scratch;
};

int mmapdemo_stats_init(struct mmapdemo_stats *stats);
void mmapdemo_stats_free(struct mmapdemo_stats *stats);

/*
 * One call of a fault handler, entered in one step: its kind, the FAULT_FLAG_* it ran
 * under, its VM_FAULT_* result, its time, and whether it handed a PMD's worth over.
 */
void mmapdemo_stats_fault(struct mmapdemo_stats *stats, enum mmapdemo_access access,
			  unsigned int flags, vm_fault_t result, u64 ns, bool huge);
void mmapdemo_stats_inc(struct mmapdemo_stats *stats, enum mmapdemo_counter counter);

void mmapdemo_stats_snapshot(struct mmapdemo_stats *stats, struct mmapdemo_figures *sum);
void mmapdemo_stats_reset(struct mmapdemo_stats *stats);

#endif /* MMAPDEMO_STATS_H */
