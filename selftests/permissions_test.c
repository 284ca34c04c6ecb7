// SPDX-License-Identifier: GPL-2.0
/* Who may do what: by the mode of the open, of the file, of its mount and of the node. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fixture.h"

DEVICE_FIXTURE(device);
RAM_VARIANTS(device);
FILE_VARIANTS(device);

TEST_F(device, read_only_open)
{
	size_t n = self->dev.pages, size = self->dev.size;
	int fd = open(NODE, O_RDONLY);
	char *p;

	ASSERT_EQ(0, fill(&self->dev));
	EXPECT_EQ(MAP_FAILED, map(fd, size, PROT_READ | PROT_WRITE, MAP_SHARED, 0));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, write(fd, "x", 1));
	EXPECT_EQ(EBADF, errno);
	p = map(fd, size, PROT_READ, MAP_SHARED, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-1, mprotect(p, size, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
	mark();
	EXPECT_EQ(SIGSEGV, trap_store(p));
	EXPECT_STREQ("", moved());
	EXPECT_TRUE(holds(p, n, TAG));
	/* A private mapping may be written: it is a copy. */
	p = map(fd, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
	ASSERT_NE(MAP_FAILED, p);
	store(p, n, 0x100);
	EXPECT_TRUE(reads(fd, 0, n, TAG));
}

TEST_F(device, write_only_open)
{
	int fd = open(NODE, O_WRONLY);
	char c;

	EXPECT_EQ(MAP_FAILED, map(fd, PAGE_SIZE, PROT_READ, MAP_SHARED, 0));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(MAP_FAILED, map(fd, PAGE_SIZE, PROT_WRITE, MAP_SHARED, 0));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(MAP_FAILED, map(fd, PAGE_SIZE, PROT_READ, MAP_PRIVATE, 0));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, read(fd, &c, 1));
	EXPECT_EQ(EBADF, errno);
	EXPECT_TRUE(writes(fd, 0, 3, 0x100));
	EXPECT_TRUE(reads(self->dev.fd, 0, 3, 0x100));
}

static int open_as_nobody(void *arg)
{
	(void)arg;
	if (setgid(65534) || setuid(65534))
		return 100;
	return open(NODE, O_RDONLY) < 0 ? errno : 0;
}

TEST_F(device, node_belongs_to_root)
{
	struct stat st;

	ASSERT_EQ(0, stat(NODE, &st));
	EXPECT_EQ(S_IFCHR | 0600, st.st_mode);
	EXPECT_EQ(0, st.st_uid);
	EXPECT_EQ(EACCES, in_child(open_as_nobody, NULL));
}

/* PROT_READ without PROT_WRITE may become writable only if the open allows it. */
TEST_F(device, mprotect)
{
	size_t n = self->dev.pages, size = self->dev.size;
	char *p;

	ASSERT_EQ(0, fill(&self->dev));
	p = map(self->dev.fd, size, PROT_READ, MAP_SHARED, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(SIGSEGV, trap_store(p));
	EXPECT_EQ(0, mprotect(p, size, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, trap_store(p));
	EXPECT_EQ(0, mprotect(p, size, PROT_NONE));
	EXPECT_EQ(SIGSEGV, trap_load(p));
	EXPECT_EQ(0, mprotect(p, size, PROT_READ | PROT_WRITE));
	store(p, n, 0x100);
	EXPECT_TRUE(reads(self->dev.fd, 0, n, 0x100));
}

DEVICE_FIXTURE(ram);
RAM_VARIANTS(ram);

TEST_F(ram, nothing_to_be_run)
{
	char *p;

	mark();
	EXPECT_EQ(MAP_FAILED, map(self->dev.fd, PAGE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, 0));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(MAP_FAILED, map(self->dev.fd, PAGE_SIZE, PROT_READ | PROT_EXEC, MAP_PRIVATE, 0));
	EXPECT_EQ(EPERM, errno);
	EXPECT_STREQ("", moved());
	p = map(self->dev.fd, PAGE_SIZE, PROT_READ, MAP_PRIVATE, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-1, mprotect(p, PAGE_SIZE, PROT_READ | PROT_EXEC));
	EXPECT_EQ(EACCES, errno);
	p = map(self->dev.fd, PAGE_SIZE, PROT_READ, MAP_SHARED, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-1, mprotect(p, PAGE_SIZE, PROT_READ | PROT_EXEC));
	EXPECT_EQ(EACCES, errno);
}

/*
 * A file that the module is loaded over in the test itself. The mounts that a test makes are
 * in a namespace of its own.
 */
FIXTURE(named)
{
	char path[128];
	char seen[128];		/* the file on a second mount */
	char why[160];
};

FIXTURE_VARIANT(named)
{
	const char *fs;
};

FIXTURE_VARIANT_ADD(named, ext4)
{
	.fs = "ext4"
};

FIXTURE_VARIANT_ADD(named, tmpfs)
{
	.fs = "tmpfs"
};

FIXTURE_SETUP(named)
{
	const char *dir = fs_dir(variant->fs, self->why);
	int fd;

	if (!dir)
		SKIP(return, "%s", self->why);
	if (module_loaded())
		module_unload();
	snprintf(self->path, sizeof(self->path), "%s/named", dir);
	snprintf(self->seen, sizeof(self->seen), "%s/mnt/named", dir);
	fd = open(self->path, O_RDWR | O_CREAT | O_TRUNC, 0644);
	ASSERT_GE(fd, 0);
	ASSERT_TRUE(writes(fd, 0, 8, TAG));
	ASSERT_EQ(0, fsync(fd));
	close(fd);
	ASSERT_EQ(0, run("mkdir -p %s/mnt", dir));
}

FIXTURE_TEARDOWN_PARENT(named)
{
	EXPECT_TRUE(!module_loaded() || !module_unload());
	EXPECT_FALSE(module_loaded());
	run("chattr -i %s 2>/dev/null", self->path);
	EXPECT_EQ(0, unlink(self->path));
}

/* Bind the file's directory to mnt/ in it, with flags, where nobody else sees it. */
static int bind_with(const char *path, const char *seen, unsigned long flags)
{
	char from[128], to[128];

	snprintf(from, sizeof(from), "%s", path);
	*strrchr(from, '/') = '\0';
	snprintf(to, sizeof(to), "%s", seen);
	*strrchr(to, '/') = '\0';
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount(from, to, NULL, MS_BIND, NULL))
		return -errno;
	return mount(NULL, to, NULL, MS_BIND | MS_REMOUNT | flags, NULL) ? -errno : 0;
}

/* A device over a file that cannot be written. */
static void expect_read_only(struct __test_metadata *_metadata)
{
	int fd = open(NODE, O_RDWR);
	char *p;

	EXPECT_EQ(-1, fd);
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, open(NODE, O_WRONLY));
	EXPECT_EQ(EACCES, errno);
	fd = open(NODE, O_RDONLY);
	ASSERT_GE(fd, 0);
	EXPECT_TRUE(reads(fd, 0, 8, TAG));
	EXPECT_EQ(MAP_FAILED, map(fd, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0));
	EXPECT_EQ(EACCES, errno);
	p = map(fd, 8 * PAGE_SIZE, PROT_READ, MAP_SHARED, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_TRUE(holds(p, 8, TAG));
	EXPECT_EQ(-1, mprotect(p, PAGE_SIZE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(0, fsync(fd));
}

TEST_F(named, read_only_mount)
{
	ASSERT_EQ(0, bind_with(self->path, self->seen, MS_RDONLY));
	ASSERT_EQ(0, module_load("backing=file path=%s", self->seen));
	expect_read_only(_metadata);
}

TEST_F(named, immutable_file)
{
	int flags = FS_IMMUTABLE_FL, fd = open(self->path, O_RDONLY);

	if (ioctl(fd, FS_IOC_SETFLAGS, &flags)) {
		ASSERT_STREQ("tmpfs", variant->fs);
		SKIP(return, "tmpfs of this kernel has no immutable files: %s", strerror(errno));
	}
	ASSERT_EQ(0, module_load("backing=file path=%s", self->path));
	expect_read_only(_metadata);
}

TEST_F(named, noexec_mount)
{
	char *p;
	int fd;

	ASSERT_EQ(0, bind_with(self->path, self->seen, MS_NOEXEC));
	ASSERT_EQ(0, module_load("backing=file path=%s", self->seen));
	fd = open(NODE, O_RDWR);
	mark();
	EXPECT_EQ(MAP_FAILED, map(fd, PAGE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, 0));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(MAP_FAILED, map(fd, PAGE_SIZE, PROT_READ | PROT_EXEC, MAP_PRIVATE, 0));
	EXPECT_EQ(EPERM, errno);
	EXPECT_STREQ("", moved());
	p = map(fd, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-1, mprotect(p, PAGE_SIZE, PROT_READ | PROT_EXEC));
	EXPECT_EQ(EACCES, errno);
	p = map(fd, PAGE_SIZE, PROT_READ, MAP_PRIVATE, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-1, mprotect(p, PAGE_SIZE, PROT_READ | PROT_EXEC));
	EXPECT_EQ(EACCES, errno);
}

/* Where the file may be run, its device may be, as far as the node's own mount lets it. */
TEST_F(named, exec_mount)
{
	char *p;
	int fd;

	ASSERT_EQ(0, module_load("backing=file path=%s", self->path));
	fd = open(NODE, O_RDWR);
	p = map(fd, PAGE_SIZE, PROT_READ | PROT_EXEC, MAP_PRIVATE, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, mprotect(p, PAGE_SIZE, PROT_READ));
	EXPECT_EQ(0, mprotect(p, PAGE_SIZE, PROT_READ | PROT_EXEC));
}

/* Root without the right to override file modes, but with the right to load modules. */
static int load_without_override(void *arg)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	data[0].permitted = 1U << CAP_SYS_MODULE;
	data[0].effective = data[0].permitted;
	if (syscall(SYS_capset, &header, data))
		return 100;
	return -module_load("backing=file path=%s", (const char *)arg);
}

TEST_F(named, unreadable_to_who_attaches)
{
	ASSERT_EQ(0, chown(self->path, 1000, 1000));
	ASSERT_EQ(0, chmod(self->path, 0600));
	EXPECT_EQ(EACCES, in_child(load_without_override, self->path));
	EXPECT_FALSE(module_loaded());
}

/* Readable but not writable to who attaches: a read-only device, for root as well. */
TEST_F(named, unwritable_to_who_attaches)
{
	ASSERT_EQ(0, chown(self->path, 1000, 1000));
	ASSERT_EQ(0, chmod(self->path, 0644));
	ASSERT_EQ(0, in_child(load_without_override, self->path));
	expect_read_only(_metadata);
}

TEST_HARNESS_MAIN
