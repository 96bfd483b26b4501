// SPDX-License-Identifier: MIT
#include "lib/lock_table.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

int lock_table_new(int fd, uint32_t nwords, size_t stride, struct lock_table **ret)
{
	struct lock_table *t = calloc(1, sizeof(*t));
	void *at;
	int err;

	if (!t)
		return -ENOMEM;
	*ret = t;
	if (fd < 0 || !nwords || stride < sizeof(uint32_t) || stride % sizeof(uint32_t))
		return 0;
	at = mmap(NULL, nwords * stride, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED) {
		err = -errno;
		free(t);
		return err;
	}
	t->words = at;
	t->stride = stride;
	t->nwords = nwords;
	return 0;
}

void lock_table_free(struct lock_table *t)
{
	while (t) {
		struct lock_table *older = t->older;

		if (t->words)
			munmap(t->words, t->nwords * t->stride);
		free(t);
		t = older;
	}
}
