// SPDX-License-Identifier: MIT
/*
 * When no agent serves the port: start one, and only one. Programs that start
 * at the same time take turns by the name of a socket in the abstract space,
 * which needs no file and ends with its holder. An agent that is on its way out
 * still holds its lock file: the next one waits for that.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/context.h"

#define START_TIMEOUT_MS 15000
#define STEP_MS		 2

bool agent_ended(const struct dsm *ctx, int ms)
{
	struct pollfd p = { .fd = ctx->agent_life, .events = POLLIN };

	return poll(&p, 1, ms) > 0;
}

static bool nobody_there(int err)
{
	return err == -ENOENT || err == -ECONNREFUSED;
}

/* The right to start an agent for this socket; -EADDRINUSE: another program has it. */
static int turn_take(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t len = strlen(path), most = 90;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return -errno;
	/* Of a long path the end: it has the port. */
	snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, "dsm-start:%.90s",
		 len > most ? path + len - most : path);
	if (!bind(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

/* An agent that does not serve (yet, or any more) has the port. */
static bool port_taken(const char *path)
{
	char lock[LIB_PATH + 8];
	size_t stem = strlen(path) - strlen(".sock");
	bool taken;
	int fd;

	snprintf(lock, sizeof(lock), "%.*s.lock", (int)stem, path);
	fd = open(lock, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	taken = flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
	close(fd);
	return taken;
}

/* Our agent, until it serves or has ended. */
static int spawn_and_connect(struct dsm *ctx, const struct dsm_options *o, uint16_t port,
			     uint64_t deadline)
{
	bool ended = false;
	int err = agent_spawn(o, port, &ctx->agent_life);

	if (err)
		return err;
	do {
		ended = agent_ended(ctx, STEP_MS);
		ctx->started = !ended;
		err = context_connect(ctx);
	} while (nobody_there(err) && !ended && now_ms() < deadline);
	if (ctx->started)
		return nobody_there(err) ? -ETIMEDOUT : err;
	close(ctx->agent_life);
	ctx->agent_life = -1;
	return nobody_there(err) ? -ECONNREFUSED : err;
}

/* One try in our turn. -EAGAIN: the port is another agent's, for the moment. */
static int try_start(struct dsm *ctx, const struct dsm_options *o, uint16_t port, uint64_t deadline)
{
	int err = context_connect(ctx);

	if (!nobody_there(err))
		return err;
	if (port_taken(ctx->path))
		return -EAGAIN;
	err = spawn_and_connect(ctx, o, port, deadline);
	/* Lost to an agent that was started by other hands at the same moment. */
	return err == -ECONNREFUSED && port_taken(ctx->path) ? -EAGAIN : err;
}

int agent_start(struct dsm *ctx, const struct dsm_options *o, uint16_t port)
{
	uint64_t deadline = now_ms() + START_TIMEOUT_MS;
	int err, turn;

	for (;;) {
		turn = turn_take(ctx->path);
		err = turn < 0 ? turn : try_start(ctx, o, port, deadline);
		if (turn >= 0)
			close(turn);
		if (err != -EAGAIN && err != -EADDRINUSE)
			return err;
		if (now_ms() >= deadline)
			return -ETIMEDOUT;
		poll(NULL, 0, STEP_MS);
		/* Whoever had the turn may have brought an agent for all of us. */
		err = context_connect(ctx);
		if (!nobody_there(err))
			return err;
	}
}
