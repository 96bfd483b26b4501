/* SPDX-License-Identifier: MIT */
/*
 * The protocol core of one node: deterministic, no I/O, no clock, never a
 * byte of a page. The shell around it (or the simulator) feeds events to
 * core_step() and carries out the actions, in their order.
 *
 * The only memory the core shares with anybody are the lock words
 * (struct core_config.lock_words), which programs change by compare-and-swap;
 * see lock_word.h.
 *
 * Threading: one core belongs to one thread.
 */
#ifndef DSM_CORE_CORE_H
#define DSM_CORE_CORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/core/msg.h"

struct core;

/* A page at this node. The numbers are those of dsm_get_page_info(). */
enum page_state {
	PAGE_INVALID = 0,
	PAGE_SHARED = 1,
	PAGE_MODIFIED = 2,
	PAGE_PENDING = 3, /* a request is under way */
};

#define CORE_NO_DEADLOCK_CHECK UINT32_MAX

struct core_config {
	uint64_t uid; /* random, not 0, new at each start */
	uint64_t
		weight; /* when the agent started, any clock that all nodes nearly share (wall clock, µs) */
	char cluster[CORE_NAME_MAX]; /* name: only equals find each other */
	uint16_t port;		     /* TCP port peers can reach us at */
	uint64_t chunks;	     /* 4 KiB chunks donated to the pool */
	uint32_t dead_ms;	     /* a node not heard for so long is dead; default 1500 */
	uint32_t elect_ms; /* how long to look for others before founding a cluster; default 150 */
	uint32_t hold_us;  /* a granted page is ours at least so long; default 50 */
	uint32_t
		deadlock_ms; /* waits for locks that last so long are looked at; CORE_NO_DEADLOCK_CHECK: never; default 100 */
	uint32_t touch_pages; /* pages given by one first touch, at most; default 16 */
	uint32_t
		prefetch_pages; /* most pages asked for with a miss that looks sequential; default 32; 1: none */
	bool found_at_once;	       /* do not look for others first: found a cluster now */
	const struct core_addr *seeds; /* --join addresses, may be NULL */
	size_t nseeds;
	uint64_t region_base; /* address of the default region in programs */
	uint64_t region_size; /* bytes */
	_Atomic uint32_t *
		lock_words; /* nlock_words words at a stride of lock_stride bytes, zeroed; may be NULL: no fast path */
	size_t lock_stride;
	uint32_t nlock_words;
	/* A restarted agent: what the module kept (see core_resume_page() too). 0: none. */
	uint64_t resume_cluster;
	uint16_t resume_nid;
	uint32_t resume_epoch; /* of the last view that the former agent was in */
};

/* Links are numbered: those that the core asked for by ACT_CONNECT are odd (its choice), those accepted by the shell even (its choice). Numbers are never used twice. */
typedef uint32_t link_id;

enum core_event_type {
	EV_TICK,	/* time passed: due when core_deadline() is reached */
	EV_LINK_UP,	/* link; addr: the peer's address as this side sees it */
	EV_LINK_DOWN,	/* link: closed or could not be made */
	EV_MSG,		/* link, msg, recs; data: bytes of msg->count pages for MSG_PAGE_DATA */
	EV_DATAGRAM,	/* msg, recs, addr: who sent it */
	EV_FAULT,	/* key, count, write, prefetch: from the pager */
	EV_REVOKED,	/* key, count: an ACT_REVOKE was carried out */
	EV_CLIENT,	/* req: a program asks */
	EV_CLIENT_GONE, /* client: closed or died, with whatever it held */
	EV_LEAVE,	/* leave the cluster cleanly, then ACT_STATE with CORE_OUT */
	EV_TOPIC, /* topic: what programs of this node do with it has changed; answer ACT_TOPIC_STATE */
	EV_TOPIC_CHANGED, /* key: topic: this node's publisher wrote a newer value than the one sent last */
};

/* A topic as this node's programs have it open. */
struct core_topic {
	uint64_t id; /* the shell's number for it, 1 to CORE_TOPIC_IDS - 1, never used twice */
	char name[CORE_TOPIC_NAME]; /* NUL-padded, not empty; one id for a name at a time */
	bool subscribes,
		publishes; /* neither: nobody has it open any more; ACT_TOPIC_DONE follows */
	uint32_t pid;	   /* of the publisher */
};

enum client_op {
	OP_LOCK =
		1, /* id, timeout_us, F_TRY in flags. Reply: val[0] slot (UINT32_MAX: none), err EOWNERDEAD: held, but see; EDEADLK: would not end */
	OP_UNLOCK, /* id */
	OP_RWLOCK, /* id, F_WRITE: writer, timeout_us, F_TRY */
	OP_RWUNLOCK, /* id, F_WRITE */
	OP_BARRIER,  /* id, count (0: all nodes), timeout_us */
	OP_ALLOC,    /* key (region), count pages. Reply: val[0] key */
	OP_ALLOC_AT, /* key, count. Reply: val[0] key */
	OP_FREE,     /* key */
	OP_LOOKUP, /* key: is it allocated? Reply: val[0] extent key, val[1] count, val[2] home, val[3] flags; ENOENT */
	OP_REGION_OPEN,	  /* name. Reply: val[0] region, val[1] size, val[2] base */
	OP_REGION_CREATE, /* name, count: bytes. Reply: the same */
	OP_REGION_DELETE, /* name */
	OP_PAGE_QUERY, /* key. Reply: val[0] local state, val[1] owner nid (the home where nobody owns it), val[2] version, val[3] sharers, val[4] home nid, val[5] directory state */
	OP_PREFETCH,   /* key, count, F_WRITE: no reply */
	OP_WAIT, /* key, timeout_us: two replies: first err 0 val[0] 0 "armed", then val[0] 1 "page left or somebody woke", or ETIMEDOUT */
	OP_WAKE, /* key: wakes this node's waiters. Reply: val[0] how many */
	OP_READY,   /* reply when this node is a member of a cluster; timeout_us */
	OP_EXTENTS, /* key: learn what the master has from there on. Reply: val[0] key to go on with; ENOENT: that was all */
};

#define CORE_NO_TIMEOUT UINT64_MAX

struct core_creq {
	uint32_t
		client; /* 1..65534: a session of a program, one request at a time on it; also the holder number in lock words */
	uint32_t op;	/* enum client_op */
	uint64_t ticket; /* returned in the reply */
	uint64_t key;
	uint64_t count;
	uint64_t timeout_us; /* from now; CORE_NO_TIMEOUT: none */
	uint32_t id;	     /* lock or barrier */
	uint32_t flags;	     /* F_WRITE, F_TRY */
	char name[CORE_NAME_MAX];
};

struct core_event {
	uint32_t type; /* enum core_event_type */
	link_id link;
	uint64_t now_us; /* monotonic; every event carries it, never less than before */
	const struct core_msg *msg;
	const void *recs; /* msg->nrecs records of the type's kind */
	struct core_addr addr;
	uint64_t key;
	uint32_t count;
	uint32_t client;
	bool write, prefetch;
	const struct core_creq *req;
	const struct core_topic *topic;
};

enum core_action_type {
	ACT_SEND = 1, /* link, msg (+recs); PAGE_DATA: bytes from enum data_src */
	ACT_CONNECT,  /* link, addr: dial; answer EV_LINK_UP or EV_LINK_DOWN, in bounded time */
	ACT_CLOSE,    /* link: no further event for it */
	ACT_DATAGRAM, /* msg (+recs); addr all zero: broadcast, else to addr */
	ACT_INSTALL,  /* key, count, write, src: publish pages; faults on them are answered */
	ACT_UPGRADE,  /* key, count: shared to modified; faults on them are answered */
	ACT_REVOKE, /* key, count, how: enum revoke_how; answer EV_REVOKED for the same run, at once or later */
	ACT_FAIL,	 /* key, count, err: faults on them end in SIGBUS */
	ACT_STASH_DROP,	 /* key, count: free the bytes kept by REVOKE_TAKE */
	ACT_REPLY,	 /* reply to a client */
	ACT_REGION_ADD,	 /* region record: tell the pager */
	ACT_REGION_DEL,	 /* region record */
	ACT_STATE,	 /* state: enum core_state: changed */
	ACT_IDENTITY,	 /* cluster id, nid, epoch changed: have the pager keep it */
	ACT_LOG,	 /* level, text */
	ACT_TOPIC_PUT,	 /* key: topic: make the bytes of this step's message its value */
	ACT_TOPIC_STATE, /* topic_state: of its topic: changed */
	ACT_TOPIC_DONE, /* key: topic that nobody has open: its last value is not needed any more, the id is forgotten */
	ACT_KEEP, /* recs: one struct core_kept: keep it behind what is kept, for a next life of this agent */
	ACT_KEEP_ALL, /* in place of all that is kept: what core_each_kept() says now; that may be nothing */
};

enum data_src {
	DATA_NONE = 0,
	DATA_MSG, /* the bytes that came with the message of this step's event; first_page into it */
	DATA_ZERO,
	DATA_STASH, /* what REVOKE_TAKE kept; it stays kept after ACT_SEND, ACT_INSTALL from it frees it */
	DATA_PAGE, /* the page as it is, present at this node */
	DATA_TOPIC, /* ACT_SEND of a MSG_TOPIC_VALUE: the newest value of topic key; sets arg, b and F_ZERO too */
};

/* What the shell shows to the programs that have a topic open. */
struct core_topic_state {
	uint64_t id;
	uint32_t remote;    /* nodes elsewhere that subscribe */
	uint32_t elsewhere; /* nodes elsewhere that publish, as far as this one subscribes */
	uint32_t presence;  /* grows with each publisher elsewhere that comes or goes */
	uint32_t pid;	    /* of the one that came last and is still there; 0: none */
	uint16_t nid;	    /* its node */
};

enum revoke_how {
	REVOKE_DOWNGRADE, /* modified to shared */
	REVOKE_DROP,	  /* to invalid, bytes are worth nothing */
	REVOKE_TAKE,	  /* to invalid, the shell keeps the bytes (stash) until told */
};

enum core_state {
	CORE_SEEKING = 1,
	CORE_JOINING,
	CORE_MEMBER,
	CORE_LEAVING,
	CORE_OUT, /* left cleanly */
	CORE_EVICTED, /* the cluster went on without us: all pages are lost here; the core seeks anew by itself */
};

struct core_reply {
	uint32_t client;
	uint32_t op;
	uint64_t ticket;
	int32_t err; /* 0 or a positive errno */
	uint32_t reserved;
	uint64_t val[6];
};

struct core_action {
	uint32_t type; /* enum core_action_type */
	link_id link;
	uint64_t key;
	uint32_t count;
	uint32_t first_page; /* DATA_MSG: index of the run's first page in the message's bytes */
	uint8_t src;	     /* enum data_src */
	uint8_t how;	     /* enum revoke_how */
	uint8_t level;	     /* ACT_LOG: 0 debug .. 3 error */
	bool write;
	int32_t err; /* ACT_FAIL: positive errno */
	uint32_t state;
	uint64_t cluster; /* ACT_IDENTITY */
	uint32_t epoch;
	uint16_t nid;
	struct core_addr addr;
	struct core_msg msg;
	const void *recs; /* valid until the next core_step() */
	const char *text; /* ACT_LOG; valid until the next core_step() */
	struct core_reply reply;
	struct rec_region region;
	struct core_topic_state topic_state;
};

enum kept_kind {
	KEPT_NODE = 1, /* node; counts until the next one */
	KEPT_REGION,   /* region: exists */
	KEPT_EXTENT,   /* extent: exists */
	KEPT_GONE,     /* extent: what is kept of these pages is not true any more */
	KEPT_LOST,     /* extent: these pages are lost */
};

struct kept_node {
	uint32_t epoch;
	uint16_t next_nid, next_region;
	uint32_t alone; /* 1: the only member, so that whatever was touched is here or lost */
};

/*
 * What a node tells its next life, in records that are true one after the other: the pages
 * outlive an agent in the module, this outlives it with the shell. Nobody else reads it.
 */
struct core_kept {
	uint32_t kind; /* enum kept_kind */
	uint32_t reserved;
	union {
		struct kept_node node;
		struct rec_region region;
		struct rec_extent extent;
	};
};
static_assert(sizeof(struct core_kept) == 64, "a file's format");

/* NULL: no memory. The caller keeps lock_words alive; seeds are copied. */
struct core *core_new(const struct core_config *cfg, uint64_t now_us);
void core_free(struct core *c);

/*
 * Before the first step of a restarted agent: a run of pages that the module
 * still holds.
 */
void core_resume_page(struct core *c, page_key key, uint32_t count, enum page_state state);

/*
 * Likewise: the records that the former agent had kept when it died, in their order. They are
 * believed where this node comes back to no master. Copied.
 */
void core_resume_kept(struct core *c, const struct core_kept *recs, size_t n);

/* One event. Actions of earlier steps must have been taken already. */
void core_step(struct core *c, const struct core_event *ev);

/*
 * What the last step wants done. The array and what it points to are valid
 * until the next core_step(), so a shell that must call core_step() while it carries
 * out actions (EV_REVOKED at once, for example) queues that event until it is through.
 */
const struct core_action *core_actions(const struct core *c, size_t *ret_n);

/* When EV_TICK is due next, in the clock of now_us; UINT64_MAX: never. */
uint64_t core_deadline(const struct core *c);

/* --- looking in: for status, the simulator's checks and tests --- */

struct core_stats {
	uint64_t read_faults, write_faults, prefetches;
	uint64_t pages_in, pages_out; /* with data */
	uint64_t invalidations, downgrades;
	uint64_t upgrades; /* write rights got without data */
	uint64_t lock_local,
		lock_remote; /* slow-path grants: token was here / came from elsewhere */
	uint64_t barriers;
	uint64_t pages_lost;
	uint64_t messages_old;	    /* dropped: older epoch */
	uint64_t messages_replayed; /* dropped: an epoch that their sender had left already */
	uint64_t messages_bad;	    /* dropped: made no sense here */
	uint64_t view_changes;
	uint64_t values_out, values_in; /* of topics: sent, and taken */
	uint64_t values_refused;	/* came, and were older than what is here */
};

struct core_info {
	uint32_t state; /* enum core_state */
	uint32_t epoch;
	uint64_t cluster;
	uint16_t nid, master;
	uint32_t members; /* active or leaving */
	uint64_t chunks_total,
		chunks_used; /* pool; known at the master, elsewhere as of its last word */
	bool rebuilding;
};

struct core_lock_info {
	uint32_t id;
	bool rw;
	bool here;	    /* this node has the token */
	uint32_t holder;    /* client, 0: free */
	uint32_t waiters;   /* here */
	uint16_t token_nid; /* known at the master, else 0 */
};

struct core_barrier_info {
	uint32_t id;
	uint32_t count;	  /* 0: all nodes */
	uint32_t arrived; /* at the master: all; elsewhere: here */
};

struct core_page_info {
	page_key key;
	uint32_t ver;
	uint8_t state;	      /* enum page_state, here */
	uint8_t dir_state;    /* at the home: enum page_state, else 0 */
	uint16_t home, owner; /* owner: at the home only, else 0 */
	uint32_t sharers;     /* at the home only */
	bool lost, busy;
};

void core_stats_get(const struct core *c, struct core_stats *ret);
void core_info_get(const struct core *c, struct core_info *ret);
struct core_topic_info {
	const char *name;
	uint64_t id;		    /* 0: no program of this node has it open */
	bool subscribes, publishes; /* this node's programs */
	uint32_t subscribers;	    /* nodes elsewhere */
	uint32_t publishers;	    /* nodes elsewhere, as far as this one subscribes */
	uint64_t version;	    /* newest heard of */
	bool behind;		    /* some subscriber waits for its turn to get the newest value */
};

/* Iterators: each calls fn for every item, in a stable order. */
void core_each_member(const struct core *c,
		      void (*fn)(void *ctx, const struct rec_member *m, bool link_up), void *ctx);
void core_each_region(const struct core *c, void (*fn)(void *ctx, const struct rec_region *r),
		      void *ctx);
void core_each_extent(const struct core *c, void (*fn)(void *ctx, const struct rec_extent *e),
		      void *ctx);
void core_each_lock(const struct core *c, void (*fn)(void *ctx, const struct core_lock_info *l),
		    void *ctx);
void core_each_barrier(const struct core *c,
		       void (*fn)(void *ctx, const struct core_barrier_info *b), void *ctx);
void core_each_topic(const struct core *c, void (*fn)(void *ctx, const struct core_topic_info *t),
		     void *ctx);
/* What is to be kept for the next life, all of it; no record at all: this is no member. */
void core_each_kept(const struct core *c, void (*fn)(void *ctx, const struct core_kept *k),
		    void *ctx);
/* Pages known at this node (held, or homed here). */
void core_each_page(const struct core *c, void (*fn)(void *ctx, const struct core_page_info *p),
		    void *ctx);
/* -ENOENT: never heard of it here. */
int core_page_get(const struct core *c, page_key key, struct core_page_info *ret);
/* Bytes of metadata the core keeps for pages, and for how many pages. */
void core_page_memory(const struct core *c, size_t *ret_bytes, size_t *ret_pages);

#endif
