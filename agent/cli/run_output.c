/* SPDX-License-Identifier: MIT */
/* The output of many programs, line by line, each line with its node's number. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/cli/run.h"

void run_stream_init(struct run_stream *s, bool to_stderr, const char *label)
{
	s->fd = -1;
	s->to_stderr = to_stderr;
	s->label = label;
	s->used = 0;
}

static void line_print(const struct run_stream *s, unsigned int number, const char *line,
		       size_t len)
{
	FILE *out = s->to_stderr ? stderr : stdout;

	fprintf(out, "[%u] %s", number, s->label);
	fwrite(line, 1, len, out);
	fputc('\n', out);
}

static void lines_print(struct run_stream *s, unsigned int number)
{
	char *line = s->line, *end;
	size_t left = s->used;

	while ((end = memchr(line, '\n', left))) {
		line_print(s, number, line, (size_t)(end - line));
		left -= (size_t)(end + 1 - line);
		line = end + 1;
	}
	if (left == sizeof(s->line)) {
		line_print(s, number, line, left);
		left = 0;
	}
	memmove(s->line, line, left);
	s->used = left;
}

void run_stream_pump(struct run_stream *s, unsigned int number)
{
	ssize_t n;

	if (s->fd < 0)
		return;
	for (;;) {
		n = read(s->fd, s->line + s->used, sizeof(s->line) - s->used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		s->used += (size_t)n;
		lines_print(s, number);
	}
	if (n < 0 && errno == EAGAIN)
		return;
	if (s->used)
		line_print(s, number, s->line, s->used);
	s->used = 0;
	close(s->fd);
	s->fd = -1;
}
