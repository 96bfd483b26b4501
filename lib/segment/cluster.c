// SPDX-License-Identifier: MIT
/*
 * Segments of a cluster: regions. A slot is held by a lock of the cluster,
 * which hands it on when the holder's process or node dies.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dsm/dsm.h>

#include "lib/context.h"
#include "lib/records.h"
#include "lib/segment/cluster.h"
#include "lib/segment/private.h"

#define MAKING_US 30000000u /* for who makes the segment to be done with it */

/* Reader-writer locks from here on are the library's own: so <dsm/context.h> says. */
#define SLOT_LOCKS   0x80000000u
#define WINDOW_LOCKS 0xc0000000u

static uint32_t lock_id(const dsm_segment_t *seg, uint32_t index)
{
	const struct seg_private *p = seg->priv;

	return p->window ? WINDOW_LOCKS | p->window << 11 | index
			 : SLOT_LOCKS | (uint32_t)p->region->number << 11 | index;
}

static int commit(dsm_segment_t *seg, uint64_t off, uint64_t len)
{
	struct seg_private *p = seg->priv;
	uint64_t end = off + len;
	void *unused;
	int err;

	/* Page by page where part of it is there already. */
	err = dsm_alloc_at(p->region, p->region_off + off, len, &unused);
	if (err != -EEXIST)
		return err == -ENOMEM ? -ENOSPC : err;
	for (; off < end; off += SEG_PAGE) {
		err = dsm_alloc_at(p->region, p->region_off + off, SEG_PAGE, &unused);
		if (err && err != -EEXIST)
			return err == -ENOMEM ? -ENOSPC : err;
	}
	return 0;
}

static int claim_for(dsm_segment_t *seg, uint32_t index, uint64_t timeout_us)
{
	int err = dsm_wrlock(seg->priv->ctx, lock_id(seg, index), timeout_us);

	/* Who had it before is dead: that is what the claim is for. */
	return err == DSM_OWNER_DEAD ? 0 : err == -ETIMEDOUT || err == -EDEADLK ? -EBUSY : err;
}

static int claim(dsm_segment_t *seg, uint32_t index)
{
	return claim_for(seg, index, 0);
}

static void release(dsm_segment_t *seg, uint32_t index)
{
	(void)dsm_wrunlock(seg->priv->ctx, lock_id(seg, index));
}

static bool held(dsm_segment_t *seg, uint32_t index)
{
	if (claim(seg, index))
		return true;
	release(seg, index);
	return false;
}

static int wait_word(dsm_segment_t *seg, _Atomic uint32_t *word, uint32_t expected,
		     uint64_t timeout_us)
{
	int err = dsm_wait(seg->priv->ctx, (const void *)word, expected, timeout_us);

	return err == -ETIMEDOUT ? err : 0;
}

static void wake_word(dsm_segment_t *seg, _Atomic uint32_t *word, int n)
{
	(void)n; /* who waits elsewhere was woken by the store that took the page */
	(void)dsm_wake(seg->priv->ctx, (const void *)word);
}

static void forked(dsm_segment_t *seg)
{
	(void)seg; /* the child's sessions are its own: see lib/fork.c */
}

static uint32_t node(const dsm_segment_t *seg)
{
	struct dsm_status status;

	return dsm_status_get(seg->priv->ctx, &status) ? 0 : status.node_id;
}

static void unmap(dsm_segment_t *seg)
{
	struct seg_private *p = seg->priv;

	dsm_region_close(p->region);
	if (p->own_ctx)
		dsm_close(p->ctx);
}

const struct seg_backend seg_cluster = {
	.node = node,
	.commit = commit,
	.claim = claim,
	.release = release,
	.claim_dead = claim,
	.release_dead = release,
	.held = held,
	.wait = wait_word,
	.wake = wake_word,
	.forked = forked,
	.unmap = unmap,
	.spins = 50,
	.probes = 2,
	.grow_least = 4 * SEG_GRAIN,
};

/* The context to use: given, the program's, or one of our own. */
static int get_ctx(struct seg_private *p, dsm_t *given)
{
	int err;

	p->ctx = given ? given : dsm_default_context();
	if (p->ctx)
		return 0;
	err = dsm_open(NULL, &p->ctx);
	if (err)
		return seg_error(err, "%s: no node to use: %s", p->uri, strerror(-err));
	p->own_ctx = true;
	return 0;
}

static void put_ctx(struct seg_private *p)
{
	dsm_region_close(p->region);
	if (p->own_ctx)
		dsm_close(p->ctx);
	p->own_ctx = false;
	p->region = NULL;
}

/* The region's name in @name, which may say a window too. */
static int region_of_name(struct seg_private *p, const char *name, char ret[CLIENT_NAME_MAX])
{
	const char *slash = strchr(name, '/');
	size_t n = slash ? (size_t)(slash - name) : strlen(name);
	char *end = NULL;

	if (!n || n >= CLIENT_NAME_MAX)
		return seg_error(-EINVAL, "%s: a region's name has 1 to %d bytes", p->uri,
				 CLIENT_NAME_MAX - 1);
	memcpy(ret, name, n);
	ret[n] = '\0';
	if (!slash)
		return 0;
	p->window = (uint32_t)strtoul(slash + 1, &end, 10);
	if (strcmp(ret, "default") || end == slash + 1 || *end || p->window >= SEG_WINDOWS)
		return seg_error(-EINVAL, "%s: only the region 'default' has windows, 0 to %u",
				 p->uri, SEG_WINDOWS - 1);
	return 0;
}

static void set_base(struct seg_private *p)
{
	bool whole = p->region != dsm_region_default(p->ctx);

	p->region_off = whole ? 0 : SEG_WINDOWS_AT + p->window * SEG_WINDOW;
	p->seg.base = (uint8_t *)dsm_region_base(p->region) + p->region_off;
	p->seg.capacity = whole ? dsm_region_size(p->region) / SEG_PAGE * SEG_PAGE : SEG_WINDOW;
	p->seg.header = (struct seg_header *)p->seg.base;
	p->seg.slots = (struct seg_slot *)(p->seg.base + SEG_SLOTS_AT);
	p->seg.backend = &seg_cluster;
	p->seg.cluster = true;
}

/* Is the header's page anybody's? To look at one that is not would allocate it. */
static bool header_there(struct seg_private *p)
{
	struct client_req req = {
		.arg = OP_LOOKUP,
		.key = PAGE_KEY(p->region->number, p->region_off / SEG_PAGE),
		.timeout_us = CORE_NO_TIMEOUT,
	};

	return !control_op(p->ctx, &req, NULL);
}

/* Never written to: a maker stores the magic number before anything else. */
static bool untouched(const struct seg_header *h)
{
	const uint64_t *word = (const uint64_t *)(const void *)h;

	for (size_t i = 0; i < sizeof(*h) / sizeof(*word); i++)
		if (word[i])
			return false;
	return true;
}

static bool half_made(struct seg_header *h)
{
	return h->magic == SEG_MAGIC && atomic_load(&h->state) != SEG_READY;
}

static int check(struct seg_private *p)
{
	/* Half-laid out or never begun is as good as nothing; what others keep there is not. */
	if (!header_there(p) || untouched(p->seg.header) || half_made(p->seg.header))
		return -ENOENT;
	return seg_check(p->seg.header, p->seg.capacity, p->uri);
}

/* Wait for whoever is at work on it. Nothing else tells a maker from one that died. */
static int maker_lock(struct seg_private *p)
{
	int err = claim_for(&p->seg, SEG_MAKER_SLOT, MAKING_US);

	if (err)
		return seg_error(err == -EBUSY ? -ETIMEDOUT : err,
				 "%s: somebody is making it and does not end", p->uri);
	return 0;
}

int cluster_attach(struct seg_private *p, const char *name, const struct dsm_segment_options *o)
{
	char region[CLIENT_NAME_MAX];
	int err = region_of_name(p, name, region);

	if (!err)
		err = get_ctx(p, o->ctx);
	if (err)
		return err;
	err = dsm_region_open(p->ctx, region, &p->region);
	if (err) {
		put_ctx(p);
		return seg_error(err, "%s: %s", p->uri,
				 err == -ENOENT ? "there is no such region" : strerror(-err));
	}
	set_base(p);
	err = check(p);
	if (err == -ENOENT) {
		err = maker_lock(p);
		if (!err) {
			err = check(p);
			release(&p->seg, SEG_MAKER_SLOT);
		}
		if (err == -ENOENT)
			err = header_there(p) && half_made(p->seg.header)
				      ? seg_error(-ESTALE, "%s: half-created by process %u", p->uri,
						  p->seg.header->creator_pid)
				      : seg_error(-ENOENT, "%s: the region holds no segment",
						  p->uri);
	}
	if (err)
		put_ctx(p);
	else
		p->seg.capacity = p->seg.header->capacity;
	return err;
}

/* Grains that fit beside their table; 0: the region is too small. */
static uint64_t grains_of(uint64_t capacity)
{
	uint64_t grains;

	if (capacity < seg_data_at(1) + SEG_GRAIN)
		return 0;
	grains = (capacity - SEG_GRAINS_AT) / (SEG_GRAIN + sizeof(struct seg_grain));
	while (seg_data_at(grains) + grains * SEG_GRAIN > capacity)
		grains--;
	return grains;
}

static int lay_out(struct seg_private *p, const struct dsm_segment_options *o)
{
	uint64_t grains = grains_of(p->seg.capacity);
	uint64_t at = seg_data_at(grains), size = o->size;
	int err;

	if (!grains)
		return seg_error(-ENOSPC, "%s: the region has %llu bytes, a segment at least %llu",
				 p->uri, (unsigned long long)p->seg.capacity,
				 (unsigned long long)(seg_data_at(1) + SEG_GRAIN));
	if (size > grains * SEG_GRAIN)
		size = grains * SEG_GRAIN;
	err = commit(&p->seg, 0, SEG_SLOTS_AT);
	if (!err)
		err = commit(&p->seg, SEG_GRAINS_AT,
			     (size / SEG_GRAIN * sizeof(struct seg_grain) + SEG_PAGE) / SEG_PAGE *
				     SEG_PAGE);
	if (!err)
		err = commit(&p->seg, at, size);
	if (err)
		return seg_error(err, "%s: no memory for %llu bytes in the cluster: %s", p->uri,
				 (unsigned long long)size, strerror(-err));
	/* Whose it is comes first: see untouched(). The rest is what a maker that died has left. */
	p->seg.header->magic = SEG_MAGIC;
	atomic_signal_fence(memory_order_seq_cst);
	memset(p->seg.base + sizeof(uint64_t), 0, SEG_SLOTS_AT - sizeof(uint64_t));
	p->seg.capacity = at + grains * SEG_GRAIN;
	seg_format(&p->seg, grains, at + size);
	return 0;
}

int cluster_make(struct seg_private *p, const char *name, const struct dsm_segment_options *o)
{
	uint64_t grains = o->max_size / SEG_GRAIN;
	char region[CLIENT_NAME_MAX];
	int err = region_of_name(p, name, region);
	bool made;

	if (!err)
		err = get_ctx(p, o->ctx);
	if (err)
		return err;
	if (!strcmp(region, "default"))
		err = dsm_region_open(p->ctx, region, &p->region);
	else
		err = dsm_region_create(p->ctx, region, seg_data_at(grains) + grains * SEG_GRAIN,
					&p->region);
	made = !err && strcmp(region, "default");
	/* A region without a segment in it, or with half of one, may be made one. */
	if (err == -EEXIST)
		err = dsm_region_open(p->ctx, region, &p->region);
	if (err) {
		put_ctx(p);
		return seg_error(err, "%s: %s", p->uri, strerror(-err));
	}
	set_base(p);
	err = maker_lock(p);
	if (!err) {
		err = check(p);
		if (!err)
			err = seg_error(-EEXIST, "%s: exists", p->uri);
		else if (err == -ENOENT)
			err = lay_out(p, o);
		/* With what memory it got. */
		if (err && made)
			(void)dsm_region_delete(p->ctx, region);
		release(&p->seg, SEG_MAKER_SLOT);
	}
	if (err)
		put_ctx(p);
	return err;
}

int cluster_unlink(const char *name, dsm_t *ctx)
{
	struct seg_private p = { 0 };
	int err;

	(void)snprintf(p.uri, sizeof(p.uri), "dsm:%s", name);
	err = get_ctx(&p, ctx);
	if (err)
		return err;
	err = dsm_region_delete(p.ctx, name);
	if (p.own_ctx)
		dsm_close(p.ctx);
	return err ? seg_error(err, "dsm:%s: %s", name,
			       err == -ENOENT ? "there is no such region" : strerror(-err))
		   : 0;
}

static bool holds_segment(dsm_t *ctx, const char *name)
{
	struct dsm_segment_options o = { .ctx = ctx };
	struct seg_private p = { .fd = -1 };

	p.seg.priv = &p;
	(void)snprintf(p.uri, sizeof(p.uri), "dsm:%s", name);
	if (cluster_attach(&p, name, &o))
		return false;
	put_ctx(&p);
	return true;
}

int cluster_list(dsm_t *ctx, char ***ret)
{
	struct records r = { 0 };
	int n = 0, err = records_get(ctx, LIST_REGIONS, &r);
	const struct client_region *from = (const struct client_region *)(const void *)r.bytes;
	size_t regions = r.len / sizeof(*from);
	char **list = err ? NULL : calloc(regions + 1, sizeof(*list));

	for (size_t i = 0; list && i < regions; i++) {
		if (!memchr(from[i].name, '\0', sizeof(from[i].name)) || !from[i].name[0] ||
		    !holds_segment(ctx, from[i].name))
			continue;
		if (asprintf(&list[n], "dsm:%s", from[i].name) < 0) {
			list[n] = NULL;
			break;
		}
		n++;
	}
	free(r.bytes);
	*ret = list;
	return list ? n
		    : seg_error(err ? err : -ENOMEM, "the cluster's regions: %s",
				strerror(err ? -err : ENOMEM));
}
