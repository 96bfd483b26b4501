/* SPDX-License-Identifier: MIT */
/* struct core_addr to and from what sockets use. */
#ifndef DSM_NET_ADDR_H
#define DSM_NET_ADDR_H

#include <stdbool.h>
#include <sys/socket.h>

#include "agent/core/msg.h"

#define ADDR_TEXT_MAX 80

/* IPv4 becomes IPv4-mapped. False: neither IPv4 nor IPv6. */
bool addr_from_sockaddr(struct core_addr *ret, const struct sockaddr *sa);
/* IPv4-mapped becomes plain IPv4. Returns the length. */
socklen_t addr_to_sockaddr(const struct core_addr *a, struct sockaddr_storage *ret);
bool addr_is_v4(const struct core_addr *a);
/* Same host: the address without its port. */
bool addr_same_ip(const struct core_addr *a, const struct core_addr *b);
/* "10.0.0.1:9900" or "[fe80::1%2]:9900". Returns @buf. */
const char *addr_text(const struct core_addr *a, char buf[ADDR_TEXT_MAX]);

#endif
