/* SPDX-License-Identifier: MIT */
/*
 * A descriptor that becomes readable when a message comes: an eventfd, and a thread of
 * the consumer's own that waits for the message as any other would and then writes to it. So
 * producers know nothing of it: it is good for every kind of ring and segment, nothing has to be
 * passed to anybody, and what is to be told although nobody sends it, the death of the other
 * side, is told too.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ring.h"

struct ring_poll {
	pthread_t thread;
	pthread_mutex_t lock; /* of armed, from */
	pthread_cond_t wanted;
	int fd;
	uint64_t serial; /* the segment's: the thread is that process's */
	bool armed;
	uint64_t from; /* SPSC: where the consumer stood when it armed */
	_Atomic bool stop;
};

/* There is something to receive, if only the end. The consumer's own position is not for us to read. */
static bool something(const dsm_ring_t *r, uint64_t from)
{
	if (r->kind == DSM_RING_SPSC ? !!atomic_load(header_at(r, from)) : ring_has_message(r))
		return true;
	return r->conn && conn_gone(r->conn);
}

/* Sleeps for a message once. True: there may be one. */
static bool wait_once(dsm_ring_t *r, uint64_t from)
{
	struct ring_sleep *s = r->sleep;
	uint32_t word;
	int err;

	ring_say(r, &s->sleepers, RING_POLLING, &s->producer_fences);
	word = atomic_load(&s->sleepers) | RING_POLLING;
	if (something(r, from))
		return true;
	/* ORDER: pairs with kick(): we see that it is to stop, or it sees the mark and takes it away. */
	if (atomic_load(&r->poll->stop))
		return false;
	err = seg_wait(r->seg, &s->sleepers, word, ring_slice(r, &s->producer_fences));
	ring_look(r, err);
	/* What else there is, the agent's end, is for the consumer to find. */
	return (err && err != -ETIMEDOUT && err != -EINTR) || something(r, from);
}

static void *watch(void *arg)
{
	dsm_ring_t *r = arg;
	struct ring_poll *p = r->poll;

	pthread_mutex_lock(&p->lock);
	while (!atomic_load(&p->stop)) {
		uint64_t from = p->from;
		bool ready;

		if (!p->armed) {
			pthread_cond_wait(&p->wanted, &p->lock);
			continue;
		}
		pthread_mutex_unlock(&p->lock);
		ready = wait_once(r, from);
		pthread_mutex_lock(&p->lock);
		if (ready && p->armed && p->from == from) {
			p->armed = false;
			(void)eventfd_write(p->fd, 1);
		}
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* No signal of the program's is handled by the thread. */
static int start(dsm_ring_t *r)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = -pthread_create(&r->poll->thread, NULL, watch, r);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err;
}

static int poll_new(dsm_ring_t *r)
{
	struct ring_poll *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	p->serial = atomic_load(&r->seg->serial);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wanted, NULL);
	p->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	r->poll = p;
	err = p->fd < 0 ? -errno : start(r);
	if (!err)
		return 0;
	r->poll = NULL;
	if (p->fd >= 0)
		close(p->fd);
	free(p);
	return err;
}

/* Wakes the thread wherever it sleeps. */
static void kick(dsm_ring_t *r)
{
	atomic_fetch_and(&r->sleep->sleepers, ~RING_POLLING);
	seg_wake(r->seg, &r->sleep->sleepers, INT_MAX);
}

static bool is_ours(const dsm_ring_t *r)
{
	return r->poll && r->poll->serial == atomic_load(&r->seg->serial);
}

void ring_fd_close(dsm_ring_t *r)
{
	struct ring_poll *p = r->poll;

	if (!p)
		return;
	/* In a forked child there is no thread, and the lock may be that of one. */
	if (is_ours(r)) {
		pthread_mutex_lock(&p->lock);
		atomic_store(&p->stop, true);
		pthread_cond_signal(&p->wanted);
		pthread_mutex_unlock(&p->lock);
		kick(r);
		pthread_join(p->thread, NULL);
		pthread_cond_destroy(&p->wanted);
		pthread_mutex_destroy(&p->lock);
	}
	close(p->fd);
	free(p);
	r->poll = NULL;
}

int dsm_ring_fd(dsm_ring_t *r)
{
	int err = ring_may_receive(r);

	if (err)
		return err;
	if (is_ours(r))
		return r->poll->fd;
	ring_fd_close(r);
	err = poll_new(r);
	return err ? seg_error(err, "ring: nothing to poll: %s", strerror(-err)) : r->poll->fd;
}

int dsm_ring_arm(dsm_ring_t *r)
{
	struct ring_poll *p = r->poll;
	eventfd_t count;
	int err = ring_may_receive(r);

	if (err)
		return err;
	if (!is_ours(r))
		return seg_error(-EINVAL, "ring: dsm_ring_fd() was not called");
	pthread_mutex_lock(&p->lock);
	(void)eventfd_read(p->fd, &count);
	p->from = r->take;
	p->armed = !something(r, p->from);
	if (p->armed)
		pthread_cond_signal(&p->wanted);
	err = !p->armed;
	pthread_mutex_unlock(&p->lock);
	return err;
}
