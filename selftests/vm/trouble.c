// SPDX-License-Identifier: GPL-2.0
/*
 * Does what a kernel complains of, for test-run: the runner has to see it.
 *
 *	echo WORD >/sys/module/trouble/parameters/make
 */
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

static volatile int forty = 40;

/* Nobody points to them any more; a stale pointer on a stack may hide one or two. */
static noinline void trouble_leak(void)
{
	for (int i = 0; i < 10; i++) {
		char *lost = kmalloc(200, GFP_KERNEL);

		if (lost)
			memset(lost, 'x', 200);
		OPTIMIZER_HIDE_VAR(lost);
	}
}

static noinline void trouble_sleep(void)
{
	preempt_disable();
	might_sleep();
	preempt_enable();
}

static noinline void trouble_ubsan(void)
{
	pr_info("1 << %d is %d\n", forty, 1 << forty);
}

/* A lock that nobody has initialized: lockdep says so, and is off from then on. */
static noinline void trouble_key(void)
{
	spinlock_t *lock = kzalloc(sizeof(*lock), GFP_KERNEL);

	if (!lock)
		return;
	spin_lock(lock);
	spin_unlock(lock);
	kfree(lock);
}

static noinline void trouble_kasan(void)
{
	char *freed = kmalloc(200, GFP_KERNEL);

	kfree(freed);
	OPTIMIZER_HIDE_VAR(freed);
	pr_info("%d\n", READ_ONCE(*freed));
}

static const struct {
	const char *word;
	void (*make)(void);
} troubles[] = {
	{ "leak", trouble_leak }, { "sleep", trouble_sleep }, { "ubsan", trouble_ubsan },
	{ "key", trouble_key }, { "kasan", trouble_kasan },
};

static int make_set(const char *val, const struct kernel_param *kp)
{
	for (int i = 0; i < ARRAY_SIZE(troubles); i++) {
		if (sysfs_streq(val, troubles[i].word)) {
			pr_notice("trouble: %s\n", troubles[i].word);
			troubles[i].make();
			return 0;
		}
	}
	return -EINVAL;
}

static const struct kernel_param_ops make_ops = { .set = make_set };
module_param_cb(make, &make_ops, NULL, 0200);
MODULE_PARM_DESC(make, "what to do");

MODULE_DESCRIPTION("What a kernel complains of");
MODULE_LICENSE("GPL");
