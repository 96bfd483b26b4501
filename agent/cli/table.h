/* SPDX-License-Identifier: MIT */
/* Tables for people: columns as wide as their widest cell, numbers to the right. */
#ifndef DSM_CLI_TABLE_H
#define DSM_CLI_TABLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TABLE_COLUMNS 16
#define TABLE_CELL    64 /* bytes of one cell, longer ones are cut */

struct table {
	const char *const *heads;
	size_t columns;
	char (*cells)[TABLE_CELL];
	size_t used, room; /* cells */
};

/* @heads: NULL-terminated, must outlive the table; a head that begins with '>' is a column of numbers. */
void table_begin(struct table *t, const char *const *heads);
/* The next cell, left to right, row by row. Out of memory ends the program. */
void table_cell(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints and frees it. */
void table_end(struct table *t, FILE *out);
/* Frees it without printing. */
void table_drop(struct table *t);

/* "1.5 MiB" of @bytes into @text; returns @text. */
const char *table_size(uint64_t bytes, char text[32]);

/*
 * Members of a JSON object as plain values: 0, "" or false where there is
 * none. @path may go down by dots: "faults.read".
 */
json_t *doc_get(json_t *doc, const char *path);
int64_t doc_int(json_t *doc, const char *path);
double doc_real(json_t *doc, const char *path);
const char *doc_text(json_t *doc, const char *path);
bool doc_bool(json_t *doc, const char *path);
/* Pretty-printed to stdout with a final newline, and the reference is dropped. */
void doc_print(json_t *doc);

#endif
