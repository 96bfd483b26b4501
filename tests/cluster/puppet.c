// SPDX-License-Identifier: MIT
/*
 * A program whose strings the cluster tests pull: one command per line on
 * standard input, one answer per line on standard output: "ok ...",
 * "sigbus ADDRESS", or "error WHAT".
 *
 *   puppet PORT [CHUNKS]
 *
 * Addresses are local pointers in hex; they mean the same on every node.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <dsm/dsm.h>

#define PAGE	  4096u
#define MAX_WORDS 5

static sigjmp_buf on_bus;
static volatile sig_atomic_t bus_armed;
static void *volatile bus_address;

static void handle_sigbus(int sig, siginfo_t *info, void *context)
{
	(void)context;
	bus_address = info->si_addr;
	if (bus_armed)
		siglongjmp(on_bus, 1);
	/* Not in a test access: die of it, as a program without a handler would. */
	signal(sig, SIG_DFL);
	raise(sig);
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static void *pointer(const char *word)
{
	return (void *)(uintptr_t)strtoull(word, NULL, 16);
}

static uint64_t number(const char *word)
{
	return strtoull(word, NULL, 0);
}

/* What page I of a filled range holds at word W. */
static uint64_t pattern(uint64_t seed, uint64_t page, unsigned int w)
{
	return (seed + page) * 0x9e3779b97f4a7c15u + w;
}

static void put_error(const char *what)
{
	printf("error %s: %s\n", what, strerror(errno));
}

static void put_pointer(const void *p, const char *what)
{
	if (p)
		printf("ok %" PRIxPTR "\n", (uintptr_t)p);
	else
		put_error(what);
}

static void do_alloc(char **w)
{
	put_pointer(dsm_malloc(number(w[1])), "alloc");
}

static void do_alloc_at(char **w)
{
	put_pointer(dsm_malloc_at(number(w[1]), number(w[2])), "alloc_at");
}

static void do_map(char **w)
{
	put_pointer(dsm_map_remote(number(w[1]), number(w[2])), "map");
}

/* Where a global address of the default region is, allocated or not. */
static void do_address(char **w)
{
	char *base = dsm_region_base(dsm_region_default(dsm_default_context()));

	put_pointer(base + number(w[1]), "address");
}

static void do_free(char **w)
{
	dsm_free(pointer(w[1]));
	puts("ok");
}

static void do_write(char **w)
{
	*(volatile uint64_t *)pointer(w[1]) = number(w[2]);
	puts("ok");
}

static void do_read(char **w)
{
	printf("ok %" PRIu64 "\n", *(volatile uint64_t *)pointer(w[1]));
}

static void do_fill(char **w)
{
	uint64_t pages = number(w[2]), seed = number(w[3]);

	for (uint64_t i = 0; i < pages; i++) {
		volatile uint64_t *page = (uint64_t *)((char *)pointer(w[1]) + i * PAGE);

		for (unsigned int k = 0; k < PAGE / 8; k++)
			page[k] = pattern(seed, i, k);
	}
	puts("ok");
}

static void do_check(char **w)
{
	uint64_t pages = number(w[2]), seed = number(w[3]);

	for (uint64_t i = 0; i < pages; i++) {
		volatile uint64_t *page = (uint64_t *)((char *)pointer(w[1]) + i * PAGE);

		for (unsigned int k = 0; k < PAGE / 8; k++) {
			if (page[k] == pattern(seed, i, k))
				continue;
			printf("error page %" PRIu64 " word %u differs\n", i, k);
			return;
		}
	}
	puts("ok");
}

static void do_add(char **w)
{
	_Atomic uint64_t *counter = pointer(w[1]);

	for (uint64_t n = number(w[2]); n; n--)
		atomic_fetch_add(counter, 1);
	puts("ok");
}

static void do_lock(char **w)
{
	uint64_t start = now_us();
	/* 0, DSM_OWNER_DEAD, or a negative errno. */
	int result = dsm_ctx_lock(dsm_default_context(), (uint32_t)number(w[1]));

	printf("ok %d %" PRIu64 "\n", result, now_us() - start);
}

static void do_unlock(char **w)
{
	errno = 0;
	dsm_unlock((int)number(w[1]));
	printf("ok %d\n", errno);
}

/* A counter that only the lock protects. */
static void do_lock_add(char **w)
{
	int id = (int)number(w[1]);
	volatile uint64_t *counter = pointer(w[2]);

	for (uint64_t n = number(w[3]); n; n--) {
		if (dsm_lock(id)) {
			put_error("lock");
			return;
		}
		*counter = *counter + 1;
		dsm_unlock(id);
	}
	puts("ok");
}

static void do_barrier(char **w)
{
	for (uint64_t n = number(w[1]); n; n--)
		dsm_barrier();
	puts("ok");
}

/*
 * N rounds of: write the own slot (one page each), barrier, compare every
 * other node's slot, barrier.
 */
static void do_rounds(char **w)
{
	char *base = pointer(w[1]);
	uint64_t own = number(w[2]), nodes = number(w[3]), rounds = number(w[4]);

	for (uint64_t r = 1; r <= rounds; r++) {
		*(volatile uint64_t *)(base + own * PAGE) = r;
		dsm_barrier();
		for (uint64_t i = 0; i < nodes; i++) {
			uint64_t seen = *(volatile uint64_t *)(base + i * PAGE);

			if (seen != r) {
				printf("error round %" PRIu64 ": slot %" PRIu64 " holds %" PRIu64
				       "\n",
				       r, i, seen);
				return;
			}
		}
		dsm_barrier();
	}
	puts("ok");
}

static void do_node(char **w)
{
	(void)w;
	printf("ok %u %u %d %zu\n", dsm_get_node_id(), dsm_get_node_count(), dsm_is_master(),
	       dsm_get_total_memory());
}

static void do_page(char **w)
{
	dsm_page_info_t info;

	if (dsm_get_page_info(pointer(w[1]), &info))
		put_error("page");
	else
		printf("ok %u %s\n", info.owner_id, dsm_page_state_to_string((int)info.state));
}

static const struct command {
	const char *name;
	int words; /* that must follow */
	void (*run)(char **w);
} commands[] = {
	{ "alloc", 1, do_alloc },     { "alloc_at", 2, do_alloc_at },
	{ "map", 2, do_map },	      { "free", 1, do_free },
	{ "write", 2, do_write },     { "read", 1, do_read },
	{ "fill", 3, do_fill },	      { "check", 3, do_check },
	{ "add", 2, do_add },	      { "lock", 1, do_lock },
	{ "unlock", 1, do_unlock },   { "lock_add", 3, do_lock_add },
	{ "barrier", 1, do_barrier }, { "rounds", 4, do_rounds },
	{ "node", 0, do_node },	      { "page", 1, do_page },
	{ "address", 1, do_address },
};

/* Apart from its caller, whose variables a jump back must not touch. */
static __attribute__((noinline)) void obey_guarded(const struct command *command, char **w)
{
	if (sigsetjmp(on_bus, 1)) {
		printf("sigbus %" PRIxPTR "\n", (uintptr_t)bus_address);
	} else {
		bus_armed = 1;
		command->run(w);
	}
	bus_armed = 0;
}

static void obey(char *line)
{
	char *w[MAX_WORDS + 1] = { NULL };
	int n = 0;

	for (char *rest, *word = strtok_r(line, " \n", &rest); word && n < MAX_WORDS;
	     word = strtok_r(NULL, " \n", &rest))
		w[n++] = word;
	for (size_t i = 0; n && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].name, w[0]) || commands[i].words != n - 1)
			continue;
		obey_guarded(&commands[i], w);
		return;
	}
	puts("error no such command");
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_sigaction = handle_sigbus, .sa_flags = SA_SIGINFO };
	char line[256];

	setvbuf(stdout, NULL, _IOLBF, 0);
	sigaction(SIGBUS, &action, NULL);
	if (dsm_init(argc, argv)) {
		put_error("init");
		return 1;
	}
	puts("ok");
	while (fgets(line, sizeof(line), stdin)) {
		if (!strcmp(line, "quit\n")) {
			dsm_finalize();
			puts("ok");
			return 0;
		}
		obey(line);
	}
	/* Standard input closed without a word: end as a program that was cut off would. */
	_exit(3);
}
