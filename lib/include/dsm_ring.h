/* SPDX-License-Identifier: MIT */
/* The short name of <dsm/ring.h> and <dsm/connection.h>. */
#ifndef DSM_SHORT_RING_H
#define DSM_SHORT_RING_H

#include <dsm/connection.h>

#endif
