/* SPDX-License-Identifier: MIT */
/* How dsm run makes a child: pipes for its output, a group of its own, no life after us. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "agent/cli/run.h"

static void child_setup(pid_t parent, int deathsig, int in, int out, int err)
{
	sigset_t none;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, deathsig);
	/* It may have died before the line above. */
	if (getppid() != parent)
		_exit(RUN_NO_NODE);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
}

static int stream_open(struct run_stream *s, int *ret_end)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	/* Only our end: a program must not see its output fail with EAGAIN. */
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	s->fd = ends[0];
	*ret_end = ends[1];
	return 0;
}

static void stream_close(struct run_stream *s, int end)
{
	if (s->fd < 0)
		return;
	close(s->fd);
	close(end);
	s->fd = -1;
}

pid_t run_fork(struct run *run, int deathsig, int in, struct run_stream *out,
	       struct run_stream *err)
{
	int out_end = -1, err_end = -1;
	pid_t parent = getpid(), pid;

	if (stream_open(out, &out_end) < 0)
		return -1;
	if (out == err) {
		err_end = out_end;
	} else if (stream_open(err, &err_end) < 0) {
		stream_close(out, out_end);
		return -1;
	}
	fflush(stdout);
	pid = fork();
	if (!pid) {
		child_setup(parent, deathsig, in, out_end, err_end);
		return 0;
	}
	if (pid < 0) {
		stream_close(out, out_end);
		if (out != err)
			stream_close(err, err_end);
		return -1;
	}
	/* Both sides set the group: whoever is first, it stands before it is used. */
	setpgid(pid, pid);
	run_guard_add(run, pid);
	close(out_end);
	if (out != err)
		close(err_end);
	return pid;
}
