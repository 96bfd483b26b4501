// SPDX-License-Identifier: MIT
/* A context's connection to its agent, and to the agent after that. */
#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "lib/context.h"
#include "lib/lock_table.h"
#include "lib/log.h"

/* How long the module keeps programs waiting for an agent to come again, by default. */
#define REVIVE_MS      10000
#define REVIVE_STEP_MS 20

static _Atomic uint64_t last_serial;

int context_connect(struct dsm *ctx)
{
	uint32_t hello = ctx->forked ? HELLO_ADMIN
				     : HELLO_PROGRAM | (ctx->started ? HELLO_OWNER : 0);
	struct lock_table *locks;
	struct session_welcome w;
	int err = session_open(ctx->path, hello, 0, &ctx->control, &w);

	if (err)
		return err;
	ctx->pager = w.pager;
	ctx->port = w.port;
	err = lock_table_new(w.lock_fd, w.lock_words, w.lock_stride, &locks);
	if (w.lock_fd >= 0)
		close(w.lock_fd);
	if (err) {
		session_close(&ctx->control);
		return err;
	}
	locks->older = ctx->locks;
	ctx->locks = locks;
	atomic_store(&ctx->lost, false);
	atomic_store(&ctx->serial, atomic_fetch_add(&last_serial, 1) + 1);
	return 0;
}

void context_disconnect(struct dsm *ctx)
{
	atomic_store(&ctx->serial, SERIAL_LOST);
	session_close(&ctx->control);
	lock_table_free(ctx->locks);
	ctx->locks = NULL;
}

void context_lost(struct dsm *ctx)
{
	/* The serial goes too: no more locks by the fast path. */
	atomic_store(&ctx->serial, SERIAL_LOST);
	atomic_store(&ctx->lost, true);
}

/*
 * Under the module, pages outlive an agent: its successor takes the node over
 * and programs only connect again. Locks that were held are not kept: the
 * cluster handed them on.
 */
int context_revive(struct dsm *ctx)
{
	const struct timespec step = { .tv_nsec = REVIVE_STEP_MS * 1000000L };
	int err = -ENOTCONN;

	if (ctx->pager != CLIENT_PAGER_KMOD || ctx->started)
		return -ENOTCONN;
	pthread_mutex_lock(&ctx->control_lock);
	if (!atomic_load(&ctx->lost)) {
		pthread_mutex_unlock(&ctx->control_lock);
		return 0; /* another thread did it */
	}
	session_close(&ctx->control);
	for (int waited = 0; err && waited < REVIVE_MS; waited += REVIVE_STEP_MS) {
		err = context_connect(ctx);
		if (err)
			nanosleep(&step, NULL);
	}
	pthread_mutex_unlock(&ctx->control_lock);
	if (ctx->forked && !err)
		return 0;
	log_line(err ? LOG_ERROR : LOG_INFO, "port %u: the agent has gone%s", ctx->port,
		 err ? ", and none came after it" : "; connected to its successor");
	return err ? -ENOTCONN : 0;
}
