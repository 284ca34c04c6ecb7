// SPDX-License-Identifier: GPL-2.0
/*
 * Devices that come and go, by the thousand if there is time, while others delete them and list
 * them. What each call may answer is stated; at the end nothing is left.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control.h"
#include "fixture.h"

#define SLOTS 8
#define LEAST 100		/* lives for each process or name, however slow the machine */
#define STAYING 4		/* and the one that was made at load time */

/* What the processes tell each other. A name is used once: "mmapdemo-" SLOT "-" GENERATION. */
struct stage {
	int stop;
	unsigned int generation[SLOTS];		/* of the newest device, 0 for none yet */
	unsigned long added, touched, died;	/* how far they came */
	unsigned long deleted, busy, late;
};

static struct stage *stage;

FIXTURE(churn)
{
	struct genl genl;
};

FIXTURE_SETUP(churn)
{
	char name[32];

	ASSERT_EQ(0, module_load("size=4K"));
	ASSERT_EQ(0, control_open(&self->genl));
	for (int i = 0; i < STAYING; i++) {
		/* Between the numbers of those that come and go. */
		snprintf(name, sizeof(name), "mmapdemo-stays%d", i);
		ASSERT_EQ(0, add_ram(&self->genl, name, 4096, 0, NULL));
		snprintf(name, sizeof(name), "mmapdemo-goes%d", i);
		ASSERT_EQ(0, add_ram(&self->genl, name, 4096, 0, NULL));
	}
	for (int i = 0; i < STAYING; i++) {
		snprintf(name, sizeof(name), "mmapdemo-goes%d", i);
		ASSERT_EQ(0, del(&self->genl, name, false));
	}
	stage = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

FIXTURE_TEARDOWN_PARENT(churn)
{
	EXPECT_EQ(0, module_unload());
	EXPECT_FALSE(module_loaded());
}

static void count(unsigned long *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

static void name_of(char name[32], int slot, unsigned int generation)
{
	snprintf(name, 32, "mmapdemo-%d-%u", slot, generation);
}

/* Maps and touches what it has open: each access works, or is a SIGBUS because it was deleted. */
static int use(int fd)
{
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	int sig;

	if (p == MAP_FAILED)
		return errno == ENODEV ? 0 : 10;
	for (int i = 0; i < 4; i++) {
		sig = i % 2 ? trap_load(p + i / 2 * 4096) : trap_store(p + i / 2 * 4096);
		if (sig && sig != SIGBUS)
			return 11;
		count(sig ? &stage->died : &stage->touched);
	}
	return munmap(p, 8192) ? 12 : 0;
}

static bool is_one_of(int err, int a, int b, int c)
{
	return err == a || err == b || err == c;
}

/* One device's life. It is deleted by us if nobody was faster. */
static int live_once(struct genl *genl, int slot, unsigned int generation)
{
	char name[32], node[48];
	int fd, err;

	name_of(name, slot, generation);
	snprintf(node, sizeof(node), "/dev/%s", name);
	if (add_ram(genl, name, 8192, 0, NULL))
		return 1;
	count(&stage->added);
	__atomic_store_n(&stage->generation[slot], generation, __ATOMIC_RELEASE);
	fd = RC(open(node, O_RDWR));
	/* No node any more, no device behind it, or one that is being deleted. */
	if (fd < 0 && !is_one_of(fd, -ENOENT, -ENXIO, -ENODEV))
		return 2;
	if (fd >= 0) {
		err = use(fd);
		if (err)
			return err;
		close(fd);
	}
	err = del(genl, name, false);
	if (err && err != -ENODEV) {
		fprintf(stderr, "# deleting %s: %d\n", name, err);
		return 3;
	}
	count(err ? &stage->late : &stage->deleted);
	return 0;
}

static int adder(int number, const struct effort *effort)
{
	struct genl genl;
	int err = control_open(&genl) ? 100 : 0;

	for (unsigned long i = 0; !err && goes_on(effort, i); i++)
		err = live_once(&genl, number + 2 * (i % (SLOTS / 2)), i + 1);
	return err;
}

static int deleter(unsigned int seed)
{
	struct genl genl;
	char name[32];

	if (control_open(&genl))
		return 100;
	while (!__atomic_load_n(&stage->stop, __ATOMIC_ACQUIRE)) {
		int slot = rand_r(&seed) % SLOTS, force = rand_r(&seed) % 2, err;

		name_of(name, slot, __atomic_load_n(&stage->generation[slot], __ATOMIC_ACQUIRE));
		err = del(&genl, name, force);
		if (err && err != -ENODEV && (force || err != -EBUSY))
			return 4;
		if (err != -ENODEV)
			count(err ? &stage->busy : &stage->deleted);
		usleep(seed % 500);
	}
	return 0;
}

static int find_twice(const struct infos *infos)
{
	for (unsigned int i = 0; i < infos->nr; i++)
		for (unsigned int j = i + 1; j < infos->nr; j++)
			if (!strcmp(infos->info[i].dev, infos->info[j].dev))
				return 1;
	return 0;
}

/* Each that was there throughout is there once, and no other twice: 0 or what was wrong. */
static int list(struct genl *genl)
{
	static struct infos infos;
	int staying = 0, err = get_all(genl, &infos);

	if (err)
		return -err;
	if (infos.nr > 64)
		return 201;
	for (unsigned int i = 0; i < infos.nr; i++)
		staying += !strncmp(infos.info[i].dev, "mmapdemo-stays", 14) ||
			   !strcmp(infos.info[i].dev, "mmapdemo");
	if (staying != STAYING + 1)
		return 202;
	return find_twice(&infos) ? 203 : 0;
}

static int lister(void)
{
	struct genl genl;
	int err = control_open(&genl) ? 100 : 0;

	while (!err && !__atomic_load_n(&stage->stop, __ATOMIC_ACQUIRE))
		err = list(&genl);
	return err;
}

/* Entries of a directory that begin with our name. */
static int entries(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int n = 0;

	while (dir && (entry = readdir(dir)))
		n += !strncmp(entry->d_name, MMAPDEMO_NAME, strlen(MMAPDEMO_NAME));
	if (dir)
		closedir(dir);
	return n;
}

TEST_F_TIMEOUT(churn, against_del_and_dumps, 240)
{
	struct effort e = effort(LEAST, 5000, 15);
	struct infos infos;
	pid_t pid[5];

	for (int i = 0; i < 5; i++) {
		pid[i] = fork();
		if (!pid[i])
			_exit(i < 2 ? adder(i, &e) : i < 4 ? deleter(i) : lister());
	}
	EXPECT_EQ(0, reap(pid[0]));
	EXPECT_EQ(0, reap(pid[1]));
	__atomic_store_n(&stage->stop, 1, __ATOMIC_RELEASE);
	for (int i = 2; i < 5; i++)
		EXPECT_EQ(0, reap(pid[i]));
	TH_LOG("%lu added, %lu late, %lu busy; %lu accesses worked, %lu did not", stage->added,
	       stage->late, stage->busy, stage->touched, stage->died);
	EXPECT_LE(2 * LEAST, stage->added);
	EXPECT_EQ(stage->added, stage->deleted);
	ASSERT_EQ(0, get_all(&self->genl, &infos));
	EXPECT_EQ(STAYING + 1, infos.nr);
	EXPECT_EQ(0, list(&self->genl));
	EXPECT_EQ(STAYING + 1, entries("/sys/class/mmapdemo"));
	EXPECT_EQ(STAYING + 1, entries("/dev"));
}

static unsigned long so_far(const unsigned long *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/*
 * The same name for all, so that one is made while the last of that name goes. Whether one is
 * there already is luck: what counts is how many all of them have made.
 */
static int same_name(const struct effort *effort)
{
	struct genl genl;
	int err = control_open(&genl) ? 100 : 0, fd;

	for (unsigned long i = 0; !err && goes_on(effort, so_far(&stage->added)); i++) {
		int added = add_ram(&genl, "mmapdemo-same", 4096, 0, NULL);

		if (added && added != -EEXIST)
			return 1;
		if (!added)
			count(&stage->added);
		fd = RC(open("/dev/mmapdemo-same", O_RDWR));
		if (fd < 0 && !is_one_of(fd, -ENOENT, -ENXIO, -ENODEV))
			return 2;
		if (fd >= 0)
			err = use(fd);
		if (fd >= 0)
			close(fd);
		added = del(&genl, "mmapdemo-same", i % 2);
		if (added && added != -ENODEV && (i % 2 || added != -EBUSY))
			return 3;
		if (!added)
			count(&stage->deleted);
	}
	return err;
}

TEST_F_TIMEOUT(churn, same_name, 240)
{
	struct effort e = effort(LEAST, 3000, 5);
	pid_t pid[3];
	int err;

	for (int i = 0; i < 3; i++) {
		pid[i] = fork();
		if (!pid[i])
			_exit(same_name(&e));
	}
	for (int i = 0; i < 3; i++)
		EXPECT_EQ(0, reap(pid[i]));
	err = del(&self->genl, "mmapdemo-same", false);
	if (!err)
		stage->deleted++;
	else
		EXPECT_EQ(-ENODEV, err);
	EXPECT_LE(LEAST, stage->added);
	EXPECT_EQ(stage->added, stage->deleted);
	EXPECT_EQ(STAYING + 1, entries("/sys/class/mmapdemo"));
	EXPECT_EQ(STAYING + 1, entries("/dev"));
	EXPECT_EQ(0, list(&self->genl));
}

TEST_HARNESS_MAIN
