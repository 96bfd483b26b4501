// SPDX-License-Identifier: MIT
/* The agent's side of the tests. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "fake_agent.h"

uint16_t agent_port(void)
{
	/* Every test is a process of its own. */
	static uint16_t next;

	if (!next)
		next = (uint16_t)(1024 + getpid() % 6000 * 10);
	return next++;
}

static void on_adopted(void *ctx, struct nlattr **attrs)
{
	if (attrs[DSM_A_ADOPTED])
		*(bool *)ctx = nla_get_u32(attrs[DSM_A_ADOPTED]);
}

int agent_bind(struct agent *a, uint16_t port, uint32_t recovery_ms, enum dsm_upcall upcall)
{
	struct nl_msg *msg;
	int err;

	*a = (struct agent){ .port = port,
			     .fd = open("/dev/dsm", O_RDWR | O_NONBLOCK | O_CLOEXEC) };
	if (a->fd < 0)
		return -errno;
	err = kmod_ctl_open(&a->ctl);
	if (err)
		return err;
	msg = kmod_ctl_new(&a->ctl, DSM_CMD_BIND, false);
	nla_put_u16(msg, DSM_A_PORT, port);
	nla_put_u32(msg, DSM_A_FD, (uint32_t)a->fd);
	nla_put_u32(msg, DSM_A_RECOVERY_MS, recovery_ms);
	nla_put_u32(msg, DSM_A_UPCALL, upcall);
	return kmod_ctl_ask(&a->ctl, msg, 0, on_adopted, &a->adopted);
}

int agent_start(struct agent *a, uint16_t port)
{
	int err = agent_bind(a, port, 2000, DSM_UPCALL_READ);

	return err ? err : agent_region(a, 0, "default", REGION_SIZE);
}

int agent_region(struct agent *a, uint16_t number, const char *name, uint64_t size)
{
	struct nl_msg *msg = kmod_ctl_new(&a->ctl, DSM_CMD_REGION_NEW, false);

	nla_put_u16(msg, DSM_A_REGION, number);
	nla_put_string(msg, DSM_A_NAME, name);
	nla_put_u64(msg, DSM_A_SIZE, size);
	return kmod_ctl_ask(&a->ctl, msg, 0, NULL, NULL);
}

int agent_region_del(struct agent *a, uint16_t number)
{
	struct nl_msg *msg = kmod_ctl_new(&a->ctl, DSM_CMD_REGION_DEL, false);

	nla_put_u16(msg, DSM_A_REGION, number);
	return kmod_ctl_ask(&a->ctl, msg, 0, NULL, NULL);
}

int agent_unbind(struct agent *a)
{
	return kmod_ctl_ask(&a->ctl, kmod_ctl_new(&a->ctl, DSM_CMD_UNBIND, false), 0, NULL, NULL);
}

void agent_die(struct agent *a)
{
	agent_serve_stop(a);
	kmod_ctl_close(&a->ctl);
	close(a->fd);
	a->fd = -1;
}

void agent_stop(struct agent *a)
{
	agent_serve_stop(a);
	agent_unbind(a);
	agent_die(a);
}

int agent_run(struct agent *a, unsigned long cmd, uint16_t region, uint64_t page, uint32_t count,
	      const void *data, uint16_t mode)
{
	struct dsm_run run = { .page = page,
			       .data = (uintptr_t)data,
			       .count = count,
			       .region = region,
			       .mode = mode };
	struct dsm_runs runs = { .runs = (uintptr_t)&run, .count = 1 };
	int failed = ioctl(a->fd, cmd, &runs);

	if (failed < 0)
		return -errno;
	return failed == (run.result != 0) && (run.result || run.done == count) ? run.result
										: -EPROTO;
}

int agent_install(struct agent *a, uint64_t page, int fill, enum dsm_page_state state)
{
	char bytes[PAGE];

	memset(bytes, fill, sizeof(bytes));
	return agent_run(a, DSM_IOC_INSTALL, 0, page, 1, bytes, (uint16_t)state);
}

int agent_upgrade(struct agent *a, uint64_t page)
{
	return agent_run(a, DSM_IOC_UPGRADE, 0, page, 1, NULL, 0);
}

int agent_revoke(struct agent *a, uint64_t page, uint16_t mode, void *data)
{
	return agent_run(a, DSM_IOC_REVOKE, 0, page, 1, data, mode);
}

ssize_t agent_send(struct agent *a, uint64_t page, uint32_t count, int sock, const void *head,
		   uint32_t len)
{
	struct dsm_send send = {
		.head = (uintptr_t)head,
		.page = page,
		.count = count,
		.head_len = len,
		.socket = sock,
	};
	int sent = ioctl(a->fd, DSM_IOC_SEND, &send);

	return sent < 0 ? -errno : sent;
}

int agent_answer(struct agent *a, uint64_t page, uint32_t count, int error)
{
	struct nl_msg *msg = kmod_ctl_new(&a->ctl, DSM_CMD_REQS_SET, false);
	struct dsm_answer answer = { .page = page, .count = count, .error = error };

	nla_put(msg, DSM_A_ANSWERS, sizeof(answer), &answer);
	return kmod_ctl_ask(&a->ctl, msg, 0, NULL, NULL);
}

int agent_next(struct agent *a, struct dsm_req *req, int ms)
{
	struct pollfd poll_fd = { .fd = a->fd, .events = POLLIN };

	if (poll(&poll_fd, 1, ms) != 1)
		return 0;
	return read(a->fd, req, sizeof(*req)) == sizeof(*req);
}

static void *serve(void *arg)
{
	struct agent *a = arg;
	struct dsm_req req;

	while (a->serving) {
		if (!agent_next(a, &req, 20))
			continue;
		if (!(req.flags & DSM_REQ_WRITE))
			agent_run(a, DSM_IOC_INSTALL, req.region, req.page, req.count, NULL,
				  DSM_PAGE_SHARED);
		else if (agent_run(a, DSM_IOC_UPGRADE, req.region, req.page, req.count, NULL, 0))
			agent_run(a, DSM_IOC_INSTALL, req.region, req.page, req.count, NULL,
				  DSM_PAGE_MODIFIED);
	}
	return NULL;
}

void agent_serve(struct agent *a)
{
	a->serving = true;
	pthread_create(&a->server, NULL, serve, a);
}

void agent_serve_stop(struct agent *a)
{
	if (!a->serving)
		return;
	a->serving = false;
	pthread_join(a->server, NULL);
}

static void on_stats(void *ctx, struct nlattr **attrs)
{
	if (attrs[DSM_A_STATS] && nla_len(attrs[DSM_A_STATS]) >= (int)sizeof(struct dsm_stats))
		memcpy(ctx, nla_data(attrs[DSM_A_STATS]), sizeof(struct dsm_stats));
}

int agent_stats(struct agent *a, struct dsm_stats *ret)
{
	memset(ret, 0xff, sizeof(*ret));
	return kmod_ctl_ask(&a->ctl, kmod_ctl_new(&a->ctl, DSM_CMD_STATS_GET, false), 0, on_stats,
			    ret);
}

long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void nap_us(long us)
{
	nanosleep(&(struct timespec){ .tv_nsec = us * 1000 }, NULL);
}
