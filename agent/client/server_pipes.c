// SPDX-License-Identifier: MIT
/*
 * The pipes of a session. A thread that locks or waits sleeps until its agent
 * has answered, and on the way there and back a unix socket is most of the
 * cost: buffers, credentials, two wake-ups. A pipe has none of that.
 *
 * Each side has open file descriptions of its own, so a program cannot make
 * the agent's ends block.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/client/server_priv.h"
#include "agent/log.h"

struct session_pipes {
	uv_poll_t poll; /* first: a handle is its pipes */
	struct session *session;
	int requests, answers;
};

/* The same pipe under a description of our own. A negative errno. */
static int pipe_reopen(int fd, int flags)
{
	char path[32];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, flags | O_CLOEXEC);
	return again < 0 ? -errno : again;
}

/* What belongs to a request was written with it, in one piece. */
static bool payload_read(int fd, struct client_packet *p)
{
	size_t n = p->req.length;

	if (n >= sizeof(p->payload) || (n && read(fd, p->payload, n) != (ssize_t)n))
		return false;
	p->payload[n] = '\0';
	return true;
}

static void pipes_event(uv_poll_t *handle, int status, int events)
{
	struct session *c = ((struct session_pipes *)handle)->session;
	struct client_packet packet;
	ssize_t n = read(c->pipes->requests, &packet.req, sizeof(packet.req));

	(void)status;
	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return;
	if (n != sizeof(packet.req) || !payload_read(c->pipes->requests, &packet)) {
		if (n > 0)
			log_warn("process %d wrote a piece of a request: session closed", c->pid);
		session_end(c);
		return;
	}
	packet.fd = -1;
	packet.piped = true;
	request_handle(c, &packet);
}

/* @ret_program: the end that is the program's. 0 or a negative errno. */
static int requests_make(struct session_pipes *p, int *ret_program)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	*ret_program = pipe_reopen(ends[1], O_RDWR);
	close(ends[1]);
	if (*ret_program < 0) {
		close(ends[0]);
		return *ret_program;
	}
	p->requests = ends[0];
	return 0;
}

static int pipes_make(struct session *c, int fd, int *ret_program)
{
	struct session_pipes *p;
	struct stat st;
	int err;

	if (c->pipes)
		return -EALREADY;
	if (fd < 0 || fstat(fd, &st) || !S_ISFIFO(st.st_mode))
		return -EBADF;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->session = c;
	err = p->answers = pipe_reopen(fd, O_WRONLY | O_NONBLOCK);
	if (err < 0)
		goto free_pipes;
	err = requests_make(p, ret_program);
	if (err)
		goto close_answers;
	err = uv_poll_init(c->srv->cfg.loop, &p->poll, p->requests);
	if (err)
		goto close_requests;
	uv_poll_start(&p->poll, UV_READABLE, pipes_event);
	c->pipes = p;
	return 0;

close_requests:
	close(*ret_program);
	close(p->requests);
close_answers:
	close(p->answers);
free_pipes:
	free(p);
	return err;
}

void pipes_handle(struct session *c, int fd)
{
	struct client_rep rep = { .flags = CLIENT_LAST };
	int program = -1, err = pipes_make(c, fd, &program);

	if (err) {
		packet_error(c, -err);
		return;
	}
	packet_reply(c, &rep, program);
	close(program);
}

void pipes_send(struct session *c, const struct client_rep *rep)
{
	ssize_t n;

	if (c->ended)
		return;
	do {
		n = write(c->pipes->answers, rep, sizeof(*rep));
	} while (n < 0 && errno == EINTR);
	/* Full: it asks and asks, and does not listen. */
	if (n != sizeof(*rep))
		session_end(c);
}

static void pipes_closed(uv_handle_t *handle)
{
	free(handle);
}

void pipes_end(struct session *c)
{
	struct session_pipes *p = c->pipes;

	if (!p)
		return;
	c->pipes = NULL;
	uv_close((uv_handle_t *)&p->poll, pipes_closed);
	close(p->requests);
	close(p->answers);
}
