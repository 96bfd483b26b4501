// SPDX-License-Identifier: MIT
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/net/wire.h"
#include "agent/net/wire_layout.h"
#include "agent/net/wire_rules.h"

__attribute__((cold, format(printf, 2, 3))) static bool wire_bad(struct wire_error *ret,
								 const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(ret->text, sizeof(ret->text), fmt, ap);
	va_end(ap);
	return false;
}

const char *wire_type_name(uint16_t type)
{
	const struct wire_rule *rule = wire_rule(type);

	return rule ? rule->name : "unknown";
}

static size_t wire_pages(const struct core_msg *m)
{
	return m->type == MSG_PAGE_DATA ? m->count : 0;
}

/* Bytes of a topic's value, filled up so that the next frame is aligned. */
static size_t wire_value(const struct core_msg *m)
{
	return m->type == MSG_TOPIC_VALUE ? ((size_t)m->arg + 7) & ~(size_t)7 : 0;
}

size_t wire_body_size(const struct core_msg *m)
{
	return sizeof(*m) + m->nrecs * core_msg_rec_size(m->type) + wire_pages(m) * WIRE_PAGE_SIZE +
	       wire_value(m);
}

void wire_seal(struct wire_header *ret, const struct core_msg *m, uint64_t seq)
{
	*ret = (struct wire_header){
		.magic = seq ? WIRE_MAGIC : WIRE_MAGIC_DGRAM,
		.version = WIRE_VERSION,
		.src = m->src,
		.type = m->type,
		.epoch = m->epoch,
		.seq = seq,
		.length = (uint32_t)wire_body_size(m),
	};
}

bool wire_header_check(const struct wire_header *h, uint64_t seq, struct wire_error *ret_error)
{
	if (h->magic != (seq ? WIRE_MAGIC : WIRE_MAGIC_DGRAM))
		return wire_bad(ret_error, "does not speak our protocol (magic 0x%08" PRIx32 ")",
				h->magic);
	if (h->version != WIRE_VERSION)
		return wire_bad(ret_error, "speaks version %u of the wire format, this agent %u",
				h->version, WIRE_VERSION);
	if (h->flags || h->reserved)
		return wire_bad(ret_error,
				"reserved header bits are set (flags 0x%x, 0x%" PRIx32 ")",
				h->flags, h->reserved);
	if (!wire_rule(h->type))
		return wire_bad(ret_error, "message type %u is unknown", h->type);
#ifdef DSM_MUTANT_FRAMES_UNCOUNTED
	seq = h->seq;
#endif
	if (h->seq != seq)
		return wire_bad(ret_error, "frame number %" PRIu64 " where %" PRIu64 " was due: %s",
				h->seq, seq, h->seq < seq ? "replayed" : "skipped");
	if (h->length < WIRE_BODY_MIN || h->length > WIRE_BODY_MAX)
		return wire_bad(ret_error, "%s of %" PRIu32 " bytes, allowed are %zu to %zu",
				wire_type_name(h->type), h->length, WIRE_BODY_MIN, WIRE_BODY_MAX);
	if (!seq && h->length > WIRE_DGRAM_MAX - sizeof(*h))
		return wire_bad(ret_error, "datagram of %" PRIu32 " bytes", h->length);
	return true;
}

/* A name ends in its field, and only zeroes follow it. */
static bool field_ok(const char *name, size_t size)
{
	size_t n = strnlen(name, size);

	for (size_t i = n; i < size; i++)
		if (name[i])
			return false;
	return n < size;
}

static bool name_ok(const char *name)
{
	uint64_t words[CORE_NAME_MAX / sizeof(uint64_t)];

	/* Hardly a message has one. */
	memcpy(words, name, sizeof(words));
	return !(words[0] | words[1] | words[2] | words[3]) || field_ok(name, CORE_NAME_MAX);
}
static_assert(CORE_NAME_MAX == 4 * sizeof(uint64_t), "name_ok");

static bool run_ok(uint64_t key, uint64_t count)
{
	return count && PAGE_KEY_PAGE(key) + count <= PAGE_KEY_PAGE(UINT64_MAX) + 1;
}

/* The fields that are set: enum wire_field. */
static unsigned int fields_set(const struct core_msg *m)
{
	return (m->nid ? W_NID : 0) | (m->nid2 ? W_NID2 : 0) | (m->ver ? W_VER : 0) |
	       (m->key ? W_KEY : 0) | (m->count ? W_COUNT : 0) | (m->arg ? W_ARG : 0) |
	       (m->a ? W_A : 0) | (m->b ? W_B : 0) | (m->name[0] ? W_NAME : 0);
}

/* The first field of several; in the order of enum wire_field. */
static const char *field_name(unsigned int fields)
{
	static const char *const names[] = {
		"nid", "nid2", "ver", "key", "count", "arg", "a", "b", "name",
	};

	return names[__builtin_ctz(fields)];
}

static bool addr_ok(const struct core_addr *a)
{
	return !a->reserved;
}

static bool member_ok(const struct rec_member *r)
{
	static const uint8_t zero[sizeof(r->reserved)];

	return r->nid && r->state >= MEMBER_JOINING && r->state <= MEMBER_LEAVING &&
	       addr_ok(&r->addr) && !memcmp(r->reserved, zero, sizeof(zero));
}

static bool region_ok(const struct rec_region *r)
{
	return name_ok(r->name) && !r->reserved && !(r->size % WIRE_PAGE_SIZE) &&
	       !(r->base % WIRE_PAGE_SIZE);
}

static bool extent_ok(const struct rec_extent *r)
{
	return run_ok(r->key, r->count) &&
	       !(r->flags &
		 ~(EXTENT_ALLOC | EXTENT_HEAD | EXTENT_ORPHANED | EXTENT_MOVING | EXTENT_GUESSED));
}

static bool holding_ok(const struct rec_holding *r)
{
	static const uint8_t zero[sizeof(r->reserved)];

	return run_ok(r->key, r->count) && !r->nid && r->state && r->state <= HOLDING_LOST &&
	       !memcmp(r->reserved, zero, sizeof(zero));
}

static bool lock_ok(const struct rec_lock *r)
{
	return r->kind <= LOCK_RW_WANTED && !(r->flags & ~F_FLAGS_ALL);
}

/* A version that can still grow. */
static bool version_ok(uint64_t version)
{
	return version < CORE_TOPIC_VERSIONS;
}

static bool topic_ok(const struct rec_topic *r)
{
	static const uint8_t zero[sizeof(r->reserved)];

	for (const char *p = r->name; p < r->name + sizeof(r->name) && *p; p++)
		if ((unsigned char)*p < ' ')
			return false;
	return r->id && r->id < CORE_TOPIC_IDS && version_ok(r->version) && *r->name &&
	       field_ok(r->name, sizeof(r->name)) && !memcmp(r->reserved, zero, sizeof(zero));
}

static bool presence_ok(const struct rec_presence *r)
{
	return r->id && r->id < CORE_TOPIC_IDS && version_ok(r->version) &&
	       !(r->flags & ~PRESENCE_PUBLISHES) && !r->reserved;
}

static bool rec_ok(enum wire_rec kind, const void *rec)
{
	switch (kind) {
	case REC_ADDR:
		return addr_ok(rec);
	case REC_MEMBER:
		return member_ok(rec);
	case REC_REGION:
		return region_ok(rec);
	case REC_EXTENT:
		return extent_ok(rec);
	case REC_HOLDING:
		return holding_ok(rec);
	case REC_LOCK:
		return lock_ok(rec);
	case REC_TOPIC:
		return topic_ok(rec);
	case REC_PRESENCE:
		return presence_ok(rec);
	case REC_NONE:
		break;
	}
	return false;
}

static bool recs_check(const struct wire_rule *rule, const struct core_msg *m, const void *recs,
		       struct wire_error *ret_error)
{
	const size_t size = core_msg_rec_size(m->type);
	const char *rec = recs;

	if (m->nrecs > rule->recs_max)
		return wire_bad(ret_error, "%s with %u records, at most %u", rule->name, m->nrecs,
				rule->recs_max);
	for (unsigned int i = 0; i < m->nrecs; i++, rec += size)
		if (!rec_ok(rule->rec, rec))
			return wire_bad(ret_error, "%s: record %u makes no sense", rule->name, i);
	return true;
}

static bool value_ok(const struct core_msg *m)
{
	if (m->type != MSG_TOPIC_VALUE && m->type != MSG_TOPIC_ACK)
		return true;
	return m->key && m->key < CORE_TOPIC_IDS && m->a && version_ok(m->a) &&
	       (m->type == MSG_TOPIC_ACK ? version_ok(m->b) : m->arg <= CORE_TOPIC_BYTES) &&
	       !((m->flags & F_ZERO) && (m->arg || m->b));
}

bool wire_body_check(const struct wire_header *h, const struct core_msg *m, const void *recs,
		     struct wire_error *ret_error)
{
	const struct wire_rule *rule = wire_rule(m->type);
	unsigned int stray;

	if (!rule || m->type != h->type || m->src != h->src || m->epoch != h->epoch)
		return wire_bad(ret_error, "header and message disagree (type %u and %u)", h->type,
				m->type);
	if (h->magic == WIRE_MAGIC_DGRAM && !rule->dgram)
		return wire_bad(ret_error, "%s does not come in a datagram", rule->name);
	if (m->reserved || m->reserved2)
		return wire_bad(ret_error, "%s: reserved field is set", rule->name);
	stray = fields_set(m) & ~(unsigned int)rule->fields;
	if (stray)
		return wire_bad(ret_error, "%s: field %s is set", rule->name, field_name(stray));
	if (m->flags & ~rule->flags)
		return wire_bad(ret_error, "%s: flags 0x%x, allowed 0x%x", rule->name, m->flags,
				rule->flags);
	if (!name_ok(m->name))
		return wire_bad(ret_error, "%s: name does not end", rule->name);
#ifndef DSM_MUTANT_RUNS_UNCHECKED
	if (rule->run_max && (m->count > rule->run_max || !run_ok(m->key, m->count)))
		return wire_bad(ret_error, "%s: run of %" PRIu32 " pages at 0x%" PRIx64, rule->name,
				m->count, m->key);
#endif
	if (!value_ok(m))
		return wire_bad(ret_error,
				"%s: version %" PRIu64 " of topic %" PRIu64 ", %" PRIu32 " bytes",
				rule->name, m->a, m->key, m->arg);
	if (h->length != wire_body_size(m))
		return wire_bad(ret_error, "%s of %" PRIu32 " bytes, its fields make %zu",
				rule->name, h->length, wire_body_size(m));
	return recs_check(rule, m, recs, ret_error);
}

void wire_recs_scope(const struct core_msg *m, void *recs, uint32_t scope)
{
	const struct wire_rule *rule = wire_rule(m->type);
	struct rec_member *members = recs;
	struct core_addr *addrs = recs;

	for (unsigned int i = 0; i < m->nrecs; i++) {
		struct core_addr *a = rule->rec == REC_MEMBER ? &members[i].addr : &addrs[i];

		if (rule->rec != REC_MEMBER && rule->rec != REC_ADDR)
			return;
		/* fe80::/10 is said of link-local addresses only. */
		a->scope = a->ip[0] == 0xfe && (a->ip[1] & 0xc0) == 0x80 ? scope : 0;
	}
}
