// SPDX-License-Identifier: GPL-2.0
/*
 * The soak's control plane: commands to the device that others work on, none of which they may
 * notice but for more faults, and devices that come and go beside it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control.h"
#include "soak.h"

static struct genl genl, ear;
static struct infos infos;
static struct rows rows;
static struct runs runs;

static bool good(int err, const char *what)
{
	did(MESSAGES, 1);
	return !err || complain("%s: %s", what, strerror(-err));
}

static void on_event(const struct nlmsghdr *message, void *arg)
{
	struct event event;

	if (genl_command(message) >= MMAPDEMO_CMD_DEVICE_EVENT && !read_event(message, &event))
		complain("an event is not as it should be");
	did(EVENTS, 1);
	(void)arg;
}

/* What has been told; too much of it is lost, and that is no error. */
static bool listen_to(struct target *target, uint64_t *state)
{
	long len;

	(void)target;
	(void)state;
	do {
		len = genl_receive(&ear, MSG_DONTWAIT, on_event, NULL);
	} while (len > 0);
	return len == -EAGAIN || len == -ENOBUFS || complain("listening: %s", strerror(-len));
}

static bool do_zap(struct target *target, uint64_t *state)
{
	size_t page = below(state, target->owned);

	return good(zap(&genl, MAIN, page, 1 + below(state, target->owned - page)), "zap");
}

static bool do_wrprotect(struct target *target, uint64_t *state)
{
	size_t page = below(state, target->owned);

	return good(wrprotect(&genl, MAIN, page, 1 + below(state, target->owned - page)),
		    "wrprotect");
}

static bool do_harvest(struct target *target, uint64_t *state)
{
	(void)state;
	return good(harvest(&genl, MAIN, &runs) == (is_ram(&target->dev) ? 0 : -EOPNOTSUPP) ?
		    0 : -EPROTO, "harvest");
}

static bool do_tell(struct target *target, uint64_t *state)
{
	(void)target;
	(void)state;
	return good(get_all(&genl, &infos), "device-get") &&
	       good(get_mappings(&genl, MAIN, &rows), "mapping-get") &&
	       good(get_pages(&genl, MAIN, &runs), "page-get");
}

/* A device of our own, used, cut and killed under who uses it. */
static bool use_and_kill(int fd, uint64_t *state)
{
	size_t size = (2UL + below(state, 3)) << 20, cut = 1 + below(state, size);
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	bool right;

	if (p == MAP_FAILED)
		return complain("mmap beside: %s", strerror(errno));
	p[0] = 1;
	right = good(resize(&genl, BESIDE, size), "resize") &&
		(memset(p, 1, size), good(resize(&genl, BESIDE, cut), "resize")) &&
		good(punch(&genl, BESIDE, cut / 2, 1 + cut / 4), "punch") &&
		(p[0] == 1 || cut < 2 || complain("a byte that was not cut is gone")) &&
		good(del(&genl, BESIDE, true), "device-del") &&
		(trap_load(p) == SIGBUS || complain("a dead device gives no SIGBUS"));
	munmap(p, size);
	return right;
}

static bool do_beside(struct target *target, uint64_t *state)
{
	bool right;
	int fd;

	(void)target;
	if (!good(add_ram(&genl, BESIDE, 2 << 20, below(state, 2) * MMAPDEMO_HUGE_PAGES, NULL),
		  "device-add"))
		return false;
	did(BESIDES, 1);
	fd = open("/dev/" BESIDE, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return complain("open beside: %s", strerror(errno));
	right = use_and_kill(fd, state);
	close(fd);
	return right;
}

bool control(struct target *target, uint64_t *state)
{
	static bool (*const what[])(struct target *target, uint64_t *state) = {
		do_zap, do_wrprotect, do_harvest, do_tell, do_beside, listen_to,
	};
	const size_t nr = sizeof(what) / sizeof(what[0]);
	int err = control_open(&genl) ?: control_open(&ear) ?: genl_join(&ear, "devices") ?:
		  genl_join(&ear, "faults");
	bool right = !err || complain("the control plane: %s", strerror(-err));

	/* Each once, and then by chance. */
	for (size_t n = 0; right && !is_over(); n++) {
		right = what[n < nr ? n : below(state, nr)](target, state);
		usleep(below(state, 20000));
	}
	genl_close(&ear);
	genl_close(&genl);
	return right;
}
