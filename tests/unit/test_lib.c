// SPDX-License-Identifier: MIT
/*
 * libdsm against real agents, started by itself: most tests are two nodes in
 * this one process, which map the memory at two places (DSM_OPEN_ANYWHERE).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <dsm.h>

#include "lib/context.h"

#define PAGE	    4096u
#define DEADLINE_MS 10000
#define SECOND_US   1000000u

static dsm_t *node[2];
static uint16_t port;
static char rundir[] = "/tmp/dsm-test-XXXXXX";

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Looks again until it holds, or the deadline passes. */
#define UNTIL(condition)                                                                           \
	do {                                                                                       \
		uint64_t end_ = now_ms() + DEADLINE_MS;                                            \
		while (!(condition) && now_ms() < end_)                                            \
			poll(NULL, 0, 1);                                                          \
		assert_true(condition);                                                            \
	} while (0)

/* A pointer of one node as the other one has it. */
static void *there(int to, const void *ptr)
{
	const char *from = dsm_region_base(dsm_region_default(node[!to]));

	return (char *)dsm_region_base(dsm_region_default(node[to])) + ((const char *)ptr - from);
}

static void *pages(size_t n)
{
	void *ptr;

	assert_int_equal(dsm_alloc(dsm_region_default(node[0]), n * PAGE, &ptr), 0);
	return ptr;
}

static pid_t agent_pid(const dsm_t *ctx)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	assert_int_equal(getsockopt(ctx->control.fd, SOL_SOCKET, SO_PEERCRED, &cred, &len), 0);
	return cred.pid;
}

static int open_node(uint16_t at, dsm_t **ret)
{
	struct dsm_options o = { .port = at, .flags = DSM_OPEN_ANYWHERE, .chunks = 4096 };

	return dsm_open(&o, ret);
}

static int group_setup(void **state)
{
	char text[64];

	(void)state;
	if (!mkdtemp(rundir))
		return -1;
	port = (uint16_t)(20000 + getpid() % 20000);
	snprintf(text, sizeof(text), "127.0.0.1:%u", port);
	setenv("DSM_RUNDIR", rundir, 1);
	setenv("DSM_PAGER", "uffd", 0); /* the module where it is asked for */
	setenv("DSM_NO_DISCOVERY", "yes", 1);
	setenv("DSM_JOIN", text, 1);
	setenv("DSM_ELECT_TIME", "20", 1);
	setenv("DSM_CONFIG", "/dev/null", 1);
	unsetenv("DSM_PORT");
	unsetenv("DSM_CHUNKS");
	return open_node(port, &node[0]) || open_node((uint16_t)(port + 1), &node[1]);
}

static int group_teardown(void **state)
{
	char command[64];

	(void)state;
	dsm_close(node[1]);
	dsm_close(node[0]);
	snprintf(command, sizeof(command), "rm -rf %s", rundir);
	return system(command);
}

static void two_programs_are_two_nodes(void **state)
{
	struct dsm_status s[2];

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(dsm_status_get(node[i], &s[i]), 0);
	assert_int_equal(s[0].node_count, 2);
	assert_int_not_equal(s[0].node_id, s[1].node_id);
	assert_int_equal(s[0].master_id, s[1].master_id);
	assert_int_equal(s[0].total_bytes, 2 * 4096 * PAGE);
	assert_int_equal(s[1].port, port + 1);
}

static void stores_are_seen_at_the_other_node(void **state)
{
	uint64_t *here = pages(3), *remote = there(1, here);

	(void)state;
	here[0] = 1;
	here[2 * PAGE / 8] = 3;
	assert_int_equal(remote[0], 1);
	assert_int_equal(remote[PAGE / 8], 0);
	remote[2 * PAGE / 8]++;
	assert_int_equal(here[2 * PAGE / 8], 4);
	assert_int_equal(dsm_release(node[1], remote), 0);
}

static void bad_memory_requests_are_refused(void **state)
{
	dsm_region_t *r = dsm_region_default(node[0]);
	char *ptr = pages(2), local;
	void *other;

	(void)state;
	assert_int_equal(dsm_alloc(r, 0, &other), -EINVAL);
	assert_int_equal(dsm_alloc(NULL, 1, &other), -EINVAL);
	assert_int_equal(dsm_alloc(r, SIZE_MAX, &other), -ENOMEM);
	assert_int_equal(dsm_alloc(r, 64ull << 30, &other), -ENOMEM);
	assert_int_equal(dsm_alloc_at(r, 100, PAGE, &other), -EINVAL);
	assert_int_equal(dsm_alloc_at(r, 1ull << 40, PAGE, &other), -EINVAL);
	assert_int_equal(dsm_alloc_at(r, 0x2000000, PAGE, &other), 0);
	assert_ptr_equal(other, (char *)dsm_region_base(r) + 0x2000000);
	assert_int_equal(dsm_alloc_at(dsm_region_default(node[1]), 0x2000000, PAGE, &other),
			 -EEXIST);
	assert_int_equal(dsm_release(node[0], (char *)dsm_region_base(r) + 0x2000000), 0);
	assert_int_equal(dsm_release(node[0], ptr + 1), -EINVAL);
	assert_int_equal(dsm_release(node[0], ptr + PAGE), -EINVAL);
	assert_int_equal(dsm_release(node[0], &local), -EINVAL);
	assert_int_equal(dsm_release(node[0], ptr), 0);
	assert_int_equal(dsm_release(node[0], ptr), -EINVAL);
	assert_int_equal(dsm_prefetch(node[0], &local, 1, 0), -EINVAL);
	assert_int_equal(dsm_prefetch(node[0], ptr, 0, 0), -EINVAL);
	assert_int_equal(dsm_prefetch(node[0], ptr, 1, 8), -EINVAL);
}

static void page_info_tells_who_has_it(void **state)
{
	volatile uint64_t *here = pages(1), *remote = there(1, (const void *)here);
	dsm_page_info_t info;

	(void)state;
	*here = 5;
	assert_int_equal(dsm_page_info_get(node[0], (const char *)here + 77, &info), 0);
	assert_int_equal(info.state, DSM_STATE_MODIFIED);
	assert_int_equal(info.dirty, 1);
	assert_int_equal(info.size, PAGE);
	assert_ptr_equal(info.local_addr, here);
	assert_int_equal(*remote, 5);
	assert_int_equal(dsm_page_info_get(node[1], (const void *)remote, &info), 0);
	assert_int_equal(info.state, DSM_STATE_SHARED);
	assert_int_equal(dsm_page_info_get(node[0], &info, &info), -EINVAL);
	assert_int_equal(dsm_release(node[0], (void *)(uintptr_t)here), 0);
}

static uint32_t state_of(int at, const void *ptr)
{
	dsm_page_info_t info = { 0 };

	assert_int_equal(dsm_page_info_get(node[at], ptr, &info), 0);
	return info.state;
}

static void prefetched_pages_come_by_themselves(void **state)
{
	char *here = pages(4), *remote = there(1, here);

	(void)state;
	memset(here, 1, 4 * PAGE);
	assert_int_equal(dsm_prefetch(node[1], remote, 4 * PAGE, 0), 0);
	UNTIL(state_of(1, remote + 3 * PAGE) == DSM_STATE_SHARED);
	assert_int_equal(dsm_prefetch(node[1], remote, PAGE, DSM_PREFETCH_FOR_WRITE), 0);
	UNTIL(state_of(1, remote) == DSM_STATE_MODIFIED);
	assert_int_equal(remote[0], 1);
	assert_int_equal(dsm_release(node[0], here), 0);
}

/* --- locks --- */

#define ADDS 300

struct adder {
	pthread_t thread;
	int node;
	volatile uint64_t *count;
};

static void *add_under_lock(void *arg)
{
	struct adder *a = arg;

	for (int i = 0; i < ADDS; i++) {
		if (dsm_ctx_lock(node[a->node], 77))
			return a;
		*a->count = *a->count + 1;
		if (dsm_ctx_unlock(node[a->node], 77))
			return a;
	}
	return NULL;
}

static void a_lock_excludes_threads_and_nodes(void **state)
{
	uint64_t *here = pages(1);
	struct adder a[4];
	void *failed;

	(void)state;
	for (int i = 0; i < 4; i++) {
		a[i].node = i % 2;
		a[i].count = i % 2 ? there(1, here) : here;
		assert_int_equal(pthread_create(&a[i].thread, NULL, add_under_lock, &a[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(a[i].thread, &failed);
		assert_null(failed);
	}
	assert_int_equal(*here, 4 * ADDS);
	assert_int_equal(dsm_release(node[0], here), 0);
}

/* Twice: the second time, the thread is known to the agent and could do it by itself. */
static void *unlock_foreign(void *arg)
{
	int first = dsm_ctx_unlock(arg, 5);

	return (void *)(intptr_t)(first == -EPERM ? dsm_ctx_unlock(arg, 5) : first);
}

static void locks_belong_to_their_thread(void **state)
{
	pthread_t t;
	void *ret;

	(void)state;
	assert_int_equal(dsm_ctx_unlock(node[0], 5), -EPERM);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(dsm_ctx_lock(node[0], 5), 0);
		assert_int_equal(dsm_ctx_lock(node[0], 5), -EDEADLK);
		pthread_create(&t, NULL, unlock_foreign, node[0]);
		pthread_join(t, &ret);
		assert_int_equal((intptr_t)ret, -EPERM);
		assert_int_equal(dsm_ctx_trylock(node[1], 5), -EBUSY);
		assert_int_equal(dsm_ctx_timedlock(node[1], 5, 20000), -ETIMEDOUT);
		assert_int_equal(dsm_ctx_unlock(node[0], 5), 0);
		assert_int_equal(dsm_ctx_unlock(node[0], 5), -EPERM);
		assert_int_equal(dsm_ctx_trylock(node[1], 5), 0);
		assert_int_equal(dsm_ctx_unlock(node[1], 5), 0);
	}
}

static void *lock_and_die(void *arg)
{
	return (void *)(intptr_t)dsm_ctx_lock(arg, 6);
}

static void a_thread_that_ends_hands_its_lock_on(void **state)
{
	pthread_t t;
	void *ret;

	(void)state;
	pthread_create(&t, NULL, lock_and_die, node[0]);
	pthread_join(t, &ret);
	assert_int_equal((intptr_t)ret, 0);
	assert_int_equal(dsm_ctx_lock(node[1], 6), DSM_OWNER_DEAD);
	assert_int_equal(dsm_ctx_unlock(node[1], 6), 0);
	assert_int_equal(dsm_ctx_lock(node[0], 6), 0);
	assert_int_equal(dsm_ctx_unlock(node[0], 6), 0);
}

static void readers_share_and_writers_do_not(void **state)
{
	(void)state;
	assert_int_equal(dsm_rdlock(node[0], 9, DSM_FOREVER), 0);
	assert_int_equal(dsm_rdlock(node[1], 9, SECOND_US), 0);
	assert_int_equal(dsm_rdunlock(node[0], 9), 0);
	assert_int_equal(dsm_wrlock(node[0], 9, 0), -EBUSY);
	assert_int_equal(dsm_wrlock(node[0], 9, 20000), -ETIMEDOUT);
	assert_int_equal(dsm_rdunlock(node[1], 9), 0);
	assert_int_equal(dsm_wrlock(node[0], 9, SECOND_US), 0);
	assert_int_equal(dsm_rdlock(node[1], 9, 0), -EBUSY);
	assert_int_equal(dsm_wrunlock(node[0], 9), 0);
	assert_int_equal(dsm_wrunlock(node[0], 9), -EPERM);
}

/* --- waiting --- */

static void *enter(void *arg)
{
	return (void *)(intptr_t)dsm_barrier_wait(arg, 3, 2, 5 * SECOND_US);
}

static void a_barrier_waits_for_its_count(void **state)
{
	pthread_t t;
	void *ret;

	(void)state;
	assert_int_equal(dsm_barrier_wait(node[0], 3, 2, 20000), -ETIMEDOUT);
	for (int i = 0; i < 20; i++) {
		pthread_create(&t, NULL, enter, node[1]);
		assert_int_equal(dsm_barrier_wait(node[0], 3, 2, 5 * SECOND_US), 0);
		pthread_join(t, &ret);
		assert_int_equal((intptr_t)ret, 0);
	}
}

struct waiter {
	pthread_t thread;
	dsm_t *ctx;
	_Atomic uint32_t *word;
	atomic_bool waits;
};

static void *wait_for_one(void *arg)
{
	struct waiter *w = arg;

	while (!atomic_load(w->word)) {
		int err;

		atomic_store(&w->waits, true);
		err = dsm_wait(w->ctx, (const void *)w->word, 0, 5 * SECOND_US);
		if (err)
			return (void *)(intptr_t)err;
	}
	return NULL;
}

static void wait_for_store(int waits_at, int stores_at)
{
	uint32_t *here = pages(1);
	struct waiter w = { .ctx = node[waits_at] };
	_Atomic uint32_t *store = (_Atomic uint32_t *)(stores_at ? there(1, here) : here);
	uint64_t start = now_ms();
	void *ret;

	w.word = (_Atomic uint32_t *)(waits_at ? there(1, here) : here);
	pthread_create(&w.thread, NULL, wait_for_one, &w);
	UNTIL(atomic_load(&w.waits));
	poll(NULL, 0, 20);
	atomic_store(store, 1);
	if (waits_at == stores_at)
		assert_true(dsm_wake(node[stores_at], (const void *)store) >= 0);
	pthread_join(w.thread, &ret);
	assert_null(ret);
	assert_true(now_ms() - start < 4000);
	assert_int_equal(dsm_release(node[0], here), 0);
}

static void a_store_elsewhere_ends_a_wait(void **state)
{
	(void)state;
	wait_for_store(1, 0);
	wait_for_store(0, 1);
}

static void a_wake_here_ends_a_wait(void **state)
{
	(void)state;
	wait_for_store(0, 0);
	wait_for_store(1, 1);
}

static void a_wait_times_out_or_does_not_begin(void **state)
{
	uint32_t *here = pages(1);

	(void)state;
	*here = 4;
	assert_int_equal(dsm_wait(node[0], here, 3, DSM_FOREVER), 0);
	assert_int_equal(dsm_wait(node[0], here, 4, 20000), -ETIMEDOUT);
	assert_int_equal(dsm_wait(node[0], (char *)here + 1, 4, 0), -EINVAL);
	assert_int_equal(dsm_wait(node[0], &port, 4, 0), -EINVAL);
	assert_int_equal(dsm_release(node[0], here), 0);
}

/* --- regions --- */

static void regions_have_names(void **state)
{
	dsm_region_t *a, *b, *again;
	const char *too_long = "0123456789012345678901234567890123456789";

	(void)state;
	assert_int_equal(dsm_region_open(node[0], "field", &a), -ENOENT);
	assert_int_equal(dsm_region_create(node[0], too_long, PAGE, &a), -EINVAL);
	assert_int_equal(dsm_region_create(node[0], "field", 0, &a), -EINVAL);
	assert_int_equal(dsm_region_create(node[0], "field", 10 * PAGE + 1, &a), 0);
	assert_int_equal(dsm_region_create(node[1], "field", PAGE, &b), -EEXIST);
	assert_int_equal(dsm_region_open(node[1], "field", &b), 0);
	assert_int_equal(dsm_region_open(node[1], "field", &again), 0);
	assert_ptr_equal(b, again);
	assert_int_equal(dsm_region_size(b), 11 * PAGE);
	assert_string_equal(dsm_region_name(b), "field");
	*(uint64_t *)dsm_region_base(a) = 9;
	assert_int_equal(*(uint64_t *)dsm_region_base(b), 9);
	dsm_region_close(again);
	assert_int_equal(*(uint64_t *)dsm_region_base(b), 9);
	dsm_region_close(b);
	dsm_region_close(a);
	assert_int_equal(dsm_region_delete(node[1], "field"), 0);
	assert_int_equal(dsm_region_delete(node[0], "field"), -ENOENT);
	assert_int_equal(dsm_region_delete(node[0], "default"), -EBUSY);
}

/* --- processes --- */

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
	uint64_t *here = pages(2), *remote = there(1, here);
	int status;
	pid_t pid;

	(void)state;
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

		if (open_node(at, &ctx))
			_exit(1);
		agent = agent_pid(ctx);
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
	assert_int_equal(open_node((uint16_t)(port + 3), &ctx), 0);
	if (ctx->pager == CLIENT_PAGER_KMOD) {
		dsm_close(ctx);
		skip(); /* the module keeps the pages for the next agent */
	}
	ptr = dsm_region_base(dsm_region_default(ctx));
	ptr[0] = 1;
	kill(agent_pid(ctx), SIGKILL);
	UNTIL(is_bus(ptr));
	assert_true(is_bus(ptr + 50 * PAGE));
	assert_int_equal(dsm_status_get(ctx, &s), -ENOTCONN);
	assert_int_equal(dsm_ctx_lock(ctx, 1), -ENOTCONN);
	dsm_close(ctx);
}

static void closing_ends_the_agent_and_leaves_no_child(void **state)
{
	pid_t agent;
	dsm_t *ctx;

	(void)state;
	assert_int_equal(open_node((uint16_t)(port + 4), &ctx), 0);
	agent = agent_pid(ctx);
	dsm_close(ctx);
	UNTIL(has_ended(agent));
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
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

static int simple_program(void)
{
	dsm_global_page_t *global;
	char *ptr, *at;
	uint32_t n;

	if (dsm_init_with_params((uint16_t)(port + 6), 1024) || dsm_get_node_count() != 3)
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
		cmocka_unit_test(two_programs_are_two_nodes),
		cmocka_unit_test(stores_are_seen_at_the_other_node),
		cmocka_unit_test(bad_memory_requests_are_refused),
		cmocka_unit_test(page_info_tells_who_has_it),
		cmocka_unit_test(prefetched_pages_come_by_themselves),
		cmocka_unit_test(a_lock_excludes_threads_and_nodes),
		cmocka_unit_test(locks_belong_to_their_thread),
		cmocka_unit_test(a_thread_that_ends_hands_its_lock_on),
		cmocka_unit_test(readers_share_and_writers_do_not),
		cmocka_unit_test(a_barrier_waits_for_its_count),
		cmocka_unit_test(a_store_elsewhere_ends_a_wait),
		cmocka_unit_test(a_wake_here_ends_a_wait),
		cmocka_unit_test(a_wait_times_out_or_does_not_begin),
		cmocka_unit_test(regions_have_names),
		cmocka_unit_test(a_forked_child_goes_on_with_the_memory),
		cmocka_unit_test(an_agent_dies_with_its_program),
		cmocka_unit_test(an_agents_death_is_sigbus_and_errors),
		cmocka_unit_test(closing_ends_the_agent_and_leaves_no_child),
		cmocka_unit_test(opening_says_what_is_wrong),
		cmocka_unit_test(the_simple_interface_works),
	};
	int failed;

	setenv("DSM_LOG", "error", 1);
	failed = cmocka_run_group_tests(alone, NULL, NULL);

#ifdef __SANITIZE_THREAD__
	/* A terabyte of address space is more than ThreadSanitizer leaves free. */
	(void)tests;
	(void)group_setup;
	(void)group_teardown;
	return failed;
#else
	return failed + cmocka_run_group_tests(tests, group_setup, group_teardown);
#endif
}
