// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail /* a pager has an operation of that name */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/uffd_rig.h"

struct uffd_rig rig;
const struct pager_ops *const ops = &pager_uffd;

static void host_fault(void *ctx, uint16_t region, uint64_t page, uint32_t count, bool write,
		       bool prefetch)
{
	(void)ctx;
	assert_int_equal(region, REGION);
	assert_int_equal(count, 1);
	assert_false(prefetch);
	if (rig.on_fault) {
		rig.on_fault(page, write);
		return;
	}
	assert_true(rig.nfaults < 64);
	rig.faults[rig.nfaults++] = (struct fault){ page, write };
}

static int host_watch(void *ctx, int fd)
{
	(void)ctx;
	rig.watched[rig.nwatched++] = fd;
	return 0;
}

static void host_unwatch(void *ctx, int fd)
{
	(void)ctx;
	for (int i = 0; i < rig.nwatched; i++) {
		if (rig.watched[i] == fd)
			rig.watched[i] = rig.watched[--rig.nwatched];
	}
}

static void host_broken(void *ctx, int err)
{
	(void)ctx;
	assert_int_equal(err, 0);
}

static const struct pager_host host = {
	.fault = host_fault,
	.watch = host_watch,
	.unwatch = host_unwatch,
	.broken = host_broken,
};

bool rig_pump(int fd, unsigned int want_faults)
{
	struct pollfd p[17];
	int n = 0;

	while (fd >= 0 || rig.nfaults < want_faults) {
		n = 0;
		for (int i = 0; i < rig.nwatched; i++)
			p[n++] = (struct pollfd){ rig.watched[i], POLLIN, 0 };
		if (fd >= 0)
			p[n++] = (struct pollfd){ fd, POLLIN, 0 };
		if (poll(p, (nfds_t)n, DEADLINE_MS) <= 0)
			return false;
		if (fd >= 0 && p[n - 1].revents)
			return true;
		for (int i = 0; i < n; i++) {
			if (p[i].revents & POLLIN)
				ops->ready(rig.pager, p[i].fd);
		}
	}
	return true;
}

uint64_t rig_answer(struct puppet *p)
{
	assert_true(rig_pump(p->sock, 0));
	return puppet_answer(p);
}

uint64_t rig_do(struct puppet *p, enum puppet_op op, uint64_t page, uint64_t value)
{
	puppet_tell(p, op, page, value);
	return rig_answer(p);
}

void rig_expect_fault(uint64_t page, bool write)
{
	assert_true(rig_pump(-1, 1));
	assert_int_equal(rig.nfaults, 1);
	assert_int_equal(rig.faults[0].page, page);
	assert_int_equal(rig.faults[0].write, write);
	rig.nfaults = 0;
}

static void filled(uint8_t *buf, uint32_t pages, uint64_t value)
{
	for (uint32_t i = 0; i < pages; i++) {
		memset(buf + i * PAGER_PAGE_SIZE, 0, PAGER_PAGE_SIZE);
		memcpy(buf + i * PAGER_PAGE_SIZE, &value, sizeof(value));
		value++;
	}
}

void rig_put(uint64_t page, uint32_t count, uint64_t value, enum pager_prot prot)
{
	uint8_t *buf = malloc(count * PAGER_PAGE_SIZE);

	filled(buf, count, value);
	assert_int_equal(ops->install(rig.pager, REGION, page, count, buf, prot), 0);
	free(buf);
}

uint64_t rig_got(uint64_t page)
{
	uint64_t value[PAGER_PAGE_SIZE / 8];

	assert_int_equal(ops->read(rig.pager, REGION, page, 1, value), 0);
	return value[0];
}

struct puppet rig_start(uint64_t cookie)
{
	struct puppet p;

	assert_int_equal(puppet_start(&p, ops->region_fd(rig.pager, REGION), PAGES), 0);
	assert_int_equal(ops->attach(rig.pager, REGION, p.uffd, p.base, p.pid, cookie), 0);
	return p;
}

int rig_setup(void **state)
{
	struct pager_config cfg = { .port = 1, .host = &host };
	char why[128];

	(void)state;
	rig.nfaults = 0;
	rig.nwatched = 0;
	rig.on_fault = NULL;
	if (!ops->usable(why, sizeof(why))) {
		print_message("userfaultfd is not usable here: %s\n", why);
		return -1;
	}
	assert_int_equal(ops->open(&cfg, &rig.pager), 0);
	assert_int_equal(ops->region_add(rig.pager, REGION, "test", PAGES * PAGER_PAGE_SIZE), 0);
	return 0;
}

int rig_teardown(void **state)
{
	(void)state;
	if (rig.pager)
		ops->close(rig.pager, false);
	rig.pager = NULL;
	return rig.nwatched;
}

void rig_read_put(struct puppet *p, uint64_t page, uint64_t value, enum pager_prot prot)
{
	puppet_tell(p, PUPPET_READ, page, 0);
	rig_expect_fault(page, false);
	rig_put(page, 1, value, prot);
	assert_int_equal(rig_answer(p), value);
}

void rig_write_upgraded(struct puppet *p, uint64_t page, uint64_t value)
{
	puppet_tell(p, PUPPET_WRITE, page, value);
	rig_expect_fault(page, true);
	assert_int_equal(ops->upgrade(rig.pager, REGION, page, 1), 0);
	assert_int_equal(rig_answer(p), 0);
}
