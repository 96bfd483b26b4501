// SPDX-License-Identifier: MIT
/*
 * Every call of the plain interface, as a program written for it uses them.
 * Compiled as C and as C++ against an installed library, and run against an agent that the
 * library starts by itself: api PORT CHUNKS
 */
#include <dsm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

static void expect(int holds, const char *what)
{
	if (!holds) {
		printf("not so: %s\n", what);
		failures++;
	}
}

static void memory(void)
{
	char *near = (char *)dsm_malloc(10000);
	char *at = (char *)dsm_malloc_at(0x2000000, 4096);
	char *far = (char *)dsm_malloc_at(0x100000000ull, 8192);

	expect(near && at && far, "memory can be had");
	if (!near || !at || !far)
		return;
	strcpy(near, "one");
	strcpy(at, "two");
	expect(dsm_map_remote(0x2000000, 4096) == (void *)at, "a global address has one place");
	expect(!strcmp((char *)dsm_map_remote(0x2000000, 4096), "two"), "and its bytes");
	expect(dsm_get_page_owner(at) == (int)dsm_get_node_id(), "this node owns what it wrote");
	dsm_free(near);
	dsm_free(far);
}

static void pages(void)
{
	char *p = (char *)dsm_malloc(3 * 4096);
	dsm_page_info_t info;
	dsm_local_page_t *local = NULL;
	dsm_global_page_t *global = NULL;
	uint32_t n = 0;

	memset(p, 1, 3 * 4096);
	memset(&info, 0, sizeof(info));
	expect(dsm_get_page_info(p, &info) == 0, "page info");
	expect(info.state == 2 && info.owner_id == 1 && info.local_addr == (void *)p &&
		       info.size == 4096,
	       "a written page is MODIFIED and ours");
	expect(!strcmp(dsm_page_state_to_string((int)info.state), "MODIFIED"), "and says so");
	expect(dsm_get_local_pages(&local, &n) == 0 && n >= 3 && local, "local pages");
	free(local);
	expect(dsm_get_global_pages(&global, &n) == 0 && n >= 1 && global, "global pages");
	free(global);
	expect(dsm_discover_pages(&global, &n) == 0, "the same by its other name");
	free(global);
}

int main(int argc, char **argv)
{
	dsm_set_log_level(3);
	if (dsm_init(argc, argv)) {
		printf("dsm_init failed\n");
		return 1;
	}
	expect(dsm_is_master() && dsm_get_node_id() == 1 && dsm_get_node_count() == 1,
	       "alone, node 1 and master");
	expect(dsm_get_total_memory() == (size_t)atoi(argv[2]) * 4096,
	       "the pool is what was donated");
	memory();
	pages();
	expect(dsm_lock(-5) == 0, "any 32-bit number is a lock");
	dsm_unlock(-5);
	dsm_barrier();
	dsm_debug_dump_state();
	dsm_finalize();
	printf(failures ? "%d failed\n" : "all held\n", failures);
	return failures != 0;
}
