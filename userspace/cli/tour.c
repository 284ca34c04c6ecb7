// SPDX-License-Identifier: GPL-2.0
/* mmapdemo tour: eight things that the fault handler does, each shown on a live device. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>

#include "cli.h"
#include "lab.h"

static const char help[] =
	"Usage: mmapdemo tour [-j] [--force] [--no-cpu] [DEVICE]\n"
	"A narrated run through the fault handler, on a live device (mmapdemo).\n\n"
	"Each step says what it does, which counters moved, and what three witnesses saw: the driver\n"
	"(its own counters), getrusage (minflt and majflt) and the cpu (the kernel's tracepoint\n"
	"exceptions:page_fault_user, by error code). They must agree, or the step explains why they\n"
	"differ. Exits 1 if any figure is not as the step states it. faults/vma_locked follows the\n"
	"kernel: all of read, write and cow from Linux 6.7 on, none of them before.\n\n"
	"The first 64 pages of the device are written; what they held is put back at the end. Nobody\n"
	"else should use the device meanwhile: its counters count for all.\n\n"
	"      --force    also where the device is a file\n"
	"      --no-cpu   go with two witnesses where the third cannot be had\n"
	"  -j, --json     an object with an array of steps\n"
	"  -h, --help     this text\n";

#define RW (PROT_READ | PROT_WRITE)

/* Only a RAM device keeps a record of its own; a file's is the filesystem's. */
static void fact_dirty(struct lab *lab, size_t pages)
{
	size_t unit = lab->dirty_unit;
	char what[80] = "dirty/pages";
	uint64_t dirty = 0;

	if (!unit || lab->error)
		return;
	lab->error = mmapdemo_dirty_pages(lab->dev, &dirty);
	if (unit > 1)
		snprintf(what, sizeof(what), "dirty/pages, %zu at a time: large folios",
			 unit);
	lab_fact(lab, what, dirty, (pages + unit - 1) / unit * unit);
}

static void tour_map(struct lab *lab)
{
	lab_section(lab, "1. Nothing is loaded by mmap");
	lab_begin(lab, "map %zu pages, shared, for reading and writing", lab->pages);
	lab_map(lab, RW, MAP_SHARED);
	lab_end(lab, &(struct lab_expect){
		.counter = { [MMAPDEMO_MAPPINGS_TOTAL] = 1 },
		.kernel = "mmap_region -> the driver's mmap: it sets up a VMA and no page table entry",
	});
	lab_fact(lab, "pages in the page table", lab_present(lab), 0);
}

static void tour_read(struct lab *lab)
{
	const size_t traps = lab->pages / lab->around;

	lab_section(lab, "2. A read maps up to 16 pages with one trap");
	lab_map(lab, PROT_READ, MAP_SHARED);
	lab_begin(lab, "read one byte of the first page; the page cache holds it already");
	lab_touch(lab);
	lab_end(lab, &(struct lab_expect){
		.counter = { [MMAPDEMO_FAULTS_AROUND] = 1 },
		.minflt = 1,
		.cpu = { [MMAPDEMO_CPU_READ_ABSENT] = 1 },
		.kernel = "do_read_fault -> do_fault_around -> map_pages -> filemap_map_pages",
	});
	lab_fact(lab, "pages in the page table", lab_present(lab), lab->around);
	lab_begin(lab, "read one byte of each of %zu pages", lab->pages);
	lab_read(lab, 0);
	lab_end(lab, &(struct lab_expect){
		.counter = { [MMAPDEMO_FAULTS_AROUND] = traps - 1 },
		.minflt = traps - 1,
		.cpu = { [MMAPDEMO_CPU_READ_ABSENT] = traps - 1 },
		.kernel = "the same, once for each further window; the driver's fault is never called",
	});
	lab_begin(lab, "read them again");
	lab_read(lab, 0);
	lab_end(lab, &(struct lab_expect){ .kernel = "none: the MMU finds every page by itself" });
}

static void tour_shared_store(struct lab *lab)
{
	const size_t n = lab->pages;

	lab_section(lab, "3. A store to a shared mapping: two calls of the driver, one trap");
	lab_map(lab, RW, MAP_SHARED);
	lab_begin(lab, "store to each of %zu pages that are not mapped yet", n);
	lab_write(lab, 'a');
	lab_end(lab, &(struct lab_expect){
		.counter = { [MMAPDEMO_FAULTS_WRITE] = n, [MMAPDEMO_FAULTS_MKWRITE] = n },
		.minflt = n,
		.cpu = { [MMAPDEMO_CPU_WRITE_ABSENT] = n },
		.kernel = "do_shared_fault -> __do_fault (write), then do_page_mkwrite (mkwrite)",
	});
	fact_dirty(lab, n);
}

static size_t child_maps_and_reads(struct lab *lab)
{
	lab_map(lab, PROT_READ, MAP_SHARED);
	return lab_read(lab, 'a');
}

static void tour_second_process(struct lab *lab)
{
	const size_t n = lab->pages, traps = n / lab->around;

	lab_section(lab, "4. A second process sees it, and so does read()");
	lab_child(lab, "a child maps the device for itself and reads every page",
		  child_maps_and_reads, "pages that hold the parent's bytes", n,
		  &(struct lab_expect){
		.counter = { [MMAPDEMO_FAULTS_AROUND] = traps, [MMAPDEMO_MAPPINGS_TOTAL] = 1 },
		.minflt = traps,
		.cpu = { [MMAPDEMO_CPU_READ_ABSENT] = traps },
		.kernel = "filemap_map_pages finds the very pages that the parent wrote to",
	});
	lab_begin(lab, "pread() each page");
	lab_pread(lab, 'a');
	lab_end(lab, &(struct lab_expect){
		.kernel = "the driver's read_iter copies out of the same page cache: no msync, no fault",
	});
	lab_fact(lab, "pages that hold them according to pread", lab_pread(lab, 'a'), n);
}

static void tour_private_store(struct lab *lab)
{
	const size_t n = lab->pages, traps = n / lab->around;

	lab_section(lab, "5. A private store copies and leaves the device alone");
	lab_map(lab, RW, MAP_PRIVATE);
	lab_begin(lab, "store to each of %zu private pages that are not mapped yet", n);
	lab_write(lab, 'b');
	lab_end(lab, &(struct lab_expect){
		.counter = { [MMAPDEMO_FAULTS_COW] = n },
		.minflt = n,
		.cpu = { [MMAPDEMO_CPU_WRITE_ABSENT] = n },
		.kernel = "do_cow_fault -> __do_fault (cow), then copies the page; no page_mkwrite",
	});
	lab_fact(lab, "pages changed in the mapping", lab_read(lab, 'b'), n);
	lab_fact(lab, "pages unchanged in the device", lab_pread(lab, 'a'), n);
	lab_map(lab, RW, MAP_PRIVATE);
	lab_begin(lab, "map anew, private, and read every page");
	lab_read(lab, 'a');
	lab_end(lab, &(struct lab_expect){
		.counter = { [MMAPDEMO_FAULTS_AROUND] = traps },
		.minflt = traps,
		.cpu = { [MMAPDEMO_CPU_READ_ABSENT] = traps },
		.kernel = "filemap_map_pages: the device's own pages, mapped read-only",
	});
	lab_begin(lab, "now store to each of them");
	lab_write(lab, 'b');
	lab_end(lab, &(struct lab_expect){
		.minflt = n,
		.cpu = { [MMAPDEMO_CPU_WRITE_PRESENT] = n },
		.kernel = "do_wp_page -> wp_page_copy",
		.why = "the core alone copies a page that is mapped: no vm_operation is called",
	});
	lab_fact(lab, "pages unchanged in the device", lab_pread(lab, 'a'), n);
}

static void store_after_sync(struct lab *lab)
{
	const size_t n = lab->rearms ? lab->pages : 0;

	lab_begin(lab, "store to each of %zu pages after that", lab->pages);
	lab_write(lab, 'e');
	lab_end(lab, &(struct lab_expect){
		.counter = { [MMAPDEMO_FAULTS_MKWRITE] = n },
		.minflt = n,
		.cpu = { [MMAPDEMO_CPU_WRITE_PRESENT] = n },
		.kernel = n ? "do_wp_page -> wp_page_shared -> do_page_mkwrite, once more" :
			  "none: still writable",
	});
	fact_dirty(lab, n);
}

static void tour_mkwrite(struct lab *lab)
{
	const size_t n = lab->pages, traps = n / lab->around;

	lab_section(lab, "6. page_mkwrite: once, and again after write-protection");
	lab_map(lab, RW, MAP_SHARED);
	lab_sync(lab);
	lab_begin(lab, "shared: read every page");
	lab_read(lab, 'a');
	lab_end(lab, &(struct lab_expect){
		.counter = { [MMAPDEMO_FAULTS_AROUND] = traps },
		.minflt = traps,
		.cpu = { [MMAPDEMO_CPU_READ_ABSENT] = traps },
		.kernel = "filemap_map_pages; read-only, as there is a page_mkwrite to call first",
	});
	lab_begin(lab, "store to each");
	lab_write(lab, 'c');
	lab_end(lab, &(struct lab_expect){
		.counter = { [MMAPDEMO_FAULTS_MKWRITE] = n },
		.minflt = n,
		.cpu = { [MMAPDEMO_CPU_WRITE_PRESENT] = n },
		.kernel = "do_wp_page -> wp_page_shared -> do_page_mkwrite; the page is there: no fault",
	});
	fact_dirty(lab, n);
	lab_begin(lab, "store to each again");
	lab_write(lab, 'd');
	lab_end(lab, &(struct lab_expect){ .kernel = "none: the entries are writable now" });
	lab_begin(lab, "msync(MS_SYNC)");
	lab_sync(lab);
	lab_end(lab, &(struct lab_expect){
		.kernel = lab->rearms ?
			  "the driver's fsync; folio_mkclean write-protects every entry" :
			  "the driver's fsync; tmpfs writes nothing back and protects nothing",
	});
	fact_dirty(lab, 0);
	store_after_sync(lab);
}

static size_t child_stores(struct lab *lab)
{
	lab_write(lab, 'f');
	return lab_read(lab, 'f');
}

static size_t child_reads(struct lab *lab)
{
	return lab_read(lab, 'g');
}

static void tour_fork_shared(struct lab *lab)
{
	const size_t n = lab->pages;

	lab_section(lab, "7. The first store after fork");
	lab_map(lab, RW, MAP_SHARED);
	lab_write(lab, 'e');
	lab_child(lab, "shared, every page mapped writable by the parent: a child stores to each",
		  child_stores, "pages that hold the child's bytes", n, &(struct lab_expect){
		.counter = { [MMAPDEMO_FAULTS_WRITE] = n, [MMAPDEMO_FAULTS_MKWRITE] = n },
		.minflt = n,
		.cpu = { [MMAPDEMO_CPU_WRITE_ABSENT] = n },
		.kernel = "fork copied no page table of a file (vma_needs_copy): do_shared_fault",
	});
	lab_begin(lab, "the parent reads what the child stored");
	lab_read(lab, 'f');
	lab_end(lab, &(struct lab_expect){ .kernel = "none: the parent's entries are as before" });
	lab_fact(lab, "pages that hold the child's bytes", lab_read(lab, 'f'), n);
}

static void tour_fork_private(struct lab *lab)
{
	static const char why[] = "a private copy is the core's: no vm_operation is called for it";
	const size_t n = lab->pages;

	lab_map(lab, RW, MAP_PRIVATE);
	lab_write(lab, 'g');
	lab_child(lab, "private, every page copied by the parent: a child reads each",
		  child_reads, "pages that hold the parent's copy", n, &(struct lab_expect){
		.kernel = "copy_page_range at fork: copies are shared between the two, read-only",
	});
	lab_child(lab, "another child stores to each", child_stores,
		  "pages that hold the child's copy", n, &(struct lab_expect){
		.minflt = n,
		.cpu = { [MMAPDEMO_CPU_WRITE_PRESENT] = n },
		.kernel = "do_wp_page -> wp_page_copy",
		.why = why,
	});
	lab_fact(lab, "pages that still hold it in the parent", lab_read(lab, 'g'), n);
	lab_begin(lab, "the parent stores to each afterwards");
	lab_write(lab, 'h');
	lab_end(lab, &(struct lab_expect){
		.minflt = n,
		.cpu = { [MMAPDEMO_CPU_WRITE_PRESENT] = n },
		.kernel = "do_wp_page -> wp_page_reuse: read-only since fork, and the children are gone",
		.why = why,
	});
	lab_fact(lab, "pages unchanged in the device", lab_pread(lab, 'f'), n);
}

static void tour_past_end(struct lab *lab)
{
	const char *past = lab->window + lab->page;
	siginfo_t info = { 0 };
	bool raised = false;
	uint64_t size = 0;

	lab_section(lab, "8. A page past the end");
	mmapdemo_size(lab->dev, &size);
	lab_map_part(lab, (size + lab->page - 1) / lab->page - 1, 2, PROT_READ, MAP_SHARED);
	lab_begin(lab, "map the last page and one past the end, and read the second");
	if (!lab->error)
		raised = lab_sigbus(past, &info);
	lab_end(lab, &(struct lab_expect){
		.counter = { [MMAPDEMO_FAULTS_READ] = 1, [MMAPDEMO_FAULTS_SIGBUS] = 1 },
		.minflt = 0,
		.cpu = { [MMAPDEMO_CPU_READ_ABSENT] = 1 },
		.kernel = "do_read_fault -> __do_fault: the driver returns VM_FAULT_SIGBUS; do_sigbus",
		.why = "mm_account_fault leaves a fault that failed out of minflt",
	});
	lab_fact(lab, "SIGBUS raised", raised, 1);
	lab_fact(lab, "si_code is BUS_ADRERR", info.si_code == BUS_ADRERR, 1);
	lab_fact(lab, "si_addr is the address that was read", info.si_addr == past, 1);
	lab_map_part(lab, (size + lab->page - 1) / lab->page - 1, 2, PROT_READ, MAP_SHARED);
	if (!lab->error)
		raised = lab_sigbus(lab->window, &info);
	lab_fact(lab, "the page before it raises one", raised, 0);
}

static int conclude(struct lab *lab)
{
	struct json_object *top;
	struct utsname name;

	uname(&name);
	if (lab->error)
		explain(lab->error, mmapdemo_name(lab->dev));
	if (lab->steps) {
		top = json_top("mmapdemo.tour/1");
		json_object_object_add(top, "device",
				       json_object_new_string(mmapdemo_name(lab->dev)));
		json_object_object_add(top, "kernel", json_object_new_string(name.release));
		json_object_object_add(top, "pages", json_object_new_uint64(lab->pages));
		json_object_object_add(top, "around", json_object_new_int(lab->around));
		json_object_object_add(top, "steps", lab->steps);
		json_object_object_add(top, "figures", json_object_new_int(lab->figures));
		json_object_object_add(top, "wrong", json_object_new_int(lab->wrong));
		json_print(top, JSON_C_TO_STRING_PRETTY);
	} else {
		printf("\n%s, Linux %s: %u figures compared, %u wrong\n",
		       mmapdemo_name(lab->dev), name.release, lab->figures, lab->wrong);
	}
	return lab->error || lab->wrong ? FAILED : DONE;
}

static int run(const char *device, bool json, bool force, bool no_cpu)
{
	static void (*const part[])(struct lab *lab) = {
		tour_map, tour_read, tour_shared_store, tour_second_process,
		tour_private_store, tour_mkwrite, tour_fork_shared, tour_fork_private,
		tour_past_end,
	};
	struct lab lab;
	unsigned int i;
	int code;

	code = lab_open(&lab, device, json, force, no_cpu);
	if (code)
		return code;
	if (!json)
		printf("%s: %s, the first %zu pages of %zu bytes; a read maps up to %u at a time\n",
		       mmapdemo_name(lab.dev), mmapdemo_backing(lab.dev), lab.pages, lab.page,
		       lab.around);
	for (i = 0; i < sizeof(part) / sizeof(part[0]) && !lab.error; i++)
		part[i](&lab);
	code = conclude(&lab);
	lab_close(&lab);
	return code;
}

int cmd_tour(int argc, char **argv)
{
	static const struct option options[] = {
		{ "force", no_argument, NULL, 'f' },
		{ "no-cpu", no_argument, NULL, 'c' },
		COMMON_LONG, { 0 }
	};
	bool json = false, force = false, no_cpu = false;
	const char *device;
	int opt, code;

	while ((opt = getopt_long(argc, argv, COMMON_SHORT, options, NULL)) != -1) {
		if (opt == 'f')
			force = true;
		else if (opt == 'c')
			no_cpu = true;
		else if (args_common(opt, "tour", help, &json, &code))
			return code;
	}
	if (!args_device(argc, argv, "tour", &device, &code))
		return code;
	return run(device, json, force, no_cpu);
}
