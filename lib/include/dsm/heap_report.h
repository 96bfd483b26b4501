/* SPDX-License-Identifier: MIT */
/*
 * What a heap looks like: is it whole, what is in it, how much of it is lost to
 * fragmentation, and a picture. For all strategies.
 *
 * All of it may be called while others use the heap. Each arena or span is then looked at as it is at
 * that moment; only dsm_heap_validate() wants a heap that nobody changes, else it may report
 * what is just being changed. Results are 0 (or a count) or a negative errno, and dsm_last_error()
 * tells more: -EUSERS, -ENOTCONN as everywhere, -ENOMEM no memory to look at the heap, -EBADMSG so
 * damaged that it cannot be walked over, -EIO the stream could not be written.
 */
#ifndef DSM_HEAP_REPORT_H
#define DSM_HEAP_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include <dsm/heap.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Told of each damage: @off where it is (of a block: the offset its user has), @what a sentence that
 * begins with the kind of damage and a colon: "header", "footer", "link", "index", "count",
 * "arena", "guard" and others. @what is good until it returns. A result other than 0
 * ends the validation.
 */
typedef int (*dsm_heap_fault_fn)(void *context, uint64_t off, const char *what);

/**
 * Look at every block and all tables of a heap. How many damages there are, 0: none. @fn may be
 * NULL. A guard that was written over is found where the heap has DSM_HEAP_GUARDS.
 */
int dsm_heap_validate(dsm_heap_t *heap, dsm_heap_fault_fn fn, void *context);

/** Buckets of a histogram: bucket i counts sizes from 2^i to 2^(i+1) - 1 bytes. */
#define DSM_HEAP_BUCKETS 40

/** One bucket of the histogram by size. */
struct dsm_heap_bucket {
	uint64_t used;	     /**< blocks in use */
	uint64_t used_bytes; /**< their usable bytes */
	uint64_t free;	     /**< free places */
	uint64_t free_bytes; /**< their bytes */
};

/** A heap as a whole: dsm_heap_report(). */
struct dsm_heap_report {
	uint32_t strategy; /**< enum dsm_heap_strategy */
	uint32_t flags;	   /**< DSM_HEAP_* */
	uint64_t runs;	   /**< arenas, spans and large blocks: pieces of the segment that it has */
	uint64_t bytes;	   /**< of these */
	uint64_t used;	   /**< blocks in use */
	uint64_t used_bytes; /**< their usable bytes */
	uint64_t
		known_bytes; /**< usable bytes of those blocks of which the size asked for is known */
	uint64_t asked_bytes;	/**< what was asked for in those */
	uint64_t free;		/**< free places */
	uint64_t free_bytes;	/**< their bytes */
	uint64_t largest_free;	/**< bytes of the largest */
	uint64_t freeing;	/**< blocks freed and on their way back to their span's owner */
	uint64_t freeing_bytes; /**< their bytes */
	uint64_t meta_bytes;	/**< the rest: headers, tables, alignment */
	/** Share of the free bytes that is not in the largest free place, 0 to 1. */
	double external;
	/** Share of the usable bytes that nobody asked for, where that is known, 0 to 1. */
	double internal;
	struct dsm_heap_bucket buckets[DSM_HEAP_BUCKETS]; /**< by size of block or place */
};

/** Fill @ret. */
int dsm_heap_report(dsm_heap_t *heap, struct dsm_heap_report *ret);
/** "first fit" and so on; "unknown" for no enum dsm_heap_strategy. */
const char *dsm_heap_strategy_name(uint32_t strategy);

/** Write the report as a table, or as one JSON object. */
int dsm_heap_report_write(dsm_heap_t *heap, FILE *out, bool json);
/** Write every run and every block of the heap as text, one block a line, or as one JSON object. */
int dsm_heap_dump(dsm_heap_t *heap, FILE *out, bool json);

/** How to draw a heap in a terminal. Zeroed: the defaults. */
struct dsm_heap_picture {
	uint32_t columns; /**< characters of a line; 0: 64 */
	uint32_t lines;	  /**< about so many at most; 0: 32 */
	bool colour;	  /**< with escape sequences */
};
/** Draw the map of blocks with characters, each for the same number of bytes. @how may be NULL. */
int dsm_heap_picture(dsm_heap_t *heap, FILE *out, const struct dsm_heap_picture *how);
/** The same cells as one JSON object: bytes of a cell, and what each holds. Nothing is drawn. */
int dsm_heap_picture_json(dsm_heap_t *heap, FILE *out, const struct dsm_heap_picture *how);
/** Draw the map of blocks as an SVG image. */
int dsm_heap_picture_svg(dsm_heap_t *heap, FILE *out);

#ifdef __cplusplus
}
#endif

#endif
