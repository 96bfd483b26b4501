/* SPDX-License-Identifier: MIT */
/* The short name of <dsm/channel.h>. */
#ifndef DSM_SHORT_CHANNEL_H
#define DSM_SHORT_CHANNEL_H

#include <dsm/channel.h>

#endif
