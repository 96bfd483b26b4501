/* SPDX-License-Identifier: MIT */
/* The parts of the dsm command that need no agent: numbers, sizes, tables, the lines of many programs. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/cli/args.h"
#include "agent/cli/run.h"
#include "agent/cli/table.h"

/* main.c is not part of this test. */
int cli_error(int code, const char *fmt, ...)
{
	(void)fmt;
	return code;
}

static void numbers_have_bounds(void **state)
{
	uint64_t n = 77;

	(void)state;
	assert_int_equal(args_number("1", 1, 10, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(args_number("0x10", 0, 16, &n), 0);
	assert_int_equal(n, 16);
	assert_int_equal(args_number("010", 0, 16, &n), 0);
	assert_int_equal(n, 10); /* no octal */
	assert_int_equal(args_number("18446744073709551615", 0, UINT64_MAX, &n), 0);
	assert_true(n == UINT64_MAX);
	n = 77;
	assert_int_equal(args_number("11", 1, 10, &n), -EINVAL);
	assert_int_equal(args_number("0", 1, 10, &n), -EINVAL);
	assert_int_equal(n, 77); /* untouched */
}

static void what_is_no_number_is_refused(void **state)
{
	static const char *const bad[] = {
		"", " 1", "-1", "+1", "1x", "0x", "0xg", "one", "1 ", "18446744073709551616",
	};
	uint64_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(args_number(bad[i], 0, UINT64_MAX, &n), -EINVAL);
}

static void sizes_have_units(void **state)
{
	static const struct {
		const char *text;
		uint64_t size;
	} good[] = {
		{ "0", 0 },
		{ "4096", 4096 },
		{ "4k", 4096 },
		{ "1M", 1048576 },
		{ "2G", 2147483648 },
		{ "1t", 1ull << 40 },
		{ "16777215T", 16777215ull << 40 },
	};
	static const char *const bad[] = {
		"", "k", "1kk", "1P", "-1k", "1.5M", "16777216T", "1 M"
	};
	uint64_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(args_size(good[i].text, &n), 0);
		assert_true(n == good[i].size);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(args_size(bad[i], &n), -EINVAL);
}

static void the_run_directory_is_found(void **state)
{
	struct cli cli = { 0 };

	(void)state;
	setenv("DSM_PORT", "9907", 1);
	setenv("DSM_RUNDIR", "/somewhere", 1);
	args_environment(&cli);
	assert_int_equal(cli.port, 9907);
	assert_true(cli.port_given);
	assert_string_equal(cli.rundir, "/somewhere");
	unsetenv("DSM_PORT");
	unsetenv("DSM_RUNDIR");
	cli = (struct cli){ 0 };
	args_environment(&cli);
	assert_int_equal(cli.port, CLI_PORT_DEFAULT);
	assert_false(cli.port_given);
}

static void sizes_are_shown_short(void **state)
{
	char text[32];

	(void)state;
	assert_string_equal(table_size(0, text), "0 B");
	assert_string_equal(table_size(1023, text), "1023 B");
	assert_string_equal(table_size(1536, text), "1.5 KiB");
	assert_string_equal(table_size(1ull << 40, text), "1 TiB");
	assert_string_equal(table_size(UINT64_MAX, text), "16384 PiB");
}

/* What @table prints, to be freed. */
static char *table_text(struct table *t)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	table_end(t, out);
	fclose(out);
	return text;
}

static void tables_are_aligned(void **state)
{
	static const char *const heads[] = { ">N", "NAME", "LAST", NULL };
	struct table t;
	char *text;

	(void)state;
	table_begin(&t, heads);
	table_cell(&t, "%d", 5);
	table_cell(&t, "long name");
	table_cell(&t, "x");
	table_cell(&t, "%d", 1000);
	table_cell(&t, "n");
	table_cell(&t, "yy");
	text = table_text(&t);
	assert_string_equal(text, "   N  NAME       LAST\n"
				  "   5  long name  x\n"
				  "1000  n          yy\n");
	free(text);
}

static void documents_may_lack_anything(void **state)
{
	json_t *doc = json_pack("{s:{s:i},s:s}", "a", "b", 7, "c", "text");

	(void)state;
	assert_int_equal(doc_int(doc, "a.b"), 7);
	assert_int_equal(doc_int(doc, "a.x"), 0);
	assert_int_equal(doc_int(doc, "x.b"), 0);
	assert_int_equal(doc_int(doc, "c.b"), 0);
	assert_string_equal(doc_text(doc, "c"), "text");
	assert_string_equal(doc_text(doc, "a"), "");
	assert_false(doc_bool(doc, "c"));
	json_decref(doc);
}

/* Runs @bytes through a stream of node 2 and returns what came out on stdout, to be freed. */
static char *stream_text(const char *bytes, size_t len, size_t step)
{
	char name[] = "/tmp/dsm-test-cli-XXXXXX", *text = calloc(1, 65536);
	int keep = dup(STDOUT_FILENO), to = mkstemp(name), ends[2] = { -1, -1 };
	static struct run_stream s;

	assert_true(to >= 0 && !pipe(ends));
	fflush(stdout);
	dup2(to, STDOUT_FILENO);
	run_stream_init(&s, false, "");
	s.fd = ends[0];
	fcntl(s.fd, F_SETFL, O_NONBLOCK);
	for (size_t at = 0; at < len; at += step) {
		assert_true(write(ends[1], bytes + at, len - at < step ? len - at : step) > 0);
		run_stream_pump(&s, 2);
		assert_true(s.fd >= 0);
	}
	close(ends[1]);
	run_stream_pump(&s, 2);
	assert_int_equal(s.fd, -1);
	fflush(stdout);
	dup2(keep, STDOUT_FILENO);
	assert_true(pread(to, text, 65535, 0) >= 0);
	close(keep);
	close(to);
	unlink(name);
	return text;
}

static void every_line_has_its_node(void **state)
{
	static const char bytes[] = "one\n\ntwo\nrest";
	char *text;

	(void)state;
	for (size_t step = 1; step < sizeof(bytes); step++) {
		text = stream_text(bytes, sizeof(bytes) - 1, step);
		assert_string_equal(text, "[2] one\n[2] \n[2] two\n[2] rest\n");
		free(text);
	}
}

static void a_line_without_end_comes_in_parts(void **state)
{
	static char bytes[RUN_LINE_MAX + 5];
	char *text;

	(void)state;
	memset(bytes, 'x', sizeof(bytes));
	text = stream_text(bytes, sizeof(bytes), 4096);
	assert_int_equal(strlen(text), sizeof(bytes) + 2 * strlen("[2] \n"));
	assert_string_equal(text + strlen(text) - 10, "[2] xxxxx\n");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_have_bounds),
		cmocka_unit_test(what_is_no_number_is_refused),
		cmocka_unit_test(sizes_have_units),
		cmocka_unit_test(the_run_directory_is_found),
		cmocka_unit_test(sizes_are_shown_short),
		cmocka_unit_test(tables_are_aligned),
		cmocka_unit_test(documents_may_lack_anything),
		cmocka_unit_test(every_line_has_its_node),
		cmocka_unit_test(a_line_without_end_comes_in_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
