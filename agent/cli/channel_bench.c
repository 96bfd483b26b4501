// SPDX-License-Identifier: MIT
/* dsm channel bench: both ends of a channel in this process. */
#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "agent/cli/channel.h"
#include "agent/cli/table.h"

#define NAME	 "dsm-channel-bench"
#define SIZE	 4096u
#define BATCH	 1000 /* calls between two looks at the clock */
#define EACH_MS	 500
#define FIRST_US 1000000 /* for a first value to come to the reader */

struct bench {
	struct opened o;
	dsm_channel_t *master, *slave;
	char bytes[SIZE];
};

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A segment without a name, that goes with this process. */
static int scratch(const char *command, struct opened *o)
{
	char uri[64];
	int err;

	(void)snprintf(uri, sizeof(uri), "shm:channel-bench-%d", (int)getpid());
	err = dsm_segment_create(uri, NULL, &o->segment);
	if (!err)
		err = dsm_segment_unlink(uri, NULL);
	return err ? open_explain(command, err) : CLI_OK;
}

static int batch_write(struct bench *b, size_t size)
{
	int err = 0;

	for (int i = 0; i < BATCH && !err; i++)
		err = dsm_channel_write(b->master, b->bytes, size);
	return err;
}

static int batch_read(struct bench *b, size_t size)
{
	int n = 0;

	(void)size;
	for (int i = 0; i < BATCH && n >= 0; i++)
		n = dsm_channel_read(b->slave, b->bytes, SIZE, NULL);
	return n < 0 ? n : 0;
}

/* Calls a second of @batch, for @ms. */
static int measure(struct bench *b, int (*batch)(struct bench *b, size_t size), size_t size,
		   uint64_t ms, double *ret)
{
	double begin = seconds(), now = begin;
	uint64_t calls = 0;

	while (now - begin < (double)ms / 1e3) {
		int err = batch(b, size);

		if (err)
			return err;
		calls += BATCH;
		now = seconds();
	}
	*ret = (double)calls / (now - begin);
	return 0;
}

static void figure(struct table *t, json_t *array, const char *what, size_t size, double rate)
{
	table_cell(t, "%s", what);
	table_cell(t, "%zu", size);
	table_cell(t, "%.0f", rate);
	table_cell(t, "%.1f", 1e9 / rate);
	json_array_append_new(array, json_pack("{s:s,s:I,s:f,s:f}", "what", what, "size",
					       (json_int_t)size, "rate", rate, "ns", 1e9 / rate));
}

static int bench_size(struct bench *b, size_t size, uint64_t ms, struct table *t, json_t *array)
{
	double written = 0, read = 0;
	int n = measure(b, batch_write, size, ms, &written);

	if (!n)
		n = dsm_channel_read_timed(b->slave, b->bytes, SIZE, FIRST_US, NULL);
	if (n >= 0)
		n = measure(b, batch_read, size, ms, &read);
	if (n)
		return n;
	figure(t, array, "write", size, written);
	figure(t, array, "read", size, read);
	return 0;
}

static int ends_open(struct bench *b)
{
	struct dsm_channel_options master = channel_options(DSM_CHANNEL_MASTER);
	struct dsm_channel_options slave = channel_options(DSM_CHANNEL_SLAVE);
	int err;

	master.size = SIZE;
	err = dsm_channel_open(b->o.segment, NAME, &master, &b->master);
	return err ? err : dsm_channel_open(b->o.segment, NAME, &slave, &b->slave);
}

/* What another one measures with stays: it is busy. */
static int bench_done(const char *command, int err, struct bench *b)
{
	int code = err ? open_explain(command, err) : CLI_OK;

	dsm_channel_close(b->slave);
	dsm_channel_close(b->master);
	(void)dsm_channel_remove(b->o.segment, NAME);
	open_close(&b->o);
	return code;
}

int cmd_channel_bench(struct cli *cli, int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "interval", CHANNEL_INTERVAL, "MS", 0,
		  "Time for each figure, in milliseconds (500)", 0 },
		{ 0 },
	};
	static const char *const heads[] = { "WHAT", ">BYTES", ">A SECOND", ">NS EACH", NULL };
	struct channel_words w = { .args = { .cli = cli, .max = 1 }, .interval_ms = EACH_MS };
	struct bench b = { 0 };
	struct table t;
	json_t *array;
	int err, code;

	channel_parse(&w, argc, argv, options, "[URI]",
		      "Measure how fast values of 64 bytes and of 4 KiB are written and read, in a "
		      "channel made for it: in the segment URI, or in one of this machine's that "
		      "nobody else sees. Writer and reader take turns.");
	code = w.args.n ? open_segment(cli, w.words[0], &b.o) : scratch(argv[0], &b.o);
	if (code)
		return code;
	table_begin(&t, heads);
	array = json_array();
	err = ends_open(&b);
	if (!err)
		err = bench_size(&b, 64, w.interval_ms, &t, array);
	if (!err)
		err = bench_size(&b, SIZE, w.interval_ms, &t, array);
	if (!err && cli->json)
		doc_print(json_pack("{s:O}", "figures", array));
	else if (!err)
		table_end(&t, stdout);
	if (err || cli->json)
		table_drop(&t);
	json_decref(array);
	return bench_done(argv[0], err, &b);
}
