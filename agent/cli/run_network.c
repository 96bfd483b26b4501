/* SPDX-License-Identifier: MIT */
/*
 * dsm run --netns: each node in a network namespace of its own, all on one
 * bridge. No namespace has a name: each lives as long as the descriptors and the processes
 * in it, so nothing is left behind however dsm run ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/cli/run.h"

#define WORDS_MAX 16

/* Runs ip(8) with the words of @fmt in the namespace we are in. 0 or an exit code. */
static int __attribute__((format(printf, 1, 2))) ip(const char *fmt, ...)
{
	char text[256], *words[WORDS_MAX + 2] = { (char *)"ip" }, *rest = text;
	size_t n = 1;
	int status;
	va_list ap;
	pid_t pid;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	while (n <= WORDS_MAX && (words[n] = strsep(&rest, " ")))
		n++;
	words[n] = NULL;
	pid = fork();
	if (!pid) {
		execvp("ip", words);
		_exit(RUN_NOT_FOUND);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		return cli_error(RUN_NO_NODE, "run: --netns: ip %s failed; iproute2 is needed",
				 words[1]);
	return 0;
}

static int namespace_new(int *ret)
{
	if (unshare(CLONE_NEWNET) < 0)
		return cli_error(RUN_NO_NODE, "run: --netns: a network namespace: %s",
				 strerror(errno));
	*ret = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (*ret < 0)
		return cli_error(RUN_NO_NODE, "run: --netns: /proc/self/ns/net: %s",
				 strerror(errno));
	return ip("link set lo up");
}

/* From inside the node's namespace: a cable to the bridge, and an address. */
static int node_plug(struct run *run, const struct run_node *node)
{
	unsigned int n = node->number;
	int code;

	code = ip("link add eth0 type veth peer name port%u netns /proc/%d/fd/%d", n, (int)getpid(),
		  run->bridge);
	if (!code)
		code = ip("addr add 10.99.0.%u/24 brd + dev eth0", n);
	if (!code)
		code = ip("link set eth0 up");
	if (!code && setns(run->bridge, CLONE_NEWNET) < 0)
		code = cli_error(RUN_NO_NODE, "run: --netns: setns: %s", strerror(errno));
	if (!code)
		code = ip("link set port%u master bridge0 up", n);
	return code;
}

int run_network_open(struct run *run)
{
	unsigned int i;
	int code;

	code = namespace_new(&run->bridge);
	if (!code)
		code = ip("link add bridge0 type bridge");
	if (!code)
		code = ip("link set bridge0 up");
	for (i = 0; !code && i < run->count; i++) {
		code = namespace_new(&run->nodes[i].network);
		if (!code)
			code = node_plug(run, &run->nodes[i]);
	}
	return code;
}

int run_network_enter(const struct run_node *node)
{
	return node->network < 0 ? 0 : setns(node->network, CLONE_NEWNET);
}

void run_network_address(const struct run_node *node, char *text, size_t size)
{
	if (node->network < 0)
		snprintf(text, size, "127.0.0.1");
	else
		snprintf(text, size, "10.99.0.%u", node->number);
}
