/* SPDX-License-Identifier: MIT */
/*
 * The guard: when dsm run is killed it cannot tidy up after itself. A child in
 * a session of its own holds the other end of a pipe; the end of the pipe is
 * the end of dsm run, whatever its cause.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/cli/run.h"

/* Words on the pipe: +group, -group, and 0: all is done. */

#define GUARD_GROUPS	  (2 * RUN_NODES_MAX)
#define GUARD_PATIENCE_MS 3000

static pid_t guard_pid;

static void directory_remove(const char *path)
{
	struct dirent *entry;
	DIR *dir = opendir(path);

	while (dir && (entry = readdir(dir)))
		unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
	rmdir(path);
}

static void groups_kill(const pid_t *groups, int sig)
{
	size_t i;

	for (i = 0; i < GUARD_GROUPS; i++) {
		if (groups[i])
			kill(-groups[i], sig);
	}
}

/* Programs are killed at once by their death signal; agents get the time to leave each other in order. */
static void groups_end(const pid_t *groups)
{
	int64_t until = run_clock_ms() + GUARD_PATIENCE_MS;
	bool left = true;
	size_t i;

	groups_kill(groups, SIGTERM);
	while (left && run_clock_ms() < until) {
		left = false;
		for (i = 0; i < GUARD_GROUPS; i++)
			left |= groups[i] && !kill(-groups[i], 0);
		if (left)
			poll(NULL, 0, 10);
	}
	groups_kill(groups, SIGKILL);
}

static void groups_change(pid_t *groups, pid_t word)
{
	pid_t find = word > 0 ? 0 : -word;
	size_t i;

	for (i = 0; i < GUARD_GROUPS; i++) {
		if (groups[i] == find) {
			groups[i] = word > 0 ? word : 0;
			return;
		}
	}
}

static _Noreturn void guard_main(int in, const char *dir)
{
	static pid_t groups[GUARD_GROUPS];
	pid_t word;
	ssize_t n;

	for (;;) {
		n = read(in, &word, sizeof(word));
		if (n < 0 && errno == EINTR)
			continue;
		if (n == (ssize_t)sizeof(word) && word) {
			groups_change(groups, word);
			continue;
		}
		if (n != (ssize_t)sizeof(word))
			groups_end(groups);
		directory_remove(dir);
		_exit(0);
	}
}

int run_guard_start(struct run *run)
{
	int ends[2], null;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return cli_error(RUN_NO_NODE, "run: pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0) {
		close(ends[0]);
		close(ends[1]);
		return cli_error(RUN_NO_NODE, "run: fork: %s", strerror(errno));
	}
	if (!pid) {
		setsid();
		prctl(PR_SET_NAME, "dsm-run-guard");
		/* Whoever reads our output must see its end when dsm run ends. */
		null = open("/dev/null", O_RDWR);
		dup2(null, 0);
		dup2(null, 1);
		dup2(null, 2);
		close(ends[1]);
		guard_main(ends[0], run->dir);
	}
	close(ends[0]);
	run->guard = ends[1];
	guard_pid = pid;
	return 0;
}

static void guard_tell(struct run *run, pid_t word)
{
	ssize_t n;

	do {
		n = write(run->guard, &word, sizeof(word));
	} while (n < 0 && errno == EINTR);
}

void run_guard_add(struct run *run, pid_t group)
{
	guard_tell(run, group);
}

void run_guard_forget(struct run *run, pid_t group)
{
	guard_tell(run, -group);
}

void run_guard_end(struct run *run)
{
	if (run->guard < 0)
		return;
	guard_tell(run, 0);
	close(run->guard);
	run->guard = -1;
	waitpid(guard_pid, NULL, 0);
}
