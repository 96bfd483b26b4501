// SPDX-License-Identifier: MIT
/* Barriers, and waiting for a word of shared memory to change. */
#include <dsm/context.h>
#include <errno.h>
#include <stdatomic.h>

#include "lib/context.h"

int dsm_barrier_wait(dsm_t *ctx, uint32_t id, uint32_t count, uint64_t timeout_us)
{
	struct client_req req = {
		.arg = OP_BARRIER,
		.id = id,
		.count = count,
		.timeout_us = timeout_us,
	};

	struct client_ahead ahead[CLIENT_AHEAD_MAX];
	size_t n;

	if (!ctx)
		return -EINVAL;
	n = thread_ahead_take(ctx, ahead);
	req.length = (uint32_t)(n * sizeof(ahead[0]));
	return thread_op_with(ctx, &req, ahead, NULL);
}

static int wait_key(dsm_t *ctx, const void *addr, uint64_t *ret)
{
	struct dsm_region *r;

	if (!ctx || (uintptr_t)addr % sizeof(uint32_t))
		return -EINVAL;
	pthread_mutex_lock(&ctx->regions_lock);
	r = region_of(ctx, addr);
	if (r)
		*ret = region_key(r, addr);
	pthread_mutex_unlock(&ctx->regions_lock);
	return r ? 0 : -EINVAL;
}

int dsm_wake(dsm_t *ctx, const void *addr)
{
	struct client_req req = { .arg = OP_WAKE };
	struct client_rep rep;
	int err = wait_key(ctx, addr, &req.key);

	if (!err)
		err = control_op(ctx, &req, &rep);
	return err ? err : (int)rep.val[0];
}

/*
 * First armed, then looked at: a store that comes between takes the page away
 * from this node after the arming, and so wakes.
 */
int dsm_wait(dsm_t *ctx, const void *addr, uint32_t expected, uint64_t timeout_us)
{
	const _Atomic uint32_t *word = addr;
	struct client_req req = { .type = CLIENT_OP, .arg = OP_WAIT, .timeout_us = timeout_us };
	struct client_rep rep;
	struct session *s;
	int err = wait_key(ctx, addr, &req.key);

	if (err)
		return err;
	if (atomic_load(word) != expected)
		return 0;
	err = thread_session(ctx, &s);
	if (!err)
		err = session_ask(s, &req, &rep);
	if (err || rep.val[0])
		return err;
	/* Changed meanwhile: wake ourselves, which ends the request in an orderly way. */
	if (atomic_load(word) != expected)
		(void)dsm_wake(ctx, addr);
	return session_await(s, &rep);
}
