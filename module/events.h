/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What happens, for who wants to be told of it: numbered, in order, at any depth.
 */
#ifndef MMAPDEMO_EVENTS_H
#define MMAPDEMO_EVENTS_H

#include <linux/notifier.h>

#include "mmapdemo.h"

/* The groups, each with numbers of its own; in the order of the multicast groups. */
enum mmapdemo_event_group {
	MMAPDEMO_EVENT_DEVICE,
	MMAPDEMO_EVENT_FAULT,
	MMAPDEMO_NR_EVENT_GROUPS,
};

/**
 * struct mmapdemo_event - one event
 * @group: enum mmapdemo_event_group
 * @what: enum mmapdemo_device_event or enum mmapdemo_fault_event
 * @seq: its number in the group, from 1
 * @dev: the device
 * @page: of a fault
 *
 * The task it happened to is current.
 */
struct mmapdemo_event {
	unsigned int group;
	unsigned int what;
	u64 seq;
	const struct mmapdemo_device *dev;
	u64 page;
};

/* In events.c */
void mmapdemo_event(unsigned int group, unsigned int what, const struct mmapdemo_device *dev,
		    u64 page);
u64 mmapdemo_events_last(unsigned int group);
int mmapdemo_events_subscribe(struct notifier_block *nb);
void mmapdemo_events_unsubscribe(struct notifier_block *nb);

#endif /* MMAPDEMO_EVENTS_H */
