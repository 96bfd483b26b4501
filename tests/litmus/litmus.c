// SPDX-License-Identifier: MIT
/*
 * What the memory model promises, tried on four nodes: classic small programs
 * whose forbidden outcomes would show a copy that outlived its invalidation.
 * Loads and stores are plain ones for the processor (only the compiler is kept
 * from moving them), so nothing but the protocol orders them.
 *
 *   litmus PORT [ROUNDS [SEED]]
 *
 * Starts four agents, at PORT to PORT + 3. Prints a line per test and the seed.
 */
#include <dsm/dsm.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NODES	  4
#define PAGE	  DSM_PAGE_BYTES
#define VARIABLES 4
#define RESULTS	  4
#define SKEW_NS	  60000
#define ADDS	  2000 /* in tests that count */

struct actor;

struct litmus {
	const char *name;
	unsigned int actors;
	bool one_page; /* all variables in one page, else each in its own */
	void (*act)(struct actor *a);
	/* True: this outcome may not be. */
	bool (*forbidden)(const uint64_t r[NODES][RESULTS], const uint64_t *vars[]);
	bool counts; /* a single round that goes on for long */
};

struct actor {
	const struct litmus *test;
	unsigned int index;
	uint64_t random;
	volatile uint64_t *v[VARIABLES];
	uint64_t r[RESULTS];
	pthread_t thread;
	unsigned long rounds;
};

static dsm_t *node[NODES];
static struct actor actors[NODES];
static pthread_barrier_t gate;
static unsigned long wrong;

static uint64_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return *state >> 33;
}

static uint64_t load(const volatile uint64_t *p)
{
	uint64_t value = *p;

	atomic_signal_fence(memory_order_seq_cst);
	return value;
}

static void store(volatile uint64_t *p, uint64_t value)
{
	*p = value;
	atomic_signal_fence(memory_order_seq_cst);
}

enum { X, Y, TURN, COUNT };

/* --- the tests --- */

static void message_passing(struct actor *a)
{
	if (!a->index) {
		store(a->v[X], 1);
		store(a->v[Y], 1);
	} else {
		a->r[0] = load(a->v[Y]);
		a->r[1] = load(a->v[X]);
	}
}

static bool message_overtaken(const uint64_t r[NODES][RESULTS], const uint64_t *vars[])
{
	(void)vars;
	return r[1][0] && !r[1][1];
}

static void store_buffering(struct actor *a)
{
	store(a->v[a->index ? Y : X], 1);
	a->r[0] = load(a->v[a->index ? X : Y]);
}

static bool both_too_early(const uint64_t r[NODES][RESULTS], const uint64_t *vars[])
{
	(void)vars;
	return !r[0][0] && !r[1][0];
}

static void load_buffering(struct actor *a)
{
	a->r[0] = load(a->v[a->index ? Y : X]);
	store(a->v[a->index ? X : Y], 1);
}

static bool both_from_the_future(const uint64_t r[NODES][RESULTS], const uint64_t *vars[])
{
	(void)vars;
	return r[0][0] && r[1][0];
}

static void independent_reads(struct actor *a)
{
	switch (a->index) {
	case 0:
		store(a->v[X], 1);
		break;
	case 1:
		store(a->v[Y], 1);
		break;
	default:
		a->r[0] = load(a->v[a->index == 2 ? X : Y]);
		a->r[1] = load(a->v[a->index == 2 ? Y : X]);
	}
}

static bool seen_in_two_orders(const uint64_t r[NODES][RESULTS], const uint64_t *vars[])
{
	(void)vars;
	return r[2][0] && !r[2][1] && r[3][0] && !r[3][1];
}

static void read_read(struct actor *a)
{
	if (!a->index) {
		store(a->v[X], 1);
		store(a->v[X], 2);
	} else {
		for (int i = 0; i < RESULTS; i++)
			a->r[i] = load(a->v[X]);
	}
}

static bool went_back(const uint64_t r[NODES][RESULTS], const uint64_t *vars[])
{
	(void)vars;
	for (int n = 1; n < NODES; n++) {
		for (int i = 1; i < RESULTS; i++) {
			if (r[n][i] < r[n][i - 1])
				return true;
		}
	}
	return false;
}

static void compare_and_swap(struct actor *a)
{
	_Atomic uint64_t *count = (_Atomic uint64_t *)a->v[COUNT];

	for (int i = 0; i < ADDS; i++) {
		uint64_t old = atomic_load(count);

		while (!atomic_compare_exchange_weak(count, &old, old + 1))
			;
	}
}

static bool adds_lost_4(const uint64_t r[NODES][RESULTS], const uint64_t *vars[])
{
	(void)r;
	return *vars[COUNT] != NODES * ADDS;
}

/* Nobody shares a word, all share a page. */
static void false_sharing(struct actor *a)
{
	for (int i = 0; i < ADDS; i++)
		store(a->v[a->index], load(a->v[a->index]) + 1);
}

static bool own_words_wrong(const uint64_t r[NODES][RESULTS], const uint64_t *vars[])
{
	(void)r;
	for (int i = 0; i < NODES; i++) {
		if (*vars[i] != ADDS)
			return true;
	}
	return false;
}

/* Mutual exclusion by loads and stores alone, as Peterson found it in 1981. */
static void peterson(struct actor *a)
{
	volatile uint64_t *mine = a->v[a->index], *other = a->v[!a->index];

	for (int i = 0; i < ADDS / 4; i++) {
		store(mine, 1);
		store(a->v[TURN], !a->index);
		while (load(other) && load(a->v[TURN]) == !a->index)
			;
		store(a->v[COUNT], load(a->v[COUNT]) + 1);
		store(mine, 0);
	}
}

static bool not_exclusive(const uint64_t r[NODES][RESULTS], const uint64_t *vars[])
{
	(void)r;
	return *vars[COUNT] != 2 * (ADDS / 4);
}

static const struct litmus tests[] = {
	{ "message passing", 2, false, message_passing, message_overtaken, false },
	{ "message passing in one page", 2, true, message_passing, message_overtaken, false },
	{ "message passing to three readers", 4, false, message_passing, message_overtaken, false },
	{ "store buffering", 2, false, store_buffering, both_too_early, false },
	{ "store buffering in one page", 2, true, store_buffering, both_too_early, false },
	{ "load buffering", 2, false, load_buffering, both_from_the_future, false },
	{ "independent reads of independent writes", 4, false, independent_reads,
	  seen_in_two_orders, false },
	{ "coherent reads", 4, false, read_read, went_back, false },
	{ "compare and swap", 4, false, compare_and_swap, adds_lost_4, true },
	{ "false sharing", 4, true, false_sharing, own_words_wrong, true },
	{ "Peterson's lock", 2, false, peterson, not_exclusive, true },
	{ "Peterson's lock in one page", 2, true, peterson, not_exclusive, true },
};

/* --- running them --- */

/* Everybody begins at a time of their own, with pages in states of chance. */
static void disturb(struct actor *a)
{
	uint64_t chance = next_random(&a->random);

	if (chance & 1)
		(void)load(a->v[chance >> 1 & 1]);
	if (chance & 4)
		(void)load(a->v[chance >> 3 & 1]);
}

static void skew(struct actor *a)
{
	uint64_t wait = next_random(&a->random) % SKEW_NS;
	struct timespec from, now;

	clock_gettime(CLOCK_MONOTONIC, &from);
	do {
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((uint64_t)(now.tv_sec - from.tv_sec) * 1000000000u + (uint64_t)now.tv_nsec -
			 (uint64_t)from.tv_nsec <
		 wait);
}

static void judge(const struct litmus *t)
{
	uint64_t r[NODES][RESULTS];
	uint64_t values[VARIABLES];
	const uint64_t *vars[VARIABLES];

	for (unsigned int i = 0; i < NODES; i++)
		memcpy(r[i], actors[i].r, sizeof(r[i]));
	for (int i = 0; i < VARIABLES; i++) {
		values[i] = *actors[0].v[i];
		vars[i] = &values[i];
	}
	wrong += t->forbidden(r, vars);
}

static void *play(void *arg)
{
	struct actor *a = arg;

	for (unsigned long i = 0; i < a->rounds; i++) {
		memset(a->r, 0, sizeof(a->r));
		/* A different one clears each time, so that ownership wanders. */
		if (a->index == i % a->test->actors) {
			for (int v = 0; v < VARIABLES; v++)
				store(a->v[v], 0);
		}
		pthread_barrier_wait(&gate);
		disturb(a);
		pthread_barrier_wait(&gate);
		skew(a);
		a->test->act(a);
		pthread_barrier_wait(&gate);
		if (!a->index)
			judge(a->test);
		pthread_barrier_wait(&gate);
	}
	return NULL;
}

static bool run(const struct litmus *t, size_t offset, unsigned long rounds, uint64_t seed)
{
	wrong = 0;
	pthread_barrier_init(&gate, NULL, t->actors);
	memset(actors, 0, sizeof(actors));
	for (unsigned int i = 0; i < t->actors; i++) {
		char *base = (char *)dsm_region_base(dsm_region_default(node[i])) + offset;

		actors[i] = (struct actor){
			.test = t,
			.index = i,
			.random = seed + i * 7919,
			.rounds = t->counts ? 1 : rounds,
		};
		for (unsigned int v = 0; v < VARIABLES; v++)
			actors[i].v[v] = (volatile uint64_t *)(base +
							       (t->one_page ? v * 64 : v * PAGE));
	}
	for (unsigned int i = 0; i < t->actors; i++) {
		if (pthread_create(&actors[i].thread, NULL, play, &actors[i]))
			exit(1);
	}
	for (unsigned int i = 0; i < t->actors; i++)
		pthread_join(actors[i].thread, NULL);
	pthread_barrier_destroy(&gate);
	if (wrong)
		printf("FAILED %s: %lu forbidden outcomes in %lu rounds\n", t->name, wrong,
		       t->counts ? 1 : rounds);
	else
		printf("ok     %s\n", t->name);
	fflush(stdout);
	return !wrong;
}

static bool open_nodes(uint16_t port)
{
	for (unsigned int i = 0; i < NODES; i++) {
		struct dsm_options o = {
			.port = (uint16_t)(port + i),
			.flags = DSM_OPEN_ANYWHERE,
			.chunks = 1024,
		};
		int err = dsm_open(&o, &node[i]);

		/* The first founds the cluster at once; the others wait for it. */
		setenv("DSM_ELECT_TIME", "5000", 1);
		if (!err)
			continue;
		fprintf(stderr, "litmus: node %u at port %u: %s\n", i, o.port, strerror(-err));
		return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	uint16_t port = argc > 1 ? (uint16_t)atoi(argv[1]) : 9940;
	unsigned long rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 400;
	uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 10) : (uint64_t)time(NULL);
	unsigned int passed = 0, failed = 0;

	printf("seed %" PRIu64 ", %lu rounds\n", seed, rounds);
	if (!open_nodes(port)) {
		printf("0 passed, 1 failed\n");
		return 1;
	}
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		bool good = run(&tests[i], (i + 1) * VARIABLES * PAGE, rounds, seed + i);

		passed += good;
		failed += !good;
	}
	for (unsigned int i = NODES; i--;)
		dsm_close(node[i]);
	printf("%u passed, %u failed\n", passed, failed);
	return failed != 0;
}
