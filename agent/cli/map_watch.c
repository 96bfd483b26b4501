// SPDX-License-Identifier: MIT
/* dsm map watch. */
#include <errno.h>
#include <string.h>

#include "agent/cli/args.h"
#include "agent/cli/map.h"
#include "agent/cli/table.h"

enum { KEY_COUNT = ARGS_KEY, KEY_TIMEOUT, KEY_PRESENT };

struct watch {
	struct cli *cli;
	struct args_words words;
	const char *uri_prefix[2];
	uint64_t count, timeout_ms;
	uint32_t flags;
};

static error_t watch_option(int key, char *arg, struct argp_state *state)
{
	struct watch *w = state->input;

	switch (key) {
	case KEY_COUNT:
		if (args_number(arg, 1, UINT64_MAX, &w->count) < 0)
			argp_error(state, "--count %s: a number from 1 on is wanted", arg);
		return 0;
	case KEY_TIMEOUT:
		if (args_number(arg, 0, UINT64_MAX / 1000000, &w->timeout_ms) < 0)
			argp_error(state, "--timeout %s: milliseconds are wanted", arg);
		return 0;
	case KEY_PRESENT:
		w->flags |= DSM_MAP_WATCH_PRESENT;
		return 0;
	default:
		return args_word(key, arg, state, &w->words);
	}
}

static void event_print(const struct dsm_map_event *e, bool json)
{
	static const char *const kinds[] = { "", "added", "changed", "deleted" };
	json_t *o;

	if (json) {
		o = entry_json(&e->entry);
		json_object_set_new(o, "event", json_string(kinds[e->kind]));
		json_dumpf(o, stdout, JSON_COMPACT);
		json_decref(o);
	} else {
		printf("%s ", kinds[e->kind]);
		bytes_print(stdout, e->entry.key, e->entry.key_size, true);
		if (e->entry.value) {
			putchar(' ');
			bytes_print(stdout, e->entry.value, e->entry.value_size, false);
		}
	}
	putchar('\n');
	/* Who reads it wants it now. */
	(void)fflush(stdout);
}

static int watch_run(struct watch *w, dsm_map_t *map)
{
	uint64_t timeout_us = w->timeout_ms == UINT64_MAX ? DSM_MAP_FOREVER : w->timeout_ms * 1000;
	struct dsm_map_event e;
	const char *prefix = w->uri_prefix[1];
	dsm_map_watcher_t *watcher;
	int err;

	err = dsm_map_watcher_begin(map, prefix, prefix ? strlen(prefix) : 0, w->flags, &watcher);
	if (err)
		return err;
	for (uint64_t n = 0; n < w->count && !err && !ferror(stdout); n++) {
		err = dsm_map_watcher_next(watcher, timeout_us, &e);
		if (!err)
			event_print(&e, w->cli->json);
	}
	dsm_map_watcher_end(watcher);
	return err;
}

int cmd_map_watch(struct cli *cli, int argc, char **argv)
{
	static const struct argp_child children[] = { { &args_agent, 0, NULL, 0 }, { 0 } };
	static const struct argp_option options[] = {
		{ "count", KEY_COUNT, "N", 0, "End after N changes", 0 },
		{ "timeout", KEY_TIMEOUT, "MS", 0,
		  "End when nothing changes for so many milliseconds, with exit status 1", 0 },
		{ "present", KEY_PRESENT, NULL, 0, "First tell what is there, as added", 0 },
		{ 0 },
	};
	static const struct argp argp = {
		.options = options,
		.parser = watch_option,
		.args_doc = "URI [PREFIX]",
		.children = children,
		.doc = "Print every change of the keys that begin with PREFIX, as it happens: "
		       "added, changed "
		       "or deleted, the key, the value. What changes several times at once may be "
		       "told "
		       "once, with the last value.",
	};
	struct watch w = {
		.cli = cli,
		.words = { cli, w.uri_prefix, 0, 1, 2 },
		.count = UINT64_MAX,
		.timeout_ms = UINT64_MAX,
	};
	struct mapped m;
	int err, code;

	args_parse_own(argc, argv, &argp, &w);
	code = map_open(cli, argv[0], w.uri_prefix[0], false, &m);
	if (code)
		return code;
	err = watch_run(&w, m.map);
	if (err != -ETIMEDOUT)
		return map_done(argv[0], err, &m);
	(void)map_done(argv[0], 0, &m);
	return cli_error(CLI_FAILED, "%s: nothing changed for %llu ms", argv[0],
			 (unsigned long long)w.timeout_ms);
}
