/* SPDX-License-Identifier: MIT */
/* The nodes of dsm run: their ports, agents and programs. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/cli/run.h"
#include "agent/cli/session.h"
#include "agent/cli/table.h"

#define START_PATIENCE_MS 10000
/* Agents get so long to leave each other in order; then they are told to end at once, then made to. */
#define LEAVE_PATIENCE_MS 300
#define STOP_PATIENCE_MS  3000

/* --- finding things --- */

/* Where execvp() would find @name; 0, RUN_NOT_FOUND or RUN_NOT_RUNNABLE. */
static int path_search(const char *name, char *ret, size_t size)
{
	const char *path = getenv("PATH"), *end;
	int code = RUN_NOT_FOUND;

	if (strchr(name, '/')) {
		snprintf(ret, size, "%s", name);
		if (!access(name, X_OK))
			return 0;
		return access(name, F_OK) ? RUN_NOT_FOUND : RUN_NOT_RUNNABLE;
	}
	for (; path && *path; path = *end ? end + 1 : end) {
		end = strchrnul(path, ':');
		snprintf(ret, size, "%.*s/%s", (int)(end - path), path, name);
		if (!access(ret, X_OK))
			return 0;
		if (!access(ret, F_OK))
			code = RUN_NOT_RUNNABLE;
	}
	return code;
}

/* DSM_DSMD, else beside this very program, else on the PATH. */
static int dsmd_find(struct run *run)
{
	const char *named = getenv("DSM_DSMD");
	char *slash;
	ssize_t n;

	if (named && *named) {
		if (path_search(named, run->dsmd, sizeof(run->dsmd)))
			return cli_error(RUN_NO_NODE, "run: DSM_DSMD=%s: no such program", named);
		return 0;
	}
	n = readlink("/proc/self/exe", run->dsmd, sizeof(run->dsmd) - 8);
	run->dsmd[n < 0 ? 0 : n] = '\0';
	slash = strrchr(run->dsmd, '/');
	if (slash) {
		strcpy(slash + 1, "dsmd");
		if (!access(run->dsmd, X_OK))
			return 0;
	}
	if (!path_search("dsmd", run->dsmd, sizeof(run->dsmd)))
		return 0;
	return cli_error(RUN_NO_NODE, "run: dsmd is neither beside this program nor on the PATH");
}

int run_find_programs(struct run *run)
{
	char path[PATH_MAX];
	int code = path_search(run->argv[0], path, sizeof(path));

	if (code)
		return cli_error(code, "run: %s: %s", run->argv[0],
				 code == RUN_NOT_FOUND ? "not found" : "cannot be executed");
	return dsmd_find(run);
}

static bool port_free(uint16_t port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int err = bind(fd, (const struct sockaddr *)&sa, sizeof(sa));

	close(fd);
	return !err;
}

/* How many ports from @base on are free, up to one for each node. */
static unsigned int ports_free(const struct run *run, uint64_t base)
{
	unsigned int i;

	for (i = 0; i < run->count; i++) {
		if (!port_free((uint16_t)(base + i)))
			break;
	}
	return i;
}

int run_choose_ports(struct run *run)
{
	uint64_t base = run->base_port;
	unsigned int i, n, tries;

	if (base) {
		n = ports_free(run, base);
		if (n < run->count)
			return cli_error(RUN_NO_NODE, "run: port %u is in use",
					 (unsigned int)base + n);
	}
	/* Below the range that connections take theirs from; two runs begin at different places. */
	for (tries = 0; !base && tries < 500; tries++) {
		base = 10000 + ((uint64_t)getpid() * RUN_NODES_MAX + tries * 97) % 20000;
		if (ports_free(run, base) < run->count)
			base = 0;
	}
	if (!base)
		return cli_error(RUN_NO_NODE,
				 "run: no %u free ports in a row; name some by --base-port",
				 run->count);
	for (i = 0; i < run->count; i++)
		run->nodes[i].port = (uint16_t)(base + i);
	return 0;
}

/* --- agents --- */

static void network_enter(const struct run_node *node)
{
	if (run_network_enter(node) < 0) {
		fprintf(stderr, "cannot enter its network: %s\n", strerror(errno));
		_exit(RUN_NO_NODE);
	}
}

static _Noreturn void agent_exec(const struct run *run, const struct run_node *node)
{
	static const char *const settings[] = {
		"DSM_PORT",   "DSM_CHUNKS",   "DSM_JOIN",  "DSM_CLUSTER", "DSM_STANDALONE",
		"DSM_RUNDIR", "DSM_PID_FILE", "DSM_PAGER", "DSM_LOG",
	};
	char port[8], address[16], first[32];
	const char *argv[24];
	size_t n = 0, i;

	/* What is meant for a node of the user's own must not reach these. */
	for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		if (strcmp(settings[i], "DSM_PAGER") || run->pager)
			unsetenv(settings[i]);
	}
	snprintf(port, sizeof(port), "%u", node->port);
	run_network_address(&run->nodes[0], address, sizeof(address));
	snprintf(first, sizeof(first), "%s:%u", address, run->nodes[0].port);
	argv[n++] = run->dsmd;
	argv[n++] = "--config=/dev/null";
	argv[n++] = "--no-discovery";
	argv[n++] = "--foreground";
	argv[n++] = "--port", argv[n++] = port;
	argv[n++] = "--run-dir", argv[n++] = run->dir;
	argv[n++] = "--cluster", argv[n++] = run->cluster;
	argv[n++] = "--log-level", argv[n++] = run->log_level ? run->log_level : "warn";
	if (run->pager)
		argv[n++] = "--pager", argv[n++] = run->pager;
	if (run->chunks)
		argv[n++] = "--chunks", argv[n++] = run->chunks;
	if (node->number == 1)
		argv[n++] = "--standalone";
	else
		argv[n++] = "--join", argv[n++] = first;
	argv[n] = NULL;
	execv(run->dsmd, (char *const *)argv);
	fprintf(stderr, "cannot run %s: %s\n", run->dsmd, strerror(errno));
	_exit(RUN_NO_NODE);
}

/* Is the agent a member of the cluster, beside all before it? */
static bool agent_ready(const struct run *run, const struct run_node *node)
{
	struct session s = { .fd = -1 };
	json_t *doc;
	bool ready;

	if (session_connect(run->dir, node->port, &s))
		return false;
	ready = !session_query(&s, "status", &doc);
	if (ready) {
		ready = !strcmp(doc_text(doc, "state"), "member") &&
			doc_int(doc, "members") >= node->number;
		json_decref(doc);
	}
	session_close(&s);
	return ready;
}

int run_start_agent(struct run *run, struct run_node *node)
{
	int64_t until = run_clock_ms() + START_PATIENCE_MS;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	node->agent = run_fork(run, SIGTERM, null, &node->log, &node->log);
	if (!node->agent) {
		network_enter(node);
		agent_exec(run, node);
	}
	close(null);
	if (node->agent < 0) {
		node->agent = 0;
		return cli_error(RUN_NO_NODE, "run: node %u: fork: %s", node->number,
				 strerror(errno));
	}
	while (!agent_ready(run, node)) {
		run_poll(run, 2);
		if (run->interrupted)
			return 128 + run->interrupted;
		if (!node->agent)
			return cli_error(RUN_NO_NODE, "run: the agent of node %u did not start",
					 node->number);
		if (run_clock_ms() > until)
			return cli_error(RUN_NO_NODE, "run: node %u did not join within %d s",
					 node->number, START_PATIENCE_MS / 1000);
	}
	return 0;
}

static bool agents_left(const struct run *run)
{
	unsigned int i;

	for (i = 0; i < run->count; i++) {
		if (run->nodes[i].agent)
			return true;
	}
	return false;
}

static void agents_kill(const struct run *run, int sig)
{
	unsigned int i;

	for (i = 0; i < run->count; i++) {
		if (run->nodes[i].agent)
			kill(run->nodes[i].agent, sig);
	}
}

static void agents_wait(struct run *run, int64_t ms)
{
	int64_t until = run_clock_ms() + ms;

	while (agents_left(run) && run_clock_ms() < until)
		run_poll(run, 20);
}

void run_stop_agents(struct run *run)
{
	run->stopping = true;
	agents_kill(run, SIGTERM);
	agents_wait(run, LEAVE_PATIENCE_MS);
	agents_kill(run, SIGTERM);
	agents_wait(run, STOP_PATIENCE_MS);
	agents_kill(run, SIGKILL);
	agents_wait(run, INT64_MAX / 2);
}

/* --- programs --- */

/* @word with every %p replaced by the port; %%p stands for %p. */
static char *word_expand(const char *word, uint16_t port)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	while (out && *word) {
		if (!strncmp(word, "%%p", 3)) {
			fputs("%p", out);
			word += 3;
		} else if (!strncmp(word, "%p", 2)) {
			fprintf(out, "%u", port);
			word += 2;
		} else {
			fputc(*word++, out);
		}
	}
	if (!out || fclose(out))
		return NULL;
	return text;
}

static void number_setenv(const char *name, unsigned int n)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", n);
	setenv(name, text, 1);
}

static _Noreturn void program_exec(const struct run *run, const struct run_node *node)
{
	char **word = run->argv;

	number_setenv("DSM_PORT", node->port);
	number_setenv("DSM_NODE_INDEX", node->number - 1);
	number_setenv("DSM_NODE_COUNT", run->count);
	setenv("DSM_RUNDIR", run->dir, 1);
	setenv("DSM_CLUSTER", run->cluster, 1);
	do {
		*word = word_expand(*word, node->port);
		if (!*word)
			_exit(RUN_NOT_RUNNABLE);
	} while (*++word);
	execvp(run->argv[0], run->argv);
	fprintf(stderr, "cannot run %s: %s\n", run->argv[0], strerror(errno));
	_exit(errno == ENOENT ? RUN_NOT_FOUND : RUN_NOT_RUNNABLE);
}

int run_start_program(struct run *run, struct run_node *node)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	/* A group of its own cannot read a terminal; a file or a pipe goes to the first node. */
	bool stdin_wanted = node->number == 1 && !isatty(STDIN_FILENO);
	pid_t pid;

	pid = run_fork(run, SIGKILL, stdin_wanted ? STDIN_FILENO : null, &node->out, &node->err);
	if (!pid) {
		network_enter(node);
		program_exec(run, node);
	}
	close(null);
	if (pid < 0)
		return cli_error(RUN_NO_NODE, "run: node %u: fork: %s", node->number,
				 strerror(errno));
	node->program = pid;
	return 0;
}
