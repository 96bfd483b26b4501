// SPDX-License-Identifier: MIT
/* Bad input: each refused with the right error, and nothing changed. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "fake_agent.h"

FIXTURE(input)
{
	struct agent agent;
	int fd;
};

FIXTURE_SETUP(input)
{
	ASSERT_EQ(0, agent_start(&self->agent, agent_port()));
	self->fd = program_open(self->agent.port, "default");
	ASSERT_GE(self->fd, 0);
}

FIXTURE_TEARDOWN(input)
{
	agent_stop(&self->agent);
}

/* The error of an ioctl, or 0. */
static int call(int fd, unsigned long cmd, void *arg)
{
	return ioctl(fd, cmd, arg) < 0 ? errno : 0;
}

TEST_F(input, unknown_ioctls)
{
	EXPECT_EQ(ENOTTY, call(self->fd, _IO(0xD5, 0x7f), NULL));
	EXPECT_EQ(ENOTTY, call(self->agent.fd, _IOW(0xD5, 0x10, int), NULL));
	EXPECT_EQ(ENOTTY, call(self->fd, 0, NULL));
}

TEST_F(input, bad_addresses)
{
	void *bad = (void *)8;

	EXPECT_EQ(EFAULT, call(self->fd, DSM_IOC_INFO, bad));
	EXPECT_EQ(EFAULT, call(self->fd, DSM_IOC_ATTACH, bad));
	EXPECT_EQ(EFAULT, call(self->fd, DSM_IOC_PAGE, bad));
	EXPECT_EQ(EFAULT, call(self->fd, DSM_IOC_PREFETCH, bad));
	EXPECT_EQ(EFAULT, call(self->agent.fd, DSM_IOC_INSTALL, bad));
	EXPECT_EQ(EFAULT, call(self->agent.fd, DSM_IOC_REVOKE, bad));
	EXPECT_EQ(EFAULT, call(self->agent.fd, DSM_IOC_SEND, bad));
}

TEST_F(input, attach)
{
	struct dsm_attach attach = { .port = self->agent.port, .name = "default" };
	struct dsm_attach bad;

	bad = attach;
	bad.flags = 1;
	EXPECT_EQ(EINVAL, call(self->fd, DSM_IOC_ATTACH, &bad));
	bad = attach;
	bad.reserved = 1;
	EXPECT_EQ(EINVAL, call(self->fd, DSM_IOC_ATTACH, &bad));
	bad = attach;
	bad.name[0] = 0;
	EXPECT_EQ(EINVAL, call(self->fd, DSM_IOC_ATTACH, &bad));
	memset(bad.name, 'x', sizeof(bad.name));
	EXPECT_EQ(EINVAL, call(self->fd, DSM_IOC_ATTACH, &bad));
	bad = attach;
	bad.port = 1;
	EXPECT_EQ(ENODEV, call(self->fd, DSM_IOC_ATTACH, &bad));
	strcpy(attach.name, "absent");
	EXPECT_EQ(ENOENT, call(self->fd, DSM_IOC_ATTACH, &attach));
}

TEST_F(input, page_and_prefetch)
{
	struct dsm_page page = { .page = REGION_PAGES };
	struct dsm_prefetch pre = { .length = PAGE };
	struct dsm_prefetch bad;

	EXPECT_EQ(ERANGE, call(self->fd, DSM_IOC_PAGE, &page));
	page = (struct dsm_page){ .flags = 1 };
	EXPECT_EQ(EINVAL, call(self->fd, DSM_IOC_PAGE, &page));
	page = (struct dsm_page){ .state = 1 };
	EXPECT_EQ(EINVAL, call(self->fd, DSM_IOC_PAGE, &page));
	bad = pre;
	bad.flags = 2;
	EXPECT_EQ(EINVAL, call(self->fd, DSM_IOC_PREFETCH, &bad));
	bad = pre;
	bad.reserved = 1;
	EXPECT_EQ(EINVAL, call(self->fd, DSM_IOC_PREFETCH, &bad));
	bad = pre;
	bad.length = 0;
	EXPECT_EQ(EINVAL, call(self->fd, DSM_IOC_PREFETCH, &bad));
	bad.length = 100;
	EXPECT_EQ(EINVAL, call(self->fd, DSM_IOC_PREFETCH, &bad));
	bad = pre;
	bad.offset = 1;
	EXPECT_EQ(EINVAL, call(self->fd, DSM_IOC_PREFETCH, &bad));
	bad.offset = REGION_SIZE;
	EXPECT_EQ(ERANGE, call(self->fd, DSM_IOC_PREFETCH, &bad));
	bad.offset = PAGE;
	bad.length = REGION_SIZE;
	EXPECT_EQ(ERANGE, call(self->fd, DSM_IOC_PREFETCH, &bad));
	bad.length = ~0ull & ~(PAGE - 1);
	EXPECT_EQ(ERANGE, call(self->fd, DSM_IOC_PREFETCH, &bad));
}

TEST_F(input, a_program_cannot_do_what_agents_do)
{
	struct dsm_run run = { .count = 1, .mode = DSM_PAGE_SHARED };
	struct dsm_runs runs = { .runs = (uintptr_t)&run, .count = 1 };
	struct dsm_send send = { .count = 1 };
	char byte[64];

	EXPECT_EQ(EPERM, call(self->fd, DSM_IOC_INSTALL, &runs));
	EXPECT_EQ(EPERM, call(self->fd, DSM_IOC_UPGRADE, &runs));
	EXPECT_EQ(EPERM, call(self->fd, DSM_IOC_REVOKE, &runs));
	EXPECT_EQ(EPERM, call(self->fd, DSM_IOC_READ, &runs));
	EXPECT_EQ(EPERM, call(self->fd, DSM_IOC_SEND, &send));
	EXPECT_EQ(-1, read(self->fd, byte, sizeof(byte)));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(input, an_agents_descriptor_is_not_mapped)
{
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, self->agent.fd, 0));
	/* Opened before there was a region; one that has one cannot either. */
	EXPECT_TRUE(errno == EPERM || errno == ENODEV);
}

TEST_F(input, batches)
{
	struct dsm_run run = { .count = 1, .mode = DSM_PAGE_SHARED };
	struct dsm_runs runs = { .runs = (uintptr_t)&run, .count = 1 };

	runs.flags = 1;
	EXPECT_EQ(EINVAL, call(self->agent.fd, DSM_IOC_INSTALL, &runs));
	runs = (struct dsm_runs){ .runs = (uintptr_t)&run };
	EXPECT_EQ(EINVAL, call(self->agent.fd, DSM_IOC_INSTALL, &runs));
	runs.count = DSM_RUNS_MAX + 1;
	EXPECT_EQ(EINVAL, call(self->agent.fd, DSM_IOC_INSTALL, &runs));
	runs = (struct dsm_runs){ .runs = 8, .count = 1 };
	EXPECT_EQ(EFAULT, call(self->agent.fd, DSM_IOC_INSTALL, &runs));
}

TEST_F(input, one_bad_run_does_not_stop_the_others)
{
	struct dsm_run run[3] = {
		{ .page = 1, .count = 1, .mode = DSM_PAGE_SHARED },
		{ .page = REGION_PAGES, .count = 1, .mode = DSM_PAGE_SHARED },
		{ .page = 2, .count = 2, .mode = DSM_PAGE_MODIFIED },
	};
	struct dsm_runs runs = { .runs = (uintptr_t)run, .count = 3 };

	EXPECT_EQ(1, ioctl(self->agent.fd, DSM_IOC_INSTALL, &runs));
	EXPECT_EQ(0, run[0].result);
	EXPECT_EQ(1, run[0].done);
	EXPECT_EQ(-ERANGE, run[1].result);
	EXPECT_EQ(0, run[1].done);
	EXPECT_EQ(0, run[2].result);
	EXPECT_EQ(2, run[2].done);
	EXPECT_EQ(DSM_PAGE_MODIFIED, program_state(self->fd, 3, NULL));
}

TEST_F(input, runs)
{
	static char bytes[2 * PAGE];
	struct agent *a = &self->agent;

	EXPECT_EQ(-EINVAL, agent_run(a, DSM_IOC_INSTALL, 0, 0, 1, NULL, DSM_PAGE_INVALID));
	EXPECT_EQ(-EINVAL, agent_run(a, DSM_IOC_INSTALL, 0, 0, 1, NULL, 3));
	EXPECT_EQ(-EINVAL, agent_run(a, DSM_IOC_INSTALL, 0, 0, 0, NULL, DSM_PAGE_SHARED));
	EXPECT_EQ(-EINVAL, agent_run(a, DSM_IOC_INSTALL, 0, 0, DSM_RUN_PAGES_MAX + 1, NULL,
				     DSM_PAGE_SHARED));
	EXPECT_EQ(-ENOENT, agent_run(a, DSM_IOC_INSTALL, 9, 0, 1, NULL, DSM_PAGE_SHARED));
	EXPECT_EQ(-ERANGE,
		  agent_run(a, DSM_IOC_INSTALL, 0, REGION_PAGES - 1, 2, NULL, DSM_PAGE_SHARED));
	EXPECT_EQ(-ERANGE, agent_run(a, DSM_IOC_INSTALL, 0, ~0ull, 1, NULL, DSM_PAGE_SHARED));
	EXPECT_EQ(-EFAULT, agent_run(a, DSM_IOC_INSTALL, 0, 0, 1, (void *)8, DSM_PAGE_SHARED));
	EXPECT_EQ(-EINVAL, agent_run(a, DSM_IOC_UPGRADE, 0, 0, 1, NULL, 1));
	EXPECT_EQ(-EINVAL, agent_run(a, DSM_IOC_UPGRADE, 0, 0, 1, bytes, 0));
	EXPECT_EQ(-ENOENT, agent_run(a, DSM_IOC_UPGRADE, 0, 0, 1, NULL, 0));
	EXPECT_EQ(-EINVAL, agent_run(a, DSM_IOC_REVOKE, 0, 0, 1, NULL, 3));
	EXPECT_EQ(-EINVAL, agent_run(a, DSM_IOC_REVOKE, 0, 0, 1, NULL, DSM_REVOKE_TAKE));
	EXPECT_EQ(-EINVAL, agent_run(a, DSM_IOC_REVOKE, 0, 0, 1, bytes, DSM_REVOKE_DROP));
	EXPECT_EQ(-EINVAL, agent_run(a, DSM_IOC_READ, 0, 0, 1, NULL, 0));
	EXPECT_EQ(-EINVAL, agent_run(a, DSM_IOC_READ, 0, 0, 1, bytes, 1));
	EXPECT_EQ(-ENOENT, agent_run(a, DSM_IOC_READ, 0, 0, 1, bytes, 0));
	EXPECT_EQ(DSM_PAGE_INVALID, program_state(self->fd, 0, NULL));
}

TEST_F(input, sends)
{
	static char bytes[DSM_SEND_HEAD_MAX + 1];
	struct agent *a = &self->agent;
	struct dsm_send bad = { .count = 1, .reserved = 1 };
	int stream[2], packets[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, stream));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_DGRAM, 0, packets));
	ASSERT_EQ(0, agent_install(a, 0, 'x', DSM_PAGE_SHARED));
	EXPECT_EQ(-EINVAL, agent_send(a, 0, 0, stream[0], bytes, 1));
	EXPECT_EQ(-EINVAL, agent_send(a, 0, DSM_SEND_PAGES_MAX + 1, stream[0], bytes, 1));
	EXPECT_EQ(-EINVAL, agent_send(a, 0, 1, stream[0], bytes, sizeof(bytes)));
	EXPECT_EQ(EINVAL, call(a->fd, DSM_IOC_SEND, &bad));
	bad = (struct dsm_send){ .count = 1, .reserved2 = 1 };
	EXPECT_EQ(EINVAL, call(a->fd, DSM_IOC_SEND, &bad));
	bad = (struct dsm_send){ .count = 1, .region = 9 };
	EXPECT_EQ(ENOENT, call(a->fd, DSM_IOC_SEND, &bad));
	EXPECT_EQ(-ENOENT, agent_send(a, 1, 1, stream[0], bytes, 1));
	EXPECT_EQ(-ERANGE, agent_send(a, REGION_PAGES - 1, 2, stream[0], bytes, 1));
	EXPECT_EQ(-ERANGE, agent_send(a, ~0ull, 1, stream[0], bytes, 1));
	EXPECT_EQ(-EFAULT, agent_send(a, 0, 1, stream[0], (void *)8, 1));
	EXPECT_EQ(-EBADF, agent_send(a, 0, 1, -1, bytes, 1));
	EXPECT_EQ(-ENOTSOCK, agent_send(a, 0, 1, self->fd, bytes, 1));
	EXPECT_EQ(-EOPNOTSUPP, agent_send(a, 0, 1, packets[0], bytes, 1));
	/* Nothing went. */
	EXPECT_EQ(-1, recv(stream[1], bytes, 1, MSG_DONTWAIT));
	for (int i = 0; i < 2; i++) {
		close(stream[i]);
		close(packets[i]);
	}
}

TEST_F(input, reads_of_requests_shorter_than_one)
{
	char buffer[sizeof(struct dsm_req) - 1];

	EXPECT_EQ(-1, read(self->agent.fd, buffer, sizeof(buffer)));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(input, a_request_that_could_not_be_copied_out_is_handed_over_again)
{
	struct toucher t;
	struct dsm_req req;
	void *nowhere = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *map = program_map(self->fd);

	touch_start(&t, map, false, 0);
	ASSERT_TRUE(
		eventually(read(self->agent.fd, nowhere, sizeof(req)) == -1 && errno == EFAULT));
	ASSERT_EQ(1, agent_next(&self->agent, &req, DEADLINE_MS));
	EXPECT_EQ(0, req.page);
	ASSERT_EQ(0, agent_install(&self->agent, 0, 0, DSM_PAGE_SHARED));
	ASSERT_TRUE(touch_done(&t, DEADLINE_MS));
}

/* What binding says with one attribute left out, or wrong. */
static int bind_with(struct kmod_ctl *c, int port, int fd, long recovery, long upcall)
{
	struct nl_msg *msg = kmod_ctl_new(c, DSM_CMD_BIND, false);

	if (port >= 0)
		nla_put_u16(msg, DSM_A_PORT, (uint16_t)port);
	if (fd > -2)
		nla_put_u32(msg, DSM_A_FD, (uint32_t)fd);
	if (recovery >= 0)
		nla_put_u32(msg, DSM_A_RECOVERY_MS, (uint32_t)recovery);
	if (upcall >= 0)
		nla_put_u32(msg, DSM_A_UPCALL, (uint32_t)upcall);
	return kmod_ctl_ask(c, msg, 0, NULL, NULL);
}

TEST_F(input, bind)
{
	int dev = open("/dev/dsm", O_RDWR), null = open("/dev/null", O_RDWR);
	int port = agent_port();
	struct kmod_ctl c;

	ASSERT_EQ(0, kmod_ctl_open(&c));
	EXPECT_EQ(-EINVAL, bind_with(&c, -1, dev, -1, -1));
	EXPECT_STREQ("attribute missing: DSM_A_PORT", c.why);
	EXPECT_EQ(-EINVAL, bind_with(&c, port, -2, -1, -1));
	EXPECT_STREQ("attribute missing: DSM_A_FD", c.why);
	EXPECT_EQ(-ERANGE, bind_with(&c, 0, dev, -1, -1));
	EXPECT_EQ(-EBADF, bind_with(&c, port, -1, -1, -1));
	EXPECT_STREQ("not an open descriptor of /dev/dsm", c.why);
	EXPECT_EQ(-EBADF, bind_with(&c, port, null, -1, -1));
	EXPECT_EQ(-ERANGE, bind_with(&c, port, dev, DSM_RECOVERY_MAX_MS + 1, -1));
	EXPECT_EQ(-ERANGE, bind_with(&c, port, dev, -1, 2));
	/* A program's, and one that is an agent's already. */
	ASSERT_NE(NULL, program_map(self->fd));
	EXPECT_EQ(-EBUSY, bind_with(&c, port, self->fd, -1, -1));
	EXPECT_STREQ("the descriptor was mapped: it is a program's", c.why);
	EXPECT_EQ(-EBUSY, bind_with(&c, port, self->agent.fd, -1, -1));
	EXPECT_STREQ("the descriptor is bound already", c.why);
	EXPECT_EQ(-EBUSY, bind_with(&self->agent.ctl, port, dev, -1, -1));
	EXPECT_STREQ("this socket has bound another node", self->agent.ctl.why);
	kmod_ctl_close(&c);
}

static int region_with(struct agent *a, const char *name, uint64_t size, uint64_t base)
{
	struct nl_msg *msg = kmod_ctl_new(&a->ctl, DSM_CMD_REGION_NEW, false);

	nla_put_u16(msg, DSM_A_REGION, 5);
	nla_put_string(msg, DSM_A_NAME, name);
	nla_put_u64(msg, DSM_A_SIZE, size);
	nla_put_u64(msg, DSM_A_BASE, base);
	return kmod_ctl_ask(&a->ctl, msg, 0, NULL, NULL);
}

TEST_F(input, regions)
{
	struct agent *a = &self->agent;
	char name[DSM_NAME_LEN + 1];

	memset(name, 'n', sizeof(name));
	name[DSM_NAME_LEN] = 0;
	EXPECT_EQ(-EINVAL, region_with(a, "", PAGE, 0));
	EXPECT_STREQ("the region name is empty", a->ctl.why);
	EXPECT_NE(0, region_with(a, name, PAGE, 0));
	EXPECT_EQ(-EINVAL, region_with(a, "r", 0, 0));
	EXPECT_EQ(-EINVAL, region_with(a, "r", PAGE + 1, 0));
	EXPECT_STREQ("the region size is not a multiple of the page size", a->ctl.why);
	EXPECT_EQ(-EINVAL, region_with(a, "r", DSM_REGION_MAX_SIZE + PAGE, 0));
	EXPECT_STREQ("the region is too large", a->ctl.why);
	EXPECT_EQ(-EINVAL, region_with(a, "r", PAGE, 7));
	EXPECT_STREQ("the base is not a multiple of the page size", a->ctl.why);
	name[DSM_NAME_LEN - 1] = 0;
	EXPECT_EQ(0, region_with(a, name, DSM_REGION_MAX_SIZE, PAGE));
}

TEST_F(input, answers)
{
	struct dsm_answer good = { .count = 1 }, bad;
	struct agent *a = &self->agent;

#define SEND(what, len)                                                                            \
	({                                                                                         \
		struct nl_msg *msg = kmod_ctl_new(&a->ctl, DSM_CMD_REQS_SET, false);               \
		nla_put(msg, DSM_A_ANSWERS, len, what);                                            \
		kmod_ctl_ask(&a->ctl, msg, 0, NULL, NULL);                                         \
	})
	EXPECT_EQ(0, SEND(&good, sizeof(good)));
	EXPECT_EQ(-ERANGE, SEND(&good, 8));
	EXPECT_EQ(-EINVAL, SEND(((struct dsm_answer[2]){ good, good }), sizeof(good) + 4));
	EXPECT_STREQ("not whole answers", a->ctl.why);
	bad = good;
	bad.count = 0;
	EXPECT_EQ(-EINVAL, SEND(&bad, sizeof(bad)));
	EXPECT_STREQ("an answer has a wrong count, error or reserved field", a->ctl.why);
	bad = good;
	bad.error = 5;
	EXPECT_EQ(-EINVAL, SEND(&bad, sizeof(bad)));
	bad.error = -5000;
	EXPECT_EQ(-EINVAL, SEND(&bad, sizeof(bad)));
	bad = good;
	bad.reserved = 1;
	EXPECT_EQ(-EINVAL, SEND(&bad, sizeof(bad)));
	bad = good;
	bad.region = 77;
	EXPECT_EQ(-ENOENT, SEND(&bad, sizeof(bad)));
	EXPECT_STREQ("an answer names no region", a->ctl.why);
}

TEST_F(input, unknown_attributes_and_commands)
{
	struct agent *a = &self->agent;
	struct nl_msg *msg = kmod_ctl_new(&a->ctl, DSM_CMD_REGION_DEL, false);

	nla_put_u16(msg, DSM_A_REGION, 5);
	nla_put_u32(msg, DSM_A_MAX, 1);
	EXPECT_EQ(-EINVAL, kmod_ctl_ask(&a->ctl, msg, 0, NULL, NULL));
	EXPECT_EQ(-EOPNOTSUPP,
		  kmod_ctl_ask(&a->ctl, kmod_ctl_new(&a->ctl, 99, false), 0, NULL, NULL));
	EXPECT_EQ(-EOPNOTSUPP, kmod_ctl_ask(&a->ctl, kmod_ctl_new(&a->ctl, DSM_CMD_REQS_NTF, false),
					    0, NULL, NULL));
	msg = kmod_ctl_new(&a->ctl, DSM_CMD_REQS_GET, false);
	nla_put_u32(msg, DSM_A_MAX, DSM_REQS_MAX + 1);
	EXPECT_EQ(-ERANGE, kmod_ctl_ask(&a->ctl, msg, 0, NULL, NULL));
	msg = kmod_ctl_new(&a->ctl, DSM_CMD_IDENTITY_SET, false);
	nla_put(msg, DSM_A_IDENTITY, DSM_IDENTITY_LEN + 1, (char[DSM_IDENTITY_LEN + 1]){ 0 });
	EXPECT_EQ(-ERANGE, kmod_ctl_ask(&a->ctl, msg, 0, NULL, NULL));
	EXPECT_EQ(-ENOENT, kmod_ctl_ask(&a->ctl, kmod_ctl_new(&a->ctl, DSM_CMD_IDENTITY_GET, false),
					0, NULL, NULL));
	EXPECT_STREQ("no identity was set", a->ctl.why);
	msg = kmod_ctl_new(&a->ctl, DSM_CMD_PAGES_GET, true);
	EXPECT_EQ(-EINVAL, kmod_ctl_ask(&a->ctl, msg, 0, NULL, NULL));
	msg = kmod_ctl_new(&a->ctl, DSM_CMD_PAGES_GET, true);
	nla_put_u16(msg, DSM_A_REGION, 50);
	EXPECT_EQ(-ENOENT, kmod_ctl_ask(&a->ctl, msg, 0, NULL, NULL));
}

/* Whatever it is, it must neither crash nor hang, and the node goes on. */
TEST_F(input, noise)
{
	static const unsigned long cmds[] = { DSM_IOC_INSTALL, DSM_IOC_UPGRADE, DSM_IOC_REVOKE,
					      DSM_IOC_READ,    DSM_IOC_PAGE,	DSM_IOC_PREFETCH };
	static char data[16 * PAGE];
	unsigned int seed = 7;
	struct dsm_run run;
	struct dsm_runs runs = { .runs = (uintptr_t)&run, .count = 1 };

	for (int i = 0; i < 20000; i++) {
		unsigned long cmd = cmds[(size_t)rand_r(&seed) % 6];

		run = (struct dsm_run){
			.page = rand_r(&seed) % 4 ? (uint64_t)rand_r(&seed) % 64
						  : (uint64_t)rand_r(&seed) << 20,
			.count = (uint32_t)rand_r(&seed) % 17,
			.region = rand_r(&seed) % 8 == 0,
			.mode = (uint16_t)(rand_r(&seed) % 4),
			.data = rand_r(&seed) % 2   ? (uintptr_t)data
				: rand_r(&seed) % 2 ? 8
						    : 0,
		};
		ioctl(self->agent.fd, cmd,
		      cmd == DSM_IOC_PAGE || cmd == DSM_IOC_PREFETCH ? (void *)&run
								     : (void *)&runs);
	}
	EXPECT_EQ(0, agent_install(&self->agent, 5, 'n', DSM_PAGE_MODIFIED));
	EXPECT_EQ(DSM_PAGE_MODIFIED, program_state(self->fd, 5, NULL));
}

TEST_HARNESS_MAIN
