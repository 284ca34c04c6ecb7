/* SPDX-License-Identifier: GPL-2.0 */
/* Private to the library: the files below <sysfs>/class/mmapdemo. */
#ifndef MMAPDEMO_SYSFS_H
#define MMAPDEMO_SYSFS_H

#include <limits.h>
#include <sys/types.h>

/* The class directory, a device's, or an attribute of it (@dev and @attr may be NULL). */
int sysfs_path(char path[PATH_MAX], const char *dev, const char *attr);

/* One read(2), the newline at the end cut off and a NUL put there: the length or -errno. */
ssize_t sysfs_read(const char *dev, const char *attr, char *buf, size_t size);

/* One number: 0 or -errno; -EPROTO when there is anything else in the file. */
int sysfs_read_u64(const char *dev, const char *attr, unsigned long long *value);

/* One write(2): 0 or -errno. */
int sysfs_write(const char *dev, const char *attr, const char *text);

#endif /* MMAPDEMO_SYSFS_H */
