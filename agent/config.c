// SPDX-License-Identifier: MIT
#include <argp.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/config_settings.h"

const char *argp_program_version = "dsmd (DSM) " DSM_VERSION;

#define KEY_CONFIG 'C'
#define KEY_LONG   0x100 /* settings without a short option have this plus their index */

/* --- the file --- */

struct file_reader {
	FILE *file;
	const char *name;
	struct config *cfg;
	unsigned int line;
	bool bad;
};

/* The parser does not tell its handler the line: count what it reads. */
static char *file_line(char *buf, int size, void *stream)
{
	struct file_reader *r = stream;

	r->line++;
	return fgets(buf, size, r->file);
}

static int file_setting(void *user, const char *section, const char *name, const char *value)
{
	struct file_reader *r = user;
	char why[400];

	if (*section && strcmp(section, "dsmd")) {
		fprintf(stderr, "dsmd: %s:%u: section [%s] is unknown, allowed is [dsmd]\n",
			r->name, r->line, section);
		r->bad = true;
		return 0;
	}
	if (config_set(r->cfg, name, value, why, sizeof(why)))
		return 1;
	fprintf(stderr, "dsmd: %s:%u: %s\n", r->name, r->line, why);
	r->bad = true;
	return 0;
}

/* @must: it was asked for by name. */
static bool load_file(struct config *cfg, const char *name, bool must)
{
	struct file_reader r = { .name = name, .cfg = cfg };
	int line;

	r.file = fopen(name, "re");
	if (!r.file && !must && (errno == ENOENT || errno == EACCES))
		return true;
	if (!r.file) {
		fprintf(stderr, "dsmd: cannot read the configuration file %s: %s\n", name,
			strerror(errno));
		return false;
	}
	line = ini_parse_stream(file_line, &r, file_setting, &r);
	fclose(r.file);
	if (line && !r.bad)
		fprintf(stderr,
			"dsmd: %s:%d: this is neither \"name = value\", [dsmd] nor a comment\n",
			name, line);
	return !line;
}

/* --- the environment --- */

static bool load_environment(struct config *cfg)
{
	const char *value;
	char why[400];

	for (size_t i = 0; i < nsettings; i++) {
		value = settings[i].env ? getenv(settings[i].env) : NULL;
		if (!value || !*value)
			continue;
		if (!strcmp(settings[i].name, "join"))
			cfg->nseeds = 0; /* in place of the file's */
		if (config_set(cfg, settings[i].name, value, why, sizeof(why)))
			continue;
		fprintf(stderr, "dsmd: environment variable %s: %s\n", settings[i].env, why);
		return false;
	}
	return true;
}

/* --- the command line --- */

struct command_line {
	const char *file;
	struct config *cfg; /* NULL in the first pass, which looks for --config only */
	bool seeds_cleared;
	bool bad;
};

static const struct setting *setting_of_key(int key)
{
	if (key >= KEY_LONG && (size_t)(key - KEY_LONG) < nsettings)
		return &settings[key - KEY_LONG];
	for (size_t i = 0; i < nsettings; i++)
		if (settings[i].key && settings[i].key == key)
			return &settings[i];
	return NULL;
}

static error_t on_option(int key, char *arg, struct argp_state *state)
{
	struct command_line *cl = state->input;
	const struct setting *s = setting_of_key(key);
	char why[400];

	if (key == KEY_CONFIG) {
		cl->file = arg;
		return 0;
	}
	if (key == ARGP_KEY_ARG) {
		fprintf(stderr, "dsmd: \"%s\": there are options only (see dsmd --help)\n", arg);
		cl->bad = true;
		return EINVAL;
	}
	if (!s)
		return ARGP_ERR_UNKNOWN;
	if (!cl->cfg)
		return 0;
	/* --join on the command line replaces what file and environment said. */
	if (!strcmp(s->name, "join") && !cl->seeds_cleared) {
		cl->cfg->nseeds = 0;
		cl->seeds_cleared = true;
	}
	if (config_set(cl->cfg, s->name, s->arg ? arg : "yes", why, sizeof(why)))
		return 0;
	fprintf(stderr, "dsmd: option --%s\n", why);
	cl->bad = true;
	return EINVAL;
}

static void options_fill(struct argp_option *ret)
{
	for (size_t i = 0; i < nsettings; i++)
		ret[i] = (struct argp_option){
			.name = settings[i].name,
			.key = settings[i].key ? settings[i].key : KEY_LONG + (int)i,
			.arg = settings[i].arg,
			.doc = settings[i].help,
		};
	ret[nsettings] = (struct argp_option){
		.name = "config",
		.key = KEY_CONFIG,
		.arg = "FILE",
		.doc = "read this file instead of " CONFIG_FILE_DEFAULT,
	};
	ret[nsettings + 1] = (struct argp_option){ 0 };
}

static bool load_options(int argc, char **argv, struct command_line *cl)
{
	struct argp_option options[nsettings + 2];
	struct argp argp = {
		.options = options,
		.parser = on_option,
		.doc = "Agent of one node of distributed shared memory."
		       "\vEvery option may also be a line \"name = value\" of the configuration "
		       "file or an "
		       "environment variable DSM_NAME; options win over the environment, the "
		       "environment "
		       "wins over the file. See dsmd(8) and dsm.conf(5).",
	};

	options_fill(options);
	argp_err_exit_status = 2;
	return !argp_parse(&argp, argc, argv, 0, NULL, cl) && !cl->bad;
}

/* --- all together --- */

static void default_run_dir(struct config *cfg)
{
	const char *user = getenv("XDG_RUNTIME_DIR");

	if (*cfg->run_dir)
		return;
	if (geteuid() == 0)
		snprintf(cfg->run_dir, sizeof(cfg->run_dir), "/run/dsm");
	else if (user && *user == '/' && strlen(user) + sizeof("/dsm") <= sizeof(cfg->run_dir))
		snprintf(cfg->run_dir, sizeof(cfg->run_dir), "%s/dsm", user);
	else
		snprintf(cfg->run_dir, sizeof(cfg->run_dir), "/tmp/dsm-%u", geteuid());
}

enum config_result config_load(int argc, char **argv, struct config *ret)
{
	struct command_line first = { 0 }, second = { .cfg = ret };
	const char *file;

	config_defaults(ret);
	if (!load_options(argc, argv, &first))
		return CONFIG_USAGE;
	file = first.file ? first.file : getenv("DSM_CONFIG");
	if (!load_file(ret, file ? file : CONFIG_FILE_DEFAULT, file))
		return CONFIG_FILE;
	if (!load_environment(ret) || !load_options(argc, argv, &second))
		return CONFIG_USAGE;
	default_run_dir(ret);
	return CONFIG_OK;
}
