// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/listener.h"
#include "agent/log.h"

struct listener {
	uv_poll_t poll;
	uv_timer_t again; /* runs while the socket is left alone */
	int fd;
	const char *what;
	void (*ready)(void *ctx);
	void *ctx;
	bool starved;	  /* no connection could be taken, and none has been since */
	int open_handles; /* of poll and again; the last one to close frees */
};

static void listener_event(uv_poll_t *handle, int status, int events)
{
	struct listener *l = handle->data;

	(void)status;
	(void)events;
	l->ready(l->ctx);
}

static void listener_go_on(uv_timer_t *timer)
{
	struct listener *l = timer->data;

	uv_poll_start(&l->poll, UV_READABLE, listener_event);
}

static void listener_closed(uv_handle_t *handle)
{
	struct listener *l = handle->data;

	if (!--l->open_handles)
		free(l);
}

struct listener *listener_new(uv_loop_t *loop, int fd, const char *what, void (*ready)(void *ctx),
			      void *ctx)
{
	struct listener *l = calloc(1, sizeof(*l));

	if (!l || uv_poll_init(loop, &l->poll, fd)) {
		free(l);
		return NULL;
	}
	uv_timer_init(loop, &l->again);
	l->poll.data = l;
	l->again.data = l;
	l->open_handles = 2;
	l->fd = fd;
	l->what = what;
	l->ready = ready;
	l->ctx = ctx;
	uv_poll_start(&l->poll, UV_READABLE, listener_event);
	return l;
}

void listener_free(struct listener *l)
{
	if (!l)
		return;
	uv_close((uv_handle_t *)&l->poll, listener_closed);
	uv_close((uv_handle_t *)&l->again, listener_closed);
}

/* Errors that last until somebody lets go of something. */
static bool is_shortage(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOBUFS || err == ENOMEM;
}

int listener_accept(struct listener *l, struct sockaddr *sa, socklen_t *len)
{
	int fd = accept4(l->fd, sa, len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0) {
		if (l->starved)
			log_info("%s can connect again", l->what);
		l->starved = false;
		return fd;
	}
	if (!is_shortage(errno))
		return -1;
	if (!l->starved)
		log_error("%s cannot connect until descriptors are free again: %s", l->what,
			  strerror(errno));
	l->starved = true;
	uv_poll_stop(&l->poll);
	uv_timer_start(&l->again, listener_go_on, LISTENER_PAUSE_MS, 0);
	return -1;
}
