/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One tracepoint per stage of a mapping's life: mmap, fault, map_pages, mkwrite, close.
 * They all have the same fields, so one script or filter serves all five.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM mmapdemo

#if !defined(MMAPDEMO_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define MMAPDEMO_TRACE_H

#include <linux/mm.h>
#include <linux/tracepoint.h>

#include "mmapdemo.h"

#define MMAPDEMO_NO_ACCESS MMAPDEMO_NR_ACCESS

#define show_mmapdemo_access(access)			\
	__print_symbolic(access,			\
		{ MMAPDEMO_READ,	"read" },	\
		{ MMAPDEMO_WRITE,	"write" },	\
		{ MMAPDEMO_COW,		"cow" },	\
		{ MMAPDEMO_MKWRITE,	"mkwrite" },	\
		{ MMAPDEMO_NO_ACCESS,	"-" })

/*
 * device	minor number (0 is mmapdemo, 1 is mmapdemo1, ...)
 * pgoff	page of the device
 * address	user address, of the page or of the start of the VMA (mmap, close)
 * result	VM_FAULT_* bits; for mmap 0 or -errno
 * ns		time in the backing's handler, 0 where it is not taken
 */
DECLARE_EVENT_CLASS(mmapdemo_event,
	TP_PROTO(const struct mmapdemo_device *dev, unsigned long pgoff, unsigned long address,
		 unsigned int access, vm_fault_t result, u64 ns),
	TP_ARGS(dev, pgoff, address, access, result, ns),
	TP_STRUCT__entry(
		__field(unsigned int,	device)
		__field(unsigned int,	access)
		__field(unsigned long,	pgoff)
		__field(unsigned long,	address)
		__field(int,		result)
		__field(u64,		ns)
	),
	TP_fast_assign(
		__entry->device = mmapdemo_index(dev);
		__entry->access = access;
		__entry->pgoff = pgoff;
		__entry->address = address;
		__entry->result = (__force int)result;
		__entry->ns = ns;
	),
	TP_printk("device=%u pgoff=%lu address=0x%lx access=%s result=0x%x ns=%llu",
		  __entry->device, __entry->pgoff, __entry->address,
		  show_mmapdemo_access(__entry->access), __entry->result, __entry->ns)
);

#define MMAPDEMO_EVENT(name)							\
DEFINE_EVENT(mmapdemo_event, name,						\
	TP_PROTO(const struct mmapdemo_device *dev, unsigned long pgoff,	\
		 unsigned long address, unsigned int access,			\
		 vm_fault_t result, u64 ns),					\
	TP_ARGS(dev, pgoff, address, access, result, ns))

MMAPDEMO_EVENT(mmapdemo_mmap);
MMAPDEMO_EVENT(mmapdemo_fault);
MMAPDEMO_EVENT(mmapdemo_map_pages);
MMAPDEMO_EVENT(mmapdemo_mkwrite);
MMAPDEMO_EVENT(mmapdemo_close);

#endif /* MMAPDEMO_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
