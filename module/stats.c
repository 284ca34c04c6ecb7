// SPDX-License-Identifier: GPL-2.0
/*
 * Counting: exact, per CPU, and readable as a whole while faults run.
 */
#include <linux/sched.h>

#include "stats.h"

/* Figures are nothing but u64, so they are added and subtracted as an array. */
#define NR_FIGURES (sizeof(struct mmapdemo_figures) / sizeof(u64))

int mmapdemo_stats_init(struct mmapdemo_stats *stats, struct mmapdemo_device *dev)
{
	int cpu;

	mutex_init(&stats->reset_lock);
	memset(&stats->base, 0, sizeof(stats->base));
	stats->cpu = alloc_percpu(struct mmapdemo_stats_cpu);
	if (!stats->cpu)
		return -ENOMEM;
	for_each_possible_cpu(cpu)
		per_cpu_ptr(stats->cpu, cpu)->dev = dev;
	return 0;
}

static long nr_inside(const struct mmapdemo_stats *stats)
{
	long sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu_ptr(stats->cpu, cpu)->inside);
	return sum;
}

/*
 * No mapping is left, so nobody can enter any more. What may remain is a fault whose VMA was
 * unmapped while it waited without the lock: too rare for a wake-up in the path of all
 * others.
 */
void mmapdemo_stats_free(struct mmapdemo_stats *stats)
{
	while (nr_inside(stats))
		schedule_timeout_uninterruptible(1);
	free_percpu(stats->cpu);
}

/*
 * What came of a call is entered before the call, on the same CPU, and read after it: whoever
 * sees the call in a snapshot sees that too.
 */
void mmapdemo_stats_unusual(struct mmapdemo_stats_cpu __percpu *cpu, enum mmapdemo_access access,
			    enum mmapdemo_outcome outcome, vm_fault_t result, u64 ns)
{
	preempt_disable();
	if (result & VM_FAULT_MAJOR)
		this_cpu_inc(cpu->figures.count[MMAPDEMO_MAJOR]);
	if (result & VM_FAULT_SIGBUS)
		this_cpu_inc(cpu->figures.count[MMAPDEMO_SIGBUS]);
	if (result & VM_FAULT_OOM)
		this_cpu_inc(cpu->figures.count[MMAPDEMO_OOM]);
	if (result & (VM_FAULT_HWPOISON | VM_FAULT_HWPOISON_LARGE))
		this_cpu_inc(cpu->figures.count[MMAPDEMO_HWPOISON]);
	if (result & VM_FAULT_RETRY)
		outcome = MMAPDEMO_AGAIN;
	smp_wmb();	/* pairs with smp_rmb() in sum_cpus() */
	this_cpu_inc(cpu->figures.calls[outcome][access][__fls(ns | 1)]);
	preempt_enable();
}

static void add(u64 *sum, const u64 *one, size_t size)
{
	unsigned int i;

	for (i = 0; i < size / sizeof(u64); i++)
		sum[i] += READ_ONCE(one[i]);
}

static void sum_cpus(struct mmapdemo_stats *stats, struct mmapdemo_figures *sum)
{
	const struct mmapdemo_figures *one;
	int cpu;

	memset(sum, 0, sizeof(*sum));
	/* A CPU that went offline keeps what it counted. */
	for_each_possible_cpu(cpu) {
		one = &per_cpu_ptr(stats->cpu, cpu)->figures;
		add(sum->calls[0][0], one->calls[0][0], sizeof(one->calls));
		smp_rmb();	/* pairs with smp_wmb() in mmapdemo_stats_unusual() */
		add(sum->count, one->count, sizeof(one->count));
	}
}

void mmapdemo_stats_snapshot(struct mmapdemo_stats *stats, struct mmapdemo_figures *sum)
{
	unsigned int i;

	mutex_lock(&stats->reset_lock);
	sum_cpus(stats, sum);
	for (i = 0; i < NR_FIGURES; i++)
		((u64 *)sum)[i] -= ((const u64 *)&stats->base)[i];
	mutex_unlock(&stats->reset_lock);
}

/* Faults go on meanwhile: what they count is either before the reset or after it. */
void mmapdemo_stats_reset(struct mmapdemo_stats *stats)
{
	mutex_lock(&stats->reset_lock);
	sum_cpus(stats, &stats->base);
	mutex_unlock(&stats->reset_lock);
}

static u64 sum_of(const struct mmapdemo_figures *figures, enum mmapdemo_outcome outcome,
		  enum mmapdemo_access access)
{
	u64 sum = 0;
	int i;

	for (i = 0; i < MMAPDEMO_LOG2S; i++)
		sum += figures->calls[outcome][access][i];
	return sum;
}

static u64 faults(const struct mmapdemo_figures *figures, enum mmapdemo_access access)
{
	return sum_of(figures, MMAPDEMO_DONE, access) +
	       sum_of(figures, MMAPDEMO_DONE_VMA, access);
}

static u64 sum_of_all(const struct mmapdemo_figures *figures, enum mmapdemo_outcome outcome)
{
	enum mmapdemo_access access;
	u64 sum = 0;

	for (access = 0; access < MMAPDEMO_NR_ACCESS; access++)
		sum += sum_of(figures, outcome, access);
	return sum;
}

u64 mmapdemo_figures_counter(const struct mmapdemo_figures *figures,
			     enum mmapdemo_faults_attr counter)
{
	switch (counter) {
	case MMAPDEMO_A_FAULTS_READ:
		return faults(figures, MMAPDEMO_READ);
	case MMAPDEMO_A_FAULTS_WRITE:
		return faults(figures, MMAPDEMO_WRITE);
	case MMAPDEMO_A_FAULTS_COW:
		return faults(figures, MMAPDEMO_COW);
	case MMAPDEMO_A_FAULTS_MKWRITE:
		return faults(figures, MMAPDEMO_MKWRITE);
	case MMAPDEMO_A_FAULTS_RETRY:
		return sum_of_all(figures, MMAPDEMO_AGAIN);
	case MMAPDEMO_A_FAULTS_VMA_LOCKED:
		return sum_of_all(figures, MMAPDEMO_DONE_VMA);
	case MMAPDEMO_A_FAULTS_AROUND:
		return figures->count[MMAPDEMO_AROUND];
	case MMAPDEMO_A_FAULTS_HUGE:
		return figures->count[MMAPDEMO_HUGE];
	case MMAPDEMO_A_FAULTS_MAJOR:
		return figures->count[MMAPDEMO_MAJOR];
	case MMAPDEMO_A_FAULTS_SIGBUS:
		return figures->count[MMAPDEMO_SIGBUS];
	case MMAPDEMO_A_FAULTS_OOM:
		return figures->count[MMAPDEMO_OOM];
	case MMAPDEMO_A_FAULTS_HWPOISON:
		return figures->count[MMAPDEMO_HWPOISON];
	case MMAPDEMO_A_FAULTS_INJECTED:
		return figures->count[MMAPDEMO_INJECTED];
	default:
		return 0;
	}
}

static u64 calls_of(const struct mmapdemo_figures *figures, enum mmapdemo_access access,
		    unsigned int log2)
{
	return figures->calls[MMAPDEMO_DONE][access][log2] +
	       figures->calls[MMAPDEMO_DONE_VMA][access][log2] +
	       figures->calls[MMAPDEMO_AGAIN][access][log2];
}

u64 mmapdemo_figures_latency(const struct mmapdemo_figures *figures, enum mmapdemo_access access,
			     unsigned int bucket)
{
	u64 sum = calls_of(figures, access, bucket);

	/* The last bucket is also for everything longer. */
	if (bucket == MMAPDEMO_BUCKETS - 1)
		while (++bucket < MMAPDEMO_LOG2S)
			sum += calls_of(figures, access, bucket);
	return sum;
}
