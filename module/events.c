// SPDX-License-Identifier: GPL-2.0
/*
 * Events: numbered, and handed on in the order of their numbers.
 */
#include <linux/spinlock.h>

#include "events.h"

/* Innermost lock of all: an event may happen under any other. */
static DEFINE_SPINLOCK(order);
static u64 last[MMAPDEMO_NR_EVENT_GROUPS];	/* guarded by order */
static ATOMIC_NOTIFIER_HEAD(subscribers);

/*
 * Rare, so one lock for all is good enough: it is what keeps the numbers in order. Of a device
 * that is deleted nothing is told but that: its name may be that of another by now.
 */
void mmapdemo_event(unsigned int group, unsigned int what, const struct mmapdemo_device *dev,
		    u64 page)
{
	struct mmapdemo_event event = {
		.group = group, .what = what, .dev = dev, .page = page,
	};
	bool end = group == MMAPDEMO_EVENT_DEVICE && what == MMAPDEMO_DEVICE_DELETED;

	spin_lock(&order);
	if (end || !mmapdemo_is_dead(dev)) {
		event.seq = ++last[group];
		atomic_notifier_call_chain(&subscribers, what, &event);
	}
	spin_unlock(&order);
}

u64 mmapdemo_events_last(unsigned int group)
{
	u64 seq;

	spin_lock(&order);
	seq = last[group];
	spin_unlock(&order);
	return seq;
}

/* @nb is called with a struct mmapdemo_event, and must not sleep. */
int mmapdemo_events_subscribe(struct notifier_block *nb)
{
	return atomic_notifier_chain_register(&subscribers, nb);
}

/* No call is under way when this returns. */
void mmapdemo_events_unsubscribe(struct notifier_block *nb)
{
	atomic_notifier_chain_unregister(&subscribers, nb);
}
