/* SPDX-License-Identifier: GPL-2.0-only */
/* A page's way: fault, upcall, grant, revoke. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM dsm

#if !defined(_DSM_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _DSM_TRACE_H

#include <linux/tracepoint.h>

#include "dsm.h"

/* A program touched a page it may not use yet; @flags: FAULT_FLAG_*. */
TRACE_EVENT(dsm_fault,
	    TP_PROTO(const struct dsm_region *region, pgoff_t page, bool write, unsigned int flags),
	    TP_ARGS(region, page, write, flags),
	    TP_STRUCT__entry(__field(u64, page)
			     __field(unsigned int, flags)
			     __field(u16, port)
			     __field(u16, number)
			     __field(bool, write)),
	    TP_fast_assign(__entry->page = page;
			   __entry->flags = flags;
			   __entry->port = region->node->port;
			   __entry->number = region->number;
			   __entry->write = write;),
	    TP_printk("node=%u region=%u page=0x%llx %s flags=0x%x", __entry->port, __entry->number,
		      __entry->page, __entry->write ? "write" : "read", __entry->flags));

/* The agent has to be asked; @flags: DSM_REQ_*. */
TRACE_EVENT(dsm_upcall,
	    TP_PROTO(const struct dsm_region *region, pgoff_t page, u32 count, u32 flags),
	    TP_ARGS(region, page, count, flags),
	    TP_STRUCT__entry(__field(u64, page)
			     __field(u32, count)
			     __field(u32, flags)
			     __field(u16, port)
			     __field(u16, number)),
	    TP_fast_assign(__entry->page = page;
			   __entry->count = count;
			   __entry->flags = flags;
			   __entry->port = region->node->port;
			   __entry->number = region->number;),
	    TP_printk("node=%u region=%u page=0x%llx count=%u flags=0x%x", __entry->port,
		      __entry->number, __entry->page, __entry->count, __entry->flags));

/* Pages became usable; @state: enum dsm_page_state. */
TRACE_EVENT(dsm_grant,
	    TP_PROTO(const struct dsm_region *region, pgoff_t page, u32 count, u32 state),
	    TP_ARGS(region, page, count, state),
	    TP_STRUCT__entry(__field(u64, page)
			     __field(u32, count)
			     __field(u32, state)
			     __field(u16, port)
			     __field(u16, number)),
	    TP_fast_assign(__entry->page = page;
			   __entry->count = count;
			   __entry->state = state;
			   __entry->port = region->node->port;
			   __entry->number = region->number;),
	    TP_printk("node=%u region=%u page=0x%llx count=%u %s", __entry->port, __entry->number,
		      __entry->page, __entry->count,
		      __entry->state == DSM_PAGE_MODIFIED ? "modified" : "shared"));

/* Pages were taken away; @mode: DSM_REVOKE_*. */
TRACE_EVENT(dsm_revoke,
	    TP_PROTO(const struct dsm_region *region, pgoff_t page, u32 count, u32 mode,
		     int result),
	    TP_ARGS(region, page, count, mode, result),
	    TP_STRUCT__entry(__field(u64, page)
			     __field(u32, count)
			     __field(u32, mode)
			     __field(int, result)
			     __field(u16, port)
			     __field(u16, number)),
	    TP_fast_assign(__entry->page = page;
			   __entry->count = count;
			   __entry->mode = mode;
			   __entry->result = result;
			   __entry->port = region->node->port;
			   __entry->number = region->number;),
	    TP_printk("node=%u region=%u page=0x%llx count=%u mode=%u result=%d", __entry->port,
		      __entry->number, __entry->page, __entry->count, __entry->mode,
		      __entry->result));

#endif /* _DSM_TRACE_H */

#undef TRACE_INCLUDE_PATH
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_PATH .
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
