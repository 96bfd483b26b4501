/* SPDX-License-Identifier: MIT */
/* dsm lock list, dsm barrier list, dsm topic list */
#include <inttypes.h>

#include "agent/cli/args.h"
#include "agent/cli/session.h"
#include "agent/cli/table.h"

static void lock_row(struct table *t, json_t *lock)
{
	int64_t token = doc_int(lock, "token_node");

	table_cell(t, "%" PRId64, doc_int(lock, "id"));
	table_cell(t, "%s", doc_text(lock, "kind"));
	table_cell(t, "%s", doc_bool(lock, "here") ? "here" : "elsewhere");
	if (doc_int(lock, "holder"))
		table_cell(t, "session %" PRId64, doc_int(lock, "holder"));
	else
		table_cell(t, "%s", doc_bool(lock, "here") ? "free" : "-");
	table_cell(t, "%" PRId64, doc_int(lock, "waiters"));
	if (token)
		table_cell(t, "node %" PRId64, token);
	else
		table_cell(t, "-");
}

static void barrier_row(struct table *t, json_t *barrier)
{
	table_cell(t, "%" PRId64, doc_int(barrier, "id"));
	table_cell(t, "%" PRId64, doc_int(barrier, "arrived"));
	if (doc_bool(barrier, "all_nodes"))
		table_cell(t, "all nodes");
	else
		table_cell(t, "%" PRId64, doc_int(barrier, "count"));
}

/* What this node's programs do, and how many nodes elsewhere. */
static void side_cell(struct table *t, bool here, int64_t elsewhere)
{
	if (here && elsewhere)
		table_cell(t, "here, %" PRId64 " elsewhere", elsewhere);
	else if (here || !elsewhere)
		table_cell(t, "%s", here ? "here" : "-");
	else
		table_cell(t, "%" PRId64 " elsewhere", elsewhere);
}

static void topic_row(struct table *t, json_t *topic)
{
	table_cell(t, "%s", doc_text(topic, "name"));
	side_cell(t, doc_bool(topic, "publishes"), doc_int(topic, "publishers"));
	side_cell(t, doc_bool(topic, "subscribes"), doc_int(topic, "subscribers"));
	table_cell(t, "%" PRId64, doc_int(topic, "version"));
	table_cell(t, "%s", doc_bool(topic, "behind") ? "some wait" : "-");
}

static int list_print(const struct cli *cli, const char *command, const char *key,
		      const char *const *heads, void (*row)(struct table *t, json_t *item))
{
	json_t *doc, *item;
	struct table t;
	size_t i;
	int code;

	code = session_document(cli, command, &doc);
	if (code)
		return code;
	if (cli->json) {
		doc_print(doc);
		return CLI_OK;
	}
	table_begin(&t, heads);
	json_array_foreach(json_object_get(doc, key), i, item)
		row(&t, item);
	table_end(&t, stdout);
	json_decref(doc);
	return CLI_OK;
}

int cmd_lock_list(struct cli *cli, int argc, char **argv)
{
	static const char *const heads[] = { ">LOCK",	 "KIND",     "TOKEN", "HOLDER",
					     ">WAITERS", "TOKEN AT", NULL };

	args_parse(
		cli, argc, argv, NULL,
		"List the locks that this node knows. Only the master knows where every token is.",
		NULL, 0, 0);
	return list_print(cli, "lock list", "locks", heads, lock_row);
}

int cmd_barrier_list(struct cli *cli, int argc, char **argv)
{
	static const char *const heads[] = { ">BARRIER", ">ARRIVED", "OF", NULL };

	args_parse(cli, argc, argv, NULL,
		   "List the barriers somebody waits at. The master counts all, other nodes "
		   "themselves.",
		   NULL, 0, 0);
	return list_print(cli, "barrier list", "barriers", heads, barrier_row);
}

int cmd_topic_list(struct cli *cli, int argc, char **argv)
{
	static const char *const heads[] = { "TOPIC",	 "PUBLISHED", "SUBSCRIBED",
					     ">VERSION", "BEHIND",    NULL };

	args_parse(
		cli, argc, argv, NULL,
		"List the topics that this node has to do with. Who publishes elsewhere is known "
		"where somebody subscribes.",
		NULL, 0, 0);
	return list_print(cli, "topic list", "topics", heads, topic_row);
}
