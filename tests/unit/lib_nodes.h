/* SPDX-License-Identifier: MIT */
/*
 * Two nodes in one test program, each with an agent that the library started,
 * mapping the memory at two places (DSM_OPEN_ANYWHERE).
 */
#ifndef DSM_TESTS_LIB_NODES_H
#define DSM_TESTS_LIB_NODES_H

#include <dsm.h>
#include <poll.h>
#include <stdint.h>
#include <sys/types.h>

#define PAGE	    4096u
#define DEADLINE_MS 10000
#define SECOND_US   1000000u

/* The nodes, at ports port and port + 1; the ports after them are free to use. */
extern dsm_t *node[2];
extern uint16_t port;
/* What each node that is started donates. */
extern uint32_t nodes_chunks;

/* For cmocka: start and stop them. */
int nodes_setup(void **state);
int nodes_setup_one(void **state); /* node 0 alone: two do not fit under ThreadSanitizer */
int nodes_teardown(void **state);
/* One more node, at port @at. 0 or a negative errno. */
int nodes_open(uint16_t at, dsm_t **ret);
pid_t nodes_agent_pid(const dsm_t *ctx);
/* @n pages, as node 0 sees them. */
void *nodes_pages(size_t n);
/* A pointer of the other node as node @to has it. */
void *nodes_there(int to, const void *ptr);
uint64_t test_now_ms(void);

/* Looks again until it holds, or the deadline passes. */
#define UNTIL(condition)                                                                           \
	do {                                                                                       \
		uint64_t end_ = test_now_ms() + DEADLINE_MS;                                       \
		while (!(condition) && test_now_ms() < end_)                                       \
			poll(NULL, 0, 1);                                                          \
		assert_true(condition);                                                            \
	} while (0)

#endif
