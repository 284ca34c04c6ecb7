// SPDX-License-Identifier: GPL-2.0
/* Opening a device, and what to do when that fails. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

static int print_name(const char *name, void *arg)
{
	fprintf(stderr, "%s%s", *(const char **)arg, name);
	*(const char **)arg = ", ";
	return 0;
}

static int no_name(const char *name, void *arg)
{
	(void)name;
	(void)arg;
	return 0;
}

static void print_devices(void)
{
	const char *before = "There are: ";

	mmapdemo_for_each(print_name, &before);
	fputs(before[0] == ',' ? ".\n" : "There are none.\n", stderr);
}

int explain(int error, const char *name)
{
	switch (error) {
	case -ENODEV:
		if (mmapdemo_for_each(no_name, NULL) != -ENODEV) {
			fprintf(stderr, "mmapdemo: %s is no node of the module. ", name);
			print_devices();
			return ABSENT;
		}
		fputs("mmapdemo: the module is not loaded: there is no /sys/class/mmapdemo.\n"
		      "Load it as root: modprobe mmapdemo, or insmod mmapdemo.ko where it was built.\n"
		      "If that fails, mmapdemo doctor says more.\n",
		      stderr);
		return ABSENT;
	case -ENOENT:
		fprintf(stderr, "mmapdemo: there is no device %s. ", name);
		print_devices();
		return ABSENT;
	case -ENXIO:
		fprintf(stderr, "mmapdemo: the device %s exists, but /dev/%s does not.\n"
			"Mount devtmpfs on /dev, or make the node with mknod and the numbers in\n"
			"/sys/class/mmapdemo/%s/dev.\n", name, name, name);
		return ABSENT;
	case -EACCES:
	case -EPERM:
		fprintf(stderr, "mmapdemo: no permission for %s.\n"
			"Run this as root, or install the udev rule 70-mmapdemo.rules, join the group\n"
			"mmapdemo (usermod -aG mmapdemo USER) and log in again.\n", name);
		return FAILED;
	default:
		fprintf(stderr, "mmapdemo: %s: %s\n", name, strerror(-error));
		return FAILED;
	}
}

int open_or_explain(const char *name, int flags, struct mmapdemo_dev **devp)
{
	int ret = mmapdemo_open(name, flags, devp);

	return ret ? explain(ret, name ? name : "mmapdemo") : DONE;
}
