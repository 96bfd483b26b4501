// SPDX-License-Identifier: MIT
/* The map of a heap's blocks as an SVG image: cells of equal size, row by row. */
#include <errno.h>
#include <inttypes.h>

#include <dsm/heap_report.h>

#include "lib/heap/picture.h"
#include "lib/heap/text.h"

#define COLUMNS	  512u
#define ROWS	  128u
#define CELL	  2u /* units of the image */
#define ROW	  8u
#define ROW_SPACE 2u
#define HEAD	  44u /* above the map */
#define FOOT	  28u /* the legend below */
#define SHADES	  16u

enum shade_kind { SHADE_NONE, SHADE_META, SHADE_FREEING, SHADE_MIX };

/* What a cell looks like: its kind, and how much of it is used in SHADES steps. */
static unsigned int shade_of(const struct picture_cell *c)
{
	uint64_t known = c->used + c->free + c->freeing + c->meta;

	if (!known)
		return SHADE_NONE * (SHADES + 1);
	if (c->meta * 2 > known)
		return SHADE_META * (SHADES + 1);
	if (c->freeing * 2 > known)
		return SHADE_FREEING * (SHADES + 1);
	return SHADE_MIX * (SHADES + 1) + (unsigned int)(c->used * SHADES / known);
}

static void colour_write(FILE *out, unsigned int shade)
{
	static const unsigned int free_rgb[] = { 0xe8, 0xee, 0xf4 },
				  used_rgb[] = { 0x1f, 0x5f, 0xa8 };
	unsigned int step = shade % (SHADES + 1);

	switch (shade / (SHADES + 1)) {
	case SHADE_META:
		(void)fputs("#8a6fb0", out);
		return;
	case SHADE_FREEING:
		(void)fputs("#e0903a", out);
		return;
	default:
		(void)fputc('#', out);
		for (int i = 0; i < 3; i++)
			(void)fprintf(out, "%02x",
				      (free_rgb[i] * (SHADES - step) + used_rgb[i] * step) /
					      SHADES);
	}
}

static void row_write(FILE *out, const struct picture_cell *cells, size_t n, uint64_t y)
{
	size_t from = 0;

	for (size_t i = 1; i <= n; i++) {
		unsigned int shade = shade_of(&cells[from]);

		if (i < n && shade_of(&cells[i]) == shade)
			continue;
		if (shade / (SHADES + 1) != SHADE_NONE) {
			(void)fprintf(out,
				      "<rect x=\"%zu\" y=\"%" PRIu64
				      "\" width=\"%zu\" height=\"%u\" fill=\"",
				      from * CELL, y, (i - from) * CELL, ROW);
			colour_write(out, shade);
			(void)fputs("\"/>\n", out);
		}
		from = i;
	}
}

/* Text between tags; names of segments have no more than these. */
static void text_xml(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '<')
			(void)fputs("&lt;", out);
		else if (*text == '&')
			(void)fputs("&amp;", out);
		else if ((unsigned char)*text >= ' ')
			(void)fputc(*text, out);
	}
}

static void head_write(FILE *out, const dsm_heap_t *heap, const struct picture *p,
		       const struct dsm_heap_report *r, uint64_t height)
{
	char bytes[24], used[24], scale[24];

	(void)fprintf(out,
		      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %u %" PRIu64
		      "\" font-family=\"sans-serif\">\n<rect width=\"100%%\" height=\"100%%\" "
		      "fill=\"white\"/>\n"
		      "<text x=\"4\" y=\"16\" font-size=\"14\">",
		      COLUMNS * CELL, height);
	text_xml(out, dsm_segment_uri(heap->seg));
	(void)fprintf(out,
		      ": %s, %s in %" PRIu64 " runs, %s used</text>\n"
		      "<text x=\"4\" y=\"34\" font-size=\"11\">external fragmentation %.1f %%, "
		      "internal %.1f "
		      "%%, largest free place %" PRIu64 " bytes; a cell is %s</text>\n",
		      dsm_heap_strategy_name(heap->strategy), text_size(p->bytes, bytes), p->runs,
		      text_size(r->used_bytes, used), 100 * r->external, 100 * r->internal,
		      r->largest_free, text_size(p->scale, scale));
}

static void legend_write(FILE *out, uint64_t y)
{
	static const struct {
		const char *name;
		unsigned int shade;
	} entries[] = {
		{ "used", SHADE_MIX * (SHADES + 1) + SHADES },
		{ "half used", SHADE_MIX * (SHADES + 1) + SHADES / 2 },
		{ "free", SHADE_MIX * (SHADES + 1) },
		{ "being freed", SHADE_FREEING * (SHADES + 1) },
		{ "tables", SHADE_META * (SHADES + 1) },
	};

	for (unsigned int i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
		(void)fprintf(out,
			      "<rect x=\"%u\" y=\"%" PRIu64
			      "\" width=\"10\" height=\"10\" stroke=\"gray\" fill=\"",
			      4 + i * 110, y);
		colour_write(out, entries[i].shade);
		(void)fprintf(out,
			      "\"/>\n<text x=\"%u\" y=\"%" PRIu64 "\" font-size=\"11\">%s</text>\n",
			      20 + i * 110, y + 9, entries[i].name);
	}
}

int dsm_heap_picture_svg(dsm_heap_t *heap, FILE *out)
{
	struct dsm_heap_report r;
	struct picture p;
	uint64_t rows;
	int err = dsm_heap_report(heap, &r);

	if (!err)
		err = picture_make(heap, (size_t)COLUMNS * ROWS, &p);
	if (err)
		return err;
	rows = (p.n + COLUMNS - 1) / COLUMNS;
	head_write(out, heap, &p, &r, HEAD + rows * (ROW + ROW_SPACE) + FOOT);
	for (uint64_t i = 0; i < rows; i++)
		row_write(out, p.cells + i * COLUMNS,
			  p.n - i * COLUMNS < COLUMNS ? p.n - i * COLUMNS : COLUMNS,
			  HEAD + i * (ROW + ROW_SPACE));
	legend_write(out, HEAD + rows * (ROW + ROW_SPACE) + 8);
	(void)fputs("</svg>\n", out);
	picture_free(&p);
	return text_end(out);
}
