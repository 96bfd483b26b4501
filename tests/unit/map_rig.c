// SPDX-License-Identifier: MIT
#include "tests/unit/map_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/map/map.h"
#include "tests/unit/lib_nodes.h"
#include "tests/unit/segment_rig.h"

dsm_segment_t *rig_seg[2];
dsm_map_t *rig_map[2];
static char uri[128];
static uint64_t fake_ns;
static uint64_t (*real_clock)(void);

int map_rig_open_host(void **state)
{
	(void)state;
	strcpy(uri, rig_uri("map"));
	rig_seg[0] = rig_segment(uri, 4u << 20);
#ifdef __SANITIZE_THREAD__
	/* It would take two mappings of a word for two words, and miss what orders them. */
	rig_seg[1] = rig_seg[0];
	return 0;
#else
	return dsm_segment_open(uri, NULL, &rig_seg[1]);
#endif
}

static void close_maps(void)
{
	for (int i = 0; i < 2; i++) {
		dsm_map_close(rig_map[i]);
		rig_map[i] = NULL;
	}
}

int map_rig_close_host(void **state)
{
	(void)state;
	close_maps();
	if (rig_seg[1] != rig_seg[0])
		dsm_segment_close(rig_seg[1]);
	dsm_segment_close(rig_seg[0]);
	return dsm_segment_unlink(uri, NULL);
}

int map_rig_open_cluster(void **state)
{
	struct dsm_segment_options o = { .size = 8u << 20, .max_size = 64u << 20 };

	if (nodes_setup(state))
		return -1;
	strcpy(uri, "dsm:map");
	o.ctx = node[0];
	if (dsm_segment_create(uri, &o, &rig_seg[0])) {
		print_error("%s\n", dsm_last_error());
		return -1;
	}
	o.ctx = node[1];
	return dsm_segment_open(uri, &o, &rig_seg[1]);
}

int map_rig_close_cluster(void **state)
{
	close_maps();
	dsm_segment_close(rig_seg[1]);
	dsm_segment_close(rig_seg[0]);
	if (dsm_segment_unlink(uri, node[0]))
		return -1;
	return nodes_teardown(state);
}

int map_rig_fresh(void **state)
{
	int err;

	(void)state;
	map_rig_clock_real();
	close_maps();
	err = dsm_map_remove(rig_seg[0], "m");
	if (err && err != -ENOENT) {
		print_error("remove: %s\n", dsm_last_error());
		return -1;
	}
	if (dsm_map_create(rig_seg[0], "m", NULL, &rig_map[0]) ||
	    dsm_map_open(rig_seg[1], "m", &rig_map[1])) {
		print_error("%s\n", dsm_last_error());
		return -1;
	}
	return 0;
}

static uint64_t fake_clock(void)
{
	return fake_ns;
}

void map_rig_clock(uint64_t ns)
{
	fake_ns = ns;
	if (!real_clock) {
		real_clock = map_clock;
		map_clock = fake_clock;
	}
}

void map_rig_clock_real(void)
{
	if (real_clock)
		map_clock = real_clock;
	real_clock = NULL;
}

int put(dsm_map_t *m, const char *key, const char *value)
{
	return dsm_map_set(m, key, strlen(key), value, strlen(value), NULL);
}

const char *get(dsm_map_t *m, const char *key)
{
	static char value[4096];
	ssize_t n = dsm_map_get(m, key, strlen(key), value, sizeof(value) - 1, NULL);

	if (n == -ENOENT)
		return NULL;
	if (n < 0)
		fail_msg("get: %s", dsm_last_error());
	value[(size_t)n < sizeof(value) ? (size_t)n : sizeof(value) - 1] = '\0';
	return value;
}

uint64_t version_of(dsm_map_t *m, const char *key)
{
	uint64_t version = 0;
	char byte;

	(void)dsm_map_get(m, key, strlen(key), &byte, 1, &version);
	return version;
}

uint64_t rig_next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}
