/* SPDX-License-Identifier: MIT */
/* One rule for each message type: which parts of a message it may use. */
#ifndef DSM_NET_WIRE_RULES_H
#define DSM_NET_WIRE_RULES_H

#include <stdbool.h>
#include <stdint.h>

/* Fields of struct core_msg that a type may set. */
enum wire_field {
	W_NID = 1 << 0,
	W_NID2 = 1 << 1,
	W_VER = 1 << 2,
	W_KEY = 1 << 3,
	W_COUNT = 1 << 4,
	W_ARG = 1 << 5,
	W_A = 1 << 6,
	W_B = 1 << 7,
	W_NAME = 1 << 8,
};

enum wire_rec {
	REC_NONE,
	REC_ADDR,
	REC_MEMBER,
	REC_REGION,
	REC_EXTENT,
	REC_HOLDING,
	REC_LOCK,
	REC_TOPIC,
	REC_PRESENCE,
};

struct wire_rule {
	const char *name;  /* NULL: no such type */
	uint16_t fields;   /* enum wire_field */
	uint16_t flags;	   /* F_* allowed */
	enum wire_rec rec; /* kind of records */
	uint16_t recs_max;
	uint32_t run_max; /* key and count are a run of 1 to so many pages; 0: they are not a run */
	bool dgram;	  /* comes in datagrams too */
};

/* NULL: no such type. */
const struct wire_rule *wire_rule(uint16_t type);

#endif
