// SPDX-License-Identifier: MIT
#include "tests/unit/channel_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <time.h>

#include "tests/unit/segment_rig.h"

dsm_segment_t *seg[2];
dsm_channel_t *master, *slave;
char uri[128];
struct dsm_channel_options rig_master = DSM_CHANNEL_DEFAULTS, rig_slave = DSM_CHANNEL_DEFAULTS;
static bool cluster;

bool rig_cluster(void)
{
	return cluster;
}

uint64_t rig_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int rig_read(dsm_channel_t *ch, void *text, size_t room, uint64_t *number)
{
	return dsm_channel_read_timed(ch, text, room, cluster ? RIG_DEADLINE_MS * 1000 : 0, number);
}

static int open_segments(void **state)
{
	(void)state;
	strcpy(uri, rig_uri("channel"));
	seg[0] = rig_segment(uri, 1u << 20);
	return dsm_segment_open(uri, NULL, &seg[1]);
}

static int close_segments(void **state)
{
	(void)state;
	dsm_segment_close(seg[1]);
	dsm_segment_close(seg[0]);
	return dsm_segment_unlink(uri, NULL);
}

int rig_pair(void **state)
{
	(void)state;
	if (dsm_channel_open(seg[0], RIG_NAME, &rig_master, &master) ||
	    dsm_channel_open(seg[1], RIG_NAME, &rig_slave, &slave)) {
		print_error("%s\n", dsm_last_error());
		return -1;
	}
	return 0;
}

int rig_pair_end(void **state)
{
	int err;

	(void)state;
	dsm_channel_close(master);
	dsm_channel_close(slave);
	master = slave = NULL;
	err = dsm_channel_remove(seg[0], RIG_NAME);
	if (err)
		print_error("%s\n", dsm_last_error());
	return err;
}

int rig_run_tests(const struct CMUnitTest *tests, size_t n)
{
	return _cmocka_run_group_tests("host", tests, n, open_segments, close_segments);
}
