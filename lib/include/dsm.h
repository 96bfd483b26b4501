/* SPDX-License-Identifier: MIT */
/* The short name of <dsm/dsm.h>. */
#ifndef DSM_H
#define DSM_H

#include <dsm/dsm.h>

#endif
