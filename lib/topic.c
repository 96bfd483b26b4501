// SPDX-License-Identifier: MIT
/* Topics: opened through the agent, read and written in memory. See topic.h. */
#include "lib/topic.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/context.h"

/* The agent makes all CPUs that run us pass a barrier, where this process has asked to be among them. */
static bool membarrier_ready(void)
{
	return !syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0);
}

/* A session of its own: its end, however it comes, is the end of what we are to the topic. */
static int connect_session(struct dsm *ctx, struct topic *t)
{
	uint32_t kind = ctx->forked ? HELLO_ADMIN : HELLO_THREAD;
	int err = 0;

	if (atomic_load(&ctx->lost))
		err = context_revive(ctx);
	if (err)
		return err;
	pthread_mutex_lock(&ctx->control_lock);
	err = session_open(ctx->path, kind, ctx->forked ? 0 : ctx->control.client, &t->session,
			   NULL);
	t->serial = atomic_load(&ctx->serial);
	pthread_mutex_unlock(&ctx->control_lock);
	return err == -ENOENT || err == -ECONNREFUSED || err == -ESRCH ? -ENOTCONN : err;
}

static int ask(struct topic *t, uint32_t size, uint32_t flags, struct client_rep *rep, int *ret_fd)
{
	struct client_req req = { .type = CLIENT_TOPIC_OPEN, .arg = flags, .count = size };
	int err;

	if ((flags & TOPIC_PUBLISH) && !t->fence)
		t->fence = !membarrier_ready();
	err = session_ask_text(&t->session, &req, t->name, rep, ret_fd);
	if (!err && !rep->val[3])
		t->fence = true;
	if (!err)
		t->flags = flags & (TOPIC_SUBSCRIBE | TOPIC_PUBLISH);
	return err;
}

static int map_replica(struct topic *t, size_t bytes, int fd)
{
	void *at;

	if (bytes < TOPIC_HEAD_BYTES || fd < 0)
		return -EPROTO;
	at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	t->head = at;
	t->bytes = bytes;
	if (t->head->magic != TOPIC_MAGIC)
		return -EPROTO;
	return slots_open((char *)at + TOPIC_HEAD_BYTES, bytes - TOPIC_HEAD_BYTES, &t->slots);
}

static int open_new(struct topic *t, uint32_t size, uint32_t flags)
{
	struct client_rep rep;
	int fd = -1, err = connect_session(t->ctx, t);

	if (!err)
		err = ask(t, size, flags, &rep, &fd);
	if (!err)
		err = map_replica(t, rep.val[2], fd);
	if (fd >= 0)
		close(fd);
	return err;
}

static void topic_free(struct topic *t)
{
	session_close(&t->session);
	if (t->head)
		munmap(t->head, t->bytes);
	free(t);
}

int topic_open(struct dsm *ctx, const char *name, uint32_t size, uint32_t flags, struct topic **ret)
{
	struct topic *t;
	int err;

	if (!*name || strlen(name) >= TOPIC_NAME_MAX)
		return -EINVAL;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->ctx = ctx;
	t->session.fd = -1;
	strcpy(t->name, name);
	err = open_new(t, size, flags);
	if (err) {
		topic_free(t);
		return err;
	}
	pthread_mutex_lock(&contexts_lock);
	t->next = ctx->topics;
	ctx->topics = t;
	pthread_mutex_unlock(&contexts_lock);
	*ret = t;
	return 0;
}

void topic_close(struct topic *t)
{
	if (!t)
		return;
	pthread_mutex_lock(&contexts_lock);
	for (struct topic **at = &t->ctx->topics; *at; at = &(*at)->next)
		if (*at == t) {
			*at = t->next;
			break;
		}
	pthread_mutex_unlock(&contexts_lock);
	topic_free(t);
}

int topic_role(struct topic *t, uint32_t flags)
{
	struct client_rep rep;
	int fd = -1, err;

	if (topic_lost(t))
		return -ENOTCONN;
	err = ask(t, 0, flags, &rep, &fd);
	if (fd >= 0)
		close(fd);
	return err;
}

bool topic_lost(const struct topic *t)
{
	return atomic_load(&t->ctx->serial) != t->serial;
}

void topic_ring(struct topic *t)
{
	const struct client_req req = { .type = CLIENT_TOPIC_CHANGED };
	_Atomic uint32_t *rung = &t->head->rung;

	/* ORDER: the value, then the look at the bell; pairs with the agent's fence after clearing it. */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(rung, memory_order_relaxed) || !topic_publishes(t) ||
	    atomic_exchange(rung, 1))
		return;
	/* A full socket has earlier rings in it: the agent will look. */
	if (send(t->session.fd, &req, sizeof(req), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		atomic_store(rung, 0);
}

void topic_sessions_close(struct dsm *ctx)
{
	for (struct topic *t = ctx->topics; t; t = t->next)
		session_close(&t->session);
}
