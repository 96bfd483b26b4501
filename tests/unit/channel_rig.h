/* SPDX-License-Identifier: MIT */
/* A channel with both seats taken by this process: over shared memory, or over two nodes. */
#ifndef DSM_TESTS_CHANNEL_RIG_H
#define DSM_TESTS_CHANNEL_RIG_H

#include <dsm/channel.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#define RIG_NAME	"chan"
#define RIG_DEADLINE_MS 20000

extern dsm_segment_t *seg[2]; /* opened twice: in a cluster on two nodes */
extern dsm_channel_t *master, *slave;
extern char uri[128];

/* Options of the two, set before rig_pair(); back to the defaults afterwards. */
extern struct dsm_channel_options rig_master, rig_slave;

int rig_pair(void **state);
int rig_pair_end(void **state);
bool rig_cluster(void);
uint64_t rig_now_ms(void);
/* The first value there is; in a cluster it may take a moment. */
int rig_read(dsm_channel_t *ch, void *text, size_t room, uint64_t *number);

struct CMUnitTest;
int rig_run_tests(const struct CMUnitTest *tests, size_t n);
#define rig_run(tests) rig_run_tests(tests, sizeof(tests) / sizeof((tests)[0]))

#define UNTIL(condition)                                                                           \
	do {                                                                                       \
		uint64_t end_ = rig_now_ms() + RIG_DEADLINE_MS;                                    \
		while (!(condition) && rig_now_ms() < end_)                                        \
			poll(NULL, 0, 1);                                                          \
		assert_true(condition);                                                            \
	} while (0)

#endif
