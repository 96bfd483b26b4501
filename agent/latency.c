// SPDX-License-Identifier: MIT
#include <stddef.h>

#include "agent/latency.h"

static unsigned int bucket_of(uint64_t ns)
{
	unsigned int log;

	if (ns < LATENCY_STEPS)
		return (unsigned int)ns;
	log = 63 - (unsigned int)__builtin_clzll(ns);
	/* The four bits after the leading one choose the step. */
	log = (log - 3) * LATENCY_STEPS + (unsigned int)((ns >> (log - 4)) & (LATENCY_STEPS - 1));
	return log < LATENCY_BUCKETS ? log : LATENCY_BUCKETS - 1;
}

/* The middle of a bucket. */
static double bucket_value(unsigned int i)
{
	unsigned int shift;

	if (i < LATENCY_STEPS)
		return i;
	shift = i / LATENCY_STEPS - 1;
	return ((double)(LATENCY_STEPS + i % LATENCY_STEPS) + 0.5) * (double)(1ull << shift);
}

static unsigned int slot_of(uint64_t key)
{
	return (unsigned int)((key * 0x9e3779b97f4a7c15ull) >> 40) % LATENCY_SLOTS;
}

void latency_begin(struct latency *l, uint64_t key, bool write, uint64_t now_ns)
{
	unsigned int i = slot_of(key);

	/* Reported again while it waits: the first time counts. */
	if (l->slots[i].since_ns && l->slots[i].key == key) {
		l->slots[i].write |= write;
		return;
	}
	l->pending += !l->slots[i].since_ns;
	l->slots[i].key = key;
	l->slots[i].since_ns = now_ns;
	l->slots[i].write = write;
}

static void sample(struct latency_histogram *h, uint64_t ns)
{
	h->n++;
	h->buckets[bucket_of(ns)]++;
	if (ns > h->max_ns)
		h->max_ns = ns;
}

void latency_end(struct latency *l, uint64_t key, uint32_t count, bool write, uint64_t now_ns)
{
	for (uint32_t k = 0; k < count; k++) {
		unsigned int i = slot_of(key + k);

		/* A page that can be read does not help who wants to write. */
		if (!l->slots[i].since_ns || l->slots[i].key != key + k ||
		    (l->slots[i].write && !write))
			continue;
		sample(l->slots[i].write ? &l->write : &l->read, now_ns - l->slots[i].since_ns);
		l->slots[i].since_ns = 0;
		l->pending--;
	}
}

void latency_cancel(struct latency *l, uint64_t key, uint32_t count)
{
	for (uint32_t k = 0; k < count; k++) {
		unsigned int i = slot_of(key + k);

		if (!l->slots[i].since_ns || l->slots[i].key != key + k)
			continue;
		l->slots[i].since_ns = 0;
		l->pending--;
	}
}

double latency_quantile(const struct latency_histogram *h, double share)
{
	uint64_t seen = 0, want = (uint64_t)(share * (double)h->n + 0.999999);

	if (!h->n)
		return 0;
	for (unsigned int i = 0; i < LATENCY_BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen >= want && seen) {
			double value = bucket_value(i);

			return value < (double)h->max_ns ? value : (double)h->max_ns;
		}
	}
	return (double)h->max_ns;
}
