// SPDX-License-Identifier: MIT
/* heap_sample NAME: makes a heap by best fit with 50 blocks and as many holes, for the command's test. */
#include <shm_heap.h>

#include <dsm_segment.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	uint64_t block[100];

	if (argc != 2 || !shm_heap_init(argv[1], 1u << 20, BEST_FIT)) {
		(void)fprintf(stderr, "heap_sample NAME: %s\n", dsm_last_error());
		return 1;
	}
	for (int i = 0; i < 100; i++) {
		block[i] = shm_heap_alloc(100 + (uint64_t)i * 50);
		if (!block[i])
			return 1;
	}
	for (int i = 0; i < 100; i += 2)
		shm_heap_free(block[i]);
	shm_heap_close();
	return 0;
}
