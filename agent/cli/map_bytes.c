// SPDX-License-Identifier: MIT
/* Keys and values are bytes; here they become text and JSON, and JSON becomes bytes. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/map.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void bytes_print(FILE *out, const void *bytes, size_t size, bool word)
{
	const unsigned char *p = bytes;
	json_t *text = size ? json_stringn(bytes, size) : NULL;
	bool letters = text; /* it is UTF-8: from 0x80 on there are letters */

	json_decref(text);
	for (size_t i = 0; i < size; i++) {
		if (p[i] == '\\')
			fputs("\\\\", out);
		else if ((letters && p[i] >= 0x80) ||
			 (p[i] < 0x80 && isprint(p[i]) && !(word && p[i] == ' ')))
			fputc(p[i], out);
		else
			fprintf(out, "\\x%02x", p[i]);
	}
}

static char *base64(const unsigned char *p, size_t size)
{
	char *text = malloc((size + 2) / 3 * 4 + 1), *to = text;

	for (size_t i = 0; text && i < size; i += 3) {
		uint32_t three = (uint32_t)p[i] << 16 |
				 (i + 1 < size ? (uint32_t)p[i + 1] << 8 : 0) |
				 (i + 2 < size ? p[i + 2] : 0);

		*to++ = digits[three >> 18];
		*to++ = digits[three >> 12 & 63];
		*to++ = (char)(i + 1 < size ? digits[three >> 6 & 63] : '=');
		*to++ = (char)(i + 2 < size ? digits[three & 63] : '=');
	}
	if (text)
		*to = '\0';
	return text;
}

static void *unbase64(const char *text, size_t *ret_size)
{
	size_t n = strlen(text), size = 0;
	unsigned char *bytes = n % 4 ? NULL : malloc(n + 1);
	uint32_t word = 0;

	for (size_t i = 0; bytes && i < n; i++) {
		const char *digit = strchr(digits, text[i]);
		bool end = text[i] == '=' && i + 2 >= n && (i + 1 == n || text[i + 1] == '=');

		if (!digit && !end) {
			free(bytes);
			return NULL;
		}
		word = word << 6 | (uint32_t)(end ? 0 : digit - digits);
		if (i % 4 != 3)
			continue;
		bytes[size++] = (unsigned char)(word >> 16);
		bytes[size++] = (unsigned char)(word >> 8);
		bytes[size++] = (unsigned char)word;
	}
	if (bytes && n)
		size -= (size_t)(text[n - 1] == '=') + (text[n - 2] == '=');
	*ret_size = size;
	return bytes;
}

json_t *bytes_json(const void *bytes, size_t size)
{
	json_t *text = size && memchr(bytes, 0, size) ? NULL
						      : json_stringn(size ? bytes : "", size);
	char *coded;

	if (text)
		return text;
	coded = base64(bytes, size);
	text = json_pack("{s:s}", "base64", coded ? coded : "");
	free(coded);
	return text;
}

void *json_bytes(const json_t *value, size_t *ret_size)
{
	const char *coded = json_string_value(json_object_get(value, "base64"));
	char *bytes;

	if (coded)
		return unbase64(coded, ret_size);
	if (!json_is_string(value))
		return NULL;
	*ret_size = json_string_length(value);
	bytes = malloc(*ret_size + 1);
	if (bytes)
		memcpy(bytes, json_string_value(value), *ret_size + 1);
	return bytes;
}

json_t *entry_json(const struct dsm_map_entry *e)
{
	json_t *o = json_pack("{s:o,s:o,s:I}", "key", bytes_json(e->key, e->key_size), "value",
			      e->value ? bytes_json(e->value, e->value_size) : json_null(),
			      "version", (json_int_t)e->version);

	if (e->expires_ns)
		json_object_set_new(o, "expires", json_real((double)e->expires_ns / 1e9));
	return o;
}
