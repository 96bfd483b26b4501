/* SPDX-License-Identifier: MIT */
/* dsm run: the loop, and what it makes of ends and signals. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/cli/run.h"

/* After a signal programs get so long to end by themselves, and between two pushes. */
#define INTERRUPT_GRACE_MS 5000
#define PUSH_GRACE_MS	   2000
/* Output of a program that ended may be held open by what it left behind. */
#define DRAIN_MS 300

int64_t run_clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* --- programs as a whole --- */

static unsigned int programs_left(const struct run *run)
{
	unsigned int i, n = 0;

	for (i = 0; i < run->count; i++)
		n += run->nodes[i].program != 0;
	return n;
}

static void programs_kill(const struct run *run, int sig)
{
	unsigned int i;

	for (i = 0; i < run->count; i++) {
		if (run->nodes[i].program)
			kill(-run->nodes[i].program, sig);
	}
}

static void programs_end_in(struct run *run, int64_t ms)
{
	int64_t at = run_clock_ms() + ms;

	if (!run->end_at || at < run->end_at)
		run->end_at = at;
}

/* SIGTERM first, then SIGKILL. */
static void programs_press(struct run *run)
{
	if (!run->end_at || run_clock_ms() < run->end_at)
		return;
	programs_kill(run, run->pressed ? SIGKILL : SIGTERM);
	run->pressed++;
	run->end_at = run_clock_ms() + PUSH_GRACE_MS;
}

/* --- what happened --- */

static void run_failed(struct run *run, int code)
{
	if (!run->code)
		run->code = code;
	programs_end_in(run, (int64_t)(run->grace * 1000));
}

static void program_ended(struct run *run, struct run_node *node, int status)
{
	/* What it left behind in its group must not outlive the run. */
	kill(-node->program, SIGKILL);
	run_guard_forget(run, node->program);
	node->program = 0;
	if (WIFSIGNALED(status)) {
		if (!run->interrupted && !run->pressed)
			cli_error(0, "run: node %u: ended by signal %d (%s)", node->number,
				  WTERMSIG(status), strsignal(WTERMSIG(status)));
		run_failed(run, 128 + WTERMSIG(status));
	} else if (WEXITSTATUS(status)) {
		run_failed(run, WEXITSTATUS(status));
	}
}

static void agent_ended(struct run *run, struct run_node *node, int status)
{
	run_guard_forget(run, node->agent);
	node->agent = 0;
	if (run->stopping)
		return;
	node->agent_failed = true;
	if (!node->program)
		return;
	if (WIFSIGNALED(status))
		cli_error(0, "run: node %u: its agent was ended by signal %d (%s)", node->number,
			  WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		cli_error(0, "run: node %u: its agent ended with status %d", node->number,
			  WEXITSTATUS(status));
	run_failed(run, RUN_NO_NODE);
}

static void children_reap(struct run *run)
{
	unsigned int i;
	int status;
	pid_t pid;

	for (i = 0; i < run->count; i++) {
		struct run_node *node = &run->nodes[i];

		pid = node->program;
		if (pid && waitpid(pid, &status, WNOHANG) == pid)
			program_ended(run, node, status);
		pid = node->agent;
		if (pid && waitpid(pid, &status, WNOHANG) == pid)
			agent_ended(run, node, status);
	}
}

/* The first signal is passed on; the second one means now. */
static void signal_handle(struct run *run, int sig)
{
	if (sig == SIGCHLD) {
		children_reap(run);
		return;
	}
	if (run->interrupted) {
		programs_kill(run, SIGKILL);
		return;
	}
	run->interrupted = sig;
	programs_kill(run, sig);
	programs_end_in(run, INTERRUPT_GRACE_MS);
}

/* --- the loop --- */

static size_t poll_set(struct run *run, struct pollfd *pfd)
{
	unsigned int i;
	size_t n = 0;

	pfd[n++] = (struct pollfd){ .fd = run->signals, .events = POLLIN };
	for (i = 0; i < run->count; i++) {
		pfd[n++] = (struct pollfd){ .fd = run->nodes[i].out.fd, .events = POLLIN };
		pfd[n++] = (struct pollfd){ .fd = run->nodes[i].err.fd, .events = POLLIN };
		pfd[n++] = (struct pollfd){ .fd = run->nodes[i].log.fd, .events = POLLIN };
	}
	return n;
}

void run_poll(struct run *run, int ms)
{
	struct pollfd pfd[1 + 3 * RUN_NODES_MAX];
	struct signalfd_siginfo info;
	unsigned int i;

	if (poll(pfd, poll_set(run, pfd), ms) > 0) {
		for (i = 0; i < run->count; i++) {
			run_stream_pump(&run->nodes[i].out, run->nodes[i].number);
			run_stream_pump(&run->nodes[i].err, run->nodes[i].number);
			run_stream_pump(&run->nodes[i].log, run->nodes[i].number);
		}
		while (read(run->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
			signal_handle(run, (int)info.ssi_signo);
		fflush(stdout);
	}
	programs_press(run);
}

static bool output_left(const struct run *run)
{
	unsigned int i;

	for (i = 0; i < run->count; i++) {
		if (run->nodes[i].out.fd >= 0 || run->nodes[i].err.fd >= 0)
			return true;
	}
	return false;
}

static void programs_wait(struct run *run)
{
	int64_t until = run->timeout > 0 ? run_clock_ms() + (int64_t)(run->timeout * 1000)
					 : INT64_MAX;

	while (programs_left(run)) {
		run_poll(run, 50);
		if (run_clock_ms() < until)
			continue;
		until = INT64_MAX;
		cli_error(0, "run: %.3g s have passed: the programs are ended", run->timeout);
		if (!run->code)
			run->code = RUN_TIMED_OUT;
		programs_end_in(run, 0);
	}
	until = run_clock_ms() + DRAIN_MS;
	while (output_left(run) && run_clock_ms() < until)
		run_poll(run, 20);
}

/* --- beginning and end --- */

static int directory_make(struct run *run)
{
	const char *tmp = getenv("TMPDIR");

	/* Names of sockets are short. */
	if (!tmp || !*tmp || strlen(tmp) > RUN_TMPDIR_MAX)
		tmp = "/tmp";
	snprintf(run->dir, sizeof(run->dir), "%s/dsm-run-XXXXXX", tmp);
	if (!mkdtemp(run->dir))
		return cli_error(RUN_NO_NODE, "run: a directory in %s: %s", tmp, strerror(errno));
	snprintf(run->cluster, sizeof(run->cluster), "run-%d-%s", (int)getpid(),
		 strrchr(run->dir, '-') + 1);
	return 0;
}

static int signals_open(struct run *run)
{
	static const int passed_on[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct sigaction sa;
	sigset_t set;
	size_t i;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (i = 0; i < sizeof(passed_on) / sizeof(passed_on[0]); i++) {
		/* What nohup or a shell in the background has us ignore stays ignored, by the programs too. */
		if (!sigaction(passed_on[i], NULL, &sa) && sa.sa_handler != SIG_IGN)
			sigaddset(&set, passed_on[i]);
	}
	sigprocmask(SIG_BLOCK, &set, NULL);
	run->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return run->signals < 0 ? cli_error(RUN_NO_NODE, "run: signalfd: %s", strerror(errno)) : 0;
}

static int nodes_make(struct run *run)
{
	unsigned int i;

	run->nodes = calloc(run->count, sizeof(*run->nodes));
	if (!run->nodes)
		return cli_error(RUN_NO_NODE, "run: no memory");
	for (i = 0; i < run->count; i++) {
		run->nodes[i].number = i + 1;
		run->nodes[i].network = -1;
		run_stream_init(&run->nodes[i].out, false, "");
		run_stream_init(&run->nodes[i].err, true, "");
		run_stream_init(&run->nodes[i].log, true, "");
	}
	return 0;
}

static int programs_run(struct run *run)
{
	unsigned int i;
	int code = 0;

	/* One after the other: each node's id is then its number. */
	for (i = 0; !code && i < run->count; i++)
		code = run_start_agent(run, &run->nodes[i]);
	for (i = 0; !code && i < run->count; i++)
		code = run_start_program(run, &run->nodes[i]);
	if (code) {
		run->code = code;
		programs_kill(run, SIGKILL);
	}
	programs_wait(run);
	run_stop_agents(run);
	fflush(stdout);
	return run->code;
}

int run_all(struct run *run)
{
	int code;

	code = run_find_programs(run);
	if (!code)
		code = nodes_make(run);
	if (!code && run->netns)
		code = run_network_open(run);
	if (!code)
		code = run_choose_ports(run);
	if (!code)
		code = directory_make(run);
	if (code)
		goto out;
	code = run_guard_start(run);
	if (code) {
		rmdir(run->dir);
		goto out;
	}
	code = signals_open(run);
	if (!code)
		code = programs_run(run);
	run_guard_end(run);
out:
	free(run->nodes);
	return code;
}
