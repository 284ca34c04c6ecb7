// SPDX-License-Identifier: GPL-2.0
/*
 * mmapdemo: a character device whose page faults can be watched.
 *
 * Loading makes the device that the parameters describe, unloading takes it away.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>

#include "clock.h"
#include "mmapdemo.h"

static struct mmapdemo_spec spec = {
	.backing = "ram",
	.huge = true,
};

static struct mmapdemo_device *first;

module_param_named(backing, spec.backing, charp, 0444);
MODULE_PARM_DESC(backing, "where the pages of /dev/mmapdemo come from: ram (default) or file");
module_param_named(size, spec.size, charp, 0444);
MODULE_PARM_DESC(size, "backing=ram: bytes, a multiple of the page size, K M G accepted (default 64M)");
module_param_named(path, spec.path, charp, 0444);
MODULE_PARM_DESC(path, "backing=file: the file");
module_param_named(huge, spec.huge, bool, 0444);
MODULE_PARM_DESC(huge, "backing=ram: use 2 MiB folios where a mapping has room for them (default on)");

static int __init mmapdemo_init(void)
{
	int err;

	mmapdemo_clock_init();
	err = mmapdemo_devices_init(mmapdemo_groups, mmapdemo_dirty_groups);
	if (err)
		return err;
	first = mmapdemo_device_create(&spec);
	if (IS_ERR(first)) {
		err = PTR_ERR(first);
		goto err_devices;
	}
	return 0;

err_devices:
	mmapdemo_devices_exit();
	return err;
}

static void __exit mmapdemo_exit(void)
{
	mmapdemo_device_delete(first);
	mmapdemo_devices_exit();
}

module_init(mmapdemo_init);
module_exit(mmapdemo_exit);

MODULE_DESCRIPTION("mmap-able character devices whose page faults can be watched");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
