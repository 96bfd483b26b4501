/* SPDX-License-Identifier: MIT */
/*
 * How a program's mapping is put under its agent's userfaultfd pager: one
 * place for the features both sides count on. Used by the library, by the
 * pager when it probes the kernel, and by tests.
 */
#ifndef DSM_LIB_UFFD_SETUP_H
#define DSM_LIB_UFFD_SETUP_H

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

/*
 * A new userfaultfd with its features on, or a negative errno. Without the
 * right to handle faults of the kernel itself (vm.unprivileged_userfaultfd,
 * CAP_SYS_PTRACE, or access to /dev/userfaultfd) it handles those of user mode
 * only: a system call that touches an absent page then fails with EFAULT.
 */
static inline int dsm_uffd_open(void)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MINOR_SHMEM |
			    UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_PAGEFAULT_FLAG_WP |
			    UFFD_FEATURE_THREAD_ID | UFFD_FEATURE_EXACT_ADDRESS,
	};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK), err;

	if (fd < 0 && errno == EPERM) {
		int dev = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);

		if (dev >= 0) {
			fd = ioctl(dev, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
			close(dev);
		}
		if (fd < 0)
			fd = (int)syscall(SYS_userfaultfd,
					  O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	}
	if (fd < 0)
		return -errno;
	if (ioctl(fd, UFFDIO_API, &api)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/* Puts a shared mapping of a memfd under @fd. 0 or a negative errno. */
static inline int dsm_uffd_register(int fd, void *addr, size_t size)
{
	const uint64_t need = (uint64_t)1 << _UFFDIO_COPY | (uint64_t)1 << _UFFDIO_WAKE |
			      (uint64_t)1 << _UFFDIO_CONTINUE | (uint64_t)1 << _UFFDIO_WRITEPROTECT;
	struct uffdio_register reg = {
		.range = { (uintptr_t)addr, size },
		.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR |
			UFFDIO_REGISTER_MODE_WP,
	};

	if (ioctl(fd, UFFDIO_REGISTER, &reg))
		return -errno;
	return (reg.ioctls & need) == need ? 0 : -EOPNOTSUPP;
}

#endif
