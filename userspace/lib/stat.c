// SPDX-License-Identifier: GPL-2.0
/* Snapshots of a device's counters and histograms. */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "mmapdemo.h"
#include "sysfs.h"

static const char *const counter_name[MMAPDEMO_NR_COUNTERS] = {
	[MMAPDEMO_FAULTS_READ]		= "faults/read",
	[MMAPDEMO_FAULTS_WRITE]		= "faults/write",
	[MMAPDEMO_FAULTS_COW]		= "faults/cow",
	[MMAPDEMO_FAULTS_MKWRITE]	= "faults/mkwrite",
	[MMAPDEMO_FAULTS_AROUND]	= "faults/around",
	[MMAPDEMO_FAULTS_HUGE]		= "faults/huge",
	[MMAPDEMO_FAULTS_MAJOR]		= "faults/major",
	[MMAPDEMO_FAULTS_RETRY]		= "faults/retry",
	[MMAPDEMO_FAULTS_VMA_LOCKED]	= "faults/vma_locked",
	[MMAPDEMO_FAULTS_SIGBUS]	= "faults/sigbus",
	[MMAPDEMO_FAULTS_OOM]		= "faults/oom",
	[MMAPDEMO_FAULTS_HWPOISON]	= "faults/hwpoison",
	[MMAPDEMO_FAULTS_INJECTED]	= "faults/injected",
	[MMAPDEMO_MAPPINGS_LIVE]	= "mappings/live",
	[MMAPDEMO_MAPPINGS_TOTAL]	= "mappings/total",
};

static const char *const latency_name[MMAPDEMO_NR_LATENCIES] = {
	[MMAPDEMO_LATENCY_READ]		= "latency/read",
	[MMAPDEMO_LATENCY_WRITE]	= "latency/write",
	[MMAPDEMO_LATENCY_COW]		= "latency/cow",
	[MMAPDEMO_LATENCY_MKWRITE]	= "latency/mkwrite",
};

/* Where the numbers of a line go; a set bit means that the line was seen. */
struct target {
	uint64_t *value;
	unsigned int count;
	uint64_t bit;
};

static bool find_target(const char *name, size_t len, struct mmapdemo_stat *stat,
			struct target *target)
{
	unsigned int i;

	for (i = 0; i < MMAPDEMO_NR_COUNTERS; i++) {
		if (strlen(counter_name[i]) != len || memcmp(counter_name[i], name, len))
			continue;
		*target = (struct target){ &stat->counter[i], 1, 1ULL << i };
		return true;
	}
	for (i = 0; i < MMAPDEMO_NR_LATENCIES; i++) {
		if (strlen(latency_name[i]) != len || memcmp(latency_name[i], name, len))
			continue;
		*target = (struct target){ stat->latency[i], MMAPDEMO_NR_BUCKETS,
					   1ULL << (MMAPDEMO_NR_COUNTERS + i) };
		return true;
	}
	return false;
}

/* Exactly @count numbers, each after one blank, then the end of the line. */
static int parse_numbers(const char *text, uint64_t *value, unsigned int count)
{
	char *end;

	while (count--) {
		if (text[0] != ' ' || !isdigit((unsigned char)text[1]))
			return -EPROTO;
		errno = 0;
		*value++ = strtoull(text + 1, &end, 10);
		if (errno)
			return -EPROTO;
		text = end;
	}
	return *text == '\n' || *text == '\0' ? 0 : -EPROTO;
}

static int parse_stat(const char *text, struct mmapdemo_stat *stat)
{
	const uint64_t all = (1ULL << (MMAPDEMO_NR_COUNTERS + MMAPDEMO_NR_LATENCIES)) - 1;
	struct target target;
	uint64_t seen = 0;
	size_t len;

	memset(stat, 0, sizeof(*stat));
	while (*text) {
		len = strcspn(text, "\n ");
		if (find_target(text, len, stat, &target)) {
			if (parse_numbers(text + len, target.value, target.count))
				return -EPROTO;
			seen |= target.bit;
		}
		text += strcspn(text, "\n");
		text += *text == '\n';
	}
	return seen == all ? 0 : -EPROTO;
}

int mmapdemo_stat_read(const struct mmapdemo_dev *dev, struct mmapdemo_stat *stat)
{
	char text[8192];	/* more than sysfs hands out: one page */
	ssize_t len;

	len = sysfs_read(mmapdemo_name(dev), "stat", text, sizeof(text));
	return len < 0 ? (int)len : parse_stat(text, stat);
}

int mmapdemo_stat_diff(const struct mmapdemo_stat *later, const struct mmapdemo_stat *earlier,
		       struct mmapdemo_stat *delta)
{
	struct mmapdemo_stat d = { 0 };
	unsigned int i, b;

	for (i = 0; i < MMAPDEMO_NR_COUNTERS; i++) {
		if (i == MMAPDEMO_MAPPINGS_LIVE) {
			d.counter[i] = later->counter[i];
			continue;
		}
		if (later->counter[i] < earlier->counter[i])
			return -ERANGE;
		d.counter[i] = later->counter[i] - earlier->counter[i];
	}
	for (i = 0; i < MMAPDEMO_NR_LATENCIES; i++) {
		for (b = 0; b < MMAPDEMO_NR_BUCKETS; b++) {
			if (later->latency[i][b] < earlier->latency[i][b])
				return -ERANGE;
			d.latency[i][b] = later->latency[i][b] - earlier->latency[i][b];
		}
	}
	*delta = d;
	return 0;
}

const char *mmapdemo_counter_name(unsigned int counter)
{
	return counter < MMAPDEMO_NR_COUNTERS ? counter_name[counter] : NULL;
}

const char *mmapdemo_latency_name(unsigned int latency)
{
	return latency < MMAPDEMO_NR_LATENCIES ? latency_name[latency] : NULL;
}

uint64_t mmapdemo_latency_total(const uint64_t *bucket)
{
	uint64_t total = 0;
	unsigned int b;

	for (b = 0; b < MMAPDEMO_NR_BUCKETS; b++)
		total += bucket[b];
	return total;
}

uint64_t mmapdemo_latency_quantile(const uint64_t *bucket, unsigned int percent)
{
	uint64_t total = mmapdemo_latency_total(bucket), rank, below = 0;
	unsigned int b;

	if (!total)
		return 0;
	/* ceil(total * percent / 100) without overflow: the rank of the quantile, from 1. */
	rank = total / 100 * percent + (total % 100 * percent + 99) / 100;
	for (b = 0; b < MMAPDEMO_NR_BUCKETS - 1; b++) {
		below += bucket[b];
		if (below >= rank)
			return (2ULL << b) - 1;
	}
	return UINT64_MAX;
}
