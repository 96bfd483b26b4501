/* SPDX-License-Identifier: MIT */
/*
 * The keyed hash of maps. All of it follows from 128 random bits of the map.
 *
 * Keys of up to 16 bytes, which most are, are hashed in a few multiplications: two words x and y
 * as the upper half of (F x + G y + A) modulo 2^128, where F, G and an A for each size are the
 * map's own. For two different keys the results are like two independent random numbers (strong
 * universality, shown by M. Dietzfelbinger, "Universal hashing and k-wise independent random
 * variables via integer arithmetic without primes" (1996), and for several words by M. Thorup,
 * "High speed hashing for integers and strings" (2015)), so nobody who does not know the map's
 * numbers can choose keys that meet more often than others do. The sum is stirred, in a way that
 * can be undone and so takes nothing from that: it hides its linearity from who sees in what
 * order walks go.
 *
 * Longer keys are hashed by SipHash-1-3.
 */
#ifndef DSM_LIB_MAP_HASH_H
#define DSM_LIB_MAP_HASH_H

#include "lib/map/siphash.h"

#define HASH_SHORT 16u /* bytes of a key that is short */

__extension__ typedef unsigned __int128 hash_wide;

struct hash_key {
	uint64_t sip[2];
	hash_wide factor[2], add[HASH_SHORT + 1]; /* add: by size */
};

/* 128 bits that nobody can tell from random ones. */
static inline hash_wide hash_number(const uint64_t sip[2], uint8_t index)
{
	uint8_t low[2] = { index, 0 }, high[2] = { index, 1 };

	return (hash_wide)siphash13(sip, high, sizeof(high)) << 64 |
	       siphash13(sip, low, sizeof(low));
}

static inline void hash_key_make(struct hash_key *k, const uint64_t sip[2])
{
	uint8_t index = 0;

	k->sip[0] = sip[0];
	k->sip[1] = sip[1];
	for (uint32_t i = 0; i < 2; i++)
		k->factor[i] = hash_number(sip, index++);
	for (uint32_t i = 0; i <= HASH_SHORT; i++)
		k->add[i] = hash_number(sip, index++);
}

static inline uint64_t hash_half_word(const uint8_t *p)
{
	uint32_t w;

	memcpy(&w, p, sizeof(w));
	return le32toh(w);
}

static inline __attribute__((always_inline)) uint64_t hash_short(const struct hash_key *k,
								 const uint8_t *p, size_t size)
{
	uint64_t x = 0, y = 0, h;

	/* Bytes may come twice: of one size, different keys give different words all the same. */
	if (size >= 8) {
		x = sip_word(p);
		y = sip_word(p + size - 8);
	} else if (size >= 4) {
		x = hash_half_word(p) | hash_half_word(p + size - 4) << 32;
	} else if (size) {
		x = p[0] | (uint64_t)p[size / 2] << 8 | (uint64_t)p[size - 1] << 16;
	}
	h = (uint64_t)((k->factor[0] * x + k->factor[1] * y + k->add[size]) >> 64);
	h = (h ^ h >> 32) * 0x9e3779b97f4a7c15ull;
	return h ^ h >> 29;
}

static inline uint64_t hash_of(const struct hash_key *k, const void *data, size_t size)
{
	if (size <= HASH_SHORT)
		return hash_short(k, data, size);
	return siphash13(k->sip, data, size);
}

#endif
