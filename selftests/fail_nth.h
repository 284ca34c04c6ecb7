/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Fault injection: the nth allocation of the calling thread fails, or copy from or to user
 * memory. Needs CONFIG_FAULT_INJECTION and its parts: selftests/vm/run -k debug.
 */
#ifndef MMAPDEMO_TESTS_FAIL_NTH_H
#define MMAPDEMO_TESTS_FAIL_NTH_H

#include <stdbool.h>

/* A descriptor for the calling thread; below 0: this kernel has no fault injection. */
int fail_nth_open(void);

/* From here on the nth allocation of this thread fails. */
void fail_nth_arm(int fd, unsigned int nth);
/* Did it fail, since it was armed? */
bool fail_nth_disarm(int fd);

/* Only what is called from that function of the kernel, which has to be there; and all again. */
void fail_nth_only_in(const char *function);
void fail_nth_everywhere(void);

/*
 * From here on all allocations of the calling process from that cache fail, for calls that try
 * twice; -errno. NULL: none any more.
 */
int fail_cache(const char *cache);

/*
 * From here on no page is allocated, by nobody, from within that function of the kernel; NULL:
 * all are again.
 */
void fail_pages_of(const char *function);

/* What a call may say that has failed for want of memory, or of a copy. */
bool fail_nth_is_clean(int err);

#endif /* MMAPDEMO_TESTS_FAIL_NTH_H */
