// SPDX-License-Identifier: MIT
#include "tests/fuzz/fenced.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/segment/segment.h"
#include "tests/fuzz/fuzz.h"

#define PATTERN 0x5a

dsm_segment_t *fenced[2];
static uint64_t fence[2];

static void fence_make(int i)
{
	MUST(!seg_grains_alloc(fenced[0], 1, &fence[i], NULL));
	memset(seg_at(fenced[0], fence[i]), PATTERN, SEG_GRAIN);
}

void fenced_begin(const char *name)
{
	struct dsm_segment_options o = { .size = 1u << 20, .max_size = 4u << 20 };
	char uri[64];

	(void)snprintf(uri, sizeof(uri), "shm:%s-%d", name, getpid());
	(void)dsm_segment_unlink(uri, NULL);
	MUST(!dsm_segment_create(uri, &o, &fenced[0]));
	MUST(!dsm_segment_open(uri, NULL, &fenced[1]));
	MUST(!dsm_segment_unlink(uri, NULL));
	fence_make(0);
}

void fenced_end(void)
{
	fence_make(1);
}

void fenced_close(void)
{
	for (int i = 0; i < 2; i++) {
		const uint8_t *p = seg_at(fenced[0], fence[i]);

		MUST(p[0] == PATTERN && !memcmp(p, p + 1, SEG_GRAIN - 1));
	}
	dsm_segment_close(fenced[1]);
	dsm_segment_close(fenced[0]);
}
