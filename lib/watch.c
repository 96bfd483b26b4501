// SPDX-License-Identifier: MIT
/*
 * A thread watches the control session, whose end is the agent's.
 *
 * Under userfaultfd the pages of a program are only as good as its agent: when
 * that dies, faults would wait for ever and pages that are present would
 * slowly become lies. So the memory turns into SIGBUS, and at once, because no
 * agent can come after it that would know the pages. Under the module they
 * live on; only locks must not be taken by the fast path any more.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/context.h"
#include "lib/log.h"

static void poison_all(struct dsm *ctx)
{
	log_line(LOG_ERROR, "port %u: the agent has gone: its memory is SIGBUS from now on",
		 ctx->port);
	pthread_mutex_lock(&ctx->regions_lock);
	for (struct dsm_region *r = ctx->regions; r; r = r->next)
		region_poison(r);
	pthread_mutex_unlock(&ctx->regions_lock);
}

static void *watch(void *arg)
{
	struct dsm *ctx = arg;
	struct pollfd p[2] = {
		{ .events = POLLRDHUP },
		{ .fd = ctx->watch_stop, .events = POLLIN },
	};

	do {
		pthread_mutex_lock(&ctx->control_lock);
		p[0].fd = ctx->control.fd;
		pthread_mutex_unlock(&ctx->control_lock);
		while (poll(p, 2, -1) < 0 || !(p[0].revents | p[1].revents))
			;
		if (p[1].revents)
			return NULL;
		context_lost(ctx);
	} while (!context_revive(ctx));
	if (ctx->pager == CLIENT_PAGER_UFFD)
		poison_all(ctx);
	return NULL;
}

int watch_start(struct dsm *ctx)
{
	sigset_t all, before;
	int err;

	ctx->watch_stop = eventfd(0, EFD_CLOEXEC);
	if (ctx->watch_stop < 0)
		return -errno;
	/* The program's signals are for its own threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&ctx->watcher, NULL, watch, ctx);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err) {
		close(ctx->watch_stop);
		return -err;
	}
	ctx->watching = true;
	return 0;
}

void watch_stop(struct dsm *ctx)
{
	const uint64_t one = 1;

	if (!ctx->watching)
		return;
	ctx->watching = false;
	(void)!write(ctx->watch_stop, &one, sizeof(one));
	pthread_join(ctx->watcher, NULL);
	close(ctx->watch_stop);
}
