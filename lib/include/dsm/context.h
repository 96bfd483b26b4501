/* SPDX-License-Identifier: MIT */
/*
 * libdsm with contexts: a program may be several nodes, or use one node in
 * several ways.
 *
 * Results: functions that can fail return 0, or a negative errno; some return
 * a positive DSM_* value for a success that needs a second look. Nothing here sets
 * errno on purpose, and nothing writes to stdout or stderr.
 *
 * Every function may give -EINVAL (a bad argument), -ENOTCONN (the agent has
 * gone, or the context is closed) and -ENOMEM beside what its own text says.
 *
 * Threads: a context may be used by any number of threads. A thread holds its
 * locks itself: its end releases them, and who gets such a lock next is told
 * DSM_OWNER_DEAD.
 */
#ifndef DSM_CONTEXT_H
#define DSM_CONTEXT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dsm_page_info;

/** A node as a program uses it. */
typedef struct dsm dsm_t;
/** A region as a program maps it. */
typedef struct dsm_region dsm_region_t;

/** Timeouts are in microseconds from the call; this one never ends. */
#define DSM_FOREVER UINT64_MAX

/** Positive results of the lock functions. */
enum {
	DSM_OWNER_DEAD =
		1, /**< the lock is held, but who had it before died with it: check the data it guards */
};

/** What dsm_open() needs. Zeroed, it means the defaults. */
struct dsm_options {
	uint16_t port;	     /**< of the node's agent; 0: DSM_PORT, else 9900 */
	uint16_t flags;	     /**< DSM_OPEN_* */
	uint32_t timeout_ms; /**< for the agent to start and to join; 0: 30 seconds */
	uint64_t chunks;     /**< donated by an agent started here; 0: DSM_CHUNKS, else 65536 */
	const char *
		rundir; /**< directory of the agents' sockets; NULL: DSM_RUNDIR and so on, see libdsm(3) */
};

#define DSM_OPEN_NO_START 1u /**< never start an agent: -ENOENT where none serves the port */
/**
 * Map regions where there is room, not at the address all nodes agree on: for
 * a program that is several nodes at once. Pointers stored in shared memory mean
 * nothing then; offsets from dsm_region_base() do.
 */
#define DSM_OPEN_ANYWHERE 2u

/**
 * Use the node on @options->port (NULL: all defaults), started when no agent
 * serves it, and map the default region. Returns when the node is a member.
 *
 * An agent started here ends with the program, however that ends.
 *
 * fork(): with the kernel module the child goes on with the same memory. With
 * the userfaultfd pager the child maps it anew, inside fork(), at the same
 * addresses. Either way the child holds none of the parent's locks. A child
 * does not count in barriers of all nodes beside its parent.
 *
 * Errors: -ENOENT no dsmd found to start, or DSM_OPEN_NO_START and no agent; -ECONNREFUSED the
 * agent ended at once; -ETIMEDOUT; -EADDRINUSE the memory's address range is
 * taken in this program, perhaps by another context; -EOPNOTSUPP the agent's pager takes no further program;
 * -EACCES the agent belongs to another user.
 */
int dsm_open(const struct dsm_options *options, dsm_t **ret);

/**
 * Unmap its regions and end its use; an agent started by dsm_open() leaves the
 * cluster in peace first. NULL is allowed. No other thread may use @ctx.
 */
void dsm_close(dsm_t *ctx);

/** The context behind dsm_init() and its family; NULL before. */
dsm_t *dsm_default_context(void);

/** A node and its cluster: dsm_status_get(). */
struct dsm_status {
	uint32_t node_id;     /**< 0: no member now */
	uint32_t node_count;  /**< members */
	uint32_t master_id;   /**< node id of the master */
	uint16_t port;	      /**< of the agent */
	uint16_t kmod;	      /**< 1: through /dev/dsm, 0: userfaultfd */
	uint64_t total_bytes; /**< donated by all members */
	uint64_t used_bytes;  /**< of these, allocated */
};

/** 0 and @ret filled. */
int dsm_status_get(dsm_t *ctx, struct dsm_status *ret);

/* ------------------------------------------------------------ regions */

/** The region "default"; belongs to @ctx, not to be closed. */
dsm_region_t *dsm_region_default(dsm_t *ctx);

/**
 * Make the region @name (1 to 31 bytes) of @size bytes (rounded up to pages)
 * and map it. -EEXIST; -ENOSPC no addresses left for it.
 */
int dsm_region_create(dsm_t *ctx, const char *name, uint64_t size, dsm_region_t **ret);

/** Map the region @name. Opening it twice gives the same mapping. -ENOENT. */
int dsm_region_open(dsm_t *ctx, const char *name, dsm_region_t **ret);

/** Unmap it; the region stays. NULL is allowed. */
void dsm_region_close(dsm_region_t *region);

/** Delete the region in the whole cluster: who maps it gets SIGBUS. -ENOENT; -EBUSY the default one. */
int dsm_region_delete(dsm_t *ctx, const char *name);

/** Where it is mapped: the same address on every node. */
void *dsm_region_base(const dsm_region_t *region);
/** Bytes. */
uint64_t dsm_region_size(const dsm_region_t *region);
/** Its name, as long as it is open. */
const char *dsm_region_name(const dsm_region_t *region);

/* ------------------------------------------------------------ memory */

/**
 * @size bytes of the region, whole pages, zeroed. Pages of a region may also
 * be used without: what nobody allocated is given at first touch; allocating
 * keeps uses apart. -ENOMEM the pool or the region is exhausted.
 */
int dsm_alloc(dsm_region_t *region, size_t size, void **ret);

/** The same at byte @offset of the region, page-aligned. -EEXIST part of it is taken. */
int dsm_alloc_at(dsm_region_t *region, uint64_t offset, size_t size, void **ret);

/** Give it back, on any node. -EINVAL: no allocation starts at @ptr. */
int dsm_release(dsm_t *ctx, void *ptr);

/* Flags of dsm_prefetch(). */
#define DSM_PREFETCH_FOR_WRITE 1u /**< pages come with the right to write */
/**
 * Not now, but as soon as the next barrier that the calling thread waits at lets it
 * go: the request goes along with the barrier's, and needs no message of its own.
 */
#define DSM_PREFETCH_AFTER_BARRIER 2u

/**
 * Ask for the pages that [addr, addr + size) touches, without waiting: a hint. Worth it for
 * pages that are going to be needed in a while; those that are here cost little.
 * -ENOSPC: more than 16 runs of pages for one barrier.
 */
int dsm_prefetch(dsm_t *ctx, const void *addr, size_t size, unsigned int flags);

/** The page that @addr is in, see <dsm/dsm.h>. -EINVAL: no shared memory of @ctx. */
int dsm_page_info_get(dsm_t *ctx, const void *addr, struct dsm_page_info *ret);

/* ------------------------------------------------------------ waiting */

/**
 * Sleep while the word at @addr (in shared memory, 4-byte aligned) is
 * @expected. Returns 0 when it is not, when its page was taken away by another
 * node that writes to it, or when a program of this node called dsm_wake(); it may
 * return for no reason too: look at the word again. -ETIMEDOUT.
 *
 * With dsm_wake() this is a futex between machines: a store from another node
 * wakes by itself; a store on this node needs a dsm_wake() here.
 */
int dsm_wait(dsm_t *ctx, const void *addr, uint32_t expected, uint64_t timeout_us);

/** Wake the threads of this node that wait for the page of @addr. How many, or a negative errno. */
int dsm_wake(dsm_t *ctx, const void *addr);

/* ------------------------------------------------------------ locks */

/*
 * Locks are numbers. They are first come, first served between nodes; one that
 * was last used on this node is taken again without a system call.
 */

/**
 * 0 or DSM_OWNER_DEAD: held by the calling thread. -EDEADLK: it holds the lock
 * already, or waiting would never end: threads of any nodes that hold locks wait
 * for each other's in a circle. One of them is told so, some tenths of a second later
 * (dsmd --deadlock-time), and should release what it holds. Only locks of this kind are
 * looked at, no reader-writer locks or barriers. (Chandy, Misra and Haas, 1983.)
 */
int dsm_ctx_lock(dsm_t *ctx, uint32_t id);
/** The same, but -EBUSY instead of waiting. */
int dsm_ctx_trylock(dsm_t *ctx, uint32_t id);
/** The same, but -ETIMEDOUT after @timeout_us. */
int dsm_ctx_timedlock(dsm_t *ctx, uint32_t id, uint64_t timeout_us);
/** -EPERM: the calling thread does not hold it. */
int dsm_ctx_unlock(dsm_t *ctx, uint32_t id);

/**
 * Reader-writer locks; their numbers are apart from those of the locks above. Those from
 * 0x80000000 on are the library's own: segments hold them.
 */
int dsm_rdlock(dsm_t *ctx, uint32_t id, uint64_t timeout_us);
/** Alone. @timeout_us 0: -EBUSY instead of waiting, here and above. -ETIMEDOUT; DSM_OWNER_DEAD. */
int dsm_wrlock(dsm_t *ctx, uint32_t id, uint64_t timeout_us);
/** Release what the calling thread holds for reading. -EPERM. */
int dsm_rdunlock(dsm_t *ctx, uint32_t id);
/** Release what the calling thread holds for writing. -EPERM. */
int dsm_wrunlock(dsm_t *ctx, uint32_t id);

/**
 * Wait at barrier @id until @count threads of the cluster are there (0: one of
 * each node). All of them name the same count. -ETIMEDOUT: this thread does not count any more.
 */
int dsm_barrier_wait(dsm_t *ctx, uint32_t id, uint32_t count, uint64_t timeout_us);

#ifdef __cplusplus
}
#endif

#endif
