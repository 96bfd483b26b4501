// SPDX-License-Identifier: MIT
/* Roots: what a segment holds, by name. */
#include <errno.h>
#include <string.h>

#include "lib/segment/private.h"

const char *dsm_root_kind_name(uint32_t kind)
{
	static const char *const names[] = { "any",  "user",	 "heap",   "map",
					     "ring", "listener", "channel" };

	return kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "unknown";
}

#define MAKER_PATIENCE_US 20000u

static struct grains_journal *journal(struct seg_slot *s)
{
	return (struct grains_journal *)s->grains_area;
}

static int check_name(const dsm_segment_t *seg, const char *name)
{
	size_t n = name ? strnlen(name, DSM_ROOT_NAME_MAX) : 0;

	if (!n || n == DSM_ROOT_NAME_MAX)
		return seg_error(-EINVAL, "%s: a root's name has 1 to %d bytes", seg->priv->uri,
				 DSM_ROOT_NAME_MAX - 1);
	return 0;
}

static bool is_named(const struct seg_root *r, const char *name)
{
	return atomic_load(&r->state) != ROOT_FREE && !strncmp(r->name, name, DSM_ROOT_NAME_MAX);
}

/* Index, or -ENOENT. */
static int lookup(const dsm_segment_t *seg, const char *name)
{
	const struct seg_root *roots = seg_roots(seg);

	for (int i = 0; i < (int)SEG_ROOTS; i++)
		if (is_named(&roots[i], name))
			return i;
	return -ENOENT;
}

static int find_free(const dsm_segment_t *seg)
{
	const struct seg_root *roots = seg_roots(seg);

	for (int i = 0; i < (int)SEG_ROOTS; i++)
		if (atomic_load(&roots[i].state) == ROOT_FREE)
			return i;
	return -ENOSPC;
}

/* Its maker's slot is the calling thread's. */
static void drop_claimed(dsm_segment_t *seg, uint32_t root)
{
	struct seg_root *r = &seg_roots(seg)[root];

	seg_grains_sweep_root(seg, root);
	seg_crash_point("root: emptied");
	atomic_store(&r->state, ROOT_FREE);
	atomic_fetch_sub(&journal(seg_self(seg))->roots, 1);
}

/*
 * To DROPPING, by one thread only: of one that is ready, of our own making, or of the maker @dead
 * that has gone (may be NULL).
 */
static bool claim_drop(dsm_segment_t *seg, uint32_t root, const seg_id *dead)
{
	struct seg_lock *lock = &seg_common(seg)->roots_lock;
	struct seg_root *r = &seg_roots(seg)[root];
	struct seg_slot *self = seg_self(seg);
	uint32_t state;
	bool ours;

	if (!self || seg_lock(seg, lock, SEG_LAYER_GRAINS))
		return false;
	state = atomic_load(&r->state);
	ours = state == ROOT_MAKING && atomic_load(&r->maker) == seg_slot_id(self);
	if (state == ROOT_READY ||
	    (dead && state != ROOT_FREE && atomic_load(&r->maker) == *dead)) {
		atomic_fetch_add(&journal(self)->roots, 1);
		atomic_store(&r->maker, seg_slot_id(self));
		ours = true;
	}
	if (ours)
		atomic_store(&r->state, ROOT_DROPPING);
	seg_unlock(seg, lock);
	return ours;
}

/* One that is being made or dropped by somebody dead is as good as gone: have it so. */
static void clear_dead(dsm_segment_t *seg, const char *name)
{
	int i = lookup(seg, name);
	struct seg_root *r = &seg_roots(seg)[i < 0 ? 0 : i];
	uint32_t state = i < 0 ? (uint32_t)ROOT_READY : atomic_load(&r->state);
	seg_id maker = atomic_load(&r->maker);

	if ((state != ROOT_MAKING && state != ROOT_DROPPING) || !seg_recover(seg, maker))
		return;
	/* Still there, of a maker that nobody knows: damage, which must not stop us for ever. */
	if (atomic_load(&r->state) == state && atomic_load(&r->maker) == maker &&
	    claim_drop(seg, (uint32_t)i, &maker))
		drop_claimed(seg, (uint32_t)i);
}

int seg_root_make(dsm_segment_t *seg, const char *name, enum dsm_root_kind kind, uint32_t *ret)
{
	struct seg_slot *self = seg_self(seg);
	struct seg_lock *lock = &seg_common(seg)->roots_lock;
	struct seg_root *r;
	int i, err = check_name(seg, name);

	if (err || !self)
		return err ? err : -EUSERS;
	clear_dead(seg, name);
	err = seg_lock(seg, lock, SEG_LAYER_GRAINS);
	if (err)
		return err;
	if (lookup(seg, name) >= 0)
		err = seg_error(-EEXIST, "%s: '%s' exists", seg->priv->uri, name);
	i = err ? 0 : find_free(seg);
	if (i < 0)
		err = seg_error(-ENOSPC, "%s: all %u roots are taken", seg->priv->uri, SEG_ROOTS);
	if (!err) {
		r = &seg_roots(seg)[i];
		atomic_fetch_add(&journal(self)->roots, 1);
		atomic_store(&r->maker, seg_slot_id(self));
		atomic_store(&r->off, 0);
		r->kind = kind;
		memset(r->name, 0, sizeof(r->name));
		memcpy(r->name, name, strlen(name));
		seg_crash_point("root: named, not made");
		atomic_store(&r->state, ROOT_MAKING);
		*ret = (uint32_t)i;
	}
	seg_unlock(seg, lock);
	return err;
}

void seg_root_publish(dsm_segment_t *seg, uint32_t root, uint64_t off)
{
	struct seg_root *r = &seg_roots(seg)[root];

	atomic_store(&r->off, off);
	seg_crash_point("root: about to be published");
	atomic_store(&r->state, ROOT_READY);
	atomic_fetch_sub(&journal(seg_self(seg))->roots, 1);
}

void seg_root_drop(dsm_segment_t *seg, uint32_t root)
{
	if (root < SEG_ROOTS && claim_drop(seg, root, NULL))
		drop_claimed(seg, root);
}

void roots_recover(dsm_segment_t *seg, struct seg_slot *dead)
{
	struct seg_root *roots = seg_roots(seg);

	if (!atomic_load(&journal(dead)->roots))
		return;
	for (uint32_t i = 0; i < SEG_ROOTS; i++) {
		uint32_t state = atomic_load(&roots[i].state);

		if ((state == ROOT_MAKING || state == ROOT_DROPPING) &&
		    atomic_load(&roots[i].maker) == seg_slot_id(dead))
			drop_claimed(seg, i);
	}
	atomic_store(&journal(dead)->roots, 0);
}

int seg_root_find(dsm_segment_t *seg, const char *name, enum dsm_root_kind kind, uint32_t *ret_root,
		  uint64_t *ret_off)
{
	struct seg_root *r;
	uint32_t state;
	int i, err = check_name(seg, name);

	if (err)
		return err;
	for (;;) {
		i = lookup(seg, name);
		r = &seg_roots(seg)[i < 0 ? 0 : i];
		state = i < 0 ? (uint32_t)ROOT_FREE : atomic_load(&r->state);
		if (state != ROOT_MAKING && state != ROOT_DROPPING)
			break;
		if (seg_self(seg) && atomic_load(&r->maker) == seg_slot_id(seg_self(seg)))
			return seg_error(-EBUSY, "%s: '%s' is being made by this very thread",
					 seg->priv->uri, name);
		if (seg_wait(seg, &r->state, state, MAKER_PATIENCE_US) == -ETIMEDOUT)
			clear_dead(seg, name);
	}
	if (state > ROOT_DROPPING)
		return seg_error(-EBADMSG, "%s: '%s' is damaged: state %u", seg->priv->uri, name,
				 state);
	if (state != ROOT_READY)
		return seg_error(-ENOENT, "%s: there is no '%s'", seg->priv->uri, name);
	if (kind != DSM_ROOT_ANY && r->kind != kind)
		return seg_error(-EMEDIUMTYPE, "%s: '%s' is no %s but a %s", seg->priv->uri, name,
				 dsm_root_kind_name(kind), dsm_root_kind_name(r->kind));
	if (ret_root)
		*ret_root = (uint32_t)i;
	*ret_off = atomic_load(&r->off);
	return 0;
}

int dsm_segment_root_set(dsm_segment_t *seg, const char *name, uint64_t offset)
{
	uint32_t root;
	uint64_t old;
	int err;

	if (!seg)
		return seg_error(-EINVAL, "no segment");
	for (;;) {
		err = seg_root_find(seg, name, DSM_ROOT_USER, &root, &old);
		if (!err) {
			atomic_store(&seg_roots(seg)[root].off, offset);
			return 0;
		}
		if (err == -EMEDIUMTYPE)
			return seg_error(-EEXIST, "%s: '%s' is a structure", seg->priv->uri, name);
		if (err != -ENOENT)
			return err;
		err = seg_root_make(seg, name, DSM_ROOT_USER, &root);
		if (!err) {
			seg_root_publish(seg, root, offset);
			return 0;
		}
		if (err != -EEXIST)
			return err;
	}
}

int dsm_segment_root_get(dsm_segment_t *seg, const char *name, struct dsm_root *ret)
{
	uint64_t off;
	uint32_t root;
	int err;

	if (!seg || !ret)
		return seg_error(-EINVAL, "no segment, or nowhere to put the root");
	err = seg_root_find(seg, name, DSM_ROOT_ANY, &root, &off);
	if (err)
		return err;
	*ret = (struct dsm_root){ .offset = off, .kind = seg_roots(seg)[root].kind, .index = root };
	memcpy(ret->name, seg_roots(seg)[root].name, DSM_ROOT_NAME_MAX - 1);
	return 0;
}

int dsm_segment_root_remove(dsm_segment_t *seg, const char *name)
{
	uint64_t off;
	uint32_t root;
	int err;

	if (!seg)
		return seg_error(-EINVAL, "no segment");
	err = seg_root_find(seg, name, DSM_ROOT_USER, &root, &off);
	if (err == -EMEDIUMTYPE)
		return seg_error(-EBUSY, "%s: '%s' is a structure", seg->priv->uri, name);
	if (!err)
		seg_root_drop(seg, root);
	return err;
}

int dsm_segment_root_list(dsm_segment_t *seg, uint32_t from, struct dsm_root *ret, uint32_t max)
{
	uint32_t n = 0;

	if (!seg || !ret)
		return seg_error(-EINVAL, "no segment, or nowhere to put the roots");
	for (uint32_t i = from; i < SEG_ROOTS && n < max; i++) {
		const struct seg_root *r = &seg_roots(seg)[i];

		if (atomic_load(&r->state) != ROOT_READY)
			continue;
		ret[n] = (struct dsm_root){ .offset = atomic_load(&r->off),
					    .kind = r->kind,
					    .index = i };
		memcpy(ret[n++].name, r->name, DSM_ROOT_NAME_MAX - 1);
	}
	return (int)n;
}
