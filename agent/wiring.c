// SPDX-License-Identifier: MIT
/* What links, datagrams, clients and the pager say, as events of the core. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/log.h"

/* --- links --- */

static void on_link_up(void *ctx, link_id link, const struct core_addr *peer)
{
	struct core_event ev = {
		.type = EV_LINK_UP, .link = link, .addr = *peer, .now_us = agent_now_us()
	};

	agent_event(ctx, &ev);
}

static void on_link_down(void *ctx, link_id link)
{
	struct core_event ev = { .type = EV_LINK_DOWN, .link = link, .now_us = agent_now_us() };

	agent_event(ctx, &ev);
}

static void on_message(void *ctx, link_id link, const struct core_msg *msg, const void *recs,
		       const void *pages)
{
	struct agent *a = ctx;
	struct core_event ev = {
		.type = EV_MSG,
		.link = link,
		.msg = msg,
		.recs = recs,
		.now_us = agent_now_us(),
	};

	a->msg_pages = pages;
	a->msg = msg;
	agent_event(a, &ev);
	a->msg_pages = NULL;
	a->msg = NULL;
}

static void on_datagram(void *ctx, const struct core_msg *msg, const void *recs,
			const struct core_addr *from)
{
	struct core_event ev = {
		.type = EV_DATAGRAM,
		.msg = msg,
		.recs = recs,
		.addr = *from,
		.now_us = agent_now_us(),
	};

	agent_event(ctx, &ev);
}

/* --- clients --- */

static void on_client(void *ctx, const struct core_event *ev)
{
	agent_event(ctx, ev);
}

static void on_leave(void *ctx)
{
	struct agent *a = ctx;

	if (!a->leaving)
		agent_leave(a);
}

static uint64_t on_now(void *ctx)
{
	(void)ctx;
	return agent_now_us();
}

static struct query_latency latency_of(const struct latency_histogram *h)
{
	return (struct query_latency){
		.n = h->n,
		.p50 = latency_quantile(h, 0.5) / 1000,
		.p99 = latency_quantile(h, 0.99) / 1000,
		.max = (double)h->max_ns / 1000,
	};
}

static void on_source(void *ctx, struct query_source *ret)
{
	const struct agent *a = ctx;
	struct discover_stats datagrams = { 0 };
	struct net_stats net;

	net_stats_get(a->net, &net);
	if (a->discover)
		discover_stats_get(a->discover, &datagrams);
	*ret = (struct query_source){
		.core = a->core,
		.now_us = agent_now_us(),
		.start_us = a->start_us,
		.version = DSM_VERSION,
		.cluster = a->cfg->cluster,
		.pager = a->ops->name,
		.rundir = a->cfg->run_dir,
		.pid = getpid(),
		.port = a->cfg->port,
		.discovery_port = a->discover ? a->cfg->discovery_port : 0,
		.log_level = log_level_get(),
		.bytes_in = net.bytes_in,
		.bytes_out = net.bytes_out,
		.messages_in = net.msgs_in,
		.messages_out = net.msgs_out,
		.bad_frames = net.bad_frames + datagrams.refused,
		.stash_pages = stash_pages(a->stash),
		.read = latency_of(&a->latency.read),
		.write = latency_of(&a->latency.write),
	};
}

/* --- pager --- */

static void on_fault(void *ctx, uint16_t region, uint64_t page, uint32_t count, bool write,
		     bool prefetch)
{
	struct agent *a = ctx;
	uint64_t now_ns = agent_now_ns();
	struct core_event ev = {
		.type = EV_FAULT,
		.key = PAGE_KEY(region, page),
		.count = count,
		.write = write,
		.prefetch = prefetch,
		.now_us = now_ns / 1000,
	};

	if (!prefetch)
		for (uint32_t i = 0; i < count; i++)
			latency_begin(&a->latency, ev.key + i, write, now_ns);
	agent_event(a, &ev);
}

struct watch {
	uv_poll_t poll; /* first: a handle is its watch */
	struct agent *agent;
	int fd;
	struct watch *next;
};

static void watch_closed(uv_handle_t *handle)
{
	free(handle);
}

static void on_unwatch(void *ctx, int fd)
{
	struct agent *a = ctx;
	struct watch **at = &a->watches, *w;

	while (*at && (*at)->fd != fd)
		at = &(*at)->next;
	w = *at;
	if (!w)
		return;
	*at = w->next;
	uv_close((uv_handle_t *)&w->poll, watch_closed);
}

static void watch_event(uv_poll_t *handle, int status, int events)
{
	struct watch *w = (struct watch *)handle;
	struct agent *a = w->agent;
	int fd = w->fd;

	(void)events;
	a->ops->ready(a->pager, fd);
	/* After an error the loop watches it no more; whether that was the end is the pager's to find out. */
	if (status < 0 && !uv_is_closing((uv_handle_t *)handle))
		uv_poll_start(handle, UV_READABLE, watch_event);
}

static int on_watch(void *ctx, int fd)
{
	struct agent *a = ctx;
	struct watch *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	err = uv_poll_init(a->loop, &w->poll, fd);
	if (err) {
		free(w);
		return err;
	}
	w->agent = a;
	w->fd = fd;
	w->next = a->watches;
	a->watches = w;
	return uv_poll_start(&w->poll, UV_READABLE, watch_event);
}

static void on_broken(void *ctx, int err)
{
	struct agent *a = ctx;

	log_error("the %s pager cannot go on: %s", a->ops->name, strerror(err < 0 ? -err : err));
	a->exit_status = 1;
	a->left = true;
	uv_stop(a->loop);
}

void agent_wire(struct agent *a)
{
	a->net_host = (struct net_host){ a, on_link_up, on_link_down, on_message };
	a->discover_host = (struct discover_host){ a, on_datagram };
	a->server_host = (struct server_host){ a, on_client, on_leave, on_source, on_now };
	a->pager_host = (struct pager_host){ a, on_fault, on_watch, on_unwatch, on_broken };
}
