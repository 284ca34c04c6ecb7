// SPDX-License-Identifier: GPL-2.0
/* Sizes and ranges, right and wrong ones. Prints TAP. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "range.h"

static int done, failed;

static void ok(bool pass, const char *text, const char *what)
{
	printf("%sok %d - '%s' %s\n", pass ? "" : "not ", ++done, text, what);
	failed += !pass;
}

static void size_is(const char *text, uint64_t want)
{
	uint64_t got = 0;
	const char *wrong = size_parse(text, &got);

	ok(!wrong && got == want, text, "is a size");
	if (wrong || got != want)
		printf("# %s, %" PRIu64 "\n", wrong ? wrong : "no objection", got);
}

static void no_size(const char *text, const char *why)
{
	uint64_t got;
	const char *wrong = size_parse(text, &got);

	ok(wrong && strstr(wrong, why), text, "is no size");
	if (!wrong || !strstr(wrong, why))
		printf("# %s\n", wrong ? wrong : "no objection");
}

static void range_is(const char *text, uint64_t offset, uint64_t length)
{
	struct range got = { 0 };
	const char *wrong = range_parse(text, 4096, &got);

	ok(!wrong && got.offset == offset && got.length == length, text, "is a range");
	if (wrong || got.offset != offset || got.length != length)
		printf("# %s, %" PRIu64 " and %" PRIu64 "\n", wrong ? wrong : "no objection",
		       got.offset, got.length);
}

static void no_range(const char *text, const char *why)
{
	struct range got;
	const char *wrong = range_parse(text, 4096, &got);

	ok(wrong && strstr(wrong, why), text, "is no range");
	if (!wrong || !strstr(wrong, why))
		printf("# %s\n", wrong ? wrong : "no objection");
}

static void test_sizes(void)
{
	size_is("0", 0);
	size_is("4096", 4096);
	size_is("4096B", 4096);
	size_is("4K", 4096);
	size_is("4k", 4096);
	size_is("4KiB", 4096);
	size_is("4KB", 4096);
	size_is("64M", 64 << 20);
	size_is("1g", 1 << 30);
	size_is("16T", 16ULL << 40);
	size_is("0x1000", 4096);
	size_is("0X1fff", 0x1fff);
	size_is("0x1b", 0x1b);
	size_is("18446744073709551615", UINT64_MAX);
	no_size("", "missing");
	no_size("M", "missing");
	no_size("-1", "missing");
	no_size(" 1", "missing");
	no_size("+1", "missing");
	no_size("0x", "missing");
	no_size("1.5G", "behind");
	no_size("1 G", "behind");
	no_size("64MM", "behind");
	no_size("1P", "behind");
	no_size("18446744073709551616", "large");
	no_size("16777216T", "large");
}

static void test_ranges(void)
{
	range_is("0", 0, 4096);
	range_is("7", 0x7000, 0x1000);
	range_is("7-9", 0x7000, 0x3000);
	range_is("7-7", 0x7000, 0x1000);
	range_is("7+3", 0x7000, 0x3000);
	range_is("0x7000-0x9fff", 0x7000, 0x3000);
	range_is("28K+12K", 0x7000, 0x3000);
	range_is("28672B-40959B", 0x7000, 0x3000);
	range_is("0x1000-0x1fff", 0x1000, 0x1000);
	range_is("4M+64K", 4 << 20, 64 << 10);
	range_is("0-0x1fff", 0, 0x2000);
	range_is("0+1M", 0, 1 << 20);
	range_is("0x0-0", 0, 1);
	range_is("0x10+0x1", 16, 1);
	range_is("0x1+18446744073709551615B", 1, UINT64_MAX);
	no_range("", "missing");
	no_range("7-", "missing");
	no_range("7+", "missing");
	no_range("-7", "missing");
	no_range("7--9", "missing");
	no_range("9-7", "before");
	no_range("7+0", "empty");
	no_range("7-9-11", "behind");
	no_range("7-9x", "behind");
	no_range("7,9", "FIRST-LAST");
	no_range("7 - 9", "FIRST-LAST");
	no_range("0x1000", "where does it end");
	no_range("4K", "where does it end");
	no_range("7-0x9fff", "in pages and one in bytes");
	no_range("4M+16", "in pages and one in bytes");
	no_range("4503599627370496", "large");
	no_range("1+4503599627370496", "large");
	no_range("0x2+18446744073709551615B", "large");
	no_range("0-0xffffffffffffffff", "large");
}

static void test_pages(void)
{
	struct range range = { 0x7000, 0x3000 };
	uint64_t page = 0, pages = 0;

	ok(!range_pages(&range, 4096, &page, &pages) && page == 7 && pages == 3,
	   "0x7000-0x9fff", "is pages 7 to 9");
	range.length++;
	ok(strstr(range_pages(&range, 4096, &page, &pages), "not end"), "0x7000-0xa000",
	   "ends inside a page");
	range.offset++;
	ok(strstr(range_pages(&range, 4096, &page, &pages), "not begin"), "0x7001-0xa001",
	   "begins inside a page");
}

int main(void)
{
	test_sizes();
	test_ranges();
	test_pages();
	printf("1..%d\n", done);
	return failed ? 1 : 0;
}
