/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/cli.h"
#include "agent/cli/table.h"

void table_begin(struct table *t, const char *const *heads)
{
	*t = (struct table){ .heads = heads };
	while (heads[t->columns])
		t->columns++;
}

void table_cell(struct table *t, const char *fmt, ...)
{
	va_list ap;

	if (t->used == t->room) {
		t->room = t->room ? 2 * t->room : 64;
		t->cells = realloc(t->cells, t->room * sizeof(*t->cells));
		if (!t->cells)
			exit(cli_error(CLI_FAILED, "no memory"));
	}
	va_start(ap, fmt);
	vsnprintf(t->cells[t->used++], TABLE_CELL, fmt, ap);
	va_end(ap);
}

static void row_print(const struct table *t, const int *width, FILE *out, const char *const *heads,
		      size_t first)
{
	size_t i, last = t->columns - 1;
	const char *text;
	bool number;

	for (i = 0; i < t->columns; i++) {
		number = t->heads[i][0] == '>';
		text = heads ? heads[i] + number : t->cells[first + i];
		/* No blanks at the end of a line. */
		if (i == last && !number)
			fprintf(out, "%s\n", text);
		else
			fprintf(out, "%*s%s", number ? width[i] : -width[i], text,
				i == last ? "\n" : "  ");
	}
}

void table_end(struct table *t, FILE *out)
{
	int width[TABLE_COLUMNS], len;
	size_t i;

	if (!t->columns)
		return;
	for (i = 0; i < t->columns; i++)
		width[i] = (int)strlen(t->heads[i] + (t->heads[i][0] == '>'));
	for (i = 0; i < t->used; i++) {
		len = (int)strlen(t->cells[i]);
		if (len > width[i % t->columns])
			width[i % t->columns] = len;
	}
	row_print(t, width, out, t->heads, 0);
	for (i = 0; i + t->columns <= t->used; i += t->columns)
		row_print(t, width, out, NULL, i);
	free(t->cells);
	t->cells = NULL;
}

void table_drop(struct table *t)
{
	free(t->cells);
	*t = (struct table){ 0 };
}

const char *table_size(uint64_t bytes, char text[32])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	double n = (double)bytes;
	size_t u = 0;

	while (n >= 1024 && u < 5) {
		n /= 1024;
		u++;
	}
	snprintf(text, 32, n == (double)(uint64_t)n ? "%.0f %s" : "%.1f %s", n, units[u]);
	return text;
}

json_t *doc_get(json_t *doc, const char *path)
{
	size_t len;

	while (doc && *path) {
		len = strcspn(path, ".");
		doc = json_object_getn(doc, path, len);
		path += len + (path[len] == '.');
	}
	return doc;
}

int64_t doc_int(json_t *doc, const char *path)
{
	return json_integer_value(doc_get(doc, path));
}

double doc_real(json_t *doc, const char *path)
{
	return json_number_value(doc_get(doc, path));
}

const char *doc_text(json_t *doc, const char *path)
{
	const char *text = json_string_value(doc_get(doc, path));

	return text ? text : "";
}

bool doc_bool(json_t *doc, const char *path)
{
	return json_is_true(doc_get(doc, path));
}

void doc_print(json_t *doc)
{
	json_dumpf(doc, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
	putchar('\n');
	json_decref(doc);
}
