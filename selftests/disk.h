/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A file system of its own, on a device-mapper device over an image: its sectors can fail
 * or be slow, it can be full, frozen or made read-only, and nothing else is harmed by it.
 */
#ifndef MMAPDEMO_TESTS_DISK_H
#define MMAPDEMO_TESTS_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct disk {
	char dir[96];		/* where it is mounted */
	char why[160];		/* why there can be none here */
	char node[32];		/* what is mounted there */
	char loop[32];		/* what its sectors are on */
	/*
	 * What breaks is a target "error", or with this a "flakey": its arguments from the
	 * seconds that it is up, and down, on. Unlike the other that one fails flushes too,
	 * wherever it is; so the disk has no cache to flush then, unless told otherwise.
	 */
	const char *flakey;
	bool flushes;
};

/* @fs is ext4, xfs or tmpfs (which has no sectors). 0, -errno, or 1 and @why. */
int disk_up(struct disk *disk, const char *fs);
/* It must unmount; its device must go: 0 or -errno. */
int disk_down(struct disk *disk);

/* From now on reading or writing this page of the file fails; whatever is dirty stays so. */
int disk_break(const struct disk *disk, int fd, size_t page);
/* The same for pages that lie in a row: -EXDEV if these do not. */
int disk_break_pages(const struct disk *disk, int fd, size_t page, size_t n);
int disk_heal(const struct disk *disk);
/* From now on a read waits so many ms; those that wait already go on. */
int disk_delay(const struct disk *disk, unsigned int ms);

/* Does the disk itself, behind all caches, hold tag + i for these pages that lie in a row? */
bool disk_holds(const struct disk *disk, int fd, size_t page, size_t n, uint64_t tag);
/* Has this kernel such a target? If not, @why says so. */
bool disk_has_target(struct disk *disk, const char *type);

/* Write back all of the file system that holds this. */
int sync_fs(const char *path);

/* Forget the pages of all files that are clean and not mapped. */
int drop_caches(void);

#endif /* MMAPDEMO_TESTS_DISK_H */
