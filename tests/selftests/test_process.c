// SPDX-License-Identifier: MIT
/* Several processes on one region, and the system calls that reach into it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "fake_agent.h"

FIXTURE(process)
{
	struct agent agent;
	int fd;
	char *map;
};

FIXTURE_SETUP(process)
{
	ASSERT_EQ(0, agent_start(&self->agent, agent_port()));
	self->fd = program_open(self->agent.port, "default");
	ASSERT_GE(self->fd, 0);
	self->map = program_map(self->fd);
	ASSERT_NE(NULL, self->map);
}

FIXTURE_TEARDOWN(process)
{
	agent_stop(&self->agent);
}

struct child {
	volatile char *at;
	char want;
};

static void expect_and_answer(void *arg)
{
	struct child *c = arg;

	if (*c->at != c->want)
		_exit(1);
	*c->at = 'C';
}

TEST_F(process, a_child_shares_the_mapping)
{
	struct child c = { self->map + PAGE, 'P' };

	agent_serve(&self->agent);
	self->map[PAGE] = 'P';
	EXPECT_EQ(0, in_child(expect_and_answer, &c));
	EXPECT_EQ('C', self->map[PAGE]);
}

TEST_F(process, a_child_can_fault_by_itself)
{
	struct child c = { self->map + 2 * PAGE, 0 };

	agent_serve(&self->agent);
	EXPECT_EQ(0, in_child(expect_and_answer, &c));
	EXPECT_EQ('C', self->map[2 * PAGE]);
}

static void open_and_answer(void *arg)
{
	struct child *c = arg;
	int fd = open("/dev/dsm", O_RDWR);
	char *map = fd < 0 ? NULL : program_map(fd);

	if (!map || map[3 * PAGE] != c->want)
		_exit(1);
	map[3 * PAGE] = 'O';
}

TEST_F(process, another_open_sees_the_same_memory)
{
	struct child c = { NULL, 'A' };

	agent_serve(&self->agent);
	self->map[3 * PAGE] = 'A';
	EXPECT_EQ(0, in_child(open_and_answer, &c));
	EXPECT_EQ('O', self->map[3 * PAGE]);
}

static long futex(volatile int *word, int op, int value, int seconds)
{
	struct timespec ts = { .tv_sec = seconds };

	return syscall(SYS_futex, word, op, value, &ts, NULL, 0);
}

TEST_F(process, a_futex_works_between_processes)
{
	volatile int *word = (int *)(self->map + 4 * PAGE);
	int status;
	pid_t pid;

	agent_serve(&self->agent);
	*word = 0;
	pid = fork();
	if (!pid) {
		while (!*word)
			if (futex(word, FUTEX_WAIT, 0, 10) && errno == ETIMEDOUT)
				_exit(1);
		_exit(0);
	}
	/* Only once it sleeps does a wake find somebody: found from another process. */
	ASSERT_TRUE(eventually(futex(word, FUTEX_WAKE, 1, 0) == 1));
	*word = 1;
	futex(word, FUTEX_WAKE, 1, 0);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_F(process, another_process_reads_and_writes_missing_pages)
{
	char bytes[] = "written", back[sizeof(bytes)] = "";
	struct iovec local = { bytes, sizeof(bytes) }, into = { back, sizeof(back) };
	struct iovec remote = { self->map + 5 * PAGE - 3, sizeof(bytes) };
	pid_t pid = fork();

	if (!pid) {
		pause();
		_exit(0);
	}
	agent_serve(&self->agent);
	EXPECT_EQ(sizeof(bytes), process_vm_writev(pid, &local, 1, &remote, 1, 0));
	EXPECT_STREQ(bytes, self->map + 5 * PAGE - 3);
	EXPECT_EQ(sizeof(bytes), process_vm_readv(pid, &into, 1, &remote, 1, 0));
	EXPECT_STREQ(bytes, back);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

TEST_F(process, willneed_asks_for_the_pages_and_waits_for_none)
{
	struct dsm_req req;

	ASSERT_EQ(0, madvise(self->map + 64 * PAGE, 16 * PAGE, MADV_WILLNEED));
	ASSERT_EQ(1, agent_next(&self->agent, &req, DEADLINE_MS));
	EXPECT_EQ(64, req.page);
	EXPECT_EQ(16, req.count);
	EXPECT_EQ(DSM_REQ_PREFETCH, req.flags);
	EXPECT_EQ(0, agent_next(&self->agent, &req, 0));
}

TEST_F(process, the_prefetch_call_asks_also_for_writing)
{
	struct dsm_prefetch pre = { .offset = 80 * PAGE,
				    .length = 4 * PAGE,
				    .flags = DSM_PREFETCH_WRITE };
	struct dsm_req req;

	ASSERT_EQ(0, ioctl(self->fd, DSM_IOC_PREFETCH, &pre));
	ASSERT_EQ(1, agent_next(&self->agent, &req, DEADLINE_MS));
	EXPECT_EQ(80, req.page);
	EXPECT_EQ(4, req.count);
	EXPECT_EQ(DSM_REQ_PREFETCH | DSM_REQ_WRITE, req.flags);
}

TEST_F(process, prefetches_that_nobody_takes_do_not_pile_up)
{
	struct dsm_prefetch pre = { .offset = 0, .length = PAGE };
	struct dsm_stats stats;

	for (int i = 0; i < 5000; i++)
		ASSERT_EQ(0, ioctl(self->fd, DSM_IOC_PREFETCH, &pre));
	ASSERT_EQ(0, agent_stats(&self->agent, &stats));
	EXPECT_LE(stats.queued, 1024);
	EXPECT_EQ(0, stats.pending);
}

TEST_F(process, populate_brings_pages_for_loads_and_stores)
{
	agent_serve(&self->agent);
	ASSERT_EQ(0, madvise(self->map + 96 * PAGE, 8 * PAGE, MADV_POPULATE_READ));
	for (uint64_t page = 96; page < 104; page++)
		EXPECT_EQ(DSM_PAGE_SHARED, program_state(self->fd, page, NULL));
	ASSERT_EQ(0, madvise(self->map + 96 * PAGE, 8 * PAGE, MADV_POPULATE_WRITE));
	for (uint64_t page = 96; page < 104; page++)
		EXPECT_EQ(DSM_PAGE_MODIFIED, program_state(self->fd, page, NULL));
}

#define CROWD	     6
#define CROWD_ROUNDS 200

static void count_up(void *arg)
{
	volatile uint64_t *at = arg;

	for (int i = 0; i < CROWD_ROUNDS; i++)
		__atomic_add_fetch(at + (i % 4) * 512, 1, __ATOMIC_SEQ_CST);
}

/* Takes the pages away again and again while processes add to them. */
TEST_F(process, a_crowd_of_processes_counts_right)
{
	static char kept[4][PAGE];
	struct dsm_req req;
	pid_t pids[CROWD];
	uint64_t sum = 0;
	int left = CROWD;

	for (int i = 0; i < CROWD; i++) {
		pids[i] = fork();
		if (!pids[i]) {
			count_up(self->map + 200 * PAGE);
			_exit(0);
		}
	}
	while (left) {
		while (agent_next(&self->agent, &req, 1))
			agent_run(&self->agent, DSM_IOC_INSTALL, 0, req.page, 1,
				  kept[req.page - 200], DSM_PAGE_MODIFIED);
		for (uint64_t page = 200; page < 204; page++)
			agent_revoke(&self->agent, page, DSM_REVOKE_TAKE, kept[page - 200]);
		while (left && waitpid(-1, NULL, WNOHANG) > 0)
			left--;
	}
	for (int i = 0; i < 4; i++) {
		agent_revoke(&self->agent, 200 + (uint64_t)i, DSM_REVOKE_TAKE, kept[i]);
		sum += *(uint64_t *)kept[i];
	}
	EXPECT_EQ(CROWD * CROWD_ROUNDS, sum);
}

TEST_HARNESS_MAIN
