// SPDX-License-Identifier: MIT
/* Requests to the agent: who sends them, and what happens when it has gone. */
#include <errno.h>

#include "lib/context.h"

/* One more try when the agent went and came again, for what does no harm twice. */
static bool repeatable(const struct client_req *req)
{
	if (req->type != CLIENT_OP)
		return req->type != CLIENT_LEAVE;
	switch (req->arg) {
	case OP_ALLOC:
	case OP_BARRIER:
	case OP_FREE:
	case OP_UNLOCK:
	case OP_RWUNLOCK:
		return false;
	default:
		return true;
	}
}

int control_ask(struct dsm *ctx, struct client_req *req, struct client_rep *rep)
{
	int err = 0;

	for (int i = 0; i < 2; i++) {
		if (atomic_load(&ctx->lost))
			err = context_revive(ctx);
		if (err)
			return err;
		pthread_mutex_lock(&ctx->control_lock);
		err = session_ask(&ctx->control, req, rep);
		if (err == -ENOTCONN)
			context_lost(ctx);
		pthread_mutex_unlock(&ctx->control_lock);
		if (err != -ENOTCONN || !repeatable(req))
			return err;
		err = 0;
	}
	return -ENOTCONN;
}

int control_op(struct dsm *ctx, struct client_req *req, struct client_rep *rep)
{
	req->type = CLIENT_OP;
	return control_ask(ctx, req, rep);
}

int thread_op(struct dsm *ctx, struct client_req *req, struct client_rep *rep)
{
	return thread_op_with(ctx, req, NULL, rep);
}

int thread_op_with(struct dsm *ctx, struct client_req *req, const void *payload,
		   struct client_rep *rep)
{
	struct client_rep own;
	struct session *s;
	int err;

	req->type = CLIENT_OP;
	for (int i = 0; i < 2; i++) {
		err = thread_session(ctx, &s);
		if (err)
			return err;
		err = session_ask_with(s, req, payload, rep ? rep : &own);
		if (err != -ENOTCONN)
			return err;
		session_close(s);
		context_lost(ctx);
		if (!repeatable(req))
			return err;
	}
	return err;
}
