/* SPDX-License-Identifier: MIT */
/* Documents about what programs agree on: locks, barriers, topics. */
#include "agent/client/query_json.h"

static void lock_add(void *ctx, const struct core_lock_info *l)
{
	query_append(ctx, json_pack("{s:I,s:s,s:b,s:I,s:I,s:i}", "id", (json_int_t)l->id, "kind",
				    l->rw ? "rw" : "mutex", "here", (int)l->here, "holder",
				    (json_int_t)l->holder, "waiters", (json_int_t)l->waiters,
				    "token_node", (int)l->token_nid));
}

json_t *query_locks(const struct query_source *src)
{
	json_t *array = json_array();

	core_each_lock(src->core, lock_add, &array);
	return array;
}

static void barrier_add(void *ctx, const struct core_barrier_info *b)
{
	query_append(ctx, json_pack("{s:I,s:b,s:I,s:I}", "id", (json_int_t)b->id, "all_nodes",
				    b->count == 0, "count", (json_int_t)b->count, "arrived",
				    (json_int_t)b->arrived));
}

json_t *query_barriers(const struct query_source *src)
{
	json_t *array = json_array();

	core_each_barrier(src->core, barrier_add, &array);
	return array;
}

static void topic_add(void *ctx, const struct core_topic_info *t)
{
	query_append(ctx,
		     json_pack("{s:o,s:b,s:b,s:b,s:I,s:I,s:I,s:b}", "name", query_name(t->name),
			       "open", t->id != 0, "subscribes", (int)t->subscribes, "publishes",
			       (int)t->publishes, "subscribers", (json_int_t)t->subscribers,
			       "publishers", (json_int_t)t->publishers, "version",
			       (json_int_t)t->version, "behind", (int)t->behind));
}

json_t *query_topics(const struct query_source *src)
{
	json_t *array = json_array();

	core_each_topic(src->core, topic_add, &array);
	return array;
}
