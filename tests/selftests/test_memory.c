// SPDX-License-Identifier: MIT
/* What a page that is here costs besides its folio, and the counters that say what was done. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "fake_agent.h"

/* Bytes that the kernel says it uses, but for page tables and the pages themselves. */
static long kernel_bytes(void)
{
	static const char *const counted[] = { "Slab:", "VmallocUsed:", "Percpu:", "KernelStack:" };
	FILE *meminfo = fopen("/proc/meminfo", "r");
	char name[64];
	long kb, sum = 0;

	while (meminfo && fscanf(meminfo, "%63s %ld%*[^\n]", name, &kb) == 2)
		for (size_t i = 0; i < sizeof(counted) / sizeof(counted[0]); i++)
			if (!strcmp(name, counted[i]))
				sum += kb * 1024;
	if (meminfo)
		fclose(meminfo);
	return sum;
}

#define MANY 32768ul

TEST(a_page_costs_at_most_32_bytes_besides_itself)
{
	struct agent agent;
	long before, after;

	ASSERT_EQ(0, agent_start(&agent, agent_port()));
	ASSERT_EQ(0, agent_region(&agent, 1, "large", MANY * PAGE));
	before = kernel_bytes();
	ASSERT_GT(before, 0);
	ASSERT_EQ(0, agent_run(&agent, DSM_IOC_INSTALL, 1, 0, MANY, NULL, DSM_PAGE_MODIFIED));
	after = kernel_bytes();
	printf("# measured: %.1f bytes of kernel memory per page that is here, page cache tree "
	       "included\n",
	       (double)(after - before) / MANY);
	EXPECT_LE(after - before, 32 * (long)MANY);
	agent_stop(&agent);
}

/* Reads a counter of /sys/kernel/debug/dsm/PORT/stats. */
static long debugfs_counter(uint16_t port, const char *wanted)
{
	char path[64], name[64];
	long value, found = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/kernel/debug/dsm/%u/stats", port);
	file = fopen(path, "r");
	while (file && fscanf(file, "%63s %ld", name, &value) == 2)
		if (!strcmp(name, wanted))
			found = value;
	if (file)
		fclose(file);
	return found;
}

TEST(counters_tell_what_was_done)
{
	struct dsm_stats stats;
	struct agent agent;
	uint64_t waits = 0;
	char *map, bytes[PAGE];
	int fd;

	ASSERT_EQ(0, agent_start(&agent, agent_port()));
	fd = program_open(agent.port, "default");
	map = program_map(fd);
	agent_serve(&agent);
	(void)*(volatile char *)map;
	map[0] = 1;
	map[PAGE] = 1;
	agent_serve_stop(&agent);
	ASSERT_EQ(0, agent_revoke(&agent, 0, DSM_REVOKE_DOWNGRADE, NULL));
	ASSERT_EQ(0, agent_revoke(&agent, 0, DSM_REVOKE_DROP, NULL));
	ASSERT_EQ(0, agent_revoke(&agent, 1, DSM_REVOKE_TAKE, bytes));
	ASSERT_EQ(0, agent_run(&agent, DSM_IOC_INSTALL, 0, 9, 3, NULL, DSM_PAGE_SHARED));
	ASSERT_EQ(0, agent_stats(&agent, &stats));
	EXPECT_EQ(5, stats.installs);
	EXPECT_EQ(1, stats.upgrades);
	EXPECT_EQ(1, stats.downgrades);
	EXPECT_EQ(1, stats.drops);
	EXPECT_EQ(1, stats.takes);
	EXPECT_EQ(3, stats.requests);
	EXPECT_EQ(3, stats.handed);
	/* The upgrade may have come before its fault was back to wait. */
	EXPECT_GE(stats.faults_waited, 2);
	EXPECT_LE(stats.faults_waited, 3);
	EXPECT_GE(stats.faults_read, 1);
	EXPECT_GE(stats.faults_write, 2);
	EXPECT_EQ(3, stats.resident);
	EXPECT_EQ(1, stats.regions);
	EXPECT_EQ(0, stats.waits_locked);
	for (int i = 0; i < DSM_LATENCY_BUCKETS; i++)
		waits += stats.latency[i];
	EXPECT_EQ(stats.faults_waited, waits);
	EXPECT_EQ(5, debugfs_counter(agent.port, "installs"));
	EXPECT_EQ(3, debugfs_counter(agent.port, "resident"));

	/* A store to a page that is mapped for loads, and was upgraded since. */
	(void)*(volatile char *)(map + 9 * PAGE);
	ASSERT_EQ(0, agent_run(&agent, DSM_IOC_UPGRADE, 0, 9, 1, NULL, 0));
	map[9 * PAGE] = 1;
	EXPECT_EQ(stats.faults_write + 1, debugfs_counter(agent.port, "faults_write"));
	agent_stop(&agent);
	EXPECT_EQ(-1, debugfs_counter(agent.port, "installs"));
}

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

TEST(the_kernel_neither_reclaims_nor_loses_pages)
{
	struct agent agent;
	struct dsm_stats stats;
	char *map;
	int fd;

	ASSERT_EQ(0, agent_start(&agent, agent_port()));
	fd = program_open(agent.port, "default");
	map = program_map(fd);
	for (uint64_t page = 0; page < 64; page++)
		ASSERT_EQ(0, agent_install(&agent, page, (int)page,
					   page % 2 ? DSM_PAGE_MODIFIED : DSM_PAGE_SHARED));
	/* Some are mapped, most are not. */
	EXPECT_EQ(5, map[5 * PAGE]);
	map[7 * PAGE] = 7;
	ASSERT_TRUE(write_file("/proc/sys/vm/drop_caches", "3"));
	if (!access("/proc/sys/vm/compact_memory", W_OK))
		EXPECT_TRUE(write_file("/proc/sys/vm/compact_memory", "1"));
	ASSERT_EQ(0, agent_stats(&agent, &stats));
	EXPECT_EQ(64, stats.resident);
	for (uint64_t page = 0; page < 64; page++) {
		EXPECT_EQ(page % 2 ? DSM_PAGE_MODIFIED : DSM_PAGE_SHARED,
			  program_state(fd, page, NULL));
		EXPECT_EQ((char)page, map[page * PAGE + 9]);
	}
	/* And they can still be taken away. */
	for (uint64_t page = 0; page < 64; page++)
		EXPECT_TRUE(eventually(!agent_revoke(&agent, page, DSM_REVOKE_DROP, NULL)));
	agent_stop(&agent);
}

TEST(tracepoints_follow_a_page)
{
	static const char *const events[] = { "dsm_fault:", "dsm_upcall:", "dsm_grant:",
					      "dsm_revoke:" };
	static char text[65536];
	struct agent agent;
	char *map;
	int fd;

	ASSERT_TRUE(write_file("/sys/kernel/tracing/events/dsm/enable", "1"));
	ASSERT_EQ(0, agent_start(&agent, agent_port()));
	fd = program_open(agent.port, "default");
	map = program_map(fd);
	agent_serve(&agent);
	map[5 * PAGE] = 1;
	agent_serve_stop(&agent);
	ASSERT_EQ(0, agent_revoke(&agent, 5, DSM_REVOKE_DROP, NULL));
	agent_stop(&agent);
	write_file("/sys/kernel/tracing/events/dsm/enable", "0");
	fd = open("/sys/kernel/tracing/trace", O_RDONLY);
	ASSERT_GE(fd, 0);
	for (size_t at = 0; at < sizeof(text) - 1;) {
		ssize_t n = read(fd, text + at, sizeof(text) - 1 - at);

		if (n <= 0)
			break;
		at += (size_t)n;
	}
	close(fd);
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		EXPECT_NE(NULL, strstr(text, events[i]));
	EXPECT_NE(NULL, strstr(text, "page=0x5"));
}

TEST_HARNESS_MAIN
