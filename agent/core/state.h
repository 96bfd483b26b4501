/* SPDX-License-Identifier: MIT */
/*
 * What the core remembers, for the files of agent/core/ only. One file is one
 * part of the protocol; each part's entry points stand at the end, by file.
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
	bool report_due; /* holdings are told when no revocation is under way any more */
	bool drained;	 /* nothing left at leavers: REBUILT sent */
	size_t draining; /* requests under way for that */
	struct rec_holding *stashes; /* reported ones */
	size_t nstashes, stashes_cap;
	struct deferred *held, **held_tail;   /* messages that wait for the rebuild */
	struct deferred *early, **early_tail; /* messages of a newer epoch */

	/* pages */
	struct map leaves, requests, txns, revokes;
	size_t nrevoking; /* pages with P_REVOKING */
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
	bool exhausted_logged;

	/* locks, barriers, waits */
	struct map locks, rwlocks, rw_clients, barriers, barrier_clients, barrier_gens;
	uint32_t slots_used;
	struct page_waiter *page_waiters;
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

/* act.c: actions */
struct core_action *act_add(struct core *c, uint32_t type);
void *act_copy(struct core *c, const void *bytes, size_t n); /* until the next step */
void act_reset(struct core *c);
void act_free(struct core *c);
void act_log(struct core *c, int level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void act_reply(struct core *c, const struct core_creq *req, int err);
struct core_action *act_answer(struct core *c, uint32_t client, uint32_t op, uint64_t ticket,
			       int err);
void act_page(struct core *c, uint32_t type, page_key key, bool write, uint8_t src,
	      uint32_t first_page, uint8_t how, int err);
struct core_msg msg_new(const struct core *c, uint16_t type);
/* To a member (or this node itself); without a link it is dropped: a view change follows then. */
void msg_send(struct core *c, uint16_t nid, const struct core_msg *m, const void *recs);
void msg_send_link(struct core *c, link_id link, const struct core_msg *m, const void *recs);
/* Page messages: merges into runs with what was just sent. */
void msg_send_page(struct core *c, uint16_t nid, const struct core_msg *m, uint8_t src);
void msg_send_recs(struct core *c, uint16_t nid, struct core_msg *m, const void *recs, size_t n);

/* timer.c */
void timer_arm(struct core *c, uint64_t due, uint32_t kind, uint64_t arg);
bool timer_pop(struct core *c, struct timer *ret);

/* link.c: links, members */
struct link *link_get(struct core *c, link_id id);
struct link *link_add(struct core *c, link_id id, uint8_t kind, const struct core_addr *addr);
link_id link_dial(struct core *c, uint8_t kind, const struct core_addr *addr);
void link_close(struct core *c, link_id id);
link_id link_of(const struct core *c, uint16_t nid);
void link_on_up(struct core *c, const struct core_event *ev);
void link_on_down(struct core *c, link_id id);
void link_on_hello(struct core *c, struct link *l, const struct core_msg *m);
void link_drop_all(struct core *c);
bool addr_is_zero(const struct core_addr *a);
struct member *member_find(const struct core *c, uint16_t nid);
struct member *member_by_index(const struct core *c, unsigned int index);
struct member *member_add(struct core *c, const struct rec_member *rec);
void member_del(struct core *c, uint16_t nid);
void member_attach(struct core *c, struct member *m);
void member_clear(struct core *c);

/* seek.c: finding the others, founding, joining as a newcomer */
void seek_start(struct core *c);
void seek_on_timer(struct core *c);
void seek_on_datagram(struct core *c, const struct core_event *ev, struct link *l);
void seek_on_link(struct core *c, struct link *l);
void seek_on_link_down(struct core *c, link_id id);
void seek_on_refused(struct core *c, const struct core_msg *m, const void *recs, struct link *l);
void seek_on_table(struct core *c, struct link *l, const struct core_msg *m,
		   const struct rec_member *recs);
void seek_check_links(struct core *c);
void seek_announce(struct core *c);
void seek_on_dissolve(struct core *c, const struct core_addr *addr);
void seek_became_member(struct core *c);

/* admit.c: the master lets nodes in */
void admit_on_join(struct core *c, struct link *l, const struct core_msg *m);
void admit_on_ready(struct core *c, struct link *l);
void admit_on_ack(struct core *c, const struct core_msg *m);
void admit_next(struct core *c);
void admit_link_lost(struct core *c, link_id link);
void admit_tick(struct core *c);
void admit_send_table(struct core *c, uint16_t nid);

/* view.c: view changes, proposed and prepared */
bool view_is_member(const struct core *c);
bool view_takes_part(const struct core *c, const struct member *m);
void view_check_prepared(struct core *c);
void view_send_prepare(struct core *c);
void view_send_state(struct core *c, uint16_t nid, bool regions);
void view_propose(struct core *c, const char *why);
void view_on_prepare(struct core *c, struct link *l, const struct core_msg *m);
void view_on_prepared(struct core *c, const struct core_msg *m);
void view_on_state(struct core *c, const struct core_msg *m, const void *recs);
bool view_must_wait(const struct core *c);
uint16_t view_candidate(const struct core *c);

/* install.c: a view put in force */
void view_commit(struct core *c);
void view_on_view(struct core *c, const struct core_msg *m, const struct rec_member *recs);

/* notice.c: who is missed */
void view_tick(struct core *c);
void view_beat(struct core *c);
void view_on_link_lost(struct core *c, const struct core_msg *m);

/* leave.c: going by wish, or being put out */
void view_leave(struct core *c);
void view_out(struct core *c);
void view_on_leave(struct core *c, uint16_t nid);
void view_on_takeover(struct core *c, const struct core_msg *m);
void view_on_rebuilt(struct core *c, uint16_t nid);
void view_on_leave_ok(struct core *c);
void view_reset(struct core *c,
		const char *why); /* why NULL: nothing is lost, what clients asked stands */

/* rebuild.c: directories from what the members hold */
void rebuild_start(struct core *c);
void rebuild_report(struct core *c);
void rebuild_on_holdings(struct core *c, const struct core_msg *m, const struct rec_holding *recs);
void rebuild_on_end(struct core *c, uint16_t nid);
void rebuild_drained(struct core *c);

/* page.c: pages at this node */
struct page *page_find(struct core *c, page_key key);
struct page *page_get(struct core *c, page_key key);
void page_each(struct core *c, void (*fn)(struct core *c, page_key key, struct page *p, void *ctx),
	       void *ctx);
void page_forget_all(struct core *c);
void page_drop(struct core *c, page_key key, struct page *p);

/* request.c: the requester's side */
void request_fault(struct core *c, page_key key, uint32_t count, bool write, bool prefetch);
struct request *request_new(struct core *c, page_key key, bool write, bool prefetch);
void request_send(struct core *c, struct request *r);
void request_send_all(struct core *c);
void request_extent_known(struct core *c, page_key key, uint32_t count, int err);
void request_on_grant(struct core *c, const struct core_msg *m);
void request_on_data(struct core *c, const struct core_msg *m);
void request_on_ack(struct core *c, const struct core_msg *m);
void request_on_error(struct core *c, const struct core_msg *m);
void request_fail(struct core *c, struct request *r, int err);
void request_restart_range(struct core *c, page_key first, page_key end);
void request_fail_all(struct core *c, int err);

/* revoke.c: the holder's side */
void revoke_on_msg(struct core *c, const struct core_msg *m);
void revoke_on_timer(struct core *c, page_key key);
void revoke_done(struct core *c, page_key key, uint32_t count);
void revoke_on_ownership(struct core *c, const struct core_msg *m);
void revoke_on_restore(struct core *c, const struct core_msg *m);
void revoke_on_forget(struct core *c, const struct core_msg *m);
void revoke_new_view(struct core *c);

/* home.c: the directory */
void home_on_request(struct core *c, const struct core_msg *m);
void home_on_done(struct core *c, const struct core_msg *m);
void home_on_copy(struct core *c, page_key key);
void home_on_dropped(struct core *c, page_key key);
void home_on_query(struct core *c, const struct core_msg *m);
void home_reset(struct core *c);
void home_forget(struct core *c, page_key key);
bool home_is_idle(struct core *c, page_key key);
static inline void sharer_set(struct page *p, unsigned int i)
{
	p->sharers[i / 64] |= 1ull << (i % 64);
}
static inline void sharer_clear(struct page *p, unsigned int i)
{
	p->sharers[i / 64] &= ~(1ull << (i % 64));
}
static inline bool sharer_has(const struct page *p, unsigned int i)
{
	return p->sharers[i / 64] >> (i % 64) & 1;
}
unsigned int sharer_count(const struct page *p);
int sharer_next(const struct page *p, unsigned int from); /* -1: none */

/* extent.c: which pages exist, and where they are at home */
const struct rec_extent *extent_find(const struct core *c, page_key key);
void extent_put(struct core *c, const struct rec_extent *e);
void extent_fill(struct core *c, const struct rec_extent *e);
void extent_remove(struct core *c, page_key key, uint64_t count);
void extent_clear(struct core *c);
uint64_t extent_gap(const struct core *c,
		    page_key key); /* first allocated page at or after key, UINT64_MAX: none */

/* pool.c: the master gives memory out; asked.c: everybody asks for it */
void pool_on_request(struct core *c, const struct core_msg *m);
void pool_on_freed(struct core *c, const struct core_msg *m);
void pool_on_free(struct core *c, const struct core_msg *m);
void deferred_add(struct deferred ***tail, link_id link, const struct core_msg *m,
		  const void *recs);
void deferred_free(struct deferred *d);
void pool_dropped(struct core *c);
void pool_count(struct core *c);
void pool_tell_successor(struct core *c, const struct member *newcomer);
void pool_rehome(struct core *c);
void pool_moved(struct core *c);
void pool_member_gone(struct core *c, uint16_t nid);
void pool_restart_freeing(struct core *c);
bool pool_has_data(const struct core *c);

void asked_send(struct core *c, struct core_msg *m, const struct core_creq *req);
void asked_send_all(struct core *c);
void asked_on_extents(struct core *c, const struct core_msg *m, const struct rec_extent *recs);
void asked_on_region(struct core *c, const struct core_msg *m, const struct rec_region *recs);
void asked_on_page_info(struct core *c, const struct core_msg *m);
void asked_client_gone(struct core *c, uint32_t client);
void asked_freed(struct core *c, uint64_t first, uint64_t end);
void asked_fail_all(struct core *c, int err);

/* region.c */
const struct rec_region *region_find(const struct core *c, uint16_t region);
const struct rec_region *region_by_name(const struct core *c, const char *name);
void region_learn(struct core *c, const struct rec_region *r);
void region_forget(struct core *c, uint16_t region);
void region_on_request(struct core *c, const struct core_msg *m);
void region_on_update(struct core *c, const struct core_msg *m, const struct rec_region *recs);
void region_send_all(struct core *c, uint16_t nid, uint16_t type);
void region_deleted(struct core *c, uint16_t region, uint64_t ticket, uint16_t nid);

/* lock.c, rwlock.c, barrier.c, wait.c, client.c */
void lock_client(struct core *c, const struct core_creq *req);
void lock_unlock(struct core *c, const struct core_creq *req);
void lock_on_msg(struct core *c, const struct core_msg *m);
void lock_on_timer(struct core *c, uint32_t id);
void lock_client_gone(struct core *c, uint32_t client);
void lock_report(struct core *c);
void lock_new_view(struct core *c);
void lock_learn(struct core *c, uint16_t nid, const struct rec_lock *r);
void lock_rebuilt(struct core *c);
void lock_lose_all(struct core *c);

void rwlock_client(struct core *c, const struct core_creq *req);
void rwlock_unlock(struct core *c, const struct core_creq *req);
void rwlock_on_msg(struct core *c, const struct core_msg *m);
void rwlock_on_timer(struct core *c, uint64_t ticket);
void rwlock_client_gone(struct core *c, uint32_t client);
size_t rwlock_report(struct core *c, struct rec_lock *recs, size_t max, size_t skip);
void rwlock_new_view(struct core *c);
void rwlock_learn(struct core *c, uint16_t nid, const struct rec_lock *r);
void rwlock_rebuilt(struct core *c);
void rwlock_lose_all(struct core *c);

void barrier_client(struct core *c, const struct core_creq *req);
void barrier_on_msg(struct core *c, const struct core_msg *m);
void barrier_on_timer(struct core *c, uint64_t ticket);
void barrier_client_gone(struct core *c, uint32_t client);
void barrier_new_view(struct core *c, bool new_master);
void barrier_report(struct core *c, bool new_master);
void barrier_rebuilt(struct core *c);
void barrier_members_changed(struct core *c);
void barrier_lose_all(struct core *c);

void wait_client(struct core *c, const struct core_creq *req);
void wait_wake_page(struct core *c, page_key key);
void wait_on_timer(struct core *c, page_key key);
void wait_client_gone(struct core *c, uint32_t client);

void client_request(struct core *c, const struct core_creq *req);
void client_gone(struct core *c, uint32_t client);
void client_ready(struct core *c);
void client_ready_timer(struct core *c);

static inline bool core_ready(const struct core *c)
{
	return c->state == CORE_MEMBER && !c->frozen;
}
static inline bool is_master(const struct core *c)
{
	return c->nid && c->nid == c->master;
}

#endif
