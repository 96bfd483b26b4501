// SPDX-License-Identifier: MIT
#include "tests/unit/segment_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *rig_uri(const char *what)
{
	static char uri[128];

	(void)snprintf(uri, sizeof(uri), "shm:test-%d-%s", getpid(), what);
	return uri;
}

dsm_segment_t *rig_segment(const char *uri, uint64_t size)
{
	struct dsm_segment_options o = { .size = size };
	dsm_segment_t *seg = NULL;

	(void)dsm_segment_unlink(uri, NULL);
	if (dsm_segment_create(uri, &o, &seg))
		fail_msg("%s", dsm_last_error());
	return seg;
}

const char *rig_file(const char *uri)
{
	static char path[160];

	(void)snprintf(path, sizeof(path), "/dev/shm/dsm.%s", strchr(uri, ':') + 1);
	return path;
}
