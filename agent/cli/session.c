/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "agent/cli/session.h"

static int64_t clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

bool session_path(const char *rundir, uint16_t port, char *path, size_t size)
{
	int len = snprintf(path, size, "%s/dsmd-%u.sock", rundir, port);

	return len > 0 && (size_t)len < size;
}

int session_connect(const char *rundir, uint16_t port, struct session *ret)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct client_req hello = {
		.type = CLIENT_HELLO,
		.arg = CLIENT_PROTO_VERSION,
		.id = HELLO_ADMIN,
	};
	const struct timeval patience = { .tv_sec = SESSION_PATIENCE_MS / 1000 };
	struct session s = { .port = port };
	int err;

	if (!session_path(rundir, port, sa.sun_path, sizeof(sa.sun_path)))
		return -ENAMETOOLONG;
	s.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (s.fd < 0)
		return -errno;
	/* An agent that hangs accepts nobody: connect and send wait no longer than this. */
	setsockopt(s.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(s.fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0) {
		err = errno == EAGAIN ? -ETIMEDOUT : -errno;
		close(s.fd);
		return err;
	}
	hello.a = (uint64_t)getpid();
	err = session_request(&s, &hello, NULL, SESSION_PATIENCE_MS);
	if (err) {
		close(s.fd);
		return err;
	}
	*ret = s;
	return 0;
}

void session_close(struct session *s)
{
	close(s->fd);
	s->fd = -1;
}

/* Which agents answer here, for the message about one that does not: " (agents here: 9901 9902)". */
static void agents_here(const char *rundir, char *text, size_t size)
{
	DIR *dir = opendir(rundir);
	struct dirent *entry;
	size_t len = 0;
	unsigned int port;
	int end;

	*text = '\0';
	while (dir && (entry = readdir(dir))) {
		end = 0;
		if (sscanf(entry->d_name, "dsmd-%5u.sock%n", &port, &end) != 1 || !end ||
		    entry->d_name[end])
			continue;
		len += (size_t)snprintf(text + len, size - len, "%s %u",
					len ? "" : "; sockets here, for --port:", port);
		if (len >= size)
			break;
	}
	if (dir)
		closedir(dir);
}

int session_open(const struct cli *cli, struct session *ret)
{
	char path[4200], others[160];
	int err = session_connect(cli->rundir, cli->port, ret);

	if (!err)
		return 0;
	if (!session_path(cli->rundir, cli->port, path, sizeof(path)))
		path[0] = '\0';
	switch (err) {
	case -EACCES:
	case -EPERM:
		return cli_error(CLI_FAILED, "the agent on port %u does not let you in (%s): %s",
				 cli->port, path, strerror(-err));
	case -ETIMEDOUT:
		return cli_error(CLI_NO_AGENT, "the agent on port %u does not answer (%s)",
				 cli->port, path);
	case -EPROTO:
	case -EPROTONOSUPPORT:
		return cli_error(CLI_FAILED, "the agent on port %u speaks another version",
				 cli->port);
	case -EPIPE:
		return cli_error(
			CLI_FAILED,
			"the agent on port %u is ending, or turned you away: it serves root, its "
			"own user and the group dsm (%s)",
			cli->port, path);
	case -ENAMETOOLONG:
		return cli_error(CLI_USAGE, "--run-dir %s: too long for a socket's name",
				 cli->rundir);
	default:
		agents_here(cli->rundir, others, sizeof(others));
		return cli_error(CLI_NO_AGENT, "no agent serves port %u (%s): %s%s", cli->port,
				 path, strerror(-err), others);
	}
}

/* The next packet for our ticket; its length, or a negative errno. */
static ssize_t packet_receive(struct session *s, void *buf, size_t size, int64_t until)
{
	const struct client_rep *rep = buf;
	struct pollfd pfd = { .fd = s->fd, .events = POLLIN };
	int64_t left;
	ssize_t n;

	for (;;) {
		left = until < 0 ? -1 : until - clock_ms();
		if (until >= 0 && left < 0)
			left = 0;
		n = poll(&pfd, 1, (int)left);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ETIMEDOUT;
		n = recv(s->fd, buf, size, MSG_DONTWAIT | MSG_TRUNC);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			return -EPIPE;
		if ((size_t)n < sizeof(*rep) || (size_t)n > size ||
		    rep->length != (size_t)n - sizeof(*rep))
			return -EPROTO;
		if (rep->ticket == s->ticket)
			return n;
	}
}

static int packet_send(struct session *s, struct client_req *req, const char *text)
{
	size_t len = text ? strlen(text) : 0;
	char buf[sizeof(*req) + 512];

	if (len > sizeof(buf) - sizeof(*req))
		return -EMSGSIZE;
	req->ticket = ++s->ticket;
	req->length = (uint32_t)len;
	memcpy(buf, req, sizeof(*req));
	if (len)
		memcpy(buf + sizeof(*req), text, len);
	if (send(s->fd, buf, sizeof(*req) + len, MSG_NOSIGNAL) < 0)
		return errno == EPIPE || errno == ECONNRESET ? -EPIPE : -errno;
	return 0;
}

int session_request(struct session *s, struct client_req *req, struct client_rep *rep, int wait_ms)
{
	static char buf[CLIENT_PACKET_MAX];
	int64_t until = wait_ms < 0 ? -1 : clock_ms() + wait_ms;
	ssize_t n = packet_send(s, req, NULL);

	if (n < 0)
		return (int)n;
	n = packet_receive(s, buf, sizeof(buf), until);
	if (n < 0)
		return (int)n;
	if (rep)
		memcpy(rep, buf, sizeof(*rep));
	return -((const struct client_rep *)(const void *)buf)->err;
}

int session_query_next(struct session *s, int wait_ms, char **text, size_t *len, bool *ret_last)
{
	static char buf[CLIENT_PACKET_MAX];
	const struct client_rep *rep = (const void *)buf;
	int64_t until = wait_ms < 0 ? -1 : clock_ms() + wait_ms;
	ssize_t n = packet_receive(s, buf, sizeof(buf), until);
	char *grown;

	if (n < 0)
		return (int)n;
	if (rep->err)
		return -rep->err;
	grown = realloc(*text, *len + rep->length + 1);
	if (!grown)
		return -ENOMEM;
	memcpy(grown + *len, buf + sizeof(*rep), rep->length);
	*len += rep->length;
	grown[*len] = '\0';
	*text = grown;
	*ret_last = rep->flags & CLIENT_LAST;
	return 0;
}

int session_query_start(struct session *s, const char *command)
{
	struct client_req req = { .type = CLIENT_QUERY };

	return packet_send(s, &req, command);
}

int session_query(struct session *s, const char *command, json_t **ret)
{
	char *text = NULL;
	bool last = false;
	size_t len = 0;
	int err = session_query_start(s, command);

	while (!err && !last)
		err = session_query_next(s, SESSION_PATIENCE_MS, &text, &len, &last);
	if (!err) {
		*ret = json_loadb(text, len, 0, NULL);
		err = *ret ? 0 : -EPROTO;
	}
	free(text);
	return err;
}

int session_document(const struct cli *cli, const char *command, json_t **ret)
{
	struct session s = { .fd = -1 };
	int err = session_open(cli, &s);

	if (err)
		return err;
	err = session_query(&s, command, ret);
	session_close(&s);
	return err ? session_explain(cli, command, err) : 0;
}

int session_explain(const struct cli *cli, const char *what, int err)
{
	switch (err) {
	case -EPIPE:
		return cli_error(CLI_NO_AGENT, "%s: the agent on port %u went away", what,
				 cli->port);
	case -ETIMEDOUT:
		return cli_error(CLI_NO_AGENT, "%s: the agent on port %u does not answer", what,
				 cli->port);
	case -EPROTO:
		return cli_error(CLI_FAILED, "%s: the answer of the agent makes no sense", what);
	case -ENOENT:
		return cli_error(CLI_NOT_FOUND, "%s: there is none such", what);
	default:
		return cli_error(CLI_FAILED, "%s: %s", what, strerror(-err));
	}
}
