/* SPDX-License-Identifier: GPL-2.0 */
/* Private to the library. */
#ifndef MMAPDEMO_SETTLE_H
#define MMAPDEMO_SETTLE_H

#include <stddef.h>

/*
 * Fill in every page of every private mapping of this process, up to 64 MiB each, outside
 * [addr, addr + len), so that touching one no longer faults: 0 or -errno.
 */
int settle(const void *addr, size_t len);

#endif /* MMAPDEMO_SETTLE_H */
