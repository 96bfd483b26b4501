// SPDX-License-Identifier: MIT
#include "agent/spin.h"

/* The wait ended while we looked: it pays to look again soon. */
static void spin_paid(struct spin *s)
{
	s->until_ns = 0;
	s->pause_ns /= 2;
	s->allowed_ns = 0;
}

static void spin_in_vain(struct spin *s, uint64_t now_ns)
{
	s->until_ns = 0;
	s->over = true;
	s->pause_ns = s->pause_ns < SPIN_PAUSE_FIRST_NS ? SPIN_PAUSE_FIRST_NS : 2 * s->pause_ns;
	if (s->pause_ns > SPIN_PAUSE_MAX_NS)
		s->pause_ns = SPIN_PAUSE_MAX_NS;
	s->allowed_ns = now_ns + s->pause_ns;
}

bool spin_wanted(struct spin *s, bool waiting, uint64_t now_ns)
{
	if (!waiting) {
		if (s->until_ns)
			spin_paid(s);
		s->over = false;
		return false;
	}
	if (!s->limit_ns || s->over)
		return false;
	if (!s->until_ns) {
		if (now_ns < s->allowed_ns) {
			s->over = true;
			return false;
		}
		s->until_ns = now_ns + s->limit_ns;
		return true;
	}
	if (now_ns < s->until_ns)
		return true;
	spin_in_vain(s, now_ns);
	return false;
}
