// SPDX-License-Identifier: MIT
#include <stdlib.h>

#include "heat.h"

/* Wide vectors where the machine has them. The sanitizers cannot live with the choice at start. */
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define WIDE __attribute__((target_clones("avx2", "default")))
#else
#define WIDE
#endif

#define PAGE_DOUBLES (DSM_PAGE_BYTES / sizeof(double))
#define HOT_EDGE     100.0
#define SOR_OMEGA    1.5

struct heat_share heat_share_of(uint32_t size, uint32_t rank, uint32_t nodes)
{
	uint64_t inner = size - 2;

	return (struct heat_share){
		.low = 1 + (uint32_t)(inner * rank / nodes),
		.high = 1 + (uint32_t)(inner * (rank + 1) / nodes),
	};
}

size_t heat_stride(uint32_t size)
{
	return (size + PAGE_DOUBLES - 1) / PAGE_DOUBLES * PAGE_DOUBLES;
}

/* The upper edge is hot, all else is cold. */
void heat_row_init(const struct heat_grid *g, uint32_t row)
{
	double *r = heat_row(g, row);

	for (uint32_t j = 0; j < g->size; j++)
		r[j] = row ? 0 : HOT_EDGE;
}

WIDE void heat_jacobi_rows(const struct heat_grid *from, const struct heat_grid *to, uint32_t low,
			   uint32_t high)
{
	uint32_t last = from->size - 1;

	for (uint32_t i = low; i < high; i++) {
		const double *above = heat_row(from, i - 1), *here = heat_row(from, i);
		const double *below = heat_row(from, i + 1);
		double *restrict out = heat_row(to, i);

		for (uint32_t j = 1; j < last; j++)
			out[j] = 0.25 * (above[j] + below[j] + here[j - 1] + here[j + 1]);
	}
}

WIDE void heat_sor_rows(const struct heat_grid *g, uint32_t low, uint32_t high, unsigned int colour)
{
	uint32_t last = g->size - 1;

	for (uint32_t i = low; i < high; i++) {
		const double *above = heat_row(g, i - 1), *below = heat_row(g, i + 1);
		double *here = heat_row(g, i);

		for (uint32_t j = 1 + ((i + colour) & 1); j < last; j += 2) {
			double mean = 0.25 * (above[j] + below[j] + here[j - 1] + here[j + 1]);

			here[j] += SOR_OMEGA * (mean - here[j]);
		}
	}
}

static int grid_new(uint32_t size, struct heat_grid *ret)
{
	size_t stride = heat_stride(size);

	ret->points = aligned_alloc(DSM_PAGE_BYTES, size * stride * sizeof(double));
	ret->stride = stride;
	ret->size = size;
	if (!ret->points)
		return -1;
	for (uint32_t i = 0; i < size; i++)
		heat_row_init(ret, i);
	return 0;
}

int heat_sequential(const struct heat_options *o, struct heat_grid *ret)
{
	struct heat_grid from, to, swap;

	if (grid_new(o->size, &from))
		return -1;
	if (grid_new(o->size, &to)) {
		free(from.points);
		return -1;
	}
	for (uint32_t s = 0; s < o->sweeps; s++) {
		if (o->method == HEAT_SOR) {
			heat_sor_rows(&from, 1, o->size - 1, 0);
			heat_sor_rows(&from, 1, o->size - 1, 1);
			continue;
		}
		heat_jacobi_rows(&from, &to, 1, o->size - 1);
		swap = from;
		from = to;
		to = swap;
	}
	free(to.points);
	*ret = from;
	return 0;
}
