/* SPDX-License-Identifier: MIT */
/* What the map commands share: maps by URI, and bytes as text and as JSON. */
#ifndef DSM_CLI_MAP_H
#define DSM_CLI_MAP_H

#include <dsm/map_server.h>
#include <jansson.h>
#include <stdio.h>

#include "agent/cli/open.h"

/* "shm:NAME/MAP" or "dsm:REGION/MAP"; without "/MAP" the map is called so: */
#define MAP_NAME_DEFAULT "map"

struct mapped {
	struct opened o;
	dsm_map_t *map;
	dsm_map_client_t *client; /* instead of the map: its server is to be asked */
};

/*
 * The map @uri, made with its segment where @make and there is none. 0, or an exit code: stderr
 * has been told by @command.
 */
int map_open(const struct cli *cli, const char *command, const char *uri, bool make,
	     struct mapped *ret);
/* The same, or a client of the server that answers for it. */
int map_reach(const struct cli *cli, const char *command, const char *uri, bool make,
	      struct mapped *ret);
/* The map @name in @segment. 0 or what the library gave. */
int map_open_in(dsm_segment_t *segment, const char *name, bool make, dsm_map_t **ret);
/*
 * Have the server do @q. 0, and *@ret_err is 0, -ENOENT, -EEXIST or -ESTALE. An exit code: stderr has
 * been told by @command, and @m is closed.
 */
int map_ask(const char *command, struct mapped *m, struct dsm_map_request *q, int *ret_err);
/* The same for the entry of @key, whose value is to be freed where *@ret_err is 0. */
int map_ask_value(const char *command, struct mapped *m, const char *key, struct dsm_map_entry *ret,
		  int *ret_err);
/* Closes it; the exit code for @err, what a function of the library gave. */
int map_done(const char *command, int err, struct mapped *m);

/* Bytes as one word: what is not printable, and spaces with @word, as \xNN. */
void bytes_print(FILE *out, const void *bytes, size_t size, bool word);
/* A string, or {"base64": "..."} where they are no text. */
json_t *bytes_json(const void *bytes, size_t size);
/* The bytes of such a value, to be freed; NULL: it is none. */
void *json_bytes(const json_t *value, size_t *ret_size);
/* {"key", "value", "version", "expires"} */
json_t *entry_json(const struct dsm_map_entry *e);

#endif
