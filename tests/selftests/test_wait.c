// SPDX-License-Identifier: MIT
/* Programs that wait: killed, failed, told to look again; and what they do not block. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "fake_agent.h"

FIXTURE(wait)
{
	struct agent agent;
	int fd;
	char *map;
};

FIXTURE_SETUP(wait)
{
	ASSERT_EQ(0, agent_start(&self->agent, agent_port()));
	self->fd = program_open(self->agent.port, "default");
	ASSERT_GE(self->fd, 0);
	self->map = program_map(self->fd);
	ASSERT_NE(NULL, self->map);
}

FIXTURE_TEARDOWN(wait)
{
	agent_stop(&self->agent);
}

/* mmap() and munmap() need the mmap lock for writing. */
static bool mmap_is_free(void)
{
	long start = now_ms();
	void *at = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(at, PAGE);
	return now_ms() - start < 1000;
}

TEST_F(wait, a_load_that_waits_keeps_no_mmap_lock)
{
	struct toucher t;
	struct dsm_req req;

	touch_start(&t, self->map, false, 0);
	ASSERT_EQ(1, agent_next(&self->agent, &req, DEADLINE_MS));
	alarm(20);
	EXPECT_TRUE(mmap_is_free());
	ASSERT_EQ(0, agent_install(&self->agent, 0, 0, DSM_PAGE_SHARED));
	ASSERT_TRUE(touch_done(&t, DEADLINE_MS));
}

TEST_F(wait, an_upgrade_that_waits_keeps_no_mmap_lock)
{
	struct toucher t;
	struct dsm_req req;
	struct dsm_stats stats;

	ASSERT_EQ(0, agent_install(&self->agent, 1, 0, DSM_PAGE_SHARED));
	(void)*(volatile char *)(self->map + PAGE);
	touch_start(&t, self->map + PAGE, true, 1);
	ASSERT_EQ(1, agent_next(&self->agent, &req, DEADLINE_MS));
	ASSERT_TRUE(eventually(!agent_stats(&self->agent, &stats) && stats.faults_waited == 1));
	alarm(20);
	EXPECT_TRUE(mmap_is_free());
	ASSERT_EQ(0, agent_upgrade(&self->agent, 1));
	ASSERT_TRUE(touch_done(&t, DEADLINE_MS));
	ASSERT_EQ(0, agent_stats(&self->agent, &stats));
	EXPECT_EQ(0, stats.waits_locked);
}

static pid_t child_that_touches(volatile char *at)
{
	pid_t pid = fork();

	if (!pid) {
		(void)*at;
		_exit(0);
	}
	return pid;
}

TEST_F(wait, sigkill_ends_a_waiting_program_at_once)
{
	struct dsm_stats stats;
	struct dsm_req req;
	int status;
	long start;
	pid_t pid = child_that_touches(self->map + 2 * PAGE);

	ASSERT_EQ(1, agent_next(&self->agent, &req, DEADLINE_MS));
	start = now_ms();
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_LT(now_ms() - start, 1000);
	ASSERT_EQ(0, agent_stats(&self->agent, &stats));
	EXPECT_EQ(1, stats.killed);
	/* The request stays until it is answered; the page is of use to the next one. */
	EXPECT_EQ(1, stats.pending);
	ASSERT_EQ(0, agent_install(&self->agent, 2, 'k', DSM_PAGE_SHARED));
	EXPECT_EQ('k', self->map[2 * PAGE]);
}

TEST_F(wait, a_failed_request_is_sigbus_and_the_next_access_asks_again)
{
	struct dsm_stats stats;
	struct toucher t;
	struct dsm_req req;
	int status;
	pid_t pid = child_that_touches(self->map + 3 * PAGE);

	ASSERT_EQ(1, agent_next(&self->agent, &req, DEADLINE_MS));
	ASSERT_EQ(0, agent_answer(&self->agent, 3, 1, -EIO));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGBUS, WTERMSIG(status));
	ASSERT_EQ(0, agent_stats(&self->agent, &stats));
	EXPECT_EQ(1, stats.failed);
	EXPECT_EQ(1, stats.sigbus);
	EXPECT_EQ(0, stats.pending);
	touch_start(&t, self->map + 3 * PAGE, false, 0);
	ASSERT_EQ(1, agent_next(&self->agent, &req, DEADLINE_MS));
	EXPECT_EQ(3, req.page);
	ASSERT_EQ(0, agent_install(&self->agent, 3, 'a', DSM_PAGE_SHARED));
	ASSERT_TRUE(touch_done(&t, DEADLINE_MS));
}

TEST_F(wait, a_failure_reaches_all_who_wait)
{
	struct dsm_stats stats;
	struct dsm_req req;
	pid_t pids[4];
	int status;

	for (int i = 0; i < 4; i++)
		pids[i] = child_that_touches(self->map + 4 * PAGE);
	ASSERT_TRUE(eventually(!agent_stats(&self->agent, &stats) && stats.faults_waited == 4));
	ASSERT_EQ(1, agent_next(&self->agent, &req, DEADLINE_MS));
	ASSERT_EQ(0, agent_answer(&self->agent, 4, 1, -ENOMEM));
	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(pids[i], waitpid(pids[i], &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	}
	EXPECT_EQ(0, agent_next(&self->agent, &req, 50));
}

TEST_F(wait, a_system_call_gets_efault_when_its_page_fails)
{
	int ends[2], status;
	struct dsm_req req;
	pid_t pid;

	ASSERT_EQ(0, pipe(ends));
	pid = fork();
	if (!pid)
		_exit(write(ends[1], self->map + 5 * PAGE, 1) == -1 ? errno : 0);
	ASSERT_EQ(1, agent_next(&self->agent, &req, DEADLINE_MS));
	ASSERT_EQ(0, agent_answer(&self->agent, 5, 1, -EIO));
	/* The kernel's copy tries the last bytes once more, which is another access. */
	while (!waitpid(pid, &status, WNOHANG))
		if (agent_next(&self->agent, &req, 1))
			ASSERT_EQ(0, agent_answer(&self->agent, 5, 1, -EIO));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(EFAULT, WEXITSTATUS(status));
}

TEST_F(wait, told_to_look_again_a_program_asks_again)
{
	struct toucher t;
	struct dsm_req req;

	touch_start(&t, self->map + 6 * PAGE, false, 0);
	ASSERT_EQ(1, agent_next(&self->agent, &req, DEADLINE_MS));
	ASSERT_EQ(0, agent_answer(&self->agent, 6, 1, 0));
	ASSERT_EQ(1, agent_next(&self->agent, &req, DEADLINE_MS));
	EXPECT_EQ(6, req.page);
	EXPECT_FALSE(touch_done(&t, 20));
	ASSERT_EQ(0, agent_install(&self->agent, 6, 0, DSM_PAGE_SHARED));
	ASSERT_TRUE(touch_done(&t, DEADLINE_MS));
}

#define RACE_THREADS 4
#define RACE_PAGES   512

static void *race(void *arg)
{
	volatile char *map = arg;

	for (size_t page = 0; page < RACE_PAGES; page++) {
		(void)map[(1024 + page) * PAGE];
		map[(1024 + page) * PAGE] = 1;
	}
	return NULL;
}

TEST_F(wait, no_wake_up_is_lost)
{
	pthread_t threads[RACE_THREADS];
	struct dsm_stats stats;

	agent_serve(&self->agent);
	for (int i = 0; i < RACE_THREADS; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, race, self->map));
	/* A lost one would leave its thread waiting until the harness gives up. */
	for (int i = 0; i < RACE_THREADS; i++)
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
	ASSERT_EQ(0, agent_stats(&self->agent, &stats));
	EXPECT_EQ(0, stats.pending);
	EXPECT_EQ(RACE_PAGES, stats.resident);
}

TEST_F(wait, the_state_of_a_page_shows_who_waits)
{
	struct toucher load, store;
	struct dsm_req req;
	uint32_t flags;

	touch_start(&load, self->map + 7 * PAGE, false, 0);
	ASSERT_EQ(1, agent_next(&self->agent, &req, DEADLINE_MS));
	EXPECT_EQ(DSM_PAGE_INVALID, program_state(self->fd, 7, &flags));
	EXPECT_EQ(DSM_PAGE_F_PENDING, flags);
	touch_start(&store, self->map + 7 * PAGE, true, 1);
	ASSERT_EQ(1, agent_next(&self->agent, &req, DEADLINE_MS));
	program_state(self->fd, 7, &flags);
	EXPECT_EQ(DSM_PAGE_F_PENDING | DSM_PAGE_F_PENDING_WRITE, flags);
	ASSERT_EQ(0, agent_install(&self->agent, 7, 0, DSM_PAGE_MODIFIED));
	ASSERT_TRUE(touch_done(&load, DEADLINE_MS));
	ASSERT_TRUE(touch_done(&store, DEADLINE_MS));
	EXPECT_EQ(DSM_PAGE_MODIFIED, program_state(self->fd, 7, &flags));
	EXPECT_EQ(0, flags);
}

TEST_HARNESS_MAIN
