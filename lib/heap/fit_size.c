// SPDX-License-Identifier: MIT
/*
 * The index by size, of best and worst fit: a doubly linked list for each size below 16 KiB, with
 * bits that tell which lists are not empty; a tree for larger sizes (fit_tree.c). Links stand in
 * the free blocks themselves, and are looked at before they are followed.
 */
#include <errno.h>

#include "lib/heap/fit.h"
#include "lib/heap/fit_links.h"

static_assert(FIT_BINS / 64 <= 64, "one word tells of all words of bits");

bool fit_size_add(struct fit *f, uint64_t b, uint64_t units)
{
	struct fit_links *l = fit_links(f, b), *next;
	struct fit_ctl *ctl = f->ctl;
	uint64_t head;

	if (units >= FIT_BINS)
		return fit_tree_add(f, b, units);
	head = ctl->bins[units];
	l->next = head;
	l->prev = 0;
	if (head) {
		next = fit_links_checked(f, head);
		if (!next)
			return false;
		next->prev = b;
	}
	ctl->bins[units] = b;
	ctl->bins_used[units / 64] |= 1ull << (units % 64);
	ctl->some |= 1ull << (units / 64);
	return true;
}

bool fit_size_remove(struct fit *f, uint64_t b, uint64_t units)
{
	struct fit_links *l = fit_links(f, b), *next = NULL, *prev = NULL;
	struct fit_ctl *ctl = f->ctl;

	if (units >= FIT_BINS)
		return fit_tree_remove(f, b, units);
	if ((l->next && !(next = fit_links_checked(f, l->next))) ||
	    (l->prev && !(prev = fit_links_checked(f, l->prev))))
		return false;
	if (next)
		next->prev = l->prev;
	if (prev) {
		prev->next = l->next;
		return true;
	}
	ctl->bins[units] = l->next;
	if (!l->next) {
		ctl->bins_used[units / 64] &= ~(1ull << (units % 64));
		if (!ctl->bins_used[units / 64])
			ctl->some &= ~(1ull << (units / 64));
	}
	return true;
}

/* The least size of at least @units that has a list; 0: none. */
static uint64_t bin_at_least(const struct fit_ctl *ctl, uint64_t units)
{
	uint64_t i = units / 64, bits;

	if (units >= FIT_BINS)
		return 0;
	bits = ctl->bins_used[i] & ~0ull << (units % 64);
	if (!bits) {
		uint64_t some = i == 63 ? 0 : ctl->some & ~0ull << (i + 1);

		if (!some)
			return 0;
		i = (unsigned)__builtin_ctzll(some) % (FIT_BINS / 64);
		bits = ctl->bins_used[i];
	}
	return bits ? i * 64 + (unsigned)__builtin_ctzll(bits) : 0;
}

/* The largest size that has a list; 0: none. */
static uint64_t bin_last(const struct fit_ctl *ctl)
{
	uint64_t i = ctl->some ? (63 - (unsigned)__builtin_clzll(ctl->some)) % (FIT_BINS / 64) : 0;
	uint64_t bits = ctl->bins_used[i];

	return bits ? i * 64 + 63 - (unsigned)__builtin_clzll(bits) : 0;
}

/* The block at @b, which the index has for @units. */
static int found(struct fit *f, uint64_t b, uint64_t units, struct fit_arena **ret_a, uint64_t *ret)
{
	*ret_a = fit_arena_of(f, b);
	if (!*ret_a || b % FIT_UNIT != FIT_UNIT - FIT_TAG)
		return seg_error(-EBADMSG, "heap: the index by size is damaged at %lu units",
				 (unsigned long)units);
	*ret = b;
	return 0;
}

int fit_size_best(struct fit *f, uint64_t units, struct fit_arena **ret_a, uint64_t *ret)
{
	uint64_t bin = bin_at_least(f->ctl, units);
	uint64_t b = bin ? f->ctl->bins[bin] : fit_tree_best(f, units);

	if (!b && !bin)
		return -ENOMEM;
	return found(f, b, bin ? bin : units, ret_a, ret);
}

int fit_size_worst(struct fit *f, uint64_t units, struct fit_arena **ret_a, uint64_t *ret)
{
	uint64_t most = 0, b = fit_tree_worst(f, &most);

	if (!b) {
		most = bin_last(f->ctl);
		b = f->ctl->bins[most];
	}
	if (b != UINT64_MAX && most < units)
		return -ENOMEM;
	return found(f, b, most, ret_a, ret);
}
