// SPDX-License-Identifier: MIT
/* The programs' side of the tests. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_agent.h"

int program_open(uint16_t port, const char *name)
{
	struct dsm_attach attach = { .port = port };
	int dev = open("/dev/dsm", O_RDWR | O_CLOEXEC);
	int fd;

	if (dev < 0)
		return -errno;
	strncpy(attach.name, name, sizeof(attach.name) - 1);
	fd = ioctl(dev, DSM_IOC_ATTACH, &attach);
	if (fd < 0)
		fd = -errno;
	close(dev);
	return fd;
}

char *program_map(int fd)
{
	char *at = mmap(NULL, REGION_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return at == MAP_FAILED ? NULL : at;
}

enum dsm_page_state program_state(int fd, uint64_t page, uint32_t *flags)
{
	struct dsm_page query = { .page = page };

	if (ioctl(fd, DSM_IOC_PAGE, &query))
		return (enum dsm_page_state) - 1;
	if (flags)
		*flags = query.flags;
	return (enum dsm_page_state)query.state;
}

static void *touch(void *arg)
{
	struct toucher *t = arg;

	if (t->write)
		*t->at = t->value;
	else
		t->value = *t->at;
	t->done = true;
	return NULL;
}

void touch_start(struct toucher *t, volatile char *at, bool write, char value)
{
	*t = (struct toucher){ .at = at, .write = write, .value = value };
	pthread_create(&t->thread, NULL, touch, t);
}

bool touch_done(struct toucher *t, int ms)
{
	long end = now_ms() + ms;

	while (!t->done && now_ms() < end)
		nap_us(200);
	if (!t->done)
		return false;
	pthread_join(t->thread, NULL);
	return true;
}

int in_child(void (*fn)(void *), void *arg)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		fn(arg);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

struct access {
	volatile char *at;
	bool write;
};

static void do_access(void *arg)
{
	struct access *access = arg;

	signal(SIGBUS, SIG_DFL);
	if (access->write)
		*access->at = 1;
	else
		(void)*access->at;
}

bool access_is_sigbus(volatile char *at, bool write)
{
	struct access access = { at, write };

	return in_child(do_access, &access) == 1000 + SIGBUS;
}
