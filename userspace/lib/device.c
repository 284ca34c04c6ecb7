// SPDX-License-Identifier: GPL-2.0
/* A device: found by name or node, opened, mapped. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "mmapdemo.h"
#include "sysfs.h"

struct mmapdemo_dev {
	int fd;			/* the node, or -EBADF */
	char name[NAME_MAX + 1];
	char backing[32];
	char path[PATH_MAX];	/* the file behind, or empty */
};

static int not_hidden(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

int mmapdemo_for_each(int (*fn)(const char *name, void *arg), void *arg)
{
	struct dirent **entries;
	char path[PATH_MAX];
	int i, n, ret;

	ret = sysfs_path(path, NULL, NULL);
	if (ret)
		return ret;
	n = scandir(path, &entries, not_hidden, versionsort);
	if (n < 0)
		return errno == ENOENT ? -ENODEV : -errno;
	for (i = 0; i < n; i++) {
		if (!ret)
			ret = fn(entries[i]->d_name, arg);
		free(entries[i]);
	}
	free(entries);
	return ret;
}

struct by_number {
	char number[32];	/* "major:minor" as in the attribute "dev" */
	char *name;		/* NAME_MAX + 1 bytes */
};

static int same_number(const char *name, void *arg)
{
	struct by_number *want = arg;
	char number[32];

	if (sysfs_read(name, "dev", number, sizeof(number)) < 0 ||
	    strcmp(number, want->number))
		return 0;
	snprintf(want->name, NAME_MAX + 1, "%s", name);
	return 1;
}

/* A node may have any path: what it is called in sysfs follows from its device number. */
static int name_of_node(const char *path, char *name)
{
	struct by_number want = { .name = name };
	struct stat st;
	int ret;

	if (stat(path, &st))
		return -errno;
	if (!S_ISCHR(st.st_mode))
		return -ENODEV;
	snprintf(want.number, sizeof(want.number), "%u:%u", major(st.st_rdev),
		 minor(st.st_rdev));
	ret = mmapdemo_for_each(same_number, &want);
	if (ret < 0)
		return ret;
	return ret ? 0 : -ENODEV;
}

static int find_name(const char *name, char *found)
{
	char path[PATH_MAX];
	int ret;

	ret = sysfs_path(path, NULL, NULL);
	if (ret)
		return ret;
	if (access(path, F_OK))
		return errno == ENOENT ? -ENODEV : -errno;
	if (strchr(name, '/'))
		return name_of_node(name, found);
	if (!name[0] || name[0] == '.' || strlen(name) > NAME_MAX)
		return -ENOENT;
	strcpy(found, name);
	return 0;
}

static int open_node(struct mmapdemo_dev *dev, const char *name, int flags)
{
	char path[PATH_MAX];
	const char *node = name;

	if (!strchr(name, '/')) {
		snprintf(path, sizeof(path), "/dev/%s", name);
		node = path;
	}
	dev->fd = open(node, flags | O_CLOEXEC);
	if (dev->fd < 0)
		return errno == ENOENT ? -ENXIO : -errno;
	return 0;
}

static int read_identity(struct mmapdemo_dev *dev)
{
	ssize_t len;

	len = sysfs_read(dev->name, "backing", dev->backing, sizeof(dev->backing));
	if (len < 0)
		return len;
	len = sysfs_read(dev->name, "path", dev->path, sizeof(dev->path));
	return len < 0 && len != -ENOENT ? len : 0;
}

int mmapdemo_open(const char *name, int flags, struct mmapdemo_dev **devp)
{
	struct mmapdemo_dev *dev;
	int ret;

	if (!name)
		name = "mmapdemo";
	dev = calloc(1, sizeof(*dev));
	if (!dev)
		return -ENOMEM;
	dev->fd = -EBADF;
	ret = find_name(name, dev->name);
	if (ret)
		goto err_free;
	ret = read_identity(dev);
	if (ret)
		goto err_free;
	if (!(flags & O_PATH)) {
		ret = open_node(dev, name, flags);
		if (ret)
			goto err_free;
	}
	*devp = dev;
	return 0;

err_free:
	free(dev);
	return ret;
}

void mmapdemo_close(struct mmapdemo_dev *dev)
{
	if (!dev)
		return;
	if (dev->fd >= 0)
		close(dev->fd);
	free(dev);
}

const char *mmapdemo_name(const struct mmapdemo_dev *dev)
{
	return dev->name;
}

int mmapdemo_fd(const struct mmapdemo_dev *dev)
{
	return dev->fd;
}

int mmapdemo_size(const struct mmapdemo_dev *dev, uint64_t *bytes)
{
	unsigned long long value = 0;
	int ret = sysfs_read_u64(dev->name, "size", &value);

	*bytes = value;
	return ret;
}

const char *mmapdemo_backing(const struct mmapdemo_dev *dev)
{
	return dev->backing;
}

const char *mmapdemo_path(const struct mmapdemo_dev *dev)
{
	return dev->path[0] ? dev->path : NULL;
}

int mmapdemo_dirty_pages(const struct mmapdemo_dev *dev, uint64_t *pages)
{
	unsigned long long value = 0;
	int ret = sysfs_read_u64(dev->name, "dirty/pages", &value);

	*pages = value;
	return ret == -ENOENT ? -EOPNOTSUPP : ret;
}

int mmapdemo_map(const struct mmapdemo_dev *dev, uint64_t offset, size_t length, int prot,
		 int flags, void **addr)
{
	void *p;

	if (dev->fd < 0)
		return dev->fd;
	p = mmap(*addr, length, prot, flags, dev->fd, offset);
	if (p == MAP_FAILED)
		return -errno;
	*addr = p;
	return 0;
}

int mmapdemo_unmap(void *addr, size_t length)
{
	return munmap(addr, length) ? -errno : 0;
}

int mmapdemo_reset(const struct mmapdemo_dev *dev)
{
	return sysfs_write(dev->name, "reset", "1");
}
