// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/log.h"
#include "agent/net/link_priv.h"

#define SWEEP_MS 100
/* So many bad frames are logged in so long a time: nobody can fill the log. */
#define COMPLAINTS_MAX 10
#define COMPLAINT_MS   10000

static struct link **link_bucket(struct net *n, link_id id)
{
	return &n->buckets[id % LINK_BUCKETS];
}

struct link *link_find(struct net *n, link_id id)
{
	struct link *l = *link_bucket(n, id);

	while (l && l->id != id)
		l = l->next;
	return l;
}

static void link_closed(uv_handle_t *handle)
{
	struct link *l = (struct link *)handle;

	link_buffers_free(l);
	free(l);
}

static void link_unhash(struct link *l)
{
	struct link **at = link_bucket(l->net, l->id);

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
}

static void link_undirty(struct link *l)
{
	struct link **at = &l->net->dirty;

	if (!l->dirty)
		return;
	while (*at != l)
		at = &(*at)->dirty_next;
	*at = l->dirty_next;
	l->dirty = false;
}

void link_end(struct link *l, bool tell)
{
	struct net *n = l->net;

	if (l->state == LINK_CLOSED)
		return;
	if (l->state == LINK_DIALLING)
		n->dialling--;
	if (l->stranger)
		n->strangers--;
	l->stranger = false;
	l->state = LINK_CLOSED;
	link_unhash(l);
	link_undirty(l);
	n->stats.links--;
	uv_close((uv_handle_t *)&l->poll, link_closed);
	close(l->fd);
	if (tell)
		n->cfg.host->link_down(n->cfg.host->ctx, l->id);
}

/* May the log be told of one more? */
static bool complaint_allowed(struct net *n)
{
	uint64_t now = uv_now(n->cfg.loop);

	if (now - n->complaint_ms >= COMPLAINT_MS) {
		if (n->complaints > COMPLAINTS_MAX)
			log_warn("%u more links ended for such reasons",
				 n->complaints - COMPLAINTS_MAX);
		n->complaint_ms = now;
		n->complaints = 0;
	}
	return n->complaints++ < COMPLAINTS_MAX;
}

void link_refuse(struct link *l, const char *why)
{
	char text[ADDR_TEXT_MAX];

	l->net->stats.bad_frames++;
	if (complaint_allowed(l->net))
		log_warn("link to %s closed: it %s", addr_text(&l->peer, text), why);
	link_end(l, true);
}

static void link_unreachable(struct link *l, int err)
{
	char text[ADDR_TEXT_MAX];

	log_debug("cannot reach %s: %s", addr_text(&l->peer, text), strerror(err));
	link_end(l, true);
}

static void link_connected(struct link *l)
{
	struct net *n = l->net;
	socklen_t len = sizeof(int);
	int err = 0;

	if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &err, &len))
		err = errno;
	if (err) {
		link_unreachable(l, err);
		return;
	}
	l->state = LINK_UP;
	n->dialling--;
	link_poll(l);
	n->cfg.host->link_up(n->cfg.host->ctx, l->id, &l->peer);
}

static void link_event(uv_poll_t *handle, int status, int events)
{
	struct link *l = (struct link *)handle;

	if (l->state == LINK_DIALLING) {
		link_connected(l);
		return;
	}
	if (status < 0 || (events & UV_READABLE))
		link_readable(l);
	if (l->state == LINK_UP && (events & UV_WRITABLE) && !link_write(l))
		link_end(l, true);
	/* After an error the loop watches the socket no more. */
	if (status < 0)
		link_end(l, true);
}

void link_poll(struct link *l)
{
	int events = l->state == LINK_DIALLING ? UV_WRITABLE : UV_READABLE;

	if (l->want_write)
		events |= UV_WRITABLE;
	uv_poll_start(&l->poll, events, link_event);
}

static void socket_tune(int fd)
{
	int one = 1;

	/* Frames are batched here already; waiting for more would only delay them. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/*
 * Dials that hang and strangers that say nothing end here. What the host does
 * about it may end other links too; they stay in memory until the loop goes on.
 */
static void net_sweep(uv_timer_t *timer)
{
	struct net *n = timer->data;
	uint64_t now = uv_now(n->cfg.loop);
	struct link *l, *next;

	if (!n->dialling && !n->strangers)
		uv_timer_stop(timer);
	for (size_t i = 0; i < LINK_BUCKETS; i++) {
		for (l = n->buckets[i]; l; l = next) {
			next = l->next;
			if (l->state == LINK_DIALLING && now - l->born_ms >= NET_DIAL_MS)
				link_unreachable(l, ETIMEDOUT);
			else if (l->stranger && now - l->born_ms >= NET_STRANGER_MS)
				link_refuse(l, "says nothing");
		}
	}
}

/* Takes over @fd. NULL: no memory, @fd is closed. */
static struct link *link_new(struct net *n, link_id id, int fd, const struct core_addr *peer)
{
	struct link *l = calloc(1, sizeof(*l));

	if (!l || uv_poll_init(n->cfg.loop, &l->poll, fd)) {
		free(l);
		close(fd);
		return NULL;
	}
	l->net = n;
	l->id = id;
	l->fd = fd;
	l->peer = *peer;
	l->rx_seq = 1;
	l->tx_seq = 1;
	l->born_ms = uv_now(n->cfg.loop);
	l->next = *link_bucket(n, id);
	*link_bucket(n, id) = l;
	if (!uv_is_active((uv_handle_t *)n->sweep))
		uv_timer_start(n->sweep, net_sweep, SWEEP_MS, SWEEP_MS);
	n->stats.links++;
	return l;
}

void net_connect(struct net *n, link_id id, const struct core_addr *addr)
{
	struct sockaddr_storage sa;
	socklen_t len = addr_to_sockaddr(addr, &sa);
	char text[ADDR_TEXT_MAX];
	struct link *l;
	int fd;

	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		if (complaint_allowed(n))
			log_warn("cannot dial %s: %s", addr_text(addr, text), strerror(errno));
		n->cfg.host->link_down(n->cfg.host->ctx, id);
		return;
	}
	socket_tune(fd);
	l = link_new(n, id, fd, addr);
	if (!l) {
		n->cfg.host->link_down(n->cfg.host->ctx, id);
		return;
	}
	l->state = LINK_DIALLING;
	n->dialling++;
	if (connect(fd, (struct sockaddr *)&sa, len) && errno != EINPROGRESS) {
		link_unreachable(l, errno);
		return;
	}
	link_poll(l);
}

static void net_accept(void *ctx)
{
	struct net *n = ctx;
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct core_addr peer;
	struct link *l;
	int fd;

	fd = listener_accept(n->listener, (struct sockaddr *)&sa, &len);
	if (fd < 0)
		return;
	if (n->strangers >= NET_STRANGERS_MAX ||
	    !addr_from_sockaddr(&peer, (struct sockaddr *)&sa)) {
		close(fd);
		return;
	}
	socket_tune(fd);
	n->next_accept += 2;
	l = link_new(n, n->next_accept, fd, &peer);
	if (!l)
		return;
	l->state = LINK_UP;
	l->stranger = true;
	n->strangers++;
	link_poll(l);
	n->cfg.host->link_up(n->cfg.host->ctx, l->id, &l->peer);
}

static int listen_socket(int family, uint16_t port)
{
	struct core_addr any = { .port = port };
	struct sockaddr_storage sa;
	int one = 1, zero = 0, err;
	socklen_t len;
	int fd;

	if (family == AF_INET)
		memset(any.ip + 10, 0xff, 2);
	len = addr_to_sockaddr(&any, &sa);
	fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (bind(fd, (struct sockaddr *)&sa, len) || listen(fd, 128)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int net_listen(struct net *n, uint16_t port)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct core_addr bound;
	int fd;

	fd = listen_socket(AF_INET6, port);
	if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL)
		fd = listen_socket(AF_INET, port);
	if (fd < 0)
		return fd;
	n->listener = listener_new(n->cfg.loop, fd, "other nodes", net_accept, n);
	if (!n->listener) {
		close(fd);
		return -ENOMEM;
	}
	n->listen_fd = fd;
	if (getsockname(fd, (struct sockaddr *)&sa, &len) ||
	    !addr_from_sockaddr(&bound, (struct sockaddr *)&sa))
		return -EINVAL;
	return bound.port;
}

struct net *net_new(const struct net_config *cfg)
{
	struct net *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->cfg = *cfg;
	n->listen_fd = -1;
	n->sweep = calloc(1, sizeof(*n->sweep));
	if (!n->sweep || uv_timer_init(cfg->loop, n->sweep)) {
		free(n->sweep);
		free(n);
		return NULL;
	}
	n->sweep->data = n;
	return n;
}

static void handle_free(uv_handle_t *handle)
{
	free(handle);
}

void net_free(struct net *n)
{
	if (!n)
		return;
	for (size_t i = 0; i < LINK_BUCKETS; i++)
		while (n->buckets[i])
			link_end(n->buckets[i], false);
	if (n->listener) {
		listener_free(n->listener);
		close(n->listen_fd);
	}
	uv_close((uv_handle_t *)n->sweep, handle_free);
	free(n);
}

void net_close(struct net *n, link_id id)
{
	struct link *l = link_find(n, id);

	if (!l)
		return;
	/* A last word (why somebody is turned away) goes out before the link does. */
	if (l->state == LINK_UP && !l->want_write)
		link_write(l);
	link_end(l, false);
}

void net_stats_get(const struct net *n, struct net_stats *ret)
{
	*ret = n->stats;
}
