// SPDX-License-Identifier: MIT
/*
 * The keeper: one thread of each process for all its channels. It has their
 * seats, lets their hearts beat, and looks at the other sides.
 *
 * A heart beats every millisecond while either side reads or writes. A tick costs 5 to 25 us
 * of processor, so that alone is more than a channel may cost that nobody uses: then it
 * beats, and is looked at, two and a half times in the time that the other side takes for silence.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "lib/channel/channel.h"

#define MS	     1000000ull
#define BEAT_NS	     (1 * MS)
#define BUSY_FOR_NS  (200 * MS)
#define SLACK_NS     (1 * MS / 10)
#define TELL_NS	     (500 * MS)
#define NOBODY_WAITS (3600ull * 1000 * MS)

struct job {
	int (*run)(struct dsm_channel *ch);
	struct dsm_channel *ch;
	int result;
	bool done;
	char error[256]; /* dsm_last_error() is the thread's */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wanted, finished = PTHREAD_COND_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct dsm_channel *channels;
static struct job *job; /* one at a time; whoever brings it has `bringing` */
static bool running;
static pthread_mutex_t bringing = PTHREAD_MUTEX_INITIALIZER;

void keeper_lock(void)
{
	pthread_mutex_lock(&lock);
}

void keeper_unlock(void)
{
	pthread_mutex_unlock(&lock);
}

/* How long until the next beat: by who uses the channel. */
static uint64_t beat_period(struct dsm_channel *ch, struct channel_seat *mine, uint64_t now)
{
	struct channel_seat *peer = &ch->place.header->seat[channel_peer_seat(ch)];
	uint64_t patience = atomic_load_explicit(&peer->stale_ms, memory_order_relaxed);

	if (atomic_load_explicit(&ch->used, memory_order_relaxed)) {
		atomic_store_explicit(&ch->used, 0, memory_order_relaxed);
		ch->busy_until_ns = now + BUSY_FOR_NS;
	}
	atomic_store_explicit(&mine->busy, now < ch->busy_until_ns, memory_order_relaxed);
	if (now < ch->busy_until_ns ||
	    (atomic_load_explicit(&peer->id, memory_order_relaxed) && !ch->watch.silent &&
	     atomic_load_explicit(&peer->busy, memory_order_relaxed)))
		return BEAT_NS;
	if (!patience || patience > ch->o.stale_ms)
		patience = ch->o.stale_ms;
	patience = patience * MS * 2 / 5;
	return patience > BEAT_NS ? patience : BEAT_NS;
}

static uint64_t beat(struct dsm_channel *ch, uint64_t now)
{
	struct channel_seat *mine;
	uint64_t period;

	if (atomic_load(&ch->role) == DSM_CHANNEL_OBSERVER)
		return NOBODY_WAITS;
	/* The agents see to hearts. */
	if (ch->place.seg->cluster) {
		seat_tell_counts(ch);
		return TELL_NS;
	}
	mine = &ch->place.header->seat[!channel_peer_seat(ch)];
	period = beat_period(ch, mine, now);
	atomic_store_explicit(&mine->period_us, (uint32_t)(period / 1000), memory_order_relaxed);
	atomic_store_explicit(&mine->beat_ns, now, memory_order_relaxed);
	atomic_store_explicit(&mine->beats,
			      atomic_load_explicit(&mine->beats, memory_order_relaxed) + 1,
			      memory_order_release);
	return period;
}

/* Beats and looks where it is time; when the next one is due. */
static uint64_t round_of_all(uint64_t now)
{
	uint64_t due = now + NOBODY_WAITS;

	for (struct dsm_channel *ch = channels; ch; ch = ch->next) {
		if (ch->due_ns <= now + SLACK_NS) {
			uint64_t late = now > ch->due_ns ? now - ch->due_ns : 0;
			uint64_t next = beat(ch, now);
			uint64_t look = peer_look(ch, now, late);

			ch->due_ns = now + (look < next ? look : next);
		}
		if (ch->due_ns < due)
			due = ch->due_ns;
	}
	return due;
}

static void *keep(void *unused)
{
	(void)unused;
	pthread_mutex_lock(&lock);
	for (;;) {
		uint64_t due;
		struct timespec t;

		if (job) {
			job->result = job->run(job->ch);
			(void)snprintf(job->error, sizeof(job->error), "%s", dsm_last_error());
			job->done = true;
			job = NULL;
			pthread_cond_broadcast(&finished);
		}
		due = round_of_all(seg_now_ns());
		if (job)
			continue;
		t = (struct timespec){ .tv_sec = (time_t)(due / 1000000000u),
				       .tv_nsec = (long)(due % 1000000000u) };
		(void)pthread_cond_timedwait(&wanted, &lock, &t);
	}
	return NULL;
}

/* The keeper is the parent's; its seats are too. */
static void fork_child(void)
{
	pthread_mutex_init(&lock, NULL);
	pthread_mutex_init(&bringing, NULL);
	for (struct dsm_channel *ch = channels; ch; ch = ch->next) {
		atomic_store(&ch->read_lock, 0);
		atomic_store(&ch->write_lock, 0);
		atomic_fetch_or(&ch->trouble, TROUBLE_FORKED);
		/* Its counts are its own. */
		if (ch->count != &ch->own_count)
			atomic_store(&ch->own_count.seen, atomic_load(&ch->count->seen));
		ch->count = &ch->own_count;
	}
	channels = NULL;
	running = false;
	job = NULL;
}

static void prepare(void)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&wanted, &attr);
	pthread_condattr_destroy(&attr);
	(void)pthread_atfork(NULL, NULL, fork_child);
}

/* Under the lock. No signal of the program's is handled by the keeper. */
static int start(void)
{
	sigset_t all, before;
	pthread_t thread;
	int err;

	if (running)
		return 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = -pthread_create(&thread, NULL, keep, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err)
		return seg_error(err, "no thread for channels' heartbeats");
	pthread_setname_np(thread, "dsm-channels");
	pthread_detach(thread);
	running = true;
	return 0;
}

int keeper_do(int (*run)(struct dsm_channel *ch), struct dsm_channel *ch)
{
	struct job mine = { .run = run, .ch = ch };
	int err;

	pthread_once(&once, prepare);
	pthread_mutex_lock(&bringing);
	pthread_mutex_lock(&lock);
	err = start();
	if (!err) {
		job = &mine;
		pthread_cond_signal(&wanted);
		while (!mine.done)
			pthread_cond_wait(&finished, &lock);
		err = mine.result < 0 ? seg_error(mine.result, "%s", mine.error) : mine.result;
	}
	pthread_mutex_unlock(&lock);
	pthread_mutex_unlock(&bringing);
	return err;
}

void keeper_add(struct dsm_channel *ch)
{
	ch->due_ns = 0;
	ch->watch.heard_ns = seg_now_ns();
	ch->next = channels;
	channels = ch;
}

void keeper_remove(struct dsm_channel *ch)
{
	for (struct dsm_channel **at = &channels; *at; at = &(*at)->next)
		if (*at == ch) {
			*at = ch->next;
			return;
		}
}

void keeper_hurry(struct dsm_channel *ch)
{
	pthread_mutex_lock(&lock);
	ch->due_ns = 0;
	pthread_cond_signal(&wanted);
	pthread_mutex_unlock(&lock);
}
