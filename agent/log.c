// SPDX-License-Identifier: MIT
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "agent/log.h"

static char log_name[32] = "dsmd";
static int log_level = LOG_LEVEL_INFO;
static bool log_syslog;
static bool log_journal; /* standard error goes to journald, which adds the time itself */

void log_open(const char *name, int level, bool to_syslog)
{
	snprintf(log_name, sizeof(log_name), "%s", name);
	log_level = level;
	log_journal = getenv("JOURNAL_STREAM") && !isatty(STDERR_FILENO);
	if (to_syslog)
		openlog(log_name, LOG_PID, LOG_DAEMON);
	log_syslog = to_syslog;
}

void log_level_set(int level)
{
	log_level = level;
}

int log_level_get(void)
{
	return log_level;
}

static int syslog_priority(int level)
{
	static const int priority[] = { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERR };

	return priority[level & 3];
}

static void log_stderr(int level, const char *text)
{
	static const char *const words[] = { "debug", "info", "warning", "error" };
	struct timespec ts;
	struct tm tm;
	char when[16];

	if (log_journal) {
		dprintf(STDERR_FILENO, "<%d>%s: %s\n", syslog_priority(level), log_name, text);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &ts);
	localtime_r(&ts.tv_sec, &tm);
	strftime(when, sizeof(when), "%H:%M:%S", &tm);
	/* One write for each line: lines of several agents on one terminal do not mix. */
	dprintf(STDERR_FILENO, "%s.%03ld %s: %s: %s\n", when, ts.tv_nsec / 1000000, log_name,
		words[level & 3], text);
}

void log_write(int level, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	if (level < log_level)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (log_syslog)
		syslog(syslog_priority(level), "%s", text);
	else
		log_stderr(level, text);
}
