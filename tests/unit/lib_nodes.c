// SPDX-License-Identifier: MIT
#include "tests/unit/lib_nodes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/context.h"

dsm_t *node[2];
uint16_t port;
uint32_t nodes_chunks = 4096;
static char rundir[] = "/tmp/dsm-test-XXXXXX";

uint64_t test_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void *nodes_there(int to, const void *ptr)
{
	const char *from = dsm_region_base(dsm_region_default(node[!to]));

	return (char *)dsm_region_base(dsm_region_default(node[to])) + ((const char *)ptr - from);
}

void *nodes_pages(size_t n)
{
	void *ptr;

	assert_int_equal(dsm_alloc(dsm_region_default(node[0]), n * PAGE, &ptr), 0);
	return ptr;
}

pid_t nodes_agent_pid(const dsm_t *ctx)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	assert_int_equal(getsockopt(ctx->control.fd, SOL_SOCKET, SO_PEERCRED, &cred, &len), 0);
	return cred.pid;
}

int nodes_open(uint16_t at, dsm_t **ret)
{
	struct dsm_options o = { .port = at, .flags = DSM_OPEN_ANYWHERE, .chunks = nodes_chunks };

	return dsm_open(&o, ret);
}

int nodes_setup_one(void **state)
{
	char text[64];

	(void)state;
	if (!mkdtemp(rundir))
		return -1;
	/* Eight to each process, below those that the system gives out by itself. */
	port = (uint16_t)(20000 + getpid() % 1500 * 8);
	snprintf(text, sizeof(text), "127.0.0.1:%u", port);
	setenv("DSM_RUNDIR", rundir, 1);
	setenv("DSM_PAGER", "uffd", 0); /* the module where it is asked for */
	setenv("DSM_NO_DISCOVERY", "yes", 1);
	setenv("DSM_JOIN", text, 1);
	setenv("DSM_ELECT_TIME", "20", 1);
	setenv("DSM_CONFIG", "/dev/null", 1);
	unsetenv("DSM_PORT");
	unsetenv("DSM_CHUNKS");
	return nodes_open(port, &node[0]);
}

int nodes_setup(void **state)
{
	if (nodes_setup_one(state))
		return -1;
	/* The others have somebody to join, however slow this machine is. */
	setenv("DSM_ELECT_TIME", "5000", 1);
	return nodes_open((uint16_t)(port + 1), &node[1]);
}

int nodes_teardown(void **state)
{
	char command[64];

	(void)state;
	dsm_close(node[1]);
	dsm_close(node[0]);
	snprintf(command, sizeof(command), "rm -rf %s", rundir);
	return system(command);
}
