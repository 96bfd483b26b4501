/* SPDX-License-Identifier: MIT */
/*
 * A topic as its node keeps it: a memfd that the agent makes and every program of
 * the node that opens the topic maps shared.
 *
 *   page 0        struct topic_head
 *   page 1 ...    slots (lib/channel/slots.h): the value
 *
 * Whoever publishes on this node writes the slots; while nobody does, the agent
 * does, with what comes from other nodes. So there is one writer at any time. The memory
 * cannot be shrunk by anybody (it is sealed), and nothing in it is believed by
 * the agent: it keeps the geometry to itself.
 */
#ifndef DSM_CLIENT_TOPIC_HEAD_H
#define DSM_CLIENT_TOPIC_HEAD_H

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>

#define TOPIC_MAGIC	   0x31636970544d5344ull /* "DSMTpic1" */
#define TOPIC_HEAD_BYTES   4096u		 /* the slots begin here */
#define TOPIC_NAME_MAX	   64u			 /* with the final NUL */
#define TOPIC_SIZE_MAX	   262144u		 /* most bytes of a value */
#define TOPICS_MAX	   4096u		 /* open on one node */
#define TOPIC_SIZE_DEFAULT (64u << 10)		 /* where nobody says */

/* What a program does with a topic; CLIENT_TOPIC_OPEN. */
enum topic_flags {
	TOPIC_SUBSCRIBE = 1, /* values that are published elsewhere come here */
	TOPIC_PUBLISH = 2,   /* it writes: one publisher per topic and node at a time */
	TOPIC_TAKE = 4,	     /* with PUBLISH: instead of the one that is there */
	TOPIC_FLAGS_ALL = 7,
};

struct topic_head {
	uint64_t magic; /* written once, like size and number */
	uint32_t size;	/* most bytes of a value */
	uint32_t reserved0;
	uint64_t number; /* of the topic at this agent: never used twice */
	uint8_t reserved1[40];
	/* Written by the agent, read by everybody. */
	_Atomic uint32_t remote;     /* nodes that want values from here; 0: no need to ring */
	_Atomic uint32_t publishers; /* on all nodes; where this one publishes, only it */
	_Atomic uint32_t presence;   /* changes with each publisher that comes or goes; a futex */
	_Atomic uint32_t node;	  /* of the publisher that came last and is still there; 0: none */
	_Atomic uint32_t pid;	  /* of that one, as its own pid namespace numbers it */
	_Atomic uint32_t holder;  /* client number of this node's publisher; 0: none */
	_Atomic uint64_t refused; /* values that came and did not fit in here */
	uint8_t reserved2[32];
	/* The doorbell: set by the publisher that rings, cleared by the agent before it reads the value. */
	_Atomic uint32_t rung;
	uint8_t reserved3[60];
};
static_assert(sizeof(struct topic_head) == 192, "layout of topics");

#endif
