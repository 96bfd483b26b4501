// SPDX-License-Identifier: MIT
/* How much of a pool dsm_malloc() can give: all of it, also where that is little. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/lib_nodes.h"

#define CHUNKS 32u /* of node 0, which takes none */
#define MOST   2000u

/* Blocks of @size bytes until there are no more, each of them zeroed, all of them freed again. */
static uint32_t blocks_given(size_t size)
{
	static char *block[MOST];
	uint32_t n = 0;

	errno = 0;
	for (; n < MOST; n++) {
		block[n] = dsm_malloc(size);
		if (!block[n])
			break;
		if (block[n][0] || block[n][size - 1])
			return 0;
		memset(block[n], 1, size);
	}
	if (n < MOST && errno != ENOMEM)
		return 0;
	for (uint32_t i = 0; i < n; i++)
		dsm_free(block[i]);
	return n;
}

static uint64_t pages_used(void)
{
	struct dsm_status s;

	return dsm_status_get(dsm_default_context(), &s) ? 0 : s.used_bytes / PAGE;
}

/* Too little for a heap: each block has a page, and each page is a block. */
static int small_pool(void)
{
	const size_t sizes[] = { 100, PAGE };

	for (int i = 0; i < 2; i++)
		for (int round = 0; round < 2; round++)
			if (blocks_given(sizes[i]) != 2 * CHUNKS || pages_used())
				return 2;
	return blocks_given(2 * PAGE) == CHUNKS ? 0 : 3;
}

static int large_pool(void)
{
	/* Blocks of more than a page take their pages and no more. */
	if (blocks_given(2 * PAGE) != (1024 + CHUNKS) / 2 ||
	    blocks_given(8 * PAGE - 100) != (1024 + CHUNKS) / 8)
		return 4;
	/* Small ones share pages. */
	return blocks_given(100) == MOST && pages_used() < MOST / 8 ? 0 : 5;
}

static int uses_its_heap(void)
{
	return blocks_given(100) == MOST && pages_used() ? 0 : 6;
}

static int as_node(uint16_t at, uint32_t chunks, int (*what)(void))
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		if (dsm_init_with_params(at, chunks))
			_exit(1);
		for (int i = 0; i < DEADLINE_MS && dsm_get_node_count() != 2; i++)
			poll(NULL, 0, 1);
		status = what();
		dsm_finalize();
		_exit(status);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

static void every_page_of_a_small_pool_is_given(void **state)
{
	(void)state;
	assert_int_equal(as_node((uint16_t)(port + 1), CHUNKS, small_pool), 0);
}

static void a_block_takes_no_more_pages_than_it_needs(void **state)
{
	(void)state;
	assert_int_equal(as_node((uint16_t)(port + 2), 1024, large_pool), 0);
}

/* Else a pool that lasts would lose a heap with each of them. */
static void a_node_that_leaves_takes_its_heap_along(void **state)
{
	struct dsm_status before, after;

	(void)state;
	UNTIL(!dsm_status_get(node[0], &before) && before.node_count == 1);
	assert_int_equal(as_node((uint16_t)(port + 3), 1024, uses_its_heap), 0);
	UNTIL(!dsm_status_get(node[0], &after) && after.node_count == 1);
	assert_int_equal(after.used_bytes, before.used_bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_page_of_a_small_pool_is_given),
		cmocka_unit_test(a_block_takes_no_more_pages_than_it_needs),
		cmocka_unit_test(a_node_that_leaves_takes_its_heap_along),
	};

	setenv("DSM_LOG", "error", 1);
	nodes_chunks = CHUNKS;
	return cmocka_run_group_tests(tests, nodes_setup_one, nodes_teardown);
}
