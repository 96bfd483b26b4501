// SPDX-License-Identifier: MIT
/*
 * How long to look before sleeping. As long as twice what it took lately, where that is short.
 * Where looking was of no use it rests for a number of waits, twice as many each time, and
 * then tries as long as being woken takes. When that is answered, but late, the other side
 * may be asleep each time, and resting: so it goes on until that one has tried as well.
 */
#include "lib/channel/spin.h"

#define LEAST	   16u /* turns; less is none */
#define MOST	   512u
#define PROBE	   1500u /* about as long as it takes to be woken */
#define REST_FIRST 64u	 /* waits */
#define REST_MOST  256u	 /* not more, for two sides that rest to meet */
#define CREDIT	   (2 * REST_FIRST)

static uint32_t get(const _Atomic uint32_t *x)
{
	return atomic_load_explicit(x, memory_order_relaxed);
}

/* Threads of a handle may be here at once: they lose no more than a good guess. */
static void set(_Atomic uint32_t *x, uint32_t value)
{
	atomic_store_explicit(x, value, memory_order_relaxed);
}

void channel_spin_begin(struct channel_spin *s)
{
	set(&s->turns, PROBE);
	set(&s->credit, CREDIT);
	set(&s->pause, REST_FIRST);
}

uint32_t channel_spin_turns(struct channel_spin *s)
{
	uint32_t rest = get(&s->rest);

	if (get(&s->turns))
		return get(&s->turns);
	if (!rest)
		return PROBE;
	set(&s->rest, rest - 1);
	return 0;
}

static void rest(struct channel_spin *s, uint32_t waits)
{
	set(&s->turns, 0);
	set(&s->credit, 0);
	set(&s->rest, get(&s->pause));
	set(&s->pause, waits < REST_MOST ? waits : REST_MOST);
}

void channel_spin_paid(struct channel_spin *s, uint32_t took)
{
	uint32_t credit = get(&s->credit), turns = 2 * took + LEAST;

	if (took <= MOST) {
		/* One quick answer says little about the next. */
		if (get(&s->turns) <= MOST && get(&s->turns) * 7 / 8 > turns)
			turns = get(&s->turns) * 7 / 8;
		set(&s->turns, turns < MOST ? turns : MOST);
		set(&s->credit, 0);
		set(&s->pause, REST_FIRST);
	} else if (credit == 1) {
		rest(s, 2 * get(&s->pause));
	} else {
		set(&s->turns, PROBE);
		set(&s->credit, credit ? credit - 1 : CREDIT);
	}
}

void channel_spin_failed(struct channel_spin *s, uint32_t turns)
{
	uint32_t credit = get(&s->credit);

	if (turns < PROBE && turns / 2 >= LEAST)
		set(&s->turns, turns / 2);
	else if (credit > CREDIT / 8)
		set(&s->credit, credit - CREDIT / 8);
	else
		rest(s, 2 * get(&s->pause));
}
