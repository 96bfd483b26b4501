/* SPDX-License-Identifier: MIT */
/*
 * Inside libdsm: a heap and its strategy.
 *
 *   heap.c	handles: create, open, close; one for each segment that a process has open
 *   block.c	the public functions on blocks, over the strategy
 *   guard.c	what guards and poison write and check
 *   class*.c	size classes
 *   fit*.c	first, best and worst fit
 *
 * The heap is root HEAP_ROOT. Its first grain holds struct heap_header; what the strategy needs beside
 * follows in the same run, or lies where its part says. All grains belong to the root.
 */
#ifndef DSM_LIB_HEAP_H
#define DSM_LIB_HEAP_H

#include <dsm/heap.h>

#include "lib/segment/segment.h"

#define HEAP_ROOT    ".heap"
#define HEAP_MAGIC   0x31504145484d5344ull /* "DSMHEAP1" */
#define HEAP_VERSION 1u
#define HEAP_ALIGN   16u /* of every block */
#define HEAP_FLAGS   (DSM_HEAP_GUARDS | DSM_HEAP_POISON | DSM_HEAP_LOG)

/* In the segment, written once; one page. */
struct heap_header {
	uint64_t magic;
	uint32_t version;
	uint32_t strategy; /* enum dsm_heap_strategy */
	uint32_t flags;	   /* DSM_HEAP_* */
	uint32_t root;	   /* table index: whom the grains belong to */
	uint64_t key;	   /* random: makes guards and tags hard to hit by accident */
	uint64_t part;	   /* offset of the strategy's own header */
	uint64_t log;	   /* offset of the debug log's run of grains; 0: none */
	uint8_t reserved[4096 - 48];
};
static_assert(sizeof(struct heap_header) == SEG_PAGE, "layout of heaps");

struct dsm_heap {
	struct dsm_heap_view view; /* stays first: dsm_heap_ptr() */
	dsm_segment_t *seg;
	const struct heap_ops *ops;
	void *own; /* the strategy's private state */
	/* As the header said when it was opened: what is in the segment is not read again. */
	uint32_t strategy, flags, root;
	bool fast; /* size classes without flags: class_fast.h will do */
	uint64_t key;
	uint64_t part;
	uint64_t log;
	uint64_t header_off;
};
static_assert(offsetof(struct dsm_heap, view) == 0, "dsm_heap_ptr()");

/* What is wanted of an allocation or a free. */
struct heap_ask {
	uint64_t size;	/* bytes, when allocating: not 0 */
	uint64_t align; /* power of two, HEAP_ALIGN to DSM_HEAP_ALIGN_MAX */
	uint64_t dest;	/* 8 bytes of the segment that hold the offset, or shall; 0: none */
	/*
	 * Called with the block and its usable bytes before it is given out (before *dest names it), or
	 * before it is taken back, which an error prevents. Not where somebody completes after a
	 * kill. NULL: nothing to do.
	 */
	int (*fill)(const struct heap_ask *ask, void *p, uint64_t bytes);
	const dsm_heap_t *heap; /* for fill */
	bool zeroed;		/* out, alloc: the block is known to be zeroed */
};

/* A place in a heap, as heap_ops.walk tells of it. */
enum heap_place_kind {
	HEAP_PLACE_USED,   /* a block that was given out */
	HEAP_PLACE_FREE,   /* room for one */
	HEAP_PLACE_META,   /* headers, tables, what is lost for alignment */
	HEAP_PLACE_FREEING /* freed, on its way to its owner */
};
struct heap_place {
	uint64_t off;	/* of the bytes that a user has; META: of the place */
	uint64_t size;	/* usable bytes */
	uint64_t asked; /* bytes that were asked for where that is known (large blocks), else 0 */
	enum heap_place_kind kind;
	uint32_t slot; /* whose span it is, SEG_SLOTS: nobody's */
	uint64_t run;  /* span, arena or large run that it is in: its first byte */
	uint64_t run_size;
};
/* A nonzero result ends the walk and is its result. */
typedef int (*heap_place_fn)(void *context, const struct heap_place *place);
/* One line for each damage found: @off where, @what a sentence. A nonzero result ends the check. */
typedef int (*heap_fault_fn)(void *context, uint64_t off, const char *what);

/*
 * A strategy. All but create and open are called with a heap that is open; errors are negative
 * errnos with seg_error() set. Locks: SEG_LAYER_HEAP, and never a second one of
 * that layer while one is held, as recovery takes them too.
 */
struct heap_ops {
	const char *name;
	/* Bytes behind the header in the heap's first run. */
	uint64_t (*extra)(const dsm_segment_t *seg);
	/*
	 * The heap's root is being made; @extra: offset of those bytes, not zeroed. Grains taken are
	 * adopted by @root, which the caller drops where this fails. @ret_part: its header's offset.
	 */
	int (*create)(dsm_segment_t *seg, uint32_t root, const struct dsm_heap_options *options,
		      uint64_t extra, uint64_t *ret_part);
	/* Check the part and make heap->own. */
	int (*open)(dsm_heap_t *heap);
	void (*close)(dsm_heap_t *heap);
	/* -ENOMEM, -EBADMSG. */
	int (*alloc)(dsm_heap_t *heap, struct heap_ask *ask, uint64_t *ret);
	/* -EINVAL no block, -EALREADY it is free, -EBADMSG; what fill says. */
	int (*free)(dsm_heap_t *heap, struct heap_ask *ask, uint64_t off);
	/* -EINVAL, -EALREADY. */
	int (*usable)(dsm_heap_t *heap, uint64_t off, uint64_t *ret);
	/* Have a block end earlier or later where it is; -ENOSPC: it cannot. NULL: never. */
	int (*resize)(dsm_heap_t *heap, uint64_t off, uint64_t size);
	/* See dsm_heap_flush(). NULL: nothing ever waits. */
	int (*flush)(dsm_heap_t *heap);
	/*
	 * Complete or undo what @dead, whose slot seg_self() is, was doing, and take over what is left of
	 * it. Called again after the layers above, whose recovery may use the heap.
	 */
	void (*recover)(dsm_heap_t *heap, struct seg_slot *dead);
	/* All places by address. While others change the heap: roughly right. */
	int (*walk)(dsm_heap_t *heap, heap_place_fn fn, void *context);
	/* What is damaged. Right only while nobody changes the heap. */
	int (*check)(dsm_heap_t *heap, heap_fault_fn fn, void *context);
	/* Largest block. */
	uint64_t (*size_max)(const dsm_heap_t *heap);
};

extern const struct heap_ops heap_class_ops; /* class.c */
extern const struct heap_ops heap_fit_ops;   /* fit_ops.c: all three */

/* ------------------------------------------------------------ heap.c */

/* The heap of @seg, made with the defaults where there is none. For structures; to be closed like any. */
int heap_default(dsm_segment_t *seg, dsm_heap_t **ret);
/* The heap that this process has open, opened if need be. NULL: there is none, or it is damaged. For recovery. */
dsm_heap_t *heap_of(dsm_segment_t *seg);
/* The segment is being closed: all participants of the process have left. */
void heap_detach(dsm_segment_t *seg);

/*
 * The word of the segment at @off that names a block: where structures are, or in a slot. NULL: none
 * can be there.
 */
_Atomic uint64_t *heap_dest(const dsm_segment_t *seg, uint64_t off);

/* ------------------------------------------------------------ guard.c */

#define HEAP_GUARD 16u /* bytes added to what is asked for where DSM_HEAP_GUARDS is set */

#define HEAP_POISON_NEW	 0xa5u /* what fills a block that was given */
#define HEAP_POISON_FREE 0xdeu /* what fills one that was freed */

/*
 * The last 8 bytes of a guarded block's usable bytes tell the size that was asked for and who they are; all
 * from there down to that size is a pattern.
 */
void heap_guard_set(const dsm_heap_t *heap, void *p, uint64_t usable, uint64_t asked);
/* -EBADMSG: written beyond its end. @ret_asked may be NULL. No dsm_last_error(): the caller names it. */
int heap_guard_check(const dsm_heap_t *heap, const void *p, uint64_t usable, uint64_t *ret_asked);
/* heap_ask.fill of heaps with guards or poison. */
int heap_fill_new(const struct heap_ask *ask, void *p, uint64_t bytes);
int heap_fill_free(const struct heap_ask *ask, void *p, uint64_t bytes);

/* ------------------------------------------------------------ log.c */

enum heap_event { HEAP_EVENT_ALLOC = 1, HEAP_EVENT_FREE = 2, HEAP_EVENT_ERROR = 3 };
/* Note it in the debug log of a heap that has one (heap->log). @result: 0 or a negative errno. */
void heap_log(dsm_heap_t *heap, enum heap_event event, uint64_t off, uint64_t size, int result);
/* Grains of the log for a new heap; adopted by @root. */
int heap_log_create(dsm_segment_t *seg, uint32_t root, uint64_t *ret_off);

#endif
