/* SPDX-License-Identifier: MIT */
#ifndef DSM_LIB_SEGMENT_CLUSTER_H
#define DSM_LIB_SEGMENT_CLUSTER_H

/*
 * "dsm:default" is the part of the default region that the library's own heap
 * uses: far above what programs choose with dsm_malloc_at().
 */
#define SEG_IN_DEFAULT_AT  (1ull << 39)
#define SEG_IN_DEFAULT_MAX (1ull << 36)

#endif
