// SPDX-License-Identifier: MIT
/*
 * The newest value of one writer: never torn, never starved by a hot writer, and no
 * trust in what lies in the memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "lib/channel/slots.h"

#define SIZE  4096u
#define WORDS (SIZE / 8)

static void *memory;
static struct slots s;

static int setup(void **state)
{
	(void)state;
	memory = aligned_alloc(SLOTS_LINE, slots_bytes(SIZE));
	memset(memory, 0, slots_bytes(SIZE));
	slots_make(memory, SIZE);
	return slots_open(memory, slots_bytes(SIZE), &s);
}

static int teardown(void **state)
{
	(void)state;
	free(memory);
	return 0;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void the_newest_value_is_read(void **state)
{
	char text[SIZE];
	uint64_t number = 0;

	(void)state;
	assert_int_equal(slots_read(&s, 0, text, sizeof(text), &number), -ENODATA);
	assert_false(slots_write(&s, "one", 3));
	assert_int_equal(slots_read(&s, 0, text, sizeof(text), &number), 3);
	assert_memory_equal(text, "one", 3);
	assert_int_equal(number, 1);
	for (int i = 0; i < 100; i++)
		(void)slots_write(&s, &i, sizeof(i));
	assert_int_equal(slots_read(&s, number, text, sizeof(text), &number), sizeof(int));
	assert_int_equal(*(int *)text, 99);
	assert_int_equal(number, 101);
	assert_int_equal(slots_read(&s, number, text, sizeof(text), &number), -EAGAIN);
	assert_int_equal(slots_read(&s, 0, text, 3, &number), -EMSGSIZE);
	assert_int_equal(slots_write(&s, NULL, 0), false);
	assert_int_equal(slots_read(&s, 0, text, 0, &number), 0);
	assert_null(slots_wrong(&s));
}

/* A writer that dies with a slot half filled has written nothing. */
static void a_half_written_value_is_none(void **state)
{
	char text[SIZE];
	uint64_t number = 0;
	uint32_t next;

	(void)state;
	(void)slots_write(&s, "whole", 5);
	next = slots_choose(&s, (uint32_t)atomic_load(&s.head->newest) % SLOTS_COUNT);
	atomic_store(&slots_slot(&s, next)->stamp, 2);
	memset(slots_slot(&s, next)->bytes, 'x', 100);
	assert_int_equal(slots_read(&s, 0, text, sizeof(text), &number), 5);
	assert_memory_equal(text, "whole", 5);
	(void)slots_write(&s, "next", 4);
	assert_int_equal(slots_read(&s, number, text, sizeof(text), &number), 4);
	assert_memory_equal(text, "next", 4);
	assert_int_equal(number, 2);
}

/* A reader with a ticket finds its value untouched after any number of others. */
static void a_ticket_keeps_a_value(void **state)
{
	uint64_t value = 7, number = 0, got = 0;
	uint32_t mine, ticket = slots_ticket(&s, &mine);

	(void)state;
	assert_int_equal(ticket, 0);
	assert_int_equal(slots_copy_kept(&s, ticket, mine, &got, sizeof(got), &number), -EAGAIN);
	for (value = 1; value <= 1000; value++)
		(void)slots_write(&s, &value, sizeof(value));
	assert_int_equal(slots_copy_kept(&s, ticket, mine, &got, sizeof(got), &number), 8);
	assert_int_equal(got, 1);
	assert_int_equal(number, 1);
	slots_ticket_return(&s, ticket, mine);
	for (; value <= 2000; value++)
		(void)slots_write(&s, &value, sizeof(value));
	assert_int_equal(atomic_load(&s.head->answered) & SLOTS_ODD_LANES, 0);
	assert_int_equal(slots_read(&s, 0, &got, sizeof(got), &number), 8);
	assert_int_equal(got, 2000);
}

/* All tickets of dead readers: the writer goes on, and after a while they are free again. */
static void tickets_of_the_dead_are_withdrawn(void **state)
{
	uint32_t mine[SLOTS_TICKETS + 1];
	uint64_t value, got = 0, number = 0;

	(void)state;
	for (uint32_t i = 0; i <= SLOTS_TICKETS; i++)
		assert_int_equal(slots_ticket(&s, &mine[i]), i);
	for (value = 1; value <= 1000; value++)
		(void)slots_write(&s, &value, sizeof(value));
	assert_int_equal(slots_ticket(&s, &mine[0]), SLOTS_TICKETS);
	atomic_store(&s.head->patience, SLOTS_PATIENCE - 10);
	for (; value <= 1020; value++)
		(void)slots_write(&s, &value, sizeof(value));
	assert_int_equal(slots_read(&s, 0, &got, sizeof(got), &number), 8);
	assert_int_equal(got, 1020);
	assert_int_equal(slots_ticket(&s, &mine[0]), 0);
	slots_ticket_return(&s, 0, mine[0]);
	(void)slots_write(&s, &value, sizeof(value));
	(void)slots_write(&s, &value, sizeof(value));
	assert_int_equal(atomic_load(&s.head->patience), 0);
}

static atomic_bool stop;
static _Atomic uint64_t wrote;

/* As fast as it can, long values and short ones. */
static void *hot_writer(void *only_short)
{
	static uint64_t words[WORDS];

	for (uint64_t v = 1; !atomic_load_explicit(&stop, memory_order_relaxed); v++) {
		uint32_t n = only_short || v % 16 ? 8 : SIZE;

		for (uint32_t i = 0; i < n / 8; i++)
			words[i] = v;
		(void)slots_write(&s, words, n);
		atomic_store_explicit(&wrote, v, memory_order_relaxed);
	}
	return NULL;
}

static void *check_reader(void *torn)
{
	uint64_t words[WORDS], last = 0;

	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		uint64_t number = 0;
		int n = slots_read(&s, 0, words, sizeof(words), &number);

		if (n == -ENODATA)
			continue;
		for (int i = 0; i < n / 8; i++)
			if (words[i] != number)
				atomic_fetch_add((_Atomic int *)torn, 1);
		if (n < 8 || number < last)
			atomic_fetch_add((_Atomic int *)torn, 1);
		last = number;
	}
	return NULL;
}

static void no_reader_sees_half_a_value(void **state)
{
	pthread_t writer, reader[6];
	_Atomic int torn = 0;
	uint64_t end;

	(void)state;
	atomic_store(&stop, false);
	pthread_create(&writer, NULL, hot_writer, NULL);
	for (int i = 0; i < 6; i++)
		pthread_create(&reader[i], NULL, check_reader, &torn);
	for (end = now_ms() + 1500; now_ms() < end;)
		sched_yield();
	atomic_store(&stop, true);
	pthread_join(writer, NULL);
	for (int i = 0; i < 6; i++)
		pthread_join(reader[i], NULL);
	assert_int_equal(torn, 0);
	assert_true(atomic_load(&wrote) > 1000);
	assert_null(slots_wrong(&s));
}

/* A reader that is late at every copy: only what is kept for it can be read. */
static void a_slow_reader_is_not_starved(void **state)
{
	pthread_t writer;

	(void)state;
	atomic_store(&stop, false);
	atomic_store(&wrote, 0);
	pthread_create(&writer, NULL, hot_writer, memory);
	while (!atomic_load(&wrote))
		sched_yield();
	for (int round = 0; round < 200; round++) {
		uint32_t mine, ticket = slots_ticket(&s, &mine);
		uint64_t number = 0, got = 0, before = atomic_load(&wrote);
		int n = -EAGAIN;

		assert_int_equal(ticket, 0);
		/* Far more than all slots are written between two looks. */
		while (atomic_load(&wrote) < before + 100)
			sched_yield();
		n = slots_copy_kept(&s, ticket, mine, &got, sizeof(got), &number);
		assert_int_equal(n, 8);
		assert_int_equal(got, number);
		slots_ticket_return(&s, ticket, mine);
	}
	atomic_store(&stop, true);
	pthread_join(writer, NULL);
}

static void strange_memory_is_refused(void **state)
{
	char text[SIZE];
	uint64_t number = 0;
	struct slots t;

	(void)state;
	assert_int_equal(slots_open(memory, 100, &t), -EBADMSG);
	assert_int_equal(slots_open(memory, slots_bytes(SIZE) - 1, &t), -EBADMSG);
	s.head->size = SIZE + 1;
	assert_int_equal(slots_open(memory, slots_bytes(SIZE), &t), -EBADMSG);
	s.head->size = 0xffffffff;
	assert_int_equal(slots_open(memory, slots_bytes(SIZE), &t), -EBADMSG);
	s.head->size = SIZE;
	/* A newest value that was never written; a slot that does not exist; a length beyond the slot. */
	atomic_store(&s.head->newest, 77ull << 8 | 3);
	assert_int_equal(slots_read(&s, 0, text, sizeof(text), &number), -EBADMSG);
	assert_non_null(slots_wrong(&s));
	atomic_store(&s.head->newest, 77ull << 8 | 0xff);
	assert_int_equal(slots_read(&s, 0, text, sizeof(text), &number), -EBADMSG);
	assert_non_null(slots_wrong(&s));
	atomic_store(&s.head->newest, 0);
	(void)slots_write(&s, "x", 1);
	atomic_store(&slots_slot(&s, (uint32_t)atomic_load(&s.head->newest))->length, 1u << 31);
	assert_int_equal(slots_read(&s, 0, text, sizeof(text), &number), -EBADMSG);
}

/* Whatever the bytes are: no crash, no endless loop, nothing outside the slots touched. */
static void any_bytes_can_be_used(void **state)
{
	char text[SIZE];
	uint64_t number = 0;

	(void)state;
	srand(1);
	for (int round = 0; round < 2000; round++) {
		uint8_t *at = memory;

		for (size_t i = SLOTS_LINE; i < sizeof(*s.head); i++)
			at[i] = (uint8_t)rand();
		if (round % 2)
			atomic_store(&s.head->newest, (uint64_t)rand() << 8 | (uint64_t)rand() % 8);
		(void)slots_read(&s, 0, text, sizeof(text), &number);
		(void)slots_write(&s, text, SIZE);
		(void)slots_wrong(&s);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_newest_value_is_read),	   TEST(a_half_written_value_is_none),
		TEST(a_ticket_keeps_a_value),	   TEST(tickets_of_the_dead_are_withdrawn),
		TEST(no_reader_sees_half_a_value), TEST(a_slow_reader_is_not_starved),
		TEST(strange_memory_is_refused),   TEST(any_bytes_can_be_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
