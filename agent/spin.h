/* SPDX-License-Identifier: MIT */
/*
 * While a program of this node waits for another node, the agent may look for
 * the answer again and again before it sleeps: waking an idle CPU takes
 * longer than the answer does. Only while somebody waits, only for a short
 * time, and less and less often where it turns out to be in vain: where the other
 * side needs the same CPU, for example.
 */
#ifndef DSM_AGENT_SPIN_H
#define DSM_AGENT_SPIN_H

#include <stdbool.h>
#include <stdint.h>

#define SPIN_PAUSE_FIRST_NS 1000000ull /* after a first spin in vain */
#define SPIN_PAUSE_MAX_NS   1000000000ull

struct spin {
	uint64_t limit_ns;   /* longest spin; 0: never */
	uint64_t until_ns;   /* the one under way ends then; 0: none */
	uint64_t allowed_ns; /* none begins before */
	uint64_t pause_ns;   /* what the next one in vain is followed by */
	bool over;	     /* this wait has had its spin */
};

/*
 * Asked before each sleep of the loop: true, do not sleep. @waiting: somebody
 * waits for another node.
 */
bool spin_wanted(struct spin *s, bool waiting, uint64_t now_ns);

#endif
