/* SPDX-License-Identifier: MIT */
/*
 * SipHash-1-3, by the description in Aumasson and Bernstein, "SipHash: a
 * fast short-input PRF" (2012). Who does not know the key cannot make keys collide.
 */
#ifndef DSM_LIB_MAP_SIPHASH_H
#define DSM_LIB_MAP_SIPHASH_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct sip_state {
	uint64_t a, b, c, d;
};

static inline uint64_t sip_rotate(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

static inline void sip_round(struct sip_state *s)
{
	s->a += s->b;
	s->c += s->d;
	s->b = sip_rotate(s->b, 13) ^ s->a;
	s->d = sip_rotate(s->d, 16) ^ s->c;
	s->a = sip_rotate(s->a, 32);
	s->c += s->b;
	s->a += s->d;
	s->b = sip_rotate(s->b, 17) ^ s->c;
	s->d = sip_rotate(s->d, 21) ^ s->a;
	s->c = sip_rotate(s->c, 32);
}

static inline uint64_t sip_word(const uint8_t *p)
{
	uint64_t w;

	memcpy(&w, p, sizeof(w));
	return le64toh(w);
}

/* The @rest (below 8) bytes before @end, of a text of @size bytes. */
static inline uint64_t sip_tail(const uint8_t *end, size_t rest, size_t size)
{
	uint64_t w = 0;

	if (!rest)
		return 0;
	if (size >= 8)
		return sip_word(end - 8) >> (8 * (8 - rest));
	memcpy(&w, end - rest, rest);
	return le64toh(w);
}

static inline uint64_t siphash13(const uint64_t key[2], const void *data, size_t size)
{
	const uint8_t *p = data, *end = p + size;
	struct sip_state s = { key[0] ^ 0x736f6d6570736575ull, key[1] ^ 0x646f72616e646f6dull,
			       key[0] ^ 0x6c7967656e657261ull, key[1] ^ 0x7465646279746573ull };
	uint64_t w;

	for (; (size_t)(end - p) >= 8; p += 8) {
		w = sip_word(p);
		s.d ^= w;
		sip_round(&s);
		s.a ^= w;
	}
	w = (uint64_t)size << 56 | sip_tail(end, (size_t)(end - p), size);
	s.d ^= w;
	sip_round(&s);
	s.a ^= w;
	s.c ^= 0xff;
	sip_round(&s);
	sip_round(&s);
	sip_round(&s);
	return s.a ^ s.b ^ s.c ^ s.d;
}

#endif
