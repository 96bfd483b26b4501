/* SPDX-License-Identifier: MIT */
#ifndef DSM_LIB_RECORDS_H
#define DSM_LIB_RECORDS_H

#include "lib/context.h"

/* Records of one kind, as they come from the agent. */
struct records {
	uint8_t *bytes;
	size_t len, max;
};

/* The whole list into @r, which was zeroed; the caller frees its bytes. */
int records_get(struct dsm *ctx, enum client_list list, struct records *r);

#endif
