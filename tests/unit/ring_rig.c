// SPDX-License-Identifier: MIT
#include "tests/unit/ring_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/unit/lib_nodes.h"
#include "tests/unit/segment_rig.h"

dsm_segment_t *seg[2];
static char uri[128];

int rig_open_host(void **state)
{
	(void)state;
	strcpy(uri, rig_uri("ring"));
	seg[0] = rig_segment(uri, 4u << 20);
#ifdef __SANITIZE_THREAD__
	/* Threads that meet in memory mapped at two places are strangers to ThreadSanitizer. */
	seg[1] = seg[0];
	return 0;
#else
	return dsm_segment_open(uri, NULL, &seg[1]);
#endif
}

int rig_close_host(void **state)
{
	(void)state;
	if (seg[1] != seg[0])
		dsm_segment_close(seg[1]);
	dsm_segment_close(seg[0]);
	return dsm_segment_unlink(uri, NULL);
}

int rig_open_cluster(void **state)
{
	struct dsm_segment_options o = { .size = 4u << 20, .max_size = 32u << 20 };

	if (nodes_setup(state))
		return -1;
	strcpy(uri, "dsm:ring");
	o.ctx = node[0];
	if (dsm_segment_create(uri, &o, &seg[0])) {
		print_error("%s\n", dsm_last_error());
		return -1;
	}
	o.ctx = node[1];
	return dsm_segment_open(uri, &o, &seg[1]);
}

int rig_close_cluster(void **state)
{
	dsm_segment_close(seg[1]);
	dsm_segment_close(seg[0]);
	if (dsm_segment_unlink(uri, node[0]))
		return -1;
	return nodes_teardown(state);
}

bool rig_cluster(void)
{
	return !strncmp(uri, "dsm:", 4);
}

struct rig_pair rig_ring(const char *name, uint32_t kind, uint64_t capacity)
{
	struct dsm_ring_options o = { .capacity = capacity,
				      .kind = kind,
				      .flags = DSM_RING_PRODUCER };
	struct rig_pair p = { NULL, NULL };

	if (dsm_ring_create(seg[0], name, &o, &p.out) ||
	    dsm_ring_open(seg[1], name, DSM_RING_CONSUMER, &p.in))
		fail_msg("%s", dsm_last_error());
	return p;
}

void rig_ring_end(struct rig_pair *p, const char *name)
{
	dsm_ring_close(p->in);
	dsm_ring_close(p->out);
	if (dsm_ring_remove(seg[0], name))
		fail_msg("%s", dsm_last_error());
}

size_t rig_size(uint64_t n, size_t most)
{
	uint64_t x = n * 0x9e3779b97f4a7c15u + 1;

	return (size_t)((x ^ x >> 29) % (most + 1));
}

void rig_fill(void *to, size_t size, uint64_t n)
{
	uint8_t *p = to;

	for (size_t i = 0; i < size; i++)
		p[i] = (uint8_t)(n * 31 + i);
	if (size >= sizeof(n))
		memcpy(to, &n, sizeof(n));
}

bool rig_is(const void *data, size_t size, uint64_t n)
{
	const uint8_t *p = data;
	size_t i = 0;

	if (size >= sizeof(n)) {
		if (memcmp(data, &n, sizeof(n)) != 0)
			return false;
		i = sizeof(n);
	}
	for (; i < size; i++)
		if (p[i] != (uint8_t)(n * 31 + i))
			return false;
	return true;
}

uint64_t rig_next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static pthread_t stall_thread;
static _Atomic bool stall_stop;
static _Atomic uint64_t stall_ms;

static void *measure_stalls(void *unused)
{
	uint64_t before = test_now_ms(), now;

	(void)unused;
	while (!atomic_load(&stall_stop)) {
		poll(NULL, 0, 1);
		now = test_now_ms();
		if (now - before > 1 + atomic_load(&stall_ms))
			atomic_store(&stall_ms, now - before - 1);
		before = now;
	}
	return NULL;
}

void rig_stall_begin(void)
{
	atomic_store(&stall_stop, false);
	atomic_store(&stall_ms, 0);
	assert_int_equal(pthread_create(&stall_thread, NULL, measure_stalls, NULL), 0);
}

uint64_t rig_stall_end(void)
{
	atomic_store(&stall_stop, true);
	pthread_join(stall_thread, NULL);
	return atomic_load(&stall_ms);
}

uint64_t rig_cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t rig_sleeps_cost_us(unsigned int n)
{
	uint64_t before = rig_cpu_us();

	for (int i = 0; i < 20; i++)
		poll(NULL, 0, 10);
	return (rig_cpu_us() - before) * n / 20;
}

void rig_reap(pid_t child)
{
	int status = -1;

	uint64_t end = test_now_ms() + DEADLINE_MS;

	while (waitpid(child, &status, WNOHANG) != child && test_now_ms() < end)
		poll(NULL, 0, 1);
	assert_int_equal(status, 0);
}
