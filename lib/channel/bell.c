// SPDX-License-Identifier: MIT
/* Sleeping for a value. The slots are this host's memory on every kind of segment, so a futex does. */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib/channel/channel.h"

/*
 * Whoever rings makes all sleepers look. So long a sleep is in vain at most
 * should a writer be killed after its value and before its ring, and nobody notice.
 */
#define LONGEST_SLEEP_NS 1000000000ull

void bell_ring(struct slots_head *head)
{
	(void)syscall(SYS_futex, &head->bell, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static void sleep_on(_Atomic uint32_t *bell, uint32_t expected, uint64_t ns)
{
	struct timespec t = { .tv_sec = (time_t)(ns / 1000000000u),
			      .tv_nsec = (long)(ns % 1000000000u) };

	(void)syscall(SYS_futex, bell, FUTEX_WAIT, expected, &t, NULL, 0);
}

void bell_wait(const struct slots *s, uint64_t than, uint64_t ns)
{
	struct slots_head *head = s->head;
	uint32_t bell = atomic_load(&head->bell);
	bool first = !atomic_exchange(&head->waiting, 1);

	if (slots_newest(s) > than)
		return;
	/* The writer may have overlooked a mark that was not there a moment ago: see slots.h. */
	if (first && ns > SLOTS_FIRST_SLEEP_US * 1000ull)
		ns = SLOTS_FIRST_SLEEP_US * 1000ull;
	if (ns > LONGEST_SLEEP_NS)
		ns = LONGEST_SLEEP_NS;
	sleep_on(&head->bell, bell, ns);
}

void channel_contended(_Atomic uint32_t *lock)
{
	for (unsigned int i = 0; atomic_exchange_explicit(lock, 1, memory_order_acquire); i++) {
		while (atomic_load_explicit(lock, memory_order_relaxed)) {
			/* Who has it copies one value, unless it lost the processor. */
			if (i++ < 100)
				__builtin_ia32_pause();
			else
				sched_yield();
		}
	}
}
