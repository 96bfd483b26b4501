/* SPDX-License-Identifier: MIT */
/*
 * What the core remembers, for the files of agent/core/ only. One file is one
 * part of the protocol; each part's entry points stand in parts.h.
 */
#ifndef DSM_CORE_STATE_H
#define DSM_CORE_STATE_H

#include "agent/core/core.h"
#include "agent/core/lock_word.h"
#include "agent/core/map.h"

#define MS 1000ull /* microseconds */

/* --- nodes and links --- */

#define REPLIES_KEPT 16

/* The master's memory of what it answered: a repeated request is not carried out twice. */
struct kept_reply {
	uint64_t ticket;
	uint64_t key;
	int32_t err;
};

struct member {
	struct rec_member rec;
	link_id link;	  /* 0: none now */
	uint8_t index;	  /* bit in sharer sets, this node's own numbering; 0: this node */
	uint64_t lost_at; /* since when there is no link; 0: there is one, or it never mattered */
	uint64_t dialed_at;
	bool reported; /* loss told to the master */
	bool resync; /* link was lost: messages may be missing, so a view change is due when it is back */
	bool prepared;	/* proposer: its PREPARED is here */
	bool ended;	/* its HOLDINGS_END of this epoch is here */
	bool rebuilt;	/* master: its REBUILT of this epoch is here */
	bool forgetful; /* its agent was restarted in this view: what its directory knew is gone */
	bool resumes;	/* master: a restarted agent on its way back to this place */
	uint32_t table_acked; /* master: newest table it is known to have */
	bool evict;	      /* master: not to be in the next view */
	bool leaves;	      /* master: asked to; LEAVING from the next view on */
	bool gone;	      /* master: left cleanly */
	uint64_t chunks_used; /* master */
	struct kept_reply replies[REPLIES_KEPT];
	uint8_t next_reply;
	uint32_t topic_subs;   /* subscriptions of it that this node knows */
	uint32_t topic_flying; /* values of topics sent to it, not acknowledged yet */
};

enum link_kind { LINK_ACCEPTED, LINK_SEED, LINK_MASTER, LINK_PEER };

struct link {
	link_id id;
	uint8_t kind; /* enum link_kind: why it was made */
	bool up, hello;
	uint16_t nid;  /* by its HELLO */
	uint16_t said; /* who our HELLO said that we are */
	uint64_t uid, cluster;
	uint64_t heard;
	uint64_t since;
	uint32_t epoch; /* highest that the other end spoke in */
	bool replays;	/* it spoke in an older one after that, and the log knows */
	struct core_addr addr;
};

/* A node that asked the master to be let in. */
struct joiner {
	link_id link;
	uint64_t uid, chunks;
	struct core_addr addr;
	uint16_t nid; /* resumes as; 0: new */
	struct joiner *next;
};

/* --- pages --- */

enum page_flags {
	P_TOUCHED = 1 << 0,  /* home: somebody wrote it, and was seen to have it */
	P_LOST = 1 << 1,     /* home: the last copy died */
	P_STASH = 1 << 2,    /* the shell keeps bytes of ver */
	P_REVOKING = 1 << 3, /* ACT_REVOKE is out */
	P_HAD = 1 << 4,	     /* was shared here until somebody wrote it */
	P_HAD_M = 1 << 5,    /* was modified here until somebody read it */
};

#define LEAF_PAGES 16

struct page {
	uint64_t sharers[4]; /* home: bits by member.index */
	uint32_t ver;	     /* of the copy or stash here */
	uint32_t dir_ver;    /* home */
	uint32_t granted_us; /* lower bits of the time of the last grant */
	uint16_t owner;	     /* home: nid with the right to write, 0: none */
	uint8_t state;	     /* enum page_state: INVALID, SHARED, MODIFIED */
	uint8_t flags;	     /* enum page_flags */
};
static_assert(sizeof(struct page) <= 48, "metadata for a page");

struct leaf {
	uint64_t first;
	struct page pages[LEAF_PAGES];
};

/* A page this node wants. */
struct request {
	page_key key;
	bool write;	 /* asked for */
	bool write_next; /* a store came while a read was under way */
	bool prefetch;	 /* nobody waits */
	bool drain;	 /* home: takes over from a leaving node */
	bool sent;	 /* PAGE_REQUEST is out in this epoch */
	bool extent;	 /* waits for the master's word on its extent */
	bool granted;
	bool need_data;
	bool have_data; /* bytes are installed, shared for now */
	bool direct;	/* the home does not wait for DONE */
	uint32_t ver;
	int32_t acks_need, acks_got;
	uint32_t tag;	 /* core.frees when it was sent */
	uint16_t source; /* who keeps a stash until we say OWNERSHIP; 0: nobody */
};

/* What the home has under way for a page. */
struct waiting {
	uint16_t nid;
	bool write;
	uint32_t tag;
	struct waiting *next;
};

struct txn {
	page_key key;
	uint16_t nid;
	bool write;
	bool wait_done, wait_copy;
	uint32_t ver, tag;
	struct waiting *head, **tail;
};

/* A copy that is being taken from this node. */
struct revoke {
	page_key key;
	uint8_t how;
	bool issued;
	uint32_t epoch; /* it was asked in; an older one is void when it ends */
	uint64_t due;
	struct core_msg msg; /* FORWARD or INVALIDATE; type MSG_NONE: nobody waits */
};

/* --- memory --- */

struct extent_table {
	struct rec_extent *e; /* sorted by key, never overlapping */
	size_t n, cap;
};

/* A request to the master that waits for its answer. */
struct asked {
	uint64_t ticket;
	struct core_msg msg;
	uint32_t client, op; /* 0: the core itself */
	uint64_t client_ticket;
	bool sent;
	bool freed; /* a release that this node has carried out already: only the master's word of it is missing */
};

/* The master waits until everybody has forgotten a freed allocation. */
struct freeing {
	uint64_t ticket; /* the requester's */
	uint16_t nid;
	bool region; /* all of it, and the region too */
	uint64_t key, count;
	uint64_t id;
	uint16_t waiting[CORE_NODES_MAX];
	size_t nwaiting;
	struct freeing *next;
};

/* Freed here, but the kernel still holds on to a page of it. */
struct dropping {
	page_key first, end;
	uint64_t id;
	uint16_t master;
};

/* --- locks, barriers, waits --- */

struct lock_waiter {
	uint32_t client;
	uint64_t ticket;
	uint64_t due;
	uint64_t wait; /* this node's number of the wait, never used twice */
	uint64_t since;
	uint64_t way;	    /* digest of the circle that was seen last; 0: none */
	uint32_t round;	    /* of the last question that was asked for it */
	uint32_t way_round; /* of the last one when that circle was seen */
	struct lock_waiter *next;
};

struct nid_list {
	uint16_t nid;
	struct nid_list *next;
};

struct lock {
	uint32_t id;
	uint32_t slot; /* in lock_words, or UINT32_MAX */
	_Atomic uint32_t *word;
	_Atomic uint32_t own_word;
	struct lock_waiter *head, **tail;
	bool requested;	   /* LOCK_REQUEST is out */
	bool gave_dead;	   /* passed the token on as owner-dead, and had it not since */
	uint16_t recall;   /* who gets the token next; 0: nobody */
	uint16_t handoffs; /* local ones since the recall */
	/* master */
	uint16_t token_nid;
	bool token_dead; /* its last holder died with it */
	bool recalled;
	struct nid_list *queue, **queue_tail;
};

struct rw_entry {
	uint16_t nid;
	bool write, held;
	uint64_t ticket;
	struct rw_entry *next;
};

/* At the master. */
struct rwlock {
	uint32_t id;
	bool dead; /* a writer died */
	struct rw_entry *head;
};

/* At the client's node. */
struct rw_client {
	uint32_t id, client;
	uint64_t ticket; /* of the core; key in the map */
	uint64_t client_ticket;
	uint64_t due;
	bool write, held;
};

struct arrival {
	uint16_t nid;
	uint32_t gen; /* reported again after a view change: last round it saw end; 0: not known */
	uint64_t ticket;
	struct arrival *next;
};

/* At the master. */
struct barrier {
	uint32_t id, count;
	uint32_t gen;
	struct arrival *head;
	struct map released; /* nid -> highest ticket released, stored + 1 as a pointer */
};

/* At the client's node; key in the map: ticket. */
struct barrier_client {
	uint32_t id, count, client;
	uint64_t ticket, client_ticket, due;
};

struct page_waiter {
	page_key key;
	uint32_t client;
	uint64_t ticket, due;
	struct page_waiter *next;
};

/* --- topics --- */

#define TOPIC_SUBS_MAX	 4096 /* subscriptions of one node */
#define TOPIC_WINDOW	 2    /* values under way to one subscriber of one topic */
#define TOPIC_FLYING_MAX 32   /* values under way to one node: what a slow link can queue */

/* A node elsewhere that subscribes. */
struct topic_sub {
	struct topic_sub *next; /* of the topic */
	struct topic_sub *wait_next;
	struct topic *topic;
	uint64_t id; /* the topic's number there */
	uint16_t nid;
	uint8_t flying; /* values sent, not acknowledged */
	bool dirty;	/* has not been sent the newest one */
	bool waits;	/* in the list of those who wait for their node's turn */
};

/* A node elsewhere that publishes. */
struct topic_pub {
	uint16_t nid;
	uint32_t pid;
	struct topic_pub *next; /* the one that came last is first */
};

struct topic {
	struct topic *next; /* same hash */
	uint64_t id;	    /* 0: no program of this node has it open */
	uint64_t version;   /* newest heard of, from anybody */
	uint64_t shown;	    /* version of the value that this node has, 0: none */
	uint64_t own;	    /* of the value that this node offers, 0: none */
	uint32_t pid;
	uint32_t presence;
	uint32_t remote;    /* subs */
	uint16_t shown_nid; /* who published that */
	bool subscribes, publishes;
	bool news; /* own: some subscriber has not said yet what he thinks of it */
	uint16_t
		number_nid; /* who sent the value that is shown, with which number; 0: another begins */
	uint64_t number;
	char name[CORE_TOPIC_NAME];
	struct topic_sub *subs;
	struct topic_pub *pubs;
};

/* --- everything --- */

enum timer_kind {
	TIMER_SEEK = 1, /* say DISCOVER, or found */
	TIMER_BEAT,	/* heartbeats, dead nodes, redials, announcements */
	TIMER_REVOKE,	/* arg: key: held long enough */
	TIMER_LOCK,	/* arg: lock id */
	TIMER_RWLOCK,	/* arg: ticket */
	TIMER_BARRIER,	/* arg: ticket */
	TIMER_WAIT,	/* arg: key */
	TIMER_READY,
	TIMER_DEADLOCK, /* locks that are waited for in a circle */
};

struct timer {
	uint64_t due;
	uint64_t order; /* first armed, first served */
	uint64_t arg;
	uint32_t kind;
};

struct deferred {
	link_id link;
	struct core_msg msg;
	void *recs;
	struct deferred *next;
};

struct block {
	struct block *next;
	size_t used, cap;
	char bytes[];
};

struct core {
	struct core_config cfg;
	struct core_addr *seeds;
	uint64_t now;
	uint64_t uid;

	/* membership */
	uint32_t state; /* enum core_state */
	uint64_t cluster;
	uint16_t nid, master;
	uint32_t epoch;
	uint32_t promised; /* highest epoch a PREPARE was accepted for */
	uint16_t promised_to;
	uint64_t frozen_at;
	bool frozen;  /* between PREPARED and VIEW */
	bool leaving; /* EV_LEAVE came */
	uint64_t
		forgot; /* restarted, and taken into no view since: until when others may do that; 0: no */
	bool resuming; /* old pages wait for their old cluster */
	struct core_kept
		*kept; /* what the former agent kept, until it is known whether it counts */
	size_t nkept;
	uint32_t table_version;
	uint16_t next_nid, next_region;
	struct member **members; /* sorted by nid; this node among them */
	size_t nmembers;
	struct member *self;
	uint8_t index_used[CORE_NODES_MAX];
	struct link *links;
	size_t nlinks, links_cap;
	link_id next_link;
	link_id master_link; /* joining: link to the master */
	uint64_t seek_deadline, seek_next, seek_started;
	uint64_t beat_next; /* the one TIMER_BEAT that counts */
	uint32_t seek_sent;
	uint64_t join_since;
	uint64_t announce_next;
	uint64_t split_logged; /* cluster id of the other one */

	/* master: letting nodes in, one at a time */
	struct joiner *joiners;
	uint16_t admitting; /* nid, 0: nobody */
	uint64_t admit_since;
	uint32_t admit_version; /* the table that tells of the newcomer; 0: not sent yet */

	/* view change, at the proposer */
	bool proposing;
	uint32_t proposal;
	uint64_t proposed_at;
	bool again;	   /* something happened meanwhile: propose once more */
	bool someone_died; /* in this view change */
	bool new_master;   /* in this view change */
	bool taking_over;  /* by word of the leaving master */

	/* rebuild after a view change */
	bool rebuilding;
	bool report_due;	   /* holdings are told when no revocation is under way any more */
	bool drained;		   /* nothing left at leavers: REBUILT sent */
	size_t draining;	   /* requests under way for that */
	struct rec_holding *later; /* reported: stashes, and copies of no known version */
	size_t nlater, later_cap;
	struct deferred *held, **held_tail;   /* messages that wait for the rebuild */
	struct deferred *early, **early_tail; /* messages of a newer epoch */

	/* pages */
	struct map leaves, requests, txns, revokes;
	unsigned int parted; /* members that went without leaving, ever */
	struct map given;    /* of a page with P_STASH: to whom its bytes were given (node id) */
	size_t nrevoking;    /* pages with P_REVOKING */
	struct leaf *last_leaf;
	size_t nleaves;
	page_key stream_next[4]; /* sequential read misses */
	uint32_t stream_window[4];
	uint32_t stream_turn;

	/* memory */
	struct extent_table extents;
	struct rec_region *regions;
	size_t nregions;
	struct map asked;
	uint64_t next_ticket;
	struct freeing *freeing;
	struct dropping *dropping;
	size_t ndropping;
	uint32_t frees; /* EXTENT_FREE messages carried out here */
	struct deferred *pool_wait,
		**pool_wait_tail; /* master: requests for memory that is being freed */
	bool exhausted_logged;	  /* first touches fail */
	bool refused_logged;	  /* allocations that a program asked for fail */

	/* locks, barriers, waits */
	struct map locks, rwlocks, rw_clients, barriers, barrier_clients, barrier_gens;
	uint32_t slots_used;
	uint64_t lock_waits, lock_refused; /* waits ever; those that would not have ended */
	bool deadlock_armed;		   /* a TIMER_DEADLOCK is out */
	struct page_waiter *page_waiters;

	/* topics */
	struct map topics;	 /* hash of the name -> chain */
	struct map topics_by_id; /* this node's numbers */
	struct map topic_subs;	 /* nid and number there -> struct topic_sub */
	struct topic_sub *topic_waits, **topic_waits_tail;

	struct core_creq *ready_waiters;
	size_t nready_waiters;

	/* this step */
	struct timer *timers;
	size_t ntimers, timers_cap;
	uint64_t timer_order;
	struct core_action *actions;
	size_t nactions, actions_cap;
	struct block *arena;
	struct deferred *to_self, **to_self_tail;
	bool started;

	struct core_stats stats;
};

#include "agent/core/parts.h" /* IWYU pragma: export */

#endif
