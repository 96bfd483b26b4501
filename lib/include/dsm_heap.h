/* SPDX-License-Identifier: MIT */
/* The short name of <dsm/heap.h>. */
#ifndef DSM_SHORT_HEAP_H
#define DSM_SHORT_HEAP_H

#include <dsm/heap.h>

#endif
