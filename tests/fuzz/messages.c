// SPDX-License-Identifier: MIT
#include <string.h>

#include "agent/net/wire.h"
#include "agent/net/wire_rules.h"
#include "tests/fuzz/messages.h"

static size_t put_record(enum wire_rec kind, unsigned int n, uint8_t *ret)
{
	struct core_addr addr = { .ip = { [10] = 0xff, 0xff, 10, 0, 0, 9 }, .port = 9900 };
	struct rec_member member = { .uid = 100 + n,
				     .chunks = 64,
				     .addr = addr,
				     .nid = (uint16_t)(n + 1),
				     .state = MEMBER_ACTIVE };
	struct rec_region region = {
		.size = 1 << 20, .base = 1ull << 45, .region = (uint16_t)n, .name = "fuzzed"
	};
	struct rec_extent extent = { .key = 16 * n, .count = 16, .home = (uint16_t)(1 + n % 2) };
	struct rec_holding holding = { .key = 16 * n, .count = 2, .ver = 1, .state = 1 };
	struct rec_lock lock = { .id = n, .kind = LOCK_TOKEN_HELD, .ticket = n };
	struct rec_topic topic = { .id = n + 1, .version = n, .nid = 2, .name = "fuzzed 0" };
	struct rec_presence presence = {
		.id = n + 1, .version = n, .pid = 9, .flags = PRESENCE_PUBLISHES
	};
	const struct {
		const void *bytes;
		size_t size;
	} kinds[] = {
		[REC_NONE] = { NULL, 0 },
		[REC_ADDR] = { &addr, sizeof(addr) },
		[REC_MEMBER] = { &member, sizeof(member) },
		[REC_REGION] = { &region, sizeof(region) },
		[REC_EXTENT] = { &extent, sizeof(extent) },
		[REC_HOLDING] = { &holding, sizeof(holding) },
		[REC_LOCK] = { &lock, sizeof(lock) },
		[REC_TOPIC] = { &topic, sizeof(topic) },
		[REC_PRESENCE] = { &presence, sizeof(presence) },
	};

	topic.name[7] = (char)('0' + n);

	if (kinds[kind].size)
		memcpy(ret, kinds[kind].bytes, kinds[kind].size);
	return kinds[kind].size;
}

/* Every field that the type may use has a likely value. */
static struct core_msg message(uint16_t type, const struct wire_rule *rule)
{
	struct core_msg m = { .type = type, .src = 2, .epoch = 1 };

	m.nid = rule->fields & W_NID ? 2 : 0;
	m.nid2 = rule->fields & W_NID2 ? 1 : 0;
	m.ver = rule->fields & W_VER ? 1 : 0;
	m.key = rule->fields & W_KEY ? 16 : 0;
	m.count = rule->fields & W_COUNT ? 1 : 0;
	m.arg = rule->fields & W_ARG ? 1 : 0;
	m.a = rule->fields & W_A ? 101 : 0;
	m.b = rule->fields & W_B ? 5 : 0;
	if (type == MSG_TOPIC_VALUE || type == MSG_TOPIC_ACK)
		m.key = 1; /* the first topic that anybody opens */
	if (rule->fields & W_NAME)
		strcpy(m.name, "fuzz");
	m.nrecs = rule->recs_max > 3 ? 3 : rule->recs_max;
	return m;
}

size_t messages_frame(unsigned int i, uint64_t seq, uint8_t *ret)
{
	const struct wire_rule *rule = NULL;
	struct wire_header header;
	unsigned int left = i / 2;
	unsigned int type = 0;
	struct core_msg m;
	size_t at;

	for (; type < MSG_TYPES; type++) {
		rule = wire_rule((uint16_t)type);
		if (rule && !left--)
			break;
	}
	if (type == MSG_TYPES)
		return 0;
	m = message((uint16_t)type, rule);
	wire_seal(&header, &m, rule->dgram && i % 2 ? 0 : seq);
	memcpy(ret, &header, sizeof(header));
	memcpy(ret + sizeof(header), &m, sizeof(m));
	at = sizeof(header) + sizeof(m);
	for (unsigned int k = 0; k < m.nrecs; k++)
		at += put_record(rule->rec, k, ret + at);
	memset(ret + at, 0x5a, sizeof(header) + header.length - at);
	return sizeof(header) + header.length;
}
