// SPDX-License-Identifier: MIT
/* Taking pages away: nothing is lost, and nothing happens after. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "fake_agent.h"

FIXTURE(revoke)
{
	struct agent agent;
	int fd;
	char *map;
};

FIXTURE_SETUP(revoke)
{
	ASSERT_EQ(0, agent_start(&self->agent, agent_port()));
	self->fd = program_open(self->agent.port, "default");
	ASSERT_GE(self->fd, 0);
	self->map = program_map(self->fd);
	ASSERT_NE(NULL, self->map);
}

FIXTURE_TEARDOWN(revoke)
{
	agent_stop(&self->agent);
}

TEST_F(revoke, a_dropped_page_faults_again)
{
	struct toucher t;
	struct dsm_req req;

	ASSERT_EQ(0, agent_install(&self->agent, 1, 'a', DSM_PAGE_SHARED));
	ASSERT_EQ('a', self->map[PAGE]);
	ASSERT_EQ(0, agent_revoke(&self->agent, 1, DSM_REVOKE_DROP, NULL));
	EXPECT_EQ(DSM_PAGE_INVALID, program_state(self->fd, 1, NULL));
	touch_start(&t, self->map + PAGE, false, 0);
	ASSERT_EQ(1, agent_next(&self->agent, &req, DEADLINE_MS));
	ASSERT_EQ(0, agent_install(&self->agent, 1, 'b', DSM_PAGE_SHARED));
	ASSERT_TRUE(touch_done(&t, DEADLINE_MS));
	EXPECT_EQ('b', t.value);
}

TEST_F(revoke, taking_a_page_gives_its_last_bytes)
{
	char bytes[PAGE];

	ASSERT_EQ(0, agent_install(&self->agent, 2, 0, DSM_PAGE_MODIFIED));
	strcpy(self->map + 2 * PAGE, "last words");
	self->map[3 * PAGE - 1] = 'z';
	ASSERT_EQ(0, agent_revoke(&self->agent, 2, DSM_REVOKE_TAKE, bytes));
	EXPECT_STREQ("last words", bytes);
	EXPECT_EQ('z', bytes[PAGE - 1]);
	EXPECT_EQ(DSM_PAGE_INVALID, program_state(self->fd, 2, NULL));
	/* Not there any more; the caller's memory is left alone. */
	EXPECT_EQ(-ENOENT, agent_revoke(&self->agent, 2, DSM_REVOKE_TAKE, bytes));
	EXPECT_STREQ("last words", bytes);
}

TEST_F(revoke, bytes_that_could_not_be_copied_out_stay)
{
	ASSERT_EQ(0, agent_install(&self->agent, 3, 'k', DSM_PAGE_MODIFIED));
	self->map[3 * PAGE] = 'K';
	EXPECT_EQ(-EFAULT, agent_revoke(&self->agent, 3, DSM_REVOKE_TAKE, (void *)8));
	EXPECT_EQ(DSM_PAGE_MODIFIED, program_state(self->fd, 3, NULL));
	EXPECT_EQ('K', self->map[3 * PAGE]);
	EXPECT_EQ('k', self->map[3 * PAGE + 1]);
}

TEST_F(revoke, a_downgraded_page_can_be_read_and_a_store_asks)
{
	struct toucher t;
	struct dsm_req req;

	ASSERT_EQ(0, agent_install(&self->agent, 4, 0, DSM_PAGE_MODIFIED));
	self->map[4 * PAGE] = 'd';
	ASSERT_EQ(0, agent_revoke(&self->agent, 4, DSM_REVOKE_DOWNGRADE, NULL));
	EXPECT_EQ(DSM_PAGE_SHARED, program_state(self->fd, 4, NULL));
	EXPECT_EQ('d', self->map[4 * PAGE]);
	EXPECT_EQ(0, agent_next(&self->agent, &req, 0));
	touch_start(&t, self->map + 4 * PAGE, true, 'e');
	ASSERT_EQ(1, agent_next(&self->agent, &req, DEADLINE_MS));
	EXPECT_EQ(DSM_REQ_WRITE, req.flags);
	ASSERT_EQ(0, agent_upgrade(&self->agent, 4));
	ASSERT_TRUE(touch_done(&t, DEADLINE_MS));
}

TEST_F(revoke, what_is_not_there_can_be_dropped_but_not_downgraded)
{
	EXPECT_EQ(0, agent_revoke(&self->agent, 5, DSM_REVOKE_DROP, NULL));
	EXPECT_EQ(-ENOENT, agent_revoke(&self->agent, 5, DSM_REVOKE_DOWNGRADE, NULL));
	ASSERT_EQ(0, agent_install(&self->agent, 5, 0, DSM_PAGE_SHARED));
	EXPECT_EQ(0, agent_revoke(&self->agent, 5, DSM_REVOKE_DOWNGRADE, NULL));
}

TEST_F(revoke, reading_copies_pages_and_leaves_them)
{
	char bytes[2 * PAGE];

	ASSERT_EQ(0, agent_install(&self->agent, 6, 'p', DSM_PAGE_MODIFIED));
	ASSERT_EQ(0, agent_install(&self->agent, 7, 'q', DSM_PAGE_SHARED));
	self->map[6 * PAGE] = 'P';
	ASSERT_EQ(0, agent_run(&self->agent, DSM_IOC_READ, 0, 6, 2, bytes, 0));
	EXPECT_EQ('P', bytes[0]);
	EXPECT_EQ('p', bytes[1]);
	EXPECT_EQ('q', bytes[PAGE]);
	EXPECT_EQ(DSM_PAGE_MODIFIED, program_state(self->fd, 6, NULL));
	EXPECT_EQ(-ENOENT, agent_run(&self->agent, DSM_IOC_READ, 0, 7, 2, bytes, 0));
}

TEST_F(revoke, sending_puts_pages_behind_a_head)
{
	char bytes[5 + 2 * PAGE];
	int pair[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	ASSERT_EQ(0, agent_install(&self->agent, 6, 'p', DSM_PAGE_MODIFIED));
	ASSERT_EQ(0, agent_install(&self->agent, 7, 'q', DSM_PAGE_SHARED));
	self->map[6 * PAGE] = 'P';
	ASSERT_EQ(sizeof(bytes), agent_send(&self->agent, 6, 2, pair[0], "head:", 5));
	ASSERT_EQ(sizeof(bytes), recv(pair[1], bytes, sizeof(bytes), MSG_WAITALL));
	EXPECT_EQ(0, memcmp(bytes, "head:Pppp", 9));
	EXPECT_EQ('p', bytes[5 + PAGE - 1]);
	EXPECT_EQ('q', bytes[5 + PAGE]);
	EXPECT_EQ('q', bytes[5 + 2 * PAGE - 1]);
	EXPECT_EQ(DSM_PAGE_MODIFIED, program_state(self->fd, 6, NULL));
	/* Nothing of them is held any more. */
	EXPECT_EQ(0, agent_revoke(&self->agent, 6, DSM_REVOKE_DROP, NULL));
	EXPECT_EQ(-ENOENT, agent_send(&self->agent, 6, 2, pair[0], "head:", 5));
	EXPECT_EQ(PAGE, agent_send(&self->agent, 7, 1, pair[0], NULL, 0));
	close(pair[0]);
	close(pair[1]);
}

/* What a socket takes of it, it takes from the front. */
TEST_F(revoke, sending_stops_where_the_socket_is_full)
{
	static char bytes[64 * 16 * PAGE];
	ssize_t sent = 0, taken = 0, n;
	int pair[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	for (uint64_t i = 0; i < 16; i++)
		ASSERT_EQ(0, agent_install(&self->agent, i, 'a' + (int)i, DSM_PAGE_SHARED));
	for (int i = 0; i < 64; i++) {
		n = agent_send(&self->agent, 0, 16, pair[0], "h", 1);
		if (n < 0)
			break;
		sent += n;
	}
	EXPECT_EQ(-EAGAIN, n);
	while ((n = recv(pair[1], bytes + taken, sizeof(bytes) - (size_t)taken, MSG_DONTWAIT)) > 0)
		taken += n;
	EXPECT_EQ(sent, taken);
	for (ssize_t i = 0; i < taken; i++) {
		size_t at = (size_t)i % (1 + 16 * PAGE);

		ASSERT_EQ(at ? 'a' + (int)((at - 1) / PAGE) : 'h', bytes[i]);
	}
	close(pair[1]);
	EXPECT_EQ(-EPIPE, agent_send(&self->agent, 0, 1, pair[0], "h", 1));
	close(pair[0]);
}

TEST_F(revoke, a_present_page_is_replaced)
{
	ASSERT_EQ(0, agent_install(&self->agent, 8, '1', DSM_PAGE_SHARED));
	EXPECT_EQ('1', self->map[8 * PAGE]);
	ASSERT_EQ(0, agent_install(&self->agent, 8, '2', DSM_PAGE_MODIFIED));
	EXPECT_EQ('2', self->map[8 * PAGE]);
	self->map[8 * PAGE] = '3';
}

/* A pipe that was given a page holds it, like a device that reads or writes it. */
TEST_F(revoke, a_pinned_page_is_busy_and_stays_as_it_was)
{
	struct iovec iov = { self->map + 9 * PAGE, PAGE };
	char bytes[PAGE];
	uint32_t flags;
	int ends[2];

	ASSERT_EQ(0, agent_install(&self->agent, 9, 'i', DSM_PAGE_MODIFIED));
	self->map[9 * PAGE] = 'I';
	ASSERT_EQ(DSM_PAGE_MODIFIED, program_state(self->fd, 9, &flags));
	EXPECT_EQ(0, flags);
	ASSERT_EQ(0, pipe(ends));
	ASSERT_EQ(PAGE, vmsplice(ends[1], &iov, 1, 0));
	EXPECT_EQ(DSM_PAGE_MODIFIED, program_state(self->fd, 9, &flags));
	EXPECT_EQ(DSM_PAGE_F_PINNED, flags);
	EXPECT_EQ(-EBUSY, agent_revoke(&self->agent, 9, DSM_REVOKE_DROP, NULL));
	EXPECT_EQ(-EBUSY, agent_revoke(&self->agent, 9, DSM_REVOKE_TAKE, bytes));
	EXPECT_EQ(-EBUSY, agent_revoke(&self->agent, 9, DSM_REVOKE_DOWNGRADE, NULL));
	EXPECT_EQ(-EBUSY, agent_install(&self->agent, 9, 'j', DSM_PAGE_MODIFIED));
	EXPECT_EQ(DSM_PAGE_MODIFIED, program_state(self->fd, 9, NULL));
	self->map[9 * PAGE + 1] = 'J';
	ASSERT_EQ(PAGE, read(ends[0], bytes, PAGE));
	ASSERT_TRUE(eventually(!agent_revoke(&self->agent, 9, DSM_REVOKE_TAKE, bytes)));
	EXPECT_EQ(0, memcmp(bytes, "IJi", 3));
}

TEST_F(revoke, locked_memory_can_be_taken_too)
{
	agent_serve(&self->agent);
	ASSERT_EQ(0, mlock(self->map + 16 * PAGE, 8 * PAGE));
	agent_serve_stop(&self->agent);
	for (uint64_t page = 16; page < 24; page++)
		EXPECT_TRUE(eventually(!agent_revoke(&self->agent, page, DSM_REVOKE_DROP, NULL)));
}

TEST_F(revoke, direct_io_goes_both_ways)
{
	char *block = aligned_alloc(PAGE, PAGE);
	int disk = open("/dev/ram0", O_RDWR | O_DIRECT);

	if (disk < 0)
		SKIP(return, "no /dev/ram0");
	memset(block, 'D', PAGE);
	ASSERT_EQ(PAGE, pwrite(disk, block, PAGE, 0));
	agent_serve(&self->agent);
	ASSERT_EQ(PAGE, pread(disk, self->map + 30 * PAGE, PAGE, 0));
	EXPECT_EQ('D', self->map[30 * PAGE + 100]);
	self->map[31 * PAGE] = 'E';
	ASSERT_EQ(PAGE, pwrite(disk, self->map + 31 * PAGE, PAGE, PAGE));
	ASSERT_EQ(PAGE, pread(disk, block, PAGE, PAGE));
	EXPECT_EQ('E', block[0]);
	/* From a page that nobody had yet. */
	ASSERT_EQ(PAGE, pwrite(disk, self->map + 32 * PAGE, PAGE, PAGE));
	ASSERT_EQ(PAGE, pread(disk, block, PAGE, PAGE));
	EXPECT_EQ(0, block[0]);
	close(disk);
}

#define STRESS_PAGES 8

struct stress {
	char *map;
	atomic_bool stop;
	uint64_t counts[STRESS_PAGES];
	int bad;
};

/* Counts in each page; a count that went back is a store that was lost. */
static void *stress_write(void *arg)
{
	struct stress *s = arg;

	while (!s->stop) {
		for (int i = 0; i < STRESS_PAGES; i++) {
			volatile uint64_t *at = (uint64_t *)(s->map + (100 + (size_t)i) * PAGE);

			if (*at != s->counts[i])
				s->bad++;
			*at = ++s->counts[i];
		}
	}
	return NULL;
}

/* The agent keeps what it took, and gives it back when asked. */
static void *stress_serve(void *arg)
{
	static char kept[STRESS_PAGES][PAGE];
	struct agent *a = arg;
	struct dsm_req req;
	unsigned int seed = 1;
	bool have[STRESS_PAGES] = { false };

	while (a->serving) {
		int i = rand_r(&seed) % STRESS_PAGES;

		while (agent_next(a, &req, 0)) {
			int n = (int)req.page - 100;

			if (have[n])
				agent_upgrade(a, req.page);
			else
				agent_run(a, DSM_IOC_INSTALL, 0, req.page, 1, kept[n],
					  req.flags & DSM_REQ_WRITE ? DSM_PAGE_MODIFIED
								    : DSM_PAGE_SHARED);
			have[n] = true;
		}
		if (rand_r(&seed) % 3)
			agent_revoke(a, 100 + (uint64_t)i, DSM_REVOKE_DOWNGRADE, NULL);
		else if (!agent_revoke(a, 100 + (uint64_t)i, DSM_REVOKE_TAKE, kept[i]))
			have[i] = false;
		nap_us(50);
	}
	/* Let the writers end. */
	for (int i = 0; i < STRESS_PAGES; i++)
		if (!have[i])
			agent_run(a, DSM_IOC_INSTALL, 0, 100 + (uint64_t)i, 1, kept[i],
				  DSM_PAGE_MODIFIED);
		else
			agent_upgrade(a, 100 + (uint64_t)i);
	return NULL;
}

TEST_F(revoke, no_store_is_lost_while_pages_come_and_go)
{
	struct stress stress = { .map = self->map };
	struct dsm_stats stats;
	pthread_t writer;

	self->agent.serving = true;
	ASSERT_EQ(0, pthread_create(&self->agent.server, NULL, stress_serve, &self->agent));
	ASSERT_EQ(0, pthread_create(&writer, NULL, stress_write, &stress));
	for (long end = now_ms() + 3000; now_ms() < end;)
		nap_us(10000);
	stress.stop = true;
	agent_serve_stop(&self->agent);
	ASSERT_EQ(0, pthread_join(writer, NULL));
	EXPECT_EQ(0, stress.bad);
	ASSERT_EQ(0, agent_stats(&self->agent, &stats));
	EXPECT_GT(stress.counts[0], 10);
	EXPECT_GT(stats.takes, 10);
	EXPECT_GT(stats.downgrades, 10);
	EXPECT_EQ(0, stats.waits_locked);
}

TEST_HARNESS_MAIN
