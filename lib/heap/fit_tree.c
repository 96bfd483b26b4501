// SPDX-License-Identifier: MIT
/*
 * Free blocks of FIT_BINS units and more: a digital search tree by size, the highest bit
 * first. A node may have any size that begins with the bits of the way to it; blocks of the size of a
 * node hang in a list on it. No way is longer than a size has bits. (D. E. Knuth, TAOCP
 * vol. 3, 6.3; D. Lea's malloc keeps its large blocks so.)
 */
#include "lib/heap/fit.h"
#include "lib/heap/fit_links.h"

#define TOP_BIT 31 /* of FIT_UNITS_MAX */

/* A free block at @b with its size; NULL: the tree is damaged. */
static struct fit_links *node_at(struct fit *f, uint64_t b, uint64_t *ret_units)
{
	const struct fit_arena *a = fit_arena_of(f, b);
	uint64_t word;

	if (unlikely(!a || b % FIT_UNIT != FIT_UNIT - FIT_TAG))
		return NULL;
	word = fit_read(f, b);
	if (unlikely(!fit_sound(f, a, b, word) || fit_flags(word) & FIT_USED ||
		     fit_units(word) < FIT_BINS))
		return NULL;
	*ret_units = fit_units(word);
	return fit_links(f, b);
}

static unsigned int bit_of(uint64_t units, int bit)
{
	return bit < 0 ? 0 : (unsigned int)(units >> bit) & 1;
}

/* Hangs @b, of the same size, behind the node @n at @at. */
static bool list_add(struct fit *f, uint64_t at, struct fit_links *n, uint64_t b)
{
	struct fit_links *l = fit_links(f, b), *next = NULL;

	if (n->next && !(next = fit_links_checked(f, n->next)))
		return false;
	*l = (struct fit_links){ .next = n->next, .prev = at };
	if (next)
		next->prev = b;
	n->next = b;
	return true;
}

bool fit_tree_add(struct fit *f, uint64_t b, uint64_t units)
{
	uint64_t *place = &f->ctl->tree, parent = 0, there;

	for (int bit = TOP_BIT; *place && bit >= -1; bit--) {
		struct fit_links *n = node_at(f, *place, &there);

		if (!n)
			return false;
		if (there == units)
			return list_add(f, *place, n, b);
		parent = *place;
		place = &n->child[bit_of(units, bit)];
	}
	if (*place)
		return false;
	*fit_links(f, b) = (struct fit_links){ .parent = parent };
	*place = b;
	return true;
}

/* What points at the node @b; NULL: nothing does. */
static uint64_t *place_of(struct fit *f, uint64_t b, const struct fit_links *n)
{
	struct fit_links *p;

	if (!n->parent)
		return f->ctl->tree == b ? &f->ctl->tree : NULL;
	p = fit_links_checked(f, n->parent);
	if (!p || (p->child[0] != b && p->child[1] != b))
		return NULL;
	return &p->child[p->child[1] == b];
}

/* Takes a leaf from below @n; its place in @ret, 0: @n is one itself. */
static bool leaf_take(struct fit *f, struct fit_links *n, uint64_t *ret)
{
	uint64_t *place = NULL, units;

	*ret = 0;
	for (int bit = TOP_BIT; n->child[0] || n->child[1]; bit--) {
		place = &n->child[!n->child[0]];
		*ret = *place;
		n = node_at(f, *place, &units);
		if (!n || bit < -1)
			return false;
	}
	if (place)
		*place = 0;
	return true;
}

/* Puts @b where @n was, with all that is below. */
static bool take_over(struct fit *f, uint64_t *place, const struct fit_links *n, uint64_t b)
{
	struct fit_links *l = fit_links_checked(f, b), *child;

	if (!l)
		return false;
	l->parent = n->parent;
	l->prev = 0;
	for (int i = 0; i < 2; i++) {
		l->child[i] = n->child[i];
		if (!l->child[i])
			continue;
		child = fit_links_checked(f, l->child[i]);
		if (!child)
			return false;
		child->parent = b;
	}
	*place = b;
	return true;
}

bool fit_tree_remove(struct fit *f, uint64_t b, uint64_t units)
{
	struct fit_links *n = node_at(f, b, &units), *prev, *next = NULL;
	uint64_t *place, leaf;

	if (!n || (n->next && !(next = fit_links_checked(f, n->next))))
		return false;
	if (n->prev) {
		prev = fit_links_checked(f, n->prev);
		if (!prev || prev->next != b)
			return false;
		prev->next = n->next;
		if (next)
			next->prev = n->prev;
		return true;
	}
	place = place_of(f, b, n);
	if (!place)
		return false;
	if (next)
		return take_over(f, place, n, n->next);
	if (!leaf_take(f, n, &leaf))
		return false;
	if (leaf)
		return take_over(f, place, n, leaf);
	*place = 0;
	return true;
}

/* The smallest size below @b, which is larger than what is wanted, if it is smaller than *best. */
static bool least_below(struct fit *f, uint64_t b, uint64_t *best, uint64_t *best_units)
{
	uint64_t units;

	for (int bit = TOP_BIT + 1; b; bit--) {
		const struct fit_links *n = node_at(f, b, &units);

		if (!n || bit < -1)
			return false;
		if (units < *best_units) {
			*best = b;
			*best_units = units;
		}
		b = n->child[!n->child[0]];
	}
	return true;
}

/* Of the blocks of a size: one of the list is cheaper to take than the node @b that it hangs on. */
static uint64_t cheapest(const struct fit *f, uint64_t b)
{
	const struct fit_links *n = fit_links(f, b);

	return n->next ? n->next : b;
}

uint64_t fit_tree_best(struct fit *f, uint64_t units)
{
	uint64_t b = f->ctl->tree, best = 0, best_units = UINT64_MAX, larger = 0, there;
	const struct fit_links *n = NULL;

	for (int bit = TOP_BIT; b; bit--) {
		n = node_at(f, b, &there);
		if (!n || bit < -1)
			return UINT64_MAX;
		if (there >= units && there < best_units) {
			best = b;
			best_units = there;
		}
		if (there == units)
			break;
		/* All on the side not gone to are larger; the last such side has the smallest of them. */
		if (!bit_of(units, bit) && n->child[1])
			larger = n->child[1];
		b = n->child[bit_of(units, bit)];
	}
	if (best_units != units && !least_below(f, larger, &best, &best_units))
		return UINT64_MAX;
	if (!best)
		return 0;
	return cheapest(f, best);
}

uint64_t fit_tree_worst(struct fit *f, uint64_t *ret_units)
{
	uint64_t b = f->ctl->tree, best = 0, best_units = 0, there;

	/* All on the side of the ones are larger than all on the other one; a node may be either. */
	for (int bit = TOP_BIT; b; bit--) {
		const struct fit_links *n = node_at(f, b, &there);

		if (!n || bit < -1)
			return UINT64_MAX;
		if (there > best_units) {
			best = b;
			best_units = there;
		}
		b = n->child[n->child[1] != 0];
	}
	*ret_units = best_units;
	return best ? cheapest(f, best) : 0;
}
