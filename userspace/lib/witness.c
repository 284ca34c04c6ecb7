// SPDX-License-Identifier: GPL-2.0
/* Three witnesses around a piece of code. */
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cpu.h"
#include "settle.h"

struct mmapdemo_witness {
	const struct mmapdemo_dev *dev;
	const void *addr;
	size_t len;
	struct cpu_witness cpu;
	int cpu_error;
	/* As they stood at start and, read first of all, at stop. */
	struct mmapdemo_stat stat;
	struct rusage usage, usage_stop;
};

int mmapdemo_witness_open(const struct mmapdemo_dev *dev, const void *addr, size_t len,
			  struct mmapdemo_witness **wp)
{
	struct mmapdemo_witness *w;

	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->dev = dev;
	w->addr = addr;
	w->len = len;
	w->cpu_error = cpu_open(&w->cpu, addr, len);
	*wp = w;
	return 0;
}

int mmapdemo_witness_cpu_error(const struct mmapdemo_witness *w)
{
	return w->cpu_error;
}

/*
 * getrusage() counts every fault of the thread, so it is the last to start and the first to
 * stop; what the others do outside its window may fault as it likes.
 */
int mmapdemo_witness_start(struct mmapdemo_witness *w)
{
	int ret;

	ret = settle(w->addr, w->len);
	if (ret)
		return ret;
	ret = mmapdemo_stat_read(w->dev, &w->stat);
	if (ret)
		return ret;
	if (!w->cpu_error) {
		ret = cpu_start(&w->cpu);
		if (ret)
			return ret;
	}
	return getrusage(RUSAGE_THREAD, &w->usage) ? -errno : 0;
}

int mmapdemo_witness_stop(struct mmapdemo_witness *w, struct mmapdemo_testimony *heard)
{
	struct mmapdemo_stat now;
	int ret;

	if (getrusage(RUSAGE_THREAD, &w->usage_stop))
		return -errno;
	*heard = (struct mmapdemo_testimony){
		.minflt = w->usage_stop.ru_minflt - w->usage.ru_minflt,
		.majflt = w->usage_stop.ru_majflt - w->usage.ru_majflt,
	};
	if (!w->cpu_error) {
		ret = cpu_stop(&w->cpu, heard->cpu);
		if (ret)
			return ret;
	}
	ret = mmapdemo_stat_read(w->dev, &now);
	if (ret)
		return ret;
	return mmapdemo_stat_diff(&now, &w->stat, &heard->device);
}

void mmapdemo_witness_close(struct mmapdemo_witness *w)
{
	if (!w)
		return;
	if (!w->cpu_error)
		cpu_close(&w->cpu);
	free(w);
}

void mmapdemo_witness_abort(const struct mmapdemo_witness *w)
{
	if (w && w->cpu.dir)
		rmdir(w->cpu.dir);
}
