// SPDX-License-Identifier: MIT
/*
 * Locks. One whose token is at this node changes hands by a compare-and-swap
 * in the word that the agent and its programs share (agent/core/lock_word.h);
 * all else is a request to the agent.
 */
#include <dsm/context.h>
#include <errno.h>

#include "agent/core/lock_word.h"
#include "lib/context.h"
#include "lib/lock_table.h"

/* The word of lock @id where the calling thread may use it, else NULL. */
static inline _Atomic uint32_t *word_of(const dsm_t *ctx, uint32_t id)
{
	if (thread_memory.serial != atomic_load_explicit(&ctx->serial, memory_order_relaxed))
		return NULL;
	return lock_table_word(thread_memory.locks, id);
}

static __attribute__((noinline)) int lock_slow(dsm_t *ctx, uint32_t id, uint32_t flags,
					       uint64_t timeout_us)
{
	struct client_req req = {
		.arg = OP_LOCK,
		.id = id,
		.flags = flags,
		.timeout_us = timeout_us,
	};
	struct client_rep rep = { 0 };
	int err = thread_op(ctx, &req, &rep);
	_Atomic uint32_t *word;

	if ((!err || err == -EOWNERDEAD) && rep.val[0] < UINT32_MAX) {
		lock_table_add(thread_memory.locks, id, (uint32_t)rep.val[0]);
		word = word_of(ctx, id);
		/* ORDER: pairs with the release of the holder before, whichever way it let go. */
		if (word)
			(void)atomic_load_explicit(word, memory_order_acquire);
	}
	/* Asking another node takes time, but to try is not to wait. */
	if ((flags & F_TRY) && err == -ETIMEDOUT)
		return -EBUSY;
	return err == -EOWNERDEAD ? DSM_OWNER_DEAD : err;
}

int dsm_ctx_lock(dsm_t *ctx, uint32_t id)
{
	_Atomic uint32_t *word;

	if (!ctx)
		return -EINVAL;
	word = word_of(ctx, id);
	if (word && lock_word_try(word, thread_memory.client))
		return 0;
	return lock_slow(ctx, id, 0, CORE_NO_TIMEOUT);
}

int dsm_ctx_trylock(dsm_t *ctx, uint32_t id)
{
	_Atomic uint32_t *word;

	if (!ctx)
		return -EINVAL;
	word = word_of(ctx, id);
	if (word && lock_word_try(word, thread_memory.client))
		return 0;
	return lock_slow(ctx, id, F_TRY, 0);
}

int dsm_ctx_timedlock(dsm_t *ctx, uint32_t id, uint64_t timeout_us)
{
	_Atomic uint32_t *word;

	if (!ctx)
		return -EINVAL;
	word = word_of(ctx, id);
	if (word && lock_word_try(word, thread_memory.client))
		return 0;
	return lock_slow(ctx, id, 0, timeout_us);
}

static __attribute__((noinline)) int unlock_slow(dsm_t *ctx, uint32_t id)
{
	struct client_req req = { .arg = OP_UNLOCK, .id = id };
	_Atomic uint32_t *word = word_of(ctx, id);

	/* ORDER: the failed exchange released nothing; the next holder looks at the word. */
	if (word)
		(void)atomic_fetch_or_explicit(word, 0, memory_order_release);
	return thread_op(ctx, &req, NULL);
}

int dsm_ctx_unlock(dsm_t *ctx, uint32_t id)
{
	_Atomic uint32_t *word;

	if (!ctx)
		return -EINVAL;
	word = word_of(ctx, id);
#ifdef DSM_MUTANT_LIB_UNLOCK_BY_ANYBODY
	if (word && lock_word_leave(word, atomic_load(word) & LOCK_WORD_CLIENT))
		return 0;
#endif
	if (word && lock_word_leave(word, thread_memory.client))
		return 0;
	return unlock_slow(ctx, id);
}

static int rwlock(dsm_t *ctx, uint32_t id, uint32_t flags, uint64_t timeout_us)
{
	struct client_req req = {
		.arg = OP_RWLOCK, .id = id, .flags = flags, .timeout_us = timeout_us
	};
	int err;

	if (!ctx)
		return -EINVAL;
	if (!timeout_us)
		req.flags |= F_TRY;
	err = thread_op(ctx, &req, NULL);
	if (!timeout_us && err == -ETIMEDOUT)
		return -EBUSY;
	return err == -EOWNERDEAD ? DSM_OWNER_DEAD : err;
}

static int rwunlock(dsm_t *ctx, uint32_t id, uint32_t flags)
{
	struct client_req req = { .arg = OP_RWUNLOCK, .id = id, .flags = flags };

	return ctx ? thread_op(ctx, &req, NULL) : -EINVAL;
}

int dsm_rdlock(dsm_t *ctx, uint32_t id, uint64_t timeout_us)
{
	return rwlock(ctx, id, 0, timeout_us);
}

int dsm_wrlock(dsm_t *ctx, uint32_t id, uint64_t timeout_us)
{
	return rwlock(ctx, id, F_WRITE, timeout_us);
}

int dsm_rdunlock(dsm_t *ctx, uint32_t id)
{
	return rwunlock(ctx, id, 0);
}

int dsm_wrunlock(dsm_t *ctx, uint32_t id)
{
	return rwunlock(ctx, id, F_WRITE);
}
