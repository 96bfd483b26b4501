// SPDX-License-Identifier: MIT
/* dsm heap stat, dump, validate. */
#include <inttypes.h>
#include <stdio.h>

#include <dsm/heap_report.h>

#include "agent/cli/args.h"
#include "agent/cli/heap.h"
#include "agent/cli/table.h"

int heap_open(const struct cli *cli, const char *command, const char *uri, struct opened *o,
	      dsm_heap_t **ret)
{
	int err, code = open_segment(cli, uri, o);

	if (code)
		return code;
	err = dsm_heap_open(o->segment, ret);
	if (!err)
		return CLI_OK;
	code = open_explain(command, err);
	open_close(o);
	return code;
}

int heap_done(const char *command, int err, struct opened *o, dsm_heap_t *heap)
{
	int code = err < 0 ? open_explain(command, err) : CLI_OK;

	dsm_heap_close(heap);
	open_close(o);
	return code;
}

int cmd_heap_stat(struct cli *cli, int argc, char **argv)
{
	struct opened o;
	dsm_heap_t *heap;
	const char *uri;
	int code;

	args_parse(cli, argc, argv, "URI",
		   "Show how much of a segment's heap is used, how it is fragmented, and how many "
		   "blocks and free places there are of which size.",
		   &uri, 1, 1);
	code = heap_open(cli, argv[0], uri, &o, &heap);
	if (code)
		return code;
	return heap_done(argv[0], dsm_heap_report_write(heap, stdout, cli->json), &o, heap);
}

int cmd_heap_dump(struct cli *cli, int argc, char **argv)
{
	struct opened o;
	dsm_heap_t *heap;
	const char *uri;
	int code;

	args_parse(cli, argc, argv, "URI", "List every block and free place of a segment's heap.",
		   &uri, 1, 1);
	code = heap_open(cli, argv[0], uri, &o, &heap);
	if (code)
		return code;
	return heap_done(argv[0], dsm_heap_dump(heap, stdout, cli->json), &o, heap);
}

struct faults {
	bool json;
	json_t *array;
};

static int fault_tell(void *context, uint64_t off, const char *what)
{
	const struct faults *f = context;

	if (f->json)
		json_array_append_new(f->array,
				      json_pack("{s:o,s:s}", "offset",
						json_sprintf("0x%" PRIx64, off), "what", what));
	else
		printf("0x%" PRIx64 ": %s\n", off, what);
	return 0;
}

int cmd_heap_validate(struct cli *cli, int argc, char **argv)
{
	struct faults f = { 0 };
	struct opened o;
	dsm_heap_t *heap;
	const char *uri;
	int n, code;

	args_parse(cli, argc, argv, "URI",
		   "Look at every block and all tables of a segment's heap, which nobody should "
		   "change meanwhile. Exit status 5: damage was found.",
		   &uri, 1, 1);
	code = heap_open(cli, argv[0], uri, &o, &heap);
	if (code)
		return code;
	f.json = cli->json;
	f.array = json_array();
	n = dsm_heap_validate(heap, fault_tell, &f);
	if (n >= 0 && cli->json)
		doc_print(json_pack("{s:s,s:i,s:O}", "uri", uri, "damages", n, "faults", f.array));
	else if (n > 0)
		printf("%s: %d damage%s\n", uri, n, n == 1 ? "" : "s");
	else if (!n)
		printf("%s: no damage\n", uri);
	json_decref(f.array);
	code = heap_done(argv[0], n, &o, heap);
	return n > 0 ? CLI_DAMAGED : code;
}
