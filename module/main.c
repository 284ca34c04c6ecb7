// SPDX-License-Identifier: GPL-2.0
/*
 * mmapdemo: a character device whose page faults can be watched.
 *
 * Loading makes the device that the parameters describe, unloading takes away all there are.
 */
#include <linux/module.h>

#include "clock.h"
#include "mmapdemo.h"

static int __init mmapdemo_init(void)
{
	int err;

	mmapdemo_clock_init();
	err = mmapdemo_devices_init(mmapdemo_groups, mmapdemo_dirty_groups);
	if (err)
		return err;
	err = mmapdemo_netlink_init();
	if (err)
		goto err_devices;
	/*
	 * Publishing is the last step that can fail: from here on somebody may have it open.
	 * For the same reason no other device can be added before.
	 */
	err = mmapdemo_params_device();
	if (err)
		goto err_netlink;
	mmapdemo_netlink_ready();
	return 0;

err_netlink:
	mmapdemo_netlink_exit();
err_devices:
	mmapdemo_devices_exit();
	return err;
}

static void __exit mmapdemo_exit(void)
{
	mmapdemo_netlink_exit();
	mmapdemo_devices_exit();
}

module_init(mmapdemo_init);
module_exit(mmapdemo_exit);

MODULE_DESCRIPTION("mmap-able character devices whose page faults can be watched");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
