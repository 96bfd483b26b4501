// SPDX-License-Identifier: MIT
/* Requests and answers over netlink, and who may speak it. */
#include <errno.h>
#include <fcntl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "fake_agent.h"

struct batch {
	struct dsm_req reqs[DSM_REQS_MAX * 4];
	int n;
	int messages;
	uint32_t queued;
	uint32_t bell;
	bool last;
};

static void on_reqs(void *ctx, struct nlattr **attrs)
{
	struct batch *b = ctx;
	int len = attrs[DSM_A_REQS] ? nla_len(attrs[DSM_A_REQS]) : 0;

	b->messages++;
	memcpy(&b->reqs[b->n], len ? nla_data(attrs[DSM_A_REQS]) : b, (size_t)len);
	b->n += len / (int)sizeof(b->reqs[0]);
	if (attrs[DSM_A_QUEUED])
		b->queued = nla_get_u32(attrs[DSM_A_QUEUED]);
	if (attrs[DSM_A_BELL])
		b->bell = nla_get_u32(attrs[DSM_A_BELL]);
	b->last = attrs[DSM_A_BELL_LAST];
}

/* The next message that the module sends by itself: 1, 0 none within @ms, or -ENOBUFS. */
static int next_bell(struct agent *a, struct batch *b, int ms)
{
	static char buffer[65536];
	struct nlattr *attrs[DSM_A_MAX_ATTR + 1];
	struct pollfd poll_fd = { .fd = nl_socket_get_fd(a->ctl.sock), .events = POLLIN };
	struct nlmsghdr *head = (struct nlmsghdr *)buffer;
	struct genlmsghdr *genl;

	if (poll(&poll_fd, 1, ms) != 1)
		return 0;
	if (recv(poll_fd.fd, buffer, sizeof(buffer), MSG_DONTWAIT) < 0)
		return -errno;
	genl = nlmsg_data(head);
	if (genl->cmd != DSM_CMD_REQS_NTF || genlmsg_parse(head, 0, attrs, DSM_A_MAX_ATTR, NULL))
		return -EPROTO;
	on_reqs(b, attrs);
	return 1;
}

static int reqs_get(struct agent *a, struct batch *b, uint32_t max)
{
	struct nl_msg *msg = kmod_ctl_new(&a->ctl, DSM_CMD_REQS_GET, false);

	*b = (struct batch){ 0 };
	nla_put_u32(msg, DSM_A_MAX, max);
	return kmod_ctl_ask(&a->ctl, msg, 0, on_reqs, b);
}

static int reqs_dump(struct agent *a, struct batch *b)
{
	*b = (struct batch){ 0 };
	return kmod_ctl_ask(&a->ctl, kmod_ctl_new(&a->ctl, DSM_CMD_REQS_GET, true), 0, on_reqs, b);
}

static bool is_pending(int fd, uint64_t page)
{
	uint32_t flags = 0;

	program_state(fd, page, &flags);
	return flags & DSM_PAGE_F_PENDING;
}

FIXTURE(netlink)
{
	struct agent agent;
	int fd;
	char *map;
};

FIXTURE_SETUP(netlink)
{
	ASSERT_EQ(0, agent_bind(&self->agent, agent_port(), 2000, DSM_UPCALL_NETLINK));
	ASSERT_EQ(0, agent_region(&self->agent, 0, "default", REGION_SIZE));
	self->fd = program_open(self->agent.port, "default");
	ASSERT_GE(self->fd, 0);
	self->map = program_map(self->fd);
	ASSERT_NE(NULL, self->map);
}

FIXTURE_TEARDOWN(netlink)
{
	agent_stop(&self->agent);
}

TEST_F(netlink, a_message_carries_the_request_itself)
{
	struct batch b = { 0 };
	struct toucher t;

	touch_start(&t, self->map + 3 * PAGE, true, 1);
	ASSERT_EQ(1, next_bell(&self->agent, &b, DEADLINE_MS));
	ASSERT_EQ(1, b.n);
	EXPECT_EQ(3, b.reqs[0].page);
	EXPECT_EQ(DSM_REQ_WRITE, b.reqs[0].flags);
	EXPECT_EQ(0, b.queued);
	EXPECT_FALSE(b.last);
	ASSERT_EQ(0, agent_install(&self->agent, 3, 0, DSM_PAGE_MODIFIED));
	ASSERT_TRUE(touch_done(&t, DEADLINE_MS));
}

#define CROWD 40

/* Unread messages stop after a while; asking has the rest, and starts them again. */
TEST_F(netlink, a_slow_agent_gets_few_messages_and_all_requests)
{
	struct toucher t[CROWD], one_more;
	struct batch b = { 0 };
	struct dsm_stats stats;
	bool seen[CROWD] = { false };

	for (int i = 0; i < CROWD; i++)
		touch_start(&t[i], self->map + (size_t)i * PAGE, false, 0);
	while (!b.last && next_bell(&self->agent, &b, DEADLINE_MS) == 1)
		;
	ASSERT_TRUE(b.last);
	for (int i = 0; i < b.n; i++)
		seen[b.reqs[i].page] = true;
	EXPECT_EQ(0, next_bell(&self->agent, &b, 100));
	EXPECT_LE(b.messages, 33);
	for (uint32_t more = 1; more; more = b.n) {
		ASSERT_EQ(0, reqs_get(&self->agent, &b, 8));
		ASSERT_LE(b.n, 8);
		for (int i = 0; i < b.n; i++)
			seen[b.reqs[i].page] = true;
	}
	for (int i = 0; i < CROWD; i++)
		EXPECT_TRUE(seen[i]);
	touch_start(&one_more, self->map + CROWD * PAGE, false, 0);
	b = (struct batch){ 0 };
	ASSERT_EQ(1, next_bell(&self->agent, &b, DEADLINE_MS));
	EXPECT_EQ(CROWD, b.reqs[0].page);
	ASSERT_EQ(0,
		  agent_run(&self->agent, DSM_IOC_INSTALL, 0, 0, CROWD + 1, NULL, DSM_PAGE_SHARED));
	for (int i = 0; i < CROWD; i++)
		ASSERT_TRUE(touch_done(&t[i], DEADLINE_MS));
	ASSERT_TRUE(touch_done(&one_more, DEADLINE_MS));
}

TEST_F(netlink, a_full_socket_loses_messages_but_no_request)
{
	struct toucher t[20];
	struct dsm_stats stats;
	struct batch b = { 0 };
	int got;

	/* Room for one message or two. */
	ASSERT_EQ(0, nl_socket_set_buffer_size(self->agent.ctl.sock, 1, 0));
	for (int i = 0; i < 20; i++) {
		touch_start(&t[i], self->map + (size_t)i * PAGE, false, 0);
		/* One after the other, for a message each. */
		ASSERT_TRUE(eventually(is_pending(self->fd, (uint64_t)i)));
	}
	do {
		got = next_bell(&self->agent, &b, 200);
	} while (got == 1);
	EXPECT_EQ(-ENOBUFS, got);
	ASSERT_EQ(0, nl_socket_set_buffer_size(self->agent.ctl.sock, 1 << 18, 0));
	while (next_bell(&self->agent, &b, 0) == 1)
		;
	ASSERT_EQ(0, reqs_dump(&self->agent, &b));
	EXPECT_EQ(20, b.n);
	ASSERT_EQ(0, reqs_get(&self->agent, &b, DSM_REQS_MAX));
	EXPECT_GT(b.n, 0);
	ASSERT_EQ(0, agent_stats(&self->agent, &stats));
	EXPECT_GT(stats.bells_lost, 0);
	EXPECT_EQ(0, stats.queued);
	ASSERT_EQ(0, agent_run(&self->agent, DSM_IOC_INSTALL, 0, 0, 20, NULL, DSM_PAGE_SHARED));
	for (int i = 0; i < 20; i++)
		ASSERT_TRUE(touch_done(&t[i], DEADLINE_MS));
}

TEST_F(netlink, answers_can_bring_the_next_batch)
{
	struct dsm_answer answers[2] = {
		{ .page = 1, .count = 1, .error = -EIO },
		{ .page = 5, .count = 2, .error = 0 },
	};
	struct batch b = { 0 };
	struct toucher t;
	struct nl_msg *msg;

	touch_start(&t, self->map + 6 * PAGE, false, 0);
	ASSERT_EQ(1, next_bell(&self->agent, &b, DEADLINE_MS));
	msg = kmod_ctl_new(&self->agent.ctl, DSM_CMD_REQS_SET, false);
	nla_put(msg, DSM_A_ANSWERS, sizeof(answers), answers);
	nla_put_u32(msg, DSM_A_MAX, 4);
	b = (struct batch){ 0 };
	ASSERT_EQ(0, kmod_ctl_ask(&self->agent.ctl, msg, 0, on_reqs, &b));
	EXPECT_EQ(1, b.messages);
	/* Told to look again, it asks again: in the batch, or by a message; anyhow it is pending. */
	ASSERT_TRUE(eventually(!reqs_dump(&self->agent, &b) && b.n == 1));
	EXPECT_EQ(6, b.reqs[0].page);
	ASSERT_EQ(0, agent_install(&self->agent, 6, 0, DSM_PAGE_SHARED));
	ASSERT_TRUE(touch_done(&t, DEADLINE_MS));
}

TEST_F(netlink, the_dump_has_all_that_is_pending_handed_over_or_not)
{
	struct toucher t[70];
	bool seen[70] = { false };
	struct batch b;

	for (int i = 0; i < 70; i++)
		touch_start(&t[i], self->map + (size_t)i * PAGE, i % 2, 0);
	for (uint64_t i = 0; i < 70; i++)
		ASSERT_TRUE(eventually(is_pending(self->fd, i)));
	ASSERT_EQ(0, reqs_get(&self->agent, &b, 10));
	ASSERT_EQ(0, reqs_dump(&self->agent, &b));
	EXPECT_EQ(70, b.n);
	EXPECT_GT(b.messages, 1);
	for (int i = 0; i < b.n; i++) {
		EXPECT_FALSE(seen[b.reqs[i].page]);
		seen[b.reqs[i].page] = true;
		EXPECT_EQ(b.reqs[i].page % 2 ? DSM_REQ_WRITE : 0, b.reqs[i].flags);
	}
	ASSERT_EQ(0, agent_run(&self->agent, DSM_IOC_INSTALL, 0, 0, 70, NULL, DSM_PAGE_MODIFIED));
	for (int i = 0; i < 70; i++)
		ASSERT_TRUE(touch_done(&t[i], DEADLINE_MS));
	ASSERT_EQ(0, reqs_dump(&self->agent, &b));
	EXPECT_EQ(0, b.n);
}

TEST_F(netlink, strangers_are_told_that_they_are)
{
	static const enum dsm_cmd cmds[] = { DSM_CMD_UNBIND, DSM_CMD_IDENTITY_GET,
					     DSM_CMD_STATS_GET, DSM_CMD_REQS_GET };
	struct kmod_ctl other;
	struct nl_msg *msg;
	struct dsm_answer answer = { .count = 1 };

	ASSERT_EQ(0, kmod_ctl_open(&other));
	for (size_t i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++) {
		EXPECT_EQ(-EPERM, kmod_ctl_ask(&other, kmod_ctl_new(&other, cmds[i], false), 0,
					       NULL, NULL));
		EXPECT_STREQ("this socket has not bound a node", other.why);
	}
	EXPECT_EQ(-EPERM, kmod_ctl_ask(&other, kmod_ctl_new(&other, DSM_CMD_REGION_GET, true), 0,
				       NULL, NULL));
	msg = kmod_ctl_new(&other, DSM_CMD_REQS_SET, false);
	nla_put(msg, DSM_A_ANSWERS, sizeof(answer), &answer);
	EXPECT_EQ(-EPERM, kmod_ctl_ask(&other, msg, 0, NULL, NULL));
	msg = kmod_ctl_new(&other, DSM_CMD_REGION_DEL, false);
	nla_put_u16(msg, DSM_A_REGION, 0);
	EXPECT_EQ(-EPERM, kmod_ctl_ask(&other, msg, 0, NULL, NULL));
	/* But who may administrate may look at a node by its port. */
	msg = kmod_ctl_new(&other, DSM_CMD_REGION_GET, true);
	nla_put_u16(msg, DSM_A_PORT, self->agent.port);
	EXPECT_EQ(0, kmod_ctl_ask(&other, msg, 0, NULL, NULL));
	kmod_ctl_close(&other);
}

static void ask_unprivileged(void *arg)
{
	struct kmod_ctl ctl;
	struct nl_msg *msg;
	uint16_t *port = arg;

	if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534) || kmod_ctl_open(&ctl))
		_exit(1);
	msg = kmod_ctl_new(&ctl, DSM_CMD_STATS_GET, false);
	nla_put_u16(msg, DSM_A_PORT, *port);
	_exit(kmod_ctl_ask(&ctl, msg, 0, NULL, NULL) == -EPERM ? 0 : 2);
}

TEST_F(netlink, users_without_the_right_get_eperm)
{
	EXPECT_EQ(0, in_child(ask_unprivileged, &self->agent.port));
}

TEST(an_agent_may_live_in_another_network_namespace)
{
	struct agent agent;
	struct batch b = { 0 };
	struct toucher t;
	int fd;
	char *map;

	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	ASSERT_EQ(0, agent_bind(&agent, agent_port(), 1000, DSM_UPCALL_NETLINK));
	ASSERT_EQ(0, agent_region(&agent, 0, "default", REGION_SIZE));
	fd = program_open(agent.port, "default");
	map = program_map(fd);
	ASSERT_NE(NULL, map);
	touch_start(&t, map, false, 0);
	ASSERT_EQ(1, next_bell(&agent, &b, DEADLINE_MS));
	ASSERT_EQ(1, b.n);
	ASSERT_EQ(0, agent_install(&agent, 0, 0, DSM_PAGE_SHARED));
	ASSERT_TRUE(touch_done(&t, DEADLINE_MS));
	agent_stop(&agent);
}

/* Its number may be another's soon; the descriptor goes on. */
TEST(a_closed_socket_is_not_talked_to)
{
	struct agent agent;
	struct dsm_req req;
	struct toucher t;
	int fd;
	char *map;

	ASSERT_EQ(0, agent_bind(&agent, agent_port(), 500, DSM_UPCALL_NETLINK));
	ASSERT_EQ(0, agent_region(&agent, 0, "default", REGION_SIZE));
	fd = program_open(agent.port, "default");
	map = program_map(fd);
	kmod_ctl_close(&agent.ctl);
	touch_start(&t, map, false, 0);
	ASSERT_EQ(1, agent_next(&agent, &req, DEADLINE_MS));
	ASSERT_EQ(0, agent_install(&agent, 0, 0, DSM_PAGE_SHARED));
	ASSERT_TRUE(touch_done(&t, DEADLINE_MS));
	close(agent.fd);
}

TEST_HARNESS_MAIN
