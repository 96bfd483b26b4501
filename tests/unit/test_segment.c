// SPDX-License-Identifier: MIT
/*
 * Segments: what opening refuses, roots, grains, locks, participants; the same over
 * shared memory and over a region of two nodes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/segment/layout.h"
#include "tests/unit/lib_nodes.h"
#include "tests/unit/segment_rig.h"

/* The same segment, opened twice: in a cluster on two nodes. */
static dsm_segment_t *seg[2];
static char uri[128];

static int open_host(void **state)
{
	(void)state;
	strcpy(uri, rig_uri("both"));
	seg[0] = rig_segment(uri, 1u << 20);
	return dsm_segment_open(uri, NULL, &seg[1]);
}

static int close_host(void **state)
{
	(void)state;
	dsm_segment_close(seg[1]);
	dsm_segment_close(seg[0]);
	return dsm_segment_unlink(uri, NULL);
}

#ifndef __SANITIZE_THREAD__ /* the memory of two nodes does not fit beside it */
static int open_cluster(void **state)
{
	struct dsm_segment_options o = { .size = 1u << 20, .max_size = 16u << 20 };

	if (nodes_setup(state))
		return -1;
	strcpy(uri, "dsm:seg");
	o.ctx = node[0];
	if (dsm_segment_create(uri, &o, &seg[0])) {
		print_error("%s\n", dsm_last_error());
		return -1;
	}
	o.ctx = node[1];
	return dsm_segment_open(uri, &o, &seg[1]);
}

static int close_cluster(void **state)
{
	dsm_segment_close(seg[1]);
	dsm_segment_close(seg[0]);
	if (dsm_segment_unlink(uri, node[0]))
		return -1;
	return nodes_teardown(state);
}
#endif

/* ------------------------------------------------------------ both */

static void roots_are_the_same_to_everybody(void **state)
{
	struct dsm_root r[4];

	(void)state;
	assert_int_equal(dsm_segment_root_set(seg[0], "first", 4242), 0);
	assert_int_equal(dsm_segment_root_get(seg[1], "first", &r[0]), 0);
	assert_int_equal(r[0].offset, 4242);
	assert_int_equal(r[0].kind, DSM_ROOT_USER);
	assert_int_equal(dsm_segment_root_set(seg[1], "first", 1), 0);
	assert_int_equal(dsm_segment_root_set(seg[1], "second", 2), 0);
	assert_int_equal(dsm_segment_root_list(seg[0], 0, r, 4), 2);
	assert_int_equal(dsm_segment_root_list(seg[0], r[1].index + 1, r, 4), 0);
	assert_int_equal(dsm_segment_root_remove(seg[0], "first"), 0);
	assert_int_equal(dsm_segment_root_get(seg[1], "first", &r[0]), -ENOENT);
	assert_int_equal(dsm_segment_root_remove(seg[1], "second"), 0);
	assert_int_equal(dsm_segment_root_remove(seg[1], "second"), -ENOENT);
	assert_int_equal(dsm_segment_root_set(seg[0], "", 1), -EINVAL);
	assert_int_equal(
		dsm_segment_root_set(seg[0], "a name of forty bytes is one byte too long", 1),
		-EINVAL);
}

static void grains_are_given_once_and_taken_back(void **state)
{
	uint64_t off[3], first, n;
	uint32_t root;
	struct dsm_segment_info before, after;

	(void)state;
	assert_int_equal(dsm_segment_info(seg[0], &before), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(seg_grains_alloc(seg[i % 2], (uint64_t)i + 1, &off[i], NULL), 0);
		memset(seg_at(seg[i % 2], off[i]), i + 1, ((uint64_t)i + 1) * SEG_GRAIN);
	}
	for (int i = 0; i < 3; i++)
		assert_int_equal(*(uint8_t *)seg_at(seg[!(i % 2)], off[i]), i + 1);
	assert_int_equal(seg_grains_find(seg[0], off[2] + 2 * SEG_GRAIN + 77, &first, &n, &root),
			 0);
	assert_int_equal(first, off[2]);
	assert_int_equal(n, 3);
	assert_int_equal(root, UINT32_MAX);
	assert_int_equal(seg_grains_free(seg[0], off[2] + SEG_GRAIN), -EINVAL);
	assert_int_equal(seg_grains_free(seg[0], 12345), -EINVAL);
	for (int i = 0; i < 3; i++)
		assert_int_equal(seg_grains_free(seg[1], off[i]), 0);
	assert_int_equal(seg_grains_free(seg[1], off[0]), -EINVAL);
	assert_int_equal(seg_grains_find(seg[0], off[2] + SEG_GRAIN, &first, &n, &root), -EINVAL);
	assert_int_equal(dsm_segment_info(seg[0], &after), 0);
	assert_int_equal(after.size - after.free_bytes, before.size - before.free_bytes);
}

static void it_grows_while_others_have_it_open(void **state)
{
	struct dsm_segment_info info;
	uint64_t off;

	(void)state;
	assert_int_equal(dsm_segment_grow(seg[0], 3u << 20), 0);
	assert_int_equal(dsm_segment_info(seg[1], &info), 0);
	assert_true(info.size >= 3u << 20);
	/* More than is there. */
	assert_int_equal(seg_grains_alloc(seg[1], 64, &off, NULL), 0);
	memset(seg_at(seg[1], off), 7, 64 * SEG_GRAIN);
	assert_int_equal(*(uint8_t *)dsm_segment_ptr(seg[0], off + 64 * SEG_GRAIN - 1), 7);
	assert_int_equal(seg_grains_free(seg[1], off), 0);
	assert_int_equal(dsm_segment_grow(seg[0], info.max_size + 1), -ENOSPC);
	assert_non_null(strstr(dsm_last_error(), "may grow to"));
	assert_int_equal(seg_grains_alloc(seg[1], info.max_size / SEG_GRAIN + 1, &off, NULL),
			 -ENOSPC);
}

static void places_outside_are_no_places(void **state)
{
	struct dsm_segment_info info;

	(void)state;
	assert_int_equal(dsm_segment_info(seg[0], &info), 0);
	assert_null(dsm_segment_ptr(seg[0], 0));
	assert_null(dsm_segment_ptr(seg[0], 8));
	assert_null(dsm_segment_ptr(seg[0], UINT64_MAX));
	assert_null(dsm_segment_ptr(seg[0], seg_size(seg[0])));
	assert_non_null(dsm_segment_ptr(seg[0], seg_size(seg[0]) - 1));
	assert_null(seg_checked(seg[0], seg_size(seg[0]) - 8, 9, 1));
	assert_null(seg_checked(seg[0], seg_size(seg[0]) - 7, 4, 4));
	assert_int_equal(dsm_segment_offset(seg[0], &info), 0);
}

static void a_structure_lives_and_dies_with_its_root(void **state)
{
	struct dsm_segment_info before, after;
	uint32_t root, found;
	uint64_t off, at;

	(void)state;
	assert_int_equal(dsm_segment_info(seg[0], &before), 0);
	assert_int_equal(seg_root_make(seg[0], "thing", DSM_ROOT_RING, &root), 0);
	assert_int_equal(seg_root_make(seg[0], "thing", DSM_ROOT_RING, &found), -EEXIST);
	assert_int_equal(seg_grains_alloc(seg[0], 2, &off, NULL), 0);
	seg_grains_adopt(seg[0], off, root);
	seg_root_publish(seg[0], root, off);
	assert_int_equal(seg_root_find(seg[1], "thing", DSM_ROOT_RING, &found, &at), 0);
	assert_int_equal(found, root);
	assert_int_equal(at, off);
	assert_int_equal(seg_root_find(seg[1], "thing", DSM_ROOT_MAP, &found, &at), -EMEDIUMTYPE);
	assert_int_equal(dsm_segment_root_remove(seg[1], "thing"), -EBUSY);
	assert_int_equal(dsm_segment_root_set(seg[1], "thing", 1), -EEXIST);
	seg_root_drop(seg[1], root);
	assert_int_equal(seg_root_find(seg[0], "thing", DSM_ROOT_ANY, &found, &at), -ENOENT);
	assert_int_equal(dsm_segment_info(seg[0], &after), 0);
	assert_int_equal(after.size - after.free_bytes, before.size - before.free_bytes);
}

struct counting {
	struct seg_lock lock;
	_Atomic uint64_t n;
};
static uint64_t counting_at;
static pthread_barrier_t together;

static int times(const dsm_segment_t *s)
{
	return s->cluster ? 200 : 100000;
}

static void *count_up(void *arg)
{
	dsm_segment_t *s = arg;
	struct counting *c = seg_at(s, counting_at);
	uint64_t n;

	(void)pthread_barrier_wait(&together);
	for (int i = 0; i < times(s); i++) {
		if (seg_lock(s, &c->lock, SEG_LAYER_TOP))
			return arg;
		/* Long enough for another to come between. */
		n = atomic_load(&c->n);
		for (int k = 0; k < 5; k++)
			__builtin_ia32_pause();
		atomic_store(&c->n, n + 1);
		seg_unlock(s, &c->lock);
	}
	return NULL;
}

static void a_lock_excludes(void **state)
{
	pthread_t t[4];
	struct counting *c;
	void *ret;

	(void)state;
	assert_int_equal(seg_grains_alloc(seg[0], 1, &counting_at, NULL), 0);
	c = seg_at(seg[0], counting_at);
	memset(c, 0, sizeof(*c));
	assert_int_equal(pthread_barrier_init(&together, NULL, 4), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, count_up, seg[i % 2]), 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], &ret);
		assert_null(ret);
	}
	assert_int_equal(c->n, 4 * times(seg[0]));
	assert_int_equal(seg_grains_free(seg[0], counting_at), 0);
}

static void *take_a_slot(void *ret)
{
	*(uint32_t *)ret = seg_slot_id(seg_self(seg[0]));
	return NULL;
}

static void a_thread_that_ends_gives_its_slot_back(void **state)
{
	struct dsm_segment_info info;
	uint32_t ids[2];
	pthread_t t;

	(void)state;
	assert_non_null(seg_self(seg[0]));
	assert_int_equal(dsm_segment_recover(seg[1]), 0);
	assert_int_equal(dsm_segment_info(seg[0], &info), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pthread_create(&t, NULL, take_a_slot, &ids[i]), 0);
		pthread_join(t, NULL);
	}
	assert_int_equal(SEG_ID_SLOT(ids[0]), SEG_ID_SLOT(ids[1]));
	assert_int_not_equal(ids[0], ids[1]);
	assert_false(seg_alive(seg[1], ids[1]));
	assert_true(seg_alive(seg[0], seg_slot_id(seg_self(seg[0]))));
	assert_true(seg_alive(seg[1], seg_slot_id(seg_self(seg[0]))));
	assert_int_equal(info.recovered, 0);
}

static void the_list_names_it(void **state)
{
	char **list;
	int n = dsm_segment_list(seg[0]->cluster ? node[1] : NULL, &list), found = 0;

	(void)state;
	assert_true(n > 0);
	for (int i = 0; i < n; i++)
		found += !strcmp(list[i], uri);
	assert_int_equal(found, 1);
	dsm_segment_list_free(list);
}

/* ------------------------------------------------------------ one host */

static void expect_open(int err, const char *word)
{
	dsm_segment_t *s;

	assert_int_equal(dsm_segment_open(rig_uri("bad"), NULL, &s), err);
	if (!strstr(dsm_last_error(), word))
		fail_msg("'%s' does not say '%s'", dsm_last_error(), word);
}

static void patch(off_t at, uint32_t value)
{
	int fd = open(rig_file(rig_uri("bad")), O_RDWR);

	assert_int_equal(pwrite(fd, &value, sizeof(value), at), sizeof(value));
	close(fd);
}

static void what_is_no_segment_is_refused(void **state)
{
	dsm_segment_t *s = rig_segment(rig_uri("bad"), 1u << 20);
	uint64_t capacity = s->capacity;
	const char *file = rig_file(rig_uri("bad"));

	(void)state;
	assert_int_equal(dsm_segment_create(rig_uri("bad"), NULL, &s), -EEXIST);
	dsm_segment_close(s);
	patch(offsetof(struct seg_header, version), 99);
	expect_open(-EPROTO, "version 99");
	patch(offsetof(struct seg_header, version), SEG_VERSION);
	patch(offsetof(struct seg_header, state), SEG_MAKING);
	expect_open(-ESTALE, "half-created");
	patch(offsetof(struct seg_header, state), SEG_READY);
	patch(offsetof(struct seg_header, creator_uid), 4711);
	expect_open(-EBADMSG, "4711");
	patch(offsetof(struct seg_header, creator_uid), geteuid());
	patch(offsetof(struct seg_header, slots), 5);
	expect_open(-EPROTO, "other sizes");
	patch(offsetof(struct seg_header, slots), SEG_SLOTS);
	patch(offsetof(struct seg_header, data_at), 3);
	expect_open(-EBADMSG, "damaged");
	assert_int_equal(truncate(file, (off_t)capacity / 2), 0);
	patch(offsetof(struct seg_header, data_at), (uint32_t)seg_data_at(1u << 14));
	expect_open(-EBADMSG, "truncated");
	assert_int_equal(truncate(file, 100), 0);
	expect_open(-EBADMSG, "less than a header");
	assert_int_equal(truncate(file, 8192), 0);
	patch(0, 0x1234);
	expect_open(-EBADMSG, "foreign");
	assert_int_equal(dsm_segment_unlink(rig_uri("bad"), NULL), 0);
	expect_open(-ENOENT, "no such segment");
	assert_int_equal(dsm_segment_unlink(rig_uri("bad"), NULL), -ENOENT);
}

static void bad_arguments_are_named(void **state)
{
	struct dsm_segment_options o = { .size = 4096, .max_size = 1 };
	dsm_segment_t *s;

	(void)state;
	assert_int_equal(dsm_segment_open("foo", NULL, &s), -EINVAL);
	assert_int_equal(dsm_segment_open(NULL, NULL, &s), -EINVAL);
	assert_int_equal(dsm_segment_open("shm:", NULL, &s), -EINVAL);
	assert_int_equal(dsm_segment_open("shm:a/b", NULL, &s), -EINVAL);
	assert_int_equal(dsm_segment_open("shm:x", NULL, NULL), -EINVAL);
	assert_int_equal(dsm_segment_create("shm:x", &o, &s), -EINVAL);
	o = (struct dsm_segment_options){ .size = 1ull << 50 };
	assert_int_equal(dsm_segment_create("shm:x", &o, &s), -EINVAL);
	o = (struct dsm_segment_options){ .flags = 0x80 };
	assert_int_equal(dsm_segment_create("shm:x", &o, &s), -EINVAL);
	assert_non_null(strstr(dsm_last_error(), "0x80"));
	assert_int_equal(dsm_segment_info(NULL, NULL), -EINVAL);
	dsm_segment_close(NULL);
}

static void a_child_is_a_participant_of_its_own(void **state)
{
	uint32_t mine = seg_slot_id(seg_self(seg[0]));
	int status;
	pid_t pid = fork();

	(void)state;
	if (!pid) {
		struct seg_slot *s = seg_self(seg[0]);

		_exit(!s || seg_slot_id(s) == mine || !seg_alive(seg[0], mine) ||
		      dsm_segment_root_set(seg[0], "child", 1));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(dsm_segment_recover(seg[1]), 1);
	assert_int_equal(dsm_segment_root_remove(seg[1], "child"), 0);
	assert_true(seg_alive(seg[1], mine));
}

#ifndef __SANITIZE_THREAD__
/* ------------------------------------------------------------ a region of the cluster */

static void expect_region(int err, const char *word)
{
	struct dsm_segment_options o = { .ctx = node[1], .flags = DSM_SEGMENT_EXISTING };
	dsm_segment_t *s;

	assert_int_equal(dsm_segment_open("dsm:other", &o, &s), err);
	if (!strstr(dsm_last_error(), word))
		fail_msg("'%s' does not say '%s'", dsm_last_error(), word);
	/* To be had for a segment is only what holds none, or the half of one. */
	if (err != -ENOENT && err != -ESTALE)
		assert_int_equal(dsm_segment_create("dsm:other", &o, &s), err);
}

static void a_region_with_other_data_is_left_alone(void **state)
{
	struct dsm_segment_options o = { .ctx = node[0], .size = 65536, .max_size = 65536 };
	dsm_region_t *region;
	struct seg_header *h;
	dsm_segment_t *s;

	(void)state;
	assert_int_equal(dsm_region_create(node[0], "other", 16u << 20, &region), 0);
	expect_region(-ENOENT, "no segment");
	h = dsm_region_base(region);
	h->data_at = 4711; /* a program's own */
	expect_region(-EBADMSG, "foreign: magic 0");
	h->magic = 0x3ff0000000000000;
	expect_region(-EBADMSG, "foreign: magic 0x3ff0000000000000");
	assert_int_equal(h->data_at, 4711);
	/* A maker was killed: nobody else's memory. */
	h->magic = SEG_MAGIC;
	expect_region(-ESTALE, "half-created");
	assert_int_equal(dsm_segment_create("dsm:other", &o, &s), 0);
	assert_int_equal(dsm_segment_root_set(s, "mine", 1), 0);
	dsm_segment_close(s);
	h->version++;
	expect_region(-EPROTO, "layout version");
	h->version--;
	h->capacity = 32u << 20;
	h->data_at = 16u << 20;
	atomic_store(&h->size, 16u << 20);
	expect_region(-EBADMSG, "truncated");
	dsm_region_close(region);
	assert_int_equal(dsm_segment_unlink("dsm:other", node[0]), 0);
	expect_region(-ENOENT, "no such region");
}

static void a_small_region_says_what_it_takes(void **state)
{
	struct dsm_segment_options o = { .ctx = node[0] };
	dsm_region_t *region;
	dsm_segment_t *s;

	(void)state;
	assert_int_equal(dsm_region_create(node[0], "small", 4u << 20, &region), 0);
	assert_int_equal(dsm_segment_create("dsm:small", &o, &s), -ENOSPC);
	assert_non_null(strstr(dsm_last_error(), "has 4194304 bytes, a segment at least"));
	dsm_region_close(region);
	assert_int_equal(dsm_region_delete(node[0], "small"), 0);
}
#endif

#define BOTH                                                                                       \
	cmocka_unit_test(roots_are_the_same_to_everybody),                                         \
		cmocka_unit_test(grains_are_given_once_and_taken_back),                            \
		cmocka_unit_test(it_grows_while_others_have_it_open),                              \
		cmocka_unit_test(places_outside_are_no_places),                                    \
		cmocka_unit_test(a_structure_lives_and_dies_with_its_root),                        \
		cmocka_unit_test(a_lock_excludes),                                                 \
		cmocka_unit_test(a_thread_that_ends_gives_its_slot_back),                          \
		cmocka_unit_test(the_list_names_it)

int main(void)
{
	const struct CMUnitTest host[] = {
		BOTH,
		cmocka_unit_test(what_is_no_segment_is_refused),
		cmocka_unit_test(bad_arguments_are_named),
		cmocka_unit_test(a_child_is_a_participant_of_its_own),
	};
#ifndef __SANITIZE_THREAD__
	const struct CMUnitTest cluster[] = {
		BOTH,
		cmocka_unit_test(a_region_with_other_data_is_left_alone),
		cmocka_unit_test(a_small_region_says_what_it_takes),
	};
	int failed = cmocka_run_group_tests(cluster, open_cluster, close_cluster);
#else
	int failed = 0;
#endif

	return failed + cmocka_run_group_tests(host, open_host, close_host);
}
