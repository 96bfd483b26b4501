/* SPDX-License-Identifier: MIT */
/*
 * libdsm: memory shared by the programs of several machines.
 *
 * Before you start:
 * - Memory is shared in pages of 4096 bytes. Two nodes that write into one page
 *   in turn wait for each other, wherever in the page they write.
 * - Every address below belongs to one area, mapped at the same address on
 *   every node: pointers stored in shared memory are valid everywhere.
 * - The memory is sequentially consistent, and CPU atomics work in it across
 *   machines. See docs/memory-model.md.
 * - When a node dies, pages whose only copy it had are lost: touching them is
 *   SIGBUS. SIGBUS is also what a bare access gets when the pool is exhausted.
 * - What fork() does: see dsm_open() in <dsm/context.h>.
 *
 * This header is the simple interface: one node per program, errors as 0 and
 * -1 (or NULL) with errno. <dsm/context.h>, included here, has all the rest:
 * named regions, timeouts, reader-writer locks, counted barriers.
 *
 * Everything may be called from any thread, unless it says otherwise.
 */
#ifndef DSM_DSM_H
#define DSM_DSM_H

#include <stddef.h>
#include <stdint.h>

#include <dsm/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Bytes in a page. */
#define DSM_PAGE_BYTES 4096u

/** States of a page at this node, as in dsm_page_info_t. */
enum {
	DSM_STATE_INVALID = 0,	/**< not here: an access fetches it */
	DSM_STATE_SHARED = 1,	/**< here for reading */
	DSM_STATE_MODIFIED = 2, /**< here, and only here, for writing */
	DSM_STATE_PENDING = 3,	/**< on its way */
};

/** One page, as this node sees it: dsm_get_page_info(). */
typedef struct dsm_page_info {
	uint32_t owner_id;    /**< node that may write it; where none may, its home */
	uint32_t state;	      /**< DSM_STATE_*, at this node */
	uint64_t global_addr; /**< of its first byte: offset in the region */
	void *local_addr;     /**< of its first byte */
	size_t size;	      /**< DSM_PAGE_BYTES */
	uint64_t version;     /**< grows as nodes write in turn, not with every turn */
	int dirty;	      /**< 1: its state is DSM_STATE_MODIFIED */
} dsm_page_info_t;

/** One page that is held or homed here: dsm_get_local_pages(). */
typedef struct dsm_local_page {
	uint64_t global_addr; /**< offset in the default region */
	void *local_addr;     /**< where it is mapped */
	size_t size;	      /**< DSM_PAGE_BYTES */
	uint32_t owner_id;    /**< as in dsm_page_info_t */
	uint32_t state;	      /**< DSM_STATE_*, at this node */
	int in_use;	      /**< 1: its bytes are here now; 0: only its home is */
} dsm_local_page_t;

/** One piece of allocated memory: dsm_get_global_pages(). */
typedef struct dsm_global_page {
	uint64_t global_addr; /**< offset in the default region */
	size_t size;	      /**< bytes, a multiple of DSM_PAGE_BYTES */
	uint32_t owner_id;    /**< its home: the node whose pool it is taken from */
} dsm_global_page_t;

/**
 * Join the cluster. @argv[1] is the TCP port of the node on this machine,
 * @argv[2] how many 4 KiB chunks it donates to the pool (a plain number, or a
 * size like 512M). Missing ones come from DSM_PORT and DSM_CHUNKS, else are
 * 9900 and 256 MiB.
 *
 * Where an agent serves that port already, the program uses it and @argv[2]
 * means nothing. Else an agent is started that lives as long as the program.
 * Returns when the node is a member: 0, or -1 with errno: EINVAL bad
 * arguments, EALREADY initialised before, ENOENT no dsmd was found (DSM_DSMD
 * names it), ETIMEDOUT no cluster could be joined or founded, ECONNREFUSED the agent
 * ended at once (it says why on stderr), or what the system answered.
 */
int dsm_init(int argc, char **argv);

/** The same with numbers. @chunks 0: the default. */
int dsm_init_with_params(uint16_t port, uint32_t chunks);

/**
 * Leave: the shared memory is unmapped, and an agent that was started for this
 * program hands its pages to the others and ends. Does nothing when there is
 * nothing to leave. No other thread may be in a dsm call or use shared memory.
 */
void dsm_finalize(void);

/**
 * Shared memory for @size bytes, zeroed: up to a page from a heap in the default region, where a
 * small block costs no page of its own and no message (see <dsm/heap.h>); more than a page is
 * whole pages of the pool, as is everything where the pool is too small for a heap.
 * Aligned to 16 bytes, from 4096 bytes on to pages. NULL with errno:
 * EINVAL (0), ENOMEM (the pool is exhausted), ENOTCONN (no dsm_init()).
 */
void *dsm_malloc(size_t size);

/**
 * Give back what dsm_malloc() or dsm_malloc_at() returned, on any node. NULL
 * is allowed. A pointer that is no such allocation (any more) changes nothing but errno
 * (EINVAL) and is logged.
 */
void dsm_free(void *ptr);

/**
 * Shared memory at global address @global_addr, a multiple of the page size.
 * NULL with errno as dsm_malloc(); EEXIST: part of it is allocated already;
 * EINVAL also: unaligned, or beyond the region.
 */
void *dsm_malloc_at(uint64_t global_addr, size_t size);

/**
 * Local pointer to what some node allocated at @global_addr. NULL with errno:
 * ENOENT when [global_addr, global_addr + size) is not allocated; EINVAL.
 */
void *dsm_map_remote(uint64_t global_addr, size_t size);

/**
 * Take the lock @id (any number; all 32 bits count), waiting for it; the
 * calling thread holds it then. 0, or -1 with errno: EDEADLK this thread has it, or waiting would
 * never end, see dsm_ctx_lock(); ENOTCONN. A holder's death passes the lock on: that is 0 here;
 * dsm_ctx_lock() tells it.
 */
int dsm_lock(int id);

/** Release it. Not held by this thread: errno EPERM, and logged. */
void dsm_unlock(int id);

/** Wait until every node of the cluster has come here. Nodes that die or leave do not count. */
void dsm_barrier(void);

/** 1 on the master, 0 elsewhere and without a cluster. */
int dsm_is_master(void);
/** Number of this node, 0: none. The founder of a cluster is 1. */
uint32_t dsm_get_node_id(void);
/** Members of the cluster, 0 without one. */
uint32_t dsm_get_node_count(void);
/** Bytes that all members donate together. */
size_t dsm_get_total_memory(void);

/** 0 debug, 1 info (default), 2 warnings, 3 errors; of the library, and of an agent it started. */
void dsm_set_log_level(int level);

/** The page that @addr is in. 0, or -1 with errno: EINVAL not shared memory, ENOTCONN. */
int dsm_get_page_info(void *addr, dsm_page_info_t *info);
/** "INVALID", "SHARED", "MODIFIED", "PENDING", or "UNKNOWN". */
const char *dsm_page_state_to_string(int state);
/** The node that owns the page @addr is in (see owner_id), or -1 with errno. */
int dsm_get_page_owner(void *addr);

/** Pages held or homed at this node. The caller frees @pages with free(). 0, or -1 with errno. */
int dsm_get_local_pages(dsm_local_page_t **pages, uint32_t *count);
/**
 * What is allocated in the cluster, or was touched without, on whichever node. The
 * caller frees @pages with free(). 0, or -1 with errno.
 */
int dsm_get_global_pages(dsm_global_page_t **pages, uint32_t *count);
/** Another name for dsm_get_global_pages(). */
int dsm_discover_pages(dsm_global_page_t **pages, uint32_t *count);

/** Node, cluster, and pages of this node, as text on stdout. */
void dsm_debug_dump_state(void);

#ifdef __cplusplus
}
#endif

#endif
