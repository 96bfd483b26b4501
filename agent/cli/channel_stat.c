// SPDX-License-Identifier: MIT
/* dsm channel list, stat. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "agent/cli/channel.h"
#include "agent/cli/table.h"

#define INTERVAL_MS 500 /* between the two looks that rates are made of */

static const char *state_name(uint32_t state)
{
	static const char *const names[] = { "absent", "live", "stale", "lost" };

	return state < sizeof(names) / sizeof(names[0]) ? names[state] : "unknown";
}

/* Who is alone is looked for once, and lost at once; somebody who only looks on says less. */
static const char *seat_state(const struct dsm_channel_seat_info *s)
{
	if (!s->pid)
		return state_name(DSM_CHANNEL_ABSENT);
	return state_name(s->state == DSM_CHANNEL_LOST ? DSM_CHANNEL_STALE : s->state);
}

static json_t *seat_json(const struct dsm_channel_seat_info *s)
{
	return json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:I}", "state", seat_state(s), "pid",
			 (json_int_t)s->pid, "node", (json_int_t)s->node, "seated",
			 (json_int_t)s->seated, "beats", (json_int_t)s->beats, "silent_us",
			 (json_int_t)s->silent_us, "since_ns", (json_int_t)s->since_ns);
}

static json_t *flow_json(const struct dsm_channel_flow_info *f)
{
	return json_pack("{s:I,s:I,s:I,s:f,s:f,s:I}", "written", (json_int_t)f->written, "read",
			 (json_int_t)f->read, "missed", (json_int_t)f->missed, "rate", f->rate,
			 "read_rate", f->read_rate, "newest", (json_int_t)f->newest);
}

static json_t *info_json(const char *name, const struct dsm_channel_info *i)
{
	return json_pack("{s:s,s:I,s:o,s:o,s:o,s:o}", "name", name, "size", (json_int_t)i->size,
			 "master", seat_json(&i->master), "slave", seat_json(&i->slave),
			 "from_master", flow_json(&i->from_master), "from_slave",
			 flow_json(&i->from_slave));
}

static void seat_cell(struct table *t, const struct dsm_channel_seat_info *s)
{
	if (s->pid)
		table_cell(t, "process %u", s->pid);
	else
		table_cell(t, "-");
}

/* One channel of the list: a row and a member, or what is wrong with it. */
static void list_one(dsm_segment_t *segment, const char *name, struct table *t, json_t *array)
{
	struct dsm_channel_options options = channel_options(DSM_CHANNEL_OBSERVER);
	struct dsm_channel_info info;
	dsm_channel_t *channel = NULL;
	json_t *o;
	int err = dsm_channel_open(segment, name, &options, &channel);

	if (!err)
		err = dsm_channel_info(channel, &info);
	table_cell(t, "%s", name);
	if (err) {
		table_cell(t, "-");
		table_cell(t, "%s", dsm_last_error());
		for (int i = 0; i < 3; i++)
			table_cell(t, "-");
		o = json_pack("{s:s,s:s}", "name", name, "error", dsm_last_error());
	} else {
		table_cell(t, "%u", info.size);
		seat_cell(t, &info.master);
		seat_cell(t, &info.slave);
		table_cell(t, "%" PRIu64, info.from_master.written);
		table_cell(t, "%" PRIu64, info.from_slave.written);
		/* A rate takes two looks. */
		o = info_json(name, &info);
		json_object_del(json_object_get(o, "from_master"), "rate");
		json_object_del(json_object_get(o, "from_master"), "read_rate");
		json_object_del(json_object_get(o, "from_slave"), "rate");
		json_object_del(json_object_get(o, "from_slave"), "read_rate");
	}
	json_array_append_new(array, o);
	dsm_channel_close(channel);
}

static int list_all(dsm_segment_t *segment, struct table *t, json_t *array)
{
	struct dsm_root roots[16];
	uint32_t from = 0;
	int n;

	while ((n = dsm_segment_root_list(segment, from, roots, 16)) > 0) {
		for (int i = 0; i < n; i++)
			if (roots[i].kind == DSM_ROOT_CHANNEL)
				list_one(segment, roots[i].name, t, array);
		from = roots[n - 1].index + 1;
	}
	return n;
}

int cmd_channel_list(struct cli *cli, int argc, char **argv)
{
	static const char *const heads[] = { "CHANNEL",	      ">SIZE",	      "MASTER", "SLAVE",
					     ">MASTER WROTE", ">SLAVE WROTE", NULL };
	struct opened o;
	struct table t;
	const char *uri;
	json_t *array;
	int err, code;

	args_parse(cli, argc, argv, "URI", "List the channels in a segment.", &uri, 1, 1);
	code = open_segment(cli, uri, &o);
	if (code)
		return code;
	table_begin(&t, heads);
	array = json_array();
	err = list_all(o.segment, &t, array);
	code = err < 0 ? open_explain(argv[0], err) : CLI_OK;
	if (cli->json) {
		doc_print(json_pack("{s:s,s:o}", "uri", uri, "channels", array));
		table_drop(&t);
	} else {
		table_end(&t, stdout);
		json_decref(array);
	}
	open_close(&o);
	return code;
}

static void seat_print(const char *name, const struct dsm_channel_seat_info *s)
{
	printf("%-12s %s", name, seat_state(s));
	if (s->pid)
		printf(", process %u on node %u, %" PRIu64 " heartbeats, the last %.1f ms ago",
		       s->pid, s->node, s->beats, (double)s->silent_us / 1e3);
	printf("; taken %u times\n", s->seated);
}

static void flow_print(const char *name, const struct dsm_channel_flow_info *f)
{
	printf("%-12s %" PRIu64 " written, %" PRIu64 " read, %" PRIu64
	       " missed; %.0f written, %.0f read a second; the newest has %u bytes\n",
	       name, f->written, f->read, f->missed, f->rate, f->read_rate, f->newest);
}

/* The first look only sets from where rates count. */
static int look_twice(dsm_channel_t *channel, uint64_t interval_ms, struct dsm_channel_info *ret)
{
	struct timespec pause = { .tv_sec = (time_t)(interval_ms / 1000),
				  .tv_nsec = (long)(interval_ms % 1000 * 1000000) };
	int err = dsm_channel_info(channel, ret);

	if (err)
		return err;
	nanosleep(&pause, NULL);
	return dsm_channel_info(channel, ret);
}

int cmd_channel_stat(struct cli *cli, int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "interval", CHANNEL_INTERVAL, "MS", 0,
		  "Time over which rates are taken, in milliseconds (500)", 0 },
		{ 0 },
	};
	struct channel_words w = { .args = { .cli = cli, .min = 1, .max = 1 },
				   .interval_ms = INTERVAL_MS };
	struct dsm_channel_info i;
	struct channeled c;
	json_t *o;
	int err, code;

	channel_parse(&w, argc, argv, options, "URI",
		      "Show who sits at a channel (shm:NAME/CHANNEL or dsm:REGION/CHANNEL), and "
		      "what is written, read and missed in each direction.");
	code = channel_observe(cli, argv[0], w.words[0], DSM_CHANNEL_MASTER, &c);
	if (code)
		return code;
	err = look_twice(c.channel, w.interval_ms, &i);
	if (!err && cli->json) {
		o = info_json(w.words[0], &i);
		json_object_set_new(o, "reconnects", json_integer(i.reconnects));
		doc_print(o);
	} else if (!err) {
		printf("%-12s %s, values of up to %u bytes\n", "channel", w.words[0], i.size);
		seat_print("master", &i.master);
		seat_print("slave", &i.slave);
		flow_print("from master", &i.from_master);
		flow_print("from slave", &i.from_slave);
		printf("%-12s %u meanwhile\n", "reconnects", i.reconnects);
	}
	return channel_done(argv[0], err, &c);
}
