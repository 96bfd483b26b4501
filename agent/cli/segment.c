// SPDX-License-Identifier: MIT
/* dsm segment list, show, unlink. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/cli/args.h"
#include "agent/cli/open.h"
#include "agent/cli/table.h"

static json_t *info_json(const char *uri, const struct dsm_segment_info *info)
{
	return json_pack(
		"{s:s,s:o,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "uri", uri, "id",
		json_sprintf("0x%016" PRIx64, info->id), "size", (json_int_t)info->size, "max_size",
		(json_int_t)info->max_size, "free", (json_int_t)info->free_bytes, "created_ns",
		(json_int_t)info->created_ns, "creator_pid", (json_int_t)info->creator_pid,
		"creator_uid", (json_int_t)info->creator_uid, "participants",
		(json_int_t)info->participants, "roots", (json_int_t)info->roots, "recovered",
		(json_int_t)info->recovered, "version", (json_int_t)info->version);
}

/* One segment of the list: a row and a member, or what is wrong with it. */
static void list_one(dsm_t *ctx, const char *uri, struct table *t, json_t *array)
{
	struct dsm_segment_options options = { .ctx = ctx };
	struct dsm_segment_info info;
	dsm_segment_t *segment = NULL;
	char size[32], most[32], left[32];
	int err = dsm_segment_open(uri, &options, &segment);

	if (!err)
		err = dsm_segment_info(segment, &info);
	if (err) {
		table_cell(t, "%s", uri);
		for (int i = 0; i < 5; i++)
			table_cell(t, "-");
		table_cell(t, "%s", dsm_last_error());
		json_array_append_new(
			array, json_pack("{s:s,s:s}", "uri", uri, "error", dsm_last_error()));
	} else {
		table_cell(t, "%s", uri);
		table_cell(t, "%s", table_size(info.size, size));
		table_cell(t, "%s", table_size(info.max_size, most));
		table_cell(t, "%s", table_size(info.free_bytes, left));
		table_cell(t, "%u", info.participants);
		table_cell(t, "%u", info.roots);
		table_cell(t, "process %u of user %u", info.creator_pid, info.creator_uid);
		json_array_append_new(array, info_json(uri, &info));
	}
	dsm_segment_close(segment);
}

int cmd_segment_list(struct cli *cli, int argc, char **argv)
{
	static const char *const heads[] = { "SEGMENT",	      ">SIZE",	">MOST",      ">FREE",
					     ">PARTICIPANTS", ">ROOTS", "CREATED BY", NULL };
	char **list = NULL;
	dsm_t *ctx = NULL;
	struct table t;
	json_t *array;
	int n, code;

	args_parse(cli, argc, argv, "",
		   "List the segments in the shared memory of this machine; with --port, or "
		   "DSM_PORT in the environment, those of that agent's cluster instead.",
		   NULL, 0, 0);
	code = cli->port_given ? open_context(cli, &ctx) : CLI_OK;
	if (code)
		return code;
	n = dsm_segment_list(ctx, &list);
	if (n < 0) {
		code = open_explain(argv[0], n);
		dsm_close(ctx);
		return code;
	}
	table_begin(&t, heads);
	array = json_array();
	for (int i = 0; i < n; i++)
		list_one(ctx, list[i], &t, array);
	if (cli->json) {
		doc_print(json_pack("{s:o}", "segments", array));
		table_drop(&t);
	} else {
		table_end(&t, stdout);
		json_decref(array);
	}
	dsm_segment_list_free(list);
	dsm_close(ctx);
	return CLI_OK;
}

static json_t *roots_json(dsm_segment_t *segment)
{
	json_t *array = json_array();
	struct dsm_root roots[16];
	uint32_t from = 0;
	int n;

	while ((n = dsm_segment_root_list(segment, from, roots, 16)) > 0) {
		for (int i = 0; i < n; i++)
			json_array_append_new(
				array, json_pack("{s:s,s:s,s:o}", "name", roots[i].name, "kind",
						 dsm_root_kind_name(roots[i].kind), "offset",
						 json_sprintf("0x%" PRIx64, roots[i].offset)));
		from = roots[n - 1].index + 1;
	}
	return array;
}

static void show_text(const char *uri, const struct dsm_segment_info *info, json_t *roots)
{
	static const char *const heads[] = { "NAME", "KIND", ">OFFSET", NULL };
	time_t seconds = (time_t)(info->created_ns / 1000000000);
	char size[32], most[32], left[32], when[32] = "";
	struct table t;
	struct tm tm;
	json_t *root;
	size_t i;

	if (localtime_r(&seconds, &tm))
		(void)strftime(when, sizeof(when), "%F %T", &tm);
	printf("segment       %s, id 0x%016" PRIx64 ", layout version %u\n", uri, info->id,
	       info->version);
	printf("created       %s by process %u of user %u\n", when, info->creator_pid,
	       info->creator_uid);
	printf("size          %s, %s at most; %s free\n", table_size(info->size, size),
	       table_size(info->max_size, most), table_size(info->free_bytes, left));
	printf("participants  %u; cleaned up after %u deaths\n", info->participants,
	       info->recovered);
	if (!json_array_size(roots))
		return;
	table_begin(&t, heads);
	json_array_foreach(roots, i, root) {
		table_cell(&t, "%s", doc_text(root, "name"));
		table_cell(&t, "%s", doc_text(root, "kind"));
		table_cell(&t, "%s", doc_text(root, "offset"));
	}
	table_end(&t, stdout);
}

int cmd_segment_show(struct cli *cli, int argc, char **argv)
{
	struct dsm_segment_info info;
	struct opened o;
	const char *uri;
	json_t *roots, *doc;
	int err, code;

	args_parse(cli, argc, argv, "URI", "Show one segment and what has a name in it.", &uri, 1,
		   1);
	code = open_segment(cli, uri, &o);
	if (code)
		return code;
	err = dsm_segment_info(o.segment, &info);
	if (err) {
		code = open_explain(argv[0], err);
		open_close(&o);
		return code;
	}
	roots = roots_json(o.segment);
	if (cli->json) {
		doc = info_json(uri, &info);
		json_object_set_new(doc, "named", roots);
		doc_print(doc);
	} else {
		show_text(uri, &info, roots);
		json_decref(roots);
	}
	open_close(&o);
	return CLI_OK;
}

int cmd_segment_unlink(struct cli *cli, int argc, char **argv)
{
	dsm_t *ctx = NULL;
	const char *uri;
	int err, code = CLI_OK;

	args_parse(
		cli, argc, argv, "URI",
		"Remove the name of a segment. Programs that have one of this machine open go on "
		"with it; a segment of the cluster is gone for all.",
		&uri, 1, 1);
	if (strncmp(uri, "shm:", 4) && strncmp(uri, "dsm:", 4))
		return cli_error(CLI_USAGE, "'%s' is no segment: shm:NAME or dsm:REGION", uri);
	if (!strncmp(uri, "dsm:", 4))
		code = open_context(cli, &ctx);
	if (code)
		return code;
	err = dsm_segment_unlink(uri, ctx);
	if (err)
		code = open_explain(argv[0], err);
	else if (cli->json)
		doc_print(json_pack("{s:s,s:b}", "uri", uri, "unlinked", 1));
	dsm_close(ctx);
	return code;
}
