// SPDX-License-Identifier: GPL-2.0
/* Sizes and ranges as people write them: range.h says how. */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "range.h"

struct number {
	uint64_t value;
	bool bytes;	/* hexadecimal, or with a unit */
};

static const char no_number[] = "a number is missing or malformed; write 7, 64M or 0x1000";
static const char too_large[] = "too large";

/* How many bits the unit shifts by, -1 if there is none. */
static int parse_unit(const char **text)
{
	static const char units[] = "KMGT";
	const char *p = *text, *unit = NULL;

	if (*p)
		unit = strchr(units, toupper((unsigned char)*p));
	p += !!unit;
	if (unit && !strncmp(p, "iB", 2))
		p += 2;
	else if (*p == 'B' || *p == 'b')
		p++;
	if (p == *text)
		return -1;
	*text = p;
	return unit ? 10 * (unit - units + 1) : 0;
}

static const char *parse_number(const char **text, struct number *number)
{
	const bool hex = !strncmp(*text, "0x", 2) || !strncmp(*text, "0X", 2);
	const char *digits = *text + (hex ? 2 : 0);
	char *end;
	int shift;

	if (!(hex ? isxdigit((unsigned char)*digits) : isdigit((unsigned char)*digits)))
		return no_number;
	errno = 0;
	number->value = strtoull(digits, &end, hex ? 16 : 10);
	if (errno)
		return too_large;
	*text = end;
	shift = hex ? 0 : parse_unit(text);
	number->bytes = shift >= 0;
	if (shift < 0)
		return NULL;
	if (number->value << shift >> shift != number->value)
		return too_large;
	number->value <<= shift;
	return NULL;
}

const char *size_parse(const char *text, uint64_t *bytes)
{
	struct number number;
	const char *wrong = parse_number(&text, &number);

	if (wrong)
		return wrong;
	if (*text)
		return "there is something behind the size; units are K, M, G and T";
	*bytes = number.value;
	return NULL;
}

/* 0 is in bytes if the other one is. */
static const char *same_unit(struct number *a, struct number *b)
{
	if (!a->value)
		a->bytes |= b->bytes;
	if (!b->value)
		b->bytes |= a->bytes;
	if (a->bytes != b->bytes)
		return "one number is in pages and one in bytes; B is the unit of single bytes";
	return NULL;
}

/* @length is in pages or bytes. The end may be 2^64, the last byte cannot be behind it. */
static const char *make_range(struct number from, uint64_t length, uint64_t page_size,
			      struct range *range)
{
	const uint64_t unit = from.bytes ? 1 : page_size;

	if (__builtin_mul_overflow(from.value, unit, &range->offset) ||
	    __builtin_mul_overflow(length, unit, &range->length) ||
	    range->length - 1 > UINT64_MAX - range->offset)
		return too_large;
	return NULL;
}

const char *range_parse(const char *text, uint64_t page_size, struct range *range)
{
	struct number from, to = { 0 };
	const char *wrong = parse_number(&text, &from);
	const char how = *text;

	if (wrong)
		return wrong;
	if (!how)
		return from.bytes ? "where does it end? Write 0x1000-0x1fff or 0x1000+4K" :
				    make_range(from, 1, page_size, range);
	if (how != '-' && how != '+')
		return "a range is FIRST-LAST, FIRST+COUNT, or the number of one page";
	text++;
	wrong = parse_number(&text, &to) ?: same_unit(&from, &to);
	if (wrong)
		return wrong;
	if (*text)
		return "there is something behind the range";
	if (how == '+')
		return to.value ? make_range(from, to.value, page_size, range) : "it is empty";
	if (to.value < from.value)
		return "it ends before it begins";
	if (to.value - from.value == UINT64_MAX)
		return too_large;
	return make_range(from, to.value - from.value + 1, page_size, range);
}

const char *range_pages(const struct range *range, uint64_t page_size, uint64_t *page,
			uint64_t *pages)
{
	if (range->offset % page_size)
		return "it does not begin where a page does";
	if (range->length % page_size)
		return "it does not end where a page does; the last byte of page 1 is 0x1fff";
	*page = range->offset / page_size;
	*pages = range->length / page_size;
	return NULL;
}
