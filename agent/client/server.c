// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/client/server_priv.h"
#include "agent/log.h"

#define WORDS_SIZE ((size_t)SERVER_LOCK_WORDS * SERVER_LOCK_STRIDE)

/* In /tmp anybody could have made it first, to put a socket of his own there. */
static int check_run_dir(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	if (st.st_uid != geteuid() && st.st_uid != 0) {
		log_error("%s belongs to user %u", path, st.st_uid);
		return -EPERM;
	}
	return 0;
}

/* Makes the directory and, like mkdir -p, those above it. */
static int make_run_dir(const char *dir)
{
	char path[108];

	if (strlen(dir) >= sizeof(path))
		return -ENAMETOOLONG;
	strcpy(path, dir);
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(path, 0755) && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	/* Root's agents serve a group; anybody else's are their own. */
	if (mkdir(path, geteuid() == 0 ? 0755 : 0700) && errno != EEXIST)
		return -errno;
	return check_run_dir(path);
}

/* The lock ends with its holder, however it ends: no agent is mistaken for alive. */
static int lock_port(struct server *s)
{
	s->lock_fd = open(s->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock_fd < 0)
		return -errno;
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK ? -EADDRINUSE : -errno;
	return 0;
}

static void share_with_group(const char *path)
{
	const struct group *dsm = getgrnam("dsm");

	/* Without the group the socket stays its user's own. */
	if (dsm && chown(path, (uid_t)-1, dsm->gr_gid))
		log_debug("%s stays with its own group: %s", path, strerror(errno));
	if (chmod(path, 0660))
		log_debug("%s: %s", path, strerror(errno));
}

static int listen_on(struct server *s)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	strcpy(sa.sun_path, s->path);
	s->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return -errno;
	/* We hold the port's lock, so a socket that is there is a dead agent's. */
	unlink(s->path);
	if (bind(s->fd, (struct sockaddr *)&sa, sizeof(sa)))
		return -errno;
	share_with_group(s->path);
	return listen(s->fd, 128) ? -errno : 0;
}

static int make_words(struct server *s)
{
	void *at;

	s->words_fd = memfd_create("dsm-locks", MFD_CLOEXEC);
	if (s->words_fd < 0 || ftruncate(s->words_fd, WORDS_SIZE))
		return -errno;
	at = mmap(NULL, WORDS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, s->words_fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	s->words = at;
	return 0;
}

static int make_paths(struct server *s)
{
	int n = snprintf(s->path, sizeof(s->path), "%s/dsmd-%u.sock", s->cfg.run_dir, s->cfg.port);

	snprintf(s->lock_path, sizeof(s->lock_path), "%s/dsmd-%u.lock", s->cfg.run_dir,
		 s->cfg.port);
	return n < 0 || (size_t)n >= sizeof(s->path) ? -ENAMETOOLONG : 0;
}

int server_open(const struct server_config *cfg, struct server **ret)
{
	struct server *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->cfg = *cfg;
	s->fd = -1;
	s->lock_fd = -1;
	s->words_fd = -1;
	s->barrier_due = UINT64_MAX;
	err = make_paths(s);
	if (!err)
		err = make_run_dir(cfg->run_dir);
	if (!err)
		err = lock_port(s);
	if (err == -EADDRINUSE)
		s->path[0] = '\0'; /* the other agent's */
	if (!err)
		err = make_words(s);
	if (!err)
		err = listen_on(s);
	if (err) {
		server_close(s);
		return err;
	}
	*ret = s;
	return 0;
}

_Atomic uint32_t *server_lock_words(struct server *s)
{
	return s->words;
}

void server_start(struct server *s, struct core *core, const struct pager_ops *ops,
		  struct pager *pager)
{
	s->core = core;
	s->ops = ops;
	s->pager = pager;
	s->listener = listener_new(s->cfg.loop, s->fd, "programs", session_accept, s);
	if (!s->listener)
		log_error("clients cannot be served: no memory");
}

static void handle_free(uv_handle_t *handle)
{
	free(handle);
}

void server_close(struct server *s)
{
	if (!s)
		return;
	while (s->sessions)
		session_end(s->sessions);
	barriers_free(s);
	topics_free(s);
	listener_free(s->listener);
	if (s->events_timer)
		uv_close((uv_handle_t *)s->events_timer, handle_free);
	if (s->words)
		munmap((void *)s->words, WORDS_SIZE);
	if (s->words_fd >= 0)
		close(s->words_fd);
	if (s->fd >= 0) {
		close(s->fd);
		unlink(s->path);
	}
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	free(s);
}

static void reply_op(struct session *c, const struct core_reply *reply)
{
	struct client_rep rep = { .err = reply->err, .flags = CLIENT_LAST };

	memcpy(rep.val, reply->val, sizeof(rep.val));
	/* OP_WAIT answers twice: "armed" comes first. */
	if (reply->op == OP_WAIT && !reply->err && !reply->val[0])
		rep.flags = 0;
	else
		c->wait = WAIT_NOTHING;
	if (reply->op == OP_BARRIER)
		request_barrier_done(c, reply->err);
	else
		packet_reply(c, &rep, -1);
}

bool server_flush(struct server *s)
{
	struct session *next;

	if (!s->answers_due)
		return false;
	s->answers_due = false;
	for (struct session *c = s->sessions; c; c = next) {
		next = c->next;
		if (!c->answer_due)
			continue;
		c->answer_due = false;
		packet_error(c, c->answer_err);
	}
	return true;
}

void server_reply(struct server *s, const struct core_reply *reply)
{
	struct session *c;

	if (barrier_reply(s, reply))
		return;
	c = reply->client < CLIENT_NUMBERS ? s->by_number[reply->client] : NULL;
	if (!c || c->ticket != reply->ticket)
		return; /* it went away meanwhile */
	if (c->wait == WAIT_ATTACH)
		request_attach_reply(c, reply);
	else if (c->wait == WAIT_OP)
		reply_op(c, reply);
}

void server_left(struct server *s)
{
	for (struct session *c = s->sessions, *next; c; c = next) {
		next = c->next;
		if (c->wait != WAIT_LEAVE)
			continue;
		c->wait = WAIT_NOTHING;
		packet_error(c, 0);
	}
}

bool server_waiting(const struct server *s)
{
	for (const struct session *c = s->sessions; c; c = c->next)
		if (c->wait == WAIT_OP || c->wait == WAIT_BARRIER)
			return true;
	return false;
}

uint64_t server_deadline(const struct server *s)
{
	return barrier_deadline(s);
}

void server_tick(struct server *s, uint64_t now_us)
{
	barrier_tick(s, now_us);
}
