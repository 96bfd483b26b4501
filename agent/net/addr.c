// SPDX-License-Identifier: MIT
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "agent/net/addr.h"

static const uint8_t v4_prefix[12] = { [10] = 0xff, [11] = 0xff };

bool addr_is_v4(const struct core_addr *a)
{
	return !memcmp(a->ip, v4_prefix, sizeof(v4_prefix));
}

bool addr_same_ip(const struct core_addr *a, const struct core_addr *b)
{
	return !memcmp(a->ip, b->ip, sizeof(a->ip)) && a->scope == b->scope;
}

bool addr_from_sockaddr(struct core_addr *ret, const struct sockaddr *sa)
{
	*ret = (struct core_addr){ 0 };
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;

		memcpy(ret->ip, v4_prefix, sizeof(v4_prefix));
		memcpy(ret->ip + 12, &in->sin_addr, 4);
		ret->port = ntohs(in->sin_port);
		return true;
	}
	if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)sa;

		memcpy(ret->ip, &in6->sin6_addr, 16);
		ret->port = ntohs(in6->sin6_port);
		if (IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr))
			ret->scope = in6->sin6_scope_id;
		return true;
	}
	return false;
}

socklen_t addr_to_sockaddr(const struct core_addr *a, struct sockaddr_storage *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (addr_is_v4(a)) {
		struct sockaddr_in *in = (void *)ret;

		in->sin_family = AF_INET;
		memcpy(&in->sin_addr, a->ip + 12, 4);
		in->sin_port = htons(a->port);
		return sizeof(*in);
	}

	struct sockaddr_in6 *in6 = (void *)ret;

	in6->sin6_family = AF_INET6;
	memcpy(&in6->sin6_addr, a->ip, 16);
	in6->sin6_port = htons(a->port);
	in6->sin6_scope_id = a->scope;
	return sizeof(*in6);
}

const char *addr_text(const struct core_addr *a, char buf[ADDR_TEXT_MAX])
{
	char ip[INET6_ADDRSTRLEN];

	if (addr_is_v4(a)) {
		inet_ntop(AF_INET, a->ip + 12, ip, sizeof(ip));
		snprintf(buf, ADDR_TEXT_MAX, "%s:%u", ip, a->port);
	} else if (a->scope) {
		inet_ntop(AF_INET6, a->ip, ip, sizeof(ip));
		snprintf(buf, ADDR_TEXT_MAX, "[%s%%%u]:%u", ip, a->scope, a->port);
	} else {
		inet_ntop(AF_INET6, a->ip, ip, sizeof(ip));
		snprintf(buf, ADDR_TEXT_MAX, "[%s]:%u", ip, a->port);
	}
	return buf;
}
