// SPDX-License-Identifier: MIT
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/config_settings.h"
#include "agent/log.h"
#include "agent/net/addr.h"

#define DEFAULT_PORT 9900
#define CHUNK_SIZE   4096u

static void *field(struct config *cfg, const struct setting *s)
{
	return (char *)cfg + s->offset;
}

static bool parse_number(const char *value, uint64_t min, uint64_t max, uint64_t *ret)
{
	unsigned long long n;
	char *end;

	if (*value < '0' || *value > '9')
		return false;
	errno = 0;
	n = strtoull(value, &end, 10);
	if (errno || *end || n < min || n > max)
		return false;
	*ret = n;
	return true;
}

static bool set_u16(struct config *cfg, const struct setting *s, const char *value)
{
	uint64_t n;

	if (!parse_number(value, s->min, s->max, &n))
		return false;
	*(uint16_t *)field(cfg, s) = (uint16_t)n;
	return true;
}

static bool set_u32(struct config *cfg, const struct setting *s, const char *value)
{
	uint64_t n;

	if (!parse_number(value, s->min, s->max, &n))
		return false;
	*(uint32_t *)field(cfg, s) = (uint32_t)n;
	return true;
}

static bool set_text(struct config *cfg, const struct setting *s, const char *value)
{
	if (!*value || strlen(value) >= s->max)
		return false;
	strcpy(field(cfg, s), value);
	return true;
}

static bool set_name(struct config *cfg, const struct setting *s, const char *value)
{
	char name[CORE_NAME_MAX] = "";

	if (!*value || strlen(value) >= sizeof(name))
		return false;
	for (const char *c = value; *c; c++)
		if (*c <= ' ' || *c > '~')
			return false;
	strcpy(name, value);
	memcpy(field(cfg, s), name, sizeof(name));
	return true;
}

static bool set_flag(struct config *cfg, const struct setting *s, const char *value)
{
	static const char *const yes[] = { "yes", "on", "true", "1" };
	static const char *const no[] = { "no", "off", "false", "0" };

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		bool on = !strcmp(value, yes[i]);

		if (on || !strcmp(value, no[i])) {
			*(bool *)field(cfg, s) = on;
			return true;
		}
	}
	return false;
}

/* For the flags that say what not to do. */
static bool set_flag_not(struct config *cfg, const struct setting *s, const char *value)
{
	bool *on = field(cfg, s);

	if (!set_flag(cfg, s, value))
		return false;
	*on = !*on;
	return true;
}

/* Chunks as they are, or bytes with K, M, G or T, which must make whole chunks. */
static bool set_chunks(struct config *cfg, const struct setting *s, const char *value)
{
	static const char units[] = "KMGT";
	size_t len = strlen(value);
	const char *unit = len ? strchr(units, value[len - 1]) : NULL;
	char digits[24] = "";
	uint64_t n, bytes;

	if (!unit) {
		if (!parse_number(value, s->min, s->max, &n))
			return false;
		cfg->chunks = n;
		return true;
	}
	if (len > sizeof(digits))
		return false;
	memcpy(digits, value, len - 1);
	if (!parse_number(digits, 0, UINT64_MAX, &n) ||
	    __builtin_mul_overflow(n, 1024ull << (10 * (unit - units)), &bytes) ||
	    bytes % CHUNK_SIZE || bytes / CHUNK_SIZE < s->min || bytes / CHUNK_SIZE > s->max)
		return false;
	cfg->chunks = bytes / CHUNK_SIZE;
	return true;
}

static bool set_word(const char *value, const char *const *words, size_t n, int *ret)
{
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(value, words[i])) {
			*ret = (int)i;
			return true;
		}
	}
	return false;
}

static bool set_pager(struct config *cfg, const struct setting *s, const char *value)
{
	static const char *const words[] = { "auto", "kmod", "uffd" };
	int i;

	(void)s;
	if (!set_word(value, words, 3, &i))
		return false;
	cfg->pager = (enum config_pager)i;
	return true;
}

static bool set_log_level(struct config *cfg, const struct setting *s, const char *value)
{
	static const char *const words[] = { "debug", "info", "warn", "error" };
	uint64_t n;

	(void)s;
	if (parse_number(value, LOG_LEVEL_DEBUG, LOG_LEVEL_ERROR, &n)) {
		cfg->log_level = (int)n;
		return true;
	}
	return set_word(value, words, 4, &cfg->log_level);
}

/* HOST, HOST:PORT, [V6]:PORT or a bare V6 address, taken apart. */
static bool split_host(const char *value, char host[256], const char **ret_port)
{
	const char *colon = strrchr(value, ':'), *end = value + strlen(value), *from = value;

	*ret_port = NULL;
	if (*value == '[') {
		from = value + 1;
		end = strchr(value, ']');
		if (!end || (end[1] && end[1] != ':'))
			return false;
		if (end[1])
			*ret_port = end + 2;
	} else if (colon && colon == strchr(value, ':')) {
		end = colon;
		*ret_port = colon + 1;
	}
	if (end == from || end - from > 255)
		return false;
	memcpy(host, from, (size_t)(end - from));
	host[end - from] = '\0';
	return true;
}

/* One more --join address; several may be given at once, apart by commas or blanks. */
static bool add_seed(struct config *cfg, const char *value)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
	uint64_t port = DEFAULT_PORT;
	const char *port_text;
	char host[256];
	bool ok;

	if (!split_host(value, host, &port_text))
		return false;
	/* What looks like an address is one, or wrong: no name server is asked. */
	if (strchr(host, ':') || !host[strspn(host, "0123456789.")])
		hints.ai_flags = AI_NUMERICHOST;
	if ((port_text && !parse_number(port_text, 1, UINT16_MAX, &port)) ||
	    cfg->nseeds == CONFIG_SEEDS_MAX || getaddrinfo(host, NULL, &hints, &found))
		return false;
	ok = addr_from_sockaddr(&cfg->seeds[cfg->nseeds], found->ai_addr);
	freeaddrinfo(found);
	if (ok)
		cfg->seeds[cfg->nseeds++].port = (uint16_t)port;
	return ok;
}

static bool set_join(struct config *cfg, const struct setting *s, const char *value)
{
	char *copy = strdup(value), *rest = copy, *one;
	bool ok = copy && *copy;

	(void)s;
	while (ok && (one = strsep(&rest, ", ")))
		if (*one)
			ok = add_seed(cfg, one);
	free(copy);
	return ok;
}

#define FIELD(name) offsetof(struct config, name)
#define PORTS	    "a port number, 1 to 65535"
#define FLAGS	    "yes or no"

const struct setting settings[] = {
	{ "port", 'p', "DSM_PORT", "PORT", set_u16, FIELD(port), 1, UINT16_MAX, PORTS,
	  "TCP port; names this node on this machine (9900)" },
	{ "chunks", 'n', "DSM_CHUNKS", "N", set_chunks, FIELD(chunks), 0, 1ull << 36,
	  "4 KiB chunks, 0 to 68719476736, or a size like 512M or 2G",
	  "memory donated to the cluster: 4 KiB chunks, or a size like 512M (256M)" },
	{ "join", 'j', "DSM_JOIN", "HOST[:PORT]", set_join, 0, 0, 0,
	  "HOST, HOST:PORT or [IPV6]:PORT of a host that resolves, at most 64 of them",
	  "a node to ask, beside discovery; may be given several times" },
	{ "cluster", 'c', "DSM_CLUSTER", "NAME", set_name, FIELD(cluster), 0, CORE_NAME_MAX,
	  "1 to 31 printable characters without blanks",
	  "name of the cluster; only equals find each other (dsm)" },
	{ "discovery-port", 'd', "DSM_DISCOVERY_PORT", "PORT", set_u16, FIELD(discovery_port), 1,
	  UINT16_MAX, PORTS, "UDP port of discovery (9999)" },
	{ "no-discovery", 'D', "DSM_NO_DISCOVERY", NULL, set_flag_not, FIELD(discovery), 0, 0,
	  FLAGS, "neither ask nor answer by broadcast" },
	{ "pager", 'P', "DSM_PAGER", "KIND", set_pager, 0, 0, 0, "kmod, uffd or auto",
	  "kmod (module), uffd (userfaultfd), or auto: the module where it is usable (auto)" },
	{ "dead-time", 't', "DSM_DEAD_TIME", "MS", set_u32, FIELD(dead_ms), 100, 600000,
	  "milliseconds, 100 to 600000", "a node not heard for so long is dead (1500)" },
	{ "recovery-time", 'r', "DSM_RECOVERY_TIME", "MS", set_u32, FIELD(recovery_ms), 0, 3600000,
	  "milliseconds, 0 to 3600000",
	  "how long programs wait for a dead agent to come back (10000)" },
	{ "hold-time", 'H', "DSM_HOLD_TIME", "US", set_u32, FIELD(hold_us), 0, 1000000,
	  "microseconds, 0 to 1000000", "a granted page stays at least so long (50)" },
	{ "deadlock-time", 0, "DSM_DEADLOCK_TIME", "MS", set_u32, FIELD(deadlock_ms), 0, 600000,
	  "milliseconds, 0 to 600000",
	  "look for a deadlock where a lock is waited for so long; 0: never (100)" },
	{ "spin-time", 0, "DSM_SPIN_TIME", "US", set_u32, FIELD(spin_us), 0, 1000000,
	  "microseconds, 0 to 1000000",
	  "look for an answer that a program waits for so long before sleeping (100)" },
	{ "elect-time", 'e', "DSM_ELECT_TIME", "MS", set_u32, FIELD(elect_ms), 1, 60000,
	  "milliseconds, 1 to 60000",
	  "how long to look for others before founding a cluster (150)" },
	{ "touch-pages", 0, "DSM_TOUCH_PAGES", "N", set_u32, FIELD(touch_pages), 1, 65536,
	  "1 to 65536", "pages given by one first touch, at most (16)" },
	{ "prefetch-pages", 0, "DSM_PREFETCH_PAGES", "N", set_u32, FIELD(prefetch_pages), 1,
	  CORE_MSG_PAGES, "1 to 64",
	  "pages asked for with a miss that looks sequential, at most; 1: none (32)" },
	{ "standalone", 's', "DSM_STANDALONE", NULL, set_flag, FIELD(standalone), 0, 0, FLAGS,
	  "found a cluster at once instead of looking for one" },
	{ "run-dir", 'R', "DSM_RUNDIR", "DIR", set_text, FIELD(run_dir), 0,
	  sizeof(((struct config *)0)->run_dir), "a directory, 79 bytes at most",
	  "where the agent's socket lives (/run/dsm, or the user's own)" },
	{ "pid-file", 'i', "DSM_PID_FILE", "FILE", set_text, FIELD(pid_file), 0,
	  sizeof(((struct config *)0)->pid_file), "a file name, 127 bytes at most",
	  "write the process id there" },
	{ "daemon", 'b', NULL, NULL, set_flag, FIELD(daemonise), 0, 0, FLAGS,
	  "go to the background when the socket is open" },
	{ "foreground", 'f', NULL, NULL, set_flag_not, FIELD(daemonise), 0, 0, FLAGS,
	  "stay (this is the default)" },
	{ "log-level", 'l', "DSM_LOG", "LEVEL", set_log_level, 0, 0, 0,
	  "debug, info, warn, error, or 0 to 3", "least level that is logged (info)" },
	{ "log-syslog", 'S', "DSM_LOG_SYSLOG", NULL, set_flag, FIELD(log_syslog), 0, 0, FLAGS,
	  "log to syslog instead of standard error" },
};
const size_t nsettings = sizeof(settings) / sizeof(settings[0]);

const struct setting *setting_find(const char *name)
{
	for (size_t i = 0; i < nsettings; i++)
		if (!strcmp(settings[i].name, name))
			return &settings[i];
	return NULL;
}

bool config_set(struct config *cfg, const char *name, const char *value, char *why, size_t len)
{
	const struct setting *s = setting_find(name);

	if (!s) {
		snprintf(why, len, "there is no setting \"%s\"", name);
		return false;
	}
	if (s->parse(cfg, s, value))
		return true;
	snprintf(why, len, "%s: \"%s\" is not %s", name, value, s->accepts);
	return false;
}

void config_defaults(struct config *ret)
{
	*ret = (struct config){
		.port = DEFAULT_PORT,
		.chunks = (256u << 20) / CHUNK_SIZE,
		.cluster = "dsm",
		.discovery_port = 9999,
		.discovery = true,
		.dead_ms = 1500,
		.elect_ms = 150,
		.recovery_ms = 10000,
		.hold_us = 50,
		.deadlock_ms = 100,
		.spin_us = 100,
		.touch_pages = 16,
		.prefetch_pages = 32,
		.log_level = LOG_LEVEL_INFO,
	};
}
