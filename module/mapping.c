// SPDX-License-Identifier: GPL-2.0
/*
 * Mappings: made by mmap(), multiplied by fork, split and mremap, told of, killed, closed.
 *
 * mmap() lets the backing set the VMA up, copies the vm_operations that it left there, and
 * overrides those at which something is to be seen. The copy sits in a struct
 * mmapdemo_mapping, so that the mapping is found from vma->vm_ops and vm_private_data
 * stays the backing's:
 *
 *	vma->vm_ops --> mapping.ops     open close             here, then mapping.inner
 *	                                fault ...              fault.c, then mapping.inner
 *	                                every other operation  the backing's, as it was
 *
 * Lock order: mmap_lock > dev->mappings_lock. The core calls open with mmap_lock held for
 * writing, close with it held for writing or reading, or when the mm has no user any more.
 */
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/pid_namespace.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "events.h"
#include "mapping.h"
#include "trace.h"

static bool is_older(struct rb_node *a, const struct rb_node *b)
{
	return rb_entry(a, struct mmapdemo_mapping, node)->id <
	       rb_entry(b, struct mmapdemo_mapping, node)->id;
}

/* From here on it is told of. A device that is dead already kills what comes too late. */
static void publish(struct mmapdemo_mapping *m)
{
	struct mmapdemo_device *dev = m->dev;

	spin_lock(&dev->mappings_lock);
	m->id = ++dev->last_mapping;
	rb_add(&m->node, &dev->mappings, is_older);
	if (!dev->live++)
		mmapdemo_event(MMAPDEMO_EVENT_DEVICE, MMAPDEMO_DEVICE_MAPPED, dev, 0);
	if (mmapdemo_is_dead(dev))
		mmapdemo_fault_kill(m);
	spin_unlock(&dev->mappings_lock);
}

static void unpublish(struct mmapdemo_mapping *m)
{
	struct mmapdemo_device *dev = m->dev;

	spin_lock(&dev->mappings_lock);
	rb_erase(&m->node, &dev->mappings);
	if (!--dev->live)
		mmapdemo_event(MMAPDEMO_EVENT_DEVICE, MMAPDEMO_DEVICE_UNMAPPED, dev, 0);
	spin_unlock(&dev->mappings_lock);
}

/* Another VMA of this mapping. There is no way to refuse it, so the memory has to be had. */
static void mapping_open(struct vm_area_struct *vma)
{
	struct mmapdemo_mapping *old = mmapdemo_mapping_of(vma), *m;

	m = kzalloc(sizeof(*m), GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);
	m->ops = old->ops;
	/* Perhaps just being exchanged, because the device dies: then publish() does it again. */
	m->inner = old->inner;
	m->cpu = old->cpu;
	m->installed = old->installed;
	m->dev = old->dev;
	m->file = get_file(old->file);
	m->vma = vma;
	m->stamp.tick = jiffies - 1;
	vma->vm_ops = &m->ops;
	publish(m);
	if (m->inner.open)
		m->inner.open(vma);
}

static void mapping_close(struct vm_area_struct *vma)
{
	struct mmapdemo_mapping *m = mmapdemo_mapping_of(vma);

	trace_mmapdemo_close(m->dev, vma->vm_pgoff, vma->vm_start, MMAPDEMO_NO_ACCESS, 0, 0);
	if (m->inner.close)
		m->inner.close(vma);
	/* The core may look at vma->vm_ops once more, and the backing's are still good. */
	vma->vm_ops = m->installed;
	unpublish(m);
	put_pid(m->maker);
	fput(m->file);
	kfree(m);
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
	m->installed = vma->vm_ops;
	m->inner = *vma->vm_ops;
	m->ops = *vma->vm_ops;
	m->ops.open = mapping_open;
	m->ops.close = mapping_close;
	mmapdemo_fault_wrap(m);
	m->cpu = dev->stats.cpu;
	m->dev = dev;
	m->file = get_file(file);
	m->vma = vma;
	m->maker = get_task_pid(current, PIDTYPE_PID);
	m->stamp.tick = jiffies - 1;
	vma->vm_ops = &m->ops;
	mmapdemo_stats_inc(&dev->stats, MMAPDEMO_MAPPINGS);
	publish(m);
	return 0;
}

/* The oldest mapping younger than @id. */
static struct mmapdemo_mapping *younger_than(struct mmapdemo_device *dev, u64 id)
{
	struct rb_node *node = dev->mappings.rb_node;
	struct mmapdemo_mapping *m, *found = NULL;

	lockdep_assert_held(&dev->mappings_lock);
	while (node) {
		m = rb_entry(node, struct mmapdemo_mapping, node);
		if (m->id > id) {
			found = m;
			node = node->rb_left;
		} else {
			node = node->rb_right;
		}
	}
	return found;
}

/* The youngest of all, be it there or not. */
u64 mmapdemo_mapping_last(struct mmapdemo_device *dev)
{
	u64 id;

	spin_lock(&dev->mappings_lock);
	id = dev->last_mapping;
	spin_unlock(&dev->mappings_lock);
	return id;
}

/*
 * Its @id and the mm it is in, of the oldest mapping younger than @id and not younger than
 * @last; NULL if there is none. One in an mm without users is on its way out, and nobody
 * accesses it. The mm is taken: mmput() may be the last and close mappings, so it is called
 * without any lock.
 */
static struct mm_struct *next_mm(struct mmapdemo_device *dev, u64 *id, u64 last)
{
	struct mm_struct *mm = NULL;
	struct mmapdemo_mapping *m;

	spin_lock(&dev->mappings_lock);
	while (!mm) {
		m = younger_than(dev, *id);
		if (!m || m->id > last)
			break;
		*id = m->id;
		if (mmget_not_zero(m->vma->vm_mm))
			mm = m->vma->vm_mm;
	}
	spin_unlock(&dev->mappings_lock);
	return mm;
}

/* The mapping called @id, or NULL if it is closed by now. */
static struct mmapdemo_mapping *find(struct mmapdemo_device *dev, u64 id)
{
	struct mmapdemo_mapping *m = younger_than(dev, id - 1);

	return m && m->id == id ? m : NULL;
}

/* As who asks numbers it, 0 if it has ended: then the number may be another's. */
static pid_t nr_of(struct pid *pid)
{
	pid_t nr = 0;

	rcu_read_lock();
	if (pid_task(pid, PIDTYPE_PID))
		nr = pid_nr_ns(pid, task_active_pid_ns(current));
	rcu_read_unlock();
	return nr;
}

/* All of the VMA that is told stands still under mmap_lock, and the VMA is there under ours. */
static bool describe(struct mmapdemo_device *dev, u64 id, struct mmapdemo_mapping_info *info)
{
	struct mmapdemo_mapping *m;
	int i;

	spin_lock(&dev->mappings_lock);
	m = find(dev, id);
	if (m) {
		info->start = m->vma->vm_start;
		info->end = m->vma->vm_end;
		info->pgoff = m->vma->vm_pgoff;
		info->flags = m->vma->vm_flags;
		info->pid = nr_of(m->maker);
		for (i = 0; i < MMAPDEMO_NR_MAPPING_FAULTS; i++)
			info->faults[i] = atomic_long_read(&m->faults[i]);
	}
	spin_unlock(&dev->mappings_lock);
	return m;
}

/* The kernel keeps no way back from an mm to its process that a module could rely on. */
static void describe_process(const struct mm_struct *mm, struct mmapdemo_mapping_info *info)
{
	struct task_struct *process, *thread;

	info->tgid = 0;
	info->comm[0] = '\0';
	rcu_read_lock();
	for_each_process_thread(process, thread) {
		if (READ_ONCE(thread->mm) != mm || (thread->flags & PF_KTHREAD))
			continue;
		info->tgid = task_tgid_nr_ns(thread, task_active_pid_ns(current));
		strscpy(info->comm, thread->group_leader->comm, sizeof(info->comm));
		break;
	}
	rcu_read_unlock();
	if (!info->pid)
		info->pid = info->tgid;
}

/**
 * mmapdemo_mapping_next() - tell of the next mapping of a device
 * @dev: the device
 * @id: where the last call left off, 0 at first
 * @last: where to stop, mmapdemo_mapping_last()
 * @info: what it is
 *
 * Return: 1, 0 when there is no other, -EINTR when the caller is being killed.
 */
int mmapdemo_mapping_next(struct mmapdemo_device *dev, u64 *id, u64 last,
			  struct mmapdemo_mapping_info *info)
{
	struct mm_struct *mm;
	bool found = false;

	while (!found) {
		mm = next_mm(dev, id, last);
		if (!mm)
			return 0;
		if (mmap_read_lock_killable(mm)) {
			mmput(mm);
			return -EINTR;
		}
		found = describe(dev, *id, info);
		mmap_read_unlock(mm);
		if (found)
			describe_process(mm, info);
		mmput(mm);
	}
	return 1;
}

/* Those that are there; what comes later is killed as it comes. Returns the youngest. */
static u64 kill_all(struct mmapdemo_device *dev)
{
	struct rb_node *node;
	u64 last;

	spin_lock(&dev->mappings_lock);
	for (node = rb_first(&dev->mappings); node; node = rb_next(node))
		mmapdemo_fault_kill(rb_entry(node, struct mmapdemo_mapping, node));
	last = dev->last_mapping;
	spin_unlock(&dev->mappings_lock);
	return last;
}

/* No fault of this mapping is under way while its mm's lock and its own are held. */
static void pass_faults(struct mmapdemo_device *dev, u64 id)
{
	struct vm_area_struct *vma = NULL;
	struct mmapdemo_mapping *m;

	spin_lock(&dev->mappings_lock);
	m = find(dev, id);
	if (m)
		vma = m->vma;
	spin_unlock(&dev->mappings_lock);
	if (vma)
		vma_start_write(vma);
}

/* Wait until those faults are over that have seen the device alive. */
static int wait_for_faults(struct mmapdemo_device *dev, u64 last)
{
	struct mm_struct *mm;
	int err = 0;
	u64 id = 0;

	while (!err && (mm = next_mm(dev, &id, last))) {
		err = mmap_write_lock_killable(mm);
		if (!err) {
			pass_faults(dev, id);
			mmap_write_unlock(mm);
		}
		mmput(mm);
	}
	return err;
}

/*
 * Of a cache that is the device's alone, what was copied privately goes too. That of a file
 * may have been copied by those who map the file itself, whom this is no business of.
 */
static void unmap(struct mmapdemo_device *dev)
{
	unmap_mapping_range(dev->inode->i_mapping, 0, 0, dev->backing->own);
}

/**
 * mmapdemo_mappings_kill() - end every access to a device that is dead
 * @dev: the device, see mmapdemo_is_dead()
 *
 * When this has returned, each access to its pages is a SIGBUS, for ever; see unmap() for
 * what are not its pages. What is mapped is taken away at once, and once more when those
 * faults are over that were under way meanwhile; they may be waiting for a disk or for a
 * server in user space.
 *
 * Return: 0, or -EINTR when the caller was killed in that wait.
 */
int mmapdemo_mappings_kill(struct mmapdemo_device *dev)
{
	u64 last;
	int err;

	last = kill_all(dev);
	unmap(dev);
	err = wait_for_faults(dev, last);
	unmap(dev);
	return err;
}
