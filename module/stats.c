// SPDX-License-Identifier: GPL-2.0
/*
 * Counting: exact, per CPU, and readable as a whole while faults run.
 */
#include <linux/log2.h>

#include "compat.h"
#include "stats.h"

int mmapdemo_stats_init(struct mmapdemo_stats *stats)
{
	int cpu;

	mutex_init(&stats->reset_lock);
	memset(&stats->base, 0, sizeof(stats->base));
	stats->cpu = alloc_percpu(struct mmapdemo_stats_cpu);
	if (!stats->cpu)
		return -ENOMEM;
	for_each_possible_cpu(cpu)
		seqcount_init(&per_cpu_ptr(stats->cpu, cpu)->seq);
	return 0;
}

void mmapdemo_stats_free(struct mmapdemo_stats *stats)
{
	free_percpu(stats->cpu);
}

static struct mmapdemo_stats_cpu *count_begin(struct mmapdemo_stats *stats)
{
	struct mmapdemo_stats_cpu *cpu = get_cpu_ptr(stats->cpu);

	raw_write_seqcount_begin(&cpu->seq);
	return cpu;
}

static void count_end(struct mmapdemo_stats *stats, struct mmapdemo_stats_cpu *cpu)
{
	raw_write_seqcount_end(&cpu->seq);
	put_cpu_ptr(stats->cpu);
}

static unsigned int bucket(u64 ns)
{
	return min_t(unsigned int, ns ? ilog2(ns) : 0, MMAPDEMO_BUCKETS - 1);
}

/* Outcomes that are rare enough to stay out of the way of the others. */
static void count_rare(u64 *count, vm_fault_t result)
{
	if (result & VM_FAULT_MAJOR)
		count[MMAPDEMO_MAJOR]++;
	if (result & VM_FAULT_SIGBUS)
		count[MMAPDEMO_SIGBUS]++;
	if (result & VM_FAULT_OOM)
		count[MMAPDEMO_OOM]++;
	if (result & (VM_FAULT_HWPOISON | VM_FAULT_HWPOISON_LARGE))
		count[MMAPDEMO_HWPOISON]++;
}

void mmapdemo_stats_fault(struct mmapdemo_stats *stats, enum mmapdemo_access access,
			  unsigned int flags, vm_fault_t result, u64 ns, bool huge)
{
	struct mmapdemo_stats_cpu *cpu = count_begin(stats);
	u64 *count = cpu->figures.count;

	cpu->figures.latency[access][bucket(ns)]++;
	/* The core comes again after a retry: the attempt that completes is the fault. */
	if (unlikely(result & VM_FAULT_RETRY)) {
		count[MMAPDEMO_RETRY]++;
	} else {
		count[access]++;
		if (flags & FAULT_FLAG_VMA_LOCK)
			count[MMAPDEMO_VMA_LOCKED]++;
		if (huge)
			count[MMAPDEMO_HUGE]++;
	}
	if (unlikely(result & (VM_FAULT_ERROR | VM_FAULT_MAJOR)))
		count_rare(count, result);
	count_end(stats, cpu);
}

void mmapdemo_stats_inc(struct mmapdemo_stats *stats, enum mmapdemo_counter counter)
{
	struct mmapdemo_stats_cpu *cpu = count_begin(stats);

	cpu->figures.count[counter]++;
	count_end(stats, cpu);
}

/* Figures are nothing but u64, so sums and differences go over them as an array. */
#define FIGURES (sizeof(struct mmapdemo_figures) / sizeof(u64))

static void add(struct mmapdemo_figures *sum, const struct mmapdemo_figures *figures, int sign)
{
	unsigned int i;

	for (i = 0; i < FIGURES; i++)
		((u64 *)sum)[i] += sign * ((const u64 *)figures)[i];
}

static void sum_cpus(struct mmapdemo_stats *stats, struct mmapdemo_figures *sum)
{
	struct mmapdemo_stats_cpu *one;
	unsigned int seq;
	int cpu;

	lockdep_assert_held(&stats->reset_lock);
	memset(sum, 0, sizeof(*sum));
	/* A CPU that went offline keeps what it counted. */
	for_each_possible_cpu(cpu) {
		one = per_cpu_ptr(stats->cpu, cpu);
		do {
			seq = read_seqcount_begin(&one->seq);
			stats->scratch = one->figures;
		} while (read_seqcount_retry(&one->seq, seq));
		add(sum, &stats->scratch, 1);
	}
}

void mmapdemo_stats_snapshot(struct mmapdemo_stats *stats, struct mmapdemo_figures *sum)
{
	mutex_lock(&stats->reset_lock);
	sum_cpus(stats, sum);
	add(sum, &stats->base, -1);
	mutex_unlock(&stats->reset_lock);
}

/* Faults go on meanwhile: what they count is either before the reset or after it. */
void mmapdemo_stats_reset(struct mmapdemo_stats *stats)
{
	mutex_lock(&stats->reset_lock);
	sum_cpus(stats, &stats->base);
	mutex_unlock(&stats->reset_lock);
}
