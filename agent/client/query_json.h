/* SPDX-License-Identifier: MIT */
/*
 * How values of the core look in JSON, for the files query*.c only. Numbers
 * that may need all of 64 bits and are names rather than amounts (ids,
 * addresses, keys) are strings in hexadecimal: many readers of JSON keep numbers as
 * doubles.
 */
#ifndef DSM_CLIENT_QUERY_JSON_H
#define DSM_CLIENT_QUERY_JSON_H

#include <jansson.h>

#include "agent/client/query.h"

/* All of these return a new reference, or NULL: no memory. */
json_t *query_hex(uint64_t value);
json_t *query_name(const char *name); /* bytes that are no UTF-8 become '?' */
json_t *query_nodes(const struct query_source *src);
json_t *query_regions(const struct query_source *src);
json_t *query_locks(const struct query_source *src);
json_t *query_barriers(const struct query_source *src);
json_t *query_topics(const struct query_source *src);
/* Documents: the whole answer to one command. */
json_t *query_status(const struct query_source *src);
json_t *query_stats(const struct query_source *src);
/* NULL with *ret_err set: -ENOENT, -EINVAL or -ENOMEM. */
json_t *query_region(const struct query_source *src, const char *name, int *ret_err);
json_t *query_page(const struct query_source *src, const char *key, int *ret_err);
json_t *query_pages(const struct query_source *src, const char *words, int *ret_err);

/* The region of that name, or of that number where @name is NULL. False: there is none. */
bool query_region_find(const struct query_source *src, const char *name, uint16_t number,
		       struct rec_region *ret);

/* Appends @item (a reference is taken, NULL is allowed) to @array; a failure makes *array NULL. */
void query_append(json_t **array, json_t *item);

const char *query_core_state(uint32_t state);
const char *query_page_state(uint8_t state);

#endif
