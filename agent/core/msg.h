/* SPDX-License-Identifier: MIT */
/*
 * What nodes say to each other. A message is one struct core_msg, up to
 * CORE_MSG_RECS records of one kind, and up to CORE_MSG_PAGES pages of bytes
 * that the core itself never looks at.
 *
 * The structs here are the wire's own (little-endian, fixed size): agent/net/wire.h
 * adds the frame header and checks. Fields that a type does not use are
 * zero, and wire_check() refuses a message where they are not. New needs are
 * new types or fields that were zero before.
 */
#ifndef DSM_CORE_MSG_H
#define DSM_CORE_MSG_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define CORE_MSG_RECS	    512		 /* records in one message */
#define CORE_MSG_PAGES	    64		 /* pages in one run with data */
#define CORE_NODES_MAX	    256		 /* members of one view */
#define CORE_NAME_MAX	    32		 /* names of clusters, regions: with the final NUL */
#define CORE_TOPIC_NAME	    64		 /* names of topics, likewise */
#define CORE_TOPIC_BYTES    (256u << 10) /* most bytes of a topic's value */
#define CORE_TOPIC_IDS	    (1ull << 48) /* numbers of topics are below */
#define CORE_TOPIC_VERSIONS (1ull << 62) /* and versions of their values */

/*
 * A page of the cluster: region number in the upper 16 bits, page number in
 * the lower 48 (global address / 4096).
 */
typedef uint64_t page_key;
#define PAGE_KEY(region, page) (((uint64_t)(region) << 48) | (uint64_t)(page))
#define PAGE_KEY_REGION(key)   ((uint16_t)((key) >> 48))
#define PAGE_KEY_PAGE(key)     ((key)&0xffffffffffffull)

/*
 * Field use is given as: key, count, ver, nid, nid2, arg, a, b, flags (F_*), records.
 * "ticket": the sender's own number, returned in the answer.
 */
enum core_msg_type {
	MSG_NONE = 0,

	/* Discovery (datagrams, and as first words on a link to a --join address). */
	MSG_DISCOVER =
		1, /* a: uid, b: start time weight, arg: TCP port, name: cluster name. "Who is there?" */
	MSG_OFFER =
		2, /* a: cluster id, b: master's uid, arg: nodes, name, rec addr: master's address, F_DATA: cluster holds data */
	MSG_ANNOUNCE = 3, /* as OFFER; masters say it now and then */

	/* Links and membership. */
	MSG_HELLO =
		8, /* first on each link, both ways. a: uid, b: cluster id (0: none), nid, arg: TCP port, name */
	MSG_JOIN =
		9, /* a: uid, b: chunks donated, arg: TCP port, nid + F_RESUME: takes its old place again */
	MSG_JOIN_REFUSED = 10, /* arg: errno; rec addr: where the master is, or all zero */
	MSG_NODE_TABLE =
		11, /* a: cluster id, nid: master, nid2: yours, arg: table version, records: members */
	MSG_JOIN_READY = 12, /* newcomer has links to all */
	MSG_HEARTBEAT = 13,
	MSG_LINK_LOST =
		14,	   /* nid: the peer that cannot be reached; F_RESTORED: was lost, is back */
	MSG_LEAVE = 15,	   /* "I want to go" */
	MSG_LEAVE_OK = 16, /* "you hold nothing any more: go" */
	MSG_EVICTED = 17,  /* "you are not in our view any more", arg: our epoch, a: cluster id */
	MSG_DISSOLVE = 18, /* cluster without data joins another: rec addr of the other's master */
	MSG_TAKEOVER = 19, /* leaving master to its successor */
	MSG_TABLE_ACK = 20, /* member -> master. arg: table version it knows now */

	/* View change. epoch in the header is the sender's; arg: the proposed epoch. */
	MSG_PREPARE = 24, /* nid: proposer */
	MSG_PREPARED =
		25, /* arg: epoch; a: highest node id known, b: next region; F_REFUSED: nid is the master I hear */
	MSG_STATE_REGIONS = 26, /* records: regions (before PREPARED, or before VIEW) */
	MSG_STATE_EXTENTS = 27, /* records: extents (before PREPARED, or before VIEW) */
	MSG_VIEW =
		28, /* nid: master, arg: epoch, a: cluster id, b: table version, records: members. Installs the view */
	MSG_HOLDINGS = 29, /* records: holdings, member -> home */
	MSG_HOLDINGS_END = 30,
	MSG_LOCKS_HELD = 31, /* records: locks: tokens held, requests pending, member -> master */
	MSG_REBUILT =
		32, /* home -> master: my directory stands, and nothing of a leaver is left at this home */

	/*
	 * Pages. key + count: a run. ver: version of the pages' content.
	 * a: the requester's count of EXTENT_FREE when it asked, returned in every
	 * answer, so that bytes of freed memory are never taken for an answer
	 * to a later request.
	 */
	MSG_PAGE_REQUEST = 40, /* F_WRITE */
	MSG_PAGE_FORWARD =
		41, /* home -> owner: nid: requester; F_WRITE; F_GRANT: your data is the grant too; F_COPY_HOME: home wants a copy too */
	MSG_PAGE_GRANT =
		42, /* home -> requester: F_WRITE, arg: acks to wait for, F_DATA: data follows from elsewhere, F_ZERO, F_GRANT: no DONE is waited for */
	MSG_PAGE_DATA =
		43, /* bytes: count pages; F_WRITE: with the right to write; F_GRANT: is the grant too (arg: acks); F_COPY_HOME */
	MSG_INVALIDATE =
		44, /* home -> sharer: nid: requester who wants the ack; F_COPY_HOME: to itself, for the directory's sake */
	MSG_INVALIDATE_ACK = 45, /* sharer -> requester */
	MSG_PAGE_DONE = 46,	 /* requester -> home: transaction is over */
	MSG_OWNERSHIP = 47,	 /* requester -> old owner: got it, forget your stash */
	MSG_PAGE_ERROR = 48,	 /* home -> requester: arg: errno */
	MSG_PAGE_RESTORE = 49, /* home -> holder of a stash, in a rebuild: yours is the last copy */
	MSG_PAGE_FORGET =
		50, /* home -> holder, in a rebuild: your copy (F_DATA: stash) of ver or older is worth nothing, drop it */
	MSG_PAGE_QUERY = 51, /* a: ticket. What does the directory say? */
	MSG_PAGE_INFO = 52,  /* a: ticket, nid: owner or 0, arg: sharers, ver; b: state */

	/* Memory: chunks, extents, regions. To and from the master. */
	MSG_EXTENT_REQUEST = 60, /* key, count, arg: enum extent_want, a: ticket */
	MSG_EXTENT_REPLY = 61,	 /* key, count, a: ticket, arg: errno, records: extents */
	MSG_EXTENT_UPDATE = 62,	 /* records: extents, to their homes */
	MSG_EXTENT_FREE = 63,	 /* key, count: forget it, drop the pages; a: ticket */
	MSG_EXTENT_FREED = 64,	 /* a: ticket */
	MSG_REGION_REQUEST = 65, /* arg: enum region_want, a: ticket, b: size, name */
	MSG_REGION_REPLY = 66,	 /* a: ticket, arg: errno, records: the region */
	MSG_REGION_UPDATE = 67,	 /* records: regions; F_DELETED */

	/* Locks. key: lock id (lower 32 bits), F_WRITE: exclusive. */
	MSG_LOCK_REQUEST = 80, /* a: ticket */
	MSG_LOCK_RECALL = 81,  /* master -> holder: nid: who is next */
	MSG_LOCK_GRANT =
		82, /* the token itself; F_OWNER_DEAD; F_GRANT: from the master's hand, it need not hear LOCK_MOVED */
	MSG_LOCK_MOVED = 83,	 /* new holder -> master */
	MSG_RWLOCK_REQUEST = 84, /* a: ticket, F_WRITE: writer; F_TRY */
	MSG_RWLOCK_REPLY = 85,	 /* a: ticket, arg: errno, F_OWNER_DEAD */
	MSG_RWLOCK_RELEASE =
		86, /* F_WRITE, a: ticket of the request; also cancels one that waits */
	MSG_LOCK_PROBE =
		87, /* is it waited for in a circle? nid: node, a: number of the wait that asks, ver: its round, b: digest of the waits met, arg: how many; F_GRANT: by the master, to where the token is */

	/* Barriers. key: barrier id, count: participants (0: all nodes), arg: arrivals. */
	MSG_BARRIER_ENTER = 90,
	MSG_BARRIER_RELEASE = 91, /* arg: errno */
	MSG_BARRIER_LEAVE = 92,	  /* timed out: take arrivals back */

	/*
	 * Topics. key: number of the topic at the subscriber, who gave it. Values go from the node that
	 * publishes to those that subscribe.
	 */
	MSG_TOPIC_SUBSCRIBE =
		100, /* records: topics; F_DELETED: no more; F_RESTORED: a newcomer, tell it yours */
	MSG_TOPIC_PUBLISHERS =
		101, /* records: presences: who publishes here, of what you subscribe to */
	MSG_TOPIC_VALUE =
		102, /* a: version, b: the publisher's number of it, arg: length; bytes; F_ZERO: there are none to be had */
	MSG_TOPIC_ACK =
		103, /* a: version that came, b: newest known here; F_REFUSED: it was not taken */

	MSG_TYPES,
};

enum core_msg_flags {
	F_WRITE = 1 << 0,
	F_DATA = 1 << 1,
	F_ZERO = 1 << 2,
	F_GRANT = 1 << 3,
	F_COPY_HOME = 1 << 4,
	F_RESUME = 1 << 5,
	F_RESTORED = 1 << 6,
	F_REFUSED = 1 << 7,
	F_OWNER_DEAD = 1 << 8,
	F_DELETED = 1 << 9,
	F_TRY = 1 << 10,
	F_FLAGS_ALL = (1 << 11) - 1,
};

/* An IPv4 (mapped, ::ffff:a.b.c.d) or IPv6 address with a port, both as numbers in network order inside ip[]. */
struct core_addr {
	uint8_t ip[16];
	uint16_t port; /* little-endian like everything else */
	uint16_t reserved;
	uint32_t
		scope; /* IPv6 scope id for link-local addresses, valid on the node that heard it only; 0 on the wire */
};
static_assert(sizeof(struct core_addr) == 24, "wire");

/* 96 bytes; kind of records and number in the frame's fields below. */
struct core_msg {
	uint16_t type;	/* enum core_msg_type */
	uint16_t flags; /* F_* */
	uint16_t src;	/* sender's node id, 0: none yet */
	uint16_t nid;
	uint32_t epoch; /* sender's view */
	uint32_t ver;
	uint64_t key;
	uint32_t count;
	uint32_t arg;
	uint64_t a;
	uint64_t b;
	uint16_t nid2;
	uint16_t nrecs; /* records that follow */
	uint32_t reserved;
	char name[CORE_NAME_MAX]; /* NUL-padded */
	uint64_t reserved2;
};
static_assert(sizeof(struct core_msg) == 96, "wire");

/* Records. Which kind a message carries follows from its type: see core_msg_rec_size(). */

enum member_state {
	MEMBER_JOINING = 1, /* has an id, makes its links */
	MEMBER_ACTIVE = 2,
	MEMBER_LEAVING = 3, /* hands its pages over; homes nothing */
};

struct rec_member {
	uint64_t uid;	 /* drawn at each start of an agent: tells two lives of one node apart */
	uint64_t chunks; /* 4 KiB chunks donated */
	struct core_addr addr;
	uint16_t nid;
	uint8_t state; /* enum member_state */
	uint8_t reserved[5];
};
static_assert(sizeof(struct rec_member) == 48, "wire");

enum extent_flags {
	EXTENT_ALLOC = 1,    /* by dsm_malloc; else by first touch */
	EXTENT_HEAD = 2,     /* first extent of an allocation */
	EXTENT_ORPHANED = 4, /* its home died: pages that nobody holds are lost */
	EXTENT_MOVING = 8,   /* its home leaves, and may not have told the next one all yet */
	EXTENT_GUESSED =
		16, /* by a restarted master, from a page it holds: whoever knows better is right */
};

struct rec_extent {
	uint64_t key;	/* first page */
	uint32_t count; /* pages */
	uint16_t home;	/* node id */
	uint16_t flags; /* enum extent_flags */
};
static_assert(sizeof(struct rec_extent) == 16, "wire");

struct rec_region {
	uint64_t size; /* bytes */
	uint64_t base; /* address to map it at, the same on every node */
	uint16_t region;
	uint16_t flags;
	uint32_t reserved;
	char name[CORE_NAME_MAX];
};
static_assert(sizeof(struct rec_region) == 56, "wire");

struct rec_holding {
	uint64_t key;
	uint32_t count;
	uint32_t ver;  /* 0: not known (learned from the module after a restart) */
	uint8_t state; /* enum page_state: SHARED, MODIFIED; or enum holding_state */
	uint8_t reserved[5];
	uint16_t nid; /* 0 on the wire; the home notes the sender here */
};
static_assert(sizeof(struct rec_holding) == 24, "wire");

enum holding_state {
	HOLDING_STASH = 4,   /* bytes given away, receipt not confirmed */
	HOLDING_TOUCHED = 5, /* no copy, but the former home knows that it was written */
	HOLDING_LOST = 6,    /* the former home knows that its last copy died */
};

struct rec_lock {
	uint32_t id;
	uint16_t kind;	/* enum lock_kind */
	uint16_t flags; /* F_WRITE, F_OWNER_DEAD */
	uint64_t ticket;
};
static_assert(sizeof(struct rec_lock) == 16, "wire");
enum lock_kind {
	LOCK_TOKEN_HELD = 1,
	LOCK_TOKEN_WANTED = 2,
	LOCK_RW_HELD = 3,
	LOCK_RW_WANTED = 4,
};

enum extent_want {
	EXTENT_TOUCH =
		1, /* give me the extent around key; make it if there is none (default region and named ones alike) */
	EXTENT_LOOKUP = 2,	/* the same, but never make one: ENOENT */
	EXTENT_ALLOCATE = 3,	/* count pages, wherever the master likes, in the region of key */
	EXTENT_ALLOCATE_AT = 4, /* count pages at key: EEXIST when any is taken */
	EXTENT_RELEASE = 5,	/* free the allocation that starts at key: EINVAL when none does */
	EXTENT_LIST = 6,	/* what there is from key on, as much as a message holds: ENOENT */
};

enum region_want {
	REGION_OPEN = 1,   /* by name: ENOENT */
	REGION_CREATE = 2, /* EEXIST */
	REGION_DELETE = 3, /* ENOENT, EBUSY for the default region */
};

struct rec_topic {
	uint64_t id;	  /* number at the subscriber, below CORE_TOPIC_IDS */
	uint64_t version; /* of the value that it has; 0: none */
	uint16_t nid;	  /* who published that */
	uint8_t reserved[6];
	char name[CORE_TOPIC_NAME]; /* NUL-padded */
};
static_assert(sizeof(struct rec_topic) == 88, "wire");

enum presence_flags {
	PRESENCE_PUBLISHES = 1, /* else: nobody, or nobody any more */
};

struct rec_presence {
	uint64_t id;	  /* number at the subscriber */
	uint64_t version; /* newest known at the publisher's node */
	uint32_t pid;	  /* of the publisher, as its own pid namespace numbers it */
	uint16_t flags;	  /* enum presence_flags */
	uint16_t reserved;
};
static_assert(sizeof(struct rec_presence) == 24, "wire");

/* Size of one record of the kind that @type carries; 0: that type carries none. */
static inline size_t core_msg_rec_size(uint16_t type)
{
	switch (type) {
	case MSG_OFFER:
	case MSG_ANNOUNCE:
	case MSG_JOIN_REFUSED:
	case MSG_DISSOLVE:
		return sizeof(struct core_addr);
	case MSG_NODE_TABLE:
	case MSG_VIEW:
		return sizeof(struct rec_member);
	case MSG_STATE_REGIONS:
	case MSG_REGION_REPLY:
	case MSG_REGION_UPDATE:
		return sizeof(struct rec_region);
	case MSG_STATE_EXTENTS:
	case MSG_EXTENT_REPLY:
	case MSG_EXTENT_UPDATE:
		return sizeof(struct rec_extent);
	case MSG_HOLDINGS:
		return sizeof(struct rec_holding);
	case MSG_LOCKS_HELD:
		return sizeof(struct rec_lock);
	case MSG_TOPIC_SUBSCRIBE:
		return sizeof(struct rec_topic);
	case MSG_TOPIC_PUBLISHERS:
		return sizeof(struct rec_presence);
	default:
		return 0;
	}
}

#endif
