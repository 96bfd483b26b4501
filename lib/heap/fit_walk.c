// SPDX-License-Identifier: MIT
/* What is where: all blocks of a heap with first, best or worst fit. */
#include <errno.h>
#include <stdlib.h>

#include "lib/heap/fit.h"

/* The headers of an arena, copied while the lock was held. */
struct copy {
	struct fit_arena arena;
	uint64_t *words;
	size_t n;
};

static size_t chain_copy(const struct fit *f, const struct fit_arena *a, uint64_t *words,
			 size_t room)
{
	uint64_t b = a->first;
	size_t n = 0;

	while (b < a->end) {
		uint64_t word = fit_read(f, b);

		if (!fit_sound(f, a, b, word))
			break;
		if (n < room)
			words[n] = word;
		n++;
		b += fit_units(word) * FIT_UNIT;
	}
	return n;
}

/* The arena at or behind @from; its off is 0 where there is none. */
static int arena_copy(struct fit *f, uint64_t from, struct copy *ret)
{
	int err;

	*ret = (struct copy){ 0 };
	err = seg_lock(f->seg, &f->ctl->lock, SEG_LAYER_HEAP);
	if (err)
		return err;
	err = fit_refresh(f);
	for (uint32_t i = 0; !err && i < f->n; i++) {
		if (f->arenas[i].off < from)
			continue;
		ret->arena = f->arenas[i];
		ret->n = chain_copy(f, &ret->arena, NULL, 0);
		ret->words = malloc((ret->n + 1) * sizeof(*ret->words));
		if (!ret->words)
			err = seg_error(-ENOMEM, "heap: no memory to look at %zu blocks", ret->n);
		else
			(void)chain_copy(f, &ret->arena, ret->words, ret->n);
		break;
	}
	seg_unlock(f->seg, &f->ctl->lock);
	return err;
}

static int copy_tell(const struct copy *c, heap_place_fn fn, void *context)
{
	const struct fit_arena *a = &c->arena;
	struct heap_place p = { .slot = SEG_SLOTS, .run = a->off, .run_size = a->size };
	uint64_t b = a->first;
	int result;

	p.kind = HEAP_PLACE_META;
	p.off = a->off;
	p.size = a->first - a->off;
	result = fn(context, &p);
	for (size_t i = 0; !result && i < c->n; i++) {
		p.kind = fit_flags(c->words[i]) & FIT_USED ? HEAP_PLACE_USED : HEAP_PLACE_FREE;
		p.off = b + FIT_TAG;
		p.size = fit_units(c->words[i]) * FIT_UNIT - FIT_TAG;
		p.asked = p.kind == HEAP_PLACE_USED ? p.size - fit_slack(c->words[i]) : 0;
		result = fn(context, &p);
		b += fit_units(c->words[i]) * FIT_UNIT;
	}
	return result;
}

int fit_walk(struct fit *f, heap_place_fn fn, void *context)
{
	uint64_t from = 0;
	struct copy c;
	int result;

	do {
		result = arena_copy(f, from, &c);
		if (!result && c.arena.off)
			result = copy_tell(&c, fn, context);
		free(c.words);
		from = c.arena.off + 1;
	} while (!result && c.arena.off);
	return result;
}
