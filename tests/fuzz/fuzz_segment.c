// SPDX-License-Identifier: MIT
/*
 * Hostile bytes in a segment: whatever stands in its tables, opening and using
 * it ends with a result. An input is a list of words to put into a good one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/segment/layout.h"
#include "tests/fuzz/fuzz.h"

const unsigned int fuzz_runs = 2000;

enum area { HEADER, COMMON, ROOTS, SLOTS, GRAINS, AREAS };

struct patch {
	uint8_t area;
	uint8_t size; /* bytes of value, 1 to 8 */
	uint16_t at;  /* in units of the size */
	uint32_t reserved;
	uint64_t value;
};

static const struct {
	uint64_t at, size;
} areas[AREAS] = {
	[HEADER] = { 0, sizeof(struct seg_header) },
	[COMMON] = { SEG_PAGE, sizeof(struct seg_common) },
	[ROOTS] = { SEG_ROOTS_AT, 8 * sizeof(struct seg_root) },
	[SLOTS] = { SEG_SLOTS_AT, 2 * SEG_PAGE },
	[GRAINS] = { SEG_GRAINS_AT, 32 * sizeof(struct seg_grain) },
};

static const char *uri(void)
{
	static char text[64];

	(void)snprintf(text, sizeof(text), "shm:fuzz-%d", getpid());
	return text;
}

/* A segment with something in it, whose maker has gone without a word. */
static void make_good(void)
{
	dsm_segment_t *seg;
	uint32_t root;
	uint64_t off;

	(void)dsm_segment_unlink(uri(), NULL);
	MUST(!dsm_segment_create(uri(), &(struct dsm_segment_options){ .max_size = 8u << 20 },
				 &seg));
	MUST(!dsm_segment_root_set(seg, "user", 1u << 20));
	MUST(!seg_root_make(seg, "thing", DSM_ROOT_RING, &root));
	MUST(!seg_grains_alloc(seg, 3, &off, NULL));
	seg_grains_adopt(seg, off, root);
	seg_root_publish(seg, root, off);
	MUST(!seg_grains_alloc(seg, 2, &off, NULL));
	dsm_segment_close(seg);
}

static void put_patches(const uint8_t *data, size_t size)
{
	char path[96];
	int fd;

	(void)snprintf(path, sizeof(path), "/dev/shm/dsm.fuzz-%d", getpid());
	fd = open(path, O_RDWR);
	MUST(fd >= 0);
	for (; size >= sizeof(struct patch); data += sizeof(struct patch)) {
		struct patch p;
		uint64_t at;

		memcpy(&p, data, sizeof(p));
		size -= sizeof(p);
		p.area %= AREAS;
		p.size = (uint8_t)(p.size % 8 + 1);
		at = (uint64_t)p.at * p.size;
		if (at + p.size <= areas[p.area].size)
			MUST(pwrite(fd, &p.value, p.size, (off_t)(areas[p.area].at + at)) ==
			     p.size);
	}
	close(fd);
}

static void use(dsm_segment_t *seg)
{
	struct dsm_segment_info info;
	struct dsm_root roots[16];
	uint64_t off, first, n;
	uint32_t root;

	(void)dsm_segment_info(seg, &info);
	(void)dsm_segment_root_list(seg, 0, roots, 16);
	(void)dsm_segment_recover(seg);
	if (!dsm_segment_root_get(seg, "thing", roots)) {
		(void)seg_grains_find(seg, roots[0].offset, &first, &n, &root);
		(void)dsm_segment_ptr(seg, roots[0].offset);
	}
	(void)dsm_segment_root_set(seg, "user", 7);
	if (!seg_grains_alloc(seg, 2, &off, NULL)) {
		volatile uint8_t *p = seg_checked(seg, off, 2 * SEG_GRAIN, SEG_GRAIN);

		MUST(p);
		p[0] = 1;
		p[2 * SEG_GRAIN - 1] = 1;
		(void)seg_grains_free(seg, off);
	}
	(void)dsm_segment_grow(seg, 2u << 20);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	dsm_segment_t *seg;

	make_good();
	put_patches(data, size);
	if (!dsm_segment_open(uri(), NULL, &seg)) {
		use(seg);
		dsm_segment_close(seg);
	} else {
		MUST(dsm_last_error()[0]);
	}
	MUST(!dsm_segment_unlink(uri(), NULL));
	return 0;
}

size_t fuzz_seed(unsigned int i, uint8_t ret[FUZZ_INPUT_MAX])
{
	static const struct patch seeds[] = {
		{ HEADER, 0, 0, 0, 0xae },
		{ HEADER, 3, 2, 0, 2 },
		{ HEADER, 7, 7, 0, 1ull << 40 },
		{ HEADER, 7, 8, 0, 65536 },
		{ HEADER, 7, 10, 0, 1ull << 33 },
		{ COMMON, 3, 0, 0, 0x900 },
		{ COMMON, 3, 16, 0, 0x80000801 },
		{ COMMON, 7, 9, 0, 1ull << 60 },
		{ ROOTS, 3, 0, 0, ROOT_MAKING },
		{ ROOTS, 3, 16, 0, ROOT_DROPPING },
		{ SLOTS, 3, 0, 0, SLOT_USED },
		{ SLOTS, 7, 8, 0, 1ull << 50 },
		{ GRAINS, 7, 0, 0, 0xffffffff00000001u },
		{ GRAINS, 7, 2, 0, 0x000000057fffffffu },
	};
	const unsigned int n = sizeof(seeds) / sizeof(seeds[0]);

	if (i >= n)
		return 0;
	memcpy(ret, &seeds[i], sizeof(seeds[0]));
	memcpy(ret + sizeof(seeds[0]), &seeds[(i * 5 + 3) % n], sizeof(seeds[0]));
	return 2 * sizeof(seeds[0]);
}
