// SPDX-License-Identifier: MIT
/*
 * floor_heat_mpi [SIZE [SWEEPS]]: Jacobi heat diffusion over MPI ranks with
 * explicit messages: what a programmer gets who moves every row by hand. Run by
 * one rank it is the sequential time.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

static void exchange(double *grid, int size, int low, int high, int rank, int ranks)
{
	int up = rank ? rank - 1 : MPI_PROC_NULL;
	int down = rank + 1 < ranks ? rank + 1 : MPI_PROC_NULL;
	size_t n = (size_t)size;

	MPI_Sendrecv(grid + (size_t)low * n, size, MPI_DOUBLE, up, 0, grid + (size_t)high * n, size,
		     MPI_DOUBLE, down, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
	MPI_Sendrecv(grid + (size_t)(high - 1) * n, size, MPI_DOUBLE, down, 1,
		     grid + (size_t)(low - 1) * n, size, MPI_DOUBLE, up, 1, MPI_COMM_WORLD,
		     MPI_STATUS_IGNORE);
}

static void sweep(const double *from, double *to, int size, int low, int high)
{
	size_t n = (size_t)size;

	for (int i = low; i < high; i++) {
		const double *r = from + (size_t)i * n, *above = r - n, *below = r + n;
		double *o = to + (size_t)i * n;

		for (size_t j = 1; j < n - 1; j++)
			o[j] = 0.25 * (above[j] + below[j] + r[j - 1] + r[j + 1]);
	}
}

static double *new_grid(int size)
{
	double *grid = calloc((size_t)size * (size_t)size, sizeof(*grid));

	if (!grid)
		MPI_Abort(MPI_COMM_WORLD, 1);
	for (int j = 0; j < size; j++)
		grid[j] = 100;
	return grid;
}

int main(int argc, char **argv)
{
	int rank, ranks, size = argc > 1 ? atoi(argv[1]) : 1024,
			 sweeps = argc > 2 ? atoi(argv[2]) : 100;
	double start;

	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &ranks);

	int low = 1 + (size - 2) * rank / ranks, high = 1 + (size - 2) * (rank + 1) / ranks;
	double *from = new_grid(size), *to = new_grid(size);

	MPI_Barrier(MPI_COMM_WORLD);
	start = MPI_Wtime();
	for (int s = 0; s < sweeps; s++) {
		double *swap = from;

		exchange(from, size, low, high, rank, ranks);
		sweep(from, to, size, low, high);
		from = to;
		to = swap;
	}
	MPI_Barrier(MPI_COMM_WORLD);
	if (!rank)
		printf("heat_mpi %.3f ms\n", (MPI_Wtime() - start) * 1e3);
	free(from);
	free(to);
	MPI_Finalize();
	return 0;
}
