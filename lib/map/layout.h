/* SPDX-License-Identifier: MIT */
/*
 * What lies where in a map. Seen by processes that may be of another build: it
 * changes only with MAP_VERSION.
 *
 *	page 0		struct map_header: what readers look at; seldom changes
 *	page 1		struct map_watch: words that watchers sleep on
 *	pages 2 to 10	struct map_grace, and the sections it waits for
 *	page 11		struct map_growth
 *	page 12 ...	struct map_stripe, one for each stripe: what writers change
 *
 * A table is a run of grains of its own: struct map_table, the buckets, then for each stripe
 * the buckets that are chained to full ones of it. Entries are blocks of the heap.
 *
 * Readers touch page 0, a table, entries, and their own slot. On a cluster none of
 * these changes while nobody writes nearby, so reading stays local.
 */
#ifndef DSM_LIB_MAP_LAYOUT_H
#define DSM_LIB_MAP_LAYOUT_H

#include <stddef.h>

#include "lib/segment/segment.h"

#define MAP_MAGIC   0x3150414d4d5344aeull
#define MAP_VERSION 3u
#define MAP_STRIPES 64u /* the low bits of a hash choose one; a power of two */
#define MAP_SLOTS   7u	/* entries of a bucket */
#define MAP_LOAD    4u	/* entries a bucket may have on average before the table grows */

/*
 * An entry. The key follows at once, the value at the next multiple of 8. Once a bucket names
 * it, no more is changed than retire_next, which readers do not look at, and with rewrite.h, on
 * segments of one host, the value and its size (not the number of 8-byte words that it takes).
 */
struct map_entry {
	uint64_t hash;
	_Atomic uint64_t version; /* or who is changing the value: see ENTRY_REWRITTEN */
	uint64_t expires_ns;	  /* wall clock; 0: never */
	uint32_t key_size;
	_Atomic uint32_t value_size;
	uint64_t retire_next; /* offset of the next retired one */
	uint8_t key[];
};
static_assert(sizeof(struct map_entry) == 40, "layout of maps");

/*
 * In the place of an entry's version while its value is overwritten: this, the writer's slot, and
 * the lower bits of the version it will have. The new value is in that slot's journal.
 */
#define ENTRY_REWRITTEN	   (1ull << 63)
#define ENTRY_SLOT_SHIFT   52
#define ENTRY_VERSION_MASK ((1ull << ENTRY_SLOT_SHIFT) - 1)
static_assert(SEG_SLOTS <= 1u << (63 - ENTRY_SLOT_SHIFT), "a slot fits above the version");

/*
 * A cache line. A slot is 0, or an entry's offset with the top 16 bits of its hash above
 * it. In ctl: BUCKET_MOVED, and the number + 1 of the overflow bucket that follows.
 */
struct map_bucket {
	_Atomic uint64_t slot[MAP_SLOTS];
	_Atomic uint64_t ctl;
};
static_assert(sizeof(struct map_bucket) == 64, "layout of maps");

#define SLOT_OFF_MASK 0xffffffffffffull
#define SLOT_TAG_BITS 48
#define BUCKET_MOVED  (1ull << 63) /* of a chain's first: look in the next table */
#define BUCKET_NEXT   0xffffffffull

/*
 * A table is named by one word: its offset, a multiple of SEG_GRAIN, and the logarithm of its
 * number of buckets in the bits below. So a reader needs nothing but the word to find its bucket.
 */
#define TABLE_LOG_MASK 0x3full
#define TABLE_LOG_MIN  9u /* 8 buckets for each stripe */
#define TABLE_LOG_MAX  34u
#define TABLE_MAGIC    0x454c424154534d44ull

struct map_table {
	uint64_t magic;
	uint32_t log, generation;  /* how often the map grew before */
	_Atomic uint64_t next;	   /* word of the table that follows; 0: none yet. Set once */
	_Atomic uint64_t old_next; /* offset of the table retired before this one */
	uint64_t old_tag;	   /* grace pass that must be done before it is freed */
	uint8_t reserved[4056];
};
static_assert(sizeof(struct map_table) == SEG_PAGE, "layout of maps");

struct map_header {
	uint64_t magic;
	uint32_t version;
	uint32_t stripes;	/* MAP_STRIPES */
	uint32_t stripe_shift;	/* bytes from one stripe to the next, as a power of two */
	uint32_t root;		/* of the segment: whose grains its tables are */
	uint64_t hash_key[2];	/* random; see hash.h */
	_Atomic uint64_t table; /* word of the oldest table that still has buckets in use */
	uint8_t reserved[4048];
};
static_assert(sizeof(struct map_header) == SEG_PAGE, "layout of maps");

/*
 * Words to sleep on. The lowest bit: somebody may sleep; the rest counts changes. In a page
 * of its own: watchers write it, writers look at it.
 */
#define MAP_WATCHED 1u
struct map_watch {
	_Atomic uint32_t any;
	uint32_t reserved0[15];
	_Atomic uint32_t stripe[MAP_STRIPES];
	uint8_t reserved[3776];
};
static_assert(sizeof(struct map_watch) == SEG_PAGE, "layout of maps");

/* A reader that was at work when a pass began. */
struct map_section {
	uint32_t slot;
	uint32_t reserved;
	uint64_t epoch; /* of the slot, odd */
};

/*
 * Grace passes. What was taken out before pass n began may be freed when pass n
 * is done: all readers that were at work at its begin have ended what they did.
 */
struct map_grace {
	struct seg_lock lock;
	_Atomic uint64_t started;   /* pass that began last */
	_Atomic uint64_t done;	    /* pass that was done last */
	_Atomic uint64_t listed;    /* pass that the sections below are of */
	_Atomic uint32_t nsections; /* of these, still at work */
	_Atomic uint32_t looks;	    /* in vain */
	uint8_t reserved[24];
	struct map_section section[SEG_SLOTS];
};
static_assert(sizeof(struct map_grace) <= 9 * SEG_PAGE, "layout of maps");

struct map_growth {
	struct seg_lock lock;	 /* before any stripe's */
	_Atomic uint64_t old;	 /* offset of the table retired last; 0: none */
	_Atomic uint32_t helped; /* stripes below this are likely to have moved all */
	uint32_t reserved0;
	uint8_t reserved[4072];
};
static_assert(sizeof(struct map_growth) == SEG_PAGE, "layout of maps");

/* What writers change under its lock, which comes after the lock of the growth. */
struct map_stripe {
	struct seg_lock lock;
	_Atomic uint64_t version;    /* of its last change */
	_Atomic uint64_t count;	     /* entries */
	_Atomic uint64_t ttl;	     /* of these, with an end */
	_Atomic uint64_t fresh_list; /* retired lately: offset of the first */
	_Atomic uint64_t wait_list;  /* retired before pass wait_tag began */
	_Atomic uint32_t fresh_count;
	_Atomic uint32_t wait_count;
	_Atomic uint32_t calm;	/* so many changes are to leave the values that are there alone */
	_Atomic uint32_t sweep; /* next bucket to look for what expired */
	/* Second line. */
	_Atomic uint64_t wait_tag;
	_Atomic uint32_t
		over[2]; /* overflow buckets used, by the lowest bit of the table's generation */
	_Atomic uint32_t generation; /* of the table that moved and over[] are about */
	uint32_t reserved0;
	_Atomic uint64_t moved; /* buckets of it moved to that table, from the first on */
	uint8_t reserved[32];
};
static_assert(sizeof(struct map_stripe) == 128, "layout of maps");

#define MAP_WATCH_AT	     SEG_PAGE
#define MAP_GRACE_AT	     (2 * SEG_PAGE)
#define MAP_GROWTH_AT	     (11 * SEG_PAGE)
#define MAP_STRIPES_AT	     (12 * SEG_PAGE)
#define STRIPE_SHIFT_HOST    7u	 /* side by side */
#define STRIPE_SHIFT_CLUSTER 12u /* a page each: nodes that write different stripes do not meet */

/* What a participant was doing to which map. Zeroed: nothing. */
enum map_op {
	MAP_OP_NONE = 0,
	MAP_OP_ENTRY = 1,  /* one word makes the change; the entry in `fresh` is in use with it */
	MAP_OP_BUCKET = 2, /* the same, without an entry */
	MAP_OP_TABLE =
		3, /* the table's memory belongs to the map, which may not name it (any more) */
	MAP_OP_FINISH = 4,  /* the table has no buckets in use any more, and is to be retired */
	MAP_OP_REWRITE = 5, /* the entry at `word` gets the value `redo` */
};

#define MAP_REWRITE_MAX 880u /* bytes of a value that is overwritten in its place */

/* Of the slot's map_area. */
struct map_journal {
	_Atomic uint64_t fresh;	     /* entry being made: the heap's word */
	_Atomic uint64_t trash;	     /* entry being freed: the heap's word */
	_Atomic uint64_t trash_list; /* entries to be freed */
	_Atomic uint64_t spares;     /* the same, but better used for new ones */
	_Atomic uint64_t map;	     /* offset of its header */
	_Atomic uint32_t op;	     /* enum map_op */
	_Atomic uint32_t stripe;     /* locked last, or about to be */
	_Atomic uint64_t table;	     /* offset: MAP_OP_TABLE, MAP_OP_FINISH */
	/*
	 * MAP_OP_ENTRY, MAP_OP_BUCKET: done when the word at `word` has the value `value`. Then
	 * what the stripe has:
	 */
	uint64_t word, value;
	uint64_t version, count, ttl, fresh_list;
	uint32_t fresh_count, over_index, over;
	uint32_t spare_count; /* of spares: a hint */
	uint32_t reserved0;
	_Atomic uint32_t depth; /* of reading sections begun by the program */
	/* MAP_OP_REWRITE: also read by others, who find the slot's number in the entry. */
	_Atomic uint64_t redo_version;
	_Atomic uint32_t redo_size;
	uint32_t reserved;
	uint8_t redo[MAP_REWRITE_MAX]; /* from a multiple of 8 on */
};
static_assert(offsetof(struct map_journal, redo) % 8 == 0, "layout");
static_assert(sizeof(struct map_journal) <= sizeof(((struct seg_slot *)0)->map_area), "layout");

#endif
