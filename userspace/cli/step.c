// SPDX-License-Identifier: GPL-2.0
/* A step of a lab: measured, judged against what it should be, printed. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"
#include "lab.h"

/* A page that parent and child both see. */
struct lab_shared {
	struct mmapdemo_testimony heard;
	size_t figure;
	int error;
};

static const char *const cpu_text[MMAPDEMO_NR_CPU] = {
	[MMAPDEMO_CPU_READ_ABSENT]	= "load, no page: code 4",
	[MMAPDEMO_CPU_WRITE_ABSENT]	= "store, no page: code 6",
	[MMAPDEMO_CPU_WRITE_PRESENT]	= "store, read-only page: code 7",
	[MMAPDEMO_CPU_OTHER]		= "other codes",
};

static const char *const cpu_name[MMAPDEMO_NR_CPU] = {
	[MMAPDEMO_CPU_READ_ABSENT]	= "read_absent",
	[MMAPDEMO_CPU_WRITE_ABSENT]	= "write_absent",
	[MMAPDEMO_CPU_WRITE_PRESENT]	= "write_present",
	[MMAPDEMO_CPU_OTHER]		= "other",
};

void lab_section(struct lab *lab, const char *title)
{
	lab->section = title;
	if (!lab->steps)
		printf("\n%s\n", title);
}

void lab_begin(struct lab *lab, const char *does, ...)
{
	va_list args;

	va_start(args, does);
	vsnprintf(lab->does, sizeof(lab->does), does, args);
	va_end(args);
	if (!lab->error)
		lab->error = mmapdemo_witness_start(lab->witness);
}

/* Before 6.7 only anonymous memory was handled under the per-VMA lock. */
static bool has_vma_locks(void)
{
	unsigned int major = 0, minor = 0;
	struct utsname name;

	uname(&name);
	sscanf(name.release, "%u.%u", &major, &minor);
	return major > 6 || (major == 6 && minor >= 7);
}

/*
 * Traps that entered the driver. A store to an absent shared page runs the fault handler and
 * page_mkwrite in one trap; the page_mkwrites beyond those were traps of their own.
 */
static uint64_t driver_traps(const uint64_t *counter)
{
	uint64_t write = counter[MMAPDEMO_FAULTS_WRITE];
	uint64_t mkwrite = counter[MMAPDEMO_FAULTS_MKWRITE];

	return counter[MMAPDEMO_FAULTS_READ] + counter[MMAPDEMO_FAULTS_AROUND] +
	       counter[MMAPDEMO_FAULTS_COW] + (write > mkwrite ? write : mkwrite);
}

static uint64_t cpu_traps(const uint64_t *cpu)
{
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < MMAPDEMO_NR_CPU; i++)
		sum += cpu[i];
	return sum;
}

static void add_wrong(struct lab *lab, struct json_object *wrongs, const char *text)
{
	lab->wrong++;
	json_object_array_add(wrongs, json_object_new_string(text));
}

/* Compares one figure; @wrongs collects a line of text for each that is not as stated. */
static void compare(struct lab *lab, struct json_object *wrongs, const char *what,
		    uint64_t got, uint64_t want)
{
	char text[128];

	lab->figures++;
	if (got == want)
		return;
	snprintf(text, sizeof(text), "%s is %" PRIu64 ", not %" PRIu64, what, got, want);
	add_wrong(lab, wrongs, text);
}

static void compare_device(struct lab *lab, struct json_object *wrongs,
			   const struct mmapdemo_stat *device, const struct lab_expect *expect)
{
	static const enum mmapdemo_counter counted_in[MMAPDEMO_NR_LATENCIES] = {
		[MMAPDEMO_LATENCY_READ]		= MMAPDEMO_FAULTS_READ,
		[MMAPDEMO_LATENCY_WRITE]	= MMAPDEMO_FAULTS_WRITE,
		[MMAPDEMO_LATENCY_COW]		= MMAPDEMO_FAULTS_COW,
		[MMAPDEMO_LATENCY_MKWRITE]	= MMAPDEMO_FAULTS_MKWRITE,
	};
	const uint64_t *want = expect->counter;
	unsigned int i;

	for (i = 0; i < MMAPDEMO_NR_COUNTERS; i++) {
		if (i == MMAPDEMO_MAPPINGS_LIVE || i == MMAPDEMO_FAULTS_VMA_LOCKED)
			continue;
		compare(lab, wrongs, mmapdemo_counter_name(i), device->counter[i], want[i]);
	}
	compare(lab, wrongs, "faults/vma_locked", device->counter[MMAPDEMO_FAULTS_VMA_LOCKED],
		has_vma_locks() ? want[MMAPDEMO_FAULTS_READ] + want[MMAPDEMO_FAULTS_WRITE] +
				  want[MMAPDEMO_FAULTS_COW] : 0);
	for (i = 0; i < MMAPDEMO_NR_LATENCIES; i++)
		compare(lab, wrongs, mmapdemo_latency_name(i),
			mmapdemo_latency_total(device->latency[i]), want[counted_in[i]]);
}

/* "agree", "explained" or "wrong". */
static const char *judge(struct lab *lab, struct json_object *wrongs,
			 const struct mmapdemo_testimony *heard,
			 const struct lab_expect *expect)
{
	bool cpu = !mmapdemo_witness_cpu_error(lab->witness);
	uint64_t driver = driver_traps(heard->device.counter);
	bool same;
	unsigned int i;

	compare_device(lab, wrongs, &heard->device, expect);
	compare(lab, wrongs, "minflt", heard->minflt, expect->minflt);
	compare(lab, wrongs, "majflt", heard->majflt, 0);
	for (i = 0; cpu && i < MMAPDEMO_NR_CPU; i++)
		compare(lab, wrongs, cpu_text[i], heard->cpu[i], expect->cpu[i]);
	same = driver == heard->minflt && (!cpu || driver == cpu_traps(heard->cpu));
	if (!same && !expect->why)
		add_wrong(lab, wrongs, "the witnesses differ, and nothing explains it");
	if (json_object_array_length(wrongs))
		return "wrong";
	return same ? "agree" : "explained";
}

static void print_moved(const uint64_t *counter)
{
	const char *name;
	unsigned int i, moved = 0;

	printf("     counters   ");
	for (i = 0; (name = mmapdemo_counter_name(i)); i++)
		if (counter[i] && i != MMAPDEMO_MAPPINGS_LIVE)
			printf("%s%s +%" PRIu64, moved++ ? ", " : "", name, counter[i]);
	puts(moved ? "" : "none moved");
}

static void print_witnesses(const struct lab *lab, const struct mmapdemo_testimony *heard,
			    const char *verdict)
{
	unsigned int i, kinds = 0;

	printf("     witnesses  driver %" PRIu64 ", getrusage %" PRIu64 ", cpu ",
	       driver_traps(heard->device.counter), heard->minflt + heard->majflt);
	if (mmapdemo_witness_cpu_error(lab->witness))
		printf("absent");
	else
		printf("%" PRIu64, cpu_traps(heard->cpu));
	for (i = 0; i < MMAPDEMO_NR_CPU; i++)
		if (heard->cpu[i])
			printf("%s%" PRIu64 " x %s", kinds++ ? ", " : " (", heard->cpu[i],
			       cpu_text[i]);
	printf("%s: %s\n", kinds ? ")" : "", verdict);
}

static void print_text(const struct lab *lab, const struct mmapdemo_testimony *heard,
		       const struct lab_expect *expect, const char *verdict,
		       struct json_object *wrongs)
{
	size_t i;

	printf("   * %s\n", lab->does);
	print_moved(heard->device.counter);
	print_witnesses(lab, heard, verdict);
	if (expect->why)
		printf("     why        %s\n", expect->why);
	printf("     kernel     %s\n", expect->kernel);
	for (i = 0; i < json_object_array_length(wrongs); i++)
		printf("     WRONG      %s\n",
		       json_object_get_string(json_object_array_get_idx(wrongs, i)));
}

static struct json_object *json_figures(const uint64_t *counter, uint64_t minflt,
					uint64_t majflt, const uint64_t *cpu)
{
	struct json_object *o = json_object_new_object(), *codes = NULL;
	unsigned int i;

	json_counters(o, counter);
	json_object_object_add(o, "minflt", json_object_new_uint64(minflt));
	json_object_object_add(o, "majflt", json_object_new_uint64(majflt));
	if (cpu)
		codes = json_object_new_object();
	for (i = 0; cpu && i < MMAPDEMO_NR_CPU; i++)
		json_object_object_add(codes, cpu_name[i], json_object_new_uint64(cpu[i]));
	json_object_object_add(o, "cpu", codes);
	return o;
}

static struct json_object *json_step(const struct lab *lab, const char *key, const char *text)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "section", json_object_new_string(lab->section));
	json_object_object_add(o, key, json_object_new_string(text));
	json_object_array_add(lab->steps, o);
	return o;
}

static void report(struct lab *lab, const struct mmapdemo_testimony *heard,
		   const struct lab_expect *expect)
{
	struct json_object *wrongs = json_object_new_array(), *o;
	const char *verdict = judge(lab, wrongs, heard, expect);
	bool cpu = !mmapdemo_witness_cpu_error(lab->witness);

	if (!lab->steps) {
		print_text(lab, heard, expect, verdict, wrongs);
		json_object_put(wrongs);
		return;
	}
	o = json_step(lab, "does", lab->does);
	json_object_object_add(o, "moved",
			       json_figures(heard->device.counter, heard->minflt,
					    heard->majflt, cpu ? heard->cpu : NULL));
	json_object_object_add(o, "driver",
			       json_object_new_uint64(driver_traps(heard->device.counter)));
	json_object_object_add(o, "verdict", json_object_new_string(verdict));
	json_object_object_add(o, "why",
			       expect->why ? json_object_new_string(expect->why) : NULL);
	json_object_object_add(o, "kernel", json_object_new_string(expect->kernel));
	json_object_object_add(o, "wrong", wrongs);
}

void lab_end(struct lab *lab, const struct lab_expect *expect)
{
	struct mmapdemo_testimony heard;

	if (lab->error)
		return;
	lab->error = mmapdemo_witness_stop(lab->witness, &heard);
	if (!lab->error)
		report(lab, &heard, expect);
}

void lab_fact(struct lab *lab, const char *what, uint64_t got, uint64_t want)
{
	struct json_object *o;

	if (lab->error)
		return;
	lab->figures++;
	lab->wrong += got != want;
	if (lab->steps) {
		o = json_step(lab, "fact", what);
		json_object_object_add(o, "value", json_object_new_uint64(got));
		json_object_object_add(o, "expected", json_object_new_uint64(want));
		return;
	}
	printf("     %-10s %s: %" PRIu64, got == want ? "checked" : "WRONG", what, got);
	if (got != want)
		printf(", not %" PRIu64, want);
	putchar('\n');
}

/* In the child. It leaves without flushing what stdio inherited. */
static void measure(struct lab *lab, size_t (*act)(struct lab *lab))
{
	int parents = mmapdemo_witness_cpu_error(lab->witness);
	struct lab_shared *shared = lab->shared;
	size_t figure;

	lab->child = true;
	lab->witness = NULL;
	lab->error = mmapdemo_witness_open(lab->dev, lab->window, lab->bytes, &lab->witness);
	if (!lab->error && mmapdemo_witness_cpu_error(lab->witness) != parents)
		lab->error = mmapdemo_witness_cpu_error(lab->witness);
	if (!lab->error)
		lab->error = mmapdemo_witness_start(lab->witness);
	figure = act(lab);
	if (!lab->error)
		lab->error = mmapdemo_witness_stop(lab->witness, &shared->heard);
	mmapdemo_witness_close(lab->witness);
	shared->figure = figure;
	shared->error = lab->error;
	_exit(0);
}

void lab_child(struct lab *lab, const char *does, size_t (*act)(struct lab *lab),
	       const char *what, size_t want, const struct lab_expect *expect)
{
	struct lab_shared *shared = lab->shared;
	pid_t pid;

	if (lab->error)
		return;
	snprintf(lab->does, sizeof(lab->does), "%s", does);
	/* Unless the child says otherwise. */
	*shared = (struct lab_shared){ .error = -ECHILD };
	pid = fork();
	if (!pid)
		measure(lab, act);
	if (pid < 0 || waitpid(pid, NULL, 0) < 0)
		lab->error = -errno;
	else
		lab->error = shared->error;
	if (lab->error)
		return;
	report(lab, &shared->heard, expect);
	lab_fact(lab, what, shared->figure, want);
}
