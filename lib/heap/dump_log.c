// SPDX-License-Identifier: MIT
/* The debug log of a heap, oldest operation first. */
#include <inttypes.h>

#include "lib/heap/dump.h"
#include "lib/heap/log.h"

struct line {
	uint64_t number, when_ns, off, size;
	uint32_t id;
	int event, result;
};

/* False: it is being written, or was never. */
static bool entry_read(struct heap_log *log, uint64_t number, struct line *ret)
{
	struct heap_log_entry *e = &log->entry[(number - 1) % HEAP_LOG_ENTRIES];

	*ret = (struct line){ .number = atomic_load_explicit(&e->number, memory_order_acquire) };
	ret->when_ns = e->when_ns;
	ret->id = e->id;
	ret->event = e->event;
	ret->result = e->result;
	ret->off = e->off;
	ret->size = e->size;
	/* ORDER: what was read before is not read after this, which changes nothing. */
	return ret->number == number &&
	       atomic_fetch_add_explicit(&e->number, 0, memory_order_acq_rel) == number;
}

static const char *event_name(int event)
{
	return event == HEAP_EVENT_ALLOC ? "alloc" : event == HEAP_EVENT_FREE ? "free" : "error";
}

void dump_log(const dsm_heap_t *heap, FILE *out, bool json)
{
	struct heap_log *log = heap_log_of(heap);
	uint64_t count = log ? atomic_load(&log->count) : 0;
	uint64_t n = count > HEAP_LOG_ENTRIES ? count - HEAP_LOG_ENTRIES : 0;
	const char *between = "";
	struct line l;

	if (!json && log)
		(void)fprintf(out, "log, %" PRIu64 " operations\n", count);
	for (n++; n <= count; n++) {
		if (!entry_read(log, n, &l))
			continue;
		(void)fprintf(out,
			      json ? "%s\n  {\"number\": %" PRIu64 ", \"when_ns\": %" PRIu64
				     ", \"participant\": %" PRIu32
				     ", \"what\": \"%s\", \"offset\": "
				     "\"0x%" PRIx64 "\", \"size\": %" PRIu64 ", \"result\": %d}"
				   : "%s  %" PRIu64 "  %" PRIu64 " ns  participant %" PRIu32
				     "  %-5s 0x%" PRIx64 "  size %" PRIu64 "  result %d\n",
			      between, l.number, l.when_ns, SEG_ID_SLOT(l.id), event_name(l.event),
			      l.off, l.size, l.result);
		between = json ? "," : "";
	}
}
