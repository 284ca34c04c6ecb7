/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The time that a fault handler takes, at the price of two reads of the cycle counter.
 *
 * local_clock() and ktime_get() cost about 50 instructions a read, a tenth of a fault that
 * maps a page in memory. A duration needs neither an epoch nor an order between CPUs: the
 * difference of two counter values is converted once. It is as good as the counter; a task
 * that migrates between counters out of step may read a negative difference, which is 0.
 */
#ifndef MMAPDEMO_CLOCK_H
#define MMAPDEMO_CLOCK_H

#include <linux/math64.h>
#include <linux/sched/clock.h>

#ifdef CONFIG_X86_TSC
#include <asm/tsc.h>

/* A difference may be up to 2^48 cycles, a day, before the product overflows. */
#define MMAPDEMO_CLOCK_SHIFT 16

/* Nanoseconds a cycle << MMAPDEMO_CLOCK_SHIFT; set once, when the module is loaded. */

/* In fault.c */
extern u64 mmapdemo_clock_mult;

static inline u64 mmapdemo_clock(void)
{
	return rdtsc();
}

static inline u64 mmapdemo_clock_since(u64 start)
{
	s64 cycles = rdtsc() - start;

	return cycles < 0 ? 0 : (cycles * mmapdemo_clock_mult) >> MMAPDEMO_CLOCK_SHIFT;
}

/* tsc_khz is 0 only where the counter was never calibrated: then a cycle is taken for 1 ns. */
static inline void mmapdemo_clock_init(void)
{
	mmapdemo_clock_mult = div_u64((u64)NSEC_PER_MSEC << MMAPDEMO_CLOCK_SHIFT,
				      tsc_khz ?: NSEC_PER_MSEC);
}
#else
static inline void mmapdemo_clock_init(void)
{
}

static inline u64 mmapdemo_clock(void)
{
	return local_clock();
}

static inline u64 mmapdemo_clock_since(u64 start)
{
	s64 ns = local_clock() - start;

	return max(ns, 0);
}
#endif

#endif /* MMAPDEMO_CLOCK_H */
