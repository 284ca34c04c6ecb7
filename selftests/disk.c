// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common.h"
#include "disk.h"

#define IMAGE	(300UL << 20)	/* xfs makes none smaller */
#define SECTOR	512UL

/* The device-mapper, spoken to directly: dmsetup waits for a udev that may not be there. */

struct table {
	struct dm_ioctl io;
	struct {
		struct dm_target_spec spec;
		char params[96];
	} target[3];
};

static int dm(unsigned long command, struct table *table, unsigned int flags)
{
	int control = open("/dev/mapper/control", O_RDWR | O_CLOEXEC), err;

	table->io.version[0] = 4;
	table->io.data_size = sizeof(*table);
	table->io.data_start = offsetof(struct table, target);
	table->io.flags = flags;
	strcpy(table->io.name, "mmapdemo-test");
	err = ioctl(control, command, table) ? -errno : 0;
	close(control);
	return err;
}

/* The next target of a table: up to sector @end, as on the loop device or none. */
static void add_target(const struct disk *disk, struct table *table, size_t end, const char *type)
{
	unsigned int nr = table->io.target_count++;
	struct dm_target_spec *spec = &table->target[nr].spec;

	if (nr)
		spec->sector_start = table->target[nr - 1].spec.sector_start +
				     table->target[nr - 1].spec.length;
	spec->length = end - spec->sector_start;
	spec->next = sizeof(table->target[0]);
	strcpy(spec->target_type, type);
	if (!strcmp(type, "flakey"))
		sprintf(table->target[nr].params, "%s %llu %s", disk->loop, spec->sector_start,
			disk->flakey);
	else if (strcmp(type, "error"))
		sprintf(table->target[nr].params, "%s %llu", disk->loop, spec->sector_start);
}

/* Without flushing the file system: what is dirty is to meet the new table. */
static int set_table(struct table *table)
{
	unsigned int suspend = DM_SUSPEND_FLAG | DM_SKIP_LOCKFS_FLAG | DM_NOFLUSH_FLAG;

	return dm(DM_TABLE_LOAD, table, 0) ?: dm(DM_DEV_SUSPEND, &(struct table){ 0 }, suspend) ?:
	       dm(DM_DEV_SUSPEND, &(struct table){ 0 }, 0);
}

/* A new table may bring the cache of the disk back. */
static int forgo_cache(const struct disk *disk)
{
	char path[64];
	ssize_t len;

	snprintf(path, sizeof(path), "/sys/block/%s/queue/write_cache",
		 strrchr(disk->node, '/') + 1);
	len = write_file(path, "write through");
	return len < 0 ? len : 0;
}

/* The device, over a loop device that goes with it. */
static int make_device(struct disk *disk, const char *image)
{
	struct loop_config config = { .info.lo_flags = LO_FLAGS_AUTOCLEAR };
	int control, loop, err;
	struct table table = { 0 };

	control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (control < 0)
		return -errno;
	sprintf(disk->loop, "/dev/loop%d", ioctl(control, LOOP_CTL_GET_FREE));
	close(control);
	config.fd = open(image, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	loop = open(disk->loop, O_RDWR | O_CLOEXEC);
	err = ftruncate(config.fd, IMAGE) || ioctl(loop, LOOP_CONFIGURE, &config) ? -errno : 0;
	err = err ?: dm(DM_DEV_CREATE, &table, 0) ?: disk_heal(disk);
	sprintf(disk->node, "/dev/dm-%u", minor(table.io.dev));
	close(loop);
	close(config.fd);
	return err;
}

static bool is_known(const char *fs)
{
	char text[4096], line[32];

	snprintf(line, sizeof(line), "\t%s\n", fs);
	return read_file("/proc/filesystems", text, sizeof(text)) > 0 && strstr(text, line);
}

static int make_fs(struct disk *disk, const char *fs)
{
	char image[128];
	int err;

	run("modprobe -q -a dm_mod %s", fs);
	if (run("command -v mkfs.%s >/dev/null", fs) || !is_known(fs) ||
	    access("/dev/mapper/control", F_OK)) {
		sprintf(disk->why, "mkfs.%s, %s or dm-mod is missing", fs, fs);
		return 1;
	}
	snprintf(image, sizeof(image), "%s.img", disk->dir);
	err = make_device(disk, image);
	if (err)
		return err;
	/*
	 * Without reserved blocks full is full for root too; a page is a block. Nothing of it is
	 * zeroed that is a hole already: 0.3 instead of 16 MiB to write.
	 */
	if (run("mkfs.%s -q %s %s", fs,
		strcmp(fs, "ext4") ? "-K" : "-b 4096 -m 0 -N 128 -E nodiscard,lazy_journal_init=1",
		disk->node))
		return -EIO;
	return mount(disk->node, disk->dir, fs, 0, NULL) ? -errno : 0;
}

int disk_up(struct disk *disk, const char *fs)
{
	const char *dir = getenv("MMAPDEMO_DIR");
	int err;

	memset(disk, 0, sizeof(*disk));
	if (!dir) {
		strcpy(disk->why, "MMAPDEMO_DIR is not set: use run-all");
		return 1;
	}
	snprintf(disk->dir, sizeof(disk->dir), "%s/disk", dir);
	/* What a test that died has left, with a device over a file of it. */
	if (!access(disk->dir, F_OK)) {
		if (module_loaded())
			module_unload();
		disk_down(disk);
	}
	if (mkdir(disk->dir, 0755))
		return -errno;
	if (strcmp(fs, "tmpfs"))
		err = make_fs(disk, fs);
	else
		err = mount("tmpfs", disk->dir, fs, 0, "size=16m") ? -errno : 0;
	if (err)
		disk_down(disk);
	return err;
}

int disk_down(struct disk *disk)
{
	int err = umount2(disk->dir, 0) ? -errno : 0;
	int gone = dm(DM_DEV_REMOVE, &(struct table){ 0 }, 0);
	char image[128];

	if (gone && gone != -ENXIO)
		err = err ?: gone;
	snprintf(image, sizeof(image), "%s.img", disk->dir);
	unlink(image);
	rmdir(disk->dir);
	return err;
}

/* Where the page is on the disk, in sectors, or -errno. */
static long long sector_of(int fd, size_t page)
{
	struct {
		struct fiemap map;
		struct fiemap_extent extent;
	} at = { .map = {
		.fm_start = page * PAGE_SIZE,
		.fm_length = PAGE_SIZE,
		.fm_flags = FIEMAP_FLAG_SYNC,
		.fm_extent_count = 1,
	} };

	if (ioctl(fd, FS_IOC_FIEMAP, &at.map))
		return -errno;
	if (!at.map.fm_mapped_extents)
		return -ENOENT;
	return (at.extent.fe_physical + page * PAGE_SIZE - at.extent.fe_logical) / SECTOR;
}

int disk_break_pages(const struct disk *disk, int fd, size_t page, size_t n)
{
	long long sector = sector_of(fd, page), end = sector + n * (PAGE_SIZE / SECTOR);
	struct table table = { 0 };

	if (sector < 0)
		return sector;
	if (sector_of(fd, page + n - 1) != end - (long long)(PAGE_SIZE / SECTOR))
		return -EXDEV;
	add_target(disk, &table, sector, "linear");
	add_target(disk, &table, end, disk->flakey ? "flakey" : "error");
	add_target(disk, &table, IMAGE / SECTOR, "linear");
	return set_table(&table) ?: disk->flakey && !disk->flushes ? forgo_cache(disk) : 0;
}

int disk_break(const struct disk *disk, int fd, size_t page)
{
	return disk_break_pages(disk, fd, page, 1);
}

bool disk_holds(const struct disk *disk, int fd, size_t page, size_t n, uint64_t tag)
{
	long long sector = sector_of(fd, page);
	char image[128];
	bool good;
	int raw;

	snprintf(image, sizeof(image), "%s.img", disk->dir);
	raw = open(image, O_RDONLY | O_CLOEXEC);
	good = sector >= 0 && reads(raw, sector * SECTOR, n, tag);
	close(raw);
	return good;
}

bool disk_has_target(struct disk *disk, const char *type)
{
	struct table table = { 0 };
	int control = open("/dev/mapper/control", O_RDWR | O_CLOEXEC), err;

	table.io.version[0] = 4;
	table.io.data_size = sizeof(table);
	table.io.data_start = offsetof(struct table, target);
	strcpy(table.io.name, type);
	/* This loads its module. */
	err = ioctl(control, DM_GET_TARGET_VERSION, &table);
	close(control);
	if (err)
		sprintf(disk->why, "this kernel has no dm-%s", type);
	return !err;
}

int disk_heal(const struct disk *disk)
{
	struct table table = { 0 };

	add_target(disk, &table, IMAGE / SECTOR, "linear");
	return set_table(&table);
}

int disk_delay(const struct disk *disk, unsigned int ms)
{
	struct table table = { 0 };

	if (access("/sys/module/dm_delay", F_OK) && run("modprobe -q dm-delay"))
		return -ENODEV;
	add_target(disk, &table, IMAGE / SECTOR, "delay");
	/* Writes have a delay of their own: none. */
	sprintf(table.target[0].params, "%s 0 %u %s 0 0", disk->loop, ms, disk->loop);
	return set_table(&table);
}

int sync_fs(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int err = syncfs(fd) ? -errno : 0;

	close(fd);
	return err;
}

int drop_caches(void)
{
	ssize_t len = write_file("/proc/sys/vm/drop_caches", "1");

	return len < 0 ? len : 0;
}
