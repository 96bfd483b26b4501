// SPDX-License-Identifier: MIT
/* The sessions of threads: made at need, closed with their thread. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/context.h"

__thread struct thread_memory thread_memory = { .serial = SERIAL_NEVER };
_Atomic(thread_ending_fn) thread_ending;

static int thread_session_open(struct dsm *ctx, struct thread_session *t)
{
	uint32_t kind = ctx->forked ? HELLO_ADMIN : HELLO_THREAD;
	int err;

	session_close(&t->s);
	pthread_mutex_lock(&ctx->control_lock);
	err = session_open(ctx->path, kind, ctx->forked ? 0 : ctx->control.client, &t->s, NULL);
	if (!err)
		(void)session_pipes(&t->s); /* if the agent goes now, the first request notices */
	t->serial = atomic_load(&ctx->serial);
	if (t->serial == SERIAL_LOST)
		t->serial = SERIAL_NEVER;
	t->locks = ctx->locks;
	pthread_mutex_unlock(&ctx->control_lock);
	if (err == -ENOENT || err == -ECONNREFUSED || err == -ESRCH || err == -ENOTCONN) {
		context_lost(ctx);
		return -ENOTCONN;
	}
	return err;
}

static struct thread_session *thread_session_new(struct dsm *ctx)
{
	struct thread_session *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->ctx = ctx;
	t->s.fd = -1;
	if (pthread_setspecific(ctx->thread_key, t)) {
		free(t);
		return NULL;
	}
	pthread_mutex_lock(&contexts_lock);
	t->next = ctx->threads;
	ctx->threads = t;
	pthread_mutex_unlock(&contexts_lock);
	return t;
}

int thread_session(struct dsm *ctx, struct session **ret)
{
	struct thread_session *t = pthread_getspecific(ctx->thread_key);
	int err;

	if (atomic_load(&ctx->lost)) {
		err = context_revive(ctx);
		if (err)
			return err;
	}
	if (!t) {
		t = thread_session_new(ctx);
		if (!t)
			return -ENOMEM;
	}
	if (t->s.fd < 0 || t->serial != atomic_load(&ctx->serial)) {
		err = thread_session_open(ctx, t);
		if (err)
			return err;
	}
	thread_memory = (struct thread_memory){ t->serial, t->locks, t->s.client };
	*ret = &t->s;
	return 0;
}

int thread_ahead_add(struct dsm *ctx, uint64_t key, uint64_t count, uint32_t flags)
{
	struct session *s;
	struct thread_session *t;
	int err = thread_session(ctx, &s);

	if (err)
		return err;
	t = pthread_getspecific(ctx->thread_key);
	if (t->nahead == CLIENT_AHEAD_MAX || count > UINT32_MAX)
		return -ENOSPC;
	t->ahead[t->nahead++] = (struct client_ahead){ key, (uint32_t)count, flags };
	return 0;
}

size_t thread_ahead_take(struct dsm *ctx, struct client_ahead *ret)
{
	struct thread_session *t = pthread_getspecific(ctx->thread_key);
	size_t n = t ? t->nahead : 0;

	if (!n)
		return 0;
	memcpy(ret, t->ahead, n * sizeof(*ret));
	t->nahead = 0;
	return n;
}

/* NULL: the context was closed, and the session with it. */
static struct dsm *context_of(const struct thread_session *t)
{
	struct dsm *ret = NULL;

	pthread_mutex_lock(&contexts_lock);
	for (struct dsm *ctx = contexts; ctx && !ret; ctx = ctx->next)
		for (struct thread_session *i = ctx->threads; i; i = i->next)
			if (i == t)
				ret = ctx;
	pthread_mutex_unlock(&contexts_lock);
	return ret;
}

/* A thread ends. Its context may have been closed meanwhile, with the session. */
void thread_session_end(void *arg)
{
	struct thread_session *t = arg;
	struct dsm *of = context_of(t);
	thread_ending_fn ending = atomic_load(&thread_ending);

	if (of && ending) {
		/* What ends first needs the session still. */
		(void)pthread_setspecific(of->thread_key, t);
		ending();
		(void)pthread_setspecific(of->thread_key, NULL);
	}
	pthread_mutex_lock(&contexts_lock);
	for (struct dsm *ctx = contexts; ctx; ctx = ctx->next) {
		for (struct thread_session **at = &ctx->threads; *at; at = &(*at)->next) {
			if (*at != t)
				continue;
			*at = t->next;
			session_close(&t->s);
			free(t);
			goto out;
		}
	}
out:
	pthread_mutex_unlock(&contexts_lock);
}

void thread_sessions_close(struct dsm *ctx)
{
	struct thread_session *t;

	pthread_mutex_lock(&contexts_lock);
	t = ctx->threads;
	ctx->threads = NULL;
	pthread_mutex_unlock(&contexts_lock);
	while (t) {
		struct thread_session *next = t->next;

		session_close(&t->s);
		free(t);
		t = next;
	}
}
