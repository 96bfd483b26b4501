// SPDX-License-Identifier: MIT
#include "lib/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = { "debug", "info", "warn", "error" };
static atomic_int threshold = LOG_INFO;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void from_environment(void)
{
	const char *text = getenv("DSM_LOG");

	for (int i = LOG_DEBUG; text && i <= LOG_ERROR; i++) {
		if (!strcmp(text, names[i]) || (text[0] == '0' + i && !text[1]))
			atomic_store(&threshold, i);
	}
}

void log_level_set(int level)
{
	pthread_once(&once, from_environment);
	atomic_store(&threshold, level < LOG_DEBUG   ? LOG_DEBUG
				 : level > LOG_ERROR ? LOG_ERROR
						     : level);
}

int log_level_get(void)
{
	pthread_once(&once, from_environment);
	return atomic_load(&threshold);
}

void log_line(enum log_level level, const char *format, ...)
{
	char text[512];
	va_list args;

	if ((int)level < log_level_get())
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "libdsm: %s: %s\n", names[level], text);
}
