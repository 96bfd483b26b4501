/* SPDX-License-Identifier: MIT */
/* The short name of <dsm/segment.h>. */
#ifndef DSM_SHORT_SEGMENT_H
#define DSM_SHORT_SEGMENT_H

#include <dsm/segment.h>

#endif
