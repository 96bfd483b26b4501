/* SPDX-License-Identifier: MIT */
/*
 * Inside libdsm: what structures build on. One process or node may be killed
 * between any two instructions; what follows is how they survive it.
 *
 * Layout (see docs/structures.md):
 *
 *   header | roots | slots | grain table | grains ...
 *
 * Slots. A participant (a thread's use of a segment) owns one slot of a page: its journal
 * areas, the locks it holds, its announcements. The slot is alive as long as
 * its thread's process is: the backend can tell (shm: an open-file-description lock on
 * the slot's byte, dsm: a lock of the cluster), and lets exactly one process claim a dead one.
 *
 * Recovery. Who meets a dead participant claims its slot, becomes it for a while
 * (seg_self() is the dead slot), lets each layer complete or undo what its journal area tells,
 * then releases the locks the dead still holds in that layer. So:
 *
 *  - Recovery functions may be killed too, and are run again: they must be idempotent.
 *  - They run while the dead still holds its locks. They may take locks of lower layers only, as normal
 *    code may: a layer's function takes locks of its own layer (at most one more, in a documented order), then of lower ones.
 *  - A thread that waits for a lock of layer n recovers its dead holder up to layer n only, as it may
 *    itself hold locks above; the rest is done when it holds none.
 *
 * Nothing in shared memory is believed: offsets and counts read from it are checked before
 * they are used to address memory.
 */
#ifndef DSM_LIB_SEGMENT_H
#define DSM_LIB_SEGMENT_H

#include <assert.h>
#include <dsm/segment.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SEG_MAGIC   0x314745534d5344aeull /* "\xaeDSMSEG1" */
#define SEG_VERSION 2u
#define SEG_PAGE    4096u
#define SEG_GRAIN   65536u /* what structures get memory in */
#define SEG_SLOTS   2048u
#define SEG_ROOTS   256u
#define SEG_LINE    64u

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Layers, lowest first: see "Recovery". */
enum seg_layer {
	SEG_LAYER_GRAINS, /* roots and grains */
	SEG_LAYER_HEAP,
	SEG_LAYER_TOP, /* map, ring, channel */
	SEG_LAYERS,
};

/*
 * A participant: slot index in the lower 11 bits, the slot's generation in
 * the next 20. Never 0; not given again before 2^20 others used the slot.
 */
typedef uint32_t seg_id;
#define SEG_ID_BITS	31
#define SEG_ID_MASK	0x7fffffffu
#define SEG_ID_SLOT(id) ((id) & (SEG_SLOTS - 1))

/*
 * A robust lock, 8 bytes anywhere in the segment, zeroed: free. For short sections
 * without waits in them.
 */
struct seg_lock {
	_Atomic uint32_t word;	   /* 0, or the holder's id; top bit: somebody waits */
	_Atomic uint32_t reserved; /* 0 */
};

enum seg_slot_state {
	SLOT_FREE = 0,
	SLOT_USED = 1, /* its id is good: alive, or dead and not cleaned up */
	SLOT_DEAD = 2, /* the same, found dead: somebody is cleaning up, or was killed at it */
};

#define SEG_HELD_MAX 8 /* locks a thread holds at once */

struct seg_slot {
	/* Who. */
	_Atomic uint32_t state; /* enum seg_slot_state */
	_Atomic uint32_t id;
	uint32_t pid, tid; /* as its own pid namespace numbers them */
	uint32_t node;	   /* node id (dsm), else 0 */
	uint32_t uid;
	uint64_t process; /* random, of the process: tells namesakes apart */
	uint64_t since_ns;
	uint32_t reserved0[6];
	/* Locks held or about to be taken: offset | layer. */
	_Atomic uint64_t held[SEG_HELD_MAX];
	/* Journals of the layers; zeroed when the slot is given out. */
	_Alignas(64) uint8_t grains_area[128];
	/* Read by others all the time, written seldom: an epoch announced by readers, see map. */
	_Alignas(64) _Atomic uint64_t epoch;
	_Alignas(64) uint8_t heap_area[1536];
	_Alignas(64) uint8_t map_area[1024];
	_Alignas(64) uint8_t channel_area[512];
	_Alignas(64) uint8_t reserved1[704];
};
static_assert(sizeof(struct seg_slot) == SEG_PAGE, "layout of segments");

struct seg_backend;

struct dsm_segment {
	uint8_t *base;
	uint64_t capacity; /* bytes mapped */
	_Atomic uint64_t
		serial; /* of this handle in this process; never used twice, anew after fork() */
	struct seg_header *header;
	struct seg_slot *slots;
	const struct seg_backend *backend;
	bool cluster;			 /* dsm: other nodes may share it */
	struct seg_private *priv;	 /* see private.h */
	_Atomic(struct dsm_heap *) heap; /* the process's handle of its heap; NULL: not opened */
};

/* ------------------------------------------------------------ places */

/* No check: for offsets made by this process or checked before. */
static inline void *seg_at(const dsm_segment_t *seg, uint64_t off)
{
	return seg->base + off;
}

/* NULL unless [off, off + size) lies in the memory that is there now, @align a power of two. */
void *seg_checked(const dsm_segment_t *seg, uint64_t off, uint64_t size, uint64_t align);
static inline uint64_t seg_off(const dsm_segment_t *seg, const void *p)
{
	return (uint64_t)((const uint8_t *)p - seg->base);
}
/* Bytes that are there. */
uint64_t seg_size(const dsm_segment_t *seg);

/* ------------------------------------------------------------ participants */

/* The segments a thread used last, by serial. */
struct seg_tls {
	uint64_t serial; /* 0: none */
	struct seg_slot *slot;
};
#define SEG_TLS 4u
extern __thread struct seg_tls seg_tls[SEG_TLS] __attribute__((tls_model("initial-exec")));

static inline struct seg_tls *seg_tls_of(uint64_t serial)
{
	return &seg_tls[serial % SEG_TLS];
}

struct seg_slot *seg_self_slow(dsm_segment_t *seg);

/*
 * The calling thread's slot, taken at the first call. NULL: none is free, or
 * the cluster is gone (-EUSERS, -ENOTCONN; dsm_last_error() tells).
 */
static inline struct seg_slot *seg_self(dsm_segment_t *seg)
{
	uint64_t serial = atomic_load_explicit(&seg->serial, memory_order_relaxed);
	const struct seg_tls *tls = seg_tls_of(serial);

	return likely(tls->serial == serial) ? tls->slot : seg_self_slow(seg);
}
static inline seg_id seg_slot_id(const struct seg_slot *s)
{
	return atomic_load_explicit(&s->id, memory_order_relaxed);
}

/*
 * False: it was killed, or has ended. A system call (shm), or a message to the
 * agent (dsm): for those who have waited a while already.
 */
bool seg_alive(dsm_segment_t *seg, seg_id id);
/*
 * For who looks after many: seg_alive() asks the kernel, at a price that grows with the number of
 * participants. A descriptor that tells of processes which let go of the segment, the
 * caller's to close; -1: it cannot be told, so look at each. A thread's end is no departure.
 */
int seg_departures_open(dsm_segment_t *seg);
/* Since it was last asked. The departed may be seen alive for an instant yet. */
bool seg_departures_seen(int fd);
/*
 * Clean up after @id, all layers (no lock may be held), if it is dead. True: it is gone, by
 * whomever; false: it lives.
 */
bool seg_recover(dsm_segment_t *seg, seg_id id);
/*
 * There is no room: clean up after all who are dead, as they may have what is missing. True: there was one,
 * so try again. False: there is none, or the thread holds a lock; then it is tried again
 * without. seg_grains_alloc() does so itself.
 */
bool seg_reclaim(dsm_segment_t *seg);

/* ------------------------------------------------------------ locks */

/*
 * Take @lock, which lies in the segment. A dead holder is recovered on the way. -EUSERS,
 * -ENOTCONN: no participant; -EDEADLK: the thread has it already (in recovery: the dead had it).
 */
int seg_lock(dsm_segment_t *seg, struct seg_lock *lock, enum seg_layer layer);
/* -EBUSY: somebody alive has it, or was a moment ago. */
int seg_trylock(dsm_segment_t *seg, struct seg_lock *lock, enum seg_layer layer);
void seg_unlock(dsm_segment_t *seg, struct seg_lock *lock);

/* ------------------------------------------------------------ waiting */

#define SEG_FOREVER UINT64_MAX

/*
 * Sleep while *@word (in the segment) is @expected: a futex, on any node. 0: it is not, or
 * somebody woke, or nothing at all; -ETIMEDOUT. In a cluster a change made on
 * another node wakes by itself after a while; seg_wake() is needed all the same.
 */
int seg_wait(dsm_segment_t *seg, _Atomic uint32_t *word, uint32_t expected, uint64_t timeout_us);
/*
 * Wake @n (INT_MAX: all) who wait on @word. A system call: keep a count of
 * waiters beside the word and call it only where that is not 0.
 */
void seg_wake(dsm_segment_t *seg, _Atomic uint32_t *word, int n);
/* CLOCK_MONOTONIC. */
uint64_t seg_now_ns(void);

/* ------------------------------------------------------------ memory */

/*
 * @n grains side by side, zeroed when fresh only (@ret_zeroed, may be NULL, tells); the segment grows for them. They
 * belong to the calling participant, and are freed when it dies, until
 * seg_grains_adopt(). -ENOSPC.
 */
int seg_grains_alloc(dsm_segment_t *seg, uint64_t n, uint64_t *ret_off, bool *ret_zeroed);
/* From now on they belong to root @root: they are freed with it, or by seg_grains_free(). */
void seg_grains_adopt(dsm_segment_t *seg, uint64_t off, uint32_t root);
/* A whole run. -EINVAL: none starts there. */
int seg_grains_free(dsm_segment_t *seg, uint64_t off);
/* How many grains the run that holds @off has and where it starts; the root it belongs to (UINT32_MAX: a participant). -EINVAL. */
int seg_grains_find(dsm_segment_t *seg, uint64_t off, uint64_t *ret_first, uint64_t *ret_n,
		    uint32_t *ret_root);

/* ------------------------------------------------------------ structures by name */

/*
 * Claim the name for a new structure; @ret its root. -EEXIST; -ENOSPC. Then allocate,
 * adopt and fill what it needs and publish it; if the maker dies before, the name and all
 * grains adopted by the root are freed.
 */
int seg_root_make(dsm_segment_t *seg, const char *name, enum dsm_root_kind kind, uint32_t *ret);
void seg_root_publish(dsm_segment_t *seg, uint32_t root, uint64_t off);
/* Undo a make, or remove a structure: the name and all its grains go. */
void seg_root_drop(dsm_segment_t *seg, uint32_t root);
/* -ENOENT; -EMEDIUMTYPE: of another kind. Waits for a maker that is at work. */
int seg_root_find(dsm_segment_t *seg, const char *name, enum dsm_root_kind kind, uint32_t *ret_root,
		  uint64_t *ret_off);

/* ------------------------------------------------------------ errors */

/* Sets dsm_last_error() and is @err; a macro, so that checkers see that it is not 0. */
#define seg_error(err, ...)                                                                        \
	({                                                                                         \
		int err_ = (err);                                                                  \
		seg_error_text(__VA_ARGS__);                                                       \
		err_;                                                                              \
	})
void seg_error_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * In tests: called where a kill leaves something half-done, as often as there are such
 * places. Compiled in always; costs a load of a local flag where it stands, so
 * not on paths of a few nanoseconds.
 */
extern void (*seg_crash_hook)(const char *where);
static inline void seg_crash_point(const char *where)
{
	if (unlikely(seg_crash_hook))
		seg_crash_hook(where);
}

/* ------------------------------------------------------------ recovery by layer */

/*
 * The functions that clean up after @dead, whose slot seg_self() is meanwhile;
 * each in its structure's folder, listed in recover.c.
 */
void grains_recover(dsm_segment_t *seg, struct seg_slot *dead);
void heap_recover(dsm_segment_t *seg, struct seg_slot *dead);
void map_recover(dsm_segment_t *seg, struct seg_slot *dead);
void channel_recover(dsm_segment_t *seg, struct seg_slot *dead);

#endif
