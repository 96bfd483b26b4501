/* SPDX-License-Identifier: MIT */
/* The settings by name, for the sources that know them only so. */
#ifndef DSM_AGENT_CONFIG_SETTINGS_H
#define DSM_AGENT_CONFIG_SETTINGS_H

#include "agent/config.h"

struct setting {
	const char *name; /* long option and key of the file */
	char key;	  /* short option, 0: none */
	const char *env;  /* NULL: not from the environment */
	const char *
		arg; /* argument in --help; NULL: a flag, which in file and environment is yes or no */
	bool (*parse)(struct config *cfg, const struct setting *s, const char *value);
	size_t offset;	     /* of the field in struct config */
	uint64_t min, max;   /* numbers; text: max bytes */
	const char *accepts; /* for error messages */
	const char *help;
};

extern const struct setting settings[];
extern const size_t nsettings;

/* NULL: no such setting. */
const struct setting *setting_find(const char *name);

#endif
