// SPDX-License-Identifier: GPL-2.0
/* The files in sysfs as files: odd reads and writes, and what is left of them after removal. */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"

DEVICE_FIXTURE(device);
VARIANT(device, ram_4k, RAM_4K);
VARIANT(device, ext4, EXT4);

#define MAX_FILES 64
#define MIB (1UL << 20)

/* The attributes of the module's own, below the device. */
static char files[MAX_FILES][128];
static int nr_files;

static void find_files(const char *dir)
{
	DIR *stream = opendir(dir);
	struct dirent *entry;
	struct stat st;
	char path[384];

	while (stream && (entry = readdir(stream))) {
		snprintf(path, sizeof(path), "%s%s", dir, entry->d_name);
		if (lstat(path, &st) || nr_files == MAX_FILES || strlen(path) > 120)
			continue;
		/* "uevent" and "dev" are the core's, and so is "power". */
		if (S_ISREG(st.st_mode) && strcmp(entry->d_name, "uevent") &&
		    strcmp(entry->d_name, "dev")) {
			strcpy(files[nr_files++], path);
		} else if (S_ISDIR(st.st_mode) && entry->d_name[0] != '.' &&
			   strcmp(entry->d_name, "power")) {
			strcat(path, "/");
			find_files(path);
		}
	}
	if (stream)
		closedir(stream);
}

/* 23 of every device, and path or dirty/pages. */
static bool found(void)
{
	nr_files = 0;
	find_files(SYSFS);
	return nr_files == 24;
}

static bool is_reset(const char *path)
{
	return !strcmp(path, SYSFS "reset");
}

/* Something of everything in the figures. */
static void exercise(struct device *dev)
{
	char *p = map(dev->fd, 2 * dev->size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);

	load(p, 20);
	store(p, 40, 0x100);
	trap_load(p + dev->size);
}

/* A read anywhere gives what a read of the whole gave there, and nothing behind its end. */
static void read_oddly(struct __test_metadata *_metadata, const char *path)
{
	static const size_t sizes[] = { 0, 1, 2, 7, 4095, 4096, 4097, MIB };
	static char whole[8192], part[MIB];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = read_file(path, whole, sizeof(whole)), want;
	const off_t offsets[] = { 0, 1, len / 2, len - 1, len, len + 1, 4096, 1LL << 40,
				  0x7fffffff00000000 };

	ASSERT_LE(0, fd);
	ASSERT_LE(0, len);
	for (size_t i = 0; i < ARRAY_SIZE(sizes) * ARRAY_SIZE(offsets); i++) {
		off_t at = offsets[i / ARRAY_SIZE(sizes)];
		size_t size = sizes[i % ARRAY_SIZE(sizes)];

		if (at < 0)
			continue;
		want = at >= len ? 0 : len - at < (off_t)size ? len - at : (ssize_t)size;
		EXPECT_EQ(want, RC(pread(fd, part, size, at))) {
			TH_LOG("%s: %zu at %lld of %zd", path, size, (long long)at, len);
		}
		EXPECT_TRUE(!want || !memcmp(part, whole + at, want));
	}
	close(fd);
}

TEST_F(device, odd_reads)
{
	exercise(&self->dev);
	ASSERT_TRUE(found());
	for (int i = 0; i < nr_files; i++) {
		if (!is_reset(files[i]))
			read_oddly(_metadata, files[i]);
	}
}

/* Root may read and write what the mode says, no more; nothing here can be mapped. */
TEST_F(device, modes_hold_for_root)
{
	struct pollfd poller = { .events = POLLIN | POLLPRI };
	char text[8192];

	ASSERT_TRUE(found());
	for (int i = 0; i < nr_files; i++) {
		bool reset = is_reset(files[i]);
		int fd = open(files[i], (reset ? O_WRONLY : O_RDONLY) | O_CLOEXEC);

		ASSERT_LE(0, fd);
		EXPECT_EQ(-EACCES, RC(open(files[i], reset ? O_RDONLY : O_WRONLY)));
		EXPECT_EQ(-EACCES, RC(open(files[i], O_RDWR)));
		EXPECT_EQ(-EBADF, RC(reset ? read(fd, text, 1) : write(fd, "1", 1)));
		EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE_SIZE, PROT_READ, MAP_PRIVATE, fd, 0));
		EXPECT_EQ(reset ? EACCES : ENODEV, errno);
		EXPECT_EQ(-EINVAL, RC(lseek(fd, -1, SEEK_SET)));
		poller.fd = fd;
		/* Nobody is told of a change, and nobody waits for one for ever. */
		EXPECT_TRUE(reset || read(fd, text, sizeof(text)) >= 0);
		EXPECT_EQ(reset ? -1 : POLLIN, reset ? -1 : (poll(&poller, 1, 0), poller.revents));
		close(fd);
	}
}

struct written {
	const char *text;
	size_t len;
	int result;
};

TEST_F(device, odd_writes)
{
	static char junk[MIB], ones[MIB];
	const struct written cases[] = {
		{ "", 0, 0 }, { "0", 1, -EINVAL }, { "2", 1, -EINVAL }, { "\n", 1, -EINVAL },
		{ "1\n\n", 3, -EINVAL }, { " 1", 2, -EINVAL }, { "1 ", 2, -EINVAL },
		{ "\0", 1, -EINVAL }, { "\0x1", 3, -EINVAL }, { "0\0x1", 4, -EINVAL },
		{ "4294967297", 10, -EINVAL }, { "18446744073709551617", 20, -EINVAL },
		{ "-1", 2, -EINVAL }, { "1e0", 3, -EINVAL }, { junk, MIB, -EINVAL },
		{ ones, 4095, -EINVAL }, { ones, 4096, -EINVAL }, { ones, 4097, -EINVAL },
		{ ones, MIB, -EINVAL },
	};
	int fd = open(SYSFS "reset", O_WRONLY | O_CLOEXEC);

	memset(ones, '1', MIB);
	for (size_t i = 0; i < MIB; i++)
		junk[i] = i * 2654435761U >> 24;
	exercise(&self->dev);
	mark();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		EXPECT_EQ(cases[i].result, RC(pwrite(fd, cases[i].text, cases[i].len, 0))) {
			TH_LOG("case %zu", i);
		}
		EXPECT_STREQ("", moved());
	}
}

/* One is one in every way that the kernel reads a number, at every position of the file. */
TEST_F(device, written_1)
{
	const struct written cases[] = {
		{ "1", 1, 1 }, { "1\n", 2, 2 }, { "1\0junk", 6, 6 }, { "0x1", 3, 3 },
		{ "01", 2, 2 },
	};
	int fd = open(SYSFS "reset", O_WRONLY | O_CLOEXEC);
	struct figures now;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		exercise(&self->dev);
		ASSERT_EQ(0, figures(&now));
		EXPECT_EQ(1, now.count[TOTAL]);
		EXPECT_EQ(cases[i].result, RC(pwrite(fd, cases[i].text, cases[i].len, i * 1000)));
		ASSERT_EQ(0, figures(&now));
		EXPECT_EQ(0, now.count[TOTAL]);
		EXPECT_EQ(0, now.count[WRITE]);
		EXPECT_EQ(i + 1, now.count[LIVE]);
	}
}

/* An open file of sysfs keeps nothing; it outlives the device, and says so. */
TEST_F(device, removed_while_open)
{
	int fds[MAX_FILES];
	char text[64];

	ASSERT_TRUE(found());
	for (int i = 0; i < nr_files; i++) {
		fds[i] = open(files[i], (is_reset(files[i]) ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
		ASSERT_LE(0, fds[i]);
		/* Half of them in the middle of being read. */
		EXPECT_TRUE(is_reset(files[i]) || i % 2 || read(fds[i], text, 1) >= 0);
	}
	close(self->dev.fd);
	ASSERT_EQ(0, module_unload());
	for (int again = 0; again < 2; again++) {
		for (int i = 0; i < nr_files; i++) {
			long err = is_reset(files[i]) ? RC(write(fds[i], "1", 1)) :
							RC(pread(fds[i], text, 1, 0));

			EXPECT_EQ(-ENODEV, err) {
				TH_LOG("%s", files[i]);
			}
		}
		/* A new device of the same name is none of theirs. */
		if (!again) {
			ASSERT_EQ(0, module_load("size=4K"));
		}
	}
}

TEST_HARNESS_MAIN
