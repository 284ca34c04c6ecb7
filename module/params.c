// SPDX-License-Identifier: GPL-2.0
/*
 * The module's parameters: what the device is to be that loading makes.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/ctype.h>
#include <linux/file.h>
#include <linux/kstrtox.h>
#include <linux/module.h>
#include <linux/namei.h>
#include <linux/overflow.h>

#include "mmapdemo.h"

static char *backing = "ram";
static char *size;
static char *path;
static bool huge = true;

module_param(backing, charp, 0444);
MODULE_PARM_DESC(backing, "where the pages of /dev/mmapdemo come from: ram (default) or file");
module_param(size, charp, 0444);
MODULE_PARM_DESC(size, "backing=ram: bytes, a multiple of the page size, K M G accepted (default 64M)");
module_param(path, charp, 0444);
MODULE_PARM_DESC(path, "backing=file: the file");
module_param(huge, bool, 0444);
MODULE_PARM_DESC(huge, "backing=ram: use 2 MiB folios where a mapping has room for them (default on)");

/* A number and perhaps one of K M G T P E; memparse() would wrap around without a word. */
static int parse_bytes(const char *text, u64 *bytes)
{
	static const char units[] = "KMGTPE";
	size_t len = strlen(text);
	char number[32];
	const char *unit;
	int err;

	if (!len || len >= sizeof(number))
		return -EINVAL;
	strscpy(number, text, sizeof(number));
	unit = strchr(units, toupper(number[len - 1]));
	if (unit)
		number[len - 1] = '\0';
	err = kstrtou64(number, 0, bytes);
	if (err || !unit)
		return err;
	return check_shl_overflow(*bytes, 10 * (unit - units + 1), bytes) ? -ERANGE : 0;
}

static int parse_size(struct mmapdemo_spec *spec)
{
	switch (parse_bytes(size, &spec->size)) {
	case 0:
		break;
	case -ERANGE:
		spec->size = U64_MAX;
		break;
	default:
		return mmapdemo_refuse(spec, MMAPDEMO_A_SIZE,
				       "is not a number of bytes (K, M, G accepted)", -EINVAL);
	}
	/* 0 would be the default. */
	if (!spec->size)
		return mmapdemo_refuse(spec, MMAPDEMO_A_SIZE,
				       "is not a multiple, from 1, of the page size", -EINVAL);
	return 0;
}

/* Looked at before it is opened: opening a device node or a fifo does things. */
static int check_type(struct mmapdemo_spec *spec)
{
	struct path found;
	umode_t mode;
	int err;

	err = kern_path(path, LOOKUP_FOLLOW, &found);
	if (err)
		return mmapdemo_refuse(spec, MMAPDEMO_A_FILE, "cannot be looked up", err);
	mode = d_inode(found.dentry)->i_mode;
	path_put(&found);
	if (S_ISDIR(mode))
		return mmapdemo_refuse(spec, MMAPDEMO_A_FILE,
				       "is a directory, a regular file is needed", -EISDIR);
	if (!S_ISREG(mode))
		return mmapdemo_refuse(spec, MMAPDEMO_A_FILE,
				       S_ISFIFO(mode) ? "is a fifo, a regular file is needed" :
				       S_ISSOCK(mode) ? "is a socket, a regular file is needed" :
				       "is a device node, a regular file is needed", -EINVAL);
	return 0;
}

/* For writing too if the caller may and the file system lets it, else for reading. */
static int open_path(struct mmapdemo_spec *spec)
{
	struct file *file;
	int err;

	err = check_type(spec);
	if (err)
		return err;
	file = filp_open(path, O_RDWR | O_LARGEFILE | O_NONBLOCK, 0);
	switch (PTR_ERR_OR_ZERO(file)) {
	case -EACCES:
	case -EPERM:
	case -EROFS:
	case -ETXTBSY:
		file = filp_open(path, O_RDONLY | O_LARGEFILE | O_NONBLOCK, 0);
	}
	if (IS_ERR(file))
		return mmapdemo_refuse(spec, MMAPDEMO_A_FILE, "cannot be opened", PTR_ERR(file));
	spec->file = file;
	return 0;
}

static bool has_path(void)
{
	return path && *path;
}

/* In the order in which a reader would look for his mistake. */
static int parse(struct mmapdemo_spec *spec)
{
	int err;

	if (size) {
		err = parse_size(spec);
		if (err)
			return err;
	}
	return has_path() ? open_path(spec) : 0;
}

static void complain(const struct mmapdemo_spec *spec, int err)
{
	switch (spec->wrong) {
	case MMAPDEMO_A_BACKING:
		pr_err("backing=%s %s\n", backing, spec->why);
		break;
	case MMAPDEMO_A_SIZE:
		pr_err("size=%s %s\n", size, spec->why);
		break;
	case MMAPDEMO_A_FILE:
		pr_err("path=%s %s: %pe\n", path ?: "", spec->why, ERR_PTR(err));
		break;
	}
}

/* Make the device that the parameters describe, or say in the log what is wrong with them. */
int mmapdemo_params_device(void)
{
	/* The file system of a file decides on its folios. */
	struct mmapdemo_spec spec = { .backing = backing, .huge = huge && !has_path() };
	struct mmapdemo_device *dev;
	int err;

	err = parse(&spec);
	if (!err) {
		dev = mmapdemo_device_create(&spec);
		err = PTR_ERR_OR_ZERO(dev);
	}
	if (spec.file)
		fput(spec.file);
	if (err)
		complain(&spec, err);
	else
		put_device(&dev->dev);
	return err;
}
