/* SPDX-License-Identifier: MIT */
/* dsm page list */
#include <inttypes.h>
#include <string.h>

#include "agent/cli/args.h"
#include "agent/cli/session.h"
#include "agent/cli/table.h"

static void pages_print(json_t *doc)
{
	static const char *const heads[] = { "ADDRESS",	  ">PAGES", "HERE",	">HOME",
					     "DIRECTORY", ">OWNER", ">SHARERS", NULL };
	json_t *run;
	struct table t;
	size_t i;

	table_begin(&t, heads);
	json_array_foreach(json_object_get(doc, "pages"), i, run) {
		table_cell(&t, "%s", doc_text(run, "address"));
		table_cell(&t, "%" PRId64, doc_int(run, "pages"));
		table_cell(&t, "%s%s", doc_text(run, "state"),
			   doc_bool(run, "lost") ? ", lost" : "");
		table_cell(&t, "%" PRId64, doc_int(run, "home"));
		/* Only the home knows these. */
		if (doc_int(run, "home") == doc_int(doc, "node")) {
			table_cell(&t, "%s", doc_text(run, "directory_state"));
			table_cell(&t, "%" PRId64, doc_int(run, "owner"));
			table_cell(&t, "%" PRId64, doc_int(run, "sharers"));
			continue;
		}
		for (int k = 0; k < 3; k++)
			table_cell(&t, "-");
	}
	table_end(&t, stdout);
	if (*doc_text(doc, "next"))
		printf("more: page list %s:%s\n", doc_text(doc, "name"), doc_text(doc, "next"));
}

int cmd_page_list(struct cli *cli, int argc, char **argv)
{
	const char *word = NULL, *colon;
	char command[80], name[CLIENT_NAME_MAX] = "default";
	uint64_t from = 0;
	size_t len;
	json_t *doc;
	int code;

	args_parse(cli, argc, argv, "[REGION[:ADDR]]",
		   "List the pages of a region (default) that this node has or is the home of, "
		   "from ADDR on, as runs of neighbours with the same fate; at most 1000 runs.",
		   &word, 0, 1);
	colon = word ? strrchr(word, ':') : NULL;
	len = colon ? (size_t)(colon - word) : word ? strlen(word) : 0;
	if (colon && args_number(colon + 1, 0, UINT64_MAX, &from) < 0)
		return cli_error(CLI_USAGE, "page list: '%s' is no REGION:ADDR", word);
	if (len >= sizeof(name) || (word && !len))
		return cli_error(CLI_USAGE, "page list: '%s' names no region", word);
	if (word) {
		memcpy(name, word, len);
		name[len] = '\0';
	}
	(void)snprintf(command, sizeof(command), "page list %" PRIu64 " %s", from / 4096, name);
	code = session_document(cli, command, &doc);
	if (code)
		return code;
	if (cli->json) {
		doc_print(doc);
		return CLI_OK;
	}
	pages_print(doc);
	json_decref(doc);
	return CLI_OK;
}
