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
 *
 * Devices come, go and are worked on through the generic netlink family "mmapdemo",
 * which Documentation/netlink/specs/mmapdemo.yaml describes word by word;
 * mmapdemo_netlink.h is made from that. A request names its device in MMAPDEMO_A_DEV,
 * what it does not know is refused, and the extended acknowledgment says which
 * attribute was wrong and why. MMAPDEMO_CMD_DEVICE_GET and MMAPDEMO_CMD_EVENT_GET are
 * for everybody, all else, the multicast group "faults" included, needs CAP_SYS_ADMIN
 * in the initial user namespace.
 *
 *	command		kind	request (optional)	   answer
 *	device-add	do	backing (dev size flags file)  as device-get
 *	device-del	do	dev (force)
 *	device-get	do	dev			   dev backing size flags (path)
 *			dump				   opens mappings faults (dirty-pages)
 *	mapping-get	dump	dev			   dev pid tgid comm start end pgoff
 *							   (shared) prot faults
 *	page-get	dump	dev (page pages)	   page pages state
 *	zap		do	dev (page pages)
 *	wrprotect	do	dev (page pages)
 *	dirty-harvest	dump	dev (page pages)	   page pages
 *	resize		do	dev size
 *	punch		do	dev offset length
 *	event-get	do				   devices-seq faults-seq
 *	device-event	group "devices"			   seq event dev backing size
 *	fault-event	group "faults"			   seq event dev page pid tgid comm
 *
 * A deleted device is dead: its node and its directory are gone; of its open files
 * read, write, mmap and the like fail with ENODEV and poll() says EPOLLHUP; an access
 * through its mappings is a SIGBUS, whatever devices are made later. Without
 * MMAPDEMO_A_FORCE a device that somebody has open, or mapped, is not deleted: EBUSY.
 *
 * A range of pages is MMAPDEMO_A_PAGE, the first, and MMAPDEMO_A_PAGES, how many; without
 * them it begins at page 0 and goes to the end of the device. One that is not wholly
 * inside the device is refused with ERANGE. Dirt is kept by the folio: of one of 2 MiB
 * that is in the range in part, dirty-harvest tells all pages.
 *
 * Without MMAPDEMO_A_FLAGS a new device of ram has huge pages, as the one that loading
 * makes. With MMAPDEMO_A_FILE the file is the one behind the descriptor, and the device is
 * read-only if that is not open for writing, or if the file may only be appended to.
 */
#ifndef _UAPI_LINUX_MMAPDEMO_H
#define _UAPI_LINUX_MMAPDEMO_H

#include <linux/mmapdemo_netlink.h>

/* Node of the device made at load time; further ones append 1, 2, ... */
#define MMAPDEMO_NAME		"mmapdemo"

/* Directory under /sys/class with one directory per device. */
#define MMAPDEMO_CLASS		"mmapdemo"

/*
 * Buckets of a latency histogram: bucket i counts what took 2^i to 2^(i+1)-1 ns,
 * bucket 0 also 0 ns, the last one also everything longer (2^39 ns is 9 minutes).
 */
#define MMAPDEMO_BUCKETS	40

/*
 * Room for the name of a device, with the 0 at its end. A name that is asked for begins with
 * "mmapdemo", because it becomes a node in /dev, and goes on with letters, digits, '.', '_'
 * and '-'. Without one a device is called "mmapdemo", or "mmapdemo" and the lowest number,
 * from 1, that no device has.
 */
#define MMAPDEMO_NAME_SIZE	32

#endif /* _UAPI_LINUX_MMAPDEMO_H */
