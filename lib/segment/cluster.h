/* SPDX-License-Identifier: MIT */
#ifndef DSM_LIB_SEGMENT_CLUSTER_H
#define DSM_LIB_SEGMENT_CLUSTER_H

/*
 * The default region has room for segments in its upper half, far above what programs choose with
 * dsm_malloc_at(): "dsm:default" is window 0, and "dsm:default/N" window N, where node N keeps the
 * heap behind dsm_malloc(): a node that dies takes no other's heap with it.
 */
#define SEG_WINDOWS_AT (1ull << 39)
#define SEG_WINDOW     (1ull << 31)
#define SEG_WINDOWS    256u
#define SEG_WINDOW_URI "dsm:default/%u"

#endif
