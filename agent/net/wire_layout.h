/* SPDX-License-Identifier: MIT */
/*
 * Where each field of what is sent stands, as docs/wire.md has it: a field that
 * moves, grows or changes places with another one does not compile.
 */
#ifndef DSM_NET_WIRE_LAYOUT_H
#define DSM_NET_WIRE_LAYOUT_H

#include "agent/net/wire.h"

#define AT(type, field, offset, size)                                                              \
	static_assert(offsetof(struct type, field) == (offset) &&                                  \
			      sizeof(((struct type *)0)->field) == (size),                         \
		      #type "." #field)

AT(wire_header, magic, 0, 4);
AT(wire_header, version, 4, 2);
AT(wire_header, flags, 6, 2);
AT(wire_header, src, 8, 2);
AT(wire_header, type, 10, 2);
AT(wire_header, epoch, 12, 4);
AT(wire_header, seq, 16, 8);
AT(wire_header, length, 24, 4);
AT(wire_header, reserved, 28, 4);
static_assert(sizeof(struct wire_header) == 32, "wire_header");

AT(core_msg, type, 0, 2);
AT(core_msg, flags, 2, 2);
AT(core_msg, src, 4, 2);
AT(core_msg, nid, 6, 2);
AT(core_msg, epoch, 8, 4);
AT(core_msg, ver, 12, 4);
AT(core_msg, key, 16, 8);
AT(core_msg, count, 24, 4);
AT(core_msg, arg, 28, 4);
AT(core_msg, a, 32, 8);
AT(core_msg, b, 40, 8);
AT(core_msg, nid2, 48, 2);
AT(core_msg, nrecs, 50, 2);
AT(core_msg, reserved, 52, 4);
AT(core_msg, name, 56, 32);
AT(core_msg, reserved2, 88, 8);
static_assert(sizeof(struct core_msg) == 96, "core_msg");

AT(core_addr, ip, 0, 16);
AT(core_addr, port, 16, 2);
AT(core_addr, reserved, 18, 2);
AT(core_addr, scope, 20, 4);
static_assert(sizeof(struct core_addr) == 24, "core_addr");

AT(rec_member, uid, 0, 8);
AT(rec_member, chunks, 8, 8);
AT(rec_member, addr, 16, 24);
AT(rec_member, nid, 40, 2);
AT(rec_member, state, 42, 1);
AT(rec_member, reserved, 43, 5);
static_assert(sizeof(struct rec_member) == 48, "rec_member");

AT(rec_region, size, 0, 8);
AT(rec_region, base, 8, 8);
AT(rec_region, region, 16, 2);
AT(rec_region, flags, 18, 2);
AT(rec_region, reserved, 20, 4);
AT(rec_region, name, 24, 32);
static_assert(sizeof(struct rec_region) == 56, "rec_region");

AT(rec_extent, key, 0, 8);
AT(rec_extent, count, 8, 4);
AT(rec_extent, home, 12, 2);
AT(rec_extent, flags, 14, 2);
static_assert(sizeof(struct rec_extent) == 16, "rec_extent");

AT(rec_holding, key, 0, 8);
AT(rec_holding, count, 8, 4);
AT(rec_holding, ver, 12, 4);
AT(rec_holding, state, 16, 1);
AT(rec_holding, reserved, 17, 5);
AT(rec_holding, nid, 22, 2);
static_assert(sizeof(struct rec_holding) == 24, "rec_holding");

AT(rec_lock, id, 0, 4);
AT(rec_lock, kind, 4, 2);
AT(rec_lock, flags, 6, 2);
AT(rec_lock, ticket, 8, 8);
static_assert(sizeof(struct rec_lock) == 16, "rec_lock");

AT(rec_topic, id, 0, 8);
AT(rec_topic, version, 8, 8);
AT(rec_topic, nid, 16, 2);
AT(rec_topic, reserved, 18, 6);
AT(rec_topic, name, 24, 64);
static_assert(sizeof(struct rec_topic) == 88, "rec_topic");

AT(rec_presence, id, 0, 8);
AT(rec_presence, version, 8, 8);
AT(rec_presence, pid, 16, 4);
AT(rec_presence, flags, 20, 2);
AT(rec_presence, reserved, 22, 2);
static_assert(sizeof(struct rec_presence) == 24, "rec_presence");

#undef AT

#endif
