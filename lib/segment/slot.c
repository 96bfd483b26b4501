// SPDX-License-Identifier: MIT
/* Participants: how threads get slots and give them back, and what fork() does to them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib/context.h"
#include "lib/segment/private.h"

__thread struct seg_tls seg_tls[SEG_TLS] __attribute__((tls_model("initial-exec")));

static pthread_key_t thread_key;
static pthread_once_t thread_once = PTHREAD_ONCE_INIT;
static uint64_t process_id;

uint64_t seg_new_serial(void)
{
	static _Atomic uint64_t last;

	return atomic_fetch_add(&last, 1) + 1;
}

int slot_claim(dsm_segment_t *seg, uint32_t index)
{
	_Atomic uint64_t *word = &seg->priv->claimed[index / 64];
	uint64_t bit = 1ull << (index % 64);
	int err;

	if (atomic_fetch_or(word, bit) & bit)
		return -EBUSY;
	err = seg->backend->claim(seg, index);
	if (err)
		atomic_fetch_and(word, ~bit);
	return err;
}

void slot_release(dsm_segment_t *seg, uint32_t index)
{
	seg->backend->release(seg, index);
	atomic_fetch_and(&seg->priv->claimed[index / 64], ~(1ull << (index % 64)));
}

int slot_claim_dead(dsm_segment_t *seg, uint32_t index)
{
	_Atomic uint64_t *word = &seg->priv->recovering[index / 64];
	uint64_t bit = 1ull << (index % 64);
	int err = -EBUSY;

	if (atomic_fetch_or(word, bit) & bit)
		return -EBUSY;
	if (!(atomic_load(&seg->priv->claimed[index / 64]) & bit))
		err = seg->backend->claim_dead(seg, index);
	if (err)
		atomic_fetch_and(word, ~bit);
	return err;
}

void slot_release_dead(dsm_segment_t *seg, uint32_t index)
{
	seg->backend->release_dead(seg, index);
	atomic_fetch_and(&seg->priv->recovering[index / 64], ~(1ull << (index % 64)));
}

/* The slot is claimed and free: it is @self from now on. */
static void fill(dsm_segment_t *seg, struct seg_slot *s)
{
	uint32_t generation = (atomic_load(&s->id) >> 11) + 1;
	uint32_t id = (generation << 11 | (uint32_t)(s - seg->slots)) & SEG_ID_MASK;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	for (int i = 0; i < SEG_HELD_MAX; i++)
		atomic_store(&s->held[i], 0);
	memset(s->grains_area, 0, sizeof(*s) - offsetof(struct seg_slot, grains_area));
	s->pid = (uint32_t)getpid();
	s->tid = (uint32_t)syscall(SYS_gettid);
	s->uid = getuid();
	s->node = seg->backend->node ? seg->backend->node(seg) : 0;
	s->process = process_id;
	s->since_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	if (!(id >> 11)) /* generations start over, past 0 */
		id |= 1u << 11;
	atomic_store(&s->id, id);
	atomic_store(&s->state, SLOT_USED);
}

/*
 * Look at a few slots for dead ones, so that they do not pile up: each who comes goes on where the
 * last one ended, whatever their processes, so that all are looked at. Where as many die as
 * come, with n looks one in n of those in use is dead.
 */
static void probe(dsm_segment_t *seg, uint32_t n)
{
	uint32_t high = atomic_load(&seg->header->slots_high);

	if (high > SEG_MAKER_SLOT)
		high = SEG_MAKER_SLOT;
	for (uint32_t looks = high; n && looks; looks--) {
#ifdef DSM_MUTANT_SEG_DEAD_PILE_UP
		uint32_t at = high - looks;
#else
		uint32_t at = atomic_fetch_add(&seg_common(seg)->probe, 1) % high;
#endif
		struct seg_slot *s = &seg->slots[at];
		seg_id id = atomic_load(&s->id);

		if (atomic_load(&s->state) == SLOT_FREE)
			continue;
		n--;
		if (!seg_alive(seg, id))
			(void)seg_recover(seg, id);
	}
}

/* The memory of slot @index, the first that has none, is there. */
static int raise_high(dsm_segment_t *seg, uint32_t index)
{
	uint32_t high = index;
	int err = seg->backend->commit(seg, SEG_SLOTS_AT + (uint64_t)index * SEG_PAGE, SEG_PAGE);

	if (err)
		return err;
	while (high <= index &&
	       !atomic_compare_exchange_weak(&seg->header->slots_high, &high, index + 1))
		;
	return 0;
}

static int take_slot(dsm_segment_t *seg, struct seg_slot **ret)
{
	uint32_t high = atomic_load(&seg->header->slots_high);
	int err = 0;

	for (uint32_t i = 0; i < SEG_MAKER_SLOT; i++) {
		struct seg_slot *s = &seg->slots[i];

		if (i < high && atomic_load(&s->state) != SLOT_FREE)
			continue;
		err = slot_claim(seg, i);
		if (err == -EBUSY)
			continue;
		if (!err && i >= high)
			err = raise_high(seg, i);
		if (err)
			break;
		if (atomic_load(&s->state) == SLOT_FREE) {
			fill(seg, s);
			*ret = s;
			return 0;
		}
		slot_release(seg, i);
	}
	return err && err != -EBUSY ? err : -EUSERS;
}

static void leave_slot(dsm_segment_t *seg, struct seg_slot *s)
{
	struct seg_tls *tls = seg_tls_of(atomic_load(&seg->serial)), before = *tls;

	/* An orderly end is what is done after a kill, by oneself. */
	*tls = (struct seg_tls){ atomic_load(&seg->serial), s };
	seg_recover_layers(seg, s, SEG_LAYERS - 1);
	*tls = before.slot == s ? (struct seg_tls){ 0 } : before;
	atomic_store(&s->state, SLOT_FREE);
	slot_release(seg, (uint32_t)(s - seg->slots));
}

static struct seg_thread *unlink_thread(struct seg_private *p, pthread_t thread)
{
	struct seg_thread *t, **at;

	pthread_mutex_lock(&p->lock);
	for (at = &p->threads; (t = *at); at = &t->next)
		if (pthread_equal(t->thread, thread)) {
			*at = t->next;
			break;
		}
	pthread_mutex_unlock(&p->lock);
	return t;
}

/*
 * The calling thread gives back its slots. In a cluster before its session ends, which holds them:
 * without it they would be a dead one's, and others would clean up while it does.
 */
static void give_back_slots(void)
{
	pthread_mutex_lock(&seg_handles_lock);
	for (struct seg_private *p = seg_handles; p; p = p->next) {
		struct seg_thread *t = unlink_thread(p, pthread_self());

		if (t) {
			leave_slot(&p->seg, t->slot);
			free(t);
		}
	}
	pthread_mutex_unlock(&seg_handles_lock);
}

static void thread_end(void *unused)
{
	(void)unused;
	give_back_slots();
}

static void fork_child(void)
{
	process_id = 0;
	(void)!getrandom(&process_id, sizeof(process_id), 0);
	pthread_mutex_init(&seg_handles_lock, NULL);
	for (struct seg_private *p = seg_handles; p; p = p->next) {
		atomic_store(&p->seg.serial, seg_new_serial());
		pthread_mutex_init(&p->lock, NULL);
		while (p->threads) {
			struct seg_thread *t = p->threads;

			p->threads = t->next;
			free(t);
		}
		for (unsigned int i = 0; i < SEG_SLOTS / 64; i++) {
			atomic_store(&p->claimed[i], 0);
			atomic_store(&p->recovering[i], 0);
		}
		for (int i = 0; i < SEG_PENDING; i++)
			atomic_store(&p->pending[i], 0);
		atomic_store(&p->npending, 0);
		p->seg.backend->forked(&p->seg);
	}
}

static void prepare_threads(void)
{
	(void)!getrandom(&process_id, sizeof(process_id), 0);
	(void)pthread_key_create(&thread_key, thread_end);
	atomic_store(&thread_ending, give_back_slots);
	(void)pthread_atfork(NULL, NULL, fork_child);
}

struct seg_slot *seg_self_slow(dsm_segment_t *seg)
{
	struct seg_private *p = seg->priv;
	struct seg_thread *t;
	int err;

	pthread_once(&thread_once, prepare_threads);
	pthread_mutex_lock(&p->lock);
	for (t = p->threads; t && !pthread_equal(t->thread, pthread_self()); t = t->next)
		;
	pthread_mutex_unlock(&p->lock);
	if (!t) {
		t = calloc(1, sizeof(*t));
		if (!t)
			return NULL;
		probe(seg, seg->backend->probes);
		err = take_slot(seg, &t->slot);
		if ((err == -EUSERS || err == -ENOSPC) && dsm_segment_recover(seg) > 0)
			err = take_slot(seg, &t->slot);
		if (err) {
			free(t);
			(void)seg_error(err, "%s: no slot for a participant: %s", p->uri,
					strerror(-err));
			return NULL;
		}
		t->thread = pthread_self();
		pthread_setspecific(thread_key, t);
		pthread_mutex_lock(&p->lock);
		t->next = p->threads;
		p->threads = t;
		pthread_mutex_unlock(&p->lock);
	}
	*seg_tls_of(atomic_load(&seg->serial)) = (struct seg_tls){ atomic_load(&seg->serial),
								   t->slot };
	return t->slot;
}

void seg_threads_leave(struct seg_private *p)
{
	while (p->threads) {
		struct seg_thread *t = p->threads;

		p->threads = t->next;
		leave_slot(&p->seg, t->slot);
		free(t);
	}
}
