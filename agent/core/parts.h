/* SPDX-License-Identifier: MIT */
/* What each part of the core does for the others, by file. Included by state.h, which has the types. */
#ifndef DSM_CORE_PARTS_H
#define DSM_CORE_PARTS_H

#include "agent/core/state.h"

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
void act_identity(struct core *c);
struct core_msg msg_new(const struct core *c, uint16_t type);
/* To a member (or this node itself); without a link it is dropped: a view change follows then. */
void msg_send(struct core *c, uint16_t nid, const struct core_msg *m, const void *recs);
void msg_send_link(struct core *c, link_id link, const struct core_msg *m, const void *recs);
/* Page messages: merges into runs with what was just sent. */
void msg_send_page(struct core *c, uint16_t nid, const struct core_msg *m, uint8_t src);
void msg_send_recs(struct core *c, uint16_t nid, struct core_msg *m, const void *recs, size_t n);

/* dispatch.c: messages in */
void dispatch_link(struct core *c, const struct core_event *ev);
void dispatch_to_self(struct core *c); /* what this node has said to itself, or kept */

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
/* Has the message's epoch been left already on this link? Then somebody plays an old one back: it is to be dropped. */
bool link_is_replay(struct core *c, struct link *l, const struct core_msg *m);
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
bool admit_open(const struct core *c, bool resumes);
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
bool member_is_dialled(const struct core *c, const struct member *m);
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
typedef void (*page_fn)(struct core *c, page_key key, struct page *p, void *ctx);
/* All pages that this node knows, and perhaps their neighbours, by their keys. */
void page_each(struct core *c, page_fn fn, void *ctx);
/* Of these those from @first on, before @end. It costs as many as there are of either. */
void page_each_in(struct core *c, page_key first, page_key end, page_fn fn, void *ctx);
void page_forget_all(struct core *c);
void page_stash_drop(struct core *c, page_key key, struct page *p);
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
void home_on_shared(struct core *c, page_key key);
void home_on_query(struct core *c, const struct core_msg *m);
void home_reset(struct core *c);
void home_forget(struct core *c, page_key key);
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

/* kept.c: what the next life of this agent will want to know */
void kept_extent(struct core *c, const struct rec_extent *e);
void kept_gone(struct core *c, page_key key, uint64_t count);
void kept_not_alone(struct core *c); /* said before anybody else can be given a page */
void kept_anew(struct core *c);	     /* and before the identity of a new view is */
void kept_apply(struct core *c, bool founding);
void kept_forget(struct core *c);

/* pool.c: the master gives memory out; asked.c: everybody asks for it */
void pool_on_request(struct core *c, const struct core_msg *m);
void pool_on_freed(struct core *c, const struct core_msg *m);
void pool_on_free(struct core *c, const struct core_msg *m);
void deferred_add(struct deferred ***tail, link_id link, const struct core_msg *m,
		  const void *recs);
void deferred_free(struct deferred *d);
void deferred_forget(struct core *c); /* messages of a cluster that this node is not in any more */
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
void lock_refuse(struct core *c, struct lock *l, struct lock_waiter *gone, int err);

/* deadlock.c: locks that are waited for in a circle */
void deadlock_wait(struct core *c, struct lock_waiter *w); /* begins */
void deadlock_on_msg(struct core *c, const struct core_msg *m);
void deadlock_on_timer(struct core *c);

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
void barrier_report(struct core *c);
void barrier_rebuilt(struct core *c);
void barrier_members_changed(struct core *c);
void barrier_lose_all(struct core *c);

void wait_client(struct core *c, const struct core_creq *req);
void wait_wake_page(struct core *c, page_key key);
void wait_on_timer(struct core *c, page_key key);
void wait_client_gone(struct core *c, uint32_t client);

/* topic.c: who subscribes and publishes; push.c: values on their way */
void topic_interest(struct core *c, const struct core_topic *now);
void topic_on_msg(struct core *c, const struct core_msg *m, const void *recs);
void topic_new_view(struct core *c);
void topic_became_member(struct core *c);
void topic_lose_all(struct core *c); /* out of the cluster: nobody is there any more */
void topic_free_all(struct core *c);
void topic_drained(struct core *c, struct topic *t); /* some subscriber has what it was to get */
bool topic_active(const struct core *c);
bool topic_wants(const struct topic *t);
struct topic *topic_by_id(const struct core *c, uint64_t id);
struct topic_sub *topic_sub_find(const struct core *c, uint16_t nid, uint64_t id);

void push_changed(struct core *c, uint64_t id);
void push_to(struct core *c, struct topic_sub *s);
void push_again(struct core *c, struct topic *t); /* its value is the newest, whatever others say */
void push_next(struct core *c, uint16_t nid);
void push_forget(struct core *c, struct topic_sub *s);
void push_on_value(struct core *c, const struct core_msg *m);
void push_on_ack(struct core *c, const struct core_msg *m);

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
