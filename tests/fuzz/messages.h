/* SPDX-License-Identifier: MIT */
/* Good messages of every type, to bend. */
#ifndef DSM_TESTS_FUZZ_MESSAGES_H
#define DSM_TESTS_FUZZ_MESSAGES_H

#include <stddef.h>
#include <stdint.h>

#include "agent/core/msg.h"

/*
 * Frame number @i as it would come over a link as its frame @seq (discovery:
 * as a datagram, for odd @i). Returns its size, 0 when there is no such
 * number. @ret has room for FUZZ_INPUT_MAX bytes.
 */
size_t messages_frame(unsigned int i, uint64_t seq, uint8_t *ret);

#endif
