// SPDX-License-Identifier: MIT
/*
 * Hostile bytes in a heap of size classes, two of whose users were killed: whatever stands in its header,
 * tables, bitmaps, inboxes and journals, cleaning up, opening and using it ends with a result. An
 * input is a list of words to put into a good one.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/heap/class.h"
#include "lib/segment/layout.h"
#include "tests/fuzz/fuzz.h"

const unsigned int fuzz_runs = 2000;

#define BLOCKS 200u

enum area { HEADER, PART, TABLE, SLOTS, INBOX, SPAN, LARGE, AREAS };

struct patch {
	uint8_t area;
	uint8_t size; /* bytes of value, 1 to 8 */
	uint16_t at;  /* in units of the size */
	uint32_t reserved;
	uint64_t value;
};

/* The good one, as it is when its users are killed: all but a hole between slots and grains. */
static struct {
	uint64_t size, at[AREAS], block[BLOCKS], word;
	uint8_t *low, *high; /* what is before the hole, what behind it */
} good;
#define LOW_END (SEG_SLOTS_AT + 2 * SEG_PAGE)

static const uint64_t area_size[AREAS] = {
	[HEADER] = 64,	[PART] = SEG_PAGE, [TABLE] = 1024, [SLOTS] = 2 * SEG_PAGE,
	[INBOX] = 1024, [SPAN] = SEG_PAGE, [LARGE] = 64,
};

static const char *uri(void)
{
	static char text[64];

	(void)snprintf(text, sizeof(text), "shm:fuzz-heap-%d", getpid());
	return text;
}

static int file(int flags)
{
	char path[96];
	int fd;

	(void)snprintf(path, sizeof(path), "/dev/shm/dsm.fuzz-heap-%d", getpid());
	fd = open(path, flags, 0600);
	MUST(fd >= 0);
	return fd;
}

/* Blocks of all kinds; of the first user's, the second one has freed some. */
static void fill(dsm_heap_t *a, dsm_heap_t *b)
{
	uint64_t *word;

	good.word = dsm_heap_calloc(a, 1, 64);
	word = dsm_heap_ptr(a, good.word);
	for (uint32_t i = 0; i < BLOCKS; i++)
		good.block[i] = dsm_heap_alloc(i % 8 ? a : b, i % 50 == 1 ? 100000 : 16 + i * 20);
	MUST(!dsm_heap_alloc_to(a, 200, word));
	for (uint32_t i = 0; i < BLOCKS; i += 3)
		MUST(!dsm_heap_free(b, good.block[i]));
}

static void snapshot(dsm_heap_t *a)
{
	struct class_heap *h = class_heap(a);
	uint64_t data_at = a->seg->header->data_at;
	int fd = file(O_RDONLY);

	good.at[HEADER] = a->header_off;
	good.at[PART] = a->part;
	good.at[TABLE] = a->part + SEG_PAGE + data_at / SEG_GRAIN * 4;
	good.at[SLOTS] = SEG_SLOTS_AT;
	good.at[INBOX] = atomic_load(&h->part->lanes[0]);
	good.at[SPAN] = good.block[2] / SEG_GRAIN * SEG_GRAIN;
	good.at[LARGE] = good.block[1] - sizeof(struct class_large);
	good.size = (uint64_t)lseek(fd, 0, SEEK_END);
	good.low = malloc(LOW_END);
	good.high = malloc(a->seg->header->size - SEG_GRAINS_AT);
	MUST(good.low && good.high);
	MUST(pread(fd, good.low, LOW_END, 0) == (ssize_t)LOW_END);
	MUST(pread(fd, good.high, a->seg->header->size - SEG_GRAINS_AT, (off_t)SEG_GRAINS_AT) ==
	     (ssize_t)(a->seg->header->size - SEG_GRAINS_AT));
	close(fd);
}

static void make_good(void)
{
	struct dsm_segment_options o = { .size = 3u << 20, .max_size = 8u << 20 };
	dsm_segment_t *seg[2];
	dsm_heap_t *heap[2];

	(void)dsm_segment_unlink(uri(), NULL);
	MUST(!dsm_segment_create(uri(), &o, &seg[0]));
	MUST(!dsm_segment_open(uri(), NULL, &seg[1]));
	MUST(!dsm_heap_create(seg[0], NULL, &heap[0]));
	MUST(!dsm_heap_open(seg[1], &heap[1]));
	fill(heap[0], heap[1]);
	snapshot(heap[0]);
	dsm_segment_close(seg[1]);
	dsm_segment_close(seg[0]);
	MUST(!dsm_segment_unlink(uri(), NULL));
}

static void put_patch(int fd, const struct patch *p)
{
	uint32_t area = p->area % AREAS, size = p->size % 8 + 1;
	uint64_t at = (uint64_t)p->at * size;

	if (at + size <= area_size[area])
		MUST(pwrite(fd, &p->value, size, (off_t)(good.at[area] + at)) == (ssize_t)size);
}

static void put_all(const uint8_t *data, size_t size)
{
	const struct seg_header *h = (const struct seg_header *)good.low;
	size_t high = h->size - SEG_GRAINS_AT;
	int fd = file(O_RDWR | O_CREAT | O_TRUNC);
	struct patch p;

	MUST(!ftruncate(fd, (off_t)good.size));
	MUST(pwrite(fd, good.low, LOW_END, 0) == (ssize_t)LOW_END);
	MUST(pwrite(fd, good.high, high, (off_t)SEG_GRAINS_AT) == (ssize_t)high);
	for (; size >= sizeof(p); data += sizeof(p), size -= sizeof(p)) {
		memcpy(&p, data, sizeof(p));
		put_patch(fd, &p);
	}
	close(fd);
}

static int place(void *context, const struct heap_place *p)
{
	*(uint64_t *)context += p->size;
	return 0;
}

static int fault(void *context, uint64_t off, const char *what)
{
	*(uint64_t *)context += off + (uint64_t)what[0];
	return 0;
}

static void use(dsm_heap_t *heap)
{
	uint64_t sum = 0, off, *word = dsm_heap_ptr(heap, good.word);

	for (uint32_t i = 0; i < BLOCKS; i++) {
		(void)dsm_heap_usable_size(heap, good.block[i]);
		if (i % 2)
			(void)dsm_heap_free(heap, good.block[i]);
		off = dsm_heap_alloc(heap, i % 40 ? 16 + i * 30 : 70000);
		if (off)
			*(volatile uint8_t *)dsm_heap_ptr(heap, off) = 1;
	}
	(void)heap->ops->walk(heap, place, &sum);
	(void)heap->ops->check(heap, fault, &sum);
	(void)dsm_heap_free_from(heap, word);
	(void)dsm_heap_alloc_to(heap, 50, word);
	(void)dsm_heap_realloc(heap, good.block[1], 300000);
	(void)dsm_heap_flush(heap);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	dsm_segment_t *seg;
	dsm_heap_t *heap;

	if (!good.low)
		make_good();
	put_all(data, size);
	if (!dsm_segment_open(uri(), NULL, &seg)) {
		(void)dsm_segment_recover(seg);
		if (!dsm_heap_open(seg, &heap))
			use(heap);
		else
			MUST(dsm_last_error()[0]);
		dsm_segment_close(seg);
	}
	MUST(!dsm_segment_unlink(uri(), NULL));
	return 0;
}

#define SLOT_AT(slot, field)                                                                       \
	(uint16_t)(((slot)*SEG_PAGE + offsetof(struct seg_slot, heap_area) +                       \
		    offsetof(struct class_journal, field)) /                                       \
		   8)

size_t fuzz_seed(unsigned int i, uint8_t ret[FUZZ_INPUT_MAX])
{
	static const struct patch seeds[] = {
		{ HEADER, 7, 6, 0, 0 }, /* nothing */
		{ HEADER, 7, 1, 0, 1 },
		{ HEADER, 7, 4, 0, 1u << 20 },
		{ HEADER, 7, 5, 0, 9u << 20 },
		{ PART, 7, 1, 0, 1ull << 40 },
		{ PART, 3, 16, 0, 0x801 },
		{ PART, 3, 32, 0, 1000 },
		{ PART, 7, 255, 0, 0x900000 },
		{ PART, 7, 384, 0, 0x900000 },
		{ TABLE, 3, 2, 0, CLASS_SPAN | 250 << 8 },
		{ TABLE, 3, 3, 0, CLASS_LARGE | 60000 << 2 },
		{ TABLE, 3, 4, 0, CLASS_ORPHAN | CLASS_HAS_ROOM | 3 << 8 },
		{ TABLE, 3, 5, 0, CLASS_SPAN | 5 << 8 | 700u << 16 },
		{ SLOTS, 7, SLOT_AT(0, op), 0, CLASS_FREE_FROM },
		{ SLOTS, 7, SLOT_AT(0, op), 0, CLASS_LARGE_FREE },
		{ SLOTS, 7, SLOT_AT(0, run), 0, 0x900000 },
		{ SLOTS, 7, SLOT_AT(1, dest), 0, 12345 },
		{ SLOTS, 7, SLOT_AT(1, out), 0, 0x910001 },
		{ SLOTS, 3, SLOT_AT(1, out_count) * 2, 0, 4000000000u },
		{ INBOX, 3, 4, 0, 100000 },
		{ INBOX, 3, 3, 0, 1 },
		{ INBOX, 3, 2, 0, 0 },
		{ SPAN, 7, 0, 0, UINT64_MAX },
		{ SPAN, 7, 460, 0, UINT64_MAX },
		{ LARGE, 7, 0, 0, 77 },
		{ LARGE, 7, 2, 0, 1ull << 50 },
	};
	const unsigned int n = sizeof(seeds) / sizeof(seeds[0]);

	if (i >= n)
		return 0;
	memcpy(ret, &seeds[i], sizeof(seeds[0]));
	memcpy(ret + sizeof(seeds[0]), &seeds[(i * 7 + 3) % n], sizeof(seeds[0]));
	return i ? 2 * sizeof(seeds[0]) : sizeof(seeds[0]);
}
