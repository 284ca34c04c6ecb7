// SPDX-License-Identifier: GPL-2.0
/*
 * The disk behind the file fails, or is full: what programs see of that through the device.
 *
 * Each test tells a story, what every access came to in words, once over the file itself and
 * once over the device, and both must read as expected.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "disk.h"
#include "fixture.h"

#define PAGES	32
#define SIZE	(PAGES * PAGE_SIZE)
#define BAD	7

/* A file of PAGES pages on a disk of its own, clean, not in memory, and behind the device. */
FIXTURE(disk)
{
	struct disk disk;
	char path[128];
};

/* Down for ever, for reads and writes. */
#define FLAKEY "0 1"

FIXTURE_VARIANT(disk)
{
	const char *fs;
	const char *flakey;
};

FIXTURE_VARIANT_ADD(disk, ext4)
{
	.fs = "ext4"
};

FIXTURE_VARIANT_ADD(disk, xfs)
{
	.fs = "xfs"
};

FIXTURE_VARIANT_ADD(disk, ext4_flakey)
{
	.fs = "ext4",
	.flakey = FLAKEY
};

static int make_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	bool good = fd >= 0 && writes(fd, 0, PAGES, TAG) && !fsync(fd);

	close(fd);
	return good ? drop_caches() : -EIO;
}

FIXTURE_SETUP(disk)
{
	int err = disk_up(&self->disk, variant->fs);

	if (err > 0)
		SKIP(return, "%s", self->disk.why);
	ASSERT_EQ(0, err);
	if (variant->flakey && !disk_has_target(&self->disk, "flakey"))
		SKIP(return, "%s", self->disk.why);
	self->disk.flakey = variant->flakey;
	snprintf(self->path, sizeof(self->path), "%s/file", self->disk.dir);
	ASSERT_EQ(0, make_file(self->path));
	ASSERT_EQ(0, module_load("backing=file path=%s", self->path));
}

FIXTURE_TEARDOWN_PARENT(disk)
{
	EXPECT_EQ(0, module_unload());
	EXPECT_EQ(0, disk_down(&self->disk));
}

/* The story */

static char story[1024];

static void begin(void)
{
	story[0] = '\0';
}

static void tell(const char *format, ...)
{
	size_t len = strlen(story);
	va_list args;

	if (len)
		len += snprintf(story + len, sizeof(story) - len, ", ");
	va_start(args, format);
	vsnprintf(story + len, sizeof(story) - len, format, args);
	va_end(args);
}

/* Whether an access works, and if not, how it ends. */
static const char *trap(int sig)
{
	return sig == SIGBUS ? "SIGBUS" : sig ? "another trap" : "ok";
}

static const char *rc(long rc)
{
	return rc < 0 ? strerrorname_np(errno) : "ok";
}

static char *map_file(int fd, int flags)
{
	char *p = map(fd, SIZE, PROT_READ | PROT_WRITE, flags, 0);

	/* Without readahead each page is read on its own. */
	return p == MAP_FAILED || madvise(p, SIZE, MADV_RANDOM) ? NULL : p;
}

/* Pages that are not as they were made; a page that cannot be read is one of them. */
static int wrong_pages(const char *p)
{
	int wrong = 0;

	for (size_t i = 0; i < PAGES; i++)
		if (trap_load(p + i * PAGE_SIZE) || !holds(p + i * PAGE_SIZE, 1, TAG + i))
			wrong++;
	return wrong;
}

/* A page that cannot be read */

/*
 * The kernel takes the page, for a pipe. (MADV_POPULATE_READ would do, but before 6.9 it comes
 * for ever again to a page that is a VM_FAULT_RETRY first and a SIGBUS then.)
 */
static long pin(int pipe, char *page)
{
	return vmsplice(pipe, &(struct iovec){ page, 1 }, 1, SPLICE_F_NONBLOCK);
}

static const char *reads_bad(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC), pipes[2];
	char *p = map_file(fd, MAP_SHARED), *q = map_file(fd, MAP_PRIVATE);
	char c = 0, *bad = p + BAD * PAGE_SIZE;

	begin();
	if (!p || !q || pipe(pipes))
		return "no mappings";
	tell("load %s", trap(trap_load(bad + 5)));
	tell("store %s", trap(trap_store(bad + PAGE_SIZE - 1)));
	tell("private load %s", trap(trap_load(q + BAD * PAGE_SIZE)));
	tell("private store %s", trap(trap_store(q + BAD * PAGE_SIZE)));
	tell("pin %s", rc(pin(pipes[1], bad)));
	tell("write from it %s", rc(write(pipes[1], bad, 1)));
	tell("read into it %s", rc(pread(fd, bad, 1, 0)));
	tell("pread %s", rc(pread(fd, &c, 1, BAD * PAGE_SIZE)));
	tell("pwrite %s", rc(pwrite(fd, &c, 1, BAD * PAGE_SIZE)));
	tell("wrong pages %d", wrong_pages(p));
	munmap(p, SIZE);
	munmap(q, SIZE);
	close(pipes[0]);
	close(pipes[1]);
	close(fd);
	return story;
}

#define READS_BAD \
	"load SIGBUS, store SIGBUS, private load SIGBUS, private store SIGBUS, " \
	"pin EFAULT, write from it EFAULT, read into it EFAULT, " \
	"pread EIO, pwrite EIO, wrong pages 1"

TEST_F(disk, page_that_cannot_be_read)
{
	const char *expected = READS_BAD;
	int fd, pipes[2], file = open(self->path, O_RDWR);
	char *p;

	ASSERT_EQ(0, disk_break(&self->disk, file, BAD));
	EXPECT_STREQ(expected, reads_bad(self->path));
	ASSERT_EQ(0, drop_caches());
	EXPECT_STREQ(expected, reads_bad(NODE));
	ASSERT_EQ(0, drop_caches());
	fd = open(NODE, O_RDONLY);
	p = map(fd, SIZE, PROT_READ, MAP_SHARED, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, madvise(p, SIZE, MADV_RANDOM));
	/* Its folio stays, without content: that it is read again makes no major fault. */
	EXPECT_EQ(SIGBUS, trap_load(p + BAD * PAGE_SIZE));
	mark();
	EXPECT_EQ(SIGBUS, trap_load(p + BAD * PAGE_SIZE + 8));
	EXPECT_STREQ("read=1 sigbus=1", moved());
	/* What the kernel cannot access for a system call is counted like any other. */
	ASSERT_EQ(0, pipe(pipes));
	EXPECT_EQ(-1, pin(pipes[1], p + BAD * PAGE_SIZE));
	EXPECT_STREQ("read=1 sigbus=1", moved());
	ASSERT_EQ(0, disk_heal(&self->disk));
	EXPECT_EQ(0, wrong_pages(p));
	EXPECT_EQ(0, wrong_pages(p));
}

/*
 * Readahead takes the bad page with its neighbours. What is lost with it is the file system's
 * to say: all that shares a large folio with it (xfs; ext4 from 6.16 on), else nothing.
 */
static const char *reads_ahead(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *p = map(fd, SIZE, PROT_READ, MAP_SHARED, 0);

	begin();
	if (p == MAP_FAILED)
		return "no mapping";
	for (size_t i = 0; i < PAGES; i++)
		if (trap_load(p + i * PAGE_SIZE))
			tell("%zu %s", i, trap(trap_load(p + i * PAGE_SIZE)));
	munmap(p, SIZE);
	close(fd);
	return story;
}

TEST_F(disk, page_that_cannot_be_read_ahead)
{
	int file = open(self->path, O_RDWR);
	char direct[sizeof(story)];

	ASSERT_EQ(0, disk_break(&self->disk, file, BAD));
	strcpy(direct, reads_ahead(self->path));
	EXPECT_TRUE(strstr(direct, "7 SIGBUS"));
	ASSERT_EQ(0, drop_caches());
	EXPECT_STREQ(direct, reads_ahead(NODE));
	ASSERT_EQ(0, disk_heal(&self->disk));
	EXPECT_STREQ("", reads_ahead(NODE));
	EXPECT_TRUE(reads(file, 0, PAGES, TAG));
}

/* A page that cannot be written: every file open by then hears of it, once */

struct writer {
	int mapped;		/* open files over @path: the one that is mapped */
	int other;		/* another one */
	int file;		/* an open file of the file itself */
	char *p;
};

static bool writer_up(struct writer *w, const char *path, const char *file)
{
	w->mapped = open(path, O_RDWR | O_CLOEXEC);
	w->other = open(path, O_RDWR | O_CLOEXEC);
	w->file = open(file, O_RDWR | O_CLOEXEC);
	w->p = map_file(w->mapped, MAP_SHARED);
	return w->p && w->file >= 0;
}

static void writer_down(struct writer *w)
{
	munmap(w->p, SIZE);
	close(w->mapped);
	close(w->other);
	close(w->file);
}

static void store_bad(struct writer *w, uint64_t tag)
{
	store(w->p + BAD * PAGE_SIZE, 1, tag + BAD);
}

static const char *hears_once(const char *path, const char *file, const struct disk *disk)
{
	struct writer w;
	int late;

	begin();
	if (!writer_up(&w, path, file))
		return "no mapping";
	store_bad(&w, 0x100);
	if (disk_break(disk, w.file, BAD))
		return "cannot break the disk";
	store_bad(&w, 0x200);
	tell("msync %s", rc(msync(w.p, SIZE, MS_SYNC)));
	tell("again %s", rc(msync(w.p, SIZE, MS_SYNC)));
	tell("fsync %s", rc(fsync(w.mapped)));
	late = open(path, O_RDWR | O_CLOEXEC);
	tell("late %s", rc(fsync(late)));
	tell("other %s", rc(fsync(w.other)));
	tell("again %s", rc(fdatasync(w.other)));
	tell("file %s", rc(fsync(w.file)));
	tell("again %s", rc(fsync(w.file)));
	/* The next error: msync() tells what fsync() has not, of the same open file. */
	store_bad(&w, 0x300);
	tell("fdatasync %s", rc(fdatasync(w.mapped)));
	tell("msync %s", rc(msync(w.p, SIZE, MS_SYNC)));
	tell("late %s", rc(msync(w.p, SIZE, MS_SYNC) ?: fsync(late)));
	if (disk_heal(disk))
		return "cannot heal the disk";
	store_bad(&w, TAG);
	tell("healed %s", rc(msync(w.p, SIZE, MS_SYNC)));
	tell("mapped %s", rc(fsync(w.mapped)));
	/* Nobody has told these of the second error yet. */
	tell("other %s", rc(fsync(w.other)));
	tell("file %s", rc(fsync(w.file)));
	close(late);
	writer_down(&w);
	return story;
}

#define HEARD_ONCE \
	"msync EIO, again ok, fsync ok, late ok, other EIO, again ok, file EIO, again ok, " \
	"fdatasync EIO, msync ok, late EIO, healed ok, mapped ok, other EIO, file EIO"

TEST_F(disk, write_error_is_heard_of_once)
{
	const char *expected = HEARD_ONCE;
	int file = open(self->path, O_RDWR);

	EXPECT_STREQ(expected, hears_once(self->path, self->path, &self->disk));
	ASSERT_EQ(0, drop_caches());
	EXPECT_TRUE(reads(file, 0, PAGES, TAG));
	EXPECT_STREQ(expected, hears_once(NODE, self->path, &self->disk));
	ASSERT_EQ(0, drop_caches());
	EXPECT_TRUE(reads(file, 0, PAGES, TAG));
	/* Open all the time, and tells of many errors once too. */
	EXPECT_EQ(-1, fsync(file));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(0, fsync(file));
}

/* An error that writeback met while nobody asked is kept for whoever asks first, even later. */
static const char *heard_of_late(const char *path, const char *file, const struct disk *disk)
{
	int sync = open(path, O_RDWR | O_DSYNC | O_CLOEXEC), late, later;
	static char page[PAGE_SIZE];
	struct writer w;

	begin();
	if (!writer_up(&w, path, file))
		return "no mapping";
	store_bad(&w, TAG);
	if (disk_break(disk, w.file, BAD))
		return "cannot break the disk";
	store_bad(&w, 0x100);
	syncfs(w.file);
	late = open(path, O_RDWR | O_CLOEXEC);
	tell("late %s", rc(fsync(late)));
	later = open(path, O_RDWR | O_CLOEXEC);
	tell("later %s", rc(fsync(later)));
	tell("mapped %s", rc(msync(w.p, SIZE, MS_SYNC)));
	tell("synchronous %s", rc(pwrite(sync, page, PAGE_SIZE, BAD * PAGE_SIZE)));
	tell("fsync %s", rc(fsync(sync)));
	tell("late %s", rc(fsync(late)));
	writer_down(&w);
	close(sync);
	close(late);
	close(later);
	/* What could not be written is no longer dirty, and may be forgotten. */
	drop_caches();
	if (!writer_up(&w, path, file) || disk_heal(disk))
		return "cannot heal the disk";
	tell("wrong pages %d", wrong_pages(w.p));
	writer_down(&w);
	return story;
}

#define HEARD_OF_LATE \
	"late EIO, later ok, mapped EIO, synchronous EIO, fsync ok, late EIO, wrong pages 0"

TEST_F(disk, write_error_is_heard_of_late)
{
	const char *expected = HEARD_OF_LATE;

	EXPECT_STREQ(expected, heard_of_late(self->path, self->path, &self->disk));
	EXPECT_STREQ(expected, heard_of_late(NODE, self->path, &self->disk));
}

/* A disk that fails in ways of its own (dm-flakey) */

FIXTURE(flakey)
{
	struct disk disk;
	char path[128];
};

FIXTURE_VARIANT(flakey)
{
	const char *fs;
};

FIXTURE_VARIANT_ADD(flakey, ext4)
{
	.fs = "ext4"
};

FIXTURE_VARIANT_ADD(flakey, xfs)
{
	.fs = "xfs"
};

FIXTURE_SETUP(flakey)
{
	int err = disk_up(&self->disk, variant->fs);

	if (err > 0)
		SKIP(return, "%s", self->disk.why);
	ASSERT_EQ(0, err);
	if (!disk_has_target(&self->disk, "flakey"))
		SKIP(return, "%s", self->disk.why);
	snprintf(self->path, sizeof(self->path), "%s/file", self->disk.dir);
	ASSERT_EQ(0, make_file(self->path));
	ASSERT_EQ(0, module_load("backing=file path=%s", self->path));
}

FIXTURE_TEARDOWN_PARENT(flakey)
{
	EXPECT_EQ(0, !module_loaded() ? 0 : module_unload());
	EXPECT_EQ(0, disk_down(&self->disk));
}

/* It reads, and does not write. */
TEST_F(flakey, fails_writes_only)
{
	const char *expected = HEARD_ONCE;
	int file = open(self->path, O_RDWR);

	self->disk.flakey = "0 1 1 error_writes";
	EXPECT_STREQ(expected, hears_once(self->path, self->path, &self->disk));
	EXPECT_STREQ(expected, hears_once(NODE, self->path, &self->disk));
	ASSERT_EQ(0, disk_break(&self->disk, file, BAD));
	ASSERT_EQ(0, drop_caches());
	EXPECT_STREQ("", reads_ahead(NODE));
	EXPECT_TRUE(reads(file, 0, PAGES, TAG));
}

/* It says that it has written, and has not: nobody can know before he reads it again. */
static const char *loses(const char *path, const char *file, const struct disk *disk)
{
	struct writer w;
	char *bad;

	begin();
	if (!writer_up(&w, path, file))
		return "no mapping";
	bad = w.p + BAD * PAGE_SIZE;
	store_bad(&w, TAG);
	if (disk_break(disk, w.file, BAD))
		return "cannot break the disk";
	store_bad(&w, 0x200);
	tell("msync %s", rc(msync(w.p, SIZE, MS_SYNC)));
	tell("other %s", rc(fsync(w.other)));
	tell("held %d", holds(bad, 1, 0x200 + BAD));
	tell("written %d", !disk_holds(disk, w.file, BAD, 1, TAG + BAD));
	writer_down(&w);
	drop_caches();
	if (!writer_up(&w, path, file) || disk_heal(disk))
		return "cannot heal the disk";
	tell("wrong pages %d", wrong_pages(w.p));
	store_bad(&w, 0x300);
	tell("healed %s", rc(msync(w.p, SIZE, MS_SYNC)));
	tell("written %d", disk_holds(disk, w.file, BAD, 1, 0x300 + BAD));
	writer_down(&w);
	return story;
}

#define LOST \
	"msync ok, other ok, held 1, written 0, wrong pages 0, healed ok, written 1"

TEST_F(flakey, loses_writes)
{
	const char *expected = LOST;

	self->disk.flakey = "0 1 1 drop_writes";
	EXPECT_STREQ(expected, loses(self->path, self->path, &self->disk));
	EXPECT_STREQ(expected, loses(NODE, self->path, &self->disk));
}

/* It comes and goes, a second each. */

#define HALF (PAGES / 2)

struct spells {
	long good, bad;		/* what was stored was written, or an error was told of */
	long wrong;		/* ... and was not written, or not told of once to each */
	long loads, traps;	/* of pages that nobody changes */
};

/* Stores to the first half, and whether both open files agree on what came of it. */
static void write_once(struct writer *w, const struct disk *disk, uint64_t tag, struct spells *s)
{
	int msynced, other;

	store(w->p, HALF, tag);
	msynced = RC(msync(w->p, SIZE, MS_SYNC));
	other = RC(fsync(w->other));
	s->wrong += msynced != other || (msynced && msynced != -EIO);
	s->wrong += fsync(w->mapped) || fsync(w->other);
	s->wrong += !msynced && !disk_holds(disk, w->file, 0, HALF, tag);
	s->good += !msynced;
	s->bad += !!msynced;
}

/* A page of the second half, from the disk: SIGBUS at its address, or as it was made. */
static void read_once(struct writer *w, size_t page, struct spells *s)
{
	char *p = w->p + page * PAGE_SIZE;
	int sig;

	s->wrong += madvise(p, PAGE_SIZE, MADV_DONTNEED);
	s->wrong += posix_fadvise(w->file, page * PAGE_SIZE, PAGE_SIZE, POSIX_FADV_DONTNEED);
	sig = trap_load(p);
	s->loads += !sig;
	s->traps += sig == SIGBUS;
	s->wrong += sig ? sig != SIGBUS : !holds(p, 1, TAG + page);
}

static bool seen_all(const struct spells *s)
{
	return s->good > 1 && s->bad > 1 && s->loads > 1 && s->traps > 1;
}

static const char *comes_and_goes(const char *path, const char *file, const struct disk *disk)
{
	struct spells s = { 0 };
	time_t end = time(NULL) + 20;
	struct writer w;

	begin();
	if (!writer_up(&w, path, file))
		return "no mapping";
	/* What is to be stored to is in memory before it can fail to be read. */
	store(w.p, HALF, TAG);
	if (disk_break_pages(disk, w.file, 0, PAGES))
		return "cannot break the disk";
	/* Until it has been up and down, and is up again. */
	for (long i = 1; time(NULL) < end; i++) {
		long good = s.good;

		write_once(&w, disk, i << 32, &s);
		read_once(&w, HALF + i % HALF, &s);
		if (seen_all(&s) && s.good > good)
			break;
		usleep(10000);
	}
	tell("seen all %d", seen_all(&s));
	tell("wrong %ld", s.wrong);
	if (disk_heal(disk))
		return "cannot heal the disk";
	store(w.p, HALF, TAG);
	tell("healed %s", rc(msync(w.p, SIZE, MS_SYNC)));
	tell("other %s", rc(fsync(w.other)));
	tell("written %d", disk_holds(disk, w.file, 0, PAGES, TAG));
	tell("wrong pages %d", wrong_pages(w.p));
	writer_down(&w);
	return story;
}

#define CAME_AND_WENT \
	"seen all 1, wrong 0, healed ok, other ok, written 1, wrong pages 0"

TEST_F_TIMEOUT(flakey, comes_and_goes, 100)
{
	const char *expected = CAME_AND_WENT;
	struct figures before, after;

	self->disk.flakey = "1 1";
	EXPECT_STREQ(expected, comes_and_goes(self->path, self->path, &self->disk));
	ASSERT_EQ(0, drop_caches());
	ASSERT_EQ(0, figures(&before));
	EXPECT_STREQ(expected, comes_and_goes(NODE, self->path, &self->disk));
	ASSERT_EQ(0, figures(&after));
	EXPECT_LT(1, after.count[SIGBUSES] - before.count[SIGBUSES]);
	EXPECT_TRUE(adds_up(&after));
}

/*
 * Flushes fail with the page, and with them whatever the file system does next. Whether it is
 * msync() or fsync() that then hears of it first is a matter of its timing; that each open
 * file does is not.
 */
static const char *flushes_fail(const char *path, const char *file, const struct disk *disk)
{
	struct writer w;
	int again;

	begin();
	if (!writer_up(&w, path, file))
		return "no mapping";
	store_bad(&w, 0x100);
	if (disk_break_pages(disk, w.file, BAD, 2))
		return "cannot break the disk";
	store_bad(&w, 0x200);
	tell("load %s", trap(trap_load(w.p + (BAD + 1) * PAGE_SIZE + 8)));
	tell("msync %s", rc(msync(w.p, SIZE, MS_SYNC)));
	tell("other %s", rc(fsync(w.other)));
	/* The file is to be longer: now it is the metadata that cannot be written. */
	tell("longer %s", rc(ftruncate(w.file, SIZE + PAGE_SIZE)));
	again = msync(w.p, SIZE, MS_SYNC);
	tell("mapped %s", fsync(w.mapped) || again ? "fails" : "ok");
	tell("other %s", fsync(w.other) ? "fails" : "ok");
	tell("load %s", trap(trap_load(w.p + BAD * PAGE_SIZE)));
	writer_down(&w);
	return disk_heal(disk) ? "cannot heal the disk" : story;
}

static bool mount_again(const struct disk *disk, const char *fs)
{
	return !umount(disk->dir) && !mount(disk->node, disk->dir, fs, 0, NULL);
}

#define FLUSHES_FAILED \
	"load SIGBUS, msync EIO, other EIO, longer ok, mapped fails, other fails, load ok"

TEST_F_TIMEOUT(flakey, fails_flushes, 100)
{
	const char *expected = FLUSHES_FAILED;
	struct writer w;

	self->disk.flakey = FLAKEY;
	self->disk.flushes = true;
	ASSERT_EQ(0, module_unload());
	EXPECT_STREQ(expected, flushes_fail(self->path, self->path, &self->disk));
	ASSERT_TRUE(mount_again(&self->disk, variant->fs));
	ASSERT_EQ(0, module_load("backing=file path=%s", self->path));
	EXPECT_STREQ(expected, flushes_fail(NODE, self->path, &self->disk));
	ASSERT_EQ(0, module_unload());
	ASSERT_TRUE(mount_again(&self->disk, variant->fs));
	ASSERT_EQ(0, module_load("backing=file path=%s", self->path));
	/* It has what was written before the disk broke, and works. */
	ASSERT_TRUE(writer_up(&w, NODE, self->path));
	EXPECT_TRUE(reads(w.file, 0, BAD, TAG));
	EXPECT_TRUE(reads(w.file, (BAD + 1) * PAGE_SIZE, PAGES - BAD - 1, TAG + BAD + 1));
	store_bad(&w, 0x400);
	EXPECT_EQ(0, msync(w.p, SIZE, MS_SYNC));
	EXPECT_EQ(0, fsync(w.other));
	EXPECT_TRUE(disk_holds(&self->disk, w.file, BAD, 1, 0x400 + BAD));
	writer_down(&w);
}

/* No room: a file with a hole, after THERE pages, on a file system that is full */

#define THERE	8

FIXTURE(full)
{
	struct disk disk;
	char path[128], filler[128];
};

FIXTURE_VARIANT(full)
{
	const char *fs;
	const char *hole;	/* what comes of accesses to it */
	const char *counted;	/* of one store to the hole */
};

FIXTURE_VARIANT_ADD(full, ext4)
{
	.fs = "ext4",
	.hole = "load ok, store SIGBUS, populate EFAULT, read into it EFAULT, private store ok",
	.counted = "write=1 mkwrite=1 major=1 sigbus=1"
};

/* A page of tmpfs is all the room there is: to load from the hole takes one, to read() none. */
FIXTURE_VARIANT_ADD(full, tmpfs)
{
	.fs = "tmpfs",
	.hole = "load SIGBUS, store SIGBUS, populate EFAULT, read into it EFAULT, private store SIGBUS",
	.counted = "write=1 sigbus=1"
};

static bool fill_up(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	off_t end = 0;

	for (off_t piece = 64 << 20; piece >= (off_t)PAGE_SIZE; piece /= 4)
		while (!fallocate(fd, 0, end, piece))
			end += piece;
	close(fd);
	return errno == ENOSPC;
}

FIXTURE_SETUP(full)
{
	int fd, err = disk_up(&self->disk, variant->fs);

	if (err > 0)
		SKIP(return, "%s", self->disk.why);
	ASSERT_EQ(0, err);
	snprintf(self->path, sizeof(self->path), "%s/file", self->disk.dir);
	snprintf(self->filler, sizeof(self->filler), "%s/filler", self->disk.dir);
	fd = open(self->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ASSERT_TRUE(writes(fd, 0, THERE, TAG));
	ASSERT_EQ(0, ftruncate(fd, SIZE));
	ASSERT_EQ(0, fsync(fd));
	close(fd);
	ASSERT_TRUE(fill_up(self->filler));
	ASSERT_EQ(0, module_load("backing=file path=%s", self->path));
}

FIXTURE_TEARDOWN_PARENT(full)
{
	EXPECT_EQ(0, module_unload());
	EXPECT_EQ(0, disk_down(&self->disk));
}

static const char *finds_no_room(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	char *p = map_file(fd, MAP_SHARED), *q = map_file(fd, MAP_PRIVATE);
	char c = 0, *hole = p + THERE * PAGE_SIZE;

	begin();
	if (!p || !q)
		return "no mappings";
	tell("load %s", trap(trap_load(hole)));
	tell("store %s", trap(trap_store(hole)));
	tell("populate %s", rc(madvise(hole, PAGE_SIZE, MADV_POPULATE_WRITE)));
	tell("read into it %s", rc(pread(fd, hole, 1, 0)));
	tell("private store %s", trap(trap_store(q + (THERE + 2) * PAGE_SIZE)));
	tell("pread %s", rc(pread(fd, &c, 1, (THERE + 1) * PAGE_SIZE)));
	tell("pwrite %s", rc(pwrite(fd, &c, 1, (THERE + 1) * PAGE_SIZE)));
	store(p, THERE, TAG);
	tell("what is there %s", rc(msync(p, SIZE, MS_SYNC)));
	munmap(p, SIZE);
	munmap(q, SIZE);
	close(fd);
	return story;
}

TEST_F(full, store_to_a_hole)
{
	int fd = open(NODE, O_RDWR), file = open(self->path, O_RDWR);
	char *p, expected[256];

	sprintf(expected, "%s, pread ok, pwrite ENOSPC, what is there ok", variant->hole);
	EXPECT_STREQ(expected, finds_no_room(self->path));
	EXPECT_STREQ(expected, finds_no_room(NODE));
	EXPECT_TRUE(reads(file, 0, THERE, TAG));
	p = map_file(fd, MAP_SHARED);
	ASSERT_NE(NULL, p);
	mark();
	EXPECT_EQ(SIGBUS, trap_store(p + (PAGES - 1) * PAGE_SIZE));
	EXPECT_STREQ(variant->counted, moved());
	/* Room again. The journal gives blocks back when it commits. */
	ASSERT_EQ(0, unlink(self->filler));
	ASSERT_EQ(0, syncfs(file));
	store(p, PAGES, 0x100);
	EXPECT_EQ(0, msync(p, SIZE, MS_SYNC));
	ASSERT_EQ(0, munmap(p, SIZE));
	ASSERT_EQ(0, drop_caches());
	EXPECT_TRUE(reads(file, 0, PAGES, 0x100));
}

TEST_HARNESS_MAIN
