// SPDX-License-Identifier: MIT
/*
 * The kmod pager: dsm.ko has the pages and the waiting programs, this moves
 * them. Requests are read from the descriptor that is bound to the node: cheaper
 * than a netlink message each, and nothing can be lost on the way. What is rare
 * goes over netlink.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "agent/pager/kmod.h"

#define DEVICE	  "/dev/dsm"
#define READ_REQS 128

_Static_assert(PAGER_PAGE_SIZE == DSM_PAGE_SIZE, "page size");
_Static_assert((int)PAGER_READ == DSM_PAGE_SHARED && (int)PAGER_WRITE == DSM_PAGE_MODIFIED,
	       "rights are states");

/* Any answer but EPERM to a question about a node means that we may ask. */
static int may_bind(struct kmod_ctl *c)
{
	struct nl_msg *msg = kmod_ctl_new(c, DSM_CMD_STATS_GET, false);

	return kmod_ctl_ask(c, msg, msg ? nla_put_u16(msg, DSM_A_PORT, UINT16_MAX) : 0, NULL, NULL);
}

static bool usable(char *why, size_t len)
{
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC);
	struct kmod_ctl ctl;
	int err;

	if (fd < 0) {
		snprintf(why, len, DEVICE ": %s%s", strerror(errno),
			 errno == ENOENT ? " (is dsm.ko loaded?)" : "");
		return false;
	}
	close(fd);
	err = kmod_ctl_open(&ctl);
	if (err) {
		snprintf(why, len, "netlink family " DSM_GENL_NAME ": %s", strerror(-err));
		return false;
	}
	err = may_bind(&ctl);
	kmod_ctl_close(&ctl);
	if (err == -EPERM)
		snprintf(why, len, "binding to the module needs CAP_NET_ADMIN");
	return err != -EPERM;
}

static void on_adopted(void *ctx, struct nlattr **attrs)
{
	if (attrs[DSM_A_ADOPTED])
		*(bool *)ctx = nla_get_u32(attrs[DSM_A_ADOPTED]);
}

static int bind_node(struct pager *p, const struct pager_config *cfg, bool *adopted)
{
	struct nl_msg *msg = kmod_ctl_new(&p->ctl, DSM_CMD_BIND, false);
	uint32_t recovery = cfg->recovery_ms;
	int err = 0;

	if (recovery > DSM_RECOVERY_MAX_MS)
		recovery = DSM_RECOVERY_MAX_MS;
	if (msg)
		err = nla_put_u16(msg, DSM_A_PORT, cfg->port) ||
		      nla_put_u32(msg, DSM_A_FD, (uint32_t)p->fd) ||
		      nla_put_u32(msg, DSM_A_RECOVERY_MS, recovery) ||
		      nla_put_u32(msg, DSM_A_UPCALL, DSM_UPCALL_READ);
	return kmod_ctl_ask(&p->ctl, msg, err, on_adopted, adopted);
}

/* --- runs of pages --- */

/* In parts that the module takes. */
static int run_do(struct pager *p, unsigned long cmd, uint16_t region, uint64_t page,
		  uint32_t count, const void *data, uint16_t mode)
{
	const char *at = data;

	while (count) {
		uint32_t part = count < DSM_RUN_PAGES_MAX ? count : DSM_RUN_PAGES_MAX;
		struct dsm_run run = {
			.page = page,
			.data = (uintptr_t)at,
			.count = part,
			.region = region,
			.mode = mode,
		};
		struct dsm_runs runs = { .runs = (uintptr_t)&run, .count = 1 };

		if (ioctl(p->fd, cmd, &runs) < 0)
			return -errno;
		if (run.result)
			return run.result;
		page += part;
		count -= part;
		if (at)
			at += (size_t)part * PAGER_PAGE_SIZE;
	}
	return 0;
}

static int install(struct pager *p, uint16_t region, uint64_t page, uint32_t count,
		   const void *data, enum pager_prot prot)
{
	return run_do(p, DSM_IOC_INSTALL, region, page, count, data, (uint16_t)prot);
}

/* The module takes the bytes from anywhere, with the one copy there has to be. */
static void *landing(struct pager *p, uint16_t region, uint64_t page, uint32_t count)
{
	(void)p;
	(void)region;
	(void)page;
	(void)count;
	return NULL;
}

static int upgrade(struct pager *p, uint16_t region, uint64_t page, uint32_t count)
{
	return run_do(p, DSM_IOC_UPGRADE, region, page, count, NULL, 0);
}

static int downgrade(struct pager *p, uint16_t region, uint64_t page, uint32_t count)
{
	return run_do(p, DSM_IOC_REVOKE, region, page, count, NULL, DSM_REVOKE_DOWNGRADE);
}

static int drop(struct pager *p, uint16_t region, uint64_t page, uint32_t count)
{
	return run_do(p, DSM_IOC_REVOKE, region, page, count, NULL, DSM_REVOKE_DROP);
}

static int take(struct pager *p, uint16_t region, uint64_t page, void *buf)
{
	return run_do(p, DSM_IOC_REVOKE, region, page, 1, buf, DSM_REVOKE_TAKE);
}

static int read_pages(struct pager *p, uint16_t region, uint64_t page, uint32_t count, void *buf)
{
	return run_do(p, DSM_IOC_READ, region, page, count, buf, 0);
}

/* From the page cache to the socket, without a stay in the agent's memory. */
static ssize_t send_pages(struct pager *p, uint16_t region, uint64_t page, uint32_t count, int sock,
			  const void *head, size_t len)
{
	struct dsm_send send = {
		.head = (uintptr_t)head,
		.page = page,
		.count = count,
		.head_len = (uint32_t)len,
		.socket = sock,
		.region = region,
	};
	int sent;

	if (count > DSM_SEND_PAGES_MAX || len > DSM_SEND_HEAD_MAX)
		return -E2BIG;
	sent = ioctl(p->fd, DSM_IOC_SEND, &send);
	return sent < 0 ? -errno : sent;
}

static int fail(struct pager *p, uint16_t region, uint64_t page, uint32_t count, int error)
{
	struct nl_msg *msg = kmod_ctl_new(&p->ctl, DSM_CMD_REQS_SET, false);
	struct dsm_answer answer = {
		.page = page,
		.count = count,
		.region = region,
		.error = error > 0 ? -error : error,
	};
	int err = msg ? nla_put(msg, DSM_A_ANSWERS, sizeof(answer), &answer) : 0;

	return kmod_ctl_ask(&p->ctl, msg, err, NULL, NULL);
}

/* --- faults --- */

static void ready(struct pager *p, int fd)
{
	struct dsm_req reqs[READ_REQS];
	ssize_t len;

	/* A short batch was all: what comes after makes it readable again. */
	do {
		len = read(fd, reqs, sizeof(reqs));
		if (len < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (len <= 0) {
			p->host->broken(p->host->ctx, len < 0 ? -errno : -ENODEV);
			return;
		}
		for (size_t i = 0; i < (size_t)len / sizeof(reqs[0]); i++)
			p->host->fault(p->host->ctx, reqs[i].region, reqs[i].page, reqs[i].count,
				       reqs[i].flags & DSM_REQ_WRITE,
				       reqs[i].flags & DSM_REQ_PREFETCH);
	} while (len == sizeof(reqs));
}

/* --- open and close --- */

struct stale_run {
	uint64_t page;
	uint32_t count;
	uint16_t region;
};

struct stale_pages {
	struct stale_run *runs;
	size_t n;
	int err;
};

static void on_stale(void *ctx, uint16_t region, uint64_t page, uint32_t count,
		     enum pager_prot prot)
{
	struct stale_pages *stale = ctx;
	struct stale_run *grown = realloc(stale->runs, (stale->n + 1) * sizeof(*grown));

	(void)prot;
	if (!grown) {
		stale->err = -ENOMEM;
		return;
	}
	stale->runs = grown;
	grown[stale->n++] = (struct stale_run){ page, count, region };
}

/*
 * Adopted from an agent that was in no cluster: nobody knows what its pages
 * are worth, and the core starts without any.
 */
static int forget_pages(struct pager *p)
{
	struct stale_pages stale = { 0 };
	struct pager_identity id;
	int err = kmod_identity_get(p, &id);

	if (err != -ENOENT)
		return err;
	err = kmod_pages(p, on_stale, &stale);
	if (!err)
		err = stale.err;
	for (size_t i = 0; i < stale.n && !err; i++)
		err = drop(p, stale.runs[i].region, stale.runs[i].page, stale.runs[i].count);
	free(stale.runs);
	return err;
}

static int pager_open(const struct pager_config *cfg, struct pager **ret)
{
	struct pager *p = calloc(1, sizeof(*p));
	bool adopted = false;
	int err;

	if (!p)
		return -ENOMEM;
	p->host = cfg->host;
	p->fd = open(DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	err = p->fd < 0 ? -errno : 0;
	if (!err)
		err = kmod_ctl_open(&p->ctl);
	if (!err)
		err = bind_node(p, cfg, &adopted);
	if (!err && adopted)
		err = forget_pages(p);
	if (!err)
		err = p->host->watch(p->host->ctx, p->fd);
	if (err) {
		kmod_ctl_close(&p->ctl);
		if (p->fd >= 0)
			close(p->fd);
		free(p);
		return err;
	}
	*ret = p;
	return 0;
}

static void pager_close(struct pager *p, bool keep)
{
	if (!keep)
		(void)kmod_ctl_ask(&p->ctl, kmod_ctl_new(&p->ctl, DSM_CMD_UNBIND, false), 0, NULL,
				   NULL);
	p->host->unwatch(p->host->ctx, p->fd);
	kmod_ctl_close(&p->ctl);
	close(p->fd);
	free(p);
}

const struct pager_ops pager_kmod = {
	.name = "kmod",
	.usable = usable,
	.open = pager_open,
	.close = pager_close,
	.ready = ready,
	.region_add = kmod_region_add,
	.region_del = kmod_region_del,
	.install = install,
	.landing = landing,
	.upgrade = upgrade,
	.downgrade = downgrade,
	.drop = drop,
	.take = take,
	.read = read_pages,
	.send = send_pages,
	.fail = fail,
	.identity_get = kmod_identity_get,
	.identity_set = kmod_identity_set,
	.regions = kmod_regions,
	.pages = kmod_pages,
};
