// SPDX-License-Identifier: MIT
#include "tests/bench/floor_net.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/measure.h"

static struct sockaddr_in address_of(const char *address, uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	if (inet_pton(AF_INET, address, &a.sin_addr) != 1) {
		fprintf(stderr, "%s: not an IPv4 address\n", address);
		exit(2);
	}
	return a;
}

static void no_delay(int fd)
{
	int one = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)))
		die("TCP_NODELAY");
}

int net_listen(const char *address, uint16_t *port)
{
	struct sockaddr_in a = address_of(address, *port);
	socklen_t len = sizeof(a);
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 1) ||
	    getsockname(fd, (struct sockaddr *)&a, &len))
		die(address);
	*port = ntohs(a.sin_port);
	return fd;
}

int net_accept(int listener)
{
	int fd = accept(listener, NULL, NULL);

	if (fd < 0)
		die("accept");
	no_delay(fd);
	return fd;
}

int net_connect(const char *address, uint16_t port)
{
	struct sockaddr_in a = address_of(address, port);

	for (int tries = 0; tries < 200; tries++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (fd < 0)
			die("socket");
		if (!connect(fd, (struct sockaddr *)&a, sizeof(a))) {
			no_delay(fd);
			return fd;
		}
		close(fd);
		poll(NULL, 0, 50);
	}
	die(address);
}

void net_send(int fd, const void *data, size_t n)
{
	while (n) {
		ssize_t sent = send(fd, data, n, MSG_NOSIGNAL);

		if (sent < 0)
			die("send");
		data = (const char *)data + sent;
		n -= (size_t)sent;
	}
}

void net_receive(int fd, void *data, size_t n)
{
	while (n) {
		ssize_t got = recv(fd, data, n, 0);

		if (!got)
			exit(0);
		if (got < 0)
			die("recv");
		data = (char *)data + got;
		n -= (size_t)got;
	}
}
