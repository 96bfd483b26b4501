// SPDX-License-Identifier: MIT
/* Making and opening the part of a heap that first, best and worst fit use. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/heap/fit.h"
#include "lib/heap/fit_index.h"

#define CTL_BYTES  ((sizeof(struct fit_ctl) + SEG_PAGE - 1) / SEG_PAGE * SEG_PAGE)
#define GRAINS_MIN 4u

static uint64_t key_new(void)
{
	uint64_t key;

	if (getrandom(&key, sizeof(key), GRND_NONBLOCK) != sizeof(key))
		key = seg_now_ns() * 0x9e3779b97f4a7c15ull;
	return key;
}

int fit_make(dsm_segment_t *seg, uint32_t root, enum fit_strategy strategy, uint64_t size,
	     uint64_t *ret_off)
{
	uint64_t grains = size / SEG_GRAIN, off;
	struct fit_ctl *ctl;
	struct fit f = { .seg = seg, .strategy = strategy, .root = root };
	bool zeroed = false;
	int err;

	if (grains < GRAINS_MIN)
		grains = GRAINS_MIN;
	if (grains > FIT_SIZE_MAX / 2 / SEG_GRAIN)
		grains = FIT_SIZE_MAX / 2 / SEG_GRAIN;
	err = seg_grains_alloc(seg, grains, &off, &zeroed);
	if (err)
		return err;
	seg_grains_adopt(seg, off, root);
	ctl = seg_at(seg, off);
	if (!zeroed)
		memset(ctl, 0, sizeof(*ctl));
	f.off = off;
	f.ctl = ctl;
	f.key = key_new();
	ctl->strategy = strategy;
	ctl->root = root;
	ctl->key = f.key;
	ctl->generation = 1;
	fit_geometry(seg, strategy != FIT_BEST, off + CTL_BYTES, grains * SEG_GRAIN - CTL_BYTES,
		     &f.arenas[0]);
	f.n = 1;
	fit_format(&f, &f.arenas[0], zeroed);
	(void)fit_index_add(&f, &f.arenas[0], f.arenas[0].first,
			    (f.arenas[0].end - f.arenas[0].first) / FIT_UNIT);
	ctl->arenas[0].off = f.arenas[0].off;
	ctl->arenas[0].size = f.arenas[0].size;
	ctl->magic = FIT_MAGIC;
	*ret_off = off;
	return 0;
}

int fit_open(dsm_segment_t *seg, uint64_t off, struct fit **ret)
{
	const struct fit_ctl *ctl = seg_checked(seg, off, sizeof(*ctl), 64);
	struct fit *f;

	if (!ctl || ctl->magic != FIT_MAGIC || ctl->strategy < FIT_FIRST ||
	    ctl->strategy > FIT_WORST || ctl->root >= SEG_ROOTS)
		return seg_error(-EBADMSG, "heap: no blocks by first, best or worst fit at %#lx",
				 (unsigned long)off);
	f = calloc(1, sizeof(*f));
	if (!f)
		return seg_error(-ENOMEM, "heap: no memory for a handle");
	f->seg = seg;
	f->ctl = seg_at(seg, off);
	f->off = off;
	f->key = ctl->key;
	f->strategy = ctl->strategy;
	f->root = ctl->root;
	*ret = f;
	return 0;
}

void fit_close(struct fit *f)
{
	free(f);
}
