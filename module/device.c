// SPDX-License-Identifier: GPL-2.0
/*
 * Devices: made, published, deleted and freed.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>

#include "mmapdemo.h"

static const struct mmapdemo_backing *const backings[] = {
	&mmapdemo_backing_ram,
	&mmapdemo_backing_file,
};

static dev_t first_devt;
static const struct attribute_group **dirty_groups;
static struct class mmapdemo_class = { .name = MMAPDEMO_CLASS };

#define MAX_DEVICES 256

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

/* Every device is deleted, and none was open or mapped or the module would be in use. */
void mmapdemo_devices_exit(void)
{
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
	pr_err("backing=%s is unknown, there are ram and file\n", name);
	return NULL;
}

/* The last reference went away: nobody can open, map or see the device any more. */
static void device_free(struct device *d)
{
	struct mmapdemo_device *dev = container_of(d, struct mmapdemo_device, dev);

	mmapdemo_stats_free(&dev->stats);
	if (dev->inode)
		dev->backing->destroy(dev);
	kfree(dev);
}

/* A device that is not yet known to anyone; put_device() frees it. */
static struct mmapdemo_device *device_alloc(const struct mmapdemo_backing *backing)
{
	struct mmapdemo_device *dev;

	dev = kzalloc(sizeof(*dev), GFP_KERNEL);
	if (!dev)
		return ERR_PTR(-ENOMEM);
	if (mmapdemo_stats_init(&dev->stats)) {
		kfree(dev);
		return ERR_PTR(-ENOMEM);
	}
	dev->backing = backing;
	device_initialize(&dev->dev);
	dev->dev.class = &mmapdemo_class;
	dev->dev.devt = first_devt;
	dev->dev.release = device_free;
	if (backing->dirty)
		dev->dev.groups = dirty_groups;
	return dev;
}

struct mmapdemo_device *mmapdemo_device_create(const struct mmapdemo_spec *spec)
{
	const struct mmapdemo_backing *backing;
	struct mmapdemo_device *dev;
	int err;

	backing = find_backing(spec->backing);
	if (!backing)
		return ERR_PTR(-EINVAL);
	dev = device_alloc(backing);
	if (IS_ERR(dev))
		return dev;
	dev->huge = spec->huge;
	err = backing->create(dev, spec);
	if (err)
		goto err_put;
	err = dev_set_name(&dev->dev, MMAPDEMO_NAME);
	if (err)
		goto err_put;
	cdev_init(&dev->cdev, &mmapdemo_fops);
	dev->cdev.owner = THIS_MODULE;
	/* Publishing is the last step that can fail: from here on anyone may open it. */
	err = cdev_device_add(&dev->cdev, &dev->dev);
	if (err)
		goto err_put;
	return dev;

err_put:
	put_device(&dev->dev);
	return ERR_PTR(err);
}

void mmapdemo_device_delete(struct mmapdemo_device *dev)
{
	cdev_device_del(&dev->cdev, &dev->dev);
	put_device(&dev->dev);
}
