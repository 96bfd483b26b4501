// SPDX-License-Identifier: MIT
/*
 * What a participant left that was killed, or that ends: a section it was in, a change half made,
 * blocks on their way to the heap. Everything here may be done again, as who does it may be
 * killed too.
 */
#include "lib/heap/heap.h"
#include "lib/map/commit.h"
#include "lib/map/rewrite.h"
#include "lib/segment/layout.h"

/* The stripe's lists, after the turns of map_retire_turn(). */
static void lists_mend(struct map_stripe *s, struct map_journal *j)
{
	uint64_t wait = atomic_load(&s->wait_list);

	if (wait && wait == atomic_load(&j->trash_list))
		atomic_store(&j->trash_list, 0);
	if (wait && wait == atomic_load(&s->fresh_list)) {
		atomic_store(&s->wait_count, atomic_load(&s->fresh_count));
		atomic_store(&s->fresh_list, 0);
	}
	if (!atomic_load(&s->wait_list))
		atomic_store(&s->wait_count, 0);
	if (!atomic_load(&s->fresh_list))
		atomic_store(&s->fresh_count, 0);
}

/* The dead one has the lock of the stripe. */
static void stripe_mend(struct dsm_map *m, struct seg_slot *dead)
{
	struct map_journal *j = map_journal(dead);
	struct map_stripe *s = map_stripe(m, atomic_load(&j->stripe) % MAP_STRIPES);
	uint32_t op = atomic_load(&j->op);
	_Atomic uint64_t *word;

	if (op == MAP_OP_ENTRY || op == MAP_OP_BUCKET) {
		word = seg_checked(m->seg, j->word, sizeof(*word), 8);
		if (word && atomic_load(word) == j->value)
			commit_finish(j, s);
		else
			atomic_store(&j->op, MAP_OP_NONE);
	}
	if (op == MAP_OP_REWRITE) {
#ifndef DSM_MUTANT_MAP_REWRITE_DROPPED
		rewrite_mend(m, dead, s);
#endif
		atomic_store(&j->op, MAP_OP_NONE);
	}
	lists_mend(s, j);
}

/* Whether the map still names the table at @off. */
static bool table_named(struct dsm_map *m, uint64_t off)
{
	uint64_t table = atomic_load(&m->header->table);
	uint64_t old = atomic_load(&m->growth->old);

	for (uint32_t i = 0; table && i <= TABLE_LOG_MAX; i++) {
		if (table_off(table) == off)
			return true;
		table = table_good(m, table) ? table_next(m, table) : 0;
	}
	for (uint32_t i = 0; old && i <= TABLE_LOG_MAX; i++) {
		const struct map_table *t = seg_checked(m->seg, old, sizeof(*t), SEG_PAGE);

		if (old == off)
			return true;
		old = t ? atomic_load(&t->old_next) : 0;
	}
	return false;
}

/*
 * The dead one has the lock of growth: so nobody else gave the map's tables memory or freed any.
 */
static void growth_mend(struct dsm_map *m, struct map_journal *j)
{
	uint32_t op = atomic_load(&j->op);
	uint64_t off = atomic_load(&j->table);

	if (op == MAP_OP_FINISH && seg_checked(m->seg, off, sizeof(struct map_table), SEG_PAGE))
		map_table_retire(m, off);
	/* A run that its maker did not give to the map was freed with him, by the layer below. */
	if (op == MAP_OP_TABLE && !table_named(m, off))
		(void)map_table_free(m, off);
	if (op == MAP_OP_FINISH || op == MAP_OP_TABLE)
		atomic_store(&j->op, MAP_OP_NONE);
}

static bool holds(const struct seg_slot *dead, struct seg_lock *lock)
{
	return (atomic_load(&lock->word) & SEG_ID_MASK) == seg_slot_id(dead);
}

/* A change's block is there before the journal says which map it is for. */
static bool has_blocks(const struct map_journal *j)
{
	return atomic_load(&j->fresh) || atomic_load(&j->trash) || atomic_load(&j->trash_list) ||
	       atomic_load(&j->spares);
}

static void blocks_mend(dsm_segment_t *seg, struct map_journal *j)
{
	struct dsm_map m = {
		.seg = seg, .base = seg->base, .data_at = seg->header->data_at, .heap = heap_of(seg)
	};
	uint64_t trash = atomic_load(&j->trash), fresh = atomic_load(&j->fresh);

	if (!m.heap)
		return;
	if (fresh && fresh == atomic_load(&j->spares))
		atomic_store(&j->fresh, 0);
	if (atomic_load(&j->fresh) && dsm_heap_free_from(m.heap, plain_word(&j->fresh)))
		atomic_store(&j->fresh, 0);
	/* Two names of a block: it is in the list still, or already. */
	if (trash && (trash == atomic_load(&j->trash_list) || trash == atomic_load(&j->spares)))
		atomic_store(&j->trash, 0);
	if (atomic_load(&j->trash) && dsm_heap_free_from(m.heap, plain_word(&j->trash)))
		atomic_store(&j->trash, 0);
	map_trash_empty(&m, j, false);
}

void map_recover(dsm_segment_t *seg, struct seg_slot *dead)
{
	struct map_journal *j = map_journal(dead);
	uint64_t epoch = atomic_load(&dead->epoch);
	struct dsm_map m;

	if (epoch & 1)
		atomic_store(&dead->epoch, epoch + 1);
	atomic_store(&j->depth, 0);
	/* It may be gone since the dead one used it; then it left nothing there. */
	if (atomic_load(&j->map) && !map_attach(&m, seg, atomic_load(&j->map))) {
		if (holds(dead, &map_stripe(&m, atomic_load(&j->stripe) % MAP_STRIPES)->lock))
			stripe_mend(&m, dead);
		if (holds(dead, &m.growth->lock))
			growth_mend(&m, j);
	}
#ifdef DSM_MUTANT_MAP_FIRST_BLOCK_LOST
	if (atomic_load(&j->map))
#endif
		if (has_blocks(j))
			blocks_mend(seg, j);
	atomic_store(&j->op, MAP_OP_NONE);
	atomic_store(&j->map, 0);
}
