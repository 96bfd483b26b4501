/* SPDX-License-Identifier: MIT */
/* What a process keeps of a segment it has open, and what differs between hosts and clusters. */
#ifndef DSM_LIB_SEGMENT_PRIVATE_H
#define DSM_LIB_SEGMENT_PRIVATE_H

#include <pthread.h>

#include "lib/segment/layout.h"

#define SEG_URI_MAX  256
#define SEG_PENDING  8 /* deaths noticed with locks held, to be seen to later */
#define SEG_SIZE_MIN (16 * (uint64_t)SEG_GRAIN)
#define SEG_SIZE_MAX (1ull << 42)

struct seg_backend {
	/* Memory for [off, off + len), whole pages, zeroed where there was none. -ENOSPC. */
	int (*commit)(dsm_segment_t *seg, uint64_t off, uint64_t len);
	/*
	 * Hold slot @index until the process ends or releases it. -EBUSY: somebody has it. Only
	 * one thread of the process asks for a slot at a time.
	 */
	int (*claim)(dsm_segment_t *seg, uint32_t index);
	void (*release)(dsm_segment_t *seg, uint32_t index);
	/*
	 * The same for one who cleans up after the slot's owner. -EBUSY: that lives, or
	 * somebody else is at it.
	 */
	int (*claim_dead)(dsm_segment_t *seg, uint32_t index);
	void (*release_dead)(dsm_segment_t *seg, uint32_t index);
	/* Somebody else holds it. */
	bool (*held)(dsm_segment_t *seg, uint32_t index);
	int (*wait)(dsm_segment_t *seg, _Atomic uint32_t *word, uint32_t expected,
		    uint64_t timeout_us);
	void (*wake)(dsm_segment_t *seg, _Atomic uint32_t *word, int n);
	/* In a child after fork(), before anything else: claims made before are the parent's. */
	void (*forked)(dsm_segment_t *seg);
	/* The id of this process's node; 0: not known now. NULL: there are no nodes. */
	uint32_t (*node)(const dsm_segment_t *seg);
	void (*unmap)(dsm_segment_t *seg);
	uint32_t spins;	     /* looks at a taken lock before sleeping */
	uint32_t probes;     /* slots in use looked at for dead ones by who comes: > 1 */
	uint64_t grow_least; /* bytes */
};

extern const struct seg_backend seg_shm, seg_cluster;

/* A thread that is a participant. */
struct seg_thread {
	struct seg_thread *next;
	pthread_t thread;
	struct seg_slot *slot;
};

struct seg_private {
	dsm_segment_t seg;	  /* what users see */
	struct seg_private *next; /* all of the process, under seg_handles_lock */
	pthread_mutex_t lock;	  /* of threads */
	struct seg_thread *threads;
	/* Slots that threads of this handle claimed: their own, and those they clean up after. */
	_Atomic uint64_t claimed[SEG_SLOTS / 64], recovering[SEG_SLOTS / 64];
	_Atomic uint32_t pending[SEG_PENDING];
	_Atomic uint32_t npending;
	int fd;	    /* shm */
	dsm_t *ctx; /* dsm */
	bool own_ctx;
	dsm_region_t *region;
	uint64_t region_off; /* where in the region the segment begins */
	uint32_t window;     /* of the default region */
	char uri[SEG_URI_MAX];
};

extern pthread_mutex_t seg_handles_lock;
extern struct seg_private *seg_handles;

/* open.c: lays out a segment of at most @grains, @size bytes in all being there, in zeroed memory. */
void seg_format(dsm_segment_t *seg, uint64_t grains, uint64_t size);
/* -EBADMSG, -EPROTO, -ESTALE: what is wrong with the header of @what, of which @there bytes exist. */
int seg_check(const struct seg_header *h, uint64_t there, const char *what);

/* shm.c, cluster.c: set base, capacity, backend; then the rest is as everywhere. @name follows the scheme. */
int shm_make(struct seg_private *p, const char *name, const struct dsm_segment_options *o);
int shm_attach(struct seg_private *p, const char *name);
int shm_unlink_segment(const char *name);
int shm_list(char ***ret);
int cluster_make(struct seg_private *p, const char *name, const struct dsm_segment_options *o);
int cluster_attach(struct seg_private *p, const char *name, const struct dsm_segment_options *o);
int cluster_unlink(const char *name, dsm_t *ctx);
int cluster_list(dsm_t *ctx, char ***ret);

/* slot.c */
int slot_claim(dsm_segment_t *seg, uint32_t index);
void slot_release(dsm_segment_t *seg, uint32_t index);
int slot_claim_dead(dsm_segment_t *seg, uint32_t index);
void slot_release_dead(dsm_segment_t *seg, uint32_t index);
void seg_threads_leave(struct seg_private *p);
uint64_t seg_new_serial(void);

/* recover.c: the layers up to @layer of the slot that seg_self() is, then its locks of these. */
void seg_recover_layers(dsm_segment_t *seg, struct seg_slot *dead, enum seg_layer layer);
/* Clean up after @id as far as a holder of locks may; see to the rest later. True: the holder is gone. */
bool seg_recover_upto(dsm_segment_t *seg, seg_id id, enum seg_layer layer);
void seg_recover_pending(dsm_segment_t *seg);
/*
 * How many dead the calling thread is, one within the other: while it is any, its slot does not
 * tell which locks it holds itself.
 */
extern __thread unsigned int seg_recovering __attribute__((tls_model("initial-exec")));

/* grain.c, root.c: parts of the grains layer's recovery. */
void seg_grains_sweep_root(dsm_segment_t *seg, uint32_t root);
void roots_recover(dsm_segment_t *seg, struct seg_slot *dead);

static inline bool seg_holds_nothing(const struct seg_slot *s)
{
	for (int i = 0; i < SEG_HELD_MAX; i++)
		if (atomic_load_explicit(&s->held[i], memory_order_relaxed))
			return false;
	return true;
}

#endif
