// SPDX-License-Identifier: GPL-2.0
/* mmapdemo doctor */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cli.h"

static const char help[] =
	"Usage: mmapdemo doctor [-j]\n"
	"What works on this machine and this kernel, what does not, and what to do about it. Changes\n"
	"nothing and loads nothing. Exit status 0 if devices can be used, 3 if not.\n\n"
	"  -j, --json   an object with an array of checks\n"
	"  -h, --help   this text\n";

struct check {
	const char *name;
	bool ok;
	bool needed;		/* without it nothing can be used */
	char found[256];
	char todo[512];		/* empty if there is nothing to do */
};

/* What several checks want to know. */
static struct {
	struct utsname kernel;
	int major, minor;
	char sys[256];		/* "/sys" */
	bool loaded;		/* the module */
} machine;

static void examine_machine(void)
{
	const char *sys = secure_getenv("MMAPDEMO_SYSFS");
	char path[300];

	uname(&machine.kernel);
	sscanf(machine.kernel.release, "%d.%d", &machine.major, &machine.minor);
	snprintf(machine.sys, sizeof(machine.sys), "%s", sys ? sys : "/sys");
	snprintf(path, sizeof(path), "%s/class/mmapdemo", machine.sys);
	machine.loaded = !access(path, F_OK);
}

static bool since(int major, int minor)
{
	return machine.major > major || (machine.major == major && machine.minor >= minor);
}

static void found(struct check *check, bool ok, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void found(struct check *check, bool ok, const char *format, ...)
{
	va_list args;

	check->ok = ok;
	va_start(args, format);
	vsnprintf(check->found, sizeof(check->found), format, args);
	va_end(args);
}

static void todo(struct check *check, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void todo(struct check *check, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(check->todo, sizeof(check->todo), format, args);
	va_end(args);
}

/* Whether a line of a file has @text in it; in @line, if given, what the line is. */
static bool file_has(const char *path, const char *text, char *line, size_t size)
{
	char buf[512];
	bool has = false;
	FILE *f = fopen(path, "re");

	if (!f)
		return false;
	while (!has && fgets(buf, sizeof(buf), f))
		has = strstr(buf, text);
	fclose(f);
	if (has && line)
		snprintf(line, size, "%.*s", (int)strcspn(buf, "\n"), buf);
	return has;
}

static bool sys_has(const char *file, const char *text, char *line, size_t size)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", machine.sys, file);
	return file_has(path, text, line, size);
}

static void check_kernel(struct check *check)
{
	check->needed = true;
	found(check, since(6, 1), "Linux %s", machine.kernel.release);
	if (!check->ok)
		todo(check, "mmapdemo needs Linux 6.1 or later");
}

static void check_module(struct check *check)
{
	char path[400], version[64] = "of an unknown version";

	check->needed = true;
	snprintf(path, sizeof(path), "/lib/modules/%s/modules.dep", machine.kernel.release);
	if (machine.loaded) {
		sys_has("module/mmapdemo/version", "", version, sizeof(version));
		found(check, true, "loaded, %s", version);
	} else if (file_has(path, "/mmapdemo.ko", NULL, 0)) {
		found(check, true, "not loaded; the first command that asks it loads it");
	} else if (access("/proc/modules", F_OK)) {
		found(check, false, "this kernel has no loadable modules");
		todo(check, "another kernel; make demo runs one in a virtual machine");
	} else {
		found(check, false, "not loaded, and modprobe does not find it");
		todo(check, "build it, then as root make modules_install and depmod; or insmod it from\n"
		     "where it was built");
	}
}

static void check_headers(struct check *check)
{
	char path[400];

	snprintf(path, sizeof(path), "/lib/modules/%s/build/Makefile", machine.kernel.release);
	found(check, !access(path, F_OK), "headers of the running kernel, to build the module");
	if (!check->ok)
		todo(check, "on Debian: apt-get install linux-headers-%s; or build on another machine with\n"
		     "make modules KDIR=/lib/modules/%s/build", machine.kernel.release,
		     machine.kernel.release);
}

static void check_signature(struct check *check)
{
	const bool locked = sys_has("kernel/security/lockdown", "[integrity]", NULL, 0) ||
			    sys_has("kernel/security/lockdown", "[confidentiality]", NULL, 0);

	if (!locked && !sys_has("module/module/parameters/sig_enforce", "Y", NULL, 0)) {
		found(check, true, "the kernel takes modules that are not signed");
		return;
	}
	found(check, machine.loaded, "the kernel takes signed modules only%s",
	      locked ? " (lockdown, as with Secure Boot)" : "");
	if (!check->ok)
		todo(check, "install it with dkms, which signs it, and enrol the key:\n"
		     "mokutil --import /var/lib/dkms/mok.pub, then reboot and confirm");
}

static void check_netlink(struct check *check)
{
	struct mmapdemo_ctl *ctl;
	int ret;

	check->needed = machine.loaded;
	if (!machine.loaded) {
		found(check, false, "control plane: not asked, because that would load the module");
		return;
	}
	ret = mmapdemo_ctl_open(&ctl);
	if (ret) {
		found(check, false, "control plane: %s", strerror(-ret));
		todo(check, "the module is an older one, or this is not the initial network namespace:\n"
		     "rmmod mmapdemo, then load the one that belongs to this command");
		return;
	}
	found(check, true, "control plane: version %u", mmapdemo_ctl_version(ctl));
	mmapdemo_ctl_close(ctl);
}

static int first_name(const char *name, void *arg)
{
	snprintf(arg, NAME_MAX + 1, "%s", name);
	return 1;
}

static void explain_node(struct check *check, const char *name, int error)
{
	found(check, false, "/dev/%s: %s", name, strerror(-error));
	if (error == -ENXIO)
		todo(check, "mount devtmpfs on /dev, or make the node: mknod, with the numbers in\n"
		     "%s/class/mmapdemo/%s/dev", machine.sys, name);
	else
		todo(check, "run as root, or install the udev rule 70-mmapdemo.rules and join the group:\n"
		     "usermod -aG mmapdemo USER");
}

static void check_device(struct check *check)
{
	char name[NAME_MAX + 1];
	struct mmapdemo_dev *dev;
	int ret;

	check->needed = machine.loaded;
	if (mmapdemo_for_each(first_name, name) != 1) {
		found(check, machine.loaded, "no device");
		if (machine.loaded)
			todo(check, "as root: mmapdemo add ram");
		return;
	}
	ret = mmapdemo_open(name, O_RDWR, &dev);
	if (!ret) {
		found(check, true, "/dev/%s can be read and written", name);
	} else {
		ret = mmapdemo_open(name, O_RDONLY, &dev);
		if (ret) {
			explain_node(check, name, ret);
			return;
		}
		found(check, true, "/dev/%s can be read only", name);
	}
	mmapdemo_close(dev);
}

static void check_privilege(struct check *check)
{
	const unsigned long long sys_admin = 1ULL << 21;
	char line[128] = "";
	bool initial = file_has("/proc/self/uid_map", " 4294967295", NULL, 0);
	unsigned long long caps = 0;

	if (file_has("/proc/self/status", "CapEff:", line, sizeof(line)))
		sscanf(line, "CapEff: %llx", &caps);
	found(check, initial && caps & sys_admin,
	      "CAP_SYS_ADMIN, to make, delete and work on devices, for maps, pages and faults");
	if (!check->ok)
		todo(check, initial ? "run as root" : "run as root outside of this user namespace");
}

static void check_huge(struct check *check)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/kernel/mm/transparent_hugepage", machine.sys);
	found(check, !access(path, F_OK), "2 MiB pages");
	if (!check->ok)
		todo(check, "a kernel with CONFIG_TRANSPARENT_HUGEPAGE; all else works in 4 KiB pages");
}

static void check_poison(struct check *check)
{
	found(check, !access("/proc/sys/vm/memory_failure_recovery", F_OK),
	      "faults/hwpoison: hardware memory errors");
	if (!check->ok)
		todo(check, "a kernel with CONFIG_MEMORY_FAILURE; on others it stays 0");
}

static void check_vma_locks(struct check *check)
{
	found(check, since(6, 7), "faults/vma_locked: faults under the lock of their VMA");
	if (!check->ok)
		todo(check, "Linux 6.7 or later; before that it stays 0");
}

static void check_tracing(struct check *check)
{
	char path[400];

	snprintf(path, sizeof(path), "%s/kernel/tracing/events/exceptions/page_fault_user",
		 machine.sys);
	found(check, !access(path, X_OK), "tracefs, for the third witness of the tour");
	if (!check->ok)
		todo(check, "as root, mount -t tracefs none /sys/kernel/tracing; or mmapdemo tour --no-cpu");
}

static const struct {
	const char *name;
	void (*run)(struct check *check);
} checks[] = {
	{ "kernel", check_kernel },
	{ "module", check_module },
	{ "headers", check_headers },
	{ "signature", check_signature },
	{ "netlink", check_netlink },
	{ "device", check_device },
	{ "privilege", check_privilege },
	{ "huge", check_huge },
	{ "hwpoison", check_poison },
	{ "vma_locked", check_vma_locks },
	{ "tracing", check_tracing },
};

#define NR_CHECKS (sizeof(checks) / sizeof(checks[0]))

/* The lines of what is to be done stand under what was found. */
static void print_text(const struct check *check)
{
	const char *line = check->todo;
	int len;

	printf("%s  %-10s  %s\n", check->ok ? "ok" : "no", check->name, check->found);
	while (*line) {
		len = strcspn(line, "\n");
		printf("                %.*s\n", len, line);
		line += len + (line[len] == '\n');
	}
}

static struct json_object *to_json(const struct check *check)
{
	struct json_object *o = json_object_new_object();

	json_text(o, "name", check->name);
	json_object_object_add(o, "ok", json_object_new_boolean(check->ok));
	json_object_object_add(o, "needed", json_object_new_boolean(check->needed));
	json_text(o, "found", check->found);
	if (check->todo[0])
		json_text(o, "todo", check->todo);
	return o;
}

int cmd_doctor(int argc, char **argv)
{
	struct json_object *rows, *top;
	bool json = false, usable = true;
	unsigned int i;
	int code;

	if (!args_words(argc, argv, help, 0, 0, &json, &code))
		return code;
	examine_machine();
	rows = json_object_new_array();
	for (i = 0; i < NR_CHECKS; i++) {
		struct check check = { .name = checks[i].name };

		checks[i].run(&check);
		usable &= check.ok || !check.needed;
		if (json)
			json_object_array_add(rows, to_json(&check));
		else
			print_text(&check);
	}
	top = json_top("mmapdemo.doctor/1");
	json_object_object_add(top, "usable", json_object_new_boolean(usable));
	json_object_object_add(top, "checks", rows);
	if (json)
		json_print(top, JSON_C_TO_STRING_PRETTY);
	else
		json_object_put(top);
	return usable ? DONE : ABSENT;
}
