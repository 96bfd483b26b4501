/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "tests/unit/played_core.h"

void core_stats_get(const struct core *c, struct core_stats *ret)
{
	*ret = c->stats;
}

void core_info_get(const struct core *c, struct core_info *ret)
{
	*ret = c->info;
}

void core_each_member(const struct core *c,
		      void (*fn)(void *ctx, const struct rec_member *m, bool link_up), void *ctx)
{
	for (size_t i = 0; i < c->nmembers; i++)
		fn(ctx, &c->members[i], c->links[i]);
}

void core_each_region(const struct core *c, void (*fn)(void *ctx, const struct rec_region *r),
		      void *ctx)
{
	for (size_t i = 0; i < c->nregions; i++)
		fn(ctx, &c->regions[i]);
}

void core_each_extent(const struct core *c, void (*fn)(void *ctx, const struct rec_extent *e),
		      void *ctx)
{
	for (size_t i = 0; i < c->nextents; i++)
		fn(ctx, &c->extents[i]);
}

void core_each_lock(const struct core *c, void (*fn)(void *ctx, const struct core_lock_info *l),
		    void *ctx)
{
	for (size_t i = 0; i < c->nlocks; i++)
		fn(ctx, &c->locks[i]);
}

void core_each_barrier(const struct core *c,
		       void (*fn)(void *ctx, const struct core_barrier_info *b), void *ctx)
{
	for (size_t i = 0; i < c->nbarriers; i++)
		fn(ctx, &c->barriers[i]);
}

void core_each_topic(const struct core *c, void (*fn)(void *ctx, const struct core_topic_info *t),
		     void *ctx)
{
	const struct core_topic_info topic = {
		.name = "speed\xff", .id = 3, .publishes = true, .subscribers = 2, .version = 77
	};

	(void)c;
	fn(ctx, &topic);
}

void core_each_page(const struct core *c, void (*fn)(void *ctx, const struct core_page_info *p),
		    void *ctx)
{
	for (size_t i = 0; i < c->npages; i++)
		fn(ctx, &c->pages[i]);
	/* And so many of region 1, each another run. */
	for (uint64_t i = 0; i < c->runs; i++)
		fn(ctx, &(struct core_page_info){ .key = PAGE_KEY(1, i),
						  .state = i % 2 ? PAGE_SHARED : PAGE_MODIFIED });
}

int core_page_get(const struct core *c, page_key key, struct core_page_info *ret)
{
	for (size_t i = 0; i < c->npages; i++) {
		if (c->pages[i].key == key) {
			*ret = c->pages[i];
			return 0;
		}
	}
	return -ENOENT;
}

void core_page_memory(const struct core *c, size_t *ret_bytes, size_t *ret_pages)
{
	*ret_bytes = c->npages * 40;
	*ret_pages = c->npages;
}

struct core fake;

static struct core_addr addr_v4(uint8_t last, uint16_t port)
{
	struct core_addr addr = { .ip = { [10] = 0xff, [11] = 0xff, 10, 0, 0, last },
				  .port = port };

	return addr;
}

int fake_setup(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof(fake));
	fake.info = (struct core_info){
		.state = CORE_MEMBER,
		.epoch = 3,
		.cluster = 0xfedcba9876543210,
		.nid = 2,
		.master = 1,
		.members = 2,
		.chunks_total = 1000,
		.chunks_used = 10,
	};
	fake.members[0] = (struct rec_member){
		.uid = UINT64_MAX,
		.chunks = 600,
		.addr = addr_v4(1, 9900),
		.nid = 1,
		.state = MEMBER_ACTIVE,
	};
	fake.members[1] =
		(struct rec_member){ .uid = 7, .chunks = 400, .nid = 2, .state = MEMBER_LEAVING };
	fake.links[0] = true;
	fake.nmembers = 2;
	fake.regions[0] = (struct rec_region){ .size = 1ull << 40,
					       .base = 0x200000000000,
					       .name = "default" };
	fake.regions[1] = (struct rec_region){
		.size = 8192, .base = 0x300000000000, .region = 1, .name = "grid"
	};
	fake.nregions = 2;
	fake.extents[0] = (struct rec_extent){ .key = PAGE_KEY(0, 2), .count = 16, .home = 1 };
	fake.extents[1] = (struct rec_extent){
		.key = PAGE_KEY(1, 1), .count = 1, .home = 2, .flags = EXTENT_ALLOC | EXTENT_HEAD
	};
	fake.nextents = 2;
	fake.pages[0] = (struct core_page_info){ .key = PAGE_KEY(1, 1),
						 .ver = 5,
						 .home = 2,
						 .state = PAGE_SHARED,
						 .dir_state = PAGE_SHARED,
						 .sharers = 2,
						 .lost = true };
	fake.pages[1] =
		(struct core_page_info){ .key = PAGE_KEY(0, 3), .home = 1, .state = PAGE_MODIFIED };
	fake.npages = 2;
	fake.locks[0] = (struct core_lock_info){
		.id = 4000000000, .here = true, .holder = 9, .waiters = 1, .token_nid = 2
	};
	fake.nlocks = 1;
	fake.barriers[0] = (struct core_barrier_info){ .id = 6, .count = 4, .arrived = 3 };
	fake.nbarriers = 1;
	fake.stats = (struct core_stats){ .read_faults = 11,
					  .write_faults = 12,
					  .pages_in = 13,
					  .pages_out = 14,
					  .invalidations = 15 };
	return 0;
}
