// SPDX-License-Identifier: MIT
/* The core's actions, one function each. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/log.h"

static uint16_t region_of(uint64_t key)
{
	return PAGE_KEY_REGION(key);
}

static uint64_t page_of(uint64_t key)
{
	return PAGE_KEY_PAGE(key);
}

static void complain(const char *what, uint64_t key, uint32_t count, int err)
{
	log_error("pages of region %u at 0x%llx (%u): %s: %s", region_of(key),
		  (unsigned long long)page_of(key) * PAGER_PAGE_SIZE, count, what, strerror(-err));
}

/* --- pages out --- */

static int gather_stash(struct agent *a, const struct core_msg *m, char *to)
{
	for (uint32_t i = 0; i < m->count; i++) {
		const void *page = stash_get(a->stash, m->key + i);

		if (!page)
			return -ENOENT;
		memcpy(to + (size_t)i * PAGER_PAGE_SIZE, page, PAGER_PAGE_SIZE);
	}
	return 0;
}

static int gather(struct agent *a, const struct core_action *act, char *to)
{
	const struct core_msg *m = &act->msg;
	size_t size = (size_t)m->count * PAGER_PAGE_SIZE;

	switch (act->src) {
	case DATA_PAGE:
		return a->ops->read(a->pager, region_of(m->key), page_of(m->key), m->count, to);
	case DATA_STASH:
		return gather_stash(a, m, to);
	case DATA_MSG:
		if (!a->msg_pages)
			return -ENODATA;
		memcpy(to, a->msg_pages + (size_t)act->first_page * PAGER_PAGE_SIZE, size);
		return 0;
	case DATA_ZERO:
		memset(to, 0, size);
		return 0;
	default:
		return -EINVAL;
	}
}

/* The value is read now, so it is the newest, however long its turn was waited for. */
static void act_send_value(struct agent *a, const struct core_action *act)
{
	static char room[CORE_TOPIC_BYTES + 8];
	struct core_msg m = act->msg;
	int n = server_topic_get(a->server, act->key, room, &m.b);
	char *to;

	if (n < 0) {
		m.flags |= F_ZERO;
		m.b = 0;
		n = 0;
	}
	m.arg = (uint32_t)n;
	memset(room + n, 0, 8);
	to = net_send(a->net, act->link, &m, NULL);
	if (to)
		memcpy(to, room, ((size_t)n + 7) & ~(size_t)7);
}

/*
 * Pages as they are, with all that waits before them: straight to the socket.
 * False: what is left of them has to be gathered.
 */
static bool send_at_once(struct agent *a, const struct core_action *act)
{
	const struct core_msg *m = &act->msg;
	struct net_room room;
	ssize_t sent;

	if (!a->ops->send || act->src != DATA_PAGE || !net_room_get(a->net, act->link, &room))
		return false;
	sent = a->ops->send(a->pager, region_of(m->key), page_of(m->key), m->count, room.fd,
			    room.head, room.len);
	if (sent <= 0)
		return false;
	net_room_sent(a->net, act->link, (size_t)sent);
	return (size_t)sent == room.len + (size_t)m->count * PAGER_PAGE_SIZE;
}

static void act_send(struct agent *a, const struct core_action *act)
{
	char *to = net_send(a->net, act->link, &act->msg, act->recs);
	int err;

	if (!to || act->msg.type != MSG_PAGE_DATA || send_at_once(a, act))
		return;
	err = gather(a, act, to);
	if (!err)
		return;
	net_unsend(a->net, act->link);
	complain("cannot be sent", act->msg.key, act->msg.count, err);
}

static void act_datagram(struct agent *a, const struct core_action *act)
{
	static const struct core_addr nobody;

	if (!a->discover)
		return;
	if (!memcmp(act->addr.ip, nobody.ip, sizeof(nobody.ip)))
		discover_broadcast(a->discover, &act->msg, act->recs);
	else
		discover_send(a->discover, &act->addr, &act->msg, act->recs);
}

/* --- pages in --- */

static int install_stash(struct agent *a, const struct core_action *act, enum pager_prot prot)
{
	int err = 0;

	for (uint32_t i = 0; i < act->count && !err; i++) {
		const void *page = stash_get(a->stash, act->key + i);

		err = page ? a->ops->install(a->pager, region_of(act->key), page_of(act->key + i),
					     1, page, prot)
			   : -ENOENT;
		if (!err)
			stash_drop(a->stash, act->key + i);
	}
	return err;
}

static int install(struct agent *a, const struct core_action *act, enum pager_prot prot)
{
	const char *data = NULL;

	if (act->src == DATA_STASH)
		return install_stash(a, act, prot);
	if (act->src == DATA_MSG && !a->msg_pages)
		return -ENODATA;
	if (act->src == DATA_MSG)
		data = a->msg_pages + (size_t)act->first_page * PAGER_PAGE_SIZE;
	else if (act->src != DATA_ZERO)
		return -EINVAL;
	return a->ops->install(a->pager, region_of(act->key), page_of(act->key), act->count, data,
			       prot);
}

static void act_install(struct agent *a, const struct core_action *act)
{
	int err = install(a, act, act->write ? PAGER_WRITE : PAGER_READ);

	if (!err) {
		latency_end(&a->latency, act->key, act->count, act->write, agent_now_ns());
		return;
	}
	/* Who waits learns it at once, instead of waiting for ever. */
	complain("cannot be installed", act->key, act->count, err);
	a->ops->fail(a->pager, region_of(act->key), page_of(act->key), act->count, -err);
}

static void act_upgrade(struct agent *a, const struct core_action *act)
{
	int err = a->ops->upgrade(a->pager, region_of(act->key), page_of(act->key), act->count);

	if (err)
		complain("cannot be made writable", act->key, act->count, err);
	else
		latency_end(&a->latency, act->key, act->count, true, agent_now_ns());
}

static void act_fail(struct agent *a, const struct core_action *act)
{
	int err = a->ops->fail(a->pager, region_of(act->key), page_of(act->key), act->count,
			       act->err);

	if (err)
		complain("cannot be failed", act->key, act->count, err);
	latency_cancel(&a->latency, act->key, act->count);
}

/* --- pages away --- */

static int take_one(struct agent *a, uint64_t key)
{
	bool had = stash_get(a->stash, key);
	void *page = stash_put(a->stash, key);
	int err;

	if (!page)
		return -ENOMEM;
	err = a->ops->take(a->pager, region_of(key), page_of(key), page);
	if (err && !had)
		stash_drop(a->stash, key);
	return err;
}

/* Revokes what is left of @r. -EBUSY: a page of it is pinned, try later. */
static int revoke_run(struct agent *a, struct revoke_retry *r)
{
	uint16_t region = region_of(r->key);
	uint64_t page = page_of(r->key);
	int err = 0;

	switch (r->how) {
	case REVOKE_DOWNGRADE:
		return a->ops->downgrade(a->pager, region, page, r->count);
	case REVOKE_DROP:
		return a->ops->drop(a->pager, region, page, r->count);
	case REVOKE_TAKE:
		while (r->done < r->count && !err) {
			err = take_one(a, r->key + r->done);
			if (!err)
				r->done++;
		}
		return err;
	default:
		return -EINVAL;
	}
}

static void revoke_done(struct agent *a, const struct revoke_retry *r)
{
	struct core_event ev = {
		.type = EV_REVOKED,
		.key = r->key,
		.count = r->count,
		.now_us = agent_now_us(),
	};

	agent_event(a, &ev);
}

static void act_revoke(struct agent *a, const struct core_action *act)
{
	struct revoke_retry r = { .key = act->key, .count = act->count, .how = act->how }, *later;
	int err = revoke_run(a, &r);

#ifdef DSM_MUTANT_PINNED_GIVEN_UP
	err = err == -EBUSY ? 0 : err;
#endif
	if (err == -EBUSY) {
		later = malloc(sizeof(*later));
		if (later) {
			*later = r;
			later->next = a->retries;
			a->retries = later;
			agent_retry_later(a);
			return;
		}
		err = -ENOMEM;
	}
	if (err)
		complain("cannot be revoked", act->key, act->count, err);
	revoke_done(a, &r);
}

void agent_retry_revokes(struct agent *a)
{
	struct revoke_retry *all = a->retries, *r;
	int err;

	a->retries = NULL;
	while ((r = all)) {
		all = r->next;
		err = revoke_run(a, r);
		if (err == -EBUSY) {
			r->next = a->retries;
			a->retries = r;
			continue;
		}
		if (err)
			complain("cannot be revoked", r->key, r->count, err);
		revoke_done(a, r);
		free(r);
	}
	if (!a->retries)
		uv_timer_stop(&a->retry_timer);
}

static void act_stash_drop(struct agent *a, const struct core_action *act)
{
	for (uint32_t i = 0; i < act->count; i++)
		stash_drop(a->stash, act->key + i);
}

/* --- the rest --- */

static void act_region(struct agent *a, const struct core_action *act, bool add)
{
	const struct rec_region *r = &act->region;
	int err = add ? a->ops->region_add(a->pager, r->region, r->name, r->size)
		      : a->ops->region_del(a->pager, r->region);

	/* The default region, and those the module kept, are there already. */
	if (err && err != -EEXIST)
		log_error("region %s cannot be %s: %s", r->name, add ? "added" : "deleted",
			  strerror(-err));
}

static void act_identity(struct agent *a, const struct core_action *act)
{
	struct pager_identity id = {
		.cluster = act->cluster,
		.uid = a->uid,
		.epoch = act->epoch,
		.nid = act->nid,
	};
	int err = a->ops->identity_set ? a->ops->identity_set(a->pager, &id) : 0;

	if (err)
		log_warn("the module does not keep this node's identity: %s", strerror(-err));
}

static void act_keep(struct agent *a, const struct core_kept *rec)
{
	struct core_info info;
	int err = rec ? kept_file_add(a->kept, rec) : -ENOSPC;

	if (err == -ENOSPC) {
		core_info_get(a->core, &info);
		err = kept_file_anew(a->kept, info.cluster, a->core);
		if (err)
			log_warn("what memory is allocated is not kept for a next agent: %s",
				 strerror(-err));
	}
}

static void act_net(struct agent *a, const struct core_action *act)
{
	switch (act->type) {
	case ACT_SEND:
		if (act->msg.type == MSG_TOPIC_VALUE)
			act_send_value(a, act);
		else
			act_send(a, act);
		break;
	case ACT_CONNECT:
		net_connect(a->net, act->link, &act->addr);
		break;
	case ACT_CLOSE:
		net_close(a->net, act->link);
		break;
	case ACT_DATAGRAM:
		act_datagram(a, act);
		break;
	}
}

static void act_page(struct agent *a, const struct core_action *act)
{
	switch (act->type) {
	case ACT_INSTALL:
		act_install(a, act);
		break;
	case ACT_UPGRADE:
		act_upgrade(a, act);
		break;
	case ACT_REVOKE:
		act_revoke(a, act);
		break;
	case ACT_FAIL:
		act_fail(a, act);
		break;
	case ACT_STASH_DROP:
		act_stash_drop(a, act);
		break;
	}
}

void agent_act(struct agent *a, const struct core_action *act)
{
	switch (act->type) {
	case ACT_SEND ... ACT_DATAGRAM:
		act_net(a, act);
		break;
	case ACT_INSTALL ... ACT_STASH_DROP:
		act_page(a, act);
		break;
	case ACT_REPLY:
		server_reply(a->server, &act->reply);
		break;
	case ACT_REGION_ADD:
	case ACT_REGION_DEL:
		act_region(a, act, act->type == ACT_REGION_ADD);
		break;
	case ACT_STATE:
		agent_state_changed(a, act->state);
		break;
	case ACT_IDENTITY:
		act_identity(a, act);
		break;
	case ACT_LOG:
		log_write(act->level, "%s", act->text);
		break;
	case ACT_TOPIC_PUT:
		if (a->msg)
			server_topic_put(a->server, act->key, a->msg_pages, a->msg->arg, a->msg->b);
		break;
	case ACT_TOPIC_STATE:
		server_topic_state(a->server, &act->topic_state);
		break;
	case ACT_TOPIC_DONE:
		server_topic_done(a->server, act->key);
		break;
	case ACT_KEEP:
	case ACT_KEEP_ALL:
		if (a->kept)
			act_keep(a, act->type == ACT_KEEP ? act->recs : NULL);
		break;
	}
}
