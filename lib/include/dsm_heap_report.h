/* SPDX-License-Identifier: MIT */
/* The short name of <dsm/heap_report.h>. */
#ifndef DSM_SHORT_HEAP_REPORT_H
#define DSM_SHORT_HEAP_REPORT_H

#include <dsm/heap_report.h>

#endif
