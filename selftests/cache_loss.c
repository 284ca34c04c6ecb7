// SPDX-License-Identifier: GPL-2.0
/*
 * The disk after a power cut, if it had a volatile write cache.
 *
 * QEMU's blklogwrites keeps every request in the format of dm-log-writes: a sector with the
 * superblock, then for each request a sector that describes it, and its data. What such a
 * disk keeps for certain is everything before the last flush, and what was written with
 * FUA. Of the rest each block reaches the medium or it does not, in any order. Which of two
 * writes of one block came last makes no difference to what may be there, because the other
 * may be missing: so blocks are left out at random and not put into another order. A block
 * of 4 KiB is written whole, as a disk with such physical sectors does; see power_cut.c.
 */
#define _GNU_SOURCE
#include <endian.h>
#include <err.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR		512UL
#define BLOCK		4096UL
#define MAGIC		0x6a736677736872ULL
#define LOG_FLUSH	1
#define LOG_FUA		2
#define LOG_DISCARD	4

struct super {
	uint64_t magic, version, nr_entries;
	uint32_t sector_size;
};

struct entry {
	uint64_t sector, nr_sectors, flags, data_len;
};

static const char *map_log(const char *path, size_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const struct super *super;
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		err(2, "%s", path);
	super = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (super == MAP_FAILED)
		err(2, "%s", path);
	if (super->magic != htole64(MAGIC) || super->sector_size != htole32(SECTOR))
		errx(2, "%s is no log of writes to sectors of %lu", path, SECTOR);
	close(fd);
	*size = st.st_size;
	return (const char *)super;
}

/*
 * The request at or after *at, or NULL. QEMU allots room to requests as they come and writes
 * them as they go: one that it had not written yet when it was killed is a hole to step over.
 */
static const struct entry *next_entry(const char *log, size_t size, size_t *at, const char **data)
{
	const struct entry *entry;
	size_t end;

	for (; *at + SECTOR <= size; *at += SECTOR) {
		entry = (const struct entry *)(log + *at);
		if (!entry->nr_sectors && !entry->flags)
			continue;
		*data = log + *at + SECTOR;
		end = *at + SECTOR;
		if (!(le64toh(entry->flags) & LOG_DISCARD))
			end += le64toh(entry->nr_sectors) * SECTOR;
		if (end > size)
			return NULL;
		*at = end;
		return entry;
	}
	return NULL;
}

static unsigned int requests, flushes, kept, lost;

/* Where the last flush ends in the log. */
static size_t last_flush(const char *log, size_t size)
{
	const struct entry *entry;
	size_t at = SECTOR, last = SECTOR;
	const char *data;

	while ((entry = next_entry(log, size, &at, &data))) {
		requests++;
		if (!(le64toh(entry->flags) & LOG_FLUSH))
			continue;
		flushes++;
		last = at;
	}
	return last;
}

static void write_blocks(int disk, const struct entry *entry, const char *data, bool certain)
{
	size_t at = le64toh(entry->sector) * SECTOR, len = le64toh(entry->nr_sectors) * SECTOR;
	size_t piece;

	for (; len; at += piece, data += piece, len -= piece) {
		piece = BLOCK - at % BLOCK;
		if (piece > len)
			piece = len;
		if (!certain && random() & 1) {
			lost++;
			continue;
		}
		kept += !certain;
		if (pwrite(disk, data, piece, at) != (ssize_t)piece)
			err(2, "pwrite");
	}
}

int main(int argc, char **argv)
{
	const struct entry *entry;
	size_t size, flushed, at = SECTOR;
	const char *log, *data;
	uint64_t flags;
	int disk;

	if (argc != 4)
		errx(2, "usage: cache_loss LOG DISK SEED\n"
		     "DISK is as it was when the log began, and is as it may be after a power cut.");
	log = map_log(argv[1], &size);
	disk = open(argv[2], O_RDWR | O_CLOEXEC);
	if (disk < 0)
		err(2, "%s", argv[2]);
	srandom(atoi(argv[3]));
	flushed = last_flush(log, size);
	while ((entry = next_entry(log, size, &at, &data))) {
		flags = le64toh(entry->flags);
		if (!(flags & LOG_DISCARD))
			write_blocks(disk, entry, data, at <= flushed || flags & LOG_FUA);
	}
	printf("%u requests, %u flushes, of the blocks after the last one %u kept and %u lost\n",
	       requests, flushes, kept, lost);
	return 0;
}
