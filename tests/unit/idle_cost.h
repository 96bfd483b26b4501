/* SPDX-License-Identifier: MIT */
/* What a program costs whose threads all wait. */
#ifndef DSM_TESTS_IDLE_COST_H
#define DSM_TESTS_IDLE_COST_H

#include <stdbool.h>

/*
 * Waits for a second. False: the whole process took more than a thousandth of a processor for it, and more than 200
 * bare wake-ups take where these are dear: four times as many as two ends of a channel have.
 */
bool idle_second_is_cheap(void);

#endif
