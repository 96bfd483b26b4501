// SPDX-License-Identifier: MIT
#include <errno.h>

#include "lib/heap/heap.h"
#include "lib/heap/text.h"

void text_json(FILE *out, const char *text)
{
	(void)fputc('"', out);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			(void)fprintf(out, "\\%c", c);
		else if (c < ' ')
			(void)fprintf(out, "\\u%04x", c);
		else
			(void)fputc(c, out);
	}
	(void)fputc('"', out);
}

void text_flags(FILE *out, uint32_t flags, const char *none, int json)
{
	static const struct {
		uint32_t flag;
		const char *name;
	} names[] = {
		{ DSM_HEAP_GUARDS, "guards" },
		{ DSM_HEAP_POISON, "poison" },
		{ DSM_HEAP_LOG, "log" },
	};
	const char *quote = json ? "\"" : "", *between = "";

	if (!(flags & HEAP_FLAGS))
		(void)fputs(none, out);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (flags & names[i].flag) {
			(void)fprintf(out, "%s%s%s%s", between, quote, names[i].name, quote);
			between = ", ";
		}
}

const char *text_size(uint64_t bytes, char text[24])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double n = (double)bytes;
	size_t u = 0;

	while (n >= 1024 && u + 1 < sizeof(units) / sizeof(units[0])) {
		n /= 1024;
		u++;
	}
	(void)snprintf(text, 24, n == (double)(uint64_t)n ? "%.0f %s" : "%.1f %s", n, units[u]);
	return text;
}

int text_end(FILE *out)
{
	if (fflush(out) || ferror(out))
		return seg_error(-EIO, "heap: what was to be written could not be");
	return 0;
}
