/* SPDX-License-Identifier: MIT */
/* dsm stats */
#include <inttypes.h>

#include "agent/cli/args.h"
#include "agent/cli/session.h"
#include "agent/cli/table.h"

static void count_print(json_t *doc, const char *label, const char *path)
{
	printf("%-28s %15" PRId64 "\n", label, doc_int(doc, path));
}

static void latency_print(json_t *doc, const char *label, const char *path)
{
	json_t *l = doc_get(doc, path);

	printf("%-28s %15.1f p50 %10.1f p99 %10.1f max  (us, %" PRId64 " faults)\n", label,
	       doc_real(l, "p50_us"), doc_real(l, "p99_us"), doc_real(l, "max_us"),
	       doc_int(l, "n"));
}

static void stats_print(json_t *doc)
{
	static const struct {
		const char *label, *path;
	} counts[] = {
		{ "read faults", "faults.read" },
		{ "write faults", "faults.write" },
		{ "prefetches", "faults.prefetch" },
		{ "pages in", "pages.in" },
		{ "pages out", "pages.out" },
		{ "pages lost", "pages.lost" },
		{ "pages stashed now", "pages.stashed" },
		{ "invalidations", "coherence.invalidations" },
		{ "downgrades", "coherence.downgrades" },
		{ "upgrades without data", "coherence.upgrades" },
		{ "locks granted, token here", "locks.local" },
		{ "locks granted, token fetched", "locks.remote" },
		{ "barriers passed", "barriers" },
		{ "values of topics in", "values.in" },
		{ "values of topics out", "values.out" },
		{ "values that were too old", "values.refused" },
		{ "bytes in", "wire.bytes_in" },
		{ "bytes out", "wire.bytes_out" },
		{ "messages in", "wire.messages_in" },
		{ "messages out", "wire.messages_out" },
		{ "bad frames", "wire.bad_frames" },
		{ "messages of an old epoch", "messages.old_epoch" },
		{ "messages played back", "messages.replayed" },
		{ "messages out of place", "messages.bad" },
		{ "view changes", "view_changes" },
	};
	size_t i;

	printf("%-28s %15" PRId64 "\n", "node", doc_int(doc, "node"));
	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		count_print(doc, counts[i].label, counts[i].path);
	latency_print(doc, "read fault latency", "latency.read");
	latency_print(doc, "write fault latency", "latency.write");
}

int cmd_stats(struct cli *cli, int argc, char **argv)
{
	json_t *doc;
	int code;

	args_parse(cli, argc, argv, NULL, "Print this node's counters since its agent started.",
		   NULL, 0, 0);
	code = session_document(cli, "stats", &doc);
	if (code)
		return code;
	if (cli->json) {
		doc_print(doc);
		return CLI_OK;
	}
	stats_print(doc);
	json_decref(doc);
	return CLI_OK;
}
