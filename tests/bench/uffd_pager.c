// SPDX-License-Identifier: MIT
/*
 * uffd_pager [PAGES]: what the userfaultfd pager adds to bare userfaultfd.
 *
 * A program touches pages; this process serves its faults, once with nothing
 * but read, UFFDIO_COPY and poll, once through the pager with a host that
 * installs at once. Then what each of the pager's operations costs per page, and
 * the choice behind landing(): a copy from a warm buffer against receiving into
 * a mapping of one's own. Both processes run on cpu 0. Prints NAME VALUE UNIT.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/pager/uffd.h"
#include "lib/uffd_setup.h"
#include "tests/bench/measure.h"
#include "tests/unit/uffd_puppet.h"

#define REGION 0

struct program {
	pid_t pid;
	int sock, uffd;
	uint64_t base;
};

static const struct pager_ops *ops = &pager_uffd;
static struct pager *pager;
static uint32_t npages;
static uint8_t warm[PAGER_PAGE_SIZE] __attribute__((aligned(4096)));

static void host_fault(void *ctx, uint16_t region, uint64_t page, uint32_t count, bool write,
		       bool prefetch)
{
	(void)ctx;
	(void)prefetch;
	if (ops->install(pager, region, page, count, warm, write ? PAGER_WRITE : PAGER_READ))
		die("install");
}

static int host_watch(void *ctx, int fd)
{
	(void)ctx;
	(void)fd;
	return 0;
}

static void host_unwatch(void *ctx, int fd)
{
	(void)ctx;
	(void)fd;
}

static void host_broken(void *ctx, int err)
{
	(void)ctx;
	errno = -err;
	die("pager");
}

static const struct pager_host host = {
	.fault = host_fault,
	.watch = host_watch,
	.unwatch = host_unwatch,
	.broken = host_broken,
};

static void touch_all(const char *name, const volatile char *map)
{
	uint64_t *v = calloc(npages, sizeof(*v));

	memset(v, 0, npages * sizeof(*v));
	for (uint32_t i = 0; i < npages; i++) {
		uint64_t start = now_ns();

		(void)map[i * PAGER_PAGE_SIZE + 8];
		v[i] = now_ns() - start;
	}
	put_latency(name, v, npages);
	free(v);
}

/* The program: hands its userfaultfd over, waits for the word, touches every page. */
static void live(int sock, int memfd, const char *name)
{
	size_t size = (size_t)npages * PAGER_PAGE_SIZE;
	char *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0), word;
	int fd = dsm_uffd_open();

	if (map == MAP_FAILED || fd < 0 || dsm_uffd_register(fd, map, size) ||
	    puppet_hand_over(sock, fd, (uintptr_t)map))
		die("userfaultfd");
	if (read(sock, &word, 1) != 1)
		_exit(1);
	if (name)
		touch_all(name, map);
	else
		(void)!read(sock, &word, 1);
	_exit(0);
}

static struct program start(int memfd, const char *name)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct program p;
	struct iovec iov = { &p.base, sizeof(p.base) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	int s[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s))
		die("socketpair");
	fflush(stdout);
	p.pid = fork();
	if (!p.pid) {
		close(s[0]);
		live(s[1], memfd, name);
	}
	close(s[1]);
	p.sock = s[0];
	if (recvmsg(p.sock, &msg, 0) != sizeof(p.base) || !CMSG_FIRSTHDR(&msg))
		die("recvmsg");
	memcpy(&p.uffd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(p.uffd));
	if (write(p.sock, "", 1) != 1)
		die("write");
	return p;
}

/* Serves until the program has ended. */
static void serve(struct program *p, void (*ready)(int fd, uint64_t base))
{
	struct pollfd f[2] = { { p->uffd, POLLIN, 0 }, { p->sock, POLLIN, 0 } };

	while (poll(f, 2, 10000) > 0 && !f[1].revents)
		ready(p->uffd, p->base);
	close(p->sock);
	waitpid(p->pid, NULL, 0);
}

static void ready_bare(int fd, uint64_t base)
{
	struct uffd_msg m[32];
	ssize_t n = read(fd, m, sizeof(m));

	(void)base;
	for (ssize_t i = 0; i < n / (ssize_t)sizeof(m[0]); i++) {
		struct uffdio_copy copy = {
			.dst = m[i].arg.pagefault.address & ~(uint64_t)(PAGER_PAGE_SIZE - 1),
			.src = (uintptr_t)warm,
			.len = PAGER_PAGE_SIZE,
			.mode = UFFDIO_COPY_MODE_WP,
		};

		if (ioctl(fd, UFFDIO_COPY, &copy))
			die("UFFDIO_COPY");
	}
}

static void ready_pager(int fd, uint64_t base)
{
	(void)base;
	ops->ready(pager, fd);
}

static void bench_bare(const char *name)
{
	int memfd = memfd_create("bench", MFD_CLOEXEC);
	struct program p;

	if (memfd < 0 || ftruncate(memfd, (off_t)npages * PAGER_PAGE_SIZE))
		die("memfd");
	p = start(memfd, name);
	serve(&p, ready_bare);
	close(p.uffd);
	close(memfd);
}

static struct program pager_begin(const char *name)
{
	struct pager_config cfg = { .port = 1, .host = &host };
	struct program p;

	if (ops->open(&cfg, &pager) ||
	    ops->region_add(pager, REGION, "bench", (uint64_t)npages * PAGER_PAGE_SIZE))
		die("pager");
	p = start(ops->region_fd(pager, REGION), name);
	if (ops->attach(pager, REGION, p.uffd, p.base, p.pid, 1))
		die("attach");
	return p;
}

static void bench_pager(const char *name)
{
	struct program p = pager_begin(name);

	serve(&p, ready_pager);
	ops->close(pager, false);
}

#define PER_PAGE(name, call)                                                                       \
	do {                                                                                       \
		uint64_t start_ = now_ns();                                                        \
		for (uint32_t i = 0; i < npages; i++) {                                            \
			if (call)                                                                  \
				die(name);                                                         \
		}                                                                                  \
		printf(name " %.3f us\n", (double)(now_ns() - start_) / 1e3 / npages);             \
	} while (0)

static void bench_operations(void)
{
	struct program p = pager_begin(NULL);
	static uint8_t out[PAGER_PAGE_SIZE];

	PER_PAGE("pager_install_read", ops->install(pager, REGION, i, 1, warm, PAGER_READ));
	PER_PAGE("pager_upgrade", ops->upgrade(pager, REGION, i, 1));
	PER_PAGE("pager_read", ops->read(pager, REGION, i, 1, out));
	PER_PAGE("pager_downgrade", ops->downgrade(pager, REGION, i, 1));
	PER_PAGE("pager_drop", ops->drop(pager, REGION, i, 1));
	PER_PAGE("pager_install_zero", ops->install(pager, REGION, i, 1, NULL, PAGER_WRITE));
	PER_PAGE("pager_take", ops->take(pager, REGION, i, out));
	close(p.sock);
	waitpid(p.pid, NULL, 0);
	ops->close(pager, false);
}

/* The other way to install: into the agent's own mapping, then UFFDIO_CONTINUE. */
static int land(uint8_t *view, const struct program *p, uint32_t page)
{
	struct uffdio_continue cont = {
		.range = { p->base + (uint64_t)page * PAGER_PAGE_SIZE, PAGER_PAGE_SIZE },
		.mode = UFFD_CONTINUE_WP,
	};

	memcpy(view + (size_t)page * PAGER_PAGE_SIZE, warm, PAGER_PAGE_SIZE);
	return ioctl(p->uffd, UFFDIO_CONTINUE, &cont);
}

static void bench_landing(void)
{
	size_t size = (size_t)npages * PAGER_PAGE_SIZE;
	int memfd = memfd_create("bench", MFD_CLOEXEC);
	struct program p;
	uint8_t *view;

	if (memfd < 0 || ftruncate(memfd, (off_t)size))
		die("memfd");
	view = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	if (view == MAP_FAILED)
		die("mmap");
	p = start(memfd, NULL);
	PER_PAGE("landing_install_read", land(view, &p, i));
	close(p.sock);
	waitpid(p.pid, NULL, 0);
	munmap(view, size);
	close(p.uffd);
	close(memfd);
}

int main(int argc, char **argv)
{
	npages = argc > 1 ? (uint32_t)atoi(argv[1]) : 8192;
	memset(warm, 1, sizeof(warm));
	pin(0);
	bench_bare("warm_up");
	bench_bare("uffd_bare");
	bench_pager("uffd_pager");
	bench_operations();
	bench_landing();
	return 0;
}
