// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common.h"
#include "control.h"

/* The module */

/* Of a program. Its tests and its fixtures have processes of their own. */
static struct {
	pid_t pid;
	bool idle;	/* the module was left loaded, and nobody uses it */
} *program;

static void __attribute__((constructor)) begin(void)
{
	program = mmap(NULL, sizeof(*program), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	program->pid = getpid();
}

static void unload_idle(void)
{
	if (program->idle)
		module_unload();
	program->idle = false;
}

/* What is left after the end of the program, run-all finds. */
static void __attribute__((destructor)) end(void)
{
	if (program->pid == getpid())
		unload_idle();
}

int module_load(const char *format, ...)
{
	const char *ko = getenv("MMAPDEMO_KO");
	char params[512];
	va_list args;
	int fd, err;

	if (!ko)
		return -ENOKEY;
	unload_idle();
	va_start(args, format);
	vsnprintf(params, sizeof(params), format, args);
	va_end(args);
	fd = open(ko, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = syscall(SYS_finit_module, fd, params, 0) ? -errno : 0;
	close(fd);
	return err;
}

int module_unload(void)
{
	return syscall(SYS_delete_module, "mmapdemo", O_NONBLOCK) ? -errno : 0;
}

bool module_loaded(void)
{
	return !access("/sys/module/mmapdemo", F_OK) || !access(NODE, F_OK) ||
	       !access("/sys/class/mmapdemo", F_OK);
}

long module_users(void)
{
	char text[32];

	return read_file("/sys/module/mmapdemo/refcnt", text, sizeof(text)) > 0 ? atol(text) : -1;
}

/* File systems */

static long magic_of(const char *name)
{
	if (!strcmp(name, "ext4"))
		return EXT4_SUPER_MAGIC;
	if (!strcmp(name, "xfs"))
		return 0x58465342;
	return strcmp(name, "btrfs") ? TMPFS_MAGIC : BTRFS_SUPER_MAGIC;
}

const char *fs_dir(const char *name, char why[160])
{
	const char *dir = getenv("MMAPDEMO_DIR");
	static char path[96];
	char missing[128];
	struct statfs fs;

	if (!dir) {
		strcpy(why, "MMAPDEMO_DIR is not set: use run-all");
		return NULL;
	}
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (!statfs(path, &fs) && fs.f_type == magic_of(name))
		return path;
	snprintf(missing, sizeof(missing), "%s.missing", path);
	if (read_file(missing, why, 160) < 0)
		snprintf(why, 160, "no %s", name);
	why[strcspn(why, "\n")] = '\0';
	return NULL;
}

/* The device */

static const char *const fs_names[] = {
	[EXT4] = "ext4", [TMPFS] = "tmpfs", [XFS] = "xfs", [BTRFS] = "btrfs",
};

bool is_ram(const struct device *dev)
{
	return dev->backing == RAM_4K || dev->backing == RAM_HUGE;
}

/* Open what goes behind the device and name it: 0, -errno, or 1 and why there is none. */
static int make_file(struct device *dev)
{
	const char *dir;

	if (dev->backing == MEMFD) {
		dev->file = memfd_create("mmapdemo-test", MFD_ALLOW_SEALING);
		snprintf(dev->path, sizeof(dev->path), "/proc/%d/fd/%d", getpid(), dev->file);
		return dev->file < 0 ? -errno : 0;
	}
	dir = fs_dir(fs_names[dev->backing], dev->why);
	if (!dir)
		return 1;
	snprintf(dev->path, sizeof(dev->path), "%s/file", dir);
	unlink(dev->path);
	dev->file = open(dev->path, O_RDWR | O_CREAT | O_EXCL, 0644);
	return dev->file < 0 ? -errno : 0;
}

/* Loading and unloading takes most of a second, a device of a loaded module a tenth of that. */
int module_up(struct genl *genl)
{
	static struct infos infos;
	int err = module_loaded() ? 0 : module_load("size=4K");

	program->idle = false;
	err = err ?: control_open(genl);
	/* What a test that ran out of time left behind, and its killed processes hold on to. */
	for (int i = 0; i < 20 && !err; i++) {
		err = get_all(genl, &infos);
		if (err || !infos.nr)
			return err;
		for (unsigned int j = 0; j < infos.nr && j < 64; j++)
			if (del(genl, infos.info[j].dev, false))
				usleep(100000);
	}
	return err ?: -EBUSY;
}

int module_down(void)
{
	/* What io_uring and sockets let go is put by a worker of the kernel, a little later. */
	for (int i = 0; i < 200 && module_users() > 0; i++)
		usleep(10000);
	program->idle = !module_users();
	return program->idle ? 0 : -EBUSY;
}

static int add_device(struct device *dev)
{
	struct genl genl;
	int err = module_up(&genl);

	if (err)
		return err;
	if (is_ram(dev))
		err = add_ram(&genl, "mmapdemo", dev->size,
			      dev->backing == RAM_HUGE ? MMAPDEMO_HUGE_PAGES : 0, NULL);
	else
		err = add_file(&genl, "mmapdemo", dev->file, ANY_FLAGS, NULL);
	genl_close(&genl);
	return err;
}

int device_up(struct device *dev, enum backing backing)
{
	int err;

	memset(dev, 0, sizeof(*dev));
	dev->backing = backing;
	dev->size = backing == RAM_HUGE ? 3 * HUGE_SIZE : 1UL << 20;
	dev->pages = dev->size / PAGE_SIZE;
	dev->inner = dev->pages - (backing == RAM_HUGE ? HUGE_SIZE / PAGE_SIZE : 0);
	dev->file = -1;
	err = is_ram(dev) ? 0 : make_file(dev);
	if (err)
		return err;
	if (!is_ram(dev) && (!writes(dev->file, 0, dev->pages, TAG) || fsync(dev->file)))
		return -EIO;
	err = add_device(dev);
	if (err)
		return err;
	dev->fd = open(NODE, O_RDWR);
	return dev->fd < 0 ? -errno : 0;
}

int device_down(struct device *dev)
{
	struct genl genl;
	int err = -ENODEV;

	/* Asking for the family of a module that is not there would load it. */
	if (module_loaded())
		err = control_open(&genl);
	if (!err) {
		err = del(&genl, "mmapdemo", false);
		genl_close(&genl);
	}
	if (!err && module_users())
		err = -EBUSY;
	program->idle = !err;
	if (dev->path[0] && dev->backing != MEMFD)
		unlink(dev->path);
	return err;
}

int fill(struct device *dev)
{
	void *p;

	if (dev->backing != RAM_HUGE)
		return writes(dev->fd, 0, dev->pages, TAG) && !fsync(dev->fd) ? 0 : -EIO;
	p = map(dev->fd, dev->size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	if (p == MAP_FAILED)
		return -errno;
	store(p, dev->pages, TAG);
	munmap(p, dev->size);
	return fsync(dev->fd) ? -errno : 0;
}

size_t window(const struct device *dev)
{
	return dev->backing == RAM_HUGE ? HUGE_SIZE / PAGE_SIZE : 16;
}

/* Memory */

void *map(int fd, size_t size, int prot, int flags, off_t offset)
{
	size_t room = size + HUGE_SIZE;
	char *all, *p;

	all = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (all == MAP_FAILED)
		return all;
	p = (char *)(((uintptr_t)all + HUGE_SIZE - 1) & ~(HUGE_SIZE - 1));
	if (p > all)
		munmap(all, p - all);
	munmap(p, all + room - p);
	return mmap(p, size, prot, flags | MAP_FIXED_NOREPLACE, fd, offset);
}

void load(const void *map, size_t n)
{
	const volatile char *p = map;

	for (size_t i = 0; i < n; i++)
		(void)p[i * PAGE_SIZE];
}

void store(void *map, size_t n, uint64_t tag)
{
	for (size_t i = 0; i < n; i++)
		*(volatile uint64_t *)((char *)map + i * PAGE_SIZE) = tag + i;
}

bool holds(const void *map, size_t n, uint64_t tag)
{
	for (size_t i = 0; i < n; i++)
		if (*(const volatile uint64_t *)((const char *)map + i * PAGE_SIZE) != tag + i)
			return false;
	return true;
}

bool reads(int fd, off_t offset, size_t n, uint64_t tag)
{
	uint64_t page[PAGE_SIZE / 8];

	for (size_t i = 0; i < n; i++)
		if (pread(fd, page, PAGE_SIZE, offset + i * PAGE_SIZE) != PAGE_SIZE ||
		    page[0] != tag + i)
			return false;
	return true;
}

bool writes(int fd, off_t offset, size_t n, uint64_t tag)
{
	uint64_t page[PAGE_SIZE / 8] = { 0 };

	for (size_t i = 0; i < n; i++) {
		page[0] = tag + i;
		if (pwrite(fd, page, PAGE_SIZE, offset + i * PAGE_SIZE) != PAGE_SIZE)
			return false;
	}
	return true;
}

static sigjmp_buf trapped;
static siginfo_t trap;

static void on_trap(int sig, siginfo_t *info, void *context)
{
	(void)context;
	trap = *info;
	siglongjmp(trapped, sig);
}

enum access { LOAD, STORE, CALL };

static int trap_access(volatile char *address, enum access access)
{
	struct sigaction old[2], action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };
	volatile bool good = true;
	int sig;

	sigaction(SIGBUS, &action, &old[0]);
	sigaction(SIGSEGV, &action, &old[1]);
	sig = sigsetjmp(trapped, 1);
	if (sig)
		good = trap.si_addr == address && (sig != SIGBUS || trap.si_code == BUS_ADRERR);
	else if (access == STORE)
		*address = 1;
	else if (access == CALL)
		((void (*)(void))address)();
	else
		(void)*address;
	sigaction(SIGBUS, &old[0], NULL);
	sigaction(SIGSEGV, &old[1], NULL);
	return good ? sig : -sig;
}

int trap_load(const volatile void *address)
{
	return trap_access((volatile char *)address, LOAD);
}

int trap_store(volatile void *address)
{
	return trap_access(address, STORE);
}

int trap_call(const volatile void *address)
{
	return trap_access((volatile char *)address, CALL);
}

/* Figures */

const char *const counter_files[NR_COUNTERS] = {
	[READ] = "faults/read", [WRITE] = "faults/write", [COW] = "faults/cow",
	[MKWRITE] = "faults/mkwrite", [AROUND] = "faults/around", [HUGE] = "faults/huge",
	[MAJOR] = "faults/major", [RETRY] = "faults/retry", [SIGBUSES] = "faults/sigbus",
	[OOM] = "faults/oom", [HWPOISON] = "faults/hwpoison", [INJECTED] = "faults/injected",
	[TOTAL] = "mappings/total", [LIVE] = "mappings/live",
	[VMA_LOCKED] = "faults/vma_locked",
};

const char *const latency_files[4] = {
	"latency/read", "latency/write", "latency/cow", "latency/mkwrite",
};

/* One line of stat: its number in names, or -1; *values is what follows the name. */
static int which(const char *line, const char *const *names, int nr, const char **values)
{
	size_t len = strcspn(line, " ");

	for (int i = 0; i < nr; i++)
		if (strlen(names[i]) == len && !strncmp(names[i], line, len)) {
			*values = line + len;
			return i;
		}
	return -1;
}

static bool numbers(const char *text, long long *value, int nr)
{
	char *end = (char *)text;

	for (int i = 0; i < nr; i++, text = end) {
		value[i] = strtoll(text, &end, 10);
		if (*text != ' ' || end == text)
			return false;
	}
	return !*end;
}

int figures(struct figures *figures)
{
	int seen = 0, i;
	char buf[8192], *line, *rest = buf;
	const char *values;
	ssize_t len = read_file(SYSFS "stat", buf, sizeof(buf));

	if (len < 0)
		return len;
	while ((line = strsep(&rest, "\n")) && *line) {
		i = which(line, counter_files, NR_COUNTERS, &values);
		if (i >= 0 && numbers(values, &figures->count[i], 1))
			seen++;
		i = which(line, latency_files, 4, &values);
		if (i >= 0 && numbers(values, figures->latency[i], BUCKETS))
			seen++;
	}
	return seen == NR_COUNTERS + 4 ? 0 : -EPROTO;
}

bool adds_up(const struct figures *figures)
{
	const long long *count = figures->count;
	long long sum[4] = { 0 };

	for (int kind = 0; kind < 4; kind++)
		for (int i = 0; i < BUCKETS; i++)
			sum[kind] += figures->latency[kind][i];
	return sum[READ] + sum[WRITE] + sum[COW] ==
	       count[READ] + count[WRITE] + count[COW] + count[RETRY] &&
	       sum[MKWRITE] == count[MKWRITE];
}

static struct figures base, now;
static long long vma_locked;

void mark(void)
{
	memset(&base, 0, sizeof(base));
	figures(&base);
}

/* May a file system have a folio of the device locked? */
static bool shared_folios(void)
{
	char backing[16];

	return read_file(SYSFS "backing", backing, sizeof(backing)) > 0 &&
	       !strcmp(backing, "file\n");
}

const char *moved(void)
{
	bool shared = shared_folios();
	static char text[512];
	int len = 0;

	text[0] = '\0';
	if (figures(&now))
		return "stat cannot be read";
	for (int i = 0; i < VMA_LOCKED; i++)
		if (now.count[i] != base.count[i] && !(i == RETRY && shared))
			len += snprintf(text + len, sizeof(text) - len, "%s%s=%lld",
					len ? " " : "", strchr(counter_files[i], '/') + 1,
					now.count[i] - base.count[i]);
	vma_locked = now.count[VMA_LOCKED] - base.count[VMA_LOCKED];
	if (!adds_up(&now))
		len += snprintf(text + len, sizeof(text) - len, " (histograms do not add up)");
	if (vma_locked && !has_vma_locks())
		snprintf(text + len, sizeof(text) - len, " (vma_locked=%lld)", vma_locked);
	base = now;
	return text;
}

long long moved_vma_locked(void)
{
	return vma_locked;
}

const char *said(const char *format, ...)
{
	static char text[512];
	char full[512], *part, *rest = full;
	va_list args;
	int len = 0;

	va_start(args, format);
	vsnprintf(full, sizeof(full), format, args);
	va_end(args);
	text[0] = '\0';
	while ((part = strsep(&rest, " ")))
		if (*part && strcmp(strchr(part, '=') ?: "", "=0"))
			len += snprintf(text + len, sizeof(text) - len, "%s%s", len ? " " : "",
					part);
	return text;
}

bool has_vma_locks(void)
{
	struct utsname name;
	int major = 0, minor = 0;

	uname(&name);
	sscanf(name.release, "%d.%d", &major, &minor);
	return major > 6 || (major == 6 && minor >= 7);
}

/* Processes and files */

long live(void)
{
	char text[32];

	return read_file(SYSFS "mappings/live", text, sizeof(text)) > 0 ? atol(text) : -1;
}

unsigned long rounds(unsigned long stock)
{
	bool debug = !access("/sys/kernel/debug/kmemleak", F_OK) ||
		     !access("/sys/kernel/debug/kcsan", F_OK);
	unsigned long few = stock < 4 ? stock : 4;

	if (!debug)
		return stock;
	return stock / 16 > few ? stock / 16 : few;
}

double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

struct effort effort(unsigned long least, unsigned long most, double limit)
{
	return (struct effort){ .least = least, .most = most, .end = seconds() + limit };
}

bool goes_on(const struct effort *effort, unsigned long done)
{
	return done < effort->least || (done < effort->most && seconds() < effort->end);
}

int reap(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

int in_child(int (*fn)(void *arg), void *arg)
{
	pid_t pid = fork();

	if (!pid)
		_exit(fn(arg));
	return pid < 0 ? -1 : reap(pid);
}

ssize_t read_file(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len;

	if (fd < 0)
		return -errno;
	len = read(fd, buf, size - 1);
	if (len < 0)
		len = -errno;
	else
		buf[len] = '\0';
	close(fd);
	return len;
}

long line_of(const char *path, const char *name)
{
	FILE *file = fopen(path, "re");
	char word[64], line[256];
	long value, sum = -1;

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%63s %ld", word, &value) != 2 || strcmp(word, name))
			continue;
		sum = (sum < 0 ? 0 : sum) + value;
	}
	if (file)
		fclose(file);
	return sum;
}

ssize_t write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t len;

	if (fd < 0)
		return -errno;
	len = write(fd, text, strlen(text));
	if (len < 0)
		len = -errno;
	close(fd);
	return len;
}

ssize_t fail_memory(int fd, off_t offset)
{
	char *p = map(fd, PAGE_SIZE, PROT_READ, MAP_SHARED, offset), address[32];
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;

	if (p == MAP_FAILED || trap_load(p))
		return -ENXIO;
	pread(pagemap, &entry, sizeof(entry), (uintptr_t)p / PAGE_SIZE * sizeof(entry));
	close(pagemap);
	munmap(p, PAGE_SIZE);
	snprintf(address, sizeof(address), "%#llx",
		 (entry & ((1ULL << 55) - 1)) * PAGE_SIZE);
	return write_file("/sys/devices/system/memory/hard_offline_page", address);
}

int run(const char *format, ...)
{
	char command[512];
	va_list args;
	int status;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	status = system(command);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
