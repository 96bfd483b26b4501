/* SPDX-License-Identifier: MIT */
/* Documents about the node and its cluster: status, node list, stats. */
#include <arpa/inet.h>
#include <math.h>
#include <string.h>

#include "agent/client/query_json.h"

static json_t *json_status_memory(const struct core_info *info)
{
	return json_pack("{s:I,s:I,s:I,s:I}", "chunks_total", (json_int_t)info->chunks_total,
			 "chunks_used", (json_int_t)info->chunks_used, "bytes_total",
			 (json_int_t)info->chunks_total * 4096, "bytes_used",
			 (json_int_t)info->chunks_used * 4096);
}

static json_t *json_metadata(const struct core *core)
{
	size_t bytes, pages;

	core_page_memory(core, &bytes, &pages);
	return json_pack("{s:I,s:I}", "bytes", (json_int_t)bytes, "pages", (json_int_t)pages);
}

static const char *log_level_name(int level)
{
	static const char *const names[] = { "debug", "info", "warn", "error" };

	return level >= 0 && level < 4 ? names[level] : "unknown";
}

json_t *query_status(const struct query_source *src)
{
	struct core_info info;

	core_info_get(src->core, &info);
	return json_pack(
		"{s:i,s:I,s:s,s:s,s:o,s:o,s:s,s:i,s:i,s:b,s:I,s:b,s:I,s:f,"
		"s:o,s:o,s:I,s:I,s:s,s:s,s:i}",
		"port", (int)src->port, "pid", (json_int_t)src->pid, "version", src->version,
		"pager", src->pager, "cluster", query_name(src->cluster), "cluster_id",
		query_hex(info.cluster), "state", query_core_state(info.state), "node",
		(int)info.nid, "master", (int)info.master, "is_master",
		info.nid && info.nid == info.master, "epoch", (json_int_t)info.epoch, "rebuilding",
		(int)info.rebuilding, "members", (json_int_t)info.members, "uptime_seconds",
		(double)(src->now_us - src->start_us) / 1e6, "memory", json_status_memory(&info),
		"metadata", json_metadata(src->core), "programs", (json_int_t)src->programs,
		"sessions", (json_int_t)src->sessions, "log_level", log_level_name(src->log_level),
		"run_dir", src->rundir, "discovery_port", (int)src->discovery_port);
}

/* null: this node does not know at which address others see it. */
static json_t *json_address(const struct core_addr *addr)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	static const uint8_t none[16];
	char text[INET6_ADDRSTRLEN];

	if (!memcmp(addr->ip, none, sizeof(none)))
		return json_null();
	if (!memcmp(addr->ip, mapped, sizeof(mapped)))
		inet_ntop(AF_INET, addr->ip + 12, text, sizeof(text));
	else
		inet_ntop(AF_INET6, addr->ip, text, sizeof(text));
	return json_string(text);
}

static const char *member_state_name(uint8_t state)
{
	switch (state) {
	case MEMBER_JOINING:
		return "joining";
	case MEMBER_ACTIVE:
		return "active";
	case MEMBER_LEAVING:
		return "leaving";
	default:
		return "unknown";
	}
}

struct node_walk {
	json_t *array;
	const struct query_source *src;
	struct core_info info;
};

static void node_add(void *ctx, const struct rec_member *m, bool link_up)
{
	struct node_walk *walk = ctx;
	bool self = m->nid == walk->info.nid;

	query_append(&walk->array,
		     json_pack("{s:i,s:o,s:o,s:i,s:s,s:I,s:b,s:b,s:b}", "node", (int)m->nid, "uid",
			       query_hex(m->uid), "address", json_address(&m->addr), "port",
			       (int)(m->addr.port ? m->addr.port
				     : self	  ? walk->src->port
						  : 0),
			       "state", member_state_name(m->state), "chunks",
			       (json_int_t)m->chunks, "master", m->nid == walk->info.master, "self",
			       (int)self, "link", self || link_up));
}

json_t *query_nodes(const struct query_source *src)
{
	struct node_walk walk = { .array = json_array(), .src = src };

	core_info_get(src->core, &walk.info);
	core_each_member(src->core, node_add, &walk);
	return walk.array;
}

static json_t *json_latency(const struct query_latency *l)
{
	return json_pack("{s:I,s:f,s:f,s:f}", "n", (json_int_t)l->n, "p50_us",
			 isfinite(l->p50) ? l->p50 : 0.0, "p99_us", isfinite(l->p99) ? l->p99 : 0.0,
			 "max_us", isfinite(l->max) ? l->max : 0.0);
}

static json_t *json_wire(const struct query_source *src)
{
	return json_pack("{s:I,s:I,s:I,s:I,s:I}", "bytes_in", (json_int_t)src->bytes_in,
			 "bytes_out", (json_int_t)src->bytes_out, "messages_in",
			 (json_int_t)src->messages_in, "messages_out",
			 (json_int_t)src->messages_out, "bad_frames", (json_int_t)src->bad_frames);
}

json_t *query_stats(const struct query_source *src)
{
	struct core_info info;
	struct core_stats st;

	core_info_get(src->core, &info);
	core_stats_get(src->core, &st);
	return json_pack("{s:i,s:i,s:s,s:{s:I,s:I,s:I},s:{s:I,s:I,s:I,s:I},s:{s:I,s:I,s:I},"
			 "s:{s:o,s:o},s:o,s:{s:I,s:I},s:I,s:{s:I,s:I,s:I},s:{s:I,s:I,s:I},s:I}",
			 "node", (int)info.nid, "port", (int)src->port, "pager", src->pager,
			 "faults", "read", (json_int_t)st.read_faults, "write",
			 (json_int_t)st.write_faults, "prefetch", (json_int_t)st.prefetches,
			 "pages", "in", (json_int_t)st.pages_in, "out", (json_int_t)st.pages_out,
			 "lost", (json_int_t)st.pages_lost, "stashed", (json_int_t)src->stash_pages,
			 "coherence", "invalidations", (json_int_t)st.invalidations, "downgrades",
			 (json_int_t)st.downgrades, "upgrades", (json_int_t)st.upgrades, "latency",
			 "read", json_latency(&src->read), "write", json_latency(&src->write),
			 "wire", json_wire(src), "locks", "local", (json_int_t)st.lock_local,
			 "remote", (json_int_t)st.lock_remote, "barriers", (json_int_t)st.barriers,
			 "values", "in", (json_int_t)st.values_in, "out", (json_int_t)st.values_out,
			 "refused", (json_int_t)st.values_refused, "messages", "old_epoch",
			 (json_int_t)st.messages_old, "replayed", (json_int_t)st.messages_replayed,
			 "bad", (json_int_t)st.messages_bad, "view_changes",
			 (json_int_t)st.view_changes);
}
