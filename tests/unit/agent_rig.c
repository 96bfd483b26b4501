// SPDX-License-Identifier: MIT
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "agent/log.h"
#include "tests/unit/agent_rig.h"

struct rig rig;

/* --- the pager --- */

static struct rig_page *rig_page(struct pager *p, uint16_t region, uint64_t page)
{
	static struct rig_page elsewhere;

	return !region && page < RIG_PAGES ? &p->pages[page] : &elsewhere;
}

static bool rig_usable(char *why, size_t len)
{
	if (len)
		*why = '\0';
	return true;
}

static bool rig_unusable(char *why, size_t len)
{
	snprintf(why, len, "this is a test");
	return false;
}

/* What the module would keep of a dead agent: its pager, for the next one on the same port. */
static struct {
	uint16_t port;
	struct pager *pager;
} kept[RIG_AGENTS];

static int fake_open(const struct pager_config *cfg, struct pager **ret)
{
	struct pager *p = NULL;

	for (unsigned int i = 0; i < RIG_AGENTS && !p; i++) {
		if (kept[i].port != cfg->port)
			continue;
		p = kept[i].pager;
		kept[i].port = 0;
		kept[i].pager = NULL;
	}
	if (!p)
		p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->host = cfg->host;
	*ret = p;
	return 0;
}

static void fake_close(struct pager *p, bool keep)
{
	const struct agent *a = p->host->ctx;

	for (unsigned int i = 0; i < RIG_AGENTS && keep; i++) {
		if (kept[i].pager)
			continue;
		kept[i].port = a->cfg->port;
		kept[i].pager = p;
		return;
	}
	free(p);
}

static int fake_identity_get(struct pager *p, struct pager_identity *ret)
{
	if (!p->identity.cluster)
		return -ENOENT;
	*ret = p->identity;
	return 0;
}

static int fake_identity_set(struct pager *p, const struct pager_identity *id)
{
	p->identity = *id;
	return 0;
}

static int fake_pages(struct pager *p,
		      void (*fn)(void *ctx, uint16_t region, uint64_t page, uint32_t count,
				 enum pager_prot prot),
		      void *ctx)
{
	for (uint64_t i = 0; i < RIG_PAGES; i++)
		if (p->pages[i].prot != PAGER_NONE)
			fn(ctx, 0, i, 1, p->pages[i].prot);
	return 0;
}

static void fake_ready(struct pager *p, int fd)
{
	(void)p;
	(void)fd;
}

static int fake_region_add(struct pager *p, uint16_t region, const char *name, uint64_t size)
{
	(void)p;
	(void)region;
	(void)name;
	(void)size;
	return 0;
}

static int fake_region_del(struct pager *p, uint16_t region)
{
	(void)p;
	(void)region;
	return 0;
}

static int fake_install(struct pager *p, uint16_t region, uint64_t page, uint32_t count,
			const void *data, enum pager_prot prot)
{
	for (uint32_t i = 0; i < count; i++) {
		struct rig_page *to = rig_page(p, region, page + i);

		if (data)
			memcpy(to->bytes, (const char *)data + (size_t)i * PAGER_PAGE_SIZE,
			       PAGER_PAGE_SIZE);
		else
			memset(to->bytes, 0, PAGER_PAGE_SIZE);
		to->prot = prot;
	}
	return 0;
}

static int fake_upgrade(struct pager *p, uint16_t region, uint64_t page, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		rig_page(p, region, page + i)->prot = PAGER_WRITE;
	return 0;
}

static int fake_revoke(struct pager *p, uint16_t region, uint64_t page, uint32_t count,
		       enum pager_prot prot)
{
	p->revokes++;
	if (p->busy) {
		p->busy--;
		return -EBUSY;
	}
	for (uint32_t i = 0; i < count; i++)
		rig_page(p, region, page + i)->prot = prot;
	return 0;
}

static int fake_downgrade(struct pager *p, uint16_t region, uint64_t page, uint32_t count)
{
	return fake_revoke(p, region, page, count, PAGER_READ);
}

static int fake_drop(struct pager *p, uint16_t region, uint64_t page, uint32_t count)
{
	return fake_revoke(p, region, page, count, PAGER_NONE);
}

static int fake_take(struct pager *p, uint16_t region, uint64_t page, void *buf)
{
	int err = fake_revoke(p, region, page, 1, PAGER_NONE);

	if (!err)
		memcpy(buf, rig_page(p, region, page)->bytes, PAGER_PAGE_SIZE);
	return err;
}

static int fake_read(struct pager *p, uint16_t region, uint64_t page, uint32_t count, void *buf)
{
	for (uint32_t i = 0; i < count; i++)
		memcpy((char *)buf + (size_t)i * PAGER_PAGE_SIZE,
		       rig_page(p, region, page + i)->bytes, PAGER_PAGE_SIZE);
	return 0;
}

/* Head and pages, cut off where a socket might be full. */
static ssize_t fake_send(struct pager *p, uint16_t region, uint64_t page, uint32_t count, int sock,
			 const void *head, size_t len)
{
	static char bytes[65536 + CORE_MSG_PAGES * PAGER_PAGE_SIZE];
	size_t all = len + (size_t)count * PAGER_PAGE_SIZE;
	ssize_t sent;

	if (!p->takes || len > 65536)
		return -EAGAIN;
	memcpy(bytes, head, len);
	fake_read(p, region, page, count, bytes + len);
	sent = send(sock, bytes, all < p->takes ? all : p->takes, MSG_DONTWAIT | MSG_NOSIGNAL);
	p->sends++;
	return sent < 0 ? -errno : sent;
}

static int fake_fail(struct pager *p, uint16_t region, uint64_t page, uint32_t count, int err)
{
	for (uint32_t i = 0; i < count; i++)
		rig_page(p, region, page + i)->failed = err;
	return 0;
}

static int fake_region_fd(struct pager *p, uint16_t region)
{
	(void)p;
	return region ? -ENOENT : STDIN_FILENO;
}

static int fake_attach(struct pager *p, uint16_t region, int uffd, uint64_t base, pid_t pid,
		       uint64_t cookie)
{
	(void)region;
	(void)base;
	(void)pid;
	(void)cookie;
	close(uffd);
	p->attached++;
	return 0;
}

static void fake_detach(struct pager *p, uint64_t cookie)
{
	(void)cookie;
	p->attached--;
}

const struct pager_ops pager_uffd = {
	.name = "uffd",
	.usable = rig_usable,
	.open = fake_open,
	.close = fake_close,
	.ready = fake_ready,
	.region_add = fake_region_add,
	.region_del = fake_region_del,
	.install = fake_install,
	.upgrade = fake_upgrade,
	.downgrade = fake_downgrade,
	.drop = fake_drop,
	.take = fake_take,
	.read = fake_read,
	.send = fake_send,
	.fail = fake_fail,
	.region_fd = fake_region_fd,
	.attach = fake_attach,
	.detach = fake_detach,
	.identity_get = fake_identity_get,
	.identity_set = fake_identity_set,
	.pages = fake_pages,
};

const struct pager_ops pager_kmod = { .name = "kmod", .usable = rig_unusable };

struct pager *rig_pager(unsigned int i)
{
	return rig.agent[i].pager;
}

/* --- agents --- */

/* Below the ports that the system gives out by itself, and not in use now. */
static uint16_t free_port(void)
{
	static unsigned int next;
	int fd, err;

	for (int tries = 0; tries < 10000; tries++) {
		struct sockaddr_in sa = { .sin_family = AF_INET };

		sa.sin_port = htons(
			(uint16_t)(10000 + ((unsigned int)getpid() * 16 + next++) % 9000));
		fd = socket(AF_INET, SOCK_STREAM, 0);
		err = bind(fd, (struct sockaddr *)&sa, sizeof(sa));
		close(fd);
		if (!err)
			return ntohs(sa.sin_port);
	}
	abort();
}

/* At the end of the program too, for who does not close. */
static void remove_files(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", rig.run_dir);
	if (*rig.run_dir && system(command))
		perror(command);
	*rig.run_dir = '\0';
}

void rig_open(void)
{
	const char *level = getenv("DSM_RIG_LOG");
	static bool registered;

	memset(&rig, 0, sizeof(rig));
	if (!registered)
		registered = !atexit(remove_files);
	/* DSM_RIG_LOG=0 shows what the agents say. */
	log_level_set(level ? atoi(level) : LOG_LEVEL_ERROR + 1);
	strcpy(rig.run_dir, "/tmp/dsm-rig-XXXXXX");
	assert(mkdtemp(rig.run_dir));
	assert(!uv_loop_init(&rig.loop));
}

static bool is_member(void *ctx)
{
	struct core_info info;

	core_info_get(((struct agent *)ctx)->core, &info);
	return info.state == CORE_MEMBER;
}

int rig_start(unsigned int i, void (*change)(struct config *cfg))
{
	struct config *cfg = &rig.cfg[i];

	config_defaults(cfg);
	cfg->port = free_port();
	cfg->discovery = false;
	cfg->chunks = 64;
	cfg->hold_us = 0;
	cfg->standalone = !i;
	if (i) {
		cfg->nseeds = 1;
		cfg->seeds[0] = (struct core_addr){ .ip = { [10] = 0xff, 0xff, 127, 0, 0, 1 },
						    .port = rig.cfg[0].port };
	}
	strcpy(cfg->run_dir, rig.run_dir);
	if (change)
		change(cfg);
	return rig_start_again(i);
}

int rig_start_again(unsigned int i)
{
	struct config *cfg = &rig.cfg[i];
	int status;

	status = agent_start(&rig.agent[i], &rig.loop, cfg);
	rig.running[i] = true;
	if (status)
		rig_stop(i);
	else
		assert(rig_until(is_member, &rig.agent[i]));
	return status;
}

void rig_stop(unsigned int i)
{
	if (!rig.running[i])
		return;
	rig.running[i] = false;
	agent_stop(&rig.agent[i]);
	rig_turn();
}

void rig_close(void)
{
	for (unsigned int i = 0; i < RIG_AGENTS; i++)
		rig_stop(i);
	uv_run(&rig.loop, UV_RUN_DEFAULT);
	assert(!uv_loop_close(&rig.loop));
	for (unsigned int i = 0; i < RIG_AGENTS; i++) {
		free(kept[i].pager);
		kept[i].pager = NULL;
		kept[i].port = 0;
	}
	remove_files();
}

void rig_kill(unsigned int i)
{
	rig.agent[i].keep_pages = true;
	rig_stop(i);
}

static void wake(uv_timer_t *timer)
{
	(void)timer;
}

bool rig_until(bool (*done)(void *ctx), void *ctx)
{
	uint64_t deadline = agent_now_us() + RIG_DEADLINE_MS * 1000;
	uv_timer_t timer;
	bool ok;

	uv_timer_init(&rig.loop, &timer);
	uv_timer_start(&timer, wake, 5, 5); /* what @done looks at may not be the loop's */
	while (!(ok = done(ctx)) && agent_now_us() < deadline)
		uv_run(&rig.loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&timer, NULL);
	uv_run(&rig.loop, UV_RUN_NOWAIT);
	return ok;
}

void rig_turn(void)
{
	for (int i = 0; i < 8; i++)
		uv_run(&rig.loop, UV_RUN_NOWAIT);
}

struct touch {
	struct rig_page *page;
	enum pager_prot want;
};

static bool touched(void *ctx)
{
	struct touch *t = ctx;

	return t->page->prot >= t->want || t->page->failed;
}

bool rig_touch(unsigned int i, uint64_t page, bool write)
{
	struct pager *p = rig_pager(i);
	struct touch t = { &p->pages[page], write ? PAGER_WRITE : PAGER_READ };

	t.page->failed = 0;
	if (t.page->prot >= t.want)
		return true;
	p->host->fault(p->host->ctx, 0, page, 1, write, false);
	return rig_until(touched, &t) && !t.page->failed;
}

/* --- sessions --- */

int rig_connect(unsigned int i)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/dsmd-%u.sock", rig.run_dir, rig.cfg[i].port);
	assert(fd >= 0 && !connect(fd, (struct sockaddr *)&sa, sizeof(sa)));
	return fd;
}

void rig_send(int session, const struct client_req *req, const void *payload)
{
	struct iovec iov[2] = { { (void *)(uintptr_t)req, sizeof(*req) },
				{ (void *)(uintptr_t)payload, req->length } };
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = 2 };

	assert(sendmsg(session, &mh, MSG_NOSIGNAL) == (ssize_t)(sizeof(*req) + req->length));
}

static bool readable(void *ctx)
{
	struct pollfd p = { .fd = *(int *)ctx, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

bool rig_has_reply(int session)
{
	rig_turn();
	return readable(&session);
}

bool rig_receive(int session, struct client_rep *ret, void *payload, int *ret_fd)
{
	static char scrap[CLIENT_PACKET_MAX];
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov[2] = { { ret, sizeof(*ret) },
				{ payload ? payload : scrap, CLIENT_PACKET_MAX - sizeof(*ret) } };
	struct msghdr mh = {
		.msg_iov = iov,
		.msg_iovlen = 2,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *h;
	ssize_t got;
	int fd = -1;

	assert(rig_until(readable, &session));
	got = recvmsg(session, &mh, MSG_CMSG_CLOEXEC);
	if (got <= 0)
		return false;
	assert(got == (ssize_t)(sizeof(*ret) + ret->length));
	h = CMSG_FIRSTHDR(&mh);
	if (h)
		memcpy(&fd, CMSG_DATA(h), sizeof(fd));
	if (ret_fd)
		*ret_fd = fd;
	else if (fd >= 0)
		close(fd);
	return true;
}

int rig_ask(int session, const struct client_req *req, struct client_rep *ret)
{
	struct client_rep rep;

	rig_send(session, req, NULL);
	if (!ret)
		ret = &rep;
	assert(rig_receive(session, ret, NULL, NULL));
	assert(ret->ticket == req->ticket && ret->type == req->type);
	return ret->err;
}

int rig_session(unsigned int i, uint32_t flags, uint32_t *ret_number)
{
	struct client_req req = { .type = CLIENT_HELLO, .arg = CLIENT_PROTO_VERSION, .id = flags };
	int session = rig_connect(i);
	struct client_rep rep;

	if (flags == HELLO_THREAD)
		req.key = *ret_number;
	assert(!rig_ask(session, &req, &rep));
	if (ret_number)
		*ret_number = (uint32_t)rep.val[0];
	return session;
}
