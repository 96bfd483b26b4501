// SPDX-License-Identifier: MIT
/* The small API: one heap for a process. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <shm_heap.h>

#include "lib/heap/heap.h"

#define URI_MAX 256

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of init and close */
static dsm_heap_t *_Atomic the_heap;

static bool uri_of(const char *name, char uri[URI_MAX])
{
	const char *scheme = "shm:";

	if (!name || !*name) {
		(void)seg_error(-EINVAL, "shm_heap: no name");
		return false;
	}
	if (!strncmp(name, "shm:", 4) || !strncmp(name, "dsm:", 4))
		scheme = "";
	else if (*name == '/') /* as shm_open() likes it */
		name++;
	if (snprintf(uri, URI_MAX, "%s%s", scheme, name) >= URI_MAX) {
		(void)seg_error(-EINVAL, "shm_heap: a name of %zu bytes is too long", strlen(name));
		return false;
	}
	return true;
}

static int strategy_of(AllocStrategy strategy, uint32_t *ret)
{
	switch (strategy) {
	case FIRST_FIT:
		*ret = DSM_HEAP_FIRST_FIT;
		return 0;
	case BEST_FIT:
		*ret = DSM_HEAP_BEST_FIT;
		return 0;
	case WORST_FIT:
		*ret = DSM_HEAP_WORST_FIT;
		return 0;
	case SIZE_CLASSES:
		*ret = DSM_HEAP_SIZE_CLASSES;
		return 0;
	default:
		return seg_error(-EINVAL, "shm_heap: no strategy %d", (int)strategy);
	}
}

/* The heap of @seg, made where there is none. */
static int heap_get(dsm_segment_t *seg, const struct dsm_heap_options *o, dsm_heap_t **ret)
{
	int err = dsm_heap_create(seg, o, ret);

	if (err == -EEXIST)
		err = dsm_heap_open(seg, ret);
	if (!err && dsm_heap_strategy(*ret) != o->strategy) {
		dsm_heap_close(*ret);
		err = seg_error(-EEXIST, "shm_heap: %s has a heap of another strategy",
				dsm_segment_uri(seg));
	}
	return err;
}

static int init_locked(const char *uri, uint64_t size, uint32_t strategy)
{
	/* Room for the heap's header and tables too. */
	struct dsm_heap_options heap = { .strategy = strategy };
	struct dsm_segment_options segment = { .flags = DSM_SEGMENT_EXISTING };
	dsm_segment_t *seg;
	dsm_heap_t *ret;
	int err;

	if (the_heap)
		return seg_error(-EBUSY, "shm_heap: %s is open already",
				 dsm_segment_uri(dsm_heap_segment(the_heap)));
	if (!size || size > UINT64_MAX / 4)
		return seg_error(-EINVAL, "shm_heap: a heap of %lu bytes", (unsigned long)size);
	heap.reserve = size + size / 64 + SEG_PAGE;
	segment.size = heap.reserve + 4 * (uint64_t)SEG_GRAIN;
	segment.max_size = segment.size;
	err = dsm_segment_create(uri, &segment, &seg);
	if (err)
		return err;
	err = heap_get(seg, &heap, &ret);
	if (err)
		dsm_segment_close(seg);
	else
		the_heap = ret;
	return err;
}

bool shm_heap_init(const char *name, size_t size, AllocStrategy strategy)
{
	char uri[URI_MAX];
	uint32_t own = 0;
	int err;

	if (!uri_of(name, uri) || strategy_of(strategy, &own))
		return false;
	(void)pthread_mutex_lock(&lock);
	err = init_locked(uri, size, own);
	(void)pthread_mutex_unlock(&lock);
	return !err;
}

uint64_t shm_heap_alloc(uint64_t size)
{
	dsm_heap_t *heap = the_heap;

	if (!heap) {
		(void)seg_error(-EINVAL, "shm_heap: no heap is open");
		return 0;
	}
	return dsm_heap_alloc(heap, size);
}

void shm_heap_free(uint64_t offset)
{
	dsm_heap_t *heap = the_heap;

	if (heap)
		(void)dsm_heap_free(heap, offset);
}

void *shm_heap_local_ptr(uint64_t offset)
{
	const dsm_heap_t *heap = the_heap;

	return heap ? dsm_segment_ptr(heap->seg, offset) : NULL;
}

void shm_heap_close(void)
{
	dsm_segment_t *seg;

	(void)pthread_mutex_lock(&lock);
	if (the_heap) {
		seg = dsm_heap_segment(the_heap);
		dsm_heap_close(the_heap);
		the_heap = NULL;
		dsm_segment_close(seg);
	}
	(void)pthread_mutex_unlock(&lock);
}

bool shm_heap_unlink(const char *name)
{
	char uri[URI_MAX];

	return uri_of(name, uri) && !dsm_segment_unlink(uri, NULL);
}
