// SPDX-License-Identifier: GPL-2.0
/* userfaultfd on a mapping of the device: what each kernel lets one register, and that it works. */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"

DEVICE_FIXTURE(device);
RAM_VARIANTS(device);
FILE_VARIANTS(device);

/* Newer than the headers: 6.7. */
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif

static int release(void)
{
	struct utsname name;
	int major = 0, minor = 0;

	uname(&name);
	sscanf(name.release, "%d.%d", &major, &minor);
	return 100 * major + minor;
}

/*
 * 6.1 and 6.12 know a mapping of tmpfs by the address of its vm_operations, and ours is a
 * copy. 7.2 asks for an operation in them, which the copy has from tmpfs.
 */
static bool has_operation(const struct device *dev)
{
	return (dev->backing == TMPFS || dev->backing == MEMFD) && release() >= 702;
}

/* A userfaultfd with these features, or -errno. */
static int uffd_open(uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	err = RC(ioctl(fd, UFFDIO_API, &api));
	if (!err)
		return fd;
	close(fd);
	return err;
}

static int uffd_register(int fd, char *p, size_t len, uint64_t mode)
{
	struct uffdio_register reg = { .range = { (uintptr_t)p, len }, .mode = mode };

	return RC(ioctl(fd, UFFDIO_REGISTER, &reg));
}

static int write_protect(int fd, char *p, size_t len, uint64_t mode)
{
	struct uffdio_writeprotect wp = { .range = { (uintptr_t)p, len }, .mode = mode };

	return RC(ioctl(fd, UFFDIO_WRITEPROTECT, &wp));
}

static char *mapping(struct device *dev, int share)
{
	return map(dev->fd, dev->size, PROT_READ | PROT_WRITE, share, 0);
}

TEST_F(device, registered)
{
	static const uint64_t modes[] = {
		UFFDIO_REGISTER_MODE_MISSING, UFFDIO_REGISTER_MODE_WP, UFFDIO_REGISTER_MODE_MINOR,
		UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP,
	};
	int err = has_operation(&self->dev) ? 0 : -EINVAL, fd;
	char *p;

	ASSERT_EQ(0, fill(&self->dev));
	for (int i = 0; i < 8; i++) {
		p = mapping(&self->dev, i % 2 ? MAP_SHARED : MAP_PRIVATE);
		ASSERT_NE(MAP_FAILED, p);
		fd = uffd_open(0);
		ASSERT_LE(0, fd);
		EXPECT_EQ(err, uffd_register(fd, p, self->dev.size, modes[i / 2])) {
			TH_LOG("mode %llu, %s", (long long)modes[i / 2],
			       i % 2 ? "shared" : "private");
		}
		close(fd);
		/* With it the registration is gone, and the mapping is like any other. */
		EXPECT_TRUE(holds(p, self->dev.pages, TAG));
		munmap(p, self->dev.size);
	}
}

/* Marks that the kernel takes away itself, on any memory: a store passes as if they were not. */
TEST_F(device, write_protected_async)
{
	int fd = uffd_open(UFFD_FEATURE_WP_ASYNC);
	bool huge = self->dev.backing == RAM_HUGE;
	char *p;

	if (!has_vma_locks()) {
		EXPECT_EQ(-EINVAL, fd);
		SKIP(return, "this kernel has no UFFD_FEATURE_WP_ASYNC");
	}
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fill(&self->dev));
	p = mapping(&self->dev, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, uffd_register(fd, p, self->dev.size, UFFDIO_REGISTER_MODE_WP));
	store(p, 8, 0x100);
	ASSERT_EQ(0, write_protect(fd, p, 16 * PAGE_SIZE, UFFDIO_WRITEPROTECT_MODE_WP));
	mark();
	store(p, 8, 0x200);
	/* What is mapped by 2 MiB is taken apart by the mark, and is then as if not mapped. */
	EXPECT_STREQ(said("write=%d mkwrite=%d", huge ? 8 : 0, huge ? 16 : 8), moved());
	store(p + 8 * PAGE_SIZE, 8, 0x208);
	/* The mark outlives the first fault: the page gets mapped read-only, and comes again. */
	EXPECT_STREQ("write=8 mkwrite=16", moved());
	EXPECT_TRUE(reads(self->dev.fd, 0, 16, 0x200));
	EXPECT_EQ(0, fsync(self->dev.fd));
	ASSERT_EQ(0, write_protect(fd, p, 16 * PAGE_SIZE, UFFDIO_WRITEPROTECT_MODE_WP));
	moved();
	store(p, 16, 0x300);
	EXPECT_STREQ("mkwrite=16", moved());
	EXPECT_TRUE(reads(self->dev.fd, 0, 16, 0x300));
	EXPECT_TRUE(reads(self->dev.fd, 16 * PAGE_SIZE, self->dev.pages - 16, TAG + 16));
}

/* Somebody who answers, and somebody who waits for the answer. */
DEVICE_FIXTURE(answered);
VARIANT(answered, tmpfs, TMPFS);
VARIANT(answered, memfd, MEMFD);

struct waiter {
	pthread_t thread;
	char *p;
	bool store;
	int sig;
};

static void *wait_for_page(void *arg)
{
	struct waiter *w = arg;

	w->sig = w->store ? trap_store(w->p) : trap_load(w->p);
	return NULL;
}

/* The one message that is due, of a fault at @p with @flags: 0, or what is wrong. */
static int expect_fault(int fd, const char *p, uint64_t flags)
{
	struct pollfd poller = { .fd = fd, .events = POLLIN };
	struct uffd_msg msg;

	if (poll(&poller, 1, 20000) != 1)
		return -ETIMEDOUT;
	if (read(fd, &msg, sizeof(msg)) != sizeof(msg) || msg.event != UFFD_EVENT_PAGEFAULT)
		return -EPROTO;
	return msg.arg.pagefault.address == (uintptr_t)p &&
	       msg.arg.pagefault.flags == flags ? 0 : -EINVAL;
}

/* Pages 0 to 3 are no more. */
static int punch(const struct device *dev)
{
	return RC(fallocate(dev->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			    4 * PAGE_SIZE));
}

#define SKIP_WITHOUT_OPERATION() do {						\
	if (!has_operation(&self->dev))						\
		SKIP(return, "this kernel does not ask vm_operations for userfaultfd");	\
} while (0)

static void expect_counts(struct __test_metadata *_metadata, const struct figures *before,
			  const char *said)
{
	struct figures after;

	ASSERT_EQ(0, figures(&after));
	EXPECT_TRUE(adds_up(&after));
	EXPECT_EQ(1, after.count[RETRY] - before->count[RETRY]);
	EXPECT_STREQ(said, moved());
}

/* The attempt that waits comes again, and finds the page mapped by who answered. */
TEST_F(answered, missing)
{
	uint64_t page[PAGE_SIZE / 8] = { 0x100 };
	struct waiter w = { 0 };
	struct figures before;
	struct uffdio_copy copy;
	int fd;

	SKIP_WITHOUT_OPERATION();
	fd = uffd_open(0);
	w.p = mapping(&self->dev, MAP_SHARED);
	ASSERT_EQ(0, punch(&self->dev));
	ASSERT_EQ(0, uffd_register(fd, w.p, self->dev.size, UFFDIO_REGISTER_MODE_MISSING));
	for (int i = 0; i < 2; i++, w.p += PAGE_SIZE, w.store = true) {
		ASSERT_EQ(0, figures(&before));
		mark();
		ASSERT_EQ(0, pthread_create(&w.thread, NULL, wait_for_page, &w));
		ASSERT_EQ(0, expect_fault(fd, w.p, i ? UFFD_PAGEFAULT_FLAG_WRITE : 0));
		copy = (struct uffdio_copy){ .dst = (uintptr_t)w.p, .src = (uintptr_t)page,
					     .len = PAGE_SIZE };
		ASSERT_EQ(0, RC(ioctl(fd, UFFDIO_COPY, &copy)));
		pthread_join(w.thread, NULL);
		EXPECT_EQ(0, w.sig);
		expect_counts(_metadata, &before, "");
	}
	EXPECT_TRUE(reads(self->dev.fd, 0, 1, 0x100));
	EXPECT_TRUE(reads(self->dev.fd, PAGE_SIZE, 1, 0x101));
	EXPECT_TRUE(reads(self->dev.fd, 2 * PAGE_SIZE, 1, 0));
	EXPECT_TRUE(reads(self->dev.fd, 4 * PAGE_SIZE, self->dev.pages - 4, TAG + 4));
}

/* The page is there, and whoever answers says that it may be mapped. */
TEST_F(answered, minor)
{
	struct waiter w = { 0 };
	struct uffdio_continue go = { 0 };
	struct figures before;
	int fd;

	SKIP_WITHOUT_OPERATION();
	fd = uffd_open(0);
	w.p = mapping(&self->dev, MAP_SHARED);
	ASSERT_EQ(0, uffd_register(fd, w.p, self->dev.size, UFFDIO_REGISTER_MODE_MINOR));
	ASSERT_EQ(0, figures(&before));
	mark();
	ASSERT_EQ(0, pthread_create(&w.thread, NULL, wait_for_page, &w));
	ASSERT_EQ(0, expect_fault(fd, w.p, UFFD_PAGEFAULT_FLAG_MINOR));
	EXPECT_TRUE(writes(self->dev.fd, 0, 1, 0x100));
	go.range = (struct uffdio_range){ (uintptr_t)w.p, PAGE_SIZE };
	ASSERT_EQ(0, RC(ioctl(fd, UFFDIO_CONTINUE, &go)));
	pthread_join(w.thread, NULL);
	EXPECT_EQ(0, w.sig);
	expect_counts(_metadata, &before, "");
	EXPECT_TRUE(holds(w.p, 1, 0x100));
}

/* The store waits outside of the driver, so nothing is counted until it is let through. */
TEST_F(answered, write_protected)
{
	struct waiter w = { .store = true };
	int fd;

	SKIP_WITHOUT_OPERATION();
	fd = uffd_open(0);
	w.p = mapping(&self->dev, MAP_SHARED);
	ASSERT_EQ(0, uffd_register(fd, w.p, self->dev.size, UFFDIO_REGISTER_MODE_WP));
	load(w.p, 4);
	ASSERT_EQ(0, write_protect(fd, w.p, PAGE_SIZE, UFFDIO_WRITEPROTECT_MODE_WP));
	mark();
	ASSERT_EQ(0, pthread_create(&w.thread, NULL, wait_for_page, &w));
	ASSERT_EQ(0, expect_fault(fd, w.p, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP));
	EXPECT_STREQ("", moved());
	EXPECT_TRUE(reads(self->dev.fd, 0, 1, TAG));
	ASSERT_EQ(0, write_protect(fd, w.p, PAGE_SIZE, 0));
	pthread_join(w.thread, NULL);
	EXPECT_EQ(0, w.sig);
	EXPECT_STREQ("mkwrite=1", moved());
	EXPECT_TRUE(reads(self->dev.fd, 0, 1, TAG + 1));
}

/*
 * The mapping goes while a fault waits in it, and then the files and the module: the fault
 * holds none of them. Unloading waits for the fault, and the fault ends in a SIGSEGV.
 */
TEST_F(answered, unmapped_meanwhile)
{
	struct waiter w = { 0 };
	struct uffdio_range range;
	pid_t pid;
	int fd;

	SKIP_WITHOUT_OPERATION();
	fd = uffd_open(0);
	w.p = mapping(&self->dev, MAP_SHARED);
	ASSERT_EQ(0, punch(&self->dev));
	ASSERT_EQ(0, uffd_register(fd, w.p, self->dev.size, UFFDIO_REGISTER_MODE_MISSING));
	ASSERT_EQ(0, pthread_create(&w.thread, NULL, wait_for_page, &w));
	ASSERT_EQ(0, expect_fault(fd, w.p, 0));
	EXPECT_EQ(0, munmap(w.p, self->dev.size));
	close(self->dev.fd);
	pid = fork();
	if (!pid)
		_exit(-module_unload());
	usleep(500000);
	EXPECT_EQ(0, waitpid(pid, NULL, WNOHANG));
	/* The range is not mapped any more; closing it wakes all that wait. */
	range = (struct uffdio_range){ (uintptr_t)w.p, PAGE_SIZE };
	ioctl(fd, UFFDIO_WAKE, &range);
	close(fd);
	pthread_join(w.thread, NULL);
	EXPECT_EQ(SIGSEGV, w.sig);
	EXPECT_EQ(0, reap(pid));
	EXPECT_FALSE(module_loaded());
	ASSERT_EQ(0, module_load("size=4K"));
}

TEST_HARNESS_MAIN
