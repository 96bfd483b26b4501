// SPDX-License-Identifier: MIT
/* The small API, as its header says it is; tests/unit/shm_heap_cpp.cpp uses it from C++. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dsm_segment.h>
#include <shm_heap.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int shm_heap_from_cpp(const char *name);

static char name[64];

static int another(void **state)
{
	(void)state;
	(void)snprintf(name, sizeof(name), "test-%d-small", getpid());
	(void)shm_heap_unlink(name);
	return 0;
}

static int gone(void **state)
{
	(void)state;
	shm_heap_close();
	return shm_heap_unlink(name) ? 0 : -1;
}

static void blocks_are_shared_with_a_child(void **state)
{
	(void)state;
	for (int s = FIRST_FIT; s <= SIZE_CLASSES; s++) {
		uint64_t off;
		int status;
		pid_t pid;

		assert_true(shm_heap_init(name, 1u << 20, (AllocStrategy)s));
		off = shm_heap_alloc(100);
		assert_int_not_equal(off, 0);
		strcpy(shm_heap_local_ptr(off), "parent");
		pid = fork();
		if (!pid) {
			shm_heap_close();
			if (!shm_heap_init(name, 1, (AllocStrategy)s) ||
			    strcmp(shm_heap_local_ptr(off), "parent"))
				_exit(1);
			shm_heap_free(off);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		shm_heap_close();
		assert_true(s == SIZE_CLASSES || shm_heap_unlink(name));
	}
}

static void a_full_heap_gives_0(void **state)
{
	uint64_t n = 0;

	(void)state;
	for (int s = FIRST_FIT; s <= WORST_FIT; s++) {
		(void)shm_heap_unlink(name);
		assert_true(shm_heap_init(name, 1u << 20, (AllocStrategy)s));
		for (n = 0; shm_heap_alloc(1000); n++)
			;
		/* All that was asked for, headers included, and not much more. */
		assert_in_range(n, (1u << 20) / 1008, (1u << 20) / 1008 + 400);
		shm_heap_close();
	}
	assert_true(shm_heap_init(name, 1, WORST_FIT));
}

static void wrong_uses_are_harmless(void **state)
{
	(void)state;
	assert_int_equal(shm_heap_alloc(1), 0);
	assert_null(shm_heap_local_ptr(4096));
	shm_heap_free(4096);
	shm_heap_close();
	assert_false(shm_heap_init("", 1u << 20, FIRST_FIT));
	assert_false(shm_heap_init(NULL, 1u << 20, FIRST_FIT));
	assert_false(shm_heap_init("a/b", 1u << 20, FIRST_FIT));
	assert_false(shm_heap_init(name, 0, FIRST_FIT));
	assert_false(shm_heap_init(name, 1u << 20, (AllocStrategy)9));
	assert_true(shm_heap_init(name, 1u << 20, FIRST_FIT));
	assert_false(shm_heap_init(name, 1u << 20, FIRST_FIT));
	assert_non_null(strstr(dsm_last_error(), "open already"));
	assert_int_equal(shm_heap_alloc(0), 0);
	assert_int_equal(shm_heap_alloc(UINT64_MAX), 0);
	assert_null(shm_heap_local_ptr(0));
	assert_null(shm_heap_local_ptr(1ull << 50));
	shm_heap_free(12345);
	shm_heap_close();
	assert_false(shm_heap_init(name, 1u << 20, BEST_FIT));
	assert_non_null(strstr(dsm_last_error(), "another strategy"));
	assert_true(shm_heap_init(name, 1u << 20, FIRST_FIT));
}

static void cpp_programs_use_it_too(void **state)
{
	(void)state;
	assert_int_equal(shm_heap_from_cpp(name), 0);
	assert_true(shm_heap_init(name, 1u << 20, BEST_FIT));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(blocks_are_shared_with_a_child, another, gone),
		cmocka_unit_test_setup_teardown(a_full_heap_gives_0, another, gone),
		cmocka_unit_test_setup_teardown(wrong_uses_are_harmless, another, gone),
		cmocka_unit_test_setup_teardown(cpp_programs_use_it_too, another, gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
