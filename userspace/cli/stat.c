// SPDX-License-Identifier: GPL-2.0
/* mmapdemo stat */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static const char help[] =
	"Usage: mmapdemo stat [-j] [--watch [SECONDS]] [DEVICE]\n"
	"The page faults of a device (mmapdemo) since it was made or reset.\n\n"
	"  -w, --watch [SECONDS]   a line of what happened in each interval (1 s), until Ctrl-C\n"
	"  -j, --json              an object; with --watch one to a line\n"
	"  -h, --help              this text\n\n"
	"p50 and p99 are upper bounds: the true latency lies between half of it and it.\n";

#define MAX_SECONDS	86400

static void print_ns(char *text, size_t size, uint64_t ns)
{
	if (ns == UINT64_MAX)
		snprintf(text, size, "longer");
	else if (ns < 10000)
		snprintf(text, size, "%" PRIu64 " ns", ns);
	else if (ns < 10000000)
		snprintf(text, size, "%" PRIu64 " us", ns / 1000);
	else
		snprintf(text, size, "%" PRIu64 " ms", ns / 1000000);
}

static void print_bar(uint64_t count, uint64_t max)
{
	int width = count * 40.0 / max + 0.5;

	while (width--)
		putchar('#');
	putchar('\n');
}

static void print_latency(const char *name, const uint64_t *bucket)
{
	uint64_t max = 0;
	char p50[32], p99[32], from[32];
	unsigned int b;

	if (!mmapdemo_latency_total(bucket))
		return;
	print_ns(p50, sizeof(p50), mmapdemo_latency_quantile(bucket, 50));
	print_ns(p99, sizeof(p99), mmapdemo_latency_quantile(bucket, 99));
	printf("\n%s: p50 <= %s, p99 <= %s\n", name, p50, p99);
	for (b = 0; b < MMAPDEMO_NR_BUCKETS; b++)
		if (bucket[b] > max)
			max = bucket[b];
	for (b = 0; b < MMAPDEMO_NR_BUCKETS; b++) {
		if (!bucket[b])
			continue;
		print_ns(from, sizeof(from), b ? 1ULL << b : 0);
		printf("  from %8s %12" PRIu64 " ", from, bucket[b]);
		print_bar(bucket[b], max);
	}
}

static void print_text(const struct mmapdemo_dev *dev, const struct mmapdemo_stat *stat)
{
	uint64_t size = 0, dirty;
	const char *name;
	unsigned int i;

	mmapdemo_size(dev, &size);
	printf("%s: %s, %" PRIu64 " bytes%s%s\n\n", mmapdemo_name(dev), mmapdemo_backing(dev),
	       size, mmapdemo_path(dev) ? ", " : "",
	       mmapdemo_path(dev) ? mmapdemo_path(dev) : "");
	for (i = 0; (name = mmapdemo_counter_name(i)); i++)
		printf("%-18s %12" PRIu64 "\n", name, stat->counter[i]);
	if (!mmapdemo_dirty_pages(dev, &dirty))
		printf("%-18s %12" PRIu64 "\n", "dirty/pages", dirty);
	for (i = 0; (name = mmapdemo_latency_name(i)); i++)
		print_latency(name, stat->latency[i]);
}

static struct json_object *json_latency(const uint64_t *bucket)
{
	struct json_object *o = json_object_new_object();
	struct json_object *buckets = json_object_new_array();
	unsigned int b;

	json_object_object_add(o, "p50",
			       json_object_new_uint64(mmapdemo_latency_quantile(bucket, 50)));
	json_object_object_add(o, "p99",
			       json_object_new_uint64(mmapdemo_latency_quantile(bucket, 99)));
	for (b = 0; b < MMAPDEMO_NR_BUCKETS; b++)
		json_object_array_add(buckets, json_object_new_uint64(bucket[b]));
	json_object_object_add(o, "buckets", buckets);
	return o;
}

/* @seconds: 0 for a snapshot; otherwise the counts are those of an interval that long. */
static struct json_object *to_json(const struct mmapdemo_dev *dev,
				   const struct mmapdemo_stat *stat, unsigned int seconds)
{
	struct json_object *top = json_top("mmapdemo.stat/1");
	struct json_object *latency = json_object_new_object();
	struct json_object *dirty_dir;
	uint64_t size = 0, dirty;
	unsigned int i;

	mmapdemo_size(dev, &size);
	json_object_object_add(top, "device", json_object_new_string(mmapdemo_name(dev)));
	if (seconds)
		json_object_object_add(top, "interval", json_object_new_int(seconds));
	json_object_object_add(top, "backing", json_object_new_string(mmapdemo_backing(dev)));
	json_object_object_add(top, "size", json_object_new_uint64(size));
	json_counters(top, stat->counter);
	if (!mmapdemo_dirty_pages(dev, &dirty)) {
		dirty_dir = json_object_new_object();
		json_object_object_add(dirty_dir, "pages", json_object_new_uint64(dirty));
		json_object_object_add(top, "dirty", dirty_dir);
	}
	for (i = 0; mmapdemo_latency_name(i); i++)
		json_object_object_add(latency, strchr(mmapdemo_latency_name(i), '/') + 1,
				       json_latency(stat->latency[i]));
	json_object_object_add(top, "latency", latency);
	return top;
}

static int once(const struct mmapdemo_dev *dev, bool json)
{
	struct mmapdemo_stat stat;
	int ret = mmapdemo_stat_read(dev, &stat);

	if (ret)
		return explain(ret, mmapdemo_name(dev));
	if (json)
		json_print(to_json(dev, &stat, 0), JSON_C_TO_STRING_PRETTY);
	else
		print_text(dev, &stat);
	return DONE;
}

/* The counters that fit a line; the rest is in the JSON. */
static const enum mmapdemo_counter column[] = {
	MMAPDEMO_FAULTS_READ, MMAPDEMO_FAULTS_WRITE, MMAPDEMO_FAULTS_COW,
	MMAPDEMO_FAULTS_MKWRITE, MMAPDEMO_FAULTS_AROUND, MMAPDEMO_FAULTS_HUGE,
	MMAPDEMO_FAULTS_SIGBUS, MMAPDEMO_MAPPINGS_LIVE,
};

#define NR_COLUMNS (sizeof(column) / sizeof(column[0]))

static void print_row(const struct mmapdemo_stat *delta, unsigned int row)
{
	unsigned int i;

	for (i = 0; row % 20 == 0 && i < NR_COLUMNS; i++)
		printf("%9s%s", strchr(mmapdemo_counter_name(column[i]), '/') + 1,
		       i + 1 < NR_COLUMNS ? " " : "\n");
	for (i = 0; i < NR_COLUMNS; i++)
		printf("%9" PRIu64 "%s", delta->counter[column[i]],
		       i + 1 < NR_COLUMNS ? " " : "\n");
}

/* SIGINT and SIGTERM are blocked and waited for, so that none can slip in before the wait. */
static int watch(const struct mmapdemo_dev *dev, bool json, unsigned int seconds)
{
	const struct timespec interval = { .tv_sec = seconds };
	struct mmapdemo_stat before, now, delta;
	unsigned int row = 0;
	sigset_t end;
	int ret;

	sigemptyset(&end);
	sigaddset(&end, SIGINT);
	sigaddset(&end, SIGTERM);
	sigprocmask(SIG_BLOCK, &end, NULL);
	ret = mmapdemo_stat_read(dev, &before);
	while (!ret) {
		if (sigtimedwait(&end, NULL, &interval) > 0)
			return DONE;
		ret = mmapdemo_stat_read(dev, &now);
		if (ret)
			break;
		if (mmapdemo_stat_diff(&now, &before, &delta))
			delta = now;	/* reset: all of it happened since */
		if (json)
			json_print(to_json(dev, &delta, seconds), JSON_C_TO_STRING_PLAIN);
		else
			print_row(&delta, row++);
		if (out_flush())
			return FAILED;
		before = now;
	}
	return explain(ret, mmapdemo_name(dev));
}

/* The interval may follow --watch as a word of its own; no device is called a number. */
static int parse_seconds(int argc, char **argv)
{
	const char *text = optarg;
	unsigned long value;
	char *end;

	if (!text && optind < argc && argv[optind][0] >= '0' && argv[optind][0] <= '9')
		text = argv[optind++];
	if (!text)
		return 1;
	value = strtoul(text, &end, 10);
	if (*end || !value || value > MAX_SECONDS) {
		fprintf(stderr, "mmapdemo: '%s' is no number of seconds from 1 to %d\n", text,
			MAX_SECONDS);
		return 0;
	}
	return value;
}

int cmd_stat(int argc, char **argv)
{
	static const struct option options[] = {
		{ "watch", optional_argument, NULL, 'w' }, COMMON_LONG, { 0 }
	};
	int opt, code, seconds = 0;
	struct mmapdemo_dev *dev;
	const char *device;
	bool json = false;

	while ((opt = getopt_long(argc, argv, "w::" COMMON_SHORT, options, NULL)) != -1) {
		if (opt == 'w') {
			seconds = parse_seconds(argc, argv);
			if (!seconds)
				return USAGE;
		} else if (args_common(opt, "stat", help, &json, &code)) {
			return code;
		}
	}
	if (!args_device(argc, argv, "stat", &device, &code))
		return code;
	code = open_or_explain(device, O_PATH, &dev);
	if (code)
		return code;
	code = seconds ? watch(dev, json, seconds) : once(dev, json);
	mmapdemo_close(dev);
	return code;
}
