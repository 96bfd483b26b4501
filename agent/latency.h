/* SPDX-License-Identifier: MIT */
/*
 * How long faults take: from the pager's report of a page to the install or
 * upgrade that answers it. A sample now and then is lost when two waiting
 * pages fall on one slot; none is invented.
 */
#ifndef DSM_AGENT_LATENCY_H
#define DSM_AGENT_LATENCY_H

#include <stdbool.h>
#include <stdint.h>

#define LATENCY_SLOTS 1024u
/* Sixteen steps for each doubling: values are right within 6 %. */
#define LATENCY_STEPS	16u
#define LATENCY_BUCKETS (40 * LATENCY_STEPS)

struct latency_histogram {
	uint64_t n, max_ns;
	uint32_t buckets[LATENCY_BUCKETS];
};

struct latency {
	struct {
		uint64_t key;
		uint64_t since_ns; /* 0: free */
		bool write;
	} slots[LATENCY_SLOTS];
	uint32_t pending; /* faults that wait now */
	struct latency_histogram read, write;
};

/* Somebody waits for @key from now on. */
void latency_begin(struct latency *l, uint64_t key, bool write, uint64_t now_ns);
/* @count pages from @key on can be read, or written too. */
void latency_end(struct latency *l, uint64_t key, uint32_t count, bool write, uint64_t now_ns);
/* Nobody gets @count pages from @key on: that is no sample. */
void latency_cancel(struct latency *l, uint64_t key, uint32_t count);
/* The value in ns that @share (0 to 1) of the samples do not exceed; 0 without samples. */
double latency_quantile(const struct latency_histogram *h, double share);

#endif
