// SPDX-License-Identifier: MIT
#include "tests/unit/core_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rig rig;

struct item {
	unsigned int to;
	struct core_event ev;
	struct core_msg msg;
	void *recs;
	struct item *next;
};

struct wire {
	unsigned int node[2];
	link_id id[2];
	bool slow; /* what is said over it waits for rig_hurry() */
};

static struct item *head, **tail = &head;
static struct item *held, **held_tail = &held;
static struct item *slow, **slow_tail = &slow;
static struct wire wires[64];
static unsigned int nwires;
static link_id accepted;

static struct item *put(unsigned int to, uint32_t type)
{
	struct item *it = calloc(1, sizeof(*it));

	if (!it)
		abort();
	it->to = to;
	it->ev.type = type;
	*tail = it;
	tail = &it->next;
	return it;
}

static void put_msg(unsigned int to, uint32_t type, const struct core_action *a)
{
	struct item *it = put(to, type);
	size_t size = a->msg.nrecs * core_msg_rec_size(a->msg.type);

	it->msg = a->msg;
	it->ev.msg = &it->msg;
	if (!size)
		return;
	it->recs = malloc(size);
	if (!it->recs)
		abort();
	memcpy(it->recs, a->recs, size);
	it->ev.recs = it->recs;
}

static void address(unsigned int i, struct core_addr *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->ip[15] = (uint8_t)(i + 1);
	ret->port = (uint16_t)(9900 + i);
}

static void do_connect(unsigned int from, const struct core_action *a)
{
	unsigned int to = a->addr.ip[15] - 1u;
	struct wire *w;

	if (to >= RIG_NODES || !rig.nodes[to].core || rig.nodes[to].cut || rig.nodes[from].cut) {
		put(from, EV_LINK_DOWN)->ev.link = a->link;
		return;
	}
	if (nwires == 64)
		abort();
	w = &wires[nwires++];
	w->node[0] = from;
	w->node[1] = to;
	w->slow = rig.slow_from != rig.slow_to && from == rig.slow_from && to == rig.slow_to;
	if (w->slow) /* only the next one */
		rig.slow_from = rig.slow_to = 0;
	w->id[0] = a->link;
	w->id[1] = accepted += 2;
	for (int s = 0; s < 2; s++) {
		struct item *it = put(w->node[s], EV_LINK_UP);

		it->ev.link = w->id[s];
		address(w->node[!s], &it->ev.addr);
	}
}

static struct wire *wire_of(unsigned int node, link_id id, int *ret_side)
{
	for (unsigned int i = 0; i < nwires; i++)
		for (int s = 0; s < 2; s++)
			if (wires[i].node[s] == node && wires[i].id[s] == id) {
				*ret_side = s;
				return &wires[i];
			}
	return NULL;
}

static void do_send(unsigned int from, const struct core_action *a)
{
	int side;
	struct wire *w = wire_of(from, a->link, &side);

	if (!w || rig.nodes[from].cut || rig.nodes[w->node[!side]].cut)
		return;
	rig.sent[a->msg.type]++;
	if (rig.mute && a->msg.type == MSG_TOPIC_ACK)
		return;
	put_msg(w->node[!side], EV_MSG, a);
	for (struct item **at = &head; *at; at = &(*at)->next) {
		struct item *it = *at;

		if (it->next)
			continue;
		it->ev.link = w->id[!side];
		if (a->src == DATA_TOPIC)
			it->msg.b = rig.nodes[from].values[a->key];
		if (w->slow) {
			*at = NULL;
			tail = at;
			*slow_tail = it;
			slow_tail = &it->next;
			return;
		}
		if (rig.hold_from == rig.hold_to || from != rig.hold_from ||
		    w->node[!side] != rig.hold_to ||
		    (rig.hold_type && a->msg.type != rig.hold_type))
			return;
		rig.hold_type = 0; /* and all that follows it */
		*at = NULL;
		tail = at;
		*held_tail = it;
		held_tail = &it->next;
		return;
	}
}

static void do_page(struct rig_node *n, const struct core_action *a)
{
	for (uint64_t p = a->key; p < a->key + a->count && p < RIG_PAGES; p++) {
		if (a->type == ACT_INSTALL)
			n->prot[p] = a->write ? PAGE_MODIFIED : PAGE_SHARED;
		else if (a->type == ACT_UPGRADE)
			n->prot[p] = PAGE_MODIFIED;
		else if (a->type == ACT_FAIL)
			n->failed[p] = a->err;
		else if (a->type == ACT_STASH_DROP)
			n->stash[p] = false;
		else if (a->how == REVOKE_DOWNGRADE)
			n->prot[p] = PAGE_SHARED;
		else
			n->prot[p] = PAGE_INVALID;
		if (a->type == ACT_REVOKE && a->how == REVOKE_TAKE)
			n->stash[p] = true;
	}
}

static void keep(void *node, const struct core_kept *k)
{
	struct rig_node *n = node;

	if (n->nkept == RIG_KEPT)
		abort();
	n->kept[n->nkept++] = *k;
}

static void remember(struct rig_node *n, const struct core_action *a)
{
	switch (a->type) {
	case ACT_KEEP:
		if (n->nkept)
			keep(n, a->recs);
		break;
	case ACT_KEEP_ALL:
		n->nkept = 0;
		core_each_kept(n->core, keep, n);
		break;
	case ACT_REGION_ADD:
		n->regions++;
		break;
	case ACT_REGION_DEL:
		n->regions--;
		break;
	}
}

static void carry_out(unsigned int i, const struct core_action *a, const struct core_event *ev)
{
	struct rig_node *n = &rig.nodes[i];
	struct item *it;
	int side;

	switch (a->type) {
	case ACT_SEND:
		do_send(i, a);
		break;
	case ACT_CONNECT:
		do_connect(i, a);
		break;
	case ACT_CLOSE: {
		struct wire *w = wire_of(i, a->link, &side);

		if (w)
			put(w->node[!side], EV_LINK_DOWN)->ev.link = w->id[!side];
		break;
	}
	case ACT_DATAGRAM:
		rig.sent[a->msg.type]++;
		for (unsigned int to = 0; to < RIG_NODES; to++) {
			if (to == i || !rig.nodes[to].core || rig.nodes[to].cut || n->cut)
				continue;
			put_msg(to, EV_DATAGRAM, a);
			for (it = head; it->next; it = it->next)
				;
			address(i, &it->ev.addr);
		}
		break;
	case ACT_REVOKE:
		it = put(i, EV_REVOKED);
		it->ev.key = a->key;
		it->ev.count = a->count;
		do_page(n, a);
		break;
	case ACT_REPLY:
		n->reply = a->reply;
		n->replies++;
		break;
	case ACT_STATE:
		n->state = a->state;
		if (a->state == CORE_OUT) /* its process ends */
			n->cut = true;
		break;
	case ACT_LOG:
		n->logs++;
		snprintf(n->log, sizeof(n->log), "%s", a->text);
		break;
	case ACT_INSTALL:
	case ACT_UPGRADE:
	case ACT_FAIL:
	case ACT_STASH_DROP:
		do_page(n, a);
		break;
	case ACT_TOPIC_PUT:
		n->values[a->key] = ev->msg->b;
		n->puts++;
		break;
	case ACT_TOPIC_DONE:
		n->done = a->key;
		break;
	case ACT_TOPIC_STATE:
		n->topics[a->topic_state.id] = a->topic_state;
		break;
	default:
		remember(n, a);
	}
}

static void step(unsigned int i, struct core_event *ev)
{
	const struct core_action *a;
	size_t n;

	if (!rig.nodes[i].core)
		return;
	ev->now_us = rig.now;
	core_step(rig.nodes[i].core, ev);
	a = core_actions(rig.nodes[i].core, &n);
	for (size_t k = 0; k < n; k++)
		carry_out(i, &a[k], ev);
}

/* What is on its way longest arrives. */
static void deliver(void)
{
	struct item *it = head;

	head = it->next;
	if (!head)
		tail = &head;
	if (!rig.nodes[it->to].cut)
		step(it->to, &it->ev);
	free(it->recs);
	free(it);
}

static void drain(void)
{
	while (head)
		deliver();
}

void rig_pass(uint64_t us)
{
	uint64_t end = rig.now + us;

	drain();
	for (;;) {
		uint64_t next = UINT64_MAX;
		unsigned int who = 0;

		for (unsigned int i = 0; i < RIG_NODES; i++) {
			uint64_t due = rig.nodes[i].core && !rig.nodes[i].cut
					       ? core_deadline(rig.nodes[i].core)
					       : UINT64_MAX;

			if (due < next) {
				next = due;
				who = i;
			}
		}
		if (next > end)
			break;
		rig.now = next > rig.now ? next : rig.now;
		step(who, &(struct core_event){ .type = EV_TICK });
		drain();
	}
	rig.now = end;
}

static void start(unsigned int i)
{
	struct rig_node *n = &rig.nodes[i];

	n->core = core_new(&n->cfg, rig.now);
	for (uint64_t p = 0; p < RIG_PAGES; p++)
		if (n->prot[p] != PAGE_INVALID)
			core_resume_page(n->core, p, 1, n->prot[p]);
	if (n->cfg.resume_nid)
		core_resume_kept(n->core, n->kept, n->nkept);
	n->regions = 0;
	step(i, &(struct core_event){ .type = EV_TICK });
}

void rig_add_for(unsigned int i, uint64_t chunks, uint64_t us)
{
	struct rig_node *n = &rig.nodes[i];

	memset(n, 0, sizeof(*n));
	n->cfg = (struct core_config){ .uid = 100 + i,
				       .weight = 1 + i,
				       .cluster = "rig",
				       .port = (uint16_t)(9900 + i),
				       .chunks = chunks,
				       .dead_ms = 100,
				       .elect_ms = 20,
				       .touch_pages = 4,
				       .prefetch_pages = 1,
				       .region_size = RIG_PAGES * 4096,
				       .lock_words = n->words,
				       .lock_stride = sizeof(n->words[0]),
				       .nlock_words = RIG_WORDS };
	for (int p = 0; p < RIG_PAGES; p++)
		n->failed[p] = -1;
	start(i);
	rig_pass(us);
}

void rig_add(unsigned int i, uint64_t chunks)
{
	rig_add_for(i, chunks, 200000);
}

void rig_start(unsigned int n, uint64_t chunks)
{
	memset(&rig, 0, sizeof(rig));
	rig.now = 1000000;
	nwires = 0;
	accepted = 0;
	held = slow = NULL;
	held_tail = &held;
	slow_tail = &slow;
	for (unsigned int i = 0; i < n; i++)
		rig_add(i, chunks);
}

void rig_stop(void)
{
	for (unsigned int i = 0; i < RIG_NODES; i++) {
		core_free(rig.nodes[i].core);
		rig.nodes[i].core = NULL;
	}
	rig_release();
	rig_hurry();
	drain();
}

void rig_hold(unsigned int from, unsigned int to, uint16_t type)
{
	rig.hold_type = type;
	rig.hold_from = from;
	rig.hold_to = to;
}

void rig_release(void)
{
	rig.hold_from = rig.hold_to = 0;
	*tail = held;
	if (held)
		tail = held_tail;
	held = NULL;
	held_tail = &held;
}

void rig_slow(unsigned int from, unsigned int to)
{
	rig.slow_from = from;
	rig.slow_to = to;
}

void rig_hurry(void)
{
	for (unsigned int i = 0; i < nwires; i++)
		wires[i].slow = false;
	*tail = slow;
	if (slow)
		tail = slow_tail;
	slow = NULL;
	slow_tail = &slow;
}

void rig_fault(unsigned int i, uint64_t page, bool write)
{
	step(i, &(struct core_event){ .type = EV_FAULT, .key = page, .count = 1, .write = write });
	rig_pass(1000);
}

static struct core_reply ask(unsigned int i, struct core_creq *req)
{
	struct rig_node *n = &rig.nodes[i];
	unsigned int before = n->replies;

	req->ticket = 7;
	req->timeout_us = CORE_NO_TIMEOUT;
	step(i, &(struct core_event){ .type = EV_CLIENT, .req = req });
	rig_pass(1000);
	if (n->replies == before)
		return (struct core_reply){ .err = -1 };
	return n->reply;
}

struct core_reply rig_ask(unsigned int i, uint32_t client, uint32_t op, uint32_t id, uint64_t key,
			  uint64_t count)
{
	struct core_creq req = { .client = client, .op = op, .key = key, .count = count, .id = id };

	return ask(i, &req);
}

struct core_reply rig_ask_flags(unsigned int i, uint32_t client, uint32_t op, uint32_t id,
				uint32_t flags)
{
	struct core_creq req = { .client = client, .op = op, .id = id, .flags = flags };

	return ask(i, &req);
}

struct core_reply rig_ask_name(unsigned int i, uint32_t client, uint32_t op, const char *name,
			       uint64_t count)
{
	struct core_creq req = { .client = client, .op = op, .count = count };

	snprintf(req.name, sizeof(req.name), "%s", name);
	return ask(i, &req);
}

void rig_client_gone(unsigned int i, uint32_t client)
{
	step(i, &(struct core_event){ .type = EV_CLIENT_GONE, .client = client });
	rig_pass(1000);
}

void rig_topic(unsigned int i, uint64_t id, const char *name, bool subscribes, bool publishes)
{
	struct core_topic t = {
		.id = id, .subscribes = subscribes, .publishes = publishes, .pid = publishes
	};

	snprintf(t.name, sizeof(t.name), "%s", name);
	step(i, &(struct core_event){ .type = EV_TOPIC, .topic = &t });
	rig_pass(1000);
}

void rig_publish(unsigned int i, uint64_t id, uint64_t value)
{
	rig.nodes[i].values[id] = value;
	step(i, &(struct core_event){ .type = EV_TOPIC_CHANGED, .key = id });
	rig_pass(1000);
}

/* By the link that was made last between them: the one in use. */
void rig_say(unsigned int from, unsigned int to, const struct core_msg *m, const void *recs)
{
	struct core_action a = { .type = ACT_SEND, .msg = *m, .recs = recs };

	for (unsigned int w = 0; w < nwires; w++)
		for (int s = 0; s < 2; s++)
			if (wires[w].node[s] == from && wires[w].node[!s] == to)
				a.link = wires[w].id[s];
	do_send(from, &a);
	rig_pass(1000);
}

void rig_offer(unsigned int i, unsigned int whose)
{
	struct core_addr rec;
	struct core_action a = { .msg = { .type = MSG_OFFER,
					  .a = rig.nodes[i].kept_cluster,
					  .b = 999,
					  .arg = 2,
					  .nrecs = 1,
					  .name = "rig" },
				 .recs = &rec };

	memset(&rec, 0, sizeof(rec));
	rec.port = (uint16_t)(9900 + whose);
	put_msg(i, EV_DATAGRAM, &a);
	for (struct item *it = head; it; it = it->next)
		address(whose, &it->ev.addr);
	rig_pass(1000);
}

void rig_leave(unsigned int i)
{
	step(i, &(struct core_event){ .type = EV_LEAVE });
	rig_pass(50000);
}

void rig_leave_both(unsigned int first, unsigned int second, unsigned int events)
{
	step(first, &(struct core_event){ .type = EV_LEAVE });
	while (events-- && head)
		deliver();
	step(second, &(struct core_event){ .type = EV_LEAVE });
	rig_pass(50000);
}

static void hang_up(unsigned int i)
{
	for (unsigned int w = 0; w < nwires; w++)
		for (int s = 0; s < 2; s++)
			if (wires[w].node[s] == i) {
				put(wires[w].node[!s], EV_LINK_DOWN)->ev.link = wires[w].id[!s];
				wires[w].id[s] = 0; /* its next agent counts anew */
			}
}

void rig_cut(unsigned int i)
{
	rig.nodes[i].cut = true;
	hang_up(i);
}

void rig_kill(unsigned int i)
{
	rig_cut(i);
	rig_pass(500000);
}

void rig_agent_kill(unsigned int i)
{
	struct rig_node *n = &rig.nodes[i];
	struct core_info info;

	core_info_get(n->core, &info);
	if (info.state == CORE_MEMBER) {
		n->kept_cluster = info.cluster;
		n->kept_nid = info.nid;
		n->cfg.resume_epoch = info.epoch;
	}
	core_free(n->core);
	n->core = NULL;
	hang_up(i);
	rig_pass(1000);
}

void rig_agent_restart(unsigned int i, uint64_t us)
{
	struct rig_node *n = &rig.nodes[i];

	n->cfg.uid += 1000;
	n->cfg.weight += 1000000;
	n->cfg.resume_cluster = n->kept_cluster;
	n->cfg.resume_nid = n->kept_nid;
	start(i);
	rig_pass(us);
}
