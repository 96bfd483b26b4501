// SPDX-License-Identifier: MIT
/*
 * hello: two terminals, one memory.
 *
 *   terminal 1:  hello 9900 1024
 *   terminal 2:  hello 9901 1024
 *
 * Each line typed in one appears in the other. No agent needs to run: each
 * program starts its own.
 */
#include <dsm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BOARD	       0x2000000ull /* global address where all hellos meet */
#define LINE_MAX_BYTES 1000
#define LOCK	       1

struct board {
	_Atomic uint32_t lines; /* how many were written */
	uint32_t author;
	char text[LINE_MAX_BYTES];
};

static struct board *board;

static void *listen(void *arg)
{
	uint32_t seen = atomic_load(&board->lines), now;
	dsm_t *ctx = dsm_default_context();

	(void)arg;
	for (;;) {
		dsm_wait(ctx, &board->lines, seen, DSM_FOREVER);
		now = atomic_load(&board->lines);
		if (now == seen)
			continue;
		seen = now;
		if (dsm_lock(LOCK))
			return NULL;
		if (board->author != dsm_get_node_id())
			printf("node %u: %s", board->author, board->text);
		dsm_unlock(LOCK);
		fflush(stdout);
	}
}

static int say(const char *line)
{
	if (dsm_lock(LOCK))
		return -1;
	board->author = dsm_get_node_id();
	snprintf(board->text, sizeof(board->text), "%s", line);
	atomic_fetch_add(&board->lines, 1);
	dsm_unlock(LOCK);
	/* A store wakes the other nodes by itself, and those who wait on this one so: */
	dsm_wake(dsm_default_context(), &board->lines);
	return 0;
}

int main(int argc, char **argv)
{
	char line[LINE_MAX_BYTES];
	pthread_t listener;

	if (dsm_init(argc, argv)) {
		perror("dsm_init");
		return 1;
	}
	board = dsm_malloc_at(BOARD, sizeof(*board));
	if (!board)
		board = dsm_map_remote(BOARD, sizeof(*board));
	if (!board || pthread_create(&listener, NULL, listen, NULL)) {
		perror("hello");
		return 1;
	}
	printf("I am node %u of %u. Type something.\n", dsm_get_node_id(), dsm_get_node_count());
	while (fgets(line, sizeof(line), stdin) && !say(line))
		;
	/* The listener waits in the library: it ends with the program, not before the leave. */
	exit(0);
}
