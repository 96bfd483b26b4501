// SPDX-License-Identifier: MIT
/* Whose turn it is: through pipes between the sides of one machine, else through the memory itself. */
#include <stdatomic.h>
#include <unistd.h>

#include <dsm/dsm.h>

#include "tests/bench/measure.h"
#include "tests/bench/side.h"

/* Where sides on several machines find it; far from what dsm_malloc() gives. */
#define SHARED_OFFSET 0x8000000000u

struct shared_turn {
	_Atomic uint32_t whose; /* side + 1, 0: taken */
	uint64_t value;
};

static int pipes[SIDES_MAX][2];
static struct shared_turn *shared;

void turn_pipes(unsigned int sides)
{
	for (unsigned int i = 0; i < sides; i++)
		if (pipe(pipes[i]))
			die("pipe");
}

void turn_share(void)
{
	char *base = dsm_region_base(dsm_region_default(dsm_default_context()));

	shared = (struct shared_turn *)(base + SHARED_OFFSET);
}

void turn_pass(unsigned int to, uint64_t value)
{
	if (shared) {
		shared->value = value;
		atomic_store(&shared->whose, to + 1);
	} else if (write(pipes[to][1], &value, sizeof(value)) != sizeof(value)) {
		die("turn_pass");
	}
}

uint64_t turn_wait(const struct side *side)
{
	uint64_t value;

	if (shared) {
		uint32_t whose;

		while ((whose = atomic_load(&shared->whose)) != side->index + 1)
			dsm_wait(dsm_default_context(), &shared->whose, whose, 20000);
		value = shared->value;
		atomic_store(&shared->whose, 0);
	} else if (read(pipes[side->index][0], &value, sizeof(value)) != sizeof(value)) {
		die("turn_wait");
	}
	return value;
}
