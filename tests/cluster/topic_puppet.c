// SPDX-License-Identifier: MIT
/*
 * A program with one topic, whose strings the cluster tests pull: like puppet.c, one command
 * per line, one answer per line.
 *
 *   topic_puppet PORT
 *
 *   open NAME FLAGS SIZE   subscribe (1), publish (2)
 *   role FLAGS
 *   publish VALUE          one value, of eight bytes
 *   flood FROM TO BYTES    values FROM to TO - 1, of so many bytes, as fast as it goes
 *   read                   the newest value and its number
 *   await VALUE            until the newest value is that
 *   publishers, presence, lost
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <dsm/dsm.h>

#include "lib/topic.h"

#define MAX_WORDS  4
#define PATIENCE_S 20

static dsm_t *ctx;
static struct topic *topic;
static uint64_t words[TOPIC_SIZE_MAX / 8];

static uint64_t number(const char *word)
{
	return strtoull(word, NULL, 0);
}

static void put_result(int err)
{
	if (err)
		printf("error %s\n", strerror(-err));
	else
		puts("ok");
}

static void do_open(char **w)
{
	topic_close(topic);
	topic = NULL;
	put_result(topic_open(ctx, w[1], (uint32_t)number(w[3]), (uint32_t)number(w[2]), &topic));
}

static void do_role(char **w)
{
	put_result(topic_role(topic, (uint32_t)number(w[1])));
}

static void publish(uint64_t value, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes / 8; i++)
		words[i] = value;
	if (slots_write(&topic->slots, words, bytes))
		syscall(SYS_futex, &topic->slots.head->bell, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
	topic_changed(topic);
}

static void do_publish(char **w)
{
	publish(number(w[1]), 8);
	puts("ok");
}

static void do_flood(char **w)
{
	for (uint64_t v = number(w[1]); v < number(w[2]); v++)
		publish(v, (uint32_t)number(w[3]));
	puts("ok");
}

/* The newest value, UINT64_MAX: none, 0: it is torn. */
static uint64_t newest(uint64_t *ret_number)
{
	int n = slots_read(&topic->slots, 0, words, sizeof(words), ret_number);

	if (n < 8)
		return UINT64_MAX;
	for (int i = 1; i < n / 8; i++)
		if (words[i] != words[0])
			return 0;
	return words[0];
}

static void do_read(char **w)
{
	uint64_t n = 0, value = newest(&n);

	(void)w;
	printf("ok %" PRId64 " %" PRIu64 "\n", (int64_t)value, n);
}

static void do_await(char **w)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	uint64_t n = 0, value = UINT64_MAX;
	time_t end = time(NULL) + PATIENCE_S;

	while (value != number(w[1]) && time(NULL) < end) {
		value = newest(&n);
		if (!value)
			break;
		syscall(SYS_futex, &topic->slots.head->bell, FUTEX_WAIT,
			atomic_load(&topic->slots.head->bell), &pause, NULL, 0);
	}
	if (value == number(w[1]))
		printf("ok %" PRIu64 "\n", n);
	else
		printf("error %" PRId64 " is the newest\n", (int64_t)value);
}

static void do_publishers(char **w)
{
	(void)w;
	printf("ok %u\n", topic_publishers(topic));
}

static void do_presence(char **w)
{
	(void)w;
	printf("ok %u\n", topic_presence(topic));
}

static void do_lost(char **w)
{
	(void)w;
	printf("ok %d\n", topic_lost(topic));
}

static const struct command {
	const char *name;
	int words; /* that must follow */
	void (*run)(char **w);
} commands[] = {
	{ "open", 3, do_open },
	{ "role", 1, do_role },
	{ "publish", 1, do_publish },
	{ "flood", 3, do_flood },
	{ "read", 0, do_read },
	{ "await", 1, do_await },
	{ "publishers", 0, do_publishers },
	{ "presence", 0, do_presence },
	{ "lost", 0, do_lost },
};

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
		if (topic || commands[i].run == do_open)
			commands[i].run(w);
		else
			puts("error no topic is open");
		return;
	}
	puts("error no such command");
}

int main(int argc, char **argv)
{
	struct dsm_options o = { .port = argc > 1 ? (uint16_t)number(argv[1]) : 0,
				 .flags = DSM_OPEN_NO_START };
	char line[256];
	int err;

	setvbuf(stdout, NULL, _IOLBF, 0);
	err = dsm_open(&o, &ctx);
	put_result(err);
	if (err)
		return 1;
	while (fgets(line, sizeof(line), stdin)) {
		if (!strcmp(line, "quit\n")) {
			topic_close(topic);
			dsm_close(ctx);
			puts("ok");
			return 0;
		}
		obey(line);
	}
	_exit(3);
}
