// SPDX-License-Identifier: MIT
/*
 * map_bench host CPU [COUNT]			get and set, in a segment of this host
 * map_bench nodes PORT,PORT CPU,CPU [COUNT]	get on the second node what the first one set
 */
#include <sys/wait.h>
#include <unistd.h>

#include <dsm_map.h>

#include "tests/bench/map_trace.h"

static dsm_segment_t *seg;
static dsm_map_t *map;

static void check(const char *what, int err)
{
	if (!err)
		return;
	fprintf(stderr, "map_bench: %s: %s\n", what, dsm_last_error());
	exit(1);
}

static void fill(void)
{
	char value[TRACE_VALUE] = "";

	for (unsigned int i = 0; i < TRACE_KEYS; i++)
		check("set",
		      dsm_map_set(map, trace_keys[i], TRACE_KEY, value, sizeof(value), NULL));
}

static void get_one(const char *key, char value[TRACE_VALUE])
{
	if (dsm_map_get(map, key, TRACE_KEY, value, TRACE_VALUE, NULL) != TRACE_VALUE)
		check("get", -1);
}

static void set_one(const char *key, const char value[TRACE_VALUE])
{
	check("set", dsm_map_set(map, key, TRACE_KEY, value, TRACE_VALUE, NULL));
}

static int run_host(int cpu, size_t count)
{
	struct dsm_segment_options o = { .size = 64u << 20 };
	char uri[64];

	snprintf(uri, sizeof(uri), "shm:map-bench-%d", getpid());
	pin(cpu);
	check("create", dsm_segment_create(uri, &o, &seg));
	check("create", dsm_map_create(seg, "map", NULL, &map));
	fill();
	TRACE_RUN("map_get", count, get_one(key, value));
	TRACE_RUN("map_set", count, set_one(key, value));
	dsm_map_close(map);
	dsm_segment_close(seg);
	return dsm_segment_unlink(uri, NULL) ? 1 : 0;
}

/* Each side tells the other one through @in and @out that it may go on. */
static void run_side(int side, uint16_t port, int cpu, int in, int out, size_t count)
{
	struct dsm_options node = { .port = port, .flags = DSM_OPEN_NO_START };
	struct dsm_segment_options o = { .size = 32u << 20, .max_size = 64u << 20 };
	char byte = 0;

	pin(cpu);
	check("node", dsm_open(&node, &o.ctx));
	if (side && read(in, &byte, 1) != 1)
		die("the other side");
	if (side) {
		check("open", dsm_segment_open("dsm:map-bench", &o, &seg));
		check("open", dsm_map_open(seg, "map", &map));
		for (unsigned int i = 0; i < TRACE_KEYS; i++) {
			char value[TRACE_VALUE];

			get_one(trace_keys[i], value);
		}
		TRACE_RUN("map_get_2n", count, get_one(key, value));
	} else {
		check("create", dsm_segment_create("dsm:map-bench", &o, &seg));
		check("create", dsm_map_create(seg, "map", NULL, &map));
		fill();
	}
	if (write(out, &byte, 1) != 1)
		die("the other side");
	if (!side && read(in, &byte, 1) != 1)
		die("the other side");
	dsm_map_close(map);
	dsm_segment_close(seg);
	if (!side)
		check("unlink", dsm_segment_unlink("dsm:map-bench", o.ctx));
	dsm_close(o.ctx);
	exit(0);
}

static int run_nodes(const char *ports, const char *cpus, size_t count)
{
	int to[2][2], status, failed = 0;

	if (pipe(to[0]) || pipe(to[1]))
		die("pipe");
	for (int side = 0; side < 2; side++) {
		const char *port = side ? strchr(ports, ',') + 1 : ports;
		const char *cpu = side ? strchr(cpus, ',') + 1 : cpus;
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (!pid)
			run_side(side, (uint16_t)atoi(port), atoi(cpu), to[side][0], to[!side][1],
				 count);
	}
	for (int side = 0; side < 2; side++) {
		close(to[side][0]);
		close(to[side][1]);
	}
	for (int side = 0; side < 2; side++)
		failed |= wait(&status) < 0 || status;
	return failed;
}

int main(int argc, char **argv)
{
	trace_begin();
	if (argc >= 3 && !strcmp(argv[1], "host"))
		return run_host(atoi(argv[2]), argc > 3 ? (size_t)atol(argv[3]) : 3000000);
	if (argc >= 4 && !strcmp(argv[1], "nodes") && strchr(argv[2], ',') && strchr(argv[3], ','))
		return run_nodes(argv[2], argv[3], argc > 4 ? (size_t)atol(argv[4]) : 3000000);
	fprintf(stderr, "usage: map_bench host CPU [COUNT]\n"
			"       map_bench nodes PORT,PORT CPU,CPU [COUNT]\n");
	return 2;
}
