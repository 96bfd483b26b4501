// SPDX-License-Identifier: MIT
/*
 * dsm_bench FIGURE PORTS CPUS [COUNT]
 *
 * Forks one process per port in PORTS (comma-separated); process i is pinned
 * to the i-th of CPUS and attaches to the agent that serves the i-th port.
 * Prints NAME VALUE UNIT lines.
 *
 * dsm_bench FIGURE PORT side INDEX SIDES [COUNT]
 *
 * One side only; the others are started elsewhere in the cluster.
 */
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include <dsm/dsm.h>

#include "tests/bench/measure.h"
#include "tests/bench/side.h"

static const struct figure *const figures[] = {
	&figure_read_miss,    &figure_write_upgrade,  &figure_lock_again,
	&figure_lock_handoff, &figure_lock_contended, &figure_barrier,
};

char *pages_written(uint32_t n)
{
	char *p = dsm_malloc(n * BENCH_PAGE);

	if (!p)
		die("dsm_malloc");
	for (uint32_t i = 0; i < n; i++)
		memset(p + i * BENCH_PAGE, (int)i + 1, BENCH_PAGE);
	return p;
}

static unsigned int parse_list(const char *text, long *ret, unsigned int max)
{
	unsigned int n = 0;

	while (*text && n < max) {
		char *end;

		ret[n++] = strtol(text, &end, 10);
		text = *end == ',' ? end + 1 : end;
		if (*end && *end != ',')
			return 0;
	}
	return n;
}

/* One side's process. */
static void run_side(const struct figure *f, const struct side *side, long port, int cpu,
		     bool alone)
{
	pin(cpu);
	dsm_set_log_level(2);
	if (dsm_init_with_params((uint16_t)port, 0)) {
		fprintf(stderr, "dsm_bench: no node at port %ld: %s\n", port, strerror(errno));
		exit(1);
	}
	if (alone)
		turn_share();
	f->run(side);
	dsm_finalize();
	exit(0);
}

/* Waits for all sides; the first that fails takes the others with it. */
static int reap(const pid_t *pids, unsigned int n)
{
	int result = 0;

	for (unsigned int i = 0; i < n; i++) {
		int status;

		if (wait(&status) < 0)
			die("wait");
		if (!status || result)
			continue;
		result = 1;
		for (unsigned int k = 0; k < n; k++)
			kill(pids[k], SIGKILL);
	}
	return result;
}

static int run(const struct figure *f, const long *ports, const long *cpus, unsigned int sides,
	       uint32_t n)
{
	pid_t pids[SIDES_MAX];

	turn_pipes(sides);
	for (unsigned int i = 0; i < sides; i++) {
		struct side side = { .index = i, .count = sides, .n = n };

		pids[i] = fork();
		if (pids[i] < 0)
			die("fork");
		if (!pids[i])
			run_side(f, &side, ports[i], (int)cpus[i], false);
	}
	return reap(pids, sides);
}

static const struct figure *find(const char *name, unsigned int sides)
{
	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++) {
		const struct figure *f = figures[i];

		if (!strcmp(f->name, name) && sides >= f->sides_min && sides <= f->sides_max)
			return f;
	}
	fprintf(stderr, "dsm_bench: no figure '%s' with %u sides\n", name, sides);
	exit(2);
}

static int usage(void)
{
	fprintf(stderr, "usage: dsm_bench FIGURE PORT,... CPU,... [COUNT]\n"
			"       dsm_bench FIGURE PORT side INDEX SIDES [COUNT]\n");
	return 2;
}

int main(int argc, char **argv)
{
	long ports[SIDES_MAX], cpus[SIDES_MAX];
	const struct figure *f;
	unsigned int sides;

	if (argc < 4)
		return usage();
	if (!strcmp(argv[3], "side")) {
		struct side side;

		if (argc < 6)
			return usage();
		side = (struct side){ .index = (unsigned int)atoi(argv[4]),
				      .count = (unsigned int)atoi(argv[5]) };
		f = find(argv[1], side.count);
		side.n = argc > 6 ? (uint32_t)atoi(argv[6]) : f->n;
		run_side(f, &side, atoi(argv[2]), -1, true);
	}
	sides = parse_list(argv[2], ports, SIDES_MAX);
	if (!sides || parse_list(argv[3], cpus, SIDES_MAX) != sides)
		return usage();
	f = find(argv[1], sides);
	return run(f, ports, cpus, sides, argc > 4 ? (uint32_t)atoi(argv[4]) : f->n);
}
