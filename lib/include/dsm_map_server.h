/* SPDX-License-Identifier: MIT */
/* The short name of <dsm/map_server.h>. */
#ifndef DSM_SHORT_MAP_SERVER_H
#define DSM_SHORT_MAP_SERVER_H

#include <dsm/map_server.h>

#endif
