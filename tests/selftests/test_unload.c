// SPDX-License-Identifier: MIT
/* The module goes when nobody uses it, and only then. The last of the tests: others need it loaded. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "fake_agent.h"

/* 0 or the error. */
static int unload(void)
{
	return syscall(SYS_delete_module, "dsm", O_NONBLOCK) ? errno : 0;
}

static int load(void)
{
	int fd = open("/dsm.ko", O_RDONLY), err;

	if (fd < 0)
		return errno;
	err = syscall(SYS_finit_module, fd, "", 0) ? errno : 0;
	close(fd);
	return err;
}

/* /dev is filled in by the kernel, a moment later. */
static bool device_is_there(void)
{
	return !access("/dev/dsm", F_OK);
}

TEST(open_descriptors_mappings_and_agents_keep_it)
{
	struct agent agent;
	char *map;
	int fd = open("/dev/dsm", O_RDWR);

	ASSERT_GE(fd, 0);
	EXPECT_EQ(EAGAIN, unload() == EWOULDBLOCK ? EAGAIN : unload());
	close(fd);
	ASSERT_EQ(0, agent_start(&agent, agent_port()));
	EXPECT_NE(0, unload());
	fd = program_open(agent.port, "default");
	map = program_map(fd);
	ASSERT_NE(NULL, map);
	close(fd);
	ASSERT_EQ(0, agent_install(&agent, 0, 'u', DSM_PAGE_MODIFIED));
	agent_stop(&agent);
	/* Only the mapping is left. */
	EXPECT_NE(0, unload());
	EXPECT_EQ('u', map[0]);
	ASSERT_EQ(0, munmap(map, REGION_SIZE));
	ASSERT_TRUE(eventually(unload() == 0));
	ASSERT_EQ(0, load());
	ASSERT_TRUE(eventually(device_is_there()));
}

TEST(an_orphaned_node_does_not_keep_it)
{
	struct agent agent;

	ASSERT_EQ(0, agent_bind(&agent, agent_port(), 600000, DSM_UPCALL_READ));
	ASSERT_EQ(0, agent_region(&agent, 0, "default", REGION_SIZE));
	ASSERT_EQ(0, agent_install(&agent, 0, 'o', DSM_PAGE_MODIFIED));
	agent_die(&agent);
	ASSERT_TRUE(eventually(unload() == 0));
	ASSERT_EQ(0, load());
	ASSERT_TRUE(eventually(device_is_there()));
}

TEST(it_can_come_and_go_many_times)
{
	for (int i = 0; i < 10; i++) {
		ASSERT_TRUE(eventually(unload() == 0));
		ASSERT_EQ(0, load());
	}
	ASSERT_TRUE(eventually(device_is_there()));
}

TEST_HARNESS_MAIN
