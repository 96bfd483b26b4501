// SPDX-License-Identifier: MIT
/* dsm map save, load: one JSON object a line, {"key", "value", "expires"}. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/cli/args.h"
#include "agent/cli/map.h"
#include "agent/cli/table.h"

/* "-" is standard input or output. */
static FILE *file_open(const char *command, const char *name, const char *mode, FILE *standard)
{
	FILE *f = strcmp(name, "-") ? fopen(name, mode) : standard;

	if (!f)
		(void)cli_error(CLI_FAILED, "%s: %s: %s", command, name, strerror(errno));
	return f;
}

static int file_close(const char *command, const char *name, FILE *f, int code)
{
	bool bad = fflush(f) || ferror(f);

	if (f != stdout && f != stdin)
		bad |= fclose(f) != 0;
	return bad && !code ? cli_error(CLI_FAILED, "%s: %s: %s", command, name, strerror(errno))
			    : code;
}

static int entries_save(dsm_map_t *map, FILE *out, uint64_t *ret_n)
{
	struct dsm_map_entry e;
	dsm_map_iter_t *it;
	int got = dsm_map_iter_begin(map, NULL, 0, &it);

	if (got)
		return got;
	while ((got = dsm_map_iter_next(it, &e)) == 1 && !ferror(out)) {
		json_t *o = entry_json(&e);

		json_object_del(o, "version");
		json_dumpf(o, out, JSON_COMPACT | JSON_REAL_PRECISION(17));
		fputc('\n', out);
		json_decref(o);
		(*ret_n)++;
	}
	dsm_map_iter_end(it);
	return got < 0 ? got : 0;
}

static void tell(const struct cli *cli, FILE *to, const char *what, uint64_t n, uint64_t expired)
{
	json_t *o = json_pack("{s:I,s:I}", what, (json_int_t)n, "expired", (json_int_t)expired);

	if (cli->json)
		json_dumpf(o, to, 0);
	else
		fprintf(to, "%" PRIu64 " entries %s", n, what);
	fputc('\n', to);
	json_decref(o);
}

int cmd_map_save(struct cli *cli, int argc, char **argv)
{
	const char *words[2];
	struct mapped m;
	uint64_t n = 0;
	FILE *out;
	int code;

	args_parse(cli, argc, argv, "URI FILE",
		   "Write all entries to FILE (\"-\": standard output), one JSON object a line. "
		   "Others "
		   "may change the map meanwhile.",
		   words, 2, 2);
	code = map_open(cli, argv[0], words[0], false, &m);
	if (code)
		return code;
	out = file_open(argv[0], words[1], "we", stdout);
	if (!out) {
		(void)map_done(argv[0], 0, &m);
		return CLI_FAILED;
	}
	code = map_done(argv[0], entries_save(m.map, out, &n), &m);
	code = file_close(argv[0], words[1], out, code);
	if (!code)
		tell(cli, out == stdout ? stderr : stdout, "saved", n, 0);
	return code;
}

/* What is left of a time to live, in ms; 0: it is over. */
static uint64_t time_left(double expires)
{
	struct timespec now;
	double left;

	clock_gettime(CLOCK_REALTIME, &now);
	left = (expires - (double)now.tv_sec) * 1e3 - (double)now.tv_nsec / 1e6;
	return left >= 1 ? (uint64_t)left : 0;
}

/* 1: it has expired; -EINVAL: the line is no entry. */
static int entry_load(dsm_map_t *map, const char *line)
{
	json_t *o = json_loads(line, 0, NULL), *expires = json_object_get(o, "expires");
	size_t key_size = 0, value_size = 0;
	void *key = json_bytes(json_object_get(o, "key"), &key_size);
	void *value = json_bytes(json_object_get(o, "value"), &value_size);
	uint64_t ttl = expires ? time_left(json_number_value(expires)) : 0;
	int err = 1;

	if (!key || !value || (expires && !json_is_number(expires)))
		err = -EINVAL;
	else if (!expires || ttl)
		err = dsm_map_set_ttl(map, key, key_size, value, value_size, ttl, NULL);
	free(key);
	free(value);
	json_decref(o);
	return err;
}

static int entries_load(const struct cli *cli, const char *command, dsm_map_t *map, FILE *in)
{
	uint64_t n = 0, expired = 0;
	char *line = NULL;
	size_t room = 0;
	int err = 0;

	while (err >= 0 && getline(&line, &room, in) > 0) {
		err = entry_load(map, line);
		n += !err;
		expired += err == 1;
	}
	free(line);
	if (err == -EINVAL)
		return cli_error(CLI_FAILED, "%s: line %" PRIu64 " is no entry", command,
				 n + expired + 1);
	if (err < 0)
		return open_explain(command, err);
	tell(cli, stdout, "loaded", n, expired);
	return CLI_OK;
}

int cmd_map_load(struct cli *cli, int argc, char **argv)
{
	const char *words[2];
	struct mapped m;
	FILE *in;
	int code;

	args_parse(
		cli, argc, argv, "URI FILE",
		"Set all entries of FILE (\"-\": standard input), as `dsm map save` writes it. The "
		"segment and the map are made when there are none; what is in the map stays, but "
		"for "
		"the keys in FILE.",
		words, 2, 2);
	in = file_open(argv[0], words[1], "re", stdin);
	if (!in)
		return CLI_FAILED;
	code = map_open(cli, argv[0], words[0], true, &m);
	if (!code) {
		code = entries_load(cli, argv[0], m.map, in);
		(void)map_done(argv[0], 0, &m);
	}
	return file_close(argv[0], words[1], in, code);
}
