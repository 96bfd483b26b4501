// SPDX-License-Identifier: MIT
/* Asks the kernel by trying: one page, one mapping, all that the pager needs. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/pager/uffd.h"
#include "lib/uffd_setup.h"

#define PROBE_PAGES 2

static int probe_mapping(int memfd, char *map, bool *ret_continue_wp, char *why, size_t len)
{
	static const char zero[PAGER_PAGE_SIZE];
	struct uffdio_continue cont = {
		.range = { (uintptr_t)map, PAGER_PAGE_SIZE },
		.mode = UFFD_CONTINUE_WP,
	};
	int fd = dsm_uffd_open(), err;

	if (fd < 0) {
		snprintf(why, len, "userfaultfd: %s", strerror(-fd));
		return fd;
	}
	err = dsm_uffd_register(fd, map, PROBE_PAGES * PAGER_PAGE_SIZE);
	if (err) {
		snprintf(why, len, "userfaultfd on shared memory: %s", strerror(-err));
	} else if (pwrite(memfd, zero, sizeof(zero), 0) != (ssize_t)sizeof(zero)) {
		err = -errno;
		snprintf(why, len, "writing a memfd: %s", strerror(-err));
	} else {
		*ret_continue_wp = !ioctl(fd, UFFDIO_CONTINUE, &cont);
	}
	close(fd);
	return err;
}

int uffd_probe(bool *ret_continue_wp, char *why, size_t len)
{
	size_t size = PROBE_PAGES * PAGER_PAGE_SIZE;
	int memfd = memfd_create("dsm-probe", MFD_CLOEXEC), err;
	char *map;

	if (memfd < 0 || ftruncate(memfd, (off_t)size)) {
		err = -errno;
		snprintf(why, len, "memfd_create: %s", strerror(-err));
		if (memfd >= 0)
			close(memfd);
		return err;
	}
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	if (map == MAP_FAILED) {
		err = -errno;
		snprintf(why, len, "mmap: %s", strerror(-err));
	} else {
		err = probe_mapping(memfd, map, ret_continue_wp, why, len);
		munmap(map, size);
	}
	close(memfd);
	return err;
}

bool uffd_is_userfaultfd(int fd)
{
	static const char want[] = "anon_inode:[userfaultfd]";
	char path[32], target[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target) - 1);
	return n == (ssize_t)sizeof(want) - 1 && !memcmp(target, want, sizeof(want) - 1);
}
