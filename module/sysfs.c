// SPDX-License-Identifier: GPL-2.0
/*
 * /sys/class/mmapdemo/<device>/: what a device is and what happened on it.
 *
 * Documentation/ABI/testing/sysfs-class-mmapdemo describes every file.
 */
#include <linux/kstrtox.h>
#include <linux/slab.h>
#include <linux/sysfs.h>

#include "mmapdemo.h"

static struct mmapdemo_device *dev_of(struct device *d)
{
	return container_of(d, struct mmapdemo_device, dev);
}

static struct mmapdemo_figures *snapshot(struct device *d)
{
	struct mmapdemo_figures *figures = kmalloc(sizeof(*figures), GFP_KERNEL);

	if (figures)
		mmapdemo_stats_snapshot(&dev_of(d)->stats, figures);
	return figures;
}

/* The device */

static ssize_t backing_show(struct device *d, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", dev_of(d)->backing->name);
}
static DEVICE_ATTR_RO(backing);

static ssize_t size_show(struct device *d, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%lld\n", mmapdemo_size(dev_of(d)));
}
static DEVICE_ATTR_RO(size);

static ssize_t path_show(struct device *d, struct device_attribute *attr, char *buf)
{
	char *path, *name = kmalloc(PATH_MAX, GFP_KERNEL);
	ssize_t len;

	if (!name)
		return -ENOMEM;
	path = dev_of(d)->backing->path(dev_of(d), name);
	len = IS_ERR(path) ? PTR_ERR(path) : sysfs_emit(buf, "%s\n", path);
	kfree(name);
	return len;
}
static DEVICE_ATTR_RO(path);

static ssize_t reset_store(struct device *d, struct device_attribute *attr, const char *buf,
			   size_t len)
{
	unsigned int one;

	if (kstrtouint(buf, 0, &one) || one != 1)
		return -EINVAL;
	mmapdemo_stats_reset(&dev_of(d)->stats);
	return len;
}
static DEVICE_ATTR_WO(reset);

/* Counters: which it is comes with the attribute. */

static u64 value_of(struct device_attribute *attr, const struct mmapdemo_figures *figures)
{
	struct dev_ext_attribute *ext = container_of(attr, struct dev_ext_attribute, attr);

	return mmapdemo_figures_counter(figures, (unsigned long)ext->var);
}

static ssize_t counter_show(struct device *d, struct device_attribute *attr, char *buf)
{
	struct mmapdemo_figures *figures = snapshot(d);
	ssize_t len;

	if (!figures)
		return -ENOMEM;
	len = sysfs_emit(buf, "%llu\n", value_of(attr, figures));
	kfree(figures);
	return len;
}

#define COUNTER(name, number)						\
	static struct dev_ext_attribute counter_##name = {		\
		__ATTR(name, 0444, counter_show, NULL), (void *)number	\
	}

COUNTER(read, MMAPDEMO_A_FAULTS_READ);
COUNTER(write, MMAPDEMO_A_FAULTS_WRITE);
COUNTER(cow, MMAPDEMO_A_FAULTS_COW);
COUNTER(mkwrite, MMAPDEMO_A_FAULTS_MKWRITE);
COUNTER(around, MMAPDEMO_A_FAULTS_AROUND);
COUNTER(huge, MMAPDEMO_A_FAULTS_HUGE);
COUNTER(major, MMAPDEMO_A_FAULTS_MAJOR);
COUNTER(retry, MMAPDEMO_A_FAULTS_RETRY);
COUNTER(vma_locked, MMAPDEMO_A_FAULTS_VMA_LOCKED);
COUNTER(sigbus, MMAPDEMO_A_FAULTS_SIGBUS);
COUNTER(oom, MMAPDEMO_A_FAULTS_OOM);
COUNTER(hwpoison, MMAPDEMO_A_FAULTS_HWPOISON);
COUNTER(injected, MMAPDEMO_A_FAULTS_INJECTED);

static struct attribute *faults_attrs[] = {
	&counter_read.attr.attr,
	&counter_write.attr.attr,
	&counter_cow.attr.attr,
	&counter_mkwrite.attr.attr,
	&counter_around.attr.attr,
	&counter_huge.attr.attr,
	&counter_major.attr.attr,
	&counter_retry.attr.attr,
	&counter_vma_locked.attr.attr,
	&counter_sigbus.attr.attr,
	&counter_oom.attr.attr,
	&counter_hwpoison.attr.attr,
	&counter_injected.attr.attr,
	NULL
};

static ssize_t total_show(struct device *d, struct device_attribute *attr, char *buf)
{
	struct mmapdemo_figures *figures = snapshot(d);
	ssize_t len;

	if (!figures)
		return -ENOMEM;
	len = sysfs_emit(buf, "%llu\n", figures->count[MMAPDEMO_MAPPINGS]);
	kfree(figures);
	return len;
}
static DEVICE_ATTR_RO(total);

static ssize_t live_show(struct device *d, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%ld\n", READ_ONCE(dev_of(d)->live));
}
static DEVICE_ATTR_RO(live);

/* Histograms: a line for each bucket that is not empty, its lower bound and its count. */

static ssize_t latency_show(struct device *d, struct device_attribute *attr, char *buf)
{
	unsigned long access = (unsigned long)container_of(attr, struct dev_ext_attribute,
							   attr)->var;
	struct mmapdemo_figures *figures = snapshot(d);
	int i, len = 0;
	u64 calls;

	if (!figures)
		return -ENOMEM;
	for (i = 0; i < MMAPDEMO_BUCKETS; i++) {
		calls = mmapdemo_figures_latency(figures, access, i);
		if (calls)
			len += sysfs_emit_at(buf, len, "%llu %llu\n", i ? 1ULL << i : 0ULL,
					     calls);
	}
	kfree(figures);
	return len;
}

#define LATENCY(field, number)						\
	static struct dev_ext_attribute latency_##field = {		\
		__ATTR(field, 0444, latency_show, NULL), (void *)number	\
	}

LATENCY(read, MMAPDEMO_READ);
LATENCY(write, MMAPDEMO_WRITE);
LATENCY(cow, MMAPDEMO_COW);
LATENCY(mkwrite, MMAPDEMO_MKWRITE);

static ssize_t pages_show(struct device *d, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%lu\n", dev_of(d)->backing->dirty(dev_of(d)));
}
static DEVICE_ATTR_RO(pages);

/* Everything at once, so that the figures belong together. */

static const char *const latency_names[MMAPDEMO_NR_ACCESS] = {
	[MMAPDEMO_READ]		= "latency/read",
	[MMAPDEMO_WRITE]	= "latency/write",
	[MMAPDEMO_COW]		= "latency/cow",
	[MMAPDEMO_MKWRITE]	= "latency/mkwrite",
};

/* 3937 bytes with every figure at its largest: fits a page, and little more would. */
static ssize_t stat_show(struct device *d, struct device_attribute *attr, char *buf)
{
	struct mmapdemo_figures *figures = snapshot(d);
	int i, j, len = 0;

	if (!figures)
		return -ENOMEM;
	for (i = 0; faults_attrs[i]; i++)
		len += sysfs_emit_at(buf, len, "faults/%s %llu\n", faults_attrs[i]->name,
				     value_of(container_of(faults_attrs[i],
							   struct device_attribute, attr),
					      figures));
	len += sysfs_emit_at(buf, len, "mappings/live %ld\nmappings/total %llu\n",
			     READ_ONCE(dev_of(d)->live), figures->count[MMAPDEMO_MAPPINGS]);
	for (i = 0; i < MMAPDEMO_NR_ACCESS; i++) {
		len += sysfs_emit_at(buf, len, "%s", latency_names[i]);
		for (j = 0; j < MMAPDEMO_BUCKETS; j++)
			len += sysfs_emit_at(buf, len, " %llu",
					     mmapdemo_figures_latency(figures, i, j));
		len += sysfs_emit_at(buf, len, "\n");
	}
	kfree(figures);
	return len;
}
static DEVICE_ATTR_RO(stat);

static struct attribute *device_attrs[] = {
	&dev_attr_backing.attr,
	&dev_attr_size.attr,
	&dev_attr_path.attr,
	&dev_attr_reset.attr,
	&dev_attr_stat.attr,
	NULL
};

static umode_t device_visible(struct kobject *kobj, struct attribute *attr, int n)
{
	const struct mmapdemo_device *dev = dev_of(kobj_to_dev(kobj));

	return attr == &dev_attr_path.attr && !dev->backing->path ? 0 : attr->mode;
}

static const struct attribute_group device_group = {
	.attrs		= device_attrs,
	.is_visible	= device_visible,
};

static const struct attribute_group faults_group = {
	.name	= "faults",
	.attrs	= faults_attrs,
};

static struct attribute *mappings_attrs[] = {
	&dev_attr_live.attr,
	&dev_attr_total.attr,
	NULL
};

static const struct attribute_group mappings_group = {
	.name	= "mappings",
	.attrs	= mappings_attrs,
};

static struct attribute *latency_attrs[] = {
	&latency_read.attr.attr,
	&latency_write.attr.attr,
	&latency_cow.attr.attr,
	&latency_mkwrite.attr.attr,
	NULL
};

static const struct attribute_group latency_group = {
	.name	= "latency",
	.attrs	= latency_attrs,
};

static struct attribute *dirty_attrs[] = {
	&dev_attr_pages.attr,
	NULL
};

static const struct attribute_group dirty_group = {
	.name	= "dirty",
	.attrs	= dirty_attrs,
};

/* Of devices whose backing knows what is dirty. */
const struct attribute_group *mmapdemo_dirty_groups[] = {
	&dirty_group,
	NULL
};

const struct attribute_group *mmapdemo_groups[] = {
	&device_group,
	&faults_group,
	&mappings_group,
	&latency_group,
	NULL
};
