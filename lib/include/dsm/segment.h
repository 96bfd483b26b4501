/* SPDX-License-Identifier: MIT */
/*
 * Segments: the memory that heaps, maps, rings and channels live in, the same
 * for one host and for a cluster.
 *
 *   shm:NAME	  POSIX shared memory of this host: no agent, no module
 *   dsm:REGION	  a region of the cluster, see <dsm/context.h>
 *
 * A place in a segment is named by its offset, which means the same to everybody;
 * 0 is no place. A segment is mapped once, at its greatest size: growing moves nothing.
 *
 * Participants. A thread that changes anything in a segment takes a slot in it, at
 * its first such call, and gives it back at its end. Whoever meets the slot of one that
 * was killed completes or undoes what it was doing and releases its locks; so nothing
 * has to be restarted, and nobody has to look out for deaths.
 *
 * Results are 0 (or a count) or a negative errno; dsm_last_error() says in words
 * what was wrong. Threads may share a handle. After fork() the child may go on with the
 * parent's handles: it becomes a participant of its own.
 */
#ifndef DSM_SEGMENT_H
#define DSM_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <dsm/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A segment as a process uses it. */
typedef struct dsm_segment dsm_segment_t;

/** Bytes of a root's name, its end included. */
#define DSM_ROOT_NAME_MAX 40

/** How to make or open a segment. Zeroed: the defaults. */
struct dsm_segment_options {
	uint64_t size;	   /**< create: bytes that are there from the start; 0: 1 MiB */
	uint64_t max_size; /**< create: bytes it may grow to; 0: 16 times size, at least 1 GiB */
	uint32_t mode;	   /**< create, shm: permissions; 0: 0600 */
	uint32_t flags;	   /**< DSM_SEGMENT_* */
	dsm_t *ctx; /**< dsm: the node; NULL: dsm_default_context(), else one of its own by DSM_PORT */
};

#define DSM_SEGMENT_EXISTING 1u /**< create: open it when it is there already */

/**
 * Make a segment. -EEXIST; -ENOSPC no memory of that size, or the region is there and too small;
 * -EINVAL a bad URI or size. A segment appears under its name only when it is complete. With
 * DSM_SEGMENT_EXISTING, and in a region that is there, also as dsm_segment_open(): what is no
 * segment is left as it is.
 */
int dsm_segment_create(const char *uri, const struct dsm_segment_options *options,
		       dsm_segment_t **ret);

/**
 * Open a segment that is there. -ENOENT; -EBADMSG no segment (foreign, truncated, damaged);
 * -EPROTO another layout version; -ESTALE its making was never completed; -EACCES;
 * -EUSERS no free slot. @options may be NULL.
 */
int dsm_segment_open(const char *uri, const struct dsm_segment_options *options,
		     dsm_segment_t **ret);

/**
 * Unmap it; the segment stays. NULL is allowed. No other thread may use @seg or any
 * structure opened in it.
 */
void dsm_segment_close(dsm_segment_t *seg);

/** Remove the name: who has it open goes on with it (shm), or gets SIGBUS (dsm). -ENOENT. */
int dsm_segment_unlink(const char *uri, dsm_t *ctx);

/** Have at least @size bytes, while others use it. -ENOSPC beyond max_size, or no memory. */
int dsm_segment_grow(dsm_segment_t *seg, uint64_t size);

/** Where offset @off is in this process; NULL for 0 and for what lies outside. */
void *dsm_segment_ptr(const dsm_segment_t *seg, uint64_t off);
/** The offset of @ptr; 0 when it is not in the segment. */
uint64_t dsm_segment_offset(const dsm_segment_t *seg, const void *ptr);
/** As given when it was opened. */
const char *dsm_segment_uri(const dsm_segment_t *seg);

/** What a named root is. */
enum dsm_root_kind {
	DSM_ROOT_ANY = 0,  /**< when asking: any */
	DSM_ROOT_USER = 1, /**< set by dsm_segment_root_set() */
	DSM_ROOT_HEAP,
	DSM_ROOT_MAP,
	DSM_ROOT_RING,
	DSM_ROOT_LISTENER,
	DSM_ROOT_CHANNEL,
};
/** "heap" and so on; "unknown" for no enum dsm_root_kind. */
const char *dsm_root_kind_name(uint32_t kind);

/** A named root: where something in the segment begins. */
struct dsm_root {
	char name[DSM_ROOT_NAME_MAX]; /**< ends with a zero byte */
	uint64_t offset;	      /**< what it names; for structures: their header */
	uint32_t kind;		      /**< enum dsm_root_kind */
	uint32_t index;		      /**< its place in the table of roots */
};

/** Name an offset, or change what the name means. -ENOSPC no free root; -EEXIST a structure has the name. */
int dsm_segment_root_set(dsm_segment_t *seg, const char *name, uint64_t offset);
/** -ENOENT. */
int dsm_segment_root_get(dsm_segment_t *seg, const char *name, struct dsm_root *ret);
/** Forget a user's root. -ENOENT; -EBUSY it is a structure, which its own function removes. */
int dsm_segment_root_remove(dsm_segment_t *seg, const char *name);
/** The roots from table index @from on, at most @max. How many, 0 at the end. */
int dsm_segment_root_list(dsm_segment_t *seg, uint32_t from, struct dsm_root *ret, uint32_t max);

/** A segment as a whole: dsm_segment_info(). */
struct dsm_segment_info {
	uint64_t id;	      /**< random, its own */
	uint64_t size;	      /**< bytes that are there */
	uint64_t max_size;    /**< bytes it may grow to */
	uint64_t free_bytes;  /**< of size, not given to any structure */
	uint64_t created_ns;  /**< wall clock, ns since 1970 */
	uint32_t creator_pid; /**< process that made it, in its own pid namespace */
	uint32_t creator_uid; /**< its user */
	uint32_t
		participants; /**< slots in use, those of the dead included until somebody meets them */
	uint32_t version;     /**< of the layout */
	uint32_t roots;	      /**< named roots */
	uint32_t recovered; /**< deaths cleaned up after since it was made */
};
/** 0 and @ret filled. */
int dsm_segment_info(dsm_segment_t *seg, struct dsm_segment_info *ret);

/** Look for participants that were killed and clean up after them now. How many. */
int dsm_segment_recover(dsm_segment_t *seg);

/**
 * The URIs of the segments on this host (@ctx NULL), or of the cluster's. An array of strings
 * to be freed by dsm_segment_list_free(). How many.
 */
int dsm_segment_list(dsm_t *ctx, char ***ret);
/** What dsm_segment_list() gave. NULL is allowed. */
void dsm_segment_list_free(char **list);

/** What went wrong in the calling thread's last failed call, in words; never NULL. */
const char *dsm_last_error(void);

#ifdef __cplusplus
}
#endif

#endif
