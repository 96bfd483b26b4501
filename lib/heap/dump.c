// SPDX-License-Identifier: MIT
/* Every block of a heap, as text or JSON. */
#include <errno.h>
#include <inttypes.h>

#include <dsm/heap_report.h>

#include "lib/heap/dump.h"
#include "lib/heap/text.h"

struct dumping {
	dsm_heap_t *heap;
	FILE *out;
	uint64_t run;
	bool some_run, some_place;
};

static const char *kind_name(enum heap_place_kind kind)
{
	switch (kind) {
	case HEAP_PLACE_USED:
		return "used";
	case HEAP_PLACE_FREE:
		return "free";
	case HEAP_PLACE_FREEING:
		return "freeing";
	default:
		return "table";
	}
}

/* What the user asked for; 0: not known. */
static uint64_t asked_of(const dsm_heap_t *heap, const struct heap_place *p)
{
	uint64_t asked = p->asked;

	if (p->kind != HEAP_PLACE_USED)
		return 0;
	if (heap->flags & DSM_HEAP_GUARDS &&
	    (!seg_checked(heap->seg, p->off, p->size, 1) ||
	     heap_guard_check(heap, seg_at(heap->seg, p->off), p->size, &asked)))
		return 0;
	return asked;
}

static int place_text(void *context, const struct heap_place *p)
{
	struct dumping *d = context;
	uint64_t asked = asked_of(d->heap, p);

	if (!d->some_run || d->run != p->run) {
		(void)fprintf(d->out, "run 0x%" PRIx64 ", %" PRIu64 " bytes", p->run, p->run_size);
		if (p->slot < SEG_SLOTS)
			(void)fprintf(d->out, ", of participant %u", p->slot);
		(void)fputc('\n', d->out);
	}
	d->some_run = true;
	d->run = p->run;
	(void)fprintf(d->out, "  0x%-12" PRIx64 " %-8s %12" PRIu64, p->off, kind_name(p->kind),
		      p->size);
	if (asked)
		(void)fprintf(d->out, "  asked %" PRIu64, asked);
	(void)fputc('\n', d->out);
	return ferror(d->out) ? -EIO : 0;
}

static int place_json(void *context, const struct heap_place *p)
{
	struct dumping *d = context;
	uint64_t asked = asked_of(d->heap, p);

	if (!d->some_run || d->run != p->run) {
		(void)fprintf(d->out,
			      "%s\n  {\"offset\": \"0x%" PRIx64 "\", \"size\": %" PRIu64
			      ", \"participant\": ",
			      d->some_run ? "\n  ]}," : "", p->run, p->run_size);
		if (p->slot < SEG_SLOTS)
			(void)fprintf(d->out, "%u", p->slot);
		else
			(void)fputs("null", d->out);
		(void)fputs(", \"places\": [", d->out);
		d->some_place = false;
	}
	d->some_run = true;
	d->run = p->run;
	(void)fprintf(d->out,
		      "%s\n   {\"offset\": \"0x%" PRIx64 "\", \"kind\": \"%s\", \"size\": %" PRIu64,
		      d->some_place ? "," : "", p->off, kind_name(p->kind), p->size);
	if (asked)
		(void)fprintf(d->out, ", \"asked\": %" PRIu64, asked);
	(void)fputc('}', d->out);
	d->some_place = true;
	return ferror(d->out) ? -EIO : 0;
}

static void head_write(dsm_heap_t *heap, FILE *out, bool json)
{
	const char *strategy = dsm_heap_strategy_name(heap->strategy);

	if (!json) {
		(void)fprintf(out, "heap %s, %s, ", dsm_segment_uri(heap->seg), strategy);
		text_flags(out, heap->flags, "no options", 0);
		(void)fputc('\n', out);
		return;
	}
	(void)fputs("{\n \"uri\": ", out);
	text_json(out, dsm_segment_uri(heap->seg));
	(void)fprintf(out, ",\n \"strategy\": \"%s\",\n \"options\": [", strategy);
	text_flags(out, heap->flags, "", 1);
	(void)fputs("],\n \"runs\": [", out);
}

int dsm_heap_dump(dsm_heap_t *heap, FILE *out, bool json)
{
	struct dumping d = { .heap = heap, .out = out };
	int err;

	if (!heap)
		return seg_error(-EINVAL, "no heap");
	head_write(heap, out, json);
	err = heap->ops->walk(heap, json ? place_json : place_text, &d);
	if (json)
		(void)fputs(d.some_run ? "\n  ]}\n ],\n \"log\": [" : "],\n \"log\": [", out);
	dump_log(heap, out, json);
	if (json)
		(void)fputs("\n ]\n}\n", out);
	return err ? err : text_end(out);
}
