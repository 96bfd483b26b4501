// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/client/server_priv.h"

/* The descriptor that came with a packet; a sender may not leave more than one here. */
static int take_descriptor(struct msghdr *mh)
{
	int fd = -1;

	for (struct cmsghdr *h = CMSG_FIRSTHDR(mh); h; h = CMSG_NXTHDR(mh, h)) {
		size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		int fds[4];

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		if (n > 4)
			n = 4;
		memcpy(fds, CMSG_DATA(h), n * sizeof(int));
		for (size_t i = 0; i < n; i++) {
			if (fd < 0)
				fd = fds[i];
			else
				close(fds[i]);
		}
	}
	return fd;
}

int packet_receive(struct session *c, struct client_packet *ret)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(4 * sizeof(int))];
	} control;
	struct iovec iov[2] = {
		{ &ret->req, sizeof(ret->req) },
		{ ret->payload, sizeof(ret->payload) - 1 },
	};
	struct msghdr mh = {
		.msg_iov = iov,
		.msg_iovlen = 2,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t got = recvmsg(c->fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (got < 0)
		return errno == EINTR || errno == EWOULDBLOCK ? -EAGAIN : -errno;
	ret->fd = take_descriptor(&mh);
	if (got == 0)
		goto end;
	if ((size_t)got < sizeof(ret->req) || (mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
	    (size_t)got != sizeof(ret->req) + ret->req.length)
		goto end;
	ret->payload[ret->req.length] = '\0';
	ret->piped = false;
	return 0;
end:
	if (ret->fd >= 0)
		close(ret->fd);
	return got ? -EPROTO : -ECONNRESET;
}

static ssize_t packet_write(int to, const struct client_rep *rep, const void *payload, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov[2] = {
		{ (void *)(uintptr_t)rep, sizeof(*rep) },
		{ (void *)(uintptr_t)payload, rep->length },
	};
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = rep->length ? 2 : 1 };
	struct cmsghdr *h;

	if (fd < 0)
		return rep->length ? sendmsg(to, &mh, MSG_DONTWAIT | MSG_NOSIGNAL)
				   : send(to, rep, sizeof(*rep), MSG_DONTWAIT | MSG_NOSIGNAL);
	mh.msg_control = &control;
	mh.msg_controllen = sizeof(control);
	h = CMSG_FIRSTHDR(&mh);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &fd, sizeof(int));
	return sendmsg(to, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool packet_send(struct session *c, const struct client_rep *rep, const void *payload, int fd)
{
	if (c->ended)
		return false;
	while (packet_write(c->fd, rep, payload, fd) < 0) {
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS)
			session_end(c);
		return false;
	}
	return true;
}

/* Keeps an answer until the socket takes it. One that already waits is followed by nothing: the session ends. */
static void packet_keep(struct session *c, const struct client_rep *rep, int fd)
{
	if (c->late) {
		session_end(c);
		return;
	}
	c->late = malloc(sizeof(*rep));
	c->late_fd = fd < 0 ? -1 : dup(fd);
	if (!c->late || (fd >= 0 && c->late_fd < 0)) {
		session_end(c);
		return;
	}
	*c->late = *rep;
	session_poll(c);
}

void packet_reply(struct session *c, struct client_rep *rep, int fd)
{
	rep->type = c->type;
	rep->ticket = c->ticket;
	if (c->piped)
		pipes_send(c, rep);
	else if (!packet_send(c, rep, NULL, fd) && !c->ended)
		packet_keep(c, rep, fd);
}

void packet_error(struct session *c, int err)
{
	struct client_rep rep = { .err = err, .flags = CLIENT_LAST };

	packet_reply(c, &rep, -1);
}

void packet_continue(struct session *c)
{
	if (c->late) {
		if (!packet_send(c, c->late, NULL, c->late_fd))
			return;
		free(c->late);
		c->late = NULL;
		if (c->late_fd >= 0)
			close(c->late_fd);
		c->late_fd = -1;
	}
	if (c->wait == WAIT_STREAM)
		stream_continue(c);
	if (!c->ended)
		session_poll(c);
}
