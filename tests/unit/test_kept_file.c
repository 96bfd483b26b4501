// SPDX-License-Identifier: MIT
/* Records for a next agent: read back as they were written, whatever else is in the file's place. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/kept_file.h"

#define CLUSTER 77u
#define PORT	9911u

static char dir[] = "/tmp/dsm-kept-XXXXXX";
static char path[64];
static size_t told; /* records that the core has, as core_each_kept() says here */

static struct core_kept record(uint64_t i)
{
	return (struct core_kept){ .kind = KEPT_EXTENT,
				   .extent = { .key = i * 16, .count = 16, .home = 1 } };
}

/* In the core's place. */
void core_each_kept(const struct core *c, void (*fn)(void *ctx, const struct core_kept *k),
		    void *ctx)
{
	(void)c;
	for (size_t i = 0; i < told; i++) {
		struct core_kept k = record(i);

		fn(ctx, &k);
	}
}

static int begin(void **state)
{
	*state = kept_file_new(dir, PORT);
	told = 1;
	return *state ? 0 : -1;
}

static int end(void **state)
{
	if (*state)
		kept_file_remove(*state);
	kept_file_free(*state);
	return 0;
}

/* What the next agent finds: so many records, each the one that was written. */
static size_t found(uint64_t cluster)
{
	struct kept_file *next = kept_file_new(dir, PORT);
	struct core_kept *recs, want;
	size_t n;

	assert_non_null(next);
	kept_file_read(next, cluster, &recs, &n);
	for (size_t i = 0; i < n; i++) {
		want = record(i);
		assert_memory_equal(&recs[i], &want, sizeof(want));
	}
	free(recs);
	kept_file_free(next);
	return n;
}

static void add(struct kept_file *f, uint64_t i)
{
	struct core_kept k = record(i);

	assert_int_equal(kept_file_add(f, &k), 0);
}

static void what_was_written_is_found(void **state)
{
	struct core_kept k = record(0);

	assert_int_equal(kept_file_add(*state, &k), -ENOENT);
	assert_int_equal(found(CLUSTER), 0);
	assert_int_equal(kept_file_anew(*state, CLUSTER, NULL), 0);
	assert_int_equal(found(CLUSTER), 1);
	for (uint64_t i = 1; i < 300; i++)
		add(*state, i);
	assert_int_equal(found(CLUSTER), 300);
	assert_int_equal(found(CLUSTER + 1), 0);
}

static void nothing_to_keep_leaves_no_file(void **state)
{
	assert_int_equal(kept_file_anew(*state, CLUSTER, NULL), 0);
	assert_int_equal(access(path, F_OK), 0);
	told = 0;
	assert_int_equal(kept_file_anew(*state, CLUSTER, NULL), 0);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(found(CLUSTER), 0);
}

static void a_full_file_is_made_anew(void **state)
{
	struct core_kept k = record(0);
	uint64_t n = 1;

	assert_int_equal(kept_file_anew(*state, CLUSTER, NULL), 0);
	while (!kept_file_add(*state, &k))
		assert_in_range(++n, 1, 100000);
	assert_int_equal(kept_file_add(*state, &k), -ENOSPC);
	told = 5000;
	assert_int_equal(kept_file_anew(*state, CLUSTER, NULL), 0);
	add(*state, 5000);
	assert_int_equal(found(CLUSTER), 5001);
}

static void put_file(const void *bytes, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(write(fd, bytes, n), (ssize_t)n);
	close(fd);
}

static void anything_else_in_its_place_is_nothing(void **state)
{
	uint64_t bytes[64];
	int fd;

	(void)state;
	put_file("", 0);
	assert_int_equal(found(CLUSTER), 0);
	memset(bytes, 0x5a, sizeof(bytes));
	put_file(bytes, sizeof(bytes));
	assert_int_equal(found(CLUSTER), 0);
	/* The head of a good one that says more than there is. */
	assert_int_equal(kept_file_anew(*state, CLUSTER, NULL), 0);
	fd = open(path, O_RDONLY);
	assert_int_equal(read(fd, bytes, sizeof(bytes)), sizeof(bytes));
	close(fd);
	unlink(path); /* not through what is mapped */
	put_file(bytes, sizeof(bytes));
	assert_int_equal(found(CLUSTER), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(found(CLUSTER), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(found(CLUSTER), 0);
	assert_int_equal(rmdir(path), 0);
}

/* A file that cannot be written anew is taken away: what it says is not true any more. */
static void a_failure_leaves_nothing_old(void **state)
{
	char fresh[sizeof(path) + 8];

	assert_int_equal(kept_file_anew(*state, CLUSTER, NULL), 0);
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	assert_int_equal(mkdir(fresh, 0700), 0);
	assert_int_not_equal(kept_file_anew(*state, CLUSTER, NULL), 0);
	assert_int_equal(rmdir(fresh), 0);
	assert_int_equal(access(path, F_OK), -1);
}

/* A writer that is killed at any moment: all records are whole, and not one that it saw written is missing. */
static void a_kill_takes_no_record(void **state)
{
	_Atomic uint64_t *done = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(done, MAP_FAILED);
	for (unsigned int round = 0; round < 200; round++) {
		pid_t child;
		uint64_t seen;

		*done = 0;
		child = fork();
		if (!child) {
			told = 1;
			kept_file_anew(*state, CLUSTER, NULL);
			for (uint64_t i = 1;; i++) {
				struct core_kept k = record(i);

				told = i + 1;
				if (kept_file_add(*state, &k))
					kept_file_anew(*state, CLUSTER, NULL);
				atomic_store(done, i + 1);
			}
		}
		while (atomic_load(done) < 10u + round * 37u)
			;
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		seen = atomic_load(done);
		assert_in_range(found(CLUSTER), seen, seen + 1);
	}
	munmap((void *)done, 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_was_written_is_found, begin, end),
		cmocka_unit_test_setup_teardown(nothing_to_keep_leaves_no_file, begin, end),
		cmocka_unit_test_setup_teardown(a_full_file_is_made_anew, begin, end),
		cmocka_unit_test_setup_teardown(anything_else_in_its_place_is_nothing, begin, end),
		cmocka_unit_test_setup_teardown(a_failure_leaves_nothing_old, begin, end),
		cmocka_unit_test_setup_teardown(a_kill_takes_no_record, begin, end),
	};
	int failed;

	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/dsmd-%u.kept", dir, PORT);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(dir);
	return failed;
}
