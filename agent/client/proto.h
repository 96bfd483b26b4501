/* SPDX-License-Identifier: MIT */
/*
 * What programs and the command line say to their agent: SOCK_SEQPACKET over
 * a unix socket, one struct client_req per packet, one or more struct
 * client_rep back. Native byte order and layout: both ends are on one machine.
 *
 * A connection is a session. A thread that may wait (locks, barriers) uses a
 * session of its own: a session has one request under way at a time. The end of a session is
 * the end of what it held: the agent hands its locks on.
 */
#ifndef DSM_CLIENT_PROTO_H
#define DSM_CLIENT_PROTO_H

#include <assert.h>
#include <stdint.h>

#define CLIENT_PROTO_VERSION 1u
#define CLIENT_NAME_MAX	     32
#define CLIENT_PACKET_MAX    65536 /* bytes of one reply packet, header included */

enum client_type {
	/*
	 * First packet. arg: CLIENT_PROTO_VERSION, id: enum hello_flags, a: pid.
	 * Reply: val[0] client number, val[1] node id or 0, val[2] enum client_pager,
	 * val[3] agent's TCP port, val[4] number of lock words, val[5] stride in bytes;
	 * descriptor: the lock words (memfd, map it shared, read-write).
	 */
	CLIENT_HELLO = 1,
	/*
	 * name, F_WRITE in flags. The region must exist ("default" always
	 * does). Reply: val[0] region, val[1] size, val[2] base,
	 * val[3] 1 when this program may attach (uffd), descriptor: uffd: the memfd. kmod: none; the program opens
	 * /dev/dsm and attaches with val[4] (port) and the name.
	 */
	CLIENT_REGION_ATTACH = 2,
	/* uffd: arg: region, a: base address; descriptor: the userfaultfd, registered missing + minor + write-protect. */
	CLIENT_REGION_UFFD = 3,
	CLIENT_REGION_DETACH = 4, /* arg: region */
	/* op: enum client_op of agent/core/core.h in arg; the other fields as in struct core_creq. */
	CLIENT_OP = 5,
	/* Reply: val[0] node id, val[1] members, val[2] master id, val[3] bytes donated by all, val[4] core state, val[5] bytes used. */
	CLIENT_STATUS = 6,
	/* arg: enum client_list, key: start from. Replies with payload records, the last has CLIENT_LAST set. */
	CLIENT_LIST = 7,
	/* Payload: a text command ("status", "node list", ...). Replies: JSON text in pieces; the last has CLIENT_LAST. "events" goes on until the session closes. */
	CLIENT_QUERY = 8,
	CLIENT_LOG_LEVEL = 9, /* arg: 0 debug .. 3 error */
	CLIENT_LEAVE =
		10, /* agent leaves the cluster and ends (a private agent at dsm_finalize, dsm node leave). Reply when out. */
	/*
	 * Payload: name of a topic. arg: enum topic_flags of topic_head.h, count: most bytes of a value, 0: as it is.
	 * Reply: val[0] the topic's number, val[1] most bytes of a value, val[2] bytes to map,
	 * val[3] 1 where the agent has membarrier(2); descriptor: the topic (memfd). From then on the session is
	 * that topic's: its end is the end of what the program did with it. The same again with
	 * another arg changes that.
	 */
	CLIENT_TOPIC_OPEN = 11,
	CLIENT_TOPIC_CHANGED =
		12, /* the session's topic has a newer value. No reply, but for an error */
	/*
	 * Descriptor: a pipe to write to, for answers. Reply: descriptor: a pipe for requests. CLIENT_OP
	 * may come through it from then on, written in one piece each, and is answered through the other
	 * one; a pipe takes little more than half of what a unix socket does. The end for requests is
	 * open for reading too, so that writing to it never raises SIGPIPE: that the
	 * agent has gone shows where the answers come out. The end of either pipe is the session's.
	 */
	CLIENT_PIPES = 13,
};

enum hello_flags {
	HELLO_PROGRAM =
		1, /* the first session of a program: counts as a participant of barriers of all nodes */
	HELLO_THREAD = 2, /* a further session of it; key: client number of the first */
	HELLO_ADMIN = 4,  /* the command line */
	HELLO_OWNER =
		8, /* the agent was started for this program: it leaves and ends when this session ends */
};

enum client_pager { CLIENT_PAGER_KMOD = 1, CLIENT_PAGER_UFFD = 2 };

enum client_list {
	LIST_LOCAL_PAGES = 1, /* struct client_page: pages held or homed here */
	LIST_GLOBAL_PAGES =
		2, /* struct client_extent: everything allocated that this node knows; after OP_EXTENTS: all */
	LIST_REGIONS =
		3, /* struct client_region: the named ones and "default"; key is not looked at */
};

struct client_req {
	uint32_t type;	/* enum client_type */
	uint32_t flags; /* F_WRITE, F_TRY of agent/core/msg.h */
	uint64_t ticket;
	uint32_t arg;
	uint32_t id; /* lock, barrier; hello flags */
	uint64_t key;
	uint64_t count;
	uint64_t timeout_us;
	uint64_t a;
	char name[CLIENT_NAME_MAX];
	uint32_t length; /* bytes of payload that follow */
	uint32_t reserved;
};
static_assert(sizeof(struct client_req) == 96, "client protocol");

/*
 * OP_BARRIER may have up to CLIENT_AHEAD_MAX of these as payload: pages to
 * prefetch when the barrier lets the session go.
 */
struct client_ahead {
	uint64_t key;
	uint32_t count; /* pages */
	uint32_t flags; /* F_WRITE */
};
static_assert(sizeof(struct client_ahead) == 16, "client protocol");

#define CLIENT_AHEAD_MAX 16u

#define CLIENT_LAST 1u /* client_rep.flags: nothing more follows for this ticket */

struct client_rep {
	uint32_t type;
	uint32_t flags;
	uint64_t ticket;
	int32_t err;	 /* 0 or a positive errno */
	uint32_t length; /* bytes of payload that follow */
	uint64_t val[6];
};
static_assert(sizeof(struct client_rep) == 72, "client protocol");

struct client_page {
	uint64_t key;
	uint32_t owner;
	uint32_t state; /* enum page_state, here */
	uint32_t ver;
	uint32_t homed; /* 1: this node is its home */
};

struct client_extent {
	uint64_t key;
	uint64_t count;
	uint32_t home;
	uint32_t flags; /* enum extent_flags */
};

struct client_region {
	uint64_t size;
	uint64_t base;
	uint32_t number;
	uint32_t reserved;
	char name[CLIENT_NAME_MAX];
};
static_assert(sizeof(struct client_region) == 56, "client protocol");

#endif
