/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/client/query_json.h"

json_t *query_hex(uint64_t value)
{
	char text[2 + 16 + 1];

	snprintf(text, sizeof(text), "0x%" PRIx64, value);
	return json_string(text);
}

json_t *query_name(const char *name)
{
	char plain[CORE_NAME_MAX];
	json_t *ret = json_string(name);
	size_t i;

	if (ret)
		return ret;
	/* Names come from other nodes: one odd byte must not cost the document. */
	for (i = 0; name[i] && i < sizeof(plain) - 1; i++)
		plain[i] = (unsigned char)name[i] < 0x80 ? name[i] : '?';
	plain[i] = '\0';
	return json_string(plain);
}

void query_append(json_t **array, json_t *item)
{
	if (!*array) {
		json_decref(item);
		return;
	}
	if (!item || json_array_append_new(*array, item) < 0) {
		json_decref(*array);
		*array = NULL;
	}
}

const char *query_core_state(uint32_t state)
{
	switch (state) {
	case CORE_SEEKING:
		return "seeking";
	case CORE_JOINING:
		return "joining";
	case CORE_MEMBER:
		return "member";
	case CORE_LEAVING:
		return "leaving";
	case CORE_OUT:
		return "out";
	case CORE_EVICTED:
		return "evicted";
	default:
		return "starting";
	}
}

const char *query_page_state(uint8_t state)
{
	switch (state) {
	case PAGE_SHARED:
		return "shared";
	case PAGE_MODIFIED:
		return "modified";
	case PAGE_PENDING:
		return "pending";
	default:
		return "invalid";
	}
}
