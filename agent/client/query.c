/* SPDX-License-Identifier: MIT */
/* From the text of a command to its document. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/client/query_json.h"

/* The node that answers is named in every list: two agents differ in what they know. */
static json_t *json_list(const struct query_source *src, const char *key,
			 json_t *(*list)(const struct query_source *src))
{
	struct core_info info;
	json_t *array = list(src);

	core_info_get(src->core, &info);
	return array ? json_pack("{s:i,s:o}", "node", (int)info.nid, key, array) : NULL;
}

static const char *argument(const char *command, const char *words)
{
	size_t len = strlen(words);

	if (strncmp(command, words, len) || command[len] != ' ' || !command[len + 1])
		return NULL;
	return command + len + 1;
}

static json_t *document(const struct query_source *src, const char *command, int *ret_err)
{
	const char *arg;

	*ret_err = -ENOMEM;
	if (!strcmp(command, "status"))
		return query_status(src);
	if (!strcmp(command, "stats"))
		return query_stats(src);
	if (!strcmp(command, "node list"))
		return json_list(src, "nodes", query_nodes);
	if (!strcmp(command, "region list"))
		return json_list(src, "regions", query_regions);
	if (!strcmp(command, "lock list"))
		return json_list(src, "locks", query_locks);
	if (!strcmp(command, "barrier list"))
		return json_list(src, "barriers", query_barriers);
	if (!strcmp(command, "topic list"))
		return json_list(src, "topics", query_topics);
	arg = argument(command, "region show");
	if (arg)
		return query_region(src, arg, ret_err);
	arg = argument(command, "page list");
	if (arg)
		return query_pages(src, arg, ret_err);
	arg = argument(command, "page show");
	if (arg)
		return query_page(src, arg, ret_err);
	*ret_err = -EINVAL;
	return NULL;
}

int query_run(const struct query_source *src, const char *command, char **ret_json)
{
	char *body, *text;
	json_t *doc;
	size_t len;
	int err;

	doc = document(src, command, &err);
	if (!doc)
		return err;
	body = json_dumps(doc, JSON_COMPACT | JSON_REAL_PRECISION(9));
	json_decref(doc);
	if (!body)
		return -ENOMEM;
	len = strlen(body);
	text = realloc(body, len + 2);
	if (!text) {
		free(body);
		return -ENOMEM;
	}
	strcpy(text + len, "\n");
	*ret_json = text;
	return 0;
}

bool query_is_events(const char *command)
{
	return !strcmp(command, "events");
}
