/* SPDX-License-Identifier: MIT */
/*
 * sim [--count N] [--seed S] [--jobs J] [--trace] [--restarts] [--mixed WITH]
 *
 * Runs N schedules from seed S on. The first that breaks a rule prints its
 * seed; --seed S --count 1 --trace replays it. Where membership changes, an agent
 * is restarted in one schedule of five, with --restarts in each, and nothing else happens. With --mixed
 * it is in each, and the letters of WITH (of MIXED_ALL) say together with what.
 */
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/sim.h"

#define MIXED_ALL                                                                                  \
	"rdcljs" /* a second restart, death, cuts, a node that leaves, one that joins, slow messages and lost ones */
#define SCHEDULE_S 60 /* of CPU: a schedule takes milliseconds */

struct sim sim;
static char endless[128];	 /* what is said of a schedule that does not end */
static _Atomic uint64_t *passed; /* by all jobs */
static bool sim_restarts; /* an agent is killed alone and comes back in each unsteady schedule */
static const char *sim_mixed; /* and these come with it, see MIXED_ALL; NULL: nothing */

uint64_t rnd(uint64_t below)
{
	uint64_t z = (sim.rng += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	z ^= z >> 31;
	return below ? z % below : 0;
}

bool chance(unsigned int percent)
{
	return rnd(100) < percent;
}

void fail(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fprintf(stderr, "seed %llu, at %llu us: ", (unsigned long long)sim.seed,
		(unsigned long long)sim.now);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nreplay: sim --seed %llu --count 1 --trace%s%s%s\n",
		(unsigned long long)sim.seed, sim_restarts ? " --restarts" : "",
		sim_mixed ? " --mixed " : "", sim_mixed ? sim_mixed : "");
	exit(1);
}

void tracef(const char *fmt, ...)
{
	va_list ap;

	if (!sim.trace)
		return;
	printf("%8llu ", (unsigned long long)sim.now);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

static void on_endless(int sig)
{
	(void)sig;
	if (write(STDERR_FILENO, endless, strlen(endless)) < 0)
		_exit(2);
	_exit(1);
}

/* A core that does not come back from one step is seen by no event: by the CPU time that it takes. */
static void watch_cpu(uint64_t seed)
{
	struct itimerval limit = { .it_value.tv_sec = SCHEDULE_S };

	snprintf(endless, sizeof(endless),
		 "seed %llu: no end of it in %d s of CPU time\nreplay: sim --seed %llu --count 1 "
		 "--trace\n",
		 (unsigned long long)seed, SCHEDULE_S, (unsigned long long)seed);
	signal(SIGVTALRM, on_endless);
	setitimer(ITIMER_VIRTUAL, &limit, NULL);
}

/* --- faults --- */

static unsigned int alive(void)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < NODES; i++)
		n += sim.nodes[i].up;
	return n;
}

static int any_node(bool member)
{
	for (int tries = 0; tries < 32; tries++) {
		int i = (int)rnd(NODES);

		if (sim.nodes[i].up && (!member || sim.nodes[i].state == CORE_MEMBER))
			return i;
	}
	return -1;
}

static void fault_death(uint64_t arg)
{
	int i = any_node(false);

	(void)arg;
	if (!sim.draining && sim.cluster && i >= 0 && alive() > 1)
		node_kill((unsigned int)i);
}

static void fault_leave(uint64_t arg)
{
	struct core_event ev = { .type = EV_LEAVE };
	int i = any_node(true);

	(void)arg;
	if (sim.draining || i < 0 || alive() < 2)
		return;
	tracef("node %d leaves", i);
	sim.disturbed++;
	node_step((unsigned int)i, &ev, NULL);
}

static void fault_cut(uint64_t arg)
{
	int a = any_node(true), b = any_node(true);

	(void)arg;
	if (!sim.draining && a >= 0 && b >= 0 && a != b)
		net_cut((unsigned int)a, (unsigned int)b, rnd(DEAD_MS * 1000 / 8));
}

static void fault_prog(uint64_t arg)
{
	int i = any_node(true);

	(void)arg;
	if (!sim.draining && i >= 0)
		prog_kill((unsigned int)i, 1 + (unsigned int)rnd(PROGS - 1));
}

static void fault_agent(uint64_t arg)
{
	int i = any_node(true);

	(void)arg;
	if (sim.draining || i < 0 || !sim.cluster)
		return;
	if (chance(50))
		node_stop((unsigned int)i);
	else
		sim.nodes[i].doomed = 1 + (unsigned int)rnd(8);
}

static void start_node(uint64_t arg)
{
	if (!sim.draining) {
		node_start((unsigned int)arg);
		sim.started++;
	}
}

/* --- a schedule --- */

static void draw_mixed(struct plan *p, const char *what)
{
	bool with[sizeof(MIXED_ALL)];

	for (size_t i = 0; i < sizeof(with); i++)
		with[i] = strchr(what, MIXED_ALL[i]);
	p->restarts = 1 + (with[0] && chance(50));
	p->deaths = with[1] && chance(60) ? 1 : 0;
	p->cuts = with[2] && chance(60) ? 1 + (unsigned int)rnd(2) : 0;
	p->leaves = with[3] && chance(60) ? 1 : 0;
	p->joins = with[4] && chance(60) ? 1 : 0;
	if (!with[5])
		p->spike = p->loss = 0;
}

static void draw_plan(struct plan *p)
{
	memset(p, 0, sizeof(*p));
	p->nodes = 2 + (unsigned int)rnd(3);
	p->ops = 40 + (unsigned int)rnd(160);
	p->chunks = chance(10) ? 12 : 256;
	p->delay_min = 1 + rnd(30);
	p->delay_max = p->delay_min + (chance(30) ? rnd(2000) : rnd(150));
	p->spike = chance(30) ? 50 : 0;
	p->loss = chance(30) ? (unsigned int)rnd(60) : 0;
	p->pinned = chance(20) ? 10 : 0;
	p->hold_us = chance(50) ? 0 : rnd(100);
	p->prog_kills = chance(40) ? 1 + (unsigned int)rnd(3) : 0;
	p->topic_acts = chance(40) ? 10 + (unsigned int)rnd(80) : 0;
	p->steady = chance(40);
	if (p->steady)
		return;
	if (sim_mixed) {
		draw_mixed(p, sim_mixed);
		return;
	}
	if (chance(20) || sim_restarts) {
		p->restarts = 1;
		p->loss = 0;
		p->spike = 0;
		if (chance(25)) /* a master that nobody stands in for */
			p->nodes = 1;
		return;
	}
	p->deaths = chance(50) ? 1 + (unsigned int)rnd(2) : 0;
	p->cuts = chance(40) ? 1 + (unsigned int)rnd(3) : 0;
	p->leaves = chance(40) ? 1 + (unsigned int)rnd(2) : 0;
	p->joins = chance(50) ? 1 + (unsigned int)rnd(3) : 0;
}

static void arrange(void)
{
	const struct plan *p = &sim.plan;
	uint64_t span = 100000 + p->ops * 400ull;
	unsigned int next = p->nodes;

	for (unsigned int i = 0; i < p->nodes; i++)
		net_call(start_node, i, chance(50) ? 0 : rnd(30000));
	for (unsigned int i = 0; i < p->deaths; i++)
		net_call(fault_death, 0, 100000 + rnd(span));
	for (unsigned int i = 0; i < p->leaves; i++)
		net_call(fault_leave, 0, 100000 + rnd(span));
	for (unsigned int i = 0; i < p->cuts; i++)
		net_call(fault_cut, 0, 90000 + rnd(span));
	for (unsigned int i = 0; i < p->restarts; i++)
		net_call(fault_agent, 0, 100000 + rnd(span));
	for (unsigned int i = 0; i < p->prog_kills; i++)
		net_call(fault_prog, 0, 90000 + rnd(span));
	for (unsigned int i = 0; i < p->topic_acts; i++)
		net_call(topic_act, 0, 60000 + rnd(span));
	for (unsigned int i = 0; i < p->joins && next < NODES; i++)
		net_call(start_node, next++, 90000 + rnd(span));
}

static bool quiet(void)
{
	uint64_t cluster = 0;

	for (unsigned int i = 0; i < NODES; i++) {
		struct core_info info;

		if (sim.nodes[i].waits)
			return false;
		if (!sim.nodes[i].up)
			continue;
		core_info_get(sim.nodes[i].core, &info);
		if (info.state != CORE_MEMBER || info.rebuilding ||
		    (cluster && info.cluster != cluster))
			return false;
		cluster = info.cluster;
		for (unsigned int p = 1; p < PROGS; p++) {
			const struct prog *g = &sim.nodes[i].progs[p];

			if (g->state == PROG_FAULT || g->state == PROG_ASKED ||
			    (g->plan && g->state == PROG_IDLE))
				return false;
		}
	}
	return true;
}

static void run_schedule(uint64_t seed)
{
	uint64_t end;

	sim = (struct sim){ .seed = seed,
			    .rng = seed * 0x2545f4914f6cdd1dull + 1,
			    .trace = sim.trace };
	sim.now = 1000000;
	watch_cpu(seed);
	net_reset();
	check_reset();
	topic_reset();
	draw_plan(&sim.plan);
	sim.ops_left = sim.plan.ops;
	arrange();
	end = sim.now + 200000 + sim.plan.ops * 400ull + 400000;
	while (sim.now < end && net_run_one())
		if (!sim.ops_left && sim.now > 1000000 + 200000 + sim.plan.ops * 400ull)
			break;
	sim.draining = true;
	for (unsigned int i = 0; i < NODES; i++)
		sim.nodes[i].doomed = 0;
	tracef("draining");
	end = sim.now +
	      20000000; /* a dead node takes DEAD_MS to notice, clusters that missed each other some announcements */
	for (unsigned int i = 0; sim.now < end && net_run_one(); i++)
		if (i % 64 == 0 && quiet())
			break;
	end = sim.now + DEAD_MS * 3000ull;
	while (sim.now < end && net_run_one())
		;
	topic_check_quiet();
	topic_write_last();
	end = sim.now + 100000;
	while (sim.now < end && net_run_one())
		;
	check_end();
	topic_check_end();
	for (unsigned int i = 0; i < NODES; i++)
		node_free(i);
}

static int run_job(uint64_t seed, uint64_t count, uint64_t step)
{
	uint64_t messages = 0, ops = 0;

	for (uint64_t i = 0; i < count; i += step) {
		run_schedule(seed + i);
		atomic_fetch_add(passed, 1);
		messages += sim.messages;
		ops += sim.ops_done;
	}
	printf("# %llu messages, %llu operations\n", (unsigned long long)messages,
	       (unsigned long long)ops);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "count", 1, NULL, 'c' },    { "seed", 1, NULL, 's' },
		{ "jobs", 1, NULL, 'j' },     { "trace", 0, NULL, 't' },
		{ "restarts", 0, NULL, 'r' }, { "mixed", 1, NULL, 'm' },
		{ "help", 0, NULL, 'h' },     { 0 }
	};
	uint64_t count = 1000, seed = 1, jobs = 1, failed = 0;
	int o;

	while ((o = getopt_long(argc, argv, "c:s:j:trm:h", options, NULL)) != -1) {
		if (o == 'c')
			count = strtoull(optarg, NULL, 10);
		else if (o == 's')
			seed = strtoull(optarg, NULL, 10);
		else if (o == 'j')
			jobs = strtoull(optarg, NULL, 10);
		else if (o == 't')
			sim.trace = true;
		else if (o == 'r')
			sim_restarts = true;
		else if (o == 'm')
			sim_mixed = optarg;
		else {
			printf("sim [--count N] [--seed S] [--jobs J] [--trace] [--restarts] "
			       "[--mixed WITH]\n");
			return o == 'h' ? 0 : 2;
		}
	}
	fflush(stdout);
	passed = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (uint64_t j = 0; j < jobs; j++)
		if (!fork())
			exit(run_job(seed + j, count - j, jobs));
	for (int status; wait(&status) > 0;)
		failed += !WIFEXITED(status) || WEXITSTATUS(status);
	printf("%llu passed, %llu failed\n", (unsigned long long)*passed,
	       (unsigned long long)failed);
	return failed || *passed != count;
}
