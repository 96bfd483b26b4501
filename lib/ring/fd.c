/* SPDX-License-Identifier: MIT */
/*
 * A descriptor that becomes readable when a message comes: a datagram socket of the
 * consumer's, bound to an abstract name made of a random number in the ring. Producers send it
 * an empty datagram. Anybody on the host might do so too, which costs the consumer a look at
 * the ring.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ring.h"

static socklen_t fd_address(uint64_t name, struct sockaddr_un *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->sun_family = AF_UNIX;
	/* The first byte stays 0: an abstract name. */
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			   (size_t)snprintf(ret->sun_path + 1, sizeof(ret->sun_path) - 1,
					    "dsm-ring-%016llx", (unsigned long long)name));
}

static int fd_open(uint64_t *ret_name)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;
	int err;

	if (fd < 0)
		return -errno;
	do {
		if (getrandom(ret_name, sizeof(*ret_name), 0) != sizeof(*ret_name) || !*ret_name)
			*ret_name = seg_now_ns();
		err = bind(fd, (struct sockaddr *)&address, fd_address(*ret_name, &address));
	} while (err && errno == EADDRINUSE);
	if (!err)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

int dsm_ring_fd(dsm_ring_t *r)
{
	uint64_t name;
	int fd;

	if (r->fd >= 0)
		return r->fd;
	if (r->seg->cluster || r->kind == DSM_RING_MPMC)
		return seg_error(-EOPNOTSUPP,
				 "ring: a descriptor is for one consumer on one host only");
	fd = ring_enter(r, &r->recv);
	if (fd)
		return fd;
	fd = fd_open(&name);
	if (fd < 0)
		return seg_error(fd, "ring: cannot make a socket to poll: %s", strerror(-fd));
	atomic_store(&r->sleep->fd_name, name);
	r->fd = fd;
	return fd;
}

int dsm_ring_arm(dsm_ring_t *r)
{
	char byte;
	int err;

	if (r->fd < 0)
		return seg_error(-EINVAL, "ring: dsm_ring_fd() was not called");
	err = ring_enter(r, &r->recv);
	if (err)
		return err;
	while (recv(r->fd, &byte, 1, 0) >= 0 || errno == EINTR)
		;
	/* The end of a connection is told like a message. */
	return ring_ask(r, RING_POLLING) || (r->conn && conn_gone(r->conn));
}

/* The producer's socket, connected to the consumer's that polls now. */
static int poke_fd(dsm_ring_t *r, uint64_t name)
{
	struct sockaddr_un address;
	socklen_t length = fd_address(name, &address);

	if (r->poke_fd >= 0 && r->poke_name == name)
		return r->poke_fd;
	if (r->poke_fd >= 0)
		close(r->poke_fd);
	r->poke_name = name;
	r->poke_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (r->poke_fd >= 0 && connect(r->poke_fd, (struct sockaddr *)&address, length)) {
		close(r->poke_fd);
		r->poke_fd = -1;
	}
	return r->poke_fd;
}

void ring_poke(dsm_ring_t *r)
{
	uint64_t name = atomic_load(&r->sleep->fd_name);

	/* A full queue means that it is readable. */
	if (name && poke_fd(r, name) >= 0)
		(void)send(r->poke_fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void ring_fd_close(dsm_ring_t *r)
{
	if (r->poke_fd >= 0)
		close(r->poke_fd);
	if (r->fd < 0)
		return;
	if (r->serial == atomic_load(&r->seg->serial))
		atomic_store(&r->sleep->fd_name, 0);
	close(r->fd);
}
