// SPDX-License-Identifier: GPL-2.0
/*
 * What is behind the device changes while a crowd, two readers and two writers, faults: the
 * file is cut, punched, renamed, deleted, its file system frozen, remounted and broken.
 *
 * Each access ends right or with a SIGBUS where one is due; afterwards the content is right,
 * each SIGBUS was counted, the module unloads, and the file system can be unmounted.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control.h"
#include "disk.h"
#include "fixture.h"

#define PAGES	64UL
#define SIZE	(PAGES * PAGE_SIZE)
#define HALF	(SIZE / 2)
#define CROWD	4
#define WRITERS	2
#define WORDS	(PAGE_SIZE / 8)

FIXTURE(backing)
{
	struct disk disk;
	char path[128];
	int file;
};

FIXTURE_VARIANT(backing)
{
	const char *fs;
};

FIXTURE_VARIANT_ADD(backing, ext4)
{
	.fs = "ext4"
};

FIXTURE_VARIANT_ADD(backing, xfs)
{
	.fs = "xfs"
};

static int open_file(struct disk *disk, char path[128])
{
	int fd;

	snprintf(path, 128, "%s/file", disk->dir);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	return fd >= 0 && writes(fd, 0, PAGES, TAG) && !fsync(fd) ? fd : -1;
}

FIXTURE_SETUP(backing)
{
	int err = disk_up(&self->disk, variant->fs);

	if (err > 0)
		SKIP(return, "%s", self->disk.why);
	ASSERT_EQ(0, err);
	self->file = open_file(&self->disk, self->path);
	ASSERT_LE(0, self->file);
	ASSERT_EQ(0, module_load("backing=file path=%s", self->path));
}

FIXTURE_TEARDOWN_PARENT(backing)
{
	EXPECT_EQ(0, module_unload());
	EXPECT_EQ(0, disk_down(&self->disk));
}

/* The same with what only ext4 has. */
FIXTURE(ext4)
{
	struct disk disk;
	char path[128];
	int file;
};

FIXTURE_SETUP(ext4)
{
	int err = disk_up(&self->disk, "ext4");

	if (err > 0)
		SKIP(return, "%s", self->disk.why);
	ASSERT_EQ(0, err);
	self->file = open_file(&self->disk, self->path);
	ASSERT_LE(0, self->file);
	ASSERT_EQ(0, module_load("backing=file path=%s", self->path));
}

FIXTURE_TEARDOWN_PARENT(ext4)
{
	EXPECT_EQ(0, module_unload());
	EXPECT_EQ(0, disk_down(&self->disk));
}

/* The crowd */

/*
 * A member goes through the pages for ever. Word 0 is as the file was made; writer w stores
 * to word 1 + w, and readers look at all of them, after they have let go of what was mapped.
 * From page @safe on a page may be missing (SIGBUS), and may be back without content.
 */
struct member {
	pid_t pid;
	volatile long rounds, traps, wrong;
};

static struct crowd {
	volatile bool stop;
	size_t safe;
	int writers;		/* the first members; the others only read */
	struct member member[CROWD];
} *crowd;

static sigjmp_buf trapped;
static volatile uint64_t *volatile accessed;
static volatile bool misplaced;

static void on_bus_error(int sig, siginfo_t *info, void *context)
{
	(void)context;
	misplaced = info->si_code != BUS_ADRERR || info->si_addr != accessed;
	siglongjmp(trapped, sig);
}

static uint64_t value(size_t page, int word)
{
	return word ? (uint64_t)word << 32 | page : TAG + page;
}

/* One load or store: false for a SIGBUS. */
static bool access_word(uint64_t *map, size_t page, int word, bool write, uint64_t *got)
{
	accessed = map + page * WORDS + word;
	/* Without the signal mask, which would be a system call for each access. */
	if (sigsetjmp(trapped, 0))
		return false;
	if (write)
		*accessed = value(page, word);
	else
		*got = *accessed;
	return true;
}

/* Is this what may be read there? A writer's word may still be empty. */
static bool legal(size_t page, int word, uint64_t got)
{
	return got == value(page, word) || (!got && (word || page >= crowd->safe));
}

static void visit(struct member *m, uint64_t *map, size_t page, int word, bool write)
{
	uint64_t got = value(page, word);

	if (access_word(map, page, word, write, &got)) {
		m->wrong += !legal(page, word, got);
		return;
	}
	m->traps++;
	m->wrong += misplaced || page < crowd->safe;
}

static int behave(int nr, const char *path)
{
	struct sigaction action = { .sa_sigaction = on_bus_error,
				    .sa_flags = SA_SIGINFO | SA_NODEFER };
	bool writes = nr < crowd->writers;
	int fd = open(path, (crowd->writers ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	uint64_t *map = mmap(NULL, SIZE, PROT_READ | (writes ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
	struct member *m = &crowd->member[nr];

	/* With a test that fails halfway its crowd goes too. */
	if (map == MAP_FAILED || sigaction(SIGBUS, &action, NULL) ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL))
		return 1;
	for (; !crowd->stop; m->rounds++) {
		if (!writes && madvise(map, SIZE, MADV_DONTNEED))
			return 1;
		for (size_t page = 0; page < PAGES; page++)
			if (writes)
				visit(m, map, page, 1 + nr, true);
			else
				for (int word = 0; word <= WRITERS; word++)
					visit(m, map, page, word, false);
	}
	return 0;
}

static void gather_writers(size_t safe, int writers)
{
	pid_t pid;

	crowd = mmap(NULL, sizeof(*crowd), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	crowd->safe = safe;
	crowd->writers = writers;
	for (int i = 0; i < CROWD; i++) {
		pid = fork();
		if (!pid)
			_exit(behave(i, NODE));
		crowd->member[i].pid = pid;
	}
}

static void gather(size_t safe)
{
	gather_writers(safe, WRITERS);
}

/* Until each of these has gone through all pages n times more. */
static void let_go_on(int first, int last, long n)
{
	long until[CROWD];

	for (int i = first; i <= last; i++)
		until[i] = crowd->member[i].rounds + n;
	for (int i = first; i <= last; i++)
		while (crowd->member[i].rounds < until[i])
			usleep(1000);
}

/* How many SIGBUSes there were, or -1 if an access was wrong, or one of them was not counted. */
static long disperse(void)
{
	struct figures f;
	bool good = true;
	long traps = 0;

	crowd->stop = true;
	for (int i = 0; i < CROWD; i++) {
		good &= !reap(crowd->member[i].pid) && !crowd->member[i].wrong;
		traps += crowd->member[i].traps;
	}
	good &= !figures(&f) && adds_up(&f) && f.count[SIGBUSES] == traps;
	return good ? traps : -1;
}

/* Once more, alone: stores reach the file, and what was not to be touched is as it was. */
static bool works(int file, size_t safe)
{
	int fd = open(NODE, O_RDWR | O_CLOEXEC);
	uint64_t *map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	uint64_t words[1 + WRITERS];
	bool good = map != MAP_FAILED;

	for (size_t page = 0; good && page < PAGES; page++)
		for (int word = page < safe ? 1 : 0; word <= WRITERS; word++)
			map[page * WORDS + word] = value(page, word);
	good = good && !msync(map, SIZE, MS_SYNC) && !munmap(map, SIZE) && !drop_caches();
	for (size_t page = 0; good && page < PAGES; page++) {
		good = pread(file, words, sizeof(words), page * PAGE_SIZE) == sizeof(words);
		for (int word = 0; word <= WRITERS; word++)
			good &= words[word] == value(page, word);
	}
	close(fd);
	return good;
}

/* The file */

TEST_F_TIMEOUT(backing, truncated, 100)
{
	gather(PAGES / 2);
	let_go_on(0, CROWD - 1, 1);
	for (unsigned long i = 0; i < rounds(20); i++) {
		ASSERT_EQ(0, ftruncate(self->file, HALF));
		let_go_on(i % CROWD, i % CROWD, 1);
		ASSERT_EQ(0, ftruncate(self->file, SIZE));
		let_go_on(i % CROWD, i % CROWD, 1);
	}
	EXPECT_LT(0, disperse());
	EXPECT_TRUE(works(self->file, PAGES / 2));
}

TEST_F_TIMEOUT(backing, punched, 100)
{
	gather(PAGES / 2);
	let_go_on(0, CROWD - 1, 1);
	for (unsigned long i = 0; i < rounds(20); i++) {
		ASSERT_EQ(0, fallocate(self->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				       HALF, HALF));
		let_go_on(i % CROWD, i % CROWD, 1);
	}
	EXPECT_EQ(0, disperse());
	EXPECT_TRUE(works(self->file, PAGES / 2));
}

static const char *shown_path(void)
{
	static char text[256];

	if (read_file(SYSFS "path", text, sizeof(text)) < 0)
		return "unreadable";
	text[strcspn(text, "\n")] = '\0';
	return text;
}

/* The device goes with the file, not with its name; a new file of that name is another one. */
TEST_F_TIMEOUT(backing, renamed_and_deleted, 100)
{
	char other[160], deleted[180];
	int fd;

	sprintf(other, "%s.other", self->path);
	sprintf(deleted, "%s (deleted)", other);
	gather(PAGES);
	for (int i = 0; i < 20; i++) {
		ASSERT_EQ(0, rename(self->path, other));
		EXPECT_STREQ(other, shown_path());
		ASSERT_EQ(0, rename(other, self->path));
		EXPECT_STREQ(self->path, shown_path());
	}
	ASSERT_EQ(0, rename(self->path, other));
	ASSERT_EQ(0, unlink(other));
	EXPECT_STREQ(deleted, shown_path());
	fd = open(other, O_RDWR | O_CREAT | O_EXCL, 0644);
	ASSERT_LE(0, fd);
	let_go_on(0, CROWD - 1, 3);
	EXPECT_EQ(0, disperse());
	EXPECT_TRUE(works(self->file, PAGES));
	EXPECT_EQ(0, lseek(fd, 0, SEEK_END));
}

/* The last one to hold a deleted file is the device: its blocks come back with unloading. */
TEST_F_TIMEOUT(backing, deleted_file_is_given_back, 100)
{
	struct statvfs before, after;

	ASSERT_EQ(0, unlink(self->path));
	ASSERT_EQ(0, close(self->file));
	ASSERT_EQ(0, sync_fs(self->disk.dir));
	ASSERT_EQ(0, statvfs(self->disk.dir, &before));
	ASSERT_EQ(0, module_unload());
	/* xfs takes its time. */
	for (int i = 0; i < 100; i++, usleep(50000)) {
		ASSERT_EQ(0, sync_fs(self->disk.dir));
		ASSERT_EQ(0, statvfs(self->disk.dir, &after));
		if (after.f_bfree - before.f_bfree >= SIZE / after.f_frsize)
			break;
	}
	EXPECT_LE(SIZE / after.f_frsize, after.f_bfree - before.f_bfree);
	/* For the teardown. */
	ASSERT_EQ(0, module_load("size=1M"));
}

/* The file system */

static pid_t child(int (*fn)(const char *path), const char *path)
{
	pid_t pid = fork();

	if (!pid)
		_exit(fn(path));
	return pid;
}

static int stores(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint64_t *map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		return 1;
	map[1] = value(0, 1);
	return 0;
}

static int pwrites(const char *path)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	uint64_t word = value(0, 1);

	return pwrite(fd, &word, sizeof(word), sizeof(word)) != sizeof(word);
}

static bool is_gone(pid_t pid)
{
	siginfo_t info = { 0 };

	return !waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid == pid;
}

/*
 * Readers go on, writers wait, with write() or with a store, and nobody gets an error. Whether
 * somebody who waits can be killed is the core's decision (until now: no); it must be the same
 * with the device and without.
 */
TEST_F_TIMEOUT(backing, frozen, 100)
{
	int dir = open(self->disk.dir, O_RDONLY | O_CLOEXEC), status[2];
	pid_t waits, pwrites_too, killed[2];
	long rounds[WRITERS];

	gather(PAGES);
	let_go_on(0, CROWD - 1, 2);
	ASSERT_EQ(0, ioctl(dir, FIFREEZE, 0));
	waits = child(stores, self->path);
	pwrites_too = child(pwrites, NODE);
	killed[0] = child(stores, self->path);
	killed[1] = child(stores, NODE);
	sleep(2);
	for (int i = 0; i < WRITERS; i++)
		rounds[i] = crowd->member[i].rounds;
	kill(killed[0], SIGKILL);
	kill(killed[1], SIGKILL);
	let_go_on(WRITERS, CROWD - 1, 10);
	sleep(8);
	for (int i = 0; i < WRITERS; i++)
		EXPECT_EQ(rounds[i], crowd->member[i].rounds);
	EXPECT_FALSE(is_gone(waits));
	EXPECT_FALSE(is_gone(pwrites_too));
	EXPECT_EQ(is_gone(killed[0]), is_gone(killed[1]));
	ASSERT_EQ(0, ioctl(dir, FITHAW, 0));
	let_go_on(0, CROWD - 1, 2);
	EXPECT_EQ(0, reap(waits));
	EXPECT_EQ(0, reap(pwrites_too));
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(killed[i], waitpid(killed[i], &status[i], 0));
		EXPECT_TRUE(WIFSIGNALED(status[i]) && WTERMSIG(status[i]) == SIGKILL);
	}
	EXPECT_EQ(0, disperse());
	EXPECT_TRUE(works(self->file, PAGES));
}

static int remount(const struct disk *disk, unsigned long flags, const char *options)
{
	return mount(NULL, disk->dir, NULL, MS_REMOUNT | flags, options) ? -errno : 0;
}

/*
 * The device holds its file open for writing, so that whoever opens it later can write: as
 * long as it exists the file system stays writable, mapped or not. A device that was made on
 * a read-only file system is in nobody's way, and cannot be opened for writing ever after.
 */
TEST_F_TIMEOUT(backing, remounted, 100)
{
	close(self->file);
	gather(PAGES);
	let_go_on(0, CROWD - 1, 1);
	EXPECT_EQ(-EBUSY, remount(&self->disk, MS_RDONLY, NULL));
	let_go_on(0, CROWD - 1, 1);
	EXPECT_EQ(0, disperse());
	EXPECT_EQ(-EBUSY, remount(&self->disk, MS_RDONLY, NULL));
	ASSERT_EQ(0, module_unload());
	ASSERT_EQ(0, remount(&self->disk, MS_RDONLY, NULL));
	ASSERT_EQ(0, module_load("backing=file path=%s", self->path));
	EXPECT_EQ(-1, open(NODE, O_RDWR | O_CLOEXEC));
	EXPECT_EQ(EACCES, errno);
	ASSERT_EQ(0, remount(&self->disk, 0, NULL));
	EXPECT_EQ(-1, open(NODE, O_RDWR | O_CLOEXEC));
	EXPECT_EQ(EACCES, errno);
	EXPECT_LE(0, open(NODE, O_RDONLY | O_CLOEXEC));
}

/* In the place of the fixture's device one that was given a file open for reading. */
static int attach_read_only(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;
	struct info info = { 0 };
	struct genl genl;

	err = control_open(&genl);
	if (err)
		return err;
	err = del(&genl, "mmapdemo", false) ?: add_file(&genl, "mmapdemo", fd, 0, &info);
	genl_close(&genl);
	close(fd);
	return err ?: info.flags == MMAPDEMO_READ_ONLY ? 0 : -EPROTO;
}

static long long read_faults(void)
{
	struct figures f;

	return figures(&f) ? -1 : f.count[READ] + f.count[AROUND];
}

/*
 * Such a device does not keep the file system writable: it goes read-only and writable again
 * under a crowd that faults all the time and reads from the disk too, and nobody notices.
 */
TEST_F_TIMEOUT(backing, remounted_under_readers, 100)
{
	int fd;

	ASSERT_EQ(0, close(self->file));
	ASSERT_EQ(0, attach_read_only(self->path));
	gather_writers(PAGES, 0);
	let_go_on(0, CROWD - 1, 1);
	for (int i = 0; i < 3; i++) {
		long long faults;

		ASSERT_EQ(0, remount(&self->disk, MS_RDONLY, NULL));
		faults = read_faults();
		EXPECT_EQ(-EROFS, RC(open(self->path, O_RDWR | O_CLOEXEC)));
		EXPECT_EQ(0, drop_caches());
		let_go_on(0, CROWD - 1, 3);
		EXPECT_LE(faults + 2 * CROWD, read_faults());
		ASSERT_EQ(0, remount(&self->disk, 0, NULL));
		let_go_on(0, CROWD - 1, 1);
	}
	/* It is writable; the device is not, and shows what others write. */
	fd = open(self->path, O_RDWR | O_CLOEXEC);
	for (size_t page = 0; page < PAGES; page++)
		for (int word = 1; word <= WRITERS; word++)
			ASSERT_EQ(8, pwrite(fd, &(uint64_t){ value(page, word) }, 8,
					    (page * WORDS + word) * 8));
	let_go_on(0, CROWD - 1, 1);
	EXPECT_EQ(0, disperse());
	close(fd);
	EXPECT_EQ(-EACCES, RC(open(NODE, O_RDWR | O_CLOEXEC)));
	fd = open(NODE, O_RDONLY | O_CLOEXEC);
	EXPECT_TRUE(reads(fd, 0, PAGES, TAG));
	close(fd);
	EXPECT_EQ(0, remount(&self->disk, MS_RDONLY, NULL));
}

/* A store through this mapping, and fsync(): what they come to. */
static const char *store_and_sync(int fd, char *map)
{
	static char text[2][40];
	static int nr;
	int sig = trap_store(map + HALF + 8);

	nr = !nr;
	sprintf(text[nr], "signal %d, errno %d", sig, fsync(fd) ? errno : 0);
	return text[nr];
}

static bool mount_again(const struct disk *disk)
{
	return !umount(disk->dir) && !mount(disk->node, disk->dir, "ext4", 0, NULL);
}

/*
 * ext4 has found an error and made itself read-only under the crowd: loads of what is in
 * memory go on. What comes of stores is for ext4 to say, of the device and of the file alike.
 */
TEST_F_TIMEOUT(ext4, made_read_only_by_an_error, 100)
{
	int fd[2] = { open(self->path, O_RDWR), open(NODE, O_RDWR) };
	char trigger[96], *map[2];

	for (int i = 0; i < 2; i++) {
		map[i] = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd[i], 0);
		ASSERT_NE(MAP_FAILED, map[i]);
	}
	ASSERT_EQ(0, remount(&self->disk, 0, "errors=remount-ro"));
	gather(0);
	let_go_on(0, CROWD - 1, 1);
	snprintf(trigger, sizeof(trigger), "/sys/fs/ext4/%s/trigger_fs_error",
		 strrchr(self->disk.node, '/') + 1);
	ASSERT_LT(0, write_file(trigger, "test"));
	let_go_on(0, CROWD - 1, 3);
	for (int i = WRITERS; i < CROWD; i++)
		EXPECT_EQ(0, crowd->member[i].traps);
	EXPECT_LE(0, disperse());
	EXPECT_STREQ(store_and_sync(fd[0], map[0]), store_and_sync(fd[1], map[1]));
	/* Mounted again, it has what was written before the error, and works. */
	for (int i = 0; i < 2; i++) {
		munmap(map[i], SIZE);
		close(fd[i]);
	}
	close(self->file);
	ASSERT_EQ(0, module_unload());
	ASSERT_TRUE(mount_again(&self->disk));
	ASSERT_EQ(0, module_load("backing=file path=%s", self->path));
	fd[0] = open(self->path, O_RDWR);
	EXPECT_TRUE(reads(fd[0], 0, PAGES, TAG));
	EXPECT_TRUE(works(fd[0], PAGES));
}

TEST_HARNESS_MAIN
