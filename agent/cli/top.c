/* SPDX-License-Identifier: MIT */
/* dsm top: every agent of this machine, what it does per second. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/cli/args.h"
#include "agent/cli/screen.h"
#include "agent/cli/session.h"
#include "agent/cli/table.h"

#define TOP_AGENTS 256

/* One agent and the last two looks at it. */
struct top_agent {
	uint16_t port;
	json_t *status, *now, *before; /* NULL: it did not answer */
	int64_t now_ms, before_ms;
};

struct top {
	struct cli *cli;
	double interval; /* seconds */
	struct top_agent agents[TOP_AGENTS];
	size_t n;
};

static int64_t clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void agent_add(struct top *top, uint16_t port)
{
	size_t i;

	for (i = 0; i < top->n; i++) {
		if (top->agents[i].port == port)
			return;
	}
	if (top->n < TOP_AGENTS)
		top->agents[top->n++] = (struct top_agent){ .port = port };
}

/* New agents may come at any time; one that went stays in the table until it is back. */
static void agents_find(struct top *top)
{
	struct dirent *entry;
	unsigned int port;
	DIR *dir;
	int end;

	if (top->cli->port_given) {
		agent_add(top, top->cli->port);
		return;
	}
	dir = opendir(top->cli->rundir);
	while (dir && (entry = readdir(dir))) {
		end = 0;
		if (sscanf(entry->d_name, "dsmd-%5u.sock%n", &port, &end) == 1 && end &&
		    !entry->d_name[end] && port > 0 && port < 65536)
			agent_add(top, (uint16_t)port);
	}
	if (dir)
		closedir(dir);
}

static void agent_look(struct top *top, struct top_agent *a)
{
	struct session s = { .fd = -1 };

	json_decref(a->status);
	json_decref(a->before);
	a->before = a->now;
	a->before_ms = a->now_ms;
	a->status = a->now = NULL;
	if (session_connect(top->cli->rundir, a->port, &s))
		return;
	if (session_query(&s, "status", &a->status))
		a->status = NULL;
	if (session_query(&s, "stats", &a->now))
		a->now = NULL;
	a->now_ms = clock_ms();
	session_close(&s);
}

/* How many agents answered. */
static size_t agents_look(struct top *top)
{
	size_t i, answered = 0;

	agents_find(top);
	for (i = 0; i < top->n; i++) {
		agent_look(top, &top->agents[i]);
		answered += top->agents[i].now != NULL;
	}
	return answered;
}

static double rate(const struct top_agent *a, const char *path)
{
	int64_t ms = a->now_ms - a->before_ms;

	if (!a->before || !a->now || ms <= 0)
		return 0;
	/* An agent that was started anew counts from 0 again. */
	if (doc_int(a->now, path) < doc_int(a->before, path))
		return 0;
	return (double)(doc_int(a->now, path) - doc_int(a->before, path)) * 1000 / (double)ms;
}

static const struct {
	const char *key, *path;
} rates[] = {
	{ "read_faults", "faults.read" },
	{ "write_faults", "faults.write" },
	{ "pages_in", "pages.in" },
	{ "pages_out", "pages.out" },
	{ "invalidations", "coherence.invalidations" },
	{ "bytes_in", "wire.bytes_in" },
	{ "bytes_out", "wire.bytes_out" },
};
#define NRATES (sizeof(rates) / sizeof(rates[0]))

static void agent_row(struct table *t, const struct top_agent *a)
{
	char size[32];
	size_t i;

	table_cell(t, "%u", a->port);
	if (!a->now || !a->status) {
		table_cell(t, "-");
		table_cell(t, "gone");
		for (i = 2; i < 3 + NRATES + 3; i++)
			table_cell(t, "-");
		return;
	}
	table_cell(t, "%" PRId64 "%s", doc_int(a->status, "node"),
		   doc_bool(a->status, "is_master") ? "*" : "");
	table_cell(t, "%s", doc_text(a->status, "state"));
	table_cell(t, "%" PRId64, doc_int(a->status, "members"));
	table_cell(t, "%s", table_size((uint64_t)doc_int(a->status, "memory.bytes_used"), size));
	for (i = 0; i < NRATES; i++) {
		if (strncmp(rates[i].key, "bytes", 5))
			table_cell(t, "%.0f", rate(a, rates[i].path));
		else
			table_cell(t, "%s", table_size((uint64_t)rate(a, rates[i].path), size));
	}
	table_cell(t, "%.0f", doc_real(a->now, "latency.read.p50_us"));
	table_cell(t, "%.0f", doc_real(a->now, "latency.read.p99_us"));
}

static void top_table(const struct top *top, FILE *out)
{
	static const char *const heads[] = { ">PORT", ">NODE",	"STATE",  ">NODES", ">USED",
					     ">READ", ">WRITE", ">IN",	  ">OUT",   ">INVAL",
					     ">RX/s", ">TX/s",	">P50us", ">P99us", NULL };
	struct table t;
	size_t i;

	table_begin(&t, heads);
	for (i = 0; i < top->n; i++)
		agent_row(&t, &top->agents[i]);
	table_end(&t, out);
}

static json_t *agent_json(const struct top_agent *a)
{
	json_t *per_second = json_object();
	size_t i;

	for (i = 0; i < NRATES; i++)
		json_object_set_new(per_second, rates[i].key, json_real(rate(a, rates[i].path)));
	return json_pack("{s:i,s:O?,s:O?,s:o}", "port", (int)a->port, "status", a->status, "stats",
			 a->now, "per_second", per_second);
}

static void top_json(const struct top *top)
{
	json_t *agents = json_array();
	size_t i;

	for (i = 0; i < top->n; i++)
		json_array_append_new(agents, agent_json(&top->agents[i]));
	doc_print(json_pack("{s:f,s:o}", "interval_seconds", top->interval, "agents", agents));
}

static int top_once(struct top *top)
{
	size_t answered = agents_look(top);

	if (answered) {
		poll(NULL, 0, (int)(top->interval * 1000));
		answered = agents_look(top);
	}
	if (!answered)
		return top->cli->port_given
			       ? cli_error(CLI_NO_AGENT, "no agent serves port %u in %s",
					   top->cli->port, top->cli->rundir)
			       : cli_error(CLI_NO_AGENT, "no agent answers in %s",
					   top->cli->rundir);
	if (top->cli->json)
		top_json(top);
	else
		top_table(top, stdout);
	return CLI_OK;
}

static int top_picture(const struct top *top)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return -1;
	fprintf(out, "dsm top   %s   every %.1f s   rates are per second   q quits\n\n",
		top->cli->rundir, top->interval);
	top_table(top, out);
	if (fclose(out)) {
		free(text);
		return -1;
	}
	screen_show(text);
	free(text);
	return 0;
}

static int top_live(struct top *top)
{
	int64_t next;

	if (screen_open() < 0)
		return cli_error(CLI_FAILED, "the terminal cannot be set: %s", strerror(errno));
	for (;;) {
		agents_look(top);
		if (top_picture(top) < 0) {
			screen_close();
			return cli_error(CLI_FAILED, "top: no memory");
		}
		next = clock_ms() + (int64_t)(top->interval * 1000);
		if (screen_wait((int)(next - clock_ms())))
			break;
	}
	screen_close();
	return CLI_OK;
}

static error_t top_option(int key, char *arg, struct argp_state *state)
{
	struct top *top = state->input;
	char *end;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = top->cli;
		return 0;
	case 'i':
		top->interval = strtod(arg, &end);
		if (end == arg || *end || !(top->interval >= 0.05 && top->interval <= 3600))
			argp_error(state, "--interval %s: seconds from 0.05 to 3600 are wanted",
				   arg);
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "'%s' is one word too many", arg);
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int cmd_top(struct cli *cli, int argc, char **argv)
{
	static const struct argp_child children[] = { { &args_agent, 0, NULL, 0 }, { 0 } };
	static const struct argp_option options[] = {
		{ "interval", 'i', "SECONDS", 0, "Time between two looks (1)", 0 },
		{ 0 },
	};
	static const struct argp argp = {
		.options = options,
		.parser = top_option,
		.children = children,
		.doc = "Show what the agents of this machine do per second, or only the one of "
		       "--port. "
		       "Where the output is no terminal, and with --json, once.",
	};
	static struct top top;
	size_t i;
	int code;

	top = (struct top){ .cli = cli, .interval = 1 };
	args_parse_own(argc, argv, &argp, &top);
	code = cli->json || !isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO) ? top_once(&top)
									    : top_live(&top);
	for (i = 0; i < top.n; i++) {
		json_decref(top.agents[i].status);
		json_decref(top.agents[i].now);
		json_decref(top.agents[i].before);
	}
	return code;
}
