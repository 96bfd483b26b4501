/* SPDX-License-Identifier: MIT */
/* How long a reader looks for a new value before it sleeps: learnt from the waits before. */
#ifndef DSM_LIB_CHANNEL_SPIN_H
#define DSM_LIB_CHANNEL_SPIN_H

#include <stdatomic.h>
#include <stdint.h>

struct channel_spin {
	_Atomic uint32_t turns;	 /* looks before sleeping; 0: it rests */
	_Atomic uint32_t credit; /* late answers and failures to bear with */
	_Atomic uint32_t rest;	 /* waits without looking from now on */
	_Atomic uint32_t pause;	 /* the next rest, in waits */
};

void channel_spin_begin(struct channel_spin *s);
/* How often to look in this wait. */
uint32_t channel_spin_turns(struct channel_spin *s);
/* After looking: a value came after @took looks, or none came in all @turns of them. */
void channel_spin_paid(struct channel_spin *s, uint32_t took);
void channel_spin_failed(struct channel_spin *s, uint32_t turns);

#endif
