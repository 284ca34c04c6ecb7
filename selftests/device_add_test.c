// SPDX-License-Identifier: GPL-2.0
/* Devices made and deleted: what they are, what they are called, and which files they take. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control.h"
#include "fixture.h"

FIXTURE(add)
{
	struct genl genl;
};

FIXTURE_SETUP(add)
{
	ASSERT_EQ(0, module_load("size=4K"));
	ASSERT_EQ(0, control_open(&self->genl));
}

FIXTURE_TEARDOWN_PARENT(add)
{
	EXPECT_EQ(0, module_unload());
	EXPECT_FALSE(module_loaded());
}

static bool exists(const char *dev)
{
	char node[64], dir[64];

	snprintf(node, sizeof(node), "/dev/%s", dev);
	snprintf(dir, sizeof(dir), "/sys/class/mmapdemo/%s", dev);
	return !access(node, F_OK) && !access(dir, F_OK);
}

static bool is_gone(const char *dev)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/%s", dev);
	if (!access(path, F_OK))
		return false;
	snprintf(path, sizeof(path), "/sys/class/mmapdemo/%s", dev);
	return access(path, F_OK);
}

static int open_node(const char *dev, int flags)
{
	char node[64];

	snprintf(node, sizeof(node), "/dev/%s", dev);
	return RC(open(node, flags | O_CLOEXEC));
}

/* A device on which nothing has happened. */
static bool is_new(const struct info *info)
{
	uint64_t sum = info->opens + info->live + info->total;

	for (int i = 0; i <= MMAPDEMO_A_FAULTS_MAX; i++)
		sum += info->faults[i];
	return !sum && (!info->has_dirty || !info->dirty);
}

TEST_F(add, defaults)
{
	struct info info, again;
	struct stat st;

	ASSERT_EQ(0, add_ram(&self->genl, NULL, ANY_SIZE, ANY_FLAGS, &info));
	EXPECT_STREQ("mmapdemo1", info.dev);
	EXPECT_STREQ("ram", info.backing);
	EXPECT_EQ(64 << 20, info.size);
	EXPECT_EQ(MMAPDEMO_HUGE_PAGES, info.flags);
	EXPECT_TRUE(info.has_dirty);
	EXPECT_FALSE(info.has_path);
	EXPECT_TRUE(is_new(&info));
	ASSERT_EQ(0, get(&self->genl, "mmapdemo1", &again));
	EXPECT_EQ(0, memcmp(&info, &again, sizeof(info)));
	ASSERT_EQ(0, stat("/dev/mmapdemo1", &st));
	EXPECT_EQ(S_IFCHR | 0600, st.st_mode);
	EXPECT_TRUE(exists("mmapdemo1"));
	EXPECT_EQ(0, del(&self->genl, "mmapdemo1", false));
	EXPECT_TRUE(is_gone("mmapdemo1"));
	EXPECT_EQ(-ENODEV, get(&self->genl, "mmapdemo1", &again));
	EXPECT_EQ(-ENODEV, del(&self->genl, "mmapdemo1", false));
	EXPECT_EQ(-ENODEV, del(&self->genl, "mmapdemo1", true));
}

/* An empty path= is no path: it switched huge pages off. */
TEST_F(add, empty_path_at_load_time)
{
	struct info info;

	ASSERT_EQ(0, module_unload());
	ASSERT_EQ(0, module_load("size=2M path="));
	/* The family has another number now. */
	genl_close(&self->genl);
	ASSERT_EQ(0, control_open(&self->genl));
	ASSERT_EQ(0, get(&self->genl, "mmapdemo", &info));
	EXPECT_EQ(MMAPDEMO_HUGE_PAGES, info.flags);
}

/* The one that was made at load time is one of them. */
TEST_F(add, lowest_free_name)
{
	struct info info;

	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, add_ram(&self->genl, NULL, 4096, 0, NULL));
	ASSERT_EQ(0, del(&self->genl, "mmapdemo2", false));
	ASSERT_EQ(0, add_ram(&self->genl, NULL, 4096, 0, &info));
	EXPECT_STREQ("mmapdemo2", info.dev);
	ASSERT_EQ(0, add_ram(&self->genl, "mmapdemo4", 4096, 0, NULL));
	ASSERT_EQ(0, add_ram(&self->genl, NULL, 4096, 0, &info));
	EXPECT_STREQ("mmapdemo5", info.dev);
	ASSERT_EQ(0, del(&self->genl, "mmapdemo", false));
	EXPECT_TRUE(is_gone("mmapdemo"));
	ASSERT_EQ(0, add_ram(&self->genl, NULL, 4096, 0, &info));
	EXPECT_STREQ("mmapdemo", info.dev);
	EXPECT_TRUE(exists("mmapdemo"));
	/* Unloading takes them all. */
}

TEST_F(add, names)
{
	static const char *const good[] = {
		"mmapdemo-", "mmapdemo.a_B-9", "mmapdemox", "mmapdemo007",
		"mmapdemo-2345678901234567890123",
	};
	struct info info;
	struct infos all;

	for (int i = 0; i < 5; i++) {
		ASSERT_EQ(0, add_ram(&self->genl, good[i], 4096, 0, &info));
		EXPECT_STREQ(good[i], info.dev);
		EXPECT_TRUE(exists(good[i]));
		EXPECT_EQ(-EEXIST, add_ram(&self->genl, good[i], 4096, 0, NULL));
	}
	ASSERT_EQ(0, get_all(&self->genl, &all));
	ASSERT_EQ(6, all.nr);
	EXPECT_STREQ("mmapdemo", all.info[0].dev);
	for (int i = 0; i < 5; i++)
		EXPECT_STREQ(good[i], all.info[i + 1].dev);
}

/* As many as there are numbers for, and each can be used; a debug kernel takes too long for all. */
TEST_F_TIMEOUT(add, as_many_as_there_can_be, 240)
{
	int most = rounds(4095), fd;
	struct infos all;
	char name[32];

	for (int i = 0; i < most; i++) {
		snprintf(name, sizeof(name), "mmapdemo-%d", i);
		ASSERT_EQ(0, add_ram(&self->genl, name, 4096, 0, NULL));
	}
	if (most == 4095) {
		EXPECT_EQ(-ENOSPC, add_ram(&self->genl, "mmapdemo-more", 4096, 0, NULL));
		EXPECT_EQ(-ENOSPC, add_ram(&self->genl, NULL, 4096, 0, NULL));
	}
	ASSERT_EQ(0, get_all(&self->genl, &all));
	EXPECT_EQ(most + 1, all.nr);
	fd = open_node(name, O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_TRUE(writes(fd, 0, 1, TAG));
	EXPECT_TRUE(reads(fd, 0, 1, TAG));
	close(fd);
	ASSERT_EQ(0, del(&self->genl, "mmapdemo-7", false));
	EXPECT_EQ(0, add_ram(&self->genl, "mmapdemo-more", 4096, 0, NULL));
}

TEST_F(add, largest)
{
	uint64_t most = (1ULL << 63) - 4096;
	struct info info;
	int fd;

	ASSERT_EQ(0, add_ram(&self->genl, NULL, most, 0, &info));
	EXPECT_EQ(most, info.size);
	fd = open_node("mmapdemo1", O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_TRUE(writes(fd, most - PAGE_SIZE, 1, TAG));
	EXPECT_TRUE(reads(fd, most - PAGE_SIZE, 1, TAG));
	close(fd);
	EXPECT_EQ(0, del(&self->genl, "mmapdemo1", false));
	EXPECT_EQ(-EFBIG, add_ram(&self->genl, NULL, most + 4096, 0, NULL));
}

/* Nobody writes, root neither; a private mapping may be stored to. */
TEST_F(add, read_only)
{
	struct info info;
	char *p;
	int fd;

	ASSERT_EQ(0, add_ram(&self->genl, NULL, 8192, MMAPDEMO_READ_ONLY, &info));
	EXPECT_EQ(MMAPDEMO_READ_ONLY, info.flags);
	EXPECT_EQ(-EACCES, open_node("mmapdemo1", O_RDWR));
	EXPECT_EQ(-EACCES, open_node("mmapdemo1", O_WRONLY));
	fd = open_node("mmapdemo1", O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(MAP_FAILED, map(fd, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, 0));
	EXPECT_EQ(EACCES, errno);
	p = map(fd, 8192, PROT_READ, MAP_SHARED, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-EACCES, RC(mprotect(p, 8192, PROT_READ | PROT_WRITE)));
	p = map(fd, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
	ASSERT_NE(MAP_FAILED, p);
	store(p, 2, 0x100);
	EXPECT_TRUE(reads(fd, 0, 1, 0));
	EXPECT_EQ(0, resize(&self->genl, "mmapdemo1", 4096));
	EXPECT_EQ(4096, lseek(fd, 0, SEEK_END));
	EXPECT_EQ(0, punch(&self->genl, "mmapdemo1", 0, 4096));
}

TEST_F(add, huge_or_not)
{
	struct info info;
	char *p;
	int fd;

	for (int huge = 0; huge < 2; huge++) {
		ASSERT_EQ(0, add_ram(&self->genl, NULL, HUGE_SIZE,
				     huge ? MMAPDEMO_HUGE_PAGES : 0, NULL));
		fd = open_node("mmapdemo1", O_RDWR);
		p = map(fd, HUGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
		ASSERT_NE(MAP_FAILED, p);
		store(p, 512, 0x100);
		ASSERT_EQ(0, get(&self->genl, "mmapdemo1", &info));
		EXPECT_EQ(huge ? MMAPDEMO_HUGE_PAGES : 0, info.flags);
		EXPECT_EQ(huge ? 1 : 512, info.faults[MMAPDEMO_A_FAULTS_WRITE]);
		EXPECT_EQ(huge, info.faults[MMAPDEMO_A_FAULTS_HUGE]);
		EXPECT_EQ(512, info.dirty);
		munmap(p, HUGE_SIZE);
		close(fd);
		EXPECT_EQ(0, del(&self->genl, "mmapdemo1", false));
	}
}

/* Files */

/* A file of 8 pages that hold TAG + i: an O_RDWR descriptor. */
static int filled(int fd)
{
	return fd >= 0 && writes(fd, 0, 8, TAG) ? fd : -1;
}

/*
 * A device over @fd, which is then closed: is it the file of 8 pages, to be read and, if @write,
 * stored to? What is stored is in the file, which @keep looks at.
 */
static const char *works(struct genl *genl, int fd, int keep, bool write)
{
	struct info info;
	const char *wrong = NULL;
	char *p;
	int dev;

	if (add_file(genl, "mmapdemo-f", fd, ANY_FLAGS, &info))
		return "cannot be added";
	close(fd);
	if (strcmp(info.backing, "file") || info.size != 8 * PAGE_SIZE || !is_new(&info) ||
	    info.has_dirty || info.flags != (write ? 0 : MMAPDEMO_READ_ONLY))
		wrong = "is something else";
	if (!write && open_node("mmapdemo-f", O_RDWR) != -EACCES)
		wrong = "can be opened for writing";
	dev = open_node("mmapdemo-f", write ? O_RDWR : O_RDONLY);
	p = map(dev, 8 * PAGE_SIZE, PROT_READ | (write ? PROT_WRITE : 0), MAP_SHARED, 0);
	if (p == MAP_FAILED || !holds(p, 8, TAG) || !reads(dev, 0, 8, TAG))
		wrong = "has not what is in the file";
	if (write && !wrong) {
		store(p, 8, 0x100);
		if (!reads(keep, 0, 8, 0x100) || !writes(dev, 0, 4, 0x200) || !holds(p, 4, 0x200))
			wrong = "does not write to the file";
	}
	munmap(p, 8 * PAGE_SIZE);
	close(dev);
	close(keep);
	return del(genl, "mmapdemo-f", false) ? "cannot be deleted" : wrong ?: "works";
}

static const char *dir_of(const char *fs)
{
	char why[160];

	return fs_dir(fs, why) ?: "/nonexistent";
}

TEST_F(add, files)
{
	static const char *const fs[] = { "ext4", "tmpfs" };
	char path[160];
	int fd;

	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/add", dir_of(fs[i]));
		fd = filled(open(path, O_RDWR | O_CREAT | O_TRUNC, 0600));
		EXPECT_STREQ("works", works(&self->genl, fd, dup(fd), true));
		fd = filled(open(path, O_RDWR));
		close(fd);
		fd = open(path, O_RDONLY);
		EXPECT_STREQ("works", works(&self->genl, fd, dup(fd), false));
		/* Nobody's any more, but for the descriptor. */
		fd = open(path, O_RDWR);
		unlink(path);
		EXPECT_STREQ("works", works(&self->genl, fd, dup(fd), true));
		fd = filled(open(dir_of(fs[i]), O_TMPFILE | O_RDWR, 0600));
		EXPECT_STREQ("works", works(&self->genl, fd, dup(fd), true));
	}
	fd = filled(memfd_create("add", 0));
	EXPECT_STREQ("works", works(&self->genl, fd, dup(fd), true));
}

TEST_F(add, path_and_flags)
{
	int fd = filled(memfd_create("add", 0)), dev;
	struct info info;
	char path[160];

	ASSERT_EQ(0, add_file(&self->genl, NULL, fd, 0, &info));
	EXPECT_STREQ("mmapdemo1", info.dev);
	EXPECT_STREQ("/memfd:add (deleted)", info.path);
	snprintf(path, sizeof(path), "%s/add", dir_of("tmpfs"));
	dev = filled(open(path, O_RDWR | O_CREAT | O_TRUNC, 0600));
	ASSERT_EQ(0, add_file(&self->genl, NULL, dev, MMAPDEMO_READ_ONLY, &info));
	EXPECT_STREQ(path, info.path);
	EXPECT_EQ(MMAPDEMO_READ_ONLY, info.flags);
	EXPECT_EQ(-EACCES, open_node(info.dev, O_RDWR));
	EXPECT_EQ(0, unlink(path));
}

/* The seals of a memfd hold for the device too, whenever they are set. */
TEST_F(add, sealed_memfd)
{
	int fd = filled(memfd_create("add", MFD_ALLOW_SEALING)), dev;
	struct info info;
	char *p;

	ASSERT_EQ(0, fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW));
	ASSERT_EQ(0, add_file(&self->genl, NULL, fd, 0, &info));
	dev = open_node("mmapdemo1", O_RDWR);
	ASSERT_LE(0, dev);
	EXPECT_TRUE(reads(dev, 0, 8, TAG));
	EXPECT_EQ(-EPERM, RC(pwrite(dev, "x", 1, 0)));
	EXPECT_EQ(MAP_FAILED, map(dev, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0));
	EXPECT_EQ(EPERM, errno);
	/* To be read it is mapped by one that is open for that alone. */
	dev = open_node("mmapdemo1", O_RDONLY);
	p = map(dev, 8 * PAGE_SIZE, PROT_READ, MAP_SHARED, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_TRUE(holds(p, 8, TAG));
	EXPECT_EQ(-EACCES, RC(mprotect(p, PAGE_SIZE, PROT_READ | PROT_WRITE)));
	EXPECT_TRUE(reads(fd, 0, 8, TAG));
}

/* Whoever gave the file is rid of it, and with the device it is gone altogether. */
TEST_F(add, lets_the_file_go)
{
	char dir[160], path[200];
	int fd, dev;

	snprintf(dir, sizeof(dir), "%s/mount", dir_of("tmpfs"));
	snprintf(path, sizeof(path), "%s/file", dir);
	ASSERT_EQ(0, mkdir(dir, 0700));
	ASSERT_EQ(0, run("mount -t tmpfs none %s", dir));
	fd = filled(open(path, O_RDWR | O_CREAT, 0600));
	ASSERT_EQ(0, add_file(&self->genl, NULL, fd, 0, NULL));
	close(fd);
	EXPECT_NE(0, run("umount %s 2>/dev/null", dir));
	dev = open_node("mmapdemo1", O_RDWR);
	EXPECT_TRUE(reads(dev, 0, 8, TAG));
	EXPECT_EQ(-EBUSY, del(&self->genl, "mmapdemo1", false));
	EXPECT_EQ(0, del(&self->genl, "mmapdemo1", true));
	close(dev);
	EXPECT_EQ(0, run("umount %s", dir));
	EXPECT_EQ(0, rmdir(dir));
}

/* Descriptors that nothing can be made of, each named, and nothing is left of the attempt. */
static int refused(struct genl *genl, int fd)
{
	struct genl_request request;
	struct genl_answer answer;
	struct infos all;
	int at;

	genl_begin(genl, &request, MMAPDEMO_CMD_DEVICE_ADD, 0);
	genl_string(&request, MMAPDEMO_A_BACKING, "file");
	at = genl_u32(&request, MMAPDEMO_A_FILE, fd);
	genl_ask(genl, &request, NULL, NULL, &answer);
	if (answer.at != at || !answer.text[0] || get_all(genl, &all) || all.nr != 1)
		return 1;
	return answer.err;
}

TEST_F(add, refused_files)
{
	int fds[2], fd = memfd_create("add", 0), huge = memfd_create("add", MFD_HUGETLB);
	char path[160];

	EXPECT_EQ(-EBADF, refused(&self->genl, 999));
	EXPECT_EQ(-EBADF, refused(&self->genl, INT32_MAX));
	EXPECT_EQ(-EBADF, refused(&self->genl, open("/proc/self/exe", O_PATH)));
	close(fd);
	EXPECT_EQ(-EBADF, refused(&self->genl, fd));
	EXPECT_EQ(-EISDIR, refused(&self->genl, open("/tmp", O_RDONLY | O_DIRECTORY)));
	EXPECT_EQ(-EINVAL, refused(&self->genl, open("/proc/self/maps", O_RDONLY)));
	EXPECT_EQ(-EINVAL, refused(&self->genl, open("/proc/sys/kernel/pid_max", O_RDWR)));
	EXPECT_EQ(-EINVAL, refused(&self->genl, open("/sys/kernel/mm/transparent_hugepage/enabled",
						     O_RDONLY)));
	EXPECT_EQ(-EINVAL, refused(&self->genl, open(NODE, O_RDWR)));
	EXPECT_EQ(-EINVAL, refused(&self->genl, open("/dev/null", O_RDWR)));
	EXPECT_EQ(-EINVAL, refused(&self->genl, open("/dev/zero", O_RDWR)));
	ASSERT_EQ(0, pipe(fds));
	EXPECT_EQ(-EINVAL, refused(&self->genl, fds[0]));
	EXPECT_EQ(-EINVAL, refused(&self->genl, self->genl.fd));
	if (huge >= 0) {
		EXPECT_EQ(-EINVAL, refused(&self->genl, huge));
	}
	snprintf(path, sizeof(path), "%s/add", dir_of("tmpfs"));
	EXPECT_EQ(-EACCES, refused(&self->genl, open(path, O_WRONLY | O_CREAT, 0600)));
	EXPECT_EQ(0, unlink(path));
}

TEST_HARNESS_MAIN
