/* SPDX-License-Identifier: MIT */
/* A heap of timers. Nothing is ever cancelled: who is called finds out whether it still matters. */
#include "agent/core/state.h"

static bool before(const struct timer *a, const struct timer *b)
{
	return a->due != b->due ? a->due < b->due : a->order < b->order;
}

static void swap(struct timer *a, struct timer *b)
{
	struct timer t = *a;

	*a = *b;
	*b = t;
}

void timer_arm(struct core *c, uint64_t due, uint32_t kind, uint64_t arg)
{
	struct timer *t;
	size_t i;

	if (due == UINT64_MAX)
		return;
	if (c->ntimers == c->timers_cap) {
		c->timers_cap = c->timers_cap ? c->timers_cap * 2 : 64;
		c->timers = core_realloc(c->timers, c->timers_cap * sizeof(*t));
	}
	t = c->timers;
	i = c->ntimers++;
	t[i] = (struct timer){ .due = due, .order = c->timer_order++, .arg = arg, .kind = kind };
	for (; i && before(&t[i], &t[(i - 1) / 2]); i = (i - 1) / 2)
		swap(&t[i], &t[(i - 1) / 2]);
}

bool timer_pop(struct core *c, struct timer *ret)
{
	struct timer *t = c->timers;
	size_t i = 0, n;

	if (!c->ntimers || t[0].due > c->now)
		return false;
	*ret = t[0];
	n = --c->ntimers;
	t[0] = t[n];
	for (;;) {
		size_t l = 2 * i + 1, m = i;

		if (l < n && before(&t[l], &t[m]))
			m = l;
		if (l + 1 < n && before(&t[l + 1], &t[m]))
			m = l + 1;
		if (m == i)
			return true;
		swap(&t[i], &t[m]);
		i = m;
	}
}
