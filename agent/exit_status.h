/* SPDX-License-Identifier: MIT */
/* How dsmd ends; dsmd(8) lists the same. */
#ifndef DSM_AGENT_EXIT_STATUS_H
#define DSM_AGENT_EXIT_STATUS_H

enum dsmd_exit {
	DSMD_EXIT_OK = 0,     /* left the cluster, or --help */
	DSMD_EXIT_FAILED = 1, /* could not go on */
	DSMD_EXIT_USAGE = 2,  /* a bad option or environment variable */
	DSMD_EXIT_IN_USE = 3, /* the port serves another agent or program */
	DSMD_EXIT_PAGER = 4,  /* no pager can work here */
	DSMD_EXIT_CONFIG = 5, /* the configuration file */
};

#endif
