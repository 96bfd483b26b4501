// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <dsm/dsm.h>

#include "agent/cli/open.h"

int open_explain(const char *command, int err)
{
	int code = CLI_FAILED;

	switch (err) {
	case -ENOENT:
		code = CLI_NOT_FOUND;
		break;
	case -ENOTCONN:
		code = CLI_NO_AGENT;
		break;
	case -EBADMSG:
	case -EPROTO:
	case -ESTALE:
		code = CLI_DAMAGED;
		break;
	default:
		break;
	}
	return cli_error(code, "%s: %s", command, dsm_last_error());
}

int open_context(const struct cli *cli, dsm_t **ret)
{
	struct dsm_options options = {
		.port = cli->port,
		.flags = DSM_OPEN_NO_START,
		.rundir = cli->rundir,
	};
	int err;

	dsm_set_log_level(3); /* messages about what fails come from here */
	err = dsm_open(&options, ret);
	switch (err) {
	case 0:
		return CLI_OK;
	case -ENOENT:
	case -ECONNREFUSED:
	case -ETIMEDOUT:
		return cli_error(CLI_NO_AGENT,
				 "no agent serves port %u, or it is in no cluster yet: %s",
				 cli->port, strerror(-err));
	default:
		return cli_error(CLI_FAILED, "the agent on port %u cannot be used: %s", cli->port,
				 strerror(-err));
	}
}

typedef int (*open_fn)(const char *uri, const struct dsm_segment_options *options,
		       dsm_segment_t **ret);

/* By @open, with a context for what is a cluster's. @command: who says it when it fails. */
static int open_by(const struct cli *cli, const char *command, const char *uri, open_fn open,
		   uint32_t flags, struct opened *ret)
{
	struct dsm_segment_options options = { .flags = flags };
	struct opened o = { 0 };
	int err, code;

	if (strncmp(uri, "shm:", 4) && strncmp(uri, "dsm:", 4))
		return cli_error(CLI_USAGE, "'%s' is no segment: shm:NAME or dsm:REGION", uri);
	if (!strncmp(uri, "dsm:", 4)) {
		code = open_context(cli, &o.ctx);
		if (code)
			return code;
		options.ctx = o.ctx;
	}
	err = open(uri, &options, &o.segment);
	if (err) {
		code = open_explain(command, err);
		dsm_close(o.ctx);
		return code;
	}
	*ret = o;
	return CLI_OK;
}

int open_segment(const struct cli *cli, const char *uri, struct opened *ret)
{
	return open_by(cli, "segment", uri, dsm_segment_open, 0, ret);
}

int open_or_make(const struct cli *cli, const char *command, const char *uri, struct opened *ret)
{
	return open_by(cli, command, uri, dsm_segment_create, DSM_SEGMENT_EXISTING, ret);
}

const char *open_split(const char *uri, char segment[256], const char *fallback)
{
	const char *slash = strchr(uri, '/');

	(void)snprintf(segment, 256, "%.*s", slash ? (int)(slash - uri) : 255, uri);
	return slash && slash[1] ? slash + 1 : fallback;
}

void open_close(struct opened *o)
{
	dsm_segment_close(o->segment);
	dsm_close(o->ctx);
	*o = (struct opened){ 0 };
}
