/* SPDX-License-Identifier: MIT */
/*
 * Blocks of the fit strategies: boundary tags (Knuth, TAOCP vol. 1, 2.5).
 *
 *	b	header, 8 bytes; b is 8 modulo 16
 *	b + 8	what the user has, a multiple of 16
 *	...	of a free block: links of the index by size, and its size again in the last 8 bytes
 *
 * The headers of an arena are a chain from its first block to its end, and it is whole after every
 * single store: a split writes the header of the rest before the block's own, a merge is one
 * store of the first block's size. All else (footers, FIT_PREV_FREE, the indexes) can be made again
 * from the chain, and is, when somebody was killed: fit_rebuild().
 */
#ifndef DSM_HEAP_FIT_BLOCK_H
#define DSM_HEAP_FIT_BLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define FIT_UNIT      16u /* sizes of blocks are multiples of it */
#define FIT_UNITS_MIN 2u  /* header, two links, footer */
#define FIT_TAG	      8u  /* bytes of a header */

/* A header: size in units << 26 | slack << 20 | flags << 16 | check. */
#define FIT_USED      0x1u /* given out */
#define FIT_PREV_FREE 0x2u /* the block before is free: its footer stands before this header */
#define FIT_FREED     0x4u /* no block any more, or a free one: who frees it does so twice */
#define FIT_END	      0x8u /* behind the last block of an arena, size 0 */
#define FIT_SLACK(n)  ((unsigned int)(n) << 4) /* beside the flags */
#define FIT_SLACK_MAX 63u

static inline uint64_t fit_units(uint64_t word)
{
	return word >> 26;
}

/* Flags, and the slack beside them. */
static inline unsigned int fit_flags(uint64_t word)
{
	return (unsigned int)(word >> 16) & 0x3ff;
}

/* Bytes of a used block that its user did not ask for, header not included. */
static inline unsigned int fit_slack(uint64_t word)
{
	return (unsigned int)(word >> 20) & FIT_SLACK_MAX;
}

/* Of a place and what its header says, so that no other bytes pass for a header easily. */
static inline uint64_t fit_tag_check(uint64_t key, uint64_t b, uint64_t word)
{
	return (((word >> 16) ^ (b << 20) ^ key) * 0x9e3779b97f4a7c15ull) >> 48;
}

static inline uint64_t fit_word(uint64_t key, uint64_t b, uint64_t units, unsigned int flags)
{
	uint64_t word = units << 26 | (uint64_t)flags << 16;

	return word | fit_tag_check(key, b, word);
}

static inline bool fit_good(uint64_t key, uint64_t b, uint64_t word)
{
	return (word & 0xffff) == fit_tag_check(key, b, word);
}

/* Units of a block for @size bytes of the user. */
static inline uint64_t fit_units_for(uint64_t size)
{
	uint64_t units = (size + FIT_TAG + FIT_UNIT - 1) / FIT_UNIT;

	return units < FIT_UNITS_MIN ? FIT_UNITS_MIN : units;
}

#endif
