// SPDX-License-Identifier: GPL-2.0
/* Attributes of a device in sysfs. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sysfs.h"

int sysfs_path(char path[PATH_MAX], const char *dev, const char *attr)
{
	const char *root = secure_getenv("MMAPDEMO_SYSFS");
	int len;

	len = snprintf(path, PATH_MAX, "%s/class/mmapdemo%s%s%s%s", root ? root : "/sys",
		       dev ? "/" : "", dev ? dev : "", attr ? "/" : "", attr ? attr : "");
	return len < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int attr_open(const char *dev, const char *attr, int flags)
{
	char path[PATH_MAX];
	int fd, ret;

	ret = sysfs_path(path, dev, attr);
	if (ret)
		return ret;
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

ssize_t sysfs_read(const char *dev, const char *attr, char *buf, size_t size)
{
	ssize_t len;
	int fd;

	fd = attr_open(dev, attr, O_RDONLY);
	if (fd < 0)
		return fd;
	len = read(fd, buf, size - 1);
	if (len < 0)
		len = -errno;
	close(fd);
	if (len < 0)
		return len;
	if (len && buf[len - 1] == '\n')
		len--;
	buf[len] = '\0';
	return len;
}

int sysfs_read_u64(const char *dev, const char *attr, unsigned long long *value)
{
	char buf[32], *end;
	ssize_t len;

	len = sysfs_read(dev, attr, buf, sizeof(buf));
	if (len < 0)
		return len;
	if (!isdigit((unsigned char)buf[0]))
		return -EPROTO;
	errno = 0;
	*value = strtoull(buf, &end, 10);
	return errno || *end ? -EPROTO : 0;
}

int sysfs_write(const char *dev, const char *attr, const char *text)
{
	ssize_t len;
	int fd;

	fd = attr_open(dev, attr, O_WRONLY);
	if (fd < 0)
		return fd;
	len = write(fd, text, strlen(text));
	if (len < 0)
		len = -errno;
	close(fd);
	return len < 0 ? len : 0;
}
