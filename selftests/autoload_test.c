// SPDX-License-Identifier: GPL-2.0
/* The first verb that asks the module loads it: who looks the family up makes the kernel do so. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "control.h"
#include "fixture.h"

FIXTURE(autoload)
{
	struct utsname name;
};

/* Modules as modprobe finds them, of which ours is the only one. */
FIXTURE_SETUP(autoload)
{
	const char *release;
	char dir[256];

	ASSERT_EQ(0, uname(&self->name));
	release = self->name.release;
	snprintf(dir, sizeof(dir), "%s/lib/modules/%s", getenv("MMAPDEMO_DIR"), release);
	ASSERT_EQ(0, run("mkdir -p %s && cp $MMAPDEMO_KO %s/mmapdemo.ko", dir, dir));
	/* What depmod would miss. */
	ASSERT_EQ(0, run("cd %s && touch modules.order modules.builtin modules.builtin.modinfo",
			 dir));
	ASSERT_EQ(0, run("depmod -b $MMAPDEMO_DIR %s", release));
	ASSERT_EQ(0, run("mount --bind %s /lib/modules/%s", dir, release));
}

FIXTURE_TEARDOWN_PARENT(autoload)
{
	EXPECT_EQ(0, module_unload());
	EXPECT_EQ(0, run("umount /lib/modules/%s", self->name.release));
}

TEST_F(autoload, by_a_verb)
{
	ASSERT_FALSE(module_loaded());
	EXPECT_EQ(0, run("mmapdemo add ram --size 1M --name mmapdemo-auto >/dev/null"));
	EXPECT_TRUE(module_loaded());
	EXPECT_EQ(0, access("/dev/mmapdemo-auto", F_OK));
}

TEST_F(autoload, by_a_socket)
{
	struct genl genl;
	struct info info;

	ASSERT_FALSE(module_loaded());
	ASSERT_EQ(0, control_open(&genl));
	EXPECT_TRUE(module_loaded());
	EXPECT_EQ(0, get(&genl, "mmapdemo", &info));
	genl_close(&genl);
}

TEST_HARNESS_MAIN
