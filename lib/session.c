// SPDX-License-Identifier: MIT
#include "lib/session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

int session_path(const char *rundir, uint16_t port, char *path, size_t len)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	int n;

	if (!rundir || !*rundir)
		rundir = getenv("DSM_RUNDIR");
	if (rundir && *rundir)
		n = snprintf(path, len, "%s/dsmd-%u.sock", rundir, port);
	else if (!geteuid())
		n = snprintf(path, len, "/run/dsm/dsmd-%u.sock", port);
	else if (runtime && *runtime)
		n = snprintf(path, len, "%s/dsm/dsmd-%u.sock", runtime, port);
	else
		n = snprintf(path, len, "/tmp/dsm-%u/dsmd-%u.sock", (unsigned int)getuid(), port);
	return n < 0 || (size_t)n >= len ? -ENAMETOOLONG : 0;
}

static int session_connect(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t len = strlen(path);
	int fd, err;

	if (len >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, len + 1);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	while (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		if (errno == EINTR)
			continue;
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int session_open(const char *path, uint32_t flags, uint32_t first, struct session *ret,
		 struct session_welcome *ret_welcome)
{
	struct client_req req = {
		.type = CLIENT_HELLO,
		.arg = CLIENT_PROTO_VERSION,
		.id = flags,
		.key = first,
		.a = (uint64_t)getpid(),
	};
	struct client_rep rep;
	struct session s = { .fd = session_connect(path) };
	int err, lock_fd = -1;

	if (s.fd < 0)
		return s.fd;
	err = session_ask_fd(&s, &req, -1, &rep, &lock_fd);
	if (err) {
		session_close(&s);
		return err;
	}
	s.client = (uint32_t)rep.val[0];
	*ret = s;
	if (ret_welcome) {
		*ret_welcome = (struct session_welcome){
			.node = (uint32_t)rep.val[1],
			.pager = (enum client_pager)rep.val[2],
			.port = (uint16_t)rep.val[3],
			.lock_words = (uint32_t)rep.val[4],
			.lock_stride = (uint32_t)rep.val[5],
			.lock_fd = lock_fd,
		};
	} else if (lock_fd >= 0) {
		close(lock_fd);
	}
	return 0;
}

void session_close(struct session *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	if (s->pipes) {
		close(s->to);
		close(s->from);
	}
	s->pipes = false;
}

int session_pipes(struct session *s)
{
	struct client_req req = { .type = CLIENT_PIPES };
	struct client_rep rep;
	int answers[2], requests, err;

	if (pipe2(answers, O_CLOEXEC))
		return -errno;
	err = session_ask_fd(s, &req, answers[1], &rep, &requests);
	if (!err && requests < 0)
		err = -EPROTO;
	/* Only the agent may write there: then the end of it is the end of the answers. */
	close(answers[1]);
	if (err) {
		close(answers[0]);
		return err;
	}
	s->to = requests;
	s->from = answers[0];
	s->pipes = true;
	return 0;
}

/* The ways a socket says that the other end is no more. */
static int gone(int err)
{
	return err == EPIPE || err == ECONNRESET || err == EBADF ? -ENOTCONN : -err;
}

static int send_with_fd(int sock, const struct client_req *req, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)req, sizeof(*req) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(sock, &msg, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

static int request_send(struct session *s, struct client_req *req, int fd)
{
	ssize_t n;

	if (s->fd < 0)
		return -ENOTCONN;
	req->ticket = ++s->ticket;
	s->piped = s->pipes && req->type == CLIENT_OP;
	do {
		if (s->piped)
			n = write(s->to, req, sizeof(*req));
		else
			n = fd >= 0 ? send_with_fd(s->fd, req, fd)
				    : send(s->fd, req, sizeof(*req), MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? gone(errno) : 0;
}

static int payload_send(struct session *s, struct client_req *req, const void *payload)
{
	struct iovec iov[2] = { { req, sizeof(*req) },
				{ (void *)(uintptr_t)payload, req->length } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n;

	if (s->fd < 0)
		return -ENOTCONN;
	req->ticket = ++s->ticket;
	s->piped = s->pipes && req->type == CLIENT_OP;
	do {
		n = s->piped ? writev(s->to, iov, 2) : sendmsg(s->fd, &msg, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? gone(errno) : 0;
}

int session_tell(struct session *s, struct client_req *req)
{
	return request_send(s, req, -1);
}

static int reply_check(const struct session *s, const struct client_rep *rep, ssize_t n,
		       bool *ret_other)
{
	if (n < 0)
		return gone(errno);
	if (!n)
		return -ENOTCONN;
	if (n < (ssize_t)sizeof(*rep))
		return -EPROTO;
	/* Late words on an earlier request: a wait that was given up, say. */
	*ret_other = rep->ticket != s->ticket;
	return rep->err > 0 ? -rep->err : 0;
}

int session_await(struct session *s, struct client_rep *rep)
{
	bool other = false;
	ssize_t n;
	int err;

	do {
		do {
			n = s->piped ? read(s->from, rep, sizeof(*rep))
				     : recv(s->fd, rep, sizeof(*rep), 0);
		} while (n < 0 && errno == EINTR);
		err = reply_check(s, rep, n, &other);
	} while (other);
	return err;
}

int session_await_payload(struct session *s, struct client_rep *rep, void *buf, size_t len,
			  size_t *ret_len)
{
	struct iovec iov[2] = { { rep, sizeof(*rep) }, { buf, len } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	bool other = false;
	ssize_t n;
	int err;

	do {
		do {
			n = recvmsg(s->fd, &msg, 0);
		} while (n < 0 && errno == EINTR);
		err = reply_check(s, rep, n, &other);
	} while (other);
	*ret_len = n > (ssize_t)sizeof(*rep) ? (size_t)n - sizeof(*rep) : 0;
	if (!err && (*ret_len != rep->length || (msg.msg_flags & MSG_TRUNC)))
		return -EPROTO;
	return err;
}

/* As session_await(), and takes the descriptor that may come along. */
static int await_fd(struct session *s, struct client_rep *rep, int *ret_fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { rep, sizeof(*rep) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	struct cmsghdr *c;
	bool other;
	ssize_t n;
	int err;

	do {
		n = recvmsg(s->fd, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	err = reply_check(s, rep, n, &other);
	c = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
	*ret_fd = -1;
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(ret_fd, CMSG_DATA(c), sizeof(*ret_fd));
	return err;
}

int session_ask_fd(struct session *s, struct client_req *req, int fd, struct client_rep *rep,
		   int *ret_fd)
{
	int got = -1, err = request_send(s, req, fd);

	if (!err)
		err = await_fd(s, rep, &got);
	if (got >= 0 && (err || !ret_fd)) {
		close(got);
		got = -1;
	}
	if (ret_fd)
		*ret_fd = got;
	return err;
}

int session_ask_text(struct session *s, struct client_req *req, const char *text,
		     struct client_rep *rep, int *ret_fd)
{
	int err;

	*ret_fd = -1;
	req->length = (uint32_t)strlen(text);
	err = payload_send(s, req, text);
	if (!err)
		err = await_fd(s, rep, ret_fd);
	if (err && *ret_fd >= 0) {
		close(*ret_fd);
		*ret_fd = -1;
	}
	return err;
}

int session_ask(struct session *s, struct client_req *req, struct client_rep *rep)
{
	return session_ask_with(s, req, NULL, rep);
}

int session_ask_with(struct session *s, struct client_req *req, const void *payload,
		     struct client_rep *rep)
{
	struct client_rep own;
	int err = req->length ? payload_send(s, req, payload) : request_send(s, req, -1);

	return err ? err : session_await(s, rep ? rep : &own);
}
