// SPDX-License-Identifier: MIT
/* Agents that die and come back, several nodes, several regions. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "fake_agent.h"

struct found {
	int n;
	struct dsm_page_run runs[16];
	uint64_t sizes[16];
	char name[DSM_NAME_LEN];
	char identity[DSM_IDENTITY_LEN];
	int identity_len;
};

static void on_pages(void *ctx, struct nlattr **attrs)
{
	struct found *f = ctx;
	int n = nla_len(attrs[DSM_A_PAGES]) / (int)sizeof(f->runs[0]);

	for (int i = 0; i < n && f->n < 16; i++)
		memcpy(&f->runs[f->n++],
		       (char *)nla_data(attrs[DSM_A_PAGES]) + i * sizeof(f->runs[0]),
		       sizeof(f->runs[0]));
}

static void on_region(void *ctx, struct nlattr **attrs)
{
	struct found *f = ctx;

	if (f->n < 16)
		f->sizes[f->n++] = nla_get_u64(attrs[DSM_A_SIZE]);
	strncpy(f->name, nla_get_string(attrs[DSM_A_NAME]), sizeof(f->name) - 1);
}

static void on_identity(void *ctx, struct nlattr **attrs)
{
	struct found *f = ctx;

	f->identity_len = nla_len(attrs[DSM_A_IDENTITY]);
	memcpy(f->identity, nla_data(attrs[DSM_A_IDENTITY]), (size_t)f->identity_len);
}

static int pages_of(struct agent *a, uint16_t region, struct found *f)
{
	struct nl_msg *msg = kmod_ctl_new(&a->ctl, DSM_CMD_PAGES_GET, true);

	f->n = 0;
	nla_put_u16(msg, DSM_A_REGION, region);
	return kmod_ctl_ask(&a->ctl, msg, 0, on_pages, f);
}

static int identity_set(struct agent *a, const char *id, int len)
{
	struct nl_msg *msg = kmod_ctl_new(&a->ctl, DSM_CMD_IDENTITY_SET, false);

	nla_put(msg, DSM_A_IDENTITY, len, id);
	return kmod_ctl_ask(&a->ctl, msg, 0, NULL, NULL);
}

static int identity_get(struct agent *a, struct found *f)
{
	return kmod_ctl_ask(&a->ctl, kmod_ctl_new(&a->ctl, DSM_CMD_IDENTITY_GET, false), 0,
			    on_identity, f);
}

TEST(a_dead_agents_pages_stay_usable)
{
	struct agent agent, next;
	struct found found = { 0 };
	char *map;
	int fd;

	ASSERT_EQ(0, agent_start(&agent, agent_port()));
	fd = program_open(agent.port, "default");
	map = program_map(fd);
	ASSERT_NE(NULL, map);
	ASSERT_EQ(0, agent_run(&agent, DSM_IOC_INSTALL, 0, 10, 3, NULL, DSM_PAGE_SHARED));
	ASSERT_EQ(0, agent_install(&agent, 13, 'm', DSM_PAGE_MODIFIED));
	ASSERT_EQ(0, identity_set(&agent, "who I was", 10));
	agent_die(&agent);
	EXPECT_EQ(0, map[10 * PAGE]);
	EXPECT_EQ('m', map[13 * PAGE]);
	map[13 * PAGE] = 'n';
	EXPECT_EQ(-ENODEV, program_open(agent.port + 1, "default"));

	ASSERT_EQ(0, agent_bind(&next, agent.port, 2000, DSM_UPCALL_READ));
	EXPECT_TRUE(next.adopted);
	ASSERT_EQ(0, identity_get(&next, &found));
	EXPECT_EQ(10, found.identity_len);
	EXPECT_STREQ("who I was", found.identity);
	ASSERT_EQ(0, kmod_ctl_ask(&next.ctl, kmod_ctl_new(&next.ctl, DSM_CMD_REGION_GET, true), 0,
				  on_region, &found));
	EXPECT_EQ(1, found.n);
	EXPECT_EQ(REGION_SIZE, found.sizes[0]);
	EXPECT_STREQ("default", found.name);
	ASSERT_EQ(0, pages_of(&next, 0, &found));
	ASSERT_EQ(2, found.n);
	EXPECT_EQ(10, found.runs[0].page);
	EXPECT_EQ(3, found.runs[0].count);
	EXPECT_EQ(DSM_PAGE_SHARED, found.runs[0].state);
	EXPECT_EQ(13, found.runs[1].page);
	EXPECT_EQ(1, found.runs[1].count);
	EXPECT_EQ(DSM_PAGE_MODIFIED, found.runs[1].state);
	/* The same region again is not a new one. */
	EXPECT_EQ(0, agent_region(&next, 0, "default", REGION_SIZE));
	EXPECT_EQ('n', map[13 * PAGE]);
	agent_stop(&next);
}

static void agent_that_takes_a_request(void *arg)
{
	struct agent agent;
	struct dsm_req req;

	if (agent_start(&agent, *(uint16_t *)arg) || !agent_next(&agent, &req, DEADLINE_MS))
		_exit(1);
	raise(SIGKILL);
}

TEST(who_waits_when_the_agent_is_killed_goes_on_with_the_next_one)
{
	uint16_t port = agent_port();
	struct agent next;
	struct toucher t;
	struct dsm_req req;
	int status, fd = -1;
	pid_t pid = fork();
	char *map;

	if (!pid)
		agent_that_takes_a_request(&port);
	ASSERT_TRUE(eventually((fd = program_open(port, "default")) >= 0));
	map = program_map(fd);
	ASSERT_NE(NULL, map);
	touch_start(&t, map + 20 * PAGE, true, 'k');
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	EXPECT_FALSE(touch_done(&t, 50));
	ASSERT_TRUE(eventually(agent_bind(&next, port, 2000, DSM_UPCALL_READ) == 0));
	EXPECT_TRUE(next.adopted);
	/* It was handed over to the one that died: that does not count. */
	ASSERT_EQ(1, agent_next(&next, &req, DEADLINE_MS));
	EXPECT_EQ(20, req.page);
	EXPECT_EQ(DSM_REQ_WRITE, req.flags);
	ASSERT_EQ(0, agent_install(&next, 20, 0, DSM_PAGE_MODIFIED));
	ASSERT_TRUE(touch_done(&t, DEADLINE_MS));
	agent_stop(&next);
}

TEST(after_the_recovery_window_there_is_sigbus_but_not_for_pages_that_are_here)
{
	struct agent agent;
	struct dsm_info info;
	int fd, status;
	long start;
	pid_t pid;
	char *map;

	ASSERT_EQ(0, agent_bind(&agent, agent_port(), 400, DSM_UPCALL_READ));
	ASSERT_EQ(0, agent_region(&agent, 0, "default", REGION_SIZE));
	fd = program_open(agent.port, "default");
	map = program_map(fd);
	ASSERT_NE(NULL, map);
	ASSERT_EQ(0, agent_install(&agent, 1, 'h', DSM_PAGE_MODIFIED));
	agent_die(&agent);
	start = now_ms();
	pid = fork();
	if (!pid) {
		(void)*(volatile char *)(map + 2 * PAGE);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	EXPECT_GE(now_ms() - start, 300);
	EXPECT_EQ('h', map[PAGE]);
	map[PAGE] = 'i';
	/* At once now. */
	EXPECT_TRUE(access_is_sigbus(map + 3 * PAGE, false));
	ASSERT_EQ(0, ioctl(fd, DSM_IOC_INFO, &info));
	EXPECT_EQ(DSM_INFO_DEAD, info.flags);
	/* The port is free; who binds it has a new node. */
	ASSERT_EQ(0, agent_bind(&agent, agent.port, 400, DSM_UPCALL_READ));
	EXPECT_FALSE(agent.adopted);
	agent_stop(&agent);
}

TEST(giving_a_node_up_is_sigbus_for_those_who_wait)
{
	struct agent agent;
	struct dsm_req req;
	int fd, status;
	pid_t pid;
	char *map;

	ASSERT_EQ(0, agent_start(&agent, agent_port()));
	fd = program_open(agent.port, "default");
	map = program_map(fd);
	pid = fork();
	if (!pid) {
		(void)*(volatile char *)map;
		_exit(0);
	}
	ASSERT_EQ(1, agent_next(&agent, &req, DEADLINE_MS));
	ASSERT_EQ(0, agent_unbind(&agent));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	/* The descriptor is of no use any more, and says so. */
	EXPECT_EQ(0, read(agent.fd, &req, sizeof(req)));
	EXPECT_EQ(-ENOENT, agent_install(&agent, 0, 0, DSM_PAGE_SHARED));
	agent_die(&agent);
}

TEST(one_port_has_one_agent)
{
	struct agent agent, other;

	ASSERT_EQ(0, agent_start(&agent, agent_port()));
	EXPECT_EQ(-EBUSY, agent_bind(&other, agent.port, 1000, DSM_UPCALL_READ));
	EXPECT_STREQ("an agent is bound to this port", other.ctl.why);
	agent_die(&other);
	agent_stop(&agent);
}

TEST(nodes_have_their_own_regions)
{
	struct agent one, two;
	int fd_one, fd_two;
	char *map_one, *map_two;
	struct dsm_req req;

	ASSERT_EQ(0, agent_start(&one, agent_port()));
	ASSERT_EQ(0, agent_start(&two, agent_port()));
	fd_one = program_open(one.port, "default");
	fd_two = program_open(two.port, "default");
	map_one = program_map(fd_one);
	map_two = program_map(fd_two);
	ASSERT_TRUE(map_one && map_two);
	ASSERT_EQ(0, agent_install(&one, 5, '1', DSM_PAGE_SHARED));
	ASSERT_EQ(0, agent_install(&two, 5, '2', DSM_PAGE_SHARED));
	EXPECT_EQ('1', map_one[5 * PAGE]);
	EXPECT_EQ('2', map_two[5 * PAGE]);
	ASSERT_EQ(0, agent_revoke(&one, 5, DSM_REVOKE_DROP, NULL));
	EXPECT_EQ('2', map_two[5 * PAGE]);
	EXPECT_EQ(0, agent_next(&two, &req, 0));
	/* The one that goes takes nothing from the other. */
	agent_stop(&one);
	EXPECT_EQ('2', map_two[5 * PAGE]);
	agent_stop(&two);
}

TEST(a_node_has_several_regions)
{
	struct agent agent;
	struct found found = { 0 };
	struct toucher t;
	struct dsm_req req;
	char *map;
	int fd;

	ASSERT_EQ(0, agent_start(&agent, agent_port()));
	ASSERT_EQ(0, agent_region(&agent, 7, "results", REGION_SIZE));
	fd = program_open(agent.port, "results");
	ASSERT_GE(fd, 0);
	map = program_map(fd);
	touch_start(&t, map + PAGE, false, 0);
	ASSERT_EQ(1, agent_next(&agent, &req, DEADLINE_MS));
	EXPECT_EQ(7, req.region);
	EXPECT_EQ(1, req.page);
	ASSERT_EQ(0, agent_run(&agent, DSM_IOC_INSTALL, 7, 1, 1, NULL, DSM_PAGE_SHARED));
	ASSERT_TRUE(touch_done(&t, DEADLINE_MS));
	ASSERT_EQ(0, pages_of(&agent, 0, &found));
	EXPECT_EQ(0, found.n);
	EXPECT_EQ(-ENOENT, program_open(agent.port, "nothing"));
	EXPECT_EQ(-EEXIST, agent_region(&agent, 7, "other", REGION_SIZE));
	EXPECT_STREQ("the region number is taken", agent.ctl.why);
	EXPECT_EQ(-EEXIST, agent_region(&agent, 8, "results", REGION_SIZE));
	EXPECT_STREQ("the region name is taken", agent.ctl.why);
	agent_stop(&agent);
}

TEST(a_deleted_region_is_sigbus_also_for_those_who_wait)
{
	struct agent agent;
	struct dsm_req req;
	int fd, status;
	pid_t pid;
	char *map;

	ASSERT_EQ(0, agent_start(&agent, agent_port()));
	ASSERT_EQ(0, agent_region(&agent, 3, "short", REGION_SIZE));
	fd = program_open(agent.port, "short");
	map = program_map(fd);
	ASSERT_EQ(0, agent_run(&agent, DSM_IOC_INSTALL, 3, 0, 1, NULL, DSM_PAGE_MODIFIED));
	map[0] = 1;
	pid = fork();
	if (!pid) {
		(void)*(volatile char *)(map + PAGE);
		_exit(0);
	}
	ASSERT_EQ(1, agent_next(&agent, &req, DEADLINE_MS));
	ASSERT_EQ(0, agent_region_del(&agent, 3));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	EXPECT_TRUE(access_is_sigbus(map, false));
	EXPECT_EQ(-ENOENT, agent_region_del(&agent, 3));
	EXPECT_STREQ("no such region", agent.ctl.why);
	/* Its number and name are free again. */
	EXPECT_EQ(0, agent_region(&agent, 3, "short", REGION_SIZE));
	agent_stop(&agent);
}

TEST_HARNESS_MAIN
