// SPDX-License-Identifier: MIT
/* The report of a heap as a table and as JSON. */
#include <errno.h>
#include <inttypes.h>

#include <dsm/heap_report.h>

#include "lib/heap/heap.h"
#include "lib/heap/text.h"

static void line(FILE *out, const char *what, uint64_t blocks, uint64_t bytes)
{
	char size[24];

	(void)fprintf(out, "%-10s %10" PRIu64 " in %10" PRIu64 "  (%s)\n", what, bytes, blocks,
		      text_size(bytes, size));
}

static void histogram(FILE *out, const struct dsm_heap_report *r)
{
	(void)fprintf(out, "%12s %10s %12s %10s %12s\n", "from bytes", "used", "bytes", "free",
		      "bytes");
	for (unsigned int i = 0; i < DSM_HEAP_BUCKETS; i++) {
		const struct dsm_heap_bucket *b = &r->buckets[i];

		if (b->used || b->free)
			(void)fprintf(out,
				      "%12llu %10" PRIu64 " %12" PRIu64 " %10" PRIu64 " %12" PRIu64
				      "\n",
				      1ull << i, b->used, b->used_bytes, b->free, b->free_bytes);
	}
}

static void write_text(FILE *out, const dsm_heap_t *heap, const struct dsm_heap_report *r)
{
	char size[24];

	(void)fprintf(out, "heap       %s, %s, ", dsm_segment_uri(heap->seg),
		      dsm_heap_strategy_name(r->strategy));
	text_flags(out, r->flags, "no options", 0);
	(void)fputc('\n', out);
	line(out, "memory", r->runs, r->bytes);
	line(out, "used", r->used, r->used_bytes);
	line(out, "free", r->free, r->free_bytes);
	if (r->freeing)
		line(out, "freeing", r->freeing, r->freeing_bytes);
	(void)fprintf(out, "%-10s %10" PRIu64 "  (%s)\n", "tables", r->meta_bytes,
		      text_size(r->meta_bytes, size));
	(void)fprintf(out, "%-10s %10" PRIu64 "  (%s)\n", "largest", r->largest_free,
		      text_size(r->largest_free, size));
	(void)fprintf(out, "external   %.1f %% of what is free is not in the largest free place\n",
		      100 * r->external);
	if (r->known_bytes)
		(void)fprintf(out, "internal   %.1f %% of the blocks was not asked for%s\n",
			      100 * r->internal,
			      r->known_bytes < r->used_bytes ? ", where that is known" : "");
	histogram(out, r);
}

static void write_json(FILE *out, const dsm_heap_t *heap, const struct dsm_heap_report *r)
{
	const char *between = "";

	(void)fputs("{\n \"uri\": ", out);
	text_json(out, dsm_segment_uri(heap->seg));
	(void)fprintf(out, ",\n \"strategy\": \"%s\",\n \"options\": [",
		      dsm_heap_strategy_name(r->strategy));
	text_flags(out, r->flags, "", 1);
	(void)fprintf(out,
		      "],\n \"runs\": %" PRIu64 ",\n \"bytes\": %" PRIu64 ",\n \"used\": %" PRIu64
		      ",\n \"used_bytes\": %" PRIu64 ",\n \"known_bytes\": %" PRIu64
		      ",\n \"asked_bytes\": %" PRIu64 ",\n \"free\": %" PRIu64
		      ",\n \"free_bytes\": %" PRIu64 ",\n \"largest_free\": %" PRIu64
		      ",\n \"freeing\": %" PRIu64 ",\n \"freeing_bytes\": %" PRIu64
		      ",\n \"meta_bytes\": %" PRIu64
		      ",\n \"external\": %.6f,\n \"internal\": %.6f,\n \"histogram\": [",
		      r->runs, r->bytes, r->used, r->used_bytes, r->known_bytes, r->asked_bytes,
		      r->free, r->free_bytes, r->largest_free, r->freeing, r->freeing_bytes,
		      r->meta_bytes, r->external, r->internal);
	for (unsigned int i = 0; i < DSM_HEAP_BUCKETS; i++) {
		const struct dsm_heap_bucket *b = &r->buckets[i];

		if (!b->used && !b->free)
			continue;
		(void)fprintf(out,
			      "%s\n  {\"from\": %llu, \"used\": %" PRIu64
			      ", \"used_bytes\": %" PRIu64 ", \"free\": %" PRIu64
			      ", \"free_bytes\": %" PRIu64 "}",
			      between, 1ull << i, b->used, b->used_bytes, b->free, b->free_bytes);
		between = ",";
	}
	(void)fputs("\n ]\n}\n", out);
}

int dsm_heap_report_write(dsm_heap_t *heap, FILE *out, bool json)
{
	struct dsm_heap_report r;
	int err = dsm_heap_report(heap, &r);

	if (err)
		return err;
	if (json)
		write_json(out, heap, &r);
	else
		write_text(out, heap, &r);
	return text_end(out);
}
