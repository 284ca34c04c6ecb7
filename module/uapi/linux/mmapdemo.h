/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * mmapdemo: a character device whose page faults can be watched
 *
 * A device is a row of pages. Open its node (/dev/mmapdemo, mode 0600 unless a
 * udev rule says otherwise) and read(), write(), splice(), lseek() or mmap() it
 * as a file of fixed size: reading at the end gives 0, writing at the end fails
 * with ENOSPC, what crosses the end is short (unless somebody truncates the file
 * behind at that very moment: then a write may extend it again), SEEK_END is the size, SEEK_DATA
 * and SEEK_HOLE tell which pages exist. A mapping may be longer than the device;
 * an access past the end of the device is a SIGBUS (BUS_ADRERR). fsync() and
 * msync(MS_SYNC) write-protect the pages of the range again, so that the next
 * store to each of them runs page_mkwrite again.
 *
 * What happened is in /sys/class/mmapdemo/<device>/, one value a file. Counters
 * and histograms are kept per CPU; a fault enters all of its figures in one step.
 * The file "stat" holds all of them as one consistent snapshot, a line each:
 *
 *	<name> <value>			e.g. "faults/read 12"
 *	latency/<kind> <b0> ... <b39>	MMAPDEMO_BUCKETS values
 *
 * where <name> is the path of the file that holds the same value alone. More
 * lines may come in later versions: skip names that you do not know.
 */
#ifndef _UAPI_LINUX_MMAPDEMO_H
#define _UAPI_LINUX_MMAPDEMO_H

/* Node of the device made at load time; further ones append 1, 2, ... */
#define MMAPDEMO_NAME		"mmapdemo"

/* Directory under /sys/class with one directory per device. */
#define MMAPDEMO_CLASS		"mmapdemo"

/*
 * Buckets of a latency histogram: bucket i counts what took 2^i to 2^(i+1)-1 ns,
 * bucket 0 also 0 ns, the last one also everything longer (2^39 ns is 9 minutes).
 */
#define MMAPDEMO_BUCKETS	40

#endif /* _UAPI_LINUX_MMAPDEMO_H */
