// SPDX-License-Identifier: MIT
/* dsm heap map. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <dsm/heap_report.h>

#include "agent/cli/args.h"
#include "agent/cli/heap.h"
#include "agent/cli/table.h"

enum { KEY_SVG = ARGS_KEY, KEY_COLUMNS, KEY_LINES };

struct map {
	struct cli *cli;
	struct args_words words;
	const char *uri, *svg;
	struct dsm_heap_picture how;
};

static uint32_t number(struct argp_state *state, const char *option, const char *arg)
{
	uint64_t n = 0;

	if (args_number(arg, 8, 4096, &n) < 0)
		argp_error(state, "--%s %s: a number from 8 to 4096 is wanted", option, arg);
	return (uint32_t)n;
}

static error_t map_option(int key, char *arg, struct argp_state *state)
{
	struct map *m = state->input;

	switch (key) {
	case KEY_SVG:
		if (!*arg)
			argp_error(state, "--svg: the name of a file is wanted");
		m->svg = arg;
		return 0;
	case KEY_COLUMNS:
		m->how.columns = number(state, "columns", arg);
		return 0;
	case KEY_LINES:
		m->how.lines = number(state, "lines", arg);
		return 0;
	default:
		return args_word(key, arg, state, &m->words);
	}
}

/* Into a file, which is complete or not there. */
static int svg_write(const struct map *m, const char *command, struct opened *o, dsm_heap_t *heap)
{
	FILE *out = fopen(m->svg, "we");
	int err, code;

	if (!out) {
		code = cli_error(CLI_FAILED, "%s: %s: %s", command, m->svg, strerror(errno));
		(void)heap_done(command, 0, o, heap);
		return code;
	}
	err = dsm_heap_picture_svg(heap, out);
	code = heap_done(command, err, o, heap);
	if (fclose(out) && !code)
		code = cli_error(CLI_FAILED, "%s: %s: %s", command, m->svg, strerror(errno));
	if (code)
		(void)unlink(m->svg);
	else if (m->cli->json)
		doc_print(json_pack("{s:s,s:s}", "uri", m->uri, "svg", m->svg));
	return code;
}

static int map_draw(struct map *m, const char *command)
{
	struct opened o;
	struct winsize w;
	dsm_heap_t *heap;
	int code = heap_open(m->cli, command, m->uri, &o, &heap);

	if (code)
		return code;
	if (m->svg)
		return svg_write(m, command, &o, heap);
	if (m->cli->json)
		return heap_done(command, dsm_heap_picture_json(heap, stdout, &m->how), &o, heap);
	m->how.colour = isatty(STDOUT_FILENO);
	if (!m->how.columns && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) && w.ws_col >= 8)
		m->how.columns = w.ws_col;
	return heap_done(command, dsm_heap_picture(heap, stdout, &m->how), &o, heap);
}

int cmd_heap_map(struct cli *cli, int argc, char **argv)
{
	static const struct argp_child children[] = { { &args_agent, 0, NULL, 0 }, { 0 } };
	static const struct argp_option options[] = {
		{ "svg", KEY_SVG, "FILE", 0, "Write the picture to FILE as SVG", 0 },
		{ "columns", KEY_COLUMNS, "N", 0, "Characters of a line (64, or the terminal's)",
		  0 },
		{ "lines", KEY_LINES, "N", 0, "Lines at most (32)", 0 },
		{ 0 },
	};
	static const struct argp argp = {
		.options = options,
		.parser = map_option,
		.args_doc = "URI",
		.children = children,
		.doc = "Draw the map of a segment's heap: each character, or cell of the SVG "
		       "image, "
		       "stands for the same number of bytes.",
	};
	struct map m = { .cli = cli, .words = { cli, &m.uri, 0, 1, 1 } };

	args_parse_own(argc, argv, &argp, &m);
	return map_draw(&m, argv[0]);
}
