// SPDX-License-Identifier: GPL-2.0
/*
 * Devices: made, published, found, deleted and freed.
 */
#include <linux/ctype.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "events.h"
#include "mapping.h"
#include "mmapdemo.h"

static const struct mmapdemo_backing *const backings[] = {
	&mmapdemo_backing_ram,
	&mmapdemo_backing_file,
};

static dev_t first_devt;
static const struct attribute_group **dirty_groups;
static struct class mmapdemo_class = { .name = MMAPDEMO_CLASS };

#define MAX_DEVICES 4096

/*
 * By minor number. Those that can be found are here; the number of one that is being made, or
 * is deleted and still open, is taken without an entry, so that a new device never stands
 * where somebody still has an old one. The lock of the array makes looking a device up and
 * taking it one step: who deletes it takes it out before he drops his reference.
 */
static DEFINE_XARRAY_ALLOC(devices);
static u32 next_minor;

/*
 * Makes choosing a name, or finding it free, and publishing one step; likewise deleting. Never
 * held while anything of a user's is touched or waited for. Taken before the array's lock.
 */
static DEFINE_MUTEX(publishing);

/* Take back the first @nr backings, the last one first. */
static void exit_backings(int nr)
{
	while (nr--)
		if (backings[nr]->exit)
			backings[nr]->exit();
}

static int init_backings(void)
{
	int i, err;

	for (i = 0; i < ARRAY_SIZE(backings); i++) {
		err = backings[i]->init ? backings[i]->init() : 0;
		if (err) {
			exit_backings(i);
			return err;
		}
	}
	return 0;
}

/* @groups are what every device shows in sysfs, @dirty those that know what is dirty. */
int mmapdemo_devices_init(const struct attribute_group **groups,
			  const struct attribute_group **dirty)
{
	int err;

	err = init_backings();
	if (err)
		return err;
	err = alloc_chrdev_region(&first_devt, 0, MAX_DEVICES, MMAPDEMO_NAME);
	if (err)
		goto err_backings;
	mmapdemo_class.dev_groups = groups;
	dirty_groups = dirty;
	err = class_register(&mmapdemo_class);
	if (err)
		goto err_region;
	return 0;

err_region:
	unregister_chrdev_region(first_devt, MAX_DEVICES);
err_backings:
	exit_backings(ARRAY_SIZE(backings));
	return err;
}

/* None of those left is open or mapped, or the module would be in use. */
void mmapdemo_devices_exit(void)
{
	struct mmapdemo_device *dev;
	unsigned long minor = 0;

	while ((dev = mmapdemo_device_next(&minor))) {
		mmapdemo_device_delete(dev, false);
		put_device(&dev->dev);
		minor++;
	}
	class_unregister(&mmapdemo_class);
	unregister_chrdev_region(first_devt, MAX_DEVICES);
	exit_backings(ARRAY_SIZE(backings));
	/*
	 * Who has left a device may still be on the way out of fault.c, preempted before it
	 * returns. Wait until each task was seen elsewhere.
	 */
	synchronize_rcu_tasks();
}

static const struct mmapdemo_backing *find_backing(const char *name)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(backings); i++)
		if (!strcmp(backings[i]->name, name))
			return backings[i];
	return NULL;
}

/* The last reference went away: nobody can open, map or see the device any more. */
static void device_free(struct device *d)
{
	struct mmapdemo_device *dev = container_of(d, struct mmapdemo_device, dev);

	mmapdemo_stats_free(&dev->stats);
	if (dev->inode)
		dev->backing->destroy(dev);
	xa_erase(&devices, mmapdemo_index(dev));
	kfree(dev);
}

/* A device that is not yet known to anyone; put_device() frees it. */
static struct mmapdemo_device *device_alloc(const struct mmapdemo_backing *backing)
{
	struct mmapdemo_device *dev;
	u32 minor;
	int err;

	dev = kzalloc(sizeof(*dev), GFP_KERNEL);
	if (!dev)
		return ERR_PTR(-ENOMEM);
	err = mmapdemo_stats_init(&dev->stats, dev);
	if (err)
		goto err_free;
	/*
	 * Not the lowest free one: whoever is on his way from the node of a deleted device to
	 * what has its number would be let in to another.
	 */
	err = xa_alloc_cyclic(&devices, &minor, NULL, XA_LIMIT(0, MAX_DEVICES - 1), &next_minor,
			      GFP_KERNEL);
	/* It says that all are taken by EBUSY, which is what a device in use is. */
	if (err == -EBUSY)
		err = -ENOSPC;
	if (err < 0)
		goto err_stats;
	dev->backing = backing;
	init_waitqueue_head(&dev->hangup);
	spin_lock_init(&dev->mappings_lock);
	dev->mappings = RB_ROOT;
	device_initialize(&dev->dev);
	dev->dev.class = &mmapdemo_class;
	dev->dev.devt = first_devt + minor;
	dev->dev.release = device_free;
	if (backing->dirty)
		dev->dev.groups = dirty_groups;
	return dev;

err_stats:
	mmapdemo_stats_free(&dev->stats);
err_free:
	kfree(dev);
	return ERR_PTR(err);
}

/* With the array's lock held the device stays, but who wants to keep it has to take it. */
static struct mmapdemo_device *find(const char *name)
{
	struct mmapdemo_device *dev;
	unsigned long minor;

	xa_for_each(&devices, minor, dev)
		if (!strcmp(dev_name(&dev->dev), name))
			return dev;
	return NULL;
}

static bool is_taken(const char *name)
{
	bool taken;

	xa_lock(&devices);
	taken = find(name);
	xa_unlock(&devices);
	return taken;
}

/* It becomes a node in /dev, where it must not stand in somebody else's way. */
static bool is_good_name(const char *name)
{
	if (strncmp(name, MMAPDEMO_NAME, strlen(MMAPDEMO_NAME)) ||
	    strlen(name) >= MMAPDEMO_NAME_SIZE)
		return false;
	for (; *name; name++)
		if (!isascii(*name) || (!isalnum(*name) && !strchr("._-", *name)))
			return false;
	return true;
}

/* The name that is asked for, or the first that is free. */
static int set_name(struct mmapdemo_device *dev, struct mmapdemo_spec *spec)
{
	char name[MMAPDEMO_NAME_SIZE] = MMAPDEMO_NAME;
	unsigned int i;

	lockdep_assert_held(&publishing);
	if (!spec->name) {
		for (i = 1; is_taken(name); i++)
			snprintf(name, sizeof(name), MMAPDEMO_NAME "%u", i);
		return dev_set_name(&dev->dev, "%s", name);
	}
	if (!is_good_name(spec->name))
		return mmapdemo_refuse(spec, MMAPDEMO_A_DEV,
				       "must be mmapdemo with letters, digits, . _ - behind it",
				       -EINVAL);
	if (is_taken(spec->name))
		return mmapdemo_refuse(spec, MMAPDEMO_A_DEV, "is the name of another device",
				       -EEXIST);
	return dev_set_name(&dev->dev, "%s", spec->name);
}

static int publish(struct mmapdemo_device *dev, struct mmapdemo_spec *spec)
{
	int err;

	mutex_lock(&publishing);
	err = set_name(dev, spec);
	if (err)
		goto out;
	cdev_init(&dev->cdev, &mmapdemo_fops);
	dev->cdev.owner = THIS_MODULE;
	/* Its place is there, so this needs no memory. */
	xa_store(&devices, mmapdemo_index(dev), dev, GFP_KERNEL);
	/* Told before it can be mapped. */
	mmapdemo_event(MMAPDEMO_EVENT_DEVICE, MMAPDEMO_DEVICE_ADDED, dev, 0);
	/* The last step that can fail: from here on anyone may open it. */
	err = cdev_device_add(&dev->cdev, &dev->dev);
	if (err) {
		xa_store(&devices, mmapdemo_index(dev), NULL, GFP_KERNEL);
		mmapdemo_event(MMAPDEMO_EVENT_DEVICE, MMAPDEMO_DEVICE_DELETED, dev, 0);
	}
out:
	mutex_unlock(&publishing);
	return err;
}

/**
 * mmapdemo_device_create() - make a device and publish it
 * @spec: what it is to be; if that is refused, @wrong and @why say for what reason
 *
 * Return: the device, with a reference that is the caller's, or an ERR_PTR.
 */
struct mmapdemo_device *mmapdemo_device_create(struct mmapdemo_spec *spec)
{
	const struct mmapdemo_backing *backing;
	struct mmapdemo_device *dev;
	int err;

	backing = find_backing(spec->backing);
	if (!backing)
		return ERR_PTR(mmapdemo_refuse(spec, MMAPDEMO_A_BACKING,
					       "is unknown, there are ram and file", -EINVAL));
	dev = device_alloc(backing);
	if (dev == ERR_PTR(-ENOSPC))
		mmapdemo_refuse(spec, 0, "there are as many devices as there can be", -ENOSPC);
	if (IS_ERR(dev))
		return dev;
	dev->huge = spec->huge;
	dev->read_only = spec->read_only;
	err = backing->create(dev, spec);
	if (!err) {
		/* One for the caller; that of device_alloc() belongs to the array. */
		get_device(&dev->dev);
		err = publish(dev, spec);
		if (err)
			put_device(&dev->dev);
	}
	if (err) {
		put_device(&dev->dev);
		return ERR_PTR(err);
	}
	return dev;
}

/* The device of that name, with a reference that is the caller's, or NULL. */
struct mmapdemo_device *mmapdemo_device_find(const char *name)
{
	struct mmapdemo_device *dev;

	xa_lock(&devices);
	dev = find(name);
	if (dev)
		get_device(&dev->dev);
	xa_unlock(&devices);
	return dev;
}

/* The first device from @minor on, which is set to its number, with a reference, or NULL. */
struct mmapdemo_device *mmapdemo_device_next(unsigned long *minor)
{
	struct mmapdemo_device *dev;

	xa_lock(&devices);
	dev = xa_find(&devices, minor, MAX_DEVICES - 1, XA_PRESENT);
	if (dev)
		get_device(&dev->dev);
	xa_unlock(&devices);
	return dev;
}

/* From here on nobody opens it. Who counts as open is counted in the same word. */
static int close_doors(struct mmapdemo_device *dev, bool force)
{
	int opens = atomic_read(&dev->opens);

	do {
		if (opens < 0)
			return -ENODEV;
		if (opens && !force)
			return -EBUSY;
	} while (!atomic_try_cmpxchg(&dev->opens, &opens, opens + MMAPDEMO_DEAD));
	return 0;
}

/**
 * mmapdemo_device_delete() - delete a device
 * @dev: the device, of which the caller has a reference
 * @force: even if it is open or mapped
 *
 * Return: 0; -EBUSY when it is open or mapped, -ENODEV when somebody else was faster;
 * -EINTR when the caller was killed: it is dead then, but a fault that had begun before may
 * still map a page of it.
 */
int mmapdemo_device_delete(struct mmapdemo_device *dev, bool force)
{
	int err;

	mutex_lock(&publishing);
	err = close_doors(dev, force);
	if (!err) {
		xa_store(&devices, mmapdemo_index(dev), NULL, GFP_KERNEL);
		cdev_device_del(&dev->cdev, &dev->dev);
		mmapdemo_event(MMAPDEMO_EVENT_DEVICE, MMAPDEMO_DEVICE_DELETED, dev, 0);
	}
	mutex_unlock(&publishing);
	if (err)
		return err;
	if (force) {
		wake_up_poll(&dev->hangup, EPOLLHUP | EPOLLERR);
		err = mmapdemo_mappings_kill(dev);
		if (dev->backing->punch)
			dev->backing->punch(dev, 0, mmapdemo_size(dev));
	}
	put_device(&dev->dev);
	return err;
}
