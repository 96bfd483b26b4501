// SPDX-License-Identifier: MIT
/*
 * heat: heat diffusion in a square plate, its rows split between nodes. Start
 * one on each node, with the same options:
 *
 *   heat --nodes 2 --size 1024 --sweeps 100 --verify
 *
 * Each program computes its rows with plain loads and stores. What it needs of
 * its neighbours, one row above and one below, comes when it is touched; it is
 * asked for ahead of time, along with the barrier, and needed last.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "heat.h"

#define SIZE_MAX_POINTS 32768
#define SHARE_MIN	4 /* rows of one program, at least */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void ask_row(const struct heat_team *t, const struct heat_grid *g, uint32_t row,
		    unsigned int flags)
{
	(void)dsm_prefetch(t->ctx, heat_row(g, row), g->size * sizeof(double),
			   flags | DSM_PREFETCH_AFTER_BARRIER);
}

/*
 * For the sweep that comes after the next barrier: the neighbours' rows to read, and the
 * own rows that neighbours have read.
 */
static void ask_ahead(const struct heat_team *t, const struct heat_grid *from,
		      const struct heat_grid *to)
{
	uint32_t low = t->share.low, high = t->share.high;

	if (t->rank) {
		ask_row(t, from, low - 1, 0);
		ask_row(t, to, low, DSM_PREFETCH_FOR_WRITE);
	}
	if (t->rank + 1 < t->nodes) {
		ask_row(t, from, high, 0);
		ask_row(t, to, high - 1, DSM_PREFETCH_FOR_WRITE);
	}
}

/* Inner rows first: meanwhile, what was asked for arrives. */
static int sweep_jacobi(const struct heat_team *t, const struct heat_grid *from,
			const struct heat_grid *to)
{
	uint32_t low = t->share.low, high = t->share.high;

	heat_jacobi_rows(from, to, low + 1, high - 1);
	heat_jacobi_rows(from, to, low, low + 1);
	heat_jacobi_rows(from, to, high - 1, high);
	ask_ahead(t, to, from);
	return heat_team_meet(t);
}

static int sweep_sor(const struct heat_team *t, const struct heat_grid *g)
{
	uint32_t low = t->share.low, high = t->share.high;

	for (unsigned int colour = 0; colour < 2; colour++) {
		heat_sor_rows(g, low + 1, high - 1, colour);
		heat_sor_rows(g, low, low + 1, colour);
		heat_sor_rows(g, high - 1, high, colour);
		ask_ahead(t, g, g);
		if (heat_team_meet(t))
			return -1;
	}
	return 0;
}

/* Who touches a page first is its home: each program its own rows. */
static void init_rows(const struct heat_team *t, const struct heat_grid *g)
{
	uint32_t low = t->rank ? t->share.low : 0;
	uint32_t high = t->rank + 1 < t->nodes ? t->share.high : g->size;

	for (uint32_t i = low; i < high; i++)
		heat_row_init(g, i);
}

static void show_progress(const struct heat_options *o, uint32_t done)
{
	uint32_t step = o->sweeps / 20 ? o->sweeps / 20 : 1;

	if (done % step && done != o->sweeps)
		return;
	printf(isatty(STDOUT_FILENO) ? "sweep %u of %u\r" : "sweep %u of %u\n", done, o->sweeps);
	if (done == o->sweeps && isatty(STDOUT_FILENO))
		putchar('\n');
	fflush(stdout);
}

/* The grid with the result, or NULL. */
static struct heat_grid *run(const struct heat_options *o, struct heat_team *t, double *ret_seconds)
{
	struct heat_grid *from = &t->grids[0], *to = &t->grids[1], *swap;
	double start;

	init_rows(t, from);
	if (o->method == HEAT_JACOBI)
		init_rows(t, to);
	ask_ahead(t, from, o->method == HEAT_JACOBI ? to : from);
	if (heat_team_meet(t))
		return NULL;
	start = now();
	for (uint32_t s = 0; s < o->sweeps; s++) {
		if (o->method == HEAT_SOR ? sweep_sor(t, from) : sweep_jacobi(t, from, to))
			return NULL;
		if (o->method == HEAT_JACOBI) {
			swap = from;
			from = to;
			to = swap;
		}
		if (o->progress && !t->rank)
			show_progress(o, s + 1);
	}
	*ret_seconds = now() - start;
	return from;
}

/* Two doubles may be equal and yet differ: 0 and -0. */
static uint64_t bits(double value)
{
	uint64_t n;

	memcpy(&n, &value, sizeof(n));
	return n;
}

/* How many points differ from a sequential run, in any bit; -1: no memory. */
static long compare(const struct heat_options *o, const struct heat_grid *result)
{
	struct heat_grid want;
	long wrong = 0;

	if (heat_sequential(o, &want))
		return -1;
	for (uint32_t i = 0; i < o->size; i++) {
		for (uint32_t j = 0; j < o->size; j++)
			wrong += bits(heat_row(&want, i)[j]) != bits(heat_row(result, i)[j]);
	}
	free(want.points);
	return wrong;
}

static void report(const struct heat_options *o, const struct heat_team *t, double seconds,
		   long wrong)
{
	const char *method = o->method == HEAT_SOR ? "sor" : "jacobi";
	bool checked = o->verify && !t->rank;

	if (o->json) {
		printf("{\"rank\": %u, \"nodes\": %u, \"method\": \"%s\", \"size\": %u, "
		       "\"sweeps\": %u, "
		       "\"seconds\": %.6f, \"verified\": %s}\n",
		       t->rank, t->nodes, method, o->size, o->sweeps, seconds,
		       checked ? wrong ? "false" : "true" : "null");
	} else {
		printf("rank %u of %u: %s %u x %u, %u sweeps in %.3f s\n", t->rank, t->nodes,
		       method, o->size, o->size, o->sweeps, seconds);
		if (checked)
			printf(wrong ? "%ld points differ from a sequential run\n"
				     : "equal to a sequential run, bit for bit\n",
			       wrong);
	}
	fflush(stdout);
}

static int heat(const struct heat_options *o)
{
	struct heat_team team;
	struct heat_grid *result;
	double seconds = 0;
	long wrong = 0;

	if (heat_team_join(o, &team))
		return 1;
	result = run(o, &team, &seconds);
	if (!result)
		return 1;
	if (o->verify && !team.rank)
		wrong = compare(o, result);
	report(o, &team, seconds, wrong);
	/* Nobody goes while another still reads. */
	if (heat_team_meet(&team))
		return 1;
	heat_team_leave(&team);
	return wrong != 0;
}

static const char usage[] =
	"usage: heat [OPTIONS]\n"
	"  --size N        points on a side of the plate (default 512)\n"
	"  --sweeps N      sweeps over it (default 100)\n"
	"  --method M      jacobi (default) or sor\n"
	"  --nodes N       programs that share the work (default 1)\n"
	"  --rank R|auto   which of them this is (default: in order of arrival)\n"
	"  --run N         a number that keeps runs at the same time apart (default 0)\n"
	"  --device        memory by open() and mmap() of " HEAT_DEVICE ", without the library:\n"
	"                  needs the module; runs 0 to 15\n"
	"  --verify        rank 0 compares the result with a sequential run\n"
	"  --progress      rank 0 tells how far it is\n"
	"  --json          the result as JSON\n"
	"The node is the one of DSM_PORT (default 9900).\n";

static bool number(const char *text, uint32_t min, uint32_t max, uint32_t *ret)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*end || end == text || n < min || n > max)
		return false;
	*ret = (uint32_t)n;
	return true;
}

static bool option(struct heat_options *o, int c, const char *arg)
{
	uint32_t n;

	switch (c) {
	case 's':
		return number(arg, 3, SIZE_MAX_POINTS, &o->size);
	case 'w':
		return number(arg, 1, UINT32_MAX, &o->sweeps);
	case 'n':
		return number(arg, 1, 256, &o->nodes);
	case 'u':
		return number(arg, 0, 999999, &o->run);
	case 'r':
		if (!strcmp(arg, "auto"))
			return true;
		o->rank = number(arg, 0, 255, &n) ? (int)n : -1;
		return o->rank >= 0;
	case 'm':
		o->method = strcmp(arg, "sor") ? HEAT_JACOBI : HEAT_SOR;
		return !strcmp(arg, "sor") || !strcmp(arg, "jacobi");
	case 'd':
		o->device = true;
		return true;
	case 'v':
		o->verify = true;
		return true;
	case 'p':
		o->progress = true;
		return true;
	default:
		o->json = true;
		return c == 'j';
	}
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "size", 1, 0, 's' },	 { "sweeps", 1, 0, 'w' }, { "method", 1, 0, 'm' },
		{ "nodes", 1, 0, 'n' },	 { "rank", 1, 0, 'r' },	  { "run", 1, 0, 'u' },
		{ "device", 0, 0, 'd' }, { "verify", 0, 0, 'v' }, { "progress", 0, 0, 'p' },
		{ "json", 0, 0, 'j' },	 { "help", 0, 0, 'h' },	  { 0 },
	};
	struct heat_options o = { .size = 512, .sweeps = 100, .nodes = 1, .rank = -1 };
	int c, at = 0;

	while ((c = getopt_long(argc, argv, "h", longs, &at)) != -1) {
		if (c == 'h') {
			fputs(usage, stdout);
			return 0;
		}
		if (c == '?' || !option(&o, c, optarg)) {
			if (c != '?')
				fprintf(stderr, "heat: --%s %s is not possible\n", longs[at].name,
					optarg);
			fputs(usage, stderr);
			return 2;
		}
	}
	if (optind < argc || (o.rank >= 0 && (uint32_t)o.rank >= o.nodes) ||
	    (o.nodes > 1 && (o.size - 2) / o.nodes < SHARE_MIN)) {
		fprintf(stderr, "heat: too many arguments, ranks or nodes\n%s", usage);
		return 2;
	}
	return heat(&o);
}
