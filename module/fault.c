// SPDX-License-Identifier: GPL-2.0
/*
 * The outer layer of vm_operations: the same for every device, whatever supplies its pages.
 *
 * mmap() lets the backing set the VMA up, copies the vm_operations that it left there, and
 * overrides those at which something is to be seen. The copy sits in a struct
 * mmapdemo_mapping, so that the mapping is found from vma->vm_ops and vm_private_data
 * stays the backing's:
 *
 *	vma->vm_ops --> mapping.ops     open close fault ...   here, then mapping.inner->...
 *	                                every other operation  the backing's, as it was
 */
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/sched/clock.h>
#include <linux/slab.h>

#include "mmapdemo.h"
#include "trace.h"

/**
 * struct mmapdemo_mapping - one mmap() call and what fork, split and mremap made of it
 * @ops: what the VMAs point to
 * @inner: what the backing installed
 * @dev: the device; @file keeps it
 * @file: the file that was mapped. For a file device vma->vm_file is the file behind it,
 *	and without this reference nothing would hold the device and the module.
 * @vmas: VMAs that point to @ops
 */
struct mmapdemo_mapping {
	struct vm_operations_struct ops;
	const struct vm_operations_struct *inner;
	struct mmapdemo_device *dev;
	struct file *file;
	refcount_t vmas;
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
	if (m->inner->open)
		m->inner->open(vma);
}

static void mapping_close(struct vm_area_struct *vma)
{
	struct mmapdemo_mapping *m = mapping_of(vma);

	trace_mmapdemo_close(m->dev, vma->vm_pgoff, vma->vm_start, MMAPDEMO_NO_ACCESS, 0, 0);
	if (m->inner->close)
		m->inner->close(vma);
	if (!refcount_dec_and_test(&m->vmas))
		return;
	/* The core may look at vma->vm_ops once more, and the backing's are still good. */
	vma->vm_ops = m->inner;
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
 * Will the core map the folio that this fault hands over with one PMD? These are its own
 * conditions, asked before it comes to them.
 */
static bool maps_huge(const struct vm_fault *vmf, vm_fault_t result)
{
	if (!(result & VM_FAULT_LOCKED) || !PageTransCompound(vmf->page))
		return false;
	return folio_order(page_folio(vmf->page)) == HPAGE_PMD_ORDER && pmd_none(*vmf->pmd) &&
	       thp_vma_suitable_order(vmf->vma, vmf->address, HPAGE_PMD_ORDER);
}

/*
 * With VM_FAULT_RETRY the backing has released the lock that kept the VMA, so by then the
 * mapping may be gone, and the device and this module with it: hold the file meanwhile.
 * The time is local_clock()'s: cheap, and a fault that migrates reads it with an error of
 * less than a bucket.
 */
static vm_fault_t mapping_fault(struct vm_fault *vmf)
{
	struct mmapdemo_mapping *m = mapping_of(vmf->vma);
	enum mmapdemo_access access = access_of(vmf);
	struct mmapdemo_device *dev = m->dev;
	struct file *file = get_file(m->file);
	u64 start = local_clock();
	vm_fault_t ret;
	bool huge;
	u64 ns;

	ret = m->inner->fault(vmf);
	ns = local_clock() - start;
	huge = access != MMAPDEMO_COW && maps_huge(vmf, ret);
	mmapdemo_stats_fault(&dev->stats, access, vmf->flags, ret, ns, huge);
	trace_mmapdemo_fault(dev, vmf->pgoff, vmf->address, access, ret, ns);
	fput(file);
	return ret;
}

/* A backing that installs whole PMDs (or PUDs) itself; FALLBACK: the fault comes again. */
static vm_fault_t mapping_huge_fault(struct vm_fault *vmf, mmapdemo_huge_t order)
{
	struct mmapdemo_mapping *m = mapping_of(vmf->vma);
	enum mmapdemo_access access = access_of(vmf);
	struct mmapdemo_device *dev = m->dev;
	struct file *file = get_file(m->file);
	u64 start = local_clock();
	vm_fault_t ret;
	u64 ns;

	ret = m->inner->huge_fault(vmf, order);
	ns = local_clock() - start;
	if (!(ret & VM_FAULT_FALLBACK)) {
		mmapdemo_stats_fault(&dev->stats, access, vmf->flags, ret, ns, true);
		trace_mmapdemo_fault(dev, vmf->pgoff, vmf->address, access, ret, ns);
	}
	fput(file);
	return ret;
}

/* Runs under rcu_read_lock() on some kernels, never sleeps, is not worth timing. */
static vm_fault_t mapping_map_pages(struct vm_fault *vmf, pgoff_t start, pgoff_t end)
{
	struct mmapdemo_mapping *m = mapping_of(vmf->vma);
	vm_fault_t ret = m->inner->map_pages(vmf, start, end);

	if (ret & VM_FAULT_NOPAGE) {
		mmapdemo_stats_inc(&m->dev->stats, MMAPDEMO_AROUND);
		if (pmd_trans_huge(*vmf->pmd))
			mmapdemo_stats_inc(&m->dev->stats, MMAPDEMO_HUGE);
	}
	trace_mmapdemo_map_pages(m->dev, vmf->pgoff, vmf->address, MMAPDEMO_READ, ret, 0);
	return ret;
}

/* VM_FAULT_NOPAGE: the page went away in between, and the access comes again. */
static void mkwrite_done(struct mmapdemo_device *dev, struct vm_fault *vmf, vm_fault_t ret,
			 u64 ns)
{
	if (!(ret & VM_FAULT_NOPAGE))
		mmapdemo_stats_fault(&dev->stats, MMAPDEMO_MKWRITE, 0, ret, ns, false);
	trace_mmapdemo_mkwrite(dev, vmf->pgoff, vmf->address, MMAPDEMO_MKWRITE, ret, ns);
}

/* The core clears FAULT_FLAG_ALLOW_RETRY for page_mkwrite: the VMA stays locked. */
static vm_fault_t mapping_page_mkwrite(struct vm_fault *vmf)
{
	struct mmapdemo_mapping *m = mapping_of(vmf->vma);
	u64 start = local_clock();
	vm_fault_t ret = m->inner->page_mkwrite(vmf);

	mkwrite_done(m->dev, vmf, ret, local_clock() - start);
	return ret;
}

static vm_fault_t mapping_pfn_mkwrite(struct vm_fault *vmf)
{
	struct mmapdemo_mapping *m = mapping_of(vmf->vma);
	u64 start = local_clock();
	vm_fault_t ret = m->inner->pfn_mkwrite(vmf);

	mkwrite_done(m->dev, vmf, ret, local_clock() - start);
	return ret;
}

/*
 * The inner page_mkwrite of a backing that has none, a tmpfs file say: what the core would
 * have done itself, the time stamp, and the check that the page is still the file's.
 */
static vm_fault_t plain_page_mkwrite(struct vm_fault *vmf)
{
	struct file *file = vmf->vma->vm_file;
	struct folio *folio = page_folio(vmf->page);

	file_update_time(file);
	folio_lock(folio);
	if (folio->mapping != file->f_mapping) {
		folio_unlock(folio);
		return VM_FAULT_NOPAGE;
	}
	return VM_FAULT_LOCKED;
}

static vm_fault_t mapping_plain_mkwrite(struct vm_fault *vmf)
{
	u64 start = local_clock();
	vm_fault_t ret = plain_page_mkwrite(vmf);

	mkwrite_done(mapping_of(vmf->vma)->dev, vmf, ret, local_clock() - start);
	return ret;
}

/* Put the outer layer over what the backing installed; what is not overridden is kept. */
static void wrap(struct mmapdemo_mapping *m, struct vm_area_struct *vma)
{
	const struct vm_operations_struct *inner = vma->vm_ops;

	m->inner = inner;
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
	m->dev = dev;
	m->file = get_file(file);
	refcount_set(&m->vmas, 1);
	wrap(m, vma);
	atomic_long_inc(&dev->live);
	mmapdemo_stats_inc(&dev->stats, MMAPDEMO_MAPPINGS);
	return 0;
}
