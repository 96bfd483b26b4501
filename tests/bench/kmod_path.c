// SPDX-License-Identifier: MIT
/*
 * The module's own path: a load of a missing page, the upcall, an agent process
 * that answers with one page of bytes, and the return. Beside it the same by
 * userfaultfd with a handler process. Prints nanoseconds per fault; in a guest
 * under -icount shift=0 these are instructions.
 *
 *	kmod_path RUNS		lines "kmod_path MODULE USERFAULTFD RATIO"
 */
#include <err.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/pager/kmod.h"

#define PAGE   4096ul
#define WARM   256ul
#define FAULTS 2048ul
#define ALL    (WARM + FAULTS)
#define PORT   9900

static char bytes[PAGE] __attribute__((aligned(4096)));

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Touches all pages; the time of one, the first ones aside. */
static double touch_pages(const volatile char *map)
{
	uint64_t start = 0;

	for (size_t i = 0; i < ALL; i++) {
		if (i == WARM)
			start = now_ns();
		if (map[i * PAGE] != 'b')
			errx(1, "page %zu has wrong bytes", i);
	}
	return (double)(now_ns() - start) / FAULTS;
}

/* --- the module --- */

static int agent_bind(struct kmod_ctl *ctl)
{
	int fd = open("/dev/dsm", O_RDWR);
	struct nl_msg *msg;

	if (fd < 0)
		err(1, "/dev/dsm");
	if (kmod_ctl_open(ctl))
		errx(1, "no netlink family");
	msg = kmod_ctl_new(ctl, DSM_CMD_BIND, false);
	nla_put_u16(msg, DSM_A_PORT, PORT);
	nla_put_u32(msg, DSM_A_FD, (uint32_t)fd);
	nla_put_u32(msg, DSM_A_RECOVERY_MS, 0);
	if (kmod_ctl_ask(ctl, msg, 0, NULL, NULL))
		errx(1, "bind: %s", ctl->why);
	msg = kmod_ctl_new(ctl, DSM_CMD_REGION_NEW, false);
	nla_put_u16(msg, DSM_A_REGION, 0);
	nla_put_string(msg, DSM_A_NAME, "default");
	nla_put_u64(msg, DSM_A_SIZE, ALL * PAGE);
	if (kmod_ctl_ask(ctl, msg, 0, NULL, NULL))
		errx(1, "region: %s", ctl->why);
	return fd;
}

static void agent_answer(int fd)
{
	struct dsm_req req;

	while (read(fd, &req, sizeof(req)) == sizeof(req)) {
		struct dsm_run run = {
			.page = req.page,
			.count = 1,
			.region = req.region,
			.mode = DSM_PAGE_SHARED,
			.data = (uintptr_t)bytes,
		};
		struct dsm_runs runs = { .runs = (uintptr_t)&run, .count = 1 };

		if (ioctl(fd, DSM_IOC_INSTALL, &runs))
			err(1, "install: %d", run.result);
	}
}

static void agent(int ready)
{
	struct kmod_ctl ctl;
	int fd = agent_bind(&ctl);

	if (write(ready, "r", 1) != 1)
		err(1, "ready");
	agent_answer(fd);
}

static double by_module(void)
{
	int ends[2], fd;
	double ns;
	char ready;
	void *map;
	pid_t pid;

	if (pipe(ends))
		err(1, "pipe");
	pid = fork();
	if (!pid) {
		agent(ends[1]);
		_exit(0);
	}
	close(ends[1]);
	if (read(ends[0], &ready, 1) != 1)
		errx(1, "no agent");
	fd = open("/dev/dsm", O_RDWR);
	map = mmap(NULL, ALL * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		err(1, "mmap of /dev/dsm");
	ns = touch_pages(map);
	munmap(map, ALL * PAGE);
	close(fd);
	close(ends[0]);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return ns;
}

/* --- userfaultfd --- */

static void send_fd(int to, int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof(fd))] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	if (sendmsg(to, &msg, 0) != 1)
		err(1, "sendmsg");
}

static int receive_fd(int from)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	int fd;

	if (recvmsg(from, &msg, 0) != 1 || !CMSG_FIRSTHDR(&msg))
		err(1, "recvmsg");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

static void handler_answer(int from)
{
	int fd = receive_fd(from);
	struct uffd_msg msg;

	while (read(fd, &msg, sizeof(msg)) == sizeof(msg)) {
		struct uffdio_copy copy = {
			.dst = msg.arg.pagefault.address & ~(PAGE - 1),
			.src = (uintptr_t)bytes,
			.len = PAGE,
		};

		if (ioctl(fd, UFFDIO_COPY, &copy))
			err(1, "UFFDIO_COPY");
	}
}

static void *uffd_map(int *ret_fd)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	void *map = mmap(NULL, ALL * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			 0);

	*ret_fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	if (map == MAP_FAILED || *ret_fd < 0)
		err(1, "userfaultfd");
	madvise(map, ALL * PAGE, MADV_NOHUGEPAGE);
	reg.range.start = (uintptr_t)map;
	reg.range.len = ALL * PAGE;
	if (ioctl(*ret_fd, UFFDIO_API, &api) || ioctl(*ret_fd, UFFDIO_REGISTER, &reg))
		err(1, "UFFDIO_REGISTER");
	return map;
}

static double by_userfaultfd(void)
{
	int pair[2], fd;
	double ns;
	void *map;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		err(1, "socketpair");
	pid = fork();
	if (!pid) {
		handler_answer(pair[1]);
		_exit(0);
	}
	map = uffd_map(&fd);
	send_fd(pair[0], fd);
	ns = touch_pages(map);
	munmap(map, ALL * PAGE);
	close(fd);
	close(pair[0]);
	close(pair[1]);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return ns;
}

int main(int argc, char **argv)
{
	int runs = argc > 1 ? atoi(argv[1]) : 1;

	memset(bytes, 'b', sizeof(bytes));
	for (int i = 0; i < runs; i++) {
		double module = by_module(), floor = by_userfaultfd();

		printf("kmod_path %.0f %.0f %.3f\n", module, floor, module / floor);
		fflush(stdout);
	}
	return 0;
}
