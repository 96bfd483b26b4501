// SPDX-License-Identifier: MIT
/* What a program is told of pages, its own and the cluster's: the third node of three, which needed none of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/lib_nodes.h"

#define BLOCKS 600	  /* more than one message tells of */
#define PLACE  0x4000000u /* global address of a page that node 0 has written */

/* Blocks of one page that the cluster is said to have. */
static uint32_t blocks_listed(void)
{
	dsm_global_page_t *pages;
	uint32_t n, blocks = 0;

	if (dsm_get_global_pages(&pages, &n))
		return 0;
	for (uint32_t i = 0; i < n; i++)
		blocks += pages[i].size == PAGE;
	free(pages);
	return blocks;
}

/* True: the list has the page in that state, and the owner that is told of the page alone. */
static bool listed(void *at, uint32_t state)
{
	dsm_local_page_t *pages;
	uint32_t n;
	bool ret = false;

	if (dsm_get_local_pages(&pages, &n))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (pages[i].local_addr == at)
			ret = pages[i].state == state && pages[i].in_use &&
			      (int)pages[i].owner_id == dsm_get_page_owner(at);
	free(pages);
	return ret;
}

static int third_node(void)
{
	volatile char *at;

	if (dsm_init_with_params((uint16_t)(port + 6), 16))
		return 1;
	for (int i = 0; i < DEADLINE_MS && dsm_get_node_count() != 3; i++)
		poll(NULL, 0, 1);
	if (blocks_listed() != BLOCKS + 1)
		return 2;
	at = dsm_map_remote(PLACE, PAGE);
	if (!at || *at != 7 || !listed((void *)at, DSM_STATE_SHARED))
		return 3;
	*at = 8;
	if (!listed((void *)at, DSM_STATE_MODIFIED))
		return 4;
	if ((uint32_t)dsm_get_page_owner((void *)at) != dsm_get_node_id())
		return 5;
	dsm_finalize();
	return 0;
}

static void a_node_that_needed_none_is_told_of_all(void **state)
{
	void *ptr;
	int status;
	pid_t pid;

	(void)state;
	for (int i = 0; i < BLOCKS; i++)
		nodes_pages(1);
	assert_int_equal(dsm_alloc_at(dsm_region_default(node[0]), PLACE, PAGE, &ptr), 0);
	*(volatile char *)ptr = 7;
	pid = fork();
	if (!pid) {
		signal(SIGSEGV, SIG_DFL);
		_exit(third_node());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_node_that_needed_none_is_told_of_all),
	};

	setenv("DSM_LOG", "error", 1);
	return cmocka_run_group_tests(tests, nodes_setup, nodes_teardown);
}
