// SPDX-License-Identifier: MIT
// The heap's headers in C++.
#include <dsm_heap.h>
#include <dsm_heap_report.h>
#include <shm_heap.h>

extern "C" int shm_heap_from_cpp(const char *name)
{
	if (!shm_heap_init(name, 1 << 20, BEST_FIT))
		return 1;
	uint64_t off = shm_heap_alloc(sizeof(double));
	double *d = static_cast<double *>(shm_heap_local_ptr(off));
	if (!d)
		return 2;
	*d = 1.5;
	shm_heap_free(off);
	shm_heap_close();
	return 0;
}
