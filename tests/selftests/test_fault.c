// SPDX-License-Identifier: MIT
/* What faults ask of the agent, and what its answers give to programs. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "fake_agent.h"

FIXTURE(fault)
{
	struct agent agent;
	int fd;
	char *map;
};

FIXTURE_SETUP(fault)
{
	ASSERT_EQ(0, agent_start(&self->agent, agent_port()));
	self->fd = program_open(self->agent.port, "default");
	ASSERT_GE(self->fd, 0);
	self->map = program_map(self->fd);
	ASSERT_NE(NULL, self->map);
}

FIXTURE_TEARDOWN(fault)
{
	agent_stop(&self->agent);
}

TEST_F(fault, a_load_of_a_missing_page_asks_for_it_and_sees_its_bytes)
{
	struct toucher t;
	struct dsm_req req;

	touch_start(&t, self->map + 5 * PAGE + 7, false, 0);
	ASSERT_EQ(1, agent_next(&self->agent, &req, DEADLINE_MS));
	EXPECT_EQ(5, req.page);
	EXPECT_EQ(1, req.count);
	EXPECT_EQ(0, req.region);
	EXPECT_EQ(0, req.flags);
	EXPECT_FALSE(touch_done(&t, 50));
	ASSERT_EQ(0, agent_install(&self->agent, 5, 'x', DSM_PAGE_SHARED));
	ASSERT_TRUE(touch_done(&t, DEADLINE_MS));
	EXPECT_EQ('x', t.value);
	EXPECT_EQ(DSM_PAGE_SHARED, program_state(self->fd, 5, NULL));
}

TEST_F(fault, a_store_to_a_missing_page_asks_for_writing)
{
	struct toucher t;
	struct dsm_req req;

	touch_start(&t, self->map + 6 * PAGE, true, 'w');
	ASSERT_EQ(1, agent_next(&self->agent, &req, DEADLINE_MS));
	EXPECT_EQ(6, req.page);
	EXPECT_EQ(DSM_REQ_WRITE, req.flags);
	ASSERT_EQ(0, agent_install(&self->agent, 6, 0, DSM_PAGE_MODIFIED));
	ASSERT_TRUE(touch_done(&t, DEADLINE_MS));
	EXPECT_EQ('w', self->map[6 * PAGE]);
	EXPECT_EQ(DSM_PAGE_MODIFIED, program_state(self->fd, 6, NULL));
}

TEST_F(fault, a_store_to_a_shared_page_asks_for_an_upgrade_that_moves_no_bytes)
{
	struct toucher t;
	struct dsm_req req;

	ASSERT_EQ(0, agent_install(&self->agent, 7, 's', DSM_PAGE_SHARED));
	ASSERT_EQ('s', self->map[7 * PAGE + 1]);
	touch_start(&t, self->map + 7 * PAGE, true, 'w');
	ASSERT_EQ(1, agent_next(&self->agent, &req, DEADLINE_MS));
	EXPECT_EQ(7, req.page);
	EXPECT_EQ(DSM_REQ_WRITE, req.flags);
	EXPECT_FALSE(touch_done(&t, 50));
	/* Loads go on meanwhile. */
	EXPECT_EQ('s', self->map[7 * PAGE]);
	ASSERT_EQ(0, agent_upgrade(&self->agent, 7));
	ASSERT_TRUE(touch_done(&t, DEADLINE_MS));
	EXPECT_EQ('w', self->map[7 * PAGE]);
	EXPECT_EQ('s', self->map[7 * PAGE + 1]);
}

TEST_F(fault, what_is_here_asks_for_nothing)
{
	struct dsm_req req;

	ASSERT_EQ(0, agent_install(&self->agent, 8, 'm', DSM_PAGE_MODIFIED));
	EXPECT_EQ('m', self->map[8 * PAGE]);
	self->map[8 * PAGE] = 'n';
	ASSERT_EQ(0, agent_install(&self->agent, 9, 's', DSM_PAGE_SHARED));
	EXPECT_EQ('s', self->map[9 * PAGE]);
	EXPECT_EQ('n', self->map[8 * PAGE]);
	EXPECT_EQ(0, agent_next(&self->agent, &req, 0));
}

TEST_F(fault, many_faults_on_a_page_are_one_request)
{
	struct toucher t[8];
	struct dsm_req req;
	struct dsm_stats stats;

	for (int i = 0; i < 8; i++)
		touch_start(&t[i], self->map + 10 * PAGE, false, 0);
	ASSERT_TRUE(eventually(!agent_stats(&self->agent, &stats) && stats.faults_waited == 8));
	ASSERT_EQ(1, agent_next(&self->agent, &req, DEADLINE_MS));
	EXPECT_EQ(0, agent_next(&self->agent, &req, 0));
	EXPECT_EQ(1, stats.requests);
	EXPECT_EQ(1, stats.pending);
	ASSERT_EQ(0, agent_install(&self->agent, 10, 'c', DSM_PAGE_SHARED));
	for (int i = 0; i < 8; i++)
		ASSERT_TRUE(touch_done(&t[i], DEADLINE_MS));
	ASSERT_EQ(0, agent_stats(&self->agent, &stats));
	EXPECT_EQ(0, stats.pending);
}

TEST_F(fault, a_store_that_joins_a_load_is_told_to_the_agent)
{
	struct toucher load, store;
	struct dsm_req req;

	touch_start(&load, self->map + 11 * PAGE, false, 0);
	ASSERT_EQ(1, agent_next(&self->agent, &req, DEADLINE_MS));
	EXPECT_EQ(0, req.flags);
	touch_start(&store, self->map + 11 * PAGE, true, 'w');
	ASSERT_EQ(1, agent_next(&self->agent, &req, DEADLINE_MS));
	EXPECT_EQ(11, req.page);
	EXPECT_EQ(DSM_REQ_WRITE, req.flags);
	/* Enough for the load only. */
	ASSERT_EQ(0, agent_install(&self->agent, 11, 'r', DSM_PAGE_SHARED));
	ASSERT_TRUE(touch_done(&load, DEADLINE_MS));
	EXPECT_EQ('r', load.value);
	EXPECT_FALSE(touch_done(&store, 50));
	ASSERT_EQ(0, agent_upgrade(&self->agent, 11));
	ASSERT_TRUE(touch_done(&store, DEADLINE_MS));
}

TEST_F(fault, a_run_of_prefetched_pages_is_mapped_by_few_faults)
{
	struct dsm_stats before, after;
	char bytes[32 * PAGE];
	int sum = 0;

	memset(bytes, 1, sizeof(bytes));
	ASSERT_EQ(0, agent_run(&self->agent, DSM_IOC_INSTALL, 0, 64, 32, bytes, DSM_PAGE_SHARED));
	ASSERT_EQ(0, agent_stats(&self->agent, &before));
	for (int i = 64; i < 96; i++)
		sum += self->map[(size_t)i * PAGE];
	EXPECT_EQ(32, sum);
	ASSERT_EQ(0, agent_stats(&self->agent, &after));
	EXPECT_EQ(before.requests, after.requests);
	EXPECT_LE(after.faults_read - before.faults_read, 4);
}

TEST_F(fault, a_half_filled_page_is_never_seen)
{
	struct toucher t;
	struct dsm_req req;

	/* The second half of the source cannot be read: nothing is published. */
	char *source = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			    0);

	ASSERT_NE(MAP_FAILED, source);
	memset(source, 'h', PAGE);
	ASSERT_EQ(0, mprotect(source + PAGE, PAGE, PROT_NONE));
	touch_start(&t, self->map + 12 * PAGE, false, 0);
	ASSERT_EQ(1, agent_next(&self->agent, &req, DEADLINE_MS));
	EXPECT_EQ(-EFAULT, agent_run(&self->agent, DSM_IOC_INSTALL, 0, 12, 1, source + PAGE / 2,
				     DSM_PAGE_SHARED));
	EXPECT_EQ(DSM_PAGE_INVALID, program_state(self->fd, 12, NULL));
	EXPECT_FALSE(touch_done(&t, 50));
	ASSERT_EQ(0, agent_install(&self->agent, 12, 'g', DSM_PAGE_SHARED));
	ASSERT_TRUE(touch_done(&t, DEADLINE_MS));
	EXPECT_EQ('g', t.value);
}

TEST_F(fault, installing_without_bytes_gives_zeroes)
{
	ASSERT_EQ(0, agent_install(&self->agent, 13, 'o', DSM_PAGE_MODIFIED));
	ASSERT_EQ(0, agent_revoke(&self->agent, 13, DSM_REVOKE_DROP, NULL));
	ASSERT_EQ(0, agent_run(&self->agent, DSM_IOC_INSTALL, 0, 13, 1, NULL, DSM_PAGE_SHARED));
	for (size_t i = 0; i < PAGE; i++)
		ASSERT_EQ(0, self->map[13 * PAGE + i]);
}

TEST_F(fault, every_offset_of_the_region_can_be_mapped_alone)
{
	char *at = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, self->fd, REGION_SIZE - PAGE);

	ASSERT_NE(MAP_FAILED, at);
	ASSERT_EQ(0, agent_install(&self->agent, REGION_PAGES - 1, 'e', DSM_PAGE_SHARED));
	EXPECT_EQ('e', at[PAGE - 1]);
	EXPECT_EQ(MAP_FAILED,
		  mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, self->fd, REGION_SIZE - PAGE));
	EXPECT_EQ(ENXIO, errno);
}

TEST_F(fault, private_mappings_are_refused)
{
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, self->fd, 0));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(fault, mappings_do_not_grow_and_are_not_dumped)
{
	char line[256], *flags = NULL;
	unsigned long from, to;
	FILE *smaps;

	EXPECT_EQ(MAP_FAILED, mremap(self->map, REGION_SIZE, REGION_SIZE + PAGE, MREMAP_MAYMOVE));
	smaps = fopen("/proc/self/smaps", "r");
	ASSERT_NE(NULL, smaps);
	for (bool ours = false; fgets(line, sizeof(line), smaps);) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			ours = from == (unsigned long)self->map;
		flags = ours && !strncmp(line, "VmFlags:", 8) ? line : NULL;
		if (flags)
			break;
	}
	fclose(smaps);
	ASSERT_NE(NULL, flags);
	EXPECT_NE(NULL, strstr(flags, " de"));
	EXPECT_NE(NULL, strstr(flags, " dd"));
}

TEST_F(fault, a_bare_open_is_the_default_region_of_the_first_node)
{
	struct dsm_info info;
	int fd = open("/dev/dsm", O_RDWR);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, ioctl(fd, DSM_IOC_INFO, &info));
	EXPECT_EQ(DSM_API_VERSION, info.api);
	EXPECT_EQ(PAGE, info.page_size);
	EXPECT_EQ(self->agent.port, info.port);
	EXPECT_EQ(0, info.region);
	EXPECT_EQ(REGION_SIZE, info.size);
	EXPECT_EQ(DSM_INFO_AGENT, info.flags);
	EXPECT_STREQ("default", info.name);
	ASSERT_EQ(0, agent_install(&self->agent, 14, 'b', DSM_PAGE_SHARED));
	char *at = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 14 * PAGE);
	ASSERT_NE(MAP_FAILED, at);
	EXPECT_EQ('b', at[0]);
}

TEST(without_an_agent_a_mapping_says_enodev)
{
	struct dsm_info info;
	int fd = open("/dev/dsm", O_RDWR);

	ASSERT_GE(fd, 0);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-1, ioctl(fd, DSM_IOC_INFO, &info));
	EXPECT_EQ(ENODEV, errno);
}

TEST_HARNESS_MAIN
