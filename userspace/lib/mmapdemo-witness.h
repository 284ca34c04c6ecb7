/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Three witnesses of the page faults that a piece of code takes.
 *
 *	mmapdemo_witness_open(dev, addr, len, &w);	once, before or after the mapping is
 *	made mmapdemo_witness_start(w);
 *	... touch the mapping ...
 *	mmapdemo_witness_stop(w, &heard);
 *	mmapdemo_witness_close(w);
 *
 * They are independent of each other:
 *	device	the module's counters: what reached the driver, from whichever process
 *	minflt	getrusage(RUSAGE_THREAD): faults that the kernel finished for this thread
 *	cpu	the kernel's tracepoint exceptions:page_fault_user: exceptions that this thread
 *		took in the address range, by the error code that the CPU pushed
 *
 * Measuring must not fault by itself: start fills in every page of every private mapping of
 * the process (stack, heap, program, libraries) that lies outside the address range, and
 * breaks the copy-on-write that a fork left on them. So a second private mapping of a device
 * is filled in too; map only the one under test. Shared mappings elsewhere and private ones
 * larger than 64 MiB are left alone: touch them beforehand. The code between start and stop
 * allocates nothing and prints nothing.
 *
 * The cpu witness needs root, tracefs and hist triggers, and x86. It works in a trace instance
 * of its own, named mmapdemo-<pid>-<n>: nobody else's tracing is disturbed. The instances of
 * processes that died without closing are removed by the next open.
 */
#ifndef MMAPDEMO_WITNESS_H
#define MMAPDEMO_WITNESS_H

#include <stddef.h>
#include <stdint.h>

#include "mmapdemo.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct mmapdemo_witness - the three witnesses for one address range and one thread; opaque
 *
 * It speaks of the thread that opened it, and only that thread may use it. After fork() the
 * child opens its own and neither uses nor closes the one that it inherited.
 */
struct mmapdemo_witness;

/**
 * enum mmapdemo_cpu - index into &mmapdemo_testimony.cpu: why the CPU trapped
 *
 * @MMAPDEMO_CPU_READ_ABSENT: error code 4: a load, no page mapped
 * @MMAPDEMO_CPU_WRITE_ABSENT: error code 6: a store, no page mapped
 * @MMAPDEMO_CPU_WRITE_PRESENT: error code 7: a store to a page mapped read-only
 * @MMAPDEMO_CPU_OTHER: every other error code
 * @MMAPDEMO_NR_CPU: how many there are
 */
enum mmapdemo_cpu {
	MMAPDEMO_CPU_READ_ABSENT,
	MMAPDEMO_CPU_WRITE_ABSENT,
	MMAPDEMO_CPU_WRITE_PRESENT,
	MMAPDEMO_CPU_OTHER,
	MMAPDEMO_NR_CPU
};

/**
 * struct mmapdemo_testimony - what the witnesses saw between start and stop
 * @device: the difference of the device's counters
 * @minflt: faults finished without waiting for storage
 * @majflt: faults that waited, or were retried
 * @cpu: exceptions by &enum mmapdemo_cpu; all 0 when that witness is absent
 */
struct mmapdemo_testimony {
	struct mmapdemo_stat device;
	uint64_t minflt;
	uint64_t majflt;
	uint64_t cpu[MMAPDEMO_NR_CPU];
};

/**
 * mmapdemo_witness_open() - call the witnesses
 * @dev: the device; it must outlive the witness
 * @addr: first byte of the range under test; nothing need be mapped there yet
 * @len: its length in bytes
 * @wp: where the handle goes; the caller closes it
 *
 * Succeeds without the cpu witness too: ask mmapdemo_witness_cpu_error().
 *
 * Return: 0 or -errno.
 */
int mmapdemo_witness_open(const struct mmapdemo_dev *dev, const void *addr, size_t len,
			  struct mmapdemo_witness **wp);

/**
 * mmapdemo_witness_cpu_error() - why there is no cpu witness
 * @w: the witness
 *
 * Return: 0 when there is one; -EACCES or -EPERM without the right to trace; -EOPNOTSUPP when
 * this kernel lacks tracefs, the tracepoint or hist triggers; or another -errno.
 */
int mmapdemo_witness_cpu_error(const struct mmapdemo_witness *w);

/**
 * mmapdemo_witness_start() - from here on
 * @w: the witness
 *
 * Return: 0 or -errno.
 */
int mmapdemo_witness_start(struct mmapdemo_witness *w);

/**
 * mmapdemo_witness_stop() - up to here
 * @w: the witness
 * @heard: where the testimony goes
 *
 * Return: 0, -ERANGE when the device was reset meanwhile, or another -errno.
 */
int mmapdemo_witness_stop(struct mmapdemo_witness *w, struct mmapdemo_testimony *heard);

/**
 * mmapdemo_witness_close() - let the witnesses go
 * @w: the witness, or NULL
 */
void mmapdemo_witness_close(struct mmapdemo_witness *w);

/**
 * mmapdemo_witness_abort() - take the trace instance away, from a signal handler
 * @w: the witness, or NULL; of no use afterwards
 *
 * Async-signal-safe. For a program that is about to die of a signal; frees no memory.
 */
void mmapdemo_witness_abort(const struct mmapdemo_witness *w);

#ifdef __cplusplus
}
#endif

#endif /* MMAPDEMO_WITNESS_H */
