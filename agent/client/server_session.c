// SPDX-License-Identifier: MIT
#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/client/server_priv.h"
#include "agent/log.h"

#define GROUP		"dsm"
#define PEER_GROUPS_MAX 256

static bool in_group(int fd, gid_t primary)
{
	const struct group *dsm = getgrnam(GROUP);
	gid_t groups[PEER_GROUPS_MAX];
	socklen_t len = sizeof(groups);

	if (!dsm)
		return false;
	if (primary == dsm->gr_gid)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len))
		return false;
	for (size_t i = 0; i < len / sizeof(groups[0]); i++)
		if (groups[i] == dsm->gr_gid)
			return true;
	return false;
}

/* Pages and locks are for the agent's own user, root, and the group made for it. */
static bool may_connect(int fd, pid_t *ret_pid)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return false;
	*ret_pid = cred.pid;
	if (cred.uid == 0 || cred.uid == geteuid() || in_group(fd, cred.gid))
		return true;
	log_warn("process %d of user %u turned away: neither this agent's user nor in group " GROUP,
		 cred.pid, cred.uid);
	return false;
}

uint32_t server_number(struct server *s)
{
	for (uint32_t i = 1; i < CLIENT_NUMBERS; i++) {
		s->next_number = s->next_number % (CLIENT_NUMBERS - 1) + 1;
		if (!s->by_number[s->next_number] && !s->node_numbers[s->next_number])
			return s->next_number;
	}
	return 0;
}

static void session_closed(uv_handle_t *handle)
{
	free(handle);
}

/* A program's mappings go with its first session, on pagers that hold them. */
static void session_detach(struct session *c)
{
	struct server *s = c->srv;

	if (!s->ops || !s->ops->detach)
		return;
	while (c->attached_count)
		s->ops->detach(s->pager,
			       SERVER_COOKIE(c->number, c->attached[--c->attached_count]));
}

/* The core forgets the client and hands on what it held. */
static void session_gone(struct session *c)
{
	struct server *s = c->srv;
	struct core_event ev = {
		.type = EV_CLIENT_GONE,
		.client = c->number,
		.now_us = s->cfg.host->now_us(s->cfg.host->ctx),
	};

	if (!c->number)
		return;
	s->by_number[c->number] = NULL;
	if (c->hello & HELLO_PROGRAM)
		s->nprograms--;
	session_detach(c);
	barrier_session_gone(c);
	topic_session_gone(c);
#ifndef DSM_MUTANT_DEAD_SESSION_KEPT
	s->cfg.host->event(s->cfg.host->ctx, &ev);
#endif
	if (c->hello & HELLO_OWNER)
		s->cfg.host->leave(s->cfg.host->ctx);
}

void session_end(struct session *c)
{
	if (c->ended)
		return;
	c->ended = true;
	*c->at = c->next;
	if (c->next)
		c->next->at = c->at;
	c->srv->nsessions--;
	uv_close((uv_handle_t *)&c->poll, session_closed);
	close(c->fd);
	pipes_end(c);
	stream_end(c);
	free(c->late);
	c->late = NULL;
	if (c->late_fd >= 0)
		close(c->late_fd);
	session_gone(c);
}

static void session_readable(struct session *c)
{
	struct client_packet packet;
	int err = packet_receive(c, &packet);

	if (err == -EAGAIN)
		return;
	if (err == -EPROTO)
		log_warn("process %d sent a packet of the wrong length: session closed", c->pid);
	if (err) {
		session_end(c);
		return;
	}
	request_handle(c, &packet);
}

static void session_event(uv_poll_t *handle, int status, int events)
{
	struct session *c = (struct session *)handle;

	if (status < 0) {
		session_end(c);
		return;
	}
	if (events & UV_WRITABLE)
		packet_continue(c);
	if (!c->ended && (events & UV_READABLE))
		session_readable(c);
	else if (!c->ended && (events & UV_DISCONNECT))
		session_end(c);
}

void session_poll(struct session *c)
{
	bool blocked = c->late || (c->wait == WAIT_STREAM && c->stream);

	if (c->ended || blocked == c->write_only)
		return;
	c->write_only = blocked;
	uv_poll_start(&c->poll, blocked ? UV_WRITABLE | UV_DISCONNECT : UV_READABLE, session_event);
}

void session_accept(void *ctx)
{
	struct server *s = ctx;
	struct session *c;
	int fd = listener_accept(s->listener, NULL, NULL);
	pid_t pid = 0;

	if (fd < 0)
		return;
	c = may_connect(fd, &pid) ? calloc(1, sizeof(*c)) : NULL;
	if (!c || uv_poll_init(s->cfg.loop, &c->poll, fd)) {
		free(c);
		close(fd);
		return;
	}
	c->srv = s;
	c->fd = fd;
	c->pid = pid;
	c->late_fd = -1;
	c->next = s->sessions;
	c->at = &s->sessions;
	if (c->next)
		c->next->at = &c->next;
	s->sessions = c;
	s->nsessions++;
	uv_poll_start(&c->poll, UV_READABLE, session_event);
}
