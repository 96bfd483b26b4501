/* SPDX-License-Identifier: MIT */
/*
 * What nearly every get is: a section that nobody waits for. Who ends it learns whether what was
 * read may have been freed meanwhile, and if so has read nothing. It stores nothing and has no
 * fence, and is short: so the processor goes on with the next one while it waits for this one's
 * memory. For that, too, it calls nothing.
 *
 * What is in use after a glance began at pass n is set aside until pass n + 1 or a later one is
 * done. So, bytes that were freed come with a `done` beyond n. The bytes themselves may be
 * anybody's: they are checked before they lead anywhere, and believed after the end only.
 */
#ifndef DSM_LIB_MAP_GLANCE_H
#define DSM_LIB_MAP_GLANCE_H

#include "lib/map/rewrite.h"
#include "lib/map/section.h"

#define GLANCE_MAX 4096u /* bytes of a value that a glance can be expected to be quick enough for */
/* From the end of a key to that of a value, at most, and the entry's head. */
#define GLANCE_SPAN (sizeof(struct map_entry) + 8 + GLANCE_MAX)

typedef uint64_t glance_pair __attribute__((vector_size(16), aligned(1), may_alias));

/* @pairs of 16 bytes each. */
static inline __attribute__((always_inline)) void glance_copy_pairs(uint8_t *to,
								    const uint8_t *from,
								    size_t pairs)
{
	glance_pair x[4];

#pragma GCC unroll 4
	for (size_t i = 0; i < pairs; i++)
		x[i] = *(const glance_pair *)(from + 16 * i);
#pragma GCC unroll 4
	for (size_t i = 0; i < pairs; i++)
		*(glance_pair *)(to + 16 * i) = x[i];
}

/*
 * Values are a line or a few long. It calls nothing, so that what is in registers can stay there.
 * What is no multiple of a step is copied by a last one that begins before the end of the others.
 */
static inline __attribute__((always_inline)) void glance_copy(uint8_t *to, const uint8_t *from,
							      size_t n)
{
	if (likely(n > 64)) {
		size_t last = n - 64, i = 0;

		do
			glance_copy_pairs(to + i, from + i, 4);
		while ((i += 64) < last);
		glance_copy_pairs(to + last, from + last, 4);
	} else if (n >= 32) {
		glance_copy_pairs(to, from, 2);
		glance_copy_pairs(to + n - 32, from + n - 32, 2);
	} else if (n >= 16) {
		glance_copy_pairs(to, from, 1);
		glance_copy_pairs(to + n - 16, from + n - 16, 1);
	} else {
		bytes_copy_few(to, from, n);
	}
}

/*
 * In a cluster the page that a glance begins and ends with comes from afar when somebody has made
 * a pass. So who sees that makes the process begin sections for a while, which touch no page of
 * others.
 */
#define GLANCE_SHY 65536u /* gets */

static inline bool glance_unwise(struct dsm_map *m, uint64_t pass)
{
	if (likely(pass == atomic_load_explicit(&m->pass_seen, memory_order_relaxed)))
		return false;
	atomic_store_explicit(&m->pass_seen, pass, memory_order_relaxed);
	atomic_store_explicit(&m->shy, GLANCE_SHY, memory_order_relaxed);
	return true;
}

/* What was copied has an end: has it come? */
ssize_t glance_expired(uint64_t expires_ns, ssize_t result);

/*
 * The key is in the bucket it belongs to, or the bucket has room, and so it is nowhere. -EAGAIN:
 * it is not so, or somebody wrote meanwhile.
 */
static inline __attribute__((always_inline)) ssize_t glance(struct dsm_map *m, uint64_t hash,
							    const void *key, size_t key_size,
							    void *buffer, size_t size,
							    uint64_t *ret_version)
{
	uint64_t began = glance_begin(m), ctl, off, version, value_at, expires = 0;
	const struct map_view *v = atomic_load_explicit(&m->view, memory_order_acquire);
	const struct map_bucket *b;
	const struct map_entry *e;
	ssize_t result = -ENOENT;
	uint32_t match;

	if (unlikely(!view_good(m, v)) || (unlikely(m->cluster) && glance_unwise(m, began)))
		return -EAGAIN;
	b = view_bucket(v, hash);
	ctl = atomic_load_explicit(&b->ctl, memory_order_acquire);
	match = bucket_match(b, hash);
	if (likely(match)) {
		off = atomic_load_explicit(&b->slot[match_slot(match)], memory_order_acquire) &
		      SLOT_OFF_MASK & ~7ull;
		if (unlikely(off + key_size >
			     atomic_load_explicit(&m->glance_limit, memory_order_relaxed)))
			return -EAGAIN;
		e = (const struct map_entry *)(m->base + off);
		version = atomic_load_explicit(&e->version, memory_order_acquire);
		/* Once: it may change between the check and the copy. */
		result = atomic_load_explicit(&e->value_size, memory_order_relaxed);
		if (unlikely(e->key_size != key_size) || unlikely(result > GLANCE_MAX) ||
		    unlikely(!bytes_same(e->key, key, key_size)))
			return -EAGAIN;
		value_at = entry_value_at(key_size);
		glance_copy(buffer, (const uint8_t *)e + value_at,
			    (size_t)result < size ? (size_t)result : size);
		if (unlikely(version & ENTRY_REWRITTEN) || !rewrite_none_since(e, version))
			return -EAGAIN;
		if (ret_version)
			*ret_version = version;
		expires = e->expires_ns;
	} else if (ctl & BUCKET_NEXT) {
		return -EAGAIN;
	}
	if (unlikely((ctl | atomic_load_explicit(&b->ctl, memory_order_acquire)) & BUCKET_MOVED) ||
	    !glance_good(m, began))
		return -EAGAIN;
	return unlikely(expires) ? glance_expired(expires, result) : result;
}

#endif
