/* SPDX-License-Identifier: MIT */
/* dsm events */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/cli/args.h"
#include "agent/cli/session.h"
#include "agent/cli/table.h"

static void status_tell(json_t *st)
{
	printf("status %s, node %" PRId64 " of %" PRId64 ", master %" PRId64 ", epoch %" PRId64
	       ", %" PRId64 " of %" PRId64 " chunks used%s\n",
	       doc_text(st, "state"), doc_int(st, "node"), doc_int(st, "members"),
	       doc_int(st, "master"), doc_int(st, "epoch"), doc_int(st, "chunks_used"),
	       doc_int(st, "chunks_total"), doc_bool(st, "rebuilding") ? ", rebuilding" : "");
}

static void node_tell(json_t *n)
{
	printf("node %" PRId64 " %s%s, %s:%" PRId64 ", link %s\n", doc_int(n, "node"),
	       doc_text(n, "state"), doc_bool(n, "master") ? ", master" : "",
	       *doc_text(n, "address") ? doc_text(n, "address") : "-", doc_int(n, "port"),
	       doc_bool(n, "link") ? "up" : "down");
}

static void region_tell(json_t *r)
{
	printf("region %" PRId64 " '%s', %" PRId64 " bytes at %s\n", doc_int(r, "region"),
	       doc_text(r, "name"), doc_int(r, "size"), doc_text(r, "base"));
}

static void lock_tell(json_t *l)
{
	printf("%s %" PRId64 " %s, holder %" PRId64 ", %" PRId64 " wait\n",
	       strcmp(doc_text(l, "kind"), "rw") ? "lock" : "rwlock", doc_int(l, "id"),
	       doc_bool(l, "here") ? "here" : "elsewhere", doc_int(l, "holder"),
	       doc_int(l, "waiters"));
}

static void barrier_tell(json_t *b)
{
	printf("barrier %" PRId64 ", %" PRId64 " arrived\n", doc_int(b, "id"),
	       doc_int(b, "arrived"));
}

static const struct kind {
	const char *event, *list;
	void (*tell)(json_t *item);
} kinds[] = {
	{ "status", NULL, status_tell },	 { "node", "nodes", node_tell },
	{ "region", "regions", region_tell },	 { "lock", "locks", lock_tell },
	{ "barrier", "barriers", barrier_tell },
};
#define NKINDS (sizeof(kinds) / sizeof(kinds[0]))

static void snapshot_tell(json_t *doc, double seconds)
{
	json_t *item;
	size_t k, i;

	printf("%10.3f  now      ", seconds);
	status_tell(json_object_get(doc, "status"));
	for (k = 1; k < NKINDS; k++) {
		json_array_foreach(json_object_get(doc, kinds[k].list), i, item) {
			printf("%10.3f  now      ", seconds);
			kinds[k].tell(item);
		}
	}
}

static void event_tell(json_t *doc)
{
	const char *event = doc_text(doc, "event");
	double seconds = doc_real(doc, "uptime_seconds");
	size_t k;

	if (!strcmp(event, "snapshot")) {
		snapshot_tell(doc, seconds);
		return;
	}
	for (k = 0; k < NKINDS; k++) {
		if (strcmp(event, kinds[k].event))
			continue;
		printf("%10.3f  %-8s ", seconds, doc_text(doc, "change"));
		kinds[k].tell(json_object_get(doc, event));
	}
}

/* Prints the whole lines of @text and keeps what is left of it. */
static int lines_tell(const struct cli *cli, char *text, size_t *len)
{
	char *line = text, *end;
	json_t *doc;

	while ((end = strchr(line, '\n'))) {
		*end = '\0';
		doc = json_loads(line, 0, NULL);
		if (!doc)
			return cli_error(CLI_FAILED,
					 "events: the agent sent a line that is no JSON");
		if (cli->json)
			puts(line);
		else
			event_tell(doc);
		json_decref(doc);
		line = end + 1;
	}
	*len -= (size_t)(line - text);
	memmove(text, line, *len + 1);
	return fflush(stdout) == EOF ? cli_error(CLI_FAILED, "events: cannot write") : CLI_OK;
}

static void interrupted(int sig)
{
	(void)sig;
	/* Every line that was got is out already. */
	_exit(CLI_OK);
}

int cmd_events(struct cli *cli, int argc, char **argv)
{
	char *text = NULL;
	bool last = false;
	struct session s = { .fd = -1 };
	size_t len = 0;
	int err, code;

	args_parse(cli, argc, argv, NULL,
		   "Print the state and then every change, until interrupted. With --json: one "
		   "object a line.",
		   NULL, 0, 0);
	code = session_open(cli, &s);
	if (code)
		return code;
	signal(SIGINT, interrupted);
	signal(SIGTERM, interrupted);
	err = session_query_start(&s, "events");
	while (!err && !code && !last) {
		err = session_query_next(&s, -1, &text, &len, &last);
		if (!err)
			code = lines_tell(cli, text, &len);
	}
	free(text);
	session_close(&s);
	return err ? session_explain(cli, "events", err) : code;
}
