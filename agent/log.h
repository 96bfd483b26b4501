/* SPDX-License-Identifier: MIT */
/* The agent's log: one line an entry, to standard error or to syslog. */
#ifndef DSM_AGENT_LOG_H
#define DSM_AGENT_LOG_H

#include <stdbool.h>

/* The numbers of dsm_set_log_level() and ACT_LOG. */
enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

/* @name goes before every line ("dsmd-9900"); it is copied. May be called again. */
void log_open(const char *name, int level, bool to_syslog);
void log_level_set(int level);
int log_level_get(void);
/* Less than the level: dropped. Entries end without a newline. */
__attribute__((format(printf, 2, 3))) void log_write(int level, const char *fmt, ...);

#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...)  log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)

#endif
