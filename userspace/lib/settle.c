// SPDX-License-Identifier: GPL-2.0
/*
 * Stilling the process's own faults.
 *
 * mlockall() would do it too, but also fill in the mapping under test, and would need the
 * right to lock memory.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "settle.h"

/* Older C libraries do not have the names; the kernel has the calls since 5.14. */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#define MADV_POPULATE_WRITE	23
#endif

/*
 * Larger mappings are address space that a runtime or a sanitizer reserved for itself, terabytes
 * at times: filling them would take all memory.
 */
#define LARGEST		(64UL << 20)

struct span {
	uintptr_t start, end;
	char perms[5];
};

static int wanted(const struct span *span, const void *addr, size_t len)
{
	uintptr_t from = (uintptr_t)addr;

	if (span->perms[3] != 'p' || span->perms[0] != 'r')
		return 0;
	if (span->end - span->start > LARGEST)
		return 0;
	return span->end <= from || span->start >= from + len;
}

int settle(const void *addr, size_t len)
{
	struct span span;
	char *line = NULL;
	size_t room = 0;
	FILE *maps;
	int advice;

	maps = fopen("/proc/self/maps", "re");
	if (!maps)
		return -errno;
	while (getline(&line, &room, maps) > 0) {
		if (sscanf(line, "%lx-%lx %4s", &span.start, &span.end, span.perms) != 3)
			continue;
		if (!wanted(&span, addr, len))
			continue;
		/* The kernel's own pages ([vvar], [vdso]) refuse; they are there already. */
		advice = span.perms[1] == 'w' ? MADV_POPULATE_WRITE : MADV_POPULATE_READ;
		madvise((void *)span.start, span.end - span.start, advice);
	}
	free(line);
	fclose(maps);
	return 0;
}
