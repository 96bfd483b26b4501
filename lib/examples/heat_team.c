// SPDX-License-Identifier: MIT
/*
 * The programs of a run meet in a region named after it, or in a piece of the bare
 * device: the first makes it, each counts itself in under a lock, the last to go deletes
 * it. It begins with the list of who came. Grids begin at multiples of ALIGNMENT: pages are given
 * out in groups at first touch, and no group should lie across two grids.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "heat.h"

#define ALIGNMENT   65536u
#define HEAT_NUMBER 0x48454154u /* its locks and barriers: this plus the run's number */

struct roster {
	uint32_t size, nodes, method;
	uint32_t joined;
	uint8_t taken[256];
	_Atomic uint32_t left;
};

static int complain(const char *what, int err)
{
	fprintf(stderr, "heat: %s: %s\n", what, strerror(-err));
	return -1;
}

static void region_name(uint32_t run, char *name, size_t len)
{
	snprintf(name, len, "heat-%u", run);
}

/* The caller holds the lock. -1: this run's region belongs to other programs. */
static int sign_in(const struct heat_options *o, struct roster *r, struct heat_team *t)
{
	if (!r->joined) {
		r->size = o->size;
		r->nodes = o->nodes;
		r->method = o->method;
	}
	if (r->joined == r->nodes || r->size != o->size || r->nodes != o->nodes ||
	    r->method != (uint32_t)o->method) {
		fprintf(stderr,
			"heat: another heat uses run %u (%u of %u programs, size %u). Choose "
			"another --run; "
			"if it has died, `dsm region delete heat-%u` removes what it left\n",
			o->run, r->joined, r->nodes, r->size, o->run);
		return -1;
	}
	t->rank = o->rank >= 0 ? (uint32_t)o->rank : 0;
	while (o->rank < 0 && r->taken[t->rank])
		t->rank++;
	if (r->taken[t->rank]) {
		fprintf(stderr, "heat: rank %u is taken\n", t->rank);
		return -1;
	}
	r->taken[t->rank] = 1;
	r->joined++;
	return 0;
}

static int open_region(const struct heat_options *o, struct heat_team *t)
{
	char name[32];
	int err;

	region_name(o->run, name, sizeof(name));
	err = dsm_region_create(t->ctx, name, t->bytes, &t->region);
	if (err == -EEXIST)
		err = dsm_region_open(t->ctx, name, &t->region);
	if (err)
		return complain(name, err);
	if (dsm_region_size(t->region) < t->bytes) {
		fprintf(stderr, "heat: run %u is one of another size: choose another --run\n",
			o->run);
		return -1;
	}
	t->memory = dsm_region_base(t->region);
	return 0;
}

static int open_memory(const struct heat_options *o, struct heat_team *t)
{
	size_t bytes = o->size * heat_stride(o->size) * sizeof(double);
	size_t grid = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	int err;

	t->bytes = ALIGNMENT + 2 * grid;
	if (o->device) {
		err = heat_device_map(o->run, t->bytes, &t->memory);
		if (err)
			return complain(HEAT_DEVICE, err);
	} else if (open_region(o, t)) {
		return -1;
	}
	for (int i = 0; i < 2; i++) {
		char *base = t->memory + ALIGNMENT + i * grid;

		t->grids[i] = (struct heat_grid){ (double *)(void *)base, heat_stride(o->size),
						  o->size };
	}
	return 0;
}

static struct roster *roster_of(const struct heat_team *t)
{
	return (struct roster *)(void *)t->memory;
}

int heat_team_join(const struct heat_options *o, struct heat_team *ret)
{
	struct heat_team t = { .nodes = o->nodes, .barrier = HEAT_NUMBER + o->run };
	int err = dsm_open(NULL, &t.ctx), signed_in;

	if (err)
		return complain("dsm_open", err);
	err = dsm_ctx_lock(t.ctx, t.barrier);
	if (err < 0) {
		dsm_close(t.ctx);
		return complain("lock", err);
	}
	signed_in = open_memory(o, &t);
	if (!signed_in)
		signed_in = sign_in(o, roster_of(&t), &t);
	(void)dsm_ctx_unlock(t.ctx, t.barrier);
	if (signed_in) {
		dsm_close(t.ctx);
		return -1;
	}
	t.share = heat_share_of(o->size, t.rank, t.nodes);
	*ret = t;
	return 0;
}

int heat_team_meet(const struct heat_team *t)
{
	int err = t->nodes > 1 ? dsm_barrier_wait(t->ctx, t->barrier, t->nodes, DSM_FOREVER) : 0;

	return err ? complain("barrier", err) : 0;
}

/* The last one leaves the device's memory as it found it: with nobody in it. */
static void leave_device(struct heat_team *t, bool last)
{
	if (last)
		memset(roster_of(t), 0, sizeof(struct roster));
	munmap(t->memory, t->bytes);
}

static void leave_region(struct heat_team *t, bool last)
{
	char name[32];

	snprintf(name, sizeof(name), "%s", dsm_region_name(t->region));
	dsm_region_close(t->region);
	if (last)
		(void)dsm_region_delete(t->ctx, name);
}

void heat_team_leave(struct heat_team *t)
{
	bool last = atomic_fetch_add(&roster_of(t)->left, 1) + 1 == t->nodes;

	if (t->region)
		leave_region(t, last);
	else
		leave_device(t, last);
	dsm_close(t->ctx);
}
