// SPDX-License-Identifier: MIT
/* Settings: what is accepted, what wins, and that a bad value is named with its source. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/config.h"
#include "agent/config_settings.h"
#include "agent/net/addr.h"

static char said[2000]; /* what config_load() wrote to standard error */
static char file_name[64];

static int setup(void **state)
{
	(void)state;
	for (size_t i = 0; i < nsettings; i++)
		if (settings[i].env)
			unsetenv(settings[i].env);
	unsetenv("DSM_CONFIG");
	strcpy(file_name, "/tmp/dsm-test-config-XXXXXX");
	close(mkstemp(file_name));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return unlink(file_name);
}

static void put_file(const char *text)
{
	FILE *f = fopen(file_name, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* Loads with these options (NULL-terminated) and the test's file. */
static enum config_result load(struct config *cfg, const char *first, ...)
{
	char *argv[16] = { (char *)"dsmd", (char *)"--config", file_name };
	int argc = 3, saved = dup(STDERR_FILENO);
	enum config_result result;
	FILE *capture = tmpfile();
	va_list ap;
	size_t n;

	va_start(ap, first);
	for (const char *arg = first; arg; arg = va_arg(ap, const char *))
		argv[argc++] = (char *)(uintptr_t)arg;
	va_end(ap);
	fflush(stderr);
	dup2(fileno(capture), STDERR_FILENO);
	result = config_load(argc, argv, cfg);
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(capture);
	n = fread(said, 1, sizeof(said) - 1, capture);
	said[n] = '\0';
	fclose(capture);
	return result;
}

static void told_nothing_it_has_defaults(void **state)
{
	struct config cfg;

	(void)state;
	assert_int_equal(load(&cfg, NULL), CONFIG_OK);
	assert_int_equal(cfg.port, 9900);
	assert_int_equal(cfg.discovery_port, 9999);
	assert_true(cfg.discovery);
	assert_string_equal(cfg.cluster, "dsm");
	assert_true(*cfg.run_dir);
	assert_string_equal(said, "");
}

static void options_win_over_environment_over_file(void **state)
{
	struct config cfg;

	(void)state;
	put_file("[dsmd]\nport = 1111\nchunks = 10\ncluster = from-file\n");
	setenv("DSM_PORT", "2222", 1);
	setenv("DSM_CHUNKS", "20", 1);
	assert_int_equal(load(&cfg, "--port", "3333", NULL), CONFIG_OK);
	assert_int_equal(cfg.port, 3333);
	assert_int_equal(cfg.chunks, 20);
	assert_string_equal(cfg.cluster, "from-file");
}

static void chunks_are_counted_or_measured(void **state)
{
	static const struct {
		const char *text;
		uint64_t chunks;
	} good[] = {
		{ "0", 0 },	    { "7", 7 },	      { "4K", 1 },
		{ "512M", 131072 }, { "2G", 524288 }, { "1T", 268435456 },
	};
	static const char *const bad[] = { "",	   "-1",	   "5K",   "M",	  "12X",
					   "1.5G", "99999999999T", "0x10", "1 G", "512MB" };
	struct config cfg;
	char why[200];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		config_defaults(&cfg);
		assert_true(config_set(&cfg, "chunks", good[i].text, why, sizeof(why)));
		assert_int_equal(cfg.chunks, good[i].chunks);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(config_set(&cfg, "chunks", bad[i], why, sizeof(why)));
}

static void join_takes_hosts_with_and_without_port(void **state)
{
	struct config cfg;
	char text[ADDR_TEXT_MAX];

	(void)state;
	assert_int_equal(load(&cfg, "--join", "10.0.0.1", "--join", "10.0.0.2:77,[fd00::1]:78",
			      "--join", "fd00::2", NULL),
			 CONFIG_OK);
	assert_int_equal(cfg.nseeds, 4);
	assert_string_equal(addr_text(&cfg.seeds[0], text), "10.0.0.1:9900");
	assert_string_equal(addr_text(&cfg.seeds[1], text), "10.0.0.2:77");
	assert_string_equal(addr_text(&cfg.seeds[2], text), "[fd00::1]:78");
	assert_string_equal(addr_text(&cfg.seeds[3], text), "[fd00::2]:9900");
}

static void join_on_the_command_line_replaces_the_files(void **state)
{
	struct config cfg;

	(void)state;
	put_file("join = 10.0.0.1\n");
	assert_int_equal(load(&cfg, "--join", "10.0.0.9", NULL), CONFIG_OK);
	assert_int_equal(cfg.nseeds, 1);
	setenv("DSM_JOIN", "10.0.0.7 10.0.0.8", 1);
	assert_int_equal(load(&cfg, NULL), CONFIG_OK);
	assert_int_equal(cfg.nseeds, 2);
}

static void a_bad_option_is_named_with_what_is_accepted(void **state)
{
	static const char *const cases[][3] = {
		{ "--port", "0", "a port number, 1 to 65535" },
		{ "--port", "65536", "1 to 65535" },
		{ "--port", "ninety", "1 to 65535" },
		{ "--chunks", "12Q", "512M or 2G" },
		{ "--cluster", "two words", "without blanks" },
		{ "--cluster", "a-name-of-more-than-thirty-one-bytes", "1 to 31" },
		{ "--pager", "magic", "kmod, uffd or auto" },
		{ "--dead-time", "5", "100 to 600000" },
		{ "--hold-time", "1000001", "0 to 1000000" },
		{ "--join", "host:99999", "HOST:PORT" },
		{ "--join", "[::1", "[IPV6]:PORT" },
		{ "--log-level", "loud", "debug, info, warn, error" },
		{ "--discovery-port", "", "1 to 65535" },
	};
	struct config cfg;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(load(&cfg, cases[i][0], cases[i][1], NULL), CONFIG_USAGE);
		assert_non_null(strstr(said, cases[i][0]));
		assert_non_null(strstr(said, cases[i][1]));
		assert_non_null(strstr(said, cases[i][2]));
	}
}

static void arguments_that_are_no_options_are_refused(void **state)
{
	struct config cfg;

	(void)state;
	assert_int_equal(load(&cfg, "9900", NULL), CONFIG_USAGE);
	assert_non_null(strstr(said, "\"9900\""));
}

static void a_bad_variable_is_named(void **state)
{
	struct config cfg;

	(void)state;
	setenv("DSM_DEAD_TIME", "soon", 1);
	assert_int_equal(load(&cfg, NULL), CONFIG_USAGE);
	assert_non_null(strstr(said, "environment variable DSM_DEAD_TIME"));
	assert_non_null(strstr(said, "\"soon\""));
}

static void a_bad_line_is_named_with_its_number(void **state)
{
	char where[100];
	struct config cfg;

	(void)state;
	put_file("# comment\n[dsmd]\nport = 9901\n\nchunks = lots\n");
	assert_int_equal(load(&cfg, NULL), CONFIG_FILE);
	snprintf(where, sizeof(where), "%s:5:", file_name);
	assert_non_null(strstr(said, where));
	assert_non_null(strstr(said, "\"lots\""));

	put_file("prot = 9901\n");
	assert_int_equal(load(&cfg, NULL), CONFIG_FILE);
	assert_non_null(strstr(said, "no setting \"prot\""));

	put_file("port = 9901\nnonsense\n");
	assert_int_equal(load(&cfg, NULL), CONFIG_FILE);
	snprintf(where, sizeof(where), "%s:2:", file_name);
	assert_non_null(strstr(said, where));

	put_file("[other]\nport = 9901\n");
	assert_int_equal(load(&cfg, NULL), CONFIG_FILE);
	assert_non_null(strstr(said, "[other]"));
}

static void a_file_asked_for_must_be_there(void **state)
{
	struct config cfg;

	(void)state;
	assert_int_equal(load(&cfg, "--config", "/nonexistent/dsm.conf", NULL), CONFIG_FILE);
	assert_non_null(strstr(said, "/nonexistent/dsm.conf"));
}

static void flags_are_yes_or_no_in_the_file(void **state)
{
	struct config cfg;

	(void)state;
	put_file("no-discovery = yes\nstandalone = on\nlog-syslog = no\n");
	assert_int_equal(load(&cfg, NULL), CONFIG_OK);
	assert_false(cfg.discovery);
	assert_true(cfg.standalone);
	assert_false(cfg.log_syslog);
	put_file("standalone = perhaps\n");
	assert_int_equal(load(&cfg, NULL), CONFIG_FILE);
	assert_non_null(strstr(said, "yes or no"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(told_nothing_it_has_defaults),
		TEST(options_win_over_environment_over_file),
		TEST(chunks_are_counted_or_measured),
		TEST(join_takes_hosts_with_and_without_port),
		TEST(join_on_the_command_line_replaces_the_files),
		TEST(a_bad_option_is_named_with_what_is_accepted),
		TEST(arguments_that_are_no_options_are_refused),
		TEST(a_bad_variable_is_named),
		TEST(a_bad_line_is_named_with_its_number),
		TEST(a_file_asked_for_must_be_there),
		TEST(flags_are_yes_or_no_in_the_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
