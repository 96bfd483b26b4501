/* SPDX-License-Identifier: MIT */
/*
 * dsm run: one program as N nodes of a cluster of its own on this machine.
 *
 * One thread and one poll() loop (run_poll) for the output of everybody, the
 * signals and the ends of children. A guard, a small process of its own
 * session, ends what is left and removes the private directory when
 * dsm run itself was killed; see run_guard.c.
 */
#ifndef DSM_CLI_RUN_H
#define DSM_CLI_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/cli/cli.h"

/*
 * Exit codes beside enum cli_exit. Otherwise it is the first nonzero one of a
 * program, or 128 + N for a program that signal N ended.
 */
enum run_exit {
	RUN_TIMED_OUT = 124, /* --timeout passed */
	RUN_NO_NODE = 125,   /* an agent did not start, or ended before its program */
	RUN_NOT_RUNNABLE = 126,
	RUN_NOT_FOUND = 127,
};

#define RUN_NODES_MAX  64
#define RUN_TMPDIR_MAX 60    /* bytes of TMPDIR */
#define RUN_LINE_MAX   16384 /* a longer line is printed in parts */

/* One pipe that a child writes to; its lines appear with a prefix. */
struct run_stream {
	int fd; /* -1: closed */
	bool to_stderr;
	const char *label; /* stands after the node's number */
	size_t used;
	char line[RUN_LINE_MAX];
};

struct run_node {
	unsigned int number; /* 1..N; the cluster gives the same node id */
	uint16_t port;
	pid_t agent, program;		 /* 0: not started, or reaped */
	int network;			 /* descriptor of its network namespace, -1: ours */
	bool agent_failed;		 /* ended without being asked */
	struct run_stream out, err, log; /* of the program; of the agent */
};

struct run {
	/* Options. */
	unsigned int count;
	const char *pager, *chunks, *log_level; /* NULL: the agent's default */
	uint64_t base_port;			/* 0: look for free ones */
	double timeout, grace;			/* seconds; timeout 0: none */
	bool netns;				/* a network namespace for each node */
	char **argv;				/* PROGRAM ARGS */

	char dir[80];	  /* private, holds the agents' sockets */
	char cluster[32]; /* nobody else's */
	char dsmd[4096];  /* the agent's program */
	int guard;	  /* pipe to the guard, -1: none yet */
	int signals;	  /* signalfd */
	int bridge;	  /* descriptor of the namespace that connects the nodes, -1: none */
	struct run_node *nodes;

	bool stopping;	 /* the agents were asked to end */
	int code;	 /* first failure, 0: none yet */
	int interrupted; /* signal that asked us to end, 0: none */
	int64_t end_at;	 /* when to press programs to end, next (ms); 0: not at all */
	int pressed;	 /* how often they were */
};

/* run_node.c: starting and ending. Each returns 0 or an exit code and has told stderr. */
int run_find_programs(struct run *run);
int run_choose_ports(struct run *run);
int run_start_agent(struct run *run, struct run_node *node);
int run_start_program(struct run *run, struct run_node *node);
void run_stop_agents(struct run *run);

/* run_child.c: the one way children are made. */
/*
 * fork(); in the child: own process group, signals as they were, @deathsig when
 * dsm run dies, stdin from @in.
 */
pid_t run_fork(struct run *run, int deathsig, int in, struct run_stream *out,
	       struct run_stream *err);

/* run_network.c */
/* Makes a namespace for each node; we are in that of the bridge afterwards. 0 or an exit code. */
int run_network_open(struct run *run);
/* The calling process goes into the node's namespace, if it has one. 0, or -1 with errno. */
int run_network_enter(const struct run_node *node);
/* Where the others reach it, without the port. */
void run_network_address(const struct run_node *node, char *text, size_t size);

/* run_output.c */
void run_stream_init(struct run_stream *s, bool to_stderr, const char *label);
/* Reads what is there and prints whole lines; at the end of file what is left. */
void run_stream_pump(struct run_stream *s, unsigned int number);

/* run.c: everything, once the options are known. The exit code of dsm run. */
int run_all(struct run *run);
/* Waits at most @ms for output, signals, ends of children, and handles them. */
void run_poll(struct run *run, int ms);
int64_t run_clock_ms(void);

/* run_guard.c. 0 or an exit code. The guard knows process groups that it must end with us. */
int run_guard_start(struct run *run);
void run_guard_add(struct run *run, pid_t group);
void run_guard_forget(struct run *run, pid_t group);
/* Nothing is left to end: the guard removes the directory and is waited for. */
void run_guard_end(struct run *run);

#endif
