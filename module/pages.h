/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The pages of a device, whatever supplies them: taken back, and told of.
 */
#ifndef MMAPDEMO_PAGES_H
#define MMAPDEMO_PAGES_H

#include "mmapdemo.h"

/* In pages.c */
pgoff_t mmapdemo_pages_end(const struct mmapdemo_device *dev);
int mmapdemo_pages_zap(struct mmapdemo_device *dev, pgoff_t page, pgoff_t end);
int mmapdemo_pages_wrprotect(struct mmapdemo_device *dev, pgoff_t page, pgoff_t end);
int mmapdemo_pages_run(struct mmapdemo_device *dev, pgoff_t page, pgoff_t end,
		       struct mmapdemo_run *run);

#endif /* MMAPDEMO_PAGES_H */
