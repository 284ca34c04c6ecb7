// SPDX-License-Identifier: GPL-2.0
/* Module parameters: what they accept, and each refusal with its errno and one line of log. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "fixture.h"

static char work[96];		/* a directory of the test's own, on tmpfs */

/* Each of these makes what the parameters of a refusal name: 0, or why it cannot be made. */
static const char *make_nothing(void)
{
	return NULL;
}

static const char *make_directory(void)
{
	return run("mkdir %s/it", work) ? "no directory" : NULL;
}

static const char *make_fifo(void)
{
	return run("mkfifo %s/it", work) ? "no fifo" : NULL;
}

static const char *make_socket(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%.90s/it", work);
	return bind(fd, (struct sockaddr *)&addr, sizeof(addr)) ? "no socket" : NULL;
}

static const char *make_block_device(void)
{
	return run("mknod %s/it b 7 0", work) ? "no block device" : NULL;
}

static const char *make_file(void)
{
	return run("head -c 65536 /dev/zero >%s/it", work) ? "no file" : NULL;
}

static const char *make_dangling_link(void)
{
	return run("ln -s nowhere %s/it", work) ? "no link" : NULL;
}

static const char *make_link_to_directory(void)
{
	return run("ln -s / %s/it", work) ? "no link" : NULL;
}

/* The node that a device of this module would have. */
static const char *make_own_node(void)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/it", work);
	if (module_load("size=4K") || stat(NODE, &st) || mknod(path, S_IFCHR | 0600, st.st_rdev) ||
	    module_unload())
		return "the node of this module cannot be made";
	return NULL;
}

static const char *make_hugetlbfs(void)
{
	if (run("grep -q hugetlbfs /proc/filesystems"))
		return "this kernel has no hugetlbfs";
	return run("mkdir %s/h && mount -t hugetlbfs none %s/h && : >%s/h/it", work, work, work) ?
	       "hugetlbfs cannot be mounted" : NULL;
}

static const char *make_cgroup(void)
{
	return run("test -e /sys/fs/cgroup/cgroup.procs") ? "cgroup2 is not mounted" : NULL;
}

static const char *make_swap(void)
{
	static char why[160];
	const char *dir = fs_dir("ext4", why);

	if (!dir)
		return why;
	run("ln -s %s/swap %s/it", dir, work);
	if (run("head -c 4194304 /dev/zero >%s/it && chmod 600 %s/it", work, work) ||
	    run("(mkswap %s/it && swapon %s/it) >/dev/null 2>&1", work, work))
		return "swapon on ext4 fails";
	return NULL;
}

static void clean_up(void)
{
	if (!rmdir(work))
		return;
	run("swapoff %s/it 2>/dev/null; umount %s/h 2>/dev/null; "
	    "test -L %s/it && rm -f $(readlink %s/it); rm -rf %s", work, work, work, work, work);
}

FIXTURE(refused)
{
	int log;
};

FIXTURE_VARIANT(refused)
{
	const char *params;	/* %s is the work directory */
	int err;
	const char *names;	/* what the line in the log has to say */
	const char *(*make)(void);
};

#define REFUSED(label, text, errnum, named, maker)				\
	FIXTURE_VARIANT_ADD(refused, label)					\
	{									\
		.params = text,							\
		.err = errnum,							\
		.names = named,							\
		.make = maker,							\
	}

REFUSED(unknown_backing, "backing=disk", EINVAL, "backing=disk", make_nothing);
REFUSED(empty_backing, "backing=", EINVAL, "backing=", make_nothing);
REFUSED(size_0, "size=0", EINVAL, "size=0", make_nothing);
REFUSED(size_0k, "size=0K", EINVAL, "size=0K", make_nothing);
REFUSED(size_less_than_a_page, "size=1", EINVAL, "size=1", make_nothing);
REFUSED(size_no_multiple, "size=6K", EINVAL, "size=6K", make_nothing);
REFUSED(size_no_number, "size=much", EINVAL, "size=much", make_nothing);
REFUSED(size_empty, "size=", EINVAL, "size=", make_nothing);
REFUSED(size_unit_only, "size=M", EINVAL, "size=M", make_nothing);
REFUSED(size_negative, "size=-4096", EINVAL, "size=-4096", make_nothing);
REFUSED(size_two_units, "size=4KK", EINVAL, "size=4KK", make_nothing);
REFUSED(size_trailing, "size=4096x", EINVAL, "size=4096x", make_nothing);
REFUSED(size_8e, "size=8E", EFBIG, "size=8E", make_nothing);
REFUSED(size_wraps_to_0, "size=16E", EFBIG, "size=16E", make_nothing);
REFUSED(size_wraps_to_64k, "size=0x4000000000000040K", EFBIG, "size=0x4", make_nothing);
REFUSED(size_2_to_the_63, "size=0x8000000000000000", EFBIG, "size=0x8", make_nothing);
REFUSED(size_30_digits, "size=999999999999999999999999999999", EFBIG, "size=999", make_nothing);
REFUSED(huge_no_bool, "huge=maybe", EINVAL, "huge", make_nothing);
REFUSED(path_with_ram, "path=/etc/passwd", EINVAL, "path=/etc/passwd", make_nothing);
REFUSED(path_missing, "backing=file", EINVAL, "path=", make_nothing);
REFUSED(path_empty, "backing=file path=", EINVAL, "path=", make_nothing);
REFUSED(size_with_file, "backing=file size=1M path=%s/it", EINVAL, "size=1M", make_file);
REFUSED(nonexistent, "backing=file path=%s/it", ENOENT, "path=", make_nothing);
REFUSED(not_a_directory, "backing=file path=/dev/null/it", ENOTDIR, "path=", make_nothing);
REFUSED(dangling_link, "backing=file path=%s/it", ENOENT, "path=", make_dangling_link);
REFUSED(directory, "backing=file path=%s/it", EISDIR, "path=", make_directory);
REFUSED(link_to_directory, "backing=file path=%s/it", EISDIR, "path=", make_link_to_directory);
REFUSED(fifo, "backing=file path=%s/it", EINVAL, "path=", make_fifo);
REFUSED(socket, "backing=file path=%s/it", EINVAL, "path=", make_socket);
REFUSED(block_device, "backing=file path=%s/it", EINVAL, "path=", make_block_device);
REFUSED(newline, "backing=file path=\"%s/one\ntwo\"", ENOENT, "path=", make_nothing);
REFUSED(slash_behind_file, "backing=file path=%s/it/", ENOTDIR, "path=", make_file);
REFUSED(relative_nonexistent, "backing=file path=no/such/file", ENOENT, "path=no", make_nothing);
REFUSED(char_device, "backing=file path=/dev/zero", EINVAL, "path=/dev/zero", make_nothing);
REFUSED(own_node, "backing=file path=%s/it", EINVAL, "path=", make_own_node);
REFUSED(proc, "backing=file path=/proc/version", EINVAL, "path=/proc/version", make_nothing);
REFUSED(proc_sys, "backing=file path=/proc/sys/kernel/hostname", EINVAL, "path=", make_nothing);
REFUSED(sysfs, "backing=file path=/sys/kernel/mm/transparent_hugepage/enabled", EINVAL, "path=",
	make_nothing);
REFUSED(cgroup, "backing=file path=/sys/fs/cgroup/cgroup.procs", EINVAL, "path=", make_cgroup);
REFUSED(tracefs, "backing=file path=/sys/kernel/tracing/trace", EINVAL, "path=", make_nothing);
REFUSED(debugfs, "backing=file path=/sys/kernel/debug/fault_around_bytes", EINVAL, "path=",
	make_nothing);
REFUSED(hugetlbfs, "backing=file path=%s/h/it", EINVAL, "path=", make_hugetlbfs);
REFUSED(swap_file, "backing=file path=%s/it", ETXTBSY, "path=", make_swap);

FIXTURE_SETUP(refused)
{
	const char *dir = getenv("MMAPDEMO_DIR"), *why;

	ASSERT_NE(NULL, dir);
	if (module_loaded())
		module_unload();
	snprintf(work, sizeof(work), "%s/params", dir);
	ASSERT_EQ(0, mkdir(work, 0700));
	why = variant->make();
	if (why) {
		clean_up();
		SKIP(return, "%s", why);
	}
	self->log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	ASSERT_GE(self->log, 0);
	lseek(self->log, 0, SEEK_END);
}

FIXTURE_TEARDOWN(refused)
{
	close(self->log);
	clean_up();
	if (module_loaded())
		module_unload();
}

/* Lines of the module in the log, the last of which is left in text. */
static int log_lines(int log, char *text, size_t size)
{
	char record[1024], *line;
	ssize_t len;
	int lines = 0;

	text[0] = '\0';
	while ((len = read(log, record, sizeof(record) - 1)) > 0 || (len < 0 && errno == EPIPE)) {
		record[len < 0 ? 0 : len] = '\0';
		line = strchr(record, ';');
		/* The kernel greets every foreign module once, and not in its name. */
		if (!line || strncmp(line, ";mmapdemo: ", 11) || strstr(line, "taint"))
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(text, size, "%s", line + 1);
		lines++;
	}
	return lines;
}

TEST_F(refused, with_errno_and_one_line)
{
	char params[512], line[1024];

	snprintf(params, sizeof(params), variant->params, work);
	EXPECT_EQ(-variant->err, module_load("%s", params));
	EXPECT_FALSE(module_loaded());
	EXPECT_EQ(1, log_lines(self->log, line, sizeof(line)));
	EXPECT_NE(NULL, strstr(line, variant->names)) {
		TH_LOG("log: %s", line);
	}
}

/* Neither a refusal nor loading and unloading leaves anything in the way of the next one. */
TEST(silent_success_after_refusals)
{
	int log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	char line[1024];

	EXPECT_EQ(-EINVAL, module_load("backing=disk"));
	EXPECT_EQ(-ENOENT, module_load("backing=file path=/nonexistent"));
	lseek(log, 0, SEEK_END);
	EXPECT_EQ(0, module_load("size=4K"));
	EXPECT_EQ(0, module_unload());
	EXPECT_EQ(0, module_load("size=4K"));
	EXPECT_EQ(0, module_unload());
	EXPECT_EQ(0, log_lines(log, line, sizeof(line))) {
		TH_LOG("log: %s", line);
	}
}

FIXTURE(accepted)
{
	int fd;
};

FIXTURE_VARIANT(accepted)
{
	const char *params;
	long long size;
};

#define ACCEPTED(label, text, bytes)						\
	FIXTURE_VARIANT_ADD(accepted, label)					\
	{									\
		.params = text,							\
		.size = bytes,							\
	}

ACCEPTED(defaults, "", 64 << 20);
ACCEPTED(mib, "size=1M", 1 << 20);
ACCEPTED(kib, "size=4K", 4096);
ACCEPTED(lower_case, "size=12k", 12288);
ACCEPTED(hexadecimal, "size=0x2000", 0x2000);
ACCEPTED(bytes, "size=8192", 8192);
ACCEPTED(backing_named, "backing=ram size=8K huge=0", 8192);
ACCEPTED(tib, "size=3T", 3LL << 40);
ACCEPTED(largest, "size=0x7ffffffffffff000", 0x7ffffffffffff000);

FIXTURE_SETUP(accepted)
{
	if (module_loaded())
		module_unload();
	ASSERT_EQ(0, module_load("%s", variant->params));
	self->fd = open(NODE, O_RDWR);
	ASSERT_GE(self->fd, 0);
}

FIXTURE_TEARDOWN_PARENT(accepted)
{
	EXPECT_EQ(0, module_unload());
	EXPECT_FALSE(module_loaded());
}

/* The first and the last page are there, and nothing is behind them. */
TEST_F(accepted, size)
{
	off_t last = variant->size - PAGE_SIZE;
	char text[32], expected[32], c = 0;
	char *p;

	snprintf(expected, sizeof(expected), "%lld\n", variant->size);
	EXPECT_GT(read_file(SYSFS "size", text, sizeof(text)), 0);
	EXPECT_STREQ(expected, text);
	EXPECT_EQ(variant->size, lseek(self->fd, 0, SEEK_END));
	EXPECT_EQ(0, lseek(self->fd, 0, SEEK_HOLE));
	EXPECT_TRUE(writes(self->fd, 0, 1, 0x100));
	EXPECT_TRUE(writes(self->fd, last, 1, 0x200));
	EXPECT_EQ(-1, pwrite(self->fd, &c, 1, variant->size));
	EXPECT_EQ(0, pread(self->fd, &c, 1, variant->size));
	p = map(self->fd, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, last);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_TRUE(holds(p, 1, 0x200));
	store(p, 1, 0x300);
	EXPECT_EQ(0, msync(p, PAGE_SIZE, MS_SYNC));
	EXPECT_TRUE(reads(self->fd, last, 1, 0x300));
}

/* The parameters as one string of any length, which module_load() has no room for. */
static int load_long(const char *before, char filler, size_t len)
{
	char *params = malloc(len + 64);
	int fd, err;

	strcpy(params, before);
	memset(params + strlen(before), filler, len);
	params[strlen(before) + len] = '\0';
	fd = open(getenv("MMAPDEMO_KO"), O_RDONLY | O_CLOEXEC);
	err = syscall(SYS_finit_module, fd, params, 0) ? -errno : 0;
	close(fd);
	free(params);
	return err;
}

/* The core takes 1024 bytes for a string, and hands on what is shorter. */
TEST(long_strings)
{
	EXPECT_EQ(-EINVAL, load_long("size=", '9', 100));
	EXPECT_EQ(-EINVAL, load_long("size=", '9', 1024));
	EXPECT_EQ(-ENOSPC, load_long("size=", '9', 1025));
	EXPECT_EQ(-ENOSPC, load_long("size=", '9', 65536));
	EXPECT_EQ(-EINVAL, load_long("backing=", 'r', 1024));
	EXPECT_EQ(-ENAMETOOLONG, load_long("backing=file path=/", 'x', 256));
	EXPECT_EQ(-ENOSPC, load_long("backing=file path=", '/', 4095));
	EXPECT_EQ(-EISDIR, load_long("backing=file path=", '/', 1024));
	/* A line that was cut off lacks its end: another one has to end it. */
	EXPECT_EQ(-EINVAL, module_load("backing=disk"));
	EXPECT_FALSE(module_loaded());
}

/* A path is the caller's, from where he is; and a file that has lost its name is still one. */
TEST(relative_and_deleted)
{
	char why[160], text[160];
	const char *dir = fs_dir("tmpfs", why);
	int file, fd;

	ASSERT_NE(NULL, dir);
	ASSERT_EQ(0, chdir(dir));
	file = open("named", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ASSERT_TRUE(writes(file, 0, 4, 0x100));
	ASSERT_EQ(0, module_load("backing=file path=./../tmpfs/named"));
	ASSERT_EQ(0, unlink("named"));
	EXPECT_LT(0, read_file(SYSFS "path", text, sizeof(text)));
	EXPECT_NE(NULL, strstr(text, "/tmpfs/named (deleted)\n"));
	ASSERT_EQ(0, module_unload());
	ASSERT_EQ(0, module_load("backing=file path=/proc/%d/fd/%d", getpid(), file));
	close(file);
	fd = open(NODE, O_RDWR | O_CLOEXEC);
	EXPECT_TRUE(reads(fd, 0, 4, 0x100));
	EXPECT_TRUE(writes(fd, 0, 4, 0x200));
	EXPECT_TRUE(reads(fd, 0, 4, 0x200));
	close(fd);
	EXPECT_EQ(0, module_unload());
}

/* A second one while the first is loaded is refused by the kernel, and the first stays. */
TEST(loaded_twice)
{
	ASSERT_EQ(0, module_load("size=4K"));
	EXPECT_EQ(-EEXIST, module_load("size=8K"));
	EXPECT_TRUE(module_loaded());
	EXPECT_EQ(0, module_unload());
	EXPECT_FALSE(module_loaded());
}

TEST_HARNESS_MAIN
