// SPDX-License-Identifier: MIT
/*
 * letters: one process writes letters in shared memory, another reads them and throws them away.
 *
 *   letters NAME [COUNT [first|best|worst|classes]]
 *
 * Nothing but a letter's offset goes through the pipe between them: an offset means the same in every
 * process that has the heap open. When all is read the heap is empty again, and its name goes.
 */
#include <dsm_segment.h>
#include <shm_heap.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define HEAP_BYTES (16u << 20) /* for as many letters as a pipe holds offsets */

static int failed(const char *what)
{
	fprintf(stderr, "letters: %s: %s\n", what, dsm_last_error());
	return 1;
}

/* Of all lengths: the same letter over and over. */
static int write_letters(int pipe_end, int count)
{
	for (int i = 0; i < count; i++) {
		size_t length = (size_t)i * 37 % 2000 + 1;
		uint64_t letter = shm_heap_alloc(length + 1);
		char *text = shm_heap_local_ptr(letter);

		if (!text)
			return failed("no room for a letter");
		memset(text, 'a' + i % 26, length);
		text[length] = '\0';
		if (write(pipe_end, &letter, sizeof(letter)) != sizeof(letter))
			return failed("nobody reads");
	}
	return 0;
}

static int read_letters(const char *name, AllocStrategy strategy, int pipe_end)
{
	size_t letters = 0, bytes = 0;
	uint64_t letter;

	/* What was inherited is the parent's; this process opens its own. */
	shm_heap_close();
	if (!shm_heap_init(name, HEAP_BYTES, strategy))
		return failed(name);
	while (read(pipe_end, &letter, sizeof(letter)) == sizeof(letter)) {
		const char *text = shm_heap_local_ptr(letter);

		if (!text)
			return failed("no letter there");
		bytes += strlen(text);
		letters++;
		shm_heap_free(letter);
	}
	printf("%zu letters, %zu bytes\n", letters, bytes);
	return 0;
}

static AllocStrategy strategy_of(const char *word)
{
	static const char *const words[] = { "first", "best", "worst", "classes" };

	for (int i = FIRST_FIT; i <= SIZE_CLASSES; i++)
		if (!strcmp(word, words[i]))
			return (AllocStrategy)i;
	fprintf(stderr, "letters: %s is none of first, best, worst, classes\n", word);
	exit(2);
}

int main(int argc, char **argv)
{
	int count = argc > 2 ? atoi(argv[2]) : 1000, ends[2], status = 0, result;
	AllocStrategy strategy = strategy_of(argc > 3 ? argv[3] : "best");
	pid_t reader;

	if (argc < 2 || argc > 4) {
		fprintf(stderr, "usage: letters NAME [COUNT [first|best|worst|classes]]\n");
		return 2;
	}
	if (!shm_heap_init(argv[1], HEAP_BYTES, strategy))
		return failed(argv[1]);
	(void)signal(SIGPIPE, SIG_IGN); /* who writes to a dead reader is told */
	if (pipe(ends))
		return failed("no pipe");
	reader = fork();
	if (!reader) {
		close(ends[1]);
		result = read_letters(argv[1], strategy, ends[0]);
		fflush(stdout);
		shm_heap_close();
		_exit(result);
	}
	close(ends[0]);
	result = reader < 0 ? failed("no second process") : write_letters(ends[1], count);
	close(ends[1]);
	if (reader > 0)
		(void)waitpid(reader, &status, 0);
	shm_heap_close();
	if (!shm_heap_unlink(argv[1]))
		return failed(argv[1]);
	return result || status;
}
