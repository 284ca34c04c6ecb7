// SPDX-License-Identifier: GPL-2.0
/*
 * The cpu witness: page fault exceptions by error code, counted by the kernel's own
 * tracepoint.
 *
 * A histogram trigger counts inside the kernel. Nothing passes through a trace buffer, so
 * nothing can be lost, and no reader has to keep up.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tracefs.h>

#include "cpu.h"

#define SYSTEM	"exceptions"
#define EVENT	"page_fault_user"

/* What is left of a process that was killed. The trigger goes with the instance. */
static int sweep(const char *name, void *arg)
{
	char *file;
	int pid;

	(void)arg;
	if (sscanf(name, "mmapdemo-%d-", &pid) != 1 || !kill(pid, 0) || errno != ESRCH)
		return 0;
	if (asprintf(&file, "%s/instances/%s", tracefs_tracing_dir(), name) < 0)
		return 0;
	rmdir(file);
	free(file);
	return 0;
}

/* "hist:keys=error_code<verb> if <filter>": the whole of it names the trigger each time. */
static int trigger(struct cpu_witness *cpu, const char *verb)
{
	char text[256];

	snprintf(text, sizeof(text), "hist:keys=error_code%s if %s", verb, cpu->filter);
	/* Append: the kernel drops all triggers of an event when the file is truncated. */
	errno = EIO;
	if (tracefs_event_file_append(cpu->instance, SYSTEM, EVENT, "trigger", text) < 0)
		return -errno;
	return 0;
}

static int make_instance(struct cpu_witness *cpu)
{
	static unsigned int number;
	char name[64];

	if (!tracefs_tracing_dir())
		return -EOPNOTSUPP;
	tracefs_instances_walk(sweep, NULL);
	snprintf(name, sizeof(name), "mmapdemo-%d-%u", getpid(), number++);
	errno = EOPNOTSUPP;
	cpu->instance = tracefs_instance_create(name);
	if (!cpu->instance)
		return -errno;
	cpu->dir = tracefs_instance_get_dir(cpu->instance);
	return 0;
}

int cpu_open(struct cpu_witness *cpu, const void *addr, size_t len)
{
	uintptr_t from = (uintptr_t)addr;
	int ret;

	tracefs_set_loglevel(TEP_LOG_NONE);
	ret = make_instance(cpu);
	if (ret)
		return ret;
	snprintf(cpu->filter, sizeof(cpu->filter),
		 "common_pid == %d && address >= 0x%lx && address < 0x%lx", gettid(), from,
		 from + len);
	ret = -EOPNOTSUPP;
	if (!tracefs_event_file_exists(cpu->instance, SYSTEM, EVENT, "hist"))
		goto err_instance;
	ret = trigger(cpu, ":pause");
	if (ret)
		goto err_instance;
	return 0;

err_instance:
	cpu_close(cpu);
	return ret;
}

int cpu_start(struct cpu_witness *cpu)
{
	int ret = trigger(cpu, ":clear");

	return ret ? ret : trigger(cpu, ":continue");
}

static enum mmapdemo_cpu meaning(unsigned long error_code)
{
	switch (error_code) {
	case 4:
		return MMAPDEMO_CPU_READ_ABSENT;
	case 6:
		return MMAPDEMO_CPU_WRITE_ABSENT;
	case 7:
		return MMAPDEMO_CPU_WRITE_PRESENT;
	default:
		return MMAPDEMO_CPU_OTHER;
	}
}

int cpu_stop(struct cpu_witness *cpu, uint64_t count[MMAPDEMO_NR_CPU])
{
	unsigned long error_code, hits;
	char *text, *line, *rest;
	int ret;

	memset(count, 0, MMAPDEMO_NR_CPU * sizeof(*count));
	ret = trigger(cpu, ":pause");
	if (ret)
		return ret;
	text = tracefs_event_file_read(cpu->instance, SYSTEM, EVENT, "hist", NULL);
	if (!text)
		return -EIO;
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		if (sscanf(line, "{ error_code: %lu } hitcount: %lu", &error_code, &hits) == 2)
			count[meaning(error_code)] += hits;
	}
	free(text);
	return 0;
}

void cpu_close(struct cpu_witness *cpu)
{
	tracefs_instance_destroy(cpu->instance);
	tracefs_instance_free(cpu->instance);
	free(cpu->dir);
	memset(cpu, 0, sizeof(*cpu));
}
