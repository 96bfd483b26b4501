// SPDX-License-Identifier: MIT
/*
 * The sizes: every 16 bytes up to 128, then four to a doubling up to 4096, then what
 * divides the room of a span into 12, 10, 8 ... blocks with little left over. Powers of two up to
 * 4096 lie at multiples of themselves, as the room begins at one.
 */
#include <pthread.h>

#include "lib/heap/class.h"

#define ROOM (SEG_GRAIN - CLASS_DATA)
#define SIZE(n)                                                                                    \
	{                                                                                          \
		(n), ROOM / (n), (uint32_t)(((1ull << 32) + (n)-1) / (n)), (ROOM / (n) + 63) / 64  \
	}

const struct class_size class_sizes[CLASS_COUNT] = {
	SIZE(16),    SIZE(32),	      SIZE(48),	  SIZE(64),   SIZE(80),	   SIZE(96),	SIZE(112),
	SIZE(128),   SIZE(160),	      SIZE(192),  SIZE(224),  SIZE(256),   SIZE(320),	SIZE(384),
	SIZE(448),   SIZE(512),	      SIZE(640),  SIZE(768),  SIZE(896),   SIZE(1024),	SIZE(1280),
	SIZE(1536),  SIZE(1792),      SIZE(2048), SIZE(2560), SIZE(3072),  SIZE(3584),	SIZE(4096),
	SIZE(5120),  SIZE(6144),      SIZE(7680), SIZE(8768), SIZE(10240), SIZE(12288), SIZE(15360),
	SIZE(20480), SIZE(CLASS_MAX),
};

uint8_t class_by_units[CLASS_MAX / 16 + 1];

static void prepare(void)
{
	uint32_t class = 0;

	for (uint32_t units = 0; units <= CLASS_MAX / 16; units++) {
		if (units * 16 > class_sizes[class].size)
			class ++;
		class_by_units[units] = (uint8_t) class;
	}
}

void class_sizes_prepare(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, prepare);
}
