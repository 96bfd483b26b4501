/* SPDX-License-Identifier: MIT */
/*
 * What a map's server and its clients send each other: one message for each request, one for
 * each answer, in order. Both sides check all of it.
 *
 * Flow control: an answer has no more bytes than its request allows (room). A client has no more
 * answers outstanding than the ring takes in the worst case, so the server always has
 * room for one; a client that breaks this rule is disconnected.
 */
#ifndef DSM_LIB_MAP_REQUEST_H
#define DSM_LIB_MAP_REQUEST_H

#include <assert.h>
#include <dsm/map_server.h>

struct request_head {
	uint32_t op; /* enum dsm_map_op */
	uint32_t key_size;
	uint32_t value_size;
	uint32_t room; /* GET: bytes of the value to send at most */
	uint64_t version;
	uint64_t ttl_ms;
	/* Key and value follow. */
};
static_assert(sizeof(struct request_head) == 32, "what servers and clients send");

struct answer_head {
	int64_t result;
	uint64_t version;
	/* GET: the value's first bytes follow. */
};
static_assert(sizeof(struct answer_head) == 16, "what servers and clients send");

#define REQUEST_BATCH 64u /* taken at once */

#endif
