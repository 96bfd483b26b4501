// SPDX-License-Identifier: MIT
/* What went wrong, in words, for the thread that asks. */
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "lib/segment/segment.h"

static __thread char text[256];

const char *dsm_last_error(void)
{
	return text;
}

void seg_error_text(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
}

uint64_t seg_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
