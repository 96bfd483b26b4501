// SPDX-License-Identifier: MIT
/*
 * basket: texts of any length in a segment, put there and taken out by any number of processes.
 *
 *   basket shm:fruit put apple
 *   basket shm:fruit put "a pear"
 *   basket shm:fruit list
 *   basket shm:fruit take 0
 *
 * With dsm:fruit the processes may be on any node of a cluster. The texts are named by words of a
 * block that is a root of the segment. A block moves into and out of such a word in one step,
 * so a basket that is killed leaves none that nobody could find.
 */
#include <dsm_heap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLACES 64

struct basket {
	uint64_t text[PLACES]; /* offsets; 0: the place is empty */
};

static dsm_segment_t *seg;
static dsm_heap_t *heap;

static int failed(void)
{
	fprintf(stderr, "basket: %s\n", dsm_last_error());
	return 1;
}

static int open_heap(const char *uri)
{
	struct dsm_segment_options o = { .flags = DSM_SEGMENT_EXISTING };
	int err = dsm_segment_create(uri, &o, &seg);

	if (!err)
		err = dsm_heap_create(seg, NULL, &heap);
	if (err && seg)
		err = dsm_heap_open(seg, &heap);
	return err;
}

static struct basket *open_basket(void)
{
	struct dsm_root root;
	uint64_t off;

	if (!dsm_segment_root_get(seg, "basket", &root))
		return dsm_heap_ptr(heap, root.offset);
	off = dsm_heap_calloc(heap, 1, sizeof(struct basket));
	if (!off || dsm_segment_root_set(seg, "basket", off))
		return NULL;
	return dsm_heap_ptr(heap, off);
}

/* A text ends within its block, also where somebody was killed before he had written it. */
static void show(uint64_t off)
{
	printf("%.*s\n", (int)dsm_heap_usable_size(heap, off),
	       (const char *)dsm_heap_ptr(heap, off));
}

/*
 * Who is alone in changing the basket need not lock it; several at once would guard
 * it with a dsm_lock() or keep their texts in a dsm_map.
 */
static int put(struct basket *b, const char *text)
{
	size_t size = strlen(text) + 1;
	int i = 0;

	while (i < PLACES && b->text[i])
		i++;
	if (i == PLACES) {
		fprintf(stderr, "basket: full\n");
		return 1;
	}
	if (dsm_heap_alloc_to(heap, size, &b->text[i]))
		return failed();
	memcpy(dsm_heap_ptr(heap, b->text[i]), text, size);
	printf("%d\n", i);
	return 0;
}

static int take(struct basket *b, int i)
{
	if (i < 0 || i >= PLACES || !b->text[i]) {
		fprintf(stderr, "basket: nothing there\n");
		return 1;
	}
	show(b->text[i]);
	return dsm_heap_free_from(heap, &b->text[i]) ? failed() : 0;
}

static int list(const struct basket *b)
{
	for (int i = 0; i < PLACES; i++) {
		if (!b->text[i])
			continue;
		printf("%d ", i);
		show(b->text[i]);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct basket *b;
	int result = 2;

	if (argc < 3) {
		fprintf(stderr, "usage: basket URI put TEXT | take NUMBER | list\n");
		return 2;
	}
	if (open_heap(argv[1]))
		return failed();
	b = open_basket();
	if (!b)
		return failed();
	if (!strcmp(argv[2], "put") && argc == 4)
		result = put(b, argv[3]);
	else if (!strcmp(argv[2], "take") && argc == 4)
		result = take(b, atoi(argv[3]));
	else if (!strcmp(argv[2], "list"))
		result = list(b);
	dsm_segment_close(seg);
	return result;
}
