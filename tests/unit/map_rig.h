/* SPDX-License-Identifier: MIT */
/*
 * A map opened twice: by two handles of one host, or by two nodes. And calls
 * with C strings for keys and values.
 */
#ifndef DSM_TESTS_MAP_RIG_H
#define DSM_TESTS_MAP_RIG_H

#include <dsm/map.h>
#include <dsm/segment.h>

extern dsm_segment_t *rig_seg[2];
extern dsm_map_t *rig_map[2];

/* For cmocka groups. */
int map_rig_open_host(void **state);
int map_rig_close_host(void **state);
int map_rig_open_cluster(void **state);
int map_rig_close_cluster(void **state);
/* Before each test: an empty map in the place of the one before. */
int map_rig_fresh(void **state);

/* The clock that maps see: stands still until it is turned, once this was called. */
void map_rig_clock(uint64_t ns);
void map_rig_clock_real(void);

int put(dsm_map_t *m, const char *key, const char *value);
/* The value, good until the next call; NULL: absent. */
const char *get(dsm_map_t *m, const char *key);
uint64_t version_of(dsm_map_t *m, const char *key);
/* Xorshift. */
uint64_t rig_next(uint64_t *x);

#endif
