// SPDX-License-Identifier: MIT
/*
 * Runs a fuzz target without libFuzzer: good inputs, bent a little, from a
 * fixed seed. Usage: fuzz_NAME [RUNS [SEED]] [--trace], or
 * fuzz_NAME --file FILE for one input.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

#define INPUT_SECONDS 30 /* an input that takes longer does not end */

static uint64_t rng;

static uint32_t draw(uint32_t below)
{
	rng = rng * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(rng >> 33) % below;
}

/* Values that sit at the edge of something. */
static uint64_t edge(void)
{
	static const uint64_t edges[] = {
		0,
		1,
		2,
		63,
		64,
		65,
		95,
		96,
		255,
		256,
		512,
		513,
		4095,
		4096,
		65535,
		0x7fffffff,
		0x80000000u,
		0xffffffffu,
		0xffffffffffffull,
		0x7fffffffffffffffull,
		UINT64_MAX,
	};

	return edges[draw(sizeof(edges) / sizeof(edges[0]))];
}

static size_t mutate(uint8_t *data, size_t size)
{
	uint64_t value = draw(2) ? edge() : draw(UINT32_MAX);
	size_t at = size ? draw((uint32_t)size) : 0, n = (size_t)1 << draw(4);

	switch (draw(5)) {
	case 0: /* one bit */
		if (size)
			data[at] ^= (uint8_t)(1u << draw(8));
		return size;
	case 1: /* a number in its place */
	case 2:
		at &= ~(n - 1);
		if (at + n <= size)
			memcpy(data + at, &value, n);
		return size;
	case 3: /* cut short */
		return draw(4) ? size : at;
	default: /* longer, by bytes from elsewhere in it */
		n = draw(64);
		if (!size || size + n > FUZZ_INPUT_MAX || draw(3))
			return size;
		for (size_t i = 0; i < n; i++)
			data[size + i] = data[draw((uint32_t)size)];
		return size + n;
	}
}

/* Only what is safe in a signal handler: the run is found again by its seed. */
static void died(int number)
{
	static const char text[] = "died in a run that `--trace` shows\n0 passed, 1 failed\n";

	(void)number;
	(void)!write(STDOUT_FILENO, text, sizeof(text) - 1);
	_exit(1);
}

static int one_file(const char *name)
{
	static uint8_t data[FUZZ_INPUT_MAX];
	FILE *f = fopen(name, "rb");
	size_t size;

	if (!f) {
		perror(name);
		return 2;
	}
	size = fread(data, 1, sizeof(data), f);
	fclose(f);
	return LLVMFuzzerTestOneInput(data, size);
}

int main(int argc, char **argv)
{
	static uint8_t data[FUZZ_INPUT_MAX];
	unsigned int runs = fuzz_runs, seeds = 0;
	unsigned long seed = 1;
	bool trace = false;
	size_t size;

	if (argc == 3 && !strcmp(argv[1], "--file"))
		return one_file(argv[2]);
	if (argc > 1 && !strcmp(argv[argc - 1], "--trace")) {
		trace = true;
		argc--;
	}
	if (argc > 1)
		runs = (unsigned int)strtoul(argv[1], NULL, 10);
	if (argc > 2)
		seed = strtoul(argv[2], NULL, 10);
	rng = seed;
	signal(SIGABRT, died);
	signal(SIGALRM, died);
	while (fuzz_seed(seeds, data))
		seeds++;
	if (!seeds)
		return 2;
	for (unsigned int run = 0; run < runs; run++) {
		if (trace)
			fprintf(stderr, "run %u\n", run);
		size = fuzz_seed(run < seeds ? run : draw(seeds), data);
		/* The seeds themselves come first, unbent. */
		for (unsigned int bends = run < seeds ? 0 : 1 + draw(6); bends; bends--)
			size = mutate(data, size);
		alarm(INPUT_SECONDS);
		LLVMFuzzerTestOneInput(data, size);
	}
	printf("%u inputs from seed %lu\n1 passed, 0 failed\n", runs, seed);
	return 0;
}
