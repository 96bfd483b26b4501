// SPDX-License-Identifier: MIT
#include "tests/unit/uffd_puppet.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/uffd_setup.h"

#define PAGE 4096u

struct order {
	uint64_t op, page, value;
};

static uint8_t *map;
static sigjmp_buf bus_jump;
static void *volatile bus_address;

static _Atomic uint64_t *word(uint64_t page)
{
	return (_Atomic uint64_t *)(map + page * PAGE);
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	bus_address = info->si_addr;
	siglongjmp(bus_jump, 1);
}

static uint64_t try_read(uint64_t page)
{
	struct sigaction act = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

	sigaction(SIGBUS, &act, NULL);
	if (sigsetjmp(bus_jump, 1))
		return (uintptr_t)bus_address;
	return atomic_load(word(page));
}

static uint64_t deaf_read(uint64_t page)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGBUS);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return atomic_load(word(page));
}

static void *add(void *arg)
{
	const struct order *o = arg;

	for (uint64_t i = 0; i < o->value; i++)
		atomic_fetch_add(word(i % o->page), 1);
	return NULL;
}

static uint64_t add_all(struct order *o)
{
	pthread_t t[PUPPET_THREADS];

	for (int i = 0; i < PUPPET_THREADS; i++) {
		if (pthread_create(&t[i], NULL, add, o))
			_exit(1);
	}
	for (int i = 0; i < PUPPET_THREADS; i++)
		pthread_join(t[i], NULL);
	return 0;
}

static uint64_t obey(struct order *o)
{
	switch (o->op) {
	case PUPPET_READ:
		return atomic_load(word(o->page));
	case PUPPET_WRITE:
		atomic_store(word(o->page), o->value);
		return 0;
	case PUPPET_TRY_READ:
		return try_read(o->page);
	case PUPPET_DEAF_READ:
		return deaf_read(o->page);
	case PUPPET_DISCARD:
		return (uint64_t)madvise(map + o->page * PAGE, PAGE, MADV_DONTNEED);
	case PUPPET_SPLIT:
		return (uint64_t)mprotect(map + o->page * PAGE, PAGE, PROT_READ);
	case PUPPET_ADD:
		return add_all(o);
	default:
		_exit(1);
	}
}

int puppet_hand_over(int sock, int fd, uint64_t base)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { &base, sizeof(base) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(sock, &msg, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

static int receive_uffd(struct puppet *p)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &p->base, sizeof(p->base) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};

	if (recvmsg(p->sock, &msg, MSG_CMSG_CLOEXEC) != sizeof(p->base) || !CMSG_FIRSTHDR(&msg))
		return -1;
	memcpy(&p->uffd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(p->uffd));
	return 0;
}

static void live(int sock, int memfd, uint64_t pages)
{
	int fd = dsm_uffd_open();
	struct order o;
	uint64_t ret;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	map = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	if (map == MAP_FAILED || fd < 0 || dsm_uffd_register(fd, map, pages * PAGE) ||
	    puppet_hand_over(sock, fd, (uintptr_t)map))
		_exit(1);
	while (read(sock, &o, sizeof(o)) == sizeof(o)) {
		ret = obey(&o);
		if (write(sock, &ret, sizeof(ret)) != sizeof(ret))
			_exit(1);
	}
	_exit(0);
}

int puppet_start(struct puppet *p, int memfd, uint64_t pages)
{
	int s[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s))
		return -1;
	p->pid = fork();
	if (!p->pid) {
		close(s[0]);
		live(s[1], memfd, pages);
	}
	close(s[1]);
	p->sock = s[0];
	return p->pid < 0 ? -1 : receive_uffd(p);
}

void puppet_tell(struct puppet *p, enum puppet_op op, uint64_t page, uint64_t value)
{
	struct order o = { op, page, value };

	(void)!write(p->sock, &o, sizeof(o));
}

uint64_t puppet_answer(struct puppet *p)
{
	uint64_t ret = UINT64_MAX;

	(void)!read(p->sock, &ret, sizeof(ret));
	return ret;
}

void puppet_kill(struct puppet *p)
{
	kill(p->pid, SIGKILL);
	puppet_stop(p);
}

void puppet_stop(struct puppet *p)
{
	shutdown(p->sock, SHUT_RDWR); /* later puppets have copies of it */
	close(p->sock);
	waitpid(p->pid, NULL, 0);
}
