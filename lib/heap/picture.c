// SPDX-License-Identifier: MIT
/* The map of a heap's blocks in a terminal, and the cells that both pictures are made of. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include <dsm/heap_report.h>

#include "lib/heap/picture.h"
#include "lib/heap/text.h"

#define COLUMNS 64u
#define LINES	32u

struct drawing {
	struct picture *p;
	uint64_t run;	/* the one that is being drawn */
	uint64_t begin; /* where it begins in the picture */
	uint64_t bytes; /* of all before it and of itself */
	bool started;
};

static void run_enter(struct drawing *d, const struct heap_place *place)
{
	if (d->started && d->run == place->run)
		return;
	d->started = true;
	d->run = place->run;
	d->begin = d->bytes;
	d->bytes += place->run_size;
	d->p->runs++;
}

static int run_measure(void *context, const struct heap_place *place)
{
	run_enter(context, place);
	return 0;
}

static uint64_t *share_of(struct picture_cell *cell, enum heap_place_kind kind)
{
	switch (kind) {
	case HEAP_PLACE_USED:
		return &cell->used;
	case HEAP_PLACE_FREE:
		return &cell->free;
	case HEAP_PLACE_FREEING:
		return &cell->freeing;
	default:
		return &cell->meta;
	}
}

static int place_draw(void *context, const struct heap_place *place)
{
	struct drawing *d = context;
	struct picture *p = d->p;
	uint64_t at, left = place->size;

	run_enter(d, place);
	if (place->off < place->run || place->off - place->run > place->run_size)
		return 0;
	at = d->begin + place->off - place->run;
	while (left && at / p->scale < p->n) {
		uint64_t part = p->scale - at % p->scale;

		part = part < left ? part : left;
		*share_of(&p->cells[at / p->scale], place->kind) += part;
		at += part;
		left -= part;
	}
	return 0;
}

int picture_make(dsm_heap_t *heap, size_t most, struct picture *ret)
{
	struct picture p = { .scale = 16 };
	struct drawing d = { .p = &p };
	int err = heap->ops->walk(heap, run_measure, &d);

	if (err)
		return err;
	p.bytes = d.bytes;
	while (p.bytes / p.scale >= most)
		p.scale *= 2;
	p.n = p.bytes / p.scale + 1;
	p.cells = calloc(p.n, sizeof(*p.cells));
	if (!p.cells)
		return seg_error(-ENOMEM, "heap: no memory for a picture of %zu cells", p.n);
	p.runs = 0;
	d = (struct drawing){ .p = &p };
	err = heap->ops->walk(heap, place_draw, &d);
	if (err)
		picture_free(&p);
	else
		*ret = p;
	return err;
}

void picture_free(struct picture *p)
{
	free(p->cells);
	p->cells = NULL;
}

/* A character for what most of a cell is; blocks' headers count as what surrounds them. */
static char cell_char(const struct picture_cell *c)
{
	uint64_t known = c->used + c->free + c->freeing + c->meta;

	if (!known)
		return ' ';
	if (c->meta * 2 > known)
		return '=';
	if (c->freeing * 2 > known)
		return '~';
	if (!c->used)
		return '.';
	if (!c->free && !c->freeing)
		return '#';
	return c->used >= c->free ? '+' : '-';
}

static void line_draw(FILE *out, const struct picture_cell *cells, size_t n, bool colour)
{
	static const struct {
		char c;
		const char *code;
	} colours[] = { { '#', "34" }, { '+', "36" }, { '-', "32" },
			{ '.', "90" }, { '=', "35" }, { '~', "33" } };
	char before = 0;

	for (size_t i = 0; i < n; i++) {
		char c = cell_char(&cells[i]);

		for (size_t k = 0;
		     colour && c != before && k < sizeof(colours) / sizeof(colours[0]); k++)
			if (colours[k].c == c)
				(void)fprintf(out, "\x1b[%sm", colours[k].code);
		before = c;
		(void)fputc(c, out);
	}
	(void)fputs(colour ? "\x1b[0m\n" : "\n", out);
}

int dsm_heap_picture(dsm_heap_t *heap, FILE *out, const struct dsm_heap_picture *how)
{
	uint32_t columns = how && how->columns ? how->columns : COLUMNS;
	uint32_t lines = how && how->lines ? how->lines : LINES;
	char size[24], scale[24];
	struct picture p;
	int err;

	if (!heap)
		return seg_error(-EINVAL, "no heap");
	err = picture_make(heap, (size_t)columns * lines, &p);
	if (err)
		return err;
	(void)fprintf(out, "%s, %s: %s in %" PRIu64 " runs, %s a character\n",
		      dsm_segment_uri(heap->seg), dsm_heap_strategy_name(heap->strategy),
		      text_size(p.bytes, size), p.runs, text_size(p.scale, scale));
	for (size_t i = 0; i < p.n; i += columns)
		line_draw(out, p.cells + i, p.n - i < columns ? p.n - i : columns,
			  how && how->colour);
	(void)fputs("# used  + mostly used  - mostly free  . free  ~ being freed  = tables\n", out);
	picture_free(&p);
	return text_end(out);
}

int dsm_heap_picture_json(dsm_heap_t *heap, FILE *out, const struct dsm_heap_picture *how)
{
	uint32_t columns = how && how->columns ? how->columns : COLUMNS;
	uint32_t lines = how && how->lines ? how->lines : LINES;
	struct picture p;
	int err;

	if (!heap)
		return seg_error(-EINVAL, "no heap");
	err = picture_make(heap, (size_t)columns * lines, &p);
	if (err)
		return err;
	(void)fputs("{\n \"uri\": ", out);
	text_json(out, dsm_segment_uri(heap->seg));
	(void)fprintf(out,
		      ",\n \"strategy\": \"%s\",\n \"bytes\": %" PRIu64 ",\n \"runs\": %" PRIu64
		      ",\n \"cell\": %" PRIu64 ",\n \"cells\": [",
		      dsm_heap_strategy_name(heap->strategy), p.bytes, p.runs, p.scale);
	for (size_t i = 0; i < p.n; i++)
		(void)fprintf(out,
			      "%s\n  {\"used\": %" PRIu64 ", \"free\": %" PRIu64
			      ", \"freeing\": %" PRIu64 ", \"tables\": %" PRIu64 "}",
			      i ? "," : "", p.cells[i].used, p.cells[i].free, p.cells[i].freeing,
			      p.cells[i].meta);
	(void)fputs("\n ]\n}\n", out);
	picture_free(&p);
	return text_end(out);
}
