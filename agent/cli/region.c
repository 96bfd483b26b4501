/* SPDX-License-Identifier: MIT */
/* dsm region list, create, show, delete */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "agent/cli/args.h"
#include "agent/cli/session.h"
#include "agent/cli/table.h"
#include "agent/core/core.h"

int cmd_region_list(struct cli *cli, int argc, char **argv)
{
	static const char *const heads[] = { ">REGION", "NAME", ">SIZE", "MAPPED AT", NULL };
	json_t *doc, *region;
	char size[32];
	struct table t;
	size_t i;
	int code;

	args_parse(cli, argc, argv, NULL, "List the regions of the cluster.", NULL, 0, 0);
	code = session_document(cli, "region list", &doc);
	if (code)
		return code;
	if (cli->json) {
		doc_print(doc);
		return CLI_OK;
	}
	table_begin(&t, heads);
	json_array_foreach(json_object_get(doc, "regions"), i, region) {
		table_cell(&t, "%" PRId64, doc_int(region, "region"));
		table_cell(&t, "%s", doc_text(region, "name"));
		table_cell(&t, "%s", table_size((uint64_t)doc_int(region, "size"), size));
		table_cell(&t, "%s", doc_text(region, "base"));
	}
	table_end(&t, stdout);
	json_decref(doc);
	return CLI_OK;
}

/* How long the master may take; a view change in between costs some of it. */
#define REGION_PATIENCE_MS 10000

static int region_name_check(const char *command, const char *name)
{
	if (!*name || strlen(name) >= CLIENT_NAME_MAX)
		return cli_error(CLI_USAGE,
				 "%s: a region's name has 1 to %d characters, '%s' has %zu",
				 command, CLIENT_NAME_MAX - 1, name, strlen(name));
	return CLI_OK;
}

static int region_request(const struct cli *cli, uint32_t op, const char *name, uint64_t size,
			  struct client_rep *rep)
{
	struct client_req req = { .type = CLIENT_OP, .arg = op, .count = size };
	const char *verb = op == OP_REGION_CREATE ? "create" : "delete";
	struct session s = { .fd = -1 };
	int err, code;

	code = session_open(cli, &s);
	if (code)
		return code;
	memcpy(req.name, name, strlen(name));
	err = session_request(&s, &req, rep, REGION_PATIENCE_MS);
	session_close(&s);
	switch (err) {
	case 0:
		return CLI_OK;
	case -EEXIST:
		return cli_error(CLI_FAILED, "region %s: '%s' exists already", verb, name);
	case -ENOENT:
		return cli_error(CLI_NOT_FOUND, "region %s: no region '%s'", verb, name);
	case -EINVAL:
		return cli_error(CLI_FAILED,
				 "region %s: '%s' is refused: a region has 4096 bytes to 16 TiB",
				 verb, name);
	case -EBUSY:
		return cli_error(CLI_FAILED, "region %s: '%s' is in use, or is the default region",
				 verb, name);
	default:
		return session_explain(
			cli, op == OP_REGION_CREATE ? "region create" : "region delete", err);
	}
}

int cmd_region_create(struct cli *cli, int argc, char **argv)
{
	struct client_rep rep;
	const char *words[2];
	uint64_t size;
	int code;

	args_parse(
		cli, argc, argv, "NAME SIZE",
		"Make a region that programs attach to by its name. SIZE is in bytes, or has k, M, "
		"G or T after it, and is rounded up to whole pages of 4096 bytes.",
		words, 2, 2);
	code = region_name_check(argv[0], words[0]);
	if (code)
		return code;
	if (args_size(words[1], &size) < 0 || !size || size > UINT64_MAX - 4095)
		return cli_error(CLI_USAGE,
				 "region create: size '%s': bytes, or a number with k, M, G or T",
				 words[1]);
	size = (size + 4095) & ~4095ull;
	code = region_request(cli, OP_REGION_CREATE, words[0], size, &rep);
	if (code)
		return code;
	if (cli->json)
		doc_print(json_pack("{s:I,s:s,s:I,s:o}", "region", (json_int_t)rep.val[0], "name",
				    words[0], "size", (json_int_t)rep.val[1], "base",
				    json_sprintf("0x%" PRIx64, rep.val[2])));
	else
		printf("region %" PRIu64 " '%s' of %" PRIu64 " bytes, mapped at 0x%" PRIx64 "\n",
		       rep.val[0], words[0], rep.val[1], rep.val[2]);
	return CLI_OK;
}

int cmd_region_delete(struct cli *cli, int argc, char **argv)
{
	struct client_rep rep;
	const char *name;
	int code;

	args_parse(cli, argc, argv, "NAME", "Delete a region and all that is in it.", &name, 1, 1);
	code = region_name_check(argv[0], name);
	if (!code)
		code = region_request(cli, OP_REGION_DELETE, name, 0, &rep);
	if (!code && cli->json)
		doc_print(json_pack("{s:s,s:b}", "name", name, "deleted", 1));
	return code;
}

static void region_print(json_t *doc)
{
	static const char *const heads[] = { "ADDRESS", ">PAGES", ">HOME", "KIND", NULL };
	char size[32];
	struct table t;
	json_t *e;
	size_t i;

	printf("region     %" PRId64 " '%s'\nsize       %s, mapped at %s\n", doc_int(doc, "region"),
	       doc_text(doc, "name"), table_size((uint64_t)doc_int(doc, "size"), size),
	       doc_text(doc, "base"));
	printf("allocated  %" PRId64 " pages known here\n", doc_int(doc, "pages_allocated"));
	printf("here       %" PRId64 " shared, %" PRId64 " modified, %" PRId64 " pending, %" PRId64
	       " homed, %" PRId64 " lost\n",
	       doc_int(doc, "pages_here.shared"), doc_int(doc, "pages_here.modified"),
	       doc_int(doc, "pages_here.pending"), doc_int(doc, "pages_here.homed"),
	       doc_int(doc, "pages_here.lost"));
	if (!json_array_size(json_object_get(doc, "extents")))
		return;
	table_begin(&t, heads);
	json_array_foreach(json_object_get(doc, "extents"), i, e) {
		table_cell(&t, "%s", doc_text(e, "address"));
		table_cell(&t, "%" PRId64, doc_int(e, "pages"));
		table_cell(&t, "%" PRId64, doc_int(e, "home"));
		table_cell(&t, "%s%s", doc_bool(e, "allocated") ? "allocated" : "first touch",
			   doc_bool(e, "orphaned") ? ", home died" : "");
	}
	table_end(&t, stdout);
}

int cmd_region_show(struct cli *cli, int argc, char **argv)
{
	char command[64];
	struct session s = { .fd = -1 };
	const char *name;
	json_t *doc;
	int err, code;

	args_parse(cli, argc, argv, "NAME", "Show one region, as far as this node knows it.", &name,
		   1, 1);
	code = region_name_check(argv[0], name);
	if (code)
		return code;
	code = session_open(cli, &s);
	if (code)
		return code;
	snprintf(command, sizeof(command), "region show %s", name);
	err = session_query(&s, command, &doc);
	session_close(&s);
	if (err == -ENOENT)
		return cli_error(CLI_NOT_FOUND, "region show: no region '%s'", name);
	if (err)
		return session_explain(cli, "region show", err);
	if (cli->json) {
		doc_print(doc);
		return CLI_OK;
	}
	region_print(doc);
	json_decref(doc);
	return CLI_OK;
}
