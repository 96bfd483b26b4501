/* SPDX-License-Identifier: MIT */
/*
 * Changes are found by comparing two snapshots of the same documents that
 * the other commands show, so an event can tell nothing that a list does not, and the
 * core needs no hook for it. What came and went between two calls is
 * not seen.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/client/query_json.h"

struct query_events {
	json_t *last; /* snapshot told last, NULL: none yet */
};

/* The kinds of item that come and go, and the key that tells two of a kind apart. */
static const struct section {
	const char *name;  /* in the snapshot */
	const char *event; /* in a change, also the key of the item there */
	const char *id;
	json_t *(*list)(const struct query_source *src);
} sections[] = {
	{ "nodes", "node", "uid", query_nodes },
	{ "regions", "region", "region", query_regions },
	{ "locks", "lock", "id", query_locks },
	{ "barriers", "barrier", "id", query_barriers },
};
#define NSECTIONS (sizeof(sections) / sizeof(sections[0]))

static json_t *status_snapshot(const struct query_source *src)
{
	struct core_info info;

	core_info_get(src->core, &info);
	return json_pack("{s:s,s:i,s:i,s:I,s:I,s:b,s:o,s:I,s:I}", "state",
			 query_core_state(info.state), "node", (int)info.nid, "master",
			 (int)info.master, "epoch", (json_int_t)info.epoch, "members",
			 (json_int_t)info.members, "rebuilding", (int)info.rebuilding, "cluster_id",
			 query_hex(info.cluster), "chunks_total", (json_int_t)info.chunks_total,
			 "chunks_used", (json_int_t)info.chunks_used);
}

static json_t *snapshot_take(const struct query_source *src)
{
	json_t *snap = json_pack("{s:o}", "status", status_snapshot(src));
	size_t i;

	for (i = 0; snap && i < NSECTIONS; i++) {
		if (json_object_set_new(snap, sections[i].name, sections[i].list(src)) < 0) {
			json_decref(snap);
			snap = NULL;
		}
	}
	return snap;
}

/* One more line at the end of @text; a failure frees it and leaves NULL. */
static void line_add(char **text, size_t *len, json_t *object)
{
	char *line = object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
	size_t more = line ? strlen(line) : 0;
	char *grown = NULL;

	if (line && *text)
		grown = realloc(*text, *len + more + 2);
	if (grown) {
		memcpy(grown + *len, line, more);
		memcpy(grown + *len + more, "\n", 2);
		*len += more + 1;
	} else {
		free(*text);
	}
	*text = grown;
	free(line);
	json_decref(object);
}

/* Lists keep their order, so @cursor, one past the last one found, nearly always hits at once. */
static json_t *item_find(json_t *array, size_t *cursor, const char *id, json_t *like)
{
	json_t *want = json_object_get(like, id), *kind = json_object_get(like, "kind"), *item;
	size_t n = json_array_size(array), i, at;

	for (i = 0; i < n; i++) {
		at = (*cursor + i) % n;
		item = json_array_get(array, at);
		if (!json_equal(json_object_get(item, id), want))
			continue;
		/* A lock and a reader-writer lock of one number are two. */
		if (kind && !json_equal(json_object_get(item, "kind"), kind))
			continue;
		*cursor = at + 1;
		return item;
	}
	return NULL;
}

struct change_walk {
	char *text;
	size_t len;
	double seconds;
};

static void change_add(struct change_walk *walk, const char *event, const char *change,
		       json_t *item)
{
	line_add(&walk->text, &walk->len,
		 json_pack("{s:s,s:s,s:f,s:O}", "event", event, "change", change, "uptime_seconds",
			   walk->seconds, event, item));
}

static void section_compare(struct change_walk *walk, const struct section *s, json_t *old,
			    json_t *new)
{
	size_t i, cursor = 0;
	json_t *was, *item;

	if (json_equal(old, new))
		return;
	json_array_foreach(new, i, item) {
		was = item_find(old, &cursor, s->id, item);
		if (!was)
			change_add(walk, s->event, "added", item);
		else if (!json_equal(was, item))
			change_add(walk, s->event, "changed", item);
	}
	cursor = 0;
	json_array_foreach(old, i, item) {
		if (!item_find(new, &cursor, s->id, item))
			change_add(walk, s->event, "removed", item);
	}
}

static void snapshot_compare(struct change_walk *walk, json_t *old, json_t *new)
{
	json_t *status = json_object_get(new, "status");
	size_t i;

	if (!json_equal(json_object_get(old, "status"), status))
		change_add(walk, "status", "changed", status);
	for (i = 0; i < NSECTIONS; i++)
		section_compare(walk, &sections[i], json_object_get(old, sections[i].name),
				json_object_get(new, sections[i].name));
}

static void snapshot_tell(struct change_walk *walk, json_t *snap)
{
	json_t *line = json_pack("{s:s,s:f}", "event", "snapshot", "uptime_seconds", walk->seconds);

	if (line && json_object_update(line, snap) < 0) {
		json_decref(line);
		line = NULL;
	}
	line_add(&walk->text, &walk->len, line);
}

int query_events_poll(struct query_events *ev, const struct query_source *src, char **ret_text)
{
	struct change_walk walk = {
		.text = calloc(1, 1),
		.seconds = (double)(src->now_us - src->start_us) / 1e6,
	};
	json_t *snap = snapshot_take(src);

	if (!snap || !walk.text)
		goto fail;
	if (ev->last)
		snapshot_compare(&walk, ev->last, snap);
	else
		snapshot_tell(&walk, snap);
	if (!walk.text)
		goto fail;
	json_decref(ev->last);
	ev->last = snap;
	if (!walk.len) {
		free(walk.text);
		walk.text = NULL;
	}
	*ret_text = walk.text;
	return 0;
fail:
	json_decref(snap);
	free(walk.text);
	return -ENOMEM;
}

struct query_events *query_events_new(void)
{
	return calloc(1, sizeof(struct query_events));
}

void query_events_free(struct query_events *ev)
{
	if (!ev)
		return;
	json_decref(ev->last);
	free(ev);
}
