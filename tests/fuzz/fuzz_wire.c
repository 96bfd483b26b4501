// SPDX-License-Identifier: MIT
/*
 * Frames and datagrams: whatever the bytes are, the checks read nothing
 * beyond them, and what they pass is within all bounds.
 */
#include <stdlib.h>
#include <string.h>

#include "agent/net/wire.h"
#include "agent/net/wire_rules.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/messages.h"

const unsigned int fuzz_runs = 1000000;

/* What the rest of the agent relies on once a frame has passed. */
static void check_promises(const struct wire_header *h, const struct core_msg *m)
{
	const struct wire_rule *rule = wire_rule(m->type);

	MUST(rule);
	MUST(m->nrecs <= CORE_MSG_RECS);
	MUST(memchr(m->name, 0, sizeof(m->name)));
	MUST(!m->nrecs || core_msg_rec_size(m->type));
	MUST(h->length == wire_body_size(m) && h->length <= WIRE_BODY_MAX);
	MUST(m->type != MSG_PAGE_DATA || (m->count && m->count <= CORE_MSG_PAGES));
	MUST(!rule->run_max || PAGE_KEY_REGION(m->key) == PAGE_KEY_REGION(m->key + m->count - 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_error error = { "" };
	struct wire_header *h;
	struct core_msg *m;
	uint8_t *copy;

	if (size < sizeof(*h))
		return 0;
	/* A copy of just this size: one byte too far is seen. */
	copy = malloc(size);
	MUST(copy);
	memcpy(copy, data, size);
	h = (struct wire_header *)copy;
	m = (struct core_msg *)(h + 1);
	if (wire_header_check(h, h->magic == WIRE_MAGIC_DGRAM ? 0 : 1, &error) &&
	    size >= sizeof(*h) + h->length && wire_body_check(h, m, m + 1, &error)) {
		wire_recs_scope(m, m + 1, 3);
		check_promises(h, m);
	} else {
		MUST(size < sizeof(*h) + h->length || error.text[0]);
	}
	free(copy);
	return 0;
}

size_t fuzz_seed(unsigned int i, uint8_t ret[FUZZ_INPUT_MAX])
{
	return messages_frame(i, 1, ret);
}
