/* SPDX-License-Identifier: MIT */
/* Heat diffusion in a square plate: what its files share. */
#ifndef HEAT_H
#define HEAT_H

#include <dsm/dsm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum heat_method { HEAT_JACOBI, HEAT_SOR };

struct heat_options {
	uint32_t size; /* points on a side of the plate, edges included */
	uint32_t sweeps;
	uint32_t nodes; /* programs that share the work */
	uint32_t run;	/* number that keeps runs apart */
	int rank;	/* -1: in order of arrival */
	enum heat_method method;
	bool device; /* memory from the bare device, not from the library */
	bool verify, progress, json;
};

/* A square of doubles; each row begins on a page of its own. */
struct heat_grid {
	double *points;
	size_t stride; /* doubles from one row to the next */
	uint32_t size;
};

/* The rows [low, high) that one rank computes; edges never change. */
struct heat_share {
	uint32_t low, high;
};

static inline double *heat_row(const struct heat_grid *g, uint32_t row)
{
	return g->points + row * g->stride;
}

/* heat_kernel.c: the same arithmetic in the same order, wherever it runs. */
struct heat_share heat_share_of(uint32_t size, uint32_t rank, uint32_t nodes);
size_t heat_stride(uint32_t size);
/* Start temperatures of one row. */
void heat_row_init(const struct heat_grid *g, uint32_t row);
void heat_jacobi_rows(const struct heat_grid *from, const struct heat_grid *to, uint32_t low,
		      uint32_t high);
/* Points of one colour (0, 1) of a chessboard, in place. */
void heat_sor_rows(const struct heat_grid *g, uint32_t low, uint32_t high, unsigned int colour);
/* All sweeps in private memory; the result is in *ret. 0, or -1 without memory. */
int heat_sequential(const struct heat_options *o, struct heat_grid *ret);

/* heat_team.c: how the programs of a run meet. */
struct heat_team {
	dsm_t *ctx;
	dsm_region_t *region;	   /* NULL: the memory is a mapping of the device */
	char *memory;		   /* who came, then the grids */
	size_t bytes;		   /* of it */
	struct heat_grid grids[2]; /* SOR uses the first */
	uint32_t rank, nodes, barrier;
	struct heat_share share;
};

/* 0, or -1 with a message on stderr. */
int heat_team_join(const struct heat_options *o, struct heat_team *ret);
/* All come here. 0, or -1 with a message on stderr. */
int heat_team_meet(const struct heat_team *t);
/* After the last meeting. */
void heat_team_leave(struct heat_team *t);

/* heat_device.c */
#define HEAT_DEVICE "/dev/dsm"
/* Memory of run @run, mapped; the caller unmaps @bytes. A negative errno. */
int heat_device_map(uint32_t run, size_t bytes, char **ret);

#endif
