// SPDX-License-Identifier: MIT
/*
 * The grids' memory without libdsm: all that a program needs is to open the
 * module's device and to map it. The offset is the global address, the same
 * memory for all who map it, and a page is made when somebody first touches it.
 *
 * Nobody has allocated it, so nobody can free it: the next run with the same
 * number uses it again.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "heat.h"

/* The upper half of the default region: what is allocated comes from below. */
#define FIRST_RUN 0x8000000000ll
#define RUN_BYTES 0x800000000ll /* of address space, not of memory; the largest grids take half */
#define RUNS	  16u

int heat_device_map(uint32_t run, size_t bytes, char **ret)
{
	int fd, err = 0;
	void *at;

	if (run >= RUNS)
		return -EINVAL;
	fd = open(HEAT_DEVICE, O_RDWR);
	if (fd < 0)
		return -errno;
	at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, FIRST_RUN + run * RUN_BYTES);
	if (at == MAP_FAILED)
		err = -errno;
	else
		*ret = at;
	close(fd); /* the mapping stays */
	return err;
}
