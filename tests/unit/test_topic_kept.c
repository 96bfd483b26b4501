// SPDX-License-Identifier: MIT
/* Topics that nobody has open: kept by name, the oldest going first, and nothing leaked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/client/topic_kept.h"

#define SIZE 64u

static struct kept_topics kept;

static struct topic_memory memory(unsigned int number, size_t bytes)
{
	struct topic_memory m = { .bytes = bytes, .size = SIZE };

	(void)snprintf(m.name, sizeof(m.name), "topic %u", number);
	m.fd = memfd_create(m.name, MFD_CLOEXEC);
	assert_true(m.fd >= 0);
	assert_int_equal(ftruncate(m.fd, (off_t)bytes), 0);
	m.head = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, m.fd, 0);
	assert_true(m.head != MAP_FAILED);
	m.head->number = number;
	return m;
}

static bool take(unsigned int number, uint32_t size)
{
	struct topic_memory m;
	char name[32];

	(void)snprintf(name, sizeof(name), "topic %u", number);
	if (!topic_kept_take(&kept, name, size, &m))
		return false;
	assert_string_equal(m.name, name);
	assert_int_equal(m.head->number, number);
	topic_memory_free(&m);
	return true;
}

static void it_gives_back_what_it_was_given_once(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		struct topic_memory m = memory(i, 4096);

		topic_keep(&kept, &m);
	}
	assert_false(take(7, SIZE));
	assert_true(take(1, SIZE));
	assert_false(take(1, SIZE));
	assert_true(take(2, 0));
	assert_true(take(0, SIZE));
	assert_int_equal(kept.n, 0);
	assert_int_equal(kept.bytes, 0);
}

static void another_size_ends_it(void **state)
{
	struct topic_memory m = memory(1, 4096);
	int fd = m.fd;

	(void)state;
	topic_keep(&kept, &m);
	assert_false(take(1, 2 * SIZE));
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(errno, EBADF);
	assert_false(take(1, SIZE));
}

/* @each bytes of which @fit are the most that are kept. */
static void fill(size_t each, unsigned int fit)
{
	unsigned int most = fit + 10;

	for (unsigned int i = 0; i < most; i++) {
		struct topic_memory m = memory(i, each);

		topic_keep(&kept, &m);
		assert_true(kept.bytes <= TOPIC_KEPT_BYTES);
	}
	assert_int_equal(kept.n, fit);
	assert_false(take(9, SIZE));
	for (unsigned int i = 10; i < most; i++)
		assert_true(take(i, SIZE));
}

static void the_oldest_go_first(void **state)
{
	(void)state;
	fill(4096, TOPIC_KEPT_MOST);
	fill(2u << 20, TOPIC_KEPT_BYTES / (2u << 20));
	/* And all of them at the end. */
	for (unsigned int i = 0; i < 5; i++) {
		struct topic_memory m = memory(i, 4096);

		topic_keep(&kept, &m);
	}
	topic_kept_free(&kept);
	assert_int_equal(kept.n, 0);
	assert_false(take(1, SIZE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_gives_back_what_it_was_given_once),
		cmocka_unit_test(another_size_ends_it),
		cmocka_unit_test(the_oldest_go_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
