// SPDX-License-Identifier: MIT
/*
 * What becomes of contexts in a child of fork().
 *
 * A child holds nothing of its parent's: no session (their ends are the
 * parent's), so no lock. It connects on its own, and as no participant, because a
 * barrier of all nodes would wait for a child that never comes. Under the
 * module its memory is the inherited mapping. Under userfaultfd a mapping
 * without its userfaultfd would be a hole in the protocol, so it is not
 * inherited; the child maps it anew before fork() returns, because nobody can
 * tell when it will touch it.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/context.h"
#include "lib/log.h"

static void before(void)
{
	pthread_mutex_lock(&contexts_lock);
	for (struct dsm *ctx = contexts; ctx; ctx = ctx->next) {
		pthread_mutex_lock(&ctx->regions_lock);
		pthread_mutex_lock(&ctx->control_lock);
	}
}

static void after_in_parent(void)
{
	for (struct dsm *ctx = contexts; ctx; ctx = ctx->next) {
		pthread_mutex_unlock(&ctx->control_lock);
		pthread_mutex_unlock(&ctx->regions_lock);
	}
	pthread_mutex_unlock(&contexts_lock);
}

static void remap_all(struct dsm *ctx)
{
	int err = context_connect(ctx);

	for (struct dsm_region *r = ctx->regions; r && !err; r = r->next)
		err = region_remap(r);
	if (!err)
		err = watch_start(ctx);
	if (!err)
		return;
	context_lost(ctx);
	log_line(LOG_WARN, "port %u: the child of a fork has no shared memory: %s", ctx->port,
		 err == -EOPNOTSUPP ? "kernels before 6.4 let one program of a node map it"
				    : strerror(-err));
}

static void begin_again(struct dsm *ctx)
{
	pthread_mutex_init(&ctx->control_lock, NULL);
	pthread_mutex_init(&ctx->regions_lock, NULL);
	(void)pthread_setspecific(ctx->thread_key, NULL);
	session_close(&ctx->control);
	if (ctx->watching)
		close(ctx->watch_stop);
	if (ctx->agent_life >= 0)
		close(ctx->agent_life);
	ctx->agent_life = -1;
	ctx->watching = false;
	ctx->started = false;
	ctx->forked = true;
	if (atomic_load(&ctx->lost))
		return;
	/* Under the module, connecting can wait until it is needed. */
	context_lost(ctx);
	if (ctx->pager == CLIENT_PAGER_UFFD)
		remap_all(ctx);
}

static void after_in_child(void)
{
	pthread_mutex_init(&contexts_lock, NULL);
	for (struct dsm *ctx = contexts; ctx; ctx = ctx->next) {
		for (struct dsm_region *r = ctx->regions; r && ctx->pager == CLIENT_PAGER_UFFD;
		     r = r->next)
			region_reserve(r);
	}
	for (struct dsm *ctx = contexts; ctx; ctx = ctx->next) {
		thread_sessions_close(ctx);
		topic_sessions_close(ctx);
		begin_again(ctx);
	}
}

static void install(void)
{
	(void)pthread_atfork(before, after_in_parent, after_in_child);
}

void fork_watch(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, install);
}
