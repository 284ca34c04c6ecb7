// SPDX-License-Identifier: GPL-2.0
/*
 * The outer layer of vm_operations: the same for every device, whatever supplies its pages.
 *
 * Each handler calls that of the backing, which mapping.c has put aside in mapping.inner,
 * and enters what came of it. When a device dies its mappings get inner handlers that
 * answer SIGBUS: nothing has to be asked on the way of a fault.
 */
#include <linux/iversion.h>
#include <linux/mm.h>

#include "clock.h"
#include "events.h"
#include "mapping.h"
#include "trace.h"

#ifdef CONFIG_X86_TSC
u64 mmapdemo_clock_mult;
#endif

static enum mmapdemo_access access_of(const struct vm_fault *vmf)
{
	if (!(vmf->flags & FAULT_FLAG_WRITE))
		return MMAPDEMO_READ;
	return vmf->vma->vm_flags & VM_SHARED ? MMAPDEMO_WRITE : MMAPDEMO_COW;
}

static enum mmapdemo_outcome outcome_of(unsigned int flags)
{
	return flags & FAULT_FLAG_VMA_LOCK ? MMAPDEMO_DONE_VMA : MMAPDEMO_DONE;
}

/* What an error is in the group of fault events, 0 if it is none. */
static unsigned int failure(vm_fault_t result)
{
	if (result & (VM_FAULT_HWPOISON | VM_FAULT_HWPOISON_LARGE))
		return MMAPDEMO_FAULT_HWPOISON;
	if (result & VM_FAULT_OOM)
		return MMAPDEMO_FAULT_OOM;
	return result & VM_FAULT_ERROR ? MMAPDEMO_FAULT_SIGBUS : 0;
}

/*
 * A call whose result is not plain success. After VM_FAULT_RETRY the mapping may be gone;
 * page_mkwrite says VM_FAULT_NOPAGE of a page that went away before: the core comes again.
 * After the handler, the core looks for itself whether the memory of the page has failed.
 */
static noinline void account_unusual(struct mmapdemo_mapping *m,
				     struct mmapdemo_stats_cpu __percpu *cpu,
				     const struct vm_fault *vmf, enum mmapdemo_access access,
				     enum mmapdemo_outcome outcome, vm_fault_t result, u64 ns)
{
	if (access == MMAPDEMO_MKWRITE && (result & VM_FAULT_NOPAGE))
		return;
	if (access != MMAPDEMO_MKWRITE && (result & VM_FAULT_LOCKED) && PageHWPoison(vmf->page))
		result |= VM_FAULT_HWPOISON;
	mmapdemo_stats_unusual(cpu, access, outcome, result, ns);
	if (result & VM_FAULT_RETRY)
		return;
	atomic_long_inc(&m->faults[access]);
	if (failure(result))
		mmapdemo_event(MMAPDEMO_EVENT_FAULT, failure(result), this_cpu_read(cpu->dev),
			       vmf->pgoff);
}

/* One call of the backing's handler, its kind, VM_FAULT_* result and time: two increments. */
static __always_inline void account(struct mmapdemo_mapping *m,
				    struct mmapdemo_stats_cpu __percpu *cpu,
				    const struct vm_fault *vmf, enum mmapdemo_access access,
				    unsigned int flags, vm_fault_t result, u64 ns)
{
	enum mmapdemo_outcome outcome = outcome_of(flags);

	/* Where nothing is unusual the page is there. */
	if (unlikely((result & MMAPDEMO_UNUSUAL) ||
		     (access != MMAPDEMO_MKWRITE && PageHWPoison(vmf->page)))) {
		account_unusual(m, cpu, vmf, access, outcome, result, ns);
		return;
	}
	mmapdemo_stats_call(cpu, access, outcome, ns);
	atomic_long_inc(&m->faults[access]);
}

/*
 * Does this fault hand over a folio that the core can map with one PMD? Its own conditions,
 * asked before it comes to them. Two faults may do so at a time, and then it maps one of
 * the two.
 */
static bool maps_huge(const struct vm_fault *vmf, enum mmapdemo_access access, vm_fault_t result)
{
	/* Without a locked page the page tables may be gone; mostly there is a table here. */
	if (!(result & VM_FAULT_LOCKED) || likely(!pmd_none(*vmf->pmd)))
		return false;
	return access != MMAPDEMO_COW && PageTransCompound(vmf->page) &&
	       folio_order(page_folio(vmf->page)) == HPAGE_PMD_ORDER &&
	       thp_vma_suitable_order(vmf->vma, vmf->address, HPAGE_PMD_ORDER) &&
	       !mmapdemo_thp_disabled(vmf->vma);
}

/*
 * With VM_FAULT_RETRY the backing has released the lock that kept the VMA, so by then the
 * mapping may be gone: between enter and leave the device is not freed, nor the module
 * unloaded.
 */
static vm_fault_t mapping_fault(struct vm_fault *vmf)
{
	struct mmapdemo_mapping *m = mmapdemo_mapping_of(vmf->vma);
	enum mmapdemo_access access = access_of(vmf);
	struct mmapdemo_stats_cpu __percpu *cpu = m->cpu;
	vm_fault_t (*inner)(struct vm_fault *vmf) = READ_ONCE(m->inner.fault);
	u64 ns, start = mmapdemo_clock();
	vm_fault_t ret;

	mmapdemo_stats_enter(cpu);
	ret = inner(vmf);
	ns = mmapdemo_clock_since(start);
	if (maps_huge(vmf, access, ret))
		this_cpu_inc(cpu->figures.count[MMAPDEMO_HUGE]);
	account(m, cpu, vmf, access, vmf->flags, ret, ns);
	if (trace_mmapdemo_fault_enabled())
		trace_mmapdemo_fault(this_cpu_read(cpu->dev), vmf->pgoff, vmf->address, access,
				     ret, ns);
	mmapdemo_stats_leave(cpu);
	return ret;
}

/* A backing that installs whole PMDs (or PUDs) itself; FALLBACK: the fault comes again. */
static vm_fault_t mapping_huge_fault(struct vm_fault *vmf, mmapdemo_huge_t order)
{
	struct mmapdemo_mapping *m = mmapdemo_mapping_of(vmf->vma);
	enum mmapdemo_access access = access_of(vmf);
	struct mmapdemo_stats_cpu __percpu *cpu = m->cpu;
	vm_fault_t (*inner)(struct vm_fault *vmf, mmapdemo_huge_t order) =
		READ_ONCE(m->inner.huge_fault);
	u64 ns, start = mmapdemo_clock();
	vm_fault_t ret;

	mmapdemo_stats_enter(cpu);
	ret = inner(vmf, order);
	ns = mmapdemo_clock_since(start);
	if (!(ret & VM_FAULT_FALLBACK)) {
		if (!(ret & (VM_FAULT_RETRY | VM_FAULT_ERROR)))
			this_cpu_inc(cpu->figures.count[MMAPDEMO_HUGE]);
		account_unusual(m, cpu, vmf, access, outcome_of(vmf->flags), ret, ns);
		trace_mmapdemo_fault(this_cpu_read(cpu->dev), vmf->pgoff, vmf->address, access,
				     ret, ns);
	}
	mmapdemo_stats_leave(cpu);
	return ret;
}

/* Never sleeps, keeps its lock, and is short: counted, not timed. */
static vm_fault_t mapping_map_pages(struct vm_fault *vmf, pgoff_t start, pgoff_t end)
{
	struct mmapdemo_mapping *m = mmapdemo_mapping_of(vmf->vma);
	vm_fault_t (*inner)(struct vm_fault *vmf, pgoff_t start, pgoff_t end) =
		READ_ONCE(m->inner.map_pages);
	vm_fault_t ret = inner(vmf, start, end);

	if (ret & VM_FAULT_NOPAGE) {
		mmapdemo_stats_inc(&m->dev->stats, MMAPDEMO_AROUND);
		atomic_long_inc(&m->faults[MMAPDEMO_MAPPING_AROUND]);
		if (pmd_trans_huge(*vmf->pmd))
			mmapdemo_stats_inc(&m->dev->stats, MMAPDEMO_HUGE);
	}
	trace_mmapdemo_map_pages(m->dev, vmf->pgoff, vmf->address, MMAPDEMO_READ, ret, 0);
	return ret;
}

/*
 * page_mkwrite and pfn_mkwrite keep the lock of their VMA: for the first the core clears
 * FAULT_FLAG_ALLOW_RETRY, of the second (DAX) none gives it up.
 * @success: what the result may say of a call that has done its work
 */
static __always_inline vm_fault_t mkwrite(struct vm_fault *vmf,
					  vm_fault_t (*inner)(struct vm_fault *vmf),
					  vm_fault_t success)
{
	struct mmapdemo_mapping *m = mmapdemo_mapping_of(vmf->vma);
	u64 ns, start = mmapdemo_clock();
	vm_fault_t ret;

	ret = inner(vmf);
	ns = mmapdemo_clock_since(start);
	account(m, m->cpu, vmf, MMAPDEMO_MKWRITE, 0, ret & ~success, ns);
	if (trace_mmapdemo_mkwrite_enabled())
		trace_mmapdemo_mkwrite(m->dev, vmf->pgoff, vmf->address, MMAPDEMO_MKWRITE, ret, ns);
	return ret;
}

/* VM_FAULT_NOPAGE: there is no such page any more, and the access comes again. */
static vm_fault_t mapping_page_mkwrite(struct vm_fault *vmf)
{
	return mkwrite(vmf, READ_ONCE(mmapdemo_mapping_of(vmf->vma)->inner.page_mkwrite), 0);
}

/* VM_FAULT_NOPAGE: it has made the page table entry writable itself. */
static vm_fault_t mapping_pfn_mkwrite(struct vm_fault *vmf)
{
	return mkwrite(vmf, READ_ONCE(mmapdemo_mapping_of(vmf->vma)->inner.pfn_mkwrite),
		       VM_FAULT_NOPAGE);
}

/*
 * Would file_update_time() find nothing to do? So it is in the jiffy in which it last ran,
 * with which the clock of time stamps moves, as long as nobody has set the time since or has
 * asked for it (or for the version) and expects the next change to show.
 */
static bool stamp_stands(const struct mmapdemo_mapping *m, const struct inode *inode)
{
	struct timespec64 mtime = inode_get_mtime(inode);
	unsigned long now = jiffies;

	return m->stamp.tick == now && timespec64_equal(&m->stamp.mtime, &mtime) &&
	       m->stamp.ctime_raw == mmapdemo_ctime_raw(inode) &&
	       m->stamp.version == inode_peek_iversion_raw(inode);
}

/* The two times are the same after it, unless somebody has set one: then do not rely on it. */
static void stamp(struct mmapdemo_mapping *m, struct file *file)
{
	const struct inode *inode = file_inode(file);
	unsigned long now = jiffies;
	struct timespec64 ctime;

	file_update_time(file);
	m->stamp.mtime = inode_get_mtime(inode);
	m->stamp.ctime_raw = mmapdemo_ctime_raw(inode);
	m->stamp.version = inode_peek_iversion_raw(inode);
	ctime = inode_get_ctime(inode);
	m->stamp.tick = timespec64_equal(&m->stamp.mtime, &ctime) ? now : now - 1;
}

/*
 * For a backing that has no page_mkwrite, a tmpfs file say: what the core would have done
 * itself, the time stamp. The core then locks the page and asks whether it still is the
 * file's, because this does not say VM_FAULT_LOCKED. No handler of the backing ran: 0 ns.
 */
static vm_fault_t mapping_plain_mkwrite(struct vm_fault *vmf)
{
	struct mmapdemo_mapping *m = mmapdemo_mapping_of(vmf->vma);
	struct file *file = vmf->vma->vm_file;

	if (!stamp_stands(m, file_inode(file)))
		stamp(m, file);
	account(m, m->cpu, vmf, MMAPDEMO_MKWRITE, 0, 0, 0);
	if (trace_mmapdemo_mkwrite_enabled())
		trace_mmapdemo_mkwrite(m->dev, vmf->pgoff, vmf->address, MMAPDEMO_MKWRITE, 0, 0);
	return 0;
}

/* What the mappings of a dead device call instead of what the backing installed. */

static vm_fault_t dead_fault(struct vm_fault *vmf)
{
	return VM_FAULT_SIGBUS;
}

static vm_fault_t dead_huge_fault(struct vm_fault *vmf, mmapdemo_huge_t order)
{
	return VM_FAULT_FALLBACK;
}

static vm_fault_t dead_map_pages(struct vm_fault *vmf, pgoff_t start, pgoff_t end)
{
	return 0;
}

/*
 * Called when somebody may be in any of the handlers: each pointer changes in one step, and
 * what the VMA points to does not change at all. mapping_plain_mkwrite() needs no other: the
 * core makes an entry writable only while it is there, and mmapdemo_mappings_kill() takes the
 * last one away.
 */
void mmapdemo_fault_kill(struct mmapdemo_mapping *m)
{
	WRITE_ONCE(m->inner.fault, dead_fault);
	WRITE_ONCE(m->inner.huge_fault, dead_huge_fault);
	WRITE_ONCE(m->inner.map_pages, dead_map_pages);
	WRITE_ONCE(m->inner.page_mkwrite, dead_fault);
	WRITE_ONCE(m->inner.pfn_mkwrite, dead_fault);
}

/* Put the outer layer over what the backing installed; what is not overridden is kept. */
void mmapdemo_fault_wrap(struct mmapdemo_mapping *m)
{
	const struct vm_operations_struct *inner = &m->inner;

	m->ops.fault = mapping_fault;
	m->ops.page_mkwrite = inner->page_mkwrite ? mapping_page_mkwrite : mapping_plain_mkwrite;
	/* The core asks by presence whether these may be called. */
	if (inner->huge_fault)
		m->ops.huge_fault = mapping_huge_fault;
	if (inner->map_pages)
		m->ops.map_pages = mapping_map_pages;
	if (inner->pfn_mkwrite)
		m->ops.pfn_mkwrite = mapping_pfn_mkwrite;
}
