// SPDX-License-Identifier: MIT
/* Contexts come and go. */
#include <dsm/context.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "lib/context.h"
#include "lib/log.h"

#define DEFAULT_PORT	   9900
#define DEFAULT_TIMEOUT_MS 30000
#define TRIES		   5
#define LEAVE_TIMEOUT_MS   10000
#define KNOWN_FLAGS	   (DSM_OPEN_NO_START | DSM_OPEN_ANYWHERE)

pthread_mutex_t contexts_lock = PTHREAD_MUTEX_INITIALIZER;
struct dsm *contexts;

static int default_port(uint16_t *ret)
{
	const char *text = getenv("DSM_PORT");
	char *end;
	long port;

	*ret = DEFAULT_PORT;
	if (!text || !*text)
		return 0;
	port = strtol(text, &end, 10);
	if (*end || port < 1 || port > 65535)
		return -EINVAL;
	*ret = (uint16_t)port;
	return 0;
}

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int become_member(struct dsm *ctx, uint32_t timeout_ms)
{
	struct client_req req = { .arg = OP_READY };

	req.timeout_us = (timeout_ms ? timeout_ms : DEFAULT_TIMEOUT_MS) * 1000ull;
	return control_op(ctx, &req, NULL);
}

/* An agent, started where there is none; and membership in its cluster. */
static int find_node(struct dsm *ctx, const struct dsm_options *o, uint16_t port)
{
	int err = context_connect(ctx);

	if (err == -ENOENT || err == -ECONNREFUSED)
		err = o->flags & DSM_OPEN_NO_START ? -ENOENT : agent_start(ctx, o, port);
	if (!err)
		err = become_member(ctx, o->timeout_ms);
	return err ? err : region_map(ctx, "default", &ctx->home);
}

static int context_open(struct dsm *ctx, const struct dsm_options *o, uint16_t port)
{
	int err = session_path(o->rundir, port, ctx->path, sizeof(ctx->path));

	if (err)
		return err;
	for (int i = 0; i < TRIES; i++) {
		err = find_node(ctx, o, port);
		if (err != -ENOTCONN && err != -ESHUTDOWN)
			break;
		/* That one was on its way out. */
		context_disconnect(ctx);
		atomic_store(&ctx->lost, false);
		if (ctx->agent_life >= 0)
			close(ctx->agent_life);
		ctx->agent_life = -1;
		ctx->started = false;
		poll(NULL, 0, 20);
	}
	return err ? err : watch_start(ctx);
}

static void contexts_add(struct dsm *ctx)
{
	pthread_mutex_lock(&contexts_lock);
	ctx->next = contexts;
	contexts = ctx;
	pthread_mutex_unlock(&contexts_lock);
}

static void contexts_remove(struct dsm *ctx)
{
	struct dsm **at = &contexts;

	pthread_mutex_lock(&contexts_lock);
	while (*at && *at != ctx)
		at = &(*at)->next;
	if (*at)
		*at = ctx->next;
	pthread_mutex_unlock(&contexts_lock);
}

/* The agent is ours and leaves in peace, for as long as that takes within reason. */
static void agent_stop(struct dsm *ctx)
{
	struct timeval patience = { .tv_sec = LEAVE_TIMEOUT_MS / 1000 };
	struct client_req req = { .type = CLIENT_LEAVE };
	uint64_t deadline = now_ms() + LEAVE_TIMEOUT_MS;

	(void)setsockopt(ctx->control.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	(void)session_ask(&ctx->control, &req, NULL);
	session_close(&ctx->control);
	while (!agent_ended(ctx, 100) && now_ms() < deadline)
		;
}

void dsm_close(dsm_t *ctx)
{
	if (!ctx)
		return;
	watch_stop(ctx);
	contexts_remove(ctx);
	pthread_key_delete(ctx->thread_key);
	thread_sessions_close(ctx);
	while (ctx->regions)
		region_unmap(ctx->regions);
	if (ctx->started && !atomic_load(&ctx->lost))
		agent_stop(ctx);
	if (ctx->agent_life >= 0)
		close(ctx->agent_life);
	context_disconnect(ctx);
	pthread_mutex_destroy(&ctx->control_lock);
	pthread_mutex_destroy(&ctx->regions_lock);
	free(ctx);
}

int dsm_open(const struct dsm_options *options, dsm_t **ret)
{
	static const struct dsm_options defaults;
	const struct dsm_options *o = options ? options : &defaults;
	uint16_t port = o->port;
	struct dsm *ctx;
	int err = port ? 0 : default_port(&port);

	if (err || !ret || (o->flags & ~KNOWN_FLAGS))
		return -EINVAL;
	ctx = calloc(1, sizeof(*ctx));
	if (!ctx)
		return -ENOMEM;
	ctx->control.fd = -1;
	ctx->agent_life = -1;
	ctx->anywhere = o->flags & DSM_OPEN_ANYWHERE;
	pthread_mutex_init(&ctx->control_lock, NULL);
	pthread_mutex_init(&ctx->regions_lock, NULL);
	err = -pthread_key_create(&ctx->thread_key, thread_session_end);
	if (err) {
		free(ctx);
		return err;
	}
	fork_watch();
	contexts_add(ctx);
	err = context_open(ctx, o, port);
	if (err) {
		dsm_close(ctx);
		return err;
	}
	*ret = ctx;
	return 0;
}
