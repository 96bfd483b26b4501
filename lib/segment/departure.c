/* SPDX-License-Identifier: MIT */
/*
 * Whether anybody let go of a segment since it was last asked: one descriptor, whatever the
 * number of participants. A process that ends, however that comes, closes the segment's file, and
 * the kernel says so to who watches the file (inotify(7)).
 */
#include <errno.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "lib/segment/private.h"

int seg_departures_open(dsm_segment_t *seg)
{
	char path[32];
	int fd;

	if (seg->priv->ctx)
		return -1; /* nodes have no file in common */
	fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (fd < 0)
		return -1;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", seg->priv->fd);
	if (inotify_add_watch(fd, path, IN_CLOSE) >= 0)
		return fd;
	close(fd);
	return -1;
}

bool seg_departures_seen(int fd)
{
	char events[4096];
	bool any = false;

	while (read(fd, events, sizeof(events)) > 0)
		any = true;
	return any;
}
