/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sizes and ranges as people write them.
 *
 * A size is a number of bytes: 4096, 0x1000, 4K, 4KiB, 64M, 1G. K, M, G and T are powers of
 * 1024, in either case.
 *
 * A range is in pages when its numbers are plain ones, and in bytes when they are hexadecimal or
 * have a unit; B is the unit of single bytes:
 *
 *	7		page 7
 *	7-9		pages 7, 8 and 9
 *	7+3		the same: where it begins, and how many
 *	0x7000-0x9fff	the same, in bytes; the end is the last byte, not the one behind
 *	28K+12K		the same
 *	28672B-40959B	the same
 *
 * Both numbers are in pages or both in bytes; 0 is either.
 */
#ifndef MMAPDEMO_RANGE_H
#define MMAPDEMO_RANGE_H

#include <stdint.h>

/* In bytes. */
struct range {
	uint64_t offset;
	uint64_t length;
};

/* NULL, or what is wrong with @text. */
const char *size_parse(const char *text, uint64_t *bytes);
const char *range_parse(const char *text, uint64_t page_size, struct range *range);

/* The pages of a range, or what is wrong with it if it is not made of whole ones. */
const char *range_pages(const struct range *range, uint64_t page_size, uint64_t *page,
			uint64_t *pages);

#endif /* MMAPDEMO_RANGE_H */
