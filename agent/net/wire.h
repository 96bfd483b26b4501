/* SPDX-License-Identifier: MIT */
/*
 * The frame around a message, on TCP links and in discovery datagrams, and
 * the checks that every received byte passes before the core sees it.
 *
 *   struct wire_header   32 bytes
 *   struct core_msg      96 bytes (agent/core/msg.h)
 *   records              msg.nrecs of the kind that goes with the type
 *   page bytes           MSG_PAGE_DATA: msg.count pages
 *   value                MSG_TOPIC_VALUE: msg.arg bytes, and zeroes up to a multiple of 8
 *
 * All numbers are little-endian. Every part is a multiple of 8 bytes, so in a
 * buffer that begins with a frame, each part of each frame is aligned.
 */
#ifndef DSM_NET_WIRE_H
#define DSM_NET_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/core/msg.h"

#define WIRE_MAGIC	 0x4c4d5344u /* "DSML": a frame on a link */
#define WIRE_MAGIC_DGRAM 0x554d5344u /* "DSMU": a datagram */
#define WIRE_VERSION	 1u
#define WIRE_PAGE_SIZE	 4096u

struct wire_header {
	uint32_t magic;	   /* WIRE_MAGIC or WIRE_MAGIC_DGRAM */
	uint16_t version;  /* WIRE_VERSION */
	uint16_t flags;	   /* none yet: 0 */
	uint16_t src;	   /* the sender's node id, equal to the message's */
	uint16_t type;	   /* equal to the message's */
	uint32_t epoch;	   /* the sender's view, equal to the message's */
	uint64_t seq;	   /* on a link 1, 2, 3, ... in each direction; 0 in datagrams */
	uint32_t length;   /* bytes that follow this header */
	uint32_t reserved; /* 0 */
};
static_assert(sizeof(struct wire_header) == 32, "wire");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "structs are sent as they are in memory");

#define WIRE_BODY_MIN (sizeof(struct core_msg))
/* No type carries records, and pages or a value; a full run of pages is the largest body, like a full value. */
#define WIRE_BODY_MAX (sizeof(struct core_msg) + (size_t)CORE_MSG_PAGES * WIRE_PAGE_SIZE)
static_assert(CORE_TOPIC_BYTES <= CORE_MSG_PAGES * WIRE_PAGE_SIZE, "the largest body");
#define WIRE_FRAME_MAX (sizeof(struct wire_header) + WIRE_BODY_MAX)
#define WIRE_DGRAM_MAX                                                                             \
	1280 /* fits the smallest MTU of IPv6 with room for its headers taken by the kernel */

/* What was wrong with a frame, in words for the log. */
struct wire_error {
	char text[200];
};

/* Bytes after the header for @m: message, records, pages. */
size_t wire_body_size(const struct core_msg *m);

/* Fills in the header that goes before @m. @seq 0 makes it a datagram's. */
void wire_seal(struct wire_header *ret, const struct core_msg *m, uint64_t seq);

/*
 * Before the body is there: is this the header of the frame number @seq of a
 * link (0: of a datagram), and can its length be believed? False: @ret_error
 * says why not.
 */
bool wire_header_check(const struct wire_header *h, uint64_t seq, struct wire_error *ret_error);

/*
 * With the body there (page bytes may still be on their way): does the
 * message make sense by itself? Every field that the type does not use is 0,
 * flags are those of the type, records and runs are within bounds, and the
 * header says the same as the message. False: @ret_error says what is wrong.
 */
bool wire_body_check(const struct wire_header *h, const struct core_msg *m, const void *recs,
		     struct wire_error *ret_error);

/*
 * A scope id means something on its own node only. Sets it in every link-local
 * address among the records: to 0 before sending, after receiving to the
 * interface that the message came in by.
 */
void wire_recs_scope(const struct core_msg *m, void *recs, uint32_t scope);

/* The type's name, "PAGE_REQUEST" for example; "unknown" for none of ours. */
const char *wire_type_name(uint16_t type);

#endif
