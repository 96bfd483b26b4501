/* SPDX-License-Identifier: MIT */
/*
 * How a side of a ring waits, and how it is woken.
 *
 * A waiter spins first, for as long as that has paid off lately, then says in a word that it
 * sleeps, looks once more and sleeps on that word. The other side looks at the word after each
 * message. Of these two, "write mine, then read yours", at least one must see the other, which
 * takes a full barrier on both sides. For the one that sends millions a second that is most of
 * its work, so:
 *
 *  - A producer that has lately woken somebody orders its commits itself, and says so
 *    (producer_fences).
 *  - One that has not for a while leaves it to the sleeper, who calls membarrier(): a barrier
 *    on all CPUs where registered processes run. That costs a microsecond, and the sleeper was
 *    going to lose one anyway.
 *
 * Where membarrier() is of no use (other nodes, old kernels) everyone orders by itself.
 */
#include <errno.h>
#include <limits.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ring.h"

bool ring_has_membarrier(void)
{
	/* Anew for each ring: the registration is the process's, which fork() may have made. */
	return !syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0);
}

void ring_say(const dsm_ring_t *r, _Atomic uint32_t *word, uint32_t bits,
	      _Atomic uint32_t *by_themselves)
{
	atomic_fetch_or(word, bits);
	if (!atomic_load(by_themselves) && !r->fences)
		syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0);
}

/* Briefly where a wake-up may be missed after all. */
uint64_t ring_slice(const dsm_ring_t *r, const _Atomic uint32_t *by_themselves)
{
	if (r->fences && !atomic_load(by_themselves))
		return 1000;
	return r->conn || r->kind == DSM_RING_MPMC ? RING_LOOK_US : RING_SLICE_US;
}

void ring_look(dsm_ring_t *r, int err)
{
	if (r->conn)
		(void)conn_look_seldom(r->conn);
	else if (err == -ETIMEDOUT && r->kind == DSM_RING_MPMC)
		(void)mpmc_bury(r);
}

uint64_t ring_deadline(int64_t timeout_us)
{
	return timeout_us < 0 ? UINT64_MAX : seg_now_ns() + (uint64_t)timeout_us * 1000;
}

/*
 * MPMC: the header where the next is taken, while that is still the place. If it is not, a
 * producer may be writing there, and what was read is thrown away; ThreadSanitizer does not see
 * that.
 */
static __attribute__((noinline, no_sanitize("thread"))) uint64_t header_to_take(const dsm_ring_t *r)
{
	uint64_t take, h;

	do {
		take = atomic_load(&r->consumer->take);
		h = atomic_load(header_at(r, take & ~7ull));
	} while (take != atomic_load(&r->consumer->take));
	return h;
}

bool ring_has_message(const dsm_ring_t *r)
{
	uint64_t h;

	if (r->kind == DSM_RING_SPSC)
		return atomic_load(header_at(r, r->take));
	if (atomic_load(&r->consumer->again))
		return true;
	h = header_to_take(r);
	return h && header_state(h) != RING_RESERVED;
}

bool ring_ask(dsm_ring_t *r, uint32_t bits)
{
	/* ORDER: pairs with ring_post(): one of us sees the other's store. */
	ring_say(r, &r->sleep->sleepers, bits, &r->sleep->producer_fences);
	return ring_has_message(r);
}

/* Sleeps on @word once. -ETIMEDOUT: until @deadline; 0: look again. */
static int sleep_once(dsm_ring_t *r, _Atomic uint32_t *word, uint32_t value, uint64_t deadline,
		      uint64_t most_us)
{
	uint64_t left = most_us;
	int err;

	if (deadline != UINT64_MAX) {
		uint64_t now = seg_now_ns();

		if (now >= deadline)
			return -ETIMEDOUT;
		if ((deadline - now + 999) / 1000 < left)
			left = (deadline - now + 999) / 1000;
	}
	err = seg_wait(r->seg, word, value, left);
	if (err && err != -ETIMEDOUT && err != -EINTR)
		return err;
	ring_look(r, err);
	return 0;
}

int ring_wait_message(dsm_ring_t *r, uint64_t deadline)
{
	struct ring_sleep *s = r->sleep;
	int err = 0;

	if (ring_spin_message(r))
		return 0;
	while (!ring_ask(r, RING_SLEEPING)) {
		/* ORDER: what was sent before the end is there when the end is seen. */
		err = r->conn ? conn_gone(r->conn) : 0;
		if (err)
			break;
		err = sleep_once(r, &s->sleepers, atomic_load(&s->sleepers) | RING_SLEEPING,
				 deadline, ring_slice(r, &s->producer_fences));
		if (err)
			break;
	}
	if (r->kind == DSM_RING_SPSC)
		atomic_fetch_and(&s->sleepers, ~RING_SLEEPING);
	return ring_has_message(r) ? 0 : err;
}

int ring_wait_room(dsm_ring_t *r, uint64_t seen, uint64_t deadline)
{
	struct ring_sleep *s = r->sleep;
	int err = 0;

	if (ring_spin_room(r, seen))
		return 0;
	for (;;) {
		/* ORDER: pairs with ring_wake_producers()' callers, as in ring_ask(). */
		ring_say(r, &s->producers, 1, &s->consumer_fences);
		if (atomic_load(&r->consumer->head) != seen)
			break;
		err = r->conn ? conn_gone(r->conn) : 0;
		if (err)
			break;
		err = sleep_once(r, &s->producers, 1, deadline, ring_slice(r, &s->consumer_fences));
		if (err)
			break;
	}
	return atomic_load(&r->consumer->head) != seen ? 0 : err;
}

void ring_wake_sleepers(dsm_ring_t *r, uint32_t kinds)
{
	uint32_t who = atomic_fetch_and(&r->sleep->sleepers, ~kinds) & kinds;

	if (who & (RING_SLEEPING | RING_POLLING))
		seg_wake(r->seg, &r->sleep->sleepers, INT_MAX);
	if (who & RING_DOORBELL && r->conn)
		conn_ring_bell(r->conn);
}

void ring_wake_consumers(dsm_ring_t *r)
{
	if (r->kind == DSM_RING_SPSC) {
		/* ORDER: release, so that who relies on it sees all that was sent before. */
		r->fencing = 1;
		r->quiet = 0;
		if (!atomic_load_explicit(&r->sleep->producer_fences, memory_order_relaxed))
			atomic_store_explicit(&r->sleep->producer_fences, 1, memory_order_release);
	}
	ring_wake_sleepers(r, UINT32_MAX);
}

void ring_wake_producers(dsm_ring_t *r)
{
	if (atomic_exchange(&r->sleep->producers, 0))
		seg_wake(r->seg, &r->sleep->producers, INT_MAX);
}

static void calm(dsm_ring_t *r)
{
	if (r->fences)
		return;
	r->fencing = 0;
	/* ORDER: pairs with ring_ask(): who read 1 here before has said that it sleeps. */
	atomic_store(&r->sleep->producer_fences, 0);
	if (atomic_load(&r->sleep->sleepers))
		ring_wake_consumers(r);
}

int ring_posted(dsm_ring_t *r)
{
	if (atomic_load(&r->sleep->sleepers))
		ring_wake_consumers(r);
	else if (r->fencing && ++r->quiet == RING_QUIET)
		calm(r);
	return 0;
}
