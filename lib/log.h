/* SPDX-License-Identifier: MIT */
#ifndef DSM_LIB_LOG_H
#define DSM_LIB_LOG_H

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* A line on stderr where @level is not below what was set, or DSM_LOG said. */
__attribute__((format(printf, 2, 3))) void log_line(enum log_level level, const char *format, ...);
void log_level_set(int level);
int log_level_get(void);

#endif
