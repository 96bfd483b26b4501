// SPDX-License-Identifier: MIT
/* Cleaning up after participants that were killed, and at the end of those that were not. */
#include <errno.h>
#include <limits.h>

#include "lib/segment/private.h"

void (*seg_crash_hook)(const char *where);
__thread unsigned int seg_recovering __attribute__((tls_model("initial-exec")));

static const struct {
	enum seg_layer layer;
	void (*recover)(dsm_segment_t *seg, struct seg_slot *dead);
} layers[] = {
	{ SEG_LAYER_GRAINS, grains_recover }, { SEG_LAYER_HEAP, heap_recover },
	{ SEG_LAYER_TOP, map_recover },	      { SEG_LAYER_TOP, channel_recover },
	{ SEG_LAYER_TOP, heap_recover }, /* again, last: cleaning up after structures uses the heap */
};

static void release_locks(dsm_segment_t *seg, struct seg_slot *dead, enum seg_layer layer)
{
	uint32_t id = seg_slot_id(dead);

	for (int i = 0; i < SEG_HELD_MAX; i++) {
		uint64_t held = atomic_load(&dead->held[i]);
		struct seg_lock *lock;
		uint32_t word;

		if (!held || (held & 7) > layer)
			continue;
		lock = seg_checked(seg, held & ~7ull, sizeof(*lock), 8);
		/* Locks of the segment itself lie before its data. */
		if (!lock && (held & ~7ull) < SEG_SLOTS_AT)
			lock = seg_at(seg, held & ~7ull);
		word = lock ? atomic_load(&lock->word) : 0;
		if (lock && (word & SEG_ID_MASK) == id) {
			/* Who waits may have set the mark since. */
			atomic_exchange(&lock->word, 0);
			seg_wake(seg, &lock->word, INT_MAX);
		}
		atomic_store(&dead->held[i], 0);
	}
}

void seg_recover_layers(dsm_segment_t *seg, struct seg_slot *dead, enum seg_layer upto)
{
	for (unsigned int layer = 0; layer <= upto; layer++) {
		for (size_t i = 0; i < sizeof(layers) / sizeof(layers[0]); i++)
			if (layers[i].layer == layer)
				layers[i].recover(seg, dead);
		release_locks(seg, dead, layer);
	}
}

/* Be @slot for a while; returns who the thread was. */
static struct seg_tls become(dsm_segment_t *seg, struct seg_tls who)
{
	struct seg_tls *tls = seg_tls_of(atomic_load_explicit(&seg->serial, memory_order_relaxed));
	struct seg_tls before = *tls;

	*tls = who;
	return before;
}

/* The slot of @id is claimed. False: it was another's already. */
static bool recover_claimed(dsm_segment_t *seg, seg_id id, enum seg_layer upto)
{
	struct seg_slot *dead = &seg->slots[SEG_ID_SLOT(id)];
	struct seg_tls before;

	if (atomic_load(&dead->state) == SLOT_FREE || seg_slot_id(dead) != id)
		return false;
	atomic_store(&dead->state, SLOT_DEAD);
	before = become(seg, (struct seg_tls){ atomic_load(&seg->serial), dead });
	seg_recovering++;
	seg_recover_layers(seg, dead, upto);
	seg_recovering--;
	(void)become(seg, before);
	if (upto == SEG_LAYERS - 1) {
		atomic_fetch_add(&seg_common(seg)->recovered, 1);
		atomic_store(&dead->state, SLOT_FREE);
	}
	return true;
}

static bool usable(const dsm_segment_t *seg, seg_id id)
{
	return SEG_ID_SLOT(id) <
		       atomic_load_explicit(&seg->header->slots_high, memory_order_acquire) &&
	       SEG_ID_SLOT(id) != SEG_MAKER_SLOT;
}

static bool gone(dsm_segment_t *seg, seg_id id)
{
	const struct seg_slot *s = &seg->slots[SEG_ID_SLOT(id)];

	return atomic_load(&s->state) == SLOT_FREE || atomic_load(&s->id) != id;
}

bool seg_alive(dsm_segment_t *seg, seg_id id)
{
	uint32_t index = SEG_ID_SLOT(id);

	/* Who cleans up has claimed the slot, which does not make its owner live. */
	if (!usable(seg, id) || gone(seg, id) || atomic_load(&seg->slots[index].state) == SLOT_DEAD)
		return false;
	if (atomic_load(&seg->priv->claimed[index / 64]) >> (index % 64) & 1)
		return true;
	return seg->backend->held(seg, index);
}

static void remember(struct seg_private *p, seg_id id)
{
	for (int i = 0; i < SEG_PENDING; i++) {
		uint32_t none = 0;

		if (atomic_load(&p->pending[i]) == id)
			return;
		if (atomic_compare_exchange_strong(&p->pending[i], &none, id)) {
			atomic_fetch_add(&p->npending, 1);
			return;
		}
	}
	/* No room: somebody will meet the slot again. */
}

static bool recover(dsm_segment_t *seg, seg_id id, enum seg_layer upto)
{
	bool done;

	if (!usable(seg, id) || gone(seg, id))
		return true;
	if (slot_claim_dead(seg, SEG_ID_SLOT(id)))
		return false;
	done = recover_claimed(seg, id, upto);
	slot_release_dead(seg, SEG_ID_SLOT(id));
	if (done && upto < SEG_LAYERS - 1)
		remember(seg->priv, id);
	return true;
}

bool seg_recover(dsm_segment_t *seg, seg_id id)
{
	return recover(seg, id, SEG_LAYERS - 1);
}

bool seg_recover_upto(dsm_segment_t *seg, seg_id id, enum seg_layer layer)
{
	return recover(seg, id, layer);
}

void seg_recover_pending(dsm_segment_t *seg)
{
	struct seg_private *p = seg->priv;

	for (int i = 0; i < SEG_PENDING; i++) {
		seg_id id = atomic_exchange(&p->pending[i], 0);

		if (!id)
			continue;
		atomic_fetch_sub(&p->npending, 1);
		(void)seg_recover(seg, id);
	}
}

int dsm_segment_recover(dsm_segment_t *seg)
{
	uint32_t high;
	int n = 0;

	if (!seg)
		return seg_error(-EINVAL, "no segment");
	high = atomic_load(&seg->header->slots_high);
	for (uint32_t i = 0; i < high && i < SEG_MAKER_SLOT; i++) {
		struct seg_slot *s = &seg->slots[i];
		seg_id id = atomic_load(&s->id);

		/* An id that is another slot's is damage, of which there is no end. */
		if (atomic_load(&s->state) != SLOT_FREE && SEG_ID_SLOT(id) == i &&
		    !seg_alive(seg, id) && !gone(seg, id) && seg_recover(seg, id))
			n++;
	}
	return n;
}

bool seg_reclaim(dsm_segment_t *seg)
{
	const struct seg_slot *self = seg_self(seg);

#ifdef DSM_MUTANT_SEG_DEAD_KEEP_MEMORY
	return false;
#endif
	return self && !seg_recovering && seg_holds_nothing(self) && dsm_segment_recover(seg) > 0;
}
