/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A device for each test and each backing: added before it, deleted after it.
 *
 * The parent deletes when the test's process is gone, so that a test leaves its files and
 * mappings to the end of its process, and one that dies halfway is followed by a clean slate.
 * Deleting must work, and nobody may keep the module after it: that is part of every test.
 */
#ifndef MMAPDEMO_TESTS_FIXTURE_H
#define MMAPDEMO_TESTS_FIXTURE_H

#include <kselftest_harness.h>

#include "common.h"

/* Seconds. A debug kernel beside another guest takes ten times as long for a test, or more. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 120

#define DEVICE_FIXTURE(name)							\
	FIXTURE(name)								\
	{									\
		struct device dev;						\
	};									\
	FIXTURE_VARIANT(name)							\
	{									\
		enum backing backing;						\
	};									\
	FIXTURE_SETUP(name)							\
	{									\
		int err = device_up(&self->dev, variant->backing);		\
										\
		if (err > 0)							\
			SKIP(return, "%s", self->dev.why);			\
		ASSERT_EQ(0, err);						\
	}									\
	FIXTURE_TEARDOWN_PARENT(name)						\
	{									\
		EXPECT_EQ(0, device_down(&self->dev));				\
	}

#define VARIANT(name, label, which)						\
	FIXTURE_VARIANT_ADD(name, label)					\
	{									\
		.backing = which						\
	}

#define RAM_VARIANTS(name)							\
	VARIANT(name, ram_4k, RAM_4K);						\
	VARIANT(name, ram_huge, RAM_HUGE)

#define FILE_VARIANTS(name)							\
	VARIANT(name, ext4, EXT4);						\
	VARIANT(name, tmpfs, TMPFS);						\
	VARIANT(name, memfd, MEMFD)

#define MORE_FILE_VARIANTS(name)						\
	VARIANT(name, xfs, XFS);						\
	VARIANT(name, btrfs, BTRFS)

#endif /* MMAPDEMO_TESTS_FIXTURE_H */
