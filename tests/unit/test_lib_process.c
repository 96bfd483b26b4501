// SPDX-License-Identifier: MIT
/* libdsm against real agents: processes that fork and die, and the simple interface. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/core/lock_word.h"
#include "agent/pager/uffd.h"
#include "lib/context.h"
#include "lib/lock_table.h"
#include "tests/unit/lib_nodes.h"

static sigjmp_buf on_bus;

static void jump(int sig)
{
	(void)sig;
	siglongjmp(on_bus, 1);
}

/* True: touching @ptr is SIGBUS. */
static bool is_bus(const volatile char *ptr)
{
	signal(SIGBUS, jump);
	if (sigsetjmp(on_bus, 1))
		return true;
	(void)*ptr;
	return false;
}

/* fork(), and the child is no test program: what goes wrong there ends it. */
static pid_t fork_plain(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE };
	pid_t pid = fork();

	for (size_t i = 0; !pid && i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], SIG_DFL);
	return pid;
}

/* Under userfaultfd, kernels before 6.4 let one program of a node map its memory. */
static void need_two_programs(void)
{
	bool continue_wp = false;
	char why[128];

	if (node[0]->pager == CLIENT_PAGER_UFFD &&
	    (uffd_probe(&continue_wp, why, sizeof(why)) || !continue_wp))
		skip();
}

static void child_of_fork(uint64_t *here)
{
	if (here[0] != 11)
		_exit(1);
	here[0] = 12;
	if (dsm_ctx_lock(node[0], 8) || dsm_ctx_unlock(node[0], 8))
		_exit(2);
	if (dsm_barrier_wait(node[0], 0, 0, 1000) != -EPERM)
		_exit(3);
	_exit(here[PAGE / 8] == 21 ? 0 : 4);
}

static void a_forked_child_goes_on_with_the_memory(void **state)
{
	uint64_t *here = nodes_pages(2), *remote = nodes_there(1, here);
	int status;
	pid_t pid;

	(void)state;
	need_two_programs();
	here[0] = 11;
	remote[PAGE / 8] = 21;
	pid = fork_plain();
	if (!pid)
		child_of_fork(here);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(here[0], 12);
	assert_int_equal(remote[0], 12);
	assert_int_equal(dsm_release(node[0], here), 0);
}

/* A child with a node of its own; tells its agent's pid through the pipe. */
static pid_t start_program(uint16_t at, pid_t *ret_agent)
{
	int fd[2];
	pid_t pid;

	assert_int_equal(pipe(fd), 0);
	pid = fork_plain();
	if (!pid) {
		dsm_t *ctx;
		pid_t agent;

		if (nodes_open(at, &ctx))
			_exit(1);
		agent = nodes_agent_pid(ctx);
		if (write(fd[1], &agent, sizeof(agent)) < 0)
			_exit(1);
		for (;;)
			pause();
	}
	close(fd[1]);
	assert_int_equal(read(fd[0], ret_agent, sizeof(*ret_agent)), sizeof(*ret_agent));
	close(fd[0]);
	return pid;
}

/* Gone, or dead and not yet collected by whoever adopted it. */
static bool has_ended(pid_t pid)
{
	char path[32], line[256] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "r");
	if (!f)
		return true;
	if (!fgets(line, sizeof(line), f))
		line[0] = '\0';
	fclose(f);
	return !line[0] || strstr(line, ") Z ");
}

static void an_agent_dies_with_its_program(void **state)
{
	pid_t agent, pid = start_program((uint16_t)(port + 2), &agent);

	(void)state;
	assert_false(has_ended(agent));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	UNTIL(has_ended(agent));
}

static void an_agents_death_is_sigbus_and_errors(void **state)
{
	struct dsm_status s;
	char *ptr;
	dsm_t *ctx;

	(void)state;
	assert_int_equal(nodes_open((uint16_t)(port + 3), &ctx), 0);
	if (ctx->pager == CLIENT_PAGER_KMOD) {
		dsm_close(ctx);
		skip(); /* the module keeps the pages for the next agent */
	}
	ptr = dsm_region_base(dsm_region_default(ctx));
	ptr[0] = 1;
	kill(nodes_agent_pid(ctx), SIGKILL);
	UNTIL(is_bus(ptr));
	assert_true(is_bus(ptr + 50 * PAGE));
	assert_int_equal(dsm_status_get(ctx, &s), -ENOTCONN);
	assert_int_equal(dsm_ctx_lock(ctx, 1), -ENOTCONN);
	dsm_close(ctx);
}

#define HELD 7u

static void *lock_held(void *ctx)
{
	return (void *)(intptr_t)dsm_ctx_lock(ctx, HELD);
}

/* Under the module it would wait for the next agent, and ask that one. */
static void who_waits_hears_of_the_agents_death(void **state)
{
	pthread_t thread;
	void *err;
	dsm_t *ctx;

	(void)state;
	assert_int_equal(nodes_open((uint16_t)(port + 8), &ctx), 0);
	if (ctx->pager == CLIENT_PAGER_KMOD) {
		dsm_close(ctx);
		skip();
	}
	assert_int_equal(dsm_ctx_lock(ctx, HELD), 0);
	assert_int_equal(pthread_create(&thread, NULL, lock_held, ctx), 0);
	UNTIL(atomic_load(lock_table_word(ctx->locks, HELD)) & LOCK_WORD_WAIT);
	kill(nodes_agent_pid(ctx), SIGKILL);
	pthread_join(thread, &err);
	assert_int_equal((intptr_t)err, -ENOTCONN);
	/* Whoever has a session still finds out too, and lives. */
	assert_int_equal(dsm_ctx_unlock(ctx, HELD + 1), -ENOTCONN);
	dsm_close(ctx);
}

static void closing_ends_the_agent_and_leaves_no_child(void **state)
{
	pid_t agent;
	dsm_t *ctx;

	(void)state;
	assert_int_equal(nodes_open((uint16_t)(port + 4), &ctx), 0);
	agent = nodes_agent_pid(ctx);
	dsm_close(ctx);
	UNTIL(has_ended(agent));
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

/* Each of them finds no agent, and tries again right when the last one goes. */
static void a_deleted_region_is_sigbus_where_it_is_mapped(void **state)
{
	dsm_region_t *old, *new, *other;

	(void)state;
	assert_int_equal(dsm_region_create(node[0], "meadow", 4 * PAGE, &old), 0);
	*(char *)dsm_region_base(old) = 1;
	assert_int_equal(dsm_region_delete(node[1], "meadow"), 0);
	UNTIL(is_bus(dsm_region_base(old)));
	assert_int_equal(dsm_region_open(node[0], "meadow", &new), -ENOENT);
	assert_int_equal(dsm_region_create(node[1], "meadow", 8 * PAGE, &other), 0);
	assert_int_equal(dsm_region_open(node[0], "meadow", &new), 0);
	assert_int_equal(dsm_region_size(new), 8 * PAGE);
	assert_int_equal(*(char *)dsm_region_base(new), 0);
	*(char *)dsm_region_base(other) = 2;
	assert_int_equal(*(char *)dsm_region_base(new), 2);
	assert_true(is_bus(dsm_region_base(old)));
	dsm_region_close(old);
	dsm_region_close(new);
	dsm_region_close(other);
	assert_int_equal(dsm_region_delete(node[0], "meadow"), 0);
}

static void programs_that_start_together_share_one_agent(void **state)
{
	pid_t pid[12];
	int status;

	(void)state;
	need_two_programs();
	for (int i = 0; i < 12; i++) {
		dsm_t *ctx;

		pid[i] = fork_plain();
		if (!pid[i]) {
			int err = nodes_open((uint16_t)(port + 7), &ctx);

			if (!err)
				dsm_close(ctx);
			_exit(-err);
		}
	}
	for (int i = 0; i < 12; i++) {
		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	}
}

static void opening_says_what_is_wrong(void **state)
{
	struct dsm_options o = { .port = (uint16_t)(port + 5), .flags = DSM_OPEN_NO_START };
	dsm_t *ctx;

	(void)state;
	assert_int_equal(dsm_open(&o, &ctx), -ENOENT);
	o.flags = 0x8000;
	assert_int_equal(dsm_open(&o, &ctx), -EINVAL);
	assert_int_equal(dsm_open(&(struct dsm_options){ 0 }, NULL), -EINVAL);
	setenv("DSM_DSMD", "/nonexistent/dsmd", 1);
	o.flags = 0;
	assert_int_equal(dsm_open(&o, &ctx), -ENOENT);
	setenv("DSM_DSMD", "/bin/false", 1);
	assert_int_equal(dsm_open(&o, &ctx), -ECONNREFUSED);
	unsetenv("DSM_DSMD");
	setenv("DSM_PORT", "many", 1);
	assert_int_equal(dsm_open(NULL, &ctx), -EINVAL);
	unsetenv("DSM_PORT");
}

/* --- the simple interface --- */

static void nothing_works_before_init(void **state)
{
	dsm_local_page_t *local;
	uint32_t n;

	(void)state;
	assert_null(dsm_malloc(1));
	assert_int_equal(errno, ENOTCONN);
	assert_int_equal(dsm_lock(1), -1);
	assert_int_equal(dsm_get_local_pages(&local, &n), -1);
	assert_int_equal(dsm_get_node_id(), 0);
	assert_int_equal(dsm_is_master(), 0);
	assert_null(dsm_default_context());
	dsm_free(NULL);
	dsm_finalize();
	assert_string_equal(dsm_page_state_to_string(3), "PENDING");
	assert_string_equal(dsm_page_state_to_string(4), "UNKNOWN");
	assert_string_equal(dsm_page_state_to_string(-1), "UNKNOWN");
}

static void bad_arguments_of_init_are_named(void **state)
{
	static char *bad[][4] = {
		{ "test", "0", "10" },	  { "test", "70000", "10" }, { "test", "port", "10" },
		{ "test", "9900", "-1" }, { "test", "9900", "5Q" },  { "test", "9900", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(dsm_init(3, bad[i]), -1);
		assert_int_equal(errno, EINVAL);
	}
}

/* Small blocks share pages, are zeroed again, and are freed once. */
static int small_blocks(void)
{
	char *block[200];
	uintptr_t least = UINTPTR_MAX, most = 0;

	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 200; i++) {
			block[i] = dsm_malloc(100);
			if (!block[i] || (uintptr_t)block[i] % 16)
				return 20;
			for (int j = 0; j < 100; j++)
				if (block[i][j])
					return 21;
			memset(block[i], 0xff, 100);
			least = (uintptr_t)block[i] < least ? (uintptr_t)block[i] : least;
			most = (uintptr_t)block[i] > most ? (uintptr_t)block[i] : most;
		}
		for (int i = 0; i < 200; i++)
			dsm_free(block[i]);
	}
	if (most - least > 64 * (uintptr_t)PAGE)
		return 22;
	errno = 0;
	dsm_free(block[0]);
	return errno == EINVAL ? 0 : 23;
}

static int simple_program(void)
{
	dsm_global_page_t *global;
	char *ptr, *at;
	uint32_t n;

	if (dsm_init_with_params((uint16_t)(port + 6), 1024))
		return 1;
	/* Nodes of tests before may still be on their way out. */
	for (int i = 0; i < DEADLINE_MS && dsm_get_node_count() != 3; i++)
		poll(NULL, 0, 1);
	if (dsm_get_node_count() != 3)
		return 1;
	if (!dsm_init_with_params((uint16_t)(port + 6), 1024) || errno != EALREADY)
		return 2;
	ptr = dsm_malloc(5000);
	at = dsm_malloc_at(0x100000000ull, 3 * PAGE);
	if (!ptr || !at || at != (char *)0x200000000000ull + 0x100000000ull)
		return 3;
	if (dsm_map_remote(0x100000000ull + PAGE, 2 * PAGE) != at + PAGE)
		return 4;
	if (dsm_map_remote(0x100000000ull + PAGE, 4 * PAGE) || errno != ENOENT)
		return 5;
	if (dsm_get_global_pages(&global, &n) || n < 2)
		return 6;
	free(global);
	ptr[0] = 1;
	if (dsm_get_page_owner(ptr) != (int)dsm_get_node_id())
		return 7;
	dsm_free(ptr + 1);
	if (errno != EINVAL)
		return 8;
	dsm_unlock(12345);
	if (errno != EPERM)
		return 9;
	dsm_free(ptr);
	n = (uint32_t)small_blocks();
	if (n)
		return (int)n;
	dsm_finalize();
	dsm_finalize();
	return dsm_malloc(1) ? 10 : 0;
}

static void the_simple_interface_works(void **state)
{
	int status;
	pid_t pid = fork_plain();

	(void)state;
	if (!pid) {
		dsm_set_log_level(4);
		freopen("/dev/null", "w", stderr);
		_exit(simple_program());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest alone[] = {
		cmocka_unit_test(nothing_works_before_init),
		cmocka_unit_test(bad_arguments_of_init_are_named),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_forked_child_goes_on_with_the_memory),
		cmocka_unit_test(an_agent_dies_with_its_program),
		cmocka_unit_test(an_agents_death_is_sigbus_and_errors),
		cmocka_unit_test(who_waits_hears_of_the_agents_death),
		cmocka_unit_test(closing_ends_the_agent_and_leaves_no_child),
		cmocka_unit_test(a_deleted_region_is_sigbus_where_it_is_mapped),
		cmocka_unit_test(programs_that_start_together_share_one_agent),
		cmocka_unit_test(opening_says_what_is_wrong),
		cmocka_unit_test(the_simple_interface_works),
	};
	int failed;

	setenv("DSM_LOG", "error", 1);
	failed = cmocka_run_group_tests(alone, NULL, NULL);
	return failed + cmocka_run_group_tests(tests, nodes_setup, nodes_teardown);
}
