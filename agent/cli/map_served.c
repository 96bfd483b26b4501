// SPDX-License-Identifier: MIT
/* Maps that `dsm map serve` answers for: what get, set, cas and del ask its server. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/map.h"

#define PATIENCE_US 10000000   /* for a server that lives and does not answer */
#define VALUE_MOST  (1u << 20) /* more than any answer has: rings of 1 MiB take half of it */

int map_reach(const struct cli *cli, const char *command, const char *uri, bool make,
	      struct mapped *ret)
{
	char segment[256];
	const char *name = open_split(uri, segment, MAP_NAME_DEFAULT);
	struct dsm_root root;
	int err, code;

	*ret = (struct mapped){ 0 };
	code = make ? open_or_make(cli, command, segment, &ret->o)
		    : open_segment(cli, segment, &ret->o);
	if (code)
		return code;
	if (!dsm_segment_root_get(ret->o.segment, name, &root) && root.kind == DSM_ROOT_LISTENER)
		err = dsm_map_client_open(ret->o.segment, name, &ret->client);
	else
		err = map_open_in(ret->o.segment, name, make, &ret->map);
	return err ? map_done(command, err, ret) : CLI_OK;
}

int map_ask(const char *command, struct mapped *m, struct dsm_map_request *q, int *ret_err)
{
	int err = dsm_map_client_do(m->client, q, 1, PATIENCE_US);

	*ret_err = 0;
	if (err)
		return map_done(command, err, m);
	if (q->result >= 0)
		return CLI_OK;
	*ret_err = (int)q->result;
	if (*ret_err == -ENOENT || *ret_err == -EEXIST || *ret_err == -ESTALE)
		return CLI_OK;
	(void)map_done(command, 0, m);
	return cli_error(CLI_FAILED, "%s: the server says: %s", command, strerror(-*ret_err));
}

int map_ask_value(const char *command, struct mapped *m, const char *key, struct dsm_map_entry *ret,
		  int *ret_err)
{
	struct dsm_map_request q = {
		.op = DSM_MAP_OP_GET,
		.key = key,
		.key_size = strlen(key),
		.buffer = malloc(VALUE_MOST),
		.buffer_size = VALUE_MOST,
	};
	int code;

	if (!q.buffer) {
		(void)map_done(command, 0, m);
		return cli_error(CLI_FAILED, "%s: no memory", command);
	}
	code = map_ask(command, m, &q, ret_err);
	if (code || *ret_err) {
		free(q.buffer);
		return code;
	}
	*ret = (struct dsm_map_entry){
		.key = key,
		.key_size = (uint32_t)q.key_size,
		.value = q.buffer,
		.value_size = (uint32_t)q.result,
		.version = q.version,
	};
	return CLI_OK;
}
