// SPDX-License-Identifier: MIT
/*
 * Deliberate damage to heaps is found, and named; hostile bytes do no more harm than
 * errors. And what reports, dumps and pictures say about a heap that is whole.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dsm/heap_report.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/heap/fit.h"
#include "lib/heap/fit_links.h"
#include "tests/unit/segment_rig.h"

#define BLOCKS	64
#define ROUNDS	150
#define SECONDS 60 /* for all hostile rounds of a strategy: an endless loop ends there */

static dsm_segment_t *seg;
static dsm_heap_t *heap;
static uint64_t block[BLOCKS];
static uint64_t x = 88172645463325252u;

static uint64_t next(void)
{
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

static struct fit *fit(void)
{
	return heap->own;
}

static uint64_t *word(uint64_t off)
{
	return seg_at(seg, off);
}

/* Blocks of 200, 216, ... bytes, every fourth of them free again. */
static void begin(uint32_t strategy, uint32_t flags)
{
	struct dsm_heap_options o = { .strategy = strategy, .flags = flags };

	seg = rig_segment(rig_uri("damage"), 1u << 20);
	assert_int_equal(dsm_heap_create(seg, &o, &heap), 0);
	for (int i = 0; i < BLOCKS; i++) {
		block[i] = dsm_heap_alloc(heap, 200 + (size_t)i * 16);
		assert_int_not_equal(block[i], 0);
	}
	for (int i = 1; i < BLOCKS; i += 4)
		assert_int_equal(dsm_heap_free(heap, block[i]), 0);
}

static void end(void)
{
	dsm_heap_close(heap);
	dsm_segment_close(seg);
	assert_int_equal(dsm_segment_unlink(rig_uri("damage"), NULL), 0);
}

struct wanted {
	uint64_t off;
	const char *kind;
	int found;
};

static int fault_look(void *context, uint64_t off, const char *what)
{
	struct wanted *w = context;

	if (off == w->off && !strncmp(what, w->kind, strlen(w->kind)))
		w->found++;
	else
		print_message("   also %#lx: %s\n", (unsigned long)off, what);
	return 0;
}

/* Damage of this kind is found at @off, and nothing is found when it is mended. */
static void is_found(uint64_t off, const char *kind, uint64_t *at, uint64_t damaged)
{
	struct wanted w = { .off = off, .kind = kind };
	uint64_t good = *at;

	assert_int_not_equal(good, damaged);
	*at = damaged;
	assert_true(dsm_heap_validate(heap, fault_look, &w) > 0);
	if (w.found != 1)
		fail_msg("no '%s' at %#lx", kind, (unsigned long)off);
	*at = good;
	assert_int_equal(dsm_heap_validate(heap, fault_look, &w), 0);
}

static const uint32_t fits[] = { DSM_HEAP_FIRST_FIT, DSM_HEAP_BEST_FIT, DSM_HEAP_WORST_FIT };

static void a_header_written_over_is_named(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		begin(fits[i], 0);
		is_found(block[6], "header: overwritten", word(block[6] - 8), 0x4141414141414141u);
		is_found(block[0], "header: overwritten", word(block[0] - 8), 0);
		/* A good header of another place is not one here. */
		is_found(block[6], "header: overwritten", word(block[6] - 8), *word(block[7] - 8));
		/* Of a free block. */
		is_found(block[5], "header: overwritten", word(block[5] - 8), 1);
		is_found(block[6], "header: says that the block before it is used",
			 word(block[6] - 8),
			 fit_word(fit()->key, block[6] - 8, fit_units(*word(block[6] - 8)),
				  FIT_USED | (fit_flags(*word(block[6] - 8)) & ~FIT_PREV_FREE &
					      ~FIT_USED)));
		is_found(fit()->arenas[0].end, "header: the mark at the end",
			 word(fit()->arenas[0].end), 0);
		end();
	}
}

static void a_damaged_header_is_not_believed(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		uint64_t good;

		begin(fits[i], 0);
		good = *word(block[6] - 8);
		*word(block[6] - 8) ^= 1ull << 30;
		assert_int_equal(dsm_heap_free(heap, block[6]), -EINVAL);
		assert_int_equal(dsm_heap_free(heap, block[4]), 0);
		assert_int_equal(dsm_heap_free(heap, block[7]), 0);
		*word(block[6] - 8) = good;
		assert_int_equal(dsm_heap_validate(heap, NULL, NULL), 0);
		*word(block[11] - 8) ^= 1ull << 40;
		assert_int_equal(dsm_heap_free(heap, block[10]), -EBADMSG);
		assert_non_null(strstr(dsm_last_error(), "header behind"));
		end();
	}
}

static void a_footer_written_over_is_named(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		begin(fits[i], 0);
		is_found(block[5], "footer", word(block[6] - 16), 0x4242424242424242u);
		*word(block[6] - 16) ^= 0x100000000u;
		assert_int_equal(dsm_heap_free(heap, block[6]), -EBADMSG);
		end();
	}
}

static void links_written_over_are_named(uint32_t strategy)
{
	struct fit_links *l;
	uint64_t pair[4], other;

	begin(strategy, 0);
	/* Two free blocks of one size: the first of the list, freed last, points at the second. */
	for (int i = 0; i < 4; i++)
		pair[i] = dsm_heap_alloc(heap, i % 2 ? 4000 : 5000);
	assert_int_equal(dsm_heap_free(heap, pair[0]), 0);
	assert_int_equal(dsm_heap_free(heap, pair[2]), 0);
	l = fit_links(fit(), pair[2] - 8);
	assert_int_equal(l->next, pair[0] - 8);
	is_found(pair[2], "link", &l->next, block[10] - 8);
	is_found(pair[2], "link", &l->next, 12345);
	/* A list that comes back to where it was: the same block would be given twice. */
	is_found(pair[2], "link: ", &l->next, pair[2] - 8);
	is_found(pair[2], "link: the first block of a list", &l->prev, block[13] - 8);
	/* The large free place behind all blocks is the root of the tree. */
	other = fit()->ctl->tree;
	assert_int_not_equal(other, 0);
	l = fit_links(fit(), other);
	is_found(other + 8, "link: the way up", &l->parent, block[0] - 8);
	is_found(other + 8, "link", &l->child[1], other);
	end();
}

static void a_link_written_over_is_named(void **state)
{
	(void)state;
	for (int i = 1; i < 3; i++)
		links_written_over_are_named(fits[i]);
}

/* The choice goes by the index, so what lies there is met, not followed. */
static void a_choice_by_a_damaged_index_is_refused(void **state)
{
	uint64_t *tree, good;

	(void)state;
	for (int i = 1; i < 3; i++) {
		begin(fits[i], 0);
		tree = &fit()->ctl->tree;
		good = *tree;
		*tree = good + FIT_UNIT;
		assert_int_equal(dsm_heap_alloc(heap, 20000), 0);
		assert_non_null(strstr(dsm_last_error(), "damaged"));
		*tree = good;
		*word(good) ^= 1ull << 30;
		assert_int_equal(dsm_heap_alloc(heap, 20000), 0);
		assert_non_null(strstr(dsm_last_error(), "damaged"));
		*word(good) ^= 1ull << 30;
		assert_int_not_equal(dsm_heap_alloc(heap, 20000), 0);
		assert_int_equal(dsm_heap_validate(heap, NULL, NULL), 0);
		end();
	}
}

static void an_index_that_lies_is_named(void **state)
{
	struct fit_arena *a;
	uint64_t unit;

	(void)state;
	begin(DSM_HEAP_FIRST_FIT, 0);
	a = &fit()->arenas[0];
	unit = (block[5] - 8 - a->first) / FIT_UNIT;
	is_found(block[5], "index: a free block", &a->bits[unit / 64],
		 a->bits[unit / 64] & ~(1ull << unit % 64));
	unit = (block[6] - 8 - a->first) / FIT_UNIT;
	is_found(block[6], "index: a bit", &a->bits[unit / 64],
		 a->bits[unit / 64] | 1ull << unit % 64);
	is_found(seg_off(seg, a->max[1]), "index: a maximum", (uint64_t *)(void *)a->max[1],
		 *(uint64_t *)(void *)a->max[1] + 1);
	end();
	for (int i = 1; i < 3; i++) {
		begin(fits[i], 0);
		is_found(seg_off(seg, &fit()->ctl->bins[100]), "index: bits and list",
			 &fit()->ctl->bins_used[1], fit()->ctl->bins_used[1] ^ 1ull << 36);
		end();
	}
}

static void a_wrong_count_is_named(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		begin(fits[i], 0);
		is_found(fit()->arenas[0].off, "count", &fit()->arenas[0].head->used_blocks, 3);
		end();
	}
}

static void a_second_free_is_refused(void **state)
{
	(void)state;
	for (uint32_t s = DSM_HEAP_SIZE_CLASSES; s <= DSM_HEAP_WORST_FIT; s++) {
		begin(s, 0);
		assert_int_equal(dsm_heap_free(heap, block[5]), -EALREADY);
		assert_non_null(strstr(dsm_last_error(), "free already"));
		assert_int_equal(dsm_heap_validate(heap, NULL, NULL), 0);
		end();
	}
}

static void one_byte_too_many_is_named(void **state)
{
	(void)state;
	for (uint32_t s = DSM_HEAP_SIZE_CLASSES; s <= DSM_HEAP_WORST_FIT; s++) {
		struct wanted w = { .kind = "guard" };
		uint8_t *p;

		begin(s, DSM_HEAP_GUARDS);
		assert_int_equal(dsm_heap_validate(heap, fault_look, &w), 0);
		for (int i = 2; i < BLOCKS; i += 4) {
			p = dsm_heap_ptr(heap, block[i]);
			p[200 + i * 16] ^= 1;
			w.off = block[i];
			w.found = 0;
			assert_int_equal(dsm_heap_validate(heap, fault_look, &w), 1);
			assert_int_equal(w.found, 1);
			assert_int_equal(dsm_heap_free(heap, block[i]), -EBADMSG);
			p[200 + i * 16] ^= 1;
			assert_int_equal(dsm_heap_free(heap, block[i]), 0);
		}
		end();
	}
}

static void a_damaged_table_is_refused(void **state)
{
	dsm_segment_t *other;
	dsm_heap_t *h;

	(void)state;
	for (int i = 0; i < 3; i++) {
		begin(fits[i], 0);
		assert_int_equal(dsm_segment_open(rig_uri("damage"), NULL, &other), 0);
		fit()->ctl->arenas[7].off = 1ull << 40;
		fit()->ctl->arenas[7].size = SEG_GRAIN;
		assert_int_equal(dsm_heap_open(other, &h), -EBADMSG);
		fit()->ctl->arenas[7].size = 0;
		fit()->ctl->magic++;
		assert_int_equal(dsm_heap_open(other, &h), -EBADMSG);
		fit()->ctl->magic--;
		assert_int_equal(dsm_heap_open(other, &h), 0);
		dsm_segment_close(other);
		end();
	}
}

/* ------------------------------------------------------------ hostile bytes */

/* Somewhere in the heap, but not the lock: whoever damages that stops everybody. */
static void damage(void)
{
	const struct fit_arena *a = &fit()->arenas[next() % fit()->n];
	uint64_t lock = fit()->off + offsetof(struct fit_ctl, lock), off;

	do {
		switch (next() % 3) {
		case 0:
			off = fit()->off + next() % sizeof(struct fit_ctl) / 8 * 8;
			break;
		case 1:
			off = a->off + next() % (a->first + 8 - a->off) / 8 * 8;
			break;
		default:
			off = a->off + next() % (1u << 16) / 8 * 8;
		}
	} while (off == lock);
	*word(off) = next() % 3 ? *word(off) ^ 1ull << next() % 64 : next() >> next() % 64;
}

static void use(void)
{
	FILE *null = fopen("/dev/null", "w");

	for (int i = 0; i < 60; i++) {
		int k = (int)(next() % BLOCKS);

		if (next() % 2)
			block[k] = dsm_heap_alloc(heap, 1 + next() % 3000);
		else if (next() % 2)
			(void)dsm_heap_free(heap, block[k]);
		else
			(void)dsm_heap_realloc(heap, block[k], 1 + next() % 3000);
	}
	(void)dsm_heap_validate(heap, NULL, NULL);
	(void)dsm_heap_dump(heap, null, next() % 2);
	(void)dsm_heap_picture_svg(heap, null);
	(void)fclose(null);
}

static void hostile_bytes_give_errors_only(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		(void)alarm(SECONDS);
		for (int round = 0; round < ROUNDS; round++) {
			begin(fits[i], next() % 2 ? 0 : DSM_HEAP_GUARDS | DSM_HEAP_POISON);
			for (uint64_t n = 1 + next() % 6; n; n--)
				damage();
			use();
			end();
		}
		(void)alarm(0);
	}
}

/* ------------------------------------------------------------ reports */

static char text[1u << 20];

/* What is written, in a buffer that the next call writes into. */
static const char *written(int (*write)(FILE *out))
{
	FILE *out = fmemopen(text, sizeof(text), "w");

	assert_non_null(out);
	assert_int_equal(write(out), 0);
	assert_int_equal(fclose(out), 0);
	return text;
}

static int dump_text(FILE *out)
{
	return dsm_heap_dump(heap, out, false);
}

static int picture_text(FILE *out)
{
	return dsm_heap_picture(heap, out, NULL);
}

static int picture_image(FILE *out)
{
	return dsm_heap_picture_svg(heap, out);
}

static void a_report_counts_right(void **state)
{
	struct dsm_heap_report r;
	uint64_t sum = 0;

	(void)state;
	for (uint32_t s = DSM_HEAP_SIZE_CLASSES; s <= DSM_HEAP_WORST_FIT; s++) {
		uint64_t used = 0, used_bytes = 0, free_places = 0;

		begin(s, s % 2 ? DSM_HEAP_GUARDS : 0);
		assert_int_equal(dsm_heap_report(heap, &r), 0);
		assert_int_equal(r.strategy, s);
		assert_int_equal(r.used, BLOCKS - BLOCKS / 4);
		sum = 0;
		for (int i = 0; i < BLOCKS; i++)
			sum += i % 4 == 1 ? 0 : 200 + (uint64_t)i * 16;
		assert_true(r.used_bytes >= sum);
		if (s != DSM_HEAP_SIZE_CLASSES) {
			assert_int_equal(r.known_bytes, r.used_bytes);
			assert_int_equal(r.asked_bytes, sum);
			assert_true(r.internal >= 0 && r.internal < 0.15);
			assert_true(r.external > 0 && r.external < 0.2);
		}
		assert_int_equal(r.bytes,
				 r.used_bytes + r.free_bytes + r.freeing_bytes + r.meta_bytes);
		for (int i = 0; i < DSM_HEAP_BUCKETS; i++) {
			used += r.buckets[i].used;
			used_bytes += r.buckets[i].used_bytes;
			free_places += r.buckets[i].free;
		}
		assert_int_equal(used, r.used);
		assert_int_equal(used_bytes, r.used_bytes);
		assert_int_equal(free_places, r.free);
		end();
	}
}

static void dumps_and_pictures_show_all(void **state)
{
	const char *dump, *picture;
	char line[64];

	(void)state;
	for (uint32_t s = DSM_HEAP_SIZE_CLASSES; s <= DSM_HEAP_WORST_FIT; s++) {
		begin(s, DSM_HEAP_LOG);
		dump = written(dump_text);
		for (int i = 0; i < BLOCKS; i++) {
			(void)snprintf(line, sizeof(line), "  0x%-12lx %s", (unsigned long)block[i],
				       i % 4 == 1 ? "free" : "used");
			if (!strstr(dump, line))
				fail_msg("no '%s' in %s", line, dump);
		}
		assert_non_null(strstr(dump, "log, 80 operations\n"));
		(void)snprintf(line, sizeof(line), "free  0x%lx ", (unsigned long)block[61]);
		assert_non_null(strstr(dump, line));
		picture = written(picture_text);
		assert_non_null(strchr(strchr(picture, '\n'), '#'));
		assert_non_null(strchr(picture, '.'));
		picture = written(picture_image);
		assert_non_null(strstr(picture, "<svg "));
		assert_non_null(strstr(picture, "fill=\"#1f5fa8\""));
		assert_non_null(strstr(picture, "</svg>"));
		end();
	}
	assert_int_equal(dsm_heap_validate(NULL, NULL, NULL), -EINVAL);
	assert_int_equal(dsm_heap_report(NULL, NULL), -EINVAL);
	assert_int_equal(dsm_heap_dump(NULL, stdout, false), -EINVAL);
	assert_int_equal(dsm_heap_picture(NULL, stdout, NULL), -EINVAL);
	assert_int_equal(dsm_heap_picture_svg(NULL, stdout), -EINVAL);
	assert_string_equal(dsm_heap_strategy_name(99), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_header_written_over_is_named),
		cmocka_unit_test(a_damaged_header_is_not_believed),
		cmocka_unit_test(a_footer_written_over_is_named),
		cmocka_unit_test(a_link_written_over_is_named),
		cmocka_unit_test(a_choice_by_a_damaged_index_is_refused),
		cmocka_unit_test(an_index_that_lies_is_named),
		cmocka_unit_test(a_wrong_count_is_named),
		cmocka_unit_test(a_second_free_is_refused),
		cmocka_unit_test(one_byte_too_many_is_named),
		cmocka_unit_test(a_damaged_table_is_refused),
		cmocka_unit_test(hostile_bytes_give_errors_only),
		cmocka_unit_test(a_report_counts_right),
		cmocka_unit_test(dumps_and_pictures_show_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
