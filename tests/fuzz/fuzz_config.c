// SPDX-License-Identifier: MIT
/* Configuration lines: any text is either taken, within bounds, or refused with a reason. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/config_settings.h"
#include "agent/log.h"
#include "tests/fuzz/fuzz.h"

const unsigned int fuzz_runs = 200000;

static const char *const lines[] = {
	"port\n9900",		"chunks\n512M",
	"chunks\n4096",		"join\n10.0.0.1:9900,[1::1]:77",
	"join\n127.0.0.1",	"cluster\nmine",
	"discovery-port\n9999", "no-discovery\nyes",
	"pager\nuffd",		"dead-time\n1500",
	"recovery-time\n0",	"hold-time\n50",
	"elect-time\n150",	"touch-pages\n16",
	"prefetch-pages\n32",	"standalone\nno",
	"run-dir\n/run/dsm",	"pid-file\n/run/dsmd.pid",
	"log-level\nwarn",	"log-syslog\noff",
};

static void check_bounds(const struct config *cfg)
{
	MUST(cfg->port && cfg->discovery_port);
	MUST(cfg->chunks <= 1ull << 36);
	MUST(memchr(cfg->cluster, 0, sizeof(cfg->cluster)) && *cfg->cluster);
	MUST(cfg->nseeds <= CONFIG_SEEDS_MAX);
	MUST(cfg->prefetch_pages && cfg->prefetch_pages <= CORE_MSG_PAGES);
	MUST(cfg->dead_ms >= 100 && cfg->elect_ms);
	MUST(memchr(cfg->run_dir, 0, sizeof(cfg->run_dir)) &&
	     memchr(cfg->pid_file, 0, sizeof(cfg->pid_file)));
	MUST(cfg->log_level >= LOG_LEVEL_DEBUG && cfg->log_level <= LOG_LEVEL_ERROR);
}

/* A name of a host would go to the resolver: only addresses are fuzzed. */
static int is_host_name(const char *name, const char *value)
{
	return !strcmp(name, "join") && value[strspn(value, "0123456789.:[], ")];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[FUZZ_INPUT_MAX + 1], why[200] = "", *value;
	struct config cfg;

	if (size > FUZZ_INPUT_MAX)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	value = strchr(text, '\n');
	if (!value)
		return 0;
	*value++ = '\0';
	if (is_host_name(text, value))
		return 0;
	config_defaults(&cfg);
	MUST(config_set(&cfg, text, value, why, sizeof(why)) || why[0]);
	check_bounds(&cfg);
	return 0;
}

size_t fuzz_seed(unsigned int i, uint8_t ret[FUZZ_INPUT_MAX])
{
	if (i >= sizeof(lines) / sizeof(lines[0]))
		return 0;
	memcpy(ret, lines[i], strlen(lines[i]));
	return strlen(lines[i]);
}
