/* SPDX-License-Identifier: MIT */
/*
 * The agent's settings: defaults, then the configuration file, then the
 * environment, then the command line; the later wins.
 */
#ifndef DSM_AGENT_CONFIG_H
#define DSM_AGENT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/core/msg.h"

#define CONFIG_FILE_DEFAULT "/etc/dsm/dsm.conf"
#define CONFIG_SEEDS_MAX    64

enum config_pager { CONFIG_PAGER_AUTO, CONFIG_PAGER_KMOD, CONFIG_PAGER_UFFD };

struct config {
	uint16_t port;	 /* TCP */
	uint64_t chunks; /* 4 KiB chunks donated */
	char cluster[CORE_NAME_MAX];
	struct core_addr seeds[CONFIG_SEEDS_MAX]; /* --join */
	size_t nseeds;
	uint16_t discovery_port; /* UDP */
	bool discovery;
	enum config_pager pager;
	uint32_t dead_ms, elect_ms;
	uint32_t recovery_ms;
	uint32_t hold_us;
	uint32_t deadlock_ms; /* 0: never */
	uint32_t spin_us;
	uint32_t touch_pages, prefetch_pages;
	bool standalone;
	bool daemonise;
	bool log_syslog;
	int log_level;
	char run_dir[80];   /* never empty after config_load() */
	char pid_file[128]; /* empty: none */
};

enum config_result {
	CONFIG_OK,
	CONFIG_USAGE, /* a bad option or value on the command line or in the environment: said */
	CONFIG_FILE,  /* the file cannot be read, or holds a bad line: said */
};

/* Says what is wrong on standard error. @ret is complete only with CONFIG_OK. */
enum config_result config_load(int argc, char **argv, struct config *ret);

/*
 * One setting, as any of the sources gives it. False: @why says what is
 * accepted. Names are those of the long options.
 */
bool config_set(struct config *cfg, const char *name, const char *value, char *why, size_t len);

/* What an agent has that is told nothing. */
void config_defaults(struct config *ret);

#endif
