// SPDX-License-Identifier: MIT
/*
 * Starts an agent for this program. It is nobody's child (forked twice), so
 * the program's own wait() never meets it, and its session is its own, so that
 * Ctrl-C reaches the program alone. What ends it is the end of the program's
 * first session with it. For the other way round it inherits the write end of a
 * pipe that nobody writes to.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/context.h"
#include "lib/log.h"

#define ARGS_MAX 12

struct command {
	char program[PATH_MAX];
	char port[8], chunks[24];
	const char *args[ARGS_MAX];
};

static bool beside(const char *file, const char *where, char *path, size_t len)
{
	const char *slash = strrchr(file, '/');
	int n = slash ? snprintf(path, len, "%.*s/%sdsmd", (int)(slash - file), file, where) : -1;

	return n > 0 && (size_t)n < len && !access(path, X_OK);
}

/* $DSM_DSMD, beside the library or the program, or else what PATH says. */
static void find_program(char *path, size_t len)
{
	static const char *const places[] = { "", "../bin/", "../sbin/" };
	const char *named = getenv("DSM_DSMD");
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	Dl_info info;

	if (named && *named) {
		snprintf(path, len, "%s", named);
		return;
	}
	self[n > 0 ? n : 0] = '\0';
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (dladdr((void *)(uintptr_t)agent_spawn, &info) && info.dli_fname &&
		    beside(info.dli_fname, places[i], path, len))
			return;
		if (beside(self, places[i], path, len))
			return;
	}
	snprintf(path, len, "dsmd");
}

static void command_make(struct command *c, const struct dsm_options *o, uint16_t port)
{
	static const char *const levels[] = { "debug", "info", "warn", "error" };
	int n = 0;

	find_program(c->program, sizeof(c->program));
	snprintf(c->port, sizeof(c->port), "%u", port);
	c->args[n++] = c->program;
	c->args[n++] = "--port";
	c->args[n++] = c->port;
	c->args[n++] = "--log-level";
	c->args[n++] = levels[log_level_get()];
	if (o->chunks) {
		snprintf(c->chunks, sizeof(c->chunks), "%llu", (unsigned long long)o->chunks);
		c->args[n++] = "--chunks";
		c->args[n++] = c->chunks;
	}
	if (o->rundir) {
		c->args[n++] = "--run-dir";
		c->args[n++] = o->rundir;
	}
	c->args[n] = NULL;
}

/* In the child's child: only what is safe after fork() in a program with threads. */
static void become(const struct command *c, int life, int report)
{
	struct sigaction plain = { .sa_handler = SIG_DFL };
	sigset_t none;
	int null = open("/dev/null", O_RDWR), err;

	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int s = 1; s < NSIG; s++)
		sigaction(s, &plain, NULL);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	/* The program's own descriptors are none of the agent's business. */
	close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
	fcntl(life, F_SETFD, 0);
	execvp(c->program, (char **)(uintptr_t)c->args);
	err = errno;
	(void)!write(report, &err, sizeof(err));
	_exit(127);
}

static int start(const struct command *c, int life, int report[2])
{
	sigset_t all, before;
	pid_t pid;
	int err = 0;

	/* No handler of the program may run in the child, and _Fork() calls no atfork handler either. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = _Fork();
	if (!pid) {
		pid = _Fork();
		if (!pid)
			become(c, life, report[1]);
		_exit(pid < 0);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	close(report[1]);
	if (pid < 0)
		return -EAGAIN;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	/* EOF: exec worked and closed it. */
	while (read(report[0], &err, sizeof(err)) < 0 && errno == EINTR)
		;
	return -err;
}

int agent_spawn(const struct dsm_options *options, uint16_t port, int *ret_life)
{
	struct command *c = calloc(1, sizeof(*c));
	int life[2], report[2], err;

	if (!c)
		return -ENOMEM;
	command_make(c, options, port);
	if (pipe2(life, O_CLOEXEC)) {
		err = -errno;
		goto free_command;
	}
	if (pipe2(report, O_CLOEXEC)) {
		err = -errno;
		close(life[0]);
		close(life[1]);
		goto free_command;
	}
	err = start(c, life[1], report);
	close(report[0]);
	close(life[1]);
	if (err)
		close(life[0]);
	else
		*ret_life = life[0];
	log_line(err ? LOG_ERROR : LOG_DEBUG, "starting %s for port %u: %s", c->program, port,
		 err ? strerror(-err) : "done");
free_command:
	free(c);
	return err;
}
