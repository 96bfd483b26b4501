/* SPDX-License-Identifier: MIT */
/* dsm status, dsm node list, dsm node leave */
#include <inttypes.h>
#include <string.h>

#include "agent/cli/args.h"
#include "agent/cli/session.h"
#include "agent/cli/table.h"

static void status_print(json_t *doc)
{
	char total[32], used[32];
	int64_t pages = doc_int(doc, "metadata.pages");

	printf("agent      port %" PRId64 ", pid %" PRId64 ", %s pager, version %s, up %.0f s\n",
	       doc_int(doc, "port"), doc_int(doc, "pid"), doc_text(doc, "pager"),
	       doc_text(doc, "version"), doc_real(doc, "uptime_seconds"));
	printf("node       %" PRId64 ", %s%s\n", doc_int(doc, "node"), doc_text(doc, "state"),
	       doc_bool(doc, "is_master") ? ", master" : "");
	printf("cluster    %s (%s), %" PRId64 " nodes, master %" PRId64 ", epoch %" PRId64 "%s\n",
	       doc_text(doc, "cluster"), doc_text(doc, "cluster_id"), doc_int(doc, "members"),
	       doc_int(doc, "master"), doc_int(doc, "epoch"),
	       doc_bool(doc, "rebuilding") ? ", rebuilding" : "");
	table_size((uint64_t)doc_int(doc, "memory.bytes_total"), total);
	table_size((uint64_t)doc_int(doc, "memory.bytes_used"), used);
	printf("memory     %s of %s used (%" PRId64 " of %" PRId64 " chunks)\n", used, total,
	       doc_int(doc, "memory.chunks_used"), doc_int(doc, "memory.chunks_total"));
	printf("metadata   %" PRId64 " bytes for %" PRId64 " pages", doc_int(doc, "metadata.bytes"),
	       pages);
	if (pages)
		printf(" (%.1f each)", (double)doc_int(doc, "metadata.bytes") / (double)pages);
	printf("\nprograms   %" PRId64 "\n", doc_int(doc, "programs"));
}

int cmd_status(struct cli *cli, int argc, char **argv)
{
	json_t *doc;
	int code;

	args_parse(cli, argc, argv, NULL, "Tell of this node and its cluster.", NULL, 0, 0);
	code = session_document(cli, "status", &doc);
	if (code)
		return code;
	if (cli->json) {
		doc_print(doc);
		return CLI_OK;
	}
	status_print(doc);
	json_decref(doc);
	return CLI_OK;
}

static void node_row(struct table *t, json_t *node)
{
	const char *address = doc_text(node, "address");
	char size[32];

	table_cell(t, "%" PRId64 "%s", doc_int(node, "node"), doc_bool(node, "self") ? "*" : "");
	table_cell(t, "%s", doc_bool(node, "master") ? "master" : "member");
	table_cell(t, "%s", doc_text(node, "state"));
	table_cell(t, strchr(address, ':') ? "[%s]:%d" : "%s:%d", *address ? address : "-",
		   (int)doc_int(node, "port"));
	table_cell(t, "%s", doc_bool(node, "link") ? "up" : "down");
	table_cell(t, "%s", table_size((uint64_t)doc_int(node, "chunks") * 4096, size));
}

int cmd_node_list(struct cli *cli, int argc, char **argv)
{
	static const char *const heads[] = { ">NODE", "ROLE",	  "STATE", "ADDRESS",
					     "LINK",  ">DONATED", NULL };
	json_t *doc, *node;
	struct table t;
	size_t i;
	int code;

	args_parse(cli, argc, argv, NULL,
		   "List the nodes of the cluster; the one asked has a star.", NULL, 0, 0);
	code = session_document(cli, "node list", &doc);
	if (code)
		return code;
	if (cli->json) {
		doc_print(doc);
		return CLI_OK;
	}
	table_begin(&t, heads);
	json_array_foreach(json_object_get(doc, "nodes"), i, node)
		node_row(&t, node);
	table_end(&t, stdout);
	json_decref(doc);
	return CLI_OK;
}

/* Handing pages over takes as long as sending them does. */
#define LEAVE_PATIENCE_MS 60000

int cmd_node_leave(struct cli *cli, int argc, char **argv)
{
	struct client_req req = { .type = CLIENT_LEAVE };
	struct session s = { .fd = -1 };
	int err, code;

	args_parse(
		cli, argc, argv, NULL,
		"Have this node leave the cluster. Its pages are handed over, then the agent ends.",
		NULL, 0, 0);
	code = session_open(cli, &s);
	if (code)
		return code;
	err = session_request(&s, &req, NULL, LEAVE_PATIENCE_MS);
	session_close(&s);
	if (err)
		return session_explain(cli, "node leave", err);
	if (cli->json)
		printf("{\"port\": %u, \"left\": true}\n", cli->port);
	return CLI_OK;
}
