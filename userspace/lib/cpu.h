/* SPDX-License-Identifier: GPL-2.0 */
/* Private to the library: the cpu witness. */
#ifndef MMAPDEMO_CPU_H
#define MMAPDEMO_CPU_H

#include <stddef.h>
#include <stdint.h>

#include "mmapdemo-witness.h"

struct cpu_witness {
	struct tracefs_instance *instance;
	char *dir;		/* the instance's directory, for the signal handler */
	char filter[128];	/* also what the kernel finds the trigger again by */
};

/* Count this thread's exceptions in [addr, addr + len), paused at first: 0 or -errno. */
int cpu_open(struct cpu_witness *cpu, const void *addr, size_t len);

/* Set the counts to zero and let them run: 0 or -errno. */
int cpu_start(struct cpu_witness *cpu);

/* Stop counting and read: 0 or -errno. */
int cpu_stop(struct cpu_witness *cpu, uint64_t count[MMAPDEMO_NR_CPU]);

/* After a cpu_open() that succeeded. */
void cpu_close(struct cpu_witness *cpu);

#endif /* MMAPDEMO_CPU_H */
