// SPDX-License-Identifier: MIT
/* The agent's pager over the module: what pager.h promises. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "fake_agent.h"

/* What the pager called out of itself. */
struct seen {
	int fd;
	int faults;
	uint16_t region;
	uint64_t page;
	uint32_t count;
	bool write;
	bool prefetch;
	int broken;
	int runs;
	enum pager_prot prots[8];
	uint64_t pages[8];
	uint32_t counts[8];
	char name[64];
	uint64_t size;
};

static void on_fault(void *ctx, uint16_t region, uint64_t page, uint32_t count, bool write,
		     bool prefetch)
{
	struct seen *s = ctx;

	s->faults++;
	s->region = region;
	s->page = page;
	s->count = count;
	s->write = write;
	s->prefetch = prefetch;
}

static int on_watch(void *ctx, int fd)
{
	((struct seen *)ctx)->fd = fd;
	return 0;
}

static void on_unwatch(void *ctx, int fd)
{
	struct seen *s = ctx;

	s->fd = s->fd == fd ? -1 : s->fd;
}

static void on_broken(void *ctx, int err)
{
	((struct seen *)ctx)->broken = err;
}

static void on_run(void *ctx, uint16_t region, uint64_t page, uint32_t count, enum pager_prot prot)
{
	struct seen *s = ctx;

	(void)region;
	if (s->runs < 8) {
		s->pages[s->runs] = page;
		s->counts[s->runs] = count;
		s->prots[s->runs] = prot;
	}
	s->runs++;
}

static void on_region(void *ctx, uint16_t region, const char *name, uint64_t size)
{
	struct seen *s = ctx;

	(void)region;
	strncpy(s->name, name, sizeof(s->name) - 1);
	s->size = size;
}

FIXTURE(pager)
{
	struct seen seen;
	struct pager_host host;
	struct pager_config cfg;
	struct pager *p;
	int fd;
	char *map;
};

FIXTURE_SETUP(pager)
{
	char why[128];

	self->seen = (struct seen){ .fd = -1 };
	self->host = (struct pager_host){ &self->seen, on_fault, on_watch, on_unwatch, on_broken };
	self->cfg = (struct pager_config){ .port = agent_port(),
					   .recovery_ms = 2000,
					   .host = &self->host };
	ASSERT_TRUE(pager_kmod.usable(why, sizeof(why)));
	ASSERT_EQ(0, pager_kmod.open(&self->cfg, &self->p));
	ASSERT_GE(self->seen.fd, 0);
	ASSERT_EQ(0, pager_kmod.region_add(self->p, 0, "default", REGION_SIZE));
	self->fd = program_open(self->cfg.port, "default");
	self->map = program_map(self->fd);
	ASSERT_NE(NULL, self->map);
}

FIXTURE_TEARDOWN(pager)
{
	if (self->p)
		pager_kmod.close(self->p, false);
}

static bool next_fault(struct pager *p, struct seen *s)
{
	struct pollfd poll_fd = { .fd = s->fd, .events = POLLIN };
	int before = s->faults;

	if (poll(&poll_fd, 1, DEADLINE_MS) == 1)
		pager_kmod.ready(p, s->fd);
	return s->faults > before;
}

TEST_F(pager, a_fault_is_reported_and_answered)
{
	char bytes[PAGE];
	struct toucher t;

	memset(bytes, 'p', sizeof(bytes));
	touch_start(&t, self->map + 9 * PAGE, true, 'q');
	ASSERT_TRUE(next_fault(self->p, &self->seen));
	EXPECT_EQ(0, self->seen.region);
	EXPECT_EQ(9, self->seen.page);
	EXPECT_EQ(1, self->seen.count);
	EXPECT_TRUE(self->seen.write);
	EXPECT_FALSE(self->seen.prefetch);
	ASSERT_EQ(0, pager_kmod.install(self->p, 0, 9, 1, bytes, PAGER_WRITE));
	ASSERT_TRUE(touch_done(&t, DEADLINE_MS));
	ASSERT_EQ(0, pager_kmod.downgrade(self->p, 0, 9, 1));
	ASSERT_EQ(0, pager_kmod.read(self->p, 0, 9, 1, bytes));
	EXPECT_EQ('q', bytes[0]);
	EXPECT_EQ('p', bytes[1]);
	ASSERT_EQ(0, pager_kmod.upgrade(self->p, 0, 9, 1));
	self->map[9 * PAGE + 1] = 'r';
	ASSERT_EQ(0, pager_kmod.take(self->p, 0, 9, bytes));
	EXPECT_EQ('r', bytes[1]);
	EXPECT_EQ(-ENOENT, pager_kmod.take(self->p, 0, 9, bytes));
	EXPECT_EQ(0, pager_kmod.drop(self->p, 0, 9, 1));
}

TEST_F(pager, a_failed_fault_is_sigbus_and_looking_again_asks_again)
{
	struct toucher t;

	touch_start(&t, self->map + 2 * PAGE, false, 0);
	ASSERT_TRUE(next_fault(self->p, &self->seen));
	ASSERT_EQ(0, pager_kmod.fail(self->p, 0, 2, 1, 0));
	ASSERT_TRUE(next_fault(self->p, &self->seen));
	ASSERT_EQ(0, pager_kmod.install(self->p, 0, 2, 1, NULL, PAGER_READ));
	ASSERT_TRUE(touch_done(&t, DEADLINE_MS));
	EXPECT_EQ(-ENOENT, pager_kmod.fail(self->p, 9, 0, 1, -EIO));
}

TEST_F(pager, the_next_agent_finds_what_was_kept)
{
	struct pager_identity id = { .cluster = 77, .uid = 5, .epoch = 3, .nid = 2 }, got;

	EXPECT_EQ(-ENOENT, pager_kmod.identity_get(self->p, &got));
	ASSERT_EQ(0, pager_kmod.identity_set(self->p, &id));
	ASSERT_EQ(0, pager_kmod.install(self->p, 0, 4, 2, NULL, PAGER_READ));
	ASSERT_EQ(0, pager_kmod.install(self->p, 0, 6, 1, NULL, PAGER_WRITE));
	pager_kmod.close(self->p, true);
	self->p = NULL;
	EXPECT_EQ(-1, self->seen.fd);
	ASSERT_EQ(0, pager_kmod.open(&self->cfg, &self->p));
	ASSERT_EQ(0, pager_kmod.identity_get(self->p, &got));
	EXPECT_EQ(0, memcmp(&id, &got, sizeof(id)));
	ASSERT_EQ(0, pager_kmod.regions(self->p, on_region, &self->seen));
	EXPECT_STREQ("default", self->seen.name);
	EXPECT_EQ(REGION_SIZE, self->seen.size);
	ASSERT_EQ(0, pager_kmod.pages(self->p, on_run, &self->seen));
	ASSERT_EQ(2, self->seen.runs);
	EXPECT_EQ(4, self->seen.pages[0]);
	EXPECT_EQ(2, self->seen.counts[0]);
	EXPECT_EQ(PAGER_READ, self->seen.prots[0]);
	EXPECT_EQ(6, self->seen.pages[1]);
	EXPECT_EQ(PAGER_WRITE, self->seen.prots[1]);
}

/* Nobody can say what they are worth. */
TEST_F(pager, pages_of_an_agent_without_identity_are_forgotten)
{
	ASSERT_EQ(0, pager_kmod.install(self->p, 0, 4, 2, NULL, PAGER_WRITE));
	pager_kmod.close(self->p, true);
	ASSERT_EQ(0, pager_kmod.open(&self->cfg, &self->p));
	ASSERT_EQ(0, pager_kmod.pages(self->p, on_run, &self->seen));
	EXPECT_EQ(0, self->seen.runs);
	EXPECT_EQ(DSM_PAGE_INVALID, program_state(self->fd, 4, NULL));
}

TEST_F(pager, one_port_is_one_agents)
{
	struct pager *other;

	EXPECT_EQ(-EBUSY, pager_kmod.open(&self->cfg, &other));
}

TEST_F(pager, closed_for_good_what_is_missing_is_sigbus)
{
	ASSERT_EQ(0, pager_kmod.install(self->p, 0, 1, 1, NULL, PAGER_WRITE));
	pager_kmod.close(self->p, false);
	self->p = NULL;
	self->map[PAGE] = 1;
	EXPECT_TRUE(access_is_sigbus(self->map, false));
}

TEST_HARNESS_MAIN
