// SPDX-License-Identifier: MIT
/* dsm map get, del, list, stat. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/args.h"
#include "agent/cli/map.h"
#include "agent/cli/table.h"

int map_open_in(dsm_segment_t *segment, const char *name, bool make, dsm_map_t **ret)
{
	struct dsm_map_options options = { .flags = DSM_MAP_EXISTING };

	return make ? dsm_map_create(segment, name, &options, ret)
		    : dsm_map_open(segment, name, ret);
}

int map_open(const struct cli *cli, const char *command, const char *uri, bool make,
	     struct mapped *ret)
{
	char segment[256];
	const char *name = open_split(uri, segment, MAP_NAME_DEFAULT);
	int err, code;

	*ret = (struct mapped){ 0 };
	code = make ? open_or_make(cli, command, segment, &ret->o)
		    : open_segment(cli, segment, &ret->o);
	if (code)
		return code;
	err = map_open_in(ret->o.segment, name, make, &ret->map);
	return err ? map_done(command, err, ret) : CLI_OK;
}

int map_done(const char *command, int err, struct mapped *m)
{
	int code = err < 0 ? open_explain(command, err) : CLI_OK;

	dsm_map_client_close(m->client);
	dsm_map_close(m->map);
	open_close(&m->o);
	return code;
}

/* The library does not word what is usual: that a key is absent. */
static int absent(const char *command, const char *key, struct mapped *m)
{
	(void)map_done(command, 0, m);
	return cli_error(CLI_NOT_FOUND, "%s: no key '%s'", command, key);
}

static void value_print(const struct cli *cli, const struct dsm_map_entry *e)
{
	if (cli->json)
		doc_print(entry_json(e));
	else
		(void)(fwrite(e->value, 1, e->value_size, stdout), putchar('\n'));
}

static int get_served(const struct cli *cli, const char *command, const char *key, struct mapped *m)
{
	struct dsm_map_entry e;
	int err, code = map_ask_value(command, m, key, &e, &err);

	if (code)
		return code;
	if (err)
		return absent(command, key, m);
	value_print(cli, &e);
	free((void *)e.value);
	return map_done(command, 0, m);
}

int cmd_map_get(struct cli *cli, int argc, char **argv)
{
	struct dsm_map_entry e;
	const char *words[2];
	struct mapped m;
	int err, code;

	args_parse(
		cli, argc, argv, "URI KEY",
		"Print the value of a key of the map URI (shm:NAME/MAP or dsm:REGION/MAP; the map "
		"is called \"map\" where only a segment is given). One that `dsm map serve` has is "
		"asked for it. Exit status 4: absent.",
		words, 2, 2);
	code = map_reach(cli, argv[0], words[0], false, &m);
	if (code)
		return code;
	if (m.client)
		return get_served(cli, argv[0], words[1], &m);
	err = dsm_map_read_begin(m.map);
	if (!err) {
		err = dsm_map_find(m.map, words[1], strlen(words[1]), &e);
		if (!err)
			value_print(cli, &e);
		dsm_map_read_end(m.map);
	}
	return err == -ENOENT ? absent(argv[0], words[1], &m) : map_done(argv[0], err, &m);
}

int cmd_map_del(struct cli *cli, int argc, char **argv)
{
	struct dsm_map_request q = { .op = DSM_MAP_OP_DELETE };
	const char *words[2];
	struct mapped m;
	int err, code;

	args_parse(cli, argc, argv, "URI KEY", "Delete a key. Exit status 4: it was absent.", words,
		   2, 2);
	code = map_reach(cli, argv[0], words[0], false, &m);
	q.key = words[1];
	q.key_size = strlen(words[1]);
	if (!code && m.client)
		code = map_ask(argv[0], &m, &q, &err);
	else if (!code)
		err = dsm_map_delete(m.map, q.key, q.key_size);
	if (code)
		return code;
	if (err == -ENOENT)
		return absent(argv[0], words[1], &m);
	if (!err && cli->json)
		doc_print(json_pack("{s:s,s:b}", "key", words[1], "deleted", 1));
	return map_done(argv[0], err, &m);
}

static void entry_print(const struct dsm_map_entry *e)
{
	bytes_print(stdout, e->key, e->key_size, true);
	putchar(' ');
	bytes_print(stdout, e->value, e->value_size, false);
	putchar('\n');
}

int cmd_map_list(struct cli *cli, int argc, char **argv)
{
	const char *words[2] = { NULL, "" };
	struct dsm_map_entry e;
	dsm_map_iter_t *it;
	struct mapped m;
	json_t *all;
	int got, code;

	args_parse(cli, argc, argv, "URI [PREFIX]",
		   "List the entries whose keys begin with PREFIX, in no order.", words, 1, 2);
	code = map_open(cli, argv[0], words[0], false, &m);
	if (code)
		return code;
	got = dsm_map_iter_begin(m.map, words[1], strlen(words[1]), &it);
	if (got)
		return map_done(argv[0], got, &m);
	all = json_array();
	while ((got = dsm_map_iter_next(it, &e)) == 1) {
		if (cli->json)
			json_array_append_new(all, entry_json(&e));
		else
			entry_print(&e);
	}
	dsm_map_iter_end(it);
	if (!got && cli->json)
		doc_print(json_pack("{s:s,s:O}", "uri", words[0], "entries", all));
	json_decref(all);
	return map_done(argv[0], got, &m);
}

static void stat_print(const char *uri, const struct dsm_map_stat *s)
{
	char keys[32], values[32], table[32];

	printf("map        %s, version %" PRIu64 "\n", uri, s->version);
	printf("entries    %" PRIu64 ", %" PRIu64 " with an end, %" PRIu64 " expired\n", s->entries,
	       s->with_ttl, s->expired);
	printf("bytes      %s of keys, %s of values, %s of tables\n",
	       table_size(s->key_bytes, keys), table_size(s->value_bytes, values),
	       table_size(s->table_bytes, table));
	printf("buckets    %" PRIu64 " and %" PRIu64 " chained, %u entries in the fullest\n",
	       s->buckets, s->overflow, s->longest_chain);
	if (s->growing_to)
		printf("growing    to %" PRIu64 " buckets, %" PRIu64 " are moved\n", s->growing_to,
		       s->moved);
	printf("retired    %" PRIu64 " old entries\n", s->retired);
}

int cmd_map_stat(struct cli *cli, int argc, char **argv)
{
	struct dsm_map_stat s;
	struct mapped m;
	const char *uri;
	int err, code;

	args_parse(cli, argc, argv, "URI", "Show a map as a whole.", &uri, 1, 1);
	code = map_open(cli, argv[0], uri, false, &m);
	if (code)
		return code;
	err = dsm_map_stat(m.map, &s);
	if (!err && cli->json)
		doc_print(json_pack(
			"{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:i}", "uri", uri,
			"entries", (json_int_t)s.entries, "expired", (json_int_t)s.expired,
			"with_ttl", (json_int_t)s.with_ttl, "key_bytes", (json_int_t)s.key_bytes,
			"value_bytes", (json_int_t)s.value_bytes, "version", (json_int_t)s.version,
			"buckets", (json_int_t)s.buckets, "overflow", (json_int_t)s.overflow,
			"table_bytes", (json_int_t)s.table_bytes, "growing_to",
			(json_int_t)s.growing_to, "moved", (json_int_t)s.moved, "retired",
			(json_int_t)s.retired, "longest_chain", (int)s.longest_chain));
	else if (!err)
		stat_print(uri, &s);
	return map_done(argv[0], err, &m);
}
