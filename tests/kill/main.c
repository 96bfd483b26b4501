// SPDX-License-Identifier: MIT
/*
 * Kills users of all four structures at random moments, and looks what is left.
 *
 *	kill [KILLS [SEED [SEGMENT]]]
 *
 * With the SEGMENT dsm:NAME they are programs of one node of a cluster.
 *
 * After every hundred kills the process itself and the one that is never killed
 * must have got on. The dead must not pile up: what they have is memory that the living
 * lack. The last line is "N passed, N failed".
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/kill/kill.h"

#define SURVIVOR USERS
#define STUCK_MS 10000
#define PAUSE_NS 2000000u
#define ROUND_OF 100
#define LIVING	 (2 * (USERS + SURVIVORS)) /* participants: some have a thread for channels too */

static struct scene scene;
static pid_t pids[USERS + SURVIVORS];
static uint64_t rng;
static unsigned int lives[USERS + SURVIVORS];
static unsigned int most; /* participants that there were at once, the dead among them */

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void must(int err, const char *what)
{
	if (!err)
		return;
	(void)fprintf(stderr, "%s: %d (%s)\n", what, err, dsm_last_error());
	exit(1);
}

static void begin(unsigned int who)
{
	uint64_t seed = draw(&rng);

	lives[who]++;
	pids[who] = fork();
	if (pids[who])
		return;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)!nice(10); /* or the killer waits for its turn most of the time */
	user_run(&scene, who, lives[who], seed);
}

static void end(unsigned int who)
{
	(void)kill(pids[who], SIGKILL);
	(void)waitpid(pids[who], NULL, 0);
}

/*
 * On a host they bury each other. In a cluster the dead pile up: their agent notices them a moment
 * later, and the living look for them less often. Their words must not become others'
 * before that, see LIVES.
 */
static void bury(void)
{
	struct dsm_segment_info info;
	int tries = 0;

	must(dsm_segment_info(scene.seg, &info), "info");
	if (info.participants > most)
		most = info.participants;
	if (!scene.ctx)
		return;
	do {
		(void)dsm_segment_recover(scene.seg);
		must(dsm_segment_info(scene.seg, &info), "info");
	} while (info.participants > LIVING + LIVES / 2 && tries++ < STUCK_MS && !poll(NULL, 0, 1));
}

/* The parent keeps to the heap of nobody: it uses the survivor's name for none. */
static void set_up(const char *uri)
{
	struct dsm_segment_options so = { .size = 8u << 20, .max_size = 64u << 20 };
	struct dsm_ring_options ro = {
		.kind = DSM_RING_MPMC,
		.flags = DSM_RING_PRODUCER | DSM_RING_CONSUMER,
	};
	struct dsm_channel_options co = DSM_CHANNEL_DEFAULTS;
	dsm_channel_t *ch;
	uint64_t off;

	if (!strncmp(uri, "dsm:", 4))
		must(dsm_open(NULL, &scene.ctx), "agent");
	so.ctx = scene.ctx;
	(void)dsm_segment_unlink(uri, scene.ctx);
	must(dsm_segment_create(uri, &so, &scene.seg), uri);
	must(dsm_heap_create(scene.seg, NULL, &scene.heap), "heap");
	must(dsm_map_create(scene.seg, "map", NULL, &scene.map), "map");
	must(dsm_ring_create(scene.seg, "ring", &ro, &scene.ring), "ring");
	co.size = VALUE_MAX;
	must(dsm_channel_open(scene.seg, "channel", &co, &ch), "channel");
	dsm_channel_close(ch);
	off = dsm_heap_calloc(scene.heap, 1, sizeof(*scene.shared));
	must(!off, "shared block");
	scene.shared = dsm_heap_ptr(scene.heap, off);
}

/* 0: the survivor did something since it had done @before. */
static int survivor_stuck(uint64_t before)
{
	uint64_t until = now_ms() + STUCK_MS;

	while (atomic_load(&scene.shared->rounds[SURVIVOR]) == before)
		if (now_ms() > until)
			return 1;
		else
			(void)poll(NULL, 0, 1);
	return 0;
}

/* Kills, and what the killer does in between: longest of these in ms, or UINT64_MAX. */
static uint64_t kill_at_random(unsigned int kills)
{
	uint64_t longest = 0, before = 0;

	for (unsigned int i = 0; i < USERS + SURVIVORS; i++)
		begin(i);
	for (unsigned int i = 0; i < kills; i++) {
		struct timespec pause = { .tv_nsec = (long)(draw(&rng) % PAUSE_NS) };
		unsigned int who = (unsigned int)(draw(&rng) % USERS);
		uint64_t since;

		(void)ppoll(NULL, 0, &pause, NULL);
		end(who);
		bury();
		begin(who);
		since = now_ms();
		(void)dsm_map_count(scene.map);
		(void)dsm_map_set(scene.map, "killer", 6, "xx", 2, NULL);
		(void)dsm_map_delete(scene.map, "killer", 6);
		since = now_ms() - since;
		longest = since > longest ? since : longest;
		if (i % ROUND_OF)
			continue;
		if (survivor_stuck(before))
			return UINT64_MAX;
		before = atomic_load(&scene.shared->rounds[SURVIVOR]);
	}
	return longest;
}

struct order {
	unsigned int kills;
	uint64_t longest;
};

/* A thread of its own, so that what it keeps for its next use of the map goes with it. */
static void *killer(void *arg)
{
	struct order *o = arg;

	o->longest = kill_at_random(o->kills);
	for (unsigned int i = 0; i < USERS + SURVIVORS; i++)
		end(i);
	return NULL;
}

int main(int argc, char **argv)
{
	struct order o = { .kills = argc > 1 ? (unsigned int)atoi(argv[1]) : 1000 };
	unsigned int bad;
	uint64_t rounds = 0;
	pthread_t thread;
	char uri[64];

	(void)snprintf(uri, sizeof(uri), "shm:kill-%d", getpid());
	rng = (argc > 2 ? strtoull(argv[2], NULL, 0) : 1) * 0x9e3779b97f4a7c15u + 1;
	set_up(argc > 3 ? argv[3] : uri);
	must(pthread_create(&thread, NULL, killer, &o), "thread");
	(void)pthread_join(thread, NULL);
	for (unsigned int i = 0; i < USERS + SURVIVORS; i++)
		rounds += atomic_load(&scene.shared->rounds[i]);
	if (o.longest == UINT64_MAX)
		(void)fprintf(stderr, "a user that was not killed is stuck\n");
	if (!scene.ctx && most > 2 * LIVING)
		(void)fprintf(stderr, "the dead pile up: %u participants\n", most);
	bad = verdict(&scene) + (o.longest == UINT64_MAX) + (!scene.ctx && most > 2 * LIVING);
	(void)printf("%u kills, %llu operations, %llu by the one not killed; the killer waited "
		     "%llu ms at most; up to %u participants\n",
		     o.kills, (unsigned long long)rounds,
		     (unsigned long long)atomic_load(&scene.shared->rounds[SURVIVOR]),
		     (unsigned long long)o.longest, most);
	dsm_segment_close(scene.seg);
	(void)dsm_segment_unlink(argc > 3 ? argv[3] : uri, scene.ctx);
	dsm_close(scene.ctx);
	(void)printf("%d passed, %u failed\n", !bad, bad);
	return bad != 0;
}
