// SPDX-License-Identifier: GPL-2.0
/* mmapdemo pages */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli.h"

static const char help[] =
	"Usage: mmapdemo pages [-j] DEVICE [RANGE]\n"
	"What is in each page of a device (all of them), as a map that fits the terminal: a letter\n"
	"for as many pages as needed. In colour on a terminal, unless NO_COLOR is set.\n\n"
	"  -j, --json   an object with an array of runs of pages in the same state\n"
	"  -h, --help   this text\n";

#define MOST_ROWS	16

/* How many of the pages of a cell are what. */
struct cell {
	uint64_t resident, dirty, huge, rule;
};

struct map {
	uint64_t page, pages;		/* the range */
	uint64_t per_cell;		/* pages */
	unsigned int per_row;		/* cells */
	struct cell *cell;
	struct cell all;
};

/* What a cell is shown as; in a capital if it is several pages and all of them are. */
struct look {
	char letter;
	const char *colour;		/* a number of SGR */
	const char *means;
};

enum { NONE, CLEAN, DIRTY, HUGE, HUGE_DIRTY, RULE, NR_LOOKS };

static const struct look looks[NR_LOOKS] = {
	[NONE]		= { '.', "2", "not there" },
	[CLEAN]		= { 'c', "32", "clean" },
	[DIRTY]		= { 'd', "33", "dirty" },
	[HUGE]		= { 'h', "36", "clean, huge" },
	[HUGE_DIRTY]	= { 'x', "35", "dirty, huge" },
	[RULE]		= { '!', "31", "under a rule" },
};

static const struct look *look_at(const struct cell *cell)
{
	if (cell->rule)
		return &looks[RULE];
	if (cell->dirty)
		return &looks[cell->huge ? HUGE_DIRTY : DIRTY];
	if (cell->resident)
		return &looks[cell->huge ? HUGE : CLEAN];
	return &looks[NONE];
}

static char letter_of(const struct cell *cell, uint64_t pages)
{
	const char letter = look_at(cell)->letter;
	const bool whole = (cell->dirty ? cell->dirty : cell->resident) == pages;

	return pages > 1 && whole && letter >= 'a' ? letter - 'a' + 'A' : letter;
}

static void count(struct cell *cell, uint32_t state, uint64_t pages)
{
	cell->resident += state & MMAPDEMO_STATE_RESIDENT ? pages : 0;
	cell->dirty += state & MMAPDEMO_STATE_DIRTY ? pages : 0;
	cell->huge += state & MMAPDEMO_STATE_HUGE ? pages : 0;
	cell->rule += state & MMAPDEMO_STATE_RULE ? pages : 0;
}

/* A device that has grown since its size was asked for may tell of more pages. */
static int take_run(const struct mmapdemo_run *run, void *arg)
{
	struct map *map = arg;
	uint64_t i = run->page - map->page, end = i + run->pages, next;

	if (run->page < map->page)
		return 0;
	if (end > map->pages)
		end = map->pages;
	if (i < end)
		count(&map->all, run->state, end - i);
	for (; i < end; i = next) {
		next = (i / map->per_cell + 1) * map->per_cell;
		if (next > end)
			next = end;
		count(&map->cell[i / map->per_cell], run->state, next - i);
	}
	return 0;
}

static unsigned int terminal_width(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;

	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col)
		return size.ws_col;
	return columns && atoi(columns) > 0 ? atoi(columns) : 80;
}

static bool use_colour(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no && *no) && term && strcmp(term, "dumb");
}

static int digits(uint64_t value)
{
	return snprintf(NULL, 0, "%" PRIu64, value);
}

/* Rows of a power of two, so that their numbers are round. */
static int lay_out(struct map *map)
{
	unsigned int room = terminal_width(), label = digits(map->page + map->pages) + 2;

	room = room > label ? room - label : 1;
	for (map->per_row = 1; map->per_row <= room / 2 && map->per_row < 128;)
		map->per_row *= 2;
	for (map->per_cell = 1; (map->pages - 1) / map->per_cell / map->per_row >= MOST_ROWS;)
		map->per_cell *= 2;
	map->cell = calloc((map->pages - 1) / map->per_cell + 1, sizeof(*map->cell));
	return map->cell ? 0 : -1;
}

/* The colour of what follows: NULL is that of other text. */
static void print_colour(const struct look *look)
{
	static const struct look *now;

	if (look != now)
		printf("\033[0;%sm", look ? look->colour : "0");
	now = look;
}

static void print_cell(const struct look *look, char letter, bool colour)
{
	if (colour)
		print_colour(look);
	putchar(letter);
}

static void print_rows(const struct map *map, bool colour)
{
	const int width = digits(map->page + map->pages - 1);
	const uint64_t cells = (map->pages - 1) / map->per_cell + 1;
	uint64_t i, in_cell;

	for (i = 0; i < cells; i++) {
		if (i % map->per_row == 0) {
			if (colour)
				print_colour(NULL);
			printf("%s%*" PRIu64 "  ", i ? "\n" : "", width,
			       map->page + i * map->per_cell);
		}
		in_cell = map->pages - i * map->per_cell;
		if (in_cell > map->per_cell)
			in_cell = map->per_cell;
		print_cell(look_at(&map->cell[i]), letter_of(&map->cell[i], in_cell), colour);
	}
	if (colour)
		print_colour(NULL);
	putchar('\n');
}

static void print_legend(const struct map *map, bool colour)
{
	const unsigned int room = terminal_width();
	unsigned int i, column = 0, width;

	putchar('\n');
	for (i = 0; i < NR_LOOKS; i++) {
		width = strlen(looks[i].means) + 4;
		if (column && column + width > room)
			column = 0;
		fputs(column ? "  " : i ? "\n" : "", stdout);
		print_cell(&looks[i], looks[i].letter, colour);
		if (colour)
			print_colour(NULL);
		printf(" %s", looks[i].means);
		column += width;
	}
	printf("\nA letter is %" PRIu64 " page%s.\n", map->per_cell,
	       map->per_cell > 1 ? "s; a capital says that all of them are alike" : "");
	printf("%" PRIu64 " pages: %" PRIu64 " resident, %" PRIu64 " dirty, %" PRIu64 " huge\n",
	       map->pages, map->all.resident, map->all.dirty, map->all.huge);
}

static int as_text(struct target *target, struct map *map)
{
	const bool colour = use_colour();
	int ret;

	if (lay_out(map)) {
		fputs("mmapdemo: out of memory\n", stderr);
		return FAILED;
	}
	ret = mmapdemo_pages(target->ctl, target->name, map->page, target->pages, take_run, map);
	if (!ret) {
		print_rows(map, colour);
		print_legend(map, colour);
	}
	free(map->cell);
	return ret ? ctl_explain(target, "pages", ret) : DONE;
}

static int add_run(const struct mmapdemo_run *run, void *runs)
{
	struct json_object *o = json_object_new_object();

	json_number(o, "page", run->page);
	json_number(o, "pages", run->pages);
	json_state(o, "state", run->state);
	json_object_array_add(runs, o);
	return 0;
}

static int as_json(struct target *target)
{
	struct json_object *runs = json_object_new_array(), *top;
	int ret = mmapdemo_pages(target->ctl, target->name, target->page, target->pages,
				 add_run, runs);

	if (ret) {
		json_object_put(runs);
		return ctl_explain(target, "pages", ret);
	}
	top = target_json(target, "pages");
	json_object_object_add(top, "runs", runs);
	json_print(top, JSON_C_TO_STRING_PRETTY);
	return DONE;
}

/* The kernel refuses a range that is outside: whatever the map is then, one page will do. */
static int pages(struct target *target)
{
	const uint64_t page_size = sysconf(_SC_PAGESIZE);
	struct map map = { .page = target->page, .pages = target->pages };
	struct mmapdemo_info info;
	uint64_t total;
	int ret;

	if (target->json)
		return as_json(target);
	ret = mmapdemo_get(target->ctl, target->name, &info);
	if (ret)
		return ctl_explain(target, "pages", ret);
	total = info.size / page_size + !!(info.size % page_size);
	if (!map.pages)
		map.pages = total;
	if (map.page >= total || map.pages > total - map.page)
		map.pages = 1;
	return as_text(target, &map);
}

int cmd_pages(int argc, char **argv)
{
	struct target target;
	int code;

	if (!target_pages(argc, argv, help, &target, &code))
		return code;
	code = pages(&target);
	mmapdemo_ctl_close(target.ctl);
	return code;
}
