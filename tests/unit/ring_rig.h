/* SPDX-License-Identifier: MIT */
/* A segment opened twice, by two handles of one host or by two nodes, for tests of rings. */
#ifndef DSM_TESTS_RING_RIG_H
#define DSM_TESTS_RING_RIG_H

#include <dsm/connection.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

extern dsm_segment_t *seg[2];

/* For cmocka groups. */
int rig_open_host(void **state);
int rig_close_host(void **state);
int rig_open_cluster(void **state);
int rig_close_cluster(void **state);
bool rig_cluster(void);

/* A ring, opened by seg[0] to send and by seg[1] to receive. */
struct rig_pair {
	dsm_ring_t *in, *out;
};
struct rig_pair rig_ring(const char *name, uint32_t kind, uint64_t capacity);
void rig_ring_end(struct rig_pair *p, const char *name);

/* The n-th of a sequence of messages: a size and bytes that follow from n. */
size_t rig_size(uint64_t n, size_t most);
void rig_fill(void *to, size_t size, uint64_t n);
bool rig_is(const void *data, size_t size, uint64_t n);

/* Xorshift. */
uint64_t rig_next(uint64_t *x);
/*
 * How long this machine let a thread wait that wanted to run, at worst, in milliseconds: what may
 * excuse one that was late.
 */
void rig_stall_begin(void);
uint64_t rig_stall_end(void);
/* Microseconds of processor that the calling thread has used, and those of @n sleeps. */
uint64_t rig_cpu_us(void);
uint64_t rig_sleeps_cost_us(unsigned int n);
/* Ends with status 0 within the deadline. */
void rig_reap(pid_t child);

#endif
