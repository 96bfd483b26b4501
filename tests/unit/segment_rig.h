/* SPDX-License-Identifier: MIT */
/* A segment in shared memory with a name of this process' own, for tests. */
#ifndef DSM_TESTS_SEGMENT_RIG_H
#define DSM_TESTS_SEGMENT_RIG_H

#include <dsm/segment.h>

/* "shm:test-PID-@what"; the text is good until the next call. */
const char *rig_uri(const char *what);
/* Makes it anew, @size bytes. */
dsm_segment_t *rig_segment(const char *uri, uint64_t size);
/* The file behind it. */
const char *rig_file(const char *uri);

#endif
