// SPDX-License-Identifier: MIT
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/log.h"
#include "agent/net/addr.h"
#include "agent/net/discover.h"
#include "agent/net/wire.h"

#define PEERS_MAX 512 /* twice the largest cluster */
#define BURST_MAX                                                                                  \
	32 /* datagrams taken in one pass of the loop: a flood must not starve the pages */

enum socket_kind { SHARED_V4, SHARED_V6, OWN_V4, OWN_V6, SOCKETS };

/* Where a peer that one can dial at @dial sends its datagrams from. */
struct discover_peer {
	struct core_addr dial, source;
};

struct discover {
	struct discover_config cfg;
	int fds[SOCKETS]; /* -1: not open */
	uv_poll_t *polls[SOCKETS];
	struct discover_peer peers[PEERS_MAX];
	unsigned int npeers, next_peer; /* the oldest is replaced when all are taken */
	struct discover_stats stats;
	bool told; /* the first bad datagram is logged, the rest is counted */
};

/* A datagram: header, message and at most what fits. */
struct dgram {
	struct wire_header header;
	struct core_msg msg;
	char recs[WIRE_DGRAM_MAX - sizeof(struct wire_header) - sizeof(struct core_msg)];
};
static_assert(sizeof(struct dgram) == WIRE_DGRAM_MAX, "no padding");

static void peer_remember(struct discover *d, const struct core_addr *dial,
			  const struct core_addr *source)
{
	struct discover_peer *p = NULL;

	for (unsigned int i = 0; i < d->npeers && !p; i++)
		if (d->peers[i].dial.port == dial->port && addr_same_ip(&d->peers[i].dial, dial))
			p = &d->peers[i];
	if (!p) {
		p = &d->peers[d->next_peer];
		d->next_peer = (d->next_peer + 1) % PEERS_MAX;
		if (d->npeers < PEERS_MAX)
			d->npeers++;
	}
	p->dial = *dial;
	p->source = *source;
}

static struct core_addr peer_source(const struct discover *d, const struct core_addr *dial)
{
	struct core_addr to = *dial;

	for (unsigned int i = 0; i < d->npeers; i++)
		if (d->peers[i].dial.port == dial->port && addr_same_ip(&d->peers[i].dial, dial))
			return d->peers[i].source;
	to.port = d->cfg.port;
	return to;
}

/* The TCP port of who sent @m, 0: it does not say. */
static uint16_t dial_port(const struct core_msg *m)
{
	return m->type == MSG_DISCOVER && m->arg <= UINT16_MAX ? (uint16_t)m->arg : 0;
}

static void refuse(struct discover *d, const struct core_addr *from, const char *why)
{
	char text[ADDR_TEXT_MAX];

	d->stats.refused++;
	log_write(d->told ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN, "datagram from %s refused: it %s",
		  addr_text(from, text), why);
	d->told = true;
}

/* One datagram as it came. */
static void take(struct discover *d, struct dgram *in, size_t size, const struct core_addr *source)
{
	struct wire_error error;
	struct core_addr dial = *source;

	d->stats.received++;
	if (size < sizeof(in->header) + sizeof(in->msg) ||
	    size != sizeof(in->header) + in->header.length) {
		refuse(d, source, "has not the length it should");
		return;
	}
	if (!wire_header_check(&in->header, 0, &error) ||
	    !wire_body_check(&in->header, &in->msg, in->recs, &error)) {
		refuse(d, source, error.text);
		return;
	}
	if (strcmp(in->msg.name, d->cfg.cluster)) {
		d->stats.foreign++;
		return;
	}
	if (dial_port(&in->msg)) {
		dial.port = dial_port(&in->msg);
		peer_remember(d, &dial, source);
	}
	wire_recs_scope(&in->msg, in->recs, source->scope);
	d->cfg.host->datagram(d->cfg.host->ctx, &in->msg, in->recs, &dial);
}

static void socket_readable(uv_poll_t *handle, int status, int events)
{
	struct discover *d = handle->data;
	struct sockaddr_storage sa;
	struct core_addr source;
	struct dgram in;
	uv_os_fd_t fd;

	(void)events;
	if (uv_fileno((uv_handle_t *)handle, &fd))
		return;
	for (int i = 0; i < BURST_MAX; i++) {
		socklen_t len = sizeof(sa);
		ssize_t size = recvfrom(fd, &in, sizeof(in), MSG_DONTWAIT | MSG_TRUNC,
					(struct sockaddr *)&sa, &len);

		/* Errors that ICMP brings belong to something sent before: the next call goes on. */
		if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (size < 0 || !addr_from_sockaddr(&source, (struct sockaddr *)&sa))
			continue;
		take(d, &in, (size_t)size, &source);
	}
	/* After an error the loop watches it no more: it goes on. */
	if (status < 0 && !uv_is_closing((uv_handle_t *)handle))
		uv_poll_start(handle, UV_READABLE, socket_readable);
}

static void send_to(struct discover *d, int fd, const struct sockaddr *sa, socklen_t len,
		    const struct core_msg *msg, const void *recs)
{
	struct dgram out;
	size_t recs_size = msg->nrecs * core_msg_rec_size(msg->type);

	if (fd < 0 || recs_size > sizeof(out.recs))
		return;
	wire_seal(&out.header, msg, 0);
	out.msg = *msg;
	if (recs_size) {
		memcpy(out.recs, recs, recs_size);
		wire_recs_scope(msg, out.recs, 0);
	}
	if (sendto(fd, &out, sizeof(out.header) + out.header.length, MSG_DONTWAIT | MSG_NOSIGNAL,
		   sa, len) > 0)
		d->stats.sent++;
}

void discover_send(struct discover *d, const struct core_addr *to, const struct core_msg *msg,
		   const void *recs)
{
	struct core_addr target = peer_source(d, to);
	int fd = d->fds[addr_is_v4(to) ? OWN_V4 : OWN_V6];
	struct sockaddr_storage sa;
	socklen_t len = addr_to_sockaddr(&target, &sa);

	send_to(d, fd, (struct sockaddr *)&sa, len, msg, recs);
	if (target.port == d->cfg.port)
		return;
	/* A firewall may let pass nothing but the well-known port; who hears it twice does not mind. */
	target.port = d->cfg.port;
	len = addr_to_sockaddr(&target, &sa);
	send_to(d, fd, (struct sockaddr *)&sa, len, msg, recs);
}

static bool is_up(const struct ifaddrs *i)
{
	return (i->ifa_flags & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING) && i->ifa_addr;
}

static bool is_v4_lan(const struct ifaddrs *i)
{
	return is_up(i) && i->ifa_addr->sa_family == AF_INET && (i->ifa_flags & IFF_BROADCAST) &&
	       !(i->ifa_flags & IFF_LOOPBACK) && i->ifa_broadaddr;
}

static bool is_v6_lan(const struct ifaddrs *i)
{
	const struct sockaddr_in6 *in6 = (const void *)i->ifa_addr;

	return is_up(i) && i->ifa_addr->sa_family == AF_INET6 && (i->ifa_flags & IFF_MULTICAST) &&
	       !(i->ifa_flags & IFF_LOOPBACK) && IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr);
}

/*
 * Link-local addresses are for networks that have no others: a node known by
 * one cannot be dialled by who knows the cluster by another interface.
 */
static bool has_v4(const struct ifaddrs *all, const char *name)
{
	for (const struct ifaddrs *i = all; i; i = i->ifa_next)
		if (is_v4_lan(i) && !strcmp(i->ifa_name, name))
			return true;
	return false;
}

static void broadcast_v4(struct discover *d, in_addr_t to, const struct core_msg *msg,
			 const void *recs)
{
	struct sockaddr_in sa = {
		.sin_family = AF_INET,
		.sin_port = htons(d->cfg.port),
		.sin_addr.s_addr = to,
	};

	send_to(d, d->fds[OWN_V4], (struct sockaddr *)&sa, sizeof(sa), msg, recs);
}

static void broadcast_v6(struct discover *d, unsigned int ifindex, const struct core_msg *msg,
			 const void *recs)
{
	struct sockaddr_in6 sa = {
		.sin6_family = AF_INET6,
		.sin6_port = htons(d->cfg.port),
		.sin6_addr.s6_addr = { 0xff, 0x02, [15] = 1 }, /* all nodes of the link */
		.sin6_scope_id = ifindex,
	};

	send_to(d, d->fds[OWN_V6], (struct sockaddr *)&sa, sizeof(sa), msg, recs);
}

void discover_broadcast(struct discover *d, const struct core_msg *msg, const void *recs)
{
	struct ifaddrs *all, *i;
	bool any_v4 = false;

	if (getifaddrs(&all))
		return;
	for (i = all; i; i = i->ifa_next) {
		if (is_v4_lan(i)) {
			any_v4 = true;
			broadcast_v4(
				d,
				((struct sockaddr_in *)(void *)i->ifa_broadaddr)->sin_addr.s_addr,
				msg, recs);
		} else if (is_v6_lan(i) && !has_v4(all, i->ifa_name)) {
			broadcast_v6(d, ((struct sockaddr_in6 *)(void *)i->ifa_addr)->sin6_scope_id,
				     msg, recs);
		}
	}
	freeifaddrs(all);
	/*
	 * Agents of one host hear each other on any interface. Loopback serves
	 * where there is none: an address learned on it means nothing elsewhere.
	 */
	if (!any_v4)
		broadcast_v4(d, htonl(0x7fffffff), msg, recs);
}

static int socket_open(int family, uint16_t port)
{
	struct core_addr any = { .port = port };
	struct sockaddr_storage sa;
	int fd, one = 1, err;
	socklen_t len;

	if (family == AF_INET)
		memset(any.ip + 10, 0xff, 2);
	len = addr_to_sockaddr(&any, &sa);
	fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &one, sizeof(one));
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (port) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	}
	if (bind(fd, (struct sockaddr *)&sa, len)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static int socket_watch(struct discover *d, enum socket_kind kind)
{
	uv_poll_t *poll = calloc(1, sizeof(*poll));

	if (!poll || uv_poll_init(d->cfg.loop, poll, d->fds[kind])) {
		free(poll);
		return -ENOMEM;
	}
	poll->data = d;
	d->polls[kind] = poll;
	return uv_poll_start(poll, UV_READABLE, socket_readable);
}

int discover_open(const struct discover_config *cfg, struct discover **ret)
{
	static const int family[SOCKETS] = { AF_INET, AF_INET6, AF_INET, AF_INET6 };
	struct discover *d = calloc(1, sizeof(*d));
	int err = 0;

	if (!d)
		return -ENOMEM;
	d->cfg = *cfg;
	for (int i = 0; i < SOCKETS; i++)
		d->fds[i] = -1;
	for (int i = 0; i < SOCKETS && !err; i++) {
		d->fds[i] = socket_open(family[i], i <= SHARED_V6 ? cfg->port : 0);
		if (d->fds[i] >= 0)
			err = socket_watch(d, i);
		else if (family[i] == AF_INET || d->fds[i] == -EADDRINUSE)
			err = d->fds[i]; /* a host without IPv6 does without */
	}
	if (err) {
		discover_close(d);
		return err;
	}
	*ret = d;
	return 0;
}

static void poll_free(uv_handle_t *handle)
{
	free(handle);
}

void discover_close(struct discover *d)
{
	if (!d)
		return;
	for (int i = 0; i < SOCKETS; i++) {
		if (d->polls[i])
			uv_close((uv_handle_t *)d->polls[i], poll_free);
		if (d->fds[i] >= 0)
			close(d->fds[i]);
	}
	free(d);
}

void discover_stats_get(const struct discover *d, struct discover_stats *ret)
{
	*ret = d->stats;
}
