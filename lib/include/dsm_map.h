/* SPDX-License-Identifier: MIT */
/* The short name of <dsm/map.h>. */
#ifndef DSM_SHORT_MAP_H
#define DSM_SHORT_MAP_H

#include <dsm/map.h>

#endif
