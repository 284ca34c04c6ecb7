// SPDX-License-Identifier: GPL-2.0
/*
 * The outer layer of vm_operations: the same for every device, whatever supplies its pages.
 *
 * mmap() lets the backing set the VMA up, copies the vm_operations that it left there, and
 * overrides those at which something is to be seen. The copy sits in a struct
 * mmapdemo_mapping, so that the mapping is found from vma->vm_ops and vm_private_data
 * stays the backing's:
 *
 *	vma->vm_ops --> mapping.ops     open close fault ...   here, then mapping.inner
 *	                                every other operation  the backing's, as it was
 */
#include <linux/file.h>
#include <linux/iversion.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "clock.h"
#include "mmapdemo.h"
#include "trace.h"

#ifdef CONFIG_X86_TSC
u64 mmapdemo_clock_mult;
#endif

/**
 * struct mmapdemo_mapping - one mmap() call and what fork, split and mremap made of it
 * @ops: what the VMAs point to
 * @inner: a copy of what the backing installed, one load nearer to the fault path
 * @cpu: the device's figures, likewise
 * @installed: what the backing installed, for the VMA to go back to
 * @dev: the device; @file keeps it
 * @file: the file that was mapped. For a file device vma->vm_file is the file behind it,
 *	and without this reference nothing would hold the device and the module.
 * @vmas: VMAs that point to @ops
 * @stamp: what stamp() last left in the file's inode. Unlocked: should two CPUs mix theirs
 *	while a third sets the time, the next jiffy puts it right.
 */
struct mmapdemo_mapping {
	struct vm_operations_struct ops;
	struct vm_operations_struct inner;
	struct mmapdemo_stats_cpu __percpu *cpu;
	const struct vm_operations_struct *installed;
	struct mmapdemo_device *dev;
	struct file *file;
	refcount_t vmas;
	struct {
		unsigned long tick;
		struct timespec64 mtime;
		u64 version;
		u32 ctime_raw;
	} stamp;
};

static struct mmapdemo_mapping *mapping_of(const struct vm_area_struct *vma)
{
	return container_of(vma->vm_ops, struct mmapdemo_mapping, ops);
}

/* Another VMA of this mapping: fork, a split, or the copy that mremap() makes. */
static void mapping_open(struct vm_area_struct *vma)
{
	struct mmapdemo_mapping *m = mapping_of(vma);

	refcount_inc(&m->vmas);
	if (m->inner.open)
		m->inner.open(vma);
}

static void mapping_close(struct vm_area_struct *vma)
{
	struct mmapdemo_mapping *m = mapping_of(vma);

	trace_mmapdemo_close(m->dev, vma->vm_pgoff, vma->vm_start, MMAPDEMO_NO_ACCESS, 0, 0);
	if (m->inner.close)
		m->inner.close(vma);
	if (!refcount_dec_and_test(&m->vmas))
		return;
	/* The core may look at vma->vm_ops once more, and the backing's are still good. */
	vma->vm_ops = m->installed;
	atomic_long_dec(&m->dev->live);
	fput(m->file);
	kfree(m);
}

static enum mmapdemo_access access_of(const struct vm_fault *vmf)
{
	if (!(vmf->flags & FAULT_FLAG_WRITE))
		return MMAPDEMO_READ;
	return vmf->vma->vm_flags & VM_SHARED ? MMAPDEMO_WRITE : MMAPDEMO_COW;
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
	struct mmapdemo_mapping *m = mapping_of(vmf->vma);
	enum mmapdemo_access access = access_of(vmf);
	struct mmapdemo_stats_cpu __percpu *cpu = m->cpu;
	struct mmapdemo_device *dev = m->dev;
	u64 ns, start = mmapdemo_clock();
	vm_fault_t ret;

	mmapdemo_stats_enter(cpu);
	ret = m->inner.fault(vmf);
	ns = mmapdemo_clock_since(start);
	if (maps_huge(vmf, access, ret))
		mmapdemo_stats_inc(&dev->stats, MMAPDEMO_HUGE);
	mmapdemo_stats_call(cpu, access, vmf->flags, ret, ns);
	if (trace_mmapdemo_fault_enabled())
		trace_mmapdemo_fault(dev, vmf->pgoff, vmf->address, access, ret, ns);
	mmapdemo_stats_leave(cpu);
	return ret;
}

/* A backing that installs whole PMDs (or PUDs) itself; FALLBACK: the fault comes again. */
static vm_fault_t mapping_huge_fault(struct vm_fault *vmf, mmapdemo_huge_t order)
{
	struct mmapdemo_mapping *m = mapping_of(vmf->vma);
	enum mmapdemo_access access = access_of(vmf);
	struct mmapdemo_stats_cpu __percpu *cpu = m->cpu;
	struct mmapdemo_device *dev = m->dev;
	u64 ns, start = mmapdemo_clock();
	vm_fault_t ret;

	mmapdemo_stats_enter(cpu);
	ret = m->inner.huge_fault(vmf, order);
	ns = mmapdemo_clock_since(start);
	if (!(ret & VM_FAULT_FALLBACK)) {
		if (!(ret & (VM_FAULT_RETRY | VM_FAULT_ERROR)))
			mmapdemo_stats_inc(&dev->stats, MMAPDEMO_HUGE);
		mmapdemo_stats_call(cpu, access, vmf->flags, ret, ns);
		trace_mmapdemo_fault(dev, vmf->pgoff, vmf->address, access, ret, ns);
	}
	mmapdemo_stats_leave(cpu);
	return ret;
}

/* Never sleeps, keeps its lock, and is short: counted, not timed. */
static vm_fault_t mapping_map_pages(struct vm_fault *vmf, pgoff_t start, pgoff_t end)
{
	struct mmapdemo_mapping *m = mapping_of(vmf->vma);
	vm_fault_t ret = m->inner.map_pages(vmf, start, end);

	if (ret & VM_FAULT_NOPAGE) {
		mmapdemo_stats_inc(&m->dev->stats, MMAPDEMO_AROUND);
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
	struct mmapdemo_mapping *m = mapping_of(vmf->vma);
	u64 ns, start = mmapdemo_clock();
	vm_fault_t ret;

	ret = inner(vmf);
	ns = mmapdemo_clock_since(start);
	mmapdemo_stats_call(m->cpu, MMAPDEMO_MKWRITE, 0, ret & ~success, ns);
	if (trace_mmapdemo_mkwrite_enabled())
		trace_mmapdemo_mkwrite(m->dev, vmf->pgoff, vmf->address, MMAPDEMO_MKWRITE, ret, ns);
	return ret;
}

/* VM_FAULT_NOPAGE: there is no such page any more, and the access comes again. */
static vm_fault_t mapping_page_mkwrite(struct vm_fault *vmf)
{
	return mkwrite(vmf, mapping_of(vmf->vma)->inner.page_mkwrite, 0);
}

/* VM_FAULT_NOPAGE: it has made the page table entry writable itself. */
static vm_fault_t mapping_pfn_mkwrite(struct vm_fault *vmf)
{
	return mkwrite(vmf, mapping_of(vmf->vma)->inner.pfn_mkwrite, VM_FAULT_NOPAGE);
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
	struct mmapdemo_mapping *m = mapping_of(vmf->vma);
	struct file *file = vmf->vma->vm_file;

	if (!stamp_stands(m, file_inode(file)))
		stamp(m, file);
	mmapdemo_stats_call(m->cpu, MMAPDEMO_MKWRITE, 0, 0, 0);
	if (trace_mmapdemo_mkwrite_enabled())
		trace_mmapdemo_mkwrite(m->dev, vmf->pgoff, vmf->address, MMAPDEMO_MKWRITE, 0, 0);
	return 0;
}

/* Put the outer layer over what the backing installed; what is not overridden is kept. */
static void wrap(struct mmapdemo_mapping *m, struct vm_area_struct *vma)
{
	const struct vm_operations_struct *inner = vma->vm_ops;

	m->installed = inner;
	m->inner = *inner;
	m->ops = *inner;
	m->ops.open = mapping_open;
	m->ops.close = mapping_close;
	m->ops.fault = mapping_fault;
	m->ops.page_mkwrite = inner->page_mkwrite ? mapping_page_mkwrite : mapping_plain_mkwrite;
	/* The core asks by presence whether these may be called. */
	if (inner->huge_fault)
		m->ops.huge_fault = mapping_huge_fault;
	if (inner->map_pages)
		m->ops.map_pages = mapping_map_pages;
	if (inner->pfn_mkwrite)
		m->ops.pfn_mkwrite = mapping_pfn_mkwrite;
	vma->vm_ops = &m->ops;
}

/*
 * Map @file at @vma: called by mmap(), nothing can fail once the backing has set the VMA
 * up, because only then the core would owe the backing a close.
 */
int mmapdemo_mapping_create(struct file *file, struct vm_area_struct *vma)
{
	struct mmapdemo_device *dev = mmapdemo_open(file)->dev;
	struct mmapdemo_mapping *m;
	int err;

	m = kzalloc(sizeof(*m), GFP_KERNEL_ACCOUNT);
	if (!m)
		return -ENOMEM;
	err = dev->backing->mmap(file, vma);
	if (err) {
		kfree(m);
		return err;
	}
	m->cpu = dev->stats.cpu;
	m->dev = dev;
	m->file = get_file(file);
	m->stamp.tick = jiffies - 1;
	refcount_set(&m->vmas, 1);
	wrap(m, vma);
	atomic_long_inc(&dev->live);
	mmapdemo_stats_inc(&dev->stats, MMAPDEMO_MAPPINGS);
	return 0;
}
