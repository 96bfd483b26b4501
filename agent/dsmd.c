// SPDX-License-Identifier: MIT
/* dsmd: the agent of one node. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/exit_status.h"
#include "agent/log.h"
#include "agent/priority.h"

static struct agent agent;
static uv_signal_t signals[2];

static void on_signal(uv_signal_t *handle, int number)
{
	(void)handle;
	log_info("signal %d (%s): leaving", number, strsignal(number));
	agent_leave(&agent);
}

static void watch_signals(uv_loop_t *loop)
{
	static const int numbers[] = { SIGTERM, SIGINT };

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < 2; i++) {
		uv_signal_init(loop, &signals[i]);
		uv_signal_start(&signals[i], on_signal, numbers[i]);
	}
}

/* Every program and every node is a descriptor or more. */
static void raise_descriptors(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r))
		return;
	r.rlim_cur = r.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &r))
		log_debug("descriptors stay limited: %s", strerror(errno));
}

static bool write_pid_file(const char *name)
{
	FILE *f = fopen(name, "we");

	if (!f) {
		log_error("cannot write the pid file %s: %s", name, strerror(errno));
		return false;
	}
	fprintf(f, "%d\n", getpid());
	return !fclose(f);
}

/*
 * Goes to the background: the caller returns in the child, with a descriptor
 * for the exit status that the waiting parent ends with.
 */
static int go_to_background(void)
{
	unsigned char status = DSMD_EXIT_FAILED;
	int ends[2];
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) || (child = fork()) < 0) {
		fprintf(stderr, "dsmd: cannot go to the background: %s\n", strerror(errno));
		exit(DSMD_EXIT_FAILED);
	}
	if (child) {
		close(ends[1]);
		if (read(ends[0], &status, 1) != 1)
			status = DSMD_EXIT_FAILED;
		_exit(status);
	}
	close(ends[0]);
	setsid();
	return ends[1];
}

/* The parent may go: the agent serves, or ends with @status. */
static void tell_parent(int fd, unsigned char status)
{
	int null;

	if (fd < 0)
		return;
	if (write(fd, &status, 1) != 1)
		log_debug("who started the agent does not wait any more");
	close(fd);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (status || null < 0)
		return;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	close(null);
}

static int serve(const struct config *cfg, int parent)
{
	char name[32];
	uv_loop_t loop;
	int status;

	uv_loop_init(&loop);
	watch_signals(&loop);
	status = agent_start(&agent, &loop, cfg);
	if (!status && *cfg->pid_file && !write_pid_file(cfg->pid_file))
		status = DSMD_EXIT_FAILED;
	tell_parent(parent, (unsigned char)status);
	if (!status) {
		if (cfg->daemonise) {
			snprintf(name, sizeof(name), "dsmd-%u", cfg->port);
			log_open(name, cfg->log_level, true);
		}
		status = agent_run(&agent);
		if (*cfg->pid_file)
			unlink(cfg->pid_file);
	}
	for (size_t i = 0; i < 2; i++)
		uv_close((uv_handle_t *)&signals[i], NULL);
	agent_stop(&agent);
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_loop_close(&loop);
	return status;
}

int main(int argc, char **argv)
{
	struct config cfg;
	char name[32];
	int parent = -1;

	switch (config_load(argc, argv, &cfg)) {
	case CONFIG_OK:
		break;
	case CONFIG_USAGE:
		return DSMD_EXIT_USAGE;
	case CONFIG_FILE:
		return DSMD_EXIT_CONFIG;
	}
	snprintf(name, sizeof(name), "dsmd-%u", cfg.port);
	if (cfg.daemonise)
		parent = go_to_background();
	log_open(name, cfg.log_level, cfg.log_syslog && !cfg.daemonise);
	raise_descriptors();
	priority_raise();
	return serve(&cfg, parent);
}
