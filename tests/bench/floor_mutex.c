// SPDX-License-Identifier: MIT
/*
 * floor_mutex CPU: lock and unlock of an uncontended robust process-shared
 * mutex, in nanoseconds: what the kernel's own locks between processes cost.
 */
#include <pthread.h>
#include <sys/mman.h>

#include "tests/bench/measure.h"

#define ROUNDS 5000000u

int main(int argc, char **argv)
{
	pthread_mutexattr_t attr;
	pthread_mutex_t *m = mmap(NULL, sizeof(*m), PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t start;

	if (m == MAP_FAILED)
		die("mmap");
	pin(argc > 1 ? atoi(argv[1]) : -1);
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(m, &attr);
	start = now_ns();
	for (unsigned int i = 0; i < ROUNDS; i++) {
		if (pthread_mutex_lock(m))
			die("lock");
		pthread_mutex_unlock(m);
	}
	printf("robust_mutex %.3f ns\n", (double)(now_ns() - start) / ROUNDS);
	return 0;
}
