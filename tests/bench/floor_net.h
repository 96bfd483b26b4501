/* SPDX-License-Identifier: MIT */
/* A blocking TCP connection between the two sides of a floor program. */
#ifndef DSM_BENCH_FLOOR_NET_H
#define DSM_BENCH_FLOOR_NET_H

#include <stddef.h>
#include <stdint.h>

/* Listens at ADDRESS; *port 0 takes any port and returns it. */
int net_listen(const char *address, uint16_t *port);
/* One connection of a listener, TCP_NODELAY set. */
int net_accept(int listener);
/* Tries for some seconds, because the other machine may still be starting. */
int net_connect(const char *address, uint16_t port);
void net_send(int fd, const void *data, size_t n);
/* Ends the program with status 0 when the peer is done and closes. */
void net_receive(int fd, void *data, size_t n);

#endif
